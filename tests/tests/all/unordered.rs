//! Unordered sinks: the same rows as in order, each once, at any number of workers.

use pelton::testing::CrashingDisk;
use pelton::{
    BoxError, CheckpointOptions, Collected, Job, Options, Sink, Timestamp, Tumbling, VecSource, Watermarks, collect,
};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::{BOUND_NS, Exact, OrderHash, WINDOW_NS};
use pelton_tests::running::{DEADLINE, finish};
use pelton_tests::tape::Tape;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where the rows of each worker's sink are.
type Sinks = Arc<Mutex<Vec<Collected<Row>>>>;

fn sinks() -> (Sinks, impl Fn(usize) -> pelton::Collect<Row> + Send + Sync + 'static) {
    let sinks = Sinks::default();
    let all = sinks.clone();
    (sinks, move |_| {
        let (sink, rows) = collect();
        all.lock().unwrap().push(rows);
        sink
    })
}

/// Counts the sinks that were finished.
struct Finishing(pelton::Collect<Row>, Arc<AtomicUsize>);

impl Sink<Row> for Finishing {
    fn write(&mut self, times: &[Timestamp], rows: &[Row]) -> Result<usize, BoxError> {
        self.0.write(times, rows)
    }
    fn finish(&mut self) -> Result<(), BoxError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.finish()
    }
}

/// The rows of all sinks, sorted, and the number of sinks.
fn rows(sinks: &Sinks) -> (Vec<(Timestamp, Row)>, usize) {
    let sinks = sinks.lock().unwrap();
    let mut rows: Vec<_> = sinks.iter().flat_map(|sink| sink.take()).collect();
    rows.sort_by_key(|(time, row)| (*time, row.key, row.a, row.b));
    (rows, sinks.len())
}

/// A job with windows that are combined, windows that are not and a union, each to sinks of its own.
fn run(events: &[Sample], workers: usize) -> [(Vec<(Timestamp, Row)>, usize); 4] {
    let mut job = Job::new("unordered");
    let input = job
        .source("samples", VecSource::new(events.to_vec(), 128))
        .watermarks(Watermarks::bounded(Duration::from_nanos(BOUND_NS)))
        .map(|sample: &Sample| Row { key: sample.key, a: sample.value, b: sample.number as i64 });
    let windows = Tumbling::of(Duration::from_nanos(WINDOW_NS));
    let outputs = [sinks(), sinks(), sinks(), sinks()];
    let [(exact, exact_sink), (ordered, ordered_sink), (union, union_sink), (both, both_sink)] = outputs;
    let finished = Arc::new(AtomicUsize::new(0));
    input
        .clone()
        .key_by(|row| row.key)
        .window(windows)
        .aggregate_with("exact", Exact, Exact::row)
        .sink_unordered("exact rows", exact_sink);
    let each = input.clone().key_by(|row| row.key).window(windows).aggregate_with("each", OrderHash, OrderHash::row);
    each.clone().main.sink_unordered("each row", ordered_sink);
    let odd = input.clone().filter(|row| row.a % 2 != 0);
    odd.union(input.clone().filter(|row| row.a % 2 == 0)).sink_unordered("union", union_sink);
    // A window that is combined reaches its sinks by a union.
    let combined = input.key_by(|row| row.key).window(windows).aggregate_with("exact again", Exact, Exact::row).main;
    let counted = finished.clone();
    combined.union(each.main).sink_unordered("windows", move |worker| Finishing(both_sink(worker), counted.clone()));
    finish(job, Options::workers(workers));
    assert_eq!(finished.load(Ordering::Relaxed), workers, "each sink is finished");
    [rows(&exact), rows(&ordered), rows(&union), rows(&both)]
}

#[test]
fn all_rows_come_once_whatever_the_number_of_workers() {
    let events = samples(&Shape { events: 20_000, keys: 50, step_ns: 100, disorder_ns: 160_000, seed: 11 });
    let expected = run(&events, 1);
    assert!(expected.iter().all(|(rows, sinks)| rows.len() > 500 && *sinks == 1));
    assert_eq!(expected[2].0.len(), events.len());
    for workers in [2, 3, 8] {
        for (found, expected) in run(&events, workers).iter().zip(&expected) {
            assert_eq!(found.1, workers, "a sink for each worker");
            assert!(found.0 == expected.0, "{workers} workers");
        }
    }
}

/// Runs a job with a sink on each worker up to a savepoint, and then at another number of workers; the second outcome.
fn go_on_elsewhere<S: Sink<Row>>(
    make: impl Fn(usize) -> S + Clone + Send + Sync + 'static,
    workers: [usize; 2],
) -> Result<(), String> {
    let events = samples(&Shape { events: 5000, keys: 5, step_ns: 100, disorder_ns: 0, seed: 3 });
    let disk = CrashingDisk::new();
    let start = |workers: usize, speed: Option<f64>| {
        let mut job = Job::new("unordered");
        let source = pelton_tests::running::paced(&events, 64, speed);
        let rows = job.source("samples", source).map(|sample: &Sample| Row { key: sample.key, a: sample.value, b: 0 });
        rows.sink_unordered("each", make.clone());
        let checkpoints = CheckpointOptions::in_storage(disk.storage());
        job.start(Options::workers(workers).pin(false).checkpoints(checkpoints))
    };
    // At this speed it would take an hour.
    let report = start(workers[0], Some(0.000_000_1)).unwrap().stop_with_savepoint().unwrap();
    assert!(report.recovery.unwrap().at_savepoint);
    let handle = start(workers[1], None).map_err(|error| error.to_string())?;
    handle.join_within(DEADLINE).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn sinks_that_say_where_they_stand_go_on_with_as_many_workers_and_others_with_any() {
    let tapes: Arc<Vec<Tape>> = Arc::new((0..3).map(|_| Tape::default()).collect());
    let taped = move |worker: usize| tapes[worker].sink();
    go_on_elsewhere(taped.clone(), [2, 2]).unwrap();
    let error = go_on_elsewhere(taped, [2, 3]).unwrap_err();
    for part in ["sink `each`", "says where its output stands", "was on 2 and is on 3", "start the job with 2 workers"]
    {
        assert!(error.contains(part), "{error}");
    }
    let called = |_| pelton::callback(|_, _: &Row| {});
    let numbered = |_| pelton::callback_numbered(|_, _, _: &Row| {});
    for workers in [[2, 3], [3, 1], [1, 2]] {
        go_on_elsewhere(called, workers).unwrap();
        go_on_elsewhere(numbered, workers).unwrap();
    }
}
