//! Processing time as a seam: tests never sleep.

use crate::Timestamp;
use crate::base::time::duration_nanos;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Processing time that never goes back: time since some fixed start.
pub trait Clock: Send + Sync + 'static {
    /// The time since the clock's start.
    fn now(&self) -> Duration;

    /// The time of day at the clock's start, by which timers of processing time are told; 1970-01-01 unless a clock says
    /// otherwise.
    ///
    /// ```
    /// use pelton::{Clock, ManualClock, SystemClock, Timestamp};
    ///
    /// assert_eq!(ManualClock::default().start(), Timestamp::from_nanos(0));
    /// assert!(SystemClock::new().start() > Timestamp::from_nanos(0));
    /// ```
    fn start(&self) -> Timestamp {
        Timestamp::from_nanos(0)
    }
}

/// The machine's monotonic clock.
///
/// ```
/// use pelton::{Clock, SystemClock};
///
/// let clock = SystemClock::new();
/// assert!(clock.now() <= clock.now());
/// ```
#[derive(Debug, Clone)]
pub struct SystemClock {
    begun: Instant,
    start: Timestamp,
}

impl SystemClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, duration_nanos);
        Self { begun: Instant::now(), start: Timestamp::from_nanos(start) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn start(&self) -> Timestamp {
        self.start
    }
}

/// A clock that stands still until it is moved; clones share the time.
///
/// ```
/// use pelton::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::default();
/// clock.advance(Duration::from_secs(3));
/// assert_eq!(clock.now(), Duration::from_secs(3));
/// ```
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Acquire))
    }
}
