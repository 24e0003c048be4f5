//! What can be wrong with a state directory.

use std::io;
use std::path::{Path, PathBuf};

/// State could not be saved or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// Another process uses the directory.
    #[error("{}: another process uses this state directory", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The file is no snapshot log.
    #[error("{}: not a snapshot log: {reason}", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
        /// What it is instead, as far as known.
        reason: String,
    },
    /// The file is no journal.
    #[error("{}: not a journal: {reason}", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// What it is instead, as far as known.
        reason: String,
    },
    /// The log is of a format that this version does not know.
    #[error("{}: a file of format version {found}, this program reads version {expected}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that is read.
        expected: u32,
        /// The file's version.
        found: u32,
    },
    /// What was committed is not what it should be.
    #[error("{}: damaged at byte {offset}: {what}: expected {expected}, found {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, in bytes from the file's start.
        offset: u64,
        /// Which part.
        what: &'static str,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// There is no room for a checkpoint. What was committed before is as it was.
    #[error("{}: there is no room for {wanted} more bytes: {source}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// So many bytes were wanted.
        wanted: u64,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Something could not be made durable before, so nothing is committed any more.
    #[error("{}: nothing is committed after a failed write: {reason}", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// The journal does not have what is asked of it.
    #[error("{}: {reason}", path.display())]
    JournalMisfit {
        /// The file.
        path: PathBuf,
        /// What is asked, and what there is.
        reason: String,
    },
    /// The job is not the one whose state was saved.
    #[error("{}: the saved state does not fit this job: {reason}", path.display())]
    Misfit {
        /// The file.
        path: PathBuf,
        /// What differs, with both sides.
        reason: String,
    },
}

impl StateError {
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source }
    }

    /// Damage at a place.
    pub(crate) fn damaged(
        (path, offset): (&Path, u64),
        what: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        Self::Damaged { path: path.to_owned(), offset, what, expected, found }
    }

    /// What is asked of a journal is not in it.
    pub(crate) fn journal_misfit(path: &Path, reason: impl Into<String>) -> Self {
        Self::JournalMisfit { path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn misfit(path: &Path, reason: impl Into<String>) -> Self {
        Self::Misfit { path: path.to_owned(), reason: reason.into() }
    }
}
