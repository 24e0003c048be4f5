//! Combining before the exchange: each worker aggregates the rows it reads, and sends one partial
//! result for each key and window instead of each row.
//!
//! Only for aggregates whose merge is exact: the result is then the same whatever rows a worker read.
//! Partial results leave when the sender's watermark reaches the window's end, and the receiver fires
//! when all senders' watermarks have.

use crate::base::blame;
use crate::operator::aggregate::{Aggregate, packed_layout};
use crate::operator::window::slices::Slices;
use crate::operator::window::tumbling::TumblingOperator;
use crate::operator::{Batch, Firing, Operator, OperatorError, Outbox};
use crate::{Key, Layout, Record, Slot, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::sync::Arc;

/// What one worker knows of a key and window.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(crate) struct Partial<K, A> {
    start: Timestamp,
    pub(crate) key: K,
    accumulator: A,
}

impl<K: Record, A: Record> Record for Partial<K, A> {
    fn layout() -> Layout {
        let parts = [("start", Timestamp::layout()), ("key", K::layout()), ("accumulator", A::layout())];
        packed_layout("Partial", &parts)
    }
}

/// The sending side.
pub(crate) struct Combiner<K: Key, F, A: Aggregate<K>> {
    step: Arc<str>,
    slices: Slices<K, F, A>,
    /// Entries of the first slice with numbers below this have left.
    sent: u32,
}

impl<K: Key, F, A: Aggregate<K>> Combiner<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) const fn new(step: Arc<str>, slices: Slices<K, F, A>) -> Self {
        Self { step, slices, sent: 0 }
    }

    /// Adds rows that are not late.
    pub(crate) fn add(&mut self, batch: Batch<'_, A::In>) -> Result<(), OperatorError> {
        blame::in_step(&self.step, || self.slices.add_rows(batch))
    }

    pub(crate) fn is_late(&self, time: Timestamp, watermark: Timestamp) -> bool {
        self.slices.is_late(time, watermark)
    }

    /// Takes at most `most` partial results of windows that `watermark` has reached, with the last
    /// times of their windows; none when all have left.
    pub(crate) fn take(
        &mut self,
        watermark: Timestamp,
        most: usize,
        times: &mut Vec<Timestamp>,
        partials: &mut Vec<Partial<K, A::Acc>>,
    ) {
        while let Some(slice) = self.slices.first_due(watermark) {
            let window = slice.window;
            let room = most - partials.len();
            let mut count = 0;
            for (number, key, value) in slice.groups.entries(self.sent).take(room) {
                partials.push(Partial { start: window.start, key, accumulator: *value });
                self.sent = number + 1;
                count += 1;
            }
            times.resize(partials.len(), window.max_timestamp());
            if count == room {
                return;
            }
            self.slices.close_first();
            self.sent = 0;
        }
    }
}

/// The receiving side: the window operator, fed with partial results.
pub(crate) struct CombinedOperator<K: Key, F, A: Aggregate<K>>(pub(crate) TumblingOperator<K, F, A>);

impl<K: Key, F, A: Aggregate<K>> Operator for CombinedOperator<K, F, A>
where
    F: Fn(&A::In) -> K + 'static,
{
    type In = Partial<K, A::Acc>;
    type Out = A::Out;

    fn on_batch(
        &mut self,
        batch: Batch<'_, Self::In>,
        _: &mut Outbox<A::Out, Self::In>,
    ) -> Result<usize, OperatorError> {
        let TumblingOperator { step, slices, .. } = &mut self.0;
        blame::in_step(step, || {
            let aggregate = slices.aggregate.clone();
            for partial in batch.values {
                let later = partial.accumulator;
                aggregate.merge(slices.accumulator(partial.start, partial.key)?, &later);
            }
            Ok(batch.values.len())
        })
    }

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<A::Out, Self::In>,
    ) -> Result<Firing, OperatorError> {
        let step = self.0.step.clone();
        Ok(blame::in_step(&step, || self.0.fire(watermark, out)))
    }

    fn save(&self, piece: &mut dyn FnMut(Slot, &[u8])) {
        self.0.save(piece);
    }

    fn restore(&mut self, slot: Slot, piece: &[u8]) -> Result<(), OperatorError> {
        self.0.restore(slot, piece)
    }
}
