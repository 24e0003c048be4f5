//! Telemetry: a CSV file is imported, windows of 5 minutes get mean and maximum, hot ones an alert.
//!
//! `cargo run --release -p pelton-io --example telemetry`

use pelton::{Aggregate, Job, Options, Pane, Symbol, Timestamp, Tumbling, Watermarks};
use pelton_io::import::{Format, ImportOptions, import};
use pelton_io::{capture::Capture, csv, jsonl};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Percent of load above which a window's mean is an alert.
const ALERT: f64 = 75.0;

/// The columns of the file; `value` is kept exactly, in thousandths.
const COLUMNS: &str = "timestamp:time[iso],machine:symbol,value:i64[1e3]";

/// A row of the capture that [`COLUMNS`] make; `pelton inspect` shows its layout.
#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Sample {
    #[event(time)]
    timestamp: Timestamp,
    value: i64,
    machine: Symbol,
    _filler: [u8; 4],
}

/// A window of one machine: all that its rows left.
#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct Load {
    window_end: Timestamp,
    #[event(decimals = 3)]
    mean: f64,
    #[event(decimals = 3)]
    max: f64,
    machine: Symbol,
    samples: u32,
}

#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct Sums {
    samples: u64,
    sum: i64,
    max: i64,
}

#[derive(Clone)]
struct MeanAndMax;

impl Aggregate for MeanAndMax {
    type In = Sample;
    type Acc = Sums;
    type Value = Sums;

    fn add(&self, acc: &mut Sums, _: Timestamp, sample: &Sample) {
        self.merge(acc, &Sums { samples: 1, sum: sample.value, max: sample.value });
    }

    fn merge(&self, acc: &mut Sums, later: &Sums) {
        acc.max = if acc.samples == 0 { later.max } else { acc.max.max(later.max) };
        acc.sum += later.sum;
        acc.samples += later.samples;
    }

    fn value(&self, acc: &Sums) -> Sums {
        *acc
    }
}

impl Load {
    fn new(pane: &Pane, machine: &Symbol, sums: Sums) -> Self {
        Self {
            window_end: pane.window.end,
            mean: sums.sum as f64 / sums.samples as f64 / 1e3,
            max: sums.max as f64 / 1e3,
            machine: *machine,
            samples: sums.samples as u32,
        }
    }
}

/// A day of two machines, a sample every 10 seconds; one of them is hot for half an hour. One line
/// is broken.
fn write_samples(path: &Path) -> std::io::Result<()> {
    let mut text = String::from("timestamp,machine,value\n");
    for second in (0..86_400).step_by(10) {
        let (hour, minute) = (second / 3600, second / 60 % 60);
        for machine in ["rack1", "rack2"] {
            let hot = machine == "rack2" && hour == 14 && minute < 30;
            let thousandths = 20_000 + (second * 7_919) % 30_000 + if hot { 45_000 } else { 0 };
            let (whole, rest, second) = (thousandths / 1_000, thousandths % 1_000, second % 60);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "2014-02-14 {hour:02}:{minute:02}:{second:02},{machine},{whole}.{rest:03}");
        }
    }
    text.push_str("2014-02-14 24:61:00,rack1,n/a\n");
    std::fs::write(path, text)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let (input, output) = (dir.path().join("load.csv"), dir.path().join("load.pelton"));
    write_samples(&input)?;
    let options = ImportOptions { csv_schema: Some(COLUMNS.parse()?), ..ImportOptions::default() };
    let imported = import(Format::Csv, &[input], &output, &options, &mut |_| {})?;
    println!("{} rows, {} rejected, {} skipped", imported.written, imported.rejected, imported.skipped);

    let mut job = Job::new("telemetry");
    let loads = job
        .source("samples", Capture::open(&output)?.replay::<Sample>()?)
        .watermarks(Watermarks::bounded(Duration::from_secs(10)))
        .key_by(|sample| sample.machine)
        .window(Tumbling::of(Duration::from_secs(300)))
        .aggregate_with("load_5m", MeanAndMax, Load::new);
    loads.main.clone().filter(|load| load.mean > ALERT).sink("alerts", jsonl::stdout());
    let all = dir.path().join("load_5m.csv");
    loads.sink("all", csv::create(&all)?);
    let report = job.run(Options::per_core())?;
    println!("{report}");
    println!("{} windows in all", std::fs::read_to_string(all)?.lines().count() - 1);

    let rows = |step: &str| report.step(step).map(|step| step.rows_out);
    assert_eq!((imported.written, imported.rejected), (17_280, 1));
    assert_eq!(rows("all"), Some(2 * 288), "two machines, 288 windows of 5 minutes a day");
    assert_eq!(rows("alerts"), Some(6), "half an hour of hot windows");
    Ok(())
}
