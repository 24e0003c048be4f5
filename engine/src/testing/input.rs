//! How the rows of a script come to an operator: through its one input, or through one of two.

use super::rows::show_row;
use super::script::Side;
use crate::base::prefetch::Ahead;
use crate::{Batch, Dictionary, Operator, OperatorError, OperatorInput, Outbox, Timestamp};

/// Rows of one input that an operator gets at once.
#[doc(hidden)]
#[derive(Debug)]
pub struct Piece<'a, T> {
    pub(super) times: &'a [Timestamp],
    pub(super) values: &'a [T],
    pub(super) watermarks: &'a [Timestamp],
    /// Whether the operator is told the watermarks; otherwise all rows are on time.
    pub(super) is_told: bool,
    pub(super) bounds: Option<(Timestamp, Timestamp)>,
    /// Whether the rows of all outputs are to leave in one order.
    pub(super) is_in_order: bool,
}

impl<'a, T> Piece<'a, T> {
    fn batch<R>(&self, values: &'a [R]) -> Batch<'a, R> {
        let batch = match self.is_told {
            true => Batch::with_watermarks(self.times, values, self.watermarks),
            false => Batch::new(self.times, values),
        };
        batch.within(self.bounds, Ahead::NONE).in_order(self.is_in_order)
    }
}

/// The inputs of an operator that a script has rows for: [`One`] or [`Two`].
pub trait Inputs<Op: Operator>: 'static {
    /// The rows of the script.
    type Row: Copy;

    /// The names of the outputs.
    #[doc(hidden)]
    const OUTPUTS: [&'static str; 4];

    /// The input of a row.
    #[doc(hidden)]
    fn port(row: &Self::Row) -> usize;

    /// A row in words, with its time.
    #[doc(hidden)]
    fn show(time: Timestamp, row: &Self::Row, symbols: &Dictionary) -> String;

    /// Gives an operator rows of one input.
    #[doc(hidden)]
    fn on_batch(
        operator: &mut Op,
        piece: &Piece<'_, Self::Row>,
        out: &mut Outbox<Op::Outputs>,
    ) -> Result<usize, OperatorError>;
}

/// One input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct One;

impl<Op: OperatorInput<0>> Inputs<Op> for One {
    type Row = Op::Row;

    const OUTPUTS: [&'static str; 4] = ["main", "late", "third", "fourth"];

    fn port(_: &Op::Row) -> usize {
        0
    }

    fn show(time: Timestamp, row: &Op::Row, symbols: &Dictionary) -> String {
        format!("row {}", show_row(time, row, symbols))
    }

    fn on_batch(
        operator: &mut Op,
        piece: &Piece<'_, Op::Row>,
        out: &mut Outbox<Op::Outputs>,
    ) -> Result<usize, OperatorError> {
        operator.on_batch(piece.batch(piece.values), out)
    }
}

/// Two inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Two;

/// The rows of a script for an operator with two inputs.
pub(super) type SideOf<Op> = Side<<Op as OperatorInput<0>>::Row, <Op as OperatorInput<1>>::Row>;

impl<Op: OperatorInput<0> + OperatorInput<1>> Inputs<Op> for Two {
    type Row = SideOf<Op>;

    const OUTPUTS: [&'static str; 4] = ["main", "late left", "late right", "fourth"];

    fn port(row: &SideOf<Op>) -> usize {
        usize::from(matches!(row, Side::Right(_)))
    }

    fn show(time: Timestamp, row: &SideOf<Op>, symbols: &Dictionary) -> String {
        match row {
            Side::Left(row) => format!("left row {}", show_row(time, row, symbols)),
            Side::Right(row) => format!("right row {}", show_row(time, row, symbols)),
        }
    }

    fn on_batch(
        operator: &mut Op,
        piece: &Piece<'_, SideOf<Op>>,
        out: &mut Outbox<Op::Outputs>,
    ) -> Result<usize, OperatorError> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for row in piece.values {
            match row {
                Side::Left(row) => left.push(*row),
                Side::Right(row) => right.push(*row),
            }
        }
        match right.is_empty() {
            true => OperatorInput::<0>::on_batch(operator, piece.batch(&left), out),
            false => OperatorInput::<1>::on_batch(operator, piece.batch(&right), out),
        }
    }
}

/// Rows for one or more operators, in columns.
pub(super) struct Columns<Row> {
    pub(super) steps: Vec<usize>,
    pub(super) times: Vec<Timestamp>,
    pub(super) values: Vec<Row>,
    pub(super) watermarks: Vec<Timestamp>,
}

impl<Row: Copy> Columns<Row> {
    /// The rows that are picked.
    pub(super) fn pick(&self, is_picked: impl Fn(&Row) -> bool) -> Self {
        let picked: Vec<usize> = (0..self.values.len()).filter(|&i| is_picked(&self.values[i])).collect();
        Self {
            steps: picked.iter().map(|&i| self.steps[i]).collect(),
            times: picked.iter().map(|&i| self.times[i]).collect(),
            values: picked.iter().map(|&i| self.values[i]).collect(),
            watermarks: picked.iter().map(|&i| self.watermarks[i]).collect(),
        }
    }
}
