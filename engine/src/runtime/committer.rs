//! Makes durable what was journaled, much at once: on a thread of its own, while workers go on.

use crate::Error;
use crate::log::journal::Journal;
use crate::runtime::shared::JobShared;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long it sleeps at most, so that it sees when the job has ended.
const WAIT_MAX: Duration = Duration::from_millis(20);

/// Makes a journal durable.
pub(crate) struct Committer {
    pub(crate) journal: Arc<Journal>,
    /// The least time from one sync to the next.
    pub(crate) every: Duration,
    pub(crate) shared: Arc<JobShared>,
}

impl Committer {
    fn is_over(&self) -> bool {
        self.journal.is_closed() || self.shared.is_halted()
    }

    /// Makes durable what comes until the job has ended.
    pub(crate) fn run(&self) {
        let mut is_committed = true;
        while is_committed && !self.is_over() {
            self.journal.wait_for_news(WAIT_MAX);
            let begun = Instant::now();
            is_committed = self.commit();
            self.journal.grow_ahead();
            while !self.is_over() && begun.elapsed() < self.every {
                std::thread::sleep(self.every.saturating_sub(begun.elapsed()).min(WAIT_MAX));
            }
        }
        // Also what a job that was stopped has accepted.
        if is_committed {
            self.commit();
        }
    }

    /// Makes durable what there is; whether it is. A failure ends the job.
    pub(crate) fn commit(&self) -> bool {
        self.journal.commit().map_err(|error| self.shared.fail(Error::State(error))).is_ok()
    }
}
