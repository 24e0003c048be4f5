//! A file that rows are written to in place, and that can be taken back to where it stood at a checkpoint.
//!
//! The position of a checkpoint is where the file stands, 20 bytes, and then its path as it was given.

use crate::output::sync_name;
use crate::parts::Standing;
use pelton::{BoxError, SinkCheckpoint};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

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
        let standing = Standing::of(&self.file).map_err(io_error(&self.path, "look at the file"))?;
        let Some(standing) = standing else { return Ok(None) };
        let mut position = standing.encode().to_vec();
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
        let Some((standing, was)) = position.split_first_chunk() else {
            return Err(format!("{}: its saved position has {} bytes", self.path.display(), position.len()).into());
        };
        let standing = Standing::decode(standing);
        let told = |error| format!("{error}; the job wrote to {}", String::from_utf8_lossy(was));
        standing.take_back(&self.file, &self.path).map_err(told)?;
        self.file.seek(SeekFrom::Start(standing.len)).map_err(io_error(&self.path, "cut the file"))?;
        self.keeps = true;
        Ok(())
    }
}

impl Write for InPlace {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
