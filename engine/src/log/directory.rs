//! A directory with the state of one job: locked as long as it is used.

use crate::log::error::StateError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file whose lock says that the directory is used.
const LOCK: &str = "lock";
/// The snapshot log.
pub(crate) const SNAPSHOTS: &str = "snapshots.log";
/// The journal of a job with live sources.
pub(crate) const JOURNAL: &str = "journal.log";

/// A directory with the state of one job, which no other process can use meanwhile.
pub(crate) struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Takes a directory, which is made where it is not there.
    ///
    /// # Errors
    /// When another process has it, or it cannot be made.
    pub(crate) fn take(path: &Path) -> Result<Self, StateError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(StateError::io(path, "make the directory"))?;
        Self::lock(path, true)
    }

    /// Takes a directory that is there.
    ///
    /// # Errors
    /// When another process has it, or it has no snapshot log.
    pub(crate) fn existing(path: &Path) -> Result<Self, StateError> {
        let log = path.join(SNAPSHOTS);
        std::fs::symlink_metadata(&log).map_err(StateError::io(&log, "open the file"))?;
        Self::lock(path, false)
    }

    /// Looks into a directory, as others may do at the same time; no job uses it meanwhile. A directory without a lock, as
    /// of a copy, is nobody's.
    ///
    /// # Errors
    /// When a job has it.
    pub(crate) fn look(path: &Path) -> Result<Option<Self>, StateError> {
        let lock_path = path.join(LOCK);
        let lock = match open_to_read(&lock_path) {
            Ok(lock) => lock,
            Err(StateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Err(StateError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(StateError::io(&lock_path, "lock the file")(error)),
        }
    }

    fn lock(path: &Path, is_new: bool) -> Result<Self, StateError> {
        let lock_path = path.join(LOCK);
        let lock = open(&lock_path, is_new)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(StateError::io(&lock_path, "lock the file")(error)),
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where the snapshot log is.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.path.join(SNAPSHOTS)
    }

    /// The snapshot log's file, made where it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn log_file(&self) -> Result<File, StateError> {
        self.file(&self.log_path())
    }

    /// Where the journal is.
    pub(crate) fn journal_path(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// The journal's file, made where it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn journal_file(&self) -> Result<File, StateError> {
        self.file(&self.journal_path())
    }

    /// A file in the directory, made where it is not there.
    fn file(&self, path: &Path) -> Result<File, StateError> {
        let file = open(path, true)?;
        // Its name has to be durable before anything in it is.
        let synced = File::open(&self.path).and_then(|directory| directory.sync_all());
        synced.map_err(StateError::io(path, "make the file's name durable"))?;
        Ok(file)
    }
}

/// Opens a file for reading and writing, and no link.
fn open(path: &Path, may_make: bool) -> Result<File, StateError> {
    opened(path, OpenOptions::new().read(true).write(true).create(may_make).truncate(false).mode(0o600))
}

/// Opens a file for reading, and no link.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open_to_read(path: &Path) -> Result<File, StateError> {
    opened(path, OpenOptions::new().read(true))
}

fn opened(path: &Path, options: &OpenOptions) -> Result<File, StateError> {
    let refused = StateError::io(path, "open the file");
    let same = |file: File| {
        // What was opened is what has the name, and not what the name links to.
        let (named, found) = (std::fs::symlink_metadata(path)?, file.metadata()?);
        let is_same = named.is_file() && (named.dev(), named.ino()) == (found.dev(), found.ino());
        if is_same { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
    };
    options.open(path).and_then(same).map_err(refused)
}

/// A number that no other log has.
pub(crate) fn file_id() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
