//! The tumbling window operator: a slice fires when the watermark reaches its last nanosecond, and its
//! rows leave in canonical order of keys.

use crate::operator::aggregate::Aggregate;
use crate::operator::window::Tumbling;
use crate::operator::window::firing::{FiringOrder, fire_slice};
use crate::operator::window::slices::{Slices, WindowLimits};
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::groups::Groups;
use crate::{Key, Slot, Timestamp, hash_key, slot_of};
use bytemuck::Pod;
use std::sync::Arc;

pub(crate) struct TumblingOperator<K: Key, F, A: Aggregate<K>> {
    step: Arc<str>,
    slices: Slices<K, F, A>,
    /// Of the first slice.
    firing: FiringOrder,
}

impl<K: Key, F, A: Aggregate<K>> TumblingOperator<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) fn new(step: Arc<str>, windows: Tumbling, key_of: F, aggregate: A, limits: WindowLimits) -> Self {
        let slices = Slices::new(windows, key_of, aggregate, limits);
        Self { step, slices, firing: FiringOrder::default() }
    }
}

impl<K: Key, F, A: Aggregate<K>> Operator for TumblingOperator<K, F, A>
where
    F: Fn(&A::In) -> K + 'static,
{
    type Outputs = (A::Out, A::In);

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<(A::Out, A::In)>,
    ) -> Result<Firing, OperatorError> {
        while let Some((window, groups)) = self.slices.open.first_due(watermark) {
            if fire_slice(window, groups, &mut self.firing, &self.slices.aggregate, out) == Firing::More {
                return Ok(Firing::More);
            }
            self.slices.close_first();
        }
        Ok(Firing::Done)
    }

    fn next_firing(&self) -> Timestamp {
        self.slices.open.next_due()
    }

    fn needs_watermarks(&self) -> bool {
        false
    }

    fn save(&self, piece: &mut dyn FnMut(Slot, &[u8])) {
        self.slices.open.iter().for_each(|(window, groups)| save_slice(window.start, groups, piece));
    }

    fn restore(&mut self, slot: Slot, piece: &[u8]) -> Result<(), OperatorError> {
        let Piece { start, key, value } = Piece::parse(&self.step, self.slices.windows, slot, piece)?;
        *self.slices.accumulator(start, key)? = value;
        Ok(())
    }
}

impl<K: Key, F, A: Aggregate<K>> OperatorInput<0> for TumblingOperator<K, F, A>
where
    F: Fn(&A::In) -> K + 'static,
{
    type Row = A::In;

    fn on_batch(&mut self, batch: Batch<'_, A::In>, out: &mut Outbox<(A::Out, A::In)>) -> Result<usize, OperatorError> {
        self.slices.add_or_refuse(batch, |index, time, row| out.emit::<1>(index, time, row))
    }
}

/// Saves what a window has: a piece for each key, with the window's start, the key and its value.
pub(crate) fn save_slice<K: Key, V: Pod>(start: Timestamp, groups: &Groups<K, V>, piece: &mut dyn FnMut(Slot, &[u8])) {
    let mut bytes = Vec::new();
    for (_, key, value) in groups.entries(0) {
        bytes.clear();
        bytes.extend_from_slice(&start.as_nanos().to_le_bytes());
        bytes.extend_from_slice(bytemuck::bytes_of(&key));
        bytes.extend_from_slice(bytemuck::bytes_of(value));
        piece(slot_of(hash_key(&key)), &bytes);
    }
}

/// What [`save_slice`] saved of a key.
pub(crate) struct Piece<K, V> {
    pub(crate) start: Timestamp,
    pub(crate) key: K,
    pub(crate) value: V,
}

impl<K: Key, V: Pod> Piece<K, V> {
    /// Checks what was saved in `slot` of a step with these windows.
    pub(crate) fn parse(step: &str, windows: Tumbling, slot: Slot, piece: &[u8]) -> Result<Self, OperatorError> {
        let misfit = |what: &str| OperatorError::Misfit(format!("{what} in a piece of slot {slot} of {step}"));
        let Some((start, rest)) = piece.split_first_chunk::<8>() else { return Err(misfit("no window")) };
        if rest.len() != size_of::<K>() + size_of::<V>() {
            return Err(misfit("a wrong length"));
        }
        let (key, value) = rest.split_at(size_of::<K>());
        let key: K = bytemuck::pod_read_unaligned(key);
        if slot_of(hash_key(&key)) != slot {
            return Err(misfit("a key of another slot"));
        }
        let start = Timestamp::from_nanos(i64::from_le_bytes(*start));
        if windows.assign(start).start != start {
            return Err(misfit("a time that is no window's start"));
        }
        Ok(Self { start, key, value: bytemuck::pod_read_unaligned(value) })
    }
}
