//! The bytes of a capture: header, block headers, trailer.
//!
//! ```text
//! byte 0      ┌────────────────────────────────────────────┐
//!             │ file header, one page: schema, file id     │
//! 4096        ├────────────────────────────────────────────┤
//!             │ block: 64-byte header, payload, zeros      │ each starts at a page, sequence 0, 1, 2 ..
//!             ├────────────────────────────────────────────┤
//!             │ ..  kinds: events; symbols, before the     │
//!             │     first block of events that uses them   │
//!             ├────────────────────────────────────────────┤
//!             │ footer: a block of its own kind: totals,   │
//!             │ index of the event blocks, all symbols     │
//!             ├────────────────────────────────────────────┤
//!             │ trailer, 64 bytes: where the footer is     │
//! file end    └────────────────────────────────────────────┘
//! ```
//! Invariants: everything is little-endian and of fixed width; nothing is written twice, so a writer
//! that died leaves whole blocks and a torn tail; a payload starts 64 bytes into a page, so events
//! of any alignment up to 64 can be used where they are mapped; the checksum of a block's header
//! also covers the file's id and the block's place and number, so a stale or misplaced block is
//! found. Only the zeros that fill up pages are covered by nothing.

use super::error::Mismatch;

const _: () = assert!(cfg!(target_endian = "little") && usize::BITS == 64, "events are used where they are mapped");

/// What blocks are aligned to, in bytes.
pub(super) const PAGE: u64 = 4096;
pub(super) const VERSION: u32 = 1;
/// The largest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 1 << 16;
/// The largest payload of a block, in bytes.
pub const BLOCK_BYTES_MAX: usize = 1 << 26;
/// The largest index and dictionary together, in bytes.
pub const FOOTER_BYTES_MAX: usize = 1 << 30;
/// The largest payload of a block of symbols, in bytes.
pub(super) const SYMBOLS_BYTES_MAX: usize = 1 << 20;

// File header.
//
// |  0 | magic           u64 | `PELTONCP`
// |  8 | version         u32 |
// | 12 | schema bytes    u32 |
// | 16 | file id         u64 | random, or chosen by the writer
// | 24 | fingerprint     u64 | of the schema
// | 32 | record size     u32 | bytes
// | 36 | record align    u32 | bytes
// | 40 | block capacity  u32 | events
// | 44 | name bytes      u32 |
// | 48 | fields          u32 |
// | 52 | reserved        u32 |
// | 56 | schema, name, then a byte for each field: decimals, 255 for none; zeros
// | 4092 | checksum      u32 | of all bytes before it
pub(super) const MAGIC: [u8; 8] = *b"PELTONCP";
pub(super) const HEADER_BYTES: usize = PAGE as usize;
const H_MAGIC: usize = 0;
const H_VERSION: usize = H_MAGIC + 8;
const H_SCHEMA_BYTES: usize = H_VERSION + 4;
const H_FILE_ID: usize = H_SCHEMA_BYTES + 4;
const H_FINGERPRINT: usize = H_FILE_ID + 8;
const H_RECORD_SIZE: usize = H_FINGERPRINT + 8;
const H_RECORD_ALIGN: usize = H_RECORD_SIZE + 4;
const H_BLOCK_EVENTS: usize = H_RECORD_ALIGN + 4;
const H_NAME_BYTES: usize = H_BLOCK_EVENTS + 4;
const H_FIELDS: usize = H_NAME_BYTES + 4;
const H_RESERVED: usize = H_FIELDS + 4;
const H_TEXT: usize = H_RESERVED + 4;
pub(super) const H_CHECKSUM: usize = HEADER_BYTES - 4;
const _: () = assert!(H_TEXT == 56 && H_FILE_ID.is_multiple_of(8) && H_FINGERPRINT.is_multiple_of(8));

