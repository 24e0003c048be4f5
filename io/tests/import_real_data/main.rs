//! Imports of real market and telemetry data, compared with what other programs counted in it.
//! Without the data the tests say so and pass.

mod binance;
#[cfg(feature = "dbn")]
mod dbn;
mod lean;
mod nab;

use pelton::Event;
use pelton_io::capture::Capture;
use pelton_io::import::{Format, ImportOptions, ImportReport, import};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rows of a CSV file by column name.
fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    reader.records().map(|row| names.iter().cloned().zip(row.unwrap().iter().map(str::to_owned)).collect()).collect()
}

fn run(format: Format, inputs: &[PathBuf], output: &Path, options: &ImportOptions) -> ImportReport {
    let report = import(format, inputs, output, options, &mut |_| {}).unwrap();
    assert_eq!(report.read, report.written + report.rejected + report.skipped);
    report
}

/// The events of a capture.
fn read<T: Event>(path: &Path) -> Vec<T> {
    let capture = Capture::open(path).unwrap();
    assert_eq!(capture.layout().schema(), T::layout().schema());
    let (mut all, mut block) = (Vec::new(), Vec::new());
    for index in 0..capture.blocks().len() {
        block.clear();
        capture.read_raw(index, &mut block).unwrap();
        all.extend(bytemuck::pod_collect_to_vec::<u8, T>(&block));
    }
    all
}
