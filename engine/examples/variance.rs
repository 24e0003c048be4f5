//! Two streams as one: how much the temperature of each room varies in a minute, as two sensors measure it.
//!
//! `cargo run -p pelton --example variance`

use pelton::{Job, Options, Timestamp, Tumbling, Windowed, callback, var_samp};
use std::time::Duration;

#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Reading {
    #[event(time)]
    time: Timestamp,
    room: u64,
    celsius: f64,
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let reading = |second, room, celsius| Reading { time: Timestamp::from_secs(second), room, celsius };
    let walls = [(5, 1, 20.0), (15, 2, 18.0), (25, 1, 22.0), (65, 1, 21.0)].map(|(s, r, c)| reading(s, r, c));
    let desks = [(10, 1, 24.0), (20, 2, 18.5), (70, 1, 21.5)].map(|(s, r, c)| reading(s, r, c));
    let mut job = Job::new("variance");
    let desks = job.source("desks", desks);
    job.source("walls", walls)
        .union(desks)
        .key_by(|reading| reading.room)
        .window(Tumbling::of(Duration::from_secs(60)))
        .aggregate("variance_1m", var_samp(|reading: &Reading| reading.celsius))
        .sink(
            "print",
            callback(|_, row: &Windowed<u64, f64>| {
                println!("{} room {}: {}", row.window().start, row.key(), row.value())
            }),
        );
    Ok(job.run(Options::workers(2))?.balance()?)
}
