//! How a command ends: done, failed, used wrongly, or stopped by a signal; and what is then said on standard error.

use crate::signals::Signal;
use pelton::{BoxError, Error};
use pelton_io::output::OutputError;
use pelton_io::sink::SinkError;
use std::error::Error as StdError;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments ask for something impossible.
    Usage(String),
    /// Something went wrong.
    Failed(BoxError),
    /// A signal came before the end. What that means for the output has been said.
    Stopped(Signal),
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into().into())
    }

    /// Says why on standard error, and with which code the program ends.
    pub(crate) fn report(self) -> ExitCode {
        let (text, code) = match &self {
            Self::Usage(message) => (message.clone(), 2),
            Self::Stopped(signal) => (format!("stopped by {signal}"), signal.exit_code()),
            Self::Failed(error) => match error.downcast_ref::<Error>() {
                Some(Error::Shape { .. }) => (chain(&**error), 2),
                // Who reads the output, such as `head`, wants no more of it.
                _ if is_broken_pipe(&**error) => return ExitCode::SUCCESS,
                _ if is_existing_file(&**error) => (format!("{}; --overwrite replaces it", chain(&**error)), 1),
                _ => (chain(&**error), 1),
            },
        };
        say(&format!("pelton: {text}"));
        ExitCode::from(code)
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Writes a line to standard error. That it cannot be written has nobody left to be told to.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The message with those of its causes that it does not say itself.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

/// Whether the reader of a pipe, such as `head`, has gone.
pub(crate) fn is_broken_pipe(error: &(dyn StdError + 'static)) -> bool {
    if let Some(Error::Sink { error, .. }) = error.downcast_ref::<Error>() {
        return is_broken_pipe(&**error);
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return error.kind() == io::ErrorKind::BrokenPipe;
    }
    error.source().is_some_and(is_broken_pipe)
}

/// Whether there is a file already where the output should go.
fn is_existing_file(error: &(dyn StdError + 'static)) -> bool {
    if let Some(Error::Sink { error, .. }) = error.downcast_ref::<Error>() {
        return is_existing_file(&**error);
    }
    if let Some(error) = error.downcast_ref::<SinkError>() {
        return error.source.kind() == io::ErrorKind::AlreadyExists;
    }
    match error.downcast_ref::<OutputError>() {
        Some(error) => matches!(error, OutputError::Exists { .. }),
        None => error.source().is_some_and(is_existing_file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Outer(&'static str, io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn causes_are_told_once() {
        let cause = || io::Error::other("the disk is full");
        assert_eq!(chain(&Outer("cannot write", cause())), "cannot write: the disk is full");
        assert_eq!(chain(&Outer("cannot write: the disk is full", cause())), "cannot write: the disk is full");
    }

    #[test]
    fn a_reader_that_has_enough_is_found_behind_other_errors() {
        let pipe = || Outer("cannot write", io::ErrorKind::BrokenPipe.into());
        assert!(is_broken_pipe(&pipe()));
        assert!(is_broken_pipe(&Error::Sink { name: "out".into(), error: pipe().into() }));
        assert!(!is_broken_pipe(&Outer("cannot write", io::ErrorKind::StorageFull.into())));
    }
}
