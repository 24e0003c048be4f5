//! Unions and fan-out: rows with one cause keep one order, on few rows' worth of ring.

use pelton::{Job, Options, ProcessContext, ProcessFunction, Timestamp, Tumbling, VecSource, collect, count};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::running::finish;
use std::time::Duration;

/// Emits so many rows for each row.
#[derive(Clone)]
struct Emit(usize);

impl ProcessFunction<u64> for Emit {
    type In = Row;
    type State = u64;
    type Out = Row;
    fn on_row(&self, _: &u64, _: Timestamp, row: &Row, _: &mut u64, context: &mut ProcessContext<'_, Row>) {
        for i in 0..self.0 {
            context.emit(Row { b: row.b * 1000 + i as i64, ..*row });
        }
    }
}

/// Emits so many rows when a timer fires.
#[derive(Clone)]
struct EmitOnTimer(usize);

impl ProcessFunction<u64> for EmitOnTimer {
    type In = Row;
    type State = u64;
    type Out = Row;
    fn on_row(&self, _: &u64, time: Timestamp, _: &Row, _: &mut u64, context: &mut ProcessContext<'_, Row>) {
        context.timer(time.plus_nanos(1000));
    }
    fn on_timer(&self, key: &u64, time: Timestamp, _: &mut u64, context: &mut ProcessContext<'_, Row>) {
        for i in 0..self.0 {
            context.emit(Row { key: *key, a: time.as_nanos(), b: i as i64 });
        }
    }
}

fn input(events: usize) -> VecSource<Sample> {
    VecSource::new(samples(&Shape { events, keys: 20, step_ns: 100, disorder_ns: 0, seed: 3 }), 16)
}

fn row(sample: &Sample) -> Row {
    Row { key: sample.key, a: 0, b: sample.number as i64 }
}

fn copies(row: &Row, count: i64) -> impl Iterator<Item = Row> + use<> {
    let row = *row;
    (0..count).map(move |a| Row { a, ..row })
}

/// Runs a job made by `make` at several numbers of workers and ring sizes, with one output.
fn same_everywhere(rings: &[usize], make: impl Fn(&mut Job, pelton::Collect<Row>)) -> Vec<(Timestamp, Row)> {
    let mut expected = None;
    for workers in [1, 2, 3, 5] {
        for ring_bytes in rings {
            let mut job = Job::new("unions");
            let (sink, rows) = collect();
            make(&mut job, sink);
            let options = Options::workers(workers).ring_bytes(*ring_bytes);
            finish(job, options);
            let rows = rows.take();
            let expected = expected.get_or_insert_with(|| rows.clone());
            assert!(rows == *expected, "{workers} workers with rings of {ring_bytes} B");
        }
    }
    expected.unwrap()
}

#[test]
fn rows_of_one_cause_with_different_keys_keep_the_order_of_a_unions_inputs() {
    let rows = same_everywhere(&[1, 256 << 10], |job, sink| {
        let first = job.source("s", input(200)).map(row);
        let second = first.clone().map(|row| Row { key: row.key + 100, a: 1, ..*row });
        first.union(second).key_by(|row| row.key).process("p", Emit(1)).sink("out", sink);
    });
    assert!(rows.chunks(2).all(|pair| (pair[0].1.a, pair[1].1.a) == (0, 1) && pair[0].1.b == pair[1].1.b));
}

#[test]
fn rows_made_of_one_row_keep_their_order_through_a_keyed_step_and_a_union() {
    same_everywhere(&[1, 256 << 10], |job, sink| {
        let rows = job.source("s", input(200)).map(row);
        let first = rows.clone().flat_map(|row| copies(row, 3)).key_by(|row| row.key).process("first", Emit(1));
        let second = rows.key_by(|row| row.key).process("second", Emit(2));
        first.union(second).sink("out", sink);
    });
}

#[test]
fn a_timer_that_fires_more_rows_than_a_ring_holds_does_not_lock_up() {
    for (count, rings) in [(20, [1, 1000]), (5000, [64 << 10, 256 << 10])] {
        same_everywhere(&rings, |job, sink| {
            let rows = job.source("s", input(30)).map(row);
            let main = rows.key_by(|row| row.key).process("p", EmitOnTimer(count));
            main.clone().union(main.filter(|_| false)).sink("out", sink);
        });
    }
}

