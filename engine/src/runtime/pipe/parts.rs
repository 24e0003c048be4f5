//! What a pipe is made of.

use crate::Timestamp;
use crate::progress::generator::GeneratedClock;
use crate::progress::jumps::JumpLimit;
use crate::progress::watermark::Watermarks;
use crate::runtime::metrics::StepCounters;
use crate::runtime::pace::Pace;
use crate::runtime::receiver::FanOut;
use crate::runtime::source::{BlockReader, Feed};
use crate::runtime::summaries::Index;
use crate::runtime::symbols::SourceSymbols;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Where a pipe's events come from.
pub(crate) enum PipeInput<T> {
    Blocks {
        reader: Box<dyn BlockReader<T>>,
        index: Arc<Index>,
        /// Where the generator of watermarks stands before each block, and behind the last.
        generated: Option<Arc<[GeneratedClock<T>]>>,
    },
    Feed {
        feed: Box<dyn Feed<T>>,
        block_events: usize,
        /// Rejected input that is counted already.
        rejected: u64,
        /// Of it, what is not journaled yet.
        newly_rejected: u64,
    },
    /// A source that this worker does not read.
    Elsewhere,
}

/// What a pipe is made of.
pub(crate) struct PipeParts<T> {
    pub(crate) input: PipeInput<T>,
    pub(crate) outlet: FanOut<T>,
    pub(crate) watermarks: Watermarks<T>,
    pub(crate) times: RangeInclusive<Timestamp>,
    pub(crate) jumps: JumpLimit,
    pub(crate) pace: Option<Pace>,
    pub(crate) symbols: SourceSymbols,
    /// The same in events from the journal, which have the job's ids.
    pub(crate) journaled_symbols: SourceSymbols,
    pub(crate) counters: Arc<StepCounters>,
    pub(crate) worker: usize,
}
