//! The smallest program with the engine inside: push clicks, take each user's count for each minute.
//!
//! `cargo run -p pelton --example embed`

use pelton::{Job, Options, Timestamp, Tumbling, channel, count, push};
use std::time::Duration;

#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Click {
    #[event(time)]
    time: Timestamp,
    user: u64,
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut job = Job::new("clicks");
    let ((mut input, clicks), (sink, mut counts)) = (push::<Click>(1024), channel(1024));
    job.source("clicks", clicks)
        .key_by(|click| click.user)
        .window(Tumbling::of(Duration::from_secs(60)))
        .aggregate("clicks_1m", count())
        .sink("counts", sink);
    let job = job.start(Options::workers(1))?;
    // A click each second, for two minutes and a half.
    (0..150).try_for_each(|i| input.send_one(Click { time: Timestamp::from_secs(i), user: i as u64 % 2 }))?;
    // The input ends: the last window fires, and the job with it.
    drop(input);
    for (_, row) in counts.iter() {
        println!("{}: user {} clicked {} times", row.window().start, row.key(), row.value());
    }
    Ok(job.join()?.balance()?)
}
