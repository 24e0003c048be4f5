//! Which worker takes a row.

use crate::{HashSeed, Key, slot_of, worker_of};

/// Which worker takes a row.
pub(crate) trait Route<T>: 'static {
    /// Whether each row goes to all workers.
    const TO_ALL: bool = false;

    fn worker(&self, row: &T) -> usize;
}

/// The owners of keys with numbers below this are looked up.
const KNOWN_OWNERS: usize = 1 << 14;

/// Rows go to the owner of their key.
pub(crate) struct KeyRoute<F> {
    key_of: F,
    workers: usize,
    seed: HashSeed,
    /// By the key's number.
    owners: Vec<u8>,
}

impl<F> KeyRoute<F> {
    pub(crate) fn new<T, K: Key>(key_of: F, workers: usize, seed: HashSeed) -> Self
    where
        F: Fn(&T) -> K,
    {
        let owner = |number: usize| {
            let key = K::from_number(number as u64);
            if key.number() == Some(number as u64) { u8::try_from(owner_of(&key, workers, seed)).ok() } else { None }
        };
        Self { key_of, workers, seed, owners: (0..KNOWN_OWNERS).map_while(owner).collect() }
    }
}

fn owner_of<K: Key>(key: &K, workers: usize, seed: HashSeed) -> usize {
    worker_of(slot_of(seed.hash(key)), workers)
}

impl<T, K: Key, F: Fn(&T) -> K + 'static> Route<T> for KeyRoute<F> {
    #[inline(always)]
    fn worker(&self, row: &T) -> usize {
        let key = (self.key_of)(row);
        let number = key.number().and_then(|number| usize::try_from(number).ok());
        match number.and_then(|number| self.owners.get(number)) {
            Some(&owner) => usize::from(owner),
            None => owner_of(&key, self.workers, self.seed),
        }
    }
}

/// All rows go to one worker: to an ordered sink.
pub(crate) struct ToOne;

impl<T> Route<T> for ToOne {
    #[inline(always)]
    fn worker(&self, _: &T) -> usize {
        0
    }
}

/// Each row goes to all workers: to the broadcast side of a step.
pub(crate) struct ToAll;

impl<T> Route<T> for ToAll {
    const TO_ALL: bool = true;

    #[inline(always)]
    fn worker(&self, _: &T) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Symbol;

    fn check<K: Key>(keys: &[K]) {
        for workers in [1, 2, 3, 300] {
            let seed = HashSeed::new(workers as u64);
            let route = KeyRoute::new(|key: &K| *key, workers, seed);
            for key in keys {
                assert_eq!(route.worker(key), worker_of(slot_of(seed.hash(key)), workers));
            }
        }
    }

    #[test]
    fn looked_up_or_hashed_a_row_goes_to_the_owner_of_its_keys_slot() {
        check(&(0..=u8::MAX).collect::<Vec<_>>());
        check(&(i8::MIN..=i8::MAX).collect::<Vec<_>>());
        check(&(0..40_000u32).map(Symbol::from_id).collect::<Vec<_>>());
        check(&(0..40_000i64).map(|i| i * i * i - 20_000).collect::<Vec<_>>());
        check(&(0..1000u32).map(u32::to_le_bytes).collect::<Vec<_>>());
    }
}
