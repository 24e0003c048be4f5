//! Signals that ask the command to end: SIGINT, as from Ctrl-C, and SIGTERM.
//!
//! The first one asks: what runs stops, says what is missing and removes its temporary files. The
//! second one, or the first while nothing runs that could be asked, ends the process at once, after
//! the temporary files that are known here are removed.

use crate::error::{Failure, say};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A signal that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(i32);

impl Signal {
    /// The exit code of a process that it ended, as shells have it: 130 and 143.
    pub(crate) fn exit_code(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(1)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SIGINT => f.write_str("SIGINT"),
            SIGTERM => f.write_str("SIGTERM"),
            number => write!(f, "signal {number}"),
        }
    }
}

/// What is done when a signal comes.
#[derive(Default)]
struct State {
    received: Option<Signal>,
    /// Asks what runs now to stop.
    ask: Option<Box<dyn Fn() + Send>>,
    /// Files and directories that must not stay.
    temporary: Vec<PathBuf>,
    /// Whether already the first signal ends the process.
    at_once: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    stopping: Arc<AtomicBool>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The signals of this process, from [`Signals::watch`] on.
#[derive(Clone)]
pub(crate) struct Signals(Arc<Shared>);

impl Signals {
    /// From now on a signal asks and does not end the process.
    pub(crate) fn watch() -> Result<Self, Failure> {
        let signals = Self(Arc::default());
        let mut coming = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        let shared = signals.0.clone();
        let receive = move || coming.forever().for_each(|number| receive(&shared, Signal(number)));
        thread::Builder::new().name("pelton-signals".into()).spawn(receive)?;
        Ok(signals)
    }

    /// The first signal, if one came.
    pub(crate) fn received(&self) -> Option<Signal> {
        self.0.state().received
    }

    /// Fails when a signal has come; for loops that look from time to time.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.received() {
            Some(signal) => Err(Failure::Stopped(signal)),
            None => Ok(()),
        }
    }

    /// Turns true with the first signal.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        self.0.stopping.clone()
    }

    /// Calls `ask` when the first signal comes, or now if it has come already.
    pub(crate) fn on_first(&self, ask: impl Fn() + Send + 'static) {
        let mut state = self.0.state();
        if state.received.is_some() {
            ask();
        }
        state.ask = Some(Box::new(ask));
    }

    /// Has a file or directory removed should a signal end the process at once.
    pub(crate) fn remove_at_exit(&self, path: impl Into<PathBuf>) {
        let (path, mut state) = (path.into(), self.0.state());
        if !state.temporary.contains(&path) {
            state.temporary.push(path);
        }
    }

    /// From now on nothing is removed: what was made is complete, or gone.
    pub(crate) fn keep(&self) {
        self.0.state().temporary.clear();
    }

    /// From now on the first signal ends the process: there is nothing left that must be asked.
    pub(crate) fn end_at_once(&self) -> Result<(), Failure> {
        let mut state = self.0.state();
        state.at_once = true;
        match state.received {
            Some(signal) => Err(Failure::Stopped(signal)),
            None => Ok(()),
        }
    }
}

fn receive(shared: &Shared, signal: Signal) {
    let mut state = shared.state();
    if state.at_once || state.received.is_some() {
        for path in &state.temporary {
            // What cannot be removed has nobody left to be told to.
            let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
        say(&format!("pelton: {signal}: ended at once"));
        signal_hook::low_level::exit(signal.exit_code().into());
    }
    say(&format!("pelton: {signal}: stopping; a second signal ends the command at once"));
    state.received = Some(signal);
    shared.stopping.store(true, Ordering::Relaxed);
    if let Some(ask) = &state.ask {
        ask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn the_first_signal_asks_whether_it_comes_before_or_after() {
        let asked = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let asked = asked.clone();
            move || {
                asked.fetch_add(1, Ordering::Relaxed);
            }
        };
        let before = Signals(Arc::default());
        receive(&before.0, Signal(SIGTERM));
        before.on_first(ask());
        let after = Signals(Arc::default());
        after.on_first(ask());
        assert!(after.check().is_ok() && !after.flag().load(Ordering::Relaxed));
        receive(&after.0, Signal(SIGINT));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert!(after.flag().load(Ordering::Relaxed));
        let signals =
            [before, after].map(|signals| signals.received().map(|signal| (signal.to_string(), signal.exit_code())));
        assert_eq!(signals, [Some(("SIGTERM".into(), 143)), Some(("SIGINT".into(), 130))]);
    }
}
