//! The tumbling window operator: a slice fires when the watermark reaches its last nanosecond, and its
//! rows leave in canonical order of keys.

use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::Tumbling;
use crate::operator::window::firing::{FiringOrder, fire_slice};
use crate::operator::window::slice_store::merging_store;
use crate::operator::window::slices::Slices;
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::{Store, StoreSettings};
use crate::{Key, Timestamp};

pub(crate) struct TumblingOperator<K: Key, F, A: WindowAggregate<K>> {
    slices: Slices<K, F, A>,
    /// Of the first slice.
    firing: FiringOrder,
}

impl<K: Key, F, A: WindowAggregate<K>> TumblingOperator<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) fn new(windows: Tumbling, key_of: F, aggregate: A, settings: &StoreSettings) -> Self {
        let store = merging_store(windows, &aggregate, settings);
        let slices = Slices::new(windows, key_of, aggregate, store);
        Self { slices, firing: FiringOrder::default() }
    }
}

impl<K: Key, F, A: WindowAggregate<K>> Operator for TumblingOperator<K, F, A>
where
    F: Fn(&A::In) -> K + 'static,
{
    type Outputs = (A::Out, A::In);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<(A::Out, A::In)>,
    ) -> Result<Firing, OperatorError> {
        while let Some((window, groups)) = self.slices.store.open.first_due(watermark) {
            if fire_slice(window, groups, &mut self.firing, &self.slices.aggregate, out) == Firing::More {
                return Ok(Firing::More);
            }
            self.slices.store.close_first();
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

impl<K: Key, F, A: WindowAggregate<K>> OperatorInput<0> for TumblingOperator<K, F, A>
where
    F: Fn(&A::In) -> K + 'static,
{
    type Row = A::In;

    fn on_batch(&mut self, batch: Batch<'_, A::In>, out: &mut Outbox<(A::Out, A::In)>) -> Result<usize, OperatorError> {
        self.slices.add_or_refuse::<1, _>(batch, out)
    }
}
