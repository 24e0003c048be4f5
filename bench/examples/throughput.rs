//! Measures throughput: `cargo run --release -p pelton-bench --example throughput -- --events 50000000`
//!
//! Options: `--events`, `--keys`, `--runs`, `--dir`, and `--out FILE.json` for the results instead of standard output;
//! `--latency SECONDS` measures latency instead; `--only loop|expert|job|stateless-loop|stateless-job` does the work
//! once, untimed, for a profiler, with `--workers`.

use pelton_bench::{LatencyOptions, ThroughputOptions, latency_with, throughput_with, work, yardstick};
use pelton_io::{Trade, blackhole, capture};
use std::time::Duration;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut options = ThroughputOptions::default();
    let mut only = None;
    let mut latency_seconds = None;
    let mut out = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--events" => options.events = value.parse()?,
            "--keys" => options.keys = value.parse()?,
            "--workers" => options.workers = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--runs" => options.runs = value.parse()?,
            "--dir" => options.dir = value.into(),
            "--latency" => latency_seconds = Some(value.parse()?),
            "--only" => only = Some(value),
            "--out" => out = Some(value),
            "--capture" => options.capture = Some(value.into()),
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    if let Some(only) = only {
        return once(&only, &options);
    }
    let tell = &mut |what: &str| eprintln!("{what} ..");
    let results = match latency_seconds {
        Some(seconds) => {
            let duration = Duration::from_secs(seconds);
            latency_with(&LatencyOptions { duration, ..LatencyOptions::default() }, tell)?
        }
        None => throughput_with(&options, tell)?,
    };
    println!("{results}");
    match out {
        Some(out) => std::fs::write(out, format!("{:#}\n", results.to_json()))?,
        None => println!("{}", results.to_json()),
    }
    Ok(())
}

/// Does one rival's work once, over a capture that is made first where it is not there.
fn once(rival: &str, options: &ThroughputOptions) -> Outcome {
    let path = options.capture.clone().unwrap_or_else(|| options.dir.join("pelton-once.pelton"));
    if !path.exists() {
        pelton_bench::generate(&path, options.events, options.keys)?;
    }
    let source = capture::replay::<Trade>(&path)?;
    let workers = options.workers.first().copied().unwrap_or(1);
    let mut sink = blackhole();
    let fail = |error: pelton::BoxError| -> Box<dyn std::error::Error> { error };
    match rival {
        "loop" => {
            yardstick::keyed_window(&source.into_blocks(), options.window, &mut sink).map_err(fail)?;
            println!("{} rows, hash {:x}", sink.seen().count(), sink.seen().hash());
        }
        "expert" => {
            let keys = yardstick::Keys::Dense(source.capture().symbols().len());
            let source = source.into_blocks();
            yardstick::expert_window::<Trade>(&source, options.window, Duration::ZERO, keys, &mut sink)
                .map_err(fail)?;
            println!("{} rows, hash {:x}", sink.seen().count(), sink.seen().hash());
        }
        "stateless-loop" => {
            let mut sink = blackhole();
            yardstick::stateless(&source.into_blocks(), &mut sink).map_err(fail)?;
            println!("{} rows, hash {:x}", sink.seen().count(), sink.seen().hash());
        }
        "job" => {
            let (seen, report) = work::window_job(source, options.window, workers)?;
            println!("{report}\n{} rows, hash {:x}", seen.count(), seen.hash());
        }
        "stateless-job" => {
            let (seen, report) = work::stateless_job(source, workers)?;
            println!("{report}\n{} rows, hash {:x}", seen.count(), seen.hash());
        }
        other => return Err(format!("unknown work {other}").into()),
    }
    Ok(())
}
