//! Open captures: what is in them, and single blocks of their events.
//!
//! Nothing here maps the file: header, footer and single blocks are read into owned buffers of
//! limited size, so a file that changes meanwhile gives an error at worst.

use super::error::{CaptureError, io_error};
use super::footer::{Entry, Footer};
use super::format::{BLOCK_HEADER_BYTES, FileHeader, hex};
use super::open::RawFile;
use super::writer::time_range;
use pelton::{BlockSummary, Dictionary, DictionaryError, Layout, Timestamp};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The part of a file that is not usable: the end of one that was never finished, or was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Where the usable part ends, in bytes from the file's start.
    pub offset: u64,
    /// How many bytes lie behind it.
    pub bytes: u64,
    /// What is wrong at `offset`.
    pub reason: String,
}

/// An open capture: what is in it, without its events. Clones share the open file.
///
/// ```no_run
/// use pelton_io::capture::Capture;
///
/// let capture = Capture::open("day.pelton")?;
/// println!("{} events of {}", capture.event_count(), capture.layout().schema());
/// if let Some(cut) = capture.cut() {
///     println!("{} bytes at its end are lost: {}", cut.bytes, cut.reason);
/// }
/// # Ok::<(), pelton_io::capture::CaptureError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Capture(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    file_bytes: u64,
    header: FileHeader,
    layout: Layout,
    time_offset: usize,
    footer: Footer,
    summaries: Vec<BlockSummary>,
    cut: Option<Cut>,
}

