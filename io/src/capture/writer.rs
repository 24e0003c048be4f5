//! Writes captures front to back: nothing that was written is touched again.
//!
//! Invariants: `block` holds a block header's room and then whole records, fewer than a block has
//! room for; texts reach the file before the events that use them; after an error nothing more is
//! written, so the file stays an unfinished capture whose whole blocks can be read.

use super::error::{CaptureError, io_error};
use super::footer::{ENTRY_BYTES, Entry, Footer, put_text, text_bytes};
use super::format::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BlockHeader, BlockKind, FOOTER_BYTES_MAX, FileHeader, PAGE, SYMBOLS_BYTES_MAX,
    TRAILER_BYTES, Trailer, align_up, i64_at, put,
};
use super::schema;
use crate::output::sync_name;
use pelton::{Dictionary, Event, Layout, Symbol, Timestamp};
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Blocks are gathered up to the next multiple of this in the file before they are written, in bytes:
/// the size of a huge page. Linux keeps what one write covers in pages up to that size, and a replay
/// then maps 2 MiB by one fault and not by thirty.
const GATHER_BYTES: usize = 1 << 21;

/// Where a capture is written to: a file, or a test's fake of one.
pub trait Output: Write + Send + 'static {
    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// When the device refuses.
    fn sync(&mut self) -> io::Result<()>;
}

impl Output for File {
    fn sync(&mut self) -> io::Result<()> {
        // Pipes and devices keep nothing that could be made durable.
        if self.metadata()?.is_file() { self.sync_all() } else { Ok(()) }
    }
}

/// How a capture is written.
///
/// ```
/// use pelton_io::capture::WriterOptions;
///
/// let options = WriterOptions { overwrite: true, ..WriterOptions::default() };
/// assert_eq!(options.block_events, 4096);
/// ```
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// The most events of a block, at least 1; a block is what one worker reads at a time.
    pub block_events: u32,
    /// Texts that get the first ids of the capture's dictionary, in this order. Each text once.
    pub symbols: Vec<String>,
    /// Whether a file that exists is replaced; otherwise that is an error. Those who replay the old
    /// file at the time still have it.
    pub overwrite: bool,
    /// Ties blocks to their file; `None` for a random one. Chosen, it makes equal events equal files.
    pub file_id: Option<u64>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { block_events: 4096, symbols: Vec::new(), overwrite: false, file_id: None }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Events in the file.
    pub events: u64,
    /// Blocks of events in the file.
    pub blocks: u64,
    /// Texts in the file's dictionary.
    pub symbols: u64,
    /// The file's size in bytes.
    pub bytes: u64,
    /// The smallest and the largest event time, where there are events.
    pub range: Option<(Timestamp, Timestamp)>,
}

/// Writes records whose layout is known at run time. [`CaptureWriter`] is the typed one.
///
/// Dropped before [`RawWriter::finish`], it leaves an unfinished capture: readable up to its last
/// whole block, and marked as cut.
///
/// ```
/// use pelton::Record;
/// use pelton_io::{Trade, capture::{RawWriter, WriterOptions}};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("raw.pelton");
/// let mut writer = RawWriter::create(&path, Trade::layout(), WriterOptions::default())?;
/// writer.extend(&[0; 3 * 32])?;
/// assert_eq!(writer.finish()?.events, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RawWriter {
    out: Box<dyn Output>,
    /// Bytes of the file that `out` has not got: those before `position`, up to [`GATHER_BYTES`].
    gathered: Vec<u8>,
    pub(super) path: PathBuf,
    file_id: u64,
    pub(super) record_size: usize,
    time_offset: usize,
    /// A full block's size with its header, in bytes.
    pub(super) block_bytes: usize,
    pub(super) block: Vec<u8>,
    pub(super) position: u64,
    pub(super) sequence: u64,
    pub(super) dictionary: Dictionary,
    pub(super) footer: Footer,
    /// Bytes that the footer will have.
    pub(super) footer_bytes: usize,
    /// Texts that are in the file already, in range `0 ..= footer.symbols.len()`.
    pub(super) symbols_written: usize,
    /// Bytes of the texts behind these.
    pub(super) unwritten_text_bytes: usize,
    failed: bool,
}

impl RawWriter {
    /// Starts the capture at `path`.
    ///
    /// # Errors
    /// When the file cannot be created, or captures cannot hold the layout or so large a block.
    pub fn create(path: impl AsRef<Path>, layout: Layout, options: WriterOptions) -> Result<Self, CaptureError> {
        let path = path.as_ref();
        // A layout that does not fit must not cost the file that is there.
        let header = file_header(path, &layout, &options)?;
        let mut open = OpenOptions::new();
        open.write(true);
        if options.overwrite {
            // Whoever has the old file mapped keeps it: cutting it would crash them. Where it cannot
            // be removed, it is cut all the same.
            if std::fs::symlink_metadata(path).is_ok_and(|old| old.is_file()) {
                let _ = std::fs::remove_file(path);
            }
            open.create(true).truncate(true)
        } else {
            open.create_new(true)
        };
        let file = open.open(path).map_err(io_error(path, "create the capture"))?;
        Self::start(file, path, &layout, header, &options.symbols)
    }

