//! Aggregates over columns of rows: a list of them is compiled to cells of one accumulator.
//!
//! ```text
//!  accumulator   rows │ volume      │ low      │ ...     the count of rows, which all cells share, and then each cell
//!  result        window_start │ window_end │ key columns │ trades │ volume │ low │ ...
//! ```
//! The cells compute what the aggregates for typed rows do, bit by bit.

use crate::base::row::{ROW_BYTES_MAX, Row, RowLayout, at, float_at, integer_at, is_float, is_integer};
use crate::operator::aggregate::WindowAggregate;
use crate::operator::aggregate::basic::canonical;
use crate::operator::rows::key::{KeyColumns, RowKey};
use crate::operator::rows::{BadColumn, find};
use crate::operator::window::Pane;
use crate::{CanonicalKey, Dictionary, FieldKind, Layout, LayoutError, Timestamp};
use bytemuck::Zeroable;
use std::sync::Arc;

/// Words of accumulators and of results: one class for all of them.
pub(crate) const RESULT_WORDS: usize = ROW_BYTES_MAX / 8;

/// An aggregate over a column of the rows of one key and window.
///
/// ```
/// use pelton::rows::RowAggregate;
///
/// let bars = [("trades", RowAggregate::count()), ("volume", RowAggregate::sum("size"))];
/// assert_eq!(bars[1].1, RowAggregate::Sum("size".into()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowAggregate {
    /// The number of rows: `u64`.
    Count,
    /// The sum of a column: of integers `i128`, exact, and wrapping beyond that; of floats `f64`, in the job's order.
    Sum(String),
    /// The smallest value of a column, of the column's own type. Of floats it is as for [`min_f64`](crate::min_f64).
    Min(String),
    /// The largest value of a column, of the column's own type. Of floats it is as for [`max_f64`](crate::max_f64).
    Max(String),
    /// The mean of a column: `f64`, a sum that is divided once.
    Mean(String),
    /// The value of the earliest row; of rows with the same time, the first in the job's order. Any column.
    First(String),
    /// The value of the latest row; of rows with the same time, the last in the job's order. Any column.
    Last(String),
}

macro_rules! makers {
    ($($name:ident $variant:ident: $what:literal,)*) => {
        impl RowAggregate {
            /// The number of rows.
            pub const fn count() -> Self {
                Self::Count
            }
            $(
                #[doc = concat!($what, " of a column.")]
                pub fn $name(column: impl Into<String>) -> Self {
                    Self::$variant(column.into())
                }
            )*

            fn column(&self) -> Option<&str> {
                match self {
                    Self::Count => None,
                    $(Self::$variant(column) => Some(column),)*
                }
            }
        }
    };
}

makers! {
    sum Sum: "The sum",
    min Min: "The smallest value",
    max Max: "The largest value",
    mean Mean: "The mean",
    first First: "The earliest value",
    last Last: "The latest value",
}

/// What a cell does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Count,
    SumIntegers,
    SumFloats,
    MinIntegers,
    MaxIntegers,
    MinFloats,
    MaxFloats,
    MeanIntegers,
    MeanFloats,
    First,
    Last,
}

impl Op {
    /// Whether merging gives the same bits in any order and grouping.
    const fn is_exact(self) -> bool {
        !matches!(self, Self::SumFloats | Self::MeanFloats | Self::First | Self::Last)
    }
}

/// One aggregate, compiled.
#[derive(Debug, Clone, Copy)]
struct Cell {
    op: Op,
    /// Of the column.
    kind: FieldKind,
    /// Where the column is in a row.
    from: usize,
    /// Where the state is in an accumulator.
    at: usize,
    /// Where the result is in a result.
    to: usize,
}

/// A list of aggregates, compiled for rows of one layout and one key.
#[derive(Debug)]
pub(crate) struct AggregatePlan {
    pub(crate) key: KeyColumns,
    /// Of accumulators, without the zeros behind them.
    pub(crate) state: Layout,
    pub(crate) results: RowLayout,
    is_exact: bool,
    cells: Vec<Cell>,
}

/// Why a list of aggregates cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadAggregates {
    Column(BadColumn),
    /// Results, or else accumulators, cannot have the layout that they would need.
    Layout(LayoutError),
}

