//! The ready-made operators against slow models: over random scripts in all modes of the harness, and over all small inputs.
//!
//! All small inputs are up to 4 rows of up to 3 keys at 4 times, with watermarks that follow the largest time by a bound of
//! 0, 1 or 3: the last is so large that no row is behind. Keys are numbered as they come, since no operator knows one from
//! another. Where values count there are 3 of them, 2 keys and 3 times.

mod alarms;
mod drops;
mod job;
mod lookups;
mod samples;

use super::{at, cases};
use crate::operator::library::Keep;
use crate::operator::process::{ProcessFunction, ProcessOperator};
use crate::store::{PieceWriter, Scope};
use crate::testing::output::Tested;
use crate::testing::{Script, Step, Verify};
use crate::{Batch, Firing, Operator, OperatorInput, OperatorOutput, Outbox, Record, StoreSettings, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the operators of the library take.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Reading {
    key: u64,
    value: i64,
    number: u64,
}

type Timed<T> = Vec<(Timestamp, T)>;
type Steps = Vec<Step<Reading>>;
/// A process function that drops rows, as a step.
type Dropping<P> = ProcessOperator<u64, fn(&Reading) -> u64, P>;

const KEY: fn(&Reading) -> u64 = |reading| reading.key;

fn nanos(nanos: i64) -> Duration {
    Duration::from_nanos(nanos.unsigned_abs())
}

fn reading(key: u64, number: u64) -> Reading {
    Reading { key, value: 0, number }
}

fn of_value(value: i64, number: u64) -> Reading {
    Reading { key: 1, value, number }
}

fn dropping<P, A: Record, B: Record>(function: P) -> Dropping<P>
where
    P: ProcessFunction<u64, In = Reading, Out = (A, B)>,
{
    ProcessOperator::new(KEY, function, &StoreSettings::default())
}

/// Scripts with rows ahead of the watermark and behind it, many of equal times, and watermarks between them.
fn scripts(most: usize) -> impl Strategy<Value = Steps> {
    let step = (0u8..10, 0i64..12, 0u64..3, -2i64..4);
    (prop::collection::vec(step, 0..most), any::<bool>()).prop_map(|(raw, ends)| {
        let mut reached = -20;
        let mut steps = Vec::new();
        for (number, (kind, shift, key, value)) in raw.into_iter().enumerate() {
            if kind > 4 {
                reached += shift / 2;
            }
            let (watermark, value) = (at(reached), Reading { key, value, number: number as u64 });
            steps.push(match kind {
                9 => Step::Watermark(watermark),
                7 | 8 => Step::Row { time: at(reached - shift), value, watermark },
                _ => Step::Row { time: at(reached + 1 + shift), value, watermark },
            });
        }
        steps.extend(ends.then_some(Step::Watermark(Timestamp::MAX)));
        steps
    })
}

fn keeps() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![Just(None), (0i64..20).prop_map(Some)]
}

fn keep(nanos: Option<i64>) -> Keep {
    nanos.map_or(Keep::Forever, |kept| Keep::For(self::nanos(kept)))
}

/// Runs an operator over a script in all modes of the harness.
fn hold<Op, E>(
    make: impl Fn() -> Op,
    (steps, seed): (Steps, u64),
    model: impl FnOnce(&Script<Reading>) -> E,
) -> Result<(), TestCaseError>
where
    Op: OperatorInput<0, Row = Reading>,
    Op::Outputs: Tested,
    E: Into<<Op::Outputs as Tested>::Rows>,
{
    let verify = Verify::new(make).keyed_by(KEY).seed(seed).steps(steps);
    verify.against(model).result().map_err(|failure| TestCaseError::fail(failure.to_string()))
}

/// What an operator gives for rows and the end of the input, as plainly as it can be called.
fn plain<Op: OperatorInput<0, Row = Reading>>(operator: &mut Op, script: &Script<Reading>) -> Outbox<Op::Outputs> {
    let mut out = Outbox::new(4096, script.symbols().clone());
    for step in script.steps() {
        match *step {
            Step::Row { time, value, watermark } => {
                while operator.on_batch(Batch::with_watermarks(&[time], &[value], &[watermark]), &mut out).unwrap() == 0
                {
                }
            }
            Step::Watermark(watermark) => while operator.on_watermark(watermark, &mut out).unwrap() == Firing::More {},
        }
    }
    out
}

/// The rows of an output, as bytes.
fn rows_out<const PORT: usize, O: OperatorOutput<PORT>>(out: &Outbox<O>) -> Vec<(Timestamp, Vec<u8>)> {
    let (times, rows) = out.rows::<PORT>();
    times.iter().zip(rows).map(|(time, row)| (*time, bytemuck::bytes_of(row).to_vec())).collect()
}

/// Bytes of state that an operator has.
fn state_bytes(operator: &mut impl Operator) -> usize {
    let mut bytes = 0;
    operator.stores(&mut |_, store| {
        store.mark(Scope::All);
        assert!(store.save(&mut PieceWriter::unlimited(&mut |_, piece| bytes += piece.len())));
    });
    bytes
}

fn bytes_of<T: Record>(rows: &Timed<T>) -> Vec<(Timestamp, Vec<u8>)> {
    rows.iter().map(|(time, row)| (*time, bytemuck::bytes_of(row).to_vec())).collect()
}

