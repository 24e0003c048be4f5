//! How often the machine takes the core from a thread that never gives it up.
//!
//! The gaps that a spinning thread sees bound from below what any latency on this machine can be: a
//! percentile that is no worse than the machine's own is not the program's fault. All cores spin
//! while it is measured, as they do under a job with a worker on each.

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The gaps between two readings of the clock, in nanoseconds, by a thread that does nothing else.
#[derive(Debug, Clone)]
pub struct Stalls {
    /// All gaps, with 3 significant digits, up to 10 s.
    pub gaps: Histogram<u64>,
    /// How late events due every 10 us would be seen by a thread that does nothing but look for them.
    pub lateness: Histogram<u64>,
    /// How long was measured.
    pub elapsed: Duration,
}

/// Reads the clock for so long and records the gaps.
///
/// ```
/// let stalls = pelton_bench::stall::measure(std::time::Duration::from_millis(5));
/// assert!(stalls.gaps.len() > 0);
/// ```
pub fn measure(duration: Duration) -> Stalls {
    let others = crate::machine::cores().saturating_sub(1);
    std::thread::scope(|scope| {
        (0..others).for_each(|_| {
            scope.spawn(|| spin(duration));
        });
        spin(duration)
    })
}

/// The rate of the events that [`Stalls::lateness`] is about.
pub const EVENTS_PER_S: u64 = 100_000;
const EVENT_NS: u64 = 1_000_000_000 / EVENTS_PER_S;

fn spin(duration: Duration) -> Stalls {
    let (mut gaps, mut lateness) = (crate::load::histogram(), crate::load::histogram());
    let start = Instant::now();
    let mut last = start;
    let mut due_ns = 0;
    loop {
        let now = Instant::now();
        gaps.saturating_record(now.duration_since(last).as_nanos() as u64);
        last = now;
        let elapsed = now.duration_since(start);
        let now_ns = elapsed.as_nanos() as u64;
        while due_ns <= now_ns {
            lateness.saturating_record(now_ns - due_ns);
            due_ns += EVENT_NS;
        }
        if elapsed >= duration {
            return Stalls { gaps, lateness, elapsed };
        }
    }
}

impl Stalls {
    /// The number of gaps of at least so long.
    pub fn at_least(&self, gap: Duration) -> u64 {
        self.gaps.count_between(gap.as_nanos() as u64, u64::MAX)
    }

    /// Percentiles in nanoseconds, and how many stalls of each size there were per second.
    pub fn to_json(&self) -> Value {
        let per_second = |gap| self.at_least(gap) as f64 / self.elapsed.as_secs_f64().max(1e-9);
        json!({
            "seconds": self.elapsed.as_secs_f64(),
            "percentiles_ns": crate::load::percentiles(&self.gaps),
            "lateness_ns": crate::load::percentiles(&self.lateness),
            "at_least_10us_per_s": per_second(Duration::from_micros(10)),
            "at_least_100us_per_s": per_second(Duration::from_micros(100)),
            "at_least_1ms_per_s": per_second(Duration::from_millis(1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_are_counted_by_their_size() {
        let mut gaps = crate::load::histogram();
        for gap in [20, 20, 50_000, 2_000_000] {
            gaps.saturating_record(gap);
        }
        let stalls = Stalls { lateness: gaps.clone(), gaps, elapsed: Duration::from_secs(2) };
        assert_eq!(stalls.at_least(Duration::from_micros(10)), 2);
        assert_eq!(stalls.at_least(Duration::from_millis(1)), 1);
        let json = stalls.to_json();
        assert_eq!(json["at_least_10us_per_s"], 1.0);
        assert_eq!(json["percentiles_ns"]["p50"], 20);
    }

    #[test]
    fn the_gaps_make_up_the_time() {
        let stalls = measure(Duration::from_millis(3));
        assert!(stalls.elapsed >= Duration::from_millis(3));
        // The mean is exact to the histogram's 3 digits.
        let sum = stalls.gaps.mean() * stalls.gaps.len() as f64;
        let elapsed = stalls.elapsed.as_nanos() as f64;
        assert!((sum - elapsed).abs() < elapsed / 50.0, "{sum} {elapsed}");
    }
}
