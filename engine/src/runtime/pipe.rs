//! One source on one worker: loads blocks, judges each event's time, and gives the events on.
//!
//! Batches of a block take the fast way when all their times are in range and on time, which one
//! pass over the times finds out. Otherwise the batch is cut where an event is rejected, or lies
//! behind the watermark at its own place; such an event goes alone and carries that watermark.

use crate::base::prefetch::Ahead;
use crate::progress::mark::BlockMark;
use crate::progress::place::{Place, Places};
use crate::progress::watermark::{WatermarkTracker, Watermarks};
use crate::runtime::metrics::{StepCounters, add};
use crate::runtime::outlet::{FanOut, Outlet, Rows, extremes};
use crate::runtime::source::{BlockReader, Feed, Polled};
use crate::runtime::symbols::SourceSymbols;
use crate::{BlockSummary, BoxError, Event, Timestamp};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Events that are given on at once: those of 32 bytes stay in the first-level cache.
const BATCH: usize = 1024;

/// What a step over a block did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockStep {
    /// Events were given on, or rejected; there are more.
    Made,
    /// The next event's time has not come yet.
    Waiting,
    /// The block is at its end.
    Done,
}

/// A source on one worker, whatever its events are.
pub(crate) trait SourcePipe {
    fn name(&self) -> &Arc<str>;
    fn is_ready(&mut self) -> bool;
    /// Where in memory the events of a block to come lie, if that is known of them.
    fn address(&self, block: usize) -> Option<usize>;
    /// Makes a block of a bounded source the current one; the worker's next one likely lies at `next`.
    fn load(&mut self, block: usize, next: Option<usize>) -> Result<(), BoxError>;
    /// Polls a feed for at most `room` events; what came is the current block, `ordinal` in the job's order.
    fn poll(&mut self, room: usize, ordinal: u64) -> Result<Polled, BoxError>;
    /// Events that a feed has accepted and that were not polled.
    fn backlog(&self) -> usize;
    /// The number of events in the current block.
    fn block_events(&self) -> usize;
    /// Gives on some of the current block, which is `ordinal` in the job's order.
    fn step(&mut self, ordinal: u64, now: &dyn Fn() -> Duration) -> Result<BlockStep, BoxError>;
    /// The place of the next event of the current block.
    fn place(&self, ordinal: u64) -> Place;
    /// Passes over a block that another worker reads.
    fn skip(&mut self, block: usize);
    /// Gives on the end of block `ordinal`, of whichever source it is.
    fn mark(&mut self, ordinal: u64, last: bool);
    /// Marks a feed as idle, or not.
    fn set_idle(&mut self, idle: bool);
    fn is_idle(&self) -> bool;
    fn idle_after(&self) -> Option<Duration>;
    /// As of an outlet.
    fn frontier(&mut self, place: Place) -> bool;
    fn end(&mut self);
}

/// Where a pipe's blocks come from.
pub(crate) enum PipeInput<T> {
    Blocks {
        reader: Box<dyn BlockReader<T>>,
        /// In-range summaries; `None` for a block without an event in range.
        summaries: Arc<Vec<Option<BlockSummary>>>,
    },
    Feed {
        feed: Box<dyn Feed<T>>,
        block_events: usize,
        /// Rejected input that is counted already.
        rejected: u64,
    },
    /// A source that this worker does not read.
    Elsewhere,
}

/// How fast events are released.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) speed: f64,
    /// The event time that is released at the job's start; a feed's first event sets it.
    pub(crate) base: Option<Timestamp>,
    pub(crate) start: Duration,
}

/// What a pipe is made of.
pub(crate) struct PipeParts<T> {
    pub(crate) input: PipeInput<T>,
    pub(crate) outlet: FanOut<T>,
    pub(crate) watermarks: Watermarks,
    pub(crate) times: RangeInclusive<Timestamp>,
    pub(crate) pace: Option<Pace>,
    pub(crate) symbols: SourceSymbols,
    pub(crate) counters: Arc<StepCounters>,
    pub(crate) worker: usize,
}

