//! The tumbling window operator: one table of accumulators per open slice of time.
//!
//! Slices are kept in order of time. Most batches fall into one slice, which one comparison of the
//! batch's smallest and largest time finds out. A slice fires when the watermark reaches its last
//! nanosecond; its rows leave in canonical order of keys.

use crate::base::blame;
use crate::operator::aggregate::Aggregate;
use crate::operator::window::{Tumbling, Window};
use crate::operator::{Batch, Firing, Operator, OperatorError, Outbox};
use crate::store::table::{LOOKUP_BATCH, Lookups, Table};
use crate::{CanonicalKey, Key, Slot, Timestamp, hash_key, slot_of};
use std::sync::Arc;

/// The limits of a window operator on one worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowLimits {
    pub(crate) open_windows_max: usize,
    pub(crate) keys_max: usize,
}

struct Slice<K, A> {
    window: Window,
    table: Table<K, A>,
}

/// An order of entries to fire: canonical key, hash, number of the entry.
type Order = (u128, u64, u32);

pub(crate) struct TumblingOperator<K: Key, F, A: Aggregate<K>> {
    step: Arc<str>,
    windows: Tumbling,
    key_of: F,
    aggregate: A,
    limits: WindowLimits,
    /// Open slices, in growing order of time.
    slices: Vec<Slice<K, A::Acc>>,
    /// Empty tables for slices to come.
    spare: Vec<Table<K, A::Acc>>,
    /// Entries of the first slice in the order they fire, from `fired` on still to fire.
    firing: Vec<Order>,
    fired: usize,
}

impl<K: Key, F, A: Aggregate<K>> TumblingOperator<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) fn new(step: Arc<str>, windows: Tumbling, key_of: F, aggregate: A, limits: WindowLimits) -> Self {
        Self {
            step,
            windows,
            key_of,
            aggregate,
            limits,
            slices: Vec::new(),
            spare: Vec::new(),
            firing: Vec::new(),
            fired: 0,
        }
    }

    /// The number of the open slice that `time` is in, which is opened where it is not.
    #[inline]
    fn slice_of(&mut self, time: Timestamp) -> Result<usize, OperatorError> {
        // The newest slice is the one most rows are in.
        if let Some(last) = self.slices.last()
            && last.window.contains(time)
        {
            return Ok(self.slices.len() - 1);
        }
        let at = self.slices.partition_point(|slice| slice.window.end <= time);
        if self.slices.get(at).is_some_and(|slice| slice.window.contains(time)) {
            return Ok(at);
        }
        self.open(at, self.windows.assign(time))
    }

    #[cold]
    fn open(&mut self, at: usize, window: Window) -> Result<usize, OperatorError> {
        if self.slices.len() == self.limits.open_windows_max {
            return Err(OperatorError::TooManyWindows(self.limits.open_windows_max));
        }
        let table = self.spare.pop().unwrap_or_else(Table::new);
        self.slices.insert(at, Slice { window, table });
        Ok(at)
    }

    /// Adds rows that are all in one slice.
    #[inline]
    fn add_run(&mut self, slice: usize, times: &[Timestamp], values: &[A::In]) -> Result<(), OperatorError> {
        let table = &mut self.slices[slice].table;
        let mut row = 0;
        if table.is_small() {
            for (time, value) in times.iter().zip(values) {
                blame::at_index(row, || {
                    self.aggregate.add(table.value_mut((self.key_of)(value)), *time, value);
                });
                row += 1;
            }
        } else {
            let mut lookups = Lookups::new();
            for (times, values) in times.chunks(LOOKUP_BATCH).zip(values.chunks(LOOKUP_BATCH)) {
                for (i, value) in values.iter().enumerate() {
                    lookups.set(i, blame::at_index(row + i, || (self.key_of)(value)));
                }
                table.find_all(&mut lookups, values.len());
                for (i, (time, value)) in times.iter().zip(values).enumerate() {
                    blame::at_index(row + i, || self.aggregate.add(table.found(&lookups, i), *time, value));
                }
                row += values.len();
            }
        }
        if table.len() > self.limits.keys_max { Err(OperatorError::TooManyKeys(self.limits.keys_max)) } else { Ok(()) }
    }

    /// Adds rows, all of them on time.
    fn add_rows(&mut self, batch: Batch<'_, A::In>) -> Result<(), OperatorError> {
        let Batch { times, values, .. } = batch;
        let Some(&first) = times.first() else { return Ok(()) };
        let slice = self.slice_of(first)?;
        let window = self.slices[slice].window;
        let is_inside = |(min, max)| window.contains(min) && window.contains(max);
        let extremes = || times.iter().fold((first, first), |(min, max), &time| (min.min(time), max.max(time)));
        if batch.bounds.is_some_and(is_inside) || is_inside(extremes()) {
            return self.add_run(slice, times, values);
        }
        let mut start = 0;
        while start < times.len() {
            let slice = self.slice_of(times[start])?;
            let window = self.slices[slice].window;
            let end = times[start..].iter().position(|&time| !window.contains(time)).map_or(times.len(), |n| start + n);
            self.add_run(slice, &times[start..end], &values[start..end])?;
            start = end;
        }
        Ok(())
    }

    fn start_firing(&mut self, out: &Outbox<A::Out, A::In>) {
        let table = &self.slices[0].table;
        self.firing.clear();
        self.firing.extend(table.entries().enumerate().map(|(number, entry)| {
            let canonical = CanonicalKey::of(&entry.key, out.symbols()).value();
            (canonical, hash_key(&entry.key), number as u32)
        }));
        self.firing.sort_unstable();
        // Keys that share a canonical text and a hash are ordered by their bytes.
        for run in self.firing.chunk_by_mut(|a, b| (a.0, a.1) == (b.0, b.1)).filter(|run| run.len() > 1) {
            run.sort_by(|a, b| {
                let bytes = |order: &Order| bytemuck::bytes_of(&table.entry(order.2 as usize).key);
                bytes(a).cmp(bytes(b))
            });
        }
        self.fired = 0;
    }
}

