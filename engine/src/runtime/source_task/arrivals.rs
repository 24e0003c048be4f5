//! Of the task that reads sources: units that are taken as they come, where a source is a feed.

use super::{SourceTask, State, UnitOrder};
use crate::Timestamp;
use crate::log::journal::RecordKind;
use crate::progress::schedule::Arrived;
use crate::progress::watermark::ClockLimits;
use crate::runtime::source_pipe::Came;
use std::time::Duration;

impl SourceTask {
    /// The number of blocks of a source that is taken as it comes; `None` for a feed.
    pub(super) fn blocks_of(&self, source: usize) -> Option<usize> {
        match &self.order {
            UnitOrder::AsTheyCome(blocks) => blocks[source],
            UnitOrder::Known(_) | UnitOrder::Elsewhere => None,
        }
    }

    /// The sources that event time waits for, each with its clock.
    fn active(&self) -> impl Iterator<Item = (usize, Timestamp)> {
        let sources = self.arrivals.iter().enumerate();
        let active = sources.filter(|(_, arrival)| !arrival.ended && !arrival.idle && !arrival.rules.is_apart);
        active.map(|(source, _)| (source, self.pipes[source].clock()))
    }

    /// Whether a source gives ticks, and all that it gives them for have ended.
    fn is_left_over(&self, source: usize) -> bool {
        let mut sources = self.arrivals.iter();
        self.arrivals[source].rules.is_apart && sources.all(|arrival| arrival.rules.is_apart || arrival.ended)
    }

    /// Whether a source waits, since it is further ahead of another one than it may be.
    fn is_ahead(&self, source: usize) -> bool {
        let Some(drift) = self.arrivals[source].rules.drift_max else { return false };
        let others = self.active().filter(|(other, _)| *other != source).map(|(_, clock)| clock);
        let is_ahead = |least: Timestamp| self.pipes[source].clock() > least.plus_nanos(drift);
        others.min().is_some_and(is_ahead)
    }

    /// What the other sources, and what was told before, leave the clock of a source.
    pub(super) fn limits_of(&self, source: usize) -> ClockLimits {
        if !matches!(self.order, UnitOrder::AsTheyCome(_)) {
            return ClockLimits::NONE;
        }
        if self.arrivals[source].rules.is_apart {
            return ClockLimits { floor: self.clock, ceiling: self.clock };
        }
        let active = self.active().filter(|(other, _)| *other != source);
        let ceiling = active.map(|(_, clock)| clock).min().unwrap_or(Timestamp::MAX);
        ClockLimits { floor: self.clock, ceiling }
    }

    /// Moves the clock to where the sources leave it that somebody waits for.
    pub(super) fn move_clock(&mut self) {
        if let Some(clock) = self.active().map(|(_, clock)| clock).min() {
            self.clock = self.clock.max(clock);
        }
    }

    /// Begins with what came of a source.
    pub(super) fn enter(&mut self, source: usize, kind: RecordKind) -> State {
        let arrival = &mut self.arrivals[source];
        match kind {
            RecordKind::Idle => arrival.idle = true,
            RecordKind::End | RecordKind::LastEvents => arrival.ended = true,
            _ => arrival.idle = false,
        }
        match kind {
            RecordKind::Events | RecordKind::Block => return State::Reading(Some(source)),
            RecordKind::Watermark => self.pipes[source].take_told(),
            _ => {}
        }
        self.move_clock();
        (self.is_unit_told, self.came_untold) = (false, true);
        if kind == RecordKind::LastEvents { State::Reading(Some(source)) } else { State::Next }
    }

    /// Begins the next unit that has come; `None` where none has.
    pub(super) fn next_as_they_come(&mut self) -> Option<State> {
        // The clock is asked only where somebody wants to know how long a source has been quiet.
        let now =
            if self.tells_idleness || self.journaled.is_some() { self.shared.clock.now() } else { Duration::ZERO };
        // One that was asked for while nothing came.
        if self.giver.is_some()
            && let barrier @ Arrived::Barrier(_) = self.cut.arrive(0, 0, self.epoch)
        {
            return self.come(barrier, |_| None);
        }
        if self.is_replaying() {
            return self.next_replayed();
        }
        for _ in 0..self.pipes.len() {
            let source = self.turn;
            self.turn = if source + 1 == self.pipes.len() { 0 } else { source + 1 };
            let (blocks, is_left_over) = (self.blocks_of(source), self.is_left_over(source));
            let is_ahead = self.is_ahead(source);
            let arrival = &mut self.arrivals[source];
            if arrival.ended {
                continue;
            }
            if is_ahead {
                // It is not idle: nobody asks it.
                arrival.last_event = now;
                continue;
            }
            let draining = self.shared.is_draining();
            let mut is_asked = blocks.is_none();
            let polled = match blocks {
                Some(count) if arrival.block == count || draining => Ok(Came::End),
                Some(count) => {
                    let block = arrival.block;
                    arrival.block += 1;
                    let pipe = &mut self.pipes[source];
                    let next = if block + 1 < count { pipe.address(block + 1) } else { None };
                    pipe.load(block, next).map(|()| Came::Events)
                }
                None if is_left_over => {
                    is_asked = false;
                    Ok(Came::End)
                }
                // What was accepted before the job was told to stop is taken, and no more.
                None if draining => {
                    let backlog = *arrival.backlog.get_or_insert_with(|| self.pipes[source].backlog());
                    is_asked = backlog > 0;
                    let polled = if is_asked { self.pipes[source].poll(backlog, self.unit) } else { Ok(Came::End) };
                    let taken = if is_asked { self.pipes[source].unit_events() } else { 0 };
                    arrival.backlog = Some(backlog - taken.min(backlog));
                    polled
                }
                None => self.pipes[source].poll(usize::MAX, self.unit),
            };
            let arrival = &mut self.arrivals[source];
            match polled {
                Ok(Came::Events) => {
                    arrival.last_event = now;
                    let kind = if blocks.is_some() { RecordKind::Block } else { RecordKind::Events };
                    return self.came(source, kind, now);
                }
                Ok(Came::Watermark) => {
                    arrival.last_event = now;
                    return self.came(source, RecordKind::Watermark, now);
                }
                Ok(Came::Nothing) if !draining => {
                    let idle_after = arrival.rules.idle_after;
                    let is_idle = idle_after.is_some_and(|after| now.saturating_sub(arrival.last_event) >= after);
                    if is_idle && !arrival.idle {
                        return self.came(source, RecordKind::Idle, now);
                    }
                    self.note_rejected(source, now)?;
                }
                Ok(Came::End | Came::Nothing) => {
                    // A feed may give its last events with its end; the others have none.
                    return self.came(source, if is_asked { RecordKind::LastEvents } else { RecordKind::End }, now);
                }
                Err(error) => self.fail(source, error),
            }
        }
        if !self.arrivals.iter().all(|arrival| arrival.ended) {
            return None;
        }
        let ended = self.cut.begin(0, 0, self.epoch, false);
        self.come(ended, |_| None)
    }
}
