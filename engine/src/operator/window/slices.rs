//! Slices of event time, each with accumulators by key: the state of tumbling windows.
//!
//! Slices are kept in order of time. Most batches fall into one slice, which one comparison of the
//! batch's smallest and largest time finds out.

use crate::base::blame;
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
    ) -> Result<(), OperatorError> {
        let Self { open, aggregate, key_of, limits, .. } = self;
        let groups = &mut open[slice].groups;
        groups.update(
            times,
            values,
            |row, value| blame::at_index(index_of(row), || key_of(value)),
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
        if batch.bounds.is_some_and(is_inside) || is_inside(extremes()) {
            return self.add_run(slice, |row| row, times, values);
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
        mixed.rest.fill(times, values);
        for _ in 0..PARTED_MAX {
            let Some(&first) = mixed.rest.times.first() else { return Ok(()) };
            let slice = self.slice_of(first)?;
            mixed.part(self.open[slice].window);
            let Rows { times, values, indices } = &mixed.inside;
            self.add_run(slice, |row| indices[row] as usize, times, values)?;
        }
        let Rows { times, values, indices } = &mixed.rest;
        let mut start = 0;
        while start < times.len() {
            let slice = self.slice_of(times[start])?;
            let window = self.open[slice].window;
            let end = times[start..].iter().position(|&time| !window.contains(time)).map_or(times.len(), |n| start + n);
            self.add_run(slice, |row| indices[start + row] as usize, &times[start..end], &values[start..end])?;
            start = end;
        }
        Ok(())
    }
}

/// Rows with their numbers in a batch.
struct Rows<T> {
    times: Vec<Timestamp>,
    values: Vec<T>,
    indices: Vec<u32>,
}

impl<T: Copy> Rows<T> {
    const fn new() -> Self {
        Self { times: Vec::new(), values: Vec::new(), indices: Vec::new() }
    }

    fn fill(&mut self, times: &[Timestamp], values: &[T]) {
        self.clear();
        self.times.extend_from_slice(times);
        self.values.extend_from_slice(values);
        self.indices.extend(0..times.len() as u32);
    }

    fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.indices.clear();
    }

    fn truncate(&mut self, len: usize) {
        self.times.truncate(len);
        self.values.truncate(len);
        self.indices.truncate(len);
    }
}

/// Rows of several slices that are being parted; kept for the memory.
struct Mixed<T> {
    inside: Rows<T>,
    rest: Rows<T>,
}

impl<T: Copy> Default for Mixed<T> {
    fn default() -> Self {
        Self { inside: Rows::new(), rest: Rows::new() }
    }
}

impl<T: Copy> Mixed<T> {
    /// Moves the rows of a window from the rest to those inside, both in order. Each row is written to
    /// both and counted in one, so that there is no branch to guess wrong.
    fn part(&mut self, window: Window) {
        let Self { inside, rest } = self;
        let len = rest.times.len();
        inside.clear();
        inside.times.extend_from_slice(&rest.times);
        inside.values.extend_from_slice(&rest.values);
        inside.indices.extend_from_slice(&rest.indices);
        let (mut taken, mut kept) = (0, 0);
        for row in 0..len {
            let (time, value, index) = (rest.times[row], rest.values[row], rest.indices[row]);
            let is_inside = window.contains(time);
            (inside.times[taken], inside.values[taken], inside.indices[taken]) = (time, value, index);
            (rest.times[kept], rest.values[kept], rest.indices[kept]) = (time, value, index);
            taken += usize::from(is_inside);
            kept += usize::from(!is_inside);
        }
        inside.truncate(taken);
        rest.truncate(kept);
    }
}
