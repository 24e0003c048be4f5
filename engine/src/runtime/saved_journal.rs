//! A journal as one looks at it without the job: its sources, and what came of each, as a source for another job.

use crate::log::error::StateError;
use crate::log::journal::{Found, Position, RecordKind, Records, find};
use crate::log::storage::{FileStorage, Handles, Storage};
use crate::log::{JOURNAL, open_to_read};
use crate::runtime::source::{BlockReader, BlockSource};
use crate::{BlockSummary, BoxError, Event};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
    shared: Arc<Shared>,
    sources: Vec<JournaledSource>,
    event_bytes: Vec<u32>,
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
    /// Events that came of it.
    pub events: u64,
}

/// What all readers need.
struct Shared {
    path: PathBuf,
    handles: Mutex<Handles>,
    file_id: u64,
    len: u64,
    symbols: Vec<Arc<str>>,
}

impl Shared {
    fn records(&self, from: Position) -> Result<Records, StateError> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let storage = handles.another().map_err(StateError::io(&self.path, "open the journal"))?;
        Ok(Records::new(storage, &self.path, (self.file_id, self.len), from))
    }
}

impl SavedJournal {
    /// Opens the journal at a path, or the one in the state directory there. What comes later is not seen.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StateError> {
        let path = path.as_ref();
        let path = if path.is_dir() { path.join(JOURNAL) } else { path.to_owned() };
        Self::read(Box::new(FileStorage::new(open_to_read(&path)?)), &path)
    }

    /// Opens the journal in other storage, as tests do.
    ///
    /// # Errors
    /// As for [`SavedJournal::open`].
    pub fn in_storage(storage: impl Storage + 'static) -> Result<Self, StateError> {
        Self::read(Box::new(storage), Path::new("journal"))
    }

    fn read(storage: Box<dyn Storage>, path: &Path) -> Result<Self, StateError> {
        let mut handles = Handles::new(storage).map_err(StateError::io(path, "open the journal"))?;
        let found = find(&mut handles, path, None)?;
        let Some(Found { sources, end, counts, symbols, remarks, file_id, .. }) = found else {
            let reason = "it has no journal's head".to_owned();
            return Err(StateError::NotALog { path: path.to_owned(), reason });
        };
        let event_bytes = sources.iter().map(|source| source.event_bytes).collect();
        let sources = sources.into_iter().zip(counts).map(|(source, count)| JournaledSource {
            name: source.name,
            schema: source.schema,
            is_feed: source.is_feed,
            events: count.events,
        });
        let symbols = symbols.1.into_iter().map(Arc::from).collect();
        // What lies behind the end does not count.
        let (path, len) = (path.to_owned(), end.offset);
        let shared = Shared { path, handles: Mutex::new(handles), file_id, len, symbols };
        Ok(Self { shared: Arc::new(shared), sources: sources.collect(), event_bytes, remarks })
    }

    /// The sources, in the order of the job that wrote it.
    pub fn sources(&self) -> &[JournaledSource] {
        &self.sources
    }

    /// What was found and does not stop anyone from reading it, in words.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The events of the feed of this name, as a source: each block is what came at once.
    ///
    /// # Errors
    /// When there is no such feed, its events have another layout, or the journal cannot be read.
    pub fn events<T: Event>(&self, name: &str) -> Result<JournalEvents<T>, StateError> {
        let misfit = |reason: String| StateError::misfit(&self.shared.path, reason);
        let Some(number) = self.sources.iter().position(|source| source.is_feed && source.name == name) else {
            let feeds = self.sources.iter().filter(|source| source.is_feed).map(|source| format!("`{}`", source.name));
            let feeds = feeds.collect::<Vec<_>>().join(", ");
            return Err(misfit(format!("there is no feed `{name}`; there are {feeds}")));
        };
        let (found, expected) = (&self.sources[number].schema, T::layout().schema());
        if *found != expected || self.event_bytes[number] as usize != size_of::<T>() {
            return Err(misfit(format!("the events of `{name}` are of [{found}], and [{expected}] is wanted")));
        }
        let mut events = JournalEvents {
            shared: self.shared.clone(),
            blocks: Vec::new(),
            places: Vec::new(),
            came: Vec::new(),
            events: PhantomData,
        };
        let mut records = self.shared.records(Position::default())?;
        let mut room: Vec<T> = Vec::new();
        loop {
            let place = records.position();
            let Some(record) = records.next()? else { return Ok(events) };
            let has_events = matches!(record.kind, RecordKind::Events | RecordKind::LastEvents) && record.count > 0;
            if record.source as usize == number && has_events {
                copy_events(&mut room, record.count as usize, record.payload);
                events.came.push(record.clock);
                events.places.push(place);
                events.blocks.extend(BlockSummary::of(&room));
            }
        }
    }
}

/// Makes `into` these events, whose bytes were counted.
fn copy_events<T: Event>(into: &mut Vec<T>, count: usize, payload: &[u8]) {
    into.clear();
    into.resize(count, T::zeroed());
    bytemuck::cast_slice_mut(into).copy_from_slice(payload);
}

/// The events of one feed in a journal; made by [`SavedJournal::events`].
pub struct JournalEvents<T> {
    shared: Arc<Shared>,
    blocks: Vec<BlockSummary>,
    places: Vec<Position>,
    came: Vec<Duration>,
    events: PhantomData<fn() -> T>,
}

impl<T> JournalEvents<T> {
    /// When the events of each block came, by the clock of the job that ran then.
    pub fn came(&self) -> &[Duration] {
        &self.came
    }
}

impl<T: Event> BlockSource<T> for JournalEvents<T> {
    fn blocks(&self) -> &[BlockSummary] {
        &self.blocks
    }

    fn symbols(&self) -> Vec<Arc<str>> {
        self.shared.symbols.clone()
    }

    fn reader(&self) -> Result<Box<dyn BlockReader<T>>, BoxError> {
        let records = self.shared.records(Position::default())?;
        Ok(Box::new(JournalReader { records, places: self.places.clone(), events: Vec::new() }))
    }
}

impl<T: Event> From<JournalEvents<T>> for crate::Source<T> {
    fn from(events: JournalEvents<T>) -> Self {
        Self::blocks(events)
    }
}

struct JournalReader<T> {
    records: Records,
    places: Vec<Position>,
    events: Vec<T>,
}

impl<T: Event> BlockReader<T> for JournalReader<T> {
    fn load(&mut self, block: usize) -> Result<(), BoxError> {
        let place = self.places.get(block).ok_or_else(|| format!("there is no block {block}"))?;
        self.records.go_to(*place);
        let record = self.records.next()?.ok_or_else(|| format!("block {block} is not there any more"))?;
        let count = record.count as usize;
        if count.checked_mul(size_of::<T>()) != Some(record.payload.len()) {
            return Err(format!("block {block} has {} bytes of {count} events", record.payload.len()).into());
        }
        copy_events(&mut self.events, count, record.payload);
        Ok(())
    }

    fn events(&self) -> &[T] {
        &self.events
    }
}
