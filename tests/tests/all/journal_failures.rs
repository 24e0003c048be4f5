//! Journals on threads, and what becomes of a job whose journal fails or does not fit it.

use pelton::state::SavedJournal;
use pelton::testing::{CrashingDisk, Fault};
use pelton::{
    BlockSource, CheckpointOptions, Error, Input, Job, Layout, Options, Record, Source, Stop, Timestamp, VecSource,
    callback, collect, push,
};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::{Kind, job_into};
use pelton_tests::rng::Rng;
use pelton_tests::running::{DEADLINE, wait_until};
use pelton_tests::tape::Tape;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn events(count: usize, seed: u64) -> Vec<Sample> {
    samples(&Shape { events: count, keys: 30, step_ns: 2000, disorder_ns: 60_000, seed })
}

fn options(state: &CrashingDisk, journal: &CrashingDisk, workers: usize) -> Options {
    let checkpoints = CheckpointOptions::in_storage(state.storage()).journal_in_storage(journal.storage());
    Options::workers(workers).pin(false).checkpoints(checkpoints.segment_bytes(4096))
}

/// Pushes in pieces until the job takes no more; whether all were taken.
fn push_all(mut input: Input<Sample>, events: &[Sample], rng: &mut Rng) -> bool {
    let mut rest = &events[input.durable() as usize..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + rng.below(200) as usize));
        if input.send(piece).is_err() {
            return false;
        }
        rest = after;
    }
    true
}

/// On threads, in a directory: jobs that stop at once or at savepoints, with what was sent and not taken pushed again.
#[test]
fn pushers_go_on_where_their_input_is_durable() {
    for (seed, kind) in [Kind::Combined, Kind::Timers, Kind::SelfUnion].into_iter().enumerate() {
        let mut rng = Rng::new(seed as u64);
        let directory = tempfile::tempdir().unwrap();
        let events = events(12_000, seed as u64);
        let expected = {
            let (out, late) = (Tape::default(), Tape::default());
            let job = job_into(kind, VecSource::new(events.clone(), 64), (out.sink(), late.sink()));
            job.run(Options::workers(1).pin(false)).unwrap();
            (out.rows(), late.rows())
        };
        let (out, late) = (Tape::default(), Tape::default());
        for run in 0.. {
            let (input, source) = push(1 << rng.below(12));
            let job = job_into(kind, source, (out.sink(), late.sink()));
            let checkpoints = CheckpointOptions::in_directory(directory.path()).every(Duration::from_millis(2));
            let checkpoints =
                checkpoints.durable_first(run % 2 == 0).commit_every(Duration::from_micros(rng.below(900)));
            let workers = 1 + rng.below(3) as usize;
            let handle = job.start(Options::workers(workers).pin(false).checkpoints(checkpoints)).unwrap();
            let stopper = handle.stopper();
            let wait = Duration::from_micros(rng.below(20_000));
            let stop = std::thread::spawn(move || {
                std::thread::sleep(wait);
                match run % 2 {
                    _ if run > 5 => {}
                    0 => stopper.stop_with_savepoint().unwrap(),
                    _ => stopper.stop(Stop::Now),
                }
            });
            push_all(input, &events, &mut rng);
            stop.join().unwrap();
            let report = handle.join_within(DEADLINE).unwrap();
            if !report.halted {
                report.balance().unwrap();
                assert_eq!(report.events_read(), events.len() as u64);
                break;
            }
        }
        assert_eq!((out.rows(), late.rows()), expected, "{kind:?}");
    }
}

/// Rows reach a callback only when the events that they follow from are durable.
#[test]
fn a_callback_is_called_when_its_input_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let (mut input, source) = push::<Sample>(1 << 12);
    let mut job = Job::new("echo");
    let given = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&given);
    job.source("samples", source).map(|sample: &Sample| sample.number).sink(
        "out",
        callback(move |_: Timestamp, number: &u64| {
            counted.store(number + 1, Ordering::Release);
        }),
    );
    let checkpoints = CheckpointOptions::in_directory(directory.path()).durable_first(true);
    let handle = job.start(Options::workers(1).pin(false).checkpoints(checkpoints)).unwrap();
    let events = events(3000, 5);
    for piece in events.chunks(100) {
        input.send(piece).unwrap();
        let seen = given.load(Ordering::Acquire);
        assert!(seen <= input.durable(), "{seen} were given on, and {} are durable", input.durable());
    }
    wait_until("all events", || given.load(Ordering::Acquire) == 3000);
    assert_eq!(input.durable(), 3000);
    drop(input);
    handle.join_within(DEADLINE).unwrap();
}