// Block header.
//
// |  0 | magic           u32 | `PBLK`
// |  4 | kind            u32 | 1 events, 2 symbols, 3 footer
// |  8 | sequence        u64 | over all blocks of the file, from 0
// | 16 | offset          u64 | where this header is in the file
// | 24 | count           u32 | events, texts, or entries of the index
// | 28 | payload crc     u32 | CRC-32 of the payload
// | 32 | payload bytes   u64 |
// | 40 | min             i64 | the smallest event time; 0 in other kinds
// | 48 | max             i64 | the largest event time; 0 in other kinds
// | 56 | first           u32 | symbols: the id of the first text; 0 in other kinds
// | 60 | checksum        u32 | of the file id and of all bytes before it
const BLOCK_MAGIC: [u8; 4] = *b"PBLK";
pub(super) const BLOCK_HEADER_BYTES: usize = 64;
const B_MAGIC: usize = 0;
const B_KIND: usize = B_MAGIC + 4;
const B_SEQUENCE: usize = B_KIND + 4;
const B_OFFSET: usize = B_SEQUENCE + 8;
const B_COUNT: usize = B_OFFSET + 8;
const B_PAYLOAD_CRC: usize = B_COUNT + 4;
const B_PAYLOAD_BYTES: usize = B_PAYLOAD_CRC + 4;
const B_MIN: usize = B_PAYLOAD_BYTES + 8;
const B_MAX: usize = B_MIN + 8;
const B_FIRST: usize = B_MAX + 8;
const B_CHECKSUM: usize = B_FIRST + 4;
const _: () = assert!(B_CHECKSUM + 4 == BLOCK_HEADER_BYTES && PAGE as usize > BLOCK_HEADER_BYTES);

// Trailer: the last bytes of a finished capture.
//
// |  0 | magic           u64 | `PELTONEN`
// |  8 | file id         u64 |
// | 16 | footer offset   u64 | where the footer's block header is
// | 24 | footer bytes    u64 | of its payload
// | 32 | events          u64 | in the whole file
// | 40 | file bytes      u64 | of the whole file
// | 48 | reserved     3 x u32 |
// | 60 | checksum        u32 | of all bytes before it
const TRAILER_MAGIC: [u8; 8] = *b"PELTONEN";
pub(super) const TRAILER_BYTES: usize = 64;
const T_MAGIC: usize = 0;
const T_FILE_ID: usize = T_MAGIC + 8;
const T_FOOTER: usize = T_FILE_ID + 8;
const T_FOOTER_BYTES: usize = T_FOOTER + 8;
const T_EVENTS: usize = T_FOOTER_BYTES + 8;
const T_FILE_BYTES: usize = T_EVENTS + 8;
const T_RESERVED: usize = T_FILE_BYTES + 8;
const T_CHECKSUM: usize = T_RESERVED + 12;
const _: () = assert!(T_CHECKSUM + 4 == TRAILER_BYTES);

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(take(bytes, at))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(bytes, at))
}

pub(super) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(take(bytes, at))
}

pub(super) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The next multiple of `to`, a power of two, or `None` past the end of the numbers.
pub(super) fn align_up(value: u64, to: u64) -> Option<u64> {
    Some(value.checked_add(to - 1)? & !(to - 1))
}

pub(super) fn hex(value: u32) -> String {
    format!("{value:08x}")
}

fn check_crc(what: &'static str, at: usize, expected: u32, bytes: &[u8]) -> Result<(), Mismatch> {
    let found = u32_at(bytes, at);
    if found == expected { Ok(()) } else { Err(Mismatch::new(what, at, hex(expected), hex(found))) }
}

/// The file header's numbers and texts, unproven beyond its checksum.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FileHeader {
    pub(super) file_id: u64,
    pub(super) fingerprint: u64,
    pub(super) record_size: u32,
    pub(super) record_align: u32,
    /// The most events of a block.
    pub(super) block_events: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) decimals: Vec<u8>,
}

/// A page that starts as a capture, but is of another version.
#[derive(Debug)]
pub(super) enum HeaderError {
    Version(u32),
    Mismatch(Mismatch),
}

impl From<Mismatch> for HeaderError {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}

impl FileHeader {
    /// The room for schema, name and decimals, in bytes.
    pub(super) const TEXT_BYTES_MAX: usize = H_CHECKSUM - H_TEXT;

    pub(super) fn text_bytes(&self) -> usize {
        self.schema.len() + self.name.len() + self.decimals.len()
    }

