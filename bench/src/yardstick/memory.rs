//! Memory of zeros for large tables, in huge pages where the system has some.

use bytemuck::Pod;
use memmap2::MmapMut;
use std::io;
use std::marker::PhantomData;

/// Smaller memory gains nothing by huge pages, in bytes.
const HUGE_MIN: usize = 2 << 20;

/// So many values, all of them zeros at first.
pub(super) struct Zeroed<T> {
    map: MmapMut,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Pod> Zeroed<T> {
    pub(super) fn new(len: usize) -> io::Result<Self> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let map = MmapMut::map_anon(bytes.max(1))?;
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_MIN {
            // Where the system refuses, small pages do.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Self { map, len, values: PhantomData })
    }

    #[inline(always)]
    pub(super) fn values(&mut self) -> &mut [T] {
        let bytes = self.len * size_of::<T>();
        // Pages are aligned for any value.
        bytemuck::cast_slice_mut(&mut self.map[..bytes])
    }
}
