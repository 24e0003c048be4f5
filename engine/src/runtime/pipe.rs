//! One source on one worker: loads its events, judges each one's time, and gives the events on.
//!
//! Batches take the fast way when all their times are in range and on time and none can be a jump, which one pass over
//! the times finds out. Otherwise they are cut where events are rejected, and each event carries the clock before it.

mod journaled;
mod parts;

pub(crate) use journaled::JournaledPipe;
pub(crate) use parts::{PipeInput, PipeParts};

use crate::base::prefetch::Ahead;
use crate::progress::generator::GeneratedClock;
use crate::progress::mark::Barrier;
use crate::progress::order::{Clocks, Places};
use crate::progress::place::{Place, watermark_at};
use crate::progress::schedule::{Schedule, UnitEnd};
use crate::progress::watermark::{ClockLimits, WatermarkRules, WatermarkTracker};
use crate::runtime::gathered::{Gathered, GatheredBlock};
use crate::runtime::generated::fold;
use crate::runtime::metrics::{Counts, add};
use crate::runtime::receiver::{Flow, Receiver};
use crate::runtime::rows::{Rows, extremes};
use crate::runtime::source::Polled;
use crate::runtime::source_pipe::{Came, SourcePipe, UnitStep};
use crate::runtime::summaries;
use crate::{BlockSummary, BoxError, Event, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Events that are given on at once: those of 32 bytes stay in the first-level cache.
const BATCH: usize = 1024;

/// What the current unit of a pipe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// The block that the reader lends.
    Block,
    /// A block, or what a feed gave, that was copied.
    Copied,
    /// A part of a unit of several sources, which was copied.
    Gathered,
}

pub(crate) struct Pipe<T: Event> {
    parts: PipeParts<T>,
    tracker: WatermarkTracker<T>,
    /// What the source tells by itself, behind the current unit.
    told: Option<Timestamp>,
    /// Whether the clock before each event is asked for.
    needs_clocks: bool,
    unit: Unit,
    /// The current unit, where it had to be copied.
    copy: Vec<T>,
    gathered: Gathered,
    block: Option<GatheredBlock>,
    /// Events of the current unit before this one are done with.
    position: usize,
    /// The times of the events `batch_start .. batch_start + times.len()`.
    times: Vec<Timestamp>,
    batch_start: usize,
    /// Whether the batch is in range and on time as a whole.
    clean: bool,
    /// The smallest and the largest time of the batch.
    bounds: (Timestamp, Timestamp),
    /// Whether events of the batch may jump. Then the largest time up to each, without jumps that were not believed, and
    /// the event time at which each is given on at a recorded speed: one that jumps does not hold up those behind it.
    jumps: bool,
    reached: Vec<Timestamp>,
    paced: Vec<Timestamp>,
    clocks: Vec<Timestamp>,
    /// In-range events of the current block.
    seen: Option<BlockSummary>,
    /// Its number, and what its summary says.
    expected: Option<(usize, Option<BlockSummary>)>,
    /// From the current block's events to those of the next.
    ahead: Ahead,
}

impl<T: Event> Pipe<T> {
    pub(crate) fn new(parts: PipeParts<T>) -> Self {
        Self {
            tracker: WatermarkTracker::new(&parts.watermarks, parts.jumps),
            told: None,
            needs_clocks: parts.outlet.needs().clocks,
            parts,
            unit: Unit::Block,
            copy: Vec::new(),
            gathered: Gathered::default(),
            block: None,
            position: 0,
            times: Vec::with_capacity(BATCH),
            batch_start: 0,
            clean: false,
            bounds: (Timestamp::MAX, Timestamp::MIN),
            jumps: false,
            reached: Vec::new(),
            paced: Vec::new(),
            clocks: Vec::new(),
            seen: None,
            expected: None,
            ahead: Ahead::NONE,
        }
    }

    fn begin_unit(&mut self, unit: Unit) {
        self.unit = unit;
        self.position = 0;
        self.times.clear();
        self.batch_start = 0;
        self.seen = None;
        self.expected = None;
        self.ahead = Ahead::NONE;
    }

