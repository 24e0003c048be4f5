//! Pieces of state on their way out of a store.
//!
//! Pieces of a store as bytes, one behind the other:
//! ```text
//! byte 0  slot (32 bits), or 2^32 - 1 for all workers
//!      4  length (32 bits)
//!      8  the piece
//! ```

use crate::store::{Share, StoreError};
use crate::{SLOTS, Slot};

const ALL: u32 = u32::MAX;
const HEAD: usize = 8;

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

/// Pieces as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    /// Pieces before this byte have been taken.
    taken: usize,
}

impl Pieces {
    /// Adds a piece at the end.
    pub(crate) fn push(&mut self, share: Share, piece: &[u8]) {
        let share = match share {
            Share::Slot(slot) => slot.into(),
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
