//! What checkpoints cost: speed beside the same job without them and the plain loop, the pause at a barrier, recovery.

mod ticking;

use super::captures::{Kind, Spec};
use super::{Found, Suite, by_hand, grouped};
use crate::contest::{Contest, Outcome, Standing};
use crate::latency::push_latencies_with;
use crate::load::{Schedule, percentiles};
use crate::readings::{Reading, ReadingRow, SumReadings};
use crate::stall;
use crate::work::{CountSizes, WindowRow, options};
use crate::yardstick::disordered_window;
use pelton::{
    BlockSource, BoxError, CheckpointOptions, Dictionary, Job, Options, Report, Sink, SinkCheckpoint, Source, Stop,
    Timestamp, Tumbling, Watermarks,
};
use pelton_io::Trade;
use pelton_io::blackhole;
use pelton_io::capture::replay;
use pelton_io::sink::{Blackhole, Format, Seen, TextSink};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ticking::Ticking;

/// Generated readings come a nanosecond apart, so all of them are in one window.
const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);
const DISORDER: Duration = Duration::from_millis(100);
/// What a key takes in the state: its accumulator.
const STATE_BYTES: u64 = 16;
/// Seconds for which events are pushed to measure their latencies: where few are asked for, and otherwise. The first is to
/// warm up.
const LATENCY_SECONDS: (u64, u64) = (1, 5);
/// How long the machine's own stalls are measured, to stand beside the pauses of a worker.
const STALLS: Duration = Duration::from_secs(2);

pub(super) fn durable(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let standings = vec![
        changing(suite, 1, "a core free")?,
        changing(suite, 2, "a worker on each of two")?,
        everything(suite)?,
        pushed(suite)?,
    ];
    let mut found = Found::from(standings);
    found.more.insert("pauses".into(), pauses(suite)?);
    found.more.insert("recovery".into(), recovery(suite)?);
    found.more.insert("push_latencies".into(), push_latencies(suite)?);
    Ok(found)
}

/// The keyed window over generated readings.
fn job(source: Source<Reading>) -> (Job, Seen) {
    let mut job = Job::new("readings");
    let sink = blackhole();
    let seen = sink.seen();
    job.source("readings", source)
        .key_by(|reading: &Reading| reading.device)
        .window(Tumbling::of(HOUR))
        .aggregate_with("sums", SumReadings, ReadingRow::of_window)
        .sink("out", sink);
    (job, seen)
}

/// Runs it, with checkpoints each so often where that is said; its state is in a directory of its own.
fn run(source: Ticking, options: Options, every: Option<Duration>, dir: &Path) -> Result<(Outcome, Report), BoxError> {
    let state = tempfile::tempdir_in(dir)?;
    let checkpoints = |every| CheckpointOptions::in_directory(state.path()).segment_bytes(64 << 20).every(every);
    let options = every.map_or(options.clone(), |every| options.checkpoints(checkpoints(every)));
    let (job, seen) = job(Source::blocks(source));
    let start = Instant::now();
    let report = job.run(options)?;
    let elapsed = start.elapsed();
    report.balance()?;
    Ok((Outcome { elapsed, rows: seen.count(), hash: seen.hash() }, report))
}

/// A checkpoint each second, at about 100 MiB of state that changes meanwhile: all of it does.
fn changing(suite: &mut Suite<'_>, workers: usize, cores: &str) -> Result<Standing, BoxError> {
    let keys = (suite.options.events / 10).clamp(1, 100 << 20 >> STATE_BYTES.ilog2());
    // So long that the log has grown to what it needs, and is written over again.
    let events = suite.options.events * 8;
    let source = Ticking::new(events, keys);
    let work = format!("a checkpoint each second, {} keys all of which change, {cores}", grouped(keys));
    let mut contest = Contest::new(&work, events, size_of::<Reading>() as u64);
    let dir = suite.options.dir.clone();
    for (name, every) in [("pelton", None), ("pelton, checkpoints", Some(SECOND))] {
        let (source, dir) = (source.clone(), dir.clone());
        contest.rival(name, move || Ok(run(source.clone(), options(workers), every, &dir)?.0));
    }
    Ok(suite.run(contest))
}

