//! Scripts: what an operator is run over, and which scripts no job gives.

use crate::{Dictionary, Timestamp};
use std::sync::Arc;

/// One step of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<T> {
    /// A row.
    Row {
        /// The row's time.
        time: Timestamp,
        /// The row.
        value: T,
        /// The watermark before the row, at least any before. A row at or before it is behind.
        watermark: Timestamp,
    },
    /// Event time has come to this.
    Watermark(Timestamp),
}

/// A row of an operator with two inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side<L, R> {
    /// A row of input 0.
    Left(L),
    /// A row of input 1.
    Right(R),
}

/// What an operator is run over: steps in order, and the job's symbols.
#[derive(Debug)]
pub struct Script<T> {
    steps: Vec<Step<T>>,
    pub(super) symbols: Arc<Dictionary>,
    reached: Timestamp,
    /// The first step that no job would give to an operator, and why.
    mistake: Option<(usize, String)>,
}

/// How a row's watermark is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lies {
    /// The row lies ahead of the watermark that is reached.
    Ahead,
    /// The row lies at or before its own watermark.
    Behind(Timestamp),
    /// The row has its own watermark and may lie anywhere.
    Anywhere(Timestamp),
}

/// The watermark before a row is less than this: no event lies so late that it would lead there.
const ROW_WATERMARK_END: Timestamp = Timestamp::MAX.minus_nanos(1);

impl<T> Script<T> {
    pub(super) fn new() -> Self {
        Self { steps: Vec::new(), symbols: Arc::default(), reached: Timestamp::MIN, mistake: None }
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step<T>] {
        &self.steps
    }

    /// The job's symbols.
    pub fn symbols(&self) -> &Arc<Dictionary> {
        &self.symbols
    }

    /// The watermark that is reached in the end: what is due by then has fired.
    pub fn reached(&self) -> Timestamp {
        self.reached
    }

    pub(super) fn mistake(&self) -> Option<&(usize, String)> {
        self.mistake.as_ref()
    }

    /// Adds a row.
    pub(super) fn row(&mut self, time: Timestamp, value: T, lies: Lies) {
        let reached = self.reached;
        let watermark = match lies {
            Lies::Ahead => reached,
            Lies::Behind(watermark) | Lies::Anywhere(watermark) => watermark,
        };
        let is_behind = time <= watermark;
        self.push(Step::Row { time, value, watermark });
        let mistake = match lies {
            Lies::Ahead if is_behind => format!("the watermark has come to {reached:?}: the row is `behind`"),
            Lies::Behind(_) if !is_behind => {
                String::from("the row lies ahead of its watermark: it is no `behind` one, but one `at`")
            }
            _ => return,
        };
        self.note(mistake);
    }

    /// Adds a step.
    pub(super) fn push(&mut self, step: Step<T>) {
        let reached = self.reached;
        let mistake = match &step {
            Step::Row { time: Timestamp::MIN | Timestamp::MAX, .. } => {
                Some(String::from("no row has the first or the last of all times"))
            }
            Step::Row { watermark, .. } | Step::Watermark(watermark) if *watermark < reached => {
                Some(format!("the watermark has come to {reached:?} before"))
            }
            Step::Row { watermark, .. } if *watermark >= ROW_WATERMARK_END => {
                Some(format!("no row comes behind the watermark {watermark:?}"))
            }
            _ => None,
        };
        let (Step::Row { watermark, .. } | Step::Watermark(watermark)) = &step;
        self.reached = reached.max(*watermark);
        self.steps.push(step);
        if let Some(mistake) = mistake {
            self.note(mistake);
        }
    }

    /// Notes what is wrong with the last step, where nothing was wrong before.
    fn note(&mut self, mistake: String) {
        let at = self.steps.len() - 1;
        self.mistake.get_or_insert((at, mistake));
    }

    /// Step `at` in words; `show` tells a row with its time.
    pub(super) fn describe(&self, at: usize, show: impl Fn(Timestamp, &T) -> String) -> String {
        let steps = self.steps.len();
        let step = match self.steps.get(at) {
            Some(Step::Row { time, value, watermark }) if time <= watermark => {
                format!("{} behind {watermark:?}", show(*time, value))
            }
            Some(Step::Row { time, value, .. }) => show(*time, value),
            Some(Step::Watermark(watermark)) => format!("watermark {watermark:?}"),
            None => return format!("the end of the script, after {steps} steps"),
        };
        format!("step {at} of {steps}, {step}")
    }
}