pub(crate) struct Pipe<T: Event> {
    parts: PipeParts<T>,
    tracker: WatermarkTracker,
    idle: bool,
    /// The current block, where it had to be copied: a feed's, or one with foreign symbols.
    copy: Vec<T>,
    copied: bool,
    /// Events of the current block before this one are done with.
    position: usize,
    /// The times of the events `batch_start .. batch_start + times.len()`.
    times: Vec<Timestamp>,
    batch_start: usize,
    /// Whether the batch is in range and on time as a whole.
    clean: bool,
    /// The smallest and the largest time of the batch.
    bounds: (Timestamp, Timestamp),
    /// In-range events of the current block.
    seen: Option<BlockSummary>,
    expected: Option<BlockSummary>,
    block: usize,
    /// From the current block's events to those of the next.
    ahead: Ahead,
}

impl<T: Event> Pipe<T> {
    pub(crate) fn new(parts: PipeParts<T>) -> Self {
        Self {
            tracker: WatermarkTracker::new(&parts.watermarks.kind),
            parts,
            idle: false,
            copy: Vec::new(),
            copied: false,
            position: 0,
            times: Vec::with_capacity(BATCH),
            batch_start: 0,
            clean: false,
            bounds: (Timestamp::MAX, Timestamp::MIN),
            seen: None,
            expected: None,
            block: 0,
            ahead: Ahead::NONE,
        }
    }

    fn begin_block(&mut self) {
        self.position = 0;
        self.times.clear();
        self.batch_start = 0;
        self.seen = None;
    }

    /// Checks the symbols of a copied block and changes them into the job's, where they differ.
    fn translate_symbols(&mut self) -> Result<(), BoxError> {
        if self.parts.symbols.changes() {
            self.parts.symbols.check(&self.copy, (self.block, 0), &self.parts.times)?;
            self.parts.symbols.change(&mut self.copy);
        }
        Ok(())
    }

    fn see(&mut self, min: Timestamp, max: Timestamp, count: u32) {
        self.tracker.see(max);
        let seen = self.seen.get_or_insert(BlockSummary { count: 0, min, max });
        seen.min = seen.min.min(min);
        seen.max = seen.max.max(max);
        seen.count += count;
    }
}

/// The events of the current block. A function of fields, so that others can be changed meanwhile.
fn events<'a, T: Event>(input: &'a PipeInput<T>, copy: &'a [T], copied: bool) -> &'a [T] {
    match input {
        PipeInput::Blocks { reader, .. } if !copied => reader.events(),
        _ => copy,
    }
}

impl<T: Event> SourcePipe for Pipe<T> {
    fn name(&self) -> &Arc<str> {
        &self.parts.counters.name
    }

    fn is_ready(&mut self) -> bool {
        self.parts.outlet.is_ready()
    }

    fn address(&self, block: usize) -> Option<usize> {
        let PipeInput::Blocks { reader, .. } = &self.parts.input else { return None };
        let upcoming = reader.upcoming(block);
        (!upcoming.is_empty()).then(|| upcoming.as_ptr().addr())
    }

    fn load(&mut self, block: usize, next: Option<usize>) -> Result<(), BoxError> {
        self.begin_block();
        self.block = block;
        self.copied = self.parts.symbols.changes();
        if let PipeInput::Blocks { reader, summaries } = &mut self.parts.input {
            reader.load(block)?;
            countable(block, reader.events())?;
            self.expected = summaries.get(block).copied().flatten();
            if self.copied {
                self.copy.clear();
                self.copy.extend_from_slice(reader.events());
            }
        }
        if self.copied {
            self.translate_symbols()?;
        }
        let rows = events(&self.parts.input, &self.copy, self.copied);
        self.ahead = next.map_or(Ahead::NONE, |next| Ahead::from_rows(rows, next));
        Ok(())
    }

