//! Latency of running jobs, from the time an event was meant to be pushed to its row at the sink.

use crate::load::{self, Latencies, LatencySink, Ping, Schedule, ScheduledFeed, drive, percentiles};
use crate::{Entry, Error, Results, machine, passes, stall, work};
use hdrhistogram::Histogram;
use pelton::{Job, Options, ProcessContext, ProcessFunction, Source, Timestamp, push, slot_of, worker_of};
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// More than this tells no more of idle workers.
const PASSES_MAX: Duration = Duration::from_millis(500);

/// What [`latency`] measures.
#[derive(Debug, Clone)]
pub struct LatencyOptions {
    /// Events per second, one scenario each.
    pub rates: Vec<u64>,
    /// Numbers of workers. With 1 the job is push, map, sink; with more a keyed step stands between.
    /// Then there is a scenario in which all keys are the last worker's and its rows stay there: one
    /// hop; and one in which keys are anybody's and the sink is ordered: the rows of all workers but
    /// the first take a second hop, to it.
    pub workers: Vec<usize>,
    /// How long is measured, in whole seconds, at least 1.
    pub duration: Duration,
    /// How long load is sent before.
    pub warm_up: Duration,
    /// Keys of the keyed step.
    pub keys: u64,
    /// How long the machine's own stalls are measured, and passes of idle workers; 0 leaves both out.
    pub stall: Duration,
    /// Where interval logs (`.hlog`) go, one for each scenario.
    pub hlog_dir: Option<PathBuf>,
}

impl Default for LatencyOptions {
    /// 100,000 and 1,000,000 events per second, 1 and 2 workers, 10 s each.
    fn default() -> Self {
        Self {
            rates: vec![100_000, 1_000_000],
            workers: vec![1, 2],
            duration: Duration::from_secs(10),
            warm_up: Duration::from_secs(1),
            keys: 10_000,
            stall: Duration::from_secs(2),
            hlog_dir: None,
        }
    }
}

/// Measures latency: see [`LatencyOptions`].
///
/// # Errors
/// When a job fails or loses a row, or a log cannot be written.
pub fn latency(options: &LatencyOptions) -> Result<Results, Error> {
    latency_with(options, &mut |_| {})
}

/// As [`latency`]; `tell` hears what is being done.
///
/// # Errors
/// As for [`latency`].
pub fn latency_with(options: &LatencyOptions, tell: &mut dyn FnMut(&str)) -> Result<Results, Error> {
    if let Some(rate) = options.rates.iter().find(|rate| !(1..=1_000_000_000).contains(*rate)) {
        return Err(Error::Option { option: "rate", found: rate.to_string(), expected: "from 1 to 10^9" });
    }
    let mut machine = machine::record();
    let mut results = Vec::new();
    if !options.stall.is_zero() {
        tell("stalls of the machine");
        let stalls = stall::measure(options.stall);
        machine["stalls"] = stalls.to_json();
        let name = format!("a spinning thread on each core, {}/s", stall::EVENTS_PER_S);
        let mut entry = Entry { name, events_per_s: stall::EVENTS_PER_S as f64, ..Entry::default() };
        entry.more.insert("percentiles_ns".into(), percentiles(&stalls.lateness));
        results.push(entry);
    }
    if let Some(dir) = &options.hlog_dir {
        std::fs::create_dir_all(dir)?;
    }
    for &workers in &options.workers {
        for &rate in &options.rates {
            let input = if has_core_for_load(workers) { "push" } else { "feed" };
            let paths: &[_] = match workers {
                1 => &[(Path::Straight, "map, sink")],
                _ => &[(Path::OneHop, "key_by, process, one hop"), (Path::Ordered, "key_by, process, ordered sink")],
            };
            for &(path, steps) in paths {
                let name =
                    format!("{input}, {steps}, {workers} worker{}, {rate}/s", if workers == 1 { "" } else { "s" });
                tell(&name);
                results.push(scenario(options, name, workers, rate, path)?);
            }
        }
        if !options.stall.is_zero() {
            tell("passes of an idle worker");
            results.push(passes::measure(workers, options.stall.min(PASSES_MAX))?);
        }
    }
    Ok(Results { machine, results })
}

/// The way of a row from the source to the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Straight,
    OneHop,
    Ordered,
}

/// So many keys that the last worker owns.
fn keys_of_last(workers: usize, keys: u64) -> Arc<[u64]> {
    let is_last = |key: &u64| worker_of(slot_of(work::SEED.hash(key)), workers) == workers - 1;
    (0..).filter(is_last).take(keys.max(1) as usize).collect()
}

/// Passes each event on, marked by its key's count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Echo;

impl ProcessFunction<u64> for Echo {
    type In = Ping;
    type State = u64;
    type Out = Ping;

    fn on_row(&self, _: &u64, _: Timestamp, row: &Ping, count: &mut u64, context: &mut ProcessContext<'_, Ping>) {
        *count += 1;
        context.emit(Ping { value: *count, ..*row });
    }
}

/// Whether a generator of load has a core beside the workers. A thread more than cores would measure
/// the scheduler's time slices, of milliseconds.
fn has_core_for_load(workers: usize) -> bool {
    workers < machine::cores()
}

/// Events between the generator and the job.
const INPUT_EVENTS: usize = 1 << 16;

/// Latencies of an event that hops once: a source on the first of two workers gives it when it is due, by a ring it
/// comes to a keyed step on the second, and from there straight to the sink.
///
/// # Errors
/// When the job fails or loses a row.
pub fn hop_latencies(schedule: Schedule, warm_up: Duration) -> Result<Histogram<u64>, Error> {
    let run = run("one hop", Load { schedule, warm_up, is_pushed: false }, (2, work::options(2)), Path::OneHop)?;
    Ok(run.latencies.total())
}