    /// The page; the texts must fit [`Self::TEXT_BYTES_MAX`].
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; HEADER_BYTES];
        put(&mut page, H_MAGIC, &MAGIC);
        put(&mut page, H_VERSION, &VERSION.to_le_bytes());
        put(&mut page, H_SCHEMA_BYTES, &(self.schema.len() as u32).to_le_bytes());
        put(&mut page, H_FILE_ID, &self.file_id.to_le_bytes());
        put(&mut page, H_FINGERPRINT, &self.fingerprint.to_le_bytes());
        put(&mut page, H_RECORD_SIZE, &self.record_size.to_le_bytes());
        put(&mut page, H_RECORD_ALIGN, &self.record_align.to_le_bytes());
        put(&mut page, H_BLOCK_EVENTS, &self.block_events.to_le_bytes());
        put(&mut page, H_NAME_BYTES, &(self.name.len() as u32).to_le_bytes());
        put(&mut page, H_FIELDS, &(self.decimals.len() as u32).to_le_bytes());
        let mut at = H_TEXT;
        for part in [self.schema.as_bytes(), self.name.as_bytes(), &self.decimals] {
            put(&mut page, at, part);
            at += part.len();
        }
        let crc = crc32fast::hash(&page[..H_CHECKSUM]);
        put(&mut page, H_CHECKSUM, &crc.to_le_bytes());
        page
    }

    /// `page` is of [`HEADER_BYTES`] and starts with [`MAGIC`].
    pub(super) fn decode(page: &[u8]) -> Result<Self, HeaderError> {
        let version = u32_at(page, H_VERSION);
        let crc = check_crc("the header's checksum", H_CHECKSUM, crc32fast::hash(&page[..H_CHECKSUM]), page);
        // A later version may check itself in another way; a flipped bit may look like a version.
        match crc {
            Ok(()) if version != VERSION => return Err(HeaderError::Version(version)),
            result => result?,
        }
        let mut at = H_TEXT;
        let mut part = |what: &'static str, bytes_at: usize| {
            let bytes = u32_at(page, bytes_at) as usize;
            if bytes > H_CHECKSUM - at {
                return Err(Mismatch::new(what, bytes_at, format!("at most {}", H_CHECKSUM - at), bytes));
            }
            at += bytes;
            Ok(&page[at - bytes..at])
        };
        let text = |what: &'static str, at: usize, bytes: &[u8]| {
            let text = std::str::from_utf8(bytes);
            text.map(str::to_owned).map_err(|_| Mismatch::new(what, at, "UTF-8", "other bytes"))
        };
        let schema = part("the schema's length", H_SCHEMA_BYTES)?;
        let name = part("the name's length", H_NAME_BYTES)?;
        let decimals = part("the number of fields", H_FIELDS)?;
        Ok(Self {
            file_id: u64_at(page, H_FILE_ID),
            fingerprint: u64_at(page, H_FINGERPRINT),
            record_size: u32_at(page, H_RECORD_SIZE),
            record_align: u32_at(page, H_RECORD_ALIGN),
            block_events: u32_at(page, H_BLOCK_EVENTS),
            schema: text("the schema", H_TEXT, schema)?,
            name: text("the record's name", H_TEXT + schema.len(), name)?,
            decimals: decimals.to_vec(),
        })
    }
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum BlockKind {
    Events = 1,
    Symbols = 2,
    Footer = 3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHeader {
    pub(super) kind: BlockKind,
    pub(super) sequence: u64,
    pub(super) offset: u64,
    pub(super) count: u32,
    pub(super) payload_crc: u32,
    pub(super) payload_bytes: u64,
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) first: u32,
}

impl BlockHeader {
    pub(super) fn encode(&self, file_id: u64) -> [u8; BLOCK_HEADER_BYTES] {
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        put(&mut bytes, B_MAGIC, &BLOCK_MAGIC);
        put(&mut bytes, B_KIND, &(self.kind as u32).to_le_bytes());
        put(&mut bytes, B_SEQUENCE, &self.sequence.to_le_bytes());
        put(&mut bytes, B_OFFSET, &self.offset.to_le_bytes());
        put(&mut bytes, B_COUNT, &self.count.to_le_bytes());
        put(&mut bytes, B_PAYLOAD_CRC, &self.payload_crc.to_le_bytes());
        put(&mut bytes, B_PAYLOAD_BYTES, &self.payload_bytes.to_le_bytes());
        put(&mut bytes, B_MIN, &self.min.to_le_bytes());
        put(&mut bytes, B_MAX, &self.max.to_le_bytes());
        put(&mut bytes, B_FIRST, &self.first.to_le_bytes());
        let crc = block_crc(file_id, &bytes);
        put(&mut bytes, B_CHECKSUM, &crc.to_le_bytes());
        bytes
    }

