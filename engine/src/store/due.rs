//! Times in order, with numbers of entries: what [`Timers`](crate::Timers) wait for.
//!
//! ```text
//! queue:  those that came behind all others of the queue ──► pushed and taken at its ends, in steps that do not grow
//! others: those that came out of order                    ──► a sorted set
//! ```
//! Most timers are set for a fixed time from now, so nearly all of them go through the queue.

use crate::Timestamp;
use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;

/// A time and the number of an entry.
pub(super) type Timer = (Timestamp, u32);

/// A set of timers.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Growing, with those that were removed meanwhile; the first one and the last one were not.
    queue: VecDeque<Queued>,
    /// How many of the queue were removed.
    removed: usize,
    /// None of them is in the queue.
    others: BTreeSet<Timer>,
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    timer: Timer,
    is_removed: bool,
}

impl Due {
    pub(super) const fn new() -> Self {
        Self { queue: VecDeque::new(), removed: 0, others: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len() - self.removed + self.others.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn bytes(&self) -> usize {
        // Nodes of the set are at least half full.
        self.queue.len() * size_of::<Queued>() + self.others.len() * 2 * size_of::<Timer>()
    }

    /// Adds a timer; whether it was not there.
    #[inline]
    pub(super) fn insert(&mut self, timer: Timer) -> bool {
        match self.queue.back() {
            Some(last) if last.timer >= timer => self.insert_behind(timer),
            _ if self.others.last().is_some_and(|last| *last >= timer) && self.others.contains(&timer) => false,
            _ => {
                self.queue.push_back(Queued { timer, is_removed: false });
                true
            }
        }
    }

    /// Adds a timer that comes before the last one of the queue, or is that.
    fn insert_behind(&mut self, timer: Timer) -> bool {
        match self.place(timer) {
            Ok(place) => {
                let was_removed = std::mem::replace(&mut self.queue[place].is_removed, false);
                self.removed -= usize::from(was_removed);
                was_removed
            }
            Err(_) => self.others.insert(timer),
        }
    }

    /// Where a timer is in the queue, also one that was removed, or would be.
    fn place(&self, timer: Timer) -> Result<usize, usize> {
        self.queue.binary_search_by_key(&timer, |queued| queued.timer)
    }

    #[cfg(test)]
    fn contains(&self, timer: &Timer) -> bool {
        self.first_in(Bound::Included(*timer)) == Some(*timer)
    }

    /// The first timer.
    #[inline]
    pub(super) fn first(&self) -> Option<Timer> {
        match (self.queue.front(), self.others.first()) {
            (Some(queued), Some(other)) => Some(queued.timer.min(*other)),
            (Some(queued), None) => Some(queued.timer),
            (None, other) => other.copied(),
        }
    }

    /// Takes the first timer away, where it has this time.
    #[inline]
    pub(super) fn pop_at(&mut self, time: Timestamp) -> Option<Timer> {
        let first = self.first().filter(|first| first.0 == time)?;
        if self.queue.front().is_some_and(|queued| queued.timer == first) {
            self.queue.pop_front();
            self.drop_removed();
        } else {
            self.others.pop_first();
        }
        Some(first)
    }

    /// Drops what was removed at the ends of the queue, and all of it once it is more than half.
    fn drop_removed(&mut self) {
        if self.removed == 0 {
            return;
        }
        while self.queue.front().is_some_and(|queued| queued.is_removed) {
            self.queue.pop_front();
            self.removed -= 1;
        }
        while self.queue.back().is_some_and(|queued| queued.is_removed) {
            self.queue.pop_back();
            self.removed -= 1;
        }
        if self.removed * 2 > self.queue.len() {
            self.queue.retain(|queued| !queued.is_removed);
            self.removed = 0;
        }
    }

    /// Removes a timer; whether it was there.
    pub(super) fn remove(&mut self, timer: &Timer) -> bool {
        let Ok(place) = self.place(*timer) else { return self.others.remove(timer) };
        if std::mem::replace(&mut self.queue[place].is_removed, true) {
            return false;
        }
        self.removed += 1;
        self.drop_removed();
        true
    }

    /// The first timer from this bound on.
    pub(super) fn first_in(&self, from: Bound<Timer>) -> Option<Timer> {
        let is_before = |timer: Timer| match from {
            Bound::Included(from) => timer < from,
            Bound::Excluded(from) => timer <= from,
            Bound::Unbounded => false,
        };
        let place = self.queue.partition_point(|queued| is_before(queued.timer));
        let queued = self.queue.range(place..).find(|queued| !queued.is_removed).map(|queued| queued.timer);
        let other = self.others.range((from, Bound::Unbounded)).next().copied();
        queued.into_iter().chain(other).min()
    }

    /// All timers, in any order.
    #[cfg(test)]
    pub(super) fn each(&self) -> impl Iterator<Item = Timer> {
        let queued = self.queue.iter().filter(|queued| !queued.is_removed).map(|queued| queued.timer);
        queued.chain(self.others.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_sorted_set(steps in prop::collection::vec((0u8..6, 0i64..40, 0u32..4), 0..400)) {
            let (mut due, mut model) = (Due::new(), BTreeSet::new());
            let mut now = 0;
            for (what, time, entry) in steps {
                let timer = (Timestamp::from_nanos(time), entry);
                match what {
                    0 => prop_assert_eq!(due.remove(&timer), model.remove(&timer)),
                    1 => {
                        let first = model.first().copied();
                        prop_assert_eq!(due.first(), first);
                        if let Some(first) = first {
                            prop_assert_eq!(due.pop_at(first.0.minus_nanos(1)), None);
                            prop_assert_eq!(due.pop_at(first.0), model.pop_first());
                        }
                    }
                    2 => prop_assert_eq!(due.insert(timer), model.insert(timer)),
                    _ => {
                        // Mostly in order.
                        now += 1;
                        let timer = (Timestamp::from_nanos(now), entry);
                        prop_assert_eq!(due.insert(timer), model.insert(timer));
                    }
                }
                prop_assert_eq!((due.len(), due.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(due.contains(&timer), model.contains(&timer));
                for from in [Bound::Unbounded, Bound::Included(timer), Bound::Excluded(timer)] {
                    prop_assert_eq!(due.first_in(from), model.range((from, Bound::Unbounded)).next().copied());
                }
                prop_assert_eq!(due.each().collect::<BTreeSet<_>>(), model.clone());
            }
        }
    }
}
