//! Values of keys that are no small numbers: a hash table with each key beside its value.
//!
//! ```text
//! slots: [key, value] in words of 16 bytes, a power of two of them, linear probing from the hash
//! zero:  the value of the key whose bytes are all zeros: in a slot they mean that it is empty
//! ```
//! A key's slot is one place in memory and so one cache miss. Rows are looked up a batch at a time:
//! first all slots are touched, which the processor fetches side by side.

use crate::store::region::Region;
use crate::{Key, hash_key};
use bytemuck::Pod;

/// Rows that are looked up together.
pub(crate) const LOOKUP_BATCH: usize = 64;
/// Slots of the smallest table.
const SLOTS_MIN: usize = 1 << 4;
/// The share of slots that are taken when a table grows.
const FULL: (usize, usize) = (5, 8);
/// A table that was filled less than by one in so many slots is made anew when it is cleared.
const WIDE: usize = 16;

/// A table of so many words does not stay in the second-level cache.
const LARGE_WORDS: usize = (512 << 10) / size_of::<Word>();

type Word = u128;

#[derive(Debug)]
pub(crate) struct Sparse<K, V> {
    slots: Region<Word>,
    /// Slots - 1, or 0 where there are none.
    mask: usize,
    zero: Option<(K, V)>,
    len: usize,
}

impl<K: Key, V: Pod> Sparse<K, V> {
    /// Where the value begins, in bytes.
    const VALUE: usize = size_of::<K>().next_multiple_of(align_of::<V>());
    /// Words of a slot: a power of two up to 64 bytes, so that none lies in more cache lines than it must.
    const WORDS: usize = {
        let words = (Self::VALUE + size_of::<V>()).div_ceil(size_of::<Word>());
        let words = if words == 0 { 1 } else { words };
        assert!(align_of::<K>() <= align_of::<Word>() && align_of::<V>() <= align_of::<Word>());
        if words == 3 { 4 } else { words }
    };

    pub(crate) const fn new() -> Self {
        Self { slots: Region::new(), mask: 0, zero: None, len: 0 }
    }

    /// A table that has room for so many keys before it grows.
    pub(crate) fn with_room(keys: usize) -> Self {
        let mut table = Self::new();
        if keys > 0 {
            table.grow_to((keys * FULL.1 / FULL.0 + 1).next_power_of_two().max(SLOTS_MIN));
        }
        table
    }

