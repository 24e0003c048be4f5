//! Several values that one aggregate gives.

use crate::base::record::SCALAR_FIELD;
use crate::operator::aggregate::packed_layout;
use crate::{Field, Layout, Record};
use bytemuck::{Pod, Zeroable};
use std::fmt;

/// `N` values, in columns `value_1`, `value_2` and so on; those of several fields have a column for each,
/// `value_1_<field>`.
///
/// ```
/// use pelton::{Aggregate, Timestamp, Values, quantiles};
///
/// let ends = quantiles([0.0, 1.0], |row: &f64| *row);
/// let mut acc = bytemuck::Zeroable::zeroed();
/// [-1.0, 1.0].iter().for_each(|row| ends.add(&mut acc, Timestamp::MIN, row));
/// let values: Values<f64, 2> = ends.value(&acc);
/// let [low, high] = values.values();
/// assert!(low < 0.0 && high > 0.0);
/// ```
#[derive(Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Values<V, const N: usize>([V; N]);

impl<V: Copy, const N: usize> Values<V, N> {
    pub(crate) const fn new(values: [V; N]) -> Self {
        Self(values)
    }

    /// The values.
    pub fn values(&self) -> [V; N] {
        self.0
    }
}

impl<V: fmt::Debug, const N: usize> fmt::Debug for Values<V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<V: Record, const N: usize> Record for Values<V, N> {
    fn layout() -> Layout {
        let layout = packed_layout("Values", &columns::<V>(N));
        Layout::new("Values", layout.size(), align_of::<V>(), layout.fields().to_vec())
    }
}

/// The columns of so many values: `value_1` and so on, and for those of several fields `value_1_<field>`.
pub(crate) fn columns<V: Record>(count: usize) -> Vec<(String, Layout)> {
    let layout = V::layout();
    let columns = (1..=count).map(|number| {
        let part = format!("value_{number}");
        let fields = layout.fields().iter().map(|field| {
            let name = match &field.name {
                name if name == SCALAR_FIELD => name.clone(),
                name => format!("{part}_{name}").into(),
            };
            Field { name, ..field.clone() }
        });
        let layout = Layout::new("value", layout.size(), layout.align(), fields.collect());
        (part, layout)
    });
    columns.collect()
}

/// At most `N` values of so many rows: a column `rows`, and those of [`Values`]. Values that are not there are zeros.
///
/// ```
/// use pelton::{Aggregate, Timestamp, UpTo, collect_up_to};
///
/// let first = collect_up_to::<2, _, _>(|row: &i64| *row);
/// let mut acc = bytemuck::Zeroable::zeroed();
/// [7, 5, 9].iter().for_each(|row| first.add(&mut acc, Timestamp::MIN, row));
/// let found: UpTo<i64, 2> = first.value(&acc);
/// assert_eq!((found.rows(), found.values().collect()), (3, vec![7, 5]));
/// ```
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct UpTo<V, const N: usize> {
    rows: u64,
    values: [V; N],
}

impl<V: Copy, const N: usize> UpTo<V, N> {
    pub(crate) const fn new(rows: u64, values: [V; N]) -> Self {
        Self { rows, values }
    }

    /// The number of rows, of which there may be more than values.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The values, one for each row up to `N`.
    pub fn values(&self) -> impl ExactSizeIterator<Item = V> + use<V, N> {
        let values = self.values;
        values.into_iter().take(self.rows.min(N as u64) as usize)
    }
}

impl<V: Copy + fmt::Debug, const N: usize> fmt::Debug for UpTo<V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.values().collect::<Vec<_>>(), self.rows())
    }
}

impl<V: Record, const N: usize> Record for UpTo<V, N> {
    fn layout() -> Layout {
        let mut parts = vec![(String::from("rows"), u64::layout())];
        parts.extend(columns::<V>(N));
        packed_layout("UpTo", &parts)
    }
}
