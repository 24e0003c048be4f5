//! How a job is run: workers, memory, limits, the clock.

use crate::graph::deploy::DeployOptions;
use crate::runtime::idle::IdleStrategy;
use crate::runtime::shared::JobShared;
use crate::store::StoreSettings;
use crate::store::groups::KEYS_MAX;
use crate::{Clock, Dictionary, HashSeed, ShapeError, SystemClock, Timestamp};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The most workers of a job.
pub const WORKERS_MAX: usize = 256;

/// 1900-01-01 and 2200-01-01: times outside are taken for damage.
const TIMES: RangeInclusive<Timestamp> =
    Timestamp::from_nanos(-2_208_988_800_000_000_000)..=Timestamp::from_nanos(7_258_118_400_000_000_000);

/// How a job is run. None of it changes what the job gives.
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
    pin: bool,
    idle: IdleStrategy,
    ring_bytes: usize,
    feed_block_events: usize,
    times: RangeInclusive<Timestamp>,
    stores: StoreSettings,
    clock: Arc<dyn Clock>,
}

impl Options {
    /// One worker for each core that the process may use.
    pub fn per_core() -> Self {
        Self::workers(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// So many workers, in range 1 ..= [`WORKERS_MAX`]. One is the whole engine in one thread.
    pub fn workers(workers: usize) -> Self {
        Self {
            workers,
            pin: true,
            idle: IdleStrategy::default(),
            ring_bytes: 512 << 10,
            feed_block_events: 4096,
            times: TIMES,
            stores: StoreSettings { seed: HashSeed::random(), ..StoreSettings::default() },
            clock: Arc::new(SystemClock::new()),
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
    /// they take is looked at each 1,024 rows.
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

    /// The clock for pacing, idleness and reports.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
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
        let limits = &self.stores;
        check(limits.keys_max <= KEYS_MAX, "keys_max", limits.keys_max.to_string(), "at most 2^30");
    }

    pub(crate) fn deployment(self, symbols: Arc<Dictionary>) -> DeployOptions {
        DeployOptions {
            workers: self.workers,
            ring_bytes: self.ring_bytes,
            feed_block_events: self.feed_block_events,
            times: (*self.times.start()).max(Timestamp::MIN.plus_nanos(1))
                ..=(*self.times.end()).min(Timestamp::MAX.minus_nanos(1)),
            idle: self.idle,
            pin: self.pin,
            stores: self.stores,
            shared: Arc::new(JobShared::new(symbols, self.clock)),
        }
    }
}
