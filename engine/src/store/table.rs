//! The keyed table: an index over fixed-size segments of dense entries.
//!
//! ```text
//! index: [tag, entry + 1] ... linear probing, half full ──► segments: [K, V] x 256 each
//! ```
//! Entries are numbered in the order in which they came and never moved, so that others can refer to
//! them by number; growth copies index words only.

use crate::{Key, hash_key};

const SEGMENT_BITS: u32 = 8;
const SEGMENT: usize = 1 << SEGMENT_BITS;
/// One index word: 32 bits of hash over the number of the entry plus 1; 0 is empty.
type Word = u64;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
}

/// A map from keys to values of fixed layout. Entries are numbered in the order they came.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    index: Vec<Word>,
    segments: Vec<Box<[Entry<K, V>; SEGMENT]>>,
    len: usize,
}

impl<K: Key, V: bytemuck::Pod> Table<K, V> {
    pub(crate) fn new() -> Self {
        Self { index: vec![0; 64], segments: Vec::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        // The low bits; slots and so workers come from higher ones.
        hash as usize & (self.index.len() - 1)
    }

    #[inline(always)]
    const fn tag(hash: u64) -> u64 {
        hash & (0xffff_ffff << 32)
    }

    #[inline(always)]
    pub(crate) fn entry(&self, number: usize) -> &Entry<K, V> {
        &self.segments[number >> SEGMENT_BITS][number & (SEGMENT - 1)]
    }

    #[inline(always)]
    pub(crate) fn entry_mut(&mut self, number: usize) -> &mut Entry<K, V> {
        &mut self.segments[number >> SEGMENT_BITS][number & (SEGMENT - 1)]
    }

    /// The number of the entry of `key`, where there is one.
    pub(crate) fn find(&self, key: &K, hash: u64) -> Option<usize> {
        let mask = self.index.len() - 1;
        let mut at = self.home(hash);
        loop {
            let word = self.index[at];
            if word == 0 {
                return None;
            }
            let number = (word as u32 - 1) as usize;
            if Self::tag(word) == Self::tag(hash) && self.entry(number).key == *key {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }

    /// The number of the entry of `key`, which is added where it is new.
    #[inline(always)]
    pub(crate) fn find_or_insert(&mut self, key: K, hash: u64) -> usize {
        let mask = self.index.len() - 1;
        let mut at = self.home(hash);
        loop {
            let word = self.index[at];
            if word == 0 {
                return self.insert(at, key, hash);
            }
            if Self::tag(word) == Self::tag(hash) {
                let number = (word as u32 - 1) as usize;
                if self.entry(number).key == key {
                    return number;
                }
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, mut at: usize, key: K, hash: u64) -> usize {
        if (self.len + 1) * 2 > self.index.len() {
            self.grow();
            at = self.home(hash);
            while self.index[at] != 0 {
                at = (at + 1) & (self.index.len() - 1);
            }
        }
        let number = self.len;
        self.index[at] = Self::tag(hash) | (number as u64 + 1);
        if number >> SEGMENT_BITS == self.segments.len() {
            self.segments.push(empty_segment());
        }
        *self.entry_mut(number) = Entry { key, value: V::zeroed() };
        self.len += 1;
        number
    }

    fn grow(&mut self) {
        let mut index = vec![0; self.index.len() * 2];
        let mask = index.len() - 1;
        for number in 0..self.len {
            let hash = hash_key(&self.entry(number).key);
            let mut at = hash as usize & mask;
            while index[at] != 0 {
                at = (at + 1) & mask;
            }
            index[at] = Self::tag(hash) | (number as u64 + 1);
        }
        self.index = index;
    }

    /// All entries, in the order they came.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry<K, V>> {
        (0..self.len).map(|number| self.entry(number))
    }
}

/// A segment without entries, made where it will stay.
fn empty_segment<K: Key, V: bytemuck::Pod>() -> Box<[Entry<K, V>; SEGMENT]> {
    let entries = vec![Entry { key: K::zeroed(), value: V::zeroed() }; SEGMENT];
    match entries.into_boxed_slice().try_into() {
        Ok(segment) => segment,
        Err(_) => unreachable!("it was made with that many entries"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn colliding_index_words_keep_their_keys_apart() {
        let mut table = Table::<u64, u64>::new();
        for key in 0..3000u64 {
            // One hash for all: each lookup walks past every other key.
            let entry = table.find_or_insert(key % 30, 42);
            table.entry_mut(entry).value += 1;
        }
        assert_eq!(table.len(), 30);
        assert!(table.entries().all(|entry| entry.value == 100));
    }

    proptest! {
        #[test]
        fn a_table_counts_as_a_hash_map_does(keys in prop::collection::vec(prop_oneof![0u64..3000, 0..u64::MAX], 0..6000)) {
            let mut table = Table::<u64, u64>::new();
            let mut model = HashMap::<u64, u64>::new();
            for key in keys {
                let entry = table.find_or_insert(key, hash_key(&key));
                table.entry_mut(entry).value += 1;
                *model.entry(key).or_default() += 1;
            }
            prop_assert_eq!(table.len(), model.len());
            for entry in table.entries() {
                prop_assert_eq!(model.get(&entry.key), Some(&entry.value));
            }
        }
    }
}
