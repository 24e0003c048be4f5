//! The harness as a test sees it: a script, an expectation, a verdict.

use super::drive::{Drive, Emitted, HashOf, Output};
use super::failure::{Failure, Verdict};
use super::mode::{Mode, modes};
use super::rows::{same_row, show_row};
use crate::{Dictionary, Key, Operator, Record, Timestamp, hash_key};
use std::sync::Arc;

/// One step of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<T> {
    /// A row that lies ahead of the watermark.
    Row {
        /// The row's time.
        time: Timestamp,
        /// The row.
        value: T,
    },
    /// A row at or before the watermark at its own place.
    Behind {
        /// The row's time.
        time: Timestamp,
        /// The row.
        value: T,
        /// The watermark at the row's place: at least the row's time, at least any watermark before.
        watermark: Timestamp,
    },
    /// Event time has come to this.
    Watermark(Timestamp),
}

/// What an operator is run over: steps in order, and the job's symbols.
#[derive(Debug)]
pub struct Script<T> {
    steps: Vec<Step<T>>,
    symbols: Arc<Dictionary>,
}

impl<T: Record> Script<T> {
    /// The steps in order.
    pub fn steps(&self) -> &[Step<T>] {
        &self.steps
    }

    /// The job's symbols.
    pub fn symbols(&self) -> &Arc<Dictionary> {
        &self.symbols
    }

    /// Step `at` in words.
    fn describe(&self, at: usize) -> String {
        let steps = self.steps.len();
        let step = match self.steps.get(at) {
            Some(Step::Row { time, value }) => format!("row {}", show_row(*time, value, &self.symbols)),
            Some(Step::Behind { time, value, watermark }) => {
                format!("row {} behind {watermark}", show_row(*time, value, &self.symbols))
            }
            Some(Step::Watermark(watermark)) => format!("watermark {watermark}"),
            None => return format!("the end of the script, after {steps} steps"),
        };
        format!("step {at} of {steps}, {step}")
    }

    /// The first step that no job would give to an operator, and why.
    fn mistake(&self) -> Option<(usize, String)> {
        let mut reached = Timestamp::MIN;
        for (at, step) in self.steps.iter().enumerate() {
            let mistake = match *step {
                Step::Row { time: Timestamp::MIN | Timestamp::MAX, .. }
                | Step::Behind { time: Timestamp::MIN | Timestamp::MAX, .. } => {
                    Some(String::from("no row has the first or the last of all times"))
                }
                Step::Row { time, .. } if time <= reached => {
                    Some(format!("the watermark has come to {reached}: the row is `behind`"))
                }
                Step::Behind { time, watermark, .. } if time > watermark => {
                    Some(String::from("the row lies ahead of its watermark: it is no `behind` one"))
                }
                Step::Behind { watermark, .. } | Step::Watermark(watermark) if watermark < reached => {
                    Some(format!("the watermark has come to {reached} before"))
                }
                Step::Behind { watermark, .. } | Step::Watermark(watermark) => {
                    reached = watermark;
                    None
                }
                Step::Row { .. } => None,
            };
            if let Some(mistake) = mistake {
                return Some((at, mistake));
            }
        }
        None
    }
}

/// The rows that an operator must give over a whole script, each output in its order.
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

/// Runs an operator over a script in hostile ways. How is told at the head of [`testing`](super).
///
/// A call that never returns is not found out; one that is called over and over without progress is.
pub struct Verify<Op: Operator, M> {
    make: M,
    script: Script<Op::In>,
    hash_of: Option<Box<HashOf<Op::In>>>,
    seed: u64,
}

impl<Op: Operator, M: Fn() -> Op> Verify<Op, M> {
    /// A harness for the operators that `make` makes, each of them fresh and all of them alike.
    pub fn new(make: M) -> Self {
        Self { make, script: Script { steps: Vec::new(), symbols: Arc::default() }, hash_of: None, seed: 1 }
    }

    /// Also spreads state and rows over several operators, by this key of the rows.
    ///
    /// It must be the key by which the operator writes its pieces.
    pub fn keyed_by<K: Key>(mut self, key_of: impl Fn(&Op::In) -> K + 'static) -> Self {
        self.hash_of = Some(Box::new(move |row| hash_key(&key_of(row))));
        self
    }

    /// The symbols of the rows.
    pub fn symbols(mut self, symbols: Arc<Dictionary>) -> Self {
        self.script.symbols = symbols;
        self
    }

    /// Another seed for random pieces, by default 1.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// A row that lies ahead of the watermark.
    pub fn row(self, time: impl Into<Timestamp>, value: Op::In) -> Self {
        self.steps([Step::Row { time: time.into(), value }])
    }

