//! What the harness found: the mode, the step, what was expected and what was there.

use std::any::Any;
use std::fmt;

/// Why an operator did not stand the harness.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    pub(super) mode: String,
    pub(super) step: Option<String>,
    pub(super) what: String,
}

impl Failure {
    /// How the operator was run, in words; what to search for when it fails in one way only.
    pub fn mode(&self) -> &str {
        &self.mode
    }

    /// The step of the script in words, where the failure belongs to one.
    pub fn step(&self) -> Option<&str> {
        self.step.as_deref()
    }

    /// What is wrong, with what was expected and what was found.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the operator failed with {}", self.mode)?;
        if let Some(step) = &self.step {
            write!(f, ",\nat {step}")?;
        }
        write!(f, ":\n{}", self.what)
    }
}

// The text of `Display`, since that is what `unwrap` shows.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

/// The outcome of a [`Verify`](super::Verify): to be looked at or to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a failure is found only by `check` or `result`"]
pub struct Verdict(pub(super) Result<(), Failure>);

impl Verdict {
    /// Ends a test whose operator failed.
    ///
    /// # Panics
    /// With the description of the failure.
    #[track_caller]
    pub fn check(self) {
        if let Err(failure) = self.0 {
            panic!("{failure}");
        }
    }

    /// The failure, where there is one.
    ///
    /// # Errors
    /// When the operator failed.
    pub fn result(self) -> Result<(), Failure> {
        self.0
    }
}

/// What a panic says.
pub(super) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| String::from("(no text)"))
}
