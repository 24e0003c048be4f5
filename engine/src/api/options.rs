//! How a job is run: workers, memory, limits, the clock.

use crate::api::checkpoints::CheckpointOptions;
use crate::graph::deploy::DeployOptions;
use crate::progress::jumps::JumpLimit;
use crate::runtime::idle::IdleStrategy;
use crate::runtime::shared::JobShared;
use crate::store::StoreSettings;
use crate::store::groups::KEYS_MAX;
use crate::{Clock, Dictionary, HashSeed, ShapeError, SystemClock, Timestamp};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// The most workers of a job.
pub const WORKERS_MAX: usize = 256;

/// 1900-01-01 and 2200-01-01: times outside are taken for damage.
const TIMES: RangeInclusive<Timestamp> =
    Timestamp::from_nanos(-2_208_988_800_000_000_000)..=Timestamp::from_nanos(7_258_118_400_000_000_000);

/// A jump of event time by more than 366 days is more likely a mistake than a pause.
const JUMP_MAX: Duration = Duration::from_secs(366 * 86_400);

/// How a job is run. None of it changes what the job gives, but for the limits on what times are believed
/// ([`Options::times`], [`Options::jump_max`] and [`Options::jump_believed_after`]), and for what tells processing time to
/// functions that ask for it: [`Options::clock`] and [`Options::processing_time_period`].
///
/// ```
/// use pelton::{IdleStrategy, Options};
///
/// let options = Options::workers(2).idle(IdleStrategy::BusySpin).ring_bytes(1 << 20);
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct Options {
    workers: usize,
    is_most: bool,
    pin: bool,
    idle: IdleStrategy,
    ring_bytes: usize,
    feed_block_events: usize,
    times: RangeInclusive<Timestamp>,
    stores: StoreSettings,
    jump_max: Duration,
    jump_believed_after: u32,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) processing_time_period: Duration,
    checkpoints: Option<CheckpointOptions>,
}

