//! Operators of a user's own in a job, and what the runtime does with their state.

use pelton::{
    Batch, Error, Firing, HashSeed, Job, KeyedMaps, KeyedTable, Of, Operator, OperatorError, OperatorInput, Options,
    Outbox, ProcessContext, ProcessFunction, StepContext, Store, StoreError, Timestamp, VecSource, Watermarks, collect,
};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::{KINDS, TestJob, job};
use pelton_tests::rows::{assert_same, rows_of};
use pelton_tests::running::{failure, finish};
use pelton_tests::slow::merged;
use std::collections::BTreeMap;
use std::time::Duration;

const BOUND: Duration = Duration::from_nanos(40);

/// The values of each key by number: the right input adds and removes them, the left asks for the one before its own.
struct Levels {
    keys: KeyedTable<u64, ()>,
    levels: KeyedMaps<u64, i64>,
}

impl Levels {
    fn new(context: &StepContext) -> Self {
        Self { keys: KeyedTable::new(&context.stores), levels: KeyedMaps::new(&context.stores) }
    }
}

impl Operator for Levels {
    type Outputs = (Row, Sample);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_watermark(&mut self, _: Timestamp, _: &mut Outbox<(Row, Sample)>) -> Result<Firing, OperatorError> {
        Ok(Firing::Done)
    }

    fn next_firing(&self) -> Timestamp {
        Timestamp::MAX
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("keys", &mut self.keys);
        show("levels", &mut Of::new(&mut self.keys, &mut self.levels));
    }
}

/// Left rows behind the watermark go to output 1.
impl OperatorInput<0> for Levels {
    type Row = Sample;

    fn on_batch(&mut self, batch: Batch<'_, Sample>, out: &mut Outbox<(Row, Sample)>) -> Result<usize, OperatorError> {
        for (index, (&time, row)) in batch.times().iter().zip(batch.values()).enumerate() {
            if out.is_full() {
                return Ok(index);
            }
            if batch.is_behind(index) {
                out.emit::<1>(index, time, *row);
                continue;
            }
            let entry = self.keys.find(&row.key);
            let below = entry.and_then(|entry| self.levels.range(entry, ..row.number).next_back());
            let (number, value) = below.map_or((-1, -1), |(number, value)| (*number as i64, *value));
            out.emit::<0>(index, time, Row { key: row.key, a: number, b: value });
        }
        Ok(batch.len())
    }
}

impl OperatorInput<1> for Levels {
    type Row = Row;

    fn on_batch(&mut self, batch: Batch<'_, Row>, _: &mut Outbox<(Row, Sample)>) -> Result<usize, OperatorError> {
        for row in batch.values() {
            let entry = self.keys.find_or_insert(row.key)?;
            if row.b % 3 == 0 {
                self.levels.remove(&mut self.keys, entry, &(row.a as u64 / 2));
            }
            self.levels.insert(&mut self.keys, entry, row.a as u64, row.b)?;
        }
        Ok(batch.len())
    }
}

type Rows<T> = Vec<(i64, T)>;

/// What comes out of the plain loop: results, and late rows.
fn plain(left: &[Sample], right: &[Sample]) -> (Rows<Row>, Rows<Sample>) {
    let mut levels = BTreeMap::<u64, BTreeMap<u64, i64>>::new();
    let (mut results, mut late) = (Vec::new(), Vec::new());
    let times = |samples: &[Sample]| samples.iter().map(|sample| sample.time_ns).collect::<Vec<_>>();
    for (source, position, clock) in merged(&[times(left), times(right)]) {
        if source == 1 {
            let Sample { key, value, number, .. } = right[position];
            let of_key = levels.entry(key).or_default();
            if value % 3 == 0 {
                of_key.remove(&(number / 2));
            }
            of_key.insert(number, value);
            continue;
        }
        let row = left[position];
        if row.time_ns <= clock.saturating_sub(BOUND.as_nanos() as i64 + 1) {
            late.push((row.time_ns, row));
            continue;
        }
        let below = levels.get(&row.key).and_then(|levels| levels.range(..row.number).next_back());
        let (a, b) = below.map_or((-1, -1), |(number, value)| (*number as i64, *value));
        results.push((row.time_ns, Row { key: row.key, a, b }));
    }
    (results, late)
}

