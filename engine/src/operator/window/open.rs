//! The windows that are open: found by time, closed in order.
//!
//! ```text
//! ring:  slot by (number of the window mod size)     what lies near each other in time is found here
//! order: slot by start                               the rest, and which window is next to fire
//! ```
//! Opening and closing one of n windows takes log n, finding one mostly a division.

use crate::Timestamp;
use crate::operator::window::{Tumbling, Window};
use crate::store::StoreError;
use std::collections::BTreeMap;
use std::ops::Range;

/// The most windows that the ring holds.
const RING_MAX: usize = 1 << 17;
/// A place of the ring without a window.
const NONE: u32 = u32::MAX;

/// The open windows of a step on one worker, each with an `S`.
pub(crate) struct OpenWindows<S> {
    windows: Tumbling,
    most: usize,
    slots: Vec<Option<(Window, S)>>,
    free: Vec<u32>,
    order: BTreeMap<Timestamp, u32>,
    ring: Vec<u32>,
    /// The window that the last row was in.
    last: Option<(Window, u32)>,
    /// The last nanosecond of the first window, or the end of time.
    next_due: Timestamp,
}

impl<S> OpenWindows<S> {
    pub(crate) fn new(windows: Tumbling, most: usize) -> Self {
        Self {
            windows,
            most,
            slots: Vec::new(),
            free: Vec::new(),
            order: BTreeMap::new(),
            ring: vec![NONE; 16],
            last: None,
            next_due: Timestamp::MAX,
        }
    }

    /// The last nanosecond of the first window, or [`Timestamp::MAX`].
    pub(crate) const fn next_due(&self) -> Timestamp {
        self.next_due
    }

    /// The slot of the window that `time` is in, with the window, which is opened with what `make` gives where it is not.
    #[inline]
    pub(crate) fn find_or_open(
        &mut self,
        time: Timestamp,
        make: impl FnOnce() -> S,
    ) -> Result<(u32, Window), StoreError> {
        if let Some((window, slot)) = self.last
            && window.contains(time)
        {
            return Ok((slot, window));
        }
        let window = self.windows.assign(time);
        let place = self.place(window);
        let slot = match self.slot_at(self.ring[place]) {
            Some((open, _)) if *open == window => self.ring[place],
            _ => match self.order.get(&window.start) {
                Some(&slot) => slot,
                None => self.open_one_more(window, make())?,
            },
        };
        self.last = Some((window, slot));
        Ok((slot, window))
    }

    const fn place(&self, window: Window) -> usize {
        self.windows.number(window.start) as usize & (self.ring.len() - 1)
    }

    fn slot_at(&self, slot: u32) -> Option<&(Window, S)> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// As [`OpenWindows::find_or_open`], whatever the limit.
    pub(crate) fn find_or_restore(&mut self, time: Timestamp, make: impl FnOnce() -> S) -> (u32, Window) {
        let window = self.windows.assign(time);
        let slot = self.order.get(&window.start).copied();
        (slot.unwrap_or_else(|| self.open(window, make())), window)
    }

