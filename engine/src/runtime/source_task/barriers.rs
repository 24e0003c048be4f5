//! Of the task that reads sources: what comes between two units, which may be a barrier.

use super::{SourceTask, State, UnitOrder};
use crate::Timestamp;
use crate::progress::mark::Barrier;
use crate::progress::place::Place;
use crate::progress::schedule::Arrived;
use crate::runtime::checkpoint::Contribution;

impl SourceTask {
    /// The next unit where the order is cut, and how many there are. Where one worker reads everything, it knows itself.
    pub(super) fn unit_and_units(&self) -> (u64, u64) {
        match &self.order {
            UnitOrder::Known(schedule) => (self.unit, schedule.units()),
            UnitOrder::AsTheyCome(_) | UnitOrder::Elsewhere => (0, 0),
        }
    }

    /// The unit behind the last.
    pub(super) fn last_unit(&self) -> u64 {
        match &self.order {
            UnitOrder::Known(schedule) => schedule.units(),
            UnitOrder::AsTheyCome(_) | UnitOrder::Elsewhere => self.unit,
        }
    }

    /// Looks whether a barrier comes before the next unit; `None` where nothing is read any more.
    pub(super) fn arrive(&mut self) -> Option<State> {
        // One worker reads what comes, and nothing but a checkpoint cuts it.
        if self.giver.is_none() && matches!(self.order, UnitOrder::AsTheyCome(_)) {
            return Some(State::Arrived);
        }
        let (unit, units) = self.unit_and_units();
        let arrived = self.cut.arrive(unit, units, self.epoch);
        self.come(arrived, |_| Some(State::Arrived))
    }

    /// Goes on with what the cut says, or with `body` where nothing comes before the next unit.
    pub(super) fn come(&mut self, arrived: Arrived, body: impl FnOnce(&mut Self) -> Option<State>) -> Option<State> {
        match arrived {
            Arrived::Here => body(self),
            Arrived::Held => None,
            Arrived::End(end) => self.come_to_end(end),
            Arrived::Barrier(at) => {
                let unit = if matches!(self.order, UnitOrder::Known(_)) { at.unit } else { self.unit };
                let place = Place::event(self.clock_before(unit)?, unit, 0);
                let barrier = Barrier { epoch: at.epoch, place, is_whole: at.is_whole };
                Some(State::Barrier(unit, barrier))
            }
        }
    }

    /// Comes to the end of the order.
    pub(super) fn come_to_end(&mut self, end: u64) -> Option<State> {
        self.clock = self.clock_before(end)?;
        Some(State::Ending)
    }

    /// The clock before a unit, which another worker may read; `None` where it cannot be told.
    pub(super) fn clock_before(&mut self, unit: u64) -> Option<Timestamp> {
        let UnitOrder::Known(schedule) = &self.order else { return Some(self.clock) };
        let schedule = schedule.clone();
        self.clock_at(&schedule, unit)
    }

    /// Passes a barrier on; whether all behind have it.
    pub(super) fn pass_on(&mut self, unit: u64, barrier: Barrier) -> bool {
        let passed = self.pipes.iter_mut().map(|pipe| pipe.barrier(barrier)).filter(|passed| !passed).count() == 0;
        if passed {
            self.epoch = barrier.epoch;
            if let Some(giver) = &self.giver {
                giver.give(barrier, self.contribution(unit));
            }
        }
        passed
    }

    pub(super) fn contribution(&self, unit: u64) -> Contribution {
        let counts = self.pipes.iter().map(|pipe| pipe.counts()).collect();
        Contribution { counts, unit, live: self.standing(), ..Contribution::default() }
    }
}
