//! Operators of tests that are a store themselves and write all they have each time.

use crate::{Layout, PieceWriter, Record, Scope, Share, Slot, Store, StoreError, StoreKind};
use std::ops::Range;

/// A piece that is marked.
pub(super) type Marked = (Share, Vec<u8>);

/// An operator whose state is a few pieces.
pub(super) trait Whole {
    /// All there is.
    fn pieces(&self) -> Vec<(Slot, Vec<u8>)>;
    /// What was marked and is not written yet.
    fn marked(&mut self) -> &mut Vec<Marked>;
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

    fn mark(&mut self, scope: Scope) {
        let pieces = self.pieces();
        *self.marked() = match scope {
            Scope::All => pieces.into_iter().map(|(slot, bytes)| (Share::Slot(slot), bytes)).collect(),
            Scope::Changed => {
                let framed = |(_, bytes): &(Slot, Vec<u8>)| [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat();
                vec![(Share::All, pieces.iter().flat_map(framed).collect::<Vec<u8>>())]
            }
        };
    }

    fn save(&mut self, out: &mut PieceWriter<'_>) -> bool {
        while out.has_room()
            && let Some((share, bytes)) = self.marked().pop()
        {
            out.write(share, &bytes);
        }
        self.marked().is_empty()
    }

    fn restore(&mut self, share: Share, mut bytes: &[u8], _: &Range<Slot>) -> Result<(), StoreError> {
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