    /// Starts a capture on another output; `path` names it in errors.
    ///
    /// # Errors
    /// As for [`RawWriter::create`].
    pub fn with_output(
        output: impl Output,
        path: impl AsRef<Path>,
        layout: Layout,
        options: WriterOptions,
    ) -> Result<Self, CaptureError> {
        let header = file_header(path.as_ref(), &layout, &options)?;
        Self::start(output, path.as_ref(), &layout, header, &options.symbols)
    }

    pub(super) fn start(
        output: impl Output,
        path: &Path,
        layout: &Layout,
        header: FileHeader,
        symbols: &[String],
    ) -> Result<Self, CaptureError> {
        let mut writer = Self::over(output, path, layout, &header);
        writer.put(&header.encode())?;
        for text in symbols {
            writer.intern(text)?;
        }
        Ok(writer)
    }

    /// A writer of which nothing is written.
    pub(super) fn over(output: impl Output, path: &Path, layout: &Layout, header: &FileHeader) -> Self {
        let block_bytes = BLOCK_HEADER_BYTES + header.block_events as usize * layout.size();
        let footer = Footer::default();
        let mut writer = Self {
            out: Box::new(output),
            gathered: Vec::new(),
            path: path.to_owned(),
            file_id: header.file_id,
            record_size: layout.size(),
            time_offset: layout.time_field().map_or(0, |field| field.offset),
            block_bytes,
            block: Vec::with_capacity(block_bytes + PAGE as usize),
            position: 0,
            sequence: 0,
            dictionary: Dictionary::default(),
            footer_bytes: footer.bytes(),
            footer,
            symbols_written: 0,
            unwritten_text_bytes: 0,
            failed: false,
        };
        writer.block.resize(BLOCK_HEADER_BYTES, 0);
        writer
    }

    /// The file's path, as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Events taken so far.
    pub fn events(&self) -> u64 {
        self.footer.events + ((self.block.len() - BLOCK_HEADER_BYTES) / self.record_size) as u64
    }

    /// The symbol of `text` in the capture's dictionary, which grows where it is new.
    ///
    /// # Errors
    /// When the text is too long or the dictionary full.
    pub fn intern(&mut self, text: &str) -> Result<Symbol, CaptureError> {
        let symbol =
            self.dictionary.intern(text).map_err(|source| CaptureError::Symbol { path: self.path.clone(), source })?;
        if symbol.id() as usize == self.footer.symbols.len() {
            self.grow_footer(text_bytes(text))?;
            self.footer.symbols.push(text.into());
            self.unwritten_text_bytes += text_bytes(text);
        }
        Ok(symbol)
    }

    /// Adds one record.
    ///
    /// # Errors
    /// As for [`RawWriter::extend`].
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> Result<(), CaptureError> {
        self.extend(record)
    }

    /// Adds records that lie one behind the other.
    ///
    /// # Errors
    /// When `records` is not a whole number of records, or the file cannot be written, such as on a
    /// full disk; then nothing more can be written.
    #[inline]
    pub fn extend(&mut self, mut records: &[u8]) -> Result<(), CaptureError> {
        if self.failed || !records.len().is_multiple_of(self.record_size) {
            return Err(self.refuse(records.len()));
        }
        while !records.is_empty() {
            let room = self.block_bytes - self.block.len();
            let (now, later) = records.split_at(records.len().min(room));
            self.block.extend_from_slice(now);
            if self.block.len() == self.block_bytes {
                self.write_events()?;
            }
            records = later;
        }
        Ok(())
    }

    #[cold]
    fn refuse(&self, bytes: usize) -> CaptureError {
        if self.failed {
            return CaptureError::Failed { path: self.path.clone() };
        }
        let reason = format!("{bytes} bytes are not records of {} bytes", self.record_size);
        CaptureError::Unsupported { path: self.path.clone(), reason }
    }

