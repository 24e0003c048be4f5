//! Looking at the entries of keys that are going to be found, ahead of time.

use crate::Key;
use crate::store::KeyedTable;
use crate::store::table::{Word, number_of};
use bytemuck::Pod;

/// Words of an index that does not stay in the first-level cache.
const LARGE: usize = if cfg!(test) { 256 } else { 8192 };
/// Keys that are looked at ahead.
pub(crate) const FETCHED: usize = 64;

impl<K: Key, V: Pod> KeyedTable<K, V> {
    /// Looks at what these keys, at most [`FETCHED`] of them, are found by, where that does not stay in the first-level
    /// cache: a loop that does nothing else has more of it on its way from memory at once than one that works on each.
    #[inline(never)]
    pub(crate) fn fetch(&self, keys: impl Iterator<Item = K>) {
        if self.index.len() < LARGE {
            return;
        }
        let mut words = [0; FETCHED];
        for (slot, key) in words.iter_mut().zip(keys) {
            *slot = match self.small.get(&key) {
                Some(entry) => entry as Word + 1,
                None => self.index[self.home(self.seed.hash(&key))],
            };
        }
        let found = words.iter().filter(|word| **word != 0).map(|word| self.key(number_of(*word)));
        // Used for nothing, but the processor cannot know.
        std::hint::black_box(found.filter_map(|key| bytemuck::bytes_of(key).first()).fold(0, |seen, byte| seen ^ byte));
    }
}
