//! Jobs on the caller's thread: the same rows as with threads, event by event, and what they are when something ends.

use pelton::{
    BoxError, CheckpointOptions, Error, Feed, Inline, Input, Job, Options, Polled, Sink, Source, Timestamp, VecSource,
    WorkerStep, collect, push,
};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::{KINDS, Kind, job};
use pelton_tests::rows::assert_same;
use pelton_tests::running::finish;
use std::collections::BTreeSet;

fn events(events: usize) -> Vec<Sample> {
    samples(&Shape { events, keys: 20, step_ns: 100, disorder_ns: 160_000, seed: 7 })
}

type Rows = Vec<(Timestamp, Row)>;

/// The rows of a job with threads.
fn expected(kind: Kind, events: &[Sample]) -> (Rows, Rows) {
    let test = job(kind, VecSource::new(events.to_vec(), 64));
    finish(test.job, Options::workers(2));
    (test.rows.take(), test.late.take())
}

#[test]
fn pushed_one_by_one_or_many_at_once_they_give_the_rows_of_a_job_with_threads() {
    let events = events(6_000);
    for kind in KINDS {
        let expected = expected(kind, &events);
        for at_once in [1, 7, 5_000] {
            let (mut input, source) = push(16);
            let test = job(kind, source);
            let mut inline = test.job.inline(Options::workers(1)).unwrap();
            for events in events.chunks(at_once) {
                inline.push_all(&mut input, events).unwrap();
            }
            inline.finish().unwrap().balance().unwrap();
            let what = format!("{kind:?}, {at_once} at once");
            assert_same(&test.rows.take(), &expected.0, &what);
            assert_same(&test.late.take(), &expected.1, &format!("{what}, late"));
        }
    }
}

#[test]
fn what_an_event_causes_is_done_when_the_push_returns() {
    let (mut input, source) = push::<Sample>(4);
    let (sink, rows) = collect();
    let mut job = Job::new("each");
    job.source("samples", source).filter(|sample| sample.key % 2 == 0).sink("out", sink);
    let mut inline = job.inline(Options::workers(1)).unwrap();
    for event in events(500) {
        inline.push(&mut input, &event).unwrap();
        let expected: Vec<_> = (event.key % 2 == 0).then_some(event).into_iter().collect();
        assert_eq!(rows.take().into_iter().map(|row| row.1).collect::<Vec<_>>(), expected);
    }
    drop(input);
    inline.finish().unwrap().balance().unwrap();
}

#[test]
fn a_worker_that_has_caught_up_has_nothing_left_to_do() {
    let events = events(2_000);
    let mut known = BTreeSet::new();
    for kind in KINDS {
        let (mut input, source) = push(64);
        let mut simulation = job(kind, source).job.simulate(Options::workers(1)).unwrap();
        for events in events.chunks(9) {
            assert_eq!(input.try_send(events), Ok(events.len()));
            let mut steps = 0;
            loop {
                steps += 1;
                assert!(steps < 10_000, "{kind:?} does not come to an end");
                match simulation.step(0) {
                    WorkerStep::Made => {}
                    WorkerStep::CaughtUp => {
                        assert_eq!(simulation.step(0), WorkerStep::Idle, "{kind:?}");
                        known.insert(format!("{kind:?}"));
                        break;
                    }
                    WorkerStep::Idle => break,
                    WorkerStep::Ended => panic!("{kind:?} ends before its input does"),
                }
            }
        }
    }
    // Of jobs that have one task on a worker it is known.
    for kind in [Kind::Window, Kind::Timers] {
        assert!(known.contains(&format!("{kind:?}")), "{kind:?} is not among {known:?}");
    }
}

/// A job that goes on from a directory, and how many events it has.
fn durable(kind: Kind, state: &std::path::Path) -> (Inline, Input<Sample>, pelton_tests::jobs::TestJob) {
    let (input, source) = push(64);
    let mut test = job(kind, source);
    let job = std::mem::replace(&mut test.job, Job::new("taken"));
    let inline = job.inline(Options::workers(1).checkpoints(CheckpointOptions::in_directory(state))).unwrap();
    (inline, input, test)
}

