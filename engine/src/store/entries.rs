//! What stores that hang on the entries of a table need of it, whatever its keys and values are.

use crate::store::table::{KeyedTable, LEAVES};
use crate::store::{Share, StoreError};
use crate::{HashSeed, Key, slot_of};
use bytemuck::Pod;

/// Entries that stay while something hangs on them.
pub(crate) trait Pins {
    /// Something hangs on an entry.
    fn pin(&mut self, entry: usize);

    /// One thing less hangs on an entry, which may then be removed.
    fn unpin(&mut self, entry: usize);

    /// The bytes of the key of an entry.
    fn key_bytes(&self, entry: usize) -> &[u8];

    /// Whose share the state of an entry is.
    fn share(&self, entry: usize) -> Share;
}

/// Entries that are also found and made as pieces say.
pub(crate) trait Entries: Pins {
    /// Parts a piece behind the key at its front.
    ///
    /// # Errors
    /// When there is no key, or one of another share.
    fn split_key<'p>(&self, share: Share, piece: &'p [u8]) -> Result<(&'p [u8], &'p [u8]), StoreError>;

    /// The entry of a key, where there is one.
    fn find_restored(&self, key: &[u8]) -> Option<usize>;

    /// The entry of a key, which is made where there is none, whatever the limit.
    fn find_or_make(&mut self, key: &[u8]) -> usize;
}

impl<K: Key, V: Pod> Pins for KeyedTable<K, V> {
    #[inline]
    fn pin(&mut self, entry: usize) {
        pin(&mut self.pins, entry);
    }

    #[inline]
    fn unpin(&mut self, entry: usize) {
        if unpin(&mut self.pins, entry) {
            self.remove_entry(entry);
        }
    }

    #[inline]
    fn key_bytes(&self, entry: usize) -> &[u8] {
        bytemuck::bytes_of(self.key(entry))
    }

    #[inline]
    fn share(&self, entry: usize) -> Share {
        self.share_of(self.key(entry))
    }
}

impl<K: Key, V: Pod> Entries for KeyedTable<K, V> {
    fn split_key<'p>(&self, share: Share, piece: &'p [u8]) -> Result<(&'p [u8], &'p [u8]), StoreError> {
        self.parse_key(share, piece)?;
        Ok(piece.split_at(size_of::<K>()))
    }

    fn find_restored(&self, key: &[u8]) -> Option<usize> {
        self.find(&bytemuck::pod_read_unaligned(key))
    }

    fn find_or_make(&mut self, key: &[u8]) -> usize {
        self.find_or_restore(bytemuck::pod_read_unaligned(key))
    }
}

/// The entry of a table whose value is lent out: what hangs on it can change meanwhile.
pub(crate) struct Lent<'a, K> {
    pub(super) pins: &'a mut Vec<u32>,
    pub(super) seed: &'a HashSeed,
    pub(super) key: &'a K,
}

impl<K: Key> Pins for Lent<'_, K> {
    fn pin(&mut self, entry: usize) {
        pin(self.pins, entry);
    }

    /// The entry is removed by whoever lent its value.
    fn unpin(&mut self, entry: usize) {
        unpin(self.pins, entry);
    }

    fn key_bytes(&self, _: usize) -> &[u8] {
        bytemuck::bytes_of(self.key)
    }

    fn share(&self, _: usize) -> Share {
        Share::Slot(slot_of(self.seed.hash(self.key)))
    }
}

#[inline]
fn pin(pins: &mut Vec<u32>, entry: usize) {
    if entry >= pins.len() {
        pins.resize(entry + 1, 0);
    }
    pins[entry] += 1;
}

/// Whether the entry leaves now.
#[inline]
fn unpin(pins: &mut [u32], entry: usize) -> bool {
    pins[entry] -= 1;
    let leaves = pins[entry] == LEAVES;
    if leaves {
        pins[entry] = 0;
    }
    leaves
}
