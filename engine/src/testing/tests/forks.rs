//! Stateless steps with several outputs against a plain loop: at any number of workers, live, and on from a savepoint.

use crate::testing::CrashingDisk;
use crate::{
    CheckpointOptions, Collected, Emitter, Error, Event, Job, Options, ProcessContext, ProcessFunction, Record,
    ShapeError, Source, Stream, Timestamp, Tumbling, VecSource, Watermarks, collect, count, push,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What the source has.
#[derive(Debug, Clone, Copy, Event)]
#[repr(C)]
struct Sample {
    #[event(time)]
    time_ns: i64,
    key: u64,
    value: i64,
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Record)]
#[repr(C)]
struct Parsed {
    key: u64,
    value: i64,
    number: u64,
}

/// An error: what could not be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Record)]
#[repr(C)]
struct Rejected {
    value: i64,
    number: u64,
}

const SAMPLES: usize = 2000;
const BOUND_NS: i64 = 20;

/// Events out of order, some of equal times and some behind the bound.
fn samples() -> Vec<Sample> {
    let sample = |at: usize| {
        let mixed = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let back = if mixed.is_multiple_of(3) { mixed / 3 % 40 } else { 0 };
        Sample {
            time_ns: at as i64 * 2 - back as i64,
            key: mixed / 120 % 7,
            value: (mixed / 840 % 24) as i64 - 4,
            number: at as u64,
        }
    };
    (0..SAMPLES).map(sample).collect()
}

fn is_known(sample: &Sample) -> bool {
    sample.value != 5
}

fn parse(sample: &Sample) -> Result<Parsed, Rejected> {
    let Sample { key, value, number, .. } = *sample;
    if value % 4 == 0 { Err(Rejected { value, number }) } else { Ok(Parsed { key, value, number }) }
}

/// Copies and numbers, and rows that nobody takes.
fn copies(row: &Parsed, out: &mut Emitter<'_, (Parsed, u64, Parsed)>) {
    out.emit_to::<2>(*row);
    for copy in 0..row.value.rem_euclid(3) {
        if copy == 1 {
            out.emit_to::<1>(row.number);
        }
        out.emit(Parsed { value: row.value + copy, ..*row });
    }
}

/// Numbers the rows of each key.
#[derive(Clone)]
struct Numbered;

impl ProcessFunction<u64> for Numbered {
    type In = Parsed;
    type State = u64;
    type Out = Parsed;

    fn on_row(&self, _: &u64, _: Timestamp, row: &Parsed, rows: &mut u64, context: &mut ProcessContext<'_, Parsed>) {
        *rows += 1;
        context.emit(Parsed { number: *rows, ..*row });
    }
}

/// The rows of fifths are errors, and the others become up to two.
fn divide(row: &Parsed) -> Result<impl IntoIterator<Item = u64> + use<>, u64> {
    let number = row.number;
    if number.is_multiple_of(5) { Err(number) } else { Ok(std::iter::repeat_n(number, number as usize % 3)) }
}

/// Rows of an output with their times.
type Timed<T> = Vec<(i64, T)>;

/// What the job gives, or the loop.
#[derive(Debug, Default, PartialEq)]
struct Found {
    rejected: Timed<Rejected>,
    copies: Timed<Parsed>,
    both: Timed<u64>,
    counts: Timed<u64>,
    fifths: Timed<u64>,
}

impl Found {
    fn add(&mut self, more: Self) {
        self.rejected.extend(more.rejected);
        self.copies.extend(more.copies);
        self.both.extend(more.both);
        self.counts.extend(more.counts);
        self.fifths.extend(more.fifths);
    }

