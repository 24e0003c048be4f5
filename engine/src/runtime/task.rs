//! The one trait the worker knows, and the task behind an exchange.

use crate::progress::merge::{Merge, Next};
use crate::progress::order::At;
use crate::progress::place::Place;
use crate::runtime::edge::InEdge;
use crate::runtime::receiver::Step;
use std::time::Duration;

/// What a call of [`Task::run`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing could be done now.
    Idle,
    /// Something was done.
    Made,
    /// Something was done, and nothing more can be done now.
    CaughtUp,
    /// Nothing is left to do, ever.
    Done,
}

/// A piece of work that a worker steps.
pub(crate) trait Task {
    /// Does a bounded amount of work.
    fn run(&mut self) -> Progress;

    /// When it has more to do, by the job's clock, if nothing comes from other tasks; `None` where that is not known.
    fn due(&self) -> Option<Duration> {
        None
    }
}

/// Runs of rows that one call handles at most.
const STEPS_MAX: usize = 64;
/// Rows after which others are told where this task stands, though it has more to do.
const ROWS_UNTOLD_MAX: usize = 4096;

/// How far the end of all input has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// The step knows what the clock came to.
    Told,
    /// The step knows that nothing more will come, and has fired what was left.
    Last,
    Done,
}

/// Takes rows from the edges of an exchange, in order, and gives them to a step.
pub(crate) struct MergeTask<A, S> {
    merge: Merge<A, dyn InEdge<A, S>>,
    step: S,
    end: End,
    /// The step knows what the clock came to, or that it need not.
    knows_events_over: bool,
    /// Nothing could be taken, and all who wait know it.
    is_told: bool,
    /// Rows taken since others were told.
    untold: usize,
}

impl<A: At, S: Step> MergeTask<A, S> {
    pub(crate) fn new(edges: Vec<Box<dyn InEdge<A, S>>>, step: S) -> Self {
        Self { merge: Merge::new(edges), step, end: End::Open, knows_events_over: false, is_told: false, untold: 0 }
    }

    /// Tells the step how far its input has come, as of the last look.
    fn tell(&mut self, pauses: bool) -> bool {
        self.untold = 0;
        let frontier = self.merge.known_frontier();
        if frontier.is_at_end() && !self.tell_events_over() {
            return false;
        }
        // Nothing leaves the step any more but what it fires itself in the end. Others must learn that though it is held up:
        // the merge's frontier is less than where rows stand that were fired after all events and that it has given on.
        let is_over = self.knows_events_over && self.merge.is_ended();
        self.step.frontier(if is_over { Place::MAX } else { frontier }, pauses)
    }

    /// Tells the step what the clock came to, before anything that was fired after all events; whether it has taken
    /// note.
    fn tell_events_over(&mut self) -> bool {
        self.knows_events_over =
            self.knows_events_over || (self.step.frontier(self.merge.behind_events(), false) && self.step.is_ready());
        self.knows_events_over
    }
}

impl<A: At, S: Step> Task for MergeTask<A, S> {
    fn run(&mut self) -> Progress {
        let progress = self.give_on();
        // Also while nothing comes, or nothing can be given on.
        if self.step.work() && progress == Progress::Idle { Progress::Made } else { progress }
    }
}

impl<A: At, S: Step> MergeTask<A, S> {
    /// Gives on what has come.
    fn give_on(&mut self) -> Progress {
        let mut progress = Progress::Idle;
        for _ in 0..STEPS_MAX {
            if !self.step.is_ready() {
                self.merge.look();
                self.tell(false);
                self.is_told = false;
                return progress;
            }
            if self.end == End::Done {
                return Progress::Done;
            }
            if self.is_told && !self.merge.has_news() {
                return progress;
            }
            self.is_told = false;
            match self.merge.next() {
                Next::Rows(edge, limit) => {
                    if self.untold >= ROWS_UNTOLD_MAX || self.step.is_due(&self.merge.known_frontier()) {
                        self.tell(false);
                        progress = Progress::Made;
                        continue;
                    }
                    if self.merge.is_at_end(edge) && !self.tell_events_over() {
                        return progress;
                    }
                    let step = &mut self.step;
                    let (found, taken) = self.merge.take(edge, |edge, state| edge.take(state, limit, step));
                    self.untold += taken;
                    if taken > 0 {
                        progress = Progress::Made;
                    } else if found > 0 {
                        return progress;
                    }
                }
                Next::Barrier(barrier) => {
                    if !self.step.barrier(barrier) {
                        return progress;
                    }
                    self.merge.pass_barrier(barrier);
                    progress = Progress::Made;
                }
                Next::Starved => {
                    self.is_told = self.tell(true);
                    return progress;
                }
                Next::Ended => {
                    let (told, next) = match self.end {
                        End::Open => (self.tell(true), End::Told),
                        End::Told => (self.step.frontier(Place::MAX, true), End::Last),
                        End::Last | End::Done => {
                            self.step.end();
                            (true, End::Done)
                        }
                    };
                    if !told {
                        return progress;
                    }
                    self.end = next;
                    progress = Progress::Made;
                }
            }
        }
        progress
    }
}
