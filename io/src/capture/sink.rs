//! A job's rows as a capture, for another job to replay.
//!
//! Equal rows make equal files: symbols get their ids in the order in which rows use them, whatever
//! ids the job gave them, and the file's id comes from the layout.

use super::error::CaptureError;
use super::writer::{CaptureWriter, WriterOptions};
use pelton::{BoxError, Dictionary, Event, FieldKind, Sink, SinkCheckpoint, Symbol, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// Writes rows to a capture at `path`, in place of a file that is there. A row's event time is its
/// own time field.
///
/// # Errors
/// When the file cannot be created, or captures cannot hold the rows' layout.
///
/// ```
/// use pelton::{Sink, Timestamp};
/// use pelton_io::{Trade, capture::{self, Capture}};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("rows.pelton");
/// let mut sink = capture::sink::create::<Trade>(&path)?;
/// sink.write(&[Timestamp::from_nanos(7)], &[Trade { time_ns: 7, ..Trade::default() }])?;
/// sink.finish()?;
/// assert_eq!(Capture::open(&path)?.event_count(), 1);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub fn create<T: Event>(path: impl AsRef<Path>) -> Result<CaptureSink<T>, CaptureError> {
    let layout = T::layout();
    let file_id = Some(layout.fingerprint());
    let symbol_fields = layout.fields().iter().filter(|field| field.kind == FieldKind::Symbol);
    let symbol_offsets = symbol_fields.map(|field| field.offset).collect();
    let options = WriterOptions { overwrite: true, file_id, ..WriterOptions::default() };
    let writer = Some(CaptureWriter::create(path, options)?);
    Ok(CaptureSink { writer, symbols: None, symbol_offsets, ids: Vec::new(), rows: Vec::new() })
}

/// See [`create`].
pub struct CaptureSink<T> {
    /// `None` after the end.
    writer: Option<CaptureWriter<T>>,
    symbols: Option<Arc<Dictionary>>,
    symbol_offsets: Vec<usize>,
    /// The capture's id of a symbol by the job's id.
    ids: Vec<Option<Symbol>>,
    /// Rows with the capture's symbols.
    rows: Vec<T>,
}

impl<T: Event> CaptureSink<T> {
    /// Leaves the rows in `self.rows`, with the capture's symbols.
    fn translate(&mut self, rows: &[T]) -> Result<(), CaptureError> {
        self.rows.clear();
        self.rows.extend_from_slice(rows);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.rows);
        let Some(writer) = &mut self.writer else { return Ok(()) };
        for row in bytes.chunks_exact_mut(size_of::<T>()) {
            for &at in &self.symbol_offsets {
                let field = &mut row[at..at + size_of::<u32>()];
                let job_id = u32::from_le_bytes([field[0], field[1], field[2], field[3]]);
                let id = match self.ids.get(job_id as usize).copied().flatten() {
                    Some(id) => id,
                    None => new_id(writer, self.symbols.as_deref(), &mut self.ids, job_id)?,
                };
                field.copy_from_slice(&id.id().to_le_bytes());
            }
        }
        Ok(())
    }
}

#[cold]
fn new_id<T: Event>(
    writer: &mut CaptureWriter<T>,
    symbols: Option<&Dictionary>,
    ids: &mut Vec<Option<Symbol>>,
    job_id: u32,
) -> Result<Symbol, CaptureError> {
    let Some(text) = symbols.and_then(|symbols| symbols.text(Symbol::from_id(job_id))) else {
        // As text sinks write symbols that nobody named.
        return writer.intern(&format!("#{job_id}"));
    };
    let id = writer.intern(&text)?;
    // A symbol with a text has an id that a dictionary gave, so this is bounded by its limit.
    if ids.len() <= job_id as usize {
        ids.resize(job_id as usize + 1, None);
    }
    ids[job_id as usize] = Some(id);
    Ok(id)
}

impl<T: Event> Sink<T> for CaptureSink<T> {
    fn open(&mut self, symbols: &Arc<Dictionary>) -> Result<(), BoxError> {
        self.symbols = Some(symbols.clone());
        Ok(())
    }

    fn write(&mut self, _: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        let translated = !self.symbol_offsets.is_empty();
        if translated {
            self.translate(rows)?;
        }
        let writer = self.writer.as_mut().ok_or("the capture is finished")?;
        writer.extend(if translated { &self.rows } else { rows })?;
        Ok(rows.len())
    }

    /// Gives whole blocks to the operating system; cutting a block here would make the file's bytes
    /// depend on when the stream paused.
    fn flush(&mut self) -> Result<(), BoxError> {
        if let Some(writer) = &mut self.writer {
            writer.flush()?;
        }
        Ok(())
    }

    /// A capture cannot be taken back, and one that is not finished is gone: no job may rely on it. The first checkpoint is
    /// taken before anything is read.
    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        Err("a capture cannot be written by a job that takes checkpoints".into())
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        if let Some(writer) = self.writer.take() {
            writer.finish()?;
        }
        Ok(())
    }
}
