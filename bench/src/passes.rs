//! How long a worker that has nothing to do takes to ask all of its tasks once: what an event waits for on average, half
//! of it, before anybody looks.

use crate::latency::Echo;
use crate::load::Ping;
use crate::{Entry, Error};
use pelton::{BoxError, Feed, IdleStrategy, Job, Options, Polled, Source};
use pelton_io::blackhole;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Polls between two looks at the clock, which takes as long as a pass.
const POLLS: u64 = 1024;

/// Counts how often it is polled, for so long.
struct Counting {
    polls: u64,
    start: Option<Instant>,
    duration: Duration,
    counted: Arc<Mutex<(u64, Duration)>>,
}

impl Feed<Ping> for Counting {
    fn poll(&mut self, _: usize, _: &mut Vec<Ping>) -> Result<Polled, BoxError> {
        let start = *self.start.get_or_insert_with(Instant::now);
        self.polls += 1;
        if self.polls.is_multiple_of(POLLS) && start.elapsed() >= self.duration {
            *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = (self.polls, start.elapsed());
            return Ok(Polled::End);
        }
        Ok(Polled::Pending)
    }
}

/// Counts the passes over all tasks of the first of so many workers in a job without events: a map and a sink on one worker, an
/// exchange and a keyed step on more. Passes count as events.
pub(crate) fn measure(workers: usize, duration: Duration) -> Result<Entry, Error> {
    let counted = Arc::new(Mutex::new((0, Duration::ZERO)));
    let feed = Counting { polls: 0, start: None, duration, counted: counted.clone() };
    let mut job = Job::new("passes");
    let pings = job.source("pings", Source::feed(feed));
    if workers == 1 {
        pings.map(|ping: &Ping| *ping).sink("out", blackhole());
    } else {
        pings.key_by(|ping| ping.key).process("forward", Echo).sink_unordered("out", |_| blackhole());
    }
    // Also where workers share cores: parked ones would wake by the clock.
    job.run(Options::workers(workers).idle(IdleStrategy::BusySpin))?;
    let (passes, elapsed) = *counted.lock().unwrap_or_else(PoisonError::into_inner);
    let name = format!("passes of an idle worker, {workers} worker{}", if workers == 1 { "" } else { "s" });
    Ok(Entry::of_runs(name, passes, &[elapsed]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_workers_go_round() {
        for workers in [1, 2] {
            let entry = measure(workers, Duration::from_millis(2)).unwrap();
            assert!(entry.events_per_s > 0.0 && entry.events_per_s < 1e9, "{entry:?}");
        }
    }
}
