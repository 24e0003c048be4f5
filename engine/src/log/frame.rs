//! The fixed parts of the snapshot log's file: superblocks and the frames of segments. All integers are little-endian.
//!
//! ```text
//! superblock                               frame of a segment
//! byte  0  magic "PELTONSL"                byte  0  magic "PSEG"
//!       8  format version                        4  format version (16 bits)
//!      12  bytes of a segment                    6  kind (16 bits): 1 a body's, 0 none
//!      16  file id                               8  file id
//!      24  commit                               16  epoch of the body
//!      32  next sequence number                 24  sequence number
//!      40  entries in use                       32  number of the segment
//!      44  checksum of the page,                36  position in the body
//!          with 0 here and its number           40  number of the segment before, or 2^32 - 1
//!      48  16 entries of 32 bytes               44  bytes of payload
//!     560  zeros up to 4096                     48  checksum of the payload
//!                                               52  checksum of the frame, with 0 here
//! entry of a checkpoint                         56  zeros up to 64
//! byte  0  epoch
//!       8  nanoseconds since 1970, when it was committed
//!      16  last segment of its body
//!      20  segments of its body
//!      24  flags: 1 savepoint, 2 the job had finished
//!      28  zeros
//! ```

use crate::log::error::StateError;
use bytemuck::{Pod, Zeroable};
use std::path::Path;

pub(super) const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"PELTONSL";
const SEGMENT_MAGIC: [u8; 4] = *b"PSEG";
/// The kind of a segment of a body; 0 is what an unused segment has.
const BODY: u16 = 1;

/// Bytes of a superblock.
pub(super) const PAGE: usize = 4096;
/// Where segments begin.
pub(super) const SEGMENTS_AT: u64 = 2 * PAGE as u64;
/// The number of a segment that is none.
pub(super) const NO_SEGMENT: u32 = u32::MAX;
/// The most checkpoints that a superblock names.
pub(super) const KEPT_MAX: usize = 16;
/// What counts up from 1 never comes to this number, so the next one can always be told.
pub(super) const COUNT_MAX: u64 = 1 << 62;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) epoch: u64,
    pub(super) committed_ns: i64,
    pub(super) last_segment: u32,
    pub(super) segments: u32,
    pub(super) flags: u32,
    pub(super) zero: u32,
}

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct SuperblockHead {
    magic: [u8; 8],
    version: u32,
    segment_bytes: u32,
    file_id: u64,
    commit: u64,
    sequence: u64,
    entries: u32,
    checksum: u32,
}

/// The frame of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Frame {
    magic: [u8; 4],
    version: u16,
    kind: u16,
    pub(super) file_id: u64,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) number: u32,
    pub(super) position: u32,
    pub(super) before: u32,
    pub(super) used: u32,
    pub(super) payload_checksum: u32,
    checksum: u32,
    zeros: [u8; 8],
}

pub(super) const FRAME: usize = size_of::<Frame>();

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<Entry>() == 32 && offset_of!(Entry, last_segment) == 16 && offset_of!(Entry, flags) == 24);
    assert!(size_of::<SuperblockHead>() == 48 && offset_of!(SuperblockHead, checksum) == 44);
    assert!(size_of::<SuperblockHead>() + KEPT_MAX * size_of::<Entry>() <= PAGE);
    assert!(FRAME == 64 && offset_of!(Frame, sequence) == 24 && offset_of!(Frame, checksum) == 52);
};

/// What a superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) segment_bytes: u32,
    pub(super) file_id: u64,
    pub(super) commit: u64,
    /// The sequence number of the next segment that is written.
    pub(super) sequence: u64,
    /// The newest last.
    pub(super) entries: Vec<Entry>,
}

fn page_checksum(page: &[u8], number: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&page[..44]);
    hasher.update(&number.to_le_bytes());
    hasher.update(&page[48..]);
    hasher.finalize()
}

