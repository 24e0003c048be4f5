//! Replay at a multiple of the recorded speed.

use crate::Timestamp;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How fast events are released.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) speed: f64,
    /// The event time that is released at the job's start; a feed's first event sets it.
    pub(crate) base: Option<Timestamp>,
    pub(crate) start: Duration,
}

impl Pace {
    /// How many of the next events are due. Times out of range are due at once: they are rejected.
    pub(crate) fn released(&mut self, times: &[Timestamp], range: &RangeInclusive<Timestamp>, now: Duration) -> usize {
        let first = times.iter().find(|time| range.contains(time));
        let base = match (self.base, first) {
            (Some(base), _) => base,
            (None, Some(first)) => *self.base.insert(*first),
            (None, None) => return times.len(),
        };
        let elapsed = now.saturating_sub(self.start).as_secs_f64() * self.speed;
        // Converting saturates, so that a high speed releases all there is.
        let due = base.plus_nanos((elapsed * 1e9) as i64);
        times.iter().position(|time| *time > due && range.contains(time)).unwrap_or(times.len())
    }
}
