//! What the index of a bounded source says, over the events that the job takes, and whether it is true.

use crate::progress::jumps::{JumpLimit, SourceClock};
use crate::runtime::source::BlockReader;
use crate::{BlockSummary, BoxError, Event, Timestamp};
use std::collections::BTreeMap;
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

/// What is known of a bounded source before it is read, over the events in range.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// `None` for a block that has none.
    pub(crate) summaries: Vec<Option<BlockSummary>>,
    /// The largest time before each block, and behind the last, without jumps that were not believed. Of a feed none.
    pub(crate) largest: Vec<Timestamp>,
    /// The blocks that have events which may jump.
    judged: BTreeMap<usize, Judged>,
}

#[derive(Debug)]
struct Judged {
    /// Before the block.
    source: SourceClock,
    /// Of the events that moved the clock, or might have.
    moving: Option<BlockSummary>,
}

impl Index {
    /// Whether any event of a block may jump. Of the others, all that matters is in the index.
    pub(crate) fn may_jump(&self, block: usize) -> bool {
        self.judged.contains_key(&block)
    }

    /// Where event time stands before a block.
    pub(crate) fn before(&self, block: usize) -> SourceClock {
        let largest = self.largest.get(block).copied().unwrap_or(Timestamp::MAX);
        // Where no event may jump, it does not matter how many in a row did.
        self.judged.get(&block).map_or(SourceClock::at(largest), |judged| judged.source)
    }

    /// The summary of a block without the events that jumped and did not move the clock.
    pub(crate) fn moving(&self, block: usize) -> Option<BlockSummary> {
        match self.judged.get(&block) {
            Some(judged) => judged.moving,
            None => self.summaries.get(block).copied().flatten(),
        }
    }

    /// Takes the index of a source over the events in range. Blocks in which events may jump are read once, in order.
    ///
    /// # Errors
    /// When such a block cannot be read, or does not fit its summary.
    pub(crate) fn new<T: Event>(
        summaries: Vec<Option<BlockSummary>>,
        range: &RangeInclusive<Timestamp>,
        jumps: JumpLimit,
        reader: impl FnOnce() -> Result<Box<dyn BlockReader<T>>, BoxError>,
    ) -> Result<Self, BoxError> {
        let (mut largest, mut judged) = (Vec::with_capacity(summaries.len() + 1), BTreeMap::new());
        let mut source = SourceClock::START;
        let (mut make_reader, mut reader) = (Some(reader), None);
        for (number, summary) in summaries.iter().enumerate() {
            largest.push(source.largest);
            let Some(summary) = summary else { continue };
            if !jumps.may_jump(source.largest, (summary.min, summary.max)) {
                source.take_all(summary.max);
                continue;
            }
            if let Some(make) = make_reader.take() {
                reader = Some(make()?);
            }
            let Some(reader) = &mut reader else { break };
            let before = source;
            let moving = judge(reader.as_mut(), number, *summary, range, |time| source.take(time, jumps))?;
            judged.insert(number, Judged { source: before, moving });
        }
        largest.push(source.largest);
        Ok(Self { summaries, largest, judged })
    }
}

/// Reads a block whose events in `range` have this summary, and gives their times to `is_jump`; the summary of those
/// that did not jump.
fn judge<T: Event>(
    reader: &mut dyn BlockReader<T>,
    block: usize,
    summary: BlockSummary,
    range: &RangeInclusive<Timestamp>,
    mut is_jump: impl FnMut(Timestamp) -> bool,
) -> Result<Option<BlockSummary>, BoxError> {
    reader.load(block)?;
    countable(block, reader.events())?;
    let (mut seen, mut moving) = (None, None);
    for time in reader.events().iter().map(Event::time).filter(|time| range.contains(time)) {
        see(&mut seen, time, time, 1);
        if !is_jump(time) {
            see(&mut moving, time, time, 1);
        }
    }
    check(block, Some(summary), seen)?;
    Ok(moving)
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