impl AggregatePlan {
    /// Where an aggregate cannot be compiled, what is wrong is added to `bad`, and its results are no more than a name.
    pub(crate) fn new(
        rows: &RowLayout,
        key: KeyColumns,
        aggregates: &[(String, RowAggregate)],
        bad: &mut Vec<BadAggregates>,
    ) -> Self {
        let mut cells = Vec::new();
        // Names of what is kept have a `#` where they are not those of results.
        let mut state = vec![("#rows".to_owned(), FieldKind::U64, None)];
        let time = FieldKind::Timestamp;
        let mut results = vec![("window_start".to_owned(), time, None), ("window_end".to_owned(), time, None)];
        let key_fields = key.layout().fields().iter();
        results.extend(key_fields.map(|field| (field.name.to_string(), field.kind, field.decimals)));
        let end_of = |fields: &[Named]| fields.iter().map(|field| field.1.size()).sum();
        for (name, aggregate) in aggregates {
            match compile(rows, aggregate) {
                Err(error) => {
                    bad.push(BadAggregates::Column(error));
                    results.push((name.clone(), FieldKind::U64, None));
                }
                Ok(Compiled { op, kind, from, keeps, gives }) => {
                    let mut at = end_of(&state);
                    if matches!(op, Op::First | Op::Last) {
                        state.push((format!("{name}#time"), time, None));
                        at = end_of(&state);
                    }
                    cells.push(Cell { op, kind, from, at, to: end_of(&results) });
                    state.extend(keeps.map(|kind| (name.clone(), kind, None)));
                    results.push((name.clone(), gives.0, gives.1));
                }
            }
        }
        let packed = |name, fields: &[Named]| {
            Layout::packed(name, fields.iter().map(|(name, kind, decimals)| (&**name, *kind, *decimals)))
        };
        let state = packed("state", &state);
        let results = packed("results", &results);
        let misfit = RowLayout::new(results.clone()).err().or_else(|| RowLayout::new(state.clone()).err());
        bad.extend(misfit.map(BadAggregates::Layout));
        let is_exact = cells.iter().all(|cell| cell.op.is_exact());
        Self { key, state, results: RowLayout::unchecked(results), is_exact, cells }
    }
}

type Named = (String, FieldKind, Option<u8>);

/// An aggregate, before it has its place.
struct Compiled {
    op: Op,
    kind: FieldKind,
    from: usize,
    /// What it keeps beside the count of rows.
    keeps: Option<FieldKind>,
    /// The type and decimals of its result.
    gives: (FieldKind, Option<u8>),
}

fn compile(rows: &RowLayout, aggregate: &RowAggregate) -> Result<Compiled, BadColumn> {
    let Some(name) = aggregate.column() else {
        let kind = FieldKind::U64;
        return Ok(Compiled { op: Op::Count, kind, from: 0, keeps: None, gives: (kind, None) });
    };
    let column = find(rows, name)?;
    let (kind, own) = (column.kind, (column.kind, column.decimals));
    let (integers, floats) = (is_integer(kind), is_float(kind));
    let (op, keeps, gives) = match aggregate {
        RowAggregate::Sum(_) if integers => (Op::SumIntegers, FieldKind::I128, (FieldKind::I128, None)),
        RowAggregate::Sum(_) if floats => (Op::SumFloats, FieldKind::F64, (FieldKind::F64, None)),
        RowAggregate::Mean(_) if integers => (Op::MeanIntegers, FieldKind::I128, (FieldKind::F64, None)),
        RowAggregate::Mean(_) if floats => (Op::MeanFloats, FieldKind::F64, (FieldKind::F64, None)),
        RowAggregate::Min(_) if integers => (Op::MinIntegers, kind, own),
        RowAggregate::Max(_) if integers => (Op::MaxIntegers, kind, own),
        RowAggregate::Min(_) if floats => (Op::MinFloats, kind, own),
        RowAggregate::Max(_) if floats => (Op::MaxFloats, kind, own),
        RowAggregate::First(_) => (Op::First, kind, own),
        RowAggregate::Last(_) => (Op::Last, kind, own),
        _ => return Err(BadColumn::new(name, format!("it is {kind}, of which there is no such aggregate"))),
    };
    Ok(Compiled { op, kind, from: column.offset, keeps: Some(keeps), gives })
}