fn two_streams() -> (Vec<Sample>, Vec<Sample>) {
    let shape = |seed| Shape { events: 3000, keys: 40, step_ns: 10, disorder_ns: 90, seed };
    (samples(&shape(3)), samples(&shape(4)))
}

#[test]
fn an_operator_with_two_inputs_gives_what_a_plain_loop_gives() {
    let (left, right) = two_streams();
    let expected = plain(&left, &right);
    assert!(!expected.1.is_empty() && expected.0.iter().any(|(_, row)| row.a >= 0));
    for workers in [1, 2, 3, 8] {
        for block in [1, 64, 4096] {
            let mut job = Job::new("levels");
            let (sink, rows) = collect();
            let (late_sink, late) = collect();
            let watermarks = Watermarks::bounded(BOUND);
            let asks = job.source("left", VecSource::new(left.clone(), block)).watermarks(watermarks.clone());
            let levels = job
                .source("right", VecSource::new(right.clone(), block))
                .watermarks(watermarks)
                .map(|sample| Row { key: sample.key, a: sample.number as i64, b: sample.value })
                .key_by(|row| row.key);
            let step = asks.key_by(|sample| sample.key).operate_with(levels, "levels", Levels::new);
            step.output::<0>().sink("rows", sink);
            step.output::<1>().sink("late", late_sink);
            let report = finish(job, Options::workers(workers).pin(false).ring_bytes(1 << 12));
            let what = format!("{workers} workers, blocks of {block}");
            assert_same(&rows_of(&rows), &expected.0, &what);
            assert_same(&rows_of(&late), &expected.1, &format!("{what}, late"));
            assert_eq!(report.step("levels").map(|step| step.late), Some(expected.1.len() as u64));
        }
    }
}

/// Keeps its key's rows apart from those of others, for ever.
#[derive(Clone)]
struct Keeps;

impl ProcessFunction<u64> for Keeps {
    type In = Sample;
    type State = [u8; 4096];
    type Out = u64;

    fn on_row(
        &self,
        key: &u64,
        _: Timestamp,
        _: &Sample,
        state: &mut [u8; 4096],
        context: &mut ProcessContext<'_, u64>,
    ) {
        state[0] |= 1;
        context.emit(*key);
    }
}

#[test]
fn state_of_more_bytes_than_the_limit_ends_the_job_with_the_step() {
    let samples = samples(&Shape { events: 100_000, keys: 10_000, step_ns: 10, disorder_ns: 0, seed: 5 });
    let run = |bytes| {
        let mut job = Job::new("kept");
        let kept = job.source("samples", VecSource::new(samples.clone(), 4096)).key_by(|sample| sample.key);
        kept.process("kept", Keeps).sink("out", collect().0);
        (job, Options::workers(2).pin(false).state_bytes_max(bytes))
    };
    let (job, options) = run(8 << 20);
    match failure(job, options) {
        Error::Step { step, error: OperatorError::Store(StoreError::TooManyBytes(found, limit)) } => {
            assert_eq!((step.as_str(), limit), ("kept", 8 << 20));
            // It is found out soon.
            assert!(found > limit && found < 24 << 20, "{found}");
        }
        other => panic!("{other}"),
    }
    let (job, options) = run(64 << 20);
    finish(job, options);
}

#[test]
fn the_seed_of_hashes_changes_no_row() {
    let samples = samples(&Shape { events: 4000, keys: 300, step_ns: 1_000, disorder_ns: 60_000, seed: 6 });
    for kind in KINDS {
        let run = |workers, seed| {
            let TestJob { job, rows, late } = job(kind, VecSource::new(samples.clone(), 64));
            finish(job, Options::workers(workers).pin(false).hash_seed(HashSeed::new(seed)));
            (rows_of(&rows), rows_of(&late))
        };
        let expected = run(1, 0);
        for (workers, seed) in [(1, 7), (3, 0), (3, 7), (8, u64::MAX)] {
            let (rows, late) = run(workers, seed);
            let what = format!("{kind:?}, {workers} workers, seed {seed}");
            assert_same(&rows, &expected.0, &what);
            assert_same(&late, &expected.1, &format!("{what}, late"));
        }
    }
}
