//! `pelton demo`: a complete job on made-up trades, and what it costs.

use crate::args::Demo;
use crate::disk;
use crate::error::{Failure, say};
use crate::progress::ReplayView;
use crate::signals::Signals;
use crate::temporary::Temporary;
use crate::units::{grouped, short_duration};
use crate::{generate, replay};
use pelton::Record;
use pelton::{Job, Options, Tumbling, collect};
use pelton_bench::{LatencyOptions, latency};
use pelton_io::Trade;
use pelton_io::bars::{Bar, Priced, bars};
use pelton_io::capture::Capture;
use pelton_io::generate::TradeOptions;
use pelton_io::output::Target;
use pelton_io::sink::{Format, RowEncoder};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bars that are printed from each end.
const SHOWN: usize = 3;
/// The load under which latency is measured, in events per second.
const RATE: u64 = 100_000;
const KEYS: u32 = 1_000;
const BLOCK_EVENTS: u32 = 4096;

pub(crate) fn run(args: &Demo) -> Result<(), Failure> {
    let mut out = io::stdout();
    let options = TradeOptions { events: args.events, keys: KEYS, ..TradeOptions::default() };
    // Known before anything is made.
    let what = format!("the events of --events {}", args.events);
    disk::check_room(&std::env::temp_dir(), &what, disk::trades_bytes(args.events, KEYS, BLOCK_EVENTS))?;
    let signals = Signals::watch()?;
    let directory = Temporary::new("pelton-demo", &signals)?;
    let file = directory.path().join("trades.pelton");
    let start = Instant::now();
    let summary = generate::write(&options, &Target::new(&file, false)?, BLOCK_EVENTS, &signals)?;
    let (events, mib) = (grouped(summary.events), summary.bytes >> 20);
    let seconds = start.elapsed().as_secs_f64();
    writeln!(out, "made       {events} trades of {} symbols, {mib} MiB, in {seconds:.2} s", grouped(KEYS.into()))?;

    let capture = Capture::open(&file)?;
    let mut job = Job::new("bars");
    let (sink, rows) = collect();
    let symbols = Arc::clone(job.symbols());
    job.source("trades", capture.replay::<Trade>()?)
        .key_by(Priced::symbol)
        .window(Tumbling::of(Duration::from_secs(1)))
        .aggregate_with("bars", bars(), Bar::new)
        .sink("out", sink);
    let workers = args.workers.map_or_else(Options::per_core, |workers| Options::workers(workers.into()));
    let view = ReplayView { events: args.events, first: None, times: None, out_of_orderness: Duration::ZERO };
    let report = replay::run_job(job, workers, &view, &signals)?;
    signals.check()?;
    let rows = rows.take();
    let mut encoder = RowEncoder::new(&Bar::layout(), Format::Csv);
    encoder.set_symbols(symbols);
    let mut text = Vec::new();
    encoder.header(&mut text);
    for (i, (_, bar)) in rows.iter().enumerate() {
        if i < SHOWN || i + SHOWN >= rows.len() {
            encoder.row(bytemuck::bytes_of(bar), &mut text);
        } else if i == SHOWN {
            text.extend_from_slice(b"..\n");
        }
    }
    writeln!(out, "bars       {} of 1 second each, first and last:", grouped(rows.len() as u64))?;
    for line in String::from_utf8_lossy(&text).lines() {
        writeln!(out, "  {line}")?;
    }
    let (rate, seconds) = (report.events_per_second() / 1e6, report.elapsed.as_secs_f64());
    let cores = if report.workers == 1 { "worker" } else { "workers" };
    writeln!(out, "throughput {rate:.1} M events/s: {events} trades in {seconds:.3} s, {} {cores}", report.workers)?;
    report.balance().map_err(Failure::failed)?;
    writeln!(out, "balance    every event is accounted for")?;
    out.flush()?;
    drop(directory);
    signals.end_at_once()?;
    show_latency(&mut out)
}

fn show_latency(out: &mut impl Write) -> Result<(), Failure> {
    say("measuring latency for 2 seconds");
    let options = LatencyOptions {
        rates: vec![RATE],
        workers: vec![1],
        duration: Duration::from_secs(2),
        warm_up: Duration::from_millis(300),
        stall: Duration::ZERO,
        ..LatencyOptions::default()
    };
    let results = latency(&options)?;
    let percentiles = results.results.first().and_then(|entry| entry.more.get("percentiles_ns"));
    let at = |name| percentiles.and_then(|percentiles| percentiles.get(name)).and_then(|nanos| nanos.as_u64());
    let parts = ["p50", "p99", "p99.9", "max"].map(|name| match at(name) {
        Some(nanos) => format!("{name} {}", short_duration(nanos)),
        None => format!("{name} unknown"),
    });
    let rate = grouped(RATE);
    writeln!(out, "latency    {}: from the intended push to the row, at {rate} events/s", parts.join(", "))?;
    Ok(())
}
