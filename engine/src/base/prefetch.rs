//! Asking the processor to fetch memory before it is used.
#![allow(unsafe_code)]

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// Begins to fetch the line at `address`, which need not be memory of ours, to be read.
#[inline(always)]
pub(crate) fn to_read<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads and writes nothing and cannot fault, whatever the address is.
    // Test: the address sanitizer's run of the unit tests.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Begins to fetch the line at `address`, which need not be memory of ours, to be written.
#[inline(always)]
pub(crate) fn to_write<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads and writes nothing and cannot fault, whatever the address is.
    // Test: the address sanitizer's run of the unit tests.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_ET0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// More bytes than this are not fetched ahead: they would drive the state out of the core's cache, and be driven
/// out themselves before their turn.
const FETCHED_MAX: usize = 256 << 10;

/// How far behind the rows at hand, in bytes, those lie that this worker reads next.
///
/// Whoever walks over rows first fetches as many bytes of the next ones: memory is busy while the worker
/// computes, and the next checksum finds its block in the cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead(usize);

impl Ahead {
    /// Nothing is known of what comes next.
    pub(crate) const NONE: Self = Self(0);

    /// From the rows at hand to others, of about as many bytes, at an address.
    pub(crate) fn from_rows<T>(rows: &[T], next: usize) -> Self {
        if size_of_val(rows) > FETCHED_MAX {
            return Self::NONE;
        }
        Self(next.wrapping_sub(rows.as_ptr().addr()))
    }

    /// Begins to fetch what lies so far behind `row`. Where nothing is known, a row of at most a line is asked for
    /// itself, which it costs less to do than to avoid; a longer one is not.
    #[inline(always)]
    pub(crate) fn fetch<T>(self, row: &T) {
        if size_of::<T>() > LINE && self.0 == 0 {
            return;
        }
        let next = std::ptr::from_ref(row).cast::<u8>().wrapping_add(self.0);
        for line in 0..size_of::<T>().div_ceil(LINE) {
            to_read(next.wrapping_add(line * LINE));
        }
    }
}
