//! A disk over a real directory that loses what was not synced, and fails where one wants.

use crate::disk::{Disk, DiskFile, Look, OsDisk};
use pelton_tests::rng::Rng;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Append,
    Cut,
    Sync,
    Rename,
    Remove,
    SyncNames,
}

/// What fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    /// The number of the operation, from 0.
    pub(super) at: usize,
    pub(super) for_ever: bool,
    /// `None` for an append of a byte only, before which nothing is wrong.
    pub(super) kind: Option<io::ErrorKind>,
}

/// A change of names since names were synced.
enum Change {
    Created(PathBuf),
    /// With what had the name before.
    Renamed(PathBuf, PathBuf, Option<PathBuf>),
    /// With where the file is kept.
    Removed(PathBuf, PathBuf),
}

#[derive(Default)]
struct State {
    /// Files that were opened before so many crashes are gone.
    crashes: u64,
    /// Durable bytes by inode.
    synced: HashMap<u64, u64>,
    changes: Vec<Change>,
    operations: Vec<Operation>,
    fault: Option<Fault>,
    syncs_are_lost: bool,
    kept: u64,
}

/// Where files go that are removed, until that is durable.
pub(super) struct FaultyDisk {
    graves: tempfile::TempDir,
    state: Arc<Mutex<State>>,
}

impl FaultyDisk {
    /// `beside` is a directory on the same file system.
    pub(super) fn new(beside: &Path) -> Arc<Self> {
        Arc::new(Self { graves: tempfile::tempdir_in(beside).unwrap(), state: Arc::default() })
    }

    /// Says of all that it is synced, though nothing is.
    pub(super) fn lose_syncs(&self) {
        self.state.lock().unwrap().syncs_are_lost = true;
    }

    pub(super) fn set_fault(&self, fault: Option<Fault>) {
        let mut state = self.state.lock().unwrap();
        state.fault = fault;
        state.operations.clear();
    }

    /// What was done since the fault was set.
    pub(super) fn operations(&self) -> Vec<Operation> {
        self.state.lock().unwrap().operations.clone()
    }

    /// Power is lost: some of what was not synced is gone.
    pub(super) fn crash(&self, directory: &Path, random: u64) {
        let mut rng = Rng::new(random);
        let mut state = self.state.lock().unwrap();
        state.crashes += 1;
        let lasting = rng.below(state.changes.len() as u64 + 1) as usize;
        let undone = state.changes.split_off(lasting);
        state.changes.clear();
        for change in undone.into_iter().rev() {
            match change {
                Change::Created(path) => fs::remove_file(path).unwrap(),
                Change::Renamed(from, to, before) => {
                    fs::rename(&to, from).unwrap();
                    if let Some(before) = before {
                        fs::hard_link(before, to).unwrap();
                    }
                }
                Change::Removed(path, kept) => fs::hard_link(kept, path).unwrap(),
            }
        }
        for entry in fs::read_dir(directory).unwrap() {
            let file = fs::OpenOptions::new().read(true).write(true).open(entry.unwrap().path()).unwrap();
            let Look { inode, len, .. } = file.look().unwrap();
            let synced = state.synced.get(&inode).copied().unwrap_or(len).min(len);
            let left = synced + rng.below(len - synced + 1);
            file.set_len(left).unwrap();
            // What was not synced may be there and be anything.
            if left > synced {
                std::os::unix::fs::FileExt::write_at(&file, &[0], synced + rng.below(left - synced)).unwrap();
            }
        }
    }

    /// Counts an operation, and fails it where that is wanted; whether it is to be a short one.
    fn count(state: &Mutex<State>, operation: Operation, opened: Option<u64>) -> io::Result<bool> {
        let mut state = state.lock().unwrap();
        if opened.is_some_and(|opened| opened != state.crashes) {
            return Err(io::Error::other("the disk has crashed"));
        }
        let number = state.operations.len();
        state.operations.push(operation);
        let Some(fault) = state.fault.filter(|fault| fault.at == number || fault.for_ever && fault.at < number) else {
            return Ok(false);
        };
        match fault.kind {
            // A full disk renames, removes and syncs.
            Some(io::ErrorKind::StorageFull) if !matches!(operation, Operation::Create | Operation::Append) => {
                Ok(false)
            }
            Some(kind) => Err(kind.into()),
            None => Ok(true),
        }
    }

    /// Keeps a file by another name.
    fn keep(&self, path: &Path) -> PathBuf {
        let mut state = self.state.lock().unwrap();
        state.kept += 1;
        let kept = self.graves.path().join(state.kept.to_string());
        fs::hard_link(path, &kept).unwrap();
        kept
    }

    fn changed(&self, change: Change) {
        self.state.lock().unwrap().changes.push(change);
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let opened = self.state.lock().unwrap().crashes;
        Arc::new(FaultyFile { file, opened, state: self.state.clone() })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Self::count(&self.state, Operation::Create, None)?;
        let file = OsDisk.create(path)?;
        self.state.lock().unwrap().synced.insert(file.look()?.inode, 0);
        self.changed(Change::Created(path.to_owned()));
        Ok(self.file(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(OsDisk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path, replaces: bool) -> io::Result<()> {
        Self::count(&self.state, Operation::Rename, None)?;
        let before = if replaces && to.exists() { Some(self.keep(to)) } else { None };
        OsDisk.rename(from, to, replaces)?;
        self.changed(Change::Renamed(from.to_owned(), to.to_owned(), before));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Self::count(&self.state, Operation::Remove, None)?;
        let kept = self.keep(path);
        OsDisk.remove(path)?;
        self.changed(Change::Removed(path.to_owned(), kept));
        Ok(())
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        OsDisk.names(directory)
    }

    fn sync_names(&self, _: &Path) -> io::Result<()> {
        Self::count(&self.state, Operation::SyncNames, None)?;
        let mut state = self.state.lock().unwrap();
        if !state.syncs_are_lost {
            state.changes.clear();
        }
        Ok(())
    }
}

struct FaultyFile {
    file: Arc<dyn DiskFile>,
    opened: u64,
    state: Arc<Mutex<State>>,
}

impl FaultyFile {
    fn count(&self, operation: Operation) -> io::Result<bool> {
        FaultyDisk::count(&self.state, operation, Some(self.opened))
    }
}

impl DiskFile for FaultyFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        let is_short = self.count(Operation::Append)?;
        self.file.append(if is_short { &bytes[..bytes.len().min(1)] } else { bytes })
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read(bytes, at)
    }

    fn look(&self) -> io::Result<Look> {
        self.file.look()
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.count(Operation::Cut)?;
        self.file.cut(len)?;
        let inode = self.file.look()?.inode;
        self.state.lock().unwrap().synced.entry(inode).and_modify(|synced| *synced = len.min(*synced));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.count(Operation::Sync)?;
        let Look { inode, len, .. } = self.file.look()?;
        let mut state = self.state.lock().unwrap();
        if !state.syncs_are_lost {
            state.synced.insert(inode, len);
        }
        Ok(())
    }
}