    /// Gives all full blocks to the operating system. It does not cut a block short, so it never
    /// changes the bytes of the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        if self.failed {
            return Err(self.refuse(0));
        }
        self.write_gathered()?;
        let result = self.out.flush();
        self.checked(result)
    }

    /// Writes what is left and the index, and makes the file durable.
    ///
    /// # Errors
    /// When the file cannot be written; it is an unfinished capture then.
    pub fn finish(mut self) -> Result<Summary, CaptureError> {
        let summary = self.close()?;
        let synced = self.out.sync();
        self.checked(synced)?;
        sync_parent(&self.path).map_err(io_error(&self.path, "make the name durable of"))?;
        Ok(summary)
    }

    /// Writes what is left and the index.
    pub(super) fn close(&mut self) -> Result<Summary, CaptureError> {
        if self.failed {
            return Err(self.refuse(0));
        }
        if self.block.len() > BLOCK_HEADER_BYTES {
            self.write_events()?;
        }
        let footer = self.position;
        let mut bytes = vec![0; BLOCK_HEADER_BYTES];
        bytes.append(&mut self.footer.encode());
        let footer_bytes = (bytes.len() - BLOCK_HEADER_BYTES) as u64;
        let count = self.footer.entries.len() as u32;
        self.write_block(&mut bytes, BlockKind::Footer, count, (0, 0), 0, TRAILER_BYTES as u64)?;
        let file_bytes = self.position + TRAILER_BYTES as u64;
        let events = self.footer.events;
        let trailer = Trailer { file_id: self.file_id, footer, footer_bytes, events, file_bytes };
        self.put(&trailer.encode())?;
        self.flush()?;
        Ok(Summary {
            events,
            blocks: self.footer.entries.len() as u64,
            symbols: self.footer.symbols.len() as u64,
            bytes: file_bytes,
            range: self.footer.range(),
        })
    }

    #[cold]
    fn grow_footer(&mut self, by: usize) -> Result<(), CaptureError> {
        let found = self.footer_bytes + by;
        if found > FOOTER_BYTES_MAX {
            let what = "the index and the symbols, in bytes";
            return Err(CaptureError::Limit {
                path: self.path.clone(),
                what,
                limit: FOOTER_BYTES_MAX as u64,
                found: found as u64,
            });
        }
        self.footer_bytes = found;
        Ok(())
    }

    /// Writes the block of events, behind the texts that it may use.
    fn write_events(&mut self) -> Result<(), CaptureError> {
        while self.symbols_written < self.footer.symbols.len() {
            self.write_symbols()?;
        }
        let (min, max) = time_range(&self.block[BLOCK_HEADER_BYTES..], self.record_size, self.time_offset);
        let count = ((self.block.len() - BLOCK_HEADER_BYTES) / self.record_size) as u32;
        self.grow_footer(ENTRY_BYTES)?;
        let mut block = std::mem::take(&mut self.block);
        let written = self.write_block(&mut block, BlockKind::Events, count, (min, max), 0, PAGE);
        block.truncate(BLOCK_HEADER_BYTES);
        self.block = block;
        let header = written?;
        self.footer.add(Entry {
            offset: header.offset,
            sequence: header.sequence,
            min,
            max,
            count,
            crc: header.payload_crc,
        });
        Ok(())
    }

    fn write_symbols(&mut self) -> Result<(), CaptureError> {
        let first = self.symbols_written;
        let mut bytes = vec![0; BLOCK_HEADER_BYTES];
        let mut count = 0;
        for text in &self.footer.symbols[first..] {
            if bytes.len() - BLOCK_HEADER_BYTES + text_bytes(text) > SYMBOLS_BYTES_MAX {
                break;
            }
            put_text(&mut bytes, text);
            self.unwritten_text_bytes -= text_bytes(text);
            count += 1;
        }
        self.write_block(&mut bytes, BlockKind::Symbols, count, (0, 0), first as u32, PAGE)?;
        self.symbols_written += count as usize;
        Ok(())
    }

    /// Writes `bytes`, which start with room for the header, filled up to a multiple of `align`.
    fn write_block(
        &mut self,
        bytes: &mut Vec<u8>,
        kind: BlockKind,
        count: u32,
        (min, max): (i64, i64),
        first: u32,
        align: u64,
    ) -> Result<BlockHeader, CaptureError> {
        let header = BlockHeader {
            kind,
            sequence: self.sequence,
            offset: self.position,
            count,
            payload_crc: crc32fast::hash(&bytes[BLOCK_HEADER_BYTES..]),
            payload_bytes: (bytes.len() - BLOCK_HEADER_BYTES) as u64,
            min,
            max,
            first,
        };
        put(bytes, 0, &header.encode(self.file_id));
        // Blocks and footers have limits far below the end of the numbers.
        bytes.resize(align_up(bytes.len() as u64, align).unwrap_or(u64::MAX) as usize, 0);
        self.put(bytes)?;
        self.sequence += 1;
        Ok(header)
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), CaptureError> {
        while !bytes.is_empty() {
            let room = GATHER_BYTES - self.position as usize % GATHER_BYTES;
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.gathered.extend_from_slice(now);
            self.position += now.len() as u64;
            if now.len() == room {
                self.write_gathered()?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn write_gathered(&mut self) -> Result<(), CaptureError> {
        // Taken, so that an output that panics is not given the same bytes again.
        let mut gathered = std::mem::take(&mut self.gathered);
        let result = self.out.write_all(&gathered);
        gathered.clear();
        self.gathered = gathered;
        self.checked(result)
    }

    fn checked(&mut self, result: io::Result<()>) -> Result<(), CaptureError> {
        self.failed |= result.is_err();
        result.map_err(io_error(&self.path, "write the capture"))
    }
}

/// Whole blocks of a capture that is not finished are kept; who wants to know of errors finishes it.
impl Drop for RawWriter {
    fn drop(&mut self) {
        if !self.failed {
            let _ = self.write_gathered();
        }
    }
}

impl std::fmt::Debug for RawWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawWriter").field("path", &self.path).field("events", &self.events()).finish_non_exhaustive()
    }
}

