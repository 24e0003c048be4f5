//! The contract of operators.
//!
//! An operator is a stateful step of a job on one worker. It holds the state of that worker's keys
//! and sees no thread, no ring, no file and no wall clock: it is called, and it emits.
//!
//! - An operator has inputs, numbered from 0, each with rows of its own type: for each it implements
//!   [`OperatorInput`]. It has outputs, numbered from 0, as the tuple [`Operator::Outputs`] says.
//! - [`OperatorInput::on_batch`] gets at least one row of one input. Over all inputs rows come in the job's order.
//!   It says how many it took, from the front. It takes fewer than all when [`Outbox::is_full`], or where it has
//!   more to fire first; the rest comes again. It may emit for the first row that it does not take, and go on
//!   with that row when it comes again.
//! - [`Batch::watermark`] is the watermark before a row, which depends on the input alone. A row at or
//!   before it is behind. **What a row finds must not depend on when a watermark was told:** before a row
//!   is looked at, everything up to its own watermark has fired. An operator whose firings can be seen by
//!   its rows fires them itself in `on_batch`, in between; windows, whose late rows are told by the row's
//!   own watermark, may leave firing to `on_watermark`.
//! - [`Operator::on_watermark`] gets growing values, and none that a row that comes later is ahead of. It
//!   does a bounded amount of work: with more to fire, at the latest when the outbox is full, it returns
//!   [`Firing::More`] and is called again with the same value before anything else. At the end of the input
//!   it gets [`Timestamp::MAX`].
//! - [`Operator::next_firing`] says when it wants to be called next; it may be called at other times too.
//! - Rows leave each output in the order they are emitted, which is the job's order: rows that a row
//!   caused stand at that row, rows that were fired for a time `t` stand behind all rows whose
//!   watermark is below `t` and before all others, among themselves in growing order of
//!   (time, [`CanonicalKey`]).
//! - [`Operator::stores`] shows all that it keeps from call to call; the rest it can do without. Stores are saved and
//!   restored between batches and never while a watermark still fires; where there are several workers, each has fired
//!   by then what is due. What was restored into the stores of a fresh operator goes on as what was saved would have.
//!   Each slot of state has one owner, which is not always the same.
//! - Streams are append-only: an emitted row is never taken back.

pub(crate) mod aggregate;
pub(crate) mod broadcast;
pub(crate) mod chain;
pub(crate) mod co_process;
pub(crate) mod emitted;
pub(crate) mod join;
pub(crate) mod keyed;
pub(crate) mod library;
mod outbox;
pub(crate) mod process;
pub(crate) mod rows;
pub(crate) mod state;
pub(crate) mod states;
pub(crate) mod views;
pub(crate) mod window;

pub(crate) use outbox::{Cause, OUTPUTS_MAX, OutColumns};
pub use outbox::{OperatorOutput, Outbox, Outputs};

use crate::base::prefetch::Ahead;
use crate::progress::order::{Clocks, Places};
use crate::progress::place::watermark_at;
use crate::progress::watermark::extremes;
use crate::store::{Store, StoreError};
use crate::{Record, Timestamp};

/// Rows for an operator, in columns.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, T> {
    times: &'a [Timestamp],
    values: &'a [T],
    marks: Marks<'a>,
    bounds: Option<(Timestamp, Timestamp)>,
    pub(crate) ahead: Ahead,
    /// Whether late rows have to leave behind what is fired before them.
    pub(crate) is_in_order: bool,
}

/// The watermark before each row.
#[derive(Debug, Clone, Copy)]
enum Marks<'a> {
    /// All rows are ahead of it.
    OnTime,
    Each(&'a [Timestamp]),
    /// It is the clock less the bound less 1 ns.
    Clocks {
        places: Places<'a>,
        clocks: Clocks<'a>,
        bound: i64,
    },
}

impl<'a, T> Batch<'a, T> {
    /// A batch of rows that are on time; the watermark before each is not told.
    ///
    /// # Panics
    /// When the columns differ in length.
    pub const fn new(times: &'a [Timestamp], values: &'a [T]) -> Self {
        assert!(times.len() == values.len(), "columns of different lengths");
        Self { times, values, marks: Marks::OnTime, bounds: None, ahead: Ahead::NONE, is_in_order: false }
    }

    /// A batch of rows with the watermark before each, which never falls.
    ///
    /// ```
    /// use pelton::{Batch, Timestamp};
    ///
    /// let times = [5, 9].map(Timestamp::from_nanos);
    /// let watermarks = [Timestamp::MIN, Timestamp::from_nanos(9)];
    /// let batch = Batch::with_watermarks(&times, &["a", "b"], &watermarks);
    /// assert!(!batch.is_behind(0) && batch.is_behind(1));
    /// ```
    ///
    /// # Panics
    /// When the columns differ in length.
    pub const fn with_watermarks(times: &'a [Timestamp], values: &'a [T], watermarks: &'a [Timestamp]) -> Self {
        assert!(times.len() == watermarks.len(), "columns of different lengths");
        Self { marks: Marks::Each(watermarks), ..Self::new(times, values) }
    }

