//! Combining before an exchange, the receiving side: merges the parts of each window and fires it.

use crate::operator::aggregate::Aggregate;
use crate::operator::window::Tumbling;
use crate::operator::window::firing::{FiringOrder, fire_slice};
use crate::operator::window::part::{PartRef, PartTables};
use crate::operator::window::tumbling::{Piece, save_slice};
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::groups::Groups;
use crate::{Key, Slot, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Merges parts and fires their windows.
pub(crate) struct MergedOperator<K: Key, A: Aggregate<K>> {
    step: Arc<str>,
    windows: Tumbling,
    aggregate: A,
    keys_max: usize,
    tables: Arc<PartTables<K, A::Acc>>,
    /// What came of each window, by its start, with the worker whose table it is.
    open: BTreeMap<Timestamp, (u32, Groups<K, A::Acc>)>,
    firing: FiringOrder,
}

impl<K: Key, A: Aggregate<K>> MergedOperator<K, A> {
    pub(crate) fn new(
        step: Arc<str>,
        windows: Tumbling,
        aggregate: A,
        keys_max: usize,
        tables: Arc<PartTables<K, A::Acc>>,
    ) -> Self {
        Self { step, windows, aggregate, keys_max, tables, open: BTreeMap::new(), firing: FiringOrder::default() }
    }

    /// Merges a part with what there is of its window.
    fn merge(&mut self, part: PartRef) -> Result<(), OperatorError> {
        let Some(mut groups) = self.tables.receive(part) else { unreachable!("a part is told once, with its table") };
        let mut worker = part.worker;
        if let Some((other_worker, mut other)) = self.open.remove(&part.start) {
            if other.is_larger_than(&groups) {
                std::mem::swap(&mut groups, &mut other);
                worker = other_worker;
                groups.absorb(&other, |value, more| self.aggregate.merge(value, more));
                self.tables.give_back(part.worker, other);
            } else {
                groups.absorb(&other, |value, more| self.aggregate.merge(value, more));
                self.tables.give_back(other_worker, other);
            }
        }
        if groups.len() > self.keys_max {
            return Err(OperatorError::TooManyKeys(self.keys_max));
        }
        self.open.insert(part.start, (worker, groups));
        Ok(())
    }
}

impl<K: Key, A: Aggregate<K>> Operator for MergedOperator<K, A> {
    type Outputs = (A::Out,);

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<(A::Out,)>) -> Result<Firing, OperatorError> {
        while let Some(first) = self.open.first_entry() {
            let window = self.windows.assign(*first.key());
            if window.max_timestamp() > watermark {
                break;
            }
            if fire_slice(window, &first.get().1, &mut self.firing, &self.aggregate, out) == Firing::More {
                return Ok(Firing::More);
            }
            let (worker, groups) = first.remove();
            self.tables.give_back(worker, groups);
        }
        Ok(Firing::Done)
    }

    fn next_firing(&self) -> Timestamp {
        let first = self.open.first_key_value();
        first.map_or(Timestamp::MAX, |(start, _)| self.windows.assign(*start).max_timestamp())
    }

    fn needs_watermarks(&self) -> bool {
        false
    }

    fn save(&self, piece: &mut dyn FnMut(Slot, &[u8])) {
        self.open.iter().for_each(|(start, (_, groups))| save_slice(*start, groups, piece));
    }

    fn restore(&mut self, slot: Slot, piece: &[u8]) -> Result<(), OperatorError> {
        let Piece { start, key, value } = Piece::parse(&self.step, self.windows, slot, piece)?;
        let (_, groups) = self.open.entry(start).or_insert_with(|| (0, Groups::new()));
        self.aggregate.merge(groups.value_mut(key), &value);
        Ok(())
    }
}

impl<K: Key, A: Aggregate<K>> OperatorInput<0> for MergedOperator<K, A> {
    type Row = PartRef;

    fn on_batch(&mut self, batch: Batch<'_, PartRef>, _: &mut Outbox<(A::Out,)>) -> Result<usize, OperatorError> {
        batch.values().iter().try_for_each(|part| self.merge(*part))?;
        Ok(batch.len())
    }
}