    /// An error where more windows are open than the limit allows.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.order.len() > self.most { Err(StoreError::TooManyWindows(self.most)) } else { Ok(()) }
    }

    #[cold]
    fn open_one_more(&mut self, window: Window, state: S) -> Result<u32, StoreError> {
        if self.order.len() >= self.most {
            return Err(StoreError::TooManyWindows(self.most));
        }
        Ok(self.open(window, state))
    }

    fn open(&mut self, window: Window, state: S) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some((window, state));
        self.order.insert(window.start, slot);
        self.next_due = self.next_due.min(window.max_timestamp());
        let place = self.place(window);
        if self.slot_at(self.ring[place]).is_some() && self.ring.len() < RING_MAX {
            self.grow();
        }
        let place = self.place(window);
        self.ring[place] = slot;
        slot
    }

    /// Doubles the ring, so that windows that shared a place do so no longer.
    fn grow(&mut self) {
        self.ring = vec![NONE; self.ring.len() * 2];
        for (slot, open) in self.slots.iter().enumerate() {
            if let Some((window, _)) = open {
                let place = self.windows.number(window.start) as usize & (self.ring.len() - 1);
                self.ring[place] = slot as u32;
            }
        }
    }

    /// What an open window has.
    #[inline(always)]
    pub(crate) fn state_mut(&mut self, slot: u32) -> &mut S {
        match &mut self.slots[slot as usize] {
            Some((_, state)) => state,
            None => unreachable!("a slot that was found is open"),
        }
    }

    /// The window in a slot, where one is open there.
    pub(crate) fn at_mut(&mut self, slot: usize) -> Option<(Window, &mut S)> {
        self.slots.get_mut(slot)?.as_mut().map(|(window, state)| (*window, state))
    }

    /// Slots are numbered below this.
    pub(crate) const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The first window, where `watermark` has reached its last nanosecond.
    pub(crate) fn first_due(&self, watermark: Timestamp) -> Option<(Window, &S)> {
        if self.next_due > watermark {
            return None;
        }
        let (_, slot) = self.order.first_key_value()?;
        self.slot_at(*slot).map(|(window, state)| (*window, state))
    }

    /// What the window has that starts then, where it is open.
    pub(crate) fn starting(&self, start: Timestamp) -> Option<&S> {
        self.order.get(&start).and_then(|slot| self.slot_at(*slot)).map(|(_, state)| state)
    }

    /// What the windows have that start in this range, in order.
    pub(crate) fn starting_in(&self, starts: Range<Timestamp>) -> impl Iterator<Item = &S> {
        self.order.range(starts).filter_map(|(_, slot)| self.slot_at(*slot)).map(|(_, state)| state)
    }

    /// The start of the first open window that starts at this time or later.
    pub(crate) fn first_from(&self, time: Timestamp) -> Option<Timestamp> {
        self.order.range(time..).next().map(|(start, _)| *start)
    }

    /// Closes the first window and hands out its start and what it has.
    pub(crate) fn close_first(&mut self) -> Option<(Timestamp, S)> {
        let (start, slot) = self.order.pop_first()?;
        self.closed(slot).map(|state| (start, state))
    }

    /// Closes the window that starts then, where it is open.
    pub(crate) fn close(&mut self, start: Timestamp) -> Option<S> {
        let slot = self.order.remove(&start)?;
        self.closed(slot)
    }

    /// What a window has whose slot was taken out of the order.
    fn closed(&mut self, slot: u32) -> Option<S> {
        let (_, state) = self.slots[slot as usize].take()?;
        self.free.push(slot);
        self.last = None;
        let next = self.order.first_key_value().and_then(|(_, slot)| self.slot_at(*slot));
        self.next_due = next.map_or(Timestamp::MAX, |(window, _)| window.max_timestamp());
        Some(state)
    }

    /// The open windows, in no order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Window, &mut S)> {
        self.slots.iter_mut().flatten().map(|(window, state)| (*window, state))
    }

    /// The open windows, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &S> {
        self.slots.iter().flatten().map(|(_, state)| state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    proptest! {
        #[test]
        fn windows_are_found_opened_and_closed_as_in_a_sorted_map(
            steps in prop::collection::vec((any::<bool>(), prop_oneof![0i64..400, 0i64..20_000, any::<i64>()]), 0..400),
        ) {
            let windows = Tumbling::of(Duration::from_nanos(7)).offset(Duration::from_nanos(3));
            let mut open = OpenWindows::new(windows, 150);
            let mut model = BTreeMap::new();
            for (closes, time) in steps {
                let time = Timestamp::from_nanos(time);
                let window = windows.assign(time);
                if closes {
                    let first = model.pop_first();
                    prop_assert_eq!(open.close_first(), first);
                } else if model.len() < 150 || model.contains_key(&window.start) {
                    let (slot, found) = open.find_or_open(time, || 0u64).unwrap();
                    prop_assert_eq!(found, window);
                    *open.state_mut(slot) += 1;
                    *model.entry(window.start).or_insert(0u64) += 1;
                } else {
                    prop_assert_eq!(open.find_or_open(time, || 0u64), Err(StoreError::TooManyWindows(150)));
                }
                let found: BTreeMap<_, _> = open.iter_mut().map(|(window, state)| (window.start, *state)).collect();
                prop_assert_eq!(&found, &model);
                let due = model.keys().next().map_or(Timestamp::MAX, |start| windows.assign(*start).max_timestamp());
                prop_assert_eq!(open.next_due(), due);
            }
        }
    }
}
