//! Where sinks keep files that get their names when they are whole: the operating system's, or a test's that fails.
//!
//! ```
//! use pelton_io::disk::{Disk, OsDisk};
//!
//! # let dir = tempfile::tempdir()?;
//! # let at = |name: &str| dir.path().join(name);
//! let file = OsDisk.create(&at("hidden"))?;
//! assert_eq!(file.append(b"rows")?, 4);
//! file.sync()?;
//! OsDisk.rename(&at("hidden"), &at("named"), false)?;
//! OsDisk.sync_names(dir.path())?;
//! assert_eq!(OsDisk.names(dir.path())?, ["named"]);
//! # Ok::<(), std::io::Error>(())
//! ```

use crate::output::{rename_to_new, sync_directory};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

/// Files in directories. What is written and named is durable when it was synced, and not before.
pub trait Disk: Send + Sync + 'static {
    /// Makes a file of a name that is free.
    ///
    /// # Errors
    /// When the name is not free, or the system refuses.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file to read it and to append to it.
    ///
    /// # Errors
    /// When there is none, or the system refuses.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, of which there may be another file if it is replaced.
    ///
    /// # Errors
    /// When there is a file of the new name and it is not replaced, or the system refuses.
    fn rename(&self, from: &Path, to: &Path, replaces: bool) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// When there is none, or the system refuses.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in any order.
    ///
    /// # Errors
    /// When it cannot be read.
    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// When the device refuses.
    fn sync_names(&self, directory: &Path) -> io::Result<()>;
}

/// An open file. Several may use it at once.
pub trait DiskFile: Send + Sync + 'static {
    /// Appends bytes from the front of these, and says how many.
    ///
    /// # Errors
    /// When the device refuses, such as on a full disk.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Reads as many bytes as there is room for, from byte `at` on.
    ///
    /// # Errors
    /// When there are fewer, or the device refuses.
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    /// What file it is.
    ///
    /// # Errors
    /// When the system refuses.
    fn look(&self) -> io::Result<Look>;

    /// Removes what lies from byte `len` on.
    ///
    /// # Errors
    /// When the device refuses.
    fn cut(&self, len: u64) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// When the device refuses; what was written since the last time may then be lost.
    fn sync(&self) -> io::Result<()>;
}

/// What file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The file's number, which stays when it gets another name.
    pub inode: u64,
    /// Bytes in it.
    pub len: u64,
    /// Whether it is a regular file, and no pipe, device or directory.
    pub is_regular: bool,
}

/// The files of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).append(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).append(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path, replaces: bool) -> io::Result<()> {
        if replaces { fs::rename(from, to) } else { rename_to_new(from, to) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn sync_names(&self, directory: &Path) -> io::Result<()> {
        sync_directory(directory)
    }
}

impl DiskFile for File {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self;
        file.write(bytes)
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(bytes, at)
    }

    fn look(&self) -> io::Result<Look> {
        let found = self.metadata()?;
        Ok(Look { inode: found.ino(), len: found.len(), is_regular: found.is_file() })
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}
