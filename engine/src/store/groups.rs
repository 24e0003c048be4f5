//! A value for each key of a window: keys that are small numbers lie dense, others hashed.
//!
//! What is small is found out while keys come: numbers below a power of two lie dense once one in
//! eight of them is there, and they are not few among all. Keys that came before move then, so an entry's
//! number holds only as long as nothing is added. Numbers below 256 lie dense from the start, in as little memory as they
//! need: tens of thousands of windows may be open at once.

use crate::store::Scope;
use crate::store::dense::{Dense, number_of};
use crate::store::pieces::{PieceWriter, Records};
use crate::store::sparse::{LOOKUP_BATCH, Sparse};
use crate::{HashSeed, Key, Timestamp};
use bytemuck::Pod;

/// Numbers below this lie dense from the first key on.
const DENSE_MIN: usize = 1 << 8;
/// Beyond that at least one in so many numbers is there when they become dense.
const SPARSITY: usize = 8;
/// The least room for numbers that lie dense.
const ROOM_MIN: usize = 1 << 4;
/// Hashed keys that may become dense are looked for once there are so many, and again at twice as many each time.
const SETTLED_MIN: usize = 64;
/// Keys become dense when at most so many times as many stay hashed.
const STAYING_MAX: usize = 4;
/// The first number of an entry that is not dense.
const SPARSE: u32 = 1 << 31;
/// The most keys: slots of the hashed ones are numbered below 2^31.
pub(crate) const KEYS_MAX: usize = 1 << 30;

/// Values by key.
#[derive(Debug)]
pub(crate) struct Groups<K, V> {
    seed: HashSeed,
    dense: Dense<K, V>,
    sparse: Sparse<K, V>,
    /// Hashed keys by the bits of their numbers.
    bits: [u32; 32],
    /// They are looked at again once they are so many.
    settled_until: usize,
    /// There is no memory for numbers at this end.
    end_max: usize,
    /// The worker whose memory they use, where they are handed around.
    worker: Option<u32>,
}

impl<K: Key, V: Pod> Groups<K, V> {
    /// Bytes of the record of a key: key and value, or a zero where neither has any.
    pub(crate) const RECORD: usize = {
        let bytes = size_of::<K>() + size_of::<V>();
        if bytes == 0 { 1 } else { bytes }
    };

    pub(crate) fn new(seed: HashSeed) -> Self {
        let (dense, sparse) = (Dense::new(), Sparse::new(seed));
        Self { seed, dense, sparse, bits: [0; 32], settled_until: SETTLED_MIN, end_max: SPARSE as usize, worker: None }
    }

    /// The same, to be given back to a worker.
    pub(crate) fn of_worker(self, worker: usize) -> Self {
        Self { worker: u32::try_from(worker).ok(), ..self }
    }

    /// The same, of which nothing was saved and nothing is marked.
    pub(crate) fn unsaved(mut self) -> Self {
        self.dense.forget_saved();
        self.sparse.forget_saved();
        self
    }

    /// The worker that they are to be given back to.
    pub(crate) fn worker(&self) -> Option<usize> {
        self.worker.map(|worker| worker as usize)
    }

    /// The number of keys.
    pub(crate) const fn len(&self) -> usize {
        self.dense.len() + self.sparse.len()
    }

    /// Whether all keys lie dense: then entries come in growing order of the keys' numbers.
    pub(crate) const fn is_dense(&self) -> bool {
        self.sparse.len() == 0
    }

    /// The dense part.
    pub(crate) const fn dense(&self) -> &Dense<K, V> {
        &self.dense
    }

    /// The value of `key`, zeros where it is new.
    pub(crate) fn value_mut(&mut self, key: K) -> &mut V {
        self.settle();
        let number = number_of(&key).filter(|number| *number < self.dense.end());
        match number.or_else(|| self.extend_dense(&key)) {
            Some(number) => self.dense.value_mut(number),
            None => self.sparse_value_mut(key),
        }
    }

