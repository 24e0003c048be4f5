//! Captures as sources of jobs: events straight from the mapped file, or copied where they must be.
//!
//! Invariants: a block is checked on every read, just before its events are lent; a part's summary
//! is that of the events which its reader gives; parts are in the file's order. That a whole block
//! fits its summary is checked once: by the engine in a job, by the reader for everybody else.

use super::error::{CaptureError, io_error};
use super::mapping::Mapping;
use super::project::Projection;
use super::reader::Capture;
use super::writer::time_range;
use pelton::{BlockReader, BlockSource, BlockSummary, BoxError, Event, Source, Timestamp};
use std::marker::PhantomData;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// How fast a capture is replayed. It changes when results come, never what they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as possible.
    Max,
    /// So many times as fast as it was recorded, by event time: 1 is the recorded speed.
    Times(f64),
}

/// The capture at `path` as a source of events of type `T`.
///
/// # Errors
/// When it cannot be opened, is damaged, or holds events of another layout: both are named.
///
/// ```
/// use pelton::{Source, Timestamp};
/// use pelton_io::capture::{self, CaptureWriter, WriterOptions};
/// use pelton_io::Trade;
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("day.pelton");
/// # let mut writer = CaptureWriter::<Trade>::create(&path, WriterOptions::default())?;
/// # writer.extend(&[Trade { time_ns: 5, ..Trade::default() }; 3])?;
/// # writer.finish()?;
/// let trades: Source<Trade> = capture::replay::<Trade>(&path)?.from(Timestamp::from_nanos(5)).into();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn replay<T: Event>(path: impl AsRef<Path>) -> Result<Replay<T>, CaptureError> {
    Capture::open(path)?.replay()
}

impl Capture {
    /// The capture as a source of events of type `T`, as they are in the file.
    ///
    /// # Errors
    /// When the file holds events of another layout.
    pub fn replay<T: Event>(&self) -> Result<Replay<T>, CaptureError> {
        let (expected, found) = (T::layout(), self.layout());
        let (expected, found) = (expected.schema(), found.schema());
        if expected != found {
            return Err(CaptureError::Layout { path: self.path().to_owned(), expected, found });
        }
        Ok(Replay::new(self.clone(), None))
    }

    /// The capture as a source of events of type `U`, whose fields are taken one by one: each from
    /// the file's field that `map` (field of `U`, field of the file) names, or of the same name.
    ///
    /// Integers and times are taken from any integer or time; a value that does not fit ends the
    /// replay with [`CaptureError::OutOfRange`].
    ///
    /// # Errors
    /// When a field is missing or its kind cannot be taken without loss.
    pub fn replay_projected<U: Event>(&self, map: &[(&str, &str)]) -> Result<Replay<U>, CaptureError> {
        Ok(Replay::new(self.clone(), Some(Arc::new(Projection::new::<U>((self.layout(), self.path()), map)?))))
    }
}

/// A capture about to be replayed; it becomes a [`Source`] by `into()`.
#[derive(Debug, Clone)]
pub struct Replay<T> {
    capture: Capture,
    projection: Option<Arc<Projection>>,
    from: Timestamp,
    until: Option<Timestamp>,
    speed: Speed,
    untrusted: bool,
    events: PhantomData<fn() -> T>,
}

impl<T> Replay<T> {
    pub(super) fn new(capture: Capture, projection: Option<Arc<Projection>>) -> Self {
        let (from, until) = (Timestamp::MIN, None);
        Self { capture, projection, from, until, speed: Speed::Max, untrusted: false, events: PhantomData }
    }

    /// Leaves out events before `from`; blocks that end before it are not read.
    pub fn from(mut self, from: Timestamp) -> Self {
        self.from = from;
        self
    }

    /// Leaves out events at `until` and after it; blocks that start there or later are not read.
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// How fast to replay; [`Speed::Max`] unless told.
    pub fn speed(mut self, speed: Speed) -> Self {
        self.speed = speed;
        self
    }

    /// With `true`, blocks are read into owned memory and not used where they are mapped: slower,
    /// and an error instead of a crash if the file is cut or changed meanwhile.
    pub fn untrusted(mut self, untrusted: bool) -> Self {
        self.untrusted = untrusted;
        self
    }

    /// The capture that is replayed, for what is known of it: whether it is complete, for instance.
    pub fn capture(&self) -> &Capture {
        &self.capture
    }

    /// The same part of the capture, as other events.
    pub(super) fn into_events<U>(self, projection: Option<Arc<Projection>>) -> Replay<U> {
        let Self { capture, from, until, speed, untrusted, .. } = self;
        Replay { capture, projection, from, until, speed, untrusted, events: PhantomData }
    }
}

impl<T: Event> Replay<T> {
    /// The blocks to replay. Those at the edges of the times are read to see what is left of them;
    /// what is wrong with one is reported when its turn comes.
    pub fn into_blocks(self) -> impl BlockSource<T> {
        self.blocks(true)
    }

