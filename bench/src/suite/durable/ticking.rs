//! Readings that are made as they are read, as many as are asked for: a source whose keys take any amount of state.

use crate::load::histogram;
use crate::readings::Reading;
use hdrhistogram::Histogram;
use pelton::{BlockReader, BlockSource, BlockSummary, BoxError, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Events of a block.
const BLOCK: u64 = 16_384;
/// Keys follow each other by this, so that they come in no order.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Readings a nanosecond apart, of `keys` devices.
#[derive(Clone)]
pub(super) struct Ticking {
    events: u64,
    keys: u64,
    blocks: Arc<[BlockSummary]>,
    times: Option<BlockTimes>,
}

impl Ticking {
    pub(super) fn new(events: u64, keys: u64) -> Self {
        let summary = |block: u64| {
            let (first, end) = (block * BLOCK, events.min((block + 1) * BLOCK));
            let at = |number: u64| Timestamp::from_nanos(number as i64);
            BlockSummary { count: (end - first) as u32, min: at(first), max: at(end - 1) }
        };
        Self { events, keys, blocks: (0..events.div_ceil(BLOCK)).map(summary).collect(), times: None }
    }

    /// The same, which notes how long workers take for each block.
    pub(super) fn measured(self) -> Self {
        Self { times: Some(BlockTimes::default()), ..self }
    }

    /// What is noted of the blocks.
    pub(super) fn times(&self) -> BlockTimes {
        self.times.clone().unwrap_or_default()
    }
}

/// How long workers took for each block: from the end of reading it to the beginning of the next.
#[derive(Clone, Default)]
pub(super) struct BlockTimes(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    begun: Option<Instant>,
    blocks: Option<Histogram<u64>>,
}

impl BlockTimes {
    fn note(&self, since: Option<Instant>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        noted.begun.get_or_insert(now);
        if let Some(since) = since {
            noted.blocks.get_or_insert_with(histogram).saturating_record(now.duration_since(since).as_nanos() as u64);
        }
    }

    /// When the first block was asked for.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).begun
    }

    /// Nanoseconds for a block.
    pub(super) fn take(&self) -> Histogram<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).blocks.take().unwrap_or_else(histogram)
    }
}

impl BlockSource<Reading> for Ticking {
    fn blocks(&self) -> &[BlockSummary] {
        &self.blocks
    }

    fn reader(&self) -> Result<Box<dyn BlockReader<Reading>>, BoxError> {
        Ok(Box::new(TickingReader { source: self.clone(), events: Vec::new(), read: None }))
    }
}

struct TickingReader {
    source: Ticking,
    events: Vec<Reading>,
    /// When the current block was read.
    read: Option<Instant>,
}

impl BlockReader<Reading> for TickingReader {
    fn load(&mut self, block: usize) -> Result<(), BoxError> {
        if let Some(times) = &self.source.times {
            times.note(self.read);
        }
        let first = block as u64 * BLOCK;
        let end = self.source.events.min(first + BLOCK);
        self.events.clear();
        self.events.extend((first..end).map(|number| {
            // The upper half of the product, of the keys: a division would take longer than the window.
            let hash = number.wrapping_mul(STRIDE);
            let device = (u128::from(hash) * u128::from(self.source.keys)) >> 64;
            Reading { time_ns: number as i64, device: device as u64, value: number & 0xff, sequence: number }
        }));
        if self.source.times.is_some() {
            self.read = Some(Instant::now());
        }
        Ok(())
    }

    fn events(&self) -> &[Reading] {
        &self.events
    }
}
