//! Where events come from: blocks that can be read by any worker, or a feed that one worker polls.

use crate::log::journal::DurableInput;
use crate::{BoxError, Event, Timestamp};
use std::ops::Range;
use std::sync::Arc;

/// What is known of a block of events before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSummary {
    /// The number of events, at least 1. A block without events, or with more than 2^32 - 1, ends the job with an
    /// error.
    pub count: u32,
    /// The smallest event time in the block.
    pub min: Timestamp,
    /// The largest event time in the block.
    pub max: Timestamp,
}

impl BlockSummary {
    /// The summary of `events`, or `None` where there are none or more than 2^32 - 1.
    ///
    /// ```
    /// use pelton::{BlockSummary, Event, Timestamp};
    ///
    /// #[derive(Clone, Copy, Event)]
    /// #[repr(C)]
    /// struct Tick { #[event(time)] time_ns: i64 }
    ///
    /// let summary = BlockSummary::of(&[Tick { time_ns: 5 }, Tick { time_ns: 3 }]).unwrap();
    /// assert_eq!((summary.count, summary.min), (2, Timestamp::from_nanos(3)));
    /// ```
    pub fn of<T: Event>(events: &[T]) -> Option<Self> {
        let count = u32::try_from(events.len()).ok()?;
        let first = events.first()?.time();
        let (min, max) = events.iter().fold((first, first), |(min, max), event| {
            let time = event.time();
            (min.min(time), max.max(time))
        });
        Some(Self { count, min, max })
    }
}

/// A bounded source, cut into blocks with an index: a capture file, a vector.
///
/// A worker reads blocks in growing order. Each event is taken by one worker; where the job merges several sources by
/// time, two workers may each read a block of which they take a part. Summaries are trusted for order only as far as
/// they are true: a block whose events do not fit its summary ends the job with an error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no source of blocks of `{T}`",
    label = "not a source of blocks",
    note = "`pelton::VecSource::new(events, block)` makes one of a vector; events that arrive come from `pelton::push` or a `pelton::Feed`"
)]
pub trait BlockSource<T: Event>: Send + Sync + 'static {
    /// The blocks, in the source's order.
    fn blocks(&self) -> &[BlockSummary];

    /// What is wrong with how the source was made, in words: a mistake of the job's shape.
    fn mistake(&self) -> Option<String> {
        None
    }

    /// Watermarks that the source tells by itself, in the order of blocks: before which block, and that nothing at or
    /// before this time comes from there on.
    fn watermarks(&self) -> Vec<(usize, Timestamp)> {
        Vec::new()
    }

    /// The texts of the symbols in the events, by id. The engine maps them into the job's dictionary.
    ///
    /// Where there are none, the ids in the events are those of [`Job::symbols`](crate::Job::symbols). An id that
    /// stands for no text ends the job with an error, unless the event is rejected for its time.
    fn symbols(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    /// A reader for one worker.
    ///
    /// # Errors
    /// When the source cannot be opened.
    fn reader(&self) -> Result<Box<dyn BlockReader<T>>, BoxError>;
}

/// One worker's view of a [`BlockSource`].
pub trait BlockReader<T: Event>: 'static {
    /// Makes `block` the current one, checked for damage. Blocks come in growing order.
    ///
    /// The engine itself compares the events with the block's summary while it reads them.
    ///
    /// # Errors
    /// When the block cannot be read or is damaged.
    fn load(&mut self, block: usize) -> Result<(), BoxError>;

    /// The events of the current block; none before the first [`BlockReader::load`].
    fn events(&self) -> &[T];

    /// The events of a block to come, unchecked, where they lie in memory as [`BlockReader::events`] will
    /// lend them; none otherwise.
    ///
    /// The engine never looks at them: it has them fetched into the cache while it works on the current block.
    fn upcoming(&self, block: usize) -> &[T] {
        let _ = block;
        &[]
    }
}

/// What a poll of a [`Feed`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// Some events were appended.
    Ready,
    /// Nothing now, perhaps later.
    Pending,
    /// Nothing now and never again.
    End,
}

