//! Of a pipe: what is journaled of its source, and what is taken from the journal again.

use super::{Pipe, PipeInput, Unit};
use crate::log::journal::Record;
use crate::progress::jumps::SourceClock;
use crate::runtime::metrics::add;
use crate::{BoxError, Event};

/// Bytes of what is journaled of a block.
pub(crate) const BLOCK_BYTES: usize = 24;

/// What a journal wants of a source, whatever its events are.
pub(crate) trait JournaledPipe {
    /// The events that were polled, and how many they are.
    fn polled(&self) -> (&[u8], usize);
    /// Input that the feed has rejected since this was last asked.
    fn take_rejected(&mut self) -> u64;
    /// Makes events that were journaled the current unit, which has this number.
    fn take(&mut self, record: &Record<'_>, unit: u64) -> Result<(), BoxError>;
    /// Counts input that the feed had rejected.
    fn reject(&mut self, more: u64);
    /// What is journaled of a block: its summary.
    fn block_bytes(&self, block: usize) -> [u8; BLOCK_BYTES];
    /// How far event time has come in the source.
    fn source_clock(&self) -> SourceClock;
    /// Goes on where event time had come to.
    fn resume(&mut self, clock: SourceClock);
    /// Has the watermark account for events that were given on before a restart.
    fn pass_over(&mut self, record: &Record<'_>) -> Result<(), BoxError>;
}

impl<T: Event> Pipe<T> {
    /// Copies the events of a record.
    fn copy_journaled(&mut self, record: &Record<'_>) -> Result<(), BoxError> {
        self.copy.clear();
        let count = record.count as usize;
        if count.checked_mul(size_of::<T>()) != Some(record.payload.len()) {
            let (expected, found) = (count.saturating_mul(size_of::<T>()), record.payload.len());
            return Err(format!("record {} has {found} bytes of events, not {expected}", record.sequence).into());
        }
        self.copy.resize(count, T::zeroed());
        bytemuck::cast_slice_mut(&mut self.copy).copy_from_slice(record.payload);
        Ok(())
    }
}

impl<T: Event> JournaledPipe for Pipe<T> {
    fn polled(&self) -> (&[u8], usize) {
        (bytemuck::cast_slice(&self.copy), self.copy.len())
    }

    fn take_rejected(&mut self) -> u64 {
        match &mut self.parts.input {
            PipeInput::Feed { newly_rejected, .. } => std::mem::take(newly_rejected),
            PipeInput::Blocks { .. } | PipeInput::Elsewhere => 0,
        }
    }

    fn take(&mut self, record: &Record<'_>, unit: u64) -> Result<(), BoxError> {
        self.begin_unit(Unit::Copied);
        self.copy_journaled(record)?;
        self.reject(record.rejected);
        // They have the job's symbols already, or those of no text where they are rejected.
        self.parts.journaled_symbols.check(&self.copy, (unit as usize, 0), &self.parts.times)
    }

    fn reject(&mut self, more: u64) {
        let counters = self.parts.counters.of(self.parts.worker);
        add(&counters.rejected, more);
        add(&counters.rows_in, more);
    }

    fn block_bytes(&self, block: usize) -> [u8; BLOCK_BYTES] {
        let mut bytes = [0; BLOCK_BYTES];
        let PipeInput::Blocks { index, .. } = &self.parts.input else { return bytes };
        if let Some(Some(summary)) = index.summaries.get(block) {
            let words = [u64::from(summary.count), summary.min.as_nanos() as u64, summary.max.as_nanos() as u64];
            let words = words.into_iter().flat_map(u64::to_le_bytes);
            bytes.iter_mut().zip(words).for_each(|(byte, word)| *byte = word);
        }
        bytes
    }

    fn source_clock(&self) -> SourceClock {
        self.tracker.source()
    }

    fn resume(&mut self, clock: SourceClock) {
        self.tracker.go_on(clock);
    }

    fn pass_over(&mut self, record: &Record<'_>) -> Result<(), BoxError> {
        self.copy_journaled(record)?;
        self.tracker.pass(self.copy.iter().map(Event::time), &self.parts.times);
        self.copy.clear();
        Ok(())
    }
}
