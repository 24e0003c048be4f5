//! All ready-made operators in one job: the same bytes at any number of workers and size of blocks.

use crate::{
    DropOutput, Error, Event, Job, Keep, Options, Record, Repeats, ShapeError, Stream, Timestamp, VecSource,
    Watermarks, collect, max, sum,
};
use std::time::Duration;

/// What the sources have.
#[derive(Debug, Clone, Copy, Event)]
#[repr(C)]
struct Measured {
    #[event(time)]
    time_ns: i64,
    key: u64,
    value: i64,
    number: u64,
}

/// Gives the bytes that a sink got.
type Taken = Box<dyn Fn() -> Vec<u8>>;
/// The outputs of a job, by name.
type Outputs = Vec<(String, Taken)>;

/// Events out of order, some of equal times and some behind the bound, with pauses.
fn measured(events: u64, seed: u64) -> Vec<Measured> {
    let mut word = seed;
    let mut below = |limit: u64| {
        // A linear congruential generator (Knuth, MMIX).
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (word >> 33) % limit
    };
    let mut now = 0;
    let mut event = |number| {
        now += if below(50) == 0 { 300 } else { below(5) as i64 };
        let back = if below(3) == 0 { below(60) as i64 } else { 0 };
        Measured { time_ns: now - back, key: below(12), value: below(9) as i64, number }
    };
    (0..events).map(&mut event).collect()
}

fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn take<T: Record>(stream: Stream<T>, name: &str, outputs: &mut Outputs) {
    let (sink, rows) = collect();
    stream.sink(name, sink);
    let bytes = move || {
        let rows = rows.take();
        let bytes = rows
            .iter()
            .flat_map(|(time, row): &(Timestamp, T)| [bytemuck::bytes_of(time), bytemuck::bytes_of(row)].concat());
        bytes.collect()
    };
    outputs.push((name.to_owned(), Box::new(bytes)));
}

fn take_both<Out: Record, In: Record>(output: DropOutput<Out, In>, name: &str, outputs: &mut Outputs) {
    take(output.main, name, outputs);
    take(output.dropped, &format!("{name}, dropped"), outputs);
}

/// A job with all of them.
fn everything(block: usize) -> (Job, Outputs) {
    let (mut job, mut outputs) = (Job::new("library"), Vec::new());
    let watermarks = || Watermarks::bounded(nanos(25));
    let source = job.source("measured", VecSource::new(measured(1200, 1), block)).watermarks(watermarks());
    let table = job.source("table", VecSource::new(measured(500, 2), block)).watermarks(watermarks());
    let rows = || source.clone().key_by(|row| row.key);
    let to = &mut outputs;
    take_both(rows().deduplicate("unique", nanos(40)), "unique rows", to);
    take_both(rows().deduplicate("quiet", Repeats::since_seen(nanos(40))), "quiet rows", to);
    take_both(rows().rate_limit("limit", 3, nanos(100)), "limited", to);
    take_both(rows().changes("changes", |row| row.value / 3, nanos(200)), "changed", to);
    let difference = |before: Option<&Measured>, row: &Measured| row.value - before.map_or(-1, |before| before.value);
    take_both(rows().delta("deltas", difference, Keep::Forever), "differences", to);
    take_both(rows().threshold("alarms", |row| row.value, 2..=6, Keep::Forever), "transitions", to);
    take(rows().absence("absence", nanos(80), nanos(500)), "presences", to);
    take(rows().sample_first("firsts", nanos(50)).main, "first rows", to);
    let lasts = rows().sample_last("lasts", nanos(50));
    take(lasts.late, "last rows, late", to);
    take(lasts.main, "last rows", to);
    take_both(rows().sample_each("thirds", 3, nanos(200)), "third rows", to);
    let settled = rows().debounce("settled", nanos(30));
    take(settled.late, "settled rows, late", to);
    take(settled.main.clone(), "settled rows", to);
    take_both(rows().latest("latest", Keep::Forever), "latest rows", to);
    let aggregate = (sum(|row: &Measured| row.value), max(|row: &Measured| row.value));
    take(rows().running("running", aggregate, nanos(300)), "running values", to);
    let entries = || table.clone().key_by(|row| row.key);
    let sum = |row: &Measured, entry: &Measured| row.number * 1000 + entry.number;
    let sum_or_not = |row: &Measured, entry: Option<&Measured>| row.number * 1000 + entry.map_or(999, |row| row.number);
    take_both(rows().enrich(entries(), nanos(50)).inner("inner", sum), "inner rows", to);
    take(rows().enrich(entries(), Keep::Forever).left("left", sum_or_not), "left rows", to);
    let look_up = || rows().enrich_broadcast(table.clone(), |row| row.value as u64, |entry| entry.key);
    take_both(look_up().inner("broadcast inner", sum), "broadcast inner rows", to);
    take(look_up().left("broadcast left", sum_or_not), "broadcast left rows", to);
    // One behind another, over rows that were fired, also at the end of the input.
    let unique = settled.main.key_by(|row| row.key % 5).deduplicate("settled once", Repeats::since_seen(nanos(30)));
    take(unique.dropped.key_by(|row| row.key % 3).absence("settled silence", nanos(60), Keep::Forever), "silent", to);
    take_both(unique.main.key_by(|row| row.key % 2).rate_limit("settled limit", 2, nanos(80)), "settled limited", to);
    (job, outputs)
}

