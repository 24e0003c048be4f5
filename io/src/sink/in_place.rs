//! A file that rows are written to in place, and that can be taken back to where it stood at a checkpoint.
//!
//! ```text
//! position of a checkpoint, little-endian
//! byte 0   inode (64 bits)
//!      8   committed length (64 bits)
//!     16   checksum of the last bytes that were committed, at most 4096 (32 bits)
//!     20   the path as it was given
//! ```

use crate::output::sync_name;
use pelton::{BoxError, SinkCheckpoint};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes before the committed length that a checkpoint has a checksum of.
const TAIL: u64 = 4096;
/// Bytes of a position before the path.
const HEAD: usize = 20;

/// A file that is written in place.
#[derive(Debug)]
pub(super) struct InPlace {
    path: PathBuf,
    file: File,
    /// Whether what is in the file stays when writing begins.
    keeps: bool,
    /// Whether the directory knows the file for certain.
    is_named: bool,
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> BoxError {
    move |source| super::SinkError { path: path.to_owned(), action, source }.into()
}

impl InPlace {
    /// Opens the file, or makes it, and leaves what is in it until writing begins.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // What is no regular file, such as a pipe, is only written to.
        let is_other = std::fs::metadata(path).is_ok_and(|found| !found.is_file());
        let file = OpenOptions::new().read(!is_other).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { path: path.to_owned(), file, keeps: false, is_named: false })
    }

    /// Begins to write: behind what was committed where the file was taken back, otherwise to an empty file.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.keeps, true) && self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        Ok(())
    }

    /// Bytes that are in the file before writing begins.
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether what is in the file stays when writing begins.
    pub(super) const fn keeps(&self) -> bool {
        self.keeps
    }

    /// Where the file stands, all that was written so far. `None` for what is no regular file: it cannot be taken back.
    pub(super) fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        let found = self.file.metadata().map_err(io_error(&self.path, "look at the file"))?;
        if !found.is_file() {
            return Ok(None);
        }
        let checksum = tail(&self.file, found.len()).map_err(io_error(&self.path, "read the file"))?;
        let mut position = found.ino().to_le_bytes().to_vec();
        position.extend_from_slice(&found.len().to_le_bytes());
        position.extend_from_slice(&checksum.to_le_bytes());
        position.extend_from_slice(self.path.as_os_str().as_encoded_bytes());
        let (file, path) = (self.file.try_clone().map_err(io_error(&self.path, "open the file"))?, self.path.clone());
        let names = !std::mem::replace(&mut self.is_named, true);
        Ok(Some(SinkCheckpoint::new(position).sync(move || {
            file.sync_all().map_err(io_error(&path, "make the rows durable"))?;
            if names {
                sync_name(&path).map_err(io_error(&path, "make the file's name durable"))?;
            }
            Ok(())
        })))
    }

    /// Takes the file back to where it stood at a checkpoint.
    pub(super) fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        let Some((head, was)) = position.split_at_checked(HEAD) else {
            return Err(format!("{}: its saved position has {} bytes", self.path.display(), position.len()).into());
        };
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap_or_default());
        let (inode, len) = (number(0), number(8));
        let checksum = u32::from_le_bytes(head[16..].try_into().unwrap_or_default());
        let path = self.path.display();
        let found = self.file.metadata().map_err(io_error(&self.path, "look at the file"))?;
        if !found.is_file() || found.ino() != inode {
            let was = String::from_utf8_lossy(was);
            return Err(format!("{path}: this is not the file that the job wrote to as {was}").into());
        }
        if found.len() < len {
            let found = found.len();
            return Err(format!("{path}: {len} bytes were committed, and only {found} are there").into());
        }
        if tail(&self.file, len).map_err(io_error(&self.path, "read the file"))? != checksum {
            return Err(format!("{path}: what was committed up to byte {len} has been changed").into());
        }
        self.file.set_len(len).map_err(io_error(&self.path, "cut the file"))?;
        self.file.seek(SeekFrom::Start(len)).map_err(io_error(&self.path, "cut the file"))?;
        self.keeps = true;
        Ok(())
    }
}

/// A checksum of the last bytes before `len`.
fn tail(file: &File, len: u64) -> io::Result<u32> {
    let count = len.min(TAIL);
    let mut bytes = vec![0; count as usize];
    file.read_exact_at(&mut bytes, len - count)?;
    Ok(crc32fast::hash(&bytes))
}

impl Write for InPlace {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
