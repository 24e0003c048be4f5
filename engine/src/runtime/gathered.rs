//! The events of one source in a unit of several sources: which of its blocks they come from, and where they stand.

use crate::progress::jumps::JumpLimit;
use crate::progress::order::Seq;
use crate::runtime::source::BlockReader;
use crate::runtime::summaries::{self, Index};
use crate::{BoxError, Event, Timestamp};
use std::ops::{Range, RangeInclusive};

/// The order of a source's events in a unit of several sources.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// The largest time in the source up to each event, without jumps that were not believed.
    pub(crate) largest: Vec<Timestamp>,
    /// Whether an event may jump.
    pub(crate) may_jump: bool,
    /// Where each event stands in the unit.
    pub(crate) seqs: Vec<Seq>,
    pub(crate) positions: Vec<u64>,
    /// The clock before each event.
    pub(crate) clocks: Vec<Timestamp>,
    /// Where a generator says what the clock of the source is: before the first event of the unit, and behind each.
    pub(crate) generated: Option<(Timestamp, Vec<Timestamp>)>,
}

impl Gathered {
    /// The clock before the event at this position of the unit.
    pub(crate) fn next_clock(&self, position: u64) -> Timestamp {
        let event = self.positions.partition_point(|other| *other < position);
        self.clocks.get(event).copied().unwrap_or(Timestamp::MIN)
    }

    /// Whether some of these events may jump; then `reached` gets the largest time up to each.
    pub(crate) fn jumps(&self, events: Range<usize>, reached: &mut Vec<Timestamp>) -> bool {
        if self.may_jump {
            reached.clear();
            reached.extend_from_slice(&self.largest[events]);
        }
        self.may_jump
    }

    pub(crate) fn clear(&mut self) {
        self.largest.clear();
        self.may_jump = false;
        self.seqs.clear();
        self.positions.clear();
        self.clocks.clear();
        self.generated = None;
    }

    /// Where a generator leaves the clock, once so many events of the unit have been passed.
    pub(crate) fn generated_clock(&self, passed: usize) -> Timestamp {
        match &self.generated {
            None => Timestamp::MAX,
            Some((before, behind)) => passed.checked_sub(1).map_or(*before, |last| behind[last]),
        }
    }
}

/// The block that events were last gathered from.
pub(crate) struct GatheredBlock {
    pub(crate) number: usize,
    /// The largest time in the source up to each event, without jumps that were not believed.
    pub(crate) largest: Vec<Timestamp>,
    /// Whether an event may jump.
    pub(crate) may_jump: bool,
    /// Where a generator leaves the clock behind each event.
    pub(crate) generated: Vec<Timestamp>,
}

impl GatheredBlock {
    /// Reads a block, of which the events in `range` count; `largest` is memory to use.
    ///
    /// # Errors
    /// When it cannot be read, or does not fit its summary.
    pub(crate) fn read<T: Event>(
        reader: &mut dyn BlockReader<T>,
        index: &Index,
        number: usize,
        (range, jumps): (&RangeInclusive<Timestamp>, JumpLimit),
        mut largest: Vec<Timestamp>,
    ) -> Result<Self, BoxError> {
        reader.load(number)?;
        summaries::countable(number, reader.events())?;
        largest.clear();
        let may_jump = index.may_jump(number);
        let (mut source, mut seen) = (index.before(number), None);
        for event in reader.events() {
            let time = event.time();
            if range.contains(&time) {
                if may_jump {
                    source.take(time, jumps);
                } else {
                    source.largest = source.largest.max(time);
                }
                summaries::see(&mut seen, time, time, 1);
            }
            largest.push(source.largest);
        }
        summaries::check(number, index.summaries.get(number).copied().flatten(), seen)?;
        Ok(Self { number, largest, may_jump, generated: Vec::new() })
    }
}