impl Capture {
    /// Opens the capture at `path`. One without a valid trailer, because it was never finished or
    /// was cut, is read up to its last whole block: see [`Capture::is_complete`].
    ///
    /// # Errors
    /// When it cannot be read, is no capture, or its header, footer or index is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CaptureError> {
        Self::open_as(path.as_ref(), false)
    }

    /// Opens a capture whose footer is damaged, by reading all of it: it is never complete.
    ///
    /// # Errors
    /// When it cannot be read, is no capture, or its header is damaged.
    pub fn recover(path: impl AsRef<Path>) -> Result<Self, CaptureError> {
        Self::open_as(path.as_ref(), true)
    }

    fn open_as(path: &Path, recover: bool) -> Result<Self, CaptureError> {
        let failed = || io_error(path, "open the capture");
        // Asked before it is opened: opening a pipe waits for its writer.
        if !std::fs::metadata(path).map_err(failed())?.is_file() {
            return Err(CaptureError::NotACapture { path: path.to_owned(), reason: "it is not a regular file".into() });
        }
        let file = File::open(path).map_err(failed())?;
        let file_bytes = file.metadata().map_err(failed())?.len();
        let raw = RawFile { path, file: &file, bytes: file_bytes };
        let (header, layout) = raw.header()?;
        let trailer = if recover { None } else { raw.trailer(header.file_id)? };
        let (footer, cut) = match trailer {
            Some(trailer) => (raw.footer(&header, &trailer)?, None),
            None => raw.scan(&header)?,
        };
        let summaries = footer.entries.iter().map(summary).collect();
        let time_offset = layout.time_field().map_or(0, |field| field.offset);
        let path = path.to_owned();
        Ok(Self(Arc::new(Inner { path, file, file_bytes, header, layout, time_offset, footer, summaries, cut })))
    }

    /// The file's path, as given.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The file's size in bytes when it was opened.
    pub fn file_bytes(&self) -> u64 {
        self.0.file_bytes
    }

    /// The layout of the events.
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// The texts of the symbols in the events, by id.
    pub fn symbols(&self) -> &[Arc<str>] {
        &self.0.footer.symbols
    }

    /// A dictionary in which the capture's symbols have their texts.
    ///
    /// # Errors
    /// When a dictionary does not take the texts.
    pub fn dictionary(&self) -> Result<Dictionary, DictionaryError> {
        let dictionary = Dictionary::default();
        self.symbols().iter().try_for_each(|text| dictionary.intern(text).map(drop))?;
        Ok(dictionary)
    }

    /// The index: what is known of each block without reading it.
    pub fn blocks(&self) -> &[BlockSummary] {
        &self.0.summaries
    }

    /// The most events of a block.
    pub fn block_events(&self) -> u32 {
        self.0.header.block_events
    }

    /// Events in all usable blocks.
    pub fn event_count(&self) -> u64 {
        self.0.footer.events
    }

    /// The smallest and the largest event time, where there are events.
    pub fn time_range(&self) -> Option<(Timestamp, Timestamp)> {
        self.0.footer.range()
    }

    /// Whether the capture was finished and has its end.
    pub fn is_complete(&self) -> bool {
        self.0.cut.is_none()
    }

    /// What is missing of a capture that is not complete.
    pub fn cut(&self) -> Option<&Cut> {
        self.0.cut.as_ref()
    }

    /// Reads a block's records into `out`, checked, instead of what was in it.
    ///
    /// # Errors
    /// When there is no such block, or it cannot be read or is damaged.
    pub fn read_raw(&self, block: usize, out: &mut Vec<u8>) -> Result<BlockSummary, CaptureError> {
        let entry = self.entry(block)?;
        out.resize(entry.count as usize * self.0.layout.size(), 0);
        self.read_payload(block, out)?;
        self.check_times(block, time_range(out, self.0.layout.size(), self.0.time_offset))?;
        Ok(self.0.summaries[block])
    }

    /// Reads and checks every block.
    ///
    /// # Errors
    /// The first damage.
    pub fn verify(&self) -> Result<(), CaptureError> {
        let mut records = Vec::new();
        (0..self.0.summaries.len()).try_for_each(|block| self.read_raw(block, &mut records).map(drop))
    }

    pub(super) fn file(&self) -> &File {
        &self.0.file
    }

    pub(super) fn entry(&self, block: usize) -> Result<&Entry, CaptureError> {
        let entries = &self.0.footer.entries;
        let none = || CaptureError::NoBlock { path: self.0.path.clone(), block, blocks: entries.len() };
        entries.get(block).ok_or_else(none)
    }

    pub(super) fn time_offset(&self) -> usize {
        self.0.time_offset
    }

    /// Reads a block's payload, which is as long as `out`, and checks header and checksum.
    pub(super) fn read_payload(&self, block: usize, out: &mut [u8]) -> Result<(), CaptureError> {
        let entry = self.entry(block)?;
        let mut header = [0; BLOCK_HEADER_BYTES];
        let read = |out: &mut [u8], at| self.0.file.read_exact_at(out, at).map_err(io_error(&self.0.path, "read"));
        read(&mut header, entry.offset)?;
        read(out, entry.offset + BLOCK_HEADER_BYTES as u64)?;
        self.check_block(block, &header, out)
    }

    /// Where a block's payload is in the mapped file, its header and checksum checked.
    pub(super) fn mapped_payload(&self, block: usize, file: &[u8]) -> Result<Range<usize>, CaptureError> {
        let range = self.payload_range(block)?;
        // The index was proven to lie inside of the file, and the mapping is that of the file.
        let block_bytes = file.get(range.start - BLOCK_HEADER_BYTES..range.end).unwrap_or_default();
        let Some((header, payload)) = block_bytes.split_at_checked(BLOCK_HEADER_BYTES) else {
            return Err(self.block_error(block, "the mapping", "the whole block", "its end"));
        };
        self.check_block(block, header, payload)?;
        Ok(range)
    }

    /// Where a block's payload is in the file.
    pub(super) fn payload_range(&self, block: usize) -> Result<Range<usize>, CaptureError> {
        let entry = self.entry(block)?;
        let start = entry.offset as usize + BLOCK_HEADER_BYTES;
        Ok(start..start + entry.count as usize * self.0.layout.size())
    }

    fn check_block(&self, block: usize, header: &[u8], payload: &[u8]) -> Result<(), CaptureError> {
        let entry = self.entry(block)?;
        let expected = entry.header(self.0.layout.size()).encode(self.0.header.file_id);
        if let Some(at) = (0..BLOCK_HEADER_BYTES).find(|&at| header[at] != expected[at]) {
            let hex = |bytes: &[u8]| format!("{:02x} at its byte {at}", bytes[at]);
            return Err(self.block_error(block, "its header", hex(&expected), hex(header)));
        }
        let crc = crc32fast::hash(payload);
        if crc != entry.crc {
            return Err(self.block_error(block, "the checksum of its events", hex(entry.crc), hex(crc)));
        }
        Ok(())
    }

    /// Checks the times found in a block against those that the index promised.
    pub(super) fn check_times(&self, block: usize, found: (i64, i64)) -> Result<(), CaptureError> {
        let entry = self.entry(block)?;
        if (entry.min, entry.max) != found {
            let text = |(min, max)| format!("{min} to {max}");
            let what = "its smallest and largest time, in nanoseconds";
            return Err(self.block_error(block, what, text((entry.min, entry.max)), text(found)));
        }
        Ok(())
    }

    #[cold]
    pub(super) fn block_error(
        &self,
        block: usize,
        what: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) -> CaptureError {
        let offset = self.0.footer.entries.get(block).map_or(0, |entry| entry.offset);
        let (expected, found) = (expected.to_string(), found.to_string());
        CaptureError::Block { path: self.0.path.clone(), block, offset, what, expected, found }
    }
}

fn summary(entry: &Entry) -> BlockSummary {
    let (min, max) = (Timestamp::from_nanos(entry.min), Timestamp::from_nanos(entry.max));
    BlockSummary { count: entry.count, min, max }
}
