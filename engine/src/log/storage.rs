//! Where the bytes of a snapshot log are: the seam at which tests let disks tear, fill up and fail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// One growing array of bytes that survives the process.
///
/// What was written may be durable at any time, in part and in any order; it is durable for certain once a
/// [`Storage::sync`] that came after it has returned without an error.
///
/// ```
/// use pelton::state::{FileStorage, Storage};
///
/// let mut storage = FileStorage::new(tempfile::tempfile()?);
/// storage.grow(8)?;
/// storage.write(2, b"state")?;
/// storage.sync()?;
/// let mut found = [0; 8];
/// storage.read(0, &mut found)?;
/// assert_eq!(&found, b"\0\0state\0");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Storage: Send {
    /// The number of bytes.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn len(&mut self) -> io::Result<u64>;

    /// Whether there are no bytes.
    ///
    /// # Errors
    /// As for [`Storage::len`].
    fn is_empty(&mut self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads all of `into` from `offset` on.
    ///
    /// # Errors
    /// When there are fewer bytes, or they cannot be read.
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` from `offset` on, within the length.
    ///
    /// # Errors
    /// When they cannot be written; then some of them may have been.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes it `len` bytes long, which is more than before. The new bytes are zeros, and there is room for them:
    /// writing to them does not fail for want of room.
    ///
    /// # Errors
    /// When there is no room; then the length is as it was, or between.
    fn grow(&mut self, len: u64) -> io::Result<()>;

    /// Makes durable what was written and how long it is.
    ///
    /// # Errors
    /// When that is not known for certain. It is not tried again.
    fn sync(&mut self) -> io::Result<()>;
}

/// Bytes of zeros that are written at once.
const ZEROS: usize = 1 << 16;

/// Fills a file up to `len` bytes: blocks that were written have room, those of a hole do not.
pub(super) fn fill(file: &File, len: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS];
    let mut at = file.metadata()?.len();
    while at < len {
        let count = usize::try_from(len - at).map_or(ZEROS, |left| left.min(ZEROS));
        file.write_all_at(&zeros[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

/// A file that is read and written by system calls.
#[derive(Debug)]
pub struct FileStorage(File);

impl FileStorage {
    /// Storage in a file that is open for reading and writing.
    pub const fn new(file: File) -> Self {
        Self(file)
    }
}

impl Storage for FileStorage {
    fn len(&mut self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn grow(&mut self, len: u64) -> io::Result<()> {
        fill(&self.0, len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}
