//! A list for each key.

use crate::store::column::{Collection, Collections, Column, elements};
use crate::store::table::KeyedTable;
use crate::store::{Scope, Share, StoreError, StoreKind, StoreSettings};
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
struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Pod> Collection for List<T> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(bytemuck::cast_slice(&self.0));
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self(elements(bytes)?.collect()))
    }
}

impl<T: Record> KeyedLists<T> {
    /// Empty lists.
    pub const fn new(settings: &StoreSettings) -> Self {
        const { assert!(size_of::<T>() > 0, "rows without bytes") };
        Self(Collections::new(settings.rows_max))
    }

    /// The rows of an entry.
    pub fn get(&self, entry: usize) -> &[T] {
        self.0.get(entry).map_or(&[], |list| &list.0)
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
        self.0.change(table, entry, |list| list.0.push(row));
        self.0.check()
    }

    /// Drops all but the last `len` rows.
    pub fn truncate_front<K: Key, V: Pod>(&mut self, table: &mut KeyedTable<K, V>, entry: usize, len: usize) {
        self.0.change(table, entry, |list| list.0.drain(..list.0.len().saturating_sub(len)).count());
    }

    /// Drops all rows of an entry.
    pub fn clear<K: Key, V: Pod>(&mut self, table: &mut KeyedTable<K, V>, entry: usize) {
        self.0.change(table, entry, |list| *list = List::default());
    }
}

impl<T: Record> Column for KeyedLists<T> {
    fn kind(&self) -> StoreKind {
        StoreKind::KeyedLists
    }

    fn layout(&self) -> Layout {
        T::layout()
    }

    fn bytes(&self) -> usize {
        self.0.bytes(size_of::<T>())
    }

    fn check(&self) -> Result<(), StoreError> {
        self.0.check()
    }

    fn save<K: Key, V: Pod>(&mut self, table: &KeyedTable<K, V>, scope: Scope, piece: &mut dyn FnMut(Share, &[u8])) {
        self.0.save(table, scope, piece);
    }

    fn restore<K: Key, V: Pod>(
        &mut self,
        table: &mut KeyedTable<K, V>,
        share: Share,
        piece: &[u8],
    ) -> Result<(), StoreError> {
        self.0.restore(table, share, piece)
    }
}
