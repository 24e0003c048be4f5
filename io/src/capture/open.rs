//! Proves a file to be a capture: its header, and its index by the footer or by a scan of the blocks.
//!
//! With a trailer at its end the file was finished, and what is wrong from there on is damage.
//! Without one it was not, or it was cut: its blocks are then read from the first on, and the usable
//! part ends where one is not whole.

use super::error::{CaptureError, Mismatch, io_error};
use super::footer::{Bounds, Entry, Footer, check_unique, read_texts};
use super::format::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BlockHeader, BlockKind, FOOTER_BYTES_MAX, FileHeader, HEADER_BYTES,
    HeaderError, MAGIC, PAGE, SYMBOLS_BYTES_MAX, TRAILER_BYTES, Trailer, VERSION, align_up, hex,
};
use super::reader::Cut;
use super::schema;
use crate::disk::DiskFile;
use pelton::{Layout, SYMBOLS_MAX};
use std::path::Path;
use std::sync::Arc;

/// How much is read at a time where a checksum is all that is wanted, in bytes.
const CHUNK_BYTES: usize = 1 << 18;

/// A file before it is known to be a capture.
pub(super) struct RawFile<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a dyn DiskFile,
    pub(super) bytes: u64,
}

/// What the whole blocks of a file say.
pub(super) struct Scanned {
    pub(super) footer: Footer,
    /// Where the next block would start.
    pub(super) offset: u64,
    /// Its number.
    pub(super) sequence: u64,
    /// Why there is none.
    pub(super) reason: String,
}

