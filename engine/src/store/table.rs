//! The keyed table: an index over fixed-size segments of dense entries.
//!
//! ```text
//! index: [tag, entry + 1] ... linear probing, half full ──► segments: [K, V] x 256 each
//! ```
//! Entries are never moved, so that others can refer to them by number; growth copies index words only. The number of
//! an entry that was removed is given to a new one once the removal was saved.

use crate::base::time::duration_nanos;
use crate::store::changes::Changes;
use crate::store::dense::Bits;
use crate::store::{Scope, Share, Store, StoreError, StoreKind, StoreSettings};
use crate::{HashSeed, Key, Layout, Record, Timestamp, slot_of};
use bytemuck::Pod;
use std::time::Duration;

const SEGMENT_BITS: u32 = 8;
const SEGMENT: usize = 1 << SEGMENT_BITS;
/// Entries that are looked at for expiry each time one is touched: more than can be added meanwhile.
const SWEPT: usize = 2;
/// Set among the pins of an entry that leaves when they are gone.
const LEAVES: u32 = 1 << 31;
/// One index word: 32 bits of hash over the number of the entry plus 1; 0 is empty.
type Word = u64;

#[derive(Debug, Clone, Copy)]
struct Entry<K, V> {
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
    keys_max: usize,
    pub(super) index: Vec<Word>,
    segments: Vec<Box<[Entry<K, V>; SEGMENT]>>,
    /// Numbers below this were given to entries.
    end: usize,
    len: usize,
    /// A bit for each number that an entry has.
    taken: Vec<u64>,
    /// Numbers for new entries.
    free: Vec<u32>,
    /// Numbers of entries that were removed since all was last written, and between then and the time before.
    leaving: [Vec<u32>; 2],
    /// How many stores have something for each entry.
    pins: Vec<u32>,
    changes: Changes,
    expiry: Option<Expiry>,
}

/// When values expire.
#[derive(Debug)]
struct Expiry {
    nanos: i64,
    /// When each value was written; `Timestamp::MIN` where no row did.
    written: Vec<Timestamp>,
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
            segments: Vec::new(),
            end: 0,
            len: 0,
            taken: Vec::new(),
            free: Vec::new(),
            leaving: [Vec::new(), Vec::new()],
            pins: Vec::new(),
            changes: Changes::EMPTY,
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
    fn entry(&self, number: usize) -> &Entry<K, V> {
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
        self.changes.note(entry);
        &mut self.entry_mut(entry).value
    }

