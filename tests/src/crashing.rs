//! Jobs that crash at any moment and go on at other numbers of workers, step by step on one thread.

use crate::events::{Row, Sample, Shape, samples};
use crate::jobs::{BOUND_NS, Kind, OrderHash, Running, WINDOW_NS, job_into};
use crate::rng::Rng;
use pelton::testing::CrashingDisk;
use pelton::{AsOf, CheckpointOptions, HashSeed, Job, Options, Simulation, Sink, Tumbling, VecSource, Watermarks};
use std::time::Duration;

/// A job whose state outlives it.
#[derive(Clone)]
pub struct Durable {
    /// One of the jobs that stress the order, or one of two sources.
    pub kind: Option<Kind>,
    /// What all of it was made from.
    pub seed: u64,
    /// The input.
    pub events: Vec<Sample>,
    /// Which worker has a key.
    pub hash_seed: HashSeed,
    /// Where the state is.
    pub disk: CrashingDisk,
}

/// What a run of crashes came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Crashes {
    /// How often the job went on from a checkpoint that had read something.
    pub resumed: u64,
    /// How often it was started.
    pub runs: u64,
}

/// The events of two sources joined, a process function with timers behind that, and then windows.
fn joined<S: Sink<Row>>(events: &[Sample], block: usize, (sink, late_sink): (S, S)) -> Job {
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
    let counted = timed.key_by(|row| row.key % 5).window(windows).aggregate_with("counted", OrderHash, OrderHash::row);
    counted.sink("out", sink);
    counted.late.sink("late", late_sink);
    job
}

impl Durable {
    /// A job of this kind over a few events.
    pub fn new(kind: Option<Kind>, seed: u64, rng: &mut Rng) -> Self {
        let shape = Shape {
            events: 50 + rng.below(250) as usize,
            keys: 1 + rng.below(30),
            step_ns: 1000 + rng.below(3000) as i64,
            disorder_ns: rng.below(90_000),
            seed,
        };
        let (events, hash_seed, disk) = (samples(&shape), HashSeed::new(seed), CrashingDisk::new());
        Self { kind, seed, events, hash_seed, disk }
    }

    /// The job, with a main and a late sink.
    pub fn job<S: Sink<Row>>(&self, block: usize, sinks: (S, S)) -> Job {
        match self.kind {
            Some(kind) => job_into(kind, VecSource::new(self.events.clone(), block), sinks),
            None => joined(&self.events, block, sinks),
        }
    }

    /// Runs the job on one worker, without checkpoints.
    pub fn run_undisturbed<S: Sink<Row>>(&self, block: usize, sinks: (S, S)) {
        let mut simulation = self.job(block, sinks).simulate(Options::workers(1)).unwrap();
        while !simulation.is_ended() {
            simulation.step(0);
        }
        simulation.finish().unwrap();
    }

    /// So many workers, whose checkpoints go to the disk.
    pub fn options(&self, workers: usize, ring_bytes: usize) -> Options {
        // Where rings are small, state is written a few keys at a time while rows come.
        let checkpoints = CheckpointOptions::in_storage(self.disk.storage()).segment_bytes(4096);
        let checkpoints = checkpoints.slice_bytes(ring_bytes);
        let options = Options::workers(workers).pin(false).ring_bytes(ring_bytes).hash_seed(self.hash_seed);
        options.checkpoints(checkpoints)
    }

    /// Steps the job in any order, with checkpoints now and then, until it ends or so many steps were done: the
    /// checkpoint it went on from, if it did, and whether it ended.
    ///
    /// # Panics
    /// When the job does not move on, or its counts are wrong.
    pub fn step(&self, mut simulation: Simulation, workers: usize, steps: u64, rng: &mut Rng) -> (Option<u64>, bool) {
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
            idle = if simulation.step(worker).made_progress() { 0 } else { idle + 1 };
            assert!(idle < 100_000, "{:?}, seed {}: it does not move on", self.kind, self.seed);
        }
        (simulation.report().recovery.and_then(|recovery| recovery.resumed_from), false)
    }

    /// Runs a job that crashes some times, each time going on with other numbers of workers and rings of other sizes, until
    /// it ends. `crash` is called with a random number at each crash.
    ///
    /// # Errors
    /// When the job cannot go on, or fails.
    ///
    /// # Panics
    /// As [`Self::step`].
    pub fn crash_and_go_on<S: Sink<Row>>(
        &self,
        block: usize,
        rng: &mut Rng,
        make: impl Fn() -> (S, S),
        mut crash: impl FnMut(u64),
    ) -> Result<Crashes, String> {
        let mut crashes = Crashes::default();
        loop {
            crashes.runs += 1;
            let workers = 1 + rng.below(4) as usize;
            let ring_bytes = 64 << rng.below(8);
            let most = 1 << rng.below(11);
            let steps = if crashes.runs > 6 { u64::MAX } else { 1 + rng.below(most) };
            let job = self.job(block, make());
            let simulation = job.simulate(self.options(workers, ring_bytes)).map_err(|error| error.to_string())?;
            let (resumed, ended) = self.step(simulation, workers, steps, rng);
            crashes.resumed += u64::from(resumed.is_some_and(|epoch| epoch > 1));
            if ended {
                return Ok(crashes);
            }
            assert!(crashes.runs < 10, "the job does not come to its end");
            let random = rng.next_u64();
            self.disk.crash(random);
            crash(random);
        }
    }
}