    /// Gives the copied events, from `first` on, the job's symbols; they are the events of a block from `position` on.
    fn translate_symbols(&mut self, first: usize, (block, position): (usize, usize)) -> Result<(), BoxError> {
        let (events, symbols) = (&mut self.copy[first..], &mut self.parts.symbols);
        symbols.check(events, (block, position), &self.parts.times)?;
        symbols.change(events);
        Ok(())
    }

    /// Makes a block the one that events are gathered from.
    fn load_gathered(&mut self, number: usize) -> Result<(), BoxError> {
        if self.block.as_ref().is_some_and(|block| block.number == number) {
            return Ok(());
        }
        let room = self.block.take().map_or_else(Vec::new, |block| block.largest);
        if let PipeInput::Blocks { reader, index, generated } = &mut self.parts.input {
            let rules = (&self.parts.times, self.parts.jumps);
            let mut block = GatheredBlock::read(reader.as_mut(), index, number, rules, room)?;
            if let Some(generated) = generated {
                let mut copy = Vec::new();
                let events = self.parts.symbols.translated(reader.events(), (number, 0), rules.0, &mut copy)?;
                let mut clock = generated[number].clone();
                fold(&mut clock, events, index.before(number), rules, |behind| block.generated.push(behind));
            }
            self.block = Some(block);
        }
        Ok(())
    }

    /// Where a generator stands before a block of a bounded source.
    fn generated_before(&self, block: usize) -> Option<&GeneratedClock<T>> {
        match &self.parts.input {
            PipeInput::Blocks { generated: Some(generated), .. } => generated.get(block),
            _ => None,
        }
    }
}

