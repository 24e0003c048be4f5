//! The keyed table: an index over fixed-size segments of dense entries.
//!
//! ```text
//! index: [tag, entry + 1] ... linear probing, half full ──► segments: [K, V] x 256 each
//! ```
//! Entries are never moved, so that others can refer to them by number; growth copies index words only. An entry that was
//! removed keeps its key and its number until the removal was saved: a key that comes back meanwhile has its old number,
//! so that until then a number stands for one key, and a key has one number.

use crate::base::time::duration_nanos;
use crate::store::changes::Changes;
use crate::store::dense::Bits;
use crate::store::entries::Lent;
use crate::store::small::Small;
use crate::store::{StoreError, StoreSettings};
use crate::{HashSeed, Key, Timestamp};
use bytemuck::Pod;
use std::time::Duration;

const SEGMENT_BITS: u32 = 8;
pub(super) const SEGMENT: usize = 1 << SEGMENT_BITS;
/// Entries that are looked at for expiry each time one is touched: more than can be added meanwhile.
const SWEPT: usize = 2;
/// Set among the pins of an entry that leaves when they are gone.
pub(super) const LEAVES: u32 = 1 << 31;
/// One index word: 32 bits of hash over the number of the entry plus 1; 0 is empty.
pub(super) type Word = u64;
/// Set in the index word of an entry that was removed.
const REMOVED: Word = 1 << 31;

