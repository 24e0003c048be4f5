//! What a worker does when there is nothing to do.

use std::thread;
use std::time::{Duration, Instant};

/// What a worker does when there is nothing to do.
///
/// Waking a parked thread takes tens of microseconds, so [`IdleStrategy::Backoff`] spins for about
/// as long before it parks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdleStrategy {
    /// Never gives up its core, nor pauses on it: the lowest latency, for workers that have a core each.
    BusySpin,
    /// Spins for 50 us, then yields, then parks for growing times up to 1 ms. In a replay at recorded speed it parks at
    /// once, and no longer than until the next event is due.
    #[default]
    Backoff,
    /// Parks at once, for 100 us at a time: the least use of a core.
    Park,
}

const SPIN: Duration = Duration::from_micros(50);
const YIELD: Duration = Duration::from_micros(200);
const PARK_MIN: Duration = Duration::from_micros(50);
const PARK_MAX: Duration = Duration::from_millis(1);
const PARK: Duration = Duration::from_micros(100);

/// Spins between two looks at the clock, which takes as long as asking all tasks.
const SPINS: u32 = 16;

/// The idling of one worker.
#[derive(Debug)]
pub(crate) struct Idler {
    strategy: IdleStrategy,
    /// There are more workers than cores: spinning would take the core from one with work.
    crowded: bool,
    /// Events come at a recorded speed, so there will be nothing to do most of the time.
    is_paced: bool,
    since: Option<Instant>,
    /// Since the clock was last looked at.
    spins: u32,
    park: Duration,
}

impl Idler {
    pub(crate) const fn new(strategy: IdleStrategy, crowded: bool, is_paced: bool) -> Self {
        Self { strategy, crowded, is_paced, since: None, spins: 0, park: PARK_MIN }
    }

    /// Something was done.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.since = None;
        self.spins = 0;
        self.park = PARK_MIN;
    }

    /// Nothing was done: waits a little. `until_due` says how long nothing will come from this worker's sources.
    pub(crate) fn wait(&mut self, until_due: impl FnOnce() -> Option<Duration>) {
        match self.strategy {
            IdleStrategy::BusySpin if self.crowded => thread::yield_now(),
            IdleStrategy::BusySpin => {}
            IdleStrategy::Park => thread::park_timeout(PARK),
            IdleStrategy::Backoff if self.is_paced => {
                let park = self.park.min(until_due().unwrap_or(PARK_MAX));
                self.park_for(park);
            }
            IdleStrategy::Backoff => {
                if !self.crowded && self.spins < SPINS {
                    self.spins += 1;
                    return std::hint::spin_loop();
                }
                let idle = self.since.get_or_insert_with(Instant::now).elapsed();
                if idle < SPIN && !self.crowded {
                    self.spins = 0;
                } else if idle < YIELD {
                    thread::yield_now();
                } else {
                    self.park_for(self.park);
                }
            }
        }
    }

    fn park_for(&mut self, time: Duration) {
        thread::park_timeout(time);
        self.park = (self.park * 2).min(PARK_MAX);
    }
}
