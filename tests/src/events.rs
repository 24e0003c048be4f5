//! Events with disorder, by seed.

use crate::rng::Rng;
use pelton::{Event, Record};

/// An event of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Event)]
#[repr(C)]
pub struct Sample {
    /// Event time in nanoseconds.
    #[event(time)]
    pub time_ns: i64,
    /// A key.
    pub key: u64,
    /// A value.
    pub value: i64,
    /// The event's number in its file.
    pub number: u64,
}

/// What events to make.
#[derive(Debug, Clone)]
pub struct Shape {
    /// How many.
    pub events: usize,
    /// How many keys.
    pub keys: u64,
    /// Nanoseconds from one event to the next.
    pub step_ns: i64,
    /// How far half of the events are put back in time at most, in nanoseconds.
    pub disorder_ns: u64,
    /// The seed.
    pub seed: u64,
}

/// Events of this shape. The same shape gives the same events.
pub fn samples(shape: &Shape) -> Vec<Sample> {
    let mut rng = Rng::new(shape.seed);
    let sample = |number: u64| {
        let back = if rng.below(2) == 0 { rng.below(shape.disorder_ns + 1) as i64 } else { 0 };
        Sample {
            time_ns: number as i64 * shape.step_ns - back,
            key: rng.below(shape.keys),
            value: rng.below(2001) as i64 - 1000,
            number,
        }
    };
    (0..shape.events as u64).map(sample).collect()
}

/// A row with whatever a job has to say.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
pub struct Row {
    /// A key.
    pub key: u64,
    /// A number.
    pub a: i64,
    /// Another number.
    pub b: i64,
}
