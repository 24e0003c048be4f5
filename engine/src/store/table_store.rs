//! A keyed table as a store: what it marks, what it writes, and what it takes.

use crate::store::pieces::{PieceWriter, Records, split_records};
use crate::store::table::{Entry, KeyedTable, LEAVES, SEGMENT, Word};
use crate::store::{Scope, Share, Store, StoreError, StoreKind};
use crate::{ALL_SLOTS, Key, Layout, Record, Slot, Timestamp, slot_of};
use bytemuck::Pod;
use std::ops::Range;

/// What stands behind the key in a record.
const HAS_VALUE: u8 = 1;

impl<K: Key, V: Pod> KeyedTable<K, V> {
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

    /// Bytes of the record of an entry: key, a flag and value, and when it was written where it expires.
    const fn record_len(&self) -> usize {
        size_of::<K>() + 1 + size_of::<V>() + if self.expiry.is_some() { 8 } else { 0 }
    }

    /// Writes the record of an entry.
    #[inline]
    fn put_record(&self, number: usize, record: &mut [u8]) {
        let (key, rest) = record.split_at_mut(size_of::<K>());
        key.copy_from_slice(bytemuck::bytes_of(self.key(number)));
        let (value, written) = rest.split_at_mut(1 + size_of::<V>());
        value[0] = HAS_VALUE;
        value[1..].copy_from_slice(bytemuck::bytes_of(self.value(number)));
        if let Some(expiry) = &self.expiry {
            let at = expiry.written.get(number).copied().unwrap_or(Timestamp::MIN);
            written.copy_from_slice(&at.as_nanos().to_le_bytes());
        }
    }

    /// Keeps what is to be written of an entry that is marked, before it changes.
    #[cold]
    pub(super) fn keep(&mut self, number: usize) {
        if self.is_taken(number) {
            let mut kept = std::mem::take(&mut self.kept);
            let end = kept.len();
            kept.resize(end + self.record_len(), 0);
            self.put_record(number, &mut kept[end..]);
            self.kept = kept;
        } else if !self.changes.marks_all() {
            self.kept_removals.push(*self.key(number));
        }
    }

    /// Writes that a key was removed.
    fn write_removal(&self, key: &K, out: &mut PieceWriter<'_>) {
        out.write(self.share_of(key), bytemuck::bytes_of(key));
    }

    /// Writes what was kept, as far as there is room.
    fn write_kept(&mut self, out: &mut PieceWriter<'_>, records: &mut Records) {
        while out.has_room()
            && let Some(key) = self.kept_removals.pop()
        {
            self.write_removal(&key, out);
        }
        while out.has_room()
            && let Some(first) = self.kept.len().checked_sub(self.record_len())
        {
            out.pass(1);
            records.room_for(1).copy_from_slice(&self.kept[first..]);
            self.kept.truncate(first);
            records.write_if_enough(out);
        }
    }

    /// Frees the numbers of entries whose removal was saved, as far as there is room; whether none is left.
    fn free_numbers(&mut self, out: &mut PieceWriter<'_>) -> bool {
        while out.has_room()
            && let Some(number) = self.leaving[2].pop()
        {
            let number = number as usize;
            // Where it has been made again since, and then removed once more, it comes again.
            if !self.is_taken(number) && !self.changes.is_open(number) {
                self.free_number(number);
            }
            out.pass(size_of::<Word>());
        }
        self.leaving[2].is_empty()
    }

    /// Removes an entry once nothing hangs on it: what hung on it leaves with other pieces.
    fn leave(&mut self, entry: usize) {
        *self.value_mut(entry) = V::zeroed();
        match self.pins.get_mut(entry).filter(|pins| **pins > 0) {
            Some(pins) => *pins |= LEAVES,
            None => self.remove_entry(entry),
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
        let kept = self.kept.len() + self.kept_removals.len() * size_of::<K>();
        let index = self.index.len() * size_of::<Word>() + self.small.bytes();
        segments + index + self.pins.len() * 4 + written + kept
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.len > self.keys_max { Err(StoreError::TooManyKeys(self.keys_max)) } else { Ok(()) }
    }

    fn mark(&mut self, scope: Scope) {
        self.changes.mark(scope, self.end);
        // What hung on those that were removed before the last mark is written by now, in all stores.
        let [left, marked, saved] = &mut self.leaving;
        if saved.is_empty() {
            std::mem::swap(saved, marked);
        } else {
            saved.append(marked);
        }
        std::mem::swap(left, marked);
    }

    fn save(&mut self, out: &mut PieceWriter<'_>) -> bool {
        if !self.free_numbers(out) {
            return false;
        }
        let mut records = Records::new(self.record_len(), &[]);
        self.write_kept(out, &mut records);
        let mut is_all = false;
        while out.has_room() && !is_all {
            out.pass(1);
            match self.changes.next_marked() {
                Some(number) if self.is_taken(number) => self.put_record(number, records.room_for(1)),
                Some(number) if !self.changes.marks_all() => self.write_removal(self.key(number), out),
                Some(_) => {}
                None => is_all = true,
            }
            records.write_if_enough(out);
        }
        records.write(out);
        is_all
    }

    fn restore(&mut self, share: Share, piece: &[u8], slots: &Range<Slot>) -> Result<(), StoreError> {
        if share != Share::Keys {
            let (key, rest) = self.parse_key(share, piece)?;
            return self.take_record(key, rest);
        }
        let (_, records) = split_records(piece, 0)?;
        for record in records {
            let (key, rest) = record.split_at_checked(size_of::<K>()).ok_or_else(|| StoreError::misfit("no key"))?;
            let key: K = bytemuck::pod_read_unaligned(key);
            if *slots == ALL_SLOTS || slots.contains(&slot_of(self.seed.hash(&key))) {
                self.take_record(key, rest)?;
            }
        }
        Ok(())
    }
}

impl<K: Key, V: Pod> KeyedTable<K, V> {
    /// Takes what was saved of a key: its value, or nothing where it was removed.
    fn take_record(&mut self, key: K, rest: &[u8]) -> Result<(), StoreError> {
        let times = if self.expiry.is_some() { 8 } else { 0 };
        let Some((&HAS_VALUE, rest)) = rest.split_first() else {
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
