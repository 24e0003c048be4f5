//! Values of keys that are no small numbers: a hash table with each key beside its value.
//!
//! ```text
//! tags:  a byte for each slot, 8 to a word: 0x80 | 7 bits of the key's hash, 0 where the slot is empty
//! slots: [key, value] in words of 16 bytes, a power of two of them
//! ```
//! A key lies in the first group of 8 slots, from the one that its hash names, that had room when it
//! came. The tags of a group are compared at once, by arithmetic on the word, so that the first key that
//! is compared is nearly always the right one and the processor guesses well. (The tags are those of
//! Abseil's Swiss tables, in aligned groups as in Folly's F14.)
//!
//! Rows are looked up a batch at a time: in a large table first all tags are touched, then all slots,
//! which the processor fetches side by side.

use crate::store::Scope;
use crate::store::changes::Changes;
use crate::store::pieces::{PieceWriter, Records};
use crate::store::region::Region;
use crate::{HashSeed, Key};
use bytemuck::Pod;

/// Rows that are looked up together.
pub(crate) const LOOKUP_BATCH: usize = 64;
/// Slots of a group.
const GROUP: usize = 8;
/// Groups of the smallest table.
const GROUPS_MIN: usize = 2;
/// The share of slots that are taken when a table grows.
const FULL: (usize, usize) = (5, 8);
/// Groups of the table that has room for a batch of new keys.
const GROUPS_OF_BATCH: usize = (LOOKUP_BATCH * FULL.1).div_ceil(FULL.0 * GROUP).next_power_of_two();
/// A table that was filled less than by one in so many slots is made anew when it is cleared.
const WIDE: usize = 16;
/// A table of so many bytes does not stay in the second-level cache.
const LARGE_BYTES: usize = 1 << 20;
/// The highest bit of each tag: whether the slot is taken.
const TAKEN: u64 = 0x8080_8080_8080_8080;
const ONES: u64 = 0x0101_0101_0101_0101;

type Word = u128;

#[derive(Debug)]
pub(crate) struct Sparse<K, V> {
    seed: HashSeed,
    /// As many as groups: none, or a power of two.
    tags: Region<u64>,
    slots: Region<Word>,
    len: usize,
    changes: Changes,
    /// Entries that were marked and then touched, as they were.
    kept: Vec<(K, V)>,
}

/// The tag of a key with this hash. Its bits name neither groups nor workers.
#[inline(always)]
const fn tag_of(hash: u64) -> u64 {
    hash >> 57 | 0x80
}

/// The highest bits of the tags that are `tag`, and perhaps of some behind the first: keys are compared.
#[inline(always)]
const fn matches(tags: u64, tag: u64) -> u64 {
    let difference = tags ^ (tag * ONES);
    difference.wrapping_sub(ONES) & !difference & TAKEN
}

