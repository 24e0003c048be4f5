//! Times in order, with numbers of entries: what [`Timers`](crate::Timers) wait for.
//!
//! ```text
//! runs:  [ 3 5 8 ]  [ 9 9 12 14 ]  [ 20 21 ]
//!          ▲ taken at the front           ▲ most timers are set for a fixed time from now: they are pushed at the back
//! ```
//! A timer that comes out of order is put into its place in the run where it belongs, which moves a kilobyte at most. A
//! sorted set takes longer for all of these.

use crate::Timestamp;
use std::collections::VecDeque;
use std::ops::Bound;

/// A time and the number of an entry.
pub(super) type Timer = (Timestamp, u32);

/// The most timers of a run.
const RUN: usize = if cfg!(test) { 4 } else { 128 };

/// A sorted set of timers.
#[derive(Debug)]
pub(super) struct Due {
    /// In growing order; none is empty.
    runs: VecDeque<Run>,
    len: usize,
}

#[derive(Debug)]
struct Run {
    /// Its first timer.
    first: Timer,
    /// Growing, and behind `start` not empty.
    timers: Vec<Timer>,
    /// Timers before this one were taken.
    start: usize,
}

impl Run {
    fn of(timers: Vec<Timer>) -> Option<Self> {
        Some(Self { first: *timers.first()?, timers, start: 0 })
    }

    fn waiting(&self) -> &[Timer] {
        &self.timers[self.start..]
    }

    /// Where a timer is, or would be.
    fn place(&self, timer: &Timer) -> Result<usize, usize> {
        let place = self.waiting().binary_search(timer);
        place.map(|place| place + self.start).map_err(|place| place + self.start)
    }
}

impl Due {
    pub(super) const fn new() -> Self {
        Self { runs: VecDeque::new(), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.runs.len() * (size_of::<Run>() + RUN * size_of::<Timer>())
    }

    /// The run that a timer is in or would be in; the first one for timers before all others.
    #[inline]
    fn run_of(&self, timer: &Timer) -> usize {
        match self.runs.back() {
            Some(last) if last.first <= *timer => self.runs.len() - 1,
            _ => self.runs.partition_point(|run| run.first <= *timer).saturating_sub(1),
        }
    }

    /// Adds a timer; whether it was not there.
    #[inline]
    pub(super) fn insert(&mut self, timer: Timer) -> bool {
        let number = self.run_of(&timer);
        let is_last = number + 1 == self.runs.len();
        match self.runs.get_mut(number) {
            Some(run) if run.timers.len() < RUN => {
                if run.timers.last().is_some_and(|last| *last < timer) {
                    run.timers.push(timer);
                } else {
                    let Err(place) = run.place(&timer) else { return false };
                    run.timers.insert(place, timer);
                    run.first = run.timers[run.start];
                }
            }
            Some(run) if is_last && run.timers.last().is_some_and(|last| *last < timer) => self.push_run(timer),
            Some(_) => return self.insert_into_full(number, timer),
            None => self.push_run(timer),
        }
        self.len += 1;
        true
    }

    /// Begins a run behind all others.
    fn push_run(&mut self, timer: Timer) {
        let mut timers = Vec::with_capacity(RUN);
        timers.push(timer);
        self.runs.extend(Run::of(timers));
    }

    /// Adds a timer to a run that has no room, which is parted in two where what was taken of it does not give enough.
    fn insert_into_full(&mut self, number: usize, timer: Timer) -> bool {
        let run = &mut self.runs[number];
        if run.place(&timer).is_ok() {
            return false;
        }
        run.timers.drain(..run.start);
        run.start = 0;
        if run.timers.len() > RUN / 2 {
            let mut later = Vec::with_capacity(RUN);
            later.extend(run.timers.drain(RUN / 2..));
            if let Some(later) = Run::of(later) {
                self.runs.insert(number + 1, later);
            }
        }
        self.insert(timer)
    }

    /// The first timer.
    #[inline]
    pub(super) fn first(&self) -> Option<Timer> {
        self.runs.front().map(|run| run.first)
    }

    /// Takes the first timer away, where it has this time.
    #[inline]
    pub(super) fn pop_at(&mut self, time: Timestamp) -> Option<Timer> {
        let run = self.runs.front_mut()?;
        let timer = run.first;
        if timer.0 != time {
            return None;
        }
        run.start += 1;
        match run.timers.get(run.start) {
            Some(next) => run.first = *next,
            None => drop(self.runs.pop_front()),
        }
        self.len -= 1;
        Some(timer)
    }

    /// Removes a timer; whether it was there.
    pub(super) fn remove(&mut self, timer: &Timer) -> bool {
        let number = self.run_of(timer);
        let Some(run) = self.runs.get_mut(number) else { return false };
        let Ok(place) = run.place(timer) else { return false };
        run.timers.remove(place);
        match run.timers.get(run.start) {
            Some(first) => run.first = *first,
            None => drop(self.runs.remove(number)),
        }
        self.len -= 1;
        true
    }

    /// The first timer from this bound on.
    pub(super) fn first_in(&self, from: Bound<Timer>) -> Option<Timer> {
        let (Bound::Included(bound) | Bound::Excluded(bound)) = from else { return self.first() };
        let number = self.run_of(&bound);
        let run = self.runs.get(number)?.waiting();
        let is_before = |timer: &Timer| if from == Bound::Included(bound) { *timer < bound } else { *timer <= bound };
        match run.get(run.partition_point(is_before)) {
            Some(timer) => Some(*timer),
            None => self.runs.get(number + 1).map(|run| run.first),
        }
    }

    /// All timers, in order.
    #[cfg(test)]
    pub(super) fn each(&self) -> impl Iterator<Item = Timer> {
        self.runs.iter().flat_map(|run| run.waiting().iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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
                prop_assert_eq!(due.len(), model.len());
                prop_assert_eq!(due.first_in(Bound::Included(timer)) == Some(timer), model.contains(&timer));
                for from in [Bound::Unbounded, Bound::Included(timer), Bound::Excluded(timer)] {
                    prop_assert_eq!(due.first_in(from), model.range((from, Bound::Unbounded)).next().copied());
                }
                prop_assert!(due.each().eq(model.iter().copied()));
            }
        }
    }
}
