//! What the index of a bounded source says, over the events that the job takes, and whether it is true.

use crate::runtime::source::BlockReader;
use crate::{BlockSummary, BoxError, Event, Timestamp};
use std::ops::RangeInclusive;

/// Holds what was seen of a block against its summary.
///
/// # Errors
/// When they differ. A block with events out of range counts those that are in it.
pub(crate) fn check(block: usize, expected: Option<BlockSummary>, seen: Option<BlockSummary>) -> Result<(), BoxError> {
    if expected == seen { Ok(()) } else { Err(misfit(block, expected, seen).into()) }
}

/// Checks that a block that is lent has events, and no more than can be counted.
///
/// # Errors
/// When it does not.
pub(crate) fn countable<T>(block: usize, events: &[T]) -> Result<(), BoxError> {
    match u32::try_from(events.len()) {
        Ok(0) => Err(format!("block {block} has no events; a block has at least one").into()),
        Ok(_) => Ok(()),
        Err(_) => Err(format!("block {block} has {} events; a block has at most {}", events.len(), u32::MAX).into()),
    }
}

/// Takes a time into a summary.
pub(crate) fn see(seen: &mut Option<BlockSummary>, min: Timestamp, max: Timestamp, count: u32) {
    let seen = seen.get_or_insert(BlockSummary { count: 0, min, max });
    seen.min = seen.min.min(min);
    seen.max = seen.max.max(max);
    seen.count += count;
}

/// Says that a block's events do not fit its summary.
fn misfit(block: usize, expected: Option<BlockSummary>, found: Option<BlockSummary>) -> String {
    let tell = |summary: Option<BlockSummary>| match summary {
        Some(summary) => format!("{} events from {} to {}", summary.count, summary.min, summary.max),
        None => "no event in range".to_owned(),
    };
    format!("the index says that block {block} has {}, it has {}", tell(expected), tell(found))
}

/// The summaries of a bounded source over the events in range, `None` for a block that has none.
///
/// Only blocks whose index reaches beyond the range are read.
pub(crate) fn summaries_in_range<T: Event>(
    blocks: &[BlockSummary],
    range: &RangeInclusive<Timestamp>,
    reader: impl FnOnce() -> Result<Box<dyn BlockReader<T>>, BoxError>,
) -> Result<Vec<Option<BlockSummary>>, BoxError> {
    if let Some(number) = blocks.iter().position(|block| block.count == 0) {
        return Err(format!("the index says that block {number} has no events; a block has at least one").into());
    }
    let in_range = |block: &BlockSummary| range.contains(&block.min) && range.contains(&block.max);
    if blocks.iter().all(in_range) {
        return Ok(blocks.iter().copied().map(Some).collect());
    }
    let mut reader = reader()?;
    let mut summaries = Vec::with_capacity(blocks.len());
    for (number, block) in blocks.iter().enumerate() {
        if in_range(block) {
            summaries.push(Some(*block));
            continue;
        }
        reader.load(number)?;
        countable(number, reader.events())?;
        // As for the blocks in range, whose events are compared when they are read.
        if let Some(found) = BlockSummary::of(reader.events()).filter(|found| found != block) {
            return Err(misfit(number, Some(*block), Some(found)).into());
        }
        let mut summary: Option<BlockSummary> = None;
        for time in reader.events().iter().map(Event::time).filter(|time| range.contains(time)) {
            see(&mut summary, time, time, 1);
        }
        summaries.push(summary);
    }
    Ok(summaries)
}
