//! The task that reads the sources of a job on one worker, block by block in the job's order.

use crate::progress::place::Place;
use crate::progress::schedule::Entry;
use crate::runtime::pipe::{BlockStep, SourcePipe};
use crate::runtime::shared::JobShared;
use crate::runtime::source::Polled;
use crate::runtime::task::{Progress, Task};
use crate::{BoxError, Error};
use std::sync::Arc;
use std::time::Duration;

/// Batches that one call handles at most.
const STEPS_MAX: usize = 16;

/// How blocks get their order.
pub(crate) enum BlockOrder {
    /// All sources are bounded: the order is known, and block `b` is this worker's if `b mod N` is.
    Known(Arc<Vec<Entry>>),
    /// A source is a feed: the first worker numbers blocks as they come. For each source, the number
    /// of blocks it has, or `None` for a feed.
    AsTheyCome(Vec<Option<usize>>),
    /// Another worker reads everything.
    Elsewhere,
}

enum State {
    /// Between blocks.
    Next,
    /// In the middle of a block of this source.
    Reading(usize),
    /// A block, or the whole input, has ended.
    Marking {
        last: bool,
    },
    /// All marks are given on.
    Ending,
    Done,
}

/// What is known of a source in the order of arrival.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    /// The next block of a bounded source.
    block: usize,
    ended: bool,
    last_event: Duration,
    /// Once the job drains: events that are still taken from a feed.
    backlog: Option<usize>,
}

pub(crate) struct SourceTask {
    pipes: Vec<Box<dyn SourcePipe>>,
    order: BlockOrder,
    worker: usize,
    workers: usize,
    shared: Arc<JobShared>,
    state: State,
    /// The block that is read or comes next on this worker.
    ordinal: u64,
    /// Blocks of a known order before this one are accounted for in all watermarks.
    passed: u64,
    /// In a known order: the last block of each source, `None` for one that is empty.
    lasts: Vec<Option<u64>>,
    arrivals: Vec<Arrival>,
    /// Whether a source becomes idle when nothing comes for some time.
    tells_idleness: bool,
    /// The source that is asked next, in the order of arrival.
    turn: usize,
    /// All who wait know where this worker stands.
    is_told: bool,
}

/// The time for pacing; what a job that drains has begun is not held back.
fn pacing_time(shared: &JobShared) -> Duration {
    if shared.is_draining() { Duration::MAX } else { shared.clock.now() }
}

impl SourceTask {
    pub(crate) fn new(
        pipes: Vec<Box<dyn SourcePipe>>,
        order: BlockOrder,
        worker: usize,
        workers: usize,
        shared: Arc<JobShared>,
    ) -> Self {
        let arrival = Arrival { block: 0, ended: false, last_event: shared.clock.now(), backlog: None };
        let (state, ordinal) = match order {
            BlockOrder::Known(_) => (State::Next, worker as u64),
            BlockOrder::AsTheyCome(_) => (State::Next, 0),
            BlockOrder::Elsewhere => (State::Ending, 0),
        };
        let arrivals = vec![arrival; pipes.len()];
        let mut lasts = vec![None; pipes.len()];
        if let BlockOrder::Known(order) = &order {
            for (ordinal, entry) in order.iter().enumerate() {
                lasts[entry.source as usize] = Some(ordinal as u64);
            }
        }
        let tells_idleness = pipes.iter().any(|pipe| pipe.idle_after().is_some());
        Self {
            pipes,
            order,
            worker,
            workers,
            shared,
            state,
            ordinal,
            passed: 0,
            lasts,
            arrivals,
            tells_idleness,
            turn: 0,
            is_told: false,
        }
    }

    fn fail(&self, source: usize, error: BoxError) {
        self.shared.fail(Error::Source { name: self.pipes[source].name().to_string(), error });
    }

    /// Whether nothing of this source comes behind the current block.
    fn is_over(&self, source: usize) -> bool {
        match &self.order {
            BlockOrder::Known(_) => self.lasts[source].is_none_or(|last| last <= self.ordinal),
            BlockOrder::AsTheyCome(_) | BlockOrder::Elsewhere => self.arrivals[source].ended,
        }
    }

    fn is_ready(&mut self) -> bool {
        // Each is asked, so that each moves on.
        self.pipes.iter_mut().map(|pipe| pipe.is_ready()).filter(|ready| !ready).count() == 0
    }

    /// Nothing below this place will come from this worker.
    fn tell_frontier(&mut self) {
        if self.is_told {
            return;
        }
        let place = match self.state {
            State::Reading(source) => self.pipes[source].place(self.ordinal),
            State::Next => Place::block_start(self.ordinal),
            // Behind the block's events, before all that its end fires.
            State::Marking { .. } => Place::fired(self.ordinal, 0, i64::MIN, 0, 0),
            State::Ending | State::Done => Place::MAX,
        };
        self.is_told = self.pipes.iter_mut().map(|pipe| pipe.frontier(place)).filter(|told| !told).count() == 0;
    }

    /// Begins the next block of a known order; `None` where it cannot be read.
    fn next_known(&mut self, order: &[Entry]) -> Option<State> {
        let end = match self.shared.cut.begin(self.ordinal) {
            Ok(()) => order.len() as u64,
            Err(end) => end.min(order.len() as u64),
        };
        // The order ends with one more block, which is empty and carries the last watermark.
        if self.ordinal >= end {
            return Some(if self.ordinal == end { State::Marking { last: true } } else { State::Ending });
        }
        for entry in &order[self.passed as usize..self.ordinal as usize] {
            self.pipes[entry.source as usize].skip(entry.block as usize);
        }
        self.passed = self.ordinal;
        let entry = order[self.ordinal as usize];
        for pipe in &mut self.pipes {
            pipe.frontier(Place::block_start(self.ordinal));
        }
        let next = order.get(self.ordinal as usize + self.workers);
        let next = next.and_then(|next| self.pipes[next.source as usize].address(next.block as usize));
        match self.pipes[entry.source as usize].load(entry.block as usize, next) {
            Ok(()) => {
                self.passed = self.ordinal + 1;
                Some(State::Reading(entry.source as usize))
            }
            Err(error) => {
                self.fail(entry.source as usize, error);
                None
            }
        }
    }

