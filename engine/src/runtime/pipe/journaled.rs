//! Of a pipe: what is journaled of its source, and what is taken from the journal again.

use super::{Pipe, PipeInput, Unit};
use crate::log::journal::{Record, RecordKind};
use crate::progress::jumps::SourceClock;
use crate::runtime::metrics::add;
use crate::{BoxError, Event, Timestamp};

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
    /// Goes on where event time had come to, of a bounded source before a block.
    fn resume(&mut self, clock: SourceClock, block: usize);
    /// The watermark that the source told by itself, as it is journaled.
    fn told_bytes(&self) -> [u8; 8];
    /// Makes a watermark that was journaled the one that the source tells.
    fn tell_again(&mut self, record: &Record<'_>) -> Result<(), BoxError>;
    /// Has the clock take the watermark that the source tells.
    fn take_told(&mut self);
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

    fn resume(&mut self, clock: SourceClock, block: usize) {
        let generated = self.generated_before(block).cloned();
        self.tracker.go_on(clock, generated.as_ref());
    }

    fn told_bytes(&self) -> [u8; 8] {
        self.told.unwrap_or(Timestamp::MIN).as_nanos().to_le_bytes()
    }

    fn tell_again(&mut self, record: &Record<'_>) -> Result<(), BoxError> {
        self.told = Some(record.watermark().ok_or_else(|| format!("record {} has no watermark", record.sequence))?);
        Ok(())
    }

    fn take_told(&mut self) {
        if let Some(watermark) = self.told.take() {
            self.tracker.raise(watermark);
        }
    }

    fn pass_over(&mut self, record: &Record<'_>) -> Result<(), BoxError> {
        if record.kind == RecordKind::Watermark {
            self.tell_again(record)?;
            self.take_told();
            return Ok(());
        }
        self.copy_journaled(record)?;
        self.tracker.pass(&self.copy, &self.parts.times);
        self.copy.clear();
        Ok(())
    }
}
