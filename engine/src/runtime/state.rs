//! Where the state of a job is kept, and what is found there.

use crate::Timestamp;
use crate::log::error::StateError;
use crate::log::journal::{self, Found, From, Journal, JournalSource, SourceFrom};
use crate::log::storage::{FileStorage, Handles, Storage};
use crate::log::{Kept, LogOptions, MappedStorage, SNAPSHOTS, SnapshotLog, StateDirectory, file_id, open_to_read};
use crate::runtime::checkpointer::{Interval, OpenState};
use crate::runtime::cuts::JournalCuts;
use crate::runtime::live::LiveSources;
use crate::runtime::migration::{Migration, migrate};
use crate::runtime::recovery::Recovered;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where state is kept.
#[derive(Clone)]
pub(crate) enum StatePlace {
    Directory(PathBuf),
    /// Taken by the first job that is run with it.
    Storage(SharedStorage),
}

/// Storage that is taken by the first job that wants it.
pub(crate) type SharedStorage = Arc<Mutex<Option<Box<dyn Storage>>>>;

fn taken(storage: &SharedStorage, path: &Path) -> Result<Box<dyn Storage>, StateError> {
    let taken = storage.lock().unwrap_or_else(PoisonError::into_inner).take();
    taken.ok_or_else(|| StateError::Locked { path: path.to_owned() })
}

/// How live sources are journaled.
#[derive(Clone)]
pub(crate) struct JournalSettings {
    /// Where the journal is kept, if not in the directory of the state.
    pub(crate) storage: Option<SharedStorage>,
    /// The least time from one sync to the next.
    pub(crate) commit_every: Duration,
    /// Whether what comes is given on only when it is durable.
    pub(crate) waits: bool,
    pub(crate) keep: JournalKeep,
}

/// How much of the journal of live sources is kept.
///
/// ```
/// use pelton::{CheckpointOptions, JournalKeep};
///
/// let checkpoints = CheckpointOptions::in_directory("state").journal_keep(JournalKeep::Checkpoints);
/// # let _ = checkpoints;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum JournalKeep {
    /// All of it, so that what came can be replayed from its start.
    #[default]
    All,
    /// What the newest checkpoints need, as many as are [kept](crate::CheckpointOptions::kept): what came since the oldest
    /// of them. The room of the rest is given back. An older savepoint that is kept beside them is of no use then.
    Checkpoints,
}

/// How checkpoints are taken, and what a job goes on from.
#[derive(Clone)]
pub(crate) struct StateSettings {
    pub(crate) place: StatePlace,
    pub(crate) interval: Interval,
    pub(crate) log: LogOptions,
    /// Bytes of state that a step gives to a checkpoint between two batches.
    pub(crate) slice_bytes: usize,
    /// Event time at which the job stops at a savepoint.
    pub(crate) stop_at: Option<Timestamp>,
    /// Whether an older checkpoint will do where the newest is damaged.
    pub(crate) may_fall_back: bool,
    /// Whether state may be left behind that no step of the job takes.
    pub(crate) allows_dropped: bool,
    /// What leads from layouts that were saved to those of today.
    pub(crate) migrations: Vec<Migration>,
    pub(crate) journal: JournalSettings,
}

impl StateSettings {
    /// Opens the log, and reads what the job goes on from.
    ///
    /// # Errors
    /// When somebody else uses it, or it is damaged.
    pub(crate) fn open(&self) -> Result<(OpenState, Option<Recovered>), StateError> {
        let (path, storage, directory): (_, Box<dyn Storage>, _) = match &self.place {
            StatePlace::Directory(path) => {
                let directory = StateDirectory::take(path)?;
                let (path, file) = (directory.log_path(), directory.log_file()?);
                let storage = MappedStorage::new(file).map_err(StateError::io(&path, "map the file"))?;
                (path, Box::new(storage), Some(directory))
            }
            StatePlace::Storage(storage) => {
                let path = PathBuf::from("storage");
                (path.clone(), taken(storage, &path)?, None)
            }
        };
        let mut log = SnapshotLog::open(storage, &path, self.log, file_id(), self.may_fall_back)?;
        let mut recovered = newest(&mut log, self.may_fall_back)?;
        recovered.as_mut().map_or(Ok(()), |recovered| migrate(recovered, &self.migrations))?;
        let epoch = recovered.as_ref().map_or(0, |recovered| recovered.epoch);
        let from = recovered.as_ref().and_then(from).map(|from| (epoch, from.position));
        let cuts = JournalCuts::new(self.journal.keep, from);
        // Numbers are not used twice, also where the newest checkpoint is left out.
        let epoch = log.kept().iter().map(|kept| kept.epoch).fold(epoch, u64::max);
        let Self { interval, slice_bytes, .. } = *self;
        Ok((OpenState { log, directory, interval, slice_bytes, journal: None, cuts, epoch }, recovered))
    }

