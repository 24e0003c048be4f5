//! What the runtime does with the stores of an operator.

use crate::operator::{Operator, OperatorError};
use crate::store::{Scope, Share, StoreError};

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
    let Piece { store: wanted, share, bytes } = piece;
    let mut result = Err(StoreError::Misfit(format!("there is no store `{wanted}`")));
    operator.stores(&mut |name, store| {
        if name == *wanted {
            let taken = if is_dealt { store.adopt(*share, bytes) } else { store.restore(*share, bytes) };
            result = taken.map_err(|error| match error {
                StoreError::Misfit(what) => StoreError::Misfit(match share {
                    Share::Slot(slot) => format!("{what} in a piece of slot {slot} of store `{name}`"),
                    Share::All => format!("{what} in a piece of all workers of store `{name}`"),
                }),
                error => error,
            });
        }
    });
    Ok(result?)
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
