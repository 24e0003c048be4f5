//! Slices of event time, each with accumulators by key: the state of tumbling windows.
//!
//! Slices are kept in order of time. Most batches fall into one slice, which one comparison of the
//! batch's smallest and largest time finds out.

use crate::base::blame;
use crate::base::prefetch::Ahead;
use crate::operator::aggregate::Aggregate;
use crate::operator::window::{Tumbling, Window};
use crate::operator::{Batch, OperatorError};
use crate::store::groups::Groups;
use crate::{Key, Timestamp};

/// Slices that the rows of one batch are parted into before they are taken run by run.
const PARTED_MAX: usize = 4;

/// The limits of a window operator on one worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowLimits {
    pub(crate) open_windows_max: usize,
    pub(crate) keys_max: usize,
}

/// The accumulators of one window.
pub(crate) struct Slice<K, A> {
    pub(crate) window: Window,
    pub(crate) groups: Groups<K, A>,
}

/// The open slices of one step on one worker.
pub(crate) struct Slices<K: Key, F, A: Aggregate<K>> {
    pub(crate) windows: Tumbling,
    key_of: F,
    pub(crate) aggregate: A,
    limits: WindowLimits,
    /// In growing order of time.
    open: Vec<Slice<K, A::Acc>>,
    mixed: Mixed<A::In>,
    /// Empty groups for slices to come.
    spare: Vec<Groups<K, A::Acc>>,
}

impl<K: Key, F, A: Aggregate<K>> Slices<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) fn new(windows: Tumbling, key_of: F, aggregate: A, limits: WindowLimits) -> Self {
        Self { windows, key_of, aggregate, limits, open: Vec::new(), mixed: Mixed::default(), spare: Vec::new() }
    }

    /// The open slices, in growing order of time.
    pub(crate) fn open(&self) -> &[Slice<K, A::Acc>] {
        &self.open
    }

    /// The first open slice, where the watermark has reached its last nanosecond.
    pub(crate) fn first_due(&self, watermark: Timestamp) -> Option<&Slice<K, A::Acc>> {
        self.open.first().filter(|slice| slice.window.max_timestamp() <= watermark)
    }

    /// Closes the first open slice and keeps its memory.
    pub(crate) fn close_first(&mut self) {
        let mut groups = self.take_first().groups;
        groups.clear();
        self.keep_spare(groups);
    }

    /// Closes the first open slice, which there must be, and hands it out.
    pub(crate) fn take_first(&mut self) -> Slice<K, A::Acc> {
        self.open.remove(0)
    }

    /// Keeps empty groups for a slice to come.
    pub(crate) fn keep_spare(&mut self, groups: Groups<K, A::Acc>) {
        self.spare.push(groups);
    }

    /// Whether a row is late for its window: the watermark at the row's own place has reached it.
    pub(crate) fn is_late(&self, time: Timestamp, watermark: Timestamp) -> bool {
        self.windows.assign(time).max_timestamp() <= watermark
    }

    /// The accumulator of a key in the slice that `time` is in, zeros where it is new.
    pub(crate) fn accumulator(&mut self, time: Timestamp, key: K) -> Result<&mut A::Acc, OperatorError> {
        let slice = self.slice_of(time)?;
        let groups = &mut self.open[slice].groups;
        if groups.len() > self.limits.keys_max {
            return Err(OperatorError::TooManyKeys(self.limits.keys_max));
        }
        Ok(groups.value_mut(key))
    }

    /// The number of the open slice that `time` is in, which is opened where it is not.
    #[inline]
    fn slice_of(&mut self, time: Timestamp) -> Result<usize, OperatorError> {
        // The newest slice is the one most rows are in.
        if let Some(last) = self.open.last()
            && last.window.contains(time)
        {
            return Ok(self.open.len() - 1);
        }
        let at = self.open.partition_point(|slice| slice.window.end <= time);
        if self.open.get(at).is_some_and(|slice| slice.window.contains(time)) {
            return Ok(at);
        }
        self.open_at(at, self.windows.assign(time))
    }

    #[cold]
    fn open_at(&mut self, at: usize, window: Window) -> Result<usize, OperatorError> {
        if self.open.len() == self.limits.open_windows_max {
            return Err(OperatorError::TooManyWindows(self.limits.open_windows_max));
        }
        let groups = self.spare.pop().unwrap_or_else(Groups::new);
        self.open.insert(at, Slice { window, groups });
        Ok(at)
    }

    /// Adds rows that are all in one slice; `index_of` tells their numbers in the batch.
    #[inline]
    fn add_run(
        &mut self,
        slice: usize,
        index_of: impl Fn(usize) -> usize,
        times: &[Timestamp],
        values: &[A::In],
        ahead: Ahead,
    ) -> Result<(), OperatorError> {
        let Self { open, aggregate, key_of, limits, .. } = self;
        let groups = &mut open[slice].groups;
        groups.update(
            times,
            values,
            |row, value| {
                ahead.fetch(value);
                blame::at_index(index_of(row), || key_of(value))
            },
            |row, time, value, acc| blame::at_index(index_of(row), || aggregate.add(acc, time, value)),
        );
        if groups.len() > limits.keys_max { Err(OperatorError::TooManyKeys(limits.keys_max)) } else { Ok(()) }
    }

    /// Adds rows, all of them on time.
    pub(crate) fn add_rows(&mut self, batch: Batch<'_, A::In>) -> Result<(), OperatorError> {
        let Batch { times, values, .. } = batch;
        let Some(&first) = times.first() else { return Ok(()) };
        let slice = self.slice_of(first)?;
        let window = self.open[slice].window;
        let is_inside = |(min, max)| window.contains(min) && window.contains(max);
        let extremes = || times.iter().fold((first, first), |(min, max), &time| (min.min(time), max.max(time)));
        if is_inside(batch.bounds.unwrap_or_else(extremes)) {
            return self.add_run(slice, |row| row, times, values, batch.ahead);
        }
        let mut mixed = std::mem::take(&mut self.mixed);
        let added = self.add_mixed(&mut mixed, times, values);
        self.mixed = mixed;
        added
    }

    /// Adds rows of several slices: slice by slice where there are few, run by run otherwise.
    fn add_mixed(
        &mut self,
        mixed: &mut Mixed<A::In>,
        times: &[Timestamp],
        values: &[A::In],
    ) -> Result<(), OperatorError> {
        mixed.rest.clear();
        mixed.rest.extend(0..times.len() as u32);
        mixed.taken = 0;
        let mut parts = 0;
        while let Some(&first) = mixed.rest.get(mixed.taken) {
            let slice = self.slice_of(times[first as usize])?;
            let window = self.open[slice].window;
            if parts < PARTED_MAX {
                mixed.part(times, window);
                parts += 1;
            } else {
                mixed.take_run(times, window);
            }
            mixed.gather(times, values);
            let Mixed { inside, times, values, .. } = &*mixed;
            self.add_run(slice, |row| inside[row] as usize, times, values, Ahead::NONE)?;
        }
        Ok(())
    }
}

