//! A job's rows as a capture, or as several, for another job to replay.
//!
//! Equal rows make equal files: symbols get their ids in the order in which rows use them, whatever
//! ids the job gave them, and the file's id comes from the layout. Each file has its own symbols.
//!
//! A capture gets its name when it is finished, and where the job takes checkpoints, when one covers it. A job that goes
//! on from a checkpoint reads what was committed of the capture in progress, holds it against its checksums, and ends
//! with the bytes of a job that nobody disturbed.

use super::error::CaptureError;
use super::footer::text_bytes;
use super::writer::{RawWriter, WriterOptions, file_header};
use crate::disk::Disk;
use crate::parts::{Parts, Rolling, os_disk};
use pelton::{BoxError, Dictionary, Event, FieldKind, Sink, SinkCheckpoint, Symbol, Timestamp};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Writes rows to a capture at `path`, in place of a file that is there. A row's event time is its
/// own time field.
///
/// Until it is finished, the file has a hidden name that ends in `.in-progress`. A job that fails leaves it there,
/// readable up to its last whole block.
///
/// # Errors
/// When there can be no file of this name, or captures cannot hold the rows' layout.
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
    create_on_disk(path, os_disk())
}

/// As [`create`], on another disk: for tests.
///
/// # Errors
/// As [`create`].
pub fn create_on_disk<T: Event>(path: impl AsRef<Path>, disk: Arc<dyn Disk>) -> Result<CaptureSink<T>, CaptureError> {
    let path = path.as_ref();
    to_parts(path, || Parts::one(path, disk))
}

/// Writes rows to captures, one after another. Each gets its final name once it is whole and committed. A size counts the
/// whole file with its index and symbols; a job without rows makes no file.
///
/// # Errors
/// When there can be no files of such names, or captures cannot hold the rows' layout.
///
/// ```
/// use pelton::{Sink, Timestamp};
/// use pelton_io::sink::{Roll, Rolling};
/// use pelton_io::{Trade, capture::{self, Capture}};
///
/// # let dir = tempfile::tempdir()?;
/// let files = Rolling::new(dir.path().join("trades.pelton"), Roll::daily());
/// let mut sink = capture::sink::rolling::<Trade>(files)?;
/// sink.open(&Default::default())?;
/// for time_ns in [1, 86_400_000_000_000] {
///     sink.write(&[Timestamp::from_nanos(time_ns)], &[Trade { time_ns, ..Trade::default() }])?;
/// }
/// sink.finish()?;
/// for name in ["trades-000000-1970-01-01.pelton", "trades-000001-1970-01-02.pelton"] {
///     assert_eq!(Capture::open(dir.path().join(name))?.event_count(), 1);
/// }
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub fn rolling<T: Event>(files: Rolling) -> Result<CaptureSink<T>, CaptureError> {
    to_parts(&files.path, || Parts::rolling(&files, "pelton"))
}

fn to_parts<T: Event>(path: &Path, make: impl FnOnce() -> io::Result<Parts>) -> Result<CaptureSink<T>, CaptureError> {
    let layout = T::layout();
    let symbol_fields = layout.fields().iter().filter(|field| field.kind == FieldKind::Symbol);
    let symbol_offsets = symbol_fields.map(|field| field.offset).collect();
    let options = WriterOptions { file_id: Some(layout.fingerprint()), ..WriterOptions::default() };
    file_header(path, &layout, &options)?;
    let refused = |source| CaptureError::Io { path: path.to_owned(), action: "create the capture", source };
    let parts = make().map_err(refused)?;
    let (ids, rows) = (Vec::new(), Vec::new());
    Ok(CaptureSink { parts, options, writer: None, symbols: None, symbol_offsets, ids, rows })
}

/// See [`create`] and [`rolling`].
pub struct CaptureSink<T> {
    parts: Parts,
    options: WriterOptions,
    /// Of the file in progress.
    writer: Option<RawWriter>,
    symbols: Option<Arc<Dictionary>>,
    symbol_offsets: Vec<usize>,
    /// The capture's id of a symbol by the job's id.
    ids: Vec<Option<Symbol>>,
    /// Rows with the capture's symbols.
    rows: Vec<T>,
}

impl<T: Event> CaptureSink<T> {
    /// Begins the next capture.
    fn start(&mut self, period: i64) -> Result<(), BoxError> {
        let out = self.parts.start(period)?;
        let path = self.parts.current_path();
        self.writer = Some(RawWriter::with_output(out, path, T::layout(), self.options.clone())?);
        self.ids.clear();
        Ok(())
    }

    /// Finishes the capture in progress.
    fn seal(&mut self) -> Result<(), BoxError> {
        if let Some(mut writer) = self.writer.take() {
            writer.close()?;
        }
        Ok(self.parts.seal()?)
    }