    /// Makes room for a key that is behind those that lie dense, where its number is small or they are enough for that, and
    /// no key is hashed: numbers that come in their order are never moved. Its number, where it lies dense now.
    ///
    /// Before the first key is hashed there is room for all small numbers, unless no key so far had a number.
    fn extend_dense(&mut self, key: &K) -> Option<usize> {
        if !self.is_dense() {
            return None;
        }
        if let Some(number) = number_of(key) {
            let end = (number + 1).next_power_of_two().max(ROOM_MIN);
            if end <= DENSE_MIN || self.dense.len() * SPARSITY >= end {
                return (end < self.end_max && self.dense.grow(end)).then_some(number);
            }
        }
        if self.dense.end() < DENSE_MIN && (self.dense.end() > 0 || key.number().is_some()) {
            // Without memory for them small numbers are hashed.
            let _ = self.dense.grow(DENSE_MIN);
        }
        None
    }

    fn sparse_value_mut(&mut self, key: K) -> &mut V {
        let Self { seed, sparse, bits, .. } = self;
        sparse.value_mut(key, seed.hash(&key), |key| count_bits(bits, key))
    }

    /// Adds each row, with its time, to the value of its key. `key_of` and `add` get the row's index too.
    #[inline(always)]
    pub(crate) fn update<T>(
        &mut self,
        times: &[Timestamp],
        rows: &[T],
        key_of: impl Fn(usize, &T) -> K,
        mut add: impl FnMut(usize, Timestamp, &T, &mut V),
    ) {
        let mut done = 0;
        self.settle();
        while done < rows.len() {
            let first = done;
            let add_at = |index: usize, time, row: &T, value: &mut V| add(first + index, time, row, value);
            done += self.dense.update(&times[first..], &rows[first..], |index, row| key_of(first + index, row), add_at);
            if self.is_dense()
                && let Some(row) = rows.get(done)
                && self.extend_dense(&key_of(done, row)).is_some()
            {
                continue;
            }
            // Where hashed keys are few, the next row is likely dense again.
            let at_once = if self.sparse.len() >= self.dense.len() { LOOKUP_BATCH } else { 1 };
            let first = done;
            done = rows.len().min(first + at_once);
            let (times, rows) = (&times[first..done], &rows[first..done]);
            let add_at = |index: usize, time, row: &T, value: &mut V| add(first + index, time, row, value);
            self.update_any(times, rows, |index, row| key_of(first + index, row), add_at);
        }
    }

    /// As [`Groups::update`], for at most [`LOOKUP_BATCH`] rows most of which are not dense.
    fn update_any<T>(
        &mut self,
        times: &[Timestamp],
        rows: &[T],
        key_of: impl Fn(usize, &T) -> K,
        add: impl FnMut(usize, Timestamp, &T, &mut V),
    ) {
        let seed = self.seed;
        if !self.sparse.is_large() {
            let keyed = |index, row: &T| {
                let key = key_of(index, row);
                (key, seed.hash(&key))
            };
            return self.update_each(times, rows, keyed, add);
        }
        let (mut keys, mut hashes) = ([K::zeroed(); LOOKUP_BATCH], [0; LOOKUP_BATCH]);
        for (index, row) in rows.iter().enumerate() {
            keys[index] = key_of(index, row);
            hashes[index] = seed.hash(&keys[index]);
        }
        self.sparse.touch(&hashes[..rows.len()]);
        self.update_each(times, rows, |index, _| (keys[index], hashes[index]), add);
    }

    /// Adds each row to the value of its key; `keyed` tells the key and its hash.
    #[inline(always)]
    fn update_each<T>(
        &mut self,
        times: &[Timestamp],
        rows: &[T],
        keyed: impl Fn(usize, &T) -> (K, u64),
        mut add: impl FnMut(usize, Timestamp, &T, &mut V),
    ) {
        let Self { dense, sparse, bits, .. } = self;
        let dense_end = dense.end();
        let mut slots = sparse.with_room_for(rows.len());
        for (index, (&time, row)) in times.iter().zip(rows).enumerate() {
            let (key, hash) = keyed(index, row);
            let value = match number_of(&key).filter(|&number| number < dense_end) {
                Some(number) => dense.value_mut(number),
                None => slots.value_mut(key, hash, |key| count_bits(bits, key)),
            };
            add(index, time, row, value);
        }
    }

