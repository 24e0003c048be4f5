//! A keyed table as a store: what it marks, what it writes, and what it takes.

use crate::store::pieces::PieceWriter;
use crate::store::table::{Entry, KeyedTable, LEAVES, SEGMENT, Word};
use crate::store::{Scope, Share, Store, StoreError, StoreKind};
use crate::{Key, Layout, Record, Timestamp, slot_of};
use bytemuck::Pod;

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

    /// Makes the piece of an entry that is marked: key and value, and when it was written where it expires; only the key
    /// where the entry was removed. Whether there is one.
    fn piece(&self, number: usize, bytes: &mut Vec<u8>) -> bool {
        bytes.clear();
        bytes.extend_from_slice(bytemuck::bytes_of(self.key(number)));
        if !self.is_taken(number) {
            return !self.changes.marks_all();
        }
        bytes.push(1);
        bytes.extend_from_slice(bytemuck::bytes_of(self.value(number)));
        if let Some(expiry) = &self.expiry {
            let written = expiry.written.get(number).copied().unwrap_or(Timestamp::MIN);
            bytes.extend_from_slice(&written.as_nanos().to_le_bytes());
        }
        true
    }

    /// Keeps the piece of an entry that is marked, before it changes.
    #[cold]
    pub(super) fn keep(&mut self, number: usize) {
        let mut bytes = Vec::with_capacity(size_of::<Entry<K, V>>() + 9);
        if self.piece(number, &mut bytes) {
            self.kept.push(self.share_of(self.key(number)), &bytes);
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
        segments + self.index.len() * size_of::<Word>() + self.pins.len() * 4 + written + self.kept.len()
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
        if !self.free_numbers(out) || !self.kept.take(out) {
            return false;
        }
        let mut bytes = Vec::new();
        while out.has_room() {
            let Some(number) = self.changes.next_marked() else { return true };
            out.pass(1);
            if self.piece(number, &mut bytes) {
                out.write(self.share_of(self.key(number)), &bytes);
            }
        }
        false
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
