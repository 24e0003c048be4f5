//! Control beside the data: each mark holds at its position in an edge.

use crate::Timestamp;
use crate::progress::place::Place;

/// What travels beside the rows of an edge.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    /// No row below this place will come on this edge, and the clock has come to that of the place. At the end of all
    /// places nothing more will come.
    Frontier(Place),
    /// The rows up to the next mark lie behind their source's watermark; the clock before each is this. For edges
    /// whose rows do not carry the clock themselves.
    Behind(Timestamp),
    /// The rows from here on are on time again.
    OnTime,
    /// A checkpoint is taken here.
    Barrier(Barrier),
}

/// Where a checkpoint cuts the job's order: what stands below the place is in it, and nothing else is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Barrier {
    /// The number of the checkpoint; they grow.
    pub(crate) epoch: u64,
    pub(crate) place: Place,
    /// Whether all state is written, and not only what changed.
    pub(crate) is_whole: bool,
}
