//! The same bytes out for the same bytes in: at any number of workers, block and ring size, and
//! through any way of running.

use pelton::{IdleStrategy, Job, Options, Timestamp, Tumbling, VecSource, collect, push};
use pelton_tests::campaign;
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::{KINDS, Kind, OrderHash, TestJob, job};
use pelton_tests::rng::Rng;
use pelton_tests::rows::assert_same;
use pelton_tests::running::{DEADLINE, finish, push_in_pieces, step_in_any_order};
use std::time::Duration;

type Rows = Vec<(Timestamp, Row)>;

fn disordered(events: usize, keys: u64, seed: u64) -> Vec<Sample> {
    // Twice the bound of the jobs, so that some rows are late.
    samples(&Shape { events, keys, step_ns: 100, disorder_ns: 160_000, seed })
}

fn run(test: TestJob, options: Options) -> (Rows, Rows) {
    finish(test.job, options);
    (test.rows.take(), test.late.take())
}

fn assert_both(found: &(Rows, Rows), expected: &(Rows, Rows), what: &str) {
    assert_same(&found.0, &expected.0, what);
    assert_same(&found.1, &expected.1, &format!("late rows, {what}"));
}

#[test]
fn any_number_of_workers_gives_the_same_rows() {
    let events = disordered(20_000, 50, 1);
    for kind in KINDS {
        let source = || VecSource::new(events.clone(), 256);
        let expected = run(job(kind, source()), Options::workers(1));
        assert!(expected.0.len() > 100, "{kind:?} gives rows");
        for workers in [2, 3, 8] {
            let found = run(job(kind, source()), Options::workers(workers));
            assert_both(&found, &expected, &format!("{kind:?} on {workers} workers"));
        }
    }
}

#[test]
fn jobs_of_windows_give_the_same_rows_at_any_block_size_and_some_are_late() {
    let events = disordered(40_000, 50, 2);
    for kind in KINDS.into_iter().filter(|kind| !matches!(kind, Kind::Timers | Kind::Diamond)) {
        let expected = run(job(kind, VecSource::new(events.clone(), 1)), Options::workers(1));
        assert!(kind == Kind::Stateless || expected.1.len() > 100, "{kind:?} has late rows");
        for block in [64, 1024, 16_384] {
            for workers in [1, 3] {
                let found = run(job(kind, VecSource::new(events.clone(), block)), Options::workers(workers));
                assert_both(&found, &expected, &format!("{kind:?} in blocks of {block} on {workers} workers"));
            }
        }
    }
}

#[test]
fn a_few_late_rows_that_nobody_takes_are_counted_and_change_nothing() {
    let mut events = samples(&Shape { events: 20_000, keys: 50, step_ns: 100, disorder_ns: 0, seed: 9 });
    for event in events.iter_mut().skip(500).step_by(97) {
        event.time_ns -= 400_000;
    }
    let run = |workers, block| {
        let mut job = Job::new("few are late");
        let (sink, rows) = collect();
        let source = job.source("samples", VecSource::new(events.clone(), block));
        let keyed = source.map(|s: &Sample| Row { key: s.key, a: s.value, b: s.number as i64 }).key_by(|row| row.key);
        keyed
            .window(Tumbling::of(Duration::from_micros(100)))
            .aggregate_with("each", OrderHash, OrderHash::row)
            .sink("out", sink);
        let report = finish(job, Options::workers(workers));
        (rows.take(), report.step("each").unwrap().late)
    };
    let expected = run(1, 64);
    assert!(expected.1 > 150 && expected.0.len() > 500);
    for (workers, block) in [(1, 1), (2, 1), (2, 256), (3, 64), (8, 1024)] {
        let found = run(workers, block);
        assert_same(&found.0, &expected.0, &format!("{workers} workers, blocks of {block}"));
        assert_eq!(found.1, expected.1, "late rows of {workers} workers, blocks of {block}");
    }
}

#[test]
fn rings_smaller_than_a_block_neither_lock_up_nor_change_the_order() {
    let events = disordered(2_000, 50, 3);
    for kind in KINDS {
        let source = || VecSource::new(events.clone(), 512);
        let expected = run(job(kind, source()), Options::workers(1));
        for (workers, bytes) in [(2, 1), (3, 1), (3, 2_000)] {
            let options = Options::workers(workers).ring_bytes(bytes);
            assert_both(
                &run(job(kind, source()), options),
                &expected,
                &format!("{kind:?} on {workers} with {bytes} B"),
            );
        }
    }
}

#[test]
fn all_keys_on_one_worker_keep_the_order() {
    let events = disordered(5_000, 1, 4);
    for kind in KINDS {
        let source = || VecSource::new(events.clone(), 300);
        let expected = run(job(kind, source()), Options::workers(1));
        let found = run(job(kind, source()), Options::workers(4).ring_bytes(1_000));
        assert_both(&found, &expected, &format!("{kind:?} with one key"));
    }
}

#[test]
fn pushed_in_pieces_of_any_size_it_gives_the_same_rows() {
    let events = disordered(20_000, 50, 5);
    for kind in KINDS.into_iter().filter(|kind| !matches!(kind, Kind::Timers | Kind::Diamond)) {
        let expected = run(job(kind, VecSource::new(events.clone(), 256)), Options::workers(1));
        for workers in [1, 2, 3] {
            let (input, source) = push::<Sample>(1 << 10);
            let test = job(kind, source);
            let handle = test.job.start(Options::workers(workers)).unwrap();
            push_in_pieces(input, &events, 1 << 11, &mut Rng::new(workers as u64));
            handle.join_within(DEADLINE).unwrap().balance().unwrap();
            let found = (test.rows.take(), test.late.take());
            assert_both(&found, &expected, &format!("{kind:?} pushed to {workers} workers"));
        }
    }
}

#[test]
fn workers_stepped_in_any_order_on_one_thread_give_the_same_rows() {
    let events = disordered(1_000, 20, 6);
    let seeds = campaign::seeds(40);
    for kind in KINDS {
        let source = || VecSource::new(events.clone(), 100);
        let expected = run(job(kind, source()), Options::workers(1));
        for seed in seeds.clone() {
            let mut rng = Rng::new(seed);
            let workers = 2 + rng.below(4) as usize;
            let test = job(kind, source());
            let options = Options::workers(workers).ring_bytes(1 << rng.below(12));
            let what = format!("{kind:?} with seed {seed}");
            step_in_any_order(test.job.simulate(options).unwrap(), workers, &mut rng, &what);
            let found = (test.rows.take(), test.late.take());
            assert_both(&found, &expected, &what);
        }
    }
    let runs = seeds.count() * KINDS.len();
    println!("{runs} simulated runs of {} jobs, 0 wrong", KINDS.len());
}

#[test]
fn idle_strategies_and_recorded_speed_change_nothing() {
    let events = disordered(5_000, 20, 7);
    for kind in KINDS {
        let source = || VecSource::new(events.clone(), 128);
        let expected = run(job(kind, source()), Options::workers(1));
        for idle in [IdleStrategy::BusySpin, IdleStrategy::Backoff, IdleStrategy::Park] {
            let found = run(job(kind, source()), Options::workers(3).idle(idle).pin(false));
            assert_both(&found, &expected, &format!("{kind:?} with {idle:?}"));
        }
        // Half a millisecond of event time, ten times slower and ten times faster than recorded.
        for speed in [0.1, 10.0] {
            let paced = pelton::Source::from(source()).speed(speed);
            let found = run(job(kind, paced), Options::workers(2));
            assert_both(&found, &expected, &format!("{kind:?} at {speed} x"));
        }
    }
}
