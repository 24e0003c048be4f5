//! How many different values there are, counted exactly up to a limit.

use crate::operator::aggregate::values::columns;
use crate::operator::aggregate::{Aggregate, packed_layout};
use crate::{Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::fmt;
use std::marker::PhantomData;

/// The different values, in the order of their bytes, with zeros behind them. Beyond N they are not known any more: then
/// the count is N + 1, and all of them are zeros.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct DistinctValues<V, const N: usize> {
    count: u64,
    values: [V; N],
}

impl<V: Record, const N: usize> Record for DistinctValues<V, N> {
    fn layout() -> Layout {
        let mut parts = vec![(String::from("count"), u64::layout())];
        parts.extend(columns::<V>(N));
        packed_layout("DistinctValues", &parts)
    }
}

impl<V: Pod, const N: usize> DistinctValues<V, N> {
    const TOO_MANY: u64 = N as u64 + 1;

    /// How many values there are, or `None` where they are too many.
    fn len(&self) -> Option<usize> {
        (self.count <= N as u64).then_some(self.count as usize)
    }

    fn give_up(&mut self) {
        *self = Self { count: Self::TOO_MANY, ..Self::zeroed() };
    }

    #[inline]
    fn insert(&mut self, value: &V) {
        let Some(len) = self.len() else { return };
        let (mut low, mut high) = (0, len);
        while low < high {
            let middle = usize::midpoint(low, high);
            match bytemuck::bytes_of(&{ self.values[middle] }).cmp(bytemuck::bytes_of(value)) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        if len == N {
            return self.give_up();
        }
        for at in (low..len).rev() {
            self.values[at + 1] = self.values[at];
        }
        self.values[low] = *value;
        self.count = len as u64 + 1;
    }

    /// Both in their common order, until they are too many.
    fn merge(&mut self, other: &Self) {
        let (Some(own), Some(more)) = (self.len(), other.len()) else { return self.give_up() };
        let before = *self;
        let (mut from_own, mut from_more, mut len) = (0, 0, 0);
        while from_own < own || from_more < more {
            if len == N {
                return self.give_up();
            }
            // What is at its end comes last.
            let order = match (from_own < own, from_more < more) {
                (true, true) => {
                    let (a, b) = (before.values[from_own], other.values[from_more]);
                    bytemuck::bytes_of(&a).cmp(bytemuck::bytes_of(&b))
                }
                (true, false) => std::cmp::Ordering::Less,
                (false, _) => std::cmp::Ordering::Greater,
            };
            self.values[len] = if order.is_le() { before.values[from_own] } else { other.values[from_more] };
            from_own += usize::from(order.is_le());
            from_more += usize::from(order.is_ge());
            len += 1;
        }
        self.count = len as u64;
    }
}

/// How many different values there are: columns `count` and `is_more`.
///
/// ```
/// use pelton::{Aggregate, DistinctCount, Timestamp, count_distinct};
///
/// let parties = count_distinct::<1, _, _>(|party: &u32| *party);
/// let mut acc = bytemuck::Zeroable::zeroed();
/// [7, 5].iter().for_each(|party| parties.add(&mut acc, Timestamp::MIN, party));
/// let found: DistinctCount = parties.value(&acc);
/// assert_eq!((found.count(), found.is_more(), found.exact()), (1, true, None));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, packed)]
pub struct DistinctCount {
    count: u64,
    is_more: u8,
}

impl DistinctCount {
    /// How many there are at least.
    pub fn count(self) -> u64 {
        self.count
    }

    /// Whether there are more than were counted.
    pub fn is_more(self) -> bool {
        self.is_more == 1
    }

    /// How many there are, where that is known.
    pub fn exact(self) -> Option<u64> {
        (!self.is_more()).then_some(self.count)
    }
}

impl fmt::Debug for DistinctCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_more() { "more than " } else { "" }, self.count())
    }
}

impl Record for DistinctCount {
    fn layout() -> Layout {
        packed_layout("DistinctCount", &[("count", u64::layout()), ("is_more", u8::layout())])
    }
}

/// The number of different values, exact up to `N` of them. Where there are more, the result says so: it counts `N`, and
/// [`is_more`](DistinctCount::is_more) is set. [`approx_count_distinct`](crate::approx_count_distinct) has no such limit.
///
/// The values are kept: `8 + N * size_of::<V>()` bytes for each key and window. A row takes a binary search, and a new
/// value moves those behind it.
///
/// ```
/// use pelton::{Aggregate, Timestamp, count_distinct};
///
/// let parties = count_distinct::<3, _, _>(|party: &u32| *party);
/// let mut acc = bytemuck::Zeroable::zeroed();
/// [7, 5, 7, 7].iter().for_each(|party| parties.add(&mut acc, Timestamp::MIN, party));
/// assert_eq!(parties.value(&acc).exact(), Some(2));
/// [9, 4].iter().for_each(|party| parties.add(&mut acc, Timestamp::MIN, party));
/// assert_eq!(parties.value(&acc).exact(), None);
/// assert_eq!(format!("{:?}", parties.value(&acc)), "more than 3");
/// ```
pub fn count_distinct<const N: usize, T: Record, V: Key>(
    of: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
) -> CountDistinct<N, T, V, impl Fn(&T) -> V + Clone + Send + Sync + 'static> {
    CountDistinct { of, rows: PhantomData }
}

/// Made by [`count_distinct`].
pub struct CountDistinct<const N: usize, T, V, F> {
    of: F,
    rows: PhantomData<fn(T) -> V>,
}

impl<const N: usize, T, V, F: Clone> Clone for CountDistinct<N, T, V, F> {
    fn clone(&self) -> Self {
        Self { of: self.of.clone(), rows: PhantomData }
    }
}

impl<const N: usize, T, V, F> Aggregate for CountDistinct<N, T, V, F>
where
    T: Record,
    V: Key,
    F: Fn(&T) -> V + Clone + Send + Sync + 'static,
{
    type In = T;
    type Acc = DistinctValues<V, N>;
    type Value = DistinctCount;
    const EXACT: bool = true;

    #[inline(always)]
    fn add(&self, acc: &mut Self::Acc, _: Timestamp, row: &T) {
        acc.insert(&(self.of)(row));
    }

    fn merge(&self, acc: &mut Self::Acc, later: &Self::Acc) {
        acc.merge(later);
    }

    fn value(&self, acc: &Self::Acc) -> DistinctCount {
        let len = acc.len();
        DistinctCount { count: len.unwrap_or(N) as u64, is_more: len.is_none().into() }
    }
}
