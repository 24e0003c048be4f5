//! Reads the content of a body, segment by segment, each checked before anything of it is used.

use crate::log::error::StateError;
use crate::log::snapshots::{BodyRef, SnapshotLog};

/// The most bodies that a checkpoint builds on.
const LINKS_MAX: u32 = 1 << 12;

/// A body that another builds on.
pub(super) struct Link {
    pub(super) epoch: u64,
    pub(super) last_segment: u32,
    pub(super) segments: u32,
}

/// Reads a body from its beginning.
pub(crate) struct BodyReader<'a> {
    log: &'a mut SnapshotLog,
    body: &'a BodyRef,
    /// The next segment.
    next: usize,
    buffer: Vec<u8>,
    taken: usize,
    at: u64,
}

impl<'a> BodyReader<'a> {
    pub(super) const fn new(log: &'a mut SnapshotLog, body: &'a BodyRef) -> Self {
        Self { log, body, next: 0, buffer: Vec::new(), taken: 0, at: 0 }
    }

    /// Whether nothing is left.
    ///
    /// # Errors
    /// When a segment is damaged.
    pub(crate) fn is_at_end(&mut self) -> Result<bool, StateError> {
        while self.taken == self.buffer.len() && self.next < self.body.segments() {
            self.at = self.log.payload(self.body, self.next, &mut self.buffer)?;
            self.next += 1;
            self.taken = 0;
        }
        Ok(self.taken == self.buffer.len())
    }

    /// The next bytes, `count` of them, for which room is made only as far as there are any.
    ///
    /// # Errors
    /// When a segment is damaged, or the body ends before.
    pub(crate) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, StateError> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < count {
            let left = count - bytes.len() as u64;
            if self.is_at_end()? {
                return Err(self.damaged("the end of a checkpoint", format!("{left} more bytes"), "none"));
            }
            let there = &self.buffer[self.taken..];
            let taken = usize::try_from(left).map_or(there.len(), |left| left.min(there.len()));
            bytes.extend_from_slice(&there[..taken]);
            self.taken += taken;
        }
        Ok(bytes)
    }

    /// The next number.
    ///
    /// # Errors
    /// As for [`BodyReader::bytes`].
    pub(crate) fn u32(&mut self) -> Result<u32, StateError> {
        Ok(bytemuck::pod_read_unaligned(&self.bytes(4)?))
    }

    /// The next number.
    ///
    /// # Errors
    /// As for [`BodyReader::bytes`].
    pub(crate) fn u64(&mut self) -> Result<u64, StateError> {
        Ok(bytemuck::pod_read_unaligned(&self.bytes(8)?))
    }

    /// What the body builds on, which stands at its beginning.
    ///
    /// # Errors
    /// As for [`BodyReader::bytes`].
    pub(super) fn links(&mut self) -> Result<Vec<Link>, StateError> {
        let count = self.u32()?;
        if count > LINKS_MAX {
            let expected = format!("at most {LINKS_MAX}");
            return Err(self.damaged("how many bodies a checkpoint builds on", expected, count));
        }
        // None twice, so reading them all takes no longer than reading the file.
        let mut links: Vec<Link> = Vec::new();
        for _ in 0..count {
            let link = Link { epoch: self.u64()?, last_segment: self.u32()?, segments: self.u32()? };
            let is_behind = links.last().is_none_or(|before| before.epoch < link.epoch);
            if !is_behind || link.epoch >= self.body.epoch {
                let expected = format!("older ones than {}, the oldest first", self.body.epoch);
                return Err(self.damaged("a checkpoint that another builds on", expected, link.epoch));
            }
            links.push(link);
        }
        Ok(links)
    }

    /// Goes to what was written to the body, behind what it builds on.
    ///
    /// # Errors
    /// As for [`BodyReader::bytes`].
    pub(crate) fn skip_links(&mut self) -> Result<(), StateError> {
        self.links().map(drop)
    }

    /// An error at the place that is read.
    pub(crate) fn damaged(&self, what: &'static str, expected: impl ToString, found: impl ToString) -> StateError {
        StateError::damaged((self.log.path(), self.at + self.taken as u64), what, expected, found)
    }
}