impl Cell {
    fn sum(&self, acc: &mut [u8], value: i128) {
        let sum = i128::from_le_bytes(at(acc, self.at)).wrapping_add(value);
        put(acc, self.at, sum.to_le_bytes());
    }

    fn sum_float(&self, acc: &mut [u8], value: f64) {
        let sum = f64::from_le_bytes(at(acc, self.at)) + value;
        put(acc, self.at, sum.to_le_bytes());
    }

    fn copy(&self, acc: &mut [u8], source: &[u8], from: usize) {
        let size = self.kind.size();
        acc[self.at..self.at + size].copy_from_slice(&source[from..from + size]);
    }

    /// Takes the integer at `from` where it comes before the one that is kept, or there is none.
    fn keep_integer(&self, acc: &mut [u8], source: &[u8], from: usize, is_first: bool, wanted: std::cmp::Ordering) {
        let order = || integer_at(source, from, self.kind).cmp(&integer_at(acc, self.at, self.kind));
        if is_first || order() == wanted {
            self.copy(acc, source, from);
        }
    }

    /// As [`Cell::keep_integer`], of floats in their total order; all NaNs become one.
    fn keep_float(&self, acc: &mut [u8], source: &[u8], from: usize, is_first: bool, wanted: std::cmp::Ordering) {
        let value = canonical(float_at(source, from, self.kind));
        if is_first || value.total_cmp(&float_at(acc, self.at, self.kind)) == wanted {
            match self.kind {
                FieldKind::F32 if value.is_nan() => put(acc, self.at, NAN_F32.to_le_bytes()),
                FieldKind::F32 => put(acc, self.at, (value as f32).to_le_bytes()),
                _ => put(acc, self.at, value.to_le_bytes()),
            }
        }
    }

    /// Takes the value at `from` with its time where it is the earliest, or the latest, or there is none.
    fn keep_timed(&self, acc: &mut [u8], (source, from): (&[u8], usize), time: i64, is_first: bool) {
        let kept = i64::from_le_bytes(at(acc, self.at - TIME_BYTES));
        if is_first || if self.op == Op::First { time < kept } else { time >= kept } {
            put(acc, self.at - TIME_BYTES, time.to_le_bytes());
            self.copy(acc, source, from);
        }
    }

    /// `is_first` says that the accumulator is empty.
    #[inline(always)]
    fn add(&self, acc: &mut [u8], time: Timestamp, row: &[u8], is_first: bool) {
        use std::cmp::Ordering::{Greater, Less};
        match self.op {
            Op::Count => {}
            Op::SumIntegers | Op::MeanIntegers => self.sum(acc, integer_at(row, self.from, self.kind)),
            Op::SumFloats | Op::MeanFloats => self.sum_float(acc, float_at(row, self.from, self.kind)),
            Op::MinIntegers => self.keep_integer(acc, row, self.from, is_first, Less),
            Op::MaxIntegers => self.keep_integer(acc, row, self.from, is_first, Greater),
            Op::MinFloats => self.keep_float(acc, row, self.from, is_first, Less),
            Op::MaxFloats => self.keep_float(acc, row, self.from, is_first, Greater),
            Op::First | Op::Last => self.keep_timed(acc, (row, self.from), time.as_nanos(), is_first),
        }
    }

    fn merge(&self, acc: &mut [u8], later: &[u8], is_first: bool) {
        use std::cmp::Ordering::{Greater, Less};
        match self.op {
            Op::Count => {}
            Op::SumIntegers | Op::MeanIntegers => self.sum(acc, i128::from_le_bytes(at(later, self.at))),
            Op::SumFloats | Op::MeanFloats => self.sum_float(acc, f64::from_le_bytes(at(later, self.at))),
            Op::MinIntegers => self.keep_integer(acc, later, self.at, is_first, Less),
            Op::MaxIntegers => self.keep_integer(acc, later, self.at, is_first, Greater),
            Op::MinFloats => self.keep_float(acc, later, self.at, is_first, Less),
            Op::MaxFloats => self.keep_float(acc, later, self.at, is_first, Greater),
            Op::First | Op::Last => {
                let time = i64::from_le_bytes(at(later, self.at - TIME_BYTES));
                self.keep_timed(acc, (later, self.at), time, is_first);
            }
        }
    }

