//! What came of one feed of a saved journal, in blocks: as records of a layout known at run time, and as typed events.

use crate::log::error::StateError;
use crate::log::journal::{Position, RecordKind, Records};
use crate::runtime::saved_journal::SharedJournal;
use crate::runtime::source::{BlockReader, BlockSource};
use crate::{BlockSummary, BoxError, Event, Layout, Timestamp};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

impl BlockSummary {
    /// The summary of records of so many bytes, whose times are at an offset; `None` where there are none.
    pub(super) fn of_records(records: &[u8], size: usize, time: usize) -> Option<Self> {
        let times = records.chunks_exact(size).map(|record| bytemuck::pod_read_unaligned(&record[time..time + 8]));
        let (min, max) = times.fold((i64::MAX, i64::MIN), |(min, max), time: i64| (min.min(time), max.max(time)));
        let count = u32::try_from(records.len() / size).ok().filter(|count| *count > 0)?;
        Some(Self { count, min: Timestamp::from_nanos(min), max: Timestamp::from_nanos(max) })
    }

    /// Both, one behind the other.
    fn with(self, more: Self) -> Option<Self> {
        let count = self.count.checked_add(more.count)?;
        Some(Self { count, min: self.min.min(more.min), max: self.max.max(more.max) })
    }
}

/// The events of one feed in a journal, as the bytes of records, in blocks; made by [`SavedJournal::feed`].
///
/// [`SavedJournal::feed`]: crate::state::SavedJournal::feed
///
/// ```
/// use pelton::state::SavedJournal;
/// # use pelton::{CheckpointOptions, Job, Options, collect, push};
/// # #[derive(Debug, Clone, Copy, pelton::Event)]
/// # #[repr(C)]
/// # struct Tick { #[event(time)] time_ns: i64 }
/// # let dir = tempfile::tempdir()?;
/// # let state = dir.path();
/// # let mut live = Job::new("live");
/// # let (mut input, source) = push::<Tick>(64);
/// # live.source("ticks", source).sink("out", collect().0);
/// # let checkpoints = CheckpointOptions::in_directory(state);
/// # let handle = live.start(Options::workers(1).pin(false).checkpoints(checkpoints))?;
/// # input.send(&[Tick { time_ns: 1 }, Tick { time_ns: 2 }])?;
/// # drop(input);
/// # handle.join()?;
///
/// let feed = SavedJournal::open(state)?.feed("ticks")?;
/// assert_eq!(feed.layout().schema(), "8/8 time_ns:i64@0*");
/// let mut reader = feed.reader()?;
/// let mut records = Vec::new();
/// for block in 0..feed.blocks().len() {
///     reader.load(block)?;
///     records.extend_from_slice(reader.records());
/// }
/// assert_eq!(records, [1i64.to_le_bytes(), 2i64.to_le_bytes()].concat());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct JournalFeed {
    shared: Arc<SharedJournal>,
    name: String,
    layout: Layout,
    /// Its number in the journal.
    source: u32,
    blocks: Arc<[BlockSummary]>,
    places: Arc<[Place]>,
    came: Vec<Duration>,
    /// What the feed told by itself: before which block, and what.
    watermarks: Vec<(usize, Timestamp)>,
}

/// Where the records of a block are.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: Position,
    /// So many of the feed, with those of others between.
    records: u32,
}

impl JournalFeed {
    /// A block has what came at once, until it has so many events.
    pub(super) const BLOCK_EVENTS: u32 = 4096;

    /// Finds the blocks of a feed, which is told by its name and its number; `block_events` are enough for a block.
    pub(super) fn find(
        shared: &Arc<SharedJournal>,
        (name, source): (&str, u32),
        (layout, block_events): (Layout, u32),
        mut summary: impl FnMut(&[u8]) -> Option<BlockSummary>,
    ) -> Result<Self, StateError> {
        let (mut blocks, mut places, mut came): (Vec<BlockSummary>, Vec<Place>, Vec<Duration>) = Default::default();
        let mut watermarks: Vec<(usize, Timestamp)> = Vec::new();
        let mut records = shared.records(shared.start)?;
        loop {
            let start = records.position();
            let Some(record) = records.next()? else { break };
            if let Some(watermark) = record.watermark().filter(|_| record.source == source) {
                watermarks.push((blocks.len(), watermark));
                continue;
            }
            let is_own = record.source == source && is_events(record.kind);
            let Some(more) = is_own.then(|| summary(record.payload)).flatten() else { continue };
            // A block begins behind a watermark.
            let is_told = watermarks.last().is_some_and(|(before, _)| *before == blocks.len());
            if let (Some(last), Some(place)) = (blocks.last_mut(), places.last_mut())
                && last.count < block_events
                && !is_told
                && let Some(both) = last.with(more)
            {
                *last = both;
                place.records += 1;
            } else {
                blocks.push(more);
                places.push(Place { start, records: 1 });
                came.push(record.clock);
            }
        }
        let (shared, name, blocks, places) = (shared.clone(), name.to_owned(), blocks.into(), places.into());
        Ok(Self { shared, name, layout, source, blocks, places, came, watermarks })
    }