impl RawFile<'_> {
    fn read<const N: usize>(&self, at: u64) -> Result<[u8; N], CaptureError> {
        let mut bytes = [0; N];
        self.read_into(&mut bytes, at)?;
        Ok(bytes)
    }

    fn read_into(&self, bytes: &mut [u8], at: u64) -> Result<(), CaptureError> {
        self.file.read(bytes, at).map_err(io_error(self.path, "read"))
    }

    pub(super) fn header(&self) -> Result<(FileHeader, Layout), CaptureError> {
        let not = |reason: String| CaptureError::NotACapture { path: self.path.to_owned(), reason };
        if self.bytes == 0 {
            return Err(not("it is empty".into()));
        }
        let mut page = vec![0; HEADER_BYTES.min(self.bytes as usize)];
        self.read_into(&mut page, 0)?;
        let start = &page[..page.len().min(MAGIC.len())];
        if start != &MAGIC[..start.len()] {
            return Err(not(format!("it starts with {:?}", String::from_utf8_lossy(start))));
        }
        if page.len() < HEADER_BYTES {
            return Err(not(format!("it ends at byte {}, inside of its header of {HEADER_BYTES}", self.bytes)));
        }
        let header = FileHeader::decode(&page).map_err(|error| match error {
            HeaderError::Version(found) => {
                CaptureError::Version { path: self.path.to_owned(), expected: VERSION, found }
            }
            HeaderError::Mismatch(mismatch) => mismatch.damaged(self.path, 0),
        })?;
        let layout = check_header(&header).map_err(|mismatch| mismatch.damaged(self.path, 0))?;
        Ok((header, layout))
    }

    pub(super) fn trailer(&self, file_id: u64) -> Result<Option<Trailer>, CaptureError> {
        if self.bytes < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            return Ok(None);
        }
        Ok(Trailer::decode(&self.read(self.bytes - TRAILER_BYTES as u64)?, file_id, self.bytes).ok())
    }

    /// The footer of a file whose trailer is right: from here on, what is wrong is damage.
    pub(super) fn footer(&self, header: &FileHeader, trailer: &Trailer) -> Result<Footer, CaptureError> {
        let trailer_at = self.bytes - TRAILER_BYTES as u64;
        let damaged = |mismatch: Mismatch| mismatch.damaged(self.path, trailer_at);
        let at = trailer.footer;
        let payload_at = at.saturating_add(BLOCK_HEADER_BYTES as u64);
        let end = payload_at.checked_add(trailer.footer_bytes).and_then(|end| align_up(end, TRAILER_BYTES as u64));
        if !at.is_multiple_of(PAGE) || at < PAGE || end != Some(trailer_at) {
            let found = format!("byte {at} and {} bytes", trailer.footer_bytes);
            let expected = format!("a page and an end at byte {trailer_at}");
            return Err(damaged(Mismatch::new("the footer's place", 0, expected, found)));
        }
        if trailer.footer_bytes > FOOTER_BYTES_MAX as u64 {
            let expected = format!("at most {FOOTER_BYTES_MAX}");
            return Err(damaged(Mismatch::new("the footer's size", 0, expected, trailer.footer_bytes)));
        }
        let damaged = |mismatch: Mismatch| mismatch.damaged(self.path, at);
        let block = BlockHeader::decode(&self.read(at)?, header.file_id, at, None).map_err(damaged)?;
        if block.kind != BlockKind::Footer || block.payload_bytes != trailer.footer_bytes {
            let found = format!("{:?} of {} bytes", block.kind, block.payload_bytes);
            let expected = format!("Footer of {} bytes", trailer.footer_bytes);
            return Err(damaged(Mismatch::new("the footer's header", 0, expected, found)));
        }
        let mut payload = vec![0; trailer.footer_bytes as usize];
        self.read_into(&mut payload, payload_at)?;
        let crc = crc32fast::hash(&payload);
        if crc != block.payload_crc {
            return Err(damaged(Mismatch::new("the footer's checksum", 0, hex(block.payload_crc), hex(crc))));
        }
        let bounds = Bounds {
            record_size: header.record_size as usize,
            block_events: header.block_events,
            footer: at,
            footer_sequence: block.sequence,
            footer_count: block.count,
            events: trailer.events,
        };
        Footer::decode(&payload, &bounds).map_err(|mismatch| mismatch.damaged(self.path, payload_at))
    }

    /// The usable part of a file without a footer.
    pub(super) fn scan(&self, header: &FileHeader) -> Result<(Footer, Option<Cut>), CaptureError> {
        let Scanned { footer, offset, reason, .. } = self.scan_blocks(header)?;
        // The zeros behind the last block may be cut.
        let offset = offset.min(self.bytes);
        Ok((footer, Some(Cut { offset, bytes: self.bytes - offset, reason })))
    }

    /// Reads block after block until one is not whole.
    pub(super) fn scan_blocks(&self, header: &FileHeader) -> Result<Scanned, CaptureError> {
        let mut footer = Footer::default();
        let mut offset = PAGE;
        let mut sequence = 0;
        let reason = loop {
            match self.scan_block(header, offset, sequence, &mut footer)? {
                Ok(next) => (offset, sequence) = (next, sequence + 1),
                Err(reason) => break reason,
            }
        };
        check_unique(&footer.symbols).map_err(|mismatch| mismatch.damaged(self.path, PAGE))?;
        Ok(Scanned { footer, offset, sequence, reason })
    }

    /// Where the block behind the one at `offset` starts, or why there is no whole one at `offset`.
    fn scan_block(
        &self,
        header: &FileHeader,
        offset: u64,
        sequence: u64,
        footer: &mut Footer,
    ) -> Result<Result<u64, String>, CaptureError> {
        let payload_at = offset.saturating_add(BLOCK_HEADER_BYTES as u64);
        if payload_at > self.bytes {
            return Ok(Err(
                if offset >= self.bytes { "the footer is missing" } else { "a block's header is cut" }.into()
            ));
        }
        let text =
            |mismatch: Mismatch| format!("{}: expected {}, found {}", mismatch.what, mismatch.expected, mismatch.found);
        let block = match BlockHeader::decode(&self.read(offset)?, header.file_id, offset, Some(sequence)) {
            Ok(block) => block,
            Err(mismatch) => return Ok(Err(text(mismatch))),
        };
        let payload_bytes = match block.kind {
            BlockKind::Footer => return Ok(Err("the end of the footer is missing or damaged".into())),
            BlockKind::Events
                if (1..=header.block_events).contains(&block.count) && block.min <= block.max && block.first == 0 =>
            {
                u64::from(block.count) * u64::from(header.record_size)
            }
            BlockKind::Symbols if block.payload_bytes <= SYMBOLS_BYTES_MAX as u64 => block.payload_bytes,
            kind => return Ok(Err(format!("a block of {kind:?} with impossible counts"))),
        };
        if block.payload_bytes != payload_bytes {
            return Ok(Err(format!("a block's size: expected {payload_bytes}, found {}", block.payload_bytes)));
        }
        // A block is whole when its payload is: zeros behind it may be cut.
        if payload_at.checked_add(payload_bytes).is_none_or(|end| end > self.bytes) {
            return Ok(Err("a block's end is cut".into()));
        }
        let crc = if block.kind == BlockKind::Symbols {
            let mut payload = vec![0; payload_bytes as usize];
            self.read_into(&mut payload, payload_at)?;
            let crc = crc32fast::hash(&payload);
            if crc == block.payload_crc
                && let Err(mismatch) = add_symbols(&block, &payload, &mut footer.symbols)
            {
                return Ok(Err(text(mismatch)));
            }
            crc
        } else {
            self.crc(payload_at, payload_bytes)?
        };
        if crc != block.payload_crc {
            return Ok(Err(format!("a block's checksum: expected {}, found {}", hex(block.payload_crc), hex(crc))));
        }
        if block.kind == BlockKind::Events {
            let (min, max, count) = (block.min, block.max, block.count);
            footer.add(Entry { offset, sequence, min, max, count, crc });
        }
        Ok(Ok(align_up(payload_at + payload_bytes, PAGE).unwrap_or(u64::MAX)))
    }

    fn crc(&self, mut at: u64, mut bytes: u64) -> Result<u32, CaptureError> {
        let mut hasher = crc32fast::Hasher::new();
        let mut chunk = vec![0; CHUNK_BYTES.min(bytes as usize)];
        while bytes > 0 {
            let now = CHUNK_BYTES.min(bytes as usize);
            self.read_into(&mut chunk[..now], at)?;
            hasher.update(&chunk[..now]);
            (at, bytes) = (at + now as u64, bytes - now as u64);
        }
        Ok(hasher.finalize())
    }
}