    /// The rows of each sink by its name.
    fn sizes(&self) -> [(&'static str, usize); 5] {
        [
            ("rejected", self.rejected.len()),
            ("copies", self.copies.len()),
            ("both", self.both.len()),
            ("counts", self.counts.len()),
            ("fifths", self.fifths.len()),
        ]
    }
}

fn expected() -> Found {
    let mut found = Found::default();
    let mut rows = BTreeMap::<u64, u64>::new();
    for sample in samples().iter().filter(|sample| is_known(sample)) {
        let time = sample.time_ns;
        let row = match parse(sample) {
            Ok(row) => row,
            Err(rejected) => {
                found.rejected.push((time, rejected));
                continue;
            }
        };
        let made: Vec<_> = (0..row.value.rem_euclid(3)).map(|copy| Parsed { value: row.value + copy, ..row }).collect();
        found.copies.extend(made.iter().map(|copy| (time, *copy)));
        // The copies of a row come before its number.
        found.both.extend(made.iter().map(|copy| (time, copy.value as u64)));
        found.both.extend((made.len() > 1).then_some((time, row.number)));
        for copy in &made {
            let number = rows.entry(copy.key).or_default();
            *number += 1;
            if number.is_multiple_of(5) {
                found.fifths.push((time, *number));
            } else {
                found.counts.extend(vec![(time, *number); *number as usize % 3]);
            }
        }
    }
    found
}

/// The job's sinks, and how often its functions were called.
struct Taken {
    rejected: Collected<Rejected>,
    copies: Collected<Parsed>,
    both: Collected<u64>,
    counts: Collected<u64>,
    fifths: Collected<u64>,
    parsed: Arc<AtomicUsize>,
    copied: Arc<AtomicUsize>,
}

impl Taken {
    fn found(&self) -> Found {
        fn timed<T: Record>(rows: &Collected<T>) -> Timed<T> {
            rows.take().into_iter().map(|(time, row)| (time.as_nanos(), row)).collect()
        }
        Found {
            rejected: timed(&self.rejected),
            copies: timed(&self.copies),
            both: timed(&self.both),
            counts: timed(&self.counts),
            fifths: timed(&self.fifths),
        }
    }
}

fn take<T: Record>(stream: Stream<T>, name: &str) -> Collected<T> {
    let (sink, rows) = collect();
    stream.sink(name, sink);
    rows
}

fn job(source: impl Into<Source<Sample>>) -> (Job, Taken) {
    let mut job = Job::new("forks");
    let [parsed, copied]: [Arc<AtomicUsize>; 2] = Default::default();
    let (parsing, copying) = (parsed.clone(), copied.clone());
    let bound = Duration::from_nanos(BOUND_NS as u64);
    let (rows, rejected) =
        job.source("samples", source).watermarks(Watermarks::bounded(bound)).filter(is_known).try_map(move |sample| {
            parsing.fetch_add(1, Ordering::Relaxed);
            parse(sample)
        });
    let (first, second, _) = rows.flat_map_to(move |row, out: &mut Emitter<'_, (Parsed, u64, Parsed)>| {
        copying.fetch_add(1, Ordering::Relaxed);
        copies(row, out);
    });
    let both = first.clone().map(|row| row.value as u64).union(second);
    let numbered = first.clone().key_by(|row| row.key).process("numbered", Numbered);
    let (counts, fifths) = numbered.try_flat_map(divide);
    let taken = Taken {
        rejected: take(rejected, "rejected"),
        copies: take(first, "copies"),
        both: take(both, "both"),
        counts: take(counts, "counts"),
        fifths: take(fifths, "fifths"),
        parsed,
        copied,
    };
    (job, taken)
}

/// Holds a whole run against the loop: the rows, the calls, and the report.
fn hold((taken, report): (&Taken, &crate::Report), expected: &Found, what: &str) {
    let found = taken.found();
    assert!(found == *expected, "{what}");
    let known = samples().iter().filter(|sample| is_known(sample)).count();
    assert_eq!(taken.parsed.load(Ordering::Relaxed), known, "{what}: once for each row");
    assert_eq!(taken.copied.load(Ordering::Relaxed), known - expected.rejected.len(), "{what}: once for each row");
    report.balance().unwrap();
    for (sink, rows) in expected.sizes() {
        assert!(rows > 50, "{sink}");
        let step = report.step(sink).unwrap();
        assert_eq!((step.rows_in, step.rows_out), (rows as u64, rows as u64), "{what}: {sink}");
    }
    let names: Vec<_> = report.steps.iter().map(|step| &*step.name).collect();
    assert_eq!(names, ["samples", "numbered", "rejected", "copies", "both", "counts", "fifths"], "{what}");
}