    /// The header that should be at `offset`, with this number where it is known.
    pub(super) fn decode(
        bytes: &[u8; BLOCK_HEADER_BYTES],
        file_id: u64,
        offset: u64,
        sequence: Option<u64>,
    ) -> Result<Self, Mismatch> {
        if bytes[..BLOCK_MAGIC.len()] != BLOCK_MAGIC {
            let found = if bytes.iter().all(|&byte| byte == 0) { "zeros" } else { "other bytes" };
            return Err(Mismatch::new("a block's start", B_MAGIC, "PBLK", found));
        }
        check_crc("a block header's checksum", B_CHECKSUM, block_crc(file_id, bytes), bytes)?;
        let kind = match u32_at(bytes, B_KIND) {
            1 => BlockKind::Events,
            2 => BlockKind::Symbols,
            3 => BlockKind::Footer,
            other => return Err(Mismatch::new("a block's kind", B_KIND, "1, 2 or 3", other)),
        };
        let header = Self {
            kind,
            sequence: u64_at(bytes, B_SEQUENCE),
            offset: u64_at(bytes, B_OFFSET),
            count: u32_at(bytes, B_COUNT),
            payload_crc: u32_at(bytes, B_PAYLOAD_CRC),
            payload_bytes: u64_at(bytes, B_PAYLOAD_BYTES),
            min: i64_at(bytes, B_MIN),
            max: i64_at(bytes, B_MAX),
            first: u32_at(bytes, B_FIRST),
        };
        if header.offset != offset {
            return Err(Mismatch::new("a block's offset", B_OFFSET, offset, header.offset));
        }
        match sequence {
            Some(sequence) if sequence != header.sequence => {
                Err(Mismatch::new("a block's sequence number", B_SEQUENCE, sequence, header.sequence))
            }
            _ => Ok(header),
        }
    }
}

fn block_crc(file_id: u64, bytes: &[u8; BLOCK_HEADER_BYTES]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&file_id.to_le_bytes());
    hasher.update(&bytes[..B_CHECKSUM]);
    hasher.finalize()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) file_id: u64,
    pub(super) footer: u64,
    pub(super) footer_bytes: u64,
    pub(super) events: u64,
    pub(super) file_bytes: u64,
}

impl Trailer {
    pub(super) fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        put(&mut bytes, T_MAGIC, &TRAILER_MAGIC);
        put(&mut bytes, T_FILE_ID, &self.file_id.to_le_bytes());
        put(&mut bytes, T_FOOTER, &self.footer.to_le_bytes());
        put(&mut bytes, T_FOOTER_BYTES, &self.footer_bytes.to_le_bytes());
        put(&mut bytes, T_EVENTS, &self.events.to_le_bytes());
        put(&mut bytes, T_FILE_BYTES, &self.file_bytes.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..T_CHECKSUM]);
        put(&mut bytes, T_CHECKSUM, &crc.to_le_bytes());
        bytes
    }

    /// The trailer, or what is wrong with it: then the file was never finished, or cut since.
    pub(super) fn decode(bytes: &[u8; TRAILER_BYTES], file_id: u64, file_bytes: u64) -> Result<Self, Mismatch> {
        if bytes[..TRAILER_MAGIC.len()] != TRAILER_MAGIC {
            return Err(Mismatch::new("the trailer", T_MAGIC, "PELTONEN", "other bytes"));
        }
        check_crc("the trailer's checksum", T_CHECKSUM, crc32fast::hash(&bytes[..T_CHECKSUM]), bytes)?;
        let trailer = Self {
            file_id: u64_at(bytes, T_FILE_ID),
            footer: u64_at(bytes, T_FOOTER),
            footer_bytes: u64_at(bytes, T_FOOTER_BYTES),
            events: u64_at(bytes, T_EVENTS),
            file_bytes: u64_at(bytes, T_FILE_BYTES),
        };
        if trailer.file_id != file_id {
            return Err(Mismatch::new("the trailer's file id", T_FILE_ID, file_id, trailer.file_id));
        }
        if trailer.file_bytes != file_bytes {
            return Err(Mismatch::new("the file's size", T_FILE_BYTES, trailer.file_bytes, file_bytes));
        }
        Ok(trailer)
    }
}
