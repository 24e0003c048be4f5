//! `pelton bench`: what this machine does, as measured by `pelton-bench`.

use crate::args::{BenchLatency, BenchThroughput};
use crate::error::{Failure, say};
use pelton_bench::{Error, LatencyOptions, Results, ThroughputOptions};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) fn throughput(args: BenchThroughput) -> Result<(), Failure> {
    let options = ThroughputOptions {
        events: args.events,
        keys: args.keys,
        window: args.window,
        workers: args.workers.into_iter().map(usize::from).collect(),
        runs: args.runs.into(),
        capture: args.capture,
        ..ThroughputOptions::default()
    };
    show(args.json, |tell| pelton_bench::throughput_with(&options, tell))
}

pub(crate) fn latency(args: BenchLatency) -> Result<(), Failure> {
    let options = LatencyOptions {
        rates: args.rates,
        workers: args.workers.into_iter().map(usize::from).collect(),
        duration: args.duration,
        warm_up: args.warm_up,
        hlog_dir: args.hlog,
        ..LatencyOptions::default()
    };
    show(args.json, |tell| pelton_bench::latency_with(&options, tell))
}

/// Measures, and shows the results.
fn show(
    json: Option<PathBuf>,
    measure: impl FnOnce(&mut dyn FnMut(&str)) -> Result<Results, Error>,
) -> Result<(), Failure> {
    // Created before what takes minutes, so that a wrong path is found at once.
    let json = json.map(|path| File::create(&path).map(|file| (file, path.clone())).map_err(|e| unwritten(&path, &e)));
    let json = json.transpose()?;
    let results = measure(&mut |what| say(&format!("measuring {what}"))).map_err(|error| match error {
        Error::Option { .. } => Failure::usage(error.to_string()),
        error => error.into(),
    })?;
    if let Some((mut file, path)) = json {
        writeln!(file, "{:#}", results.to_json()).map_err(|error| unwritten(&path, &error))?;
    }
    let mut out = io::stdout();
    write!(out, "{results}")?;
    out.flush()?;
    Ok(())
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{}: cannot write the results: {error}", path.display()))
}
