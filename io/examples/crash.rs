//! A job that is killed ten times and ends with the same file: `cargo run --release -p pelton-io --example crash`
//!
//! The program starts itself as a child, kills that after some milliseconds, and starts it again with the same state
//! directory, each time with another number of workers. In the end it compares the file with that of a run that nobody
//! disturbed.

use pelton::{CheckpointOptions, Job, Options, Report, Tumbling, Watermarks, vwap};
use pelton_io::{Trade, capture, csv, generate};
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const KILLS: u64 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [dir, workers] = &*arguments {
        run(Path::new(dir), "out.csv", workers.parse()?, true)?;
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    make_up_trades(&dir.path().join("trades.pelton"))?;
    let report = run(dir.path(), "expected.csv", 1, false)?;
    println!("without a crash: {} events", report.events_read());

    for kill in 1..=KILLS {
        let mut child = Command::new(std::env::current_exe()?)
            .args([dir.path().as_os_str(), (1 + kill % 3).to_string().as_ref()])
            .stderr(Stdio::inherit())
            .spawn()?;
        sleep(Duration::from_millis(kill * 7));
        child.kill()?;
        let status = child.wait()?;
        let bytes = std::fs::metadata(dir.path().join("out.csv")).map_or(0, |file| file.len());
        println!("killed after {:>2} ms ({status}), out.csv has {bytes} bytes", kill * 7);
    }
    let report = run(dir.path(), "out.csv", 2, true)?;
    println!("{report}");

    let [found, expected] = ["out.csv", "expected.csv"].map(|name| std::fs::read(dir.path().join(name)));
    if found? != expected? {
        return Err("the files differ".into());
    }
    println!("the files are the same");
    Ok(())
}

/// Averages prices into a file; a durable job saves its state every 5 ms, and goes on from it.
fn run(dir: &Path, name: &str, workers: usize, is_durable: bool) -> Result<Report, Box<dyn Error>> {
    let mut job = Job::new("vwap");
    let averages = job
        .source("trades", capture::replay::<Trade>(dir.join("trades.pelton"))?)
        .watermarks(Watermarks::bounded(Duration::from_millis(5)))
        .key_by(|trade| trade.symbol)
        .window(Tumbling::of(Duration::from_millis(100)))
        .aggregate("vwap_100ms", vwap(|trade: &Trade| trade.price, |trade| i64::from(trade.size)));
    averages.sink("out", csv::create(dir.join(name))?);
    let options = Options::workers(workers).pin(false);
    if !is_durable {
        return Ok(job.run(options)?);
    }
    let checkpoints = CheckpointOptions::in_directory(dir.join("state")).every(Duration::from_millis(5));
    Ok(job.run(options.checkpoints(checkpoints))?)
}

/// Five minutes of trades in 500 symbols, up to 5 ms out of order.
fn make_up_trades(path: &Path) -> Result<(), capture::CaptureError> {
    let disorder = Duration::from_millis(5);
    let options = generate::TradeOptions { events: 3_000_000, keys: 500, rate: 10_000, disorder, ..Default::default() };
    let symbols = generate::symbol_names(500).collect();
    let mut writer = capture::CaptureWriter::create(path, capture::WriterOptions { symbols, ..Default::default() })?;
    generate::trades(&options).try_for_each(|trade| writer.push(&trade))?;
    writer.finish().map(|_| ())
}