    /// How many of these rows, of which there are some, go to one capture, which is then in progress.
    fn run(&mut self, times: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        let Some(roll) = self.parts.roll() else {
            if self.writer.is_none() {
                self.start(0)?;
            }
            return Ok(rows.len());
        };
        let period = roll.period(times[0].as_nanos());
        let goes_on = match (self.parts.period(), roll.bytes_max()) {
            (None, _) => true,
            (Some(current), None) => period > current,
            (Some(_), Some(max)) => {
                let new_texts = self.new_text_bytes(&rows[0]);
                self.writer.as_ref().is_some_and(|writer| writer.events() > 0 && writer.bytes_with(new_texts) > max)
            }
        };
        if goes_on {
            self.seal()?;
            self.start(period)?;
        }
        let Some(current) = self.parts.period() else { return Ok(0) };
        Ok(match roll.bytes_max() {
            Some(_) => 1,
            None => times.iter().take_while(|time| roll.period(time.as_nanos()) <= current).count(),
        })
    }

    /// Bytes of the texts that a row would bring to the capture in progress.
    fn new_text_bytes(&self, row: &T) -> usize {
        let record = bytemuck::bytes_of(row);
        let job_ids = self.symbol_offsets.iter().map(|at| id_at(record, *at));
        let unknown = job_ids.filter(|id| self.ids.get(*id as usize).copied().flatten().is_none());
        let texts = unknown.map(|id| text_of(self.symbols.as_deref(), id));
        let is_new = |text: &Arc<str>| self.writer.as_ref().is_some_and(|writer| !writer.knows(text));
        texts.filter(is_new).map(|text| text_bytes(&text)).sum()
    }

    /// Writes rows to the capture in progress.
    fn put(&mut self, rows: &[T]) -> Result<(), CaptureError> {
        let translated = !self.symbol_offsets.is_empty();
        if translated {
            self.translate(rows)?;
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.extend(bytemuck::cast_slice(if translated { &self.rows } else { rows }))
    }

    /// Leaves the rows in `self.rows`, with the capture's symbols.
    fn translate(&mut self, rows: &[T]) -> Result<(), CaptureError> {
        self.rows.clear();
        self.rows.extend_from_slice(rows);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.rows);
        let Some(writer) = &mut self.writer else { return Ok(()) };
        for row in bytes.chunks_exact_mut(size_of::<T>()) {
            for &at in &self.symbol_offsets {
                let job_id = id_at(row, at);
                let id = match self.ids.get(job_id as usize).copied().flatten() {
                    Some(id) => id,
                    None => new_id(writer, self.symbols.as_deref(), &mut self.ids, job_id)?,
                };
                row[at..at + size_of::<u32>()].copy_from_slice(&id.id().to_le_bytes());
            }
        }
        Ok(())
    }
}

fn id_at(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

/// The text of a symbol; of one that nobody named, as text sinks write it.
fn text_of(symbols: Option<&Dictionary>, job_id: u32) -> Arc<str> {
    let text = symbols.and_then(|symbols| symbols.text(Symbol::from_id(job_id)));
    text.unwrap_or_else(|| format!("#{job_id}").into())
}

#[cold]
fn new_id(
    writer: &mut RawWriter,
    symbols: Option<&Dictionary>,
    ids: &mut Vec<Option<Symbol>>,
    job_id: u32,
) -> Result<Symbol, CaptureError> {
    let id = writer.intern(&text_of(symbols, job_id))?;
    if symbols.is_none_or(|symbols| symbols.text(Symbol::from_id(job_id)).is_none()) {
        return Ok(id);
    }
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
        Ok(self.parts.begin()?)
    }

    fn write(&mut self, times: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        if self.parts.is_finished() {
            return Err("the capture is finished".into());
        }
        let mut written = 0;
        while written < rows.len() {
            let end = written + self.run(&times[written..], &rows[written..])?;
            self.put(&rows[written..end])?;
            written = end;
        }
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

    /// Whole blocks are in the file, and what is left of the rows is in the checkpoint: no block is cut.
    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        self.flush()?;
        let rest = self.writer.as_ref().map(RawWriter::rest).unwrap_or_default();
        Ok(Some(self.parts.checkpoint(&rest)?))
    }

    fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        let rest = self.parts.restore(position)?;
        if let Some(file) = self.parts.current() {
            let path = self.parts.current_path();
            self.writer = Some(RawWriter::resume(file, &path, T::layout(), &self.options, rest)?);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        if self.parts.is_finished() {
            return Ok(());
        }
        if self.writer.is_none() && self.parts.roll().is_none() {
            self.start(0)?;
        }
        self.seal()?;
        Ok(self.parts.finish()?)
    }
}
