//! What the fuzz targets run. Each function takes an input, reads it as edits of something sound, and panics where
//! something does not hold. Those of saved state are in the engine, `pelton::testing::fuzz`.

pub mod capture;
pub mod packed;
pub mod parsers;
pub mod text;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Fails behind five bytes.
///
/// # Panics
/// When an input begins with them, which is what it is for.
pub fn canary(input: &[u8]) {
    // One comparison at a time, as a parser would meet them.
    let is_found = b"plant".iter().enumerate().all(|(at, byte)| input.get(at) == Some(byte));
    assert!(!is_found, "the canary was found");
}

/// A file that is written again for each input, in memory where the system has such a place.
pub struct Scratch {
    file: File,
    named: NamedTempFile,
}

impl Scratch {
    /// An empty file, whose name ends so.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(suffix: &str) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let made = tempfile::Builder::new().prefix("pelton-fuzz-").suffix(suffix).tempfile_in(directory);
        let named = made.expect("a temporary file can be made");
        let file = named.reopen().expect("a temporary file can be opened");
        Self { file, named }
    }

    /// Makes these bytes the file's; where it is.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write(&self, bytes: &[u8]) -> &Path {
        self.file.set_len(bytes.len() as u64).expect("a temporary file can be cut");
        self.file.write_all_at(bytes, 0).expect("a temporary file can be written");
        self.named.path()
    }
}
