//! The memory of a ring: columns of cells that two threads reach, each cell owned by one at a time.
//!
//! No method forms `&mut` over a cell, and none checks who owns it: that is the protocol's part.
//! Without loom a column is one zeroed allocation and access is a copy; under loom every cell is
//! checked by itself.

use crate::base::prefetch::{LINE, to_read, to_write};
use crate::base::sync::UnsafeCell;
use bytemuck::Pod;
#[cfg(not(loom))]
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// A column of plain values. Its cells start as zeros, so each holds a valid value at any time.
#[cfg(loom)]
pub(super) struct Column<T>(Box<[UnsafeCell<T>]>);

/// A column of plain values. Its cells start as zeros, so each holds a valid value at any time.
///
/// The first cell lies at a multiple of [`ALIGN`]: runs of cells then share no cache line with memory
/// of others, and no pair of lines that the processor fetches together.
#[cfg(not(loom))]
pub(super) struct Column<T> {
    words: Box<[UnsafeCell<u64>]>,
    /// Bytes before the first cell.
    offset: usize,
    len: usize,
    values: PhantomData<T>,
}

#[cfg(not(loom))]
const ALIGN: usize = 128;
/// How far ahead, in bytes of a column, lines are fetched to be written.
const AHEAD: usize = 512;
/// The same in elements: those of the narrowest column, which are times.
pub(super) const AHEAD_ELEMENTS: usize = AHEAD / 8;

impl<T: Pod> Column<T> {
    /// A column of `len` cells; a large one takes no memory until it is written.
    #[cfg(not(loom))]
    pub(super) fn zeroed(len: usize) -> Self {
        const { assert!(align_of::<T>() <= ALIGN) };
        let words: Box<[u64]> = bytemuck::allocation::zeroed_slice_box((len * size_of::<T>() + ALIGN).div_ceil(8));
        // SAFETY: the cell is transparent over `u64`, so it is the same allocation with the same
        // layout, owned once. Test: every test of the ring.
        let words = unsafe { Box::from_raw(Box::into_raw(words) as *mut [UnsafeCell<u64>]) };
        let offset = words.as_ptr().cast::<u8>().align_offset(ALIGN);
        assert!(offset < ALIGN, "bytes can be aligned to any power of two");
        Self { words, offset, len, values: PhantomData }
    }

    #[cfg(loom)]
    pub(super) fn zeroed(len: usize) -> Self {
        Self((0..len).map(|_| UnsafeCell::new(T::zeroed())).collect())
    }

    #[inline(always)]
    pub(super) fn cells(&self) -> Cells<'_, T> {
        #[cfg(loom)]
        return Cells(&self.0);
        // SAFETY: `len` values behind less than `ALIGN` bytes are in the words, aligned as `zeroed`
        // saw to, and any bytes are a value of a plain type. Access is through cells on both sides.
        // Test: every test of the ring.
        #[cfg(not(loom))]
        Cells(unsafe {
            let first = self.words.as_ptr().cast::<u8>().add(self.offset);
            std::slice::from_raw_parts(first.cast::<UnsafeCell<T>>(), self.len)
        })
    }
}

/// A column as its pointer and length, so that a loop over it keeps both in registers.
pub(super) struct Cells<'a, T>(&'a [UnsafeCell<T>]);

impl<T> Clone for Cells<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Cells<'_, T> {}

impl<'a, T: Pod> Cells<'a, T> {
    /// Writes one cell.
    ///
    /// # Safety
    /// `index` is in the column, and no other thread reaches that cell during the call.
    #[inline(always)]
    pub(super) unsafe fn write(self, index: usize, value: T) {
        debug_assert!(index < self.0.len());
        // SAFETY: the caller says that the index is inside.
        let cell = unsafe { self.0.get_unchecked(index) };
        cell.with_mut(|slot| {
            // SAFETY: the cell is live, aligned, and by the caller's word nobody else's now.
            unsafe { slot.write(value) }
        });
    }

