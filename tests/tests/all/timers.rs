//! Timers fire at one place in the order: whatever the blocks, the workers and the pace, the rows are those of a loop.

mod alerts;
mod chains;
mod ends;
mod quotes;

use pelton::{Collected, Job, Options, Source, Watermarks, collect, push};
use pelton_tests::events::{Row, Sample};
use pelton_tests::rng::Rng;
use pelton_tests::rows::{assert_same, rows_of};
use pelton_tests::running::{DEADLINE, finish, push_in_pieces, step_in_any_order};
use pelton_tests::slow::{Placed, placed};
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;
const BOUND: i64 = 2 * SECOND;

/// Events as they come in real life, and worse: equal times, gaps, some behind the bound, some a nanosecond off.
fn uneven(events: usize, keys: u64, seed: u64) -> Vec<Sample> {
    let mut rng = Rng::new(seed);
    let mut now = 1_700_000_000 * SECOND;
    let mut number = 0;
    let mut event = || {
        now += match rng.below(40) {
            0 => 200 * SECOND,
            1..=4 => 6 * SECOND,
            5..=14 => SECOND,
            15..=24 => rng.below(SECOND as u64) as i64,
            _ => 0,
        };
        let back = if rng.below(3) == 0 { rng.below(6) as i64 * SECOND } else { 0 };
        let off = if rng.below(8) == 0 { rng.below(3) as i64 - 1 } else { 0 };
        number += 1;
        Sample { time_ns: now - back + off, key: rng.below(keys), value: rng.below(100) as i64, number }
    };
    (0..events).map(|_| event()).collect()
}

fn bounded() -> Watermarks {
    Watermarks::bounded(Duration::from_nanos(BOUND as u64))
}

/// Runs a job in all ways and compares what it gives with `expected`. `make` is given the size of blocks and a pace.
fn everywhere(expected: &[(i64, Row)], make: impl Fn(usize, Option<f64>) -> (Job, Collected<Row>)) {
    let once = |block: usize, pace: Option<f64>, options: Options, what: String| {
        let (job, rows) = make(block, pace);
        finish(job, options);
        assert_same(&rows_of(&rows), expected, &what);
    };
    for block in [1, 2, 3, 64, 4096] {
        for workers in [1, 2, 3, 8] {
            let what = format!("blocks of {block} on {workers} workers");
            once(block, None, Options::workers(workers), what.clone());
            if workers != 2 && block > 1 && block < 4096 {
                once(block, Some(1e6), Options::workers(workers), format!("{what}, paced"));
            }
            for ring_bytes in [1, 1000] {
                if workers > 1 && (block == 2 || block == 64) {
                    let options = Options::workers(workers).ring_bytes(ring_bytes);
                    once(block, None, options, format!("{what} with rings of {ring_bytes} B"));
                }
            }
        }
    }
    stepped(expected, 10, make);
}

/// Steps workers in any order on one thread.
fn stepped(expected: &[(i64, Row)], seeds: u64, make: impl Fn(usize, Option<f64>) -> (Job, Collected<Row>)) {
    for seed in 0..seeds {
        let mut rng = Rng::new(seed);
        let workers = 2 + rng.below(3) as usize;
        let (job, rows) = make(1 + rng.below(50) as usize, None);
        let simulation = job.simulate(Options::workers(workers).ring_bytes(1 << rng.below(12))).unwrap();
        let what = format!("{workers} workers stepped with seed {seed}");
        step_in_any_order(simulation, workers, &mut rng, &what);
        assert_same(&rows_of(&rows), expected, &what);
    }
}

/// A job over one source that is built behind it.
fn job_over(
    source: impl Into<Source<Sample>>,
    build: impl FnOnce(pelton::Stream<Sample>) -> pelton::Stream<Row>,
) -> (Job, Collected<Row>) {
    let mut job = Job::new("timers");
    let (sink, rows) = collect();
    let stream = job.source("events", source).watermarks(bounded());
    build(stream).sink("out", sink);
    (job, rows)
}

/// Pushes events in random pieces, ten times at each number of workers, and compares what comes out.
fn pushed(events: &[Sample], expected: &[(i64, Row)], build: impl Fn(pelton::Stream<Sample>) -> pelton::Stream<Row>) {
    for workers in [1, 2, 3] {
        for seed in 0..10 {
            let mut rng = Rng::new(seed * 10 + workers as u64);
            let (input, source) = push::<Sample>(1 << (4 + rng.below(6)));
            let (job, rows) = job_over(source, &build);
            let handle = job.start(Options::workers(workers)).unwrap();
            push_in_pieces(input, events, 1 << 7, &mut rng);
            handle.join_within(DEADLINE).unwrap().balance().unwrap();
            assert_same(&rows_of(&rows), expected, &format!("pushed to {workers} workers with seed {seed}"));
        }
    }
}

fn row_of(sample: &Sample) -> Row {
    Row { key: sample.key, a: sample.value, b: sample.number as i64 }
}

/// As [`placed`], of the rows that the events become.
fn placed_rows(events: &[Sample]) -> (Vec<Placed<Row>>, i64) {
    let (rows, end) = placed(events, |event| event.time_ns);
    let row = |placed: Placed<Sample>| Placed { row: row_of(&placed.row), time: placed.time, clock: placed.clock };
    (rows.into_iter().map(row).collect(), end)
}