/// Rows of several slices that are being parted; kept for the memory.
struct Mixed<T> {
    /// Numbers of the rows that are added next, in order.
    inside: Vec<u32>,
    times: Vec<Timestamp>,
    values: Vec<T>,
    /// Numbers of the rows that are left, in order, behind some that were taken.
    rest: Vec<u32>,
    taken: usize,
}

impl<T> Default for Mixed<T> {
    fn default() -> Self {
        Self { inside: Vec::new(), times: Vec::new(), values: Vec::new(), rest: Vec::new(), taken: 0 }
    }
}

impl<T: Copy> Mixed<T> {
    /// Takes the rows of a window from the rest. Each number is written to both lists and counted in one,
    /// so that there is no branch to guess wrong.
    fn part(&mut self, times: &[Timestamp], window: Window) {
        let Self { inside, rest, .. } = self;
        inside.resize(rest.len(), 0);
        let (mut taken, mut kept) = (0, 0);
        for at in 0..rest.len() {
            let row = rest[at];
            let is_inside = window.contains(times[row as usize]);
            (inside[taken], rest[kept]) = (row, row);
            taken += usize::from(is_inside);
            kept += usize::from(!is_inside);
        }
        inside.truncate(taken);
        rest.truncate(kept);
    }

    /// Takes the first of the rest, as far as they are in a window.
    fn take_run(&mut self, times: &[Timestamp], window: Window) {
        let Self { inside, rest, taken, .. } = self;
        inside.clear();
        inside.extend(rest[*taken..].iter().take_while(|row| window.contains(times[**row as usize])));
        *taken += inside.len();
    }

    /// Copies the rows that are added next.
    fn gather(&mut self, times: &[Timestamp], values: &[T]) {
        let rows = || self.inside.iter().map(|row| *row as usize);
        self.times.clear();
        self.times.extend(rows().map(|row| times[row]));
        self.values.clear();
        self.values.extend(rows().map(|row| values[row]));
    }
}
