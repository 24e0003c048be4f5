//! `pelton bench`: what this machine does, as measured by `pelton-bench`.

use crate::args::{BenchLatency, BenchThroughput};
use crate::error::{Failure, say};
use crate::signals::Signals;
use crate::temporary::Temporary;
use pelton_bench::{Error, LatencyOptions, Results, ThroughputOptions};
use pelton_io::output::Target;
use std::io::{self, Write};
use std::path::Path;

pub(crate) fn throughput(args: BenchThroughput) -> Result<(), Failure> {
    let signals = Signals::watch()?;
    // Of this process, so that it can be removed when a signal ends it.
    let directory = Temporary::new("pelton-bench", &signals)?;
    let options = ThroughputOptions {
        events: args.events,
        keys: args.keys,
        window: args.window,
        workers: args.workers.into_iter().map(usize::from).collect(),
        runs: args.runs.into(),
        capture: args.capture,
        dir: directory.path().into(),
        ..ThroughputOptions::default()
    };
    show(args.json.as_deref(), args.overwrite, &signals, |tell| pelton_bench::throughput_with(&options, tell))
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
    let signals = Signals::watch()?;
    show(args.json.as_deref(), args.overwrite, &signals, |tell| pelton_bench::latency_with(&options, tell))
}

/// Measures, and shows the results.
fn show(
    json: Option<&Path>,
    overwrite: bool,
    signals: &Signals,
    measure: impl FnOnce(&mut dyn FnMut(&str)) -> Result<Results, Error>,
) -> Result<(), Failure> {
    // Made before what takes minutes, so that a wrong path is found at once.
    let json = json.map(|path| Target::new(path, overwrite)?.create()).transpose()?;
    if let Some(temporary) = json.as_ref().and_then(|json| json.temporary()) {
        signals.remove_at_exit(temporary);
    }
    signals.end_at_once()?;
    let results = measure(&mut |what| say(&format!("measuring {what}"))).map_err(|error| match error {
        Error::Option { .. } => Failure::usage(error.to_string()),
        error => error.into(),
    })?;
    if let Some(json) = json {
        writeln!(json.file()?, "{:#}", results.to_json())?;
        json.commit()?;
    }
    let mut out = io::stdout();
    write!(out, "{results}")?;
    out.flush()?;
    Ok(())
}
