//! The process function with a broadcast side: each key's rows see a table that another stream fills on all workers.

use crate::base::blame;
use crate::operator::keyed::{Keyed, ProcessContext, ProcessLimits};
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::table::Table;
use crate::{Key, Record, Slot, Timestamp, hash_key};
use std::sync::Arc;

/// Keys without a value that a table keeps whatever its size.
const REMOVED_MAX: usize = 64;

/// A table that all workers have alike.
///
/// ```
/// let mut limits = pelton::BroadcastTable::<u32, i64>::new();
/// limits.insert(7, 100);
/// assert_eq!(limits.get(&7), Some(&100));
/// assert_eq!(limits.remove(&7), Some(100));
/// assert!(limits.is_empty());
/// ```
pub struct BroadcastTable<K, V> {
    index: Table<K, u8>,
    /// By the entry's number.
    values: Vec<Option<V>>,
    len: usize,
}

impl<K: Key, V: Record> BroadcastTable<K, V> {
    /// An empty table.
    pub fn new() -> Self {
        Self { index: Table::new(), values: Vec::new(), len: 0 }
    }

    /// The value of a key, where it has one.
    pub fn get(&self, key: &K) -> Option<&V> {
        let number = self.index.find(key, hash_key(key))?;
        self.values.get(number)?.as_ref()
    }

    /// Gives a key a value, and returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let number = self.index.find_or_insert(key, hash_key(&key));
        if number >= self.values.len() {
            self.values.resize_with(number + 1, || None);
        }
        let before = self.values[number].replace(value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes the value of a key away.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let number = self.index.find(key, hash_key(key))?;
        let before = self.values.get_mut(number)?.take();
        self.len -= usize::from(before.is_some());
        if self.values.len() > 2 * self.len + REMOVED_MAX {
            self.forget_removed();
        }
        before
    }

    /// Makes the table anew with the keys that have a value.
    fn forget_removed(&mut self) {
        let mut table = Self::new();
        for (key, value) in self.iter() {
            table.insert(*key, *value);
        }
        *self = table;
    }

    /// The number of keys with a value.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no key has a value.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keys and values, in an order that depends on the insertions and removals alone.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.index.entries().zip(&self.values).filter_map(|(entry, value)| Some((&entry.key, value.as_ref()?)))
    }
}

impl<K: Key, V: Record> Default for BroadcastTable<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// A function with state for each key, and a table that a second stream fills: rules, limits, rates.
///
/// Each row of the second stream reaches all workers, and each row of the first sees the table as of its own place in
/// the job's order. The second stream cannot emit: each worker would.
///
/// ```
/// use pelton::{BroadcastProcessFunction, BroadcastTable, ProcessContext, Timestamp};
///
/// /// Passes on amounts above the limit of their kind.
/// #[derive(Clone)]
/// struct AboveLimit;
///
/// impl BroadcastProcessFunction<u32> for AboveLimit {
///     type In = i64;
///     type Broadcast = i64;
///     type TableKey = u8;
///     type TableValue = i64;
///     type State = u64;
///     type Out = i64;
///     fn on_row(
///         &self, _: &u32, _: Timestamp, amount: &i64, _: &mut u64,
///         limits: &BroadcastTable<u8, i64>, context: &mut ProcessContext<'_, i64>,
///     ) {
///         if limits.get(&0).is_some_and(|limit| amount > limit) {
///             context.emit(*amount);
///         }
///     }
///     fn on_broadcast(&self, _: Timestamp, limit: &i64, limits: &mut BroadcastTable<u8, i64>) {
///         limits.insert(0, *limit);
///     }
/// }
/// ```
pub trait BroadcastProcessFunction<K>: Clone + Send + Sync + 'static {
    /// The rows of the keyed stream.
    type In: Record;
    /// The rows of the broadcast stream.
    type Broadcast: Record;
    /// The keys of the table.
    type TableKey: Key;
    /// The values of the table.
    type TableValue: Record;
    /// The state of one key, zeros for a new one.
    type State: Record;
    /// The rows it emits.
    type Out: Record;

    /// A row of `key` came.
    fn on_row(
        &self,
        key: &K,
        time: Timestamp,
        row: &Self::In,
        state: &mut Self::State,
        table: &BroadcastTable<Self::TableKey, Self::TableValue>,
        context: &mut ProcessContext<'_, Self::Out>,
    );

    /// A row of the broadcast stream came.
    fn on_broadcast(
        &self,
        time: Timestamp,
        row: &Self::Broadcast,
        table: &mut BroadcastTable<Self::TableKey, Self::TableValue>,
    );

    /// A timer of `key` fired: as [`ProcessFunction::on_timer`](crate::ProcessFunction::on_timer).
    fn on_timer(
        &self,
        key: &K,
        time: Timestamp,
        state: &mut Self::State,
        table: &BroadcastTable<Self::TableKey, Self::TableValue>,
        context: &mut ProcessContext<'_, Self::Out>,
    ) {
        let _ = (key, time, state, table, context);
    }
}

