//! Combining before an exchange, the sending side: each worker aggregates the rows it reads, and sends each window that
//! is over for it, as a part. No row leaves its worker.
//!
//! Only for aggregates whose merge is exact: the result is then the same whatever rows a worker read, and in
//! whatever order parts are merged. A part is a table, which changes hands whole: what travels on the edge is where it
//! lies. Tables go back to the worker that filled them, in whose cache they are.

use crate::base::parcels::Parcels;
use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::Tumbling;
use crate::operator::window::slice_store::merging_store;
use crate::operator::window::slices::Slices;
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::groups::Groups;
use crate::store::{Store, StoreSettings};
use crate::{CanonicalKey, HashSeed, Key, Timestamp};
use std::sync::Arc;

/// A part on its way: the start of its window, and where its table lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, crate::Record)]
#[repr(C)]
pub(crate) struct PartRef {
    pub(crate) start: Timestamp,
    pub(crate) number: u32,
    /// The worker whose part it is.
    pub(crate) worker: u32,
}

/// The tables of parts that are on their way, and of those that go back, not cleared.
pub(crate) type PartTables<K, V> = Parcels<Groups<K, V>>;

/// Aggregates this worker's rows. Its outputs: late rows, and parts.
pub(crate) struct PartOperator<K: Key, F, A: WindowAggregate<K>> {
    worker: usize,
    seed: HashSeed,
    slices: Slices<K, F, A>,
    tables: Arc<PartTables<K, A::Acc>>,
}

impl<K: Key, F, A: WindowAggregate<K>> PartOperator<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) fn new(
        worker: usize,
        windows: Tumbling,
        (key_of, aggregate): (F, A),
        settings: &StoreSettings,
        tables: Arc<PartTables<K, A::Acc>>,
    ) -> Self {
        let store = merging_store(windows, &aggregate, settings);
        Self { worker, seed: settings.seed, slices: Slices::new(windows, key_of, aggregate, store), tables }
    }
}

impl<K: Key, F, A: WindowAggregate<K>> Operator for PartOperator<K, F, A>
where
    F: Fn(&A::In) -> K + 'static,
{
    type Outputs = (A::In, PartRef);
    const LATE_OUTPUTS: &'static [usize] = &[0];

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<(A::In, PartRef)>,
    ) -> Result<Firing, OperatorError> {
        while self.slices.store.open.first_due(watermark).is_some() {
            if out.is_full() {
                return Ok(Firing::More);
            }
            let Some((start, groups)) = self.slices.store.take_first() else { break };
            // Nobody has saved it where it comes to.
            let (number, spare) = self.tables.send(self.worker, groups.unsaved());
            let mut spare = spare.unwrap_or_else(|| Groups::new(self.seed).of_worker(self.worker));
            spare.clear();
            self.slices.store.keep_spare(spare);
            let part = PartRef { start, number, worker: self.worker as u32 };
            let mut key = CanonicalKey::default();
            key.push(&part.worker.to_be_bytes());
            out.emit_fired::<1>(self.slices.windows.assign(start).max_timestamp(), key, part);
        }
        Ok(Firing::Done)
    }

    fn next_firing(&self) -> Timestamp {
        self.slices.store.open.next_due()
    }

    fn needs_watermarks(&self) -> bool {
        false
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("slices", &mut self.slices.store);
    }
}

impl<K: Key, F, A: WindowAggregate<K>> OperatorInput<0> for PartOperator<K, F, A>
where
    F: Fn(&A::In) -> K + 'static,
{
    type Row = A::In;

    fn on_batch(
        &mut self,
        batch: Batch<'_, A::In>,
        out: &mut Outbox<(A::In, PartRef)>,
    ) -> Result<usize, OperatorError> {
        self.slices.add_or_refuse::<0, _>(batch, out)
    }
}
