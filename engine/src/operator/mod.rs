//! The contract of operators.
//!
//! An operator is a stateful step of a job on one worker. It holds the state of that worker's keys
//! and sees no thread, no ring, no file and no wall clock: it is called, and it emits.
//!
//! - [`Operator::on_batch`] gets at least one row, all of them in the job's order. It says how many
//!   it took, from the front. It takes fewer only when [`Outbox::is_full`]; the rest comes again.
//! - [`Batch::behind`] is set for a row that lies behind the watermark at its own place; such a
//!   row comes alone. Whether a row is late is judged by it and by nothing else.
//! - [`Operator::on_watermark`] gets growing values. It does a bounded amount of work: with more to
//!   fire, at the latest when the outbox is full, it returns [`Firing::More`] and is called again with
//!   the same value before anything else. Rows of one key and time are not parted by that.
//! - Rows leave in the order they are emitted. Rows that a watermark fires must be emitted in
//!   growing order of (time, [`CanonicalKey`], hash), so that all workers' rows merge into one order.
//! - [`Operator::save`] and [`Operator::restore`] write and read state by slot; they are called
//!   between batches, never while a watermark still fires. What was restored must go on as
//!   what was saved would have.
//! - Streams are append-only: an emitted row is never taken back.

pub(crate) mod aggregate;
pub(crate) mod chain;
pub(crate) mod process;
pub(crate) mod window;

use crate::base::prefetch::Ahead;
use crate::{CanonicalKey, Dictionary, Record, Slot, Timestamp};
use std::sync::Arc;

/// Rows for an operator, in columns: `times[i]` is the time of `values[i]`.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, T> {
    /// Event times.
    pub times: &'a [Timestamp],
    /// Values, as many as times.
    pub values: &'a [T],
    /// The watermark at the row's own place, for a row at or before it; then it is the only one.
    pub behind: Option<Timestamp>,
    /// All times lie from the first to the second, where that is known without looking.
    pub bounds: Option<(Timestamp, Timestamp)>,
    pub(crate) ahead: Ahead,
}

impl<'a, T> Batch<'a, T> {
    /// A batch of rows that are on time.
    pub const fn new(times: &'a [Timestamp], values: &'a [T]) -> Self {
        Self { times, values, behind: None, bounds: None, ahead: Ahead::NONE }
    }

    /// A batch of one row, at or before the watermark at its own place.
    pub const fn behind(times: &'a [Timestamp; 1], values: &'a [T; 1], watermark: Timestamp) -> Self {
        Self { times, values, behind: Some(watermark), bounds: None, ahead: Ahead::NONE }
    }
}

/// Whether a watermark has fired all it had to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firing {
    /// All has been emitted.
    Done,
    /// There is more.
    More,
}

/// An operator cannot go on; the job ends with this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// More windows are open than the limit allows.
    #[error("more than {0} windows are open: the times of the input are too far apart, or the bound is too wide")]
    TooManyWindows(usize),
    /// There are more keys than the limit allows.
    #[error("there are more than {0} keys")]
    TooManyKeys(usize),
    /// There are more timers than the limit allows.
    #[error("there are more than {0} timers")]
    TooManyTimers(usize),
    /// Saved state does not fit this operator.
    #[error("saved state does not fit: {0}")]
    Misfit(String),
}

/// A stateful step on one worker. The contract stands at the head of this module's file.
pub trait Operator: 'static {
    /// What it takes.
    type In: Record;
    /// What it emits.
    type Out: Record;

    /// Takes rows from the front of a batch and says how many.
    ///
    /// # Errors
    /// When a limit is reached.
    fn on_batch(
        &mut self,
        batch: Batch<'_, Self::In>,
        out: &mut Outbox<Self::Out, Self::In>,
    ) -> Result<usize, OperatorError>;

    /// Event time has come to `watermark`.
    ///
    /// # Errors
    /// When a limit is reached.
    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<Self::Out, Self::In>,
    ) -> Result<Firing, OperatorError>;

    /// Writes the whole state as pieces, each of one slot.
    fn save(&self, piece: &mut dyn FnMut(Slot, &[u8]));

    /// Adds a piece that [`Operator::save`] wrote to this, so far unused, operator.
    ///
    /// # Errors
    /// When the piece is not of this operator.
    fn restore(&mut self, slot: Slot, piece: &[u8]) -> Result<(), OperatorError>;
}

/// What caused a row: a row of the batch, or the firing of a window or timer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause {
    Row(u32),
    Fired { time: Timestamp, key: u128, hash: u64 },
}

/// Rows of one output, in columns.
#[derive(Debug)]
pub(crate) struct OutColumns<T> {
    pub(crate) times: Vec<Timestamp>,
    pub(crate) values: Vec<T>,
    pub(crate) causes: Vec<Cause>,
}

impl<T> OutColumns<T> {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            times: Vec::with_capacity(capacity),
            values: Vec::with_capacity(capacity),
            causes: Vec::with_capacity(capacity),
        }
    }

    fn push(&mut self, time: Timestamp, value: T, cause: Cause) {
        self.times.push(time);
        self.values.push(value);
        self.causes.push(cause);
    }

    pub(crate) fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.causes.clear();
    }
}

/// Where an operator puts its rows: the main output, and the side output of late rows.
#[derive(Debug)]
pub struct Outbox<Out, In> {
    pub(crate) main: OutColumns<Out>,
    pub(crate) late: OutColumns<In>,
    capacity: usize,
    symbols: Arc<Dictionary>,
}

impl<Out: Record, In: Record> Outbox<Out, In> {
    /// An outbox that is full from `capacity` rows on.
    pub fn new(capacity: usize, symbols: Arc<Dictionary>) -> Self {
        let main = OutColumns::with_capacity(capacity);
        Self { main, late: OutColumns::with_capacity(capacity), capacity: capacity.max(1), symbols }
    }

    /// Whether the operator should stop where it can. Rows that one event causes may still be added.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.main.values.len() >= self.capacity || self.late.values.len() >= self.capacity
    }

    /// Rows that the outbox still takes before it is full.
    #[inline]
    pub fn room(&self) -> usize {
        self.capacity - self.main.values.len().max(self.late.values.len()).min(self.capacity)
    }

    /// Emits a row that row `index` of the batch caused.
    #[inline]
    pub fn emit(&mut self, index: usize, time: Timestamp, row: Out) {
        self.main.push(time, row, Cause::Row(index as u32));
    }

    /// Emits a row that a watermark fired, for the key with this canonical text and hash.
    #[inline]
    pub fn emit_fired(&mut self, fired_at: Timestamp, key: CanonicalKey, hash: u64, row: Out) {
        self.main.push(fired_at, row, Cause::Fired { time: fired_at, key: key.value(), hash });
    }

    /// Puts row `index` of the batch to the late output.
    #[inline]
    pub fn emit_late(&mut self, index: usize, time: Timestamp, row: In) {
        self.late.push(time, row, Cause::Row(index as u32));
    }

    /// The job's symbols, for the canonical text of keys.
    pub fn symbols(&self) -> &Arc<Dictionary> {
        &self.symbols
    }

    /// The emitted rows of the main output with their times.
    pub fn rows(&self) -> (&[Timestamp], &[Out]) {
        (&self.main.times, &self.main.values)
    }

    /// The rows of the late output with their times.
    pub fn late_rows(&self) -> (&[Timestamp], &[In]) {
        (&self.late.times, &self.late.values)
    }

    /// Empties both outputs.
    pub fn clear(&mut self) {
        self.main.clear();
        self.late.clear();
    }
}
