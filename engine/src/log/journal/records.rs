//! Reading a journal, record by record.

use crate::Timestamp;
use crate::log::error::StateError;
use crate::log::journal::frame::{HEADER, Header, Place, RecordKind, record_bytes};
use crate::log::journal::head;
use crate::log::storage::Storage;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes that are read at once, where records are smaller.
const WINDOW: usize = 1 << 18;

/// A place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// Of the next record.
    pub(crate) sequence: u64,
    /// Where it begins, in bytes.
    pub(crate) offset: u64,
    /// Where the one before begins.
    pub(crate) before: u64,
    /// Symbols in the records before.
    pub(crate) symbols: u64,
}

impl Position {
    /// Behind a record of so many bytes, which begins here.
    pub(super) fn pass(&mut self, bytes: u64) {
        self.sequence += 1;
        self.before = self.offset;
        self.offset += bytes;
    }
}

/// A record that was read and checked.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) kind: RecordKind,
    pub(crate) sequence: u64,
    pub(crate) source: u32,
    pub(crate) clock: Duration,
    pub(crate) count: u32,
    pub(crate) rejected: u64,
    pub(crate) payload: &'a [u8],
    /// Where it lies.
    pub(crate) offset: u64,
}

impl Record<'_> {
    /// The watermark that a source told, of such a record.
    pub(crate) fn watermark(&self) -> Option<Timestamp> {
        let nanos = self.payload.try_into().ok().filter(|_| self.kind == RecordKind::Watermark)?;
        Some(Timestamp::from_nanos(i64::from_le_bytes(nanos)))
    }
}

/// Reads records one after another.
pub(crate) struct Records {
    storage: Box<dyn Storage>,
    path: PathBuf,
    file_id: u64,
    /// Bytes of the file.
    len: u64,
    position: Position,
    window: Vec<u8>,
    window_at: u64,
    /// Records before this sequence number were durable, as those that were read say.
    durable: u64,
}

impl Records {
    pub(crate) fn new(storage: Box<dyn Storage>, path: &Path, (file_id, len): (u64, u64), position: Position) -> Self {
        Self { storage, path: path.to_owned(), file_id, len, position, window: Vec::new(), window_at: 0, durable: 0 }
    }

    /// In front of the next record.
    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    /// Reads on from another position.
    pub(crate) const fn go_to(&mut self, position: Position) {
        self.position = position;
    }

    /// Records before this sequence number were durable, as far as those that were read know.
    pub(super) const fn durable(&self) -> u64 {
        self.durable
    }

    /// Where it reads.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Has so many bytes from an offset on in the window, which exist; where they begin there.
    fn fill(&mut self, offset: u64, count: usize) -> Result<usize, StateError> {
        let window_end = self.window_at + self.window.len() as u64;
        if offset < self.window_at || offset + count as u64 > window_end {
            let left = usize::try_from(self.len - offset).unwrap_or(usize::MAX);
            self.window.resize(count.max(WINDOW).min(left), 0);
            self.window_at = offset;
            if let Err(error) = self.storage.read(offset, &mut self.window) {
                self.window.clear();
                return Err(StateError::io(&self.path, "read the journal")(error));
            }
        }
        Ok((offset - self.window_at) as usize)
    }

    /// The next record; `None` where there is none, but zeros or the file's end.
    ///
    /// # Errors
    /// When there is something else, or it cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>, StateError> {
        let Position { sequence, offset, .. } = self.position;
        let left = self.len.saturating_sub(offset);
        if left < HEADER as u64 {
            return Ok(None);
        }
        let at = self.fill(offset, HEADER)?;
        let bytes = &self.window[at..at + HEADER];
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let (header, kind) = Header::read(&self.path, bytes, Place { file_id: self.file_id, offset, sequence })?;
        let length = header.length as usize;
        if record_bytes(length) > left {
            let expected = format!("at most {} bytes", left - HEADER as u64);
            return Err(StateError::damaged((&self.path, offset), "a record's length", expected, length));
        }
        let at = self.fill(offset, HEADER + length)? + HEADER;
        let payload = &self.window[at..at + length];
        header.check(&self.path, offset, payload)?;
        self.position.pass(record_bytes(length));
        self.durable = self.durable.max(header.durable());
        if kind == RecordKind::Symbols {
            let texts = head::decode_symbols(payload, (&self.path, offset))?;
            self.position.symbols = u64::from(header.count) + texts.len() as u64;
        }
        let Header { source, count, rejected, .. } = header;
        let clock = Duration::from_nanos(header.clock_ns);
        Ok(Some(Record { kind, sequence, source, clock, count, rejected, payload, offset }))
    }
}
