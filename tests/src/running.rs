//! Ways to run a job: to its end within a deadline, at a pace, fed in pieces, or step by step on one thread.

use crate::rng::Rng;
use pelton::{Error, Event, Input, Job, Options, Report, Simulation, Source, VecSource};
use std::time::{Duration, Instant};

/// By when a job of a test has ended, unless it hangs.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until something is so, up to the deadline.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs a job to its end; every event is accounted for.
#[track_caller]
pub fn finish(job: Job, options: Options) -> Report {
    let report = job.start(options).unwrap().join_within(DEADLINE).unwrap();
    report.balance().unwrap();
    report
}

/// Runs a job that starts and then fails.
#[track_caller]
pub fn failure(job: Job, options: Options) -> Error {
    job.start(options).unwrap().join_within(DEADLINE).unwrap_err()
}

/// Events as a source, at a speed where there is a pace.
pub fn paced<T: Event>(events: &[T], block: usize, pace: Option<f64>) -> Source<T> {
    let source = Source::from(VecSource::new(events.to_vec(), block));
    match pace {
        Some(pace) => source.speed(pace),
        None => source,
    }
}

/// Pushes all events in random pieces of up to so many, with short pauses between some, and then ends the input.
#[track_caller]
pub fn push_in_pieces<T: Event>(mut input: Input<T>, events: &[T], piece_max: usize, rng: &mut Rng) {
    let sizes = u64::from(piece_max.ilog2()) + 1;
    let mut rest = events;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 << rng.below(sizes)));
        input.send(piece).unwrap();
        rest = after;
        if rng.below(8) == 0 {
            std::thread::sleep(Duration::from_micros(rng.below(600)));
        }
    }
}

/// Steps workers in random order to the end of the job; some are stepped far more often than others.
#[track_caller]
pub fn step_in_any_order(mut simulation: Simulation, workers: usize, rng: &mut Rng, what: &str) -> Report {
    let mut idle = 0;
    while !simulation.is_ended() {
        let favoured = 1 << rng.below(workers as u64 + 1);
        let worker = rng.below(favoured) as usize % workers;
        idle = if simulation.step(worker).made_progress() { 0 } else { idle + 1 };
        assert!(idle < 100_000, "{what} does not move on");
    }
    let report = simulation.finish().unwrap();
    report.balance().unwrap();
    report
}

/// Steps the first `workers` workers in turn, so often that afterwards nothing moves any more.
pub fn settle(simulation: &mut Simulation, workers: usize) {
    for step in 0..1000 * workers {
        simulation.step(step % workers);
    }
}