    /// Whether there is less to do where this absorbs the other than the other way round.
    pub(crate) fn is_larger_than(&self, other: &Self) -> bool {
        (self.dense.end(), self.len()) > (other.dense.end(), other.len())
    }

    /// Adds all that is in `other`.
    pub(crate) fn absorb(&mut self, other: &Self, mut merge: impl FnMut(&mut V, &V)) {
        if other.dense.end() <= self.dense.end() {
            self.dense.add_all(&other.dense, &mut merge);
        } else {
            other.dense.entries().for_each(|(_, key, value)| merge(self.value_mut(key), value));
        }
        for (_, key, value) in other.sparse.entries() {
            merge(self.value_mut(*key), value);
        }
    }

    /// Makes more numbers dense where enough of them are there.
    #[inline]
    fn settle(&mut self) {
        if self.sparse.len() >= self.settled_until {
            self.make_dense();
        }
    }

    #[cold]
    fn make_dense(&mut self) {
        self.settled_until = (self.sparse.len() * 2).max(SETTLED_MIN);
        let (mut end, mut moving, mut moved) = (0, 0, 0);
        for (bits, &more) in self.bits.iter().enumerate() {
            moving += more as usize;
            let room = (1 << bits).max(DENSE_MIN);
            if room > self.dense.end() && (self.dense.len() + moving) * SPARSITY >= room {
                (end, moved) = (room, moving);
            }
        }
        // The keys that stay are moved as well, to a table of their own.
        let staying = self.sparse.len() - moved;
        if end == 0 || end >= self.end_max || staying > STAYING_MAX * moved {
            return;
        }
        if !self.dense.grow(end) {
            self.end_max = end;
            return;
        }
        let successor = self.sparse.successor(staying);
        let before = std::mem::replace(&mut self.sparse, successor);
        self.bits = [0; 32];
        for (_, key, value) in before.entries() {
            let moved = match number_of(key).filter(|&number| number < end) {
                Some(number) => self.dense.value_mut(number),
                None => self.sparse_value_mut(*key),
            };
            *moved = *value;
        }
        self.settled_until = (self.sparse.len() * 2).max(SETTLED_MIN);
    }

    /// Keys and values with the numbers of their entries, in growing order.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u32, K, &V)> {
        let dense = self.dense.entries().map(|(number, key, value)| (number as u32, key, value));
        dense.chain(self.hashed())
    }

    /// The entries that do not lie dense, in growing order of their numbers.
    pub(crate) fn hashed(&self) -> impl Iterator<Item = (u32, K, &V)> {
        self.sparse.entries().map(|(number, key, value)| (SPARSE + number as u32, *key, value))
    }

    /// Shows all keys and values.
    pub(crate) fn each(&self, mut show: impl FnMut(K, &V)) {
        self.dense.entries().for_each(|(_, key, value)| show(key, value));
        self.sparse.entries().for_each(|(_, key, value)| show(*key, value));
    }

    /// The entry with this number.
    #[inline]
    pub(crate) fn entry(&self, number: u32) -> (K, &V) {
        match number.checked_sub(SPARSE) {
            None => self.dense.entry(number as usize),
            Some(number) => {
                let (key, value) = self.sparse.entry(number as usize);
                (*key, value)
            }
        }
    }

    /// Bytes that they take, as far as they were ever used.
    pub(crate) fn bytes(&self) -> usize {
        self.dense.end() * size_of::<V>() + self.sparse.bytes()
    }

    /// Marks all values, or those that changed since the last mark, where there was one.
    pub(crate) fn mark(&mut self, scope: Scope) {
        self.dense.mark(scope);
        self.sparse.mark(scope);
    }

    /// Whether something that is marked may be left to write.
    pub(crate) fn is_marked(&self) -> bool {
        self.dense.is_marked() || self.sparse.is_marked()
    }

    /// Writes what was marked, as records of keys and values behind this front, as far as there is room; whether nothing is
    /// left.
    pub(crate) fn save(&mut self, out: &mut PieceWriter<'_>, front: &[u8]) -> bool {
        let mut records = Records::new(Self::RECORD, front);
        self.dense.save(out, &mut records) && self.sparse.save(out, &mut records)
    }

    /// Forgets all keys and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.dense.clear();
        self.sparse.clear();
        self.bits = [0; 32];
        self.settled_until = SETTLED_MIN;
    }
}

