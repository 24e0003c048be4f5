//! Combining before an exchange, the receiving side: merges the parts of each window and fires it.

use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::Tumbling;
use crate::operator::window::firing::{FiringOrder, fire_slice};
use crate::operator::window::part::{PartRef, PartTables};
use crate::operator::window::slice_store::SliceStore;
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::groups::Groups;
use crate::store::{Store, StoreSettings};
use crate::{Key, Timestamp};
use std::sync::Arc;

/// Merges parts and fires their windows.
pub(crate) struct MergedOperator<K: Key, A: WindowAggregate<K>> {
    aggregate: A,
    tables: Arc<PartTables<K, A::Acc>>,
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
        Self { aggregate, tables, store, firing: FiringOrder::default() }
    }

    /// Gives a table back to its worker, where it is one's.
    fn give_back(&self, groups: Groups<K, A::Acc>) {
        if let Some(worker) = groups.worker() {
            self.tables.give_back(worker, groups);
        }
    }

    /// Merges a part with what there is of its window.
    fn merge(&mut self, part: PartRef) -> Result<(), OperatorError> {
        let Some(mut groups) = self.tables.receive(part.number) else {
            unreachable!("a part is told once, with its table")
        };
        let (slot, _) = self.store.find_or_open(part.start)?;
        if !self.store.groups_mut(slot).is_larger_than(&groups) {
            self.store.swap(slot, &mut groups);
        }
        let open = self.store.groups_mut(slot);
        open.absorb(&groups, |value, more| self.aggregate.merge(value, more));
        let is_too_large = open.len() > self.store.keys_max();
        self.give_back(groups);
        if is_too_large { Err(self.store.too_many_keys().into()) } else { Ok(()) }
    }
}

impl<K: Key, A: WindowAggregate<K>> Operator for MergedOperator<K, A> {
    type Outputs = (A::Out,);

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<(A::Out,)>) -> Result<Firing, OperatorError> {
        while let Some((window, groups)) = self.store.open.first_due(watermark) {
            if fire_slice(window, groups, &mut self.firing, &self.aggregate, out) == Firing::More {
                return Ok(Firing::More);
            }
            if let Some((_, groups)) = self.store.take_first() {
                self.give_back(groups);
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
        batch.values().iter().try_for_each(|part| self.merge(*part))?;
        Ok(batch.len())
    }
}
