//! Saved state as one looks at it without the job: what was committed, and what stores hold, as rows.

use crate::log::error::StateError;
use crate::log::storage::{FileStorage, Storage};
use crate::log::{LogOptions, SnapshotLog, StateDirectory};
use crate::runtime::entries::{Role, SavedStore};
use crate::runtime::metrics::Counts;
use crate::runtime::recovery::Recovered;
use crate::runtime::saved_journal::SavedJournal;
use crate::runtime::shape::Shape;
use crate::store::pieces::{each_piece, split_records};
use crate::store::{Share, StoreError, StoreKind};
use crate::{Dictionary, Field, FieldKind, Layout, Timestamp};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A state directory that is looked at; no job can use it meanwhile.
///
/// ```
/// use pelton::state::SavedState;
/// # use pelton::{CheckpointOptions, Job, Options, VecSource, collect};
/// # #[derive(Clone, Copy, pelton::Event)]
/// # #[repr(C)]
/// # struct Tick { #[event(time)] time_ns: i64 }
/// # let dir = tempfile::tempdir()?;
/// # let mut job = Job::new("ticks");
/// # job.source("ticks", VecSource::new(vec![Tick { time_ns: 5 }], 1)).sink("out", collect().0);
/// # job.run(Options::workers(1).pin(false).checkpoints(CheckpointOptions::in_directory(dir.path())))?;
///
/// let mut state = SavedState::open(dir.path())?;
/// for checkpoint in state.checkpoints() {
///     println!("{} of {} bytes", checkpoint.epoch, checkpoint.bytes);
/// }
/// if let Some(newest) = state.read(None)? {
///     assert_eq!((newest.job(), newest.stores()?.len()), ("ticks", 0));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SavedState {
    log: SnapshotLog,
    /// `None` where the log is not in one.
    directory: Option<Arc<StateDirectory>>,
}

/// A committed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// Its number; they count up.
    pub epoch: u64,
    /// When it was committed, by the machine's clock.
    pub committed: SystemTime,
    /// Whether it is a savepoint, which is kept until there is no room for it.
    pub is_savepoint: bool,
    /// Whether the job had come to its end.
    pub is_finished: bool,
    /// Bytes that it takes in the log, with what it builds on.
    pub bytes: u64,
    /// How many parts it is read from: all state, and then what changed.
    pub bodies: usize,
}

impl SavedState {
    /// Opens a state directory.
    ///
    /// # Errors
    /// When it is used by a job, or is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StateError> {
        let directory = StateDirectory::existing(path.as_ref())?;
        let (path, file) = (directory.log_path(), directory.log_file()?);
        let storage = Box::new(FileStorage::new(file));
        Ok(Self { directory: Some(Arc::new(directory)), ..Self::read_log(storage, &path)? })
    }

    /// Opens the snapshot log in other storage, as tests do.
    ///
    /// ```
    /// use pelton::state::SavedState;
    /// use pelton::testing::CrashingDisk;
    ///
    /// let disk = CrashingDisk::with_bytes(vec![7; 10_000]);
    /// let error = SavedState::in_storage(disk.storage()).err().map(|error| error.to_string());
    /// assert!(error.is_some_and(|error| error.contains("magic")));
    /// ```
    ///
    /// # Errors
    /// When it is damaged.
    pub fn in_storage(storage: impl Storage + 'static) -> Result<Self, StateError> {
        Self::read_log(Box::new(storage), Path::new("storage"))
    }

    fn read_log(storage: Box<dyn Storage>, path: &Path) -> Result<Self, StateError> {
        let log = SnapshotLog::open(storage, path, LogOptions::default(), 0, false)?;
        Ok(Self { log, directory: None })
    }

    /// The committed checkpoints, the newest last.
    pub fn checkpoints(&self) -> Vec<CheckpointInfo> {
        let info = |kept: &crate::log::Kept| CheckpointInfo {
            epoch: kept.epoch,
            committed: UNIX_EPOCH + Duration::from_nanos(kept.committed_ns.max(0) as u64),
            is_savepoint: kept.is_savepoint,
            is_finished: kept.is_finished,
            bytes: kept.bodies.iter().map(|body| body.segments() as u64).sum::<u64>() * self.log.segment_bytes(),
            bodies: kept.bodies.len(),
        };
        self.log.kept().iter().map(info).collect()
    }

    /// Bytes of the log, and those of them that no checkpoint needs.
    pub fn log_bytes(&self) -> (u64, u64) {
        self.log.disk_bytes()
    }

    /// What was found and does not stop a job from going on, in words.
    pub fn remarks(&self) -> &[String] {
        self.log.remarks()
    }

    /// The journal of live sources; `None` where the job keeps none.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn journal(&self) -> Result<Option<SavedJournal>, StateError> {
        let Some(directory) = &self.directory else { return Ok(None) };
        match directory.journal_path().try_exists() {
            Ok(true) => SavedJournal::in_directory(directory).map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(StateError::io(&directory.journal_path(), "look for the file")(error)),
        }
    }

    /// Reads the checkpoint of this number, or the newest; `None` where there is none.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn read(&mut self, epoch: Option<u64>) -> Result<Option<SavedCheckpoint>, StateError> {
        let is_wanted = |kept: &&crate::log::Kept| epoch.is_none_or(|epoch| kept.epoch == epoch);
        let Some(kept) = self.log.kept().iter().rev().find(is_wanted).cloned() else { return Ok(None) };
        Ok(Some(SavedCheckpoint(Recovered::read(&mut self.log, &kept)?)))
    }
}