/// A pusher of one event at a time into a job, until it ends: the failure, and how many events were durable.
fn run_to_failure(state: &CrashingDisk, journal: &CrashingDisk, prepare: impl FnOnce()) -> (Error, u64) {
    let (mut input, source) = push::<Sample>(64);
    let mut job = Job::new("pushed");
    job.source("samples", source).map(|sample: &Sample| sample.number).sink("out", collect().0);
    let handle = job.start(options(state, journal, 1)).unwrap();
    let events = events(100_000, 9);
    input.send(&events[..100]).unwrap();
    wait_until("the first events", || input.durable() == 100);
    prepare();
    let sent = input.send(&events[100..]);
    assert!(sent.is_err(), "the job ends");
    let durable = input.durable();
    (handle.join_within(DEADLINE).unwrap_err(), durable)
}

/// The journal is whole afterwards: it goes on behind at least so many events.
fn goes_on(state: &CrashingDisk, journal: &CrashingDisk, durable: u64) {
    state.crash(1);
    journal.crash(2);
    let (input, source) = push::<Sample>(64);
    let mut job = Job::new("pushed");
    job.source("samples", source).map(|sample: &Sample| sample.number).sink("out", collect().0);
    let handle = job.start(options(state, journal, 2)).unwrap();
    assert!(input.durable() >= durable);
    let expected = input.durable();
    drop(input);
    assert_eq!(handle.join_within(DEADLINE).unwrap().events_read(), expected);
}

#[test]
fn a_full_disk_ends_the_job_and_what_was_durable_stays() {
    let (state, journal) = (CrashingDisk::new(), CrashingDisk::new());
    let limit = journal.clone();
    let (error, durable) = run_to_failure(&state, &journal, move || limit.limit(Some(200_000)));
    assert!(matches!(&error, Error::State(pelton::state::StateError::Full { .. })), "{error}");
    journal.limit(None);
    goes_on(&state, &journal, durable);
}

#[test]
fn a_sync_that_fails_ends_the_job_and_is_not_tried_again() {
    for at in 0..4 {
        let (state, journal) = (CrashingDisk::new(), CrashingDisk::new());
        let fault = Fault { at, for_ever: false, kind: io::ErrorKind::Other };
        let failing = journal.clone();
        let (error, durable) = run_to_failure(&state, &journal, move || failing.fail(Some(fault)));
        assert!(matches!(&error, Error::State(_)), "{error}");
        journal.fail(None);
        goes_on(&state, &journal, durable);
    }
}

/// Two sources that share an order, or not, of these names; the second is bounded where it has a number of events.
fn two_sources(names: [&str; 2], days: Option<usize>) -> (Job, Input<Sample>) {
    let mut job = Job::new("two");
    let row = |sample: &Sample| Row { key: sample.key, a: sample.value, b: 0 };
    let (input, source) = push::<Sample>(256);
    let second = match days {
        Some(days) => Source::from(VecSource::new(events(days, 3), 8)),
        None => push::<Sample>(16).1,
    };
    let first = job.source(names[0], source).map(row);
    let second = job.source(names[1], second).map(row);
    first.union(second).sink("out", collect().0);
    (job, input)
}

