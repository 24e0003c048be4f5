//! The footer's payload: totals, the index of the event blocks, all symbols.
//!
//! ```text
//! |  0 | events        u64 |
//! |  8 | min           i64 | the smallest event time of the file; i64::MAX without events
//! | 16 | max           i64 | the largest event time of the file; i64::MIN without events
//! | 24 | blocks        u64 | of events
//! | 32 | symbols       u64 |
//! | 40 | index: an entry for each block, in the order of their offsets
//! | .. | texts of the symbols in the order of their ids: length u8, then UTF-8
//!
//! entry:
//! |  0 | offset        u64 | of the block's header
//! |  8 | sequence      u64 | over all blocks of the file
//! | 16 | min           i64 |
//! | 24 | max           i64 |
//! | 32 | count         u32 | events
//! | 36 | crc           u32 | of the payload
//! ```

use super::error::Mismatch;
use super::format::{BLOCK_HEADER_BYTES, BlockHeader, BlockKind, PAGE, align_up, i64_at, u32_at, u64_at};
use pelton::{SYMBOLS_MAX, Timestamp};
use std::collections::HashSet;
use std::sync::Arc;

const F_EVENTS: usize = 0;
const F_MIN: usize = F_EVENTS + 8;
const F_MAX: usize = F_MIN + 8;
const F_BLOCKS: usize = F_MAX + 8;
const F_SYMBOLS: usize = F_BLOCKS + 8;
const F_INDEX: usize = F_SYMBOLS + 8;
const E_OFFSET: usize = 0;
const E_SEQUENCE: usize = E_OFFSET + 8;
const E_MIN: usize = E_SEQUENCE + 8;
const E_MAX: usize = E_MIN + 8;
const E_COUNT: usize = E_MAX + 8;
const E_CRC: usize = E_COUNT + 4;
pub(super) const ENTRY_BYTES: usize = E_CRC + 4;
const _: () = assert!(F_INDEX == 40 && ENTRY_BYTES == 40);

/// One block of events, as the index has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) sequence: u64,
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) count: u32,
    pub(super) crc: u32,
}

impl Entry {
    /// The header that stands before the block's events.
    pub(super) fn header(&self, record_size: usize) -> BlockHeader {
        BlockHeader {
            kind: BlockKind::Events,
            sequence: self.sequence,
            offset: self.offset,
            count: self.count,
            payload_crc: self.crc,
            payload_bytes: u64::from(self.count) * record_size as u64,
            min: self.min,
            max: self.max,
            first: 0,
        }
    }
}

/// The index and the dictionary of a capture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Footer {
    pub(super) events: u64,
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) entries: Vec<Entry>,
    pub(super) symbols: Vec<Arc<str>>,
}

/// What the rest of the file says, for the index to agree with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) record_size: usize,
    pub(super) block_events: u32,
    /// Where the footer's block header is: no block of events ends behind it.
    pub(super) footer: u64,
    pub(super) footer_sequence: u64,
    pub(super) footer_count: u32,
    /// The trailer's number of events.
    pub(super) events: u64,
}

impl Default for Footer {
    fn default() -> Self {
        Self { events: 0, min: i64::MAX, max: i64::MIN, entries: Vec::new(), symbols: Vec::new() }
    }
}

impl Footer {
    /// Adds a block's entry to the index and the totals.
    pub(super) fn add(&mut self, entry: Entry) {
        self.events += u64::from(entry.count);
        self.min = self.min.min(entry.min);
        self.max = self.max.max(entry.max);
        self.entries.push(entry);
    }

    /// The smallest and the largest event time, where there are events.
    pub(super) fn range(&self) -> Option<(Timestamp, Timestamp)> {
        (self.events > 0).then(|| (Timestamp::from_nanos(self.min), Timestamp::from_nanos(self.max)))
    }

    /// The payload's size in bytes.
    pub(super) fn bytes(&self) -> usize {
        F_INDEX + self.entries.len() * ENTRY_BYTES + self.symbols.iter().map(|text| text_bytes(text)).sum::<usize>()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        bytes.extend(self.events.to_le_bytes());
        bytes.extend(self.min.to_le_bytes());
        bytes.extend(self.max.to_le_bytes());
        bytes.extend((self.entries.len() as u64).to_le_bytes());
        bytes.extend((self.symbols.len() as u64).to_le_bytes());
        for entry in &self.entries {
            bytes.extend(entry.offset.to_le_bytes());
            bytes.extend(entry.sequence.to_le_bytes());
            bytes.extend(entry.min.to_le_bytes());
            bytes.extend(entry.max.to_le_bytes());
            bytes.extend(entry.count.to_le_bytes());
            bytes.extend(entry.crc.to_le_bytes());
        }
        for text in &self.symbols {
            put_text(&mut bytes, text);
        }
        bytes
    }

