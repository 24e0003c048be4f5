//! The entries of keys that are small numbers, found without hashing.

use crate::Key;
use crate::store::dense::number_of;

/// There is room for so many numbers from the first key on.
const ROOM_MIN: usize = 1 << 10;
/// Beyond that at least one in so many numbers has an entry when room is made.
const SPARSITY: usize = 8;

/// For each small number 1 and the entry of the key with this number, or 0 where it has none.
#[derive(Debug)]
pub(super) struct Small(Vec<u32>);

impl Small {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// The entry of a key, where it is known here.
    #[inline(always)]
    pub(super) fn get<K: Key>(&self, key: &K) -> Option<usize> {
        let entry = *self.0.get(number_of(key)?)?;
        (entry > 0).then(|| entry as usize - 1)
    }

    /// Whether room is to be made for a key, of a table that has so many.
    pub(super) fn is_to_grow<K: Key>(&self, key: &K, keys: usize) -> bool {
        number_of(key).is_some_and(|number| number >= self.0.len() && number < ROOM_MIN.max(keys * SPARSITY))
    }

    /// Makes room for a key.
    pub(super) fn grow<K: Key>(&mut self, key: &K) {
        if let Some(number) = number_of(key) {
            self.0.resize((number + 1).next_power_of_two().max(ROOM_MIN), 0);
        }
    }

    /// A key has this entry now, or none.
    #[inline]
    pub(super) fn set<K: Key>(&mut self, key: &K, entry: Option<usize>) {
        if let Some(number) = number_of(key)
            && let Some(known) = self.0.get_mut(number)
        {
            *known = entry.map_or(0, |entry| entry as u32 + 1);
        }
    }

    /// Bytes taken.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u32>()
    }
}