/// The slot in its group of the lowest bit.
#[inline(always)]
const fn first(bits: u64) -> usize {
    bits.trailing_zeros() as usize / 8
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

    pub(crate) const fn new(seed: HashSeed) -> Self {
        Self { seed, tags: Region::new(), slots: Region::new(), len: 0, changes: Changes::EMPTY, kept: Vec::new() }
    }

    /// A table that has room for so many keys before it grows.
    pub(crate) fn with_room(keys: usize, seed: HashSeed) -> Self {
        let mut table = Self::new(seed);
        if keys > 0 {
            let slots = keys * FULL.1 / FULL.0 + 1;
            table.grow_to(slots.div_ceil(GROUP).next_power_of_two().max(GROUPS_MIN));
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

    /// Whether the table does not stay in the second-level cache.
    #[inline]
    pub(crate) fn is_large(&self) -> bool {
        self.tags.values().len() >= LARGE_BYTES / (GROUP * Self::WORDS * size_of::<Word>())
    }

    /// Begins to fetch what keys with these hashes need.
    #[inline]
    pub(crate) fn touch(&self, hashes: &[u64]) {
        let (tags, words) = (self.tags.values(), self.slots.values());
        let Some(mask) = tags.len().checked_sub(1) else { return };
        let group = |hash: &u64| *hash as usize & mask;
        let seen = hashes.iter().fold(0, |all, hash| all ^ tags[group(hash)]);
        let slot = |hash: &u64| {
            let group = group(hash);
            words[(group * GROUP + first(matches(tags[group], tag_of(*hash)) | 1 << 63)) * Self::WORDS] as u64
        };
        // Used for nothing, but the processor cannot know.
        std::hint::black_box(hashes.iter().fold(seen, |all, hash| all ^ slot(hash)));
    }

    /// The value of `key`, zeros where it is new; then `on_new` is told.
    #[inline]
    pub(crate) fn value_mut(&mut self, key: K, hash: u64, on_new: impl FnOnce(&K)) -> &mut V {
        let number = self.with_room_for(1).number_of(key, hash, on_new);
        Self::slot_mut(self.slots.values_mut(), number).1
    }

    /// The table, with room for so many more keys.
    #[inline]
    pub(crate) fn with_room_for(&mut self, keys: usize) -> Slots<'_, K, V> {
        let len_max = |groups: usize| groups * GROUP * FULL.0 / FULL.1;
        let mut groups = self.tags.values().len();
        if self.len + keys > len_max(groups) {
            groups = groups.max(GROUPS_MIN);
            while self.len + keys > len_max(groups) {
                groups *= 2;
            }
            self.grow_to(groups);
        }
        let Self { tags, slots, len, changes, kept, .. } = self;
        let len_max = len_max(groups);
        Slots { tags: tags.values_mut(), words: slots.values_mut(), len, len_max, changes, kept }
    }

    /// Makes a power of two of groups. Without memory for them the program ends, as with any collection.
    #[cold]
    #[inline(never)]
    fn grow_to(&mut self, groups: usize) {
        let mut grown = Self::new(self.seed);
        let has_room = grown.tags.grow(groups) && grown.slots.grow(groups * GROUP * Self::WORDS);
        assert!(has_room, "no memory for a table of {groups} groups of {GROUP} slots");
        let mut slots = grown.with_room_for(0);
        for (_, key, value) in self.entries() {
            *slots.value_mut(*key, self.seed.hash(key), |_| ()) = *value;
        }
        self.keep_marked();
        let mut changes = std::mem::replace(&mut self.changes, Changes::EMPTY);
        changes.note_moved(grown.entries().map(|(number, _, _)| number));
        grown.changes = changes;
        grown.kept = std::mem::take(&mut self.kept);
        *self = grown;
    }

    fn is_taken(&self, number: usize) -> bool {
        self.tags.values()[number / GROUP] >> (8 * (number % GROUP)) & 0x80 != 0
    }

    /// Keeps all that is marked, before entries get new numbers.
    fn keep_marked(&mut self) {
        while let Some(number) = self.changes.next_marked() {
            if self.is_taken(number) {
                let (key, value) = self.entry(number);
                self.kept.push((*key, *value));
            }
        }
    }

    /// Keys and values with the numbers of their slots, in growing order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, &K, &V)> {
        let words = self.slots.values();
        let groups = self.tags.values().iter().enumerate();
        groups.flat_map(move |(group, tags)| {
            let taken =
                (0..GROUP).filter(move |slot| tags >> (8 * slot) & 0x80 != 0).map(move |slot| group * GROUP + slot);
            taken.map(move |number| {
                let (key, value) = Self::slot(words, number);
                (number, key, value)
            })
        })
    }

    /// From now on nothing was saved, and nothing is marked.
    pub(crate) fn forget_saved(&mut self) {
        self.changes = Changes::EMPTY;
        self.kept = Vec::new();
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.tags.values()) + size_of_val(self.slots.values())
    }

    /// Marks all entries, or those that changed since the last mark, where there was one.
    pub(crate) fn mark(&mut self, scope: Scope) {
        self.changes.mark(scope, self.tags.values().len() * GROUP);
    }

    /// Whether something that is marked may be left to write.
    pub(crate) fn is_marked(&self) -> bool {
        self.changes.is_marked() || !self.kept.is_empty()
    }

    /// Writes what was marked, as records of keys and values, as far as there is room; whether nothing is left.
    pub(crate) fn save(&mut self, out: &mut PieceWriter<'_>, records: &mut Records) -> bool {
        while out.has_room() {
            out.pass(1);
            if let Some((key, value)) = self.kept.pop() {
                put(records, &key, &value);
            } else {
                let Some(number) = self.changes.next_marked() else { break };
                if self.is_taken(number) {
                    let (key, value) = self.entry(number);
                    put(records, key, value);
                }
            }
            records.write_if_enough(out);
        }
        records.write(out);
        !self.is_marked()
    }

    /// The table with room for so many keys, into which those of this one are going to move.
    pub(crate) fn successor(&mut self, keys: usize) -> Self {
        self.keep_marked();
        let mut table = Self::with_room(keys, self.seed);
        table.changes = std::mem::replace(&mut self.changes, Changes::EMPTY);
        table.changes.note_moved(std::iter::empty());
        table.kept = std::mem::take(&mut self.kept);
        table
    }

    /// The entry with this number.
    #[inline]
    pub(crate) fn entry(&self, number: usize) -> (&K, &V) {
        Self::slot(self.slots.values(), number)
    }

    /// Forgets all keys, and keeps the memory where most of it was used, or all is what a batch asks for.
    pub(crate) fn clear(&mut self) {
        let groups = self.tags.values().len();
        if groups > GROUPS_OF_BATCH && self.len * WIDE < groups * GROUP {
            *self = Self::new(self.seed);
            return;
        }
        self.tags.values_mut().fill(0);
        self.len = 0;
        self.forget_saved();
    }
}

/// Adds the record of a key.
#[inline]
fn put<K: Pod, V: Pod>(records: &mut Records, key: &K, value: &V) {
    let (front, rest) = records.room_for(1).split_at_mut(size_of::<K>());
    front.copy_from_slice(bytemuck::bytes_of(key));
    rest[..size_of::<V>()].copy_from_slice(bytemuck::bytes_of(value));
}