#[test]
fn other_sources_are_refused_with_both_sides_named() {
    let (state, journal) = (CrashingDisk::new(), CrashingDisk::new());
    let (job, mut input) = two_sources(["ticks", "days"], Some(100));
    let handle = job.start(options(&state, &journal, 1)).unwrap();
    input.send(&events(50, 1)).unwrap();
    wait_until("all events", || input.durable() == 50 && handle.report().events_read() >= 150);
    handle.checkpoint().unwrap();
    handle.stop(Stop::Now);
    handle.join_within(DEADLINE).unwrap();
    let refused = |names, days| {
        let (state, journal) = (CrashingDisk::with_bytes(state.bytes()), CrashingDisk::with_bytes(journal.bytes()));
        let (job, _input) = two_sources(names, days);
        match job.start(options(&state, &journal, 2)) {
            Ok(_) => panic!("it goes on with {names:?}, {days:?}"),
            Err(error) => error.to_string(),
        }
    };
    // The feed has the other's name.
    let order = refused(["days", "ticks"], Some(100));
    let (ticks, days) = (order.find("feed `ticks`"), order.find("bounded source `days`"));
    assert!(order.contains("bounded source `ticks`") && ticks.is_some() && days.is_some(), "{order}");
    let shorter = refused(["ticks", "days"], Some(60));
    assert!(shorter.contains("what was read of `ticks`, `days` is not there any more, or is different"), "{shorter}");
    let live = refused(["ticks", "days"], None);
    assert!(live.contains("bounded source `days`") && live.contains("feed `days`"), "{live}");
    // A source of another layout under the same name.
    let (state, journal) = (CrashingDisk::with_bytes(state.bytes()), CrashingDisk::with_bytes(journal.bytes()));
    let mut job = Job::new("two");
    let (_input, source) = push::<Narrow>(16);
    let days = job.source("ticks", source).map(|narrow: &Narrow| Row { key: 0, a: narrow.time_ns, b: 0 });
    let more = job.source("days", VecSource::new(events(100, 3), 8)).map(|sample: &Sample| Row {
        key: sample.key,
        a: 0,
        b: 0,
    });
    days.union(more).sink("out", collect().0);
    let Err(error) = job.start(options(&state, &journal, 1)) else { panic!("another layout") };
    let text = error.to_string();
    let schemas = [Sample::layout(), Narrow::layout()].map(|layout: Layout| layout.schema());
    assert!(schemas.iter().all(|schema| text.contains(schema)), "{text}");
}

#[derive(Debug, Clone, Copy, pelton::Event)]
#[repr(C)]
struct Narrow {
    #[event(time)]
    time_ns: i64,
}

#[test]
fn what_is_cut_of_a_journal_is_told() {
    let (state, journal) = (CrashingDisk::new(), CrashingDisk::new());
    let (job, mut input) = two_sources(["ticks", "days"], Some(10));
    let mut simulation = job.simulate(options(&state, &journal, 1)).unwrap();
    simulation.step_checkpoints();
    input.try_send(&events(50, 1)).unwrap();
    for _ in 0..50 {
        simulation.step(0);
        simulation.step_checkpoints();
    }
    drop(simulation);
    // The last record is torn.
    let mut bytes = journal.bytes();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last] ^= 1;
    let journal = CrashingDisk::with_bytes(bytes);
    let (job, _input) = two_sources(["ticks", "days"], Some(10));
    let simulation = job.simulate(options(&state, &journal, 1)).unwrap();
    let remarks = simulation.report().recovery.unwrap().remarks;
    assert!(remarks.iter().any(|remark| remark.contains("that were not durable")), "{remarks:?}");
}

/// What came live is the same again as a bounded source, with its symbols, at any number of workers.
#[test]
fn a_journal_is_a_source_of_what_came() {
    for kind in [Kind::Window, Kind::Timers, Kind::Diamond] {
        let (state, journal) = (CrashingDisk::new(), CrashingDisk::new());
        let (input, source) = push(256);
        let (out, late) = (Tape::default(), Tape::default());
        let handle = job_into(kind, source, (out.sink(), late.sink())).start(options(&state, &journal, 2)).unwrap();
        let events = events(5000, 4);
        assert!(push_all(input, &events, &mut Rng::new(4)));
        handle.join_within(DEADLINE).unwrap();
        for workers in 1..4 {
            let saved = SavedJournal::in_storage(journal.storage()).unwrap();
            let found = saved.sources().iter().map(|source| (&*source.name, source.is_feed, source.events));
            assert_eq!(found.collect::<Vec<_>>(), [("samples", true, 5000)]);
            let source = saved.events::<Sample>("samples").unwrap();
            assert_eq!(source.came().len(), source.blocks().len());
            let (again, again_late) = (Tape::default(), Tape::default());
            let job = job_into(kind, source, (again.sink(), again_late.sink()));
            job.run(Options::workers(workers).pin(false)).unwrap();
            assert_eq!((again.rows(), again_late.rows()), (out.rows(), late.rows()), "{kind:?}, {workers} workers");
        }
        let saved = SavedJournal::in_storage(journal.storage()).unwrap();
        let refused = saved.events::<Narrow>("samples").err().unwrap().to_string();
        assert!(refused.contains(&Sample::layout().schema()), "{refused}");
        assert!(saved.events::<Sample>("other").is_err());
    }
    assert!(SavedJournal::in_storage(CrashingDisk::new().storage()).is_err());
}