    /// The number of blocks of a source that is taken as it comes; `None` for a feed.
    fn blocks_of(&self, source: usize) -> Option<usize> {
        match &self.order {
            BlockOrder::AsTheyCome(blocks) => blocks[source],
            BlockOrder::Known(_) | BlockOrder::Elsewhere => None,
        }
    }

    /// Begins the next block that has come; `None` where none has.
    fn next_as_they_come(&mut self) -> Option<State> {
        // The clock is asked only where somebody wants to know how long a source has been quiet.
        let now = if self.tells_idleness { self.shared.clock.now() } else { Duration::ZERO };
        for _ in 0..self.pipes.len() {
            let source = self.turn;
            self.turn = (self.turn + 1) % self.pipes.len();
            let blocks = self.blocks_of(source);
            let arrival = &mut self.arrivals[source];
            if arrival.ended {
                continue;
            }
            let draining = self.shared.is_draining();
            let polled = match blocks {
                Some(count) if arrival.block == count || draining => Ok(Polled::End),
                Some(count) => {
                    let block = arrival.block;
                    arrival.block += 1;
                    let pipe = &mut self.pipes[source];
                    let next = if block + 1 < count { pipe.address(block + 1) } else { None };
                    pipe.load(block, next).map(|()| Polled::Ready)
                }
                // What was accepted before the job was told to stop is taken, and no more.
                None if draining => {
                    let backlog = *arrival.backlog.get_or_insert_with(|| self.pipes[source].backlog());
                    let polled =
                        if backlog == 0 { Ok(Polled::End) } else { self.pipes[source].poll(backlog, self.ordinal) };
                    let taken = if backlog == 0 { 0 } else { self.pipes[source].block_events() };
                    arrival.backlog = Some(backlog - taken.min(backlog));
                    polled
                }
                None => self.pipes[source].poll(usize::MAX, self.ordinal),
            };
            let arrival = &mut self.arrivals[source];
            match polled {
                Ok(Polled::Ready) => {
                    arrival.last_event = now;
                    self.pipes[source].set_idle(false);
                    return Some(State::Reading(source));
                }
                Ok(Polled::Pending) if !draining => {
                    let idle_after = self.pipes[source].idle_after();
                    let is_idle = idle_after.is_some_and(|after| now.saturating_sub(arrival.last_event) >= after);
                    if is_idle && !self.pipes[source].is_idle() {
                        self.pipes[source].set_idle(true);
                        return Some(State::Marking { last: false });
                    }
                }
                Ok(Polled::End | Polled::Pending) => {
                    arrival.ended = true;
                    // A feed may give its last events with its end; the others have none, and the
                    // block's end says that nobody waits for this source any more.
                    let has_events = blocks.is_none() && arrival.backlog != Some(0);
                    return Some(if has_events { State::Reading(source) } else { State::Marking { last: false } });
                }
                Err(error) => self.fail(source, error),
            }
        }
        self.arrivals.iter().all(|arrival| arrival.ended).then_some(State::Marking { last: true })
    }

    /// One step; `None` where there is nothing to do now.
    fn step(&mut self) -> Option<State> {
        match self.state {
            State::Next => match &self.order {
                BlockOrder::Known(order) => {
                    let order = order.clone();
                    self.next_known(&order)
                }
                BlockOrder::AsTheyCome(_) => self.next_as_they_come(),
                BlockOrder::Elsewhere => Some(State::Ending),
            },
            State::Reading(source) => {
                let Self { pipes, shared, .. } = self;
                match pipes[source].step(self.ordinal, &|| pacing_time(shared)) {
                    Ok(BlockStep::Made) => Some(State::Reading(source)),
                    Ok(BlockStep::Waiting) => None,
                    Ok(BlockStep::Done) => Some(State::Marking { last: false }),
                    Err(error) => {
                        self.fail(source, error);
                        None
                    }
                }
            }
            State::Marking { last } => {
                for source in 0..self.pipes.len() {
                    let over = last || self.is_over(source);
                    self.pipes[source].mark(self.ordinal, over);
                }
                self.ordinal += match self.order {
                    BlockOrder::Known(_) => self.workers as u64,
                    BlockOrder::AsTheyCome(_) | BlockOrder::Elsewhere => 1,
                };
                Some(if last { State::Ending } else { State::Next })
            }
            State::Ending => {
                self.pipes.iter_mut().for_each(|pipe| pipe.end());
                Some(State::Done)
            }
            State::Done => None,
        }
    }
}

impl Task for SourceTask {
    fn run(&mut self) -> Progress {
        let mut progress = Progress::Idle;
        for _ in 0..STEPS_MAX {
            if !self.is_ready() {
                self.tell_frontier();
                return progress;
            }
            if matches!(self.state, State::Done) {
                return Progress::Done;
            }
            match self.step() {
                Some(state) => {
                    self.state = state;
                    self.is_told = false;
                    progress = Progress::Made;
                }
                None => {
                    self.tell_frontier();
                    return progress;
                }
            }
        }
        progress
    }
}

impl std::fmt::Debug for SourceTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the sources on worker {} at block {}", self.worker, self.ordinal)
    }
}
