//! The harness as a test sees it: a script, an expectation, a verdict.

use super::drive::{Drive, HashOf};
use super::failure::{Failure, Verdict};
use super::hash_of;
use super::input::{Inputs, One, SideOf, Two};
use super::mode::{Mode, modes};
use super::output::Tested;
use super::script::{Lies, Script, Side, Step};
use crate::{Dictionary, Key, Operator, OperatorInput, Record, Timestamp};
use std::marker::PhantomData;
use std::sync::Arc;

/// The rows that an operator with outputs for results and for late rows must give over a whole script, each output in
/// its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected<Out, In> {
    /// Rows of the main output with their times.
    pub main: Vec<(Timestamp, Out)>,
    /// Rows of the late output with their times.
    pub late: Vec<(Timestamp, In)>,
}

impl<Out, In> Default for Expected<Out, In> {
    fn default() -> Self {
        Self { main: Vec::new(), late: Vec::new() }
    }
}

impl<Out, In> From<Expected<Out, In>> for (Vec<(Timestamp, Out)>, Vec<(Timestamp, In)>) {
    fn from(expected: Expected<Out, In>) -> Self {
        (expected.main, expected.late)
    }
}

/// As [`Expected`], for an operator with two inputs and a late output for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedTwo<Out, L, R> {
    /// Rows of the main output with their times.
    pub main: Vec<(Timestamp, Out)>,
    /// Late rows of input 0 with their times.
    pub late_left: Vec<(Timestamp, L)>,
    /// Late rows of input 1 with their times.
    pub late_right: Vec<(Timestamp, R)>,
}

impl<Out, L, R> Default for ExpectedTwo<Out, L, R> {
    fn default() -> Self {
        Self { main: Vec::new(), late_left: Vec::new(), late_right: Vec::new() }
    }
}

impl<Out, L, R> From<ExpectedTwo<Out, L, R>> for (Vec<(Timestamp, Out)>, Vec<(Timestamp, L)>, Vec<(Timestamp, R)>) {
    fn from(expected: ExpectedTwo<Out, L, R>) -> Self {
        (expected.main, expected.late_left, expected.late_right)
    }
}

fn timed<T>(rows: impl IntoIterator<Item = (i64, T)>) -> Vec<(Timestamp, T)> {
    rows.into_iter().map(|(nanos, row)| (Timestamp::from_nanos(nanos), row)).collect()
}

/// Runs an operator over a script in hostile ways. How is told at the head of [`testing`](super).
///
/// [`Verify::new`] makes one for operators with one input, [`Verify::two`] one for operators with two.
/// A call that never returns is not found out; one that is called over and over without progress is.
pub struct Verify<Op: Operator, M, I: Inputs<Op> = One> {
    make: M,
    script: Script<I::Row>,
    hash_of: Option<Box<HashOf<I::Row>>>,
    seed: u64,
    /// One in so many ways is run.
    share: usize,
    inputs: PhantomData<fn(I)>,
}

