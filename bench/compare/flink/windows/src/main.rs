//! Runs the jobs of `windows.py`, one after the other, and prints what comes out.
//!
//! The first argument is the file of jobs; its lines are told at the head of `windows.py`. The second is the number of
//! workers. A job's rows, what its windows give and what is late for them go to one sink, so that the order tells what
//! the latter two are caused by.

use pelton::{
    BoxError, CountWindow, Event, Global, Job, Options, Pane, Record, Session, Sliding, Timestamp,
    Trigger, Tumbling, VecSource, Watermarks, Window, Windows, collect, count, sum,
};
use std::sync::Arc;
use std::time::Duration;

/// A row, and the watermark that follows it.
#[derive(Debug, Clone, Copy, Event)]
#[repr(C)]
struct Row {
    #[event(time)]
    time: i64,
    step: i64,
    key: u64,
    value: i64,
    gap: i64,
    watermark: i64,
}

const ROW: i64 = 0;
const FIRED: i64 = 1;
const LATE: i64 = 2;

/// A row, what a window gives, or a row that is late.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Told {
    what: i64,
    step: i64,
    start: Timestamp,
    end: Timestamp,
    key: u64,
    rows: u64,
    sum: i64,
}

impl Told {
    fn row(what: i64, row: &Row) -> Self {
        let none = Timestamp::from_nanos(0);
        Self { what, step: row.step, start: none, end: none, key: row.key, rows: 1, sum: row.value }
    }
}

struct Setting {
    kind: String,
    first: u64,
    second: u64,
    offset: u64,
    trigger: String,
    every: u64,
    purges: bool,
    lateness: u64,
}

const fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

impl Setting {
    fn windows(&self) -> Result<Windows<Row>, BoxError> {
        let Self { first, second, offset, .. } = *self;
        Ok(match self.kind.as_str() {
            "tumbling" => Tumbling::of(nanos(first)).offset(nanos(offset)).into(),
            "sliding" => Sliding::of(nanos(first), nanos(second)).offset(nanos(offset)).into(),
            "session" => Session::gap(nanos(first)).into(),
            "session-by-row" => Session::gap_by(|row: &Row| nanos(row.gap.unsigned_abs())).into(),
            "global" => Global.into(),
            "count" => CountWindow::of(first).every(second).into(),
            kind => return Err(format!("no such windows: {kind}").into()),
        })
    }

    fn trigger(&self) -> Result<Trigger<Row>, BoxError> {
        let trigger = match self.trigger.as_str() {
            "time" => Trigger::watermark(),
            "count" => Trigger::count(self.every),
            "early" => Trigger::watermark().early_count(self.every),
            "every" => Trigger::watermark().early_every(nanos(self.every)),
            trigger => return Err(format!("no such trigger: {trigger}").into()),
        };
        Ok(if self.purges { trigger.purging() } else { trigger })
    }
}

/// The rows of a job and what its windows give, in the job's order.
fn run(setting: &Setting, rows: &[Row], workers: usize) -> Result<Vec<(Timestamp, Told)>, BoxError> {
    let watermarks = Watermarks::custom(|row: &Row| Some(Timestamp::from_nanos(row.watermark)));
    let mut job = Job::new("windows");
    let rows = job.source("rows", VecSource::new(rows.to_vec(), 1)).watermarks(watermarks);
    let results = rows
        .clone()
        .key_by(|row| row.key)
        .window(setting.windows()?)
        .trigger(setting.trigger()?)
        .allowed_lateness(nanos(setting.lateness))
        .aggregate_with("sums", (count(), sum(|row: &Row| row.value)), |pane: &Pane, key, sums| {
            let Window { start, end } = pane.window;
            let (rows, sum) = sums.parts();
            Told { what: FIRED, step: 0, start, end, key: *key, rows, sum: sum as i64 }
        });
    let (sink, told) = collect();
    rows.map(|row| Told::row(ROW, row))
        .union(results.main)
        .union(results.late.map(|row| Told::row(LATE, row)))
        .sink("told", sink);
    job.run(Options::workers(workers))?.balance()?;
    Ok(told.take())
}

fn print(setting: &Setting, rows: &[Row], workers: usize) -> Result<(), BoxError> {
    let has_ends = !matches!(setting.kind.as_str(), "global" | "count");
    let mut step = -1;
    for (time, told) in run(setting, rows, workers)? {
        let Told { start, end, key, rows, sum, .. } = told;
        let (start, end) = if has_ends { (start.as_nanos(), end.as_nanos()) } else { (0, 0) };
        match told.what {
            ROW => step = told.step,
            LATE => println!("late {step} {}", told.step),
            _ => println!("fired {step} {} {start} {end} {key} {rows} {sum}", time.as_nanos()),
        }
    }
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(workers)) = (arguments.next(), arguments.next()) else {
        return Err("usage: flink-windows JOBS WORKERS".into());
    };
    let workers = workers.parse()?;
    let mut jobs: Vec<(Setting, Vec<Row>)> = Vec::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match (words.as_slice(), jobs.last_mut()) {
            (["job", _, kind, first, second, offset, trigger, every, purges, lateness, _], _) => {
                let setting = Setting {
                    kind: (*kind).to_owned(),
                    first: first.parse()?,
                    second: second.parse()?,
                    offset: offset.parse()?,
                    trigger: (*trigger).to_owned(),
                    every: every.parse()?,
                    purges: *purges == "1",
                    lateness: lateness.parse()?,
                };
                jobs.push((setting, Vec::new()));
            }
            (["row", time, key, value, gap, watermark], Some((_, rows))) => rows.push(Row {
                time: time.parse()?,
                step: rows.len() as i64,
                key: key.parse()?,
                value: value.parse()?,
                gap: gap.parse()?,
                watermark: watermark.parse()?,
            }),
            _ => return Err(format!("neither a job nor a row: {line}").into()),
        }
    }
    for (number, (setting, rows)) in jobs.iter().enumerate() {
        println!("job {number}");
        print(setting, rows, workers)?;
    }
    println!("done");
    Ok(())
}
