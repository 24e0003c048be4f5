//! The mapped file: the only unsafe code of captures.
#![allow(unsafe_code)]

use memmap2::{Advice, Mmap, MmapOptions};
use std::fs::File;
use std::io;

/// A file's first bytes, mapped for reading.
pub(super) struct Mapping(Mmap);

impl Mapping {
    /// Maps `bytes` bytes of `file`, which must have that many.
    pub(super) fn of(file: &File, bytes: u64) -> io::Result<Self> {
        let found = file.metadata()?.len();
        if found < bytes {
            let text = format!("the file was cut from {bytes} to {found} bytes while it was open");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        // SAFETY: the mapping is read-only and private to this type. That nobody cuts or changes the
        // file while it is mapped is the documented condition of replaying a capture from its
        // mapping; `Replay::untrusted` is for files of which that cannot be said.
        // Test: `capture::tests::untrusted_and_mapped_replays_give_the_same_events`.
        let map = unsafe { MmapOptions::new().len(bytes as usize).map(file)? };
        // Advice is a hint: without it the replay is slower and as right. With huge pages Linux brings
        // in 2 MiB at a time and maps them by one fault, where those of the file are in memory as such;
        // after advice of sequential reading alone it keeps and maps small pieces.
        if map.advise(Advice::HugePage).is_err() {
            let _ = map.advise(Advice::Sequential);
        }
        Ok(Self(map))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