    /// Whether there is a place for a journal.
    pub(crate) const fn can_journal(&self) -> bool {
        matches!(self.place, StatePlace::Directory(_)) || self.journal.storage.is_some()
    }

    /// Looks into the journal, which may not be there yet.
    ///
    /// # Errors
    /// When it cannot be read, or it is damaged.
    pub(crate) fn find_journal(
        &self,
        open: &OpenState,
        recovered: Option<&Recovered>,
    ) -> Result<FoundJournal, StateError> {
        let (path, storage): (_, Box<dyn Storage>) = match (&self.journal.storage, &open.directory) {
            (Some(storage), _) => {
                let path = PathBuf::from("journal");
                (path.clone(), taken(storage, &path)?)
            }
            (None, Some(directory)) => {
                (directory.journal_path(), Box::new(FileStorage::new(directory.journal_file()?)))
            }
            (None, None) => return Err(StateError::misfit(open.log.path(), "there is no storage for a journal")),
        };
        let mut handles = Handles::new(storage).map_err(StateError::io(&path, "open the journal"))?;
        let found = journal::find(&mut handles, &path, recovered.and_then(from).as_ref())?;
        Ok(FoundJournal { handles, path, found })
    }
}

/// Where the live sources of a checkpoint stand in the journal.
fn from(recovered: &Recovered) -> Option<From> {
    let live = || recovered.sources.iter().filter_map(|sources| sources.live.as_ref());
    let position = LiveSources::needed(live())?;
    let of_group = |live: &LiveSources| {
        let sequence = live.position.sequence;
        live.sources.iter().map(move |source| SourceFrom { sequence, count: source.count }).collect::<Vec<_>>()
    };
    Some(From { position, sources: live().flat_map(of_group).collect() })
}

/// The oldest checkpoint in the directory of a journal whose front was cut from which what is left can be read, and where
/// it stands; `None` where there are no checkpoints beside it.
///
/// # Errors
/// When the checkpoints cannot be read.
pub(super) fn oldest_in_journal(directory: &Path) -> Result<Option<(Recovered, From)>, StateError> {
    let path = directory.join(SNAPSHOTS);
    if !path.exists() {
        return Ok(None);
    }
    let storage = Box::new(FileStorage::new(open_to_read(&path)?));
    let mut log = SnapshotLog::open(storage, &path, LogOptions::default(), 0, false)?;
    // Savepoints are kept longer than the journal before them.
    let kept: Vec<Kept> = log.kept().to_vec();
    let Some(oldest) = kept.iter().find(|kept| !kept.is_savepoint).or(kept.first()) else { return Ok(None) };
    let recovered = Recovered::read(&mut log, oldest)?;
    Ok(from(&recovered).map(|from| (recovered, from)))
}

/// A journal that was looked into.
pub(crate) struct FoundJournal {
    handles: Handles,
    path: PathBuf,
    found: Option<Found>,
}

impl FoundJournal {
    /// The number of the first symbol that it tells, and the texts from there on.
    pub(crate) fn symbols(&self) -> (u64, &[String]) {
        self.found.as_ref().map_or((0, &[]), |found| (found.symbols.0, &found.symbols.1))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was found and stops nothing, in words.
    pub(crate) fn remarks(&self) -> Vec<String> {
        self.found.as_ref().map(|found| found.remarks.clone()).unwrap_or_default()
    }

    /// Whether it is a journal of these sources, where it is there.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn check(&self, sources: &[JournalSource]) -> Result<(), StateError> {
        self.found.as_ref().map_or(Ok(()), |found| found.check(&self.path, sources))
    }

    /// Opens it for these sources, made where it is not there.
    ///
    /// # Errors
    /// When it is of other sources, or cannot be written.
    pub(crate) fn open(self, sources: &[JournalSource]) -> Result<Journal, StateError> {
        Journal::open(self.handles, &self.path, (self.found, file_id()), sources)
    }
}

/// The newest checkpoint that can be read; an older one only where that is allowed.
fn newest(log: &mut SnapshotLog, may_fall_back: bool) -> Result<Option<Recovered>, StateError> {
    let kept: Vec<Kept> = log.kept().to_vec();
    let mut damage = None;
    for kept in kept.iter().rev() {
        match Recovered::read(log, kept) {
            Ok(recovered) => return Ok(Some(recovered)),
            Err(error) if may_fall_back => {
                damage.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    damage.map_or(Ok(None), Err)
}