/// What a committed checkpoint says.
pub struct SavedCheckpoint(Recovered);

/// What was counted of a source, step or sink.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedCounts {
    /// Its name.
    pub name: String,
    /// Rows it took; of a source, events it read.
    pub rows_in: u64,
    /// Rows it gave on.
    pub rows_out: u64,
    /// Late rows.
    pub late: u64,
    /// The watermark it had come to.
    pub watermark: Timestamp,
}

/// A store of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedStoreInfo {
    /// The name of its step.
    pub step: String,
    /// Its name.
    pub store: String,
    /// How it keeps things, in words.
    pub kind: String,
    /// The layout of what it keeps for a key, as [`Layout::schema`] gives it.
    pub value: String,
    /// How many things it keeps: keys, timers, keys of windows.
    pub entries: u64,
    /// Bytes of what it keeps, as it is saved.
    pub bytes: u64,
}

/// What a store keeps, as rows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedRows {
    /// The columns of a row, without room between them.
    pub layout: Layout,
    /// The bytes of each row, in the order of workers and keys.
    pub rows: Vec<Vec<u8>>,
}

impl SavedCheckpoint {
    /// Its number.
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// The job's name.
    pub fn job(&self) -> &str {
        &self.0.job
    }

    /// The number of workers that the job had.
    pub fn workers(&self) -> usize {
        self.0.workers
    }

    /// The names of the sources that share an order, with the number of units that were read of them: of one source,
    /// blocks.
    pub fn sources(&self) -> impl Iterator<Item = (&[String], u64)> {
        self.0.sources.iter().map(|sources| (&*sources.names, sources.unit))
    }

    /// How many records of the journal were taken before it: from there on, a job that goes on from it reads the journal.
    /// `None` where no source is live.
    pub fn journal_records(&self) -> Option<u64> {
        let live = self.0.sources.iter().filter_map(|sources| sources.live.as_ref());
        live.map(|live| live.position.sequence).min()
    }

    /// What was counted of each source, step and sink.
    pub fn counts(&self) -> Vec<SavedCounts> {
        let counts = |(name, counts): (&String, &Counts)| SavedCounts {
            name: name.clone(),
            rows_in: counts.rows_in,
            rows_out: counts.rows_out,
            late: counts.late,
            watermark: Timestamp::from_nanos(counts.watermark),
        };
        self.0.counts.iter().map(counts).collect()
    }

    /// The sinks that go on where they stood.
    pub fn sinks(&self) -> impl Iterator<Item = &str> {
        self.0.sinks.keys().map(|(name, _)| name.as_str())
    }

    /// The symbols that the job knew.
    pub fn symbols(&self) -> Arc<Dictionary> {
        let symbols = Dictionary::default();
        for text in &self.0.symbols {
            // What was a dictionary fits into one.
            let _ = symbols.intern(text);
        }
        Arc::new(symbols)
    }

