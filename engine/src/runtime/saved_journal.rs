//! A journal as one looks at it without the job: its sources, and how much came of each.

use crate::log::error::StateError;
use crate::log::journal::{Found, JOURNAL_MAGIC, Position, Records, find, is_cut};
use crate::log::storage::{FileStorage, Handles, Storage};
use crate::log::{JOURNAL, StateDirectory, open_to_read};
use crate::operator::keyed::Tick;
use crate::runtime::saved_feed::{JournalEvents, JournalFeed};
use crate::runtime::state::oldest_in_journal;
use crate::{BlockSummary, BoxError, Event, Layout, Record};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The journal of live sources in a state directory.
///
/// ```
/// use pelton::state::SavedJournal;
/// use pelton::{CheckpointOptions, Job, Options, collect, push};
///
/// #[derive(Debug, Clone, Copy, PartialEq, pelton::Event)]
/// #[repr(C)]
/// struct Tick { #[event(time)] time_ns: i64 }
///
/// # let dir = tempfile::tempdir()?;
/// # let state = dir.path();
/// let mut live = Job::new("live");
/// let (mut input, source) = push::<Tick>(64);
/// let (sink, rows) = collect();
/// live.source("ticks", source).sink("out", sink);
/// let checkpoints = CheckpointOptions::in_directory(state);
/// let handle = live.start(Options::workers(1).pin(false).checkpoints(checkpoints))?;
/// input.send(&[Tick { time_ns: 1 }, Tick { time_ns: 2 }])?;
/// drop(input);
/// handle.join()?;
///
/// // The same again, from the journal.
/// let journal = SavedJournal::open(state)?;
/// assert_eq!(journal.sources()[0].name, "ticks");
/// let mut again = Job::new("again");
/// let (sink, same) = collect();
/// again.source("ticks", journal.events::<Tick>("ticks")?).sink("out", sink);
/// again.run(Options::workers(2).pin(false))?;
/// assert_eq!(same.take(), rows.take());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SavedJournal {
    shared: Arc<SharedJournal>,
    sources: Vec<JournaledSource>,
    event_bytes: Vec<u32>,
    info: JournalInfo,
    cut: Option<JournalCut>,
    remarks: Vec<String>,
}

/// A source of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournaledSource {
    /// Its name in the job.
    pub name: String,
    /// The layout of its events, as [`Layout::schema`](crate::Layout::schema) wrote it.
    pub schema: String,
    /// Whether its events are in the journal. Of a bounded source it has only when each block was read.
    pub is_feed: bool,
    /// Whether its events are ticks of processing time, which the job added for its functions: no input from outside.
    pub is_processing_time: bool,
    /// Events that came of it.
    pub events: u64,
    /// Input that it rejected itself.
    pub rejected: u64,
    /// The first events that came of it and are not in the journal any more, since its front was cut.
    pub cut: u64,
}

/// Where a journal begins whose front was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalCut {
    /// The oldest checkpoint that goes on in what is left: it is read from the place of this one on.
    pub checkpoint: u64,
    /// Records before it.
    pub records: u64,
}

/// How much is in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalInfo {
    /// Records, with the one that names the sources.
    pub records: u64,
    /// Of these, the first ones that are known to have been durable when the last was written. A job that goes on makes
    /// all of them durable first.
    pub durable_records: u64,
    /// Bytes up to the end of the last record.
    pub bytes: u64,
    /// Bytes of the file, with the room behind the last record.
    pub file_bytes: u64,
}

/// What all readers need.
pub(super) struct SharedJournal {
    pub(super) path: PathBuf,
    handles: Mutex<Handles>,
    file_id: u64,
    len: u64,
    /// What is read first.
    pub(super) start: Position,
    pub(super) symbols: Vec<Arc<str>>,
    /// Locked as long as somebody reads.
    _directory: Option<Arc<StateDirectory>>,
}

impl SharedJournal {
    pub(super) fn records(&self, from: Position) -> Result<Records, StateError> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let storage = handles.another().map_err(StateError::io(&self.path, "open the journal"))?;
        Ok(Records::new(storage, &self.path, (self.file_id, self.len), from))
    }
}

impl SavedJournal {
    /// The name of its file in a state directory.
    ///
    /// ```
    /// assert_eq!(pelton::state::SavedJournal::FILE, "journal.log");
    /// ```
    pub const FILE: &'static str = JOURNAL;

