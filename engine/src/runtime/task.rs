//! The one trait the worker knows, and the task behind an exchange.

use crate::progress::mark::BlockMark;
use crate::progress::merge::{Merge, Next};
use crate::progress::place::Order;
use crate::runtime::outlet::{Rows, extremes};
use crate::runtime::stage::Stage;

/// What a call of [`Task::run`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing could be done now.
    Idle,
    /// Something was done.
    Made,
    /// Nothing is left to do, ever.
    Done,
}

/// A piece of work that a worker steps.
pub(crate) trait Task {
    /// Does a bounded amount of work.
    fn run(&mut self) -> Progress;
}

/// Runs and marks that one call handles at most.
const STEPS_MAX: usize = 64;

/// Takes rows from the edges of an exchange, in order, and gives them to a stage.
pub(crate) struct MergeTask<O, T, S> {
    merge: Merge<O, T>,
    stage: S,
    /// Whether the end of all edges fires what is left: no block's end did.
    fires_at_end: bool,
    ended: bool,
    /// Nothing could be taken, and all who wait know it.
    is_told: bool,
}

impl<O, T, S> MergeTask<O, T, S> {
    pub(crate) const fn new(merge: Merge<O, T>, stage: S) -> Self {
        Self { merge, stage, fires_at_end: false, ended: false, is_told: false }
    }

    /// A task behind combiners: their last rows come behind the last block.
    pub(crate) const fn behind_combiners(merge: Merge<O, T>, stage: S) -> Self {
        Self { merge, stage, fires_at_end: true, ended: false, is_told: false }
    }
}

impl<O: Order, T: bytemuck::Pod + Send, S: Stage<T>> Task for MergeTask<O, T, S> {
    fn run(&mut self) -> Progress {
        let mut progress = Progress::Idle;
        for _ in 0..STEPS_MAX {
            if !self.stage.is_ready() {
                self.stage.frontier(self.merge.lower_bound());
                self.is_told = false;
                return progress;
            }
            if self.ended {
                return Progress::Done;
            }
            if self.is_told && !self.merge.has_news() {
                return progress;
            }
            self.is_told = false;
            let stage = &mut self.stage;
            let next = self.merge.next(|rows| {
                let (bounds, behind) = (extremes(rows.times), rows.behind);
                stage.rows(Rows { bounds, behind, ..Rows::new(rows.times, rows.values, rows.places) })
            });
            match next {
                Next::Rows { given, taken } => {
                    if taken > 0 {
                        progress = Progress::Made;
                    }
                    if taken == 0 && given > 0 {
                        return progress;
                    }
                }
                Next::BlockEnd(mark) => {
                    self.stage.mark(mark);
                    progress = Progress::Made;
                }
                Next::Starved(place) => {
                    self.is_told = self.stage.frontier(place);
                    return progress;
                }
                Next::Ended if self.fires_at_end => {
                    self.fires_at_end = false;
                    self.stage.mark(BlockMark::LAST);
                    progress = Progress::Made;
                }
                Next::Ended => {
                    self.stage.end();
                    self.ended = true;
                    progress = Progress::Made;
                }
            }
        }
        progress
    }
}
