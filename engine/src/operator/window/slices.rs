//! Adding rows to slices of event time.
//!
//! Most batches fall into one slice, which one comparison of the batch's smallest and largest time finds out.

use crate::base::blame;
use crate::base::prefetch::Ahead;
use crate::operator::aggregate::Aggregate;
use crate::operator::window::slice_store::SliceStore;
use crate::operator::window::{Tumbling, Window};
use crate::operator::{Batch, OperatorError};
use crate::progress::watermark::extremes;
use crate::store::StoreError;
use crate::{Key, Timestamp};

/// Slices that the rows of one batch are parted into before they are taken one by one.
const PARTED_MAX: usize = 4;

/// The open slices of one step on one worker.
pub(crate) struct Slices<K: Key, F, A: Aggregate<K>> {
    pub(crate) windows: Tumbling,
    key_of: F,
    pub(crate) aggregate: A,
    pub(crate) store: SliceStore<K, A::Acc>,
    mixed: Mixed<A::In>,
    kept: Kept<A::In>,
}

/// Rows of a batch that are not late; kept for the memory.
struct Kept<T> {
    /// Their numbers in the batch.
    indices: Vec<u32>,
    times: Vec<Timestamp>,
    values: Vec<T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { indices: Vec::new(), times: Vec::new(), values: Vec::new() }
    }
}

/// Rows, and what is known of them, with their numbers in the batch.
struct Run<'a, T, I> {
    times: &'a [Timestamp],
    values: &'a [T],
    bounds: (Timestamp, Timestamp),
    index_of: I,
    ahead: Ahead,
}

