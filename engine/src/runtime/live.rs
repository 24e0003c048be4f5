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
    /// The next block of each source.
    pub(crate) fn blocks(&self) -> Vec<u64> {
        self.sources.iter().map(|source| source.block).collect()
    }
}
