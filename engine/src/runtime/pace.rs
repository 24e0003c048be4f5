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

    /// When an event of this time is due, by the job's clock.
    pub(crate) fn due(&self, time: Timestamp) -> Duration {
        let nanos = self.base.map_or(0, |base| time.as_nanos().saturating_sub(base.as_nanos()));
        let wait = Duration::try_from_secs_f64(nanos.max(0) as f64 / 1e9 / self.speed);
        // What is rounded down would be too early.
        self.start.saturating_add(wait.unwrap_or(Duration::MAX)).saturating_add(Duration::from_nanos(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A worker sleeps until then: too early costs another look, too late would delay the event.
        #[test]
        fn an_event_is_released_when_it_is_due_and_not_much_sooner(
            base in -1_000_000_000_000i64..1_000_000_000_000, after in 0i64..1_000_000_000_000,
            speed in 0.01f64..1_000.0, start in 0u64..1_000_000_000,
        ) {
            let [base, time] = [base, base + after].map(Timestamp::from_nanos);
            let mut pace = Pace { speed, base: Some(base), start: Duration::from_nanos(start) };
            let range = Timestamp::MIN..=Timestamp::MAX;
            let due = pace.due(time);
            let slack = Duration::from_micros(1);
            prop_assert_eq!(pace.released(&[time], &range, due + slack), 1);
            let event_slack = (speed * 2_000.0) as i64 + 1;
            if after > event_slack && due > slack {
                prop_assert_eq!(pace.released(&[time], &range, due - slack), 0);
            }
        }
    }
}
