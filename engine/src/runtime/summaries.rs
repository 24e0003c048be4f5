//! What the index of a bounded source says, over the events that the job takes, and whether it is true.

use crate::progress::jumps::{JumpLimit, SourceClock};
use crate::progress::place::watermark_at;
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

/// Many blocks are at least one in so many.
const BEHIND_SHARE: usize = 16;

/// What is known of a bounded source before it is read, over the events in range.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// `None` for a block that has none.
    pub(crate) summaries: Vec<Option<BlockSummary>>,
    /// The largest time before each block, and behind the last, without jumps that were not believed. Of a feed none.
    pub(crate) largest: Vec<Timestamp>,
    /// The blocks that have events which may jump, and where event time stands before each.
    judged: BTreeMap<usize, SourceClock>,
}

impl Index {
    /// Whether any event of a block may jump. Of the others, all that matters is in the index.
    pub(crate) fn may_jump(&self, block: usize) -> bool {
        self.judged.contains_key(&block)
    }

    /// Whether many blocks begin behind the watermark, which is `bound` and 1 ns behind the largest time before them.
    pub(crate) fn is_behind(&self, bound: i64) -> bool {
        let blocks = self.summaries.iter().zip(&self.largest).skip(1);
        let is_behind = |(block, largest): &(&Option<BlockSummary>, &Timestamp)| {
            block.is_some_and(|block| block.min <= watermark_at(**largest, bound))
        };
        blocks.filter(is_behind).count() * BEHIND_SHARE > self.summaries.len()
    }

    /// Where event time stands before a block.
    pub(crate) fn before(&self, block: usize) -> SourceClock {
        let largest = self.largest.get(block).copied().unwrap_or(Timestamp::MAX);
        // Where no event may jump, it does not matter how many in a row did.
        self.judged.get(&block).copied().unwrap_or(SourceClock::at(largest))
    }

    /// Takes the index of a source over the events in range, with what the source itself tells of its watermark, which is
    /// `bound` and 1 ns behind the largest time. Blocks in which events may jump are read once, in order.
    ///
    /// # Errors
    /// When such a block cannot be read, or does not fit its summary.
    pub(crate) fn new<T: Event>(
        summaries: Vec<Option<BlockSummary>>,
        (told, bound): (&[(usize, Timestamp)], i64),
        (range, jumps): (&RangeInclusive<Timestamp>, JumpLimit),
        reader: impl FnOnce() -> Result<Box<dyn BlockReader<T>>, BoxError>,
    ) -> Result<Self, BoxError> {
        let (mut largest, mut judged) = (Vec::with_capacity(summaries.len() + 1), BTreeMap::new());
        let mut source = SourceClock::START;
        let (mut make_reader, mut reader) = (Some(reader), None);
        let mut told = told.iter().peekable();
        for (number, summary) in summaries.iter().enumerate() {
            while let Some((_, watermark)) = told.next_if(|(block, _)| *block <= number) {
                source.raise(*watermark, bound);
            }
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
            judge(reader.as_mut(), number, *summary, range, |time| _ = source.take(time, jumps))?;
            judged.insert(number, before);
        }
        largest.push(source.largest);
        Ok(Self { summaries, largest, judged })
    }
}