    fn backlog(&self) -> usize {
        match &self.parts.input {
            PipeInput::Feed { feed, .. } => feed.backlog(),
            PipeInput::Blocks { .. } | PipeInput::Elsewhere => 0,
        }
    }

    fn block_events(&self) -> usize {
        events(&self.parts.input, &self.copy, self.copied).len()
    }

    fn poll(&mut self, room: usize, ordinal: u64) -> Result<Polled, BoxError> {
        self.begin_block();
        self.block = ordinal as usize;
        self.copied = true;
        self.copy.clear();
        let PipeInput::Feed { feed, block_events, rejected } = &mut self.parts.input else {
            return Ok(Polled::End);
        };
        let polled = feed.poll(room.min(*block_events), &mut self.copy)?;
        let counters = self.parts.counters.of(self.parts.worker);
        let now_rejected = feed.rejected();
        let Some(more) = now_rejected.checked_sub(*rejected) else {
            let words =
                format!("at block {ordinal} its count of rejected input fell from {rejected} to {now_rejected}");
            return Err(words.into());
        };
        add(&counters.rejected, more);
        add(&counters.rows_in, more);
        *rejected = now_rejected;
        if u32::try_from(self.copy.len()).is_err() {
            countable(self.block, &self.copy)?;
        }
        self.translate_symbols()?;
        Ok(match polled {
            Polled::Ready if self.copy.is_empty() => Polled::Pending,
            Polled::Pending if !self.copy.is_empty() => Polled::Ready,
            polled => polled,
        })
    }

    fn step(&mut self, ordinal: u64, now: &dyn Fn() -> Duration) -> Result<BlockStep, BoxError> {
        let block = events(&self.parts.input, &self.copy, self.copied);
        if self.position == block.len() {
            return self.finish_block();
        }
        let counters = self.parts.counters.of(self.parts.worker);
        let range = &self.parts.times;
        if self.position == self.batch_start + self.times.len() {
            self.batch_start = self.position;
            let batch = &block[self.position..block.len().min(self.position + BATCH)];
            if !self.parts.symbols.changes() {
                self.parts.symbols.check(batch, (self.block, self.position), range)?;
            }
            let scan = self.tracker.scan(batch.iter().map(Event::time), &mut self.times);
            self.bounds = (scan.min, scan.max);
            self.clean = !scan.any_behind && range.contains(&scan.min) && range.contains(&scan.max);
        }
        let times = &self.times[self.position - self.batch_start..];
        let released = match &mut self.parts.pace {
            Some(pace) => released(pace, times, range, now()),
            None => times.len(),
        };
        let times = &times[..released];
        if times.is_empty() {
            return Ok(BlockStep::Waiting);
        }
        let watermark = self.tracker.watermark();
        let is_behind = |time: Timestamp, watermark: Timestamp| watermark > Timestamp::MIN && time <= watermark;
        let mut behind = None;
        let count = if self.clean {
            times.len()
        } else if !range.contains(&times[0]) {
            let count = times.iter().take_while(|time| !range.contains(time)).count();
            add(&counters.rows_in, count as u64);
            add(&counters.rejected, count as u64);
            self.position += count;
            return Ok(BlockStep::Made);
        } else if is_behind(times[0], watermark) {
            add(&counters.behind, 1);
            behind = Some(watermark);
            1
        } else {
            self.tracker.on_time_prefix(times, |time| range.contains(&time))
        };
        let times = &times[..count];
        let whole = count == self.times.len();
        let (min, max) = if whole { self.bounds } else { extremes(times).unwrap_or(self.bounds) };
        let bounds = Some((min, max));
        let values = &block[self.position..self.position + count];
        let places = Places::Run { block: ordinal, first: self.position as u64 };
        self.parts.outlet.rows(Rows { times, values, places, bounds, behind, ahead: self.ahead });
        add(&counters.rows_in, count as u64);
        add(&counters.rows_out, count as u64);
        self.position += count;
        self.see(min, max, count as u32);
        Ok(BlockStep::Made)
    }

