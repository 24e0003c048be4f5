//! A dashboard's feed: requests and the slowest of them by service, early each ten seconds and final at the end of each minute.
//!
//! Each row says whether it may still change, so that a chart draws the last minute as it grows and the others once.
//!
//! `cargo run --release -p pelton-io --example dashboard`

use pelton::{
    Job, Options, Pane, Record, Timestamp, Timing, Trigger, Tumbling, Tuple2, Watermarks, collect, count, max,
};
use pelton_io::sink::{Format, RowEncoder};
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;

#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Request {
    #[event(time)]
    time_ns: i64,
    service: u32,
    millis: u32,
}

/// A point of the chart.
#[derive(Clone, Copy, pelton::Record)]
#[repr(C, packed)]
struct Point {
    minute: Timestamp,
    service: u32,
    requests: u64,
    slowest_millis: i64,
    is_final: pelton::Bool,
}

/// Two minutes of requests: service 1 is asked each 20 s and takes longer and longer, service 2 once in a while. Some come
/// out of order.
fn requests() -> Vec<Request> {
    let request =
        |(second, service, millis)| Request { time_ns: 1_704_205_800 * SECOND + second * SECOND, service, millis };
    let seconds =
        [(1, 1, 10), (3, 2, 700), (21, 1, 12), (20, 2, 90), (41, 1, 15), (61, 1, 400), (60, 2, 80), (100, 1, 420)];
    seconds.map(request).to_vec()
}

/// The points as CSV.
pub(crate) fn run() -> Result<String, Box<dyn std::error::Error>> {
    let mut job = Job::new("dashboard");
    let (sink, points) = collect();
    let point = |pane: &Pane, service: &u32, both: Tuple2<u64, i64>| {
        let (requests, slowest_millis) = both.parts();
        let is_final = (pane.timing == Timing::OnTime).into();
        Point { minute: pane.window.start, service: *service, requests, slowest_millis, is_final }
    };
    job.source("requests", requests())
        .watermarks(Watermarks::bounded(Duration::from_secs(2)))
        .key_by(|request| request.service)
        .window(Tumbling::of(Duration::from_secs(60)))
        .trigger(Trigger::watermark().early_every(Duration::from_secs(10)))
        .aggregate_with("requests_1m", (count(), max(|request: &Request| request.millis.into())), point)
        .sink("points", sink);
    job.run(Options::workers(2))?.balance()?;

    let mut text = Vec::new();
    let mut encoder = RowEncoder::new(&Point::layout(), Format::Csv);
    encoder.header(&mut text);
    points.take().iter().for_each(|(_, row)| encoder.row(bytemuck::bytes_of(row), &mut text));
    Ok(String::from_utf8(text)?)
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    print!("{}", run()?);
    Ok(())
}
