//! The task that reads the sources which share an order on one worker, unit by unit.

mod arrivals;
mod barriers;
mod journaled;

pub(crate) use journaled::JournalStart;

use crate::Timestamp;
use crate::log::journal::RecordKind;
use crate::progress::mark::Barrier;
use crate::progress::order::{Seq, UNIT_EVENTS_MAX};
use crate::progress::place::{Place, TICK_UNITS};
use crate::progress::schedule::{Cut, Schedule};
use crate::progress::watermark::{ClockLimits, WatermarkRules};
use crate::runtime::checkpoint::Giver;
use crate::runtime::shared::JobShared;
use crate::runtime::source_pipe::{SourcePipe, UnitStep};
use crate::runtime::task::{Progress, Task};
use crate::{BoxError, Error};
use journaled::Journaled;
use std::sync::Arc;
use std::time::Duration;

/// Batches that one call handles at most.
const STEPS_MAX: usize = 16;

/// How units get their order.
pub(crate) enum UnitOrder {
    /// All sources are bounded: the order is known, and unit `u` is this worker's if `u mod N` is.
    Known(Arc<Schedule>),
    /// A source is a feed: the first worker numbers units as they come. For each source, the number
    /// of blocks it has, or `None` for a feed.
    AsTheyCome(Vec<Option<usize>>),
    /// Another worker reads everything.
    Elsewhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between units.
    Next,
    /// Between units, where it was seen that no barrier comes first.
    Arrived,
    /// At a barrier in front of a unit.
    Barrier(u64, Barrier),
    /// This came of a source and is journaled up to a record that is not durable.
    Held(usize, RecordKind, u64),
    /// In the middle of a unit, of this source where it has one.
    Reading(Option<usize>),
    /// The input is at its end: all learn what the clock came to, that nothing more will come, and the end.
    Ending,
    Last,
    End,
    Done,
}

/// What is known of a source in the order of arrival.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    rules: WatermarkRules,
    /// The next block of a bounded source.
    block: usize,
    ended: bool,
    /// Nothing has come for so long that nobody waits for it.
    idle: bool,
    last_event: Duration,
    /// Once the job drains: events that are still taken from a feed.
    backlog: Option<usize>,
}

pub(crate) struct SourceTask {
    pipes: Vec<Box<dyn SourcePipe>>,
    order: UnitOrder,
    workers: usize,
    cut: Arc<Cut>,
    shared: Arc<JobShared>,
    state: State,
    /// When the next event may be given on, where the recorded speed holds it back.
    due: Option<Duration>,
    /// The unit that is read or comes next on this worker.
    unit: u64,
    /// The clock before that unit.
    clock: Timestamp,
    /// The clock behind the current unit of several sources.
    clock_behind: Timestamp,
    arrivals: Vec<Arrival>,
    /// Whether a source becomes idle when nothing comes for some time.
    tells_idleness: bool,
    /// The source that is asked next, in the order of arrival.
    turn: usize,
    /// Others were told that this worker has come to the current unit.
    is_unit_told: bool,
    /// Something came that is no unit, such as a watermark, and others were not told since.
    came_untold: bool,
    /// All who wait know where this worker stands, and that it pauses.
    is_told: bool,
    /// Where what comes is journaled.
    journaled: Option<Journaled>,
    /// Where checkpoints are taken, and the last one that was passed on.
    giver: Option<Giver>,
    epoch: u64,
}

/// The time for pacing; what a job that stops has begun is not held back.
fn pacing_time(shared: &JobShared) -> Duration {
    if shared.is_hurrying() { Duration::MAX } else { shared.clock.now() }
}

