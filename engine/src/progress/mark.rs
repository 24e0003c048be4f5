//! Control beside the data: each mark holds at its position in an edge.

use crate::Timestamp;
use crate::progress::place::Place;

/// What travels beside the rows of an edge.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    /// The next row lies behind the watermark at its own place, which is this.
    Behind(Timestamp),
    /// No row below this place will come on this edge.
    Frontier(Place),
    /// A block has ended.
    BlockEnd(BlockMark),
    /// Nothing more will come on this edge.
    End,
}

/// The end of a block, and the watermark that holds there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockMark {
    pub(crate) block: u64,
    /// No row at or below this time will come on time.
    pub(crate) watermark: Timestamp,
    /// The source is idle: its watermark holds nobody back.
    pub(crate) idle: bool,
}

impl BlockMark {
    /// Behind all blocks: what senders held back to the end leaves here.
    pub(crate) const LAST: Self = Self { block: u64::MAX - 1, watermark: Timestamp::MAX, idle: false };

    pub(crate) const fn place(&self) -> Place {
        Place::block_end(self.block)
    }
}