#[test]
fn with_checkpoints_they_are_durable_at_once_and_go_on_where_they_were() {
    let events = events(3_000);
    for kind in [Kind::Windows, Kind::Timers] {
        let state = tempfile::tempdir().unwrap();
        let expected = expected(kind, &events);
        let (mut found, mut last) = ((Vec::new(), Vec::new()), None);
        for (end, asks) in [(700, false), (1_500, true), (3_000, false)] {
            let (mut inline, mut input, test) = durable(kind, state.path());
            let first = input.durable() as usize;
            for events in events[first..end].chunks(50) {
                inline.push_all(&mut input, events).unwrap();
                if asks {
                    let epoch = inline.checkpoint().unwrap();
                    assert!(last.is_none_or(|last| epoch > last), "{last:?}, then {epoch}");
                    last = Some(epoch);
                }
            }
            assert_eq!(input.durable() as usize, end, "{kind:?}");
            let report = if end == events.len() { inline.finish() } else { inline.stop_with_savepoint() };
            let report = report.unwrap();
            report.balance().unwrap();
            found.0.extend(test.rows.take());
            found.1.extend(test.late.take());
        }
        assert_same(&found.0, &expected.0, &format!("{kind:?}"));
        assert_same(&found.1, &expected.1, &format!("{kind:?}, late"));
    }
}

/// Takes three rows, and then no more.
struct Full(usize);

impl Sink<Sample> for Full {
    fn write(&mut self, _: &[Timestamp], rows: &[Sample]) -> Result<usize, BoxError> {
        self.0 += rows.len();
        if self.0 > 3 { Err("there is no room".into()) } else { Ok(rows.len()) }
    }
}

/// Gives three events, and then fails.
struct Torn(u64);

impl Feed<Sample> for Torn {
    fn poll(&mut self, _: usize, out: &mut Vec<Sample>) -> Result<Polled, BoxError> {
        self.0 += 1;
        if self.0 > 3 {
            return Err("it is torn".into());
        }
        out.push(Sample { time_ns: 1, key: 0, value: 0, number: self.0 });
        Ok(Polled::Ready)
    }
}

#[test]
fn the_push_that_makes_a_sink_or_a_source_fail_tells_so() {
    let events = events(5);
    let (mut input, source) = push::<Sample>(4);
    let mut job = Job::new("full");
    job.source("samples", source).sink("out", Full(0));
    let mut inline = job.inline(Options::workers(1)).unwrap();
    inline.push_all(&mut input, &events[..3]).unwrap();
    let error = inline.push(&mut input, &events[3]).unwrap_err();
    assert!(matches!(&error, Error::Sink { name, .. } if name == "out"), "{error}");
    assert!(matches!(inline.push(&mut input, &events[4]), Err(Error::Ended)));

    // With events before, and without.
    for polls in [0, 3] {
        let mut job = Job::new("torn");
        job.source("samples", Source::feed(Torn(polls))).sink("out", collect().0);
        let Err(error) = job.inline(Options::workers(1)) else { panic!("it is torn") };
        assert!(matches!(&error, Error::Source { name, .. } if name == "samples"), "{error}");
    }
}

#[test]
fn a_panic_of_a_users_function_is_told_once_and_then_the_job_has_ended() {
    let (mut input, source) = push::<Sample>(4);
    let mut job = Job::new("panics");
    let careful = |sample: &Sample| {
        assert!(sample.number < 3, "no more than three");
        *sample
    };
    job.source("samples", source).map(careful).sink("out", collect().0);
    let mut inline = job.inline(Options::workers(1)).unwrap();
    let events = events(5);
    inline.push_all(&mut input, &events[..3]).unwrap();
    let error = inline.push(&mut input, &events[3]).unwrap_err();
    assert!(matches!(&error, Error::Panicked { message, .. } if message.contains("no more than three")), "{error}");
    assert!(matches!(inline.push(&mut input, &events[4]), Err(Error::Ended)));
    assert!(matches!(inline.checkpoint(), Err(Error::NoCheckpoints)));
}
