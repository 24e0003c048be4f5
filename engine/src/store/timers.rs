//! The keys that something is due for, by event time.

use crate::store::column::Column;
use crate::store::due::{Due, Timer};
use crate::store::entries::{Entries, Pins};
use crate::store::pieces::PieceWriter;
use crate::store::table::KeyedTable;
use crate::store::{Scope, Share, StoreError, StoreKind, StoreSettings};
use crate::{CanonicalKey, Dictionary, Key, Layout, Record, Timestamp};
use bytemuck::Pod;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Times for the entries of a [`KeyedTable`]. What is due is taken by (time, canonical key).
///
/// ```
/// use pelton::{Dictionary, KeyedTable, StoreSettings, Timers, Timestamp};
///
/// let (settings, symbols) = (StoreSettings::default(), Dictionary::default());
/// let (mut keys, mut timers) = (KeyedTable::<u32, ()>::new(&settings), Timers::new(&settings));
/// let at = Timestamp::from_nanos;
/// for (key, time) in [(8, 5), (7, 5), (9, 3)] {
///     let entry = keys.find_or_insert(key)?;
///     timers.insert(&mut keys, at(time), entry)?;
/// }
/// let mut fired = Vec::new();
/// while let Some((time, _, entry)) = timers.next(at(5), &keys, &symbols) {
///     timers.take_next(&mut keys);
///     fired.push((time, *keys.key(entry)));
/// }
/// assert_eq!(fired, [(at(3), 9), (at(5), 7), (at(5), 8)]);
/// # Ok::<(), pelton::StoreError>(())
/// ```
#[derive(Debug)]
pub struct Timers {
    limit: usize,
    waiting: Due,
    /// The first time, or [`Timestamp::MAX`].
    first: Timestamp,
    /// Those of the first time, no longer among those that wait, with their keys and the last one first; empty before the
    /// first of them is looked for.
    firing: Vec<(CanonicalKey, u32)>,
    /// Timers that were set or taken since the last mark, once there was one, and whether they waited then.
    changed: Option<BTreeMap<Timer, bool>>,
    marked: Marked,
}

/// What has to be written as it was at the mark.
#[derive(Debug)]
enum Marked {
    Nothing,
    /// All that waited, those behind this one.
    All(Bound<Timer>),
    /// These.
    These(BTreeMap<Timer, bool>),
}

impl Timers {
    /// No timers.
    pub const fn new(settings: &StoreSettings) -> Self {
        Self {
            limit: settings.timers_max,
            waiting: Due::new(),
            first: Timestamp::MAX,
            firing: Vec::new(),
            changed: None,
            marked: Marked::Nothing,
        }
    }

    /// The first time, or [`Timestamp::MAX`].
    #[inline(always)]
    pub const fn first(&self) -> Timestamp {
        self.first
    }

