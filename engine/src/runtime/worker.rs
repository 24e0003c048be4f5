//! A worker: its tasks, stepped downstream first, on a thread of its own or by a driver.

use crate::base::panics;
use crate::runtime::idle::Idler;
use crate::runtime::shared::JobShared;
use crate::runtime::task::{Progress, Task};
use std::sync::Arc;
use std::time::Duration;

/// The whole job over one worker's share of input and keys.
pub(crate) struct Worker {
    /// Those that are not done, downstream first.
    tasks: Vec<Box<dyn Task>>,
    shared: Arc<JobShared>,
}

/// What a step of a worker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerStep {
    /// Nothing could be done now.
    Idle,
    /// Something was done.
    Made,
    /// Something was done, and nothing more can be done now, as far as a worker with a single task knows that.
    CaughtUp,
    /// The worker is at its end, or the job has failed or was stopped.
    Ended,
}

impl WorkerStep {
    /// Whether something was done, after which there may be more to do for this worker or others.
    pub const fn made_progress(self) -> bool {
        matches!(self, Self::Made | Self::CaughtUp)
    }
}

/// Runs `body`; a panic in it ends the job with an error and gives `None`.
pub(crate) fn caught<R>(shared: &JobShared, body: impl FnOnce() -> R) -> Option<R> {
    panics::catch(body).map_err(|panic| shared.fail_with_panic(panic)).ok()
}

impl Worker {
    /// A worker with these tasks, downstream first.
    pub(crate) const fn new(tasks: Vec<Box<dyn Task>>, shared: Arc<JobShared>) -> Self {
        Self { tasks, shared }
    }

    /// Runs each task once. A panic in a function of the user's ends the job with an error.
    pub(crate) fn step(&mut self) -> WorkerStep {
        if self.shared.is_halted() {
            return WorkerStep::Ended;
        }
        let Self { tasks, shared } = self;
        let stepped = caught(shared, || {
            // What one task has done may be work for another.
            let is_alone = tasks.len() == 1;
            let (mut made, mut caught_up) = (false, false);
            tasks.retain_mut(|task| {
                let progress = task.run();
                made |= progress != Progress::Idle;
                caught_up = is_alone && progress == Progress::CaughtUp;
                progress != Progress::Done
            });
            match made {
                _ if tasks.is_empty() || shared.is_halted() => WorkerStep::Ended,
                true if caught_up => WorkerStep::CaughtUp,
                true => WorkerStep::Made,
                false => WorkerStep::Idle,
            }
        });
        stepped.unwrap_or(WorkerStep::Ended)
    }

    /// How long none of the tasks has an event of its own, where that is known.
    fn until_due(&self) -> Option<Duration> {
        let due = self.tasks.iter().filter_map(|task| task.due()).min()?;
        Some(due.saturating_sub(self.shared.clock.now()))
    }

    /// Steps until the end.
    pub(crate) fn run(&mut self, mut idler: Idler) {
        loop {
            match self.step() {
                WorkerStep::Made | WorkerStep::CaughtUp => idler.reset(),
                WorkerStep::Idle => idler.wait(|| self.until_due()),
                WorkerStep::Ended => return,
            }
        }
    }
}