impl SourceTask {
    pub(crate) fn new(
        pipes: Vec<Box<dyn SourcePipe>>,
        order: UnitOrder,
        (worker, workers): (usize, usize),
        (cut, start): (Arc<Cut>, u64),
        giver: Option<Giver>,
        shared: Arc<JobShared>,
    ) -> Self {
        let last_event = shared.clock.now();
        let arrival = |rules| Arrival { rules, block: 0, ended: false, idle: false, last_event, backlog: None };
        let arrivals: Vec<_> = pipes.iter().map(|pipe| arrival(pipe.rules())).collect();
        let (state, unit) = match order {
            UnitOrder::Known(_) => {
                // The first of this worker's units from the start on.
                let (worker, workers) = (worker as u64, workers as u64);
                (State::Next, start + (worker + workers - start % workers) % workers)
            }
            UnitOrder::AsTheyCome(_) => (State::Next, start),
            UnitOrder::Elsewhere => (State::Ending, 0),
        };
        let clock = match &order {
            UnitOrder::Known(schedule) if arrivals.iter().all(|arrival| !arrival.rules.is_generated) => {
                schedule.clock(unit.min(schedule.units()))
            }
            _ => Timestamp::MIN,
        };
        let tells_idleness = arrivals.iter().any(|arrival| arrival.rules.idle_after.is_some());
        // Ticks come first, so that the first events have a processing time.
        let turn = arrivals.iter().position(|arrival| arrival.rules.is_apart).unwrap_or(0);
        Self {
            arrivals,
            pipes,
            order,
            workers,
            cut,
            shared,
            state,
            due: None,
            unit,
            clock,
            clock_behind: Timestamp::MIN,
            tells_idleness,
            turn,
            is_unit_told: false,
            came_untold: false,
            is_told: false,
            journaled: None,
            giver,
            epoch: 0,
        }
    }

    fn fail(&self, source: usize, error: BoxError) {
        self.shared.fail(Error::Source { name: self.pipes[source].name().to_string(), error });
    }

    /// Whether nothing holds up the next step.
    fn is_ready(&mut self) -> bool {
        // Each is asked, so that each moves on.
        let next = self.next_pipe();
        let mut is_ready = true;
        for (index, pipe) in self.pipes.iter_mut().enumerate() {
            // In the middle of a unit only the source whose turn it is has to be ready: another may wait for it.
            is_ready &= pipe.is_ready() || next.is_some_and(|next| next != index);
        }
        is_ready
    }

    /// The source that has the next event of the current unit.
    fn next_pipe(&self) -> Option<usize> {
        match self.state {
            State::Reading(Some(source)) => Some(source),
            State::Reading(None) => {
                let positions = self.pipes.iter().enumerate().filter_map(|(i, pipe)| Some((pipe.position()?, i)));
                positions.min().map(|(_, source)| source)
            }
            _ => None,
        }
    }

    /// Tells where this worker stands; whether all who wait know it.
    fn tell(&mut self, pauses: bool) -> bool {
        if self.is_told || matches!(self.state, State::Next) {
            return true;
        }
        // A barrier may stand before a unit of another worker.
        self.is_unit_told |= !matches!(self.state, State::Barrier(..));
        self.came_untold = false;
        let limits = self.next_pipe().map_or(ClockLimits::NONE, |source| self.limits_of(source));
        let Self { pipes, state, unit, clock, clock_behind, .. } = self;
        let next = Place::event(*clock, *unit, 0);
        // The others give nothing before the unit ends, so they stand where its source does.
        let reading = |source: &dyn SourcePipe| {
            let position = source.position().unwrap_or(UNIT_EVENTS_MAX as u64);
            Place::event(limits.clamp(source.clock()).max(*clock), *unit, position)
        };
        let reading = match *state {
            State::Reading(Some(source)) => reading(pipes[source].as_ref()),
            _ => next,
        };
        let told = pipes.iter_mut().map(|pipe| {
            let place = match *state {
                State::Next | State::Arrived | State::Held(..) => next,
                State::Barrier(_, barrier) => barrier.place,
                State::Reading(None) => match pipe.position() {
                    Some(position) => Place::event(pipe.gathered().next_clock(position), *unit, position),
                    None => Place::event(*clock_behind, *unit, UNIT_EVENTS_MAX as u64),
                },
                State::Reading(Some(_)) => reading,
                State::Ending => Place::behind_events(*clock),
                State::Last | State::End | State::Done => Place::MAX,
            };
            pipe.frontier(place, pauses)
        });
        let is_told = told.filter(|told| !told).count() == 0;
        self.is_told = pauses && is_told;
        is_told
    }

