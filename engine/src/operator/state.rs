//! What the runtime does with the stores of an operator.

use crate::operator::{Operator, OperatorError};
use crate::store::{Scope, Share, Store, StoreError};
use crate::{SLOTS, Slot};

/// Some of the state of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The name of its store.
    pub(crate) store: &'static str,
    pub(crate) share: Share,
    pub(crate) bytes: Vec<u8>,
}

/// The pieces that the stores of an operator write.
pub(crate) fn save(operator: &mut impl Operator, scope: Scope) -> Vec<Piece> {
    let mut pieces = Vec::new();
    operator.stores(&mut |store, kept| {
        kept.save(scope, &mut |share, bytes| pieces.push(Piece { store, share, bytes: bytes.to_vec() }));
    });
    pieces
}

/// Gives a piece to its store: one of the same worker's, or one that is dealt out.
pub(crate) fn restore(operator: &mut impl Operator, piece: &Piece, is_dealt: bool) -> Result<(), OperatorError> {
    in_store(operator, piece.store, |store| take(store, piece.share, &piece.bytes, is_dealt))
}

/// Calls `body` with the store of this name.
fn in_store(
    operator: &mut impl Operator,
    wanted: &str,
    mut body: impl FnMut(&mut dyn Store) -> Result<(), StoreError>,
) -> Result<(), OperatorError> {
    let mut result = Err(StoreError::Misfit(format!("there is no store `{wanted}`")));
    operator.stores(&mut |name, store| {
        if name == wanted {
            result = body(store).map_err(|error| match error {
                StoreError::Misfit(what) => StoreError::Misfit(format!("{what} of store `{name}`")),
                error => error,
            });
        }
    });
    Ok(result?)
}

fn take(store: &mut dyn Store, share: Share, bytes: &[u8], is_dealt: bool) -> Result<(), StoreError> {
    let taken = if is_dealt { store.adopt(share, bytes) } else { store.restore(share, bytes) };
    taken.map_err(|error| match error {
        StoreError::Misfit(what) => StoreError::Misfit(match share {
            Share::Slot(slot) => format!("{what} in a piece of slot {slot}"),
            Share::All => format!("{what} in a piece of all workers"),
        }),
        error => error,
    })
}

/// The pieces of one store, as bytes: of each its share, its length and itself.
///
/// ```text
/// byte 0  slot (32 bits), or 2^32 - 1 for all workers
///      4  length (32 bits)
///      8  the piece
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StorePieces {
    pub(crate) store: &'static str,
    pub(crate) bytes: Vec<u8>,
}

const ALL: u32 = u32::MAX;
const PIECE_HEAD: usize = 8;

/// What the stores of an operator write to a checkpoint.
pub(crate) fn write(operator: &mut impl Operator, scope: Scope) -> Vec<StorePieces> {
    let mut written = Vec::new();
    operator.stores(&mut |store, kept| {
        let mut bytes = Vec::new();
        kept.save(scope, &mut |share, piece| {
            bytes.extend_from_slice(&share_number(share).to_le_bytes());
            bytes.extend_from_slice(&(piece.len() as u32).to_le_bytes());
            bytes.extend_from_slice(piece);
        });
        if !bytes.is_empty() {
            written.push(StorePieces { store, bytes });
        }
    });
    written
}

fn share_number(share: Share) -> u32 {
    match share {
        Share::Slot(slot) => slot.into(),
        Share::All => ALL,
    }
}

/// Gives pieces of a store, those whose shares are wanted, to the store of this name.
pub(crate) fn read(
    operator: &mut impl Operator,
    store: &str,
    bytes: &[u8],
    wanted: impl Fn(Share) -> bool,
    is_dealt: bool,
) -> Result<(), OperatorError> {
    in_store(operator, store, |store| {
        each_piece(bytes, |share, piece| if wanted(share) { take(store, share, piece, is_dealt) } else { Ok(()) })
    })
}

/// Calls `body` with each of these pieces.
pub(crate) fn each_piece(
    bytes: &[u8],
    mut body: impl FnMut(Share, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut rest = bytes;
    while let Some((head, behind)) = rest.split_first_chunk::<PIECE_HEAD>() {
        let [share, len]: [u32; 2] = bytemuck::pod_read_unaligned(head);
        let share = match (share, Slot::try_from(share)) {
            (ALL, _) => Share::All,
            (_, Ok(slot)) if usize::from(slot) < SLOTS => Share::Slot(slot),
            (other, _) => return Err(StoreError::Misfit(format!("a piece of slot {other}"))),
        };
        let Some((piece, behind)) = behind.split_at_checked(len as usize) else {
            return Err(StoreError::misfit("a piece that ends too soon"));
        };
        body(share, piece)?;
        rest = behind;
    }
    if rest.is_empty() { Ok(()) } else { Err(StoreError::misfit("a piece that ends too soon")) }
}

/// Whether the stores of an operator are within their limits, once all pieces have come.
pub(crate) fn check(operator: &mut impl Operator) -> Result<(), OperatorError> {
    let mut result = Ok(());
    operator.stores(&mut |_, store| result = std::mem::replace(&mut result, Ok(())).and_then(|()| store.check()));
    Ok(result?)
}

/// Bytes that the stores of an operator take.
pub(crate) fn bytes(operator: &mut impl Operator) -> usize {
    let mut bytes = 0;
    operator.stores(&mut |_, store| bytes += store.bytes());
    bytes
}
