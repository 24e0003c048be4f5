//! Adding rows to slices of event time.
//!
//! Most batches fall into one slice, which one comparison of the batch's smallest and largest time finds out.

use crate::base::blame;
use crate::base::prefetch::Ahead;
use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::Tumbling;
use crate::operator::window::slice_store::SliceStore;
use crate::operator::{Batch, OperatorError, OperatorOutput, Outbox};
use crate::progress::watermark::extremes;
use crate::store::StoreError;
use crate::{Key, Timestamp};
use std::ops::Range;

/// The open slices of one step on one worker.
pub(crate) struct Slices<K: Key, F, A: WindowAggregate<K>> {
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

/// The first of these numbers that `is_so` is not true of, where it is true of all before it and false of all behind it.
fn first_without(numbers: Range<usize>, is_so: impl Fn(usize) -> bool) -> usize {
    let Range { mut start, mut end } = numbers;
    while start < end {
        let middle = start.midpoint(end);
        if is_so(middle) {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    start
}

/// Rows, and what is known of them, with their numbers in the batch.
struct Run<'a, T, I> {
    times: &'a [Timestamp],
    values: &'a [T],
    bounds: (Timestamp, Timestamp),
    index_of: I,
    ahead: Ahead,
}

impl<K: Key, F, A: WindowAggregate<K>> Slices<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) fn new(windows: Tumbling, key_of: F, aggregate: A, store: SliceStore<K, A::Acc>) -> Self {
        Self { windows, key_of, aggregate, store, mixed: Mixed::default(), kept: Kept::default() }
    }