/// Reads a block whose events in `range` have this summary, and gives their times to `take`.
fn judge<T: Event>(
    reader: &mut dyn BlockReader<T>,
    block: usize,
    summary: BlockSummary,
    range: &RangeInclusive<Timestamp>,
    mut take: impl FnMut(Timestamp),
) -> Result<(), BoxError> {
    reader.load(block)?;
    countable(block, reader.events())?;
    let mut seen = None;
    for time in reader.events().iter().map(Event::time).filter(|time| range.contains(time)) {
        see(&mut seen, time, time, 1);
        take(time);
    }
    check(block, Some(summary), seen)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[derive(Clone, Copy, Event)]
    #[repr(C)]
    struct Tick {
        #[event(time)]
        time_ns: i64,
    }

    /// Lends blocks and remembers which.
    struct Noted {
        blocks: Vec<Vec<Tick>>,
        current: usize,
        loaded: Rc<RefCell<Vec<usize>>>,
    }

    impl BlockReader<Tick> for Noted {
        fn load(&mut self, block: usize) -> Result<(), BoxError> {
            self.current = block;
            self.loaded.borrow_mut().push(block);
            Ok(())
        }
        fn events(&self) -> &[Tick] {
            &self.blocks[self.current]
        }
    }

    const LIMIT: JumpLimit = JumpLimit { max_ns: 100, believed_after: 3 };

    /// The index of these blocks without the events at negative times, and the blocks that were read for it.
    fn index(blocks: &[&[i64]], change: impl Fn(&mut BlockSummary)) -> (Result<Index, BoxError>, Vec<usize>) {
        index_of_told(blocks, &[], change)
    }

    /// The same where the source tells watermarks, of a bound of 5 ns.
    fn index_of_told(
        blocks: &[&[i64]],
        told: &[(usize, i64)],
        change: impl Fn(&mut BlockSummary),
    ) -> (Result<Index, BoxError>, Vec<usize>) {
        let told: Vec<_> = told.iter().map(|(block, nanos)| (*block, Timestamp::from_nanos(*nanos))).collect();
        let range = Timestamp::from_nanos(0)..=Timestamp::from_nanos(i64::MAX - 1);
        let ticks = |times: &&[i64]| times.iter().map(|&time_ns| Tick { time_ns }).collect();
        let blocks: Vec<Vec<Tick>> = blocks.iter().map(ticks).collect();
        let summary = |block: &Vec<Tick>| {
            let kept: Vec<_> = block.iter().filter(|tick| tick.time_ns >= 0).copied().collect();
            let mut summary = BlockSummary::of(&kept)?;
            change(&mut summary);
            Some(summary)
        };
        let (summaries, loaded) = (blocks.iter().map(summary).collect(), Rc::default());
        let reader = Noted { blocks, current: 0, loaded: Rc::clone(&loaded) };
        let index = Index::new(summaries, (&told, 5), (&range, LIMIT), || Ok(Box::new(reader)));
        let loaded = loaded.take();
        (index, loaded)
    }

    #[test]
    fn only_blocks_in_which_events_may_jump_are_read_and_they_in_their_order() {
        let check = |blocks: &[&[i64]], largest: &[i64], read: &[usize]| {
            let (index, loaded) = index(blocks, |_| {});
            let index = index.unwrap();
            let found: Vec<_> = index.largest[1..].iter().map(|time| time.as_nanos()).collect();
            assert_eq!((&*found, &*loaded), (largest, read), "{blocks:?}");
            assert_eq!(index.largest[0], Timestamp::MIN);
            let judged: Vec<_> = (0..blocks.len()).filter(|&block| index.may_jump(block)).collect();
            assert_eq!(judged, read, "{blocks:?}");
        };
        check(&[], &[], &[]);
        check(&[&[5, 90, 40], &[-1], &[190, 100], &[7]], &[90, 90, 190, 190], &[]);
        // A block that only spans more than the limit is read in vain.
        check(&[&[5, 90, 180], &[280]], &[180, 280], &[0]);
        check(&[&[5, 900, 6], &[50]], &[6, 50], &[0]);
        // A row that goes over blocks of which none but the third ends it.
        check(&[&[5], &[900], &[1], &[901, 3], &[-5], &[902], &[903]], &[5, 5, 5, 5, 5, 902, 903], &[1, 3, 5]);
        check(&[&[5], &[900], &[6], &[901], &[902], &[903]], &[5, 5, 6, 6, 6, 903], &[1, 3, 4, 5]);
    }

    #[test]
    fn a_watermark_that_the_source_tells_stands_before_its_block() {
        let told = [(1, 20), (3, 30), (3, 25), (4, 900)];
        let (index, loaded) = index_of_told(&[&[5], &[50], &[-1], &[7], &[6]], &told, |_| {});
        let largest: Vec<_> = index.unwrap().largest[1..].iter().map(|time| time.as_nanos()).collect();
        assert_eq!((&*largest, &*loaded), (&[26, 50, 50, 906, 906][..], &[][..]));
    }

    #[test]
    fn a_block_that_is_read_has_to_fit_its_summary() {
        let (index, loaded) = index(&[&[5, 6]], |summary| summary.max = Timestamp::from_nanos(900));
        let error = index.unwrap_err().to_string();
        let events = |last| format!("2 events from {} to {}", Timestamp::from_nanos(5), Timestamp::from_nanos(last));
        assert_eq!(error, format!("the index says that block 0 has {}, it has {}", events(900), events(6)));
        assert_eq!(loaded, [0]);
    }
}
