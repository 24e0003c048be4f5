//! Windows: which span of event time a row belongs to.

pub(crate) mod firing;
pub(crate) mod merged;
pub(crate) mod open;
pub(crate) mod part;
pub(crate) mod slice_store;
pub(crate) mod slices;
pub(crate) mod tumbling;

use crate::Timestamp;
use crate::base::time::duration_nanos;
use std::time::Duration;

/// A span of event time: `start` is in it, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first time in the window.
    pub start: Timestamp,
    /// The first time behind the window.
    pub end: Timestamp,
}

impl Window {
    /// The last time in the window: when the watermark gets there, the window fires.
    #[inline(always)]
    pub fn max_timestamp(&self) -> Timestamp {
        self.end.minus_nanos(1)
    }

    /// Whether `time` is in the window.
    #[inline(always)]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }
}

/// Windows of one size, side by side, aligned to the epoch plus an offset.
///
/// ```
/// use pelton::{Timestamp, Tumbling};
/// use std::time::Duration;
///
/// let minutes = Tumbling::of(Duration::from_secs(60));
/// let window = minutes.assign(Timestamp::from_nanos(-1));
/// assert_eq!(window.start, Timestamp::from_nanos(-60_000_000_000));
/// assert_eq!(window.end, Timestamp::from_nanos(0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tumbling {
    size_nanos: i64,
    offset_nanos: i64,
}

impl Tumbling {
    /// Windows of this size; 0 is refused when the job is run.
    pub fn of(size: Duration) -> Self {
        Self { size_nanos: duration_nanos(size), offset_nanos: 0 }
    }

    /// Moves all windows by `offset`.
    pub fn offset(mut self, offset: Duration) -> Self {
        self.offset_nanos = duration_nanos(offset);
        self
    }

    /// The window that `time` is in. At the ends of the range of times it is cut short.
    #[inline]
    pub fn assign(&self, time: Timestamp) -> Window {
        let (nanos, size) = (time.as_nanos(), self.size_nanos);
        if let Some(shifted) = nanos.checked_sub(self.offset_nanos)
            && let Some(start) = nanos.checked_sub(shifted.rem_euclid(size))
            && let Some(end) = start.checked_add(size)
        {
            return Window { start: Timestamp::from_nanos(start), end: Timestamp::from_nanos(end) };
        }
        self.assign_cut_short(time)
    }

    #[cold]
    fn assign_cut_short(&self, time: Timestamp) -> Window {
        // In 128 bits nothing overflows; the ends are clamped.
        let shifted = i128::from(time.as_nanos()) - i128::from(self.offset_nanos);
        let start = shifted - shifted.rem_euclid(i128::from(self.size_nanos)) + i128::from(self.offset_nanos);
        let clamp = |nanos: i128| Timestamp::from_nanos(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64);
        Window { start: clamp(start), end: clamp(start + i128::from(self.size_nanos)) }
    }

    /// The number of the window that starts at `start`, growing by one from window to window.
    pub(crate) const fn number(&self, start: Timestamp) -> i64 {
        start.as_nanos().saturating_sub(self.offset_nanos).div_euclid(self.size_nanos)
    }

    pub(crate) const fn size_nanos(&self) -> i64 {
        self.size_nanos
    }

    pub(crate) const fn is_valid(&self) -> bool {
        self.size_nanos > 0
    }
}

impl std::fmt::Display for Tumbling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.size_nanos.unsigned_abs()))?;
        if self.offset_nanos != 0 {
            write!(f, " from {:?}", Duration::from_nanos(self.offset_nanos.unsigned_abs()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_is_in_its_window_and_the_window_is_aligned(
            time: i64, size in 1i64..1_000_000_000_000, offset in 0i64..1_000_000_000_000
        ) {
            let windows = Tumbling { size_nanos: size, offset_nanos: offset };
            let window = windows.assign(Timestamp::from_nanos(time));
            if time < i64::MAX {
                prop_assert!(window.contains(Timestamp::from_nanos(time)));
            }
            if window.start > Timestamp::MIN && window.end < Timestamp::MAX {
                let start = i128::from(window.start.as_nanos());
                prop_assert_eq!((start - i128::from(offset)).rem_euclid(i128::from(size)), 0);
                prop_assert_eq!(i128::from(window.end.as_nanos()) - start, i128::from(size));
            }
        }
    }
}