    /// Opens the journal at a path, or the one in the state directory there. Several may look at it at a time, and no job
    /// uses the directory meanwhile. One whose front was cut begins where the oldest checkpoint beside it goes on:
    /// [`SavedJournal::cut`] says so.
    ///
    /// # Errors
    /// When there is none, a job uses it, or it is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StateError> {
        let path = path.as_ref();
        let path = if path.is_dir() { path.join(JOURNAL) } else { path.to_owned() };
        let directory = path.parent().map_or(Ok(None), StateDirectory::look)?;
        Self::read(Box::new(FileStorage::new(open_to_read(&path)?)), &path, (path.parent(), directory.map(Arc::new)))
    }

    /// Opens the journal in a directory that is locked.
    pub(super) fn in_directory(directory: &Arc<StateDirectory>) -> Result<Self, StateError> {
        let path = directory.journal_path();
        Self::read(Box::new(FileStorage::new(open_to_read(&path)?)), &path, (path.parent(), Some(directory.clone())))
    }

    /// Opens the journal in other storage, as tests do.
    ///
    /// # Errors
    /// As for [`SavedJournal::open`].
    pub fn in_storage(storage: impl Storage + 'static) -> Result<Self, StateError> {
        Self::read(Box::new(storage), Path::new("journal"), (None, None))
    }

    /// Whether there is a journal at a path, or a directory, which may have one: what [`SavedJournal::open`] is for.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let file = dir.path().join("notes.txt");
    /// std::fs::write(&file, "no journal")?;
    /// assert!(!pelton::state::SavedJournal::is_at(&file));
    /// assert!(pelton::state::SavedJournal::is_at(dir.path()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_at(path: impl AsRef<Path>) -> bool {
        let path = path.as_ref();
        let begins = || {
            let mut start = [0; JOURNAL_MAGIC.len()];
            open_to_read(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok() && start == JOURNAL_MAGIC)
        };
        path.is_dir() || begins()
    }

    fn read(
        storage: Box<dyn Storage>,
        path: &Path,
        (beside, directory): (Option<&Path>, Option<Arc<StateDirectory>>),
    ) -> Result<Self, StateError> {
        let mut handles = Handles::new(storage).map_err(StateError::io(path, "open the journal"))?;
        let is_cut = is_cut(&mut handles, path)?;
        let (oldest, from) = beside.filter(|_| is_cut).map_or(Ok(None), oldest_in_journal)?.unzip();
        let found = find(&mut handles, path, from.as_ref())?;
        let Some(Found { sources, end, counts, symbols, remarks, file_id, durable, len, .. }) = found else {
            let reason = "it does not begin with the names of sources".to_owned();
            return Err(StateError::NotAJournal { path: path.to_owned(), reason });
        };
        let event_bytes = sources.iter().map(|source| source.event_bytes).collect();
        let cut_events = |number: usize| Some(from.as_ref()?.sources.get(number)?.count.events);
        let sources = sources.into_iter().zip(counts).enumerate().map(|(number, (source, count))| JournaledSource {
            is_processing_time: source.is_feed && source.schema == Tick::layout().schema(),
            name: source.name,
            schema: source.schema,
            is_feed: source.is_feed,
            events: count.events,
            rejected: count.rejected,
            cut: cut_events(number).unwrap_or(0),
        });
        let sources = sources.collect();
        let info = JournalInfo { records: end.sequence, durable_records: durable, bytes: end.offset, file_bytes: len };
        let start = from.map_or(Position::default(), |from| from.position);
        let cut = oldest.as_ref().map(|oldest| JournalCut { checkpoint: oldest.epoch, records: start.sequence });
        let symbols = texts(oldest.map(|oldest| oldest.symbols), symbols, path)?;
        // What lies behind the end does not count.
        let (path, len, handles) = (path.to_owned(), end.offset, Mutex::new(handles));
        let shared = SharedJournal { path, handles, file_id, len, start, symbols, _directory: directory };
        Ok(Self { shared: Arc::new(shared), sources, event_bytes, info, cut, remarks })
    }

    /// The sources, in the order of the job that wrote it.
    pub fn sources(&self) -> &[JournaledSource] {
        &self.sources
    }

    /// How much is in it.
    pub fn info(&self) -> JournalInfo {
        self.info
    }

    /// Where it begins if its front was cut, as
    /// [`JournalKeep::Checkpoints`](crate::JournalKeep::Checkpoints) has it; `None` where it is whole.
    ///
    /// ```
    /// use pelton::state::SavedJournal;
    /// # use pelton::{CheckpointOptions, Job, Options, collect, push};
    /// # #[derive(Debug, Clone, Copy, pelton::Event)]
    /// # #[repr(C)]
    /// # struct Tick { #[event(time)] time_ns: i64 }
    /// # let dir = tempfile::tempdir()?;
    /// # let mut live = Job::new("live");
    /// # let (input, source) = push::<Tick>(64);
    /// # live.source("ticks", source).sink("out", collect().0);
    /// # let checkpoints = CheckpointOptions::in_directory(dir.path());
    /// # let handle = live.start(Options::workers(1).pin(false).checkpoints(checkpoints))?;
    /// # drop(input);
    /// # handle.join()?;
    ///
    /// let journal = SavedJournal::open(dir.path())?;
    /// match journal.cut() {
    ///     None => println!("all that came is there"),
    ///     Some(cut) => println!("it begins at checkpoint {}", cut.checkpoint),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cut(&self) -> Option<JournalCut> {
        self.cut
    }

    /// What was found and does not stop anyone from reading it, in words.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The number of a feed among the sources, with the source.
    fn feed_number(&self, name: &str) -> Result<usize, StateError> {
        let found = self.sources.iter().position(|source| source.is_feed && source.name == name);
        found.ok_or_else(|| {
            let feeds = self.sources.iter().filter(|source| source.is_feed).map(|source| format!("`{}`", source.name));
            let feeds = feeds.collect::<Vec<_>>().join(", ");
            StateError::journal_misfit(self.path(), format!("there is no feed `{name}`; there are {feeds}"))
        })
    }

    /// The events of the feed of this name, as a source: each block is what came at once.
    ///
    /// # Errors
    /// When there is no such feed, its events have another layout, or the journal cannot be read.
    pub fn events<T: Event>(&self, name: &str) -> Result<JournalEvents<T>, StateError> {
        let number = self.feed_number(name)?;
        let (found, layout) = (&self.sources[number].schema, T::layout());
        let expected = layout.schema();
        if *found != expected || self.event_bytes[number] as usize != size_of::<T>() {
            let reason = format!("the events of `{name}` are of [{found}], and [{expected}] is wanted");
            return Err(StateError::journal_misfit(self.path(), reason));
        }
        let mut room: Vec<T> = Vec::new();
        let summary = |payload: &[u8]| {
            room.clear();
            room.resize(payload.len() / size_of::<T>().max(1), T::zeroed());
            bytemuck::cast_slice_mut(&mut room).copy_from_slice(payload);
            BlockSummary::of(&room)
        };
        Ok(JournalEvents::new(JournalFeed::find(&self.shared, (name, number as u32), (layout, 1), summary)?))
    }

    /// The events of the feed of this name as the bytes of records, for those who learn the layout from the journal.
    ///
    /// # Errors
    /// When there is no such feed, its layout is none that bytes can have, or the journal cannot be read.
    pub fn feed(&self, name: &str) -> Result<JournalFeed, StateError> {
        let number = self.feed_number(name)?;
        let schema = &self.sources[number].schema;
        let misfit = |reason: BoxError| {
            let reason = format!("the events of `{name}` are of [{schema}]: {reason}");
            StateError::journal_misfit(self.path(), reason)
        };
        let layout = Layout::parse(schema).map_err(|error| misfit(error.into()))?;
        if layout.size() != self.event_bytes[number] as usize {
            return Err(misfit(format!("they have {} bytes each", self.event_bytes[number]).into()));
        }
        let time = layout.time_field().map(|field| field.offset);
        let Some(time) = time else { return Err(misfit("no field is the event time".into())) };
        let size = layout.size();
        let summary = move |payload: &[u8]| BlockSummary::of_records(payload, size, time);
        JournalFeed::find(&self.shared, (name, number as u32), (layout, JournalFeed::BLOCK_EVENTS), summary)
    }
}

/// The texts of all symbols: those of a checkpoint, of which some come in the journal behind its place again, and those
/// of the journal, of which the first has a number.
fn texts(
    saved: Option<Vec<String>>,
    (first, journaled): (u64, Vec<String>),
    path: &Path,
) -> Result<Vec<Arc<str>>, StateError> {
    let mut texts = saved.unwrap_or_default();
    if (texts.len() as u64) < first {
        let reason = format!("{first} symbols come before what is kept, and the checkpoint there has {}", texts.len());
        return Err(StateError::journal_misfit(path, reason));
    }
    texts.truncate(first as usize);
    Ok(texts.into_iter().chain(journaled).map(Arc::from).collect())
}