    /// The value of a key, where it has an entry.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.find(key).map(|entry| self.value(entry))
    }

    /// The number of a key's entry, where it has one.
    #[inline]
    pub fn find(&self, key: &K) -> Option<usize> {
        let at = self.find_word(key, self.seed.hash(key))?;
        Some((self.index[at] as u32 - 1) as usize)
    }

    /// The place of a key in the index.
    fn find_word(&self, key: &K, hash: u64) -> Option<usize> {
        let mask = self.index.len() - 1;
        let mut at = self.home(hash);
        loop {
            let word = self.index[at];
            if word == 0 {
                return None;
            }
            if Self::tag(word) == Self::tag(hash) && self.entry((word as u32 - 1) as usize).key == *key {
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
        self.find_or_insert_hashed(key, self.seed.hash(&key))
    }

    #[inline(always)]
    fn find_or_insert_hashed(&mut self, key: K, hash: u64) -> Result<usize, StoreError> {
        let mask = self.index.len() - 1;
        let mut at = self.home(hash);
        loop {
            let word = self.index[at];
            if word == 0 {
                return self.insert_one_more(key, hash);
            }
            if Self::tag(word) == Self::tag(hash) {
                let number = (word as u32 - 1) as usize;
                if self.entry(number).key == key {
                    return Ok(number);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// The number of a key's entry, which is made where there is none, whatever the limit.
    pub(crate) fn find_or_restore(&mut self, key: K) -> usize {
        self.find(&key).unwrap_or_else(|| self.insert(key, self.seed.hash(&key)))
    }

    /// As [`KeyedTable::insert`], within the limit.
    #[cold]
    #[inline(never)]
    fn insert_one_more(&mut self, key: K, hash: u64) -> Result<usize, StoreError> {
        if self.len >= self.keys_max {
            return Err(StoreError::TooManyKeys(self.keys_max));
        }
        Ok(self.insert(key, hash))
    }

    /// Makes the entry of a key that has none.
    fn insert(&mut self, key: K, hash: u64) -> usize {
        if (self.len + 1) * 2 > self.index.len() {
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
        self.put_word(hash, number);
        *self.entry_mut(number) = Entry { key, value: V::zeroed() };
        self.taken[number / 64] |= 1 << (number % 64);
        self.len += 1;
        self.changes.note(number);
        if let Some(written) = self.expiry.as_mut().and_then(|expiry| expiry.written.get_mut(number)) {
            *written = Timestamp::MIN;
        }
        number
    }

    /// Puts an entry that is not there into the index.
    fn put_word(&mut self, hash: u64, number: usize) {
        let mut at = self.home(hash);
        while self.index[at] != 0 {
            at = (at + 1) & (self.index.len() - 1);
        }
        self.index[at] = Self::tag(hash) | (number as u64 + 1);
    }

    fn grow(&mut self) {
        self.index = vec![0; self.index.len() * 2];
        for at in 0..self.taken.len() {
            for bit in Bits(self.taken[at]) {
                let number = at * 64 + bit;
                self.put_word(self.seed.hash(self.key(number)), number);
            }
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
    fn remove_entry(&mut self, number: usize) {
        let key = *self.key(number);
        let Some(mut hole) = self.find_word(&key, self.seed.hash(&key)) else { return };
        if (self.index[hole] as u32 - 1) as usize != number {
            // The entry was removed before, and its key has another one.
            return;
        }
        // What stands behind the hole moves up, unless it would come to stand before its home.
        let mask = self.index.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let word = self.index[at];
            if word == 0 {
                break;
            }
            let home = self.home(self.seed.hash(self.key((word as u32 - 1) as usize)));
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.index[hole] = word;
                hole = at;
            }
        }
        self.index[hole] = 0;
        self.taken[number / 64] &= !(1 << (number % 64));
        self.len -= 1;
        if self.changes.is_noting() {
            self.changes.note(number);
            self.leaving[0].push(number as u32);
        } else {
            self.free.push(number as u32);
        }
    }

    /// Something hangs on an entry.
    pub(crate) fn pin(&mut self, entry: usize) {
        if entry >= self.pins.len() {
            self.pins.resize(entry + 1, 0);
        }
        self.pins[entry] += 1;
    }

    /// One thing less hangs on an entry, which may then be removed.
    pub(crate) fn unpin(&mut self, entry: usize) {
        self.pins[entry] -= 1;
        if self.pins[entry] == LEAVES {
            self.pins[entry] = 0;
            self.remove_entry(entry);
        }
    }

    /// Removes an entry once nothing hangs on it: what hung on it leaves with other pieces.
    fn leave(&mut self, entry: usize) {
        *self.value_mut(entry) = V::zeroed();
        match self.pins.get_mut(entry).filter(|pins| **pins > 0) {
            Some(pins) => *pins |= LEAVES,
            None => self.remove_entry(entry),
        }
    }

    /// Begins a row that a key's value is looked at for, at `watermark`: a value that expired by then is zeros. It was
    /// written at `time`, or at the watermark where that is later.
    #[inline(always)]
    pub(crate) fn touch(&mut self, entry: usize, time: Timestamp, watermark: Timestamp) {
        if self.expiry.is_some() {
            self.touch_expiring(entry, time, watermark);
        }
    }

    #[cold]
    fn touch_expiring(&mut self, entry: usize, time: Timestamp, watermark: Timestamp) {
        self.expire(entry, watermark);
        if let Some(expiry) = &mut self.expiry {
            expiry.written[entry] = time.max(watermark);
            self.changes.note(entry);
        }
        for _ in 0..SWEPT {
            let Some(expiry) = &mut self.expiry else { return };
            let number = expiry.swept;
            expiry.swept = if number + 1 >= self.end { 0 } else { number + 1 };
            if number != entry && self.is_taken(number) && self.expire(number, watermark) {
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

    fn is_taken(&self, number: usize) -> bool {
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

    /// Whose share the state of a key is.
    pub(crate) fn share_of(&self, key: &K) -> Share {
        Share::Slot(slot_of(self.seed.hash(key)))
    }

    /// The key at the front of a piece, and what follows it.
    pub(crate) fn parse_key<'p>(&self, share: Share, piece: &'p [u8]) -> Result<(K, &'p [u8]), StoreError> {
        let Some((key, rest)) = piece.split_at_checked(size_of::<K>()) else {
            return Err(StoreError::misfit("no key"));
        };
        let key: K = bytemuck::pod_read_unaligned(key);
        if self.share_of(&key) != share {
            return Err(StoreError::misfit("a key of another slot"));
        }
        Ok((key, rest))
    }

    /// Writes what is kept for a key: key and value, and when it was written where it expires; only the key where it
    /// has no entry.
    fn write(&self, key: &K, entry: Option<usize>, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend_from_slice(bytemuck::bytes_of(key));
        let Some(entry) = entry else { return };
        bytes.push(1);
        bytes.extend_from_slice(bytemuck::bytes_of(self.value(entry)));
        if let Some(expiry) = &self.expiry {
            let written = expiry.written.get(entry).copied().unwrap_or(Timestamp::MIN);
            bytes.extend_from_slice(&written.as_nanos().to_le_bytes());
        }
    }
}

impl<K: Key, V: Record> Store for KeyedTable<K, V> {
    fn kind(&self) -> StoreKind {
        StoreKind::KeyedTable
    }

    fn layout(&self) -> Layout {
        V::layout()
    }

    fn bytes(&self) -> usize {
        let written = self.expiry.as_ref().map_or(0, |expiry| expiry.written.len() * 8);
        let segments = self.segments.len() * size_of::<[Entry<K, V>; SEGMENT]>();
        segments + self.index.len() * size_of::<Word>() + self.pins.len() * 4 + written
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.len > self.keys_max { Err(StoreError::TooManyKeys(self.keys_max)) } else { Ok(()) }
    }

    fn save(&mut self, scope: Scope, piece: &mut dyn FnMut(Share, &[u8])) {
        let changed = self.changes.take().filter(|_| scope == Scope::Changed);
        let mut bytes = Vec::new();
        match changed {
            None => {
                for (number, key, _) in self.entries() {
                    self.write(key, Some(number), &mut bytes);
                    piece(self.share_of(key), &bytes);
                }
            }
            Some(changed) => {
                for number in changed {
                    // The key may have left and come back with another number, which then changed too.
                    let key = self.key(number as usize);
                    self.write(key, self.find(key), &mut bytes);
                    piece(self.share_of(key), &bytes);
                }
            }
        }
        let left = std::mem::take(&mut self.leaving[0]);
        self.free.extend(std::mem::replace(&mut self.leaving[1], left));
    }

    fn restore(&mut self, share: Share, piece: &[u8]) -> Result<(), StoreError> {
        let (key, rest) = self.parse_key(share, piece)?;
        let times = if self.expiry.is_some() { 8 } else { 0 };
        let Some((1, rest)) = rest.split_first() else {
            if !rest.is_empty() {
                return Err(StoreError::misfit("neither a value nor none"));
            }
            if let Some(entry) = self.find(&key) {
                self.leave(entry);
            }
            return Ok(());
        };
        if rest.len() != size_of::<V>() + times {
            return Err(StoreError::misfit("a wrong length"));
        }
        let (value, written) = rest.split_at(size_of::<V>());
        let entry = self.find_or_restore(key);
        if let Some(pins) = self.pins.get_mut(entry) {
            *pins &= !LEAVES;
        }
        *self.value_mut(entry) = bytemuck::pod_read_unaligned(value);
        if let (Some(expiry), Some(written)) = (&mut self.expiry, written.first_chunk::<8>()) {
            if entry >= expiry.written.len() {
                expiry.written.resize(entry + 1, Timestamp::MIN);
            }
            expiry.written[entry] = Timestamp::from_nanos(i64::from_le_bytes(*written));
        }
        Ok(())
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
            let key = table.key((*word as u32 - 1) as usize);
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
            table.touch(entry, at(time), at(watermark));
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
            table.touch(entry, at(time), at(watermark));
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
                    table.save(Scope::Changed, &mut |share, piece| written.restore(share, piece).unwrap());
                    prop_assert_eq!(written.len(), model.len());
                    prop_assert!(written.entries().all(|(_, key, value)| model.get(key) == Some(value)));
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert!(table.entries().all(|(_, key, value)| model.get(key) == Some(value)));
        }
    }
}
