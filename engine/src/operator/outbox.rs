//! Where an operator puts the rows of its outputs.

use crate::{CanonicalKey, Dictionary, Layout, Record, Timestamp};
use std::sync::Arc;

/// The most outputs of an operator.
pub(crate) const OUTPUTS_MAX: usize = 4;

/// What caused a row: a row of the batch, a firing, or a timer of processing time that a tick in the batch fired.
#[derive(Debug, Clone, Copy)]
pub enum Cause {
    Row(u32),
    Fired { time: Timestamp, key: CanonicalKey },
    Ticked { row: u32, time: Timestamp, key: CanonicalKey },
}

/// Rows of one output, in columns, with what caused each.
#[derive(Debug)]
pub struct OutColumns<T, By> {
    pub(crate) times: Vec<Timestamp>,
    pub(crate) values: Vec<T>,
    pub(crate) causes: Vec<By>,
}

impl<T, By> OutColumns<T, By> {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            times: Vec::with_capacity(capacity),
            values: Vec::with_capacity(capacity),
            causes: Vec::with_capacity(capacity),
        }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, time: Timestamp, value: T, cause: By) {
        self.times.push(time);
        self.values.push(value);
        self.causes.push(cause);
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.causes.clear();
    }
}

/// The rows of an operator's outputs: a tuple of one to four records.
pub trait Outputs: 'static {
    /// Columns of rows for each output, each row with what caused it.
    #[doc(hidden)]
    type Columns<By>;
    /// The layout of each output's rows.
    #[doc(hidden)]
    fn layouts() -> Vec<Layout>;
    /// Columns with room for so many rows each.
    #[doc(hidden)]
    fn columns<By>(capacity: usize) -> Self::Columns<By>;
    /// Rows in the fullest output.
    #[doc(hidden)]
    fn fullest<By>(columns: &Self::Columns<By>) -> usize;
    /// Forgets all rows.
    #[doc(hidden)]
    fn clear<By>(columns: &mut Self::Columns<By>);
}

/// Output `PORT` of an operator with these outputs.
pub trait OperatorOutput<const PORT: usize>: Outputs {
    /// The output's rows.
    type Row: Record;
    /// The output's columns.
    #[doc(hidden)]
    fn column<By>(columns: &Self::Columns<By>) -> &OutColumns<Self::Row, By>;
    /// The output's columns.
    #[doc(hidden)]
    fn column_mut<By>(columns: &mut Self::Columns<By>) -> &mut OutColumns<Self::Row, By>;
}

macro_rules! outputs {
    ($(($($row:ident $port:tt),+);)+) => {$(
        impl<$($row: Record),+> Outputs for ($($row,)+) {
            type Columns<By> = ($(OutColumns<$row, By>,)+);

            fn layouts() -> Vec<Layout> {
                vec![$($row::layout(),)+]
            }

            fn columns<By>(capacity: usize) -> Self::Columns<By> {
                ($(OutColumns::<$row, By>::with_capacity(capacity),)+)
            }

            #[inline]
            fn fullest<By>(columns: &Self::Columns<By>) -> usize {
                0usize$(.max(columns.$port.len()))+
            }

            fn clear<By>(columns: &mut Self::Columns<By>) {
                $(columns.$port.clear();)+
            }
        }

        outputs!(@each ($($row),+) $($row $port),+);
    )+};
    (@each $rows:tt $($row:ident $port:tt),+) => {
        $(outputs!(@one $rows $row $port);)+
    };
    (@one ($($all:ident),+) $row:ident $port:tt) => {
        impl<$($all: Record),+> OperatorOutput<$port> for ($($all,)+) {
            type Row = $row;

            #[inline(always)]
            fn column<By>(columns: &Self::Columns<By>) -> &OutColumns<$row, By> {
                &columns.$port
            }

            #[inline(always)]
            fn column_mut<By>(columns: &mut Self::Columns<By>) -> &mut OutColumns<$row, By> {
                &mut columns.$port
            }
        }
    };
}

outputs! {
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
}

