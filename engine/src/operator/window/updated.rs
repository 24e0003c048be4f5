//! The operator of tumbling windows that allow for late rows: a window fires on time from its slice, as one that fires once
//! does, and the slice stays open until the allowed lateness is over. A row that comes meanwhile has its key's result
//! fire again.

use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::firing::{FiringOrder, fire_slice};
use crate::operator::window::slice_store::SliceStore;
use crate::operator::window::slices::Slices;
use crate::operator::window::{Pane, Timing, Tumbling, Window};
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::latest::Latest;
use crate::store::{Store, StoreSettings};
use crate::{Key, Record, Timestamp};

pub(crate) struct UpdatedOperator<K: Key, F, A: WindowAggregate<K>> {
    windows: Tumbling,
    /// In nanoseconds.
    lateness: i64,
    slices: Slices<K, F, A>,
    /// How often windows have fired for keys with late rows.
    fired: SliceStore<K, u64>,
    /// Windows whose last nanosecond is at or before this have fired.
    passed: Latest,
    order: FiringOrder,
}

impl<K: Key, F, A: WindowAggregate<K>> UpdatedOperator<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) fn new((windows, lateness): (Tumbling, i64), key_of: F, aggregate: A, settings: &StoreSettings) -> Self {
        let store = SliceStore::new(windows, aggregate.state_layout(), settings);
        Self {
            windows,
            lateness,
            slices: Slices::new(windows, key_of, aggregate, store),
            fired: SliceStore::new(windows, u64::layout(), settings),
            passed: Latest::new(),
            order: FiringOrder::default(),
        }
    }

    /// The first open window that has not fired.
    fn next_window(&self) -> Option<Window> {
        let passed = self.passed.get();
        let from = if passed == Timestamp::MIN { passed } else { self.windows.assign(passed.plus_nanos(1)).start };
        self.slices.store.open.first_from(from).map(|start| self.windows.assign(start))
    }

    /// When the allowed lateness of the first open window is over.
    fn next_close(&self) -> Timestamp {
        self.slices.store.open.next_due().plus_nanos(self.lateness)
    }

    /// Closes windows whose allowed lateness is over.
    fn close_up_to(&mut self, watermark: Timestamp) {
        while let Some(start) = self.slices.store.open.first_from(Timestamp::MIN)
            && self.windows.assign(start).max_timestamp().plus_nanos(self.lateness) <= watermark
        {
            self.slices.store.close_first();
            if self.fired.open.first_from(Timestamp::MIN) == Some(start) {
                self.fired.close_first();
            }
        }
    }

    /// Adds a row whose window has fired, and fires its key again.
    fn update(
        &mut self,
        window: Window,
        (time, row): (Timestamp, &A::In),
        out: &mut Outbox<(A::Out, A::In)>,
    ) -> Result<(), OperatorError> {
        let (key, is_new) = self.slices.add_one(time, row)?;
        let (slot, _) = self.fired.find_or_open(time)?;
        let fired = self.fired.groups_mut(slot).value_mut(key);
        // The first late row of a key that the window fired for on time.
        if *fired == 0 && !is_new {
            *fired = 1;
        }
        let pane = Pane { window, number: *fired, timing: Timing::Late };
        *fired = fired.wrapping_add(1);
        let (slot, _) = self.slices.store.find_or_open(time)?;
        let acc = *self.slices.store.groups_mut(slot).value_mut(key);
        let result = self.slices.aggregate.result(&pane, &key, &acc);
        out.emit::<0>(0, window.max_timestamp(), result);
        Ok(())
    }
}

impl<K: Key, F, A: WindowAggregate<K>> Operator for UpdatedOperator<K, F, A>
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
        while let Some(window) = self.next_window().filter(|window| window.max_timestamp() <= watermark) {
            let Self { slices, order, .. } = self;
            if let Some(groups) = slices.store.open.starting(window.start)
                && fire_slice(window, groups, order, &slices.aggregate, out) == Firing::More
            {
                return Ok(Firing::More);
            }
            self.passed.reach(window.max_timestamp());
        }
        self.passed.reach(watermark);
        self.close_up_to(watermark);
        Ok(Firing::Done)
    }

    fn next_firing(&self) -> Timestamp {
        let next = self.next_window().map_or(Timestamp::MAX, |window| window.max_timestamp());
        next.min(self.next_close())
    }

    fn needs_watermarks(&self) -> bool {
        false
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("slices", &mut self.slices.store);
        show("fired", &mut self.fired);
        show("passed", &mut self.passed);
    }
}

impl<K: Key, F, A: WindowAggregate<K>> OperatorInput<0> for UpdatedOperator<K, F, A>
where
    F: Fn(&A::In) -> K + 'static,
{
    type Row = A::In;

    fn on_batch(&mut self, batch: Batch<'_, A::In>, out: &mut Outbox<(A::Out, A::In)>) -> Result<usize, OperatorError> {
        let ahead = self.slices.take_ahead(batch)?;
        if ahead > 0 {
            return Ok(ahead);
        }
        let (time, row, watermark) = (batch.times()[0], &batch.values()[0], batch.watermark(0));
        if out.is_full() || self.on_watermark(watermark, out)? == Firing::More {
            return Ok(0);
        }
        let window = self.windows.assign(time);
        let last = window.max_timestamp();
        if last.plus_nanos(self.lateness) <= watermark {
            out.emit::<1>(0, time, *row);
        } else if last <= watermark {
            self.update(window, (time, row), out)?;
        } else {
            self.slices.add_one(time, row)?;
        }
        Ok(1)
    }
}