    /// The number of keys.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn slot(words: &[Word], number: usize) -> (&K, &V) {
        let slot: &[u8] = bytemuck::cast_slice(&words[number * Self::WORDS..][..Self::WORDS]);
        let key = bytemuck::from_bytes(&slot[..size_of::<K>()]);
        (key, bytemuck::from_bytes(&slot[Self::VALUE..Self::VALUE + size_of::<V>()]))
    }

    #[inline(always)]
    fn slot_mut(words: &mut [Word], number: usize) -> (&mut K, &mut V) {
        let slot: &mut [u8] = bytemuck::cast_slice_mut(&mut words[number * Self::WORDS..][..Self::WORDS]);
        let (key, value) = slot.split_at_mut(Self::VALUE);
        (bytemuck::from_bytes_mut(&mut key[..size_of::<K>()]), bytemuck::from_bytes_mut(&mut value[..size_of::<V>()]))
    }

    /// Whether the table does not stay in the cache.
    pub(crate) const fn is_large(&self) -> bool {
        self.mask * Self::WORDS >= LARGE_WORDS
    }

    /// Begins to fetch the slots of keys with these hashes.
    #[inline]
    pub(crate) fn touch(&self, hashes: &[u64]) {
        let words = self.slots.values();
        let first = |hash: &u64| words.get((*hash as usize & self.mask) * Self::WORDS).map_or(0, |word| *word as u64);
        // Used for nothing, but the processor cannot know.
        std::hint::black_box(hashes.iter().map(first).fold(0, |all, word| all ^ word));
    }

    /// The value of `key`, zeros where it is new; then `on_new` is told.
    #[inline(always)]
    pub(crate) fn value_mut(&mut self, key: K, hash: u64, on_new: impl FnOnce(&K)) -> &mut V {
        let empty = K::zeroed();
        if key == empty {
            if self.zero.is_none() {
                on_new(&key);
                self.len += 1;
            }
            return &mut self.zero.get_or_insert((key, V::zeroed())).1;
        }
        if self.len * FULL.1 >= (self.mask + 1) * FULL.0 || self.mask == 0 {
            self.grow();
        }
        let Self { slots, mask, len, .. } = self;
        let words = slots.values_mut();
        let mut at = hash as usize & *mask;
        loop {
            let found = *Self::slot_mut(words, at).0;
            if found == key {
                break;
            }
            if found == empty {
                on_new(&key);
                *Self::slot_mut(words, at).0 = key;
                *len += 1;
                break;
            }
            at = (at + 1) & *mask;
        }
        Self::slot_mut(words, at).1
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        self.grow_to(if self.mask == 0 { SLOTS_MIN } else { (self.mask + 1) * 2 });
    }

    /// Makes a power of two of slots. Without memory for them the program ends, as with any collection.
    fn grow_to(&mut self, slots: usize) {
        let mut grown = Region::new();
        assert!(grown.grow(slots * Self::WORDS), "no memory for a table of {slots} slots");
        let words = grown.values_mut();
        for (_, key, value) in self.entries(0).filter(|(_, key, _)| **key != K::zeroed()) {
            let mut at = hash_key(key) as usize & (slots - 1);
            while *Self::slot_mut(words, at).0 != K::zeroed() {
                at = (at + 1) & (slots - 1);
            }
            let (new_key, new_value) = Self::slot_mut(words, at);
            (*new_key, *new_value) = (*key, *value);
        }
        self.slots = grown;
        self.mask = slots - 1;
    }

    /// Keys and values with the numbers of their slots, from `start` on, in growing order; the key of
    /// zeros is behind all slots.
    pub(crate) fn entries(&self, start: usize) -> impl Iterator<Item = (usize, &K, &V)> {
        let words = self.slots.values();
        let slots = words.len() / Self::WORDS;
        let taken = (start..slots).map(|number| (number, Self::slot(words, number)));
        let taken = taken.filter(|(_, (key, _))| **key != K::zeroed());
        let zero = self.zero.iter().filter(move |_| start <= slots).map(move |(key, value)| (slots, key, value));
        taken.map(|(number, (key, value))| (number, key, value)).chain(zero)
    }

    /// The entry with this number.
    #[inline]
    pub(crate) fn entry(&self, number: usize) -> (&K, &V) {
        let words = self.slots.values();
        match &self.zero {
            Some((key, value)) if number * Self::WORDS == words.len() => (key, value),
            _ => Self::slot(words, number),
        }
    }

    /// Forgets all keys, and keeps the memory where most of it was used.
    pub(crate) fn clear(&mut self) {
        if self.len * WIDE < self.mask {
            *self = Self::new();
            return;
        }
        self.slots.values_mut().fill(0);
        self.zero = None;
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<K: Key + std::fmt::Debug, V: Pod + PartialEq + std::fmt::Debug>(
        key: impl Fn(u64) -> K,
        value: impl Fn(u64) -> V,
    ) {
        let mut table = Sparse::<K, V>::new();
        // The second time narrow in a wide table, the third time in one made anew, or as wide.
        for count in [20_000u64, 300, 5000] {
            let mut new = 0;
            for number in (0..count).chain(0..count) {
                *table.value_mut(key(number), hash_key(&key(number)), |_| new += 1) = value(number);
            }
            assert_eq!((table.len(), new), (count as usize, count as usize));
            let mut entries: Vec<_> = table.entries(0).collect();
            assert!(entries.is_sorted_by_key(|entry| entry.0));
            let (middle, _, _) = entries[entries.len() / 3];
            assert_eq!(table.entries(middle).count(), entries.len() - entries.len() / 3);
            assert!(entries.iter().all(|&(number, key, value)| table.entry(number) == (key, value)));
            entries.sort_by_key(|entry| bytemuck::bytes_of(entry.1).to_vec());
            let mut expected: Vec<_> = (0..count).map(|number| (key(number), value(number))).collect();
            expected.sort_by_key(|entry| bytemuck::bytes_of(&entry.0).to_vec());
            assert!(entries.iter().map(|entry| (*entry.1, *entry.2)).eq(expected));
            table.clear();
            assert_eq!((table.len(), table.entries(0).count()), (0, 0));
        }
    }

    #[test]
    fn keys_and_values_of_all_sizes_lie_side_by_side() {
        check(|number| number, |number| number as u8);
        check(|number| number as u32, |number| [number, !number]);
        check(|number| u128::from(number) << 90, u128::from);
        check(|number| [number as u8, (number >> 8) as u8, 7], |number| [number as u16; 3]);
        check(|number| (number.wrapping_mul(977)).to_be_bytes(), |number| [number; 9]);
        check(|number| -(number as i64), |_| ());
    }

    #[test]
    fn keys_of_one_hash_are_kept_apart() {
        let mut table = Sparse::<u64, u64>::new();
        for number in 0..3000u64 {
            // As if all keys began at one slot. A growing table hashes for itself, so it must not grow.
            *table.value_mut(number % 9, 42, |_| ()) += number;
        }
        let sums: Vec<u64> = (0..9).map(|key| (0..3000).filter(|number| number % 9 == key).sum()).collect();
        assert!(table.len() == 9 && table.entries(0).all(|(_, key, value)| *value == sums[*key as usize]));
    }
}