    /// Its name in the job.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the journal is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The layout of its events; of one read from a journal, names of records and decimals of floats are not known.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The blocks, in the order in which they came.
    pub fn blocks(&self) -> &[BlockSummary] {
        &self.blocks
    }

    /// What the feed told of its watermark [by itself](crate::Feed::watermark): before which block, and what.
    pub fn watermarks(&self) -> &[(usize, Timestamp)] {
        &self.watermarks
    }

    /// The least and the largest event time; `None` where nothing came.
    pub fn time_range(&self) -> Option<(Timestamp, Timestamp)> {
        let all = self.blocks.iter().map(|block| (block.min, block.max));
        all.reduce(|(min, max), (more_min, more_max)| (min.min(more_min), max.max(more_max)))
    }

    /// The texts of the symbols in the events, by id.
    pub fn symbols(&self) -> &[Arc<str>] {
        &self.shared.symbols
    }

    /// Reads its blocks.
    ///
    /// # Errors
    /// When the journal cannot be opened again.
    pub fn reader(&self) -> Result<JournalFeedReader, StateError> {
        let (records, places) = (self.shared.records(Position::default())?, self.places.clone());
        let (source, size) = (self.source, self.layout.size());
        Ok(JournalFeedReader { records, places, source, size, block: Vec::new() })
    }
}

const fn is_events(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::Events | RecordKind::LastEvents)
}

/// Reads the blocks of a feed in a journal; made by [`JournalFeed::reader`], where an example is.
pub struct JournalFeedReader {
    records: Records,
    places: Arc<[Place]>,
    source: u32,
    /// Bytes of an event.
    size: usize,
    block: Vec<u8>,
}

impl JournalFeedReader {
    /// Makes a block the current one, checked for damage.
    ///
    /// # Errors
    /// When there is no such block, or it cannot be read or is damaged.
    pub fn load(&mut self, block: usize) -> Result<(), StateError> {
        self.block.clear();
        let path = self.records.path().to_owned();
        let misfit = |reason: String| StateError::journal_misfit(&path, reason);
        let place = self.places.get(block).copied();
        let Place { start, records } = place.ok_or_else(|| misfit(format!("there is no block {block} of the feed")))?;
        self.records.go_to(start);
        let mut left = records;
        while left > 0 {
            let found = self.records.next()?;
            let record = found.ok_or_else(|| misfit(format!("block {block} is not there any more")))?;
            if record.source != self.source || !is_events(record.kind) || record.count == 0 {
                continue;
            }
            let (count, found) = (record.count, record.payload.len());
            if (count as usize).checked_mul(self.size) != Some(found) {
                return Err(misfit(format!("block {block} has {found} bytes of {count} events")));
            }
            self.block.extend_from_slice(record.payload);
            left -= 1;
        }
        Ok(())
    }

    /// The records of the current block; none before the first [`JournalFeedReader::load`].
    pub fn records(&self) -> &[u8] {
        &self.block
    }
}

/// The events of one feed in a journal; made by [`SavedJournal::events`](crate::state::SavedJournal::events).
pub struct JournalEvents<T> {
    feed: JournalFeed,
    events: PhantomData<fn() -> T>,
}

impl<T> JournalEvents<T> {
    pub(super) const fn new(feed: JournalFeed) -> Self {
        Self { feed, events: PhantomData }
    }

    /// When the events of each block came, by the clock of the job that ran then.
    pub fn came(&self) -> &[Duration] {
        &self.feed.came
    }
}

impl<T: Event> BlockSource<T> for JournalEvents<T> {
    fn blocks(&self) -> &[BlockSummary] {
        &self.feed.blocks
    }

    fn watermarks(&self) -> Vec<(usize, Timestamp)> {
        self.feed.watermarks.clone()
    }

    fn symbols(&self) -> Vec<Arc<str>> {
        self.feed.symbols().to_vec()
    }

    fn reader(&self) -> Result<Box<dyn BlockReader<T>>, BoxError> {
        Ok(Box::new(EventReader { reader: self.feed.reader()?, events: Vec::new() }))
    }
}

impl<T: Event> From<JournalEvents<T>> for crate::Source<T> {
    fn from(events: JournalEvents<T>) -> Self {
        Self::blocks(events)
    }
}

struct EventReader<T> {
    reader: JournalFeedReader,
    events: Vec<T>,
}

impl<T: Event> BlockReader<T> for EventReader<T> {
    fn load(&mut self, block: usize) -> Result<(), BoxError> {
        self.events.clear();
        self.reader.load(block)?;
        let records = self.reader.records();
        self.events.resize(records.len() / self.reader.size.max(1), T::zeroed());
        bytemuck::cast_slice_mut(&mut self.events).copy_from_slice(records);
        Ok(())
    }

    fn events(&self) -> &[T] {
        &self.events
    }
}
