//! State that was saved in one layout goes on in another, by a function that the program gives.

use pelton::testing::CrashingDisk;
use pelton::{
    CheckpointOptions, Error, Event, Job, Options, ProcessContext, ProcessFunction, Record, Timestamp, VecSource,
    Watermarks,
};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::BOUND_NS;
use pelton_tests::running::DEADLINE;
use pelton_tests::tape::Tape;
use std::marker::PhantomData;
use std::time::Duration;

#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct First {
    rows: u64,
}

#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct Second {
    sum: i64,
    rows: u64,
}

#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct Third {
    rows: u64,
    sum: i64,
    largest: i64,
}

trait Counted: Record {
    fn count(&mut self, value: i64) -> u64;
}

impl Counted for First {
    fn count(&mut self, _: i64) -> u64 {
        self.rows += 1;
        self.rows
    }
}

impl Counted for Second {
    fn count(&mut self, value: i64) -> u64 {
        self.sum += value;
        self.rows += 1;
        self.rows
    }
}

impl Counted for Third {
    fn count(&mut self, value: i64) -> u64 {
        self.largest = self.largest.max(value);
        self.rows += 1;
        self.rows
    }
}

/// Numbers the rows of a key, whatever else it keeps.
#[derive(Clone)]
struct Counting<S>(PhantomData<fn() -> S>);

impl<S: Counted> ProcessFunction<u64> for Counting<S> {
    type In = Sample;
    type State = S;
    type Out = Row;

    fn on_row(&self, key: &u64, time: Timestamp, row: &Sample, state: &mut S, context: &mut ProcessContext<'_, Row>) {
        let a = state.count(row.value) as i64;
        context.emit(Row { key: *key, a, b: time.as_nanos() });
    }
}

fn job<S: Counted>(events: &[Sample], out: &Tape) -> Job {
    let mut job = Job::new("counted");
    job.source("samples", VecSource::new(events.to_vec(), 16))
        .watermarks(Watermarks::bounded(Duration::from_nanos(BOUND_NS)))
        .key_by(|sample| sample.key)
        .process("counted", Counting::<S>(PhantomData))
        .sink("out", out.sink());
    job
}

/// Runs the job, with checkpoints on the disk that `set` adds to.
fn run<S: Counted>(
    events: &[Sample],
    (out, disk): (&Tape, &CrashingDisk),
    workers: usize,
    set: impl FnOnce(CheckpointOptions) -> CheckpointOptions,
) -> Result<bool, Error> {
    let checkpoints = CheckpointOptions::in_storage(disk.storage()).segment_bytes(4096).every_events(100);
    let options = Options::workers(workers).pin(false).checkpoints(set(checkpoints));
    let report = job::<S>(events, out).start(options)?.join_within(DEADLINE)?;
    disk.crash(7);
    Ok(report.recovery.is_some_and(|recovery| recovery.at_savepoint))
}

#[test]
fn state_goes_on_in_the_layout_that_functions_lead_to() {
    let shape = Shape { events: 3000, keys: 40, step_ns: 2000, disorder_ns: 40_000, seed: 5 };
    let events = samples(&shape);
    let expected = Tape::default();
    job::<First>(&events, &expected).run(Options::workers(1).pin(false)).unwrap();
    let time_at = |part: usize| events[events.len() * part / 4].time();
    let to_second = |was: &First| Second { sum: 0, rows: was.rows };
    let to_third = |was: &Second| Third { rows: was.rows, sum: was.sum, largest: i64::MIN };
    for workers in [1, 2, 3] {
        let (out, disk) = (Tape::default(), CrashingDisk::new());
        let both = (&out, &disk);
        assert!(run::<First>(&events, both, 2, |options| options.stop_at(time_at(1))).unwrap());
        // Without the function both layouts are told.
        let refused = run::<Second>(&events, both, workers, |options| options).unwrap_err().to_string();
        for part in ["`state` of step `counted`", &First::layout().schema(), &Second::layout().schema()] {
            assert!(refused.contains(part), "no {part} in: {refused}");
        }
        let one = |options: CheckpointOptions| options.migrate("counted", "state", to_second).stop_at(time_at(2));
        assert!(run::<Second>(&events, both, workers, one).unwrap());
        // Functions that nothing needs any more do nothing, and those that follow go on from there.
        let two = |options: CheckpointOptions| {
            options.migrate("counted", "state", to_second).migrate("counted", "state", to_third)
        };
        assert!(run::<Third>(&events, both, 4 - workers, |options| two(options).stop_at(time_at(3))).unwrap());
        assert!(!run::<Third>(&events, both, workers, two).unwrap());
        assert_eq!(out.rows(), expected.rows(), "{workers} workers");
    }
    // Two at once.
    let (out, disk) = (Tape::default(), CrashingDisk::new());
    let both = (&out, &disk);
    assert!(run::<First>(&events, both, 1, |options| options.stop_at(time_at(2))).unwrap());
    let two = |options: CheckpointOptions| {
        options.migrate("counted", "state", to_second).migrate("counted", "state", to_third)
    };
    assert!(!run::<Third>(&events, both, 2, two).unwrap());
    assert_eq!(out.rows(), expected.rows());
}
