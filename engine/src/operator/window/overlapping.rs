//! The operator of windows that overlap, sliding and cumulative ones: a row is added to one slice of time, however many
//! windows have it, and a window is combined from its slices when it fires.
//!
//! A row that is behind the watermark and not late belongs to windows that have not fired yet, and to some that have. So
//! those fire before it is added.
//!
//! Where workers combine rows before they are exchanged, each of them knows by the same rule which window is next
//! ([`Passed`]), and whoever merges their parts fires the windows in the same way ([`OverlappingFiring`]).

use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::firing::{FiringOrder, fire_slice};
use crate::operator::window::open::OpenWindows;
use crate::operator::window::running::Running;
use crate::operator::window::slice_store::{SliceStore, merging_store};
use crate::operator::window::slices::Slices;
use crate::operator::window::tree::Tree;
use crate::operator::window::{Kind, Tumbling, Window};
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, OperatorOutput, Outbox};
use crate::store::latest::Latest;
use crate::store::{Store, StoreError, StoreSettings};
use crate::{Key, Timestamp};

/// Windows that overlap, cut into slices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overlapping {
    /// Windows begin or end where slices do.
    pub(crate) slices: Tumbling,
    shape: Shape,
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    /// The size of windows, and when they begin.
    Sliding(i64, Tumbling),
    /// The largest windows.
    Cumulative(Tumbling),
}

/// Windows of more slices are kept key by key.
const SLICES_MAX: i64 = 1 << 20;

const fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Overlapping {
    /// Sliding and cumulative windows, unless they would have too many slices.
    pub(crate) fn of<T>(windows: &Kind<T>) -> Option<Self> {
        let (size, slices, shape) = match windows {
            Kind::Sliding(windows) => {
                let (size, slides) = windows.parts();
                let slice = greatest_common_divisor(size, slides.size_nanos());
                (size, slides.with_size(slice), Shape::Sliding(size, slides))
            }
            Kind::Cumulative(windows) => {
                let (largest, step) = windows.parts();
                (largest.size_nanos(), largest.with_size(step), Shape::Cumulative(largest))
            }
            _ => return None,
        };
        let is_valid = slices.is_valid() && size / slices.size_nanos() <= SLICES_MAX;
        is_valid.then_some(Self { slices, shape })
    }

    /// The first window that ends behind a time.
    fn first_behind(&self, time: Timestamp) -> Window {
        match self.shape {
            Shape::Sliding(size, slides) => {
                let start = slides.assign(time.minus_nanos(size)).end;
                Window { start, end: start.plus_nanos(size) }
            }
            Shape::Cumulative(largest) => {
                Window { start: largest.assign(time).start, end: self.slices.assign(time).end }
            }
        }
    }

    /// The end of the last window that has a time.
    fn last_end(&self, time: Timestamp) -> Timestamp {
        match self.shape {
            Shape::Sliding(size, slides) => slides.assign(time).start.plus_nanos(size),
            Shape::Cumulative(largest) => largest.assign(time).end,
        }
    }
}

/// Which windows that overlap have fired.
pub(crate) struct Passed {
    windows: Overlapping,
    /// The windows that end at or before the nanosecond behind this have fired.
    up_to: Latest,
}

impl Passed {
    /// None has fired yet.
    pub(crate) const fn new(windows: Overlapping) -> Self {
        Self { windows, up_to: Latest::new() }
    }

    /// The next window that has any of these slices and has not fired.
    pub(crate) fn next<S>(&self, slices: &OpenWindows<S>) -> Option<Window> {
        let first = slices.first_from(Timestamp::MIN)?;
        if self.up_to.get() == Timestamp::MIN {
            return Some(self.windows.first_behind(first));
        }
        // It ends behind the last nanosecond that was passed and the one behind that.
        let next = self.windows.first_behind(self.up_to.get().plus_nanos(1));
        match slices.first_from(next.start) {
            Some(start) if start < next.end => Some(next),
            Some(start) => Some(self.windows.first_behind(start)),
            None => None,
        }
    }