#[test]
fn any_number_of_workers_gives_the_rows_of_a_plain_loop() {
    let expected = expected();
    for workers in [1, 2, 3, 8] {
        for block in [1, 64, 4096] {
            for ring_bytes in [1, 1 << 16] {
                let (job, taken) = job(VecSource::new(samples(), block));
                let options = Options::workers(workers).pin(false).ring_bytes(ring_bytes);
                let report = job.start(options).unwrap().join_within(Duration::from_secs(120)).unwrap();
                let what = format!("{workers} workers, blocks of {block}, rings of {ring_bytes} B");
                hold((&taken, &report), &expected, &what);
            }
        }
    }
}

#[test]
fn live_rows_are_those_of_a_plain_loop() {
    let expected = expected();
    for workers in [1, 2, 3] {
        let (mut input, source) = push(64);
        let (job, taken) = job(source);
        let handle = job.start(Options::workers(workers).pin(false)).unwrap();
        for events in samples().chunks(77) {
            input.send(events).unwrap();
        }
        drop(input);
        let report = handle.join_within(Duration::from_secs(120)).unwrap();
        hold((&taken, &report), &expected, &format!("{workers} workers"));
    }
}

#[test]
fn a_job_goes_on_from_a_savepoint_with_the_same_rows() {
    let expected = expected();
    let half = samples()[SAMPLES / 2].time();
    for workers in [1, 2, 3] {
        let disk = CrashingDisk::new();
        let checkpoints =
            || CheckpointOptions::in_storage(disk.storage()).segment_bytes(4096).every_events(100).slice_bytes(64);
        let run = |workers, checkpoints| {
            let (job, taken) = job(VecSource::new(samples(), 16));
            job.run(Options::workers(workers).pin(false).checkpoints(checkpoints)).unwrap();
            taken.found()
        };
        let mut found = run(2, checkpoints().stop_at(half));
        for ((sink, rows), (_, all)) in found.sizes().into_iter().zip(expected.sizes()) {
            assert!(rows > 0 && rows < all, "{sink}");
        }
        disk.crash(7);
        found.add(run(workers, checkpoints()));
        assert!(found == expected, "{workers} workers");
    }
}

/// A job over the samples, to whose stream something is done, with what is taken of it.
fn with_rows<R>(declare: impl FnOnce(Stream<Sample>) -> R) -> (Job, R) {
    let mut job = Job::new("forks");
    let taken = declare(job.source("samples", VecSource::new(samples(), 64)));
    (job, taken)
}

#[test]
fn either_output_may_be_left_alone_and_not_both() {
    let all = samples().iter().map(parse).fold([0, 0], |[good, bad], row| match row {
        Ok(_) => [good + 1, bad],
        Err(_) => [good, bad + 1],
    });
    for workers in [1, 3] {
        let (job, rows) = with_rows(|samples| take(samples.try_map(parse).0, "out"));
        job.run(Options::workers(workers).pin(false)).unwrap().balance().unwrap();
        let (job, errors) = with_rows(|samples| take(samples.try_map(parse).1, "out"));
        job.run(Options::workers(workers).pin(false)).unwrap().balance().unwrap();
        assert_eq!([rows.take().len(), errors.take().len()], all);
    }
    let (job, _) = with_rows(|samples| drop(samples.try_map(parse)));
    let Err(Error::Shape { mistakes, .. }) = job.run(Options::workers(1)) else { panic!("it runs") };
    assert_eq!(mistakes, [ShapeError::Unconnected("try_map 1 behind samples".into())]);
}

