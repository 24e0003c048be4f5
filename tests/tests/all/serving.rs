//! How many workers a job gets that may have two, and how rows that lie behind are ordered.

use pelton::{
    Job, JobPlan, Key, Options, PlanFormat, Source, Symbol, Tumbling, VecSource, Watermarks, collect, last, push,
};
use pelton_tests::events::{Row, Shape, samples};
use pelton_tests::jobs::{Kind, job};
use std::time::Duration;

/// Symbols of a few readings, and as many as do not stay in a cache.
const FEW: usize = 1000;
const MANY: usize = 40_000;

/// A reading of a symbol.
#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Reading {
    #[event(time)]
    time_ns: i64,
    key: u32,
    symbol: Symbol,
}

/// A reading for each microsecond, of one symbol after another.
fn readings(count: i64) -> Vec<Reading> {
    let reading = |number| Reading { time_ns: number * 1000, key: 0, symbol: Symbol::from_id(number as u32 % 1000) };
    (0..count).map(reading).collect()
}

fn job_with_symbols(symbols: usize) -> Job {
    let job = Job::new("serving");
    (0..symbols).for_each(|symbol| assert!(job.symbols().intern(&format!("S{symbol}")).is_ok()));
    job
}

/// The plan of windows by key over readings, whose last one is not combined, for at most so many workers.
fn plan<K: Key>(
    source: impl Into<Source<Reading>>,
    key_of: fn(&Reading) -> K,
    window: Duration,
    (symbols, options): (usize, Options),
) -> JobPlan {
    let mut job = job_with_symbols(symbols);
    let source = job.source("readings", source).watermarks(Watermarks::ascending());
    let windows = source.map(|reading| *reading).key_by(key_of).window(Tumbling::of(window));
    windows.aggregate("last", last(|reading: &Reading| reading.key.into())).sink("out", collect().0);
    job.explain(options).unwrap()
}

/// The workers of a plan, and whether it says why there are no more.
fn workers(plan: &JobPlan) -> (u64, bool) {
    let json: serde_json::Value = serde_json::from_str(&plan.to(PlanFormat::Json)).unwrap();
    let has_reason = json["reason"].is_string();
    assert_eq!(has_reason, plan.to_string().contains("no more workers: "), "{plan}");
    (json["workers"].as_u64().unwrap(), has_reason)
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_second_worker_comes_where_it_serves() {
    let source = || VecSource::new(readings(20_000), 100);
    let symbol = |reading: &Reading| reading.symbol;
    // A row for nearly each of 100 events; few rows, in a window of all 20,000; few symbols.
    assert_eq!(workers(&plan(source(), symbol, MS / 10, (MANY, Options::at_most(2)))), (2, false));
    assert_eq!(workers(&plan(source(), symbol, 1000 * MS, (MANY, Options::at_most(2)))), (1, true));
    assert_eq!(workers(&plan(source(), symbol, MS / 10, (FEW, Options::at_most(2)))), (1, true));
    // Of keys that are no symbols there may be few.
    assert_eq!(workers(&plan(source(), |reading| reading.key, MS / 10, (MANY, Options::at_most(2)))), (1, true));
    // Late events become no rows.
    let mut late = readings(20_000);
    late.iter_mut().skip(100).step_by(2).for_each(|reading| reading.time_ns -= 90_000);
    assert_eq!(workers(&plan(VecSource::new(late, 10), symbol, MS / 10, (MANY, Options::at_most(2)))), (1, true));
    // Asked for, or more than two.
    assert_eq!(workers(&plan(source(), symbol, 10 * MS, (FEW, Options::workers(2)))), (2, false));
    assert_eq!(workers(&plan(source(), symbol, 10 * MS, (FEW, Options::at_most(3)))), (3, false));
    assert_eq!(workers(&plan(source(), symbol, 10 * MS, (FEW, Options::at_most(1)))), (1, false));
    // Live, or at a recorded speed.
    let (_input, live) = push::<Reading>(64);
    assert_eq!(workers(&plan(live, symbol, 10 * MS, (FEW, Options::at_most(2)))), (2, false));
    let paced = Source::from(source()).speed(1.0);
    assert_eq!(workers(&plan(paced, symbol, 10 * MS, (FEW, Options::at_most(2)))), (2, false));
    // Without events there is nothing to share.
    let nothing = VecSource::new(Vec::new(), 100);
    assert_eq!(workers(&plan(nothing, symbol, 10 * MS, (FEW, Options::at_most(2)))), (2, false));
}

#[test]
fn steps_that_may_take_any_time_or_are_combined_get_all_workers() {
    let events =
        || VecSource::new(samples(&Shape { events: 5_000, keys: 9, step_ns: 100, disorder_ns: 0, seed: 1 }), 64);
    let of = |kind| workers(&job(kind, events()).job.explain(Options::at_most(2)).unwrap());
    assert_eq!(of(Kind::Window), (1, true));
    for kind in [Kind::Combined, Kind::TwoExchanges, Kind::Timers, Kind::Diamond, Kind::SelfUnion, Kind::Stateless] {
        assert_eq!(of(kind), (2, false), "{kind:?}");
    }
}

#[test]
fn a_job_that_gets_one_worker_runs_on_one() {
    let mut job = job_with_symbols(FEW);
    let (sink, rows) = collect();
    let counts = job.source("readings", VecSource::new(readings(20_000), 100)).key_by(|reading| reading.key);
    let last = counts.window(Tumbling::of(MS)).aggregate("last", last(|reading: &Reading| reading.time_ns));
    last.sink("out", sink);
    let report = pelton_tests::running::finish(job, Options::at_most(2));
    assert_eq!((report.workers, rows.take().len()), (1, 20));
}

#[test]
fn rows_carry_clocks_where_many_lie_behind() {
    let order = |disorder_ns, bound_ns| {
        let events = samples(&Shape { events: 10_000, keys: 9, step_ns: 100, disorder_ns, seed: 1 });
        let mut job = Job::new("order");
        let source = job.source("samples", VecSource::new(events, 64));
        let rows = source.watermarks(Watermarks::bounded(Duration::from_nanos(bound_ns))).map(|sample| Row {
            key: sample.key,
            a: sample.value,
            b: 0,
        });
        let hashed = rows.key_by(|row| row.key).window(Tumbling::of(MS));
        hashed.aggregate("last", last(|row: &Row| row.a)).sink("out", collect().0);
        let plan = job.explain(Options::workers(2)).unwrap().to_string();
        plan.contains("ordered by position and clock")
    };
    assert!(order(100_000, 0));
    assert!(!order(0, 0) && !order(100_000, 100_000));
}