/// A table that has room for some keys more.
pub(crate) struct Slots<'a, K, V> {
    tags: &'a mut [u64],
    words: &'a mut [Word],
    len: &'a mut usize,
    /// There are empty slots behind so many keys.
    len_max: usize,
    changes: &'a mut Changes,
    kept: &'a mut Vec<(K, V)>,
}

impl<K: Key, V: Pod> Slots<'_, K, V> {
    /// The value of `key`, zeros where it is new; then `on_new` is told.
    ///
    /// # Panics
    /// When it is new and there is no room for it.
    #[inline(always)]
    pub(crate) fn value_mut(&mut self, key: K, hash: u64, on_new: impl FnOnce(&K)) -> &mut V {
        let number = self.number_of(key, hash, on_new);
        Sparse::<K, V>::slot_mut(self.words, number).1
    }

    /// The slot of `key`, whose value is zeros where it is new; then `on_new` is told.
    #[inline(always)]
    fn number_of(&mut self, key: K, hash: u64, on_new: impl FnOnce(&K)) -> usize {
        let Self { tags, words, .. } = self;
        let (mask, tag) = (tags.len() - 1, tag_of(hash));
        let mut group = hash as usize & mask;
        loop {
            let mut candidates = matches(tags[group], tag);
            while candidates != 0 {
                let number = group * GROUP + first(candidates);
                let (found, value) = Sparse::<K, V>::slot_mut(words, number);
                if *found == key {
                    if self.changes.note(number) {
                        self.kept.push((key, *value));
                    }
                    return number;
                }
                candidates &= candidates - 1;
            }
            if !tags[group] & TAKEN != 0 {
                on_new(&key);
                return self.take_slot(group, tag, key);
            }
            group = (group + 1) & mask;
        }
    }

    /// Puts a new key in a group that has room.
    #[cold]
    #[inline(never)]
    fn take_slot(&mut self, group: usize, tag: u64, key: K) -> usize {
        assert!(*self.len < self.len_max, "more new keys than there was room made for");
        *self.len += 1;
        let empty = first(!self.tags[group] & TAKEN);
        self.tags[group] |= tag << (8 * empty);
        let number = group * GROUP + empty;
        let (new_key, value) = Sparse::<K, V>::slot_mut(self.words, number);
        (*new_key, *value) = (key, V::zeroed());
        self.changes.note_made(number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: HashSeed = HashSeed::new(5);

    fn check<K: Key + std::fmt::Debug, V: Pod + PartialEq + std::fmt::Debug>(
        key: impl Fn(u64) -> K,
        value: impl Fn(u64) -> V,
    ) {
        let mut table = Sparse::<K, V>::new(SEED);
        // The second time narrow in a wide table, the third time in one made anew, or as wide.
        for count in [20_000u64, 300, 5000] {
            let mut new = 0;
            for number in (0..count).chain(0..count) {
                *table.value_mut(key(number), SEED.hash(&key(number)), |_| new += 1) = value(number);
            }
            assert_eq!((table.len(), new), (count as usize, count as usize));
            let mut entries: Vec<_> = table.entries().collect();
            assert!(entries.is_sorted_by_key(|entry| entry.0));
            assert!(entries.iter().all(|&(number, key, value)| table.entry(number) == (key, value)));
            entries.sort_by_key(|entry| bytemuck::bytes_of(entry.1).to_vec());
            let mut expected: Vec<_> = (0..count).map(|number| (key(number), value(number))).collect();
            expected.sort_by_key(|entry| bytemuck::bytes_of(&entry.0).to_vec());
            assert!(entries.iter().map(|entry| (*entry.1, *entry.2)).eq(expected));
            table.clear();
            assert_eq!((table.len(), table.entries().count()), (0, 0));
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
    fn the_table_of_a_few_keys_is_kept() {
        let mut table = Sparse::<u64, u64>::new(SEED);
        *table.with_room_for(LOOKUP_BATCH).value_mut(7, SEED.hash(&7u64), |_| ()) = 1;
        assert_eq!(table.tags.values().len(), GROUPS_OF_BATCH);
        table.clear();
        assert_eq!((table.len(), table.tags.values().len()), (0, GROUPS_OF_BATCH));
        // One that was made for many is not.
        table.with_room_for(10 * LOOKUP_BATCH);
        table.clear();
        assert_eq!(table.tags.values().len(), 0);
    }

    #[test]
    fn keys_of_one_hash_are_kept_apart() {
        // As if all keys began at one group. A growing table hashes for itself, so it must not grow.
        let mut table = Sparse::<u64, u64>::with_room(100, SEED);
        for number in 0..3000u64 {
            *table.value_mut(number % 90, 42, |_| ()) += number;
        }
        let sums: Vec<u64> = (0..90).map(|key| (0..3000).filter(|number| number % 90 == key).sum()).collect();
        assert!(table.len() == 90 && table.entries().all(|(_, key, value)| *value == sums[*key as usize]));
    }
}