    /// When that window fires.
    pub(crate) fn next_firing<S>(&self, slices: &OpenWindows<S>) -> Timestamp {
        self.next(slices).map_or(Timestamp::MAX, |window| window.max_timestamp())
    }

    /// All windows have fired that have their last nanosecond at or before this.
    pub(crate) fn reach(&mut self, time: Timestamp) {
        self.up_to.reach(time);
    }

    /// Whether a row is late for all its windows.
    pub(crate) fn is_late(&self, time: Timestamp, watermark: Timestamp) -> bool {
        self.windows.last_end(time).minus_nanos(1) <= watermark
    }

    /// What of it is saved.
    pub(crate) const fn store(&mut self) -> &mut Latest {
        &mut self.up_to
    }
}

/// Fires windows that overlap from their slices.
pub(crate) struct OverlappingFiring<K: Key, A: WindowAggregate<K>> {
    pub(crate) passed: Passed,
    combined: Combined<K, A>,
    /// The window that fires, whose rows are combined.
    firing: Option<Window>,
    order: FiringOrder,
}

/// How windows are combined from slices.
enum Combined<K: Key, A: WindowAggregate<K>> {
    /// From runs of them.
    Tree(Box<Tree<K, A::Acc>>),
    /// As what changes from window to window.
    Running(Box<Running<K, A>>),
}

impl<K: Key, A: WindowAggregate<K>> OverlappingFiring<K, A> {
    pub(crate) fn new(windows: Overlapping, aggregate: &A, store: &SliceStore<K, A::Acc>) -> Self {
        Self {
            passed: Passed::new(windows),
            combined: match aggregate.is_invertible() {
                true => Combined::Running(Box::new(Running::new(aggregate.clone(), store))),
                false => Combined::Tree(Box::new(Tree::new(store.seed()))),
            },
            firing: None,
            order: FiringOrder::default(),
        }
    }

    /// Fires the windows that are due, as far as `out` has room.
    pub(crate) fn fire_up_to<O: OperatorOutput<0, Row = A::Out>>(
        &mut self,
        watermark: Timestamp,
        (store, aggregate): (&mut SliceStore<K, A::Acc>, &A),
        out: &mut Outbox<O>,
    ) -> Result<Firing, OperatorError> {
        loop {
            if let Some(window) = self.firing {
                let Self { combined, order, .. } = self;
                let fired = match combined {
                    Combined::Tree(tree) => fire_slice(window, &tree.whole, order, aggregate, out),
                    Combined::Running(running) => fire_slice(window, &running.all, order, &running.totals, out),
                };
                if fired == Firing::More {
                    return Ok(Firing::More);
                }
                self.firing = None;
                self.passed.reach(window.max_timestamp());
                self.close_up_to(window.end, store);
            }
            let next = self.passed.next(&store.open);
            let Some(window) = next.filter(|window| window.max_timestamp() <= watermark) else {
                self.passed.reach(watermark);
                return Ok(Firing::Done);
            };
            let keys_max = store.keys_max();
            if self.combine(window, store, aggregate) > keys_max {
                return Err(StoreError::TooManyKeys(keys_max).into());
            }
            self.firing = Some(window);
        }
    }

    /// When the next window fires.
    pub(crate) fn next_firing(&self, store: &SliceStore<K, A::Acc>) -> Timestamp {
        match self.firing {
            Some(window) => window.max_timestamp(),
            None => self.passed.next_firing(&store.open),
        }
    }

    /// The number of the slice that a time is in.
    fn number(&self, time: Timestamp) -> i64 {
        let slices = &self.passed.windows.slices;
        slices.number(slices.assign(time).start)
    }

    /// A row came that is behind the watermark and not late; its key, and whether that is new in its slice.
    pub(crate) fn added_behind(&mut self, (time, row): (Timestamp, &A::In), (key, is_new): (K, bool)) {
        let number = self.number(time);
        match &mut self.combined {
            Combined::Tree(tree) => tree.forget(number),
            Combined::Running(running) => running.add_behind(number, key, is_new, time, row),
        }
    }