/// Events that a program pushes, as they are, journaled, and journaled so that none is processed before it is durable.
fn pushed(suite: &mut Suite<'_>) -> Result<Standing, BoxError> {
    let events = (suite.options.events / 4).max(1);
    let mut contest = Contest::new("pushed events, 10,000 keys", events, size_of::<Reading>() as u64);
    let dir = &suite.options.dir;
    for (name, journal) in [("pelton", None), ("pelton, journaled", Some(false)), ("pelton, durable first", Some(true))]
    {
        contest.rival(name, move || push_all(&Ticking::new(events, 10_000), journal, dir));
    }
    let standing = contest.run(suite.options.rounds, suite.tell);
    (suite.tell)(&format!("\n{standing}"));
    Ok(standing)
}

/// Pushes all readings of a source into the job.
fn push_all(readings: &Ticking, journal: Option<bool>, dir: &Path) -> Result<Outcome, BoxError> {
    let state = tempfile::tempdir_in(dir)?;
    let checkpoints = |first| CheckpointOptions::in_directory(state.path()).every(SECOND).durable_first(first);
    let options = journal.map_or(options(1), |first| options(1).checkpoints(checkpoints(first)));
    let (mut input, source) = pelton::push(1 << 16);
    let (job, seen) = job(source);
    let mut reader = readings.reader()?;
    let start = Instant::now();
    let handle = job.start(options)?;
    for block in 0..readings.blocks().len() {
        reader.load(block)?;
        input.send(reader.events())?;
    }
    drop(input);
    let report = handle.join()?;
    let elapsed = start.elapsed();
    report.balance()?;
    Ok(Outcome { elapsed, rows: seen.count(), hash: seen.hash() })
}

/// From the time an event was meant to be pushed to its row, without a journal, with one, and where each event is durable
/// first, with a sync each millisecond.
fn push_latencies(suite: &mut Suite<'_>) -> Result<Value, BoxError> {
    let rate = (suite.options.events / 50).clamp(1000, 100_000);
    let seconds = (rate / 10_000).clamp(LATENCY_SECONDS.0, LATENCY_SECONDS.1);
    let schedule = Schedule { rate, events: rate * seconds, keys: 10_000 };
    let mut found = Vec::new();
    for (name, journal) in [("without", None), ("journaled", Some(false)), ("durable first", Some(true))] {
        let state = tempfile::tempdir_in(&suite.options.dir)?;
        let checkpoints = |first| {
            let checkpoints = CheckpointOptions::in_directory(state.path()).every(SECOND).durable_first(first);
            options(1).checkpoints(checkpoints.commit_every(Duration::from_millis(1)))
        };
        let latencies = push_latencies_with(schedule, SECOND, journal.map_or(options(1), checkpoints))?;
        let row = json!({ "name": name, "offered_per_s": rate, "percentiles_ns": percentiles(&latencies) });
        (suite.tell)(&format!("push latencies: {row}"));
        found.push(row);
    }
    Ok(found.into())
}

/// Writes rows to a file in place and to a blackhole, which has what they are compared by.
struct Both {
    file: TextSink,
    seen: Blackhole,
}

impl Sink<WindowRow> for Both {
    fn open(&mut self, symbols: &Arc<Dictionary>) -> Result<(), BoxError> {
        Sink::<WindowRow>::open(&mut self.file, symbols)
    }

    fn write(&mut self, times: &[Timestamp], rows: &[WindowRow]) -> Result<usize, BoxError> {
        let written = self.file.write(times, rows)?;
        self.seen.write(&times[..written], &rows[..written])
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        Sink::<WindowRow>::flush(&mut self.file)
    }

    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        Sink::<WindowRow>::checkpoint(&mut self.file)
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        Sink::<WindowRow>::finish(&mut self.file)?;
        Sink::<WindowRow>::finish(&mut self.seen)
    }
}

