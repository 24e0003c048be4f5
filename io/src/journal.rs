//! Feeds of saved journals as sources of other jobs: whole or between two times, at any speed, as the events that came or
//! with fields taken one by one.

use crate::capture::project::Projection;
use crate::capture::{CaptureError, Speed};
use pelton::state::{JournalFeed, JournalFeedReader};
use pelton::{BlockReader, BlockSource, BlockSummary, BoxError, Event, Source, Timestamp};
use std::marker::PhantomData;
use std::sync::Arc;

/// A feed of a journal about to be replayed; it becomes a [`Source`] by `into()`.
///
/// Events come in the order in which they came, so a job over one feed gives what it gave live.
///
/// ```
/// use pelton::state::SavedJournal;
/// use pelton::{CheckpointOptions, Job, Options, collect, push};
/// use pelton_io::Trade;
/// use pelton_io::journal::JournalReplay;
/// use std::sync::Arc;
///
/// # let dir = tempfile::tempdir()?;
/// # let state = dir.path();
/// # let mut live = Job::new("live");
/// # let (mut input, source) = push::<Trade>(64);
/// # live.symbols().intern("BAC")?;
/// # live.source("trades", source).sink("out", collect().0);
/// # let checkpoints = CheckpointOptions::in_directory(state);
/// # let handle = live.start(Options::workers(1).pin(false).checkpoints(checkpoints))?;
/// # input.send(&[Trade { time_ns: 5, price: 100, ..Trade::default() }])?;
/// # drop(input);
/// # handle.join()?;
/// /// A trade of which no more is wanted.
/// #[derive(Debug, Clone, Copy, PartialEq, pelton::Event)]
/// #[repr(C)]
/// struct Price { #[event(time)] time_ns: i64, amount: i64 }
///
/// let feed = Arc::new(SavedJournal::open(state)?.feed("trades")?);
/// let prices = JournalReplay::<Price>::projected(feed, &[("amount", "price")])?;
/// let mut job = Job::new("prices");
/// let (sink, rows) = collect();
/// job.source("trades", prices).sink("out", sink);
/// job.run(Options::workers(2).pin(false))?;
/// assert_eq!(rows.take()[0].1, Price { time_ns: 5, amount: 100 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct JournalReplay<T> {
    view: View,
    speed: Speed,
    events: PhantomData<fn() -> T>,
}

impl<T: Event> JournalReplay<T> {
    /// The events of a feed as they came.
    ///
    /// # Errors
    /// When the journal has events of another layout.
    pub fn new(feed: Arc<JournalFeed>) -> Result<Self, CaptureError> {
        let (expected, found) = (T::layout().schema(), feed.layout().schema());
        if expected != found {
            return Err(CaptureError::Layout { path: feed.path().to_owned(), expected, found });
        }
        Ok(Self::of(feed, None))
    }

    /// Events of another type, whose fields are taken one by one, as
    /// [`Capture::replay_projected`](crate::capture::Capture::replay_projected) does.
    ///
    /// # Errors
    /// When a field is missing or its kind cannot be taken without loss.
    pub fn projected(feed: Arc<JournalFeed>, map: &[(&str, &str)]) -> Result<Self, CaptureError> {
        let projection = Projection::new::<T>((feed.layout(), feed.path()), map)?;
        Ok(Self::of(feed, Some(Arc::new(projection))))
    }

    fn of(feed: Arc<JournalFeed>, projection: Option<Arc<Projection>>) -> Self {
        let view = View { feed, projection, from: Timestamp::MIN, until: None };
        Self { view, speed: Speed::Max, events: PhantomData }
    }

    /// Leaves out events before `from`.
    pub fn from(mut self, from: Timestamp) -> Self {
        self.view.from = from;
        self
    }

    /// Leaves out events at `until` and after it.
    pub fn until(mut self, until: Timestamp) -> Self {
        self.view.until = Some(until);
        self
    }

    /// How fast to replay; [`Speed::Max`] unless told.
    pub fn speed(mut self, speed: Speed) -> Self {
        self.speed = speed;
        self
    }
}

impl<T: Event> From<JournalReplay<T>> for Source<T> {
    fn from(replay: JournalReplay<T>) -> Self {
        let source = Source::blocks(Blocks::<T>::new(replay.view));
        match replay.speed {
            Speed::Max => source,
            Speed::Times(times) => source.speed(times),
        }
    }
}

/// What of a feed is replayed.
#[derive(Clone)]
struct View {
    feed: Arc<JournalFeed>,
    projection: Option<Arc<Projection>>,
    from: Timestamp,
    until: Option<Timestamp>,
}

impl View {
    fn wants(&self, time: Timestamp) -> bool {
        time >= self.from && self.until.is_none_or(|until| time < until)
    }
}

