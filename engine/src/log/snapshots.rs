//! The log itself: opens, writes bodies, commits them and finds them again.

mod writing;

use crate::log::body::{BodyReader, Link};
use crate::log::error::StateError;
use crate::log::frame::{Entry, FRAME, Frame, KEPT_MAX, NO_SEGMENT, PAGE, SEGMENTS_AT, Superblock, Wanted};
use crate::log::storage::Storage;
use crate::log::superblocks::{self, not_a_log};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use writing::Writing;

/// A savepoint: it is kept as long as there is room.
const SAVEPOINT: u32 = 1;
/// The job had come to its end.
const FINISHED: u32 = 2;

/// How a log is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogOptions {
    /// Bytes of a segment, for a log that is made now.
    pub(crate) segment_bytes: u32,
    /// So many of the newest checkpoints are kept, beside savepoints.
    pub(crate) kept: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: 1 << 20, kept: 2 }
    }
}

/// A body in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BodyRef {
    pub(crate) epoch: u64,
    /// In the order of the stream.
    segments: Vec<u32>,
}

impl BodyRef {
    /// The number of segments that it takes.
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }
}

/// A committed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) epoch: u64,
    /// When it was committed, in nanoseconds since 1970.
    pub(crate) committed_ns: i64,
    pub(crate) is_savepoint: bool,
    pub(crate) is_finished: bool,
    /// What it builds on, the oldest first, and its own body last.
    pub(crate) bodies: Vec<BodyRef>,
    entry: Entry,
}

impl Kept {
    fn needs(&self) -> impl Iterator<Item = u32> {
        self.bodies.iter().flat_map(|body| &body.segments).copied()
    }
}

/// What is told of a checkpoint that is committed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sealing {
    pub(crate) is_savepoint: bool,
    pub(crate) is_finished: bool,
}

/// The snapshot log of one job.
pub(crate) struct SnapshotLog {
    storage: Box<dyn Storage>,
    path: PathBuf,
    options: LogOptions,
    superblock: Superblock,
    /// The newest last.
    kept: Vec<Kept>,
    free: BTreeSet<u32>,
    /// Segments that the file has.
    segments: u32,
    writing: Option<Writing>,
    /// Why nothing is committed any more.
    poison: Option<String>,
    /// What was found when it was opened and does not stop anything, in words.
    remarks: Vec<String>,
}

fn segment_at(number: u32, segment_bytes: u32) -> u64 {
    SEGMENTS_AT + u64::from(number) * u64::from(segment_bytes)
}

impl SnapshotLog {
    /// Opens a log, or makes one where there are no bytes. `file_id` is what a new one tells its segments by.
    ///
    /// # Errors
    /// When it cannot be read, is no log, or both its superblocks or a checkpoint are damaged. With `may_fall_back`
    /// checkpoints that are damaged are left out, as long as there is one that is not.
    pub(crate) fn open(
        mut storage: Box<dyn Storage>,
        path: &Path,
        options: LogOptions,
        file_id: u64,
        may_fall_back: bool,
    ) -> Result<Self, StateError> {
        let len = storage.len().map_err(StateError::io(path, "read the file"))?;
        let (superblock, remarks) = match superblocks::read(storage.as_mut(), path, len) {
            Ok((superblock, _)) if len < SEGMENTS_AT && superblock.commit > 0 => {
                let expected = format!("at least {SEGMENTS_AT} bytes");
                return Err(StateError::damaged((path, len), "the file's length", expected, len));
            }
            Ok(found) if len >= SEGMENTS_AT => found,
            // Both superblocks are there before anything is committed.
            _ if len <= SEGMENTS_AT => {
                let segment_bytes = options.segment_bytes;
                let superblock = Superblock { segment_bytes, file_id, commit: 0, sequence: 0, entries: Vec::new() };
                superblocks::create(storage.as_mut(), &superblock).map_err(StateError::io(path, "make the file"))?;
                (superblock, Vec::new())
            }
            Ok(found) => found,
            Err(error) => return Err(error),
        };
        let segment_bytes = u64::from(superblock.segment_bytes);
        let segments = u32::try_from((len.max(SEGMENTS_AT) - SEGMENTS_AT) / segment_bytes)
            .map_err(|_| not_a_log(path, "it is too long"))?;
        let mut log = Self {
            storage,
            path: path.to_owned(),
            options,
            superblock,
            kept: Vec::new(),
            free: BTreeSet::new(),
            segments,
            writing: None,
            poison: None,
            remarks,
        };
        log.find_kept(may_fall_back)?;
        log.find_free()?;
        Ok(log)
    }

