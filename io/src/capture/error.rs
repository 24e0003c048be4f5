//! What can be wrong with a capture.

use pelton::DictionaryError;
use std::io;
use std::path::{Path, PathBuf};

/// A capture could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
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
    /// The file does not start as a capture does.
    #[error("{}: not a capture: {reason}", path.display())]
    NotACapture {
        /// The file.
        path: PathBuf,
        /// What it is instead, as far as known.
        reason: String,
    },
    /// The capture is of a format that this version does not know.
    #[error("{}: capture format version {found}, this program reads version {expected}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that is read.
        expected: u32,
        /// The file's version.
        found: u32,
    },
    /// The header, the index or the trailer is not what it should be.
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
    /// A block of events is not what the index says.
    #[error("{}: damaged block {block} at byte {offset}: {what}: expected {expected}, found {found}", path.display())]
    Block {
        /// The file.
        path: PathBuf,
        /// The block's number, from 0.
        block: usize,
        /// Where it starts, in bytes from the file's start.
        offset: u64,
        /// Which part.
        what: &'static str,
        /// What the index says.
        expected: String,
        /// What is there.
        found: String,
    },
    /// There is no such block.
    #[error("{}: there is no block {block} among {blocks}", path.display())]
    NoBlock {
        /// The file.
        path: PathBuf,
        /// The number asked for.
        block: usize,
        /// How many there are.
        blocks: usize,
    },
    /// The capture holds events of another layout than asked for.
    #[error("{}: other events than asked for\n  asked for: {expected}\n  the file:  {found}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// The layout asked for, as [`pelton::Layout::schema`] writes it.
        expected: String,
        /// The file's layout.
        found: String,
    },
    /// A layout that captures do not hold, such as one without an event time.
    #[error("{}: a capture cannot hold this layout: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A field of the capture cannot become the field it is mapped to.
    #[error("{}: field `{to}` cannot be taken from `{from}`: {reason}", path.display())]
    Projection {
        /// The file.
        path: PathBuf,
        /// The field of the event asked for.
        to: String,
        /// The field of the file.
        from: String,
        /// Why.
        reason: String,
    },
    /// A value does not fit the field it is mapped to.
    #[error("{}: block {block}, event {event}: the value {value} of `{field}` does not fit {kind}", path.display())]
    OutOfRange {
        /// The file.
        path: PathBuf,
        /// The block's number, from 0.
        block: usize,
        /// The event's number in the block, from 0.
        event: usize,
        /// The field of the file.
        field: String,
        /// The value.
        value: i128,
        /// The type it should have fitted.
        kind: pelton::FieldKind,
    },
    /// A symbol was refused.
    #[error("{}: {source}", path.display())]
    Symbol {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DictionaryError,
    },
    /// The file would become larger than its index can describe.
    #[error("{}: {what}: {found} is more than the limit of {limit}", path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// What, with its unit.
        what: &'static str,
        /// The largest possible.
        limit: u64,
        /// What was asked for.
        found: u64,
    },
    /// The writer has failed before; what was written up to then is an unfinished capture.
    #[error("{}: not written: the writer has failed before", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
    },
}

/// A part of a file that is not as it should be, before the file is known.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) what: &'static str,
    /// Bytes from the start of the part that was looked at.
    pub(super) at: u64,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Mismatch {
    pub(super) fn new(what: &'static str, at: usize, expected: impl ToString, found: impl ToString) -> Self {
        Self { what, at: at as u64, expected: expected.to_string(), found: found.to_string() }
    }

    /// As an error of the file's structure; `base` is where the part starts.
    pub(super) fn damaged(self, path: &Path, base: u64) -> CaptureError {
        CaptureError::Damaged {
            path: path.to_owned(),
            offset: base.saturating_add(self.at),
            what: self.what,
            expected: self.expected,
            found: self.found,
        }
    }
}

pub(super) fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> CaptureError {
    move |source| CaptureError::Io { path: path.to_owned(), action, source }
}
