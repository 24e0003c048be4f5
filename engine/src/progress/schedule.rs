//! The block order: which block of which source comes when, and which worker reads it.
//!
//! Bounded sources merge by (largest time up to and in the block, source), and block `b` of the
//! merged order is read by worker `b mod N`: each worker computes the same order for itself. Where a
//! source is a feed, the first worker reads everything and numbers blocks as they arrive.

use crate::BlockSummary;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

/// One block of the merged order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) source: u32,
    pub(crate) block: u32,
}

/// Merges the blocks of bounded sources into one order.
pub(crate) fn merge_blocks(sources: &[Vec<BlockSummary>]) -> Vec<Entry> {
    if let [single] = sources {
        return (0..single.len() as u32).map(|block| Entry { source: 0, block }).collect();
    }
    let mut order = Vec::with_capacity(sources.iter().map(Vec::len).sum());
    let mut heads: BinaryHeap<_> = sources
        .iter()
        .enumerate()
        .filter_map(|(source, blocks)| blocks.first().map(|block| Reverse((block.max, source, 0usize))))
        .collect();
    while let Some(Reverse((largest, source, block))) = heads.pop() {
        order.push(Entry { source: source as u32, block: block as u32 });
        if let Some(next) = sources[source].get(block + 1) {
            heads.push(Reverse((largest.max(next.max), source, block + 1)));
        }
    }
    order
}

/// Where the order is cut when a job is stopped before its end: shared by the workers.
#[derive(Debug)]
pub(crate) struct Cut(Mutex<CutState>);

#[derive(Debug)]
struct CutState {
    /// Blocks from this one on are not read.
    end: u64,
    /// One more than the last block that a worker has begun.
    begun: u64,
}

impl Cut {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(CutState { end: u64::MAX, begun: 0 }))
    }

    /// Asks to begin `block`; `Err` gives the end of the order, which is at or before it.
    pub(crate) fn begin(&self, block: u64) -> Result<(), u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if block >= state.end {
            return Err(state.end);
        }
        state.begun = state.begun.max(block + 1);
        Ok(())
    }

    /// Ends the order behind the last block that a worker has begun.
    pub(crate) fn stop(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.end = state.end.min(state.begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn blocks(maxima: &[i64]) -> Vec<BlockSummary> {
        let summary = |&max: &i64| BlockSummary { count: 1, min: Timestamp::MIN, max: Timestamp::from_nanos(max) };
        maxima.iter().map(summary).collect()
    }

    #[test]
    fn sources_merge_by_largest_time_and_keep_their_own_order() {
        let order = merge_blocks(&[blocks(&[5, 3, 9]), blocks(&[4, 5, 6])]);
        let pairs: Vec<_> = order.iter().map(|entry| (entry.source, entry.block)).collect();
        assert_eq!(pairs, [(1, 0), (0, 0), (0, 1), (1, 1), (1, 2), (0, 2)]);
    }

    #[test]
    fn a_cut_stands_behind_every_block_that_was_begun() {
        let cut = Cut::new();
        assert_eq!(cut.begin(0), Ok(()));
        assert_eq!(cut.begin(3), Ok(()));
        cut.stop();
        assert_eq!(cut.begin(2), Ok(()));
        assert_eq!(cut.begin(4), Err(4));
    }
}
