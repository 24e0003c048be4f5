//! A list for each key.

use crate::store::column::{Collected, Collection, Collections, elements};
use crate::store::table::KeyedTable;
use crate::store::{StoreError, StoreKind, StoreSettings};
use crate::{Key, Layout, Record};
use bytemuck::Pod;

/// A list of rows for each entry of a [`KeyedTable`], in the order in which they were pushed.
///
/// The limit of rows of a job holds for all lists of a store together. Lists that become empty no longer hold their entry,
/// which is to be removed then ([`KeyedTable::remove`]).
///
/// ```
/// use pelton::{KeyedLists, KeyedTable, StoreSettings};
///
/// let settings = StoreSettings::default();
/// let (mut keys, mut last) = (KeyedTable::<u32, ()>::new(&settings), KeyedLists::<i64>::new(&settings));
/// let entry = keys.find_or_insert(7)?;
/// last.push(&mut keys, entry, 1)?;
/// last.push(&mut keys, entry, 2)?;
/// assert_eq!(last.get(entry), [1, 2]);
/// last.truncate_front(&mut keys, entry, 1);
/// assert_eq!(last.get(entry), [2]);
/// # Ok::<(), pelton::StoreError>(())
/// ```
#[derive(Debug)]
pub struct KeyedLists<T>(Collections<List<T>>);

#[derive(Debug)]
pub(crate) struct List<T> {
    rows: Vec<T>,
    /// Rows before this one were dropped.
    start: usize,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), start: 0 }
    }
}

impl<T> List<T> {
    pub(crate) fn rows(&self) -> &[T] {
        &self.rows[self.start..]
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        self.rows.last_mut()
    }

    pub(crate) fn push(&mut self, row: T) {
        self.rows.push(row);
    }

    /// Drops all but the last `len` rows; their room is given back once they are half of all.
    pub(crate) fn truncate_front(&mut self, len: usize) {
        self.start += self.rows().len().saturating_sub(len);
        if self.start * 2 >= self.rows.len() {
            self.rows.drain(..self.start);
            self.start = 0;
        }
    }
}

impl<T: Pod> Collection for List<T> {
    fn len(&self) -> usize {
        self.rows().len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(bytemuck::cast_slice(self.rows()));
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self { rows: elements(bytes)?.collect(), start: 0 })
    }
}

impl<T: Record> KeyedLists<T> {
    /// Empty lists.
    pub fn new(settings: &StoreSettings) -> Self {
        const { assert!(size_of::<T>() > 0, "rows without bytes") };
        Self(Collections::new(settings.rows_max))
    }

    /// The rows of an entry.
    pub fn get(&self, entry: usize) -> &[T] {
        self.0.get(entry).map_or(&[], List::rows)
    }

    /// The last row of an entry, to be changed.
    pub fn last_mut<K: Key, V: Pod>(&mut self, table: &KeyedTable<K, V>, entry: usize) -> Option<&mut T> {
        self.0.get_mut(table, entry)?.last_mut()
    }

    /// Adds a row at the end.
    ///
    /// # Errors
    /// When there are more rows than the limit allows.
    pub fn push<K: Key, V: Pod>(
        &mut self,
        table: &mut KeyedTable<K, V>,
        entry: usize,
        row: T,
    ) -> Result<(), StoreError> {
        self.0.change(table, entry, |list| list.push(row));
        self.0.check()
    }

    /// Drops all but the last `len` rows.
    pub fn truncate_front<K: Key, V: Pod>(&mut self, table: &mut KeyedTable<K, V>, entry: usize, len: usize) {
        self.0.change(table, entry, |list| list.truncate_front(len));
    }

    /// Drops all rows of an entry.
    pub fn clear<K: Key, V: Pod>(&mut self, table: &mut KeyedTable<K, V>, entry: usize) {
        self.0.change(table, entry, |list| *list = List::default());
    }
}

impl<T: Record> Collected for KeyedLists<T> {
    type Collection = List<T>;
    const KIND: StoreKind = StoreKind::KeyedLists;
    const ELEMENT_BYTES: usize = size_of::<T>();

    fn element() -> Layout {
        T::layout()
    }

    fn collections(&self) -> &Collections<List<T>> {
        &self.0
    }

    fn collections_mut(&mut self) -> &mut Collections<List<T>> {
        &mut self.0
    }
}