/// An ordered source whose end is not known: a socket, a channel, a file of text.
///
/// It is polled by one worker and must not block.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no feed of `{T}`",
    label = "not a feed",
    note = "implement `pelton::Feed<{T}>`, whose `poll` appends what has arrived and does not wait; `pelton::push` makes a source that a program fills"
)]
pub trait Feed<T: Event>: Send + 'static {
    /// Appends at most `room` events to `out`.
    ///
    /// # Errors
    /// When the feed is broken; the job ends with the error.
    fn poll(&mut self, room: usize, out: &mut Vec<T>) -> Result<Polled, BoxError>;

    /// The texts of the symbols in the events, by id, as known before the first poll.
    ///
    /// Where there are none, the ids in the events are those of [`Job::symbols`](crate::Job::symbols), to which texts
    /// may be added at any time before an event with their ids is given. An id that stands for no text ends the job
    /// with an error, unless the event is rejected for its time.
    fn symbols(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    /// A watermark that the feed tells by itself, behind the events that it has given and before those that it will give:
    /// nothing at or before this time comes any more. It is asked after each poll, and tells each watermark once. Events
    /// behind it that are at or before it are late.
    ///
    /// It is taken at its word, beside what [`Watermarks`](crate::Watermarks) make of the events, and journaled as they
    /// are. It also ends idleness.
    fn watermark(&mut self) -> Option<Timestamp> {
        None
    }

    /// Events that were accepted from outside and not polled yet: a job that drains takes them and no
    /// more.
    fn backlog(&self) -> usize {
        0
    }

    /// Tells how much of the feed's input is durable, where the job keeps a journal: once, before the first poll. What
    /// [`DurableInput::count`] says then came before a restart, and the feed goes on behind it; what it says later need
    /// not be kept anywhere else.
    ///
    /// Without a way to go on, as of a socket, a feed just gives what comes.
    ///
    /// # Errors
    /// When the feed cannot go on there; the job does not begin.
    fn go_on(&mut self, durable: &DurableInput) -> Result<(), BoxError> {
        let _ = durable;
        Ok(())
    }

    /// Input that could not become an event so far, since the feed was made; part of the report. A count that falls ends the job with an error.
    fn rejected(&self) -> u64 {
        0
    }
}

/// A source as it is given to a job: made of a vector, an array or an iterator of events, of a [`BlockSource`] or of a
/// [`Feed`].
pub struct Source<T> {
    pub(crate) kind: SourceKind<T>,
    pub(crate) speed: Option<f64>,
}

pub(crate) enum SourceKind<T> {
    Blocks(Arc<dyn BlockSource<T>>),
    Feed(Box<dyn Feed<T>>),
}

impl<T: Event> Source<T> {
    /// A source of indexed blocks.
    pub fn blocks(source: impl BlockSource<T>) -> Self {
        Self { kind: SourceKind::Blocks(Arc::new(source)), speed: None }
    }

    /// A source that is polled.
    pub fn feed(feed: impl Feed<T>) -> Self {
        Self { kind: SourceKind::Feed(Box::new(feed)), speed: None }
    }

    /// Releases events no faster than `times` their recorded speed, by event time. Without it, as
    /// fast as possible. It changes when results come, never what they are.
    pub fn speed(mut self, times: f64) -> Self {
        self.speed = Some(times);
        self
    }
}

/// Events of a block where nothing else is said.
const BLOCK_EVENTS: usize = 4096;

