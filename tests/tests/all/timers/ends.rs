//! Timers at the end of the input, timers that renew themselves, and sources that are quiet.

use super::{BOUND, SECOND, everywhere, job_over, placed_rows, row_of, stepped};
use pelton::{
    Job, ManualClock, Options, ProcessContext, ProcessFunction, Timestamp, VecSource, Watermarks, collect, push,
};
use pelton_tests::events::{Row, Sample};
use pelton_tests::rows::{rows_of, rows_of_model};
use pelton_tests::running::{finish, paced, settle};
use pelton_tests::slow::{Call, Function, run};
use std::collections::BTreeMap;
use std::time::Duration;

/// Tells each second, sixty times, from the first row on.
#[derive(Clone)]
struct Ticking;

impl ProcessFunction<u64> for Ticking {
    type In = Row;
    type State = u64;
    type Out = Row;

    fn on_row(&self, _: &u64, time: Timestamp, _: &Row, _: &mut u64, context: &mut ProcessContext<'_, Row>) {
        context.timer(time + Duration::from_secs(1));
    }

    fn on_timer(&self, key: &u64, time: Timestamp, ticks: &mut u64, context: &mut ProcessContext<'_, Row>) {
        *ticks += 1;
        context.emit(Row { key: *key, a: *ticks as i64, b: context.watermark().as_nanos() });
        if *ticks < 60 {
            context.timer(time + Duration::from_secs(1));
        }
    }
}

#[derive(Default)]
struct SlowTicking(BTreeMap<u64, i64>);

impl Function<Row> for SlowTicking {
    type Out = Row;
    fn key(&self, row: &Row) -> u64 {
        row.key
    }
    fn row(&mut self, _: u64, time: i64, _: &Row, call: &mut Call<Row>) {
        call.timers.push(time + SECOND);
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        let ticks = self.0.entry(key).or_default();
        *ticks += 1;
        call.rows.push(Row { key, a: *ticks, b: call.watermark });
        if *ticks < 60 {
            call.timers.push(time + SECOND);
        }
    }
}

/// Passes on each row, at once and again when a timer fires, `apart` behind it.
#[derive(Clone)]
struct Echo {
    apart: i64,
    emits: bool,
}

impl ProcessFunction<u64> for Echo {
    type In = Row;
    type State = u64;
    type Out = Row;

    fn on_row(&self, _: &u64, time: Timestamp, row: &Row, rows: &mut u64, context: &mut ProcessContext<'_, Row>) {
        *rows += 1;
        context.emit(*row);
        context.timer(time.plus_nanos(self.apart));
    }

    fn on_timer(&self, key: &u64, time: Timestamp, rows: &mut u64, context: &mut ProcessContext<'_, Row>) {
        if self.emits {
            context.emit(Row { key: *key + 100, a: *rows as i64, b: time.as_nanos() });
        }
    }
}

struct SlowEcho {
    echo: Echo,
    rows: BTreeMap<u64, i64>,
}

impl Function<Row> for SlowEcho {
    type Out = Row;
    fn key(&self, row: &Row) -> u64 {
        row.key
    }
    fn row(&mut self, key: u64, time: i64, row: &Row, call: &mut Call<Row>) {
        *self.rows.entry(key).or_default() += 1;
        call.rows.push(*row);
        call.timers.push(time + self.echo.apart);
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        if self.echo.emits {
            call.rows.push(Row { key: key + 100, a: self.rows[&key], b: time });
        }
    }
}

/// The end of the input comes to the second step while the first one still fires what is left.
fn ends_behind(echo: &Echo) {
    let second = |number: i64| number * SECOND;
    let event = |number: i64| Sample { time_ns: second(number), key: number as u64 % 6, value: 1, number: 0 };
    let events: Vec<Sample> = (0..40).map(event).collect();
    let (rows, end) = placed_rows(&events);
    let first = run(&rows, end, BOUND, SlowEcho { echo: echo.clone(), rows: BTreeMap::new() });
    let expected = rows_of_model(&run(&first, end, BOUND, SlowTicking::default()));
    let make = |block: usize, pace: Option<f64>| {
        let echo = echo.clone();
        job_over(paced(&events, block, pace), |stream| {
            let first = stream.map(row_of).key_by(|row| row.key).process("echo", echo);
            first.key_by(|row| row.key).process("ticking", Ticking)
        })
    };
    stepped(&expected, 100, make);
    everywhere(&expected, make);
}

#[test]
fn a_second_step_ends_the_same_while_the_first_fires_rows_at_the_end() {
    ends_behind(&Echo { apart: 20 * SECOND, emits: true });
}