    fn blocks(self, check_times: bool) -> Blocks<T> {
        let (from, until, untrusted) = (self.from, self.until, self.untrusted);
        let view = View { capture: self.capture, projection: self.projection, from, until, untrusted, check_times };
        let mut reader = Reader::<T>::new(view.clone(), None, Arc::new([]));
        let mut parts = Vec::new();
        let mut summaries = Vec::new();
        for (block, summary) in view.capture.blocks().iter().enumerate() {
            let (summary, part) = match view.place(summary) {
                Place::Outside => continue,
                Place::Inside => (Some(*summary), Part::Whole { block }),
                Place::Edge => match reader.load_filtered(block) {
                    Ok(summary) => (summary, Part::Filtered { block, summary }),
                    Err(error) => (Some(*summary), Part::Failed(Arc::new(error))),
                },
            };
            if let Some(summary) = summary {
                summaries.push(summary);
                parts.push(part);
            }
        }
        Blocks { view, mapping: Mutex::new(None), parts: parts.into(), summaries, events: PhantomData }
    }
}

impl<T: Event> From<Replay<T>> for Source<T> {
    fn from(replay: Replay<T>) -> Self {
        let speed = replay.speed;
        // A job compares the times with the summaries itself.
        let source = Source::blocks(replay.blocks(false));
        match speed {
            Speed::Max => source,
            Speed::Times(times) => source.speed(times),
        }
    }
}

/// What of a capture is replayed.
#[derive(Debug, Clone)]
struct View {
    capture: Capture,
    projection: Option<Arc<Projection>>,
    from: Timestamp,
    until: Option<Timestamp>,
    untrusted: bool,
    /// Whether a block that is lent from the mapping is checked against its summary before it is. The
    /// engine does so while it reads the block; for others the reader does.
    check_times: bool,
}

enum Place {
    Outside,
    Inside,
    /// What is left of the block is known when it was read.
    Edge,
}

impl View {
    fn wants(&self, time: Timestamp) -> bool {
        time >= self.from && self.until.is_none_or(|until| time < until)
    }

    fn place(&self, summary: &BlockSummary) -> Place {
        if self.projection.as_ref().is_some_and(|projection| !projection.same_time) {
            return Place::Edge;
        }
        match (self.wants(summary.min), self.wants(summary.max)) {
            (true, true) => Place::Inside,
            (false, false) if summary.max < self.from || self.until.is_some_and(|until| summary.min >= until) => {
                Place::Outside
            }
            _ => Place::Edge,
        }
    }
}

/// What a reader gives for one block of the source.
#[derive(Clone)]
enum Part {
    Whole { block: usize },
    Filtered { block: usize, summary: Option<BlockSummary> },
    Failed(Arc<CaptureError>),
}

/// A replay as the engine sees it.
struct Blocks<T> {
    view: View,
    /// Made by the first reader and shared by all.
    mapping: Mutex<Option<Arc<Mapping>>>,
    parts: Arc<[Part]>,
    /// One for each part.
    summaries: Vec<BlockSummary>,
    events: PhantomData<fn() -> T>,
}

impl<T> Blocks<T> {
    fn mapping(&self) -> Result<Option<Arc<Mapping>>, CaptureError> {
        if self.view.untrusted {
            return Ok(None);
        }
        let mut mapping = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mapping) = &*mapping {
            return Ok(Some(mapping.clone()));
        }
        let capture = &self.view.capture;
        let made = Mapping::of(capture.file(), capture.file_bytes()).map_err(io_error(capture.path(), "map"))?;
        Ok(Some(mapping.insert(Arc::new(made)).clone()))
    }
}

impl<T: Event> BlockSource<T> for Blocks<T> {
    fn blocks(&self) -> &[BlockSummary] {
        &self.summaries
    }

    fn symbols(&self) -> Vec<Arc<str>> {
        self.view.capture.symbols().to_vec()
    }

    fn reader(&self) -> Result<Box<dyn BlockReader<T>>, BoxError> {
        Ok(Box::new(Reader::<T>::new(self.view.clone(), self.mapping()?, self.parts.clone())))
    }
}

/// One worker's reader.
struct Reader<T> {
    view: View,
    /// `None`: blocks are read into owned memory.
    mapping: Option<Arc<Mapping>>,
    parts: Arc<[Part]>,
    current: Current,
    /// Events that cannot be lent from the mapping.
    owned: Vec<T>,
    /// Records before they are projected.
    records: Vec<u8>,
}

/// Where the current block's events are.
enum Current {
    Owned,
    /// These bytes of the mapping, which were checked to be events.
    Mapped(Range<usize>),
}

