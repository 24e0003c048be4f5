//! A file that is written through a mapping.

use crate::log::storage::{Storage, fill};
use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A part of the file that is mapped in one piece.
struct Extent {
    offset: u64,
    mapping: MmapRaw,
    is_dirty: bool,
}

/// A file that is read by system calls and written through a mapping. It grows by writing zeros, so that a full disk is
/// an error and the pages that are mapped exist.
///
/// Before a sync, all pages leave the mapping at once. The system would otherwise protect page by page what it writes to
/// the disk, and interrupt all threads of the process for each: a worker lost 15 % of its time to it.
pub(crate) struct MappedStorage {
    file: File,
    extents: Vec<Extent>,
    has_grown: bool,
}

impl MappedStorage {
    /// Storage in a file that is open for reading and writing.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let mut storage = Self { file, extents: Vec::new(), has_grown: false };
        storage.map(0, len)?;
        Ok(storage)
    }

    /// Maps the bytes between, which exist.
    fn map(&mut self, offset: u64, end: u64) -> io::Result<()> {
        if offset == end {
            return Ok(());
        }
        let len = usize::try_from(end - offset).map_err(io::Error::other)?;
        let mapping = MmapOptions::new().offset(offset).len(len).map_raw(&self.file)?;
        self.extents.push(Extent { offset, mapping, is_dirty: false });
        Ok(())
    }

    fn mapped(&self) -> u64 {
        self.extents.last().map_or(0, |extent| extent.offset + extent.mapping.len() as u64)
    }
}

impl Storage for MappedStorage {
    fn len(&mut self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    #[allow(unsafe_code)]
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut at, mut left) = (offset, bytes);
        while !left.is_empty() {
            let after = self.extents.partition_point(|extent| extent.offset <= at);
            let found = after.checked_sub(1).and_then(|index| {
                let extent = &mut self.extents[index];
                let within = usize::try_from(at - extent.offset).ok()?;
                (within < extent.mapping.len()).then_some((extent, within))
            });
            let Some((extent, within)) = found else { return Err(io::ErrorKind::UnexpectedEof.into()) };
            let count = left.len().min(extent.mapping.len() - within);
            extent.is_dirty = true;
            // SAFETY: `within + count` is at most the length of the mapping, whose pages exist in the file: it was filled
            // before it was mapped, and the directory's lock keeps other processes of ours from cutting it. No reference
            // to mapped memory exists anywhere, and this is the only thread that has the mapping. `left` is memory of the
            // caller's, which the mapping does not overlap.
            unsafe {
                std::ptr::copy_nonoverlapping(left.as_ptr(), extent.mapping.as_mut_ptr().add(within), count);
            }
            at += count as u64;
            left = &left[count..];
        }
        Ok(())
    }

    fn grow(&mut self, len: u64) -> io::Result<()> {
        self.has_grown = true;
        fill(&self.file, len)?;
        let mapped = self.mapped();
        self.map(mapped, len)
    }

    #[allow(unsafe_code)]
    fn sync(&mut self) -> io::Result<()> {
        for extent in self.extents.iter_mut().filter(|extent| extent.is_dirty) {
            // SAFETY: the mapping is shared and of a file, so what was written stays in the system's pages of that file, and
            // is there again when the mapping is used next. No reference to mapped memory exists anywhere.
            unsafe { extent.mapping.unchecked_advise(UncheckedAdvice::DontNeed)? };
            extent.is_dirty = false;
        }
        if std::mem::take(&mut self.has_grown) { self.file.sync_all() } else { self.file.sync_data() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever is written and grown, the file has what a vector has.
        #[test]
        fn it_holds_what_was_written(
            steps in prop::collection::vec((0u64..40_000, prop::collection::vec(any::<u8>(), 0..9_000), any::<bool>()), 1..12)
        ) {
            let file = tempfile::tempfile().unwrap();
            let mut storage = MappedStorage::new(file.try_clone().unwrap()).unwrap();
            let mut expected: Vec<u8> = Vec::new();
            for (offset, bytes, grows) in steps {
                let end = offset + bytes.len() as u64;
                if grows && end > expected.len() as u64 {
                    // Mappings begin where pages do.
                    let len = end.next_multiple_of(4096);
                    storage.grow(len).unwrap();
                    expected.resize(len as usize, 0);
                }
                let fits = end <= expected.len() as u64;
                prop_assert_eq!(storage.write(offset, &bytes).is_ok(), fits || bytes.is_empty());
                if fits {
                    expected[offset as usize..end as usize].copy_from_slice(&bytes);
                } else {
                    // What fitted of it may have been written.
                    let mut found = vec![0; expected.len()];
                    storage.read(0, &mut found).unwrap();
                    expected = found;
                }
                storage.sync().unwrap();
            }
            prop_assert_eq!(storage.len().unwrap(), expected.len() as u64);
            let mut found = vec![0; expected.len()];
            storage.read(0, &mut found).unwrap();
            prop_assert_eq!(found, expected);
        }
    }
}
