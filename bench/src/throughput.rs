//! Throughput of jobs over a capture, in turns with the loop written by hand for the same work.

use crate::{Entry, Error, Results, bandwidth, machine, work, yardstick};
use pelton::Report;
use pelton_io::capture::{self, CaptureWriter, Replay, WriterOptions};
use pelton_io::generate::{TradeOptions, symbol_names, trades};
use pelton_io::sink::Seen;
use pelton_io::{Trade, blackhole};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What [`throughput`] measures.
#[derive(Debug, Clone)]
pub struct ThroughputOptions {
    /// Trades of the generated capture, 32 bytes each. For figures that mean something the capture
    /// should be several times as large as the last cache.
    pub events: u64,
    /// Symbols of the generated capture.
    pub keys: u32,
    /// The size of the windows; the generated capture has a million trades per second.
    pub window: Duration,
    /// Numbers of workers of the keyed job.
    pub workers: Vec<usize>,
    /// Runs of each, at least 1; the figures are medians.
    pub runs: usize,
    /// Where the capture is made, in a directory of its own that is removed again.
    pub dir: PathBuf,
    /// A capture of trades to measure with, instead of a generated one. Its trades should not be out
    /// of order.
    pub capture: Option<PathBuf>,
    /// Numbers through the bare ring; 0 leaves that out.
    pub ring_events: u64,
    /// Bytes of the sequential read; 0 leaves that out.
    pub read_bytes: u64,
}

impl Default for ThroughputOptions {
    /// 2 GiB of trades, 10,000 symbols, 1-second windows, 1 and 2 workers, 5 runs.
    fn default() -> Self {
        Self {
            events: 1 << 26,
            keys: 10_000,
            window: Duration::from_secs(1),
            workers: vec![1, 2],
            runs: 5,
            dir: std::env::temp_dir(),
            capture: None,
            ring_events: 20_000_000,
            read_bytes: bandwidth::buffer_bytes(),
        }
    }
}

/// Writes a capture of generated trades, a million per second of event time, none out of order.
///
/// # Errors
/// When it cannot be written.
pub fn generate(path: &Path, events: u64, keys: u32) -> Result<(), Error> {
    let options = WriterOptions { symbols: symbol_names(keys).collect(), ..WriterOptions::default() };
    let mut writer = CaptureWriter::<Trade>::create(path, options)?;
    let mut trades = trades(&TradeOptions { events, keys, ..TradeOptions::default() });
    let mut batch = Vec::with_capacity(4096);
    loop {
        batch.clear();
        batch.extend(trades.by_ref().take(4096));
        if batch.is_empty() {
            writer.finish()?;
            return Ok(());
        }
        writer.extend(&batch)?;
    }
}

/// Measures throughput: see [`ThroughputOptions`].
///
/// # Errors
/// When something cannot be run, or a job's rows are not those of the hand-written loop.
pub fn throughput(options: &ThroughputOptions) -> Result<Results, Error> {
    throughput_with(options, &mut |_| {})
}

