//! Where the state of a job is kept, and what is found there.

use crate::Timestamp;
use crate::log::error::StateError;
use crate::log::storage::Storage;
use crate::log::{Kept, LogOptions, MappedStorage, SnapshotLog, StateDirectory, file_id};
use crate::runtime::checkpointer::{Interval, OpenState};
use crate::runtime::recovery::Recovered;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Where state is kept.
#[derive(Clone)]
pub(crate) enum StatePlace {
    Directory(PathBuf),
    /// Taken by the first job that is run with it.
    Storage(Arc<Mutex<Option<Box<dyn Storage>>>>),
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
                let taken = storage.lock().unwrap_or_else(PoisonError::into_inner).take();
                let path = PathBuf::from("storage");
                (path.clone(), taken.ok_or(StateError::Locked { path })?, None)
            }
        };
        let mut log = SnapshotLog::open(storage, &path, self.log, file_id(), self.may_fall_back)?;
        let recovered = newest(&mut log, self.may_fall_back)?;
        let epoch = recovered.as_ref().map_or(0, |recovered| recovered.epoch);
        // Numbers are not used twice, also where the newest checkpoint is left out.
        let epoch = log.kept().iter().map(|kept| kept.epoch).fold(epoch, u64::max);
        let Self { interval, slice_bytes, .. } = *self;
        Ok((OpenState { log, _directory: directory, interval, slice_bytes, epoch }, recovered))
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
