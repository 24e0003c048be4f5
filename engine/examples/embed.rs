//! The smallest program with the engine inside: push events, get a call for each result.
//!
//! `cargo run -p pelton --example embed`

use pelton::{Job, Options, Timestamp, Tumbling, Windowed, callback, count, push};
use std::time::Duration;

#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Click {
    #[event(time)]
    time_ns: i64,
    user: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut job = Job::new("clicks");
    let (mut input, clicks) = push::<Click>(1024);
    job.source("clicks", clicks)
        .key_by(|click| click.user)
        .window(Tumbling::of(Duration::from_secs(1)))
        .aggregate("clicks_1s", count())
        .sink(
            "print",
            callback(|_: Timestamp, row: &Windowed<u64, u64>| {
                println!("{:?}: user {} clicked {} times", row.window(), row.key(), row.value());
            }),
        );
    let job = job.start(Options::workers(1))?;

    // 3 seconds of event time, a click each 100 ms, by users 0, 1, 2 in turns.
    for i in 0..30 {
        input.send(&[Click { time_ns: i * 100_000_000, user: i as u64 % 3 }])?;
    }
    // The input ends: the last window fires, and the job with it.
    drop(input);
    let report = job.join()?;
    println!("{report}");
    assert_eq!(report.step("print").map(|sink| sink.rows_out), Some(9), "3 users in each of 3 windows");
    Ok(())
}