impl Options {
    /// At most one worker for each core that the process may use; see [`Options::at_most`].
    pub fn per_core() -> Self {
        Self::at_most(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// As many workers as serve the job, at most this, in range 1 ..= [`WORKERS_MAX`]. Where two would spend more on
    /// exchanging rows than they spare, it is one; [`Job::explain`](crate::Job::explain) tells when and why.
    pub fn at_most(workers: usize) -> Self {
        Self { is_most: true, ..Self::workers(workers) }
    }

    /// Exactly so many workers, in range 1 ..= [`WORKERS_MAX`]. One is the whole engine in one thread.
    pub fn workers(workers: usize) -> Self {
        Self {
            workers,
            is_most: false,
            pin: true,
            idle: IdleStrategy::default(),
            ring_bytes: 512 << 10,
            feed_block_events: 4096,
            times: TIMES,
            stores: StoreSettings { seed: HashSeed::random(), ..StoreSettings::default() },
            jump_max: JUMP_MAX,
            jump_believed_after: 16,
            clock: Arc::new(SystemClock::new()),
            processing_time_period: Duration::from_millis(10),
            checkpoints: None,
        }
    }

    /// Whether each worker is pinned to a core; by default it is. A core that refuses is a warning.
    pub fn pin(mut self, pin: bool) -> Self {
        self.pin = pin;
        self
    }

    /// What a worker does when there is nothing to do.
    pub fn idle(mut self, idle: IdleStrategy) -> Self {
        self.idle = idle;
        self
    }

    /// Bytes of one ring between two workers, by default 512 KiB. A full ring stops its sender.
    pub fn ring_bytes(mut self, bytes: usize) -> Self {
        self.ring_bytes = bytes;
        self
    }

    /// Events of a feed that are taken at once at most, by default 4,096.
    pub fn feed_block_events(mut self, events: usize) -> Self {
        self.feed_block_events = events;
        self
    }

    /// The times that events may have, by default from 1900 to 2200. Others are rejected and counted
    /// before they touch a watermark. [`Timestamp::MIN`] and [`Timestamp::MAX`] are never events' times.
    pub fn times(mut self, times: RangeInclusive<Timestamp>) -> Self {
        self.times = times;
        self
    }

    /// How far an event may lie ahead of the largest time before it in its source, by default 366 days. [`Duration::MAX`]
    /// is no limit.
    ///
    /// An event that jumps further is given on like any other and does not move the watermark, so that one wrong time
    /// does not make all events behind it late. [`StepReport::jumped`](crate::StepReport::jumped) counts such events. Not
    /// every jump is a mistake, a weekend for example: from the 16th in a row on they are believed
    /// ([`Options::jump_believed_after`]). Then the watermark goes on from the least time of that row.
    ///
    /// An event that lies from the largest time so far up to the limit ends a row of jumps. One behind the largest time
    /// does not, as it does not say where time stands. The first event of a source has nothing to jump from and is
    /// believed. Several bounded sources that meet are merged by these times, too, and a replay at a recorded speed gives
    /// on an event that jumps together with the one before it.
    ///
    /// The limit should be longer than the pauses in ordinary data. One that is shorter than the times in a block of a
    /// bounded source costs another look at that block before the job runs.
    ///
    /// ```
    /// use pelton::{Event, Job, Options, Tumbling, VecSource, collect, count};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u64 }
    ///
    /// // A reading each second, of which the third has the date of another year.
    /// let mut readings: Vec<_> = (0..20).map(|i| Reading { time_ns: i * 1_000_000_000, sensor: 7 }).collect();
    /// readings[2].time_ns += 3 * 31_536_000_000_000_000;
    ///
    /// let mut job = Job::new("readings");
    /// let windows = job
    ///     .source("sensors", VecSource::new(readings, 4096))
    ///     .key_by(|reading| reading.sensor)
    ///     .window(Tumbling::of(Duration::from_secs(10)))
    ///     .aggregate("counts", count());
    /// let (sink, rows) = collect();
    /// windows.sink("out", sink);
    /// let report = job.run(Options::workers(1).pin(false).jump_max(Duration::from_secs(3600)))?;
    ///
    /// assert_eq!(report.step("sensors").unwrap().jumped, 1);
    /// assert_eq!(report.step("counts").unwrap().late, 0);
    /// assert_eq!(rows.take().iter().map(|(_, row)| row.value()).collect::<Vec<_>>(), [9, 10, 1]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn jump_max(mut self, jump: Duration) -> Self {
        self.jump_max = jump;
        self
    }

    /// So many events in a row that jump by more than [`Options::jump_max`] are believed, by default 16; at least 1, which
    /// believes each.
    pub fn jump_believed_after(mut self, events: u32) -> Self {
        self.jump_believed_after = events;
        self
    }

    /// The most keys of a keyed step on one worker, in a window operator for each window, by default
    /// 2^28. One more ends the job with an error.
    pub fn keys_max(mut self, keys: usize) -> Self {
        self.stores.keys_max = keys;
        self
    }

    /// The most windows that are open at once in a step on one worker, by default 65,536. One more ends
    /// the job with an error.
    pub fn open_windows_max(mut self, windows: usize) -> Self {
        self.stores.open_windows_max = windows;
        self
    }

    /// The most timers of a step on one worker, by default 2^28. One more ends the job with an error.
    pub fn timers_max(mut self, timers: usize) -> Self {
        self.stores.timers_max = timers;
        self
    }

    /// The most rows that one store of a step keeps on one worker, such as those of a side of a join, by default 2^28.
    /// One more ends the job with an error.
    pub fn rows_max(mut self, rows: usize) -> Self {
        self.stores.rows_max = rows;
        self
    }

    /// The most bytes that the stores of a step take on one worker, by default 2^40. More end the job with an error; what
    /// they take is looked at each 65,536 rows, and each 1,024 once half of the room is used.
    pub fn state_bytes_max(mut self, bytes: usize) -> Self {
        self.stores.bytes_max = bytes;
        self
    }

    /// What the hashes of keys begin with, by default a random number, so that nobody can choose keys that collide. It
    /// says which worker has a key, and changes nothing that the job gives.
    pub fn hash_seed(mut self, seed: HashSeed) -> Self {
        self.stores.seed = seed;
        self
    }

    /// The clock for pacing, idleness, processing time and reports.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How often functions that need processing time are told of it at most, by default each 10 ms: by so much their timers
    /// may fire later than they are due. Each time costs a record where the job keeps a journal, also while nothing else
    /// comes.
    pub fn processing_time_period(mut self, period: Duration) -> Self {
        self.processing_time_period = period;
        self
    }

    /// Saves state, so that the job can go on where it was after a crash; by default nothing is saved. All sources must be
    /// such that they can be read again.
    pub fn checkpoints(mut self, checkpoints: CheckpointOptions) -> Self {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// The same with so many workers.
    pub(crate) fn with_workers(self, workers: usize) -> Self {
        Self { workers, is_most: false, ..self }
    }

    pub(crate) fn without_checkpoints(self) -> Self {
        Self { checkpoints: None, ..self }
    }

    /// Whether a feed can be read: where state is saved, it has to be journaled.
    pub(crate) fn takes_feeds(&self) -> bool {
        self.checkpoints.as_ref().is_none_or(CheckpointOptions::can_journal)
    }

    pub(crate) fn mistakes(&self, out: &mut Vec<ShapeError>) {
        let mut check = |holds: bool, option, found: String, wanted| {
            if !holds {
                out.push(ShapeError::BadOption { option, found, wanted });
            }
        };
        check((1..=WORKERS_MAX).contains(&self.workers), "workers", self.workers.to_string(), "from 1 to 256");
        let block = 1..=1 << 24;
        let found = self.feed_block_events.to_string();
        check(block.contains(&self.feed_block_events), "feed_block_events", found, "from 1 to 16,777,216");
        check((1..=1 << 30).contains(&self.ring_bytes), "ring_bytes", self.ring_bytes.to_string(), "from 1 to 1 GiB");
        let found = format!("{}..={}", self.times.start(), self.times.end());
        check(!self.times.is_empty(), "times", found, "a range that is not empty");
        check(!self.jump_max.is_zero(), "jump_max", "0 s".to_owned(), "a duration above 0");
        check(self.jump_believed_after > 0, "jump_believed_after", "0".to_owned(), "at least 1");
        let is_period = !self.processing_time_period.is_zero();
        check(is_period, "processing_time_period", "0 s".to_owned(), "a duration above 0");
        let limits = &self.stores;
        check(limits.keys_max <= KEYS_MAX, "keys_max", limits.keys_max.to_string(), "at most 2^30");
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.mistakes(out);
        }
    }

    pub(crate) fn deployment(self, symbols: Arc<Dictionary>) -> DeployOptions {
        DeployOptions {
            workers: self.workers,
            is_most: self.is_most,
            ring_bytes: self.ring_bytes,
            feed_block_events: self.feed_block_events,
            times: (*self.times.start()).max(Timestamp::MIN.plus_nanos(1))
                ..=(*self.times.end()).min(Timestamp::MAX.minus_nanos(1)),
            jumps: JumpLimit {
                max_ns: u64::try_from(self.jump_max.as_nanos()).unwrap_or(u64::MAX),
                believed_after: self.jump_believed_after,
            },
            idle: self.idle,
            pin: self.pin,
            stores: self.stores,
            shared: Arc::new(JobShared::new(symbols, self.clock)),
            state: self.checkpoints.map(CheckpointOptions::settings),
        }
    }
}