    fn place(&self, ordinal: u64) -> Place {
        Place::event(ordinal, self.position as u64)
    }

    fn skip(&mut self, block: usize) {
        if let PipeInput::Blocks { summaries, .. } = &self.parts.input
            && let Some(summary) = summaries.get(block).copied().flatten()
        {
            self.tracker.block_end(&summary);
        }
    }

    fn mark(&mut self, ordinal: u64, last: bool) {
        let watermark = if last { Timestamp::MAX } else { self.tracker.watermark() };
        let counters = self.parts.counters.of(self.parts.worker);
        counters.watermark.set(watermark.as_nanos());
        self.parts.outlet.mark(BlockMark { block: ordinal, watermark, idle: self.idle && !last });
    }

    fn set_idle(&mut self, idle: bool) {
        self.idle = idle;
    }

    fn is_idle(&self) -> bool {
        self.idle
    }

    fn idle_after(&self) -> Option<Duration> {
        self.parts.watermarks.idle_after
    }

    fn frontier(&mut self, place: Place) -> bool {
        self.parts.outlet.frontier(place)
    }

    fn end(&mut self) {
        // Whoever reads no more holds nobody back.
        self.parts.counters.of(self.parts.worker).watermark.set(i64::MAX);
        self.parts.outlet.end();
    }
}

impl<T: Event> Pipe<T> {
    fn finish_block(&mut self) -> Result<BlockStep, BoxError> {
        if matches!(self.parts.input, PipeInput::Blocks { .. }) {
            // A block with events out of range counts those that are in it.
            let matches = match (&self.seen, &self.expected) {
                (Some(seen), Some(expected)) => seen == expected,
                (None, None) => true,
                _ => false,
            };
            if !matches {
                return Err(misfit(self.block, self.expected, self.seen).into());
            }
        }
        if let Some(seen) = self.seen {
            self.tracker.block_end(&seen);
        }
        Ok(BlockStep::Done)
    }
}

/// Checks that a block that is lent has events, and no more than can be counted.
fn countable<T>(block: usize, events: &[T]) -> Result<(), BoxError> {
    match u32::try_from(events.len()) {
        Ok(0) => Err(format!("block {block} has no events; a block has at least one").into()),
        Ok(_) => Ok(()),
        Err(_) => Err(format!("block {block} has {} events; a block has at most {}", events.len(), u32::MAX).into()),
    }
}

/// Says that a block's events do not fit its summary.
fn misfit(block: usize, expected: Option<BlockSummary>, found: Option<BlockSummary>) -> String {
    let tell = |summary: Option<BlockSummary>| match summary {
        Some(summary) => format!("{} events from {} to {}", summary.count, summary.min, summary.max),
        None => "no event in range".to_owned(),
    };
    format!("the index says that block {block} has {}, it has {}", tell(expected), tell(found))
}

/// How many of the next events are due. Times out of range are due at once: they are rejected.
fn released(pace: &mut Pace, times: &[Timestamp], range: &RangeInclusive<Timestamp>, now: Duration) -> usize {
    let first = times.iter().find(|time| range.contains(time));
    let base = match (pace.base, first) {
        (Some(base), _) => base,
        (None, Some(first)) => *pace.base.insert(*first),
        (None, None) => return times.len(),
    };
    let elapsed = now.saturating_sub(pace.start).as_secs_f64() * pace.speed;
    // Converting saturates, so that a high speed releases all there is.
    let due = base.plus_nanos((elapsed * 1e9) as i64);
    times.iter().position(|time| *time > due && range.contains(time)).unwrap_or(times.len())
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
            let summary = summary.get_or_insert(BlockSummary { count: 0, min: time, max: time });
            summary.min = summary.min.min(time);
            summary.max = summary.max.max(time);
            summary.count += 1;
        }
        summaries.push(summary);
    }
    Ok(summaries)
}
