//! Pieces of state on their way out of a store.
//!
//! Pieces of a store as bytes, one behind the other:
//! ```text
//! byte 0  slot (32 bits), 2^32 - 1 for all workers, 2^32 - 2 for several keys
//!      4  length (32 bits)
//!      8  the piece
//! ```
//! A piece of several keys:
//! ```text
//! byte 0  bytes of a record (32 bits)
//!      4  what all records have in front: the start of a slice, or nothing
//!      .  records, each a key and what is kept for it
//! ```

use crate::store::{Share, StoreError};
use crate::{SLOTS, Slot};

const ALL: u32 = u32::MAX;
const KEYS: u32 = u32::MAX - 1;
const HEAD: usize = 8;
/// Bytes of the length of a record.
const RECORD_LEN: usize = 4;
/// Bytes of a piece of several keys, about.
const RECORDS_BYTES: usize = 4 << 10;

/// Takes the pieces that a store writes, as far as there is room for them.
///
/// ```
/// use pelton::{PieceWriter, Share};
///
/// let mut bytes = 0;
/// let mut take = |_: Share, piece: &[u8]| bytes += piece.len();
/// let mut out = PieceWriter::new(100, &mut take);
/// while out.has_room() {
///     out.write(Share::All, &[0; 40]);
/// }
/// assert_eq!(bytes, 120);
/// ```
pub struct PieceWriter<'a> {
    room: usize,
    take: &'a mut dyn FnMut(Share, &[u8]),
}

impl<'a> PieceWriter<'a> {
    /// A writer with room for about so many bytes: the last piece may exceed it.
    pub fn new(room: usize, take: &'a mut dyn FnMut(Share, &[u8])) -> Self {
        Self { room, take }
    }

    /// A writer with room for everything.
    pub fn unlimited(take: &'a mut dyn FnMut(Share, &[u8])) -> Self {
        Self::new(usize::MAX, take)
    }

    /// Whether another piece should be written now.
    #[inline]
    pub const fn has_room(&self) -> bool {
        self.room > 0
    }

    /// Takes a piece.
    #[inline]
    pub fn write(&mut self, share: Share, piece: &[u8]) {
        self.pass(piece.len());
        (self.take)(share, piece);
    }

    /// Uses up a little room, for a look at something that need not be written: so looking is bounded, too.
    #[inline]
    pub(crate) const fn pass(&mut self, bytes: usize) {
        // Whoever has room for everything does not run out of it.
        if self.room != usize::MAX {
            self.room = self.room.saturating_sub(if bytes == 0 { 1 } else { bytes });
        }
    }

    pub(crate) const fn room(&self) -> usize {
        self.room
    }
}

/// Records of keys on their way into pieces.
#[derive(Debug)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    /// Bytes in front of the first record.
    front: usize,
    record: usize,
}

impl Records {
    /// None yet, of so many bytes each, behind what all of them have in front.
    pub(crate) fn new(record: usize, front: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(2 * RECORDS_BYTES);
        bytes.extend_from_slice(&(record as u32).to_le_bytes());
        bytes.extend_from_slice(front);
        Self { front: bytes.len(), bytes, record }
    }

    /// Room for `count` more records, one behind the other, whose bytes are zeros.
    #[inline]
    pub(crate) fn room_for(&mut self, count: usize) -> &mut [u8] {
        let end = self.bytes.len();
        self.bytes.resize(end + count * self.record, 0);
        &mut self.bytes[end..]
    }

    /// Writes a piece, where the records are enough for one.
    #[inline]
    pub(crate) fn write_if_enough(&mut self, out: &mut PieceWriter<'_>) {
        if self.bytes.len() - self.front >= RECORDS_BYTES.min(out.room()) {
            self.write(out);
        }
    }

    /// Writes a piece of the records, where there are any.
    pub(crate) fn write(&mut self, out: &mut PieceWriter<'_>) {
        if self.bytes.len() > self.front {
            out.write(Share::Keys, &self.bytes);
            self.bytes.truncate(self.front);
        }
    }
}

/// What the records of a piece have in front, so many bytes, and the records.
///
/// # Errors
/// When it is no such piece.
pub(crate) fn split_records(
    piece: &[u8],
    front: usize,
) -> Result<(&[u8], std::slice::ChunksExact<'_, u8>), StoreError> {
    let records = piece.split_first_chunk::<RECORD_LEN>().and_then(|(record, rest)| {
        let (front, rest) = rest.split_at_checked(front)?;
        let record = u32::from_le_bytes(*record) as usize;
        (record > 0 && rest.len().is_multiple_of(record)).then(|| (front, rest.chunks_exact(record)))
    });
    records.ok_or_else(|| StoreError::misfit("a wrong length of records"))
}

/// Pieces as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    /// Pieces before this byte have been taken.
    taken: usize,
}

impl Pieces {
    /// None yet, with room for so many bytes.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), taken: 0 }
    }

    /// Adds a piece at the end.
    pub(crate) fn push(&mut self, share: Share, piece: &[u8]) {
        let share = match share {
            Share::Slot(slot) => slot.into(),
            Share::Keys => KEYS,
            Share::All => ALL,
        };
        self.bytes.extend_from_slice(&share.to_le_bytes());
        self.bytes.extend_from_slice(&(piece.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(piece);
    }

    /// Writes pieces from the front, as far as there is room; whether none is left.
    pub(crate) fn take(&mut self, out: &mut PieceWriter<'_>) -> bool {
        while out.has_room() {
            match split(&self.bytes[self.taken..]) {
                Ok(Some((share, piece, _))) => {
                    self.taken += HEAD + piece.len();
                    out.write(share, piece);
                }
                Ok(None) | Err(_) => {
                    self.bytes.clear();
                    self.taken = 0;
                    return true;
                }
            }
        }
        self.taken == self.bytes.len()
    }

    /// Those that were not taken.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// A piece with its share, and what follows it.
type First<'a> = (Share, &'a [u8], &'a [u8]);

/// The first of these pieces.
fn split(bytes: &[u8]) -> Result<Option<First<'_>>, StoreError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let ends_too_soon = || StoreError::misfit("a piece that ends too soon");
    let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or_else(ends_too_soon)?;
    let [share, len]: [u32; 2] = bytemuck::pod_read_unaligned(head);
    let share = match (share, Slot::try_from(share)) {
        (ALL, _) => Share::All,
        (KEYS, _) => Share::Keys,
        (_, Ok(slot)) if usize::from(slot) < SLOTS => Share::Slot(slot),
        (other, _) => return Err(StoreError::Misfit(format!("a piece of slot {other}"))),
    };
    let (piece, rest) = rest.split_at_checked(len as usize).ok_or_else(ends_too_soon)?;
    Ok(Some((share, piece, rest)))
}

/// Calls `body` with each of these pieces.
///
/// # Errors
/// When they are no pieces, or the error of `body`.
pub(crate) fn each_piece(
    bytes: &[u8],
    mut body: impl FnMut(Share, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut rest = bytes;
    while let Some((share, piece, behind)) = split(rest)? {
        body(share, piece)?;
        rest = behind;
    }
    Ok(())
}