/// Writes events of one type; see [`RawWriter`] for what happens without a `finish`.
pub struct CaptureWriter<T> {
    raw: RawWriter,
    events: PhantomData<fn(&T)>,
}

impl<T: Event> CaptureWriter<T> {
    /// Starts the capture at `path`.
    ///
    /// # Errors
    /// As for [`RawWriter::create`].
    pub fn create(path: impl AsRef<Path>, options: WriterOptions) -> Result<Self, CaptureError> {
        Ok(Self { raw: RawWriter::create(path, T::layout(), options)?, events: PhantomData })
    }

    /// The symbol of `text` in the capture's dictionary, which grows where it is new.
    ///
    /// # Errors
    /// As for [`RawWriter::intern`].
    pub fn intern(&mut self, text: &str) -> Result<Symbol, CaptureError> {
        self.raw.intern(text)
    }

    /// Adds one event.
    ///
    /// # Errors
    /// As for [`RawWriter::extend`].
    #[inline]
    pub fn push(&mut self, event: &T) -> Result<(), CaptureError> {
        self.raw.push(bytemuck::bytes_of(event))
    }

    /// Adds events.
    ///
    /// # Errors
    /// As for [`RawWriter::extend`].
    pub fn extend(&mut self, events: &[T]) -> Result<(), CaptureError> {
        self.raw.extend(bytemuck::cast_slice(events))
    }

    /// Events taken so far.
    pub fn events(&self) -> u64 {
        self.raw.events()
    }

    /// As [`RawWriter::flush`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        self.raw.flush()
    }

    /// As [`RawWriter::finish`].
    ///
    /// # Errors
    /// When the file cannot be written; it is an unfinished capture then.
    pub fn finish(self) -> Result<Summary, CaptureError> {
        self.raw.finish()
    }
}

/// The smallest and the largest of the times at `offset` in records of `size` bytes, at least one.
pub(super) fn time_range(records: &[u8], size: usize, offset: usize) -> (i64, i64) {
    records
        .chunks_exact(size)
        .map(|record| i64_at(record, offset))
        .fold((i64::MAX, i64::MIN), |(min, max), time| (min.min(time), max.max(time)))
}

pub(super) fn file_header(path: &Path, layout: &Layout, options: &WriterOptions) -> Result<FileHeader, CaptureError> {
    let unsupported = |reason| CaptureError::Unsupported { path: path.to_owned(), reason };
    schema::check(layout).map_err(unsupported)?;
    let bytes = options.block_events as usize * layout.size();
    if bytes == 0 || bytes > BLOCK_BYTES_MAX {
        let reason = format!("a block has 1 to {BLOCK_BYTES_MAX} bytes of events, not {bytes}");
        return Err(unsupported(reason));
    }
    let header = FileHeader {
        file_id: options.file_id.unwrap_or_else(|| RandomState::new().build_hasher().finish()),
        fingerprint: layout.fingerprint(),
        record_size: layout.size() as u32,
        record_align: layout.align() as u32,
        block_events: options.block_events,
        schema: layout.schema(),
        name: layout.name().to_owned(),
        decimals: layout.fields().iter().map(|field| field.decimals.unwrap_or(schema::NO_DECIMALS)).collect(),
    };
    if header.text_bytes() > FileHeader::TEXT_BYTES_MAX {
        let (max, found) = (FileHeader::TEXT_BYTES_MAX, header.text_bytes());
        return Err(unsupported(format!("its schema has {found} bytes, and there is room for {max}")));
    }
    Ok(header)
}

/// A new file's name is durable only when its directory is.
fn sync_parent(path: &Path) -> io::Result<()> {
    // Outputs that are not files have names that are not paths.
    if path.is_file() { sync_name(path) } else { Ok(()) }
}
