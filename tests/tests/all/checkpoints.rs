//! Jobs that crash at any moment, lose what was not synced, and go on at other numbers of workers: what they give in the
//! end is what they would have given.

use pelton::testing::CrashingDisk;
use pelton::{CheckpointOptions, Job, Options, Simulation, Stop, WorkerStep};
use pelton_tests::campaign;
use pelton_tests::crashing::{Crashes, Durable};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::{KINDS, Kind, job_into};
use pelton_tests::rng::Rng;
use pelton_tests::running::{DEADLINE, wait_until};
use pelton_tests::tape::{Tape, TapeSink};
use std::time::Duration;

type Rows = Vec<(pelton::Timestamp, Row)>;

/// Seeds for each of the eight jobs: some five hundred runs in all.
const EVERYDAY: u64 = 63;

/// A job whose state and outputs outlive it.
struct Taped {
    durable: Durable,
    out: Tape,
    late: Tape,
}

impl Taped {
    fn new(kind: Option<Kind>, seed: u64, rng: &mut Rng) -> Self {
        Self { durable: Durable::new(kind, seed, rng), out: Tape::default(), late: Tape::default() }
    }

    fn sinks(&self) -> (TapeSink, TapeSink) {
        (self.out.sink(), self.late.sink())
    }

    fn job(&self, block: usize) -> Job {
        self.durable.job(block, self.sinks())
    }

    fn rows(&self) -> (Rows, Rows) {
        (self.out.rows(), self.late.rows())
    }

