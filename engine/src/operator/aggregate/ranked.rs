//! The rows of a key and window that come first by some order, at most so many.

use crate::operator::aggregate::values::{UpTo, columns};
use crate::operator::aggregate::{Aggregate, packed_layout};
use crate::{Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;

/// What a row is ranked by, and what it has.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(crate) struct Entry<V> {
    by: i64,
    time: Timestamp,
    value: V,
}

/// Those that come first, in their order, with zeros behind them.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct Entries<V, const N: usize> {
    rows: u64,
    entries: [Entry<V>; N],
}

impl<V: Record, const N: usize> Record for Entries<V, N> {
    fn layout() -> Layout {
        let mut parts = vec![(String::from("rows"), u64::layout())];
        parts.extend(columns::<Entry<V>>(N));
        packed_layout("Entries", &parts)
    }
}

impl<V: Record> Record for Entry<V> {
    fn layout() -> Layout {
        packed_layout("Entry", &[("by", i64::layout()), ("time", Timestamp::layout()), ("of", V::layout())])
    }
}

/// By which entries are ordered.
type Rank = (i64, Timestamp);

impl<V: Pod, const N: usize> Entries<V, N> {
    fn len(&self) -> usize {
        self.rows.min(N as u64) as usize
    }

    /// Puts an entry behind all of so many that it is not before; whether there is room for it.
    #[inline]
    fn insert(&mut self, len: usize, entry: Entry<V>, is_before: impl Fn(Rank, Rank) -> bool) -> bool {
        let rank = (entry.by, entry.time);
        let mut at = len;
        while at > 0 && is_before(rank, (self.entries[at - 1].by, self.entries[at - 1].time)) {
            at -= 1;
        }
        if at == N {
            return false;
        }
        for to in (at + 1..N.min(len + 1)).rev() {
            self.entries[to] = self.entries[to - 1];
        }
        self.entries[at] = entry;
        true
    }

    #[inline]
    fn add(&mut self, entry: Entry<V>, is_before: impl Fn(Rank, Rank) -> bool) {
        self.insert(self.len(), entry, is_before);
        self.rows = self.rows.wrapping_add(1);
    }

    fn merge(&mut self, later: &Self, is_before: impl Fn(Rank, Rank) -> bool) {
        let mut len = self.len();
        for at in 0..later.len() {
            // Those behind it are no better.
            if !self.insert(len, later.entries[at], &is_before) {
                break;
            }
            len = (len + 1).min(N);
        }
        self.rows = self.rows.wrapping_add(later.rows);
    }
}

/// Made by [`top_n`], [`bottom_n`] and [`collect_up_to`].
pub struct Ranked<const N: usize, const LARGEST: bool, T, V, F> {
    of: F,
    rows: PhantomData<fn(T) -> V>,
}

impl<const N: usize, const LARGEST: bool, T, V, F> Ranked<N, LARGEST, T, V, F> {
    const fn new(of: F) -> Self {
        const { assert!(N > 0, "at least one value is kept") }
        Self { of, rows: PhantomData }
    }

    /// Whether the first of two is before the second, whichever of them came first.
    #[inline(always)]
    fn is_before(one: Rank, other: Rank) -> bool {
        if one.0 == other.0 { one.1 < other.1 } else { (one.0 > other.0) == LARGEST }
    }
}

impl<const N: usize, const LARGEST: bool, T, V, F: Clone> Clone for Ranked<N, LARGEST, T, V, F> {
    fn clone(&self) -> Self {
        Self { of: self.of.clone(), rows: PhantomData }
    }
}

impl<const N: usize, const LARGEST: bool, T, V, F> Aggregate for Ranked<N, LARGEST, T, V, F>
where
    T: Record,
    V: Record,
    F: Fn(&T) -> (i64, V) + Clone + Send + Sync + 'static,
{
    type In = T;
    type Acc = Entries<V, N>;
    type Value = UpTo<V, N>;

    #[inline(always)]
    fn add(&self, acc: &mut Self::Acc, time: Timestamp, row: &T) {
        let (by, value) = (self.of)(row);
        acc.add(Entry { by, time, value }, Self::is_before);
    }

    fn merge(&self, acc: &mut Self::Acc, later: &Self::Acc) {
        acc.merge(later, Self::is_before);
    }

    fn value(&self, acc: &Self::Acc) -> UpTo<V, N> {
        UpTo::new(acc.rows, acc.entries.map(|entry| entry.value))
    }
}

/// Of pairs (by, value), the values of the `N` rows where `by` is largest, the largest first; and how many rows there were.
/// Of rows with the same `by` the one of the earliest event time comes first, and of those the first in the job's order.
/// The value may be the whole row.
///
/// It keeps `8 + N * (16 + size_of::<V>())` bytes for each key and window. A row takes a comparison with each that it
/// comes before.
///
/// ```
/// use pelton::{Aggregate, Timestamp, top_n};
///
/// let largest = top_n::<2, _, _>(|row: &i64| (*row, *row));
/// let mut acc = bytemuck::Zeroable::zeroed();
/// [7, 5, 9].iter().for_each(|row| largest.add(&mut acc, Timestamp::MIN, row));
/// assert_eq!(largest.value(&acc).values().collect::<Vec<_>>(), [9, 7]);
/// ```
pub fn top_n<const N: usize, T: Record, V: Record>(
    of: impl Fn(&T) -> (i64, V) + Clone + Send + Sync + 'static,
) -> Ranked<N, true, T, V, impl Fn(&T) -> (i64, V) + Clone + Send + Sync + 'static> {
    Ranked::new(of)
}

/// As [`top_n`], with the rows where `by` is smallest, the smallest first.
///
/// ```
/// use pelton::{Aggregate, Timestamp, bottom_n};
///
/// let smallest = bottom_n::<2, _, _>(|row: &i64| (*row, *row));
/// let mut acc = bytemuck::Zeroable::zeroed();
/// [7, 5, 9].iter().for_each(|row| smallest.add(&mut acc, Timestamp::MIN, row));
/// assert_eq!(smallest.value(&acc).values().collect::<Vec<_>>(), [5, 7]);
/// ```
pub fn bottom_n<const N: usize, T: Record, V: Record>(
    of: impl Fn(&T) -> (i64, V) + Clone + Send + Sync + 'static,
) -> Ranked<N, false, T, V, impl Fn(&T) -> (i64, V) + Clone + Send + Sync + 'static> {
    Ranked::new(of)
}

/// The values of the `N` earliest rows by event time, and how many rows there were; of rows with the same time, the first
/// in the job's order. It keeps as many bytes as [`top_n`].
///
/// ```
/// use pelton::{Aggregate, Timestamp, collect_up_to};
///
/// let first = collect_up_to::<2, _, _>(|row: &i64| *row);
/// let mut acc = bytemuck::Zeroable::zeroed();
/// for (time, row) in [(3, 7), (1, 5), (1, 9)] {
///     first.add(&mut acc, Timestamp::from_nanos(time), &row);
/// }
/// assert_eq!(format!("{:?}", first.value(&acc)), "[5, 9] of 3");
/// ```
pub fn collect_up_to<const N: usize, T: Record, V: Record>(
    of: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
) -> Ranked<N, true, T, V, impl Fn(&T) -> (i64, V) + Clone + Send + Sync + 'static> {
    Ranked::new(move |row: &T| (0, of(row)))
}