/// Where an operator puts its rows.
///
/// ```
/// use pelton::{CanonicalKey, Outbox, Timestamp};
///
/// let mut out = Outbox::<(u32, i64)>::new(64, Default::default());
/// out.emit::<1>(0, Timestamp::from_nanos(5), -7);
/// assert_eq!(out.rows::<1>().1, &[-7]);
/// assert!(out.rows::<0>().1.is_empty());
/// ```
pub struct Outbox<O: Outputs> {
    pub(crate) columns: O::Columns<Cause>,
    /// Whether anybody takes the rows of each output; where nobody does, rows are only counted.
    taken: [bool; OUTPUTS_MAX],
    counted: [usize; OUTPUTS_MAX],
    /// Whether it matters where each row stands.
    has_places: bool,
    capacity: usize,
    symbols: Arc<Dictionary>,
}

impl<O: Outputs> Outbox<O> {
    /// An outbox that is full when one of its outputs has `capacity` rows.
    pub fn new(capacity: usize, symbols: Arc<Dictionary>) -> Self {
        let (taken, counted) = ([true; OUTPUTS_MAX], [0; OUTPUTS_MAX]);
        let capacity = capacity.max(1);
        Self { columns: O::columns(capacity), taken, counted, has_places: true, capacity, symbols }
    }

    /// The same, of whose outputs these are taken by somebody, to whom it may matter where each row stands.
    pub(crate) fn taken_by(self, taken: [bool; OUTPUTS_MAX], has_places: bool) -> Self {
        Self { taken, has_places, ..self }
    }

    /// Whether it matters which keys fired rows are emitted for.
    pub(crate) const fn has_places(&self) -> bool {
        self.has_places
    }

    /// Whether anybody takes the rows of output `PORT`.
    pub(crate) const fn is_taken<const PORT: usize>(&self) -> bool {
        self.taken[PORT]
    }

    /// Counts rows of output `PORT`, which nobody takes.
    pub(crate) const fn count<const PORT: usize>(&mut self, rows: usize) {
        self.counted[PORT] += rows;
    }

    /// The rows of each output that were only counted since this was last asked.
    pub(crate) const fn take_counted(&mut self) -> [usize; OUTPUTS_MAX] {
        std::mem::replace(&mut self.counted, [0; OUTPUTS_MAX])
    }

    /// Whether the operator should stop where it can. Rows that one event or firing causes may still be added.
    #[inline]
    pub fn is_full(&self) -> bool {
        O::fullest(&self.columns) >= self.capacity
    }

    /// Whether anything was emitted.
    pub(crate) fn has_any(&self) -> bool {
        O::fullest(&self.columns) > 0 || self.counted.iter().any(|rows| *rows > 0)
    }

    /// Rows that each output still takes before the outbox is full.
    #[inline]
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(O::fullest(&self.columns))
    }

    /// Emits a row that row `index` of the batch caused, to output `PORT`. In a job, rows of an output that nobody takes are
    /// counted and not kept.
    #[inline]
    pub fn emit<const PORT: usize>(&mut self, index: usize, time: Timestamp, row: O::Row)
    where
        O: OperatorOutput<PORT>,
    {
        if self.is_taken::<PORT>() {
            self.column_mut().push(time, row, Cause::Row(index as u32));
        } else {
            self.count::<PORT>(1);
        }
    }

    /// Emits a row that was fired at `time` for a key, to output `PORT`; it has that time.
    #[inline]
    pub fn emit_fired<const PORT: usize>(&mut self, time: Timestamp, key: CanonicalKey, row: O::Row)
    where
        O: OperatorOutput<PORT>,
    {
        self.column_mut().push(time, row, Cause::Fired { time, key });
    }

    /// The columns of output `PORT`, to be filled.
    #[inline(always)]
    pub(crate) fn column_mut<const PORT: usize>(&mut self) -> &mut OutColumns<O::Row, Cause>
    where
        O: OperatorOutput<PORT>,
    {
        O::column_mut(&mut self.columns)
    }

    /// The job's symbols, for the canonical text of keys.
    pub fn symbols(&self) -> &Arc<Dictionary> {
        &self.symbols
    }

    /// The emitted rows of output `PORT` with their times.
    pub fn rows<const PORT: usize>(&self) -> (&[Timestamp], &[O::Row])
    where
        O: OperatorOutput<PORT>,
    {
        let column = O::column(&self.columns);
        (&column.times, &column.values)
    }

    /// Empties all outputs.
    pub fn clear(&mut self) {
        O::clear(&mut self.columns);
    }
}

impl<O: Outputs> std::fmt::Debug for Outbox<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows = O::fullest(&self.columns);
        f.debug_struct("Outbox").field("capacity", &self.capacity).field("fullest", &rows).finish_non_exhaustive()
    }
}
