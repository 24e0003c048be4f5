//! Writes bodies: gathers what comes into parts, and puts these into segments of the file.

use super::{BodyRef, SnapshotLog, segment_at};
use crate::log::error::StateError;
use crate::log::frame::{COUNT_MAX, FRAME, Frame, NO_SEGMENT, Wanted};

/// Bytes that are written at once, at least.
const PART_BYTES: usize = 64 << 10;
/// The file grows by a part of itself, of this many segments at least.
const GROWTH_MIN: u32 = 4;
const GROWTH_PART: u32 = 8;

/// A body that is being written.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) epoch: u64,
    pub(super) builds_on: Vec<BodyRef>,
    pub(super) segments: Vec<u32>,
    /// Of the last segment, where it has no frame yet: the bytes of its payload and their checksum so far.
    open: Option<(usize, crc32fast::Hasher)>,
    /// What comes next in it.
    buffer: Vec<u8>,
}

impl SnapshotLog {
    /// Begins the body of a checkpoint that builds on others, which are kept. One that is not committed is given up.
    ///
    /// # Errors
    /// When something failed before, or the counts of the log, which only damage can bring so far, cannot go on.
    pub(crate) fn begin(&mut self, epoch: u64, builds_on: Vec<BodyRef>) -> Result<(), StateError> {
        self.check_poison()?;
        self.give_up();
        let counts = self.superblock.commit.max(self.superblock.sequence).max(epoch);
        // A body has fewer segments than that, and each counts.
        if counts > COUNT_MAX - u64::from(NO_SEGMENT) {
            let expected = "so few that others can follow";
            return Err(StateError::damaged((&self.path, 0), "the superblock's counts", expected, counts));
        }
        let mut buffer = Vec::new();
        buffer.extend_from_slice(&(builds_on.len() as u32).to_le_bytes());
        for BodyRef { epoch, segments } in &builds_on {
            buffer.extend_from_slice(&epoch.to_le_bytes());
            buffer.extend_from_slice(&segments.last().copied().unwrap_or(NO_SEGMENT).to_le_bytes());
            buffer.extend_from_slice(&(segments.len() as u32).to_le_bytes());
        }
        let part = Vec::with_capacity(PART_BYTES);
        self.writing = Some(Writing { epoch, builds_on, segments: Vec::new(), open: None, buffer: part });
        self.write(&buffer)
    }

    /// Appends to the body that was begun.
    ///
    /// # Errors
    /// When there is no room, or it cannot be written: the body is given up.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), StateError> {
        let room = self.superblock.segment_bytes as usize - FRAME;
        while !bytes.is_empty() {
            let Some(writing) = &mut self.writing else { return self.check_poison() };
            let written = writing.open.as_ref().map_or(0, |(used, _)| *used);
            let left = room - written - writing.buffer.len();
            let is_part = writing.buffer.is_empty() && bytes.len() >= PART_BYTES;
            let count = bytes.len().min(left).min(if is_part { left } else { PART_BYTES - writing.buffer.len() });
            let (now, later) = bytes.split_at(count);
            bytes = later;
            if is_part {
                self.write_part(now)?;
            } else {
                writing.buffer.extend_from_slice(now);
                if writing.buffer.len() == PART_BYTES {
                    self.flush()?;
                }
            }
            if count == left {
                self.end_segment()?;
            }
        }
        Ok(())
    }

    /// Gives up the body that was begun.
    pub(crate) fn give_up(&mut self) {
        if let Some(writing) = self.writing.take() {
            self.free.extend(writing.segments);
        }
    }

    /// Takes a segment for what comes next, where none is open.
    fn open_segment(&mut self) -> Result<(), StateError> {
        if self.writing.as_ref().is_none_or(|writing| writing.open.is_some()) {
            return Ok(());
        }
        let number = match self.free.pop_first().map_or_else(|| self.grow(), Ok) {
            Ok(number) => number,
            Err(error) => {
                self.give_up();
                return Err(error);
            }
        };
        if let Some(writing) = &mut self.writing {
            writing.segments.push(number);
            writing.open = Some((0, crc32fast::Hasher::new()));
        }
        Ok(())
    }

    /// Writes what has come of the segment that is open.
    fn flush(&mut self) -> Result<(), StateError> {
        let Some(writing) = self.writing.as_mut().filter(|writing| !writing.buffer.is_empty()) else { return Ok(()) };
        let mut part = std::mem::take(&mut writing.buffer);
        let flushed = self.write_part(&part);
        if let Some(writing) = &mut self.writing {
            part.clear();
            writing.buffer = part;
        }
        flushed
    }

    /// Writes a part of the payload of a segment, which has room for it.
    fn write_part(&mut self, part: &[u8]) -> Result<(), StateError> {
        self.open_segment()?;
        let Some(Writing { segments, open: Some((used, checksum)), .. }) = &mut self.writing else { return Ok(()) };
        let at = segment_at(segments.last().copied().unwrap_or(NO_SEGMENT), self.superblock.segment_bytes);
        checksum.update(part);
        let written = self.storage.write(at + (FRAME + *used) as u64, part);
        *used += part.len();
        written.map_err(|source| self.not_written(source))
    }

    /// Writes what is left of the segment that is open, and its frame, where there is one.
    pub(super) fn end_segment(&mut self) -> Result<(), StateError> {
        self.flush()?;
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let (Some((used, checksum)), [before @ .., number]) = (writing.open.take(), &*writing.segments) else {
            return Ok(());
        };
        let (number, position) = (*number, before.len() as u32);
        let wanted = Wanted { file_id: self.superblock.file_id, epoch: writing.epoch, number, position };
        let before = before.last().copied().unwrap_or(NO_SEGMENT);
        let frame = Frame::new(wanted, self.superblock.sequence, before, (used as u32, checksum.finalize()));
        self.superblock.sequence += 1;
        let at = segment_at(number, self.superblock.segment_bytes);
        let written = self.storage.write(at, bytemuck::bytes_of(&frame));
        written.map_err(|source| self.not_written(source))
    }

    /// Gives up a body of which something could not be written.
    fn not_written(&mut self, source: std::io::Error) -> StateError {
        self.give_up();
        StateError::Io { path: self.path.clone(), action: "write a segment", source }
    }

    /// Makes the file larger; the first of its new segments, while the others are free.
    fn grow(&mut self) -> Result<u32, StateError> {
        let bytes = self.superblock.segment_bytes;
        let more = (self.segments / GROWTH_PART).max(GROWTH_MIN);
        // Where there is no room for more, one will do.
        for more in [more, 1] {
            let segments = self.segments.saturating_add(more).min(NO_SEGMENT - 1);
            match self.storage.grow(segment_at(segments, bytes)) {
                Ok(()) => {
                    let first = self.segments;
                    self.free.extend(first + 1..segments);
                    self.segments = segments;
                    return Ok(first);
                }
                Err(source) if more == 1 => {
                    let (path, wanted) = (self.path.clone(), u64::from(bytes));
                    return Err(StateError::Full { path, wanted, source });
                }
                Err(_) => {}
            }
        }
        unreachable!("one more segment is an answer or an error")
    }
}
