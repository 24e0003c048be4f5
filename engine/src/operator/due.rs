//! The keys that something is due for, by event time.

use crate::store::table::Table;
use crate::{CanonicalKey, Dictionary, Key, Timestamp};
use std::collections::BTreeSet;

/// Times with the numbers of their keys' entries in a table. What is due is taken by (time, canonical key).
pub(crate) struct Due {
    waiting: BTreeSet<(Timestamp, u32)>,
    /// The first time, or [`Timestamp::MAX`].
    first: Timestamp,
    /// Keys of the first time that are not taken yet, the last one first; empty before the first of them is.
    firing: Vec<(CanonicalKey, u32)>,
}

impl Due {
    pub(crate) const fn new() -> Self {
        Self { waiting: BTreeSet::new(), first: Timestamp::MAX, firing: Vec::new() }
    }

    /// The first time, or [`Timestamp::MAX`].
    #[inline(always)]
    pub(crate) const fn first(&self) -> Timestamp {
        self.first
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a time for the key of an entry; it changes nothing where it is there already.
    pub(crate) fn insert(&mut self, time: Timestamp, entry: u32) {
        self.waiting.insert((time, entry));
        self.first = self.first.min(time);
    }

    /// The time and key that are due next at `watermark`, with the entry's number.
    pub(crate) fn next<K: Key, V: bytemuck::Pod>(
        &mut self,
        watermark: Timestamp,
        table: &Table<K, V>,
        symbols: &Dictionary,
    ) -> Option<(Timestamp, CanonicalKey, u32)> {
        let at = self.waiting.first().map(|(time, _)| *time).filter(|time| *time <= watermark)?;
        if self.firing.is_empty() {
            let key_of = |entry: u32| &table.entry(entry as usize).key;
            let of_time = self.waiting.range((at, 0)..=(at, u32::MAX));
            self.firing.extend(of_time.map(|&(_, entry)| (CanonicalKey::of(key_of(entry), symbols), entry)));
            let bytes = |entry| bytemuck::bytes_of(key_of(entry));
            self.firing.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| bytes(b.1).cmp(bytes(a.1))));
        }
        self.firing.last().map(|&(key, entry)| (at, key, entry))
    }

    /// Takes what [`Due::next`] found.
    pub(crate) fn take_next(&mut self) {
        if let Some((_, entry)) = self.firing.pop() {
            self.waiting.remove(&(self.first, entry));
            self.first = self.waiting.first().map_or(Timestamp::MAX, |(time, _)| *time);
        }
    }

    /// All times with the numbers of their entries, by time.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Timestamp, u32)> {
        self.waiting.iter().copied()
    }
}
