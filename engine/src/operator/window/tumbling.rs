//! The tumbling window operator: a slice fires when the watermark reaches its last nanosecond, and its
//! rows leave in canonical order of keys.

use crate::base::blame;
use crate::operator::aggregate::Aggregate;
use crate::operator::window::Tumbling;
use crate::operator::window::slices::{Slice, Slices, WindowLimits};
use crate::operator::{Batch, Firing, Operator, OperatorError, Outbox};
use crate::{CanonicalKey, Dictionary, Key, Record, Slot, Timestamp, hash_key, slot_of};
use std::sync::Arc;

/// An order of entries to fire: canonical key, hash, number of the entry.
type Order = (u128, u64, u32);

pub(crate) struct TumblingOperator<K: Key, F, A: Aggregate<K>> {
    pub(crate) step: Arc<str>,
    pub(crate) slices: Slices<K, F, A>,
    /// Entries of the first slice in the order they fire, from `fired` on still to fire.
    firing: Vec<Order>,
    fired: usize,
    /// What has fired. Rows are not behind their source's watermark unless they say so, but they can
    /// be behind this one: their source was idle, or a timer emitted them.
    watermark: Timestamp,
}

impl<K: Key, F, A: Aggregate<K>> TumblingOperator<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) const fn new(step: Arc<str>, windows: Tumbling, key_of: F, aggregate: A, limits: WindowLimits) -> Self {
        let slices = Slices::new(windows, key_of, aggregate, limits);
        Self { step, slices, firing: Vec::new(), fired: 0, watermark: Timestamp::MIN }
    }

    /// Fires the slices that `watermark` has reached.
    pub(crate) fn fire<In: Record>(&mut self, watermark: Timestamp, out: &mut Outbox<A::Out, In>) -> Firing {
        self.watermark = watermark;
        while self.slices.first_due(watermark).is_some() {
            if self.firing.is_empty() {
                self.start_firing(out.symbols().clone());
            }
            let Slice { window, table } = &self.slices.open()[0];
            while let Some(&(canonical, hash, number)) = self.firing.get(self.fired) {
                // Keys with one canonical text and hash are not parted.
                let same_place = |before: &Order| (before.0, before.1) == (canonical, hash);
                if out.is_full() && !self.fired.checked_sub(1).is_some_and(|at| same_place(&self.firing[at])) {
                    return Firing::More;
                }
                let entry = table.entry(number as usize);
                let row = self.slices.aggregate.result(*window, &entry.key, &entry.value);
                out.emit_fired(window.max_timestamp(), CanonicalKey::from_value(canonical), hash, row);
                self.fired += 1;
            }
            self.firing.clear();
            self.fired = 0;
            self.slices.close_first();
        }
        Firing::Done
    }

    fn start_firing(&mut self, symbols: Arc<Dictionary>) {
        let table = &self.slices.open()[0].table;
        self.firing.clear();
        self.firing.extend(table.entries().enumerate().map(|(number, entry)| {
            let canonical = CanonicalKey::of(&entry.key, &symbols).value();
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
        let Self { step, slices, watermark, .. } = self;
        blame::in_step(step, || {
            let min = || batch.bounds.map_or_else(|| batch.times.iter().copied().min(), |(min, _)| Some(min));
            if batch.behind.is_none() && min().is_none_or(|min| min > *watermark) {
                return slices.add_rows(batch);
            }
            let watermark = batch.behind.unwrap_or(Timestamp::MIN).max(*watermark);
            for (index, (&time, value)) in batch.times.iter().zip(batch.values).enumerate() {
                if slices.is_late(time, watermark) {
                    out.emit_late(index, time, *value);
                } else {
                    slices.add_rows(Batch::new(&[time], std::slice::from_ref(value)))?;
                }
            }
            Ok(())
        })?;
        Ok(batch.values.len())
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<A::Out, A::In>) -> Result<Firing, OperatorError> {
        let step = self.step.clone();
        Ok(blame::in_step(&step, || self.fire(watermark, out)))
    }

    fn save(&self, piece: &mut dyn FnMut(Slot, &[u8])) {
        let mut bytes = Vec::new();
        for slice in self.slices.open() {
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
        let start = Timestamp::from_nanos(i64::from_le_bytes(*start));
        if !self.slices.is_start(start) {
            return Err(misfit("a time that is no window's start"));
        }
        *self.slices.accumulator(start, key)? = bytemuck::pod_read_unaligned(value);
        Ok(())
    }
}