/// The number of the entry of an index word.
#[inline(always)]
pub(crate) const fn number_of(word: Word) -> usize {
    ((word & (REMOVED - 1)) - 1) as usize
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<K, V> {
    key: K,
    value: V,
}

/// A value for each key, zeros for a new one.
///
/// Entries have numbers, by which other stores hang on them: [`Timers`](crate::Timers),
/// [`KeyedLists`](crate::KeyedLists) and [`KeyedMaps`](crate::KeyedMaps). A number stands for its key until the
/// entry is removed, and an entry on which something hangs stays.
///
/// ```
/// use pelton::{KeyedTable, StoreSettings};
///
/// let mut sums = KeyedTable::<u32, i64>::new(&StoreSettings::default());
/// let entry = sums.find_or_insert(7)?;
/// *sums.value_mut(entry) += 5;
/// assert_eq!((sums.len(), sums.get(&7)), (1, Some(&5)));
/// sums.remove(entry);
/// assert_eq!(sums.get(&7), None);
/// # Ok::<(), pelton::StoreError>(())
/// ```
#[derive(Debug)]
pub struct KeyedTable<K, V> {
    pub(super) seed: HashSeed,
    pub(super) keys_max: usize,
    pub(super) index: Vec<Word>,
    /// Words of the index that are not empty.
    pub(super) used: usize,
    pub(super) segments: Vec<Box<[Entry<K, V>; SEGMENT]>>,
    /// Numbers below this were given to entries.
    pub(super) end: usize,
    pub(super) len: usize,
    /// A bit for each number that an entry has.
    pub(super) taken: Vec<u64>,
    pub(super) small: Small,
    /// Numbers for new entries.
    free: Vec<u32>,
    /// Numbers of entries that were removed since the last mark, between that and the one before, and earlier: those of the
    /// last can be given to new entries where they still are removed.
    pub(super) leaving: [Vec<u32>; 3],
    /// How many stores have something for each entry.
    pub(super) pins: Vec<u32>,
    pub(super) changes: Changes,
    /// Records of entries that were marked and then changed, one behind the other, and keys of those that were removed.
    pub(super) kept: Vec<u8>,
    pub(super) kept_removals: Vec<K>,
    pub(super) expiry: Option<Expiry>,
}

/// When values expire.
#[derive(Debug)]
pub(super) struct Expiry {
    nanos: i64,
    /// When each value was written; `Timestamp::MIN` where no row did.
    pub(super) written: Vec<Timestamp>,
    /// The next number to look at.
    swept: usize,
}

impl<K: Key, V: Pod> KeyedTable<K, V> {
    /// An empty table.
    pub fn new(settings: &StoreSettings) -> Self {
        Self {
            seed: settings.seed,
            keys_max: settings.keys_max,
            index: vec![0; 64],
            used: 0,
            segments: Vec::new(),
            end: 0,
            len: 0,
            taken: Vec::new(),
            small: Small::new(),
            free: Vec::new(),
            leaving: [Vec::new(), Vec::new(), Vec::new()],
            pins: Vec::new(),
            changes: Changes::EMPTY,
            kept: Vec::new(),
            kept_removals: Vec::new(),
            expiry: None,
        }
    }

    /// The same, empty table, whose values expire so long after they were written, in event time:
    /// [`KeyedTable::touch`].
    pub(crate) fn with_time_to_live(self, time: Option<Duration>) -> Self {
        let expiry = time.map(|time| Expiry { nanos: duration_nanos(time), written: Vec::new(), swept: 0 });
        Self { expiry, ..self }
    }

    /// The number of keys.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no keys.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline(always)]
    pub(super) fn home(&self, hash: u64) -> usize {
        // The low bits; slots and so workers come from higher ones.
        hash as usize & (self.index.len() - 1)
    }

    #[inline(always)]
    const fn tag(hash: u64) -> u64 {
        hash & (0xffff_ffff << 32)
    }

    #[inline(always)]
    pub(super) fn entry(&self, number: usize) -> &Entry<K, V> {
        &self.segments[number >> SEGMENT_BITS][number & (SEGMENT - 1)]
    }

    #[inline(always)]
    fn entry_mut(&mut self, number: usize) -> &mut Entry<K, V> {
        &mut self.segments[number >> SEGMENT_BITS][number & (SEGMENT - 1)]
    }

    /// The key of an entry.
    #[inline(always)]
    pub fn key(&self, entry: usize) -> &K {
        &self.entry(entry).key
    }

    /// The value of an entry.
    #[inline(always)]
    pub fn value(&self, entry: usize) -> &V {
        &self.entry(entry).value
    }

    /// The value of an entry, to be changed.
    #[inline(always)]
    pub fn value_mut(&mut self, entry: usize) -> &mut V {
        self.note(entry);
        &mut self.entry_mut(entry).value
    }

    /// The value of an entry, to be changed while what hangs on it changes too.
    #[inline(always)]
    pub(crate) fn lend(&mut self, entry: usize) -> (&mut V, Lent<'_, K>) {
        self.note(entry);
        let Self { segments, pins, seed, .. } = self;
        let Entry { key, value } = &mut segments[entry >> SEGMENT_BITS][entry & (SEGMENT - 1)];
        (value, Lent { pins, seed, key })
    }

    /// The value of a key, where it has an entry.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.find(key).map(|entry| self.value(entry))
    }

    /// The number of a key's entry, where it has one.
    #[inline]
    pub fn find(&self, key: &K) -> Option<usize> {
        if let Some(entry) = self.small.get(key) {
            return Some(entry);
        }
        let word = self.index[self.find_word(key, self.seed.hash(key))?];
        (word & REMOVED == 0).then(|| number_of(word))
    }

    /// The place of a key in the index, also where its entry was removed.
    fn find_word(&self, key: &K, hash: u64) -> Option<usize> {
        let mask = self.index.len() - 1;
        let mut at = self.home(hash);
        loop {
            let word = self.index[at];
            if word == 0 {
                return None;
            }
            if Self::tag(word) == Self::tag(hash) && self.entry(number_of(word)).key == *key {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    /// The number of a key's entry, which is made where there is none.
    ///
    /// # Errors
    /// When there are more keys than the limit allows.
    #[inline(always)]
    pub fn find_or_insert(&mut self, key: K) -> Result<usize, StoreError> {
        match self.small.get(&key) {
            Some(entry) => Ok(entry),
            None => self.find_or_insert_hashed(key, self.seed.hash(&key)),
        }
    }

    #[inline(always)]
    fn find_or_insert_hashed(&mut self, key: K, hash: u64) -> Result<usize, StoreError> {
        let mask = self.index.len() - 1;
        let mut at = self.home(hash);
        loop {
            let word = self.index[at];
            if word == 0 {
                return self.insert_one_more(key, hash, None);
            }
            if Self::tag(word) == Self::tag(hash) {
                let number = number_of(word);
                if self.entry(number).key == key {
                    return if word & REMOVED == 0 { Ok(number) } else { self.insert_one_more(key, hash, Some(at)) };
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// The number of a key's entry, which is made where there is none, whatever the limit.
    pub(crate) fn find_or_restore(&mut self, key: K) -> usize {
        let hash = self.seed.hash(&key);
        self.find(&key).unwrap_or_else(|| self.insert(key, hash, self.find_word(&key, hash)))
    }

    /// As [`KeyedTable::insert`], within the limit.
    #[cold]
    #[inline(never)]
    fn insert_one_more(&mut self, key: K, hash: u64, removed: Option<usize>) -> Result<usize, StoreError> {
        if self.len >= self.keys_max {
            return Err(StoreError::TooManyKeys(self.keys_max));
        }
        Ok(self.insert(key, hash, removed))
    }

    /// Makes the entry of a key that has none; `removed` is the place in the index of the one that it had.
    fn insert(&mut self, key: K, hash: u64, removed: Option<usize>) -> usize {
        if let Some(at) = removed {
            return self.revive(at);
        }
        if (self.used + 1) * 2 > self.index.len() {
            self.grow();
        }
        let number = self.free.pop().map_or(self.end, |number| number as usize);
        if number == self.end {
            if number >> SEGMENT_BITS == self.segments.len() {
                self.segments.push(empty_segment());
            }
            if number / 64 == self.taken.len() {
                self.taken.push(0);
            }
            self.end += 1;
        }
        self.put_word(hash, number as u64 + 1);
        self.used += 1;
        self.changes.note_made(number);
        *self.entry_mut(number) = Entry { key, value: V::zeroed() };
        self.take_number(number);
        number
    }

    /// Makes an entry again that was removed.
    fn revive(&mut self, at: usize) -> usize {
        let number = number_of(self.index[at]);
        self.note(number);
        self.index[at] &= !REMOVED;
        self.entry_mut(number).value = V::zeroed();
        self.take_number(number);
        number
    }

    /// Counts an entry that was made.
    fn take_number(&mut self, number: usize) {
        self.taken[number / 64] |= 1 << (number % 64);
        self.len += 1;
        self.note_small(number);
        if let Some(written) = self.expiry.as_mut().and_then(|expiry| expiry.written.get_mut(number)) {
            *written = Timestamp::MIN;
        }
    }

    /// Has an entry that was made found by the number of its key.
    fn note_small(&mut self, number: usize) {
        let key = *self.key(number);
        if self.small.is_to_grow(&key, self.len) {
            let mut small = std::mem::replace(&mut self.small, Small::new());
            small.grow(&key);
            self.entries().for_each(|(number, key, _)| small.set(key, Some(number)));
            self.small = small;
        } else {
            self.small.set(&key, Some(number));
        }
    }

    /// Puts the word of an entry that is not there into the index, whose tag is that of the hash.
    fn put_word(&mut self, hash: u64, word: Word) {
        let mut at = self.home(hash);
        while self.index[at] != 0 {
            at = (at + 1) & (self.index.len() - 1);
        }
        self.index[at] = Self::tag(hash) | (word & u64::from(u32::MAX));
    }

    fn grow(&mut self) {
        let larger = vec![0; self.index.len() * 2];
        for word in std::mem::replace(&mut self.index, larger).into_iter().filter(|word| *word != 0) {
            self.put_word(self.seed.hash(self.key(number_of(word))), word);
        }
    }

    /// Removes an entry and gives back the value that it had. Where something hangs on it, it stays with zeros, and can be
    /// removed once nothing does.
    pub fn remove(&mut self, entry: usize) -> V {
        let before = std::mem::replace(self.value_mut(entry), V::zeroed());
        self.remove_if_empty(entry);
        before
    }

    /// Removes an entry whose value is zeros, where nothing hangs on it.
    #[inline]
    pub(crate) fn remove_if_empty(&mut self, entry: usize) {
        let is_pinned = self.pins.get(entry).is_some_and(|pins| *pins > 0);
        if !is_pinned && self.is_zeros(entry) {
            self.remove_entry(entry);
        }
    }

    fn is_zeros(&self, entry: usize) -> bool {
        bytemuck::bytes_of(self.value(entry)).iter().all(|byte| *byte == 0)
    }

    #[cold]
    pub(super) fn remove_entry(&mut self, number: usize) {
        if !self.is_taken(number) {
            return;
        }
        self.note(number);
        self.taken[number / 64] &= !(1 << (number % 64));
        self.len -= 1;
        let key = *self.key(number);
        self.small.set(&key, None);
        if self.changes.is_noting() {
            if let Some(at) = self.find_word(&key, self.seed.hash(&key)) {
                self.index[at] |= REMOVED;
            }
            self.leaving[0].push(number as u32);
        } else {
            self.free_number(number);
        }
    }

    /// Has the number of an entry that was removed given to a new one.
    pub(super) fn free_number(&mut self, number: usize) {
        let key = *self.key(number);
        let found = self.find_word(&key, self.seed.hash(&key));
        // Where it was freed already, the key may have come back with another number.
        let Some(mut hole) = found.filter(|at| number_of(self.index[*at]) == number) else { return };
        // What stands behind the hole moves up, unless it would come to stand before its home.
        let mask = self.index.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let word = self.index[at];
            if word == 0 {
                break;
            }
            let home = self.home(self.seed.hash(self.key(number_of(word))));
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.index[hole] = word;
                hole = at;
            }
        }
        self.index[hole] = 0;
        self.used -= 1;
        self.free.push(number as u32);
    }

    /// Begins a row that a key's value is looked at for, at `watermark`: a value that expired by then is zeros. It was
    /// written at `time`, or at the watermark where that is later. `clear` is called for entries whose values have
    /// expired, to drop what hangs on them.
    #[inline(always)]
    pub(crate) fn touch(
        &mut self,
        entry: usize,
        time: Timestamp,
        watermark: Timestamp,
        clear: impl FnMut(&mut Self, usize),
    ) {
        if self.expiry.is_some() {
            self.touch_expiring(entry, time, watermark, clear);
        }
    }

    #[cold]
    fn touch_expiring(
        &mut self,
        entry: usize,
        time: Timestamp,
        watermark: Timestamp,
        mut clear: impl FnMut(&mut Self, usize),
    ) {
        if self.expire(entry, watermark) {
            clear(self, entry);
        }
        self.note(entry);
        if let Some(expiry) = &mut self.expiry {
            expiry.written[entry] = time.max(watermark);
        }
        for _ in 0..SWEPT {
            let Some(expiry) = &mut self.expiry else { return };
            let number = expiry.swept;
            expiry.swept = if number + 1 >= self.end { 0 } else { number + 1 };
            if number != entry && self.is_taken(number) && self.expire(number, watermark) {
                clear(self, number);
                self.remove_if_empty(number);
            }
        }
    }

    /// Makes zeros of a value that expired; whether it did.
    pub(crate) fn expire(&mut self, entry: usize, watermark: Timestamp) -> bool {
        let Some(expiry) = &mut self.expiry else { return false };
        if entry >= expiry.written.len() {
            expiry.written.resize(entry + 1, Timestamp::MIN);
        }
        let written = expiry.written[entry];
        let is_expired = written.plus_nanos(expiry.nanos) <= watermark;
        if is_expired && !self.is_zeros(entry) {
            *self.value_mut(entry) = V::zeroed();
        }
        is_expired
    }

    pub(super) fn is_taken(&self, number: usize) -> bool {
        self.taken.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Numbers, keys and values of all entries.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &K, &V)> {
        let numbers = self.taken.iter().enumerate();
        let numbers = numbers.flat_map(|(at, word)| Bits(*word).map(move |bit| at * 64 + bit));
        numbers.map(|number| {
            let Entry { key, value } = self.entry(number);
            (number, key, value)
        })
    }

    /// Notes that an entry is about to change.
    #[inline(always)]
    fn note(&mut self, number: usize) {
        if self.changes.note(number) {
            self.keep(number);
        }
    }
}

/// A segment without entries, made where it will stay.
fn empty_segment<K: Key, V: Pod>() -> Box<[Entry<K, V>; SEGMENT]> {
    let entries = vec![Entry { key: K::zeroed(), value: V::zeroed() }; SEGMENT];
    match entries.into_boxed_slice().try_into() {
        Ok(segment) => segment,
        Err(_) => unreachable!("it was made with that many entries"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ALL_SLOTS;
    use crate::store::entries::Pins;
    use crate::store::pieces::PieceWriter;
    use crate::store::{Scope, Store};
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn table<V: Pod>() -> KeyedTable<u64, V> {
        KeyedTable::new(&StoreSettings::default())
    }

    #[test]
    fn colliding_index_words_keep_their_keys_apart() {
        let mut table = table::<u64>();
        for key in 0..3000u64 {
            // One hash for all: each lookup walks past every other key.
            let entry = table.find_or_insert_hashed(key % 30, 42).unwrap();
            *table.value_mut(entry) += 1;
        }
        assert_eq!(table.len(), 30);
        assert!(table.entries().all(|(_, _, value)| *value == 100));
    }

    /// The most words that are looked at to find a key.
    fn longest_probe(table: &KeyedTable<u64, u64>) -> usize {
        let mask = table.index.len() - 1;
        let distance = |(at, word): (usize, &u64)| {
            let key = table.key(number_of(*word));
            (at.wrapping_sub(table.home(table.seed.hash(key))) & mask) + 1
        };
        table.index.iter().enumerate().filter(|(_, word)| **word != 0).map(distance).max().unwrap_or(0)
    }

    #[test]
    fn keys_that_were_chosen_to_collide_collide_by_one_seed_only() {
        let known = HashSeed::new(0);
        let chosen: Vec<u64> = (0..1 << 20).filter(|key: &u64| known.hash(key) % (1 << 11) == 5).take(400).collect();
        let fill = |seed| {
            let mut table = KeyedTable::new(&StoreSettings { seed, ..StoreSettings::default() });
            chosen.iter().for_each(|key| drop(table.find_or_insert(*key)));
            longest_probe(&table)
        };
        assert_eq!(chosen.len(), 400);
        let probes = [known, HashSeed::new(1), HashSeed::random()].map(fill);
        assert!(probes[0] == 400 && probes[1] < 60 && probes[2] < 60, "{probes:?}");
    }

    #[test]
    fn a_value_is_zeros_once_the_watermark_has_come_so_far_behind_its_writing() {
        let at = Timestamp::from_nanos;
        let mut table = table::<u64>().with_time_to_live(Some(Duration::from_nanos(10)));
        let mut see = |key, time, watermark| {
            let entry = table.find_or_insert(key).unwrap();
            table.touch(entry, at(time), at(watermark), |_, _| {});
            *table.value_mut(entry) += 1;
            *table.value(entry)
        };
        assert_eq!(see(1, 5, i64::MIN), 1);
        assert_eq!(see(1, 6, 14), 2);
        // It was written at 14.
        assert_eq!(see(1, 40, 23), 3);
        assert_eq!(see(1, 40, 49), 4);
        assert_eq!(see(1, 60, 59), 1);
        for key in 2..500 {
            see(key, 100, 99);
        }
        // What no row has written is expired.
        let entry = table.find_or_insert(9999).unwrap();
        *table.value_mut(entry) = 1;
        assert!(table.expire(entry, at(0)) && *table.value(entry) == 0);
        table.remove(entry);
        let mut see = |key, time, watermark| {
            let entry = table.find_or_insert(key).unwrap();
            table.touch(entry, at(time), at(watermark), |_, _| {});
        };
        // All of them have expired, and were swept while others came.
        for key in 500..1500 {
            see(key, 200, 199);
        }
        assert_eq!(table.len(), 1000);
    }

    #[test]
    fn entries_on_which_something_hangs_stay_with_zeros() {
        let mut table = table::<u64>();
        let entry = table.find_or_insert(7).unwrap();
        *table.value_mut(entry) = 3;
        table.pin(entry);
        assert_eq!((table.remove(entry), table.len(), table.get(&7)), (3, 1, Some(&0)));
        table.unpin(entry);
        table.remove_if_empty(entry);
        assert_eq!((table.len(), table.get(&7)), (0, None));
    }

    proptest! {
        /// Rows come while the pieces of a mark are written: those are as the table was at the mark.
        #[test]
        fn what_was_marked_is_written_as_it_was_whatever_comes_meanwhile(
            steps in prop::collection::vec((0u64..40, 0u8..6, 0usize..200), 0..3000),
        ) {
            let mut table = table::<u64>();
            let mut written = self::table::<u64>();
            let mut model = HashMap::<u64, u64>::new();
            let mut marked = None::<HashMap<u64, u64>>;
            for (number, (key, what, room)) in steps.into_iter().enumerate() {
                match what {
                    0 => {
                        let found = table.find(&key).map(|entry| table.remove(entry));
                        prop_assert_eq!(found, model.remove(&key));
                    }
                    1 => match &marked {
                        None => {
                            table.mark(if room % 9 == 0 { Scope::All } else { Scope::Changed });
                            if room % 9 == 0 {
                                written = self::table();
                            }
                            marked = Some(model.clone());
                        }
                        Some(expected) => {
                            let mut take = |share, piece: &[u8]| written.restore(share, piece, &ALL_SLOTS).unwrap();
                            if table.save(&mut PieceWriter::new(room, &mut take)) {
                                prop_assert_eq!(written.len(), expected.len());
                                let is_expected = |(_, key, value)| expected.get(key) == Some(value);
                                prop_assert!(written.entries().all(is_expected));
                                marked = None;
                            }
                        }
                    },
                    _ => {
                        let entry = table.find_or_insert(key).unwrap();
                        *table.value_mut(entry) = number as u64 + 1;
                        model.insert(key, number as u64 + 1);
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.get(&key), model.get(&key));
            }
        }

        #[test]
        fn a_table_counts_as_a_hash_map_does(
            steps in prop::collection::vec((prop_oneof![0u64..300, 0u64..3000, 0..u64::MAX], 0u8..5), 0..6000),
            saves in prop::collection::vec(0usize..6000, 0..5),
        ) {
            let mut table = table::<u64>();
            let mut model = HashMap::<u64, u64>::new();
            // What was written, one writing over the other.
            let mut written = self::table::<u64>();
            for (at, (key, what)) in steps.into_iter().enumerate() {
                if what == 0 {
                    let found = table.find(&key).map(|entry| table.remove(entry));
                    prop_assert_eq!(found, model.remove(&key));
                } else {
                    let entry = table.find_or_insert(key).unwrap();
                    *table.value_mut(entry) += 1;
                    *model.entry(key).or_default() += 1;
                }
                if saves.contains(&at) {
                    table.mark(Scope::Changed);
                    let mut take = |share, piece: &[u8]| written.restore(share, piece, &ALL_SLOTS).unwrap();
                    prop_assert!(table.save(&mut PieceWriter::unlimited(&mut take)));
                    prop_assert_eq!(written.len(), model.len());
                    prop_assert!(written.entries().all(|(_, key, value)| model.get(key) == Some(value)));
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert!(table.entries().all(|(_, key, value)| model.get(key) == Some(value)));
        }
    }
}
