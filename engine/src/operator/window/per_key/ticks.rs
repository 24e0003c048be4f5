//! Of windows that each key keeps for itself: those that fire early at periods of processing time.
//!
//! The multiples of a period are the same for all windows, so a key has one timer for the next of them while any of its
//! windows has not ended.

use super::{At, PerKeyOperator, next_multiple};
use crate::operator::aggregate::WindowAggregate;
use crate::operator::keyed::Tick;
use crate::operator::{Batch, Cause, Firing, OperatorError, OperatorInput, Outbox};
use crate::store::latest::Latest;
use crate::store::{StoreSettings, Timers};
use crate::{Key, Timestamp};

/// When keys fire next by processing time.
pub(super) struct Ticking {
    period: i64,
    pub(super) now: Latest,
    pub(super) timers: Timers,
}

impl Ticking {
    pub(super) const fn new(period: i64, stores: &StoreSettings) -> Self {
        Self { period, now: Latest::new(), timers: Timers::new(stores) }
    }

    /// The next multiple of the period.
    pub(super) fn next(&self) -> Timestamp {
        next_multiple(self.now.get(), self.period)
    }
}

impl<K: Key, F, A: WindowAggregate<K>> PerKeyOperator<K, F, A> {
    /// Has the windows of a key fire at the next multiple, where the trigger has a period of processing time.
    pub(super) fn await_tick(&mut self, entry: usize) -> Result<(), OperatorError> {
        let Some(ticking) = &mut self.ticking else { return Ok(()) };
        let next = ticking.next();
        Ok(ticking.timers.insert(&mut self.keys, next, entry)?)
    }

    /// Processing time has come to `now`: fires the windows of keys until `out` is full.
    fn tick(
        &mut self,
        (index, now): (usize, Timestamp),
        watermark: Timestamp,
        out: &mut Outbox<(A::Out, A::In)>,
    ) -> Result<Firing, OperatorError> {
        loop {
            let Some(ticking) = &mut self.ticking else { return Ok(Firing::Done) };
            ticking.now.reach(now);
            let reached = ticking.now.get();
            let Some((time, key, entry)) = ticking.timers.next(reached, &self.keys, out.symbols()) else {
                return Ok(Firing::Done);
            };
            if out.is_full() {
                return Ok(Firing::More);
            }
            ticking.timers.take_next(&mut self.keys);
            let cause = Cause::Ticked { row: index as u32, time, key };
            let at = At { cause, time: watermark.plus_nanos(1), watermark };
            let mut open = std::mem::take(&mut self.touched);
            open.clear();
            open.extend(self.windows.range(entry, ..).filter(|(_, kept)| kept.is_over == 0).map(|(id, _)| *id));
            for &id in &open {
                self.fire(entry, id, at, out);
            }
            if !open.is_empty() {
                self.await_tick(entry)?;
            }
            self.touched = open;
            self.keys.remove_if_empty(entry);
        }
    }
}

impl<K, F, A> OperatorInput<1> for PerKeyOperator<K, F, A>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: WindowAggregate<K>,
{
    type Row = Tick;

    fn on_batch(&mut self, batch: Batch<'_, Tick>, out: &mut Outbox<(A::Out, A::In)>) -> Result<usize, OperatorError> {
        for (index, tick) in batch.values().iter().enumerate() {
            let watermark = batch.watermark(index);
            let has_fired = self.timers.first() > watermark || self.fire_due(watermark, out)? == Firing::Done;
            if !has_fired || out.is_full() || self.tick((index, tick.now), watermark, out)? == Firing::More {
                return Ok(index);
            }
        }
        Ok(batch.len())
    }
}
