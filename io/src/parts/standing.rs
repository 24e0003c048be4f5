//! Where a file stood at a checkpoint.
//!
//! ```text
//! byte 0   inode (64 bits)
//!      8   committed length (64 bits)
//!     16   checksum of the last bytes that were committed, at most 4096 (32 bits)
//! ```

use crate::disk::{DiskFile, Look};
use pelton::BoxError;
use std::io;
use std::path::Path;

/// Bytes before the committed length that a checkpoint has a checksum of.
const TAIL: u64 = 4096;

/// Where a file stood at a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) inode: u64,
    pub(crate) len: u64,
    checksum: u32,
}

impl Standing {
    /// Bytes of it.
    pub(crate) const BYTES: usize = 20;

    /// Where a file stands, all that was written so far. `None` for what is no regular file: it cannot be taken back.
    pub(crate) fn of(file: &dyn DiskFile) -> io::Result<Option<Self>> {
        let Look { inode, len, is_regular } = file.look()?;
        Ok(if is_regular { Some(Self { inode, len, checksum: tail(file, len)? }) } else { None })
    }

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.inode.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.len.to_le_bytes());
        bytes[16..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let checksum = u32::from_le_bytes(bytes[16..].try_into().unwrap_or_default());
        Self { inode: number(0), len: number(8), checksum }
    }

    /// Holds a file against where it stood; it may have grown since.
    pub(crate) fn check(&self, file: &dyn DiskFile, path: &Path) -> Result<(), BoxError> {
        let refused = |action| move |source| crate::sink::SinkError { path: path.to_owned(), action, source };
        let Look { inode, len, is_regular } = file.look().map_err(refused("look at the file"))?;
        let path = path.display();
        if !is_regular || inode != self.inode {
            let expected = self.inode;
            return Err(format!(
                "{path}: this is not the file that the job wrote to: expected inode {expected}, found {inode}"
            )
            .into());
        }
        if len < self.len {
            return Err(format!("{path}: {} bytes were committed, and only {len} are there", self.len).into());
        }
        let checksum = tail(file, self.len).map_err(refused("read the file"))?;
        if checksum != self.checksum {
            let (end, expected) = (self.len, self.checksum);
            return Err(format!(
                "{path}: what was committed up to byte {end} has been changed: expected checksum {expected:08x}, found \
                 {checksum:08x}"
            )
            .into());
        }
        Ok(())
    }

    /// Cuts a file to what was committed.
    pub(crate) fn take_back(&self, file: &dyn DiskFile, path: &Path) -> Result<(), BoxError> {
        self.check(file, path)?;
        let refused = |source| crate::sink::SinkError { path: path.to_owned(), action: "cut the file", source };
        Ok(file.cut(self.len).map_err(refused)?)
    }
}

/// A checksum of the last bytes before `len`.
fn tail(file: &dyn DiskFile, len: u64) -> io::Result<u32> {
    let count = len.min(TAIL);
    let mut bytes = vec![0; count as usize];
    file.read(&mut bytes, len - count)?;
    Ok(crc32fast::hash(&bytes))
}