/// Out of order, with checkpoints ten times a second and a file written exactly once, beside the plain loop that does
/// none of it.
fn everything(suite: &mut Suite<'_>) -> Result<Standing, BoxError> {
    let capture = suite.captures.get(Spec::new(Kind::Disordered(DISORDER), 10_000), suite.tell)?;
    let dir = suite.options.dir.clone();
    let work = "everything on: out of order, a checkpoint each 100 ms, rows to a file exactly once";
    let mut contest = Contest::new(work, suite.options.events, size_of::<Trade>() as u64);
    let path = capture.clone();
    contest.rival("pelton", move || {
        let state = tempfile::tempdir_in(&dir)?;
        let seen = blackhole();
        let told = seen.seen();
        let file = TextSink::in_place(state.path().join("rows.csv"), Format::Csv, false)?;
        let mut job = Job::new("everything");
        job.source("trades", replay::<Trade>(&path)?)
            .watermarks(Watermarks::bounded(DISORDER))
            .key_by(|trade| trade.symbol)
            .window(Tumbling::of(SECOND))
            .aggregate_with("sizes", CountSizes, WindowRow::new)
            .sink("out", Both { file, seen });
        let checkpoints = CheckpointOptions::in_directory(state.path().join("state")).every(SECOND / 10);
        let start = Instant::now();
        let report = job.run(options(1).checkpoints(checkpoints))?;
        let elapsed = start.elapsed();
        report.balance()?;
        Ok(Outcome { elapsed, rows: told.count(), hash: told.hash() })
    });
    contest.rival(
        "plain",
        by_hand(&capture, |source, sink| disordered_window(&source.into_blocks(), SECOND, DISORDER, sink)),
    );
    Ok(suite.run(contest))
}

/// By the size of the state: how long a step takes to mark it, and how long a worker is away from its input, with
/// checkpoints and without, beside the machine's own stalls.
fn pauses(suite: &mut Suite<'_>) -> Result<Value, BoxError> {
    let largest = suite.options.events * size_of::<Reading>() as u64;
    let mut found = Vec::new();
    for bytes in [1 << 20, 100 << 20, 2 << 30].into_iter().filter(|bytes| *bytes <= largest) {
        let keys = bytes / STATE_BYTES;
        let events = (keys * 3).max(suite.options.events);
        let mut row = json!({ "state_bytes": bytes, "keys": keys, "events": events });
        for (name, every) in [("without", None), ("with", Some(SECOND))] {
            let source = Ticking::new(events, keys).measured();
            let blocks = source.times();
            let (outcome, report) = run(source, options(1), every, &suite.options.dir)?;
            let checkpoints = report.recovery.map(|recovery| recovery.checkpoints);
            row[name] = json!({
                "elapsed_ns": outcome.elapsed.as_nanos() as u64,
                "blocks_ns": percentiles(&blocks.take()),
                "checkpoints": checkpoints.map(|checkpoints| checkpoints.taken),
                "mark_max_ns": checkpoints.map(|checkpoints| checkpoints.mark_max.as_nanos() as u64),
            });
        }
        (suite.tell)(&format!("pauses: {row}"));
        found.push(row);
    }
    let stalls = percentiles(&stall::measure(STALLS).gaps);
    Ok(json!({ "stalls_ns": stalls, "by_state": found }))
}

/// The time from starting a job to its first block, where it goes on from a savepoint.
fn recovery(suite: &mut Suite<'_>) -> Result<Value, BoxError> {
    let bytes: u64 = (1 << 30).min(suite.options.events * STATE_BYTES);
    let keys = bytes / STATE_BYTES;
    // Long enough that it is stopped on the way.
    let source = Ticking::new(keys * 64, keys);
    let mut found = Vec::new();
    for workers in [1, 2, 3] {
        let state = tempfile::tempdir_in(&suite.options.dir)?;
        let checkpoints = || CheckpointOptions::in_directory(state.path()).segment_bytes(64 << 20);
        let handle = job(Source::blocks(source.clone())).0.start(options(1).checkpoints(checkpoints()))?;
        while handle.report().events_read() < keys {
            std::thread::sleep(Duration::from_millis(1));
        }
        let at = handle.stop_with_savepoint()?.events_read();
        let resumed = source.clone().measured();
        let first = resumed.times();
        let start = Instant::now();
        let handle = job(Source::blocks(resumed)).0.start(options(workers).checkpoints(checkpoints()))?;
        let first = loop {
            match first.begun() {
                Some(first) => break first.duration_since(start),
                None => std::thread::sleep(Duration::from_micros(100)),
            }
        };
        handle.stop(Stop::Now);
        handle.join()?;
        let row = json!({
            "state_bytes": bytes, "keys": keys, "events_before": at, "workers_before": 1, "workers": workers,
            "first_block_ns": first.as_nanos() as u64,
        });
        (suite.tell)(&format!("recovery: {row}"));
        found.push(row);
    }
    Ok(found.into())
}