    /// Begins the next unit of a known order; `None` where it cannot be read.
    fn next_known(&mut self, schedule: &Schedule) -> Option<State> {
        let begun = self.cut.begin(self.unit, schedule.units(), self.epoch, self.shared.is_draining());
        self.come(
            begun,
            |task| if schedule.is_single() { task.load_unit(schedule) } else { task.gather_unit(schedule) },
        )
    }

    /// The clock before a unit of a known order; `None` where a block of a source cannot be read.
    fn clock_at(&mut self, schedule: &Schedule, unit: u64) -> Option<Timestamp> {
        let unit = unit.min(schedule.units());
        let mut generated = Timestamp::MAX;
        for source in 0..self.pipes.len() {
            match self.pipes[source].generated_clock(schedule, source, unit) {
                Ok(clock) => generated = generated.min(clock),
                Err(error) => {
                    self.fail(source, error);
                    return None;
                }
            }
        }
        // Of a single source, a generator may be ahead of the events.
        let is_generators = schedule.is_single() && self.arrivals[0].rules.is_generated;
        Some(if is_generators { generated } else { generated.min(schedule.clock(unit)) })
    }

    /// Loads a unit of one source, which is a block.
    fn load_unit(&mut self, schedule: &Schedule) -> Option<State> {
        let block = self.unit as usize;
        let next = block + self.workers;
        let next = if next < schedule.blocks(0) { self.pipes[0].address(next) } else { None };
        match self.pipes[0].load(block, next) {
            Ok(()) => Some(State::Reading(Some(0))),
            Err(error) => {
                self.fail(0, error);
                None
            }
        }
    }

    /// Gathers a unit of several sources, and finds the order of its events.
    fn gather_unit(&mut self, schedule: &Schedule) -> Option<State> {
        for source in 0..self.pipes.len() {
            if let Err(error) = self.pipes[source].gather(schedule, source, self.unit) {
                self.fail(source, error);
                return None;
            }
        }
        let mut largest = schedule.clock(self.unit);
        let mut nexts = vec![0; self.pipes.len()];
        let mut position = 0;
        let generated = self.arrivals.iter().any(|arrival| arrival.rules.is_generated);
        let mut cap = Timestamp::MAX;
        loop {
            if generated {
                let clocks =
                    self.pipes.iter_mut().zip(&nexts).map(|(pipe, next)| pipe.gathered().generated_clock(*next));
                cap = clocks.min().unwrap_or(Timestamp::MAX);
            }
            let heads = self.pipes.iter_mut().enumerate();
            let heads = heads.filter_map(|(i, pipe)| Some((*pipe.gathered().largest.get(nexts[i])?, i)));
            let Some((reached, source)) = heads.min() else { break };
            let gathered = self.pipes[source].gathered();
            gathered.seqs.push(Seq::event(position));
            gathered.positions.push(position);
            gathered.clocks.push(largest.min(cap));
            largest = reached;
            position += 1;
            nexts[source] += 1;
        }
        self.clock_behind = largest.min(cap);
        if position > UNIT_EVENTS_MAX as u64 {
            self.fail(0, format!("{position} events at once are more than {UNIT_EVENTS_MAX}").into());
            return None;
        }
        Some(State::Reading(None))
    }

    /// A unit has ended.
    fn finish_unit(&mut self, source: Option<usize>) -> State {
        self.is_unit_told = false;
        match &self.order {
            UnitOrder::Known(schedule) => {
                self.unit += self.workers as u64;
                let schedule = schedule.clone();
                if let Some(clock) = self.clock_at(&schedule, self.unit) {
                    self.clock = self.clock.max(clock);
                }
            }
            UnitOrder::AsTheyCome(_) | UnitOrder::Elsewhere => {
                self.unit += 1;
                if let Some(source) = source {
                    if self.arrivals[source].rules.is_apart {
                        self.unit += TICK_UNITS - 1;
                    }
                    let limits = self.limits_of(source);
                    self.clock = limits.clamp(self.pipes[source].clock());
                }
            }
        }
        State::Next
    }

