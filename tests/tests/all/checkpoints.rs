//! Jobs that crash at any moment, lose what was not synced, and go on at other numbers of workers: what they give in the
//! end is what they would have given.

use pelton::testing::CrashingDisk;
use pelton::{
    AsOf, CheckpointOptions, HashSeed, Job, Options, Simulation, Stop, Tumbling, VecSource, Watermarks, WorkerStep,
};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::{BOUND_NS, KINDS, Kind, OrderHash, Running, WINDOW_NS, job_into};
use pelton_tests::rng::Rng;
use pelton_tests::running::{DEADLINE, wait_until};
use pelton_tests::tape::{Tape, TapeSink};
use std::time::Duration;

type Rows = Vec<(pelton::Timestamp, Row)>;

/// Seeds for each of the eight jobs: some five hundred runs in all, or as many as one asks for.
fn seeds() -> u64 {
    std::env::var("PELTON_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(63)
}

/// A job whose state and outputs outlive it.
struct Durable {
    /// One of the jobs that stress the order, or one of two sources.
    kind: Option<Kind>,
    events: Vec<Sample>,
    /// Which worker has a key.
    hash_seed: HashSeed,
    disk: CrashingDisk,
    out: Tape,
    late: Tape,
}

/// The events of two sources joined, a process function with timers behind that, and then windows.
fn joined(events: &[Sample], block: usize, (sink, late_sink): (TapeSink, TapeSink)) -> Job {
    let mut job = Job::new("joined");
    let bounded = || Watermarks::bounded(Duration::from_nanos(BOUND_NS));
    let (left, right): (Vec<Sample>, Vec<Sample>) = events.iter().partition(|event| event.number % 3 != 0);
    let quotes = job.source("quotes", VecSource::new(right, block)).watermarks(bounded()).key_by(|quote| quote.key % 7);
    let trades = job.source("trades", VecSource::new(left, block * 2 + 1)).watermarks(bounded());
    let quoted = trades.key_by(|trade| trade.key % 7).as_of_join(quotes, AsOf::backward());
    let quoted = quoted.left("quoted", |trade: &Sample, quote: Option<&Sample>| Row {
        key: trade.key,
        a: trade.value,
        b: quote.map_or(-1, |quote| quote.number as i64),
    });
    let timed = quoted.main.key_by(|row| row.key).process("timed", Running { timer_ns: 60_000 });
    let windows = Tumbling::of(Duration::from_nanos(WINDOW_NS));
    let counted = timed.main.key_by(|row| row.key % 5).window(windows).aggregate("counted", OrderHash);
    counted.sink("out", sink);
    counted.late.sink("late", late_sink);
    job
}

impl Durable {
    fn new(kind: Option<Kind>, seed: u64, rng: &mut Rng) -> Self {
        let shape = Shape {
            events: 50 + rng.below(250) as usize,
            keys: 1 + rng.below(30),
            step_ns: 1000 + rng.below(3000) as i64,
            disorder_ns: rng.below(90_000),
            seed,
        };
        let (events, hash_seed, disk) = (samples(&shape), HashSeed::new(seed), CrashingDisk::new());
        Self { kind, events, hash_seed, disk, out: Tape::default(), late: Tape::default() }
    }

    fn job(&self, block: usize, sinks: (TapeSink, TapeSink)) -> Job {
        match self.kind {
            Some(kind) => job_into(kind, VecSource::new(self.events.clone(), block), sinks),
            None => joined(&self.events, block, sinks),
        }
    }

    /// What the job gives when nobody disturbs it.
    fn expected(&self, block: usize) -> (Rows, Rows) {
        let (out, late) = (Tape::default(), Tape::default());
        let mut simulation = self.job(block, (out.sink(), late.sink())).simulate(Options::workers(1)).unwrap();
        while !simulation.is_ended() {
            simulation.step(0);
        }
        simulation.finish().unwrap();
        (out.rows(), late.rows())
    }

    fn options(&self, workers: usize, ring_bytes: usize) -> Options {
        let checkpoints = CheckpointOptions::in_storage(self.disk.storage()).segment_bytes(4096);
        let options = Options::workers(workers).pin(false).ring_bytes(ring_bytes).hash_seed(self.hash_seed);
        options.checkpoints(checkpoints)
    }

    /// Steps the job in any order, with checkpoints now and then, until it ends or so many steps were done: the
    /// checkpoint it went on from, if it did, and whether it ended.
    fn step(&self, mut simulation: Simulation, workers: usize, steps: u64, rng: &mut Rng) -> (Option<u64>, bool) {
        let mut idle = 0;
        for _ in 0..steps {
            if simulation.is_ended() {
                let report = simulation.finish().unwrap();
                report.balance().unwrap();
                assert_eq!(report.events_read(), self.events.len() as u64, "counts go on over restarts");
                return (report.recovery.and_then(|recovery| recovery.resumed_from), true);
            }
            if rng.below(20) == 0 {
                simulation.checkpoint(false).unwrap();
            }
            if rng.below(3) == 0 {
                simulation.step_checkpoints();
            }
            let worker = rng.below(workers as u64) as usize;
            idle = if simulation.step(worker) == WorkerStep::Made { 0 } else { idle + 1 };
            assert!(idle < 100_000, "{:?} does not move on", self.kind);
        }
        (simulation.report().recovery.and_then(|recovery| recovery.resumed_from), false)
    }
}

/// What a run of crashes came to.
#[derive(Default)]
struct Held {
    /// How often the job went on from a checkpoint that had read something.
    resumed: u64,
    wrong: Option<String>,
}

/// Runs a job that crashes some times, each time going on with other numbers of workers and rings of other sizes.
fn hold(kind: Option<Kind>, seed: u64, make: impl Fn(&Tape) -> TapeSink) -> Held {
    let mut rng = Rng::new(seed);
    let durable = Durable::new(kind, seed, &mut rng);
    // Blocks are part of what the input is: a checkpoint stands between two of them.
    let block = 1 << rng.below(7);
    let (expected, expected_late) = durable.expected(block);
    let mut held = Held::default();
    let mut runs = 0;
    loop {
        runs += 1;
        let workers = 1 + rng.below(4) as usize;
        let ring_bytes = 64 << rng.below(8);
        let most = 1 << rng.below(12);
        let steps = if runs > 6 { u64::MAX } else { 1 + rng.below(most) };
        let sinks = (make(&durable.out), make(&durable.late));
        let simulation = match durable.job(block, sinks).simulate(durable.options(workers, ring_bytes)) {
            Ok(simulation) => simulation,
            Err(error) => {
                held.wrong = Some(error.to_string());
                return held;
            }
        };
        let (resumed, ended) = durable.step(simulation, workers, steps, &mut rng);
        held.resumed += u64::from(resumed.is_some_and(|epoch| epoch > 1));
        if ended {
            break;
        }
        assert!(runs < 10, "the job does not come to its end");
        durable.disk.crash(rng.next_u64());
    }
    if (durable.out.rows(), durable.late.rows()) != (expected, expected_late) {
        held.wrong = Some(format!("{kind:?}, seed {seed}, {runs} runs, blocks of {block}: other rows"));
    }
    held
}

#[test]
fn jobs_that_crash_anywhere_give_the_same_rows_in_the_end() {
    let mut resumed = 0;
    for seed in 0..seeds() {
        for kind in KINDS.into_iter().map(Some).chain([None]) {
            let held = hold(kind, seed, Tape::sink);
            assert_eq!(held.wrong, None);
            resumed += held.resumed;
        }
    }
    println!("{resumed} times a job went on from a checkpoint");
    assert!(resumed > seeds() * 2, "{resumed} times a job went on from a checkpoint");
}

#[test]
fn a_sink_that_commits_more_than_it_has_written_is_found() {
    let found = (0..200).any(|seed| {
        let held = std::panic::catch_unwind(|| hold(Some(Kind::Timers), seed, Tape::early_sink));
        held.map_or(true, |held| held.wrong.is_some())
    });
    assert!(found);
}

/// On threads: checkpoints as often as they can be taken, stops at savepoints, and other numbers of workers.
#[test]
fn jobs_on_threads_stop_at_savepoints_and_go_on() {
    for seed in 0..6 {
        for kind in [Some(Kind::Combined), Some(Kind::Timers), None] {
            let mut rng = Rng::new(seed);
            let mut durable = Durable::new(kind, seed, &mut rng);
            durable.events = samples(&Shape { events: 30_000, keys: 40, step_ns: 2000, disorder_ns: 60_000, seed });
            let (expected, expected_late) = durable.expected(64);
            let mut savepoints = 0;
            for run in 0.. {
                let workers = 1 + rng.below(3) as usize;
                let storage = durable.disk.storage();
                let checkpoints = CheckpointOptions::in_storage(storage).every(Duration::from_micros(200));
                let job = durable.job(64, (durable.out.sink(), durable.late.sink()));
                let options = Options::workers(workers).pin(false).checkpoints(checkpoints.segment_bytes(4096));
                let handle = job.start(options).unwrap();
                if run < 4 {
                    std::thread::sleep(Duration::from_micros(rng.below(8000)));
                    match run % 2 {
                        0 => handle.stopper().stop_with_savepoint().unwrap(),
                        _ => handle.stop(Stop::Now),
                    }
                }
                let report = handle.join_within(DEADLINE).unwrap();
                durable.disk.crash(rng.next_u64());
                let recovery = report.recovery.clone().unwrap();
                savepoints += u64::from(recovery.at_savepoint);
                if !report.halted {
                    report.balance().unwrap();
                    break;
                }
                if recovery.at_savepoint {
                    report.balance().unwrap();
                }
            }
            let what = format!("{kind:?}, seed {seed}, {savepoints} savepoints");
            assert_eq!(durable.out.rows(), expected, "{what}");
            assert_eq!(durable.late.rows(), expected_late, "{what}");
        }
    }
}

/// Whenever a savepoint is asked for, the job stops there or comes to its end: also before anything was read, right behind
/// the first checkpoint.
#[test]
fn a_job_stops_at_a_savepoint_whenever_one_asks_for_it() {
    let mut savepoints = 0;
    for seed in 0..20 {
        for kind in KINDS.into_iter().map(Some).chain([None]) {
            let mut rng = Rng::new(seed);
            let durable = Durable::new(kind, seed, &mut rng);
            let workers = 1 + rng.below(3) as usize;
            let sinks = (durable.out.sink(), durable.late.sink());
            let mut simulation = durable.job(16, sinks).simulate(durable.options(workers, 1 << 12)).unwrap();
            let most = 1 << rng.below(9);
            let mut wait = rng.below(most);
            for step in 0.. {
                if wait == 0 {
                    simulation.checkpoint(true).unwrap();
                }
                wait = wait.wrapping_sub(1);
                simulation.step(rng.below(workers as u64) as usize);
                if rng.below(3) == 0 {
                    simulation.step_checkpoints();
                }
                if simulation.is_ended() {
                    break;
                }
                assert!(step < 200_000, "{kind:?}, seed {seed}, {workers} workers: it does not come to its savepoint");
            }
            let report = simulation.finish().unwrap();
            report.balance().unwrap();
            savepoints += u64::from(report.recovery.unwrap().at_savepoint);
        }
    }
    assert!(savepoints > 20, "{savepoints} jobs stopped at a savepoint");
}

#[test]
fn a_checkpoint_is_taken_when_one_asks_for_it() {
    let durable = Durable::new(Some(Kind::Window), 3, &mut Rng::new(3));
    // An event each fifth of a second or so: the job would take a minute.
    let source = pelton_tests::running::paced(&durable.events, 1, Some(0.000_01));
    let job = job_into(Kind::Window, source, (durable.out.sink(), durable.late.sink()));
    let handle = job.start(durable.options(2, 1 << 12)).unwrap();
    wait_until("the first checkpoint", || {
        handle.report().recovery.is_some_and(|recovery| recovery.checkpoints.taken > 0)
    });
    let first = handle.report().recovery.unwrap().checkpoints.epoch;
    let epoch = handle.checkpoint().unwrap();
    assert!(epoch > first);
    // It does not wait for events that are due much later.
    let report = handle.stop_with_savepoint().unwrap();
    assert!(report.recovery.unwrap().at_savepoint);
}

#[test]
fn a_job_without_checkpoints_says_so_and_feeds_need_a_journal() {
    let durable = Durable::new(Some(Kind::Stateless), 3, &mut Rng::new(3));
    let job = durable.job(8, (durable.out.sink(), durable.late.sink()));
    let handle = job.start(Options::workers(1).pin(false)).unwrap();
    assert!(matches!(handle.checkpoint(), Err(pelton::Error::NoCheckpoints)));
    handle.join_within(DEADLINE).unwrap();

    let mut job = Job::new("pushed");
    let (_input, source) = pelton::push::<Sample>(16);
    job.source("pushed", source).map(|_: &Sample| 1u64).sink("out", pelton::collect().0);
    let Err(error) = job.start(durable.options(1, 64)) else { panic!("there is no place for a journal") };
    assert!(error.to_string().contains("the source `pushed` cannot be read again"), "{error}");
}

/// What was given at a barrier is no end, though the job has come to its end when it is committed.
#[test]
fn a_checkpoint_that_is_committed_behind_the_end_is_not_taken_for_it() {
    for workers in 1..4 {
        let durable = Durable::new(Some(Kind::Window), 5, &mut Rng::new(5));
        let (expected, expected_late) = durable.expected(4);
        let run = |simulation: &mut Simulation, rounds: usize| {
            for _ in 0..rounds {
                for worker in 0..workers {
                    simulation.step(worker);
                }
                simulation.step_checkpoints();
            }
        };
        let sinks = (durable.out.sink(), durable.late.sink());
        let mut simulation = durable.job(4, sinks).simulate(durable.options(workers, 64)).unwrap();
        run(&mut simulation, 8);
        simulation.checkpoint(false).unwrap();
        // It is asked for, and committed at the step in which the last worker ends.
        simulation.step_checkpoints();
        let mut ended = vec![false; workers];
        for step in 0..1_000_000 {
            let worker = step % workers;
            ended[worker] = ended[worker] || simulation.step(worker) == WorkerStep::Ended;
            if ended.iter().all(|ended| *ended) {
                break;
            }
        }
        drop(simulation);
        durable.disk.crash(1);
        let sinks = (durable.out.sink(), durable.late.sink());
        let mut simulation = durable.job(4, sinks).simulate(durable.options(workers, 64)).unwrap();
        run(&mut simulation, 1000);
        assert!(simulation.is_ended());
        let recovery = simulation.finish().unwrap().recovery.unwrap();
        assert!(recovery.resumed_from.is_some() && !recovery.was_finished, "{recovery:?}");
        assert_eq!((durable.out.rows(), durable.late.rows()), (expected, expected_late));
    }
}

/// State of this version, as it was written by the first program that could: it is opened for ever. With
/// `PELTON_WRITE_GOLDEN` set, it is written anew, for a new version beside the old.
#[test]
fn state_that_was_written_once_is_read_for_ever() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/state-1/snapshots.log");
    let durable = Durable::new(None, 11, &mut Rng::new(11));
    let (expected, expected_late) = durable.expected(16);
    if std::env::var_os("PELTON_WRITE_GOLDEN").is_some() {
        let sinks = (durable.out.sink(), durable.late.sink());
        let simulation = durable.job(16, sinks).simulate(durable.options(2, 1 << 12)).unwrap();
        durable.step(simulation, 2, 400, &mut Rng::new(5));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, durable.disk.bytes()).unwrap();
    }
    for workers in 1..4 {
        let durable = Durable {
            disk: CrashingDisk::with_bytes(std::fs::read(&path).unwrap()),
            out: Tape::with_rows(expected.clone()),
            late: Tape::with_rows(expected_late.clone()),
            events: durable.events.clone(),
            hash_seed: durable.hash_seed,
            kind: None,
        };
        let sinks = (durable.out.sink(), durable.late.sink());
        let simulation = durable.job(16, sinks).simulate(durable.options(workers, 1 << 12)).unwrap();
        let (resumed, ended) = durable.step(simulation, workers, u64::MAX, &mut Rng::new(7));
        assert!(resumed.is_some_and(|epoch| epoch > 1) && ended);
        assert_eq!((durable.out.rows(), durable.late.rows()), (expected.clone(), expected_late.clone()));
    }
}