    /// The number of timers.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.firing.len()
    }

    /// Whether there are no timers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All times, with the entries that they are for.
    #[cfg(test)]
    pub(crate) fn each(&self) -> impl Iterator<Item = (Timestamp, usize)> {
        let firing = self.firing.iter().map(|(_, entry)| (self.first, *entry));
        self.waiting.each().chain(firing).map(|(time, entry)| (time, entry as usize))
    }

    /// Adds a time for an entry, which stays until it is taken; nothing changes where it is there already. None may be
    /// added at or before a time that is being taken.
    ///
    /// # Errors
    /// When there are more timers than the limit allows.
    pub fn insert<K: Key, V: Pod>(
        &mut self,
        table: &mut KeyedTable<K, V>,
        time: Timestamp,
        entry: usize,
    ) -> Result<(), StoreError> {
        self.add(table, time, entry)
    }

    fn add<P: Pins + ?Sized>(&mut self, table: &mut P, time: Timestamp, entry: usize) -> Result<(), StoreError> {
        if time <= self.first {
            self.stop_firing();
        }
        if self.waiting.insert((time, entry as u32)) {
            table.pin(entry);
            self.first = self.first.min(time);
            self.note((time, entry as u32), false);
        }
        Column::check(self)
    }

    /// A timer has changed that waited before, or did not.
    fn note(&mut self, timer: Timer, waited: bool) {
        if let Some(changed) = &mut self.changed {
            changed.entry(timer).or_insert(waited);
        }
    }

    /// Whether a timer waited at the mark.
    fn waited(&self, timer: &Timer) -> bool {
        let changed = self.changed.as_ref().and_then(|changed| changed.get(timer));
        changed.copied().unwrap_or_else(|| self.waiting.first_in(Bound::Included(*timer)) == Some(*timer))
    }

    /// Removes a time of an entry; whether it was there. The entry stays until it is removed.
    pub fn remove<K: Key, V: Pod>(&mut self, table: &mut KeyedTable<K, V>, time: Timestamp, entry: usize) -> bool {
        self.take_away(table, time, entry)
    }

    fn take_away<P: Pins + ?Sized>(&mut self, table: &mut P, time: Timestamp, entry: usize) -> bool {
        let entry = entry as u32;
        let firing = self.firing.iter().position(|(_, other)| time == self.first && *other == entry);
        let is_there = match firing {
            Some(place) => {
                self.firing.remove(place);
                true
            }
            None => self.waiting.remove(&(time, entry)),
        };
        if is_there {
            self.note_taken(time, entry, table);
        }
        is_there
    }

    /// Has those that fire wait again, until they are looked for.
    fn stop_firing(&mut self) {
        for (_, entry) in self.firing.drain(..) {
            self.waiting.insert((self.first, entry));
        }
    }

    /// The next timer that is marked; it no longer is.
    fn next_marked(&mut self) -> Option<Timer> {
        let next = match &mut self.marked {
            Marked::Nothing => None,
            Marked::These(timers) => timers.pop_first().map(|(timer, _)| timer),
            Marked::All(behind) => {
                let range = (*behind, Bound::Unbounded);
                let waiting = self.waiting.first_in(*behind);
                let changed = self.changed.as_ref().and_then(|changed| changed.range(range).next());
                let next = waiting.into_iter().chain(changed.map(|(timer, _)| *timer)).min();
                next.inspect(|timer| *behind = Bound::Excluded(*timer))
            }
        };
        if next.is_none() {
            self.marked = Marked::Nothing;
        }
        next
    }

    /// What is due next at `watermark`: its time, and its key's canonical form and entry.
    #[inline]
    pub fn next<K: Key, V: Pod>(
        &mut self,
        watermark: Timestamp,
        table: &KeyedTable<K, V>,
        symbols: &Dictionary,
    ) -> Option<(Timestamp, CanonicalKey, usize)> {
        if self.first > watermark {
            return None;
        }
        let at = self.first;
        if self.firing.is_empty() {
            let key_of = |entry: u32| table.key(entry as usize);
            let of_time = std::iter::from_fn(|| self.waiting.pop_at(at));
            self.firing.extend(of_time.map(|(_, entry)| (CanonicalKey::of(key_of(entry), symbols), entry)));
            let bytes = |entry| bytemuck::bytes_of(key_of(entry));
            self.firing.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| bytes(b.1).cmp(bytes(a.1))));
        }
        self.firing.last().map(|&(key, entry)| (at, key, entry as usize))
    }

    /// Takes what [`Timers::next`] found. Its entry stays until it is removed.
    pub fn take_next<K: Key, V: Pod>(&mut self, table: &mut KeyedTable<K, V>) {
        if let Some((_, entry)) = self.firing.pop() {
            self.note_taken(self.first, entry, table);
        }
    }

    /// A timer was taken away.
    fn note_taken<P: Pins + ?Sized>(&mut self, time: Timestamp, entry: u32, table: &mut P) {
        table.unpin(entry as usize);
        if self.firing.is_empty() {
            self.first = self.waiting.first().map_or(Timestamp::MAX, |(time, _)| time);
        }
        self.note((time, entry), true);
    }
}

impl Column for Timers {
    fn kind(&self) -> StoreKind {
        StoreKind::Timers
    }

    fn layout(&self) -> Layout {
        Timestamp::layout()
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.len() > self.limit {
            return Err(StoreError::TooManyTimers(self.limit));
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.waiting.bytes() + self.firing.len() * size_of::<(CanonicalKey, u32)>()
    }

    fn mark(&mut self, scope: Scope) {
        let changed = self.changed.replace(BTreeMap::new()).filter(|_| scope == Scope::Changed);
        self.marked = match changed {
            None => Marked::All(Bound::Unbounded),
            Some(changed) => Marked::These(changed),
        };
    }

    /// A piece is a timer: its key, its time, and whether it waits.
    fn save(&mut self, table: &dyn Entries, out: &mut PieceWriter<'_>) -> bool {
        self.stop_firing();
        let mut bytes = Vec::new();
        while out.has_room() {
            let writes_waiting = matches!(self.marked, Marked::All(_));
            let Some(timer) = self.next_marked() else { return true };
            let ((time, entry), waited) = (timer, self.waited(&timer));
            out.pass(1);
            if waited || !writes_waiting {
                bytes.clear();
                bytes.extend_from_slice(table.key_bytes(entry as usize));
                bytes.extend_from_slice(&time.as_nanos().to_le_bytes());
                bytes.push(u8::from(waited));
                out.write(table.share(entry as usize), &bytes);
            }
        }
        false
    }

    fn restore(&mut self, table: &mut dyn Entries, share: Share, piece: &[u8]) -> Result<(), StoreError> {
        let (key, rest) = table.split_key(share, piece)?;
        let Some((time, [waits @ (0 | 1)])) = rest.split_first_chunk::<8>() else {
            return Err(StoreError::misfit("no timer"));
        };
        let time = Timestamp::from_nanos(i64::from_le_bytes(*time));
        if *waits == 1 {
            let entry = table.find_or_make(key);
            // Its limit is looked at later.
            let _ = self.add(table, time, entry);
            return Ok(());
        }
        if let Some(entry) = table.find_restored(key) {
            self.take_away(table, time, entry);
        }
        Ok(())
    }
}