#[test]
fn a_panic_names_the_step_and_the_event() {
    for workers in [1, 2] {
        let (job, _rows) = with_rows(|samples| {
            let (rows, _) = samples.filter(|_| true).flat_map_to::<(u64, u64)>(|sample, out| {
                assert!(sample.number != 1000, "a bad number");
                out.emit(sample.number);
            });
            take(rows, "out")
        });
        let Err(Error::Panicked { step, position, message, .. }) = job.run(Options::workers(workers).pin(false)) else {
            panic!("it runs")
        };
        // 1000 = 15 * 64 + 40
        assert_eq!((&*step, &*position), ("flat_map_to 2 behind samples", "event 40 of block 15"));
        assert!(message.contains("a bad number"), "{message}");
    }
}

#[test]
fn a_row_becomes_no_more_rows_of_an_output_than_can_be_numbered() {
    let run = |copies: u32| {
        let (job, rows) = with_rows(|samples| {
            let (rows, _) =
                samples.filter(|sample| sample.number == 7).flat_map_to::<(u64, u64)>(move |sample, out| {
                    for _ in 0..copies {
                        out.emit(sample.number);
                        out.emit_to::<1>(sample.number);
                    }
                });
            take(rows, "out")
        });
        job.run(Options::workers(2).pin(false)).map(|_| rows.take().len())
    };
    assert_eq!(run(65_535).unwrap(), 65_535);
    assert!(matches!(run(65_537), Err(Error::FanOut { step }) if step == "out"));
}

#[test]
fn plans_show_the_step_and_the_output_that_is_taken() {
    let plan = |workers| job(VecSource::new(samples(), 64)).0.explain(Options::workers(workers)).unwrap();
    for workers in [1, 2] {
        let text = plan(workers).to_string();
        for way in [
            "samples > filter > try_map > errors: ",
            "samples > filter > try_map > main > flat_map_to > main > map: ",
            "samples > filter > try_map > main > flat_map_to > output 1: ",
            "numbered > try_flat_map > errors: ",
        ] {
            assert!(text.contains(&format!("rows < {way}")), "{way} in {text}");
        }
        assert!(!text.contains("behind samples"), "a step that is part of the ways is no line of its own: {text}");
    }
    // What is kept does not depend on stateless steps.
    let fingerprint = |is_forked: bool| {
        let (job, _) = with_rows(|samples| match is_forked {
            true => take(samples.try_map(parse).0.key_by(|row| row.key).process("numbered", Numbered), "out"),
            false => {
                take(samples.flat_map(|row| parse(row).ok()).key_by(|row| row.key).process("numbered", Numbered), "out")
            }
        });
        job.explain(Options::workers(1)).unwrap().fingerprint()
    };
    assert_eq!(fingerprint(true), fingerprint(false));
}

#[test]
fn windows_behind_a_step_with_several_outputs_are_combined_where_rows_are() {
    let run = |workers| {
        let (job, rows) = with_rows(|samples| {
            let (rows, _) = samples.try_map(parse);
            let windows = Tumbling::of(Duration::from_nanos(100));
            take(rows.key_by(|row| row.key).window(windows).aggregate("counts", count()).main, "out")
        });
        job.run(Options::workers(workers).pin(false)).unwrap().balance().unwrap();
        rows.take().iter().map(|(time, row)| (*time, row.key(), row.value())).collect::<Vec<_>>()
    };
    let expected = run(1);
    assert!(expected.len() > 100);
    for workers in [2, 3, 8] {
        assert_eq!(run(workers), expected, "{workers} workers");
    }
    let (job, _rows) = with_rows(|samples| {
        let rows = samples.try_map(parse).0.key_by(|row| row.key);
        take(rows.window(Tumbling::of(Duration::from_nanos(100))).aggregate("counts", count()).main, "out")
    });
    let plan = job.explain(Options::workers(2)).unwrap().to_string();
    assert!(plan.contains("counts, parts: ") && plan.contains("rows < samples > try_map > main: call"), "{plan}");
}
