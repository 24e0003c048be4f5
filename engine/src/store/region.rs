//! Memory for values of a fixed layout, all zeros at first, which grows in steps far apart.
//!
//! ```text
//! at most 64 KiB: on the heap, as large as asked for
//! beyond:         a mapping of 16 MiB, 4 GiB, ..: only the pages that were written take memory
//! ```
//! Values are moved when the step is left, which they are rarely: a growing table copies 64 KiB once,
//! and 16 MiB once if it becomes so large. From then on it lies in huge pages where the system has
//! them, so that values in random order do not cost a walk through page tables each.

use bytemuck::Pod;
use memmap2::{Advice, MmapMut, MmapOptions};

/// The most bytes on the heap.
const HEAP_BYTES_MAX: usize = 64 << 10;
/// How many times larger than the last step a mapping is.
const STEP: usize = 256;
/// Mappings from this size on ask for huge pages: smaller ones would waste most of the first.
const HUGE_BYTES_MIN: usize = HEAP_BYTES_MAX * STEP * STEP;

/// Zeroed values that grow at the end.
#[derive(Debug)]
pub(crate) struct Region<T> {
    memory: Memory<T>,
}

#[derive(Debug)]
enum Memory<T> {
    Heap(Vec<T>),
    /// The values are those at the front.
    Mapped(MmapMut, usize),
}

impl<T: Pod> Region<T> {
    pub(crate) const fn new() -> Self {
        Self { memory: Memory::Heap(Vec::new()) }
    }

    /// The values, aligned as they must be: a mapping starts at a page.
    #[inline(always)]
    pub(crate) fn values(&self) -> &[T] {
        match &self.memory {
            Memory::Heap(values) => values,
            Memory::Mapped(map, len) => bytemuck::cast_slice(&map[..len * size_of::<T>()]),
        }
    }

    #[inline(always)]
    pub(crate) fn values_mut(&mut self) -> &mut [T] {
        match &mut self.memory {
            Memory::Heap(values) => values,
            Memory::Mapped(map, len) => bytemuck::cast_slice_mut(&mut map[..*len * size_of::<T>()]),
        }
    }

    /// Makes room for `len` values; whether there is so much. The new ones are zeros.
    pub(crate) fn grow(&mut self, len: usize) -> bool {
        let Some(bytes) = len.checked_mul(size_of::<T>()) else { return false };
        match &mut self.memory {
            Memory::Heap(values) if bytes <= HEAP_BYTES_MAX => {
                values.resize(len.max(values.len()), T::zeroed());
                return true;
            }
            Memory::Mapped(map, grown) if bytes <= map.len() => {
                *grown = len.max(*grown);
                return true;
            }
            _ => {}
        }
        let mut step = HEAP_BYTES_MAX;
        while step < bytes {
            let Some(next) = step.checked_mul(STEP) else { return false };
            step = next;
        }
        let Ok(mut map) = MmapOptions::new().len(step).no_reserve_swap().map_anon() else { return false };
        if step >= HUGE_BYTES_MIN {
            // Without huge pages it is slower, and no less right.
            let _ = map.advise(Advice::HugePage);
        }
        let old: &[u8] = bytemuck::cast_slice(self.values());
        map[..old.len()].copy_from_slice(old);
        self.memory = Memory::Mapped(map, len);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_through_all_steps_and_new_ones_are_zeros() {
        let mut region = Region::<u64>::new();
        let mut len = 0;
        for grown in [1, 1000, 8192, 8193, 100_000, 2 << 20, (2 << 20) + 1] {
            assert!(region.grow(grown));
            let values = region.values_mut();
            assert_eq!(values.len(), grown);
            assert!(values[len..].iter().take(10_000).all(|&value| value == 0));
            assert!((0..len).step_by(997).all(|at| values[at] == at as u64 + 1));
            for (at, value) in values.iter_mut().enumerate().skip(len) {
                *value = at as u64 + 1;
            }
            len = grown;
        }
        // Asking for less changes nothing.
        assert!(region.grow(5) && region.values().len() == len);
    }

    #[test]
    fn more_than_there_can_be_is_refused() {
        let mut region = Region::<u64>::new();
        assert!(region.grow(3));
        assert!(!region.grow(usize::MAX / 4) && !region.grow(usize::MAX));
        assert_eq!(region.values(), [0; 3]);
    }

    #[test]
    fn values_without_size_and_with_wide_alignment_have_room() {
        let mut nothing = Region::<()>::new();
        assert!(nothing.grow(1 << 20) && nothing.values().len() == 1 << 20);
        let mut wide = Region::<u128>::new();
        assert!(wide.grow(1 << 16));
        wide.values_mut()[65_535] = u128::MAX;
        assert_eq!(wide.values()[65_535], u128::MAX);
    }
}