#[test]
fn a_second_step_ends_the_same_while_the_first_fires_nothing_at_the_end() {
    ends_behind(&Echo { apart: 20 * SECOND, emits: false });
}

#[test]
fn what_a_timer_asks_for_at_the_end_of_the_input_is_dropped() {
    // The clock ends at 20 s, the watermark 2 s and 1 ns before that.
    let at = |seconds: i64| Sample { time_ns: seconds * SECOND, key: 1, value: 1, number: 0 };
    for workers in [1, 3] {
        let (job, rows) = job_over(VecSource::new(vec![at(10), at(20)], 1), |stream| {
            stream.map(row_of).key_by(|row| row.key).process("ticking", Ticking)
        });
        finish(job, Options::workers(workers));
        let times: Vec<_> = rows.take().into_iter().map(|(time, _)| time.as_nanos() / SECOND).collect();
        assert_eq!(times, [11, 12, 13, 14, 15, 16, 17, 18, 21]);
    }
}

/// Fires at its own time again whenever it fires.
#[derive(Clone)]
struct Again;

impl ProcessFunction<u64> for Again {
    type In = Row;
    type State = u64;
    type Out = Row;

    fn on_row(&self, _: &u64, time: Timestamp, _: &Row, _: &mut u64, context: &mut ProcessContext<'_, Row>) {
        context.timer(time);
    }

    fn on_timer(&self, key: &u64, time: Timestamp, fired: &mut u64, context: &mut ProcessContext<'_, Row>) {
        *fired += 1;
        context.emit(Row { key: *key, a: *fired as i64, b: time.as_nanos() });
        context.timer(time);
        context.timer(time.plus_nanos(-7));
    }
}

#[test]
fn a_timer_that_renews_itself_at_its_own_time_does_not_hang() {
    let at = |seconds: i64| Sample { time_ns: seconds * SECOND, key: 1, value: 1, number: 0 };
    for workers in [1, 2, 3] {
        // The third event is late: its timer fires at once.
        let events = vec![at(1), at(10), at(2)];
        let (job, rows) = job_over(VecSource::new(events, 1), |stream| {
            stream.map(row_of).key_by(|row| row.key).process("again", Again)
        });
        finish(job, Options::workers(workers));
        let found: Vec<_> = rows_of(&rows).into_iter().map(|(time, row)| (time, row.a, row.b)).collect();
        let behind = 10 * SECOND - BOUND;
        let expected = [
            (SECOND, 1, SECOND),
            (SECOND, 2, SECOND - 7),
            (SECOND, 3, SECOND),
            // What a late row asks for fires once, at 1 ns behind the watermark.
            (behind, 4, 2 * SECOND),
            (10 * SECOND, 5, 10 * SECOND),
        ];
        assert_eq!(found, expected, "{workers} workers");
    }
}

#[test]
fn timers_wait_for_a_quiet_source_until_it_is_idle() {
    for workers in [1, 2] {
        let clock = ManualClock::default();
        let mut job = Job::new("idle");
        let (sink, rows) = collect();
        let (mut quiet_input, quiet) = push::<Sample>(64);
        let (mut live_input, live) = push::<Sample>(64);
        let watermarks = Watermarks::ascending().idle_after(Duration::from_millis(50));
        let quiet = job.source("quiet", quiet).watermarks(watermarks);
        let live = job.source("live", live);
        let both = quiet.union(live).map(row_of).key_by(|row| row.key);
        both.process("ticking", Ticking).sink("out", sink);
        let mut simulation = job.simulate(Options::workers(workers).clock(clock.clone())).unwrap();
        let at = |seconds: i64| Sample { time_ns: seconds * SECOND, key: 1, value: 1, number: 0 };
        quiet_input.send(&[at(1)]).unwrap();
        live_input.send(&[at(2), at(5), at(9)]).unwrap();
        settle(&mut simulation, workers);
        let times = || -> Vec<i64> { rows_of(&rows).into_iter().map(|(time, _)| time / SECOND).collect() };
        assert_eq!(times(), [0; 0], "the quiet source is at 1 s");
        clock.advance(Duration::from_millis(60));
        settle(&mut simulation, workers);
        assert_eq!(times(), [2, 3, 4, 5, 6, 7, 8], "the quiet source is idle");
        quiet_input.send(&[at(3)]).unwrap();
        settle(&mut simulation, workers);
        // What it says of the past fires at once, 1 ns behind the watermark, which does not go back.
        assert_eq!(times(), [9]);
        drop((quiet_input, live_input));
        settle(&mut simulation, workers);
        assert!(simulation.is_ended());
        simulation.finish().unwrap().balance().unwrap();
    }
}