impl<K: Key, F, A: Aggregate<K>> Slices<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) fn new(windows: Tumbling, key_of: F, aggregate: A, store: SliceStore<K, A::Acc>) -> Self {
        Self { windows, key_of, aggregate, store, mixed: Mixed::default(), kept: Kept::default() }
    }

    /// Adds the rows of a batch to their slices, but for those that are late, which `refuse` gets with their numbers.
    /// Says how many rows it took: fewer than all where late rows have to wait for a slice that is due before them.
    #[inline]
    pub(crate) fn add_or_refuse(
        &mut self,
        batch: Batch<'_, A::In>,
        refuse: impl FnMut(usize, Timestamp, A::In),
    ) -> Result<usize, OperatorError> {
        if batch.is_empty() {
            return Ok(0);
        }
        let batch = if batch.is_in_order { self.before_due(batch) } else { batch };
        self.add_batch(batch, refuse)?;
        Ok(batch.len())
    }

    /// The first rows of a batch, up to one before which a slice is due that the batch is added to.
    fn before_due<'a>(&self, batch: Batch<'a, A::In>) -> Batch<'a, A::In> {
        let last = batch.watermark(batch.len() - 1);
        let mut due = self.store.open.next_due();
        if batch.is_on_time() || (due > last && self.windows.assign(batch.bounds().0).max_timestamp() > last) {
            return batch;
        }
        for (index, &time) in batch.times().iter().enumerate() {
            let watermark = batch.watermark(index);
            if due <= watermark && index > 0 {
                return batch.first(index);
            }
            let own_due = self.windows.assign(time).max_timestamp();
            if own_due > watermark {
                due = due.min(own_due);
            }
        }
        batch
    }

    fn add_batch(
        &mut self,
        batch: Batch<'_, A::In>,
        refuse: impl FnMut(usize, Timestamp, A::In),
    ) -> Result<(), OperatorError> {
        // Watermarks do not fall, so the last one is the largest.
        let is_on_time = batch.is_on_time() || batch.bounds().0 > batch.watermark(batch.len() - 1);
        if !is_on_time && self.part_late(&batch, refuse) {
            let mut kept = std::mem::take(&mut self.kept);
            let Kept { indices, times, values } = &kept;
            let result = match times.first() {
                None => Ok(()),
                Some(_) => {
                    let bounds = extremes(times);
                    let index_of = |row: usize| indices[row] as usize;
                    self.add(Run { times, values, bounds, index_of, ahead: Ahead::NONE })
                }
            };
            kept.indices.clear();
            self.kept = kept;
            return result;
        }
        let (times, values) = (batch.times(), batch.values());
        self.add(Run { times, values, bounds: batch.bounds(), index_of: |row| row, ahead: batch.ahead })
    }

    /// Whether any row is late: then the others are in `kept`.
    ///
    /// A row is late when the watermark before it has reached the last nanosecond of its window.
    fn part_late(&mut self, batch: &Batch<'_, A::In>, mut refuse: impl FnMut(usize, Timestamp, A::In)) -> bool {
        let Kept { indices, times, values } = &mut self.kept;
        indices.clear();
        let (mut watermark, mut first_open) = (Timestamp::MIN, Timestamp::MIN);
        let mut any_late = false;
        for (index, &time) in batch.times().iter().enumerate() {
            let at_row = batch.watermark(index);
            if at_row != watermark {
                watermark = at_row;
                // The start of the first window that the watermark has not reached.
                first_open = self.windows.assign(watermark.plus_nanos(1)).start;
            }
            if time < first_open {
                any_late = true;
                refuse(index, time, batch.values()[index]);
            } else {
                indices.push(index as u32);
            }
        }
        if any_late {
            times.clear();
            values.clear();
            times.extend(indices.iter().map(|&index| batch.times()[index as usize]));
            values.extend(indices.iter().map(|&index| batch.values()[index as usize]));
        }
        any_late
    }

    /// Adds rows that are all in one slice.
    #[inline]
    fn add_run(
        &mut self,
        slot: u32,
        index_of: impl Fn(usize) -> usize,
        times: &[Timestamp],
        values: &[A::In],
        ahead: Ahead,
    ) -> Result<(), OperatorError> {
        let Self { store, aggregate, key_of, .. } = self;
        let keys_max = store.keys_max();
        let groups = store.groups_mut(slot);
        groups.update(
            times,
            values,
            |row, value| {
                ahead.fetch(value);
                blame::at_index(index_of(row), || key_of(value))
            },
            |row, time, value, acc| blame::at_index(index_of(row), || aggregate.add(acc, time, value)),
        );
        if groups.len() > keys_max { Err(StoreError::TooManyKeys(keys_max).into()) } else { Ok(()) }
    }

    /// Adds rows, all of them on time.
    #[inline]
    fn add<I: Fn(usize) -> usize + Copy>(&mut self, run: Run<'_, A::In, I>) -> Result<(), OperatorError> {
        let Some(&first) = run.times.first() else { return Ok(()) };
        let (slot, window) = self.store.find_or_open(first)?;
        if window.contains(run.bounds.0) && window.contains(run.bounds.1) {
            return self.add_run(slot, run.index_of, run.times, run.values, run.ahead);
        }
        let mut mixed = std::mem::take(&mut self.mixed);
        let added = self.add_mixed(&mut mixed, run);
        self.mixed = mixed;
        added
    }

    /// Adds rows of several slices: slice by slice where there are few, row by row otherwise.
    fn add_mixed<I: Fn(usize) -> usize + Copy>(
        &mut self,
        mixed: &mut Mixed<A::In>,
        run: Run<'_, A::In, I>,
    ) -> Result<(), OperatorError> {
        let Run { times, values, index_of, .. } = run;
        mixed.rest.clear();
        mixed.rest.extend(0..times.len() as u32);
        let mut parts = 0;
        while let Some(&first) = mixed.rest.first() {
            if parts == PARTED_MAX {
                for &row in &mixed.rest {
                    let row = row as usize;
                    let (slot, _) = self.store.find_or_open(times[row])?;
                    let one = row..row + 1;
                    self.add_run(slot, |_| index_of(row), &times[one.clone()], &values[one], Ahead::NONE)?;
                }
                return Ok(());
            }
            let (slot, window) = self.store.find_or_open(times[first as usize])?;
            mixed.part(times, window);
            parts += 1;
            mixed.gather(times, values);
            let Mixed { inside, times, values, .. } = &*mixed;
            self.add_run(slot, |row| index_of(inside[row] as usize), times, values, Ahead::NONE)?;
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
    /// Numbers of the rows that are left, in order.
    rest: Vec<u32>,
}

impl<T> Default for Mixed<T> {
    fn default() -> Self {
        Self { inside: Vec::new(), times: Vec::new(), values: Vec::new(), rest: Vec::new() }
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

    /// Copies the rows that are added next.
    fn gather(&mut self, times: &[Timestamp], values: &[T]) {
        let rows = || self.inside.iter().map(|row| *row as usize);
        self.times.clear();
        self.times.extend(rows().map(|row| times[row]));
        self.values.clear();
        self.values.extend(rows().map(|row| values[row]));
    }
}
