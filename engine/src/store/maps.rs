//! A sorted map for each key.

use crate::store::column::{Collected, Collection, Collections};
use crate::store::table::KeyedTable;
use crate::store::{StoreError, StoreKind, StoreSettings};
use crate::{Key, Layout, Record};
use bytemuck::Pod;
use std::collections::BTreeMap;
use std::ops::RangeBounds;

/// A map for each entry of a [`KeyedTable`], in growing order of the maps' own keys.
///
/// The limit of rows of a job holds for the entries of all maps of a store together. Maps that become empty no longer hold
/// their entry, which is to be removed then ([`KeyedTable::remove`]).
///
/// ```
/// use pelton::{KeyedMaps, KeyedTable, StoreSettings};
///
/// let settings = StoreSettings::default();
/// let (mut books, mut levels) = (KeyedTable::<u32, ()>::new(&settings), KeyedMaps::<i64, u64>::new(&settings));
/// let book = books.find_or_insert(7)?;
/// levels.insert(&mut books, book, 101, 5)?;
/// levels.insert(&mut books, book, 99, 3)?;
/// assert_eq!(levels.get(book, &99), Some(&3));
/// assert_eq!(levels.range(book, 100..).map(|(price, size)| (*price, *size)).next(), Some((101, 5)));
/// assert_eq!(levels.remove(&mut books, book, &99), Some(3));
/// # Ok::<(), pelton::StoreError>(())
/// ```
#[derive(Debug)]
pub struct KeyedMaps<M, T>(Collections<Map<M, T>>);

#[derive(Debug)]
pub(crate) struct Map<M, T>(pub(crate) BTreeMap<M, T>);

impl<M, T> Default for Map<M, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<M: Pod + Ord, T: Pod> Collection for Map<M, T> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.0 {
            out.extend_from_slice(bytemuck::bytes_of(key));
            out.extend_from_slice(bytemuck::bytes_of(value));
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let size = size_of::<M>() + size_of::<T>();
        if size == 0 || !bytes.len().is_multiple_of(size) {
            return None;
        }
        let entry = |bytes: &[u8]| {
            let (key, value) = bytes.split_at(size_of::<M>());
            (bytemuck::pod_read_unaligned(key), bytemuck::pod_read_unaligned(value))
        };
        Some(Self(bytes.chunks_exact(size).map(entry).collect()))
    }
}

impl<M: Record + Ord, T: Record> KeyedMaps<M, T> {
    /// Empty maps.
    pub fn new(settings: &StoreSettings) -> Self {
        const { assert!(size_of::<M>() + size_of::<T>() > 0, "entries without bytes") };
        Self(Collections::new(settings.rows_max))
    }

    /// The value of a key in an entry's map.
    pub fn get(&self, entry: usize, key: &M) -> Option<&T> {
        self.0.get(entry)?.0.get(key)
    }

    /// The value of a key in an entry's map, to be changed.
    pub fn get_mut<K: Key, V: Pod>(&mut self, table: &KeyedTable<K, V>, entry: usize, key: &M) -> Option<&mut T> {
        self.0.get_mut(table, entry)?.0.get_mut(key)
    }

    /// The number of keys in an entry's map.
    pub fn len(&self, entry: usize) -> usize {
        self.0.get(entry).map_or(0, Collection::len)
    }

    /// Whether an entry's map has no keys.
    pub fn is_empty(&self, entry: usize) -> bool {
        self.len(entry) == 0
    }

    /// Keys in range with their values, in growing order.
    pub fn range(&self, entry: usize, range: impl RangeBounds<M>) -> impl DoubleEndedIterator<Item = (&M, &T)> {
        self.0.get(entry).map(|map| map.0.range(range)).into_iter().flatten()
    }

    /// Gives a key a value, and returns the one it had.
    ///
    /// # Errors
    /// When there are more keys in all maps than the limit allows.
    pub fn insert<K: Key, V: Pod>(
        &mut self,
        table: &mut KeyedTable<K, V>,
        entry: usize,
        key: M,
        value: T,
    ) -> Result<Option<T>, StoreError> {
        let before = self.0.change(table, entry, |map| map.0.insert(key, value));
        self.0.check().map(|()| before)
    }

    /// Takes a key and its value away.
    pub fn remove<K: Key, V: Pod>(&mut self, table: &mut KeyedTable<K, V>, entry: usize, key: &M) -> Option<T> {
        self.0.change(table, entry, |map| map.0.remove(key))
    }

    /// Takes all keys of an entry's map away.
    pub fn clear<K: Key, V: Pod>(&mut self, table: &mut KeyedTable<K, V>, entry: usize) {
        self.0.change(table, entry, |map| map.0.clear());
    }
}

impl<M: Record + Ord, T: Record> Collected for KeyedMaps<M, T> {
    type Collection = Map<M, T>;
    const KIND: StoreKind = StoreKind::KeyedMaps;
    const ELEMENT_BYTES: usize = size_of::<M>() + size_of::<T>();

    fn element() -> Layout {
        T::layout()
    }

    fn element_key() -> Option<Layout> {
        Some(M::layout())
    }

    fn collections(&self) -> &Collections<Map<M, T>> {
        &self.0
    }

    fn collections_mut(&mut self) -> &mut Collections<Map<M, T>> {
        &mut self.0
    }
}
