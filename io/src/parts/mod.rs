//! Files that a sink writes under names of their own, and that get their final names when they are whole and committed.
//!
//! ```text
//!           start                seal                   checkpoint N: sync, commit
//! (nothing) ─────► in progress ──────► waits, whole ───────────────────────────────► final name
//!                      └── checkpoint: its committed length
//! ```
//! Without checkpoints a file gets its name where it is sealed. With them, the position of a checkpoint lists the files
//! that wait, and how far the one in progress has come. What comes of a crash at any point, [`Parts::restore`] takes
//! back to a checkpoint: files that waited there have their names, the one in progress is cut, and all others of
//! these names that no checkpoint knows are gone.

mod names;
mod position;
mod recover;
mod roll;
mod standing;
#[cfg(test)]
mod tests;

pub(crate) use roll::RollKind;
pub use roll::{Roll, Rolling};
pub(crate) use standing::Standing;

use crate::disk::{Disk, DiskFile, OsDisk};
use crate::output::Target;
use crate::sink::SinkError;
use names::{Names, Part};
use pelton::{BoxError, SinkCheckpoint};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most files that wait for a checkpoint to be synced. One that is sealed when so many wait is synced at once.
const UNSYNCED_MAX: usize = 64;

/// How often an append is tried that is interrupted.
pub(crate) const INTERRUPTS_MAX: usize = 100;

/// The files of a sink.
pub(crate) struct Parts {
    /// As it was given.
    path: PathBuf,
    disk: Arc<dyn Disk>,
    names: Names,
    overwrites: bool,
    /// Whether the job takes checkpoints, which its sinks are asked for before the first row.
    takes_checkpoints: bool,
    is_restored: bool,
    is_finished: bool,
    /// The number of the next file.
    next: u64,
    current: Option<Current>,
    waiting: Arc<Mutex<Vec<Waiting>>>,
    /// Whether a file was made since names were last given to a checkpoint to be synced.
    has_new_names: bool,
}

/// The file that is written.
struct Current {
    part: Part,
    file: Arc<dyn DiskFile>,
}

/// A whole file without its final name.
#[derive(Clone)]
struct Waiting {
    part: Part,
    standing: Standing,
    /// Until it is synced.
    unsynced: Option<Arc<dyn DiskFile>>,
}

type Waitings = Arc<Mutex<Vec<Waiting>>>;

fn lock(waiting: &Waitings) -> MutexGuard<'_, Vec<Waiting>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> SinkError {
    move |source| SinkError { path: path.to_owned(), action, source }
}

impl Parts {
    /// One file, which gets this name in the end. One that has the name is replaced then.
    pub(crate) fn one(path: &Path, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let target = Target::new(path, true).map_err(io::Error::other)?;
        let not_regular = || io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
        Ok(Self::new(path, Names::one(target.file().ok_or_else(not_regular)?)?, true, disk))
    }

    /// Files that roll; where they have no extension, they get this one.
    pub(crate) fn rolling(rolling: &Rolling, extension: &str) -> io::Result<Self> {
        let names = Names::rolling(&rolling.path, rolling.roll, extension)?;
        Ok(Self::new(&rolling.path, names, rolling.overwrites, rolling.disk.clone()))
    }

    fn new(path: &Path, names: Names, overwrites: bool, disk: Arc<dyn Disk>) -> Self {
        Self {
            path: path.to_owned(),
            disk,
            names,
            overwrites,
            takes_checkpoints: false,
            is_restored: false,
            is_finished: false,
            next: 0,
            current: None,
            waiting: Arc::default(),
            has_new_names: false,
        }
    }

    /// The path, as it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// When the files roll; `None` where there is one.
    pub(crate) const fn roll(&self) -> Option<Roll> {
        self.names.roll
    }

    /// Whether the job takes checkpoints.
    pub(crate) const fn takes_checkpoints(&self) -> bool {
        self.takes_checkpoints
    }

    /// Whether the last file was sealed, now or in an earlier run.
    pub(crate) const fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Begins to write: whatever is there under such names is removed, or in the way. Nothing is done where the files go on
    /// from a checkpoint.
    pub(crate) fn begin(&mut self) -> Result<(), SinkError> {
        if self.is_restored {
            return Ok(());
        }
        let directory = &self.names.directory;
        let found = self.disk.names(directory).map_err(refused(directory, "list the directory"))?;
        for (name, found) in found.iter().filter_map(|name| Some((name, self.names.find(name)?))) {
            // A single file is replaced when the new one is whole.
            if self.overwrites && self.names.roll.is_none() && !found.is_in_progress {
                continue;
            }
            let path = directory.join(name);
            let removed = match self.overwrites {
                true => self.disk.remove(&path),
                false => Err(io::ErrorKind::AlreadyExists.into()),
            };
            removed.map_err(refused(&path, "write to the file"))?;
            self.has_new_names = true;
        }
        Ok(())
    }

    /// The hour or day of the file that is written; `None` where none is.
    pub(crate) fn period(&self) -> Option<i64> {
        self.current.as_ref().map(|current| current.part.period)
    }

    /// Makes the next file.
    pub(crate) fn start(&mut self, period: i64) -> Result<Appending, SinkError> {
        let part = Part { number: self.next, period };
        let path = self.names.in_progress(part);
        let file = self.disk.create(&path).map_err(refused(&path, "create the file"))?;
        self.next += 1;
        self.has_new_names = true;
        self.current = Some(Current { part, file: file.clone() });
        Ok(Appending(file))
    }

    /// The file that is written.
    pub(crate) fn current(&self) -> Option<Appending> {
        self.current.as_ref().map(|current| Appending(current.file.clone()))
    }

