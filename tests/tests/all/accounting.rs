//! Every event is accounted for.

use pelton::{Job, Options, Stop, Timestamp, VecSource, callback, collect, push};
use pelton_tests::events::{Sample, Shape, samples};
use pelton_tests::jobs::{Kind, job};
use pelton_tests::running::{DEADLINE, finish, settle};
use std::time::Duration;

fn events(count: usize) -> Vec<Sample> {
    samples(&Shape { events: count, keys: 9, step_ns: 100, disorder_ns: 100_000, seed: 11 })
}

#[test]
fn taken_and_late_and_rejected_are_what_was_read() {
    let mut input = events(10_000);
    // Times at the ends of the range are damage; they must not move the watermark.
    for (at, time_ns) in [
        (5, i64::MAX),
        (77, i64::MIN),
        (4_000, i64::MAX - 1),
        (4_001, i64::MIN + 1),
        (9_999, 8_000_000_000_000_000_000),
    ] {
        input[at].time_ns = time_ns;
    }
    for workers in [1, 2, 3] {
        for block in [1, 100, 20_000] {
            let test = job(Kind::Window, VecSource::new(input.clone(), block));
            let report = finish(test.job, Options::workers(workers));
            let source = report.step("samples").unwrap();
            assert_eq!((source.rows_in, source.rejected), (10_000, 5));
            let window = report.step("window").unwrap();
            let in_windows: i64 = 10_000 - 5 - window.late as i64;
            assert!(in_windows > 0 && window.late > 0);
            assert_eq!(window.late, test.late.take().len() as u64);
            assert_eq!(window.rows_in as i64 - window.late as i64, in_windows);
        }
    }
}

#[test]
fn the_source_counts_events_behind_the_bound_as_a_plain_loop_does() {
    let input = events(20_000);
    let mut largest = i64::MIN;
    let mut behind = 0;
    for event in &input {
        if largest != i64::MIN && event.time_ns < largest - pelton_tests::jobs::BOUND_NS as i64 {
            behind += 1;
        }
        largest = largest.max(event.time_ns);
    }
    assert!(behind > 0);
    for workers in [1, 2, 5] {
        for block in [1, 64, 1024] {
            let test = job(Kind::Window, VecSource::new(input.clone(), block));
            let report = finish(test.job, Options::workers(workers));
            assert_eq!(report.step("samples").unwrap().behind, behind);
        }
    }
}

#[test]
fn an_empty_source_and_an_event_at_the_start_of_time_end_well() {
    let test = job(Kind::Diamond, VecSource::new(Vec::new(), 16));
    let report = finish(test.job, Options::workers(3));
    assert_eq!(report.events_read(), 0);
    let event = |time_ns| Sample { time_ns, key: 1, value: 1, number: 0 };
    for times in [vec![0, 0, 0], vec![-5, -7, -5], vec![3, 2, 1]] {
        let input: Vec<_> = times.into_iter().map(event).collect();
        let test = job(Kind::Window, VecSource::new(input, 2));
        finish(test.job, Options::workers(2));
        assert_eq!(test.late.take().len(), 0);
    }
}

#[test]
fn only_times_at_the_ends_of_the_range_are_handled_where_they_are_allowed() {
    let event = |time_ns| Sample { time_ns, key: 1, value: 1, number: 0 };
    let input: Vec<_> = [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX].map(event).into();
    let test = job(Kind::Window, VecSource::new(input, 2));
    let options = Options::workers(2).times(Timestamp::MIN..=Timestamp::MAX);
    let report = finish(test.job, options);
    // The first and the last time of all mean `nothing yet` and `nothing more`.
    assert_eq!(report.step("samples").unwrap().rejected, 2);
}

#[test]
fn draining_a_job_fires_its_windows_and_balances() {
    let (mut input, source) = push::<Sample>(1 << 16);
    let test = job(Kind::Window, source);
    let handle = test.job.start(Options::workers(2)).unwrap();
    input.send(&events(5_000)).unwrap();
    handle.stop(Stop::Drain);
    let report = handle.join_within(DEADLINE).unwrap();
    report.balance().unwrap();
    assert_eq!(report.events_read(), 5_000);
    assert!(!test.rows.take().is_empty());
    assert!(input.send(&events(1)).is_err());
}

#[test]
fn draining_a_capture_stops_all_readers_at_one_block() {
    let input = samples(&Shape { events: 200_000, keys: 9, step_ns: 1_000, disorder_ns: 0, seed: 1 });
    for workers in [1, 2, 3] {
        let source = pelton::Source::from(VecSource::new(input.clone(), 64)).speed(1.0);
        let test = job(Kind::TwoExchanges, source);
        let handle = test.job.start(Options::workers(workers)).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        handle.stop(Stop::Drain);
        let report = handle.join_within(DEADLINE).unwrap();
        report.balance().unwrap();
        let read = report.events_read() as usize;
        assert!(read < 200_000);
        // What was read is a prefix, without a gap.
        let prefix = job(Kind::TwoExchanges, VecSource::new(input[..read].to_vec(), 64));
        prefix.job.run(Options::workers(1)).unwrap();
        assert!(test.rows.take() == prefix.rows.take());
    }
}

#[test]
fn a_halt_ends_at_once_and_says_so() {
    let (input, source) = push::<Sample>(16);
    let test = job(Kind::Timers, source);
    let handle = test.job.start(Options::workers(2)).unwrap();
    handle.stop(Stop::Now);
    let report = handle.join_within(DEADLINE).unwrap();
    assert!(report.halted);
    drop(input);
}

#[test]
fn a_watermark_is_that_of_the_worker_that_is_furthest_behind() {
    let mut job = Job::new("watermarks");
    let (sink, _rows) = collect();
    job.source("samples", VecSource::new(events(640), 64)).sink("out", sink);
    let mut simulation = job.simulate(Options::workers(2)).unwrap();
    let reached = |report: pelton::Report, name| report.step(name).unwrap().watermark;
    settle(&mut simulation, 1);
    assert!(simulation.report().events_read() > 0);
    assert_eq!(reached(simulation.report(), "samples"), Timestamp::MIN, "the second worker has read nothing");
    settle(&mut simulation, 2);
    assert!(simulation.is_ended());
    // The sink runs on the first worker only.
    for name in ["samples", "out"] {
        assert_eq!(reached(simulation.report(), name), Timestamp::MAX, "{name}");
    }
}

#[test]
fn workers_that_have_no_part_in_a_step_do_not_hold_its_watermark_back() {
    let mut job = Job::new("watermarks");
    let (sink, _rows) = collect();
    let (mut input, source) = push::<Sample>(16);
    let samples = job.source("samples", source);
    samples.clone().sink_unordered("each", |_| callback(|_, _: &Sample| {}));
    samples.sink("out", sink);
    let mut simulation = job.simulate(Options::workers(3)).unwrap();
    input.send(&[10, 20].map(|time_ns| Sample { time_ns, key: 1, value: 1, number: 0 })).unwrap();
    settle(&mut simulation, 3);
    for name in ["samples", "each", "out"] {
        let watermark = simulation.report().step(name).unwrap().watermark;
        assert_eq!(watermark, Timestamp::from_nanos(19), "{name}");
    }
}
