//! How far the front of the journal may be cut: up to where the oldest checkpoint stands that is needed.

use crate::log::Kept;
use crate::log::journal::Position;
use crate::runtime::state::JournalKeep;
use std::collections::VecDeque;

/// Where checkpoints stand in the journal, as far as that is known.
pub(crate) struct JournalCuts {
    keep: JournalKeep,
    /// By epoch, which grow.
    positions: VecDeque<(u64, Position)>,
}

impl JournalCuts {
    /// `from` is the checkpoint that the job goes on from.
    pub(crate) fn new(keep: JournalKeep, from: Option<(u64, Position)>) -> Self {
        Self { keep, positions: from.into_iter().collect() }
    }

    /// A checkpoint was committed that stands here.
    pub(crate) fn committed(&mut self, epoch: u64, position: Option<Position>) {
        if self.keep == JournalKeep::Checkpoints {
            self.positions.extend(position.map(|position| (epoch, position)));
        }
    }

    /// Where the oldest checkpoint stands that is needed: of those that are kept, the newest last, the first that is no
    /// savepoint, or any behind it. `None` where nothing may be cut, as it is not known where all of them stand.
    pub(crate) fn needed(&mut self, kept: &[Kept]) -> Option<Position> {
        if self.keep == JournalKeep::All {
            return None;
        }
        let oldest = kept.iter().find(|kept| !kept.is_savepoint).or(kept.first())?.epoch;
        self.positions.retain(|(epoch, _)| *epoch >= oldest);
        let mut needed = kept.iter().filter(|kept| kept.epoch >= oldest);
        let is_known = |kept: &Kept| self.positions.iter().any(|(epoch, _)| *epoch == kept.epoch);
        let position = self.positions.front()?.1;
        needed.all(is_known).then_some(position)
    }
}
