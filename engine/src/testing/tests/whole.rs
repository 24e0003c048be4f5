//! Operators of tests that are a store themselves and write all they have each time.

use crate::{Layout, Record, Scope, Share, Slot, Store, StoreError, StoreKind};

/// An operator whose state is a few pieces.
pub(super) trait Whole {
    /// All there is.
    fn pieces(&self) -> Vec<(Slot, Vec<u8>)>;
    /// Forgets all.
    fn clear(&mut self);
    /// Adds a piece.
    fn add(&mut self, piece: &[u8]) -> Result<(), StoreError>;
}

/// What changed is one piece with all of them, which replaces what there was.
impl<T: Whole> Store for T {
    fn kind(&self) -> StoreKind {
        StoreKind::KeyedTable
    }

    fn layout(&self) -> Layout {
        u64::layout()
    }

    fn bytes(&self) -> usize {
        0
    }

    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn save(&mut self, scope: Scope, piece: &mut dyn FnMut(Share, &[u8])) {
        let pieces = self.pieces();
        match scope {
            Scope::All => pieces.iter().for_each(|(slot, bytes)| piece(Share::Slot(*slot), bytes)),
            Scope::Changed => {
                let framed = |(_, bytes): &(Slot, Vec<u8>)| [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat();
                piece(Share::All, &pieces.iter().flat_map(framed).collect::<Vec<u8>>());
            }
        }
    }

    fn restore(&mut self, share: Share, mut bytes: &[u8]) -> Result<(), StoreError> {
        if share != Share::All {
            return self.add(bytes);
        }
        self.clear();
        while let Some((len, rest)) = bytes.split_first_chunk::<8>() {
            let (piece, rest) = rest.split_at(u64::from_le_bytes(*len) as usize);
            self.add(piece)?;
            bytes = rest;
        }
        Ok(())
    }
}