    /// Begins to fetch the line that will be written [`AHEAD`] bytes after cell `index`, where that cell
    /// begins a line: it is likely in the reader's cache. `mask` is the column's length - 1.
    #[inline(always)]
    fn prefetch_ahead(self, index: usize, mask: usize) {
        let (cells_in_line, ahead) = (LINE / size_of::<T>().max(1), AHEAD / size_of::<T>().max(1));
        if cells_in_line > 1 && !index.is_multiple_of(cells_in_line) {
            return;
        }
        to_write(self.0.as_ptr().wrapping_add((index + ahead) & mask));
    }

    /// Writes one cell, and begins to fetch one to come where that one is free: it would be taken from
    /// the reader otherwise, who is about to read it.
    ///
    /// # Safety
    /// As for `write`.
    #[inline(always)]
    pub(super) unsafe fn write_ahead(self, index: usize, mask: usize, is_free_ahead: bool, value: T) {
        if is_free_ahead {
            self.prefetch_ahead(index, mask);
        }
        // SAFETY: as the caller says.
        unsafe { self.write(index, value) }
    }

    /// Begins to fetch cell `index`, to be read.
    #[inline(always)]
    pub(super) fn fetch(self, index: usize) {
        to_read(self.0.as_ptr().wrapping_add(index));
    }

    /// Writes `values` to the cells from `index` on.
    ///
    /// # Safety
    /// The cells are in the column, and no other thread reaches them during the call.
    #[inline(always)]
    pub(super) unsafe fn copy_in(self, index: usize, values: &[T]) {
        debug_assert!(index <= self.0.len() && values.len() <= self.0.len() - index);
        #[cfg(not(loom))]
        // SAFETY: the pointer comes from the whole column, whose cells are transparent over `T` and
        // may be written through a shared reference; the range is inside and nobody else's by the
        // caller's word, which includes any reader's slice, so `values` cannot overlap it.
        unsafe {
            let start = self.0.as_ptr().cast::<T>().cast_mut().add(index);
            std::ptr::copy_nonoverlapping(values.as_ptr(), start, values.len());
        }
        #[cfg(loom)]
        for (offset, &value) in values.iter().enumerate() {
            // SAFETY: as the caller says.
            unsafe { self.write(index + offset, value) }
        }
    }

    /// The values of `len` cells from `index` on.
    ///
    /// # Safety
    /// The cells are in the column, and no thread writes them during `'a`.
    #[cfg(not(loom))]
    #[inline(always)]
    pub(super) unsafe fn slice(self, index: usize, len: usize) -> &'a [T] {
        debug_assert!(index <= self.0.len() && len <= self.0.len() - index);
        // SAFETY: the range is inside one allocation and holds values; nobody writes it for `'a` by
        // the caller's word.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<T>().add(index), len) }
    }

    /// Copies `len` cells from `index` on to `out`, as far as loom is concerned a read of each.
    ///
    /// # Safety
    /// As for `slice`.
    #[cfg(loom)]
    pub(super) unsafe fn copy_out(self, index: usize, len: usize, out: &mut Vec<T>) {
        for cell in &self.0[index..index + len] {
            // SAFETY: the cell is live and holds a value; loom checks that nobody writes it.
            out.push(cell.with(|slot| unsafe { slot.read() }));
        }
    }
}

/// The cells of the control marks: each a position and a mark.
pub(super) struct MarkCells<M>(Box<[MarkCell<M>]>);

type MarkCell<M> = UnsafeCell<MaybeUninit<(usize, M)>>;

impl<M: Copy> MarkCells<M> {
    pub(super) fn new(len: usize) -> Self {
        Self((0..len).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect())
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes one cell.
    ///
    /// # Safety
    /// No other thread reaches that cell during the call.
    #[inline]
    pub(super) unsafe fn write(&self, index: usize, position: usize, mark: M) {
        self.0[index].with_mut(|slot| {
            // SAFETY: the cell is live, aligned, and by the caller's word nobody else's now.
            unsafe { slot.write(MaybeUninit::new((position, mark))) }
        });
    }

    /// Reads one cell.
    ///
    /// # Safety
    /// The cell was written, which happened before the call, and no thread writes it during the call.
    #[inline]
    pub(super) unsafe fn read(&self, index: usize) -> (usize, M) {
        self.0[index].with(|slot| {
            // SAFETY: the cell holds a mark and is not being written, by the caller's word.
            unsafe { slot.read().assume_init() }
        })
    }
}