/// The events of the current unit. A function of fields, so that others can be changed meanwhile.
fn events<'a, T: Event>(input: &'a PipeInput<T>, copy: &'a [T], unit: Unit) -> &'a [T] {
    match input {
        PipeInput::Blocks { reader, .. } if unit == Unit::Block => reader.events(),
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
        let is_copied = self.parts.symbols.changes();
        self.begin_unit(if is_copied { Unit::Copied } else { Unit::Block });
        if let PipeInput::Blocks { reader, index, generated } = &mut self.parts.input {
            reader.load(block)?;
            summaries::countable(block, reader.events())?;
            self.expected = Some((block, index.summaries.get(block).copied().flatten()));
            let generated = generated.as_ref().and_then(|generated| generated.get(block));
            self.tracker.go_on(index.before(block), generated);
            if is_copied {
                self.copy.clear();
                self.copy.extend_from_slice(reader.events());
            }
        }
        if is_copied {
            self.translate_symbols(0, (block, 0))?;
        }
        let rows = events(&self.parts.input, &self.copy, self.unit);
        self.ahead = next.map_or(Ahead::NONE, |next| Ahead::from_rows(rows, next));
        Ok(())
    }

    fn gather(&mut self, schedule: &Schedule, source: usize, unit: u64) -> Result<(), BoxError> {
        self.begin_unit(Unit::Gathered);
        self.copy.clear();
        self.gathered.clear();
        if self.rules().is_generated {
            self.gathered.generated = Some((self.generated_clock(schedule, source, unit)?, Vec::new()));
        }
        let (start, end) = schedule.span(unit);
        for number in schedule.first_block(unit, source)..schedule.blocks(source) {
            let before = schedule.before(source, number);
            let at = |largest| UnitEnd { largest, source: source as u32, block: number as u32 };
            if at(before) > end {
                break;
            }
            self.load_gathered(number)?;
            let (PipeInput::Blocks { reader, .. }, Some(block)) = (&self.parts.input, &self.block) else { break };
            let from = start.map_or(0, |start| block.largest.partition_point(|largest| at(*largest) <= start));
            let to = block.largest.partition_point(|largest| at(*largest) <= end).max(from);
            let first = self.copy.len();
            let is_last = to < block.largest.len();
            self.copy.extend_from_slice(&reader.events()[from..to]);
            self.gathered.largest.extend_from_slice(&block.largest[from..to]);
            self.gathered.may_jump |= block.may_jump;
            if let Some((_, behind)) = &mut self.gathered.generated {
                behind.extend_from_slice(&block.generated[from..to]);
            }
            self.translate_symbols(first, (number, from))?;
            if is_last {
                break;
            }
        }
        Ok(())
    }

    fn gathered(&mut self) -> &mut Gathered {
        &mut self.gathered
    }

    fn generated_clock(&mut self, schedule: &Schedule, source: usize, unit: u64) -> Result<Timestamp, BoxError> {
        if !self.rules().is_generated {
            return Ok(Timestamp::MAX);
        }
        let number = schedule.block_at(unit.min(schedule.units()), source);
        if let Some(start) = schedule.start(unit)
            && number < schedule.blocks(source)
        {
            self.load_gathered(number)?;
            let at = |largest| UnitEnd { largest, source: source as u32, block: number as u32 };
            let passed = |block: &GatheredBlock| block.largest.partition_point(|largest| at(*largest) <= start);
            if let Some(block) = &self.block
                && let Some(last) = passed(block).checked_sub(1)
            {
                return Ok(block.generated[last]);
            }
        }
        Ok(self.generated_before(number).map_or(Timestamp::MIN, GeneratedClock::clock))
    }

    fn backlog(&self) -> usize {
        match &self.parts.input {
            PipeInput::Feed { feed, .. } => feed.backlog(),
            PipeInput::Blocks { .. } | PipeInput::Elsewhere => 0,
        }
    }

    fn unit_events(&self) -> usize {
        events(&self.parts.input, &self.copy, self.unit).len()
    }

    fn poll(&mut self, room: usize, unit: u64) -> Result<Came, BoxError> {
        self.begin_unit(Unit::Copied);
        self.copy.clear();
        if self.told.is_some() {
            return Ok(Came::Watermark);
        }
        let PipeInput::Feed { feed, block_events, rejected, newly_rejected } = &mut self.parts.input else {
            return Ok(Came::End);
        };
        let polled = feed.poll(room.min(*block_events), &mut self.copy)?;
        self.told = feed.watermark();
        let counters = self.parts.counters.of(self.parts.worker);
        let now_rejected = feed.rejected();
        let Some(more) = now_rejected.checked_sub(*rejected) else {
            let words = format!("at block {unit} its count of rejected input fell from {rejected} to {now_rejected}");
            return Err(words.into());
        };
        add(&counters.rejected, more);
        add(&counters.rows_in, more);
        *rejected = now_rejected;
        *newly_rejected += more;
        if u32::try_from(self.copy.len()).is_err() {
            summaries::countable(unit as usize, &self.copy)?;
        }
        if !self.copy.is_empty() {
            self.translate_symbols(0, (unit as usize, 0))?;
        }
        Ok(match polled {
            Polled::End => Came::End,
            Polled::Ready | Polled::Pending if !self.copy.is_empty() => Came::Events,
            Polled::Ready | Polled::Pending if self.told.is_some() => Came::Watermark,
            Polled::Ready | Polled::Pending => Came::Nothing,
        })
    }

    fn step(&mut self, unit: u64, limits: ClockLimits, now: &dyn Fn() -> Duration) -> Result<UnitStep, BoxError> {
        let all = events(&self.parts.input, &self.copy, self.unit);
        if self.position == all.len() {
            return self.finish_unit();
        }
        let counters = self.parts.counters.of(self.parts.worker);
        let range = &self.parts.times;
        if self.position == self.batch_start + self.times.len() {
            self.batch_start = self.position;
            let batch = self.position..all.len().min(self.position + BATCH);
            if self.unit == Unit::Block {
                self.parts.symbols.check(&all[batch.clone()], (unit as usize, self.position), range)?;
            }
            let scan = self.tracker.scan(all[batch.clone()].iter().map(Event::time), &mut self.times);
            self.bounds = (scan.min, scan.max);
            self.jumps = match self.unit {
                Unit::Gathered => self.gathered.jumps(batch, &mut self.reached),
                Unit::Block | Unit::Copied => self.tracker.judge(&scan, &self.times, range, &mut self.reached),
            };
            if self.jumps {
                self.paced.clear();
                self.paced.extend(self.times.iter().zip(&self.reached).map(|(time, reached)| *time.min(reached)));
            }
            let is_on_time = !scan.any_behind && !self.jumps && limits.floor <= self.tracker.clock();
            self.clean = is_on_time && range.contains(&scan.min) && range.contains(&scan.max);
        }
        let first = self.position - self.batch_start;
        let times = &self.times[first..];
        let released = match &mut self.parts.pace {
            Some(pace) => {
                let paced = if self.jumps { &self.paced[first..] } else { times };
                match pace.released(paced, range, now()) {
                    0 => return Ok(UnitStep::Waiting(pace.due(paced[0]))),
                    released => released,
                }
            }
            None => times.len(),
        };
        let times = &times[..released];
        let count = if self.clean {
            times.len()
        } else if !range.contains(&times[0]) {
            let count = times.iter().take_while(|time| !range.contains(time)).count();
            add(&counters.rows_in, count as u64);
            add(&counters.rejected, count as u64);
            self.position += count;
            return Ok(UnitStep::Made);
        } else {
            times.iter().take_while(|time| range.contains(time)).count()
        };
        let times = &times[..count];
        // What moves the clock: the times themselves, mostly.
        let reached = if self.jumps { &self.reached[first..first + count] } else { times };
        let is_whole = count == self.times.len();
        let (min, max) = if is_whole { self.bounds } else { extremes(times).unwrap_or(self.bounds) };
        let rows = self.position..self.position + count;
        let is_gathered = self.unit == Unit::Gathered;
        let (places, mut clocks) = if is_gathered {
            let places = Places::Seqs { unit, seqs: &self.gathered.seqs[rows.clone()] };
            (places, Clocks::Each(&self.gathered.clocks[rows.clone()]))
        } else {
            if self.needs_clocks || !self.clean {
                self.tracker.clocks(&all[rows.clone()], reached, limits, &mut self.clocks);
            }
            (Places::Run { unit, first: self.position as u64 }, Clocks::Each(&self.clocks))
        };
        let mut behind = 0;
        if let (true, Clocks::Each(clocks)) = (is_gathered || !self.clean, clocks) {
            let bound = self.parts.watermarks.rules.bound;
            behind = times.iter().zip(clocks).filter(|(time, clock)| **time <= watermark_at(**clock, bound)).count();
            add(&counters.behind, behind as u64);
        }
        if behind == 0 && !self.needs_clocks {
            clocks = Clocks::OnTime;
        }
        let rows = Rows { bounds: Some((min, max)), ahead: self.ahead, ..Rows::new(times, &all[rows], places, clocks) };
        self.parts.outlet.rows(rows);
        add(&counters.rows_in, count as u64);
        add(&counters.rows_out, count as u64);
        self.position += count;
        summaries::see(&mut self.seen, min, max, count as u32);
        if self.jumps {
            let jumped = times.iter().zip(reached).filter(|(time, reached)| time > reached).count();
            add(&counters.jumped, jumped as u64);
            self.tracker.see(reached[count - 1]);
        } else {
            self.tracker.see(max);
        }
        // A unit of several sources ends with the last of them.
        if self.position < all.len() || is_gathered { Ok(UnitStep::Made) } else { self.finish_unit() }
    }

    fn position(&self) -> Option<u64> {
        match self.unit {
            Unit::Gathered => self.gathered.positions.get(self.position).copied(),
            Unit::Block | Unit::Copied if self.position < self.unit_events() => Some(self.position as u64),
            Unit::Block | Unit::Copied => None,
        }
    }

    fn clock(&self) -> Timestamp {
        self.tracker.clock()
    }

    fn rules(&self) -> WatermarkRules {
        self.parts.watermarks.rules
    }

    fn frontier(&mut self, place: Place, pauses: bool) -> bool {
        let watermark = watermark_at(place.clock(), self.parts.watermarks.rules.bound);
        self.parts.counters.of(self.parts.worker).watermark.set(watermark);
        self.parts.outlet.frontier(place, pauses)
    }

    fn barrier(&mut self, barrier: Barrier) -> bool {
        self.parts.outlet.barrier(barrier)
    }

    fn work(&mut self) -> bool {
        self.parts.outlet.work()
    }

    fn counts(&self) -> Counts {
        self.parts.counters.of(self.parts.worker).counts()
    }

    fn end(&mut self) {
        // Whoever reads no more holds nobody back.
        self.parts.outlet.end();
    }
}

impl<T: Event> Pipe<T> {
    fn finish_unit(&mut self) -> Result<UnitStep, BoxError> {
        if let Some((block, expected)) = self.expected {
            summaries::check(block, expected, self.seen)?;
        }
        Ok(UnitStep::Done)
    }
}