#[test]
fn all_operators_give_the_same_bytes_at_any_number_of_workers_and_size_of_blocks() {
    let mut expected: Option<Vec<Vec<u8>>> = None;
    for workers in [1, 2, 3, 8] {
        for block in [1, 64, 4096] {
            let (job, outputs) = everything(block);
            let handle = job.start(Options::workers(workers).pin(false).ring_bytes(1 << 12)).unwrap();
            let report = handle.join_within(Duration::from_secs(120)).unwrap();
            report.balance().unwrap();
            let found: Vec<Vec<u8>> = outputs.iter().map(|(_, taken)| taken()).collect();
            for ((name, _), bytes) in outputs.iter().zip(&found) {
                assert!(!bytes.is_empty(), "no {name}");
            }
            let expected = expected.get_or_insert_with(|| found.clone());
            for ((name, _), (found, expected)) in outputs.iter().zip(found.iter().zip(expected)) {
                assert!(found == expected, "other {name} on {workers} workers with blocks of {block}");
            }
        }
    }
}

#[test]
fn plans_call_each_operator_by_its_name() {
    let plan = everything(64).0.explain(Options::workers(1)).unwrap().to_string();
    for step in ["absence: absence, ", "running: running aggregate, ", "unique: deduplication, ", "latest: latest, "] {
        assert!(plan.lines().any(|line| line.starts_with(step)), "{step} in {plan}");
    }
    assert!(!plan.contains("process function"), "{plan}");
}

#[test]
fn rows_that_are_dropped_are_counted_whether_anything_takes_them_or_not() {
    for takes in [false, true] {
        let mut job = Job::new("dropped");
        let (sink, rows) = collect();
        let (dropped_sink, dropped) = collect();
        let events = measured(1200, 3);
        let unique =
            job.source("measured", VecSource::new(events, 64)).key_by(|row| row.key).deduplicate("unique", nanos(40));
        unique.main.sink("out", sink);
        if takes {
            unique.dropped.sink("dropped", dropped_sink);
        }
        let report = job.run(Options::workers(2).pin(false)).unwrap();
        report.balance().unwrap();
        let (kept, step) = (rows.take().len() as u64, report.step("unique").unwrap());
        assert!(kept > 0 && kept < 1200);
        assert_eq!((step.rows_in, step.rows_out, step.late), (1200, kept, 1200 - kept));
        assert_eq!(dropped.take().len() as u64, if takes { 1200 - kept } else { 0 });
    }
}

#[test]
fn reports_tell_what_each_operator_kept_and_dropped() {
    let report = everything(64).0.run(Options::workers(2).pin(false)).unwrap();
    let written = |sink: &str| report.step(sink).unwrap().rows_in;
    for (step, sink) in [
        ("unique", "unique rows"),
        ("quiet", "quiet rows"),
        ("limit", "limited"),
        ("changes", "changed"),
        ("deltas", "differences"),
        ("alarms", "transitions"),
        ("thirds", "third rows"),
        ("latest", "latest rows"),
        ("inner", "inner rows"),
        ("broadcast inner", "broadcast inner rows"),
        ("settled limit", "settled limited"),
    ] {
        let found = report.step(step).unwrap();
        assert_eq!((found.rows_out, found.late), (written(sink), written(&format!("{sink}, dropped"))), "{step}");
        assert!(found.late > 0, "{step} drops rows");
    }
}

#[test]
fn settings_that_cannot_be_are_told_when_the_job_is_to_run() {
    let mut job = Job::new("mistakes");
    let source = job.source("measured", VecSource::new(measured(3, 1), 64));
    let rows = || source.clone().key_by(|row| row.key);
    let sinks = [
        rows().deduplicate("unique", Duration::ZERO).main,
        rows().rate_limit("none", 0, nanos(9)).main,
        rows().rate_limit("no time", 9, Duration::ZERO).main,
        rows().sample_each("0th", 0, Keep::Forever).main,
        rows().sample_first("no period", Duration::ZERO).main,
        rows().debounce("no quiet", Duration::ZERO).main,
    ];
    for (number, stream) in sinks.into_iter().enumerate() {
        stream.sink(&format!("out {number}"), collect().0);
    }
    rows().threshold("equal", |row| row.value, 5..=5, Keep::Forever).main.sink("equal out", collect().0);
    rows().threshold("nan", |row| row.value as f64, 0.0..=f64::NAN, Keep::Forever).main.sink("nan out", collect().0);
    rows().absence("always", Duration::ZERO, Keep::Forever).sink("always out", collect().0);
    let Err(Error::Shape { mistakes, .. }) = job.run(Options::workers(1)) else { panic!("it runs") };
    let wrong = mistakes.iter().map(|mistake| match mistake {
        ShapeError::BadStep(step, _) | ShapeError::BadWindow(step, _) => step.as_str(),
        other => panic!("{other}"),
    });
    let mut wrong: Vec<_> = wrong.collect();
    wrong.sort_unstable();
    assert_eq!(wrong, ["0th", "always", "equal", "nan", "no period", "no quiet", "no time", "none", "unique"]);
}
