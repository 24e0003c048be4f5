//! What the runtime does with the stores of an operator.

use crate::operator::{Operator, OperatorError};
use crate::store::pieces::{PieceWriter, Pieces, each_piece};
use crate::store::{Scope, Share, Store, StoreError};
use crate::{ALL_SLOTS, Slot};
use std::ops::Range;

/// Bytes that pieces may take beyond the room that there is for them.
const ROOM_BEYOND: usize = 16 << 10;

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
    mark(operator, scope);
    let mut pieces = Vec::new();
    take_pieces(operator, usize::MAX, &mut pieces);
    pieces
}

/// Takes about `room` bytes of the pieces that the stores of an operator have marked; whether nothing is left.
pub(crate) fn take_pieces(operator: &mut impl Operator, room: usize, pieces: &mut Vec<Piece>) -> bool {
    each_marked(operator, room, |store, share, bytes| pieces.push(Piece { store, share, bytes: bytes.to_vec() }))
}

/// Calls `body` with about `room` bytes of what the stores of an operator have marked; whether nothing is left.
fn each_marked(
    operator: &mut impl Operator,
    mut room: usize,
    mut body: impl FnMut(&'static str, Share, &[u8]),
) -> bool {
    let mut is_all = true;
    operator.stores(&mut |name, store| {
        let mut take = |share, piece: &[u8]| body(name, share, piece);
        let mut out = PieceWriter::new(room, &mut take);
        is_all &= store.save(&mut out);
        room = out.room();
    });
    is_all
}

/// Gives a piece to its store, as far as it is of these slots: one of the same worker's, or one that is dealt out.
pub(crate) fn restore(
    operator: &mut impl Operator,
    piece: &Piece,
    slots: &Range<Slot>,
    is_dealt: bool,
) -> Result<(), OperatorError> {
    in_store(operator, piece.store, |store| put(store, piece.share, &piece.bytes, slots, is_dealt))
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

fn put(
    store: &mut dyn Store,
    share: Share,
    bytes: &[u8],
    slots: &Range<Slot>,
    is_dealt: bool,
) -> Result<(), StoreError> {
    if matches!(share, Share::Slot(slot) if !slots.contains(&slot)) {
        return Ok(());
    }
    let taken = if is_dealt { store.adopt(share, bytes, slots) } else { store.restore(share, bytes, slots) };
    taken.map_err(|error| match error {
        StoreError::Misfit(what) => StoreError::Misfit(match share {
            Share::Slot(slot) => format!("{what} in a piece of slot {slot}"),
            Share::Keys => format!("{what} in a piece of several keys"),
            Share::All => format!("{what} in a piece of all workers"),
        }),
        error => error,
    })
}

/// Pieces of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StorePieces {
    pub(crate) store: &'static str,
    pub(crate) pieces: Pieces,
}

/// Marks what the stores of an operator are to write.
pub(crate) fn mark(operator: &mut impl Operator, scope: Scope) {
    operator.stores(&mut |_, store| store.mark(scope));
}

/// About `room` bytes of what the stores of an operator have marked, and whether nothing is left.
pub(crate) fn take(operator: &mut impl Operator, room: usize) -> (Vec<StorePieces>, bool) {
    let mut written: Vec<StorePieces> = Vec::new();
    let is_all = each_marked(operator, room, |store, share, piece| {
        if written.last().is_none_or(|last| last.store != store) {
            let pieces = Pieces::with_room(if room == usize::MAX { 0 } else { room + ROOM_BEYOND });
            written.push(StorePieces { store, pieces });
        }
        if let Some(last) = written.last_mut() {
            last.pieces.push(share, piece);
        }
    });
    (written, is_all)
}

/// Whose pieces a store takes.
#[derive(Debug, Clone)]
pub(crate) enum Taking {
    /// Those of the same worker.
    Own(Range<Slot>),
    /// Those of any worker that are of these slots, and what all workers have alike where that is wanted.
    Dealt(Range<Slot>, bool),
}

impl Taking {
    /// All of the same worker.
    pub(crate) const SAME: Self = Self::Own(ALL_SLOTS);
}

/// Gives pieces of a store to the store of this name.
pub(crate) fn read(
    operator: &mut impl Operator,
    store: &str,
    bytes: &[u8],
    taking: &Taking,
) -> Result<(), OperatorError> {
    in_store(operator, store, |store| {
        each_piece(bytes, |share, piece| match taking {
            Taking::Own(slots) => put(store, share, piece, slots, false),
            Taking::Dealt(_, false) if share == Share::All => Ok(()),
            Taking::Dealt(slots, _) => put(store, share, piece, slots, true),
        })
    })
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
