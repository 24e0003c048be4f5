//! Combining before an exchange, the sending side: each worker aggregates the rows it reads, and sends each window that
//! is over for it, as a part. No row leaves its worker.
//!
//! Windows that overlap are sent slice by slice: each slice when the first window fires that has it and has not fired yet.
//! A row that comes later, and is not late for all windows, makes one more part of its slice. It is sent with the next
//! window that fires, which is the first one that the row belongs to.
//!
//! Only for aggregates whose merge is exact: the result is then the same whatever rows a worker read, and in
//! whatever order parts are merged. A part is a table, which changes hands whole: what travels on the edge is where it
//! lies. Tables go back to the worker that filled them, in whose cache they are.

use crate::base::parcels::Parcels;
use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::overlapping::{Overlapping, Passed};
use crate::operator::window::slice_store::merging_store;
use crate::operator::window::slices::Slices;
use crate::operator::window::{Tumbling, Window};
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::groups::Groups;
use crate::store::{Store, StoreSettings};
use crate::{CanonicalKey, HashSeed, Key, Timestamp};
use std::sync::Arc;

/// A part on its way: the start of its window or slice, and where its table lies.
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
    /// Where windows overlap; otherwise a slice is a window.
    passed: Option<Passed>,
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
        let slices = Slices::new(windows, key_of, aggregate, store);
        Self { worker, seed: settings.seed, slices, passed: None, tables }
    }

    /// The same for windows that overlap.
    pub(crate) fn overlapping(
        worker: usize,
        windows: Overlapping,
        aggregating: (F, A),
        settings: &StoreSettings,
        tables: Arc<PartTables<K, A::Acc>>,
    ) -> Self {
        let passed = Some(Passed::new(windows));
        Self { passed, ..Self::new(worker, windows.slices, aggregating, settings, tables) }
    }

    /// The next window that fires.
    fn next_window(&self) -> Option<Window> {
        let Slices { store, windows, .. } = &self.slices;
        match &self.passed {
            Some(passed) => passed.next(&store.open),
            None => store.open.first_from(Timestamp::MIN).map(|start| windows.assign(start)),
        }
    }

    /// Sends the first slice for a window that fires then.
    fn send_first(&mut self, time: Timestamp, out: &mut Outbox<(A::In, PartRef)>) {
        let Some((start, groups)) = self.slices.store.take_first() else { return };
        // Nobody has saved it where it comes to.
        let (number, spare) = self.tables.send(self.worker, groups.unsaved());
        let mut spare = spare.unwrap_or_else(|| Groups::new(self.seed).of_worker(self.worker));
        spare.clear();
        self.slices.store.keep_spare(spare);
        let part = PartRef { start, number, worker: self.worker as u32 };
        let mut key = CanonicalKey::default();
        key.push(&part.worker.to_be_bytes());
        // Several slices of a worker may be sent for one window, in the order of their starts.
        key.push(&(start.as_nanos() ^ i64::MIN).to_be_bytes());
        out.emit_fired::<1>(time, key, part);
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
        while let Some(window) = self.next_window().filter(|window| window.max_timestamp() <= watermark) {
            while self.slices.store.open.first_from(Timestamp::MIN).is_some_and(|start| start < window.end) {
                if out.is_full() {
                    return Ok(Firing::More);
                }
                self.send_first(window.max_timestamp(), out);
            }
        }
        if let Some(passed) = &mut self.passed {
            passed.reach(watermark);
        }
        Ok(Firing::Done)
    }

    fn next_firing(&self) -> Timestamp {
        let open = &self.slices.store.open;
        self.passed.as_ref().map_or_else(|| open.next_due(), |passed| passed.next_firing(open))
    }

    fn needs_watermarks(&self) -> bool {
        false
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("slices", &mut self.slices.store);
        if let Some(passed) = &mut self.passed {
            show("passed", passed.store());
        }
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
        let Some(passed) = &self.passed else { return self.slices.add_or_refuse::<0, _>(batch, out) };
        let ahead = self.slices.take_ahead(batch)?;
        if ahead > 0 {
            return Ok(ahead);
        }
        let (time, row, watermark) = (batch.times()[0], &batch.values()[0], batch.watermark(0));
        let is_late = passed.is_late(time, watermark);
        // It belongs to none of the windows that have fired.
        if out.is_full() || self.on_watermark(watermark, out)? == Firing::More {
            return Ok(0);
        }
        if is_late {
            out.emit::<0>(0, time, *row);
        } else {
            self.slices.add_one(time, row)?;
        }
        Ok(1)
    }
}