    /// Finds the bodies of all checkpoints that the superblock names.
    fn find_kept(&mut self, may_fall_back: bool) -> Result<(), StateError> {
        let mut damage = None;
        for entry in self.superblock.entries.clone() {
            match self.bodies_of(&entry) {
                Ok(bodies) => self.kept.push(kept(entry, bodies)),
                Err(error) if may_fall_back => {
                    self.remarks.push(format!("checkpoint {} is left out: {error}", entry.epoch));
                    damage = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match damage {
            Some(error) if self.kept.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    /// The bodies of a checkpoint, the oldest first.
    fn bodies_of(&mut self, entry: &Entry) -> Result<Vec<BodyRef>, StateError> {
        let own = self.find_body(entry.epoch, entry.last_segment, entry.segments)?;
        let links = self.reader(&own).links()?;
        let mut bodies = Vec::new();
        for Link { epoch, last_segment, segments } in links {
            bodies.push(self.find_body(epoch, last_segment, segments)?);
        }
        bodies.push(own);
        Ok(bodies)
    }

    /// Follows a body's segments from the last to the first.
    fn find_body(&mut self, epoch: u64, last: u32, count: u32) -> Result<BodyRef, StateError> {
        if count == 0 || count > self.segments {
            let expected = format!("1 to {}", self.segments);
            return Err(StateError::damaged((&self.path, 0), "the segments of a checkpoint", expected, count));
        }
        let mut segments = Vec::new();
        let mut next = last;
        for position in (0..count).rev() {
            let frame = self.frame(next, epoch, position)?;
            segments.push(next);
            next = frame.before;
        }
        if next != NO_SEGMENT {
            let at = segment_at(segments[segments.len() - 1], self.superblock.segment_bytes);
            return Err(StateError::damaged((&self.path, at), "the segment before the first", "none", next));
        }
        segments.reverse();
        Ok(BodyRef { epoch, segments })
    }

    fn frame(&mut self, number: u32, epoch: u64, position: u32) -> Result<Frame, StateError> {
        let segment_bytes = self.superblock.segment_bytes;
        let at = segment_at(number, segment_bytes);
        if number >= self.segments {
            let expected = format!("below {}", self.segments);
            return Err(StateError::damaged((&self.path, 0), "the number of a segment", expected, number));
        }
        let mut bytes = [0; FRAME];
        self.storage.read(at, &mut bytes).map_err(StateError::io(&self.path, "read a segment"))?;
        let wanted = Wanted { file_id: self.superblock.file_id, epoch, number, position };
        Frame::read((&self.path, at), &bytes, wanted, segment_bytes)
    }

    /// Finds the segments that no checkpoint needs, and how many of them were written for one that was not committed.
    fn find_free(&mut self) -> Result<(), StateError> {
        self.free_unused();
        let mut uncommitted = 0;
        for number in &self.free {
            let mut bytes = [0; FRAME];
            let at = segment_at(*number, self.superblock.segment_bytes);
            self.storage.read(at, &mut bytes).map_err(StateError::io(&self.path, "read a segment"))?;
            let frame = Frame::sound(&bytes).filter(|frame| frame.file_id == self.superblock.file_id);
            uncommitted += u32::from(frame.is_some_and(|frame| frame.sequence >= self.superblock.sequence));
        }
        if uncommitted > 0 {
            let word = if uncommitted == 1 { "segment" } else { "segments" };
            self.remarks.push(format!("{uncommitted} {word} of a checkpoint that was not committed are given up"));
        }
        Ok(())
    }

    /// Where the log is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The committed checkpoints, the newest last.
    pub(crate) fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// What was found when it was opened and does not stop anything, in words.
    pub(crate) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Bytes of a segment.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.superblock.segment_bytes.into()
    }

    /// Bytes that the file has, and those of them that no checkpoint needs.
    pub(crate) fn disk_bytes(&self) -> (u64, u64) {
        let bytes = u64::from(self.superblock.segment_bytes);
        (segment_at(self.segments, self.superblock.segment_bytes), self.free.len() as u64 * bytes)
    }

    /// The content of a body.
    pub(crate) fn reader<'a>(&'a mut self, body: &'a BodyRef) -> BodyReader<'a> {
        BodyReader::new(self, body)
    }

    /// The payload of a segment of a body, checked, and where it lies.
    pub(super) fn payload(&mut self, body: &BodyRef, position: usize, into: &mut Vec<u8>) -> Result<u64, StateError> {
        let number = body.segments[position];
        let frame = self.frame(number, body.epoch, position as u32)?;
        let at = segment_at(number, self.superblock.segment_bytes) + FRAME as u64;
        into.resize(frame.used as usize, 0);
        self.storage.read(at, into).map_err(StateError::io(&self.path, "read a segment"))?;
        frame.check((&self.path, at), into)?;
        Ok(at)
    }

    fn check_poison(&self) -> Result<(), StateError> {
        match &self.poison {
            Some(reason) => Err(StateError::Poisoned { path: self.path.clone(), reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Nothing is committed after this.
    fn poison(&mut self, action: &'static str, source: std::io::Error) -> StateError {
        self.poison = Some(format!("cannot {action}: {source}"));
        StateError::io(&self.path, action)(source)
    }

    /// Commits the body that was begun.
    ///
    /// # Errors
    /// When it could not be made durable. If that is not known for certain, nothing is committed any more.
    pub(crate) fn seal(&mut self, sealing: Sealing) -> Result<(), StateError> {
        self.check_poison()?;
        self.end_segment()?;
        let Some(writing) = self.writing.take() else { return Ok(()) };
        self.sync("make a checkpoint durable")?;
        let own = BodyRef { epoch: writing.epoch, segments: writing.segments };
        let entry = Entry {
            epoch: own.epoch,
            committed_ns: UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as i64),
            last_segment: own.segments.last().copied().unwrap_or(NO_SEGMENT),
            segments: own.segments.len() as u32,
            flags: if sealing.is_savepoint { SAVEPOINT } else { 0 } | if sealing.is_finished { FINISHED } else { 0 },
            zero: 0,
        };
        let bodies = writing.builds_on.into_iter().chain([own]).collect();
        let mut all = self.kept.clone();
        all.push(kept(entry, bodies));
        self.commit(self.still_kept(all))
    }

    /// Of these checkpoints, the newest last, those that are still kept: as many of the newest as the options say, and
    /// savepoints as long as there is room.
    fn still_kept(&self, all: Vec<Kept>) -> Vec<Kept> {
        let plain = all.iter().filter(|kept| !kept.is_savepoint).count();
        let mut surplus = plain.saturating_sub(self.options.kept.clamp(1, KEPT_MAX - 1));
        let mut kept: Vec<_> = all
            .into_iter()
            .filter(|kept| {
                let is_dropped = !kept.is_savepoint && surplus > 0;
                surplus -= usize::from(is_dropped);
                !is_dropped
            })
            .collect();
        let over = kept.len().saturating_sub(KEPT_MAX);
        kept.drain(..over);
        kept
    }

    fn commit(&mut self, kept: Vec<Kept>) -> Result<(), StateError> {
        self.superblock.commit += 1;
        self.superblock.entries = kept.iter().map(|kept| kept.entry).collect();
        for number in 0..2 {
            let page = self.superblock.page(number);
            if let Err(error) = self.storage.write(u64::from(number) * PAGE as u64, &page) {
                return Err(self.poison("write a superblock", error));
            }
            self.sync("make a superblock durable")?;
        }
        self.kept = kept;
        self.free_unused();
        Ok(())
    }

    /// All segments that no kept checkpoint needs are free.
    fn free_unused(&mut self) {
        let used: BTreeSet<u32> = self.kept.iter().flat_map(Kept::needs).collect();
        self.free = (0..self.segments).filter(|number| !used.contains(number)).collect();
    }

    fn sync(&mut self, action: &'static str) -> Result<(), StateError> {
        self.storage.sync().map_err(|error| self.poison(action, error))
    }
}

fn kept(entry: Entry, bodies: Vec<BodyRef>) -> Kept {
    Kept {
        epoch: entry.epoch,
        committed_ns: entry.committed_ns,
        is_savepoint: entry.flags & SAVEPOINT != 0,
        is_finished: entry.flags & FINISHED != 0,
        bodies,
        entry,
    }
}