    /// Has a slice that starts then change, which may be combined already.
    pub(crate) fn change<R>(
        &mut self,
        start: Timestamp,
        store: &mut SliceStore<K, A::Acc>,
        change: impl FnOnce(&mut SliceStore<K, A::Acc>) -> R,
    ) -> R {
        let number = self.number(start);
        match &mut self.combined {
            Combined::Tree(tree) => {
                tree.forget(number);
                change(store)
            }
            Combined::Running(running) => {
                if let Some(before) = store.numbered(number) {
                    running.take_off(number, before);
                }
                let changed = change(store);
                if let Some(now) = store.numbered(number) {
                    running.put_on(number, now);
                }
                changed
            }
        }
    }

    /// Closes slices that no window has that ends later, and forgets what was combined of them.
    fn close_up_to(&mut self, end: Timestamp, store: &mut SliceStore<K, A::Acc>) {
        let Self { passed: Passed { windows, .. }, combined, .. } = self;
        while let Some(first) = store.open.first_from(Timestamp::MIN)
            && windows.last_end(first) <= end
        {
            let Some((start, mut groups)) = store.take_first() else { break };
            let number = windows.slices.number(start);
            match combined {
                Combined::Tree(tree) => tree.forget_before(number + 1),
                Combined::Running(running) => running.take_off(number, &groups),
            }
            groups.clear();
            store.keep_spare(groups);
        }
        store.count_combined(match combined {
            Combined::Tree(tree) => tree.bytes(),
            Combined::Running(running) => running.bytes(),
        });
    }

    /// Combines the slices of a window; how many keys there are.
    fn combine(&mut self, window: Window, store: &SliceStore<K, A::Acc>, aggregate: &A) -> usize {
        let Self { passed: Passed { windows, .. }, combined, .. } = self;
        let number = |time| windows.slices.number(time);
        match combined {
            Combined::Tree(tree) => {
                let merge = |value: &mut A::Acc, more: &A::Acc| aggregate.merge(value, more);
                tree.combine(number(window.start)..number(window.end), store, &merge);
                tree.whole.len()
            }
            Combined::Running(running) => {
                running.add_up_to(number(window.end), store);
                running.all.len()
            }
        }
    }
}

pub(crate) struct OverlappingOperator<K: Key, F, A: WindowAggregate<K>> {
    slices: Slices<K, F, A>,
    firing: OverlappingFiring<K, A>,
}

impl<K: Key, F, A: WindowAggregate<K>> OverlappingOperator<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) fn new(windows: Overlapping, key_of: F, aggregate: A, settings: &StoreSettings) -> Self {
        let store = merging_store(windows.slices, &aggregate, settings);
        let firing = OverlappingFiring::new(windows, &aggregate, &store);
        Self { slices: Slices::new(windows.slices, key_of, aggregate, store), firing }
    }
}

impl<K: Key, F, A: WindowAggregate<K>> Operator for OverlappingOperator<K, F, A>
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
        let Self { slices: Slices { store, aggregate, .. }, firing } = self;
        firing.fire_up_to(watermark, (store, &*aggregate), out)
    }

    fn next_firing(&self) -> Timestamp {
        self.firing.next_firing(&self.slices.store)
    }

    fn needs_watermarks(&self) -> bool {
        false
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("slices", &mut self.slices.store);
        show("passed", self.firing.passed.store());
    }
}

impl<K: Key, F, A: WindowAggregate<K>> OperatorInput<0> for OverlappingOperator<K, F, A>
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
        if self.firing.passed.is_late(time, watermark) {
            out.emit::<1>(0, time, *row);
        } else {
            let added = self.slices.add_one(time, row)?;
            self.firing.added_behind((time, row), added);
        }
        Ok(1)
    }
}