    /// A row at or before `watermark`, which is the watermark at the row's own place.
    pub fn behind(self, time: impl Into<Timestamp>, value: Op::In, watermark: impl Into<Timestamp>) -> Self {
        self.steps([Step::Behind { time: time.into(), value, watermark: watermark.into() }])
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
    pub fn steps(mut self, steps: impl IntoIterator<Item = Step<Op::In>>) -> Self {
        self.script.steps.extend(steps);
        self
    }

    /// Expects these rows of the main and of the late output, each in order, with times in nanoseconds.
    pub fn expect(
        &self,
        main: impl IntoIterator<Item = (i64, Op::Out)>,
        late: impl IntoIterator<Item = (i64, Op::In)>,
    ) -> Verdict {
        self.against(|_| Expected {
            main: main.into_iter().map(|(nanos, row)| (Timestamp::from_nanos(nanos), row)).collect(),
            late: late.into_iter().map(|(nanos, row)| (Timestamp::from_nanos(nanos), row)).collect(),
        })
    }

    /// Expects the rows of a model, which sees the script.
    pub fn against(&self, model: impl FnOnce(&Script<Op::In>) -> Expected<Op::Out, Op::In>) -> Verdict {
        Verdict(self.mistake().and_then(|()| {
            let expected = model(&self.script);
            self.run_modes(0, &expected)
        }))
    }

    /// Expects of all other ways the rows that the plainest gives: rows all at once, a large outbox.
    pub fn consistent(&self) -> Verdict {
        Verdict(self.mistake().and_then(|()| {
            let plain = self.run(modes(false, self.seed)[0], WORK_MAX)?;
            let expected = Expected {
                main: plain.main.iter().map(|row| (row.time, row.value)).collect(),
                late: plain.late.iter().map(|row| (row.time, row.value)).collect(),
            };
            self.run_modes(1, &expected)
        }))
    }

    fn mistake(&self) -> Result<(), Failure> {
        self.script.mistake().map_or(Ok(()), |(at, what)| {
            let mode = String::from("a script that no job gives");
            Err(Failure { mode, step: Some(self.script.describe(at)), what })
        })
    }

    fn run_modes(&self, first: usize, expected: &Expected<Op::Out, Op::In>) -> Result<(), Failure> {
        let rows = self.script.steps.len() + expected.main.len() + expected.late.len();
        modes(self.hash_of.is_some(), self.seed).into_iter().skip(first).try_for_each(|mode| {
            // Most calls take or give a row or end a watermark; a few more may fire timers that give none.
            let output = self.run(mode, 64 + 32 * rows)?;
            self.compare(mode, "main", &expected.main, &output.main)?;
            self.compare(mode, "late", &expected.late, &output.late)
        })
    }

    fn run(&self, mode: Mode, work_max: usize) -> Result<Output<Op::Out, Op::In>, Failure> {
        let hash_of = self.hash_of.as_deref();
        let mut drive = Drive::new(&self.make, hash_of, &self.script.symbols, mode, work_max);
        drive.run(&self.script.steps).map_err(|what| Failure {
            mode: mode.to_string(),
            step: Some(self.script.describe(drive.step())),
            what,
        })?;
        Ok(drive.into_output())
    }

    fn compare<T: Record>(
        &self,
        mode: Mode,
        output: &str,
        expected: &[(Timestamp, T)],
        found: &[Emitted<T>],
    ) -> Result<(), Failure> {
        let same = |(a, b): (&(Timestamp, T), &Emitted<T>)| a.0 == b.time && same_row(&a.1, &b.value);
        let common = expected.iter().zip(found).take_while(|pair| same(*pair)).count();
        if common == expected.len() && common == found.len() {
            return Ok(());
        }
        let show = |row: Option<(Timestamp, &T)>| {
            row.map_or_else(|| String::from("no row"), |(time, row)| show_row(time, row, &self.script.symbols))
        };
        let what = format!(
            "row {common} of the {output} output differs ({} rows expected, {} found)\n  expected: {}\n     found: {}",
            expected.len(),
            found.len(),
            show(expected.get(common).map(|(time, row)| (*time, row))),
            show(found.get(common).map(|row| (row.time, &row.value))),
        );
        let step = found.get(common).map_or(self.script.steps.len(), |row| row.step);
        Err(Failure { mode: mode.to_string(), step: Some(self.script.describe(step)), what })
    }
}

/// Calls and rows of a run whose output nothing is known of.
const WORK_MAX: usize = 1 << 20;