    /// Adds the rows of a batch to their slices, but for those that are late, which leave by output `LATE`.
    /// Says how many rows it took: fewer than all where late rows have to wait for a slice that is due before them.
    #[inline]
    pub(crate) fn add_or_refuse<const LATE: usize, O>(
        &mut self,
        batch: Batch<'_, A::In>,
        out: &mut Outbox<O>,
    ) -> Result<usize, OperatorError>
    where
        O: OperatorOutput<LATE, Row = A::In>,
    {
        if batch.is_empty() {
            return Ok(0);
        }
        let batch = if batch.is_in_order { self.before_due(batch) } else { batch };
        self.add_batch(batch, out)?;
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

    fn add_batch<const LATE: usize, O>(
        &mut self,
        batch: Batch<'_, A::In>,
        out: &mut Outbox<O>,
    ) -> Result<(), OperatorError>
    where
        O: OperatorOutput<LATE, Row = A::In>,
    {
        // Watermarks do not fall, so the last one is the largest.
        let is_on_time = batch.is_on_time() || batch.bounds().0 > batch.watermark(batch.len() - 1);
        if !is_on_time && self.part_late(&batch, out) {
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
        self.add_ahead(batch)
    }

    /// Whether any row is late: then the others are in `kept`.
    ///
    /// A row is late when the watermark before it has reached the last nanosecond of its window.
    fn part_late<const LATE: usize, O>(&mut self, batch: &Batch<'_, A::In>, out: &mut Outbox<O>) -> bool
    where
        O: OperatorOutput<LATE, Row = A::In>,
    {
        let Self { windows, kept: Kept { indices, times, values }, .. } = self;
        let count = batch.len();
        indices.resize(count, 0);
        let (mut start, mut taken) = (0, 0);
        while start < count {
            // The first window that the watermark has not reached, and the rows before which that is so.
            let open = windows.assign(batch.watermark(start).plus_nanos(1));
            let is_open = |index: usize| open.contains(batch.watermark(index).plus_nanos(1));
            let end = if is_open(count - 1) { count } else { first_without(start + 1..count, is_open) };
            // Each number is written, and counted where the row stays, so that there is no branch to guess wrong.
            for (index, &time) in (start..).zip(&batch.times()[start..end]) {
                indices[taken] = index as u32;
                taken += usize::from(time >= open.start);
            }
            start = end;
        }
        indices.truncate(taken);
        if indices.len() == count {
            return false;
        }
        let kept = || indices.iter().map(|index| *index as usize);
        times.clear();
        values.clear();
        times.extend(kept().map(|index| batch.times()[index]));
        values.extend(kept().map(|index| batch.values()[index]));
        if out.is_taken::<LATE>() {
            let mut kept = kept().peekable();
            for (index, (&time, &row)) in batch.times().iter().zip(batch.values()).enumerate() {
                if kept.next_if_eq(&index).is_none() {
                    out.emit::<LATE>(index, time, row);
                }
            }
        } else {
            out.count::<LATE>(count - indices.len());
        }
        true
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

    /// Adds the rows of a batch, all of which are ahead of the watermark.
    fn add_ahead(&mut self, batch: Batch<'_, A::In>) -> Result<(), OperatorError> {
        let (times, values) = (batch.times(), batch.values());
        self.add(Run { times, values, bounds: batch.bounds(), index_of: |row| row, ahead: batch.ahead })
    }

    /// Adds the rows at the front of a batch that are ahead of the watermark before them; how many there are.
    pub(crate) fn take_ahead(&mut self, batch: Batch<'_, A::In>) -> Result<usize, OperatorError> {
        let ahead = batch.ahead_of_watermark();
        if ahead > 0 {
            self.add_ahead(batch.first(ahead))?;
        }
        Ok(ahead)
    }

    /// Adds a row, the first of a batch; its key, and whether that is new in its slice.
    pub(crate) fn add_one(&mut self, time: Timestamp, row: &A::In) -> Result<(K, bool), OperatorError> {
        let key = blame::at_index(0, || (self.key_of)(row));
        let (slot, _) = self.store.find_or_open(time)?;
        let keys = self.store.groups_mut(slot).len();
        let (times, values) = (std::slice::from_ref(&time), std::slice::from_ref(row));
        self.add_run(slot, |_| 0, times, values, Ahead::NONE)?;
        Ok((key, self.store.groups_mut(slot).len() > keys))
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

    /// Adds rows of several slices: runs of rows where times are in order, otherwise the rows of each slice together.
    fn add_mixed<I: Fn(usize) -> usize + Copy>(
        &mut self,
        mixed: &mut Mixed<A::In>,
        run: Run<'_, A::In, I>,
    ) -> Result<(), OperatorError> {
        let Run { times, values, index_of, .. } = run;
        if times.is_sorted() {
            let mut start = 0;
            while let Some(&first) = times.get(start) {
                let (slot, window) = self.store.find_or_open(first)?;
                let end = start + times[start..].partition_point(|time| window.contains(*time));
                let index_of = |row| index_of(start + row);
                self.add_run(slot, index_of, &times[start..end], &values[start..end], Ahead::NONE)?;
                start = end;
            }
            return Ok(());
        }
        mixed.clear();
        // Most rows are in one of two slices, in no order that could be guessed.
        let mut near = [self.store.find_or_open(times[0])?; 2];
        for &time in times {
            let mut which = usize::from(!near[0].1.contains(time));
            if !near[which].1.contains(time) {
                near = [self.store.find_or_open(time)?, near[0]];
                which = 0;
            }
            mixed.take(near[which].0);
        }
        mixed.part(times, values);
        let Mixed { slots, ends, rows, times, values, .. } = &*mixed;
        let mut start = 0;
        for &slot in slots {
            let end = ends[slot as usize] as usize;
            let index_of = |row| index_of(rows[start + row] as usize);
            self.add_run(slot, index_of, &times[start..end], &values[start..end], Ahead::NONE)?;
            start = end;
        }
        Ok(())
    }
}

/// Rows of several slices that are parted by counting; kept for the memory.
struct Mixed<T> {
    /// The slot of each row.
    slot_of: Vec<u32>,
    /// The slots that rows are in, in the order in which they come.
    slots: Vec<u32>,
    /// By slot: how many rows are in it, and then where they end. 0 for all others.
    ends: Vec<u32>,
    /// The rows, by slot: numbers, times and values.
    rows: Vec<u32>,
    times: Vec<Timestamp>,
    values: Vec<T>,
}

impl<T> Default for Mixed<T> {
    fn default() -> Self {
        let (slot_of, slots, ends, rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { slot_of, slots, ends, rows, times: Vec::new(), values: Vec::new() }
    }
}

impl<T: Copy> Mixed<T> {
    fn clear(&mut self) {
        self.slots.drain(..).for_each(|slot| self.ends[slot as usize] = 0);
        self.slot_of.clear();
    }

    /// The next row is in this slot.
    #[inline]
    fn take(&mut self, slot: u32) {
        let place = slot as usize;
        if place >= self.ends.len() {
            self.ends.resize(place + 1, 0);
        }
        if self.ends[place] == 0 {
            self.slots.push(slot);
        }
        self.ends[place] += 1;
        self.slot_of.push(slot);
    }

    /// Copies the rows, by slot.
    fn part(&mut self, times: &[Timestamp], values: &[T]) {
        let mut start = 0;
        for slot in &self.slots {
            start += std::mem::replace(&mut self.ends[*slot as usize], start);
        }
        self.rows.resize(times.len(), 0);
        for (row, slot) in self.slot_of.iter().enumerate() {
            let end = &mut self.ends[*slot as usize];
            self.rows[*end as usize] = row as u32;
            *end += 1;
        }
        let rows = || self.rows.iter().map(|row| *row as usize);
        self.times.clear();
        self.times.extend(rows().map(|row| times[row]));
        self.values.clear();
        self.values.extend(rows().map(|row| values[row]));
    }
}