/// Latencies of an event that a thread of the host program pushes to a job of one worker: from there by a map straight
/// to the sink.
///
/// # Errors
/// When the job fails or loses a row.
pub fn push_latencies(schedule: Schedule, warm_up: Duration) -> Result<Histogram<u64>, Error> {
    push_latencies_with(schedule, warm_up, work::options(1))
}

/// As [`push_latencies`], of a job that runs with these options, with one worker.
///
/// # Errors
/// As for [`push_latencies`].
pub(crate) fn push_latencies_with(
    schedule: Schedule,
    warm_up: Duration,
    options: Options,
) -> Result<Histogram<u64>, Error> {
    let run = run("pushed", Load { schedule, warm_up, is_pushed: true }, (1, options), Path::Straight)?;
    Ok(run.latencies.total())
}

/// What a job is fed.
#[derive(Debug, Clone, Copy)]
struct Load {
    schedule: Schedule,
    /// Events that are meant to be sent before are not recorded.
    warm_up: Duration,
    /// From a thread of its own, instead of by a source of the job.
    is_pushed: bool,
}

/// What came of a load.
struct Run {
    latencies: Latencies,
    elapsed: Duration,
    /// How late the thread that pushes was.
    lags: Option<Histogram<u64>>,
}

/// Feeds a job with a number of workers and its options.
fn run(name: &str, load: Load, (workers, options): (usize, Options), path: Path) -> Result<Run, Error> {
    let Load { schedule, warm_up, is_pushed } = load;
    let recorded = Duration::from_nanos(schedule.intended_ns(schedule.events)).saturating_sub(warm_up);
    let seconds = recorded.as_nanos().div_ceil(1_000_000_000) as usize;
    // The workers get a moment to start before the schedule does.
    let start = Instant::now() + Duration::from_millis(50);
    let (sink, recorded) = LatencySink::new(start, warm_up, seconds);
    let (input, source) = if is_pushed {
        let (input, source) = push::<Ping>(INPUT_EVENTS);
        (Some(input), source)
    } else {
        (None, Source::feed(ScheduledFeed::new(schedule, start)))
    };
    let mut job = Job::new("latency");
    let pings = job.source("pings", source);
    match path {
        Path::Straight => pings.map(|ping: &Ping| Ping { value: ping.number, ..*ping }).sink("out", sink),
        Path::Ordered => pings.key_by(|ping| ping.key).process("echo", Echo).sink("out", sink),
        Path::OneHop => {
            let (keys, sink) = (keys_of_last(workers, schedule.keys), Mutex::new(Some(sink)));
            let echoed = pings.key_by(move |ping| keys[ping.key as usize % keys.len()]).process("echo", Echo);
            echoed.sink_unordered("out", move |worker| {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                // The others get no rows.
                let last = if worker == workers - 1 { sink.take() } else { None };
                last.unwrap_or_else(|| LatencySink::new(start, warm_up, 1).0)
            });
        }
    }
    let handle = job.start(options)?;
    let lags = input.map(|mut input| {
        std::thread::sleep(start.saturating_duration_since(Instant::now()));
        drive(&schedule, start, |pings| input.try_send(pings))
    });
    let report = handle.join()?;
    let elapsed = start.elapsed();
    let lags = lags.transpose().map_err(|source| Error::Closed { name: name.to_owned(), source })?;
    report.balance().map_err(|reason| Error::Balance { name: name.to_owned(), reason })?;
    let latencies = recorded.take();
    let rows = latencies.as_ref().map_or(0, |latencies| latencies.rows);
    match latencies.filter(|_| rows == schedule.events) {
        Some(latencies) => Ok(Run { latencies, elapsed, lags }),
        None => Err(Error::Result { name: name.to_owned(), expected: schedule.events, found: rows }),
    }
}

fn scenario(options: &LatencyOptions, name: String, workers: usize, rate: u64, path: Path) -> Result<Entry, Error> {
    let seconds = options.duration.as_secs().max(1);
    let warm_up_events = (u128::from(rate) * options.warm_up.as_nanos() / 1_000_000_000) as u64;
    let schedule = Schedule { rate, events: warm_up_events + rate * seconds, keys: options.keys };
    let load = Load { schedule, warm_up: options.warm_up, is_pushed: has_core_for_load(workers) };
    let Run { latencies, elapsed, lags } = run(&name, load, (workers, work::options(workers)), path)?;
    let total = latencies.total();
    if let Some(dir) = &options.hlog_dir {
        let way = if path == Path::OneHop { "-one-hop" } else { "" };
        let file = format!("{workers}-workers{way}-{rate}-per-s.hlog");
        let mut out = BufWriter::new(File::create(dir.join(file))?);
        latencies.write_hlog(&mut out, &name, options.warm_up)?;
        std::io::Write::flush(&mut out)?;
    }
    let events_per_s = schedule.events as f64 / elapsed.as_secs_f64();
    let mut entry = Entry { name, events_per_s, ..Entry::default() };
    entry.more.insert("offered_per_s".into(), rate.into());
    entry.more.insert("percentiles_ns".into(), percentiles(&total));
    entry.more.insert("mean_ns".into(), total.mean().into());
    entry.more.insert("longer_than_10_s".into(), latencies.too_long.into());
    if let Some(lags) = lags {
        // How late the generator itself was: part of the latencies above.
        entry.more.insert("sent_late_ns".into(), load::percentiles(&lags));
    }
    Ok(entry)
}
