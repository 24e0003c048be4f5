//! A table that all workers have alike.

use crate::store::pieces::{PieceWriter, split_records};
use crate::store::table::KeyedTable;
use crate::store::{Scope, Share, Store, StoreError, StoreKind, StoreSettings};
use crate::{Key, Layout, Record, Slot};
use std::ops::Range;

/// A table that all workers have alike, since each is told the same in the same order.
///
/// ```
/// use pelton::{BroadcastTable, StoreSettings};
///
/// let mut limits = BroadcastTable::<u32, i64>::new(&StoreSettings::default());
/// limits.insert(7, 100);
/// assert_eq!(limits.get(&7), Some(&100));
/// assert_eq!(limits.remove(&7), Some(100));
/// assert!(limits.is_empty());
/// ```
pub struct BroadcastTable<K, V> {
    table: KeyedTable<K, V>,
    /// Entries in the order of their keys' bytes.
    order: Vec<u32>,
    keys_max: usize,
}

impl<K: Key, V: Record> BroadcastTable<K, V> {
    /// An empty table.
    pub fn new(settings: &StoreSettings) -> Self {
        // The limit is looked at behind the row that passed it: functions cannot fail.
        let table = KeyedTable::new(&StoreSettings { keys_max: usize::MAX, ..*settings });
        Self { table, order: Vec::new(), keys_max: settings.keys_max }
    }

    /// The value of a key, where it has one.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.table.get(key)
    }

    /// Where the key stands in the order, or would.
    fn place(&self, key: &K) -> Result<usize, usize> {
        let bytes = bytemuck::bytes_of(key);
        self.order.binary_search_by(|entry| bytemuck::bytes_of(self.table.key(*entry as usize)).cmp(bytes))
    }

    /// Gives a key a value, and returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(&key) {
            Ok(at) => Some(std::mem::replace(self.table.value_mut(self.order[at] as usize), value)),
            Err(at) => {
                let Ok(entry) = self.table.find_or_insert(key) else { unreachable!("its table has no limit") };
                *self.table.value_mut(entry) = value;
                self.order.insert(at, entry as u32);
                None
            }
        }
    }

    /// Takes the value of a key away.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.place(key).ok()?;
        Some(self.table.remove(self.order.remove(at) as usize))
    }

    /// The number of keys with a value.
    pub const fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether no key has a value.
    pub const fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Keys and values, in the order of the keys' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order.iter().map(|entry| (self.table.key(*entry as usize), self.table.value(*entry as usize)))
    }
}

impl<K: Key, V: Record> Store for BroadcastTable<K, V> {
    fn kind(&self) -> StoreKind {
        StoreKind::Broadcast
    }

    fn layout(&self) -> Layout {
        V::layout()
    }

    fn bytes(&self) -> usize {
        Store::bytes(&self.table) + self.order.len() * 4
    }

    fn key_layout(&self) -> Option<Layout> {
        Some(K::layout())
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.len() > self.keys_max { Err(StoreError::TooManyKeys(self.keys_max)) } else { Ok(()) }
    }

    fn mark(&mut self, scope: Scope) {
        self.table.mark(scope);
    }

    fn save(&mut self, out: &mut PieceWriter<'_>) -> bool {
        let room = out.room();
        let mut take = |share, piece: &[u8]| match split_records(piece, 0) {
            Ok((_, records)) if share == Share::Keys => records.for_each(|record| out.write(Share::All, record)),
            _ => out.write(Share::All, piece),
        };
        self.table.save(&mut PieceWriter::new(room, &mut take))
    }

    fn restore(&mut self, share: Share, piece: &[u8], slots: &Range<Slot>) -> Result<(), StoreError> {
        let (Share::All, Some((key, _))) = (share, piece.split_at_checked(size_of::<K>())) else {
            return Err(StoreError::misfit("no key of all workers"));
        };
        let key: K = bytemuck::pod_read_unaligned(key);
        let place = self.place(&key);
        self.table.restore(self.table.share_of(&key), piece, slots)?;
        match (place, self.table.find(&key)) {
            (Ok(at), None) => drop(self.order.remove(at)),
            (Err(at), Some(entry)) => self.order.insert(at, entry as u32),
            (Ok(_), Some(_)) | (Err(_), None) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_whose_keys_come_and_go_keeps_its_size_and_its_order() {
        let mut table = BroadcastTable::<[u8; 4], u64>::new(&StoreSettings::default());
        let key = |number: u32| number.to_be_bytes();
        for number in 0..10_000 {
            // Zeros are a value too.
            assert_eq!(table.insert(key(number), u64::from(number) % 3), None);
            if number >= 10 {
                assert_eq!(table.remove(&key(number - 10)), Some(u64::from(number - 10) % 3));
            }
        }
        assert!(Store::bytes(&table) < 64 << 10);
        let left: Vec<_> = table.iter().map(|(key, value)| (*key, *value)).collect();
        assert_eq!(left, (9990..10_000).map(|number| (key(number), u64::from(number) % 3)).collect::<Vec<_>>());
        assert_eq!((table.len(), table.get(&key(5)), table.get(&key(9991))), (10, None, Some(&1)));
    }
}