fn add_symbols(block: &BlockHeader, payload: &[u8], symbols: &mut Vec<Arc<str>>) -> Result<(), Mismatch> {
    if block.first as usize != symbols.len() {
        return Err(Mismatch::new("the first symbol's id", 0, symbols.len(), block.first));
    }
    let room = payload.len().min(SYMBOLS_MAX - symbols.len());
    if block.count as usize > room {
        return Err(Mismatch::new("the number of symbols", 0, format!("at most {room}"), block.count));
    }
    let whole = symbols.len();
    let result = read_texts(payload, block.count as usize, symbols);
    if result.is_err() {
        symbols.truncate(whole);
    }
    result
}

/// The layout of a header whose checksum was right.
fn check_header(header: &FileHeader) -> Result<Layout, Mismatch> {
    let layout = schema::parse(&header.schema, &header.name, &header.decimals)
        .map_err(|reason| Mismatch::new("the schema", 0, "a layout", format!("{:?}: {reason}", header.schema)))?;
    for (what, expected, found) in [
        ("the record's size", layout.size() as u64, u64::from(header.record_size)),
        ("the record's alignment", layout.align() as u64, u64::from(header.record_align)),
        ("the schema's fingerprint", layout.fingerprint(), header.fingerprint),
    ] {
        if expected != found {
            return Err(Mismatch::new(what, 0, expected, found));
        }
    }
    let block_bytes = u64::from(header.block_events) * u64::from(header.record_size);
    if block_bytes == 0 || block_bytes > BLOCK_BYTES_MAX as u64 {
        let expected = format!("1 to {BLOCK_BYTES_MAX} bytes");
        return Err(Mismatch::new("the block's capacity", 0, expected, format!("{block_bytes} bytes")));
    }
    Ok(layout)
}
