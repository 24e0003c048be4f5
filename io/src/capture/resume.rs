//! A capture that is written in several runs: what a checkpoint has of it beside the file, and going on from there.
//!
//! ```text
//! byte 0   bytes of the events that are in no block yet (64 bits)
//!      8   those events
//!     ..   texts of symbols that are in no block yet: length (8 bits), UTF-8
//! ```
//! Whole blocks are in the file, with all symbols that their events use; the index follows from reading them. So the
//! block that is being filled is not cut by a checkpoint, and the capture ends as if it had been written at once.

use super::error::{CaptureError, io_error};
use super::footer::{put_text, read_texts, text_bytes};
use super::format::{
    BLOCK_HEADER_BYTES, FileHeader, HEADER_BYTES, PAGE, SYMBOLS_BYTES_MAX, TRAILER_BYTES, align_up, u64_at,
};
use super::open::{RawFile, Scanned};
use super::writer::{Output, RawWriter, WriterOptions, file_header};
use crate::parts::Appending;
use pelton::Layout;
use std::io;
use std::path::Path;

impl Output for Appending {
    fn sync(&mut self) -> io::Result<()> {
        self.file().sync()
    }
}

impl RawWriter {
    /// What is not in the file yet, once full blocks were flushed.
    pub(super) fn rest(&self) -> Vec<u8> {
        let events = &self.block[BLOCK_HEADER_BYTES..];
        let mut rest = (events.len() as u64).to_le_bytes().to_vec();
        rest.extend_from_slice(events);
        self.footer.symbols[self.symbols_written..].iter().for_each(|text| put_text(&mut rest, text));
        rest
    }

    /// Goes on with a capture that was cut to whole blocks, from what was not in it.
    pub(super) fn resume(
        output: Appending,
        path: &Path,
        layout: Layout,
        options: &WriterOptions,
        rest: &[u8],
    ) -> Result<Self, CaptureError> {
        let bytes = output.file().look().map_err(io_error(path, "look at the capture"))?.len;
        let header = file_header(path, &layout, options)?;
        if bytes == 0 {
            // Nothing was flushed: not even the header was there.
            return Self::start(output, path, &layout, header, &[]);
        }
        let scanned = whole_blocks(&output, path, bytes, &header)?;
        let mut writer = Self::over(output, path, &layout, &header);
        (writer.position, writer.sequence) = (bytes, scanned.sequence);
        for entry in scanned.footer.entries {
            writer.footer.add(entry);
        }
        writer.footer_bytes = writer.footer.bytes();
        for text in &scanned.footer.symbols {
            writer.intern(text)?;
        }
        (writer.symbols_written, writer.unwritten_text_bytes) = (writer.footer.symbols.len(), 0);
        writer.take_rest(rest)?;
        Ok(writer)
    }

    fn take_rest(&mut self, rest: &[u8]) -> Result<(), CaptureError> {
        let misfit = |expected: String, found: String| CaptureError::Damaged {
            path: self.path.clone(),
            offset: self.position,
            what: "what a checkpoint has of the capture beside the file",
            expected,
            found,
        };
        let events_max = (self.block_bytes - BLOCK_HEADER_BYTES) as u64;
        let has_len = rest.len() >= 8;
        let count = if has_len { u64_at(rest, 0) } else { u64::MAX };
        let is_whole = count.is_multiple_of(self.record_size as u64) && count < events_max;
        if !is_whole || count > rest.len() as u64 - 8 {
            let expected = format!("8 bytes, and whole events of fewer than {events_max} bytes");
            return Err(misfit(expected, format!("{} bytes, and events of {count}", rest.len())));
        }
        let (events, texts) = rest[8..].split_at(count as usize);
        let (mut symbols, mut at, mut texts_count) = (Vec::new(), 0, 0);
        while let Some(len) = texts.get(at) {
            (at, texts_count) = (at + 1 + usize::from(*len), texts_count + 1);
        }
        read_texts(texts, texts_count, &mut symbols)
            .map_err(|mismatch| misfit(mismatch.expected.clone(), mismatch.found.clone()))?;
        self.block.extend_from_slice(events);
        symbols.iter().try_for_each(|text| self.intern(text).map(|_| ()))
    }

    /// Whether the capture has the text of a symbol.
    pub(super) fn knows(&self, text: &str) -> bool {
        self.dictionary.find(text).is_some()
    }

    /// Bytes that the file would have, finished behind one more event that brings so many bytes of new texts. Where texts
    /// take several blocks, it may have fewer.
    pub(super) fn bytes_with(&self, new_text_bytes: usize) -> u64 {
        let align = |bytes: usize, to: u64| align_up(bytes as u64, to).unwrap_or(u64::MAX / 4);
        let texts = self.unwritten_text_bytes + new_text_bytes;
        let text_blocks = texts.div_ceil(SYMBOLS_BYTES_MAX - text_bytes("") - pelton::SYMBOL_BYTES_MAX);
        let symbols = match text_blocks {
            0 => 0,
            1 => align(BLOCK_HEADER_BYTES + texts, PAGE),
            blocks => align(texts + blocks * (BLOCK_HEADER_BYTES + PAGE as usize), PAGE),
        };
        let events = align(self.block.len() + self.record_size, PAGE);
        let footer = self.footer_bytes + new_text_bytes + super::footer::ENTRY_BYTES;
        self.position
            + symbols
            + events
            + align(BLOCK_HEADER_BYTES + footer, TRAILER_BYTES as u64)
            + TRAILER_BYTES as u64
    }
}

/// Reads all of a capture that has whole blocks and no footer, and holds it against its checksums.
fn whole_blocks(output: &Appending, path: &Path, bytes: u64, expected: &FileHeader) -> Result<Scanned, CaptureError> {
    let raw = RawFile { path, file: output.file(), bytes };
    let (header, _) = raw.header()?;
    if header.encode() != expected.encode() {
        let (expected, found) = (expected.schema.clone(), header.schema);
        return Err(CaptureError::Layout { path: path.to_owned(), expected, found });
    }
    let scanned = raw.scan_blocks(&header)?;
    if scanned.offset != bytes {
        return Err(CaptureError::Damaged {
            path: path.to_owned(),
            offset: scanned.offset,
            what: "a block that was committed",
            expected: format!("whole blocks from byte {HEADER_BYTES} to byte {bytes}"),
            found: scanned.reason,
        });
    }
    Ok(scanned)
}