impl<K: Key, F, A: Aggregate<K>> Operator for TumblingOperator<K, F, A>
where
    F: Fn(&A::In) -> K + 'static,
{
    type In = A::In;
    type Out = A::Out;

    fn on_batch(&mut self, batch: Batch<'_, A::In>, out: &mut Outbox<A::Out, A::In>) -> Result<usize, OperatorError> {
        let step = self.step.clone();
        blame::in_step(&step, || {
            if let Some(watermark) = batch.behind {
                for (index, (&time, value)) in batch.times.iter().zip(batch.values).enumerate() {
                    if self.windows.assign(time).max_timestamp() <= watermark {
                        out.emit_late(index, time, *value);
                    } else {
                        self.add_rows(Batch::new(&[time], std::slice::from_ref(value)))?;
                    }
                }
            } else {
                self.add_rows(batch)?;
            }
            Ok(batch.values.len())
        })
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<A::Out, A::In>) -> Result<Firing, OperatorError> {
        let step = self.step.clone();
        blame::in_step(&step, || {
            while let Some(slice) = self.slices.first()
                && slice.window.max_timestamp() <= watermark
            {
                if self.firing.is_empty() {
                    self.start_firing(out);
                }
                let Slice { window, table } = &self.slices[0];
                while let Some(&(canonical, hash, number)) = self.firing.get(self.fired) {
                    if out.is_full() {
                        return Ok(Firing::More);
                    }
                    let entry = table.entry(number as usize);
                    let row = self.aggregate.result(*window, &entry.key, &entry.value);
                    out.emit_fired(window.max_timestamp(), CanonicalKey::from_value(canonical), hash, row);
                    self.fired += 1;
                }
                self.firing.clear();
                self.fired = 0;
                let mut table = self.slices.remove(0).table;
                table.clear();
                self.spare.push(table);
            }
            Ok(Firing::Done)
        })
    }

    fn save(&self, piece: &mut dyn FnMut(Slot, &[u8])) {
        let mut bytes = Vec::new();
        for slice in &self.slices {
            for entry in slice.table.entries() {
                bytes.clear();
                bytes.extend_from_slice(&slice.window.start.as_nanos().to_le_bytes());
                bytes.extend_from_slice(bytemuck::bytes_of(&entry.key));
                bytes.extend_from_slice(bytemuck::bytes_of(&entry.value));
                piece(slot_of(hash_key(&entry.key)), &bytes);
            }
        }
    }

    fn restore(&mut self, slot: Slot, piece: &[u8]) -> Result<(), OperatorError> {
        let misfit = |what: &str| OperatorError::Misfit(format!("{what} in a piece of slot {slot} of {}", self.step));
        let Some((start, rest)) = piece.split_first_chunk::<8>() else { return Err(misfit("no window")) };
        if rest.len() != size_of::<K>() + size_of::<A::Acc>() {
            return Err(misfit("a wrong length"));
        }
        let (key, value) = rest.split_at(size_of::<K>());
        let key: K = bytemuck::pod_read_unaligned(key);
        let hash = hash_key(&key);
        if slot_of(hash) != slot {
            return Err(misfit("a key of another slot"));
        }
        let at = self.slice_of(Timestamp::from_nanos(i64::from_le_bytes(*start)))?;
        *self.slices[at].table.value_mut(key) = bytemuck::pod_read_unaligned(value);
        Ok(())
    }
}