/// Which small inputs there are.
#[derive(Clone, Copy)]
struct Small {
    keys: u64,
    times: i64,
    values: i64,
    /// Of the watermark behind the largest time.
    bounds: &'static [i64],
}

/// Where values say nothing.
const BY_TIME: Small = Small { keys: 3, times: 4, values: 1, bounds: &[0, 1, 3] };
/// Where values count, and watermarks do not.
const BY_VALUE: Small = Small { keys: 2, times: 3, values: 3, bounds: &[3] };

const ROWS: usize = 4;

impl Small {
    /// Calls `each` with all rows that go on from these, and with these.
    fn rows(self, rows: &mut Vec<(i64, Reading)>, each: &mut impl FnMut(&[(i64, Reading)])) {
        each(rows);
        if rows.len() == ROWS {
            return;
        }
        let known = rows.iter().map(|(_, row)| row.key + 1).max().unwrap_or(0);
        for key in 0..self.keys.min(known + 1) {
            for time in 0..self.times {
                for value in 0..self.values {
                    rows.push((time, Reading { key, value, number: rows.len() as u64 }));
                    self.rows(rows, each);
                    rows.pop();
                }
            }
        }
    }

    /// Calls `each` with the script of each small input.
    fn scripts(self, mut each: impl FnMut(&Script<Reading>)) {
        let mut count = 0;
        for bound in self.bounds {
            self.rows(&mut Vec::new(), &mut |rows| {
                let mut script = Script::new();
                let mut clock = None;
                for &(time, value) in rows {
                    let watermark = clock.map_or(Timestamp::MIN, |clock: i64| at(clock - bound - 1));
                    script.push(Step::Row { time: at(time), value, watermark });
                    clock = clock.max(Some(time));
                }
                script.push(Step::Watermark(Timestamp::MAX));
                assert!(script.mistake().is_none());
                each(&script);
                count += 1;
            });
        }
        assert!(count > 8_000, "{count}");
    }

    /// Holds an operator to a model over all small inputs; where `is_over`, nothing may be kept at the end.
    fn hold<Op, A: Record, B: Record, E>(
        self,
        is_over: bool,
        make: impl Fn() -> Op,
        model: impl Fn(&Script<Reading>) -> E,
    ) where
        Op: OperatorInput<0, Row = Reading, Outputs = (A, B)>,
        E: Into<(Timed<A>, Timed<B>)>,
    {
        self.scripts(|script| {
            let mut operator = make();
            let (found, expected) = (plain(&mut operator, script), model(script).into());
            assert_eq!(rows_out::<0, _>(&found), bytes_of(&expected.0), "{:?}", script.steps());
            assert_eq!(rows_out::<1, _>(&found), bytes_of(&expected.1), "dropped: {:?}", script.steps());
            assert!(!is_over || state_bytes(&mut operator) == 0, "{:?}", script.steps());
        });
    }

    /// As [`Small::hold`], for an operator that drops nothing and keeps nothing at the end.
    fn hold_main<Op, A: Record>(self, make: impl Fn() -> Op, model: impl Fn(&Script<Reading>) -> (Timed<A>,))
    where
        Op: OperatorInput<0, Row = Reading, Outputs = (A,)>,
    {
        self.scripts(|script| {
            let mut operator = make();
            let found = plain(&mut operator, script);
            assert_eq!(rows_out::<0, _>(&found), bytes_of(&model(script).0), "{:?}", script.steps());
            assert_eq!(state_bytes(&mut operator), 0, "{:?}", script.steps());
        });
    }
}

/// What a model keeps of each key, as long as its state is kept.
struct History<T> {
    keep: Option<i64>,
    of_key: BTreeMap<u64, (Timestamp, Vec<T>)>,
}

impl<T> History<T> {
    const fn new(keep: Option<i64>) -> Self {
        Self { keep, of_key: BTreeMap::new() }
    }

    /// What is known of a key of which a row comes.
    fn of(&mut self, key: u64, time: Timestamp, watermark: Timestamp) -> &mut Vec<T> {
        let (written, known) = self.of_key.entry(key).or_insert((time, Vec::new()));
        if self.keep.is_some_and(|keep| written.plus_nanos(keep) <= watermark) {
            known.clear();
        }
        *written = time.max(watermark);
        known
    }
}

/// The rows of a script with the watermark before each.
fn rows_of(script: &Script<Reading>) -> impl Iterator<Item = (Timestamp, Reading, Timestamp)> {
    script.steps().iter().filter_map(|step| match *step {
        Step::Row { time, value, watermark } => Some((time, value, watermark)),
        Step::Watermark(_) => None,
    })
}

/// Divides the rows of a script as `keeps` says, with what it makes of those that are kept.
fn divided<A>(
    script: &Script<Reading>,
    mut keeps: impl FnMut(Timestamp, Reading, Timestamp) -> Option<Option<A>>,
) -> (Timed<A>, Timed<Reading>) {
    let (mut main, mut dropped) = (Vec::new(), Vec::new());
    for (time, row, watermark) in rows_of(script) {
        match keeps(time, row, watermark) {
            Some(out) => main.extend(out.map(|out| (time, out))),
            None => dropped.push((time, row)),
        }
    }
    (main, dropped)
}
