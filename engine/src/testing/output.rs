//! What came out of an operator's outputs, and how it is held against what was expected.

use super::check::Stand;
use super::rows::{same_row, show_row};
use crate::operator::{Cause, OutColumns, Outputs};
use crate::{Dictionary, Record, Timestamp};

/// A row that came out, with where it stands and the step that it came out at.
#[doc(hidden)]
#[derive(Debug)]
pub struct Emitted<T> {
    stand: Stand,
    step: usize,
    time: Timestamp,
    value: T,
}

/// How what came out of an output differs from what was expected.
#[doc(hidden)]
#[derive(Debug)]
pub struct Difference {
    pub(super) what: String,
    /// The step that the row came out at, where there is one.
    pub(super) step: Option<usize>,
}

/// Outputs that can be held against a model: a tuple of one to four records.
pub trait Tested: Outputs {
    /// The rows of each output with their times, each output in its order.
    type Rows;

    /// Rows that came out.
    #[doc(hidden)]
    type Found;

    /// The number of outputs.
    #[doc(hidden)]
    const COUNT: usize;

    /// No rows.
    #[doc(hidden)]
    fn found() -> Self::Found;

    /// What caused the rows of each output. Of a row of the batch its number is known only.
    #[doc(hidden)]
    fn causes(columns: &Self::Columns<Cause>) -> Vec<Vec<Stand>>;

    /// Puts rows into the first output.
    #[doc(hidden)]
    fn fill(columns: &mut Self::Columns<Cause>, rows: usize);

    /// Appends what came out at `step`, for which there are stands: the last rows of each output.
    #[doc(hidden)]
    fn append(columns: &Self::Columns<Cause>, step: usize, stands: &[Vec<Stand>], found: &mut Self::Found);

    /// Brings the rows of each output in order; those that stand at one place stay as they are.
    #[doc(hidden)]
    fn sort(found: &mut Self::Found);

    /// The rows with their times only.
    #[doc(hidden)]
    fn rows(found: Self::Found) -> Self::Rows;

    /// The number of rows of all outputs.
    #[doc(hidden)]
    fn count(rows: &Self::Rows) -> usize;

    /// The first output that differs.
    #[doc(hidden)]
    fn difference(
        expected: &Self::Rows,
        found: &Self::Found,
        names: &[&str; 4],
        symbols: &Dictionary,
    ) -> Option<Difference>;
}

macro_rules! tested {
    ($($count:literal ($($row:ident $port:tt),+);)+) => {$(
        impl<$($row: Record),+> Tested for ($($row,)+) {
            type Rows = ($(Vec<(Timestamp, $row)>,)+);
            type Found = ($(Vec<Emitted<$row>>,)+);

            const COUNT: usize = $count;

            fn found() -> Self::Found {
                ($(Vec::<Emitted<$row>>::new(),)+)
            }

            fn causes(columns: &Self::Columns<Cause>) -> Vec<Vec<Stand>> {
                vec![$(stands(&columns.$port.causes)),+]
            }

            fn fill(columns: &mut Self::Columns<Cause>, rows: usize) {
                fill(&mut columns.0, rows);
            }

            fn append(columns: &Self::Columns<Cause>, step: usize, stands: &[Vec<Stand>], found: &mut Self::Found) {
                $(append(&columns.$port, step, &stands[$port], &mut found.$port);)+
            }

            fn sort(found: &mut Self::Found) {
                $(found.$port.sort_by_key(|row| row.stand.place());)+
            }

            fn rows(found: Self::Found) -> Self::Rows {
                ($(found.$port.into_iter().map(|row| (row.time, row.value)).collect(),)+)
            }

            fn count(rows: &Self::Rows) -> usize {
                0$( + rows.$port.len())+
            }

            fn difference(
                expected: &Self::Rows,
                found: &Self::Found,
                names: &[&str; 4],
                symbols: &Dictionary,
            ) -> Option<Difference> {
                $(if let Some(difference) = difference(&expected.$port, &found.$port, names[$port], symbols) {
                    return Some(difference);
                })+
                None
            }
        }
    )+};
}

tested! {
    1 (A 0);
    2 (A 0, B 1);
    3 (A 0, B 1, C 2);
    4 (A 0, B 1, C 2, D 3);
}

fn stands(causes: &[Cause]) -> Vec<Stand> {
    let stand = |cause: &Cause| match *cause {
        Cause::Row(index) => Stand::Row { index: index as usize, step: 0, watermark: Timestamp::MIN },
        Cause::Fired { time, key } => Stand::Fired { time, key },
        Cause::Ticked { row, time, key } => {
            Stand::Ticked { index: row as usize, step: 0, watermark: Timestamp::MIN, time, key }
        }
    };
    causes.iter().map(stand).collect()
}

fn fill<T: Record>(columns: &mut OutColumns<T, Cause>, rows: usize) {
    columns.times.resize(rows, Timestamp::MIN);
    columns.values.resize(rows, T::zeroed());
    columns.causes.resize(rows, Cause::Row(0));
}

fn append<T: Copy>(columns: &OutColumns<T, Cause>, step: usize, stands: &[Stand], found: &mut Vec<Emitted<T>>) {
    let skip = columns.values.len() - stands.len();
    let rows = columns.times.iter().zip(&columns.values).skip(skip).zip(stands);
    found.extend(rows.map(|((time, value), stand)| {
        let step = stand.step().unwrap_or(step);
        Emitted { stand: *stand, step, time: *time, value: *value }
    }));
}

fn difference<T: Record>(
    expected: &[(Timestamp, T)],
    found: &[Emitted<T>],
    output: &str,
    symbols: &Dictionary,
) -> Option<Difference> {
    let same = |(a, b): (&(Timestamp, T), &Emitted<T>)| a.0 == b.time && same_row(&a.1, &b.value);
    let common = expected.iter().zip(found).take_while(|pair| same(*pair)).count();
    if common == expected.len() && common == found.len() {
        return None;
    }
    let show = |row: Option<(Timestamp, &T)>| {
        row.map_or_else(|| String::from("no row"), |(time, row)| show_row(time, row, symbols))
    };
    let what = format!(
        "row {common} of the {output} output differs ({} rows expected, {} found)\n  expected: {}\n     found: {}",
        expected.len(),
        found.len(),
        show(expected.get(common).map(|(time, row)| (*time, row))),
        show(found.get(common).map(|row| (row.time, &row.value))),
    );
    Some(Difference { what, step: found.get(common).map(|row| row.step) })
}