    /// One step; `None` where there is nothing to do now.
    fn step(&mut self) -> Option<State> {
        match self.state {
            // Nothing is read any more.
            State::Next => None,
            State::Barrier(unit, barrier) => self.pass_on(unit, barrier).then_some(State::Next),
            State::Held(source, kind, sequence) => self.is_durable(sequence).then(|| self.enter(source, kind)),
            State::Arrived => match &self.order {
                UnitOrder::Known(schedule) => {
                    let schedule = schedule.clone();
                    self.next_known(&schedule)
                }
                UnitOrder::AsTheyCome(_) => self.next_as_they_come(),
                UnitOrder::Elsewhere => Some(State::Ending),
            },
            State::Reading(unit_source) => {
                let Some(source) = self.next_pipe() else { return Some(self.finish_unit(None)) };
                let limits = self.limits_of(source);
                let Self { pipes, shared, unit, .. } = self;
                match pipes[source].step(*unit, limits, &|| pacing_time(shared)) {
                    Ok(UnitStep::Made) => Some(State::Reading(unit_source)),
                    Ok(UnitStep::Waiting(due)) => {
                        self.due = Some(due);
                        None
                    }
                    Ok(UnitStep::Done) => Some(self.finish_unit(Some(source))),
                    Err(error) => {
                        self.fail(source, error);
                        None
                    }
                }
            }
            State::Ending => self.tell(true).then_some(State::Last),
            State::Last => self.tell(true).then_some(State::End),
            State::End => {
                if let Some(giver) = self.giver.take() {
                    giver.finish(self.contribution(self.last_unit()));
                }
                self.pipes.iter_mut().for_each(|pipe| pipe.end());
                Some(State::Done)
            }
            State::Done => None,
        }
    }
}

impl Task for SourceTask {
    fn due(&self) -> Option<Duration> {
        self.due
    }

    fn run(&mut self) -> Progress {
        let progress = self.read();
        // Also while nothing comes, or nothing can be given on.
        let worked = self.pipes.iter_mut().fold(false, |worked, pipe| pipe.work() | worked);
        match progress {
            Progress::Idle | Progress::CaughtUp if worked => Progress::Made,
            progress => progress,
        }
    }
}

impl SourceTask {
    /// Whether others learn where this worker stands before it goes on: before a block of a known order, which takes time to
    /// load; behind what came that is no unit, behind which more of its kind may come for ever; and otherwise when it is
    /// known what comes.
    fn tells_first(&self) -> bool {
        let goes_on = match self.state {
            State::Arrived => self.came_untold || matches!(self.order, UnitOrder::Known(_)),
            State::Reading(_) => true,
            _ => false,
        };
        goes_on && !self.is_unit_told
    }

    /// Reads what can be read and given on now.
    fn read(&mut self) -> Progress {
        self.due = None;
        let mut progress = Progress::Idle;
        for _ in 0..STEPS_MAX {
            // Before anything is told of where it has come to.
            if matches!(self.state, State::Next)
                && let Some(state) = self.arrive()
            {
                self.state = state;
            }
            if !self.is_ready() {
                self.is_told = false;
                self.tell(false);
                return progress;
            }
            if matches!(self.state, State::Done) {
                return Progress::Done;
            }
            if self.tells_first() {
                self.tell(false);
                continue;
            }
            match self.step() {
                Some(state) => {
                    self.state = state;
                    self.is_told = false;
                    progress = Progress::Made;
                }
                None => {
                    let is_told = self.tell(true);
                    return if is_told && progress == Progress::Made { Progress::CaughtUp } else { progress };
                }
            }
        }
        progress
    }
}