    /// Reads a payload whose checksum was right, and proves it against the rest of the file.
    pub(super) fn decode(bytes: &[u8], bounds: &Bounds) -> Result<Self, Mismatch> {
        if bytes.len() < F_INDEX {
            return Err(Mismatch::new("the footer's size", 0, format!("at least {F_INDEX}"), bytes.len()));
        }
        let blocks = u64_at(bytes, F_BLOCKS);
        let room = (bytes.len() - F_INDEX) / ENTRY_BYTES;
        if blocks > room as u64 {
            return Err(Mismatch::new("the number of blocks", F_BLOCKS, format!("at most {room}"), blocks));
        }
        if blocks != u64::from(bounds.footer_count) {
            return Err(Mismatch::new("the number of blocks", F_BLOCKS, bounds.footer_count, blocks));
        }
        let (index, texts) = bytes[F_INDEX..].split_at(blocks as usize * ENTRY_BYTES);
        let mut footer = Self { entries: Vec::with_capacity(blocks as usize), ..Self::default() };
        let mut end = PAGE;
        let mut sequence = 0;
        for (number, entry) in index.chunks_exact(ENTRY_BYTES).enumerate() {
            let at = F_INDEX + number * ENTRY_BYTES;
            let entry = decode_entry(entry, at, bounds, end, sequence)?;
            let bytes = BLOCK_HEADER_BYTES as u64 + u64::from(entry.count) * bounds.record_size as u64;
            // In bounds: the entry ends before the footer, which is in the file.
            end = align_up(entry.offset + bytes, PAGE).unwrap_or(u64::MAX);
            sequence = entry.sequence + 1;
            footer.add(entry);
        }
        for (what, at, expected, found) in [
            ("the number of events", F_EVENTS, footer.events, u64_at(bytes, F_EVENTS)),
            ("the trailer's number of events", F_EVENTS, footer.events, bounds.events),
        ] {
            if expected != found {
                return Err(Mismatch::new(what, at, expected, found));
            }
        }
        for (what, at, expected) in [("the smallest time", F_MIN, footer.min), ("the largest time", F_MAX, footer.max)]
        {
            if i64_at(bytes, at) != expected {
                return Err(Mismatch::new(what, at, expected, i64_at(bytes, at)));
            }
        }
        let symbols = u64_at(bytes, F_SYMBOLS);
        let room = texts.len().min(SYMBOLS_MAX);
        if symbols > room as u64 {
            return Err(Mismatch::new("the number of symbols", F_SYMBOLS, format!("at most {room}"), symbols));
        }
        read_texts(texts, symbols as usize, &mut footer.symbols).map_err(|mut mismatch| {
            mismatch.at += (bytes.len() - texts.len()) as u64;
            mismatch
        })?;
        check_unique(&footer.symbols)?;
        Ok(footer)
    }
}

fn decode_entry(bytes: &[u8], at: usize, bounds: &Bounds, end: u64, sequence: u64) -> Result<Entry, Mismatch> {
    let entry = Entry {
        offset: u64_at(bytes, E_OFFSET),
        sequence: u64_at(bytes, E_SEQUENCE),
        min: i64_at(bytes, E_MIN),
        max: i64_at(bytes, E_MAX),
        count: u32_at(bytes, E_COUNT),
        crc: u32_at(bytes, E_CRC),
    };
    if !entry.offset.is_multiple_of(PAGE) || entry.offset < end {
        let expected = format!("a multiple of {PAGE} from {end}");
        return Err(Mismatch::new("a block's offset in the index", at + E_OFFSET, expected, entry.offset));
    }
    if entry.sequence < sequence || entry.sequence >= bounds.footer_sequence {
        let expected = format!("at least {sequence} and less than {}", bounds.footer_sequence);
        return Err(Mismatch::new("a block's sequence number in the index", at + E_SEQUENCE, expected, entry.sequence));
    }
    if entry.count == 0 || entry.count > bounds.block_events {
        let expected = format!("1 to {}", bounds.block_events);
        return Err(Mismatch::new("a block's count in the index", at + E_COUNT, expected, entry.count));
    }
    let bytes = BLOCK_HEADER_BYTES as u64 + u64::from(entry.count) * bounds.record_size as u64;
    if entry.offset.checked_add(bytes).is_none_or(|end| end > bounds.footer) {
        let expected = format!("{bytes} bytes before byte {}", bounds.footer);
        return Err(Mismatch::new("a block's offset in the index", at + E_OFFSET, expected, entry.offset));
    }
    if entry.min > entry.max {
        return Err(Mismatch::new(
            "a block's times in the index",
            at + E_MIN,
            format!("at most {}", entry.max),
            entry.min,
        ));
    }
    Ok(entry)
}

pub(super) fn text_bytes(text: &str) -> usize {
    1 + text.len()
}

/// Appends a text of at most [`pelton::SYMBOL_BYTES_MAX`] bytes.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(text.len() as u8);
    bytes.extend(text.as_bytes());
}

/// Reads `count` texts that fill `bytes` exactly, and appends them to `out`.
pub(super) fn read_texts(bytes: &[u8], count: usize, out: &mut Vec<Arc<str>>) -> Result<(), Mismatch> {
    let mut rest = bytes;
    for _ in 0..count {
        let at = bytes.len() - rest.len();
        let Some((&len, tail)) = rest.split_first() else {
            return Err(Mismatch::new("a symbol", at, "a text", "the end"));
        };
        let Some((text, tail)) = tail.split_at_checked(usize::from(len)) else {
            return Err(Mismatch::new("a symbol's length", at, format!("at most {}", tail.len()), len));
        };
        let text = std::str::from_utf8(text).map_err(|_| Mismatch::new("a symbol", at, "UTF-8", "other bytes"))?;
        out.push(text.into());
        rest = tail;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Mismatch::new("the symbols' end", bytes.len() - rest.len(), "the end", format!("{} bytes", rest.len())))
    }
}

/// A text with two ids could not be interned without moving the ids behind it.
pub(super) fn check_unique(symbols: &[Arc<str>]) -> Result<(), Mismatch> {
    let mut seen = HashSet::with_capacity(symbols.len());
    match symbols.iter().find(|text| !seen.insert(&***text)) {
        None => Ok(()),
        Some(text) => Err(Mismatch::new("the symbols", F_SYMBOLS, "each text once", format!("{text:?} twice"))),
    }
}
