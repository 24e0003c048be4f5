//! What an import says: while it runs, when it ends, and when it fails; and the file of rejected lines.

use crate::capture::CaptureError;
use crate::codec::{InputError, Reject, SkipReason};
use crate::output::OutputError;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Where an import is.
#[derive(Debug, Clone, Copy)]
pub struct ImportProgress<'a> {
    /// The file being read.
    pub file: &'a Path,
    /// Its place among the inputs, from 0.
    pub file_index: usize,
    /// The number of inputs.
    pub files: usize,
    /// Bytes of the file, as it lies on disk, that were read.
    pub file_bytes_read: u64,
    /// The file's size in bytes; 0 for a pipe.
    pub file_bytes: u64,
    /// Lines or records of all files so far.
    pub read: u64,
    /// Of them, lines or records that were rejected.
    pub rejected: u64,
    /// Files that the import has made and that must not stay if it does not come to its end: the one that is to become
    /// the output, and the one of rejected lines. An import that is asked to stop removes them.
    pub made: &'a [PathBuf],
}

/// What an import did. `read = written + rejected + skipped`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Input files.
    pub files: u64,
    /// Lines or records read.
    pub read: u64,
    /// Events written.
    pub written: u64,
    /// Lines or records rejected; they are in the file of rejects.
    pub rejected: u64,
    /// Lines or records skipped by design.
    pub skipped: u64,
    /// Skipped by reason, in the order of [`SkipReason::ALL`].
    pub skipped_by: [u64; SkipReason::COUNT],
    /// Input files without rows: with no lines, or with blank ones and a header only.
    pub empty_files: u64,
    /// Bytes of the output.
    pub output_bytes: u64,
}

impl ImportReport {
    /// Lines or records that were skipped for this reason.
    pub fn skipped_for(&self, reason: SkipReason) -> u64 {
        self.skipped_by[reason as usize]
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, read, written, rejected, skipped, empty_files, .. } = self;
        write!(
            f,
            "{files} file{}, {read} line{} read: {written} event{} written, {rejected} rejected, {skipped} skipped",
            plural(*files),
            plural(*read),
            plural(*written),
        )?;
        for reason in SkipReason::ALL.into_iter().filter(|&reason| self.skipped_for(reason) > 0) {
            write!(f, "\n  skipped {}: {reason}", self.skipped_for(reason))?;
        }
        match (empty_files, written) {
            (empty, _) if empty == files => f.write_str("\n  the input has no rows, so that there are no events"),
            (0, 0) => f.write_str("\n  nothing that could be read was asked for, so that there are no events"),
            (0, _) => Ok(()),
            (empty, _) => write!(f, "\n  {empty} of the {files} files have no rows"),
        }
    }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// An import failed. There is no output then, or the one from before; the file of rejects stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// An input cannot be read (on).
    #[error("{}: {source}", file.display())]
    Input {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: InputError,
    },
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] CaptureError),
    /// The output, or the file of rejects, cannot be made.
    #[error("{0}")]
    File(#[from] OutputError),
    /// A line was rejected, and the import is strict.
    #[error("{}: {reject}", file.display())]
    Rejected {
        /// The file.
        file: PathBuf,
        /// The line and the reason.
        reject: Reject,
    },
    /// A file has lines, but each of them was rejected.
    #[error(
        "{}: no line could be read; the first of {rejected} rejected is {first}{}{hint}; all are in {}",
        file.display(),
        if hint.is_empty() { "" } else { "; " },
        rejects.display()
    )]
    NothingRead {
        /// The file.
        file: PathBuf,
        /// Its lines or records that were rejected.
        rejected: u64,
        /// The first of them, and the reason.
        first: Box<Reject>,
        /// What may be the cause; empty where nothing is known.
        hint: String,
        /// The file of rejects.
        rejects: PathBuf,
    },
    /// The file of rejects cannot be written.
    #[error("{}: cannot write the rejected lines: {source}", path.display())]
    Rejects {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Neither the options nor a file's name say what its rows are about.
    #[error("{}: the {missing} is neither given nor in the file's name, such as 20131008_bac_Trade_Tick.csv", file.display())]
    Unnamed {
        /// The file.
        file: PathBuf,
        /// What is missing: symbol or date.
        missing: &'static str,
    },
    /// A file has another layout than the ones before it.
    #[error("{}: expected {expected}, as in the files before, found {found}", file.display())]
    Mixed {
        /// The file.
        file: PathBuf,
        /// The layout so far.
        expected: String,
        /// The file's.
        found: String,
    },
    /// There is nothing to import.
    #[error("no input files")]
    NoInput,
    /// The output is one of the inputs.
    #[error("{}: the output is also an input", path.display())]
    OutputIsInput {
        /// The file.
        path: PathBuf,
    },
    /// It was stopped by [`ImportOptions::stop`](super::ImportOptions::stop). There are no rejects either.
    #[error("the import was stopped")]
    Stopped,
}

/// The file of rejected lines; it is made when the first line is.
pub(super) struct Rejects {
    path: PathBuf,
    overwrite: bool,
    writer: Option<csv::Writer<File>>,
}

impl Rejects {
    pub(super) fn new(output: &Path, overwrite: bool) -> Self {
        Self { path: rejects_path(output), overwrite, writer: None }
    }

    fn error(&self, source: impl Into<io::Error>) -> ImportError {
        ImportError::Rejects { path: self.path.clone(), source: source.into() }
    }

    /// Refuses a file that an earlier import left, unless it may be replaced.
    pub(super) fn check(&self) -> Result<(), ImportError> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(_) if !self.overwrite => Err(OutputError::Exists { path: self.path.clone() }.into()),
            _ => Ok(()),
        }
    }

    /// Writes a line, and gives the file's path if it was made for this one.
    pub(super) fn write(&mut self, file: &Path, reject: &Reject) -> Result<Option<PathBuf>, ImportError> {
        let result = match &mut self.writer {
            Some(writer) => put(writer, file, reject).map(|()| None),
            place @ None => {
                let mut open = OpenOptions::new();
                match self.overwrite {
                    true => open.write(true).create(true).truncate(true),
                    false => open.write(true).create_new(true),
                };
                open.open(&self.path).map_err(Into::into).and_then(|created| {
                    let writer = place.insert(csv::Writer::from_writer(created));
                    writer.write_record(["file", "line", "reason", "text"])?;
                    put(writer, file, reject)?;
                    Ok(Some(self.path.clone()))
                })
            }
        };
        result.map_err(|error| self.error(error))
    }

    pub(super) fn flush(&mut self) -> Result<(), ImportError> {
        let result = match &mut self.writer {
            Some(writer) => writer.flush(),
            None => Ok(()),
        };
        result.map_err(|error| self.error(error))
    }

    /// After an import that rejected nothing, removes the rejects of the one whose output it replaces.
    pub(super) fn remove_old(&self) -> Result<(), ImportError> {
        if self.writer.is_some() || !self.overwrite {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error(error)),
            _ => Ok(()),
        }
    }

    /// Removes what this import wrote.
    pub(super) fn remove_new(&self) {
        if self.writer.is_some() {
            // That it cannot be removed is less than what ended the import.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Where the rejected lines of an import to `output` go: `<output>.rejects.csv`.
pub fn rejects_path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".rejects.csv");
    name.into()
}

fn put(writer: &mut csv::Writer<File>, file: &Path, reject: &Reject) -> Result<(), csv::Error> {
    let (file, line) = (file.to_string_lossy(), reject.line.to_string());
    writer.write_record([&*file, &line, &reject.reason.to_string(), &reject.text])
}
