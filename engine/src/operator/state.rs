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
    /// Whether pieces that the store wrote before count too.
    pub(crate) is_incremental: bool,
}

/// The pieces that the stores of an operator write.
pub(crate) fn save(operator: &mut impl Operator, scope: Scope) -> Vec<Piece> {
    let mut pieces = Vec::new();
    operator.stores(&mut |name, store| {
        let is_incremental = store.is_incremental();
        let scope = if is_incremental { scope } else { Scope::All };
        store.save(scope, &mut |share, bytes| {
            pieces.push(Piece { store: name, share, bytes: bytes.to_vec(), is_incremental });
        });
    });
    pieces
}

/// Gives a piece to its store.
pub(crate) fn restore(operator: &mut impl Operator, piece: &Piece) -> Result<(), OperatorError> {
    let Piece { store: wanted, share, bytes, .. } = piece;
    let mut result = Err(StoreError::Misfit(format!("there is no store `{wanted}`")));
    operator.stores(&mut |name, store| {
        if name == *wanted {
            result = store.restore(*share, bytes).map_err(|error| match error {
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

/// Bytes that the stores of an operator take.
pub(crate) fn bytes(operator: &mut impl Operator) -> usize {
    let mut bytes = 0;
    operator.stores(&mut |_, store| bytes += store.bytes());
    bytes
}
