//! What the task that reads sources asks of each, whatever its events are.

use crate::progress::mark::Barrier;
use crate::progress::place::Place;
use crate::progress::schedule::Schedule;
use crate::progress::watermark::{ClockLimits, WatermarkRules};
use crate::runtime::gathered::Gathered;
use crate::runtime::metrics::Counts;
use crate::runtime::pipe::JournaledPipe;
use crate::{BoxError, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// What a step over a unit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitStep {
    /// Events were given on, or rejected; there may be more.
    Made,
    /// The next event is given on at this time of the job's clock, which has not come yet.
    Waiting(Duration),
    /// This source has no more events in the unit.
    Done,
}

/// What came of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    Events,
    /// A watermark that the feed tells by itself.
    Watermark,
    Nothing,
    /// Perhaps some events, and nothing ever again.
    End,
}

/// A source on one worker, whatever its events are.
pub(crate) trait SourcePipe: JournaledPipe {
    fn name(&self) -> &Arc<str>;
    fn is_ready(&mut self) -> bool;
    /// Where in memory the events of a block to come lie, if that is known of them.
    fn address(&self, block: usize) -> Option<usize>;
    /// Makes a block of a bounded source the current unit; the worker's next one likely lies at `next`.
    fn load(&mut self, block: usize, next: Option<usize>) -> Result<(), BoxError>;
    /// Makes this source's part of a unit of several sources the current one.
    fn gather(&mut self, schedule: &Schedule, source: usize, unit: u64) -> Result<(), BoxError>;
    /// Where the events that were gathered stand.
    fn gathered(&mut self) -> &mut Gathered;
    /// Where a generator of watermarks leaves the clock before a unit of a known order; the end of time where there is none.
    fn generated_clock(&mut self, schedule: &Schedule, source: usize, unit: u64) -> Result<Timestamp, BoxError>;
    /// Polls a feed for at most `room` events; what came is the current unit, which has this number.
    fn poll(&mut self, room: usize, unit: u64) -> Result<Came, BoxError>;
    /// Events that a feed has accepted and that were not polled.
    fn backlog(&self) -> usize;
    /// The number of events in the current unit.
    fn unit_events(&self) -> usize;
    /// Gives on some of the current unit, within what other sources leave the clock.
    fn step(&mut self, unit: u64, limits: ClockLimits, now: &dyn Fn() -> Duration) -> Result<UnitStep, BoxError>;
    /// The position in the unit of the next event, `None` where there is none.
    fn position(&self) -> Option<u64>;
    /// The clock of this source as its own events tell it, not those of a unit of several sources.
    fn clock(&self) -> Timestamp;
    fn rules(&self) -> WatermarkRules;
    /// As of a receiver; `place` tells the clock.
    fn frontier(&mut self, place: Place, pauses: bool) -> bool;
    /// As of a receiver.
    fn barrier(&mut self, barrier: Barrier) -> bool;
    /// As of a receiver.
    fn work(&mut self) -> bool;
    fn end(&mut self);
    /// What this worker counted of the source.
    fn counts(&self) -> Counts;
}
