//! Rows for each key, in order of time; of equal times in the order in which they came.

use crate::store::column::{Collected, Collection, Collections};
use crate::store::table::KeyedTable;
use crate::store::{StoreError, StoreKind, StoreSettings};
use crate::{Key, Layout, Record, Timestamp};
use bytemuck::Pod;
use std::collections::{VecDeque, vec_deque};

/// Rows for each entry of a [`KeyedTable`], in order of time.
///
/// The limit of rows of a job holds for all rows of a store together. Without rows an entry is no longer held, and is to be
/// removed then ([`KeyedTable::remove`]).
///
/// ```
/// use pelton::{KeyedRows, KeyedTable, StoreSettings, Timestamp};
///
/// let settings = StoreSettings::default();
/// let (mut keys, mut quotes) = (KeyedTable::<u32, ()>::new(&settings), KeyedRows::<i64>::new(&settings));
/// let entry = keys.find_or_insert(7)?;
/// let at = Timestamp::from_nanos;
/// for (time, price) in [(5, 101), (2, 100), (9, 102)] {
///     quotes.insert(&mut keys, entry, at(time), price)?;
/// }
/// assert_eq!(quotes.latest_at(entry, at(8)), Some(&(at(5), 101)));
/// quotes.drop_before_latest(&mut keys, entry, at(8));
/// assert_eq!(quotes.first(entry), Some(&(at(5), 101)));
/// # Ok::<(), pelton::StoreError>(())
/// ```
#[derive(Debug)]
pub struct KeyedRows<T>(Collections<TimedRows<T>>);

impl<T: Record> KeyedRows<T> {
    /// No rows.
    pub fn new(settings: &StoreSettings) -> Self {
        Self(Collections::new(settings.rows_max))
    }

    /// The number of rows of all keys.
    pub const fn len(&self) -> usize {
        self.0.elements()
    }

    /// Whether there are no rows.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most rows there may be.
    pub(crate) const fn limit(&self) -> usize {
        self.0.elements_max()
    }

    /// Adds a row behind all of its time.
    ///
    /// # Errors
    /// When there are more rows than the limit allows.
    pub fn insert<K: Key, V: Pod>(
        &mut self,
        table: &mut KeyedTable<K, V>,
        entry: usize,
        time: Timestamp,
        row: T,
    ) -> Result<(), StoreError> {
        self.0.change(table, entry, |rows| rows.insert(time, row));
        self.0.check()
    }

    /// An entry's first row.
    pub fn first(&self, entry: usize) -> Option<&(Timestamp, T)> {
        self.0.get(entry)?.0.front()
    }

    /// An entry's last row at or before `time`.
    pub fn latest_at(&self, entry: usize, time: Timestamp) -> Option<&(Timestamp, T)> {
        self.0.get(entry)?.latest_at(time)
    }

    /// An entry's rows from one time to another, both included, in order.
    ///
    /// ```
    /// use pelton::{KeyedRows, KeyedTable, StoreSettings, Timestamp};
    ///
    /// let settings = StoreSettings::default();
    /// let (mut keys, mut quotes) = (KeyedTable::<u32, ()>::new(&settings), KeyedRows::<i64>::new(&settings));
    /// let entry = keys.find_or_insert(7)?;
    /// let at = Timestamp::from_nanos;
    /// for (time, price) in [(5, 101), (2, 100), (9, 102)] {
    ///     quotes.insert(&mut keys, entry, at(time), price)?;
    /// }
    /// assert_eq!(quotes.between(entry, at(2), at(5)).map(|(_, price)| *price).collect::<Vec<_>>(), [100, 101]);
    /// assert_eq!(quotes.drop_up_to(&mut keys, entry, at(5)), 2);
    /// # Ok::<(), pelton::StoreError>(())
    /// ```
    pub fn between(&self, entry: usize, first: Timestamp, last: Timestamp) -> vec_deque::Iter<'_, (Timestamp, T)> {
        self.0.get(entry).map(|rows| rows.between(first, last)).unwrap_or_default()
    }

    /// Drops an entry's rows up to a time, which is included; how many.
    pub fn drop_up_to<K: Key, V: Pod>(&mut self, table: &mut KeyedTable<K, V>, entry: usize, last: Timestamp) -> usize {
        let dropped = self.0.get(entry).map_or(0, |rows| rows.up_to(last));
        if dropped > 0 {
            self.0.change(table, entry, |rows| drop(rows.0.drain(..dropped)));
        }
        dropped
    }

    /// Takes an entry's first row.
    pub fn pop_first<K: Key, V: Pod>(&mut self, table: &mut KeyedTable<K, V>, entry: usize) -> Option<(Timestamp, T)> {
        self.0.change(table, entry, |rows| rows.0.pop_front())
    }

    /// Drops an entry's rows that are not the latest at `time` or any later time.
    pub fn drop_before_latest<K: Key, V: Pod>(&mut self, table: &mut KeyedTable<K, V>, entry: usize, time: Timestamp) {
        // Most rows are asked about when there is nothing to drop.
        if self.0.get(entry).is_some_and(|rows| rows.dropped_at(time) > 0) {
            self.0.change(table, entry, |rows| rows.drop_before_latest(time));
        }
    }
}

