//! What the workers of a job share: stopping, failing, the clock, the dictionary.

use crate::base::panics::Panic;
use crate::{Clock, Dictionary, Error};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What the workers of a job share.
pub(crate) struct JobShared {
    /// Everything stops at once: the job failed, or was told to.
    halted: AtomicBool,
    /// The sources stop, the rest goes on to the end.
    draining: AtomicBool,
    /// Nothing is held back for the sake of a recorded speed.
    hurrying: AtomicBool,
    /// The job was stopped at a savepoint.
    at_savepoint: AtomicBool,
    failure: Mutex<Option<Error>>,
    pub(crate) symbols: Arc<Dictionary>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl JobShared {
    pub(crate) fn new(symbols: Arc<Dictionary>, clock: Arc<dyn Clock>) -> Self {
        Self {
            halted: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            hurrying: AtomicBool::new(false),
            at_savepoint: AtomicBool::new(false),
            failure: Mutex::new(None),
            symbols,
            clock,
        }
    }

    /// Ends the job with an error; the first one counts.
    pub(crate) fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.halt();
    }

    /// Ends the job with a panic that was caught, and prints it: the error may be the second one, or nobody's.
    pub(crate) fn fail_with_panic(&self, panic: Panic) {
        let error = Error::Panicked {
            step: panic.blame.step.as_deref().unwrap_or("a source or sink").to_owned(),
            position: panic.blame.position.clone().unwrap_or_else(|| "no event".to_owned()),
            location: panic.location().to_owned(),
            message: panic.message.clone(),
        };
        let told = error.to_string();
        self.fail(error);
        panic.tell(&told);
    }

    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn halt(&self) {
        self.halted.store(true, Ordering::Release);
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Has events given on at once that a recorded speed would hold back.
    pub(crate) fn hurry(&self) {
        self.hurrying.store(true, Ordering::Release);
    }

    pub(crate) fn is_hurrying(&self) -> bool {
        self.is_draining() || self.hurrying.load(Ordering::Acquire)
    }

    /// Stops the job, whose state is saved where it stands.
    pub(crate) fn stop_at_savepoint(&self) {
        self.at_savepoint.store(true, Ordering::Release);
        self.halt();
    }

    pub(crate) fn is_at_savepoint(&self) -> bool {
        self.at_savepoint.load(Ordering::Acquire)
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