pub(crate) struct BroadcastOperator<K, F, P: BroadcastProcessFunction<K>> {
    step: Arc<str>,
    key_of: F,
    function: P,
    keyed: Keyed<K, P::State>,
    table: BroadcastTable<P::TableKey, P::TableValue>,
    keys_max: usize,
}

impl<K: Key, F, P: BroadcastProcessFunction<K>> BroadcastOperator<K, F, P> {
    pub(crate) fn new(step: Arc<str>, key_of: F, function: P, limits: ProcessLimits) -> Self {
        let (keyed, keys_max) = (Keyed::new(limits), limits.keys_max);
        Self { step, key_of, function, keyed, table: BroadcastTable::new(), keys_max }
    }

    fn fire(&mut self, watermark: Timestamp, out: &mut Outbox<(P::Out,)>) -> Result<Firing, OperatorError> {
        let Self { keyed, function, table, .. } = self;
        keyed.fire(watermark, out, |key, time, state, context| function.on_timer(key, time, state, table, context))
    }
}

impl<K: Key, F: 'static, P: BroadcastProcessFunction<K>> Operator for BroadcastOperator<K, F, P> {
    type Outputs = (P::Out,);

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<(P::Out,)>) -> Result<Firing, OperatorError> {
        self.fire(watermark, out)
    }

    fn on_events_over(&mut self, watermark: Timestamp) {
        self.keyed.end_behind(watermark);
    }

    fn next_firing(&self) -> Timestamp {
        self.keyed.next_timer()
    }

    // The table is not among the pieces: a piece is of one slot, and so of one worker, and the table is of all.
    fn save(&self, piece: &mut dyn FnMut(Slot, &[u8])) {
        self.keyed.save(piece);
    }

    fn restore(&mut self, slot: Slot, piece: &[u8]) -> Result<(), OperatorError> {
        self.keyed.restore(&self.step, slot, piece)
    }
}

impl<K: Key, F, P: BroadcastProcessFunction<K>> OperatorInput<0> for BroadcastOperator<K, F, P>
where
    F: Fn(&P::In) -> K + 'static,
{
    type Row = P::In;

    fn on_batch(&mut self, batch: Batch<'_, P::In>, out: &mut Outbox<(P::Out,)>) -> Result<usize, OperatorError> {
        let Self { key_of, function, keyed, table, .. } = self;
        keyed.take(
            &batch,
            out,
            &*key_of,
            |key, time, row, state, context| function.on_row(key, time, row, state, table, context),
            |key, time, state, context| function.on_timer(key, time, state, table, context),
        )
    }
}

impl<K: Key, F: 'static, P: BroadcastProcessFunction<K>> OperatorInput<1> for BroadcastOperator<K, F, P> {
    type Row = P::Broadcast;

    fn on_batch(
        &mut self,
        batch: Batch<'_, P::Broadcast>,
        out: &mut Outbox<(P::Out,)>,
    ) -> Result<usize, OperatorError> {
        for (index, (&time, row)) in batch.times().iter().zip(batch.values()).enumerate() {
            let watermark = batch.watermark(index);
            // Timers before it see the table without it.
            if self.keyed.next_timer() <= watermark && self.fire(watermark, out)? == Firing::More {
                return Ok(index);
            }
            let Self { function, table, .. } = self;
            blame::at_index(index, || function.on_broadcast(time, row, table));
            if table.len() > self.keys_max {
                return Err(OperatorError::TooManyKeys(self.keys_max));
            }
        }
        Ok(batch.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_whose_keys_come_and_go_keeps_its_size() {
        let mut table = BroadcastTable::<u64, u64>::new();
        for key in 0..100_000 {
            assert_eq!(table.insert(key, key + 1), None);
            if key >= 10 {
                assert_eq!(table.remove(&(key - 10)), Some(key - 9));
            }
            assert!(table.values.len() <= 2 * table.len() + REMOVED_MAX + 1);
        }
        let left: Vec<_> = table.iter().map(|(key, value)| (*key, *value)).collect();
        assert_eq!(left, (99_990..100_000).map(|key| (key, key + 1)).collect::<Vec<_>>());
        assert_eq!((table.len(), table.get(&5), table.get(&99_995)), (10, None, Some(&99_996)));
    }
}
