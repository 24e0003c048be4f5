//! A worker: its tasks, stepped downstream first, on a thread of its own or by a driver.

use crate::base::panics;
use crate::runtime::idle::Idler;
use crate::runtime::shared::JobShared;
use crate::runtime::task::{Progress, Task};
use std::sync::Arc;
use std::time::Duration;

/// The whole job over one worker's share of input and keys.
pub(crate) struct Worker {
    /// Downstream first; `None` where a task is done.
    tasks: Vec<Option<Box<dyn Task>>>,
    shared: Arc<JobShared>,
}

/// What a step of a worker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerStep {
    /// Nothing could be done now.
    Idle,
    /// Something was done.
    Made,
    /// The worker is at its end, or the job has failed or was stopped.
    Ended,
}

/// Runs `body`; a panic in it ends the job with an error and gives `None`.
pub(crate) fn caught<R>(shared: &JobShared, body: impl FnOnce() -> R) -> Option<R> {
    panics::catch(body).map_err(|panic| shared.fail_with_panic(panic)).ok()
}

impl Worker {
    /// A worker with these tasks, downstream first.
    pub(crate) fn new(tasks: Vec<Box<dyn Task>>, shared: Arc<JobShared>) -> Self {
        Self { tasks: tasks.into_iter().map(Some).collect(), shared }
    }

    /// Runs each task once. A panic in a function of the user's ends the job with an error.
    pub(crate) fn step(&mut self) -> WorkerStep {
        if self.shared.is_halted() {
            return WorkerStep::Ended;
        }
        let tasks = &mut self.tasks;
        let stepped = caught(&self.shared, || {
            let mut made = false;
            let mut left = false;
            for slot in tasks.iter_mut() {
                match slot.as_mut().map(|task| task.run()) {
                    Some(Progress::Done) => {
                        made = true;
                        *slot = None;
                    }
                    Some(Progress::Made) => {
                        made = true;
                        left = true;
                    }
                    Some(Progress::Idle) => left = true,
                    None => {}
                }
            }
            (made, left)
        });
        match stepped {
            None | Some((_, false)) => WorkerStep::Ended,
            Some((true, true)) => WorkerStep::Made,
            Some((false, true)) => WorkerStep::Idle,
        }
    }

    /// How long none of the tasks has an event of its own, where that is known.
    fn until_due(&self) -> Option<Duration> {
        let due = self.tasks.iter().flatten().filter_map(|task| task.due()).min()?;
        Some(due.saturating_sub(self.shared.clock.now()))
    }

    /// Steps until the end.
    pub(crate) fn run(&mut self, mut idler: Idler) {
        loop {
            match self.step() {
                WorkerStep::Made => idler.reset(),
                WorkerStep::Idle => idler.wait(|| self.until_due()),
                WorkerStep::Ended => return,
            }
        }
    }
}