#[test]
fn rows_that_fan_out_to_more_than_a_ring_holds_do_not_lock_up() {
    for (count, rings) in [(100, [1, 1000]), (5000, [64 << 10, 256 << 10])] {
        same_everywhere(&rings, |job, sink| {
            let rows = job.source("s", input(30)).map(row);
            let fanned = rows.flat_map(move |row| copies(row, count));
            let main = fanned.key_by(|row| row.key).process("p", Emit(1));
            main.clone().union(main.filter(|_| false)).sink("out", sink);
        });
        same_everywhere(&rings, |job, sink| {
            let rows = job.source("s", input(30)).map(row).key_by(|row| row.key);
            let main =
                rows.window(Tumbling::of(Duration::from_nanos(1000))).aggregate_with("p", CountRows, counted).main;
            let fanned = main.clone().flat_map(move |row| copies(row, count));
            fanned.union(main.filter(|_| false)).sink("out", sink);
        });
    }
}

#[test]
fn a_late_output_may_join_the_main_one() {
    same_everywhere(&[1, 256 << 10], |job, sink| {
        let shape = Shape { events: 2000, keys: 9, step_ns: 100, disorder_ns: 5000, seed: 5 };
        let rows = job.source("s", VecSource::new(samples(&shape), 64)).map(row).key_by(|row| row.key);
        let output = rows.window(Tumbling::of(Duration::from_nanos(1000))).aggregate_with("p", CountRows, counted);
        output.main.union(output.late).key_by(|row| row.key % 4).process("q", Emit(2)).sink("out", sink);
    });
}

/// Counts rows into rows.
#[derive(Clone)]
struct CountRows;

impl pelton::Aggregate for CountRows {
    type In = Row;
    type Acc = u64;
    type Value = u64;
    fn add(&self, acc: &mut u64, _: Timestamp, _: &Row) {
        *acc += 1;
    }
    fn merge(&self, acc: &mut u64, later: &u64) {
        *acc += later;
    }
    fn value(&self, acc: &u64) -> u64 {
        *acc
    }
}

fn counted(pane: &pelton::Pane, key: &u64, rows: u64) -> Row {
    Row { key: *key, a: rows as i64, b: pane.window.start.as_nanos() }
}

/// Sets a timer in the past and emits when it fires.
#[derive(Clone)]
struct Past;

impl ProcessFunction<u64> for Past {
    type In = Row;
    type State = u64;
    type Out = Row;
    fn on_row(&self, _: &u64, time: Timestamp, _: &Row, _: &mut u64, context: &mut ProcessContext<'_, Row>) {
        context.timer(time.plus_nanos(-5000));
    }
    fn on_timer(&self, key: &u64, time: Timestamp, _: &mut u64, context: &mut ProcessContext<'_, Row>) {
        context.emit(Row { key: *key, a: time.as_nanos(), b: 0 });
    }
}

/// Runs windows over what a process function emits, and says how often each window fired and how many rows were late.
fn windows_behind<P>(shape: Shape, workers: usize, function: P) -> (Vec<usize>, u64)
where
    P: ProcessFunction<u64, In = Row, Out = Row>,
{
    let mut job = Job::new("behind");
    let (sink, rows) = collect();
    let keyed = job.source("s", VecSource::new(samples(&shape), 16)).map(|sample| Row { key: 1, ..row(sample) });
    let emitted = keyed.key_by(|row| row.key).process("p", function);
    let windows = emitted.key_by(|row| row.key).window(Tumbling::of(Duration::from_nanos(2000)));
    windows.aggregate("w", count()).sink("out", sink);
    let report = finish(job, Options::workers(workers));
    let ends: Vec<_> = rows.take().into_iter().map(|(time, _)| time).collect();
    let fired = ends.chunk_by(|a, b| a == b).map(<[_]>::len).collect();
    (fired, report.step("w").unwrap().late)
}

#[test]
fn a_window_that_has_fired_does_not_open_again_for_rows_behind() {
    for workers in [1, 3] {
        let shape = Shape { events: 300, keys: 20, step_ns: 100, disorder_ns: 9000, seed: 3 };
        let (fired, late) = windows_behind(shape, workers, Emit(1));
        assert!(fired.len() > 10 && fired.iter().all(|times| *times == 1));
        assert!(late > 0);
    }
}

#[test]
fn what_a_timer_of_the_past_emits_is_late_to_nobody() {
    for workers in [1, 3] {
        let shape = Shape { events: 300, keys: 20, step_ns: 100, disorder_ns: 0, seed: 3 };
        let (fired, late) = windows_behind(shape, workers, Past);
        assert!(fired.len() > 10 && fired.iter().all(|times| *times == 1));
        assert_eq!(late, 0);
    }
}
