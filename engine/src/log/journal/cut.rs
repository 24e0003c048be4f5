//! Cuts the front of a journal: what no checkpoint needs any more is given up, and its room is given back.

use crate::log::error::StateError;
use crate::log::journal::frame::{Arrival, Header, Place, RecordKind};
use crate::log::journal::{Journal, Position, locked};
use crate::log::storage::Storage;
use std::time::Duration;

/// So many bytes are worth cutting, a block of a disk.
const CUT_MIN: u64 = 4096;

/// Whoever gives room back.
pub(super) struct Cutter {
    storage: Box<dyn Storage>,
    /// Where the records are that are kept.
    kept_from: u64,
}

impl Cutter {
    pub(super) fn new(storage: Box<dyn Storage>, kept_from: Option<u64>) -> Self {
        Self { storage, kept_from: kept_from.unwrap_or(0) }
    }
}

/// Appends to `out`, which has the head of a file, the record that says where the records are that are kept.
pub(super) fn put_start(out: &mut Vec<u8>, file_id: u64, kept_from: u64) {
    let place = Place { file_id, offset: out.len() as u64, sequence: 1 };
    put_start_at(out, place, kept_from);
}

fn put_start_at(out: &mut Vec<u8>, place: Place, kept_from: u64) {
    let kind = RecordKind::Start;
    let start = Arrival { kind, source: 0, clock: Duration::ZERO, count: 0, rejected: kept_from, payload: &[] };
    // It says of nothing that it was durable.
    Header::put(out, place, 1, &start);
}

impl Journal {
    /// Finds out whether room can be given back.
    ///
    /// # Errors
    /// When it cannot.
    pub(crate) fn check_cuts(&self) -> Result<(), StateError> {
        let mut cutter = locked(&self.cutter);
        let len = cutter.storage.len().map_err(StateError::io(&self.path, "read the journal"))?;
        let behind = len.next_multiple_of(CUT_MIN);
        cutter.storage.discard(behind, CUT_MIN).map_err(StateError::io(&self.path, "give back room of the journal"))
    }

    /// Where the records are that are kept, in bytes; 0 where none were cut.
    pub(crate) fn kept_from(&self) -> u64 {
        locked(&self.cutter).kept_from
    }

    /// Whether some records were cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.kept_from() > 0
    }

    /// Gives up all records before those that a checkpoint at this place needs: the one before it, behind which it stands,
    /// and all from there on.
    ///
    /// # Errors
    /// When it cannot be written, or room cannot be given back.
    pub(crate) fn cut(&self, at: Position) -> Result<(), StateError> {
        let mut cutter = locked(&self.cutter);
        let kept_from = at.before;
        if kept_from < cutter.kept_from.max(self.first.offset) + CUT_MIN {
            return Ok(());
        }
        let mut start = Vec::new();
        let offset = self.first.before;
        put_start_at(&mut start, Place { file_id: self.file_id, offset, sequence: 1 }, kept_from);
        // Syncs come one after another: whoever comes behind a failed one sees that it failed.
        let mut syncer = locked(&self.syncer);
        self.check_poison()?;
        syncer.storage.write(offset, &start).map_err(|error| self.poison("write to the journal", error))?;
        self.sync(syncer)?;
        cutter.kept_from = kept_from;
        // All that was ever given up: a crash may have come before its room was given back.
        let bytes = kept_from - self.first.offset;
        let first = self.first.offset;
        cutter.storage.discard(first, bytes).map_err(StateError::io(&self.path, "give back room of the journal"))
    }
}
