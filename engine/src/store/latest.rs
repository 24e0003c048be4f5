//! The latest time that an operator has come to.

use crate::store::pieces::split_records;
use crate::store::{PieceWriter, Scope, Share, Store, StoreError, StoreKind};
use crate::{Layout, Record, Slot, Timestamp};
use std::ops::Range;

/// A time that grows, and of which each worker may know an earlier one: the latest of those that are restored is true of
/// all.
#[derive(Debug)]
pub(crate) struct Latest {
    time: Timestamp,
    /// What it was at the mark, until it is written.
    marked: Option<Timestamp>,
}

impl Latest {
    /// Before all times.
    pub(crate) const fn new() -> Self {
        Self { time: Timestamp::MIN, marked: None }
    }

    pub(crate) const fn get(&self) -> Timestamp {
        self.time
    }

    /// It has come to this at least.
    pub(crate) fn reach(&mut self, time: Timestamp) {
        self.time = self.time.max(time);
    }
}

impl Store for Latest {
    fn kind(&self) -> StoreKind {
        StoreKind::Value
    }

    fn layout(&self) -> Layout {
        Timestamp::layout()
    }

    fn bytes(&self) -> usize {
        size_of::<Timestamp>()
    }

    fn mark(&mut self, _: Scope) {
        self.marked = Some(self.time);
    }

    fn save(&mut self, out: &mut PieceWriter<'_>) -> bool {
        if !out.has_room() {
            return self.marked.is_none();
        }
        if let Some(time) = self.marked.take() {
            // A record of 8 bytes, as all workers have one of their own: what is alike is dealt out once.
            out.write(Share::Keys, &[&8u32.to_le_bytes()[..], &time.as_nanos().to_le_bytes()].concat());
        }
        true
    }

    fn restore(&mut self, share: Share, piece: &[u8], _: &Range<Slot>) -> Result<(), StoreError> {
        let (_, mut records) = split_records(piece, 0)?;
        match (share, records.next().map(<[u8; 8]>::try_from), records.next()) {
            (Share::Keys, Some(Ok(nanos)), None) => self.reach(Timestamp::from_nanos(i64::from_le_bytes(nanos))),
            _ => return Err(StoreError::misfit("no time")),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
