//! Where sources that are read as they come stand at a barrier.

use crate::Timestamp;
use crate::log::journal::{InputCount, Position};
use crate::progress::jumps::SourceClock;

/// Sources that share an order, of which one at least is a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveSources {
    /// What is read next of the journal.
    pub(crate) position: Position,
    pub(crate) clock: Timestamp,
    pub(crate) sources: Vec<LiveSource>,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LiveSource {
    pub(crate) clock: SourceClock,
    /// The next block of a bounded source.
    pub(crate) block: u64,
    pub(crate) has_ended: bool,
    pub(crate) is_idle: bool,
    /// What was taken of a feed.
    pub(crate) count: InputCount,
}

impl LiveSources {
    /// Whether nothing will come of them any more.
    pub(crate) fn are_over(&self) -> bool {
        self.sources.iter().all(|source| source.has_ended)
    }

    /// From where on the journal is read for all of these: where those stand that are not over and stand farthest in
    /// front. Where all are over, none reads anything, and it is where the last of them stood.
    pub(crate) fn needed<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Option<Position> {
        let running = all.clone().filter(|live| !live.are_over());
        let first = running.min_by_key(|live| live.position.sequence);
        first.or_else(|| all.max_by_key(|live| live.position.sequence)).map(|live| live.position)
    }

    /// The next block of each source.
    pub(crate) fn blocks(&self) -> Vec<u64> {
        self.sources.iter().map(|source| source.block).collect()
    }
}