/// As [`throughput`]; `tell` hears what is being done.
///
/// # Errors
/// As for [`throughput`].
pub fn throughput_with(options: &ThroughputOptions, tell: &mut dyn FnMut(&str)) -> Result<Results, Error> {
    if options.window.is_zero() || i64::try_from(options.window.as_nanos()).is_err() {
        let (found, expected) = (format!("{:?}", options.window), "from 1 ns to 292 years");
        return Err(Error::Option { option: "window", found, expected });
    }
    let machine = machine::record();
    let mut results = Vec::new();
    let made = match &options.capture {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("pelton-bench-").tempdir_in(&options.dir)?),
    };
    let path = match (&options.capture, &made) {
        (Some(path), _) => path.clone(),
        (None, Some(made)) => {
            tell(&format!("generating {} trades", options.events));
            let path = made.path().join("trades.pelton");
            generate(&path, options.events, options.keys)?;
            path
        }
        (None, None) => unreachable!("without a capture one was made"),
    };
    let events = capture::Capture::open(&path)?.event_count();

    tell("keyed window");
    let window = options.window;
    let mut rivals = vec![Rival::Loop(Box::new(|source| {
        let mut sink = blackhole();
        yardstick::keyed_window(&source.into_blocks(), window, &mut sink).map(|_| sink.seen())
    }))];
    for &workers in &options.workers {
        rivals.push(Rival::Job(Box::new(move |source| work::window_job(source, window, workers))));
    }
    let times = interleave("keyed window", &path, options.runs, &mut rivals)?;
    for (workers, runs) in options.workers.iter().zip(&times[1..]) {
        let entry = Entry::of_runs(format!("keyed window, {}", count_of(*workers)), events, runs);
        results.push(entry.event_bytes(size_of::<Trade>()).against(events, &times[0]));
    }

    tell("filter and map");
    let mut rivals = [
        Rival::Loop(Box::new(|source| {
            let mut sink = blackhole();
            yardstick::stateless(&source.into_blocks(), &mut sink).map(|_| sink.seen())
        })),
        Rival::Job(Box::new(|source| work::stateless_job(source, 1))),
    ];
    let times = interleave("filter and map", &path, options.runs, &mut rivals)?;
    let entry = Entry::of_runs("filter and map, 1 worker", events, &times[1]);
    results.push(entry.event_bytes(size_of::<Trade>()).against(events, &times[0]));

    if options.ring_events > 0 {
        for (name, run) in [("ring, runs of 64", 64), ("ring, one at a time", 1)] {
            tell(name);
            let runs = repeat(options.runs, || yardstick::ring_throughput(options.ring_events, run))?;
            // A time, an order and a value of 8 bytes each.
            results.push(Entry::of_runs(name, options.ring_events, &runs).event_bytes(24));
        }
    }
    if options.read_bytes >= 8 {
        tell("sequential read");
        if let Some(buffer) = bandwidth::buffer(options.read_bytes) {
            let reads = repeat(options.runs, || bandwidth::read(&buffer))?;
            let runs: Vec<_> = reads.iter().map(|read| read.elapsed).collect();
            // In events of the capture's size, to be compared with the jobs above.
            let events = reads[0].bytes / size_of::<Trade>() as u64;
            results.push(Entry::of_runs("sequential read", events, &runs).event_bytes(size_of::<Trade>()));
        }
    }
    Ok(Results { machine, results })
}

fn count_of(workers: usize) -> String {
    if workers == 1 { "1 worker".into() } else { format!("{workers} workers") }
}

fn repeat<T>(runs: usize, run: impl Fn() -> Result<T, Error>) -> Result<Vec<T>, Error> {
    (0..runs.max(1)).map(|_| run()).collect()
}

type LoopOf<'a> = Box<dyn FnMut(Replay<Trade>) -> Result<Seen, pelton::BoxError> + 'a>;
type JobOf<'a> = Box<dyn FnMut(Replay<Trade>) -> Result<(Seen, Report), pelton::Error> + 'a>;

/// One way to do the work.
enum Rival<'a> {
    Loop(LoopOf<'a>),
    Job(JobOf<'a>),
}

impl Rival<'_> {
    /// Does the work once over a capture that is mapped anew; the time, and what came out.
    fn run(&mut self, name: &str, path: &Path) -> Result<(Duration, Seen), Error> {
        let start = Instant::now();
        let source = capture::replay::<Trade>(path)?;
        match self {
            Self::Loop(run) => {
                let seen = run(source).map_err(Error::Yardstick)?;
                Ok((start.elapsed(), seen))
            }
            Self::Job(run) => {
                let (seen, report) = run(source)?;
                let elapsed = start.elapsed();
                report.balance().map_err(|reason| Error::Balance { name: name.into(), reason })?;
                Ok((elapsed, seen))
            }
        }
    }
}

/// The times of each rival, which run in turns: what disturbs the machine meanwhile disturbs all.
///
/// A first round, which also brings the capture into memory, is not timed.
fn interleave(name: &str, path: &Path, runs: usize, rivals: &mut [Rival<'_>]) -> Result<Vec<Vec<Duration>>, Error> {
    let mut times = vec![Vec::new(); rivals.len()];
    let mut expected: Option<Seen> = None;
    for round in 0..runs.max(1) + 1 {
        for (rival, times) in rivals.iter_mut().zip(&mut times) {
            let (elapsed, seen) = rival.run(name, path)?;
            let first = expected.get_or_insert_with(|| seen.clone());
            for (expected, found) in [(first.count(), seen.count()), (first.hash(), seen.hash())] {
                if expected != found {
                    return Err(Error::Result { name: name.into(), expected, found });
                }
            }
            if round > 0 {
                times.push(elapsed);
            }
        }
    }
    Ok(times)
}