/// A bounded source of these events, in their order: [`VecSource`] in blocks of 4,096.
///
/// ```
/// use pelton::{Job, Options, collect};
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Tick { #[event(time)] time_ns: i64 }
///
/// let mut job = Job::new("ticks");
/// let (sink, rows) = collect();
/// job.source("ticks", vec![Tick { time_ns: 1 }, Tick { time_ns: 2 }]).sink("out", sink);
/// job.run(Options::workers(1))?;
/// assert_eq!(rows.take().len(), 2);
/// # Ok::<(), pelton::Error>(())
/// ```
impl<T: Event> From<Vec<T>> for Source<T> {
    fn from(events: Vec<T>) -> Self {
        VecSource::new(events, BLOCK_EVENTS).into()
    }
}

/// As of a vector.
impl<T: Event, const N: usize> From<[T; N]> for Source<T> {
    fn from(events: [T; N]) -> Self {
        Vec::from(events).into()
    }
}

/// A bounded source of all that an iterator gives, which is kept in memory: workers read it in blocks, side by side.
///
/// ```
/// use pelton::{Job, Options, Source, collect};
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Tick { #[event(time)] time_ns: i64 }
///
/// let mut job = Job::new("ticks");
/// let (sink, rows) = collect();
/// job.source("ticks", Source::from_iter((0..10_000).map(|time_ns| Tick { time_ns }))).sink("out", sink);
/// job.run(Options::workers(2))?;
/// assert_eq!(rows.take().len(), 10_000);
/// # Ok::<(), pelton::Error>(())
/// ```
impl<T: Event> FromIterator<T> for Source<T> {
    fn from_iter<I: IntoIterator<Item = T>>(events: I) -> Self {
        Vec::from_iter(events).into()
    }
}

/// Events in memory, in blocks of a given size, or with names of their symbols. A job takes a plain vector as well.
///
/// ```
/// use pelton::{BlockSource, Event, VecSource};
///
/// #[derive(Clone, Copy, Event)]
/// #[repr(C)]
/// struct Tick { #[event(time)] time_ns: i64 }
///
/// let ticks = (0..10).map(|time_ns| Tick { time_ns }).collect();
/// assert_eq!(VecSource::new(ticks, 4).blocks().len(), 3);
/// ```
pub struct VecSource<T> {
    events: Arc<Vec<T>>,
    block_events: usize,
    blocks: Vec<BlockSummary>,
    symbols: Vec<Arc<str>>,
}

impl<T: Event> VecSource<T> {
    /// A source of `events` in blocks of `block_events`, of which 2^24 are the most that is used.
    ///
    /// Blocks of no events are a mistake of the job's shape, [`ShapeError::BadSource`](crate::ShapeError::BadSource).
    pub fn new(events: Vec<T>, block_events: usize) -> Self {
        let block_events = block_events.min(1 << 24);
        // A source with a mistake has no blocks.
        let blocks = match block_events {
            0 => Vec::new(),
            _ => events.chunks(block_events).filter_map(BlockSummary::of).collect(),
        };
        Self { events: Arc::new(events), block_events, blocks, symbols: Vec::new() }
    }

    /// Names the symbols in the events, by id. Without names the ids are those of the job's dictionary.
    pub fn with_symbols<S: AsRef<str>>(mut self, symbols: impl IntoIterator<Item = S>) -> Self {
        self.symbols = symbols.into_iter().map(|text| text.as_ref().into()).collect();
        self
    }
}

impl<T: Event> BlockSource<T> for VecSource<T> {
    fn blocks(&self) -> &[BlockSummary] {
        &self.blocks
    }

    fn symbols(&self) -> Vec<Arc<str>> {
        self.symbols.clone()
    }

    fn mistake(&self) -> Option<String> {
        (self.block_events == 0).then(|| "its blocks are of 0 events".to_owned())
    }

    fn reader(&self) -> Result<Box<dyn BlockReader<T>>, BoxError> {
        // For those who read it without a job.
        if let Some(mistake) = self.mistake() {
            return Err(mistake.into());
        }
        Ok(Box::new(VecReader { events: self.events.clone(), block_events: self.block_events, current: 0..0 }))
    }
}

struct VecReader<T> {
    events: Arc<Vec<T>>,
    block_events: usize,
    current: Range<usize>,
}

impl<T> VecReader<T> {
    /// Where the events of a block are, if there is one.
    fn range(&self, block: usize) -> Option<Range<usize>> {
        let start = block.checked_mul(self.block_events).filter(|&start| start < self.events.len())?;
        Some(start..(start + self.block_events).min(self.events.len()))
    }
}

impl<T: Event> BlockReader<T> for VecReader<T> {
    fn load(&mut self, block: usize) -> Result<(), BoxError> {
        self.current = self.range(block).ok_or_else(|| format!("there is no block {block}"))?;
        Ok(())
    }

    fn events(&self) -> &[T] {
        &self.events[self.current.clone()]
    }

    fn upcoming(&self, block: usize) -> &[T] {
        &self.events[self.range(block).unwrap_or_default()]
    }
}

impl<T: Event> From<VecSource<T>> for Source<T> {
    fn from(source: VecSource<T>) -> Self {
        Self::blocks(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Job, Layout, Options, Record, collect};

    #[derive(Clone, Copy, Event)]
    #[repr(C)]
    struct Tick {
        #[event(time)]
        time_ns: i64,
    }

    #[test]
    fn upcoming_blocks_lie_where_they_will_be_lent() {
        let source = VecSource::new((0..10).map(|time_ns| Tick { time_ns }).collect(), 4);
        let (mut reader, ahead) = (source.reader().unwrap(), source.reader().unwrap());
        for block in 0..3 {
            reader.load(block).unwrap();
            assert!(std::ptr::eq(ahead.upcoming(block), reader.events()));
        }
        for none in [3, usize::MAX] {
            assert!(ahead.upcoming(none).is_empty() && reader.load(none).is_err());
        }
    }

    /// An event without bytes, of which very many take no room.
    #[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    struct Moment;

    impl Record for Moment {
        fn layout() -> Layout {
            Layout::new("Moment", 0, 1, Vec::new())
        }
    }

    impl Event for Moment {
        fn time(&self) -> Timestamp {
            Timestamp::from_nanos(5)
        }
    }

    static MANY: [Moment; 1 << 32] = [Moment; 1 << 32];

    /// Declares a block of so many events, up to this time, and lends more than can be counted.
    struct Abundant([BlockSummary; 1]);

    impl BlockSource<Moment> for Abundant {
        fn blocks(&self) -> &[BlockSummary] {
            &self.0
        }
        fn reader(&self) -> Result<Box<dyn BlockReader<Moment>>, BoxError> {
            Ok(Box::new(Abundance))
        }
    }

    struct Abundance;

    impl BlockReader<Moment> for Abundance {
        fn load(&mut self, _: usize) -> Result<(), BoxError> {
            Ok(())
        }
        fn events(&self) -> &[Moment] {
            &MANY
        }
    }

    #[test]
    fn a_block_of_more_events_than_can_be_counted_ends_the_job_with_its_number() {
        // Of the second, the block is looked at before the job runs.
        for max in [Timestamp::from_nanos(5), Timestamp::MAX] {
            let index = BlockSummary { count: u32::MAX, min: Timestamp::from_nanos(5), max };
            let mut job = Job::new("abundant");
            let (sink, _rows) = collect();
            job.source("moments", Source::blocks(Abundant([index]))).sink("out", sink);
            let Err(Error::Source { name, error }) = job.run(Options::workers(1)) else { panic!("it is counted") };
            assert_eq!(name, "moments");
            assert_eq!(error.to_string(), "block 0 has 4294967296 events; a block has at most 4294967295");
        }
    }
}