impl<Op, M, I> Verify<Op, M, I>
where
    Op: Operator,
    Op::Outputs: Tested,
    M: Fn() -> Op,
    I: Inputs<Op>,
{
    fn of(make: M) -> Self {
        Self { make, script: Script::new(), hash_of: None, seed: 1, share: 1, inputs: PhantomData }
    }

    fn add(mut self, time: impl Into<Timestamp>, value: I::Row, lies: Lies) -> Self {
        self.script.row(time.into(), value, lies);
        self
    }

    /// The symbols of the rows.
    pub fn symbols(mut self, symbols: Arc<Dictionary>) -> Self {
        self.script.symbols = symbols;
        self
    }

    /// Another seed for what is random, by default 1.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Runs one in so many of all ways, others for another seed: for scripts of which there are many.
    #[cfg(all(test, not(loom)))]
    pub(super) fn share(mut self, share: usize) -> Self {
        self.share = share;
        self
    }

    /// Event time has come to `watermark`.
    pub fn watermark(self, watermark: impl Into<Timestamp>) -> Self {
        self.steps([Step::Watermark(watermark.into())])
    }

    /// Nothing more will come: the watermark [`Timestamp::MAX`].
    pub fn end(self) -> Self {
        self.watermark(Timestamp::MAX)
    }

    /// More steps.
    pub fn steps(mut self, steps: impl IntoIterator<Item = Step<I::Row>>) -> Self {
        steps.into_iter().for_each(|step| self.script.push(step));
        self
    }

    /// Expects the rows of a model, which sees the script: a vector for each output, with the times of the rows, or an
    /// [`Expected`] or [`ExpectedTwo`].
    ///
    /// They come in the order of the contract: what is fired at a time stands behind all rows whose watermark is below
    /// it and before all others.
    pub fn against<E>(&self, model: impl FnOnce(&Script<I::Row>) -> E) -> Verdict
    where
        E: Into<<Op::Outputs as Tested>::Rows>,
    {
        Verdict(self.mistake().and_then(|()| self.run_modes(0, &model(&self.script).into())))
    }

    /// Expects of all other ways the rows that the plainest gives: rows all at once, a large outbox.
    pub fn consistent(&self) -> Verdict {
        Verdict(self.mistake().and_then(|()| {
            let plain = self.run(modes(false, self.seed)[0], WORK_MAX)?;
            self.run_modes(1, &Op::Outputs::rows(plain))
        }))
    }

    fn mistake(&self) -> Result<(), Failure> {
        self.script.mistake().map_or(Ok(()), |(at, what)| {
            let mode = String::from("a script that no job gives");
            Err(Failure { mode, step: Some(self.describe(*at)), what: what.clone() })
        })
    }

    fn describe(&self, step: usize) -> String {
        self.script.describe(step, |time, row| I::show(time, row, self.script.symbols()))
    }

    fn run_modes(&self, first: usize, expected: &<Op::Outputs as Tested>::Rows) -> Result<(), Failure> {
        let rows = self.script.steps().len() + Op::Outputs::count(expected);
        let ways = modes(self.hash_of.is_some(), self.seed).into_iter().skip(first);
        ways.skip((self.seed % self.share as u64) as usize).step_by(self.share).try_for_each(|mode| {
            // Most calls take or give a row or end a watermark; a few more may fire timers that give none.
            let found = self.run(mode, 64 + 32 * rows)?;
            let difference = Op::Outputs::difference(expected, &found, &I::OUTPUTS, self.script.symbols());
            difference.map_or(Ok(()), |difference| {
                let step = difference.step.unwrap_or(self.script.steps().len());
                Err(Failure { mode: mode.to_string(), step: Some(self.describe(step)), what: difference.what })
            })
        })
    }

    fn run(&self, mode: Mode, work_max: usize) -> Result<<Op::Outputs as Tested>::Found, Failure> {
        let mut drive = Drive::<Op, I>::new(&self.make, self.hash_of.as_deref(), &self.script, mode, work_max);
        drive.run().map_err(|what| Failure {
            mode: mode.to_string(),
            step: Some(self.describe(drive.step())),
            what,
        })?;
        Ok(drive.into_found())
    }
}

impl<Op, M> Verify<Op, M, One>
where
    Op: OperatorInput<0>,
    Op::Outputs: Tested,
    M: Fn() -> Op,
{
    /// A harness for the operators that `make` makes, each of them fresh and all of them alike.
    pub fn new(make: M) -> Self {
        Self::of(make)
    }

    /// Also spreads state and rows over several operators, by this key of the rows.
    ///
    /// It must be the key by which the operator writes its pieces.
    pub fn keyed_by<K: Key>(mut self, key_of: impl Fn(&Op::Row) -> K + 'static) -> Self {
        self.hash_of = Some(Box::new(move |row| Some(hash_of(&key_of(row)))));
        self
    }

    /// A row that lies ahead of the watermark, which is what is reached so far.
    pub fn row(self, time: impl Into<Timestamp>, value: Op::Row) -> Self {
        self.add(time, value, Lies::Ahead)
    }

    /// A row at or before `watermark`, which is the watermark at the row's own place and thereby reached.
    pub fn behind(self, time: impl Into<Timestamp>, value: Op::Row, watermark: impl Into<Timestamp>) -> Self {
        self.add(time, value, Lies::Behind(watermark.into()))
    }

    /// A row ahead of `watermark` or behind it, which is the watermark at the row's own place and thereby reached.
    pub fn at(self, watermark: impl Into<Timestamp>, time: impl Into<Timestamp>, value: Op::Row) -> Self {
        self.add(time, value, Lies::Anywhere(watermark.into()))
    }
}