    fn result(&self, acc: &[u8], rows: u64, out: &mut [u8]) {
        match self.op {
            Op::Count => put(out, self.to, rows.to_le_bytes()),
            Op::SumIntegers => put(out, self.to, at::<16>(acc, self.at)),
            Op::SumFloats => put(out, self.to, canonical(float_at(acc, self.at, FieldKind::F64)).to_le_bytes()),
            Op::MeanIntegers => {
                let mean = i128::from_le_bytes(at(acc, self.at)) as f64 / rows as f64;
                put(out, self.to, canonical(mean).to_le_bytes());
            }
            Op::MeanFloats => {
                let mean = float_at(acc, self.at, FieldKind::F64) / rows as f64;
                put(out, self.to, canonical(mean).to_le_bytes());
            }
            Op::MinIntegers | Op::MaxIntegers | Op::MinFloats | Op::MaxFloats | Op::First | Op::Last => {
                let size = self.kind.size();
                out[self.to..self.to + size].copy_from_slice(&acc[self.at..self.at + size]);
            }
        }
    }
}

/// Bytes of a time, which stands before the value that was kept with it.
const TIME_BYTES: usize = size_of::<Timestamp>();
/// The one NaN of 32 bits that results have: quiet, positive and without a payload.
const NAN_F32: f32 = f32::from_bits(0x7fc0_0000);

#[inline(always)]
fn put<const N: usize>(bytes: &mut [u8], offset: usize, value: [u8; N]) {
    bytes[offset..offset + N].copy_from_slice(&value);
}

/// The count of rows, which an accumulator begins with.
#[inline(always)]
fn rows_of(acc: &[u8]) -> u64 {
    u64::from_le_bytes(at(acc, 0))
}

/// A plan as an aggregate over rows of one class.
#[derive(Debug, Clone)]
pub(crate) struct RowAggregates<const WORDS: usize>(pub(crate) Arc<AggregatePlan>);

impl<const WORDS: usize> WindowAggregate<RowKey> for RowAggregates<WORDS> {
    type In = Row<WORDS>;
    type Acc = Row<RESULT_WORDS>;
    type Out = Row<RESULT_WORDS>;

    fn is_exact(&self) -> bool {
        self.0.is_exact
    }

    #[inline(always)]
    fn add(&self, acc: &mut Self::Acc, time: Timestamp, row: &Row<WORDS>) {
        let acc = acc.bytes_mut();
        let rows = rows_of(acc);
        self.0.cells.iter().for_each(|cell| cell.add(acc, time, row.bytes(), rows == 0));
        put(acc, 0, rows.wrapping_add(1).to_le_bytes());
    }

    fn merge(&self, acc: &mut Self::Acc, later: &Self::Acc) {
        let acc = acc.bytes_mut();
        let rows = rows_of(acc);
        self.0.cells.iter().for_each(|cell| cell.merge(acc, later.bytes(), rows == 0));
        put(acc, 0, rows.wrapping_add(rows_of(later.bytes())).to_le_bytes());
    }

    fn result(&self, pane: &Pane, key: &RowKey, acc: &Self::Acc) -> Self::Out {
        let mut row = Row::zeroed();
        let out = row.bytes_mut();
        put(out, 0, pane.window.start.as_nanos().to_le_bytes());
        put(out, TIME_BYTES, pane.window.end.as_nanos().to_le_bytes());
        let key_bytes = &bytemuck::bytes_of(key)[..self.0.key.layout().size()];
        out[2 * TIME_BYTES..2 * TIME_BYTES + key_bytes.len()].copy_from_slice(key_bytes);
        let acc = acc.bytes();
        self.0.cells.iter().for_each(|cell| cell.result(acc, rows_of(acc), out));
        row
    }

    fn state_layout(&self) -> Layout {
        self.0.state.clone()
    }

    fn canonical(&self, key: &RowKey, symbols: &Dictionary) -> CanonicalKey {
        self.0.key.canonical(key, symbols)
    }
}
