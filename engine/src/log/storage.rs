//! Where the bytes of a snapshot log or a journal are: the seam at which tests let disks tear, fill up and fail.

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::retry_on_intr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

    /// Gives back the room of bytes that nobody needs any more. They are zeros afterwards, or as they were; the length stays.
    /// What lies behind the end has no room to give back.
    ///
    /// # Errors
    /// Where that cannot be done, which is the default.
    fn discard(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        let _ = (offset, bytes);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The same bytes for another thread, which may sync or grow them while this one writes; `None` where only one can
    /// use them at a time.
    ///
    /// # Errors
    /// When the operating system refuses.
    fn another(&mut self) -> io::Result<Option<Box<dyn Storage>>> {
        Ok(None)
    }
}

/// Storage that is used in several places.
pub(crate) enum Handles {
    /// Each has a handle of its own.
    Own(Box<dyn Storage>),
    /// One waits for the other.
    Locked(Locked),
}

impl Handles {
    pub(crate) fn new(mut storage: Box<dyn Storage>) -> io::Result<Self> {
        match storage.another()? {
            Some(_) => Ok(Self::Own(storage)),
            None => Ok(Self::Locked(Locked(Arc::new(Mutex::new(storage))))),
        }
    }

    /// One more.
    pub(crate) fn another(&mut self) -> io::Result<Box<dyn Storage>> {
        match self {
            Self::Own(storage) => storage.another()?.ok_or_else(|| io::Error::other("it has no other handle any more")),
            Self::Locked(locked) => Ok(Box::new(locked.clone())),
        }
    }
}

/// Storage that one uses at a time.
#[derive(Clone)]
pub(crate) struct Locked(Arc<Mutex<Box<dyn Storage>>>);

impl Locked {
    fn storage(&self) -> MutexGuard<'_, Box<dyn Storage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Locked {
    fn len(&mut self) -> io::Result<u64> {
        self.storage().len()
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.storage().read(offset, into)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.storage().write(offset, bytes)
    }

    fn grow(&mut self, len: u64) -> io::Result<()> {
        self.storage().grow(len)
    }

    fn discard(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        self.storage().discard(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.storage().sync()
    }
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

    fn discard(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        // A hole in the file: what lies behind it stays where it is.
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(retry_on_intr(|| fallocate(&self.0, flags, offset, bytes))?)
    }

    fn sync(&mut self) -> io::Result<()> {
        // With all that is needed to read it again, which its length is.
        self.0.sync_data()
    }

    fn another(&mut self) -> io::Result<Option<Box<dyn Storage>>> {
        Ok(Some(Box::new(Self(self.0.try_clone()?))))
    }
}
