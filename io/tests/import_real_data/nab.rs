//! The series of the Numenta Anomaly Benchmark.

use super::{read, run, table};
use pelton_io::import::{Format, ImportOptions};
use pelton_tests::data::data;

#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Reading {
    #[event(time)]
    timestamp: pelton::Timestamp,
    value: f64,
}

#[test]
fn nab_series_have_the_rows_and_times_that_were_counted() {
    let Some(dir) = data("nab_series_have_the_rows_and_times_that_were_counted", "nab") else { return };
    let output = tempfile::tempdir().unwrap();
    let path = output.path().join("series.pelton");
    let options = ImportOptions {
        csv_schema: Some("timestamp:time[iso],value:f64".parse().unwrap()),
        strict: true,
        overwrite: true,
        ..ImportOptions::default()
    };
    let truth = table(&dir.join("TRUTH.csv"));
    assert!(truth.len() > 30);
    for row in &truth {
        let name = &row["file"];
        let report = run(Format::Csv, &[dir.join("data").join(name)], &path, &options);
        assert_eq!((report.written, report.skipped), (row["rows"].parse::<u64>().unwrap(), 1), "{name}");
        let readings: Vec<Reading> = read(&path);
        let iso = |text: &str| pelton_io::codec::time::iso(text.as_bytes(), Default::default()).unwrap();
        // First and last are the smallest and the largest time.
        let times = readings.iter().map(|reading| reading.timestamp.as_nanos());
        let range = (times.clone().min().unwrap(), times.clone().max().unwrap());
        assert_eq!(range, (iso(&row["first"]), iso(&row["last"])), "{name}");
        let behind = readings.windows(2).filter(|pair| pair[1].timestamp < pair[0].timestamp).count();
        assert_eq!(behind, row["out_of_order"].parse::<usize>().unwrap(), "{name}");
        let value = |name: &str| row[name].parse::<f64>().unwrap();
        let fold = |pick: fn(f64, f64) -> f64| readings.iter().map(|reading| reading.value).reduce(pick).unwrap();
        assert_eq!((fold(f64::min), fold(f64::max)), (value("min"), value("max")), "{name}");
        let sum: f64 = readings.iter().map(|reading| reading.value).sum();
        assert!((sum - value("sum")).abs() <= 1e-9 * sum.abs().max(1.0), "{name}: {sum}");
    }
}
