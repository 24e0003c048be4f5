//! Average prices by the minute: a capture in, CSV out.
//!
//! `cargo run --release -p pelton-io --example vwap`

use pelton::{Job, Options, Tumbling, Watermarks, vwap};
use pelton_io::{Trade, capture, csv, generate};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("trades.pelton");
    make_up_trades(&path)?;

    let mut job = Job::new("vwap");
    let averages = job
        .source("trades", capture::replay::<Trade>(&path)?)
        .watermarks(Watermarks::bounded(Duration::from_millis(5)))
        .filter(|trade| trade.suspicious == 0)
        .key_by(|trade| trade.symbol)
        .window(Tumbling::of(Duration::from_secs(60)))
        .aggregate("vwap_1m", vwap(|trade: &Trade| trade.price, |trade| i64::from(trade.size)));
    averages.sink("out", csv::stdout());
    averages.late.sink("late", csv::create(dir.path().join("late.csv"))?);
    let report = job.run(Options::per_core())?;
    eprintln!("{report}");
    Ok(report.balance()?)
}

/// Three minutes of trades in 4 symbols, up to 5 ms out of order.
fn make_up_trades(path: &std::path::Path) -> Result<(), capture::CaptureError> {
    let disorder = Duration::from_millis(5);
    let options = generate::TradeOptions { events: 180_000, keys: 4, rate: 1_000, disorder, ..Default::default() };
    let symbols = generate::symbol_names(4).collect();
    let mut writer = capture::CaptureWriter::create(path, capture::WriterOptions { symbols, ..Default::default() })?;
    generate::trades(&options).try_for_each(|trade| writer.push(&trade))?;
    writer.finish().map(|_| ())
}
