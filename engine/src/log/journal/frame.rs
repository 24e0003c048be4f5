//! The header of a journal's record. All integers are little-endian; records begin at multiples of 64 bytes.
//!
//! ```text
//! byte  0  magic "PJRN"
//!       4  format version (16 bits)
//!       6  kind (16 bits): 0 none, 1 head, 2 events, 3 last events, 4 block, 5 idle, 6 end, 7 symbols, 8 start,
//!                   9 watermark
//!       8  file id
//!      16  sequence number
//!      24  reading of the job's clock, in nanoseconds since its start
//!      32  input that the source has rejected since its record before; of a start where the records are that are kept
//!      40  bytes of payload (32 bits)
//!      44  count (32 bits): of events; of a block its number; of symbols the first id
//!      48  source (32 bits), by its place in the head
//!      52  records before this one that were not durable when it was written (32 bits)
//!      56  checksum of the file id, the offset, the sequence number and the payload
//!      60  checksum of the offset and the header, with 0 here
//!      64  payload, and zeros up to a multiple of 64
//! ```

use crate::log::error::StateError;
use bytemuck::{Pod, Zeroable};
use std::path::Path;
use std::time::Duration;

pub(super) const VERSION: u16 = 2;
pub(crate) const MAGIC: [u8; 4] = *b"PJRN";
/// Records begin at multiples of so many bytes.
pub(super) const ALIGN: u64 = 64;

/// What a record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// The sources, once, at the file's start.
    Head,
    /// Events of a feed; none where it only rejected something.
    Events,
    /// The last events of a feed, possibly none, which then has ended.
    LastEvents,
    /// A block of a bounded source.
    Block,
    /// The source is waited for no longer, until something comes.
    Idle,
    /// The source has ended.
    End,
    /// Texts of symbols that come in the records behind.
    Symbols,
    /// Where the records are that are kept, once, behind the head. Those before were cut; it is written again then.
    Start,
    /// A watermark that a feed told by itself: 8 bytes of nanoseconds.
    Watermark,
}

impl RecordKind {
    const ALL: [Self; 9] = [
        Self::Head,
        Self::Events,
        Self::LastEvents,
        Self::Block,
        Self::Idle,
        Self::End,
        Self::Symbols,
        Self::Start,
        Self::Watermark,
    ];

    fn number(self) -> u16 {
        Self::ALL.iter().position(|kind| *kind == self).map_or(0, |index| index as u16 + 1)
    }

    fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Header {
    magic: [u8; 4],
    version: u16,
    kind: u16,
    pub(super) file_id: u64,
    pub(super) sequence: u64,
    pub(super) clock_ns: u64,
    pub(super) rejected: u64,
    pub(super) length: u32,
    pub(super) count: u32,
    pub(super) source: u32,
    pub(super) undurable: u32,
    payload_checksum: u32,
    checksum: u32,
}

pub(super) const HEADER: usize = size_of::<Header>();

const _: () = {
    use std::mem::offset_of;
    assert!(HEADER as u64 == ALIGN && offset_of!(Header, sequence) == 16 && offset_of!(Header, rejected) == 32);
    assert!(offset_of!(Header, length) == 40 && offset_of!(Header, source) == 48 && offset_of!(Header, checksum) == 60);
};

/// Where a record stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) file_id: u64,
    pub(super) offset: u64,
    pub(super) sequence: u64,
}

/// What arrived, as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) kind: RecordKind,
    pub(crate) source: u32,
    pub(crate) clock: Duration,
    pub(crate) count: u32,
    pub(crate) rejected: u64,
    pub(crate) payload: &'a [u8],
}

/// Bytes that a record with so many bytes of payload takes.
pub(super) const fn record_bytes(payload: usize) -> u64 {
    (HEADER as u64 + payload as u64).next_multiple_of(ALIGN)
}

fn payload_checksum(place: Place, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for number in [place.file_id, place.offset, place.sequence] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(payload);
    hasher.finalize()
}

impl Header {
    fn header_checksum(&self, offset: u64) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&offset.to_le_bytes());
        hasher.update(bytemuck::bytes_of(&Self { checksum: 0, ..*self }));
        hasher.finalize()
    }

    /// Appends a record to `out`. Its payload has less than 2^32 bytes.
    pub(super) fn put(out: &mut Vec<u8>, place: Place, undurable: u64, arrival: &Arrival<'_>) {
        let Arrival { kind, source, clock, count, rejected, payload } = *arrival;
        let mut header = Self {
            magic: MAGIC,
            version: VERSION,
            kind: kind.number(),
            file_id: place.file_id,
            sequence: place.sequence,
            clock_ns: u64::try_from(clock.as_nanos()).unwrap_or(u64::MAX),
            rejected,
            length: payload.len() as u32,
            count,
            source,
            undurable: u32::try_from(undurable).unwrap_or(u32::MAX),
            payload_checksum: payload_checksum(place, payload),
            checksum: 0,
        };
        header.checksum = header.header_checksum(place.offset);
        let end = out.len() + record_bytes(payload.len()) as usize;
        out.extend_from_slice(bytemuck::bytes_of(&header));
        out.extend_from_slice(payload);
        out.resize(end, 0);
    }

    /// The header in these bytes, which lie at an offset, where they are one.
    pub(super) fn sound(bytes: &[u8], offset: u64) -> Option<Self> {
        if !bytes.starts_with(&MAGIC) {
            return None;
        }
        let header: Self = bytemuck::pod_read_unaligned(bytes.get(..HEADER)?);
        (header.checksum == header.header_checksum(offset)).then_some(header)
    }

    /// The header in these bytes, which should be that of the record at a place.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn read(path: &Path, bytes: &[u8], place: Place) -> Result<(Self, RecordKind), StateError> {
        let damaged =
            |what, expected: String, found: String| StateError::damaged((path, place.offset), what, expected, found);
        let Some(header) = Self::sound(bytes, place.offset) else {
            let (expected, found) = (format!("record {}", place.sequence), format!("{:02x?}", &bytes[..8]));
            return Err(damaged("a record's header", expected, found));
        };
        if header.version != VERSION {
            let (expected, found) = (VERSION.into(), header.version.into());
            return Err(StateError::Version { path: path.to_owned(), expected, found });
        }
        if (header.file_id, header.sequence) != (place.file_id, place.sequence) {
            let tell = |file_id: u64, sequence: u64| format!("record {sequence} of file {file_id:#x}");
            let (expected, found) = (tell(place.file_id, place.sequence), tell(header.file_id, header.sequence));
            return Err(damaged("a record's header", expected, found));
        }
        match RecordKind::from_number(header.kind) {
            Some(kind) => Ok((header, kind)),
            None => Err(damaged("a record's kind", "from 1 to 8".to_owned(), header.kind.to_string())),
        }
    }

    /// Whether this is the header's payload.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn check(&self, path: &Path, offset: u64, payload: &[u8]) -> Result<(), StateError> {
        let place = Place { file_id: self.file_id, offset, sequence: self.sequence };
        let found = payload_checksum(place, payload);
        if found == self.payload_checksum {
            return Ok(());
        }
        let [expected, found] = [self.payload_checksum, found].map(|checksum| format!("{checksum:#010x}"));
        Err(StateError::damaged((path, offset), "a record's checksum", expected, found))
    }

    /// The sequence number below which all records were durable when this one was written.
    pub(super) const fn durable(&self) -> u64 {
        self.sequence.saturating_sub(self.undurable as u64)
    }
}