impl Superblock {
    /// The page of copy `number`.
    pub(super) fn page(&self, number: u32) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        let head = SuperblockHead {
            magic: MAGIC,
            version: VERSION,
            segment_bytes: self.segment_bytes,
            file_id: self.file_id,
            commit: self.commit,
            sequence: self.sequence,
            entries: self.entries.len() as u32,
            checksum: 0,
        };
        let entries_at = size_of::<SuperblockHead>();
        page[..entries_at].copy_from_slice(bytemuck::bytes_of(&head));
        let entries: &[u8] = bytemuck::cast_slice(&self.entries);
        page[entries_at..entries_at + entries.len()].copy_from_slice(entries);
        let checksum = page_checksum(&page, number);
        page[44..48].copy_from_slice(&checksum.to_le_bytes());
        page
    }

    /// What the page of copy `number` says.
    ///
    /// # Errors
    /// When it is no superblock, or of another version, or damaged.
    pub(super) fn read(path: &Path, page: &[u8; PAGE], number: u32) -> Result<Self, StateError> {
        let head: SuperblockHead = bytemuck::pod_read_unaligned(&page[..size_of::<SuperblockHead>()]);
        let at = u64::from(number) * PAGE as u64;
        if head.magic != MAGIC {
            let (expected, found) = (format!("{:?}", MAGIC.escape_ascii().to_string()), format!("{:02x?}", head.magic));
            return Err(StateError::damaged((path, at), "the superblock's magic bytes", expected, found));
        }
        let found = page_checksum(page, number);
        if head.checksum != found {
            let [expected, found] = [head.checksum, found].map(|checksum| format!("{checksum:#010x}"));
            return Err(StateError::damaged((path, at), "the superblock's checksum", expected, found));
        }
        if head.version != VERSION {
            return Err(StateError::Version { path: path.to_owned(), expected: VERSION, found: head.version });
        }
        let count = head.entries as usize;
        if count > KEPT_MAX || !(PAGE as u32..=1 << 30).contains(&head.segment_bytes) {
            let found = format!("{count} entries, {} bytes", head.segment_bytes);
            return Err(StateError::damaged((path, at), "the superblock's sizes", "16 entries at most", found));
        }
        let entries = page[size_of::<SuperblockHead>()..].chunks_exact(size_of::<Entry>()).take(count);
        let entries: Vec<Entry> = entries.map(bytemuck::pod_read_unaligned).collect();
        let counts = entries.iter().map(|entry| entry.epoch).chain([head.commit, head.sequence]);
        if let Some(found) = counts.max().filter(|count| *count > COUNT_MAX) {
            return Err(StateError::damaged((path, at), "the superblock's counts", "at most 2^62", found));
        }
        let SuperblockHead { segment_bytes, file_id, commit, sequence, .. } = head;
        Ok(Self { segment_bytes, file_id, commit, sequence, entries })
    }
}

/// What a segment should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) file_id: u64,
    pub(super) epoch: u64,
    pub(super) number: u32,
    pub(super) position: u32,
}

impl Frame {
    /// The frame of a segment of a body, whose payload has this length and checksum.
    pub(super) fn new(wanted: Wanted, sequence: u64, before: u32, (used, payload_checksum): (u32, u32)) -> Self {
        let mut frame = Self {
            magic: SEGMENT_MAGIC,
            version: VERSION as u16,
            kind: BODY,
            file_id: wanted.file_id,
            epoch: wanted.epoch,
            sequence,
            number: wanted.number,
            position: wanted.position,
            before,
            used,
            payload_checksum,
            checksum: 0,
            zeros: [0; 8],
        };
        frame.checksum = crc32fast::hash(bytemuck::bytes_of(&frame));
        frame
    }

    /// The frame in these bytes, where they are one.
    pub(super) fn sound(bytes: &[u8; FRAME]) -> Option<Self> {
        let frame: Self = bytemuck::pod_read_unaligned(bytes);
        let checksum = crc32fast::hash(bytemuck::bytes_of(&Self { checksum: 0, ..frame }));
        let is_sound = frame.magic == SEGMENT_MAGIC && frame.kind == BODY && frame.checksum == checksum;
        is_sound.then_some(frame)
    }

    /// The frame in these bytes, which lie at this place of a file and should be that of a segment.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn read(
        (path, at): (&Path, u64),
        bytes: &[u8; FRAME],
        wanted: Wanted,
        segment_bytes: u32,
    ) -> Result<Self, StateError> {
        let damaged = |what, expected: String, found: String| StateError::damaged((path, at), what, expected, found);
        let Some(frame) = Self::sound(bytes) else {
            let found = format!("{:02x?}", &bytes[..8]);
            return Err(damaged("a segment's frame", "one with its checksum".to_owned(), found));
        };
        if u32::from(frame.version) != VERSION {
            return Err(StateError::Version { path: path.to_owned(), expected: VERSION, found: frame.version.into() });
        }
        let Wanted { file_id, epoch, number, position } = wanted;
        let found = (frame.file_id, frame.epoch, frame.number, frame.position);
        if found != (file_id, epoch, number, position) {
            let tell = |(file, epoch, number, position): (u64, u64, u32, u32)| {
                format!("segment {number} of file {file:#x}, {position} in checkpoint {epoch}")
            };
            return Err(damaged("a segment's frame", tell((file_id, epoch, number, position)), tell(found)));
        }
        let room = segment_bytes - FRAME as u32;
        if frame.used > room {
            return Err(damaged("a segment's length", format!("at most {room} bytes"), frame.used.to_string()));
        }
        Ok(frame)
    }

    /// Whether this is the frame's payload, which lies behind it.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn check(&self, (path, at): (&Path, u64), payload: &[u8]) -> Result<(), StateError> {
        let found = crc32fast::hash(payload);
        if found == self.payload_checksum {
            return Ok(());
        }
        let [expected, found] = [self.payload_checksum, found].map(|checksum| format!("{checksum:#010x}"));
        Err(StateError::damaged((path, at), "a segment's checksum", expected, found))
    }
}
