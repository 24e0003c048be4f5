//! Where two threads bring their parts of windows; a window is ready when both have passed it.
//!
//! Invariant: `parts` holds no window that both have passed, except those that [`Meeting::next`] has yet to give.

use std::collections::BTreeMap;

/// Parts of windows, merged as they come.
#[derive(Debug)]
pub struct Meeting<P> {
    parts: BTreeMap<i64, P>,
    /// The first window that each side may still bring something for.
    passed: [i64; 2],
}

impl<P> Meeting<P> {
    pub fn new() -> Self {
        Self { parts: BTreeMap::new(), passed: [i64::MIN; 2] }
    }

    /// Brings a side's part of a window that this side has not passed. Where the other side's part is there already,
    /// `merge` puts this one into it, and what is left of this one is given back.
    pub fn bring(&mut self, window: i64, mut part: P, merge: impl FnOnce(&mut P, &mut P)) -> Option<P> {
        match self.parts.get_mut(&window) {
            Some(other) => {
                merge(other, &mut part);
                Some(part)
            }
            None => {
                self.parts.insert(window, part);
                None
            }
        }
    }

    /// Says that `side` brings nothing more for windows before `window`.
    pub fn pass(&mut self, side: usize, window: i64) {
        self.passed[side] = self.passed[side].max(window);
    }

    /// The next window that both have passed, if any.
    pub fn next(&mut self) -> Option<(i64, P)> {
        let window = *self.parts.first_key_value()?.0;
        if window < self.passed[0].min(self.passed[1]) { self.parts.pop_first() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_come_in_order_when_both_have_passed_them() {
        let mut meeting = Meeting::new();
        let merge = |all: &mut u32, part: &mut u32| *all += std::mem::take(part);
        assert_eq!(meeting.bring(3, 10, merge), None);
        meeting.pass(0, 5);
        assert_eq!(meeting.next(), None);
        assert_eq!(meeting.bring(2, 1, merge), None);
        meeting.pass(1, 3);
        assert_eq!(meeting.next(), Some((2, 1)));
        assert_eq!(meeting.next(), None);
        assert_eq!(meeting.bring(3, 5, merge), Some(0));
        meeting.pass(1, i64::MAX);
        assert_eq!((meeting.next(), meeting.next()), (Some((3, 15)), None));
    }
}