/// What a reader gives for one block of the source.
#[derive(Clone)]
enum Part {
    Whole(usize),
    /// What is left of a block between the times.
    Filtered(usize),
    /// What was wrong when it was looked at.
    Failed(Arc<str>),
}

/// A replay as the engine sees it.
struct Blocks<T> {
    view: View,
    parts: Arc<[Part]>,
    /// One for each part.
    summaries: Vec<BlockSummary>,
    /// What the feed told of its watermark: before which part, and what.
    watermarks: Vec<(usize, Timestamp)>,
    events: PhantomData<fn() -> T>,
}

impl<T: Event> Blocks<T> {
    fn new(view: View) -> Self {
        let mut reader: Option<Reader<T>> = None;
        let has_own_times = view.projection.as_ref().is_some_and(|projection| !projection.same_time);
        // Watermarks are of the times that the feed had.
        let mut told = view.feed.watermarks().iter().filter(|_| !has_own_times).peekable();
        let (mut parts, mut summaries, mut watermarks) = (Vec::new(), Vec::new(), Vec::new());
        for (block, summary) in view.feed.blocks().iter().enumerate() {
            while let Some((_, watermark)) = told.next_if(|(before, _)| *before <= block) {
                watermarks.push((parts.len(), *watermark));
            }
            let is_outside = summary.max < view.from || view.until.is_some_and(|until| summary.min >= until);
            let found = if has_own_times || !(is_outside || view.wants(summary.min) && view.wants(summary.max)) {
                look(&view, &mut reader, block).map(|found| (found, Part::Filtered(block)))
            } else if is_outside {
                continue;
            } else {
                Ok((Some(*summary), Part::Whole(block)))
            };
            let (summary, part) =
                found.unwrap_or_else(|error| (Some(*summary), Part::Failed(error.to_string().into())));
            if let Some(summary) = summary {
                summaries.push(summary);
                parts.push(part);
            }
        }
        Self { view, parts: parts.into(), summaries, watermarks, events: PhantomData }
    }
}

/// The summary of what is left of a block.
fn look<T: Event>(view: &View, reader: &mut Option<Reader<T>>, block: usize) -> Result<Option<BlockSummary>, BoxError> {
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(Reader::new(view.clone(), Arc::new([]))?),
    };
    reader.load_part(&Part::Filtered(block))?;
    Ok(BlockSummary::of(&reader.events))
}

impl<T: Event> BlockSource<T> for Blocks<T> {
    fn blocks(&self) -> &[BlockSummary] {
        &self.summaries
    }

    fn watermarks(&self) -> Vec<(usize, Timestamp)> {
        self.watermarks.clone()
    }

    fn symbols(&self) -> Vec<Arc<str>> {
        self.view.feed.symbols().to_vec()
    }

    fn reader(&self) -> Result<Box<dyn BlockReader<T>>, BoxError> {
        Ok(Box::new(Reader::<T>::new(self.view.clone(), self.parts.clone())?))
    }
}

/// One worker's reader.
struct Reader<T> {
    view: View,
    reader: JournalFeedReader,
    parts: Arc<[Part]>,
    events: Vec<T>,
}

impl<T: Event> Reader<T> {
    fn new(view: View, parts: Arc<[Part]>) -> Result<Self, BoxError> {
        let reader = view.feed.reader()?;
        Ok(Self { view, reader, parts, events: Vec::new() })
    }

    fn load_part(&mut self, part: &Part) -> Result<(), BoxError> {
        self.events.clear();
        let block = match part {
            Part::Whole(block) | Part::Filtered(block) => *block,
            Part::Failed(error) => return Err(error.to_string().into()),
        };
        self.reader.load(block)?;
        let (view, records) = (&self.view, self.reader.records());
        match &view.projection {
            Some(projection) => projection.apply(view.feed.path(), block, records, &mut self.events)?,
            None => {
                self.events.resize(records.len() / size_of::<T>().max(1), bytemuck::Zeroable::zeroed());
                bytemuck::cast_slice_mut(&mut self.events).copy_from_slice(records);
            }
        }
        if matches!(part, Part::Filtered(_)) {
            self.events.retain(|event| view.wants(event.time()));
        }
        Ok(())
    }
}

impl<T: Event> BlockReader<T> for Reader<T> {
    fn load(&mut self, block: usize) -> Result<(), BoxError> {
        let parts = self.parts.clone();
        let part = parts.get(block).ok_or_else(|| format!("there is no block {block} among {}", parts.len()))?;
        let loaded = self.load_part(part);
        if loaded.is_err() {
            // A damaged block's events are not to be had.
            self.events.clear();
        }
        loaded
    }

    fn events(&self) -> &[T] {
        &self.events
    }
}
