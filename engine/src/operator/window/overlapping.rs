//! The operator of windows that overlap, sliding and cumulative ones: a row is added to one slice of time, however many
//! windows have it, and a window is combined from its slices when it fires.
//!
//! A row that is behind the watermark and not late belongs to windows that have not fired yet, and to some that have. So
//! those fire before it is added.

use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::firing::{FiringOrder, fire_slice};
use crate::operator::window::running::Running;
use crate::operator::window::slice_store::SliceStore;
use crate::operator::window::slices::Slices;
use crate::operator::window::tree::Tree;
use crate::operator::window::{Kind, Tumbling, Window};
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
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

    /// Whether a row is late for all its windows.
    fn is_late(&self, time: Timestamp, watermark: Timestamp) -> bool {
        self.last_end(time).minus_nanos(1) <= watermark
    }
}

pub(crate) struct OverlappingOperator<K: Key, F, A: WindowAggregate<K>> {
    windows: Overlapping,
    slices: Slices<K, F, A>,
    combined: Combined<K, A>,
    /// The windows that end at or before the nanosecond behind this have fired.
    passed: Latest,
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

impl<K: Key, F, A: WindowAggregate<K>> OverlappingOperator<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) fn new(windows: Overlapping, key_of: F, aggregate: A, settings: &StoreSettings) -> Self {
        let store = SliceStore::new(windows.slices, aggregate.state_layout(), settings);
        Self {
            windows,
            combined: match aggregate.is_invertible() {
                true => Combined::Running(Box::new(Running::new(aggregate.clone(), &store))),
                false => Combined::Tree(Box::new(Tree::new(settings.seed))),
            },
            slices: Slices::new(windows.slices, key_of, aggregate, store),
            passed: Latest::new(),
            firing: None,
            order: FiringOrder::default(),
        }
    }

    /// The next window that has any rows and has not fired.
    fn next_window(&self) -> Option<Window> {
        let open = &self.slices.store.open;
        let first = open.first_from(Timestamp::MIN)?;
        if self.passed.get() == Timestamp::MIN {
            return Some(self.windows.first_behind(first));
        }
        // It ends behind the last nanosecond that was passed and the one behind that.
        let next = self.windows.first_behind(self.passed.get().plus_nanos(1));
        match open.first_from(next.start) {
            Some(start) if start < next.end => Some(next),
            Some(start) => Some(self.windows.first_behind(start)),
            None => None,
        }
    }

    /// Closes slices that no window has that ends later, and forgets what was combined of them.
    fn close_up_to(&mut self, end: Timestamp) {
        let Self { windows, slices, combined, .. } = self;
        let store = &mut slices.store;
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
    fn combine(&mut self, window: Window) -> usize {
        let Self { windows, slices, combined, .. } = self;
        let number = |time| windows.slices.number(time);
        match combined {
            Combined::Tree(tree) => {
                let merge = |value: &mut A::Acc, more: &A::Acc| slices.aggregate.merge(value, more);
                tree.combine(number(window.start)..number(window.end), &slices.store, &merge);
                tree.whole.len()
            }
            Combined::Running(running) => {
                running.add_up_to(number(window.end), &slices.store);
                running.all.len()
            }
        }
    }

    /// Fires the window that is combined, as far as `out` has room.
    fn fire(&mut self, window: Window, out: &mut Outbox<(A::Out, A::In)>) -> Firing {
        let Self { combined, order, slices, .. } = self;
        match combined {
            Combined::Tree(tree) => fire_slice(window, &tree.whole, order, &slices.aggregate, out),
            Combined::Running(running) => fire_slice(window, &running.all, order, &running.totals, out),
        }
    }

    /// Adds a row that is behind the watermark and not late.
    fn add_behind(&mut self, time: Timestamp, row: &A::In) -> Result<(), OperatorError> {
        let Self { slices, combined, windows, .. } = self;
        let (key, is_new) = slices.add_one(time, row)?;
        let number = windows.slices.number(windows.slices.assign(time).start);
        match combined {
            Combined::Tree(tree) => tree.forget(number),
            Combined::Running(running) => running.add_behind(number, key, is_new, time, row),
        }
        Ok(())
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
        loop {
            if let Some(window) = self.firing {
                if self.fire(window, out) == Firing::More {
                    return Ok(Firing::More);
                }
                self.firing = None;
                self.passed.reach(window.max_timestamp());
                self.close_up_to(window.end);
            }
            let Some(window) = self.next_window().filter(|window| window.max_timestamp() <= watermark) else {
                self.passed.reach(watermark);
                return Ok(Firing::Done);
            };
            let keys_max = self.slices.store.keys_max();
            if self.combine(window) > keys_max {
                return Err(StoreError::TooManyKeys(keys_max).into());
            }
            self.firing = Some(window);
        }
    }

    fn next_firing(&self) -> Timestamp {
        match self.firing {
            Some(window) => window.max_timestamp(),
            None => self.next_window().map_or(Timestamp::MAX, |window| window.max_timestamp()),
        }
    }

    fn needs_watermarks(&self) -> bool {
        false
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("slices", &mut self.slices.store);
        show("passed", &mut self.passed);
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
        if self.windows.is_late(time, watermark) {
            out.emit::<1>(0, time, *row);
        } else {
            self.add_behind(time, row)?;
        }
        Ok(1)
    }
}
