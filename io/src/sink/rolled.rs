//! Lines of text that go through files, one after another.

use super::SinkError;
use crate::parts::{Parts, Rolling};
use pelton::{BoxError, SinkCheckpoint, Timestamp};
use std::io::{self, Write};
use std::path::PathBuf;

/// Text files that roll. What is gathered for the current one is in the sink's buffer.
pub(super) struct Rolled {
    pub(super) parts: Parts,
    /// What stands first in each file.
    pub(super) header: Vec<u8>,
    /// Bytes of the current file, with those that are gathered.
    bytes: u64,
}

impl Rolled {
    pub(super) fn new(rolling: &Rolling, extension: &str) -> Result<Self, SinkError> {
        let refused = |source| SinkError { path: rolling.path.clone(), action: "create files", source };
        let parts = Parts::rolling(rolling, extension).map_err(refused)?;
        Ok(Self { parts, header: Vec::new(), bytes: 0 })
    }

    /// Goes on to the next file where the next line belongs there; `buffer` is what was gathered.
    pub(super) fn make_room(&mut self, time: Timestamp, len: usize, buffer: &mut Vec<u8>) -> Result<(), SinkError> {
        let Some(roll) = self.parts.roll() else { return Ok(()) };
        let period = roll.period(time.as_nanos());
        let goes_on = match (self.parts.period(), roll.bytes_max()) {
            (None, _) => true,
            (Some(current), None) => period > current,
            // A file has at least one row.
            (Some(_), Some(max)) => self.bytes > self.header.len() as u64 && self.bytes + len as u64 > max,
        };
        if goes_on {
            self.write_all(buffer).map_err(|source| self.refused(source))?;
            buffer.clear();
            self.parts.seal()?;
            self.parts.start(period)?;
            buffer.extend_from_slice(&self.header);
            self.bytes = self.header.len() as u64;
        }
        self.bytes += len as u64;
        Ok(())
    }

    fn refused(&self, source: io::Error) -> SinkError {
        SinkError { path: self.path(), action: "write the rows", source }
    }

    /// The file that is written.
    pub(super) fn path(&self) -> PathBuf {
        self.parts.current_path()
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.parts.current() {
            Some(mut file) => file.write_all(bytes),
            None if bytes.is_empty() => Ok(()),
            None => Err(io::Error::other("no file is in progress")),
        }
    }

    pub(super) fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        Ok(Some(self.parts.checkpoint(&[])?))
    }

    pub(super) fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        self.parts.restore(position)?;
        if let Some(file) = self.parts.current() {
            self.bytes = file.file().look()?.len;
        }
        Ok(())
    }
}
