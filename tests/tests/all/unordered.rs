//! Unordered sinks: the same rows as in order, each once, at any number of workers.

use pelton::{BoxError, Collected, Job, Options, Sink, Timestamp, Tumbling, VecSource, Watermarks, collect};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::{BOUND_NS, Exact, OrderHash, WINDOW_NS};
use pelton_tests::running::finish;
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
        .aggregate("exact", Exact)
        .sink_unordered("exact rows", exact_sink);
    let each = input.clone().key_by(|row| row.key).window(windows).aggregate("each", OrderHash);
    each.clone().main.sink_unordered("each row", ordered_sink);
    let odd = input.clone().filter(|row| row.a % 2 != 0);
    odd.union(input.clone().filter(|row| row.a % 2 == 0)).sink_unordered("union", union_sink);
    // A window that is combined reaches its sinks by a union.
    let combined = input.key_by(|row| row.key).window(windows).aggregate("exact again", Exact).main;
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