    /// The name of the file that is written, for errors.
    pub(crate) fn current_path(&self) -> PathBuf {
        self.current.as_ref().map_or_else(|| self.path.clone(), |current| self.names.in_progress(current.part))
    }

    /// Nothing more is written to the current file: it gets its name now, or behind the next checkpoint.
    pub(crate) fn seal(&mut self) -> Result<(), SinkError> {
        let Some(Current { part, file }) = self.current.take() else { return Ok(()) };
        let path = self.names.in_progress(part);
        let standing = Standing::of(&*file).map_err(refused(&path, "look at the file"))?;
        let standing = standing.ok_or(io::ErrorKind::InvalidInput.into()).map_err(refused(&path, "seal the file"))?;
        let is_synced = !self.takes_checkpoints || lock(&self.waiting).len() >= UNSYNCED_MAX;
        if is_synced {
            file.sync().map_err(refused(&path, "make the rows durable"))?;
        }
        if self.takes_checkpoints {
            let unsynced = if is_synced { None } else { Some(file) };
            lock(&self.waiting).push(Waiting { part, standing, unsynced });
            return Ok(());
        }
        self.naming().name(part)?;
        self.naming().sync_names()
    }

    /// Seals the last file.
    pub(crate) fn finish(&mut self) -> Result<(), SinkError> {
        self.seal()?;
        self.is_finished = true;
        Ok(())
    }

    /// Where the files stand, all that was given to them so far; `rest` is what their contents need to go on.
    pub(crate) fn checkpoint(&mut self, rest: &[u8]) -> Result<SinkCheckpoint, BoxError> {
        self.takes_checkpoints = true;
        let current = match &self.current {
            None => None,
            Some(Current { part, file }) => {
                let path = self.names.in_progress(*part);
                let standing = Standing::of(&**file).map_err(refused(&path, "look at the file"))?;
                Some((*part, standing.ok_or("the file in progress is no regular file")?))
            }
        };
        let position = self.position(current, rest);
        let (naming, waiting) = (self.naming(), self.waiting.clone());
        let written =
            self.current.as_ref().map(|current| (naming.names.in_progress(current.part), current.file.clone()));
        let has_new_names = std::mem::take(&mut self.has_new_names);
        let (naming_later, waiting_later) = (self.naming(), self.waiting.clone());
        // The one in progress may be whole before this is committed, and is still not covered by it.
        let before = self.current.as_ref().map_or(self.next, |current| current.part.number);
        Ok(SinkCheckpoint::new(position)
            .sync(move || {
                sync_all(&naming, &waiting, before)?;
                if let Some((path, file)) = written {
                    file.sync().map_err(refused(&path, "make the rows durable"))?;
                }
                if has_new_names {
                    naming.sync_names()?;
                }
                Ok(())
            })
            .commit(move || Ok(name_all(&naming_later, &waiting_later, before)?)))
    }

    fn naming(&self) -> Naming {
        Naming { disk: self.disk.clone(), names: self.names.clone(), overwrites: self.overwrites }
    }
}

/// What gives files their names.
struct Naming {
    disk: Arc<dyn Disk>,
    names: Names,
    overwrites: bool,
}

impl Naming {
    fn name(&self, part: Part) -> Result<(), SinkError> {
        let (from, to) = (self.names.in_progress(part), self.names.named(part));
        self.disk.rename(&from, &to, self.overwrites).map_err(refused(&to, "give the file its name"))
    }

    fn sync_names(&self) -> Result<(), SinkError> {
        let directory = &self.names.directory;
        self.disk.sync_names(directory).map_err(refused(directory, "make the files' names durable"))
    }
}

/// Makes the files that wait durable, of those with lesser numbers than this, to which none is added meanwhile.
fn sync_all(naming: &Naming, waiting: &Waitings, before: u64) -> Result<(), SinkError> {
    // A copy: whoever writes meanwhile does not wait for the disk.
    let unsynced: Vec<Waiting> = lock(waiting).iter().filter(|waiting| waiting.part.number < before).cloned().collect();
    for Waiting { part, unsynced, .. } in unsynced {
        if let Some(file) = unsynced {
            file.sync().map_err(refused(&naming.names.in_progress(part), "make the rows durable"))?;
        }
    }
    let mut waiting = lock(waiting);
    waiting.iter_mut().filter(|waiting| waiting.part.number < before).for_each(|waiting| waiting.unsynced = None);
    Ok(())
}

/// Gives the files that wait their names, of those with lesser numbers than this, to which none is added meanwhile.
fn name_all(naming: &Naming, waiting: &Waitings, before: u64) -> Result<(), SinkError> {
    let parts: Vec<Part> =
        lock(waiting).iter().map(|waiting| waiting.part).filter(|part| part.number < before).collect();
    if parts.is_empty() {
        return Ok(());
    }
    parts.iter().try_for_each(|part| naming.name(*part))?;
    naming.sync_names()?;
    lock(waiting).retain(|waiting| waiting.part.number >= before);
    Ok(())
}

/// Appends to a file.
#[derive(Clone)]
pub(crate) struct Appending(Arc<dyn DiskFile>);

impl Appending {
    pub(crate) fn file(&self) -> &dyn DiskFile {
        &*self.0
    }
}

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Who writes all tries again for ever when it is interrupted.
        for _ in 0..INTERRUPTS_MAX {
            match self.0.append(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
        Err(io::Error::other(format!("it was interrupted {INTERRUPTS_MAX} times")))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The directory's default disk.
pub(crate) fn os_disk() -> Arc<dyn Disk> {
    Arc::new(OsDisk)
}