    /// The stores of all steps: the step's name and the store's.
    pub fn store_names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.stores.iter().map(|saved| (&*saved.step, &*saved.store))
    }

    /// The stores of all steps, and how much they keep.
    ///
    /// # Errors
    /// When what was saved is not as the layouts say.
    pub fn stores(&self) -> Result<Vec<SavedStoreInfo>, StateError> {
        let info = |saved: &SavedStore| {
            let entries = self.entries(saved).map_err(|error| StateError::misfit(self.0.path(), error.to_string()))?;
            Ok(SavedStoreInfo {
                step: saved.step.clone(),
                store: saved.store.clone(),
                kind: saved.kind.clone(),
                value: saved.value.clone(),
                entries: entries.len() as u64,
                bytes: entries.iter().map(|((_, _, id), rest)| (id.len() + rest.len()) as u64).sum(),
            })
        };
        self.0.stores.iter().map(info).collect()
    }

    /// What a store keeps, as rows: of each the worker that had it, the start of its window where it has one, its key,
    /// and what is kept for it. A list, map or series of rows gives a row for each element.
    ///
    /// # Errors
    /// When there is no such store, or what was saved is not as its layouts say.
    pub fn rows(&self, step: &str, store: &str) -> Result<SavedRows, StateError> {
        let misfit = |reason: String| StateError::misfit(self.0.path(), reason);
        let Some(saved) = self.0.stores.iter().find(|saved| (&*saved.step, &*saved.store) == (step, store)) else {
            let known: Vec<_> = self.store_names().map(|(step, store)| format!("{step}/{store}")).collect();
            return Err(misfit(format!("there is no store `{step}/{store}`; there are: {}", known.join(", "))));
        };
        let shape = Shape::of(saved).map_err(misfit)?;
        let entries = self.entries(saved).map_err(|error| misfit(error.to_string()))?;
        let mut rows = Vec::new();
        for ((worker, _, id), rest) in &entries {
            rows_of(&shape, *worker as u32, (id, rest), &mut rows)
                .map_err(|what| misfit(format!("{what} in `{step}/{store}`")))?;
        }
        Ok(SavedRows { layout: row_layout(&shape), rows })
    }

    /// The newest of what was written for each thing that a store keeps, by worker and what it is found by.
    fn entries(&self, saved: &SavedStore) -> Result<Entries, StoreError> {
        let shape = Shape::of(saved).map_err(StoreError::Misfit)?;
        let mut entries = Entries::new();
        for (worker, role, bytes) in self.0.pieces_of(&saved.step, &saved.store) {
            each_piece(bytes, |share, piece| {
                if shape.kind == StoreKind::Slices && share == Share::All {
                    // The slice was closed.
                    let of_slice = |(of, in_role, id): &(usize, Role, Vec<u8>)| {
                        (*of, *in_role) == (worker, role) && id.starts_with(piece)
                    };
                    let behind = entries.range((worker, role, piece.to_vec())..).map(|(id, _)| id);
                    let closed: Vec<_> = behind.take_while(|id| of_slice(id)).cloned().collect();
                    closed.iter().for_each(|id| drop(entries.remove(id)));
                    return Ok(());
                }
                let mut take = |piece: &[u8]| {
                    let Some((id, rest)) = piece.split_at_checked(shape.id_bytes()) else {
                        return Err(StoreError::misfit("a piece without its key"));
                    };
                    let id = (worker, role, id.to_vec());
                    match shape.is_removal(rest) {
                        true => drop(entries.remove(&id)),
                        false => drop(entries.insert(id, rest.to_vec())),
                    }
                    Ok(())
                };
                if share != Share::Keys {
                    return take(piece);
                }
                let (front, mut records) = split_records(piece, shape.front_bytes())?;
                records.try_for_each(|record| take(&[front, record].concat()))
            })?;
        }
        Ok(entries)
    }
}

type Entries = BTreeMap<(usize, Role, Vec<u8>), Vec<u8>>;

/// The layout of the rows of a store: the worker, a time where there is one, the key, and what is kept.
fn row_layout(shape: &Shape) -> Layout {
    let mut columns = Columns::default();
    columns.push("worker", FieldKind::U32);
    if shape.kind == StoreKind::Slices {
        columns.push("window_start", FieldKind::Timestamp);
    }
    if let Some(key) = shape.piece_key() {
        columns.all("key", key);
    }
    match (shape.kind, &shape.element_key) {
        (StoreKind::KeyedMaps, Some(key)) => columns.all("map_key", key),
        (StoreKind::KeyedRows | StoreKind::Timers, _) => columns.push("time", FieldKind::Timestamp),
        _ => {}
    }
    if shape.kind != StoreKind::Timers {
        columns.all("", &shape.value);
    }
    Layout::new("saved", columns.bytes, 1, columns.fields)
}

/// The rows of one entry.
fn rows_of(shape: &Shape, worker: u32, (id, rest): (&[u8], &[u8]), out: &mut Vec<Vec<u8>>) -> Result<(), &'static str> {
    let mut front = worker.to_le_bytes().to_vec();
    front.extend_from_slice(id);
    let mut put = |rest: &[u8]| out.push([&front, rest].concat());
    if shape.kind == StoreKind::Timers {
        put(&[]);
    }
    let mut start = match shape.kind {
        StoreKind::KeyedTable | StoreKind::Broadcast => 1,
        _ => 0,
    };
    for value in shape.values(rest)? {
        // With what stands before it: a time, or the key in a map.
        put(&rest[start..value.end]);
        start = value.end;
    }
    Ok(())
}

/// The columns of a layout that is put together.
#[derive(Default)]
struct Columns {
    fields: Vec<Field>,
    bytes: usize,
}

impl Columns {
    fn push(&mut self, name: &'static str, kind: FieldKind) {
        let size = kind.size();
        self.fields.push(Field { name: Cow::Borrowed(name), kind, offset: self.bytes, decimals: None, time: false });
        self.bytes += size;
    }

    /// All fields of a layout, under a name of their own or behind it.
    fn all(&mut self, name: &str, layout: &Layout) {
        for field in layout.fields() {
            let name = match (name, &*field.name) {
                ("", own) => own.to_owned(),
                (name, "value") => name.to_owned(),
                (name, own) => format!("{name}.{own}"),
            };
            let field = Field { name: name.into(), offset: self.bytes + field.offset, time: false, ..field.clone() };
            self.fields.push(field);
        }
        self.bytes += layout.size();
    }
}