    /// What the job gives when nobody disturbs it.
    fn expected(&self, block: usize) -> (Rows, Rows) {
        let undisturbed = Self { durable: self.durable.clone(), out: Tape::default(), late: Tape::default() };
        self.durable.run_undisturbed(block, undisturbed.sinks());
        undisturbed.rows()
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
    let taped = Taped::new(kind, seed, &mut rng);
    // Blocks are part of what the input is: a checkpoint stands between two of them.
    let block = 1 << rng.below(7);
    let expected = taped.expected(block);
    let crashed = taped.durable.crash_and_go_on(block, &mut rng, || (make(&taped.out), make(&taped.late)), |_| {});
    match crashed {
        Err(error) => Held { wrong: Some(error), ..Held::default() },
        Ok(Crashes { resumed, runs }) if taped.rows() != expected => {
            let wrong = Some(format!("{kind:?}, seed {seed}, {runs} runs, blocks of {block}: other rows"));
            Held { resumed, wrong }
        }
        Ok(Crashes { resumed, .. }) => Held { resumed, wrong: None },
    }
}

#[test]
fn jobs_that_crash_anywhere_give_the_same_rows_in_the_end() {
    let (mut resumed, seeds) = (0, campaign::seeds(EVERYDAY));
    for seed in seeds.clone() {
        for kind in KINDS.into_iter().map(Some).chain([None]) {
            let held = hold(kind, seed, Tape::sink);
            assert_eq!(held.wrong, None);
            resumed += held.resumed;
        }
    }
    println!("{resumed} times a job went on from a checkpoint");
    let runs = seeds.end - seeds.start;
    // A seed that is replayed alone may crash before the first checkpoint.
    assert!(resumed > runs * 2 || runs == 1, "{resumed} times a job went on from a checkpoint");
}

/// Three workers whose rings hold one row: a step that was held up by rows fired behind all events told others less than
/// where those rows stand, and they waited for it, as it did for them.
#[test]
fn a_step_that_is_held_up_behind_all_events_lets_others_go_on() {
    assert_eq!(hold(None, 1482, Tape::sink).wrong, None);
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
            let mut durable = Taped::new(kind, seed, &mut rng);
            durable.durable.events =
                samples(&Shape { events: 30_000, keys: 40, step_ns: 2000, disorder_ns: 60_000, seed });
            let (expected, expected_late) = durable.expected(64);
            let mut savepoints = 0;
            for run in 0.. {
                let workers = 1 + rng.below(3) as usize;
                let storage = durable.durable.disk.storage();
                let checkpoints =
                    CheckpointOptions::in_storage(storage).every(Duration::from_micros(200)).slice_bytes(100);
                let job = durable.job(64);
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
                durable.durable.disk.crash(rng.next_u64());
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
            let durable = Taped::new(kind, seed, &mut rng);
            let workers = 1 + rng.below(3) as usize;
            let mut simulation = durable.job(16).simulate(durable.durable.options(workers, 1 << 12)).unwrap();
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

/// A job that is to stop at a time has read the same events there, on any number of workers, and goes on from it.
#[test]
fn a_job_stops_where_event_time_has_come_to() {
    let mut stopped = 0;
    for seed in 0..6 {
        for kind in KINDS.into_iter().map(Some).chain([None]) {
            let durable = Taped::new(kind, seed, &mut Rng::new(seed));
            let (expected, expected_late) = durable.expected(16);
            let time = pelton::Event::time(&durable.durable.events[durable.durable.events.len() / 2]);
            let mut read = None;
            for workers in 1..=3 {
                let durable = Taped::new(kind, seed, &mut Rng::new(seed));
                let mut rng = Rng::new(seed);
                for stops in [true, false] {
                    let checkpoints = CheckpointOptions::in_storage(durable.durable.disk.storage()).segment_bytes(4096);
                    let checkpoints = if stops { checkpoints.stop_at(time) } else { checkpoints };
                    let options = Options::workers(workers).pin(false).hash_seed(durable.durable.hash_seed);
                    let job = durable.job(16);
                    let mut simulation = job.simulate(options.checkpoints(checkpoints)).unwrap();
                    for step in 0.. {
                        simulation.step(rng.below(workers as u64) as usize);
                        simulation.step_checkpoints();
                        if simulation.is_ended() {
                            break;
                        }
                        assert!(step < 200_000, "{kind:?}, seed {seed}, {workers} workers: it does not stop");
                    }
                    let report = simulation.finish().unwrap();
                    durable.durable.disk.crash(seed);
                    let events = report.events_read();
                    if stops && report.recovery.unwrap().at_savepoint {
                        assert!(events < durable.durable.events.len() as u64 && *read.get_or_insert(events) == events);
                        stopped += 1;
                    } else {
                        assert_eq!(events, durable.durable.events.len() as u64);
                    }
                }
                let what = format!("{kind:?}, seed {seed}, {workers} workers");
                assert_eq!(durable.out.rows(), expected, "{what}");
                assert_eq!(durable.late.rows(), expected_late, "{what}");
            }
        }
    }
    assert!(stopped > 100, "{stopped} jobs stopped on the way");
}

#[test]
fn a_checkpoint_is_taken_when_one_asks_for_it() {
    let durable = Taped::new(Some(Kind::Window), 3, &mut Rng::new(3));
    // An event each fifth of a second or so: the job would take a minute.
    let source = pelton_tests::running::paced(&durable.durable.events, 1, Some(0.000_01));
    let job = job_into(Kind::Window, source, durable.sinks());
    let handle = job.start(durable.durable.options(2, 1 << 12)).unwrap();
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
    let durable = Taped::new(Some(Kind::Stateless), 3, &mut Rng::new(3));
    let job = durable.job(8);
    let handle = job.start(Options::workers(1).pin(false)).unwrap();
    assert!(matches!(handle.checkpoint(), Err(pelton::Error::NoCheckpoints)));
    handle.join_within(DEADLINE).unwrap();

    let mut job = Job::new("pushed");
    let (_input, source) = pelton::push::<Sample>(16);
    job.source("pushed", source).map(|_: &Sample| 1u64).sink("out", pelton::collect().0);
    let Err(error) = job.start(durable.durable.options(1, 64)) else { panic!("there is no place for a journal") };
    assert!(error.to_string().contains("the source `pushed` cannot be read again"), "{error}");
}

/// What was given at a barrier is no end, though the job has come to its end when it is committed.
#[test]
fn a_checkpoint_that_is_committed_behind_the_end_is_not_taken_for_it() {
    for workers in 1..4 {
        let durable = Taped::new(Some(Kind::Window), 5, &mut Rng::new(5));
        let (expected, expected_late) = durable.expected(4);
        let run = |simulation: &mut Simulation, rounds: usize| {
            for _ in 0..rounds {
                for worker in 0..workers {
                    simulation.step(worker);
                }
                simulation.step_checkpoints();
            }
        };
        let mut simulation = durable.job(4).simulate(durable.durable.options(workers, 64)).unwrap();
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
        durable.durable.disk.crash(1);
        let mut simulation = durable.job(4).simulate(durable.durable.options(workers, 64)).unwrap();
        run(&mut simulation, 1000);
        assert!(simulation.is_ended());
        let recovery = simulation.finish().unwrap().recovery.unwrap();
        assert!(recovery.resumed_from.is_some() && !recovery.was_finished, "{recovery:?}");
        assert_eq!((durable.out.rows(), durable.late.rows()), (expected, expected_late));
    }
}

/// State as it was written by the first program that could write its version: it is opened for ever. With
/// `PELTON_WRITE_GOLDEN` set, that of the newest version is written anew.
#[test]
fn state_that_was_written_once_is_read_for_ever() {
    let golden = |version| {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/state-{version}"));
        dir.join("snapshots.log")
    };
    let durable = Taped::new(None, 11, &mut Rng::new(11));
    let (expected, expected_late) = durable.expected(16);
    if std::env::var_os("PELTON_WRITE_GOLDEN").is_some() {
        let path = golden(2);
        let simulation = durable.job(16).simulate(durable.durable.options(2, 1 << 12)).unwrap();
        durable.durable.step(simulation, 2, 400, &mut Rng::new(5));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, durable.durable.disk.bytes()).unwrap();
    }
    for (version, workers) in [1, 2].into_iter().flat_map(|version| (1..4).map(move |workers| (version, workers))) {
        let disk = CrashingDisk::with_bytes(std::fs::read(golden(version)).unwrap());
        let durable = Taped {
            durable: Durable { disk, ..durable.durable.clone() },
            out: Tape::with_rows(expected.clone()),
            late: Tape::with_rows(expected_late.clone()),
        };
        let simulation = durable.job(16).simulate(durable.durable.options(workers, 1 << 12)).unwrap();
        let (resumed, ended) = durable.durable.step(simulation, workers, u64::MAX, &mut Rng::new(7));
        assert!(resumed.is_some_and(|epoch| epoch > 1) && ended);
        assert_eq!((durable.out.rows(), durable.late.rows()), (expected.clone(), expected_late.clone()));
    }
}
