//! Combining before an exchange, the receiving side: merges the parts of each window and fires it. Of windows that overlap it
//! merges the parts of each slice.

use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::Tumbling;
use crate::operator::window::firing::{FiringOrder, fire_slice};
use crate::operator::window::overlapping::{Overlapping, OverlappingFiring};
use crate::operator::window::part::{PartRef, PartTables};
use crate::operator::window::slice_store::SliceStore;
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::groups::Groups;
use crate::store::{Store, StoreError, StoreSettings};
use crate::{Key, Timestamp};
use std::sync::Arc;

/// What takes the tables of parts.
struct Merging<K: Key, A: WindowAggregate<K>> {
    aggregate: A,
    tables: Arc<PartTables<K, A::Acc>>,
}

impl<K: Key, A: WindowAggregate<K>> Merging<K, A> {
    /// Gives a table back to its worker, where it is one's.
    fn give_back(&self, groups: Groups<K, A::Acc>) {
        if let Some(worker) = groups.worker() {
            self.tables.give_back(worker, groups);
        }
    }

    /// Merges a part with what there is of its slice.
    fn merge(&self, part: PartRef, store: &mut SliceStore<K, A::Acc>) -> Result<(), StoreError> {
        let Some(mut groups) = self.tables.receive(part.number) else {
            unreachable!("a part is told once, with its table")
        };
        let (slot, _) = store.find_or_open(part.start)?;
        if !store.groups_mut(slot).is_larger_than(&groups) {
            store.swap(slot, &mut groups);
        }
        let open = store.groups_mut(slot);
        open.absorb(&groups, |value, more| self.aggregate.merge(value, more));
        let is_too_large = open.len() > store.keys_max();
        self.give_back(groups);
        if is_too_large { Err(store.too_many_keys()) } else { Ok(()) }
    }
}

/// Merges parts and fires their windows.
pub(crate) struct MergedOperator<K: Key, A: WindowAggregate<K>> {
    merging: Merging<K, A>,
    store: SliceStore<K, A::Acc>,
    firing: FiringOrder,
}

impl<K: Key, A: WindowAggregate<K>> MergedOperator<K, A> {
    pub(crate) fn new(
        windows: Tumbling,
        aggregate: A,
        settings: &StoreSettings,
        tables: Arc<PartTables<K, A::Acc>>,
    ) -> Self {
        let store = SliceStore::new(windows, aggregate.state_layout(), settings);
        Self { merging: Merging { aggregate, tables }, store, firing: FiringOrder::default() }
    }
}

impl<K: Key, A: WindowAggregate<K>> Operator for MergedOperator<K, A> {
    type Outputs = (A::Out,);

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<(A::Out,)>) -> Result<Firing, OperatorError> {
        while let Some((window, groups)) = self.store.open.first_due(watermark) {
            if fire_slice(window, groups, &mut self.firing, &self.merging.aggregate, out) == Firing::More {
                return Ok(Firing::More);
            }
            if let Some((_, groups)) = self.store.take_first() {
                self.merging.give_back(groups);
            }
        }
        Ok(Firing::Done)
    }

    fn next_firing(&self) -> Timestamp {
        self.store.open.next_due()
    }

    fn needs_watermarks(&self) -> bool {
        false
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("slices", &mut self.store);
    }
}

impl<K: Key, A: WindowAggregate<K>> OperatorInput<0> for MergedOperator<K, A> {
    type Row = PartRef;

    fn on_batch(&mut self, batch: Batch<'_, PartRef>, _: &mut Outbox<(A::Out,)>) -> Result<usize, OperatorError> {
        batch.values().iter().try_for_each(|part| self.merging.merge(*part, &mut self.store))?;
        Ok(batch.len())
    }
}

/// Merges parts of slices and fires the windows that overlap.
pub(crate) struct MergedOverlappingOperator<K: Key, A: WindowAggregate<K>> {
    merging: Merging<K, A>,
    store: SliceStore<K, A::Acc>,
    firing: OverlappingFiring<K, A>,
}

impl<K: Key, A: WindowAggregate<K>> MergedOverlappingOperator<K, A> {
    pub(crate) fn new(
        windows: Overlapping,
        aggregate: A,
        settings: &StoreSettings,
        tables: Arc<PartTables<K, A::Acc>>,
    ) -> Self {
        let store = SliceStore::new(windows.slices, aggregate.state_layout(), settings);
        let firing = OverlappingFiring::new(windows, &aggregate, &store);
        Self { merging: Merging { aggregate, tables }, store, firing }
    }
}

impl<K: Key, A: WindowAggregate<K>> Operator for MergedOverlappingOperator<K, A> {
    type Outputs = (A::Out,);

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<(A::Out,)>) -> Result<Firing, OperatorError> {
        self.firing.fire_up_to(watermark, (&mut self.store, &self.merging.aggregate), out)
    }

    fn next_firing(&self) -> Timestamp {
        self.firing.next_firing(&self.store)
    }

    fn needs_watermarks(&self) -> bool {
        false
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("slices", &mut self.store);
        show("passed", self.firing.passed.store());
    }
}

impl<K: Key, A: WindowAggregate<K>> OperatorInput<0> for MergedOverlappingOperator<K, A> {
    type Row = PartRef;

    fn on_batch(&mut self, batch: Batch<'_, PartRef>, out: &mut Outbox<(A::Out,)>) -> Result<usize, OperatorError> {
        for (index, (time, part)) in batch.times().iter().zip(batch.values()).enumerate() {
            // It has the time of the first window that it belongs to: those before it are without its rows.
            if self.on_watermark(time.minus_nanos(1), out)? == Firing::More {
                return Ok(index);
            }
            let Self { merging, store, firing } = self;
            firing.change(part.start, store, |store| merging.merge(*part, store))?;
        }
        Ok(batch.len())
    }
}