impl<T: Record> Collected for KeyedRows<T> {
    type Collection = TimedRows<T>;
    const KIND: StoreKind = StoreKind::KeyedRows;
    const ELEMENT_BYTES: usize = size_of::<(Timestamp, T)>();

    fn element() -> Layout {
        T::layout()
    }

    fn collections(&self) -> &Collections<TimedRows<T>> {
        &self.0
    }

    fn collections_mut(&mut self) -> &mut Collections<TimedRows<T>> {
        &mut self.0
    }
}

/// The rows of one key.
#[derive(Debug, Clone)]
pub(crate) struct TimedRows<T>(VecDeque<(Timestamp, T)>);

impl<T> Default for TimedRows<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Pod> Collection for TimedRows<T> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (time, row) in &self.0 {
            out.extend_from_slice(&time.as_nanos().to_le_bytes());
            out.extend_from_slice(bytemuck::bytes_of(row));
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let size = 8 + size_of::<T>();
        if !bytes.len().is_multiple_of(size) {
            return None;
        }
        let mut rows = Self::default();
        for bytes in bytes.chunks_exact(size) {
            let (time, row) = bytes.split_first_chunk::<8>()?;
            rows.insert(Timestamp::from_nanos(i64::from_le_bytes(*time)), bytemuck::pod_read_unaligned(row));
        }
        Some(rows)
    }
}

impl<T: Copy> TimedRows<T> {
    fn insert(&mut self, time: Timestamp, row: T) {
        // Most rows come in order.
        match self.0.back() {
            Some((last, _)) if *last > time => {
                let at = self.0.partition_point(|(other, _)| *other <= time);
                self.0.insert(at, (time, row));
            }
            _ => self.0.push_back((time, row)),
        }
    }

    /// How many rows lie at or before a time.
    fn up_to(&self, time: Timestamp) -> usize {
        // Of long queues mostly none or all.
        match self.0.back() {
            Some((last, _)) if *last <= time => self.0.len(),
            _ => self.0.partition_point(|(other, _)| *other <= time),
        }
    }

    fn between(&self, first: Timestamp, last: Timestamp) -> vec_deque::Iter<'_, (Timestamp, T)> {
        let start = self.0.partition_point(|(time, _)| *time < first);
        self.0.range(start..self.up_to(last).max(start))
    }

    fn latest_at(&self, time: Timestamp) -> Option<&(Timestamp, T)> {
        self.0.get(self.up_to(time).checked_sub(1)?)
    }

    /// How many rows are not the latest at `time` or any later time.
    fn dropped_at(&self, time: Timestamp) -> usize {
        self.up_to(time).saturating_sub(1)
    }

    fn drop_before_latest(&mut self, time: Timestamp) {
        self.0.drain(..self.dropped_at(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_are_found_as_in_a_sorted_list(
            rows in prop::collection::vec(0i64..30, 0..60), at in 0i64..30, dropped_at in 0i64..30,
        ) {
            let time = Timestamp::from_nanos;
            let mut timed = TimedRows::default();
            let mut model = Vec::new();
            for (number, nanos) in (0u64..).zip(rows) {
                timed.insert(time(nanos), number);
                model.push((time(nanos), number));
            }
            model.sort_by_key(|(time, _)| *time);
            prop_assert!(timed.0.iter().eq(&model));
            let mut bytes = Vec::new();
            timed.write(&mut bytes);
            prop_assert!(TimedRows::<u64>::read(&bytes).unwrap().0.iter().eq(&model));
            prop_assert_eq!(timed.latest_at(time(at)), model.iter().rfind(|(other, _)| *other <= time(at)));
            let is_between = |(other, _): &&(Timestamp, u64)| *other >= time(dropped_at) && *other <= time(at);
            prop_assert!(timed.between(time(dropped_at), time(at)).eq(model.iter().filter(is_between)));
            let later = time(at.max(dropped_at));
            let latest = timed.latest_at(later).copied();
            let (before, count) = (timed.len(), timed.dropped_at(time(dropped_at)));
            timed.drop_before_latest(time(dropped_at));
            prop_assert_eq!(timed.len() + count, before);
            prop_assert_eq!(timed.latest_at(later).copied(), latest);
            prop_assert!(timed.0.iter().filter(|(other, _)| *other <= time(dropped_at)).count() <= 1);
        }
    }
}