impl<Op, M, Out: Record, In: Record> Verify<Op, M, One>
where
    Op: OperatorInput<0, Outputs = (Out, In)>,
    M: Fn() -> Op,
{
    /// Expects these rows of the main and of the late output, each in order, with times in nanoseconds.
    pub fn expect(
        &self,
        main: impl IntoIterator<Item = (i64, Out)>,
        late: impl IntoIterator<Item = (i64, In)>,
    ) -> Verdict {
        self.against(|_| (timed(main), timed(late)))
    }
}

impl<Op, M> Verify<Op, M, Two>
where
    Op: OperatorInput<0> + OperatorInput<1>,
    Op::Outputs: Tested,
    M: Fn() -> Op,
{
    /// A harness for the operators with two inputs that `make` makes, each of them fresh and all of them alike.
    pub fn two(make: M) -> Self {
        Self::of(make)
    }

    /// Also spreads state and rows over several operators, by these keys of the rows of input 0 and of input 1.
    ///
    /// They must be the keys by which the operator writes its pieces.
    pub fn keyed_by<K: Key>(
        mut self,
        left: impl Fn(&<Op as OperatorInput<0>>::Row) -> K + 'static,
        right: impl Fn(&<Op as OperatorInput<1>>::Row) -> K + 'static,
    ) -> Self {
        self.hash_of = Some(Box::new(move |row| match row {
            Side::Left(row) => Some(hash_of(&left(row))),
            Side::Right(row) => Some(hash_of(&right(row))),
        }));
        self
    }

    /// Also spreads state and the rows of input 0 over several operators, by this key, while those of input 1 go to all.
    pub fn left_keyed_by<K: Key>(mut self, left: impl Fn(&<Op as OperatorInput<0>>::Row) -> K + 'static) -> Self {
        self.hash_of = Some(Box::new(move |row: &SideOf<Op>| match row {
            Side::Left(row) => Some(hash_of(&left(row))),
            Side::Right(_) => None,
        }));
        self
    }

    /// A row of input 0 that lies ahead of the watermark, which is what is reached so far.
    pub fn left(self, time: impl Into<Timestamp>, value: <Op as OperatorInput<0>>::Row) -> Self {
        self.add(time, Side::Left(value), Lies::Ahead)
    }

    /// A row of input 1 that lies ahead of the watermark, which is what is reached so far.
    pub fn right(self, time: impl Into<Timestamp>, value: <Op as OperatorInput<1>>::Row) -> Self {
        self.add(time, Side::Right(value), Lies::Ahead)
    }

    /// A row of input 0 at or before `watermark`, which is the watermark at the row's own place and thereby reached.
    pub fn left_behind(
        self,
        time: impl Into<Timestamp>,
        value: <Op as OperatorInput<0>>::Row,
        watermark: impl Into<Timestamp>,
    ) -> Self {
        self.add(time, Side::Left(value), Lies::Behind(watermark.into()))
    }

    /// A row of input 1 at or before `watermark`, which is the watermark at the row's own place and thereby reached.
    pub fn right_behind(
        self,
        time: impl Into<Timestamp>,
        value: <Op as OperatorInput<1>>::Row,
        watermark: impl Into<Timestamp>,
    ) -> Self {
        self.add(time, Side::Right(value), Lies::Behind(watermark.into()))
    }
}

impl<Op, M, Out: Record, L: Record, R: Record> Verify<Op, M, Two>
where
    Op: OperatorInput<0, Outputs = (Out, L, R)> + OperatorInput<1>,
    M: Fn() -> Op,
{
    /// Expects these rows of the main output and of both late ones, each in order, with times in nanoseconds.
    pub fn expect(
        &self,
        main: impl IntoIterator<Item = (i64, Out)>,
        late_left: impl IntoIterator<Item = (i64, L)>,
        late_right: impl IntoIterator<Item = (i64, R)>,
    ) -> Verdict {
        self.against(|_| (timed(main), timed(late_left), timed(late_right)))
    }
}

impl<Op, M, I, Out: Record> Verify<Op, M, I>
where
    Op: Operator<Outputs = (Out,)>,
    M: Fn() -> Op,
    I: Inputs<Op>,
{
    /// Expects these rows of the only output, in order, with times in nanoseconds.
    pub fn expect_main(&self, main: impl IntoIterator<Item = (i64, Out)>) -> Verdict {
        self.against(|_| (timed(main),))
    }
}

/// Calls and rows of a run whose output nothing is known of.
const WORK_MAX: usize = 1 << 20;