    /// A batch of rows in a job, in a step whose watermark is `bound` and 1 ns behind the clock.
    pub(crate) const fn in_job(
        times: &'a [Timestamp],
        values: &'a [T],
        places: Places<'a>,
        clocks: Clocks<'a>,
        bound: i64,
    ) -> Self {
        let marks = match clocks {
            Clocks::OnTime => Marks::OnTime,
            clocks => Marks::Clocks { places, clocks, bound },
        };
        Self { times, values, marks, bounds: None, ahead: Ahead::NONE, is_in_order: false }
    }

    /// The same rows, all of whose times lie from the first to the second.
    pub(crate) const fn within(self, bounds: Option<(Timestamp, Timestamp)>, ahead: Ahead) -> Self {
        Self { bounds, ahead, ..self }
    }

    /// The same rows; where they are in order, late rows have to leave behind what is fired before them.
    pub(crate) const fn in_order(self, is_in_order: bool) -> Self {
        Self { is_in_order, ..self }
    }

    /// The first rows.
    pub(crate) fn first(self, count: usize) -> Self {
        let marks = match self.marks {
            Marks::Each(watermarks) => Marks::Each(&watermarks[..count]),
            // Marks of more rows are as good.
            marks => marks,
        };
        Self { times: &self.times[..count], values: &self.values[..count], marks, ..self }
    }

    /// The number of rows, at least 1 in a job.
    #[inline(always)]
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no rows.
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The event times, one a row.
    #[inline(always)]
    pub const fn times(&self) -> &'a [Timestamp] {
        self.times
    }

    /// The values, one a row.
    #[inline(always)]
    pub const fn values(&self) -> &'a [T] {
        self.values
    }

    /// The watermark before row `index`; [`Timestamp::MIN`] where it is not told, since all rows are on time.
    #[inline(always)]
    pub fn watermark(&self, index: usize) -> Timestamp {
        match &self.marks {
            Marks::OnTime => Timestamp::MIN,
            Marks::Each(watermarks) => watermarks[index],
            Marks::Clocks { places, clocks, bound } => watermark_at(places.clock_before(clocks, index), *bound),
        }
    }

    /// Whether row `index` lies at or before the watermark before it.
    #[inline(always)]
    pub fn is_behind(&self, index: usize) -> bool {
        self.times[index] <= self.watermark(index)
    }

    /// How many rows at the front are ahead of the watermark before them.
    pub(crate) fn ahead_of_watermark(&self) -> usize {
        match self.is_on_time() || self.bounds().0 > self.watermark(self.len() - 1) {
            true => self.len(),
            false => (0..self.len()).take_while(|index| !self.is_behind(*index)).count(),
        }
    }

    /// Whether all rows are known to be on time without a look at each.
    pub(crate) const fn is_on_time(&self) -> bool {
        matches!(self.marks, Marks::OnTime)
    }

    /// The smallest and the largest time, or times not within them, of a batch that is not empty.
    #[inline]
    pub(crate) fn bounds(&self) -> (Timestamp, Timestamp) {
        self.bounds.unwrap_or_else(|| extremes(self.times))
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
    /// A store cannot take more.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operator says why.
    #[error("{0}")]
    Failed(String),
}

/// A stateful step on one worker. The contract stands at the head of this module's file.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no operator",
    label = "not an operator",
    note = "implement `pelton::Operator` and, for each input, `pelton::OperatorInput<0>`, `pelton::OperatorInput<1>`; a function with state for each key is a `pelton::ProcessFunction`"
)]
pub trait Operator: 'static {
    /// The rows of its outputs, as a tuple.
    type Outputs: Outputs;

    /// The outputs whose rows came too late: the report counts them as late, and not among what the step gave on.
    const LATE_OUTPUTS: &'static [usize] = &[];

    /// Event time has come to `watermark`.
    ///
    /// # Errors
    /// When a limit is reached.
    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<Self::Outputs>) -> Result<Firing, OperatorError>;

    /// All rows that events caused have come, and the watermark comes to this without what steps before fire at the end
    /// of the input: what is fired behind it is fired at the end.
    fn on_events_over(&mut self, watermark: Timestamp) {
        let _ = watermark;
    }

    /// The least watermark that fires something, or [`Timestamp::MAX`].
    fn next_firing(&self) -> Timestamp;

    /// Whether it asks for the watermark before each row, and not only before those that lie behind. One that emits rows
    /// for others that are ahead of the watermark must say so too: without it nobody knows where they stand among what
    /// is fired.
    fn needs_watermarks(&self) -> bool {
        true
    }

    /// Shows each of its stores with its name, always in the same order. What hangs on a keyed table is shown with it
    /// ([`Of`](crate::Of)), and so is the table itself.
    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store));
}

/// Input `PORT` of an [`Operator`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no input {PORT}",
    label = "no such input",
    note = "implement `pelton::OperatorInput<{PORT}>`, with `Row` the rows of the stream that is led to it"
)]
pub trait OperatorInput<const PORT: usize>: Operator {
    /// What the input takes.
    type Row: Record;

    /// Takes rows from the front of a batch and says how many.
    ///
    /// # Errors
    /// When a limit is reached.
    fn on_batch(
        &mut self,
        batch: Batch<'_, Self::Row>,
        out: &mut Outbox<Self::Outputs>,
    ) -> Result<usize, OperatorError>;
}
