//! Reads the content of a body, segment by segment, each checked before anything of it is used.

use crate::log::error::StateError;
use crate::log::snapshots::{BodyRef, SnapshotLog};

/// Where the content of a segment lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload {
    pub(super) at: u64,
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
            let payload = self.log.payload(self.body, self.next, &mut self.buffer)?;
            self.next += 1;
            self.taken = 0;
            self.at = payload.at;
        }
        Ok(self.taken == self.buffer.len())
    }

    /// Fills `into`.
    ///
    /// # Errors
    /// When a segment is damaged, or the body ends before.
    pub(crate) fn read(&mut self, mut into: &mut [u8]) -> Result<(), StateError> {
        while !into.is_empty() {
            if self.is_at_end()? {
                return Err(self.damaged("the end of a checkpoint", format!("{} more bytes", into.len()), "none"));
            }
            let count = into.len().min(self.buffer.len() - self.taken);
            into[..count].copy_from_slice(&self.buffer[self.taken..self.taken + count]);
            self.taken += count;
            into = &mut into[count..];
        }
        Ok(())
    }

    /// The next bytes, `count` of them, taken up only as far as there are any.
    ///
    /// # Errors
    /// As for [`BodyReader::read`].
    pub(crate) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, StateError> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < count {
            if self.is_at_end()? {
                let expected = format!("{} more bytes", count - bytes.len() as u64);
                return Err(self.damaged("the end of a checkpoint", expected, "none"));
            }
            let wanted = usize::try_from(count - bytes.len() as u64).unwrap_or(usize::MAX);
            let taken = wanted.min(self.buffer.len() - self.taken);
            bytes.extend_from_slice(&self.buffer[self.taken..self.taken + taken]);
            self.taken += taken;
        }
        Ok(bytes)
    }

    /// The next number.
    ///
    /// # Errors
    /// As for [`BodyReader::read`].
    pub(crate) fn u32(&mut self) -> Result<u32, StateError> {
        let mut bytes = [0; 4];
        self.read(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// The next number.
    ///
    /// # Errors
    /// As for [`BodyReader::read`].
    pub(crate) fn u64(&mut self) -> Result<u64, StateError> {
        let mut bytes = [0; 8];
        self.read(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// An error at the place that is read.
    pub(crate) fn damaged(&self, what: &'static str, expected: impl ToString, found: impl ToString) -> StateError {
        StateError::damaged((self.log.path(), self.at + self.taken as u64), what, expected, found)
    }
}