#[cold]
fn count_bits<K: Key>(bits: &mut [u32; 32], key: &K) {
    if let Some(number) = number_of(key) {
        bits[(usize::BITS - number.leading_zeros()) as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::pieces::split_records;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const SEED: HashSeed = HashSeed::new(3);

    /// Adds 1 for each key and checks all there is against a hash map.
    fn check<K: Key + std::hash::Hash + std::fmt::Debug>(groups: &mut Groups<K, u64>, rows: &[K]) {
        groups.clear();
        let mut model = HashMap::<K, u64>::new();
        let mut indices = 0;
        for batch in rows.chunks(300) {
            let mut order = HashMap::<K, usize>::new();
            let times: Vec<_> = (0..batch.len()).map(|index| Timestamp::from_nanos(index as i64)).collect();
            groups.update(
                &times,
                batch,
                |_, key| *key,
                |index, time, key, value| {
                    assert_eq!((time, *key), (times[index], batch[index]));
                    // A key's rows come in their order.
                    assert!(order.insert(*key, index).is_none_or(|before| before < index));
                    *value += 1;
                    indices += index;
                },
            );
            batch.iter().for_each(|key| *model.entry(*key).or_default() += 1);
        }
        assert_eq!(indices, rows.chunks(300).map(|batch| batch.len() * (batch.len() - 1) / 2).sum::<usize>());
        assert_eq!(groups.len(), model.len());
        let mut numbers = Vec::new();
        for (number, key, value) in groups.entries() {
            assert_eq!(model.get(&key), Some(value));
            assert_eq!(groups.entry(number), (key, value));
            numbers.push(number);
        }
        assert_eq!(numbers.len(), model.len());
        assert!(numbers.is_sorted());
    }

    /// Takes some of what is marked; whether that was all.
    fn follow(groups: &mut Groups<u64, u64>, room: usize, mut take: impl FnMut(u64, u64)) -> bool {
        let mut take = |_, piece: &[u8]| {
            let (front, records) = split_records(piece, 3).unwrap();
            assert_eq!(front, b"abc");
            for record in records {
                let [key, value]: [u64; 2] = bytemuck::pod_read_unaligned(record);
                take(key, value);
            }
        };
        groups.save(&mut PieceWriter::new(room, &mut take), b"abc")
    }

    /// Keys that change together count together, and are counted anew now and then.
    #[test]
    fn pages_that_change_as_a_whole_are_kept_and_written_as_a_whole() {
        let mut groups = Groups::<u64, u64>::new(SEED);
        let mut written = HashMap::<u64, u64>::new();
        let mut model = HashMap::<u64, u64>::new();
        let mut counts = Vec::new();
        for round in 0..40u64 {
            // All keys at first, and then one of each page.
            for key in (0..6400).filter(|key| round < 12 || key % 64 == 5) {
                *groups.value_mut(key) += round;
                *model.entry(key).or_default() += round;
            }
            groups.mark(Scope::Changed);
            // Half of them change before they are written.
            (0..3200).step_by(64).for_each(|key| *groups.value_mut(key) += 1);
            let mut count = 0;
            assert!(follow(&mut groups, usize::MAX, |key, value| {
                count += 1;
                written.insert(key, value);
            }));
            assert_eq!(written, model, "round {round}");
            (0..3200).step_by(64).for_each(|key| *model.entry(key).or_default() += 1);
            counts.push(count);
        }
        assert!(counts[..12].iter().all(|count| *count == 6400), "{counts:?}");
        assert!(counts[24..].iter().all(|count| *count <= 150), "{counts:?}");
    }

    #[test]
    fn a_key_and_a_value_without_bytes_are_written_too() {
        let mut groups = Groups::<[u8; 0], ()>::new(SEED);
        groups.value_mut([]);
        groups.mark(Scope::All);
        let mut count = 0;
        let mut take = |_, piece: &[u8]| count += split_records(piece, 0).unwrap().1.len();
        assert!(groups.save(&mut PieceWriter::unlimited(&mut take), &[]));
        assert_eq!(count, 1);
    }

    #[test]
    fn dense_keys_in_any_order_end_up_where_their_numbers_say() {
        let scattered: Vec<u32> = (0..100_000u32).map(|i| (i * 7919) % 100_003).collect();
        let mut groups = Groups::new(SEED);
        for _ in 0..2 {
            check(&mut groups, &scattered);
            assert!(groups.is_dense());
        }
        let mut backwards = Groups::new(SEED);
        check(&mut backwards, &(0..5000u64).rev().collect::<Vec<_>>());
        assert!(backwards.dense().len() > 4000);
    }

    #[test]
    fn a_few_small_numbers_take_a_little_memory() {
        let mut groups = Groups::new(SEED);
        let ends = [&[3, 9, 0][..], &[9, 16], &[40, 200], &[7]].map(|keys: &[u64]| {
            check(&mut groups, keys);
            assert!(groups.is_dense());
            groups.dense().end()
        });
        assert_eq!(ends, [16, 32, 256, 256]);
        // A key that is hashed comes before, between or behind them.
        for keys in [[1u64 << 40, 200, 3], [3, 1 << 40, 200], [3, 200, 1 << 40], [300, 200, 1 << 40]] {
            let (mut groups, mut one_by_one) = (Groups::new(SEED), Groups::<_, u64>::new(SEED));
            check(&mut groups, &keys);
            keys.iter().for_each(|key| *one_by_one.value_mut(*key) += 1);
            let expected = (256, keys.iter().filter(|key| **key < 256).count());
            for groups in [groups, one_by_one] {
                assert_eq!((groups.dense().end(), groups.dense().len()), expected);
            }
        }
    }

    #[test]
    fn scattered_numbers_take_no_memory_between_them() {
        let mut groups = Groups::new(SEED);
        check(&mut groups, &(0..50_000u32).map(|i| i.wrapping_mul(2_654_435_761)).collect::<Vec<_>>());
        assert!(!groups.is_dense() && groups.dense().end() <= 1 << 16);
        check(&mut Groups::new(SEED), &(0..1000u64).map(|i| u64::MAX - i).collect::<Vec<_>>());
    }

    #[test]
    fn keys_that_are_no_numbers_are_hashed() {
        let mut groups = Groups::new(SEED);
        check(&mut groups, &(0..70_000u32).map(|i| i.to_le_bytes()).collect::<Vec<[u8; 4]>>());
        assert_eq!(groups.dense().end(), 0);
    }

    /// Keys that lie dense, are hashed, or both; or few of them, all of them small.
    fn keys(most: usize) -> impl Strategy<Value = Vec<u64>> {
        prop_oneof![
            1 => prop::collection::vec(0u64..40, 0..20),
            3 => prop::collection::vec(prop_oneof![0u64..300, 0u64..30_000, 0..u64::MAX], 0..most),
        ]
    }

    proptest! {
        #[test]
        fn absorbed_groups_count_as_if_all_keys_had_come_to_one(
            own in keys(3000),
            other in keys(3000),
            again in prop::collection::vec(0u64..100_000, 0..10),
        ) {
            let groups = |keys: &[u64]| {
                let mut groups = Groups::<u64, u64>::new(SEED);
                check(&mut groups, keys);
                groups
            };
            let mut model = HashMap::<u64, u64>::new();
            own.iter().chain(&other).for_each(|key| *model.entry(*key).or_default() += 1);
            for (one, another) in [(&own, &other), (&other, &own)] {
                let (mut all, absorbed) = (groups(one), groups(another));
                all.absorb(&absorbed, |value, more| *value += more);
                prop_assert_eq!(all.len(), model.len());
                let found = all.entries().map(|(_, key, value)| (key, *value)).collect::<HashMap<_, _>>();
                prop_assert_eq!(&found, &model);
                check(&mut all, &again);
            }
        }

        #[test]
        fn what_changed_is_enough_to_follow(
            batches in prop::collection::vec(keys(2000), 1..6),
        ) {
            let mut groups = Groups::<u64, u64>::new(SEED);
            let mut model = HashMap::<u64, u64>::new();
            let mut followed = HashMap::<u64, u64>::new();
            for keys in batches {
                let before = model.clone();
                for key in keys {
                    *groups.value_mut(key) += 1;
                    *model.entry(key).or_default() += 1;
                }
                let mut changed = 0;
                groups.mark(Scope::Changed);
                let is_all = follow(&mut groups, usize::MAX, |key, value| {
                    followed.insert(key, value);
                    changed += 1;
                });
                prop_assert!(is_all);
                prop_assert_eq!(&followed, &model);
                prop_assert!(changed >= model.iter().filter(|(key, value)| before.get(key) != Some(value)).count());
            }
            let mut idle = 0;
            groups.mark(Scope::Changed);
            prop_assert!(follow(&mut groups, usize::MAX, |_, _| idle += 1));
            prop_assert_eq!(idle, 0);
        }

        /// Rows come, tables grow, others are absorbed and what was saved is forgotten while a mark is written: it is written
        /// as it was.
        #[test]
        fn what_was_marked_is_written_as_it_was_whatever_comes_meanwhile(
            batches in prop::collection::vec((keys(400), 0usize..3000, 0u8..12), 1..40),
        ) {
            let mut groups = Groups::<u64, u64>::new(SEED);
            let mut model = HashMap::<u64, u64>::new();
            let mut followed = HashMap::<u64, u64>::new();
            let mut marked = None::<HashMap<u64, u64>>;
            for (keys, room, what) in batches {
                if what == 0 {
                    let mut other = Groups::<u64, u64>::new(SEED);
                    keys.iter().for_each(|key| *other.value_mut(*key) += 1);
                    groups.absorb(&other, |value, more| *value += more);
                } else {
                    keys.iter().for_each(|key| *groups.value_mut(*key) += 1);
                }
                keys.iter().for_each(|key| *model.entry(*key).or_default() += 1);
                prop_assert_eq!(groups.len(), model.len());
                match what {
                    2 => {
                        groups.clear();
                        model.clear();
                        followed.clear();
                        marked = None;
                    }
                    3 => {
                        groups = groups.unsaved();
                        followed.clear();
                        marked = None;
                    }
                    _ => {}
                }
                let found = groups.entries().map(|(_, key, value)| (key, *value)).collect::<HashMap<_, _>>();
                prop_assert_eq!(&found, &model);
                let Some(expected) = &marked else {
                    groups.mark(if what == 1 { Scope::All } else { Scope::Changed });
                    marked = Some(model.clone());
                    continue;
                };
                let is_all = follow(&mut groups, room, |key, value| {
                    followed.insert(key, value);
                });
                if is_all {
                    prop_assert_eq!(&followed, expected);
                    marked = None;
                }
            }
        }

        #[test]
        fn groups_count_as_a_hash_map_does(
            first in keys(6000),
            again in prop::collection::vec(prop_oneof![0u64..3000, 0..u64::MAX], 0..2000),
        ) {
            let mut groups = Groups::new(SEED);
            check(&mut groups, &first);
            check(&mut groups, &again);
        }
    }
}