impl<T: Event> Reader<T> {
    fn new(view: View, mapping: Option<Arc<Mapping>>, parts: Arc<[Part]>) -> Self {
        Self { view, mapping, parts, current: Current::Owned, owned: Vec::new(), records: Vec::new() }
    }

    /// Makes a block of the file the current one, whole and checked.
    fn load_whole(&mut self, block: usize) -> Result<(), CaptureError> {
        self.current = Current::Owned;
        let Self { view, mapping, owned, records, .. } = self;
        owned.clear();
        let capture = &view.capture;
        match (&view.projection, mapping) {
            (None, Some(mapping)) => {
                let range = capture.mapped_payload(block, mapping.bytes())?;
                // Payloads are aligned to 64 bytes: a cast that fails is a layout that lies.
                let events: &[T] = bytemuck::try_cast_slice(&mapping.bytes()[range.clone()])
                    .map_err(|error| capture.block_error(block, "its events in memory", "aligned events", error))?;
                if view.check_times {
                    capture.check_times(block, times_of(events))?;
                }
                self.current = Current::Mapped(range);
            }
            (None, None) => {
                owned.resize(capture.entry(block)?.count as usize, bytemuck::Zeroable::zeroed());
                capture.read_payload(block, bytemuck::cast_slice_mut(owned))?;
                capture.check_times(block, times_of(owned))?;
            }
            (Some(projection), Some(mapping)) => {
                let records = &mapping.bytes()[capture.mapped_payload(block, mapping.bytes())?];
                capture.check_times(block, time_range(records, capture.layout().size(), capture.time_offset()))?;
                projection.apply(capture.path(), block, records, owned)?;
            }
            (Some(projection), None) => {
                capture.read_raw(block, records)?;
                projection.apply(capture.path(), block, records, owned)?;
            }
        }
        Ok(())
    }

    /// Makes what is wanted of a block of the file the current block.
    fn load_filtered(&mut self, block: usize) -> Result<Option<BlockSummary>, CaptureError> {
        self.load_whole(block)?;
        let wanted: Vec<T> = self.events().iter().filter(|event| self.view.wants(event.time())).copied().collect();
        self.current = Current::Owned;
        self.owned = wanted;
        Ok(BlockSummary::of(&self.owned))
    }

    fn load_part(&mut self, part: &Part) -> Result<(), BoxError> {
        match *part {
            Part::Whole { block } => Ok(self.load_whole(block)?),
            Part::Filtered { block, summary } => {
                let found = self.load_filtered(block)?;
                if found == summary {
                    return Ok(());
                }
                let text = |summary| format!("{summary:?}");
                let what = "what is left of it between the times";
                Err(self.view.capture.block_error(block, what, text(summary), text(found)).into())
            }
            Part::Failed(ref error) => Err(error.clone().into()),
        }
    }
}

/// The smallest and the largest time, in nanoseconds, of at least one event.
///
/// Four at a time: one chain of comparisons would take longer than the checksum of the events.
fn times_of<T: Event>(events: &[T]) -> (i64, i64) {
    let (mut min, mut max) = ([i64::MAX; 4], [i64::MIN; 4]);
    let mut fours = events.chunks_exact(4);
    for four in &mut fours {
        for (lane, event) in four.iter().enumerate() {
            let time = event.time().as_nanos();
            (min[lane], max[lane]) = (min[lane].min(time), max[lane].max(time));
        }
    }
    for event in fours.remainder() {
        let time = event.time().as_nanos();
        (min[0], max[0]) = (min[0].min(time), max[0].max(time));
    }
    (min.into_iter().fold(i64::MAX, i64::min), max.into_iter().fold(i64::MIN, i64::max))
}

impl<T: Event> BlockReader<T> for Reader<T> {
    fn load(&mut self, block: usize) -> Result<(), BoxError> {
        let parts = self.parts.clone();
        let loaded = match parts.get(block) {
            Some(part) => self.load_part(part),
            None => Err(format!("there is no block {block} among {}", parts.len()).into()),
        };
        if loaded.is_err() {
            // A damaged block's events are not to be had.
            self.current = Current::Owned;
            self.owned.clear();
        }
        loaded
    }

    fn upcoming(&self, block: usize) -> &[T] {
        let (None, Some(mapping)) = (&self.view.projection, &self.mapping) else { return &[] };
        let Some(&Part::Whole { block }) = self.parts.get(block) else { return &[] };
        let payload = self.view.capture.payload_range(block).ok().and_then(|range| mapping.bytes().get(range));
        bytemuck::try_cast_slice(payload.unwrap_or_default()).unwrap_or_default()
    }

    fn events(&self) -> &[T] {
        match (&self.current, &self.mapping) {
            (Current::Mapped(range), Some(mapping)) => {
                bytemuck::try_cast_slice(&mapping.bytes()[range.clone()]).unwrap_or_default()
            }
            _ => &self.owned,
        }
    }
}
