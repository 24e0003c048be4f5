//! The sending side of an exchange: a route, and a bounded edge to each worker.
//!
//! The rows of a batch are dealt to the workers that take them, some at a time, and copied to the edges.
//! What does not fit is staged, and the sender is not ready until it is gone: that is the backpressure.
//! Staging holds one batch.

use crate::base::blame;
use crate::progress::mark::{Barrier, Mark};
use crate::progress::order::{Clocks, Order, PathStamp, Places, Stamp};
use crate::progress::place::{Place, watermark_at};
use crate::runtime::deal::{Columns, Deal};
use crate::runtime::edge::EdgeSender;
use crate::runtime::metrics::{StepCounters, add};
use crate::runtime::receiver::{Flow, Needs, Receiver};
use crate::runtime::route::Route;
use crate::runtime::rows::Rows;
use crate::runtime::shared::JobShared;
use crate::{Error, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// An edge to one worker with the rows and marks that are not on it yet.
struct Staged<O, T> {
    sender: EdgeSender<O, T>,
    times: Vec<Timestamp>,
    orders: Vec<O>,
    values: Vec<T>,
    /// Rows before this one are on the edge.
    sent: usize,
    /// Marks with the number of staged rows before them.
    marks: VecDeque<(usize, Mark)>,
    /// The last frontier that was told.
    frontier: Place,
    /// The last barrier that was passed on.
    epoch: u64,
    /// The unit that the receiver takes the next rows for.
    unit: u64,
    /// The clock that the receiver takes for all next rows, which lie behind.
    behind: Option<Timestamp>,
}

impl<O: Order, T: bytemuck::Pod + Send> Staged<O, T> {
    fn new(sender: EdgeSender<O, T>) -> Self {
        Self {
            sender,
            times: Vec::new(),
            orders: Vec::new(),
            values: Vec::new(),
            sent: 0,
            marks: VecDeque::new(),
            frontier: Place::MIN,
            epoch: 0,
            unit: 0,
            behind: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.marks.is_empty()
    }

    /// Puts a mark behind all rows so far.
    fn push_mark(&mut self, mark: Mark) {
        if !self.is_empty() || !self.sender.push_mark(mark) {
            self.marks.push_back((self.values.len(), mark));
        }
    }

    /// Has the receiver take the next rows for a unit.
    fn begin_unit(&mut self, unit: u64) {
        if O::TELLS_UNIT && self.unit != unit {
            self.unit = unit;
            self.push_mark(Mark::Frontier(Place::event(Timestamp::MIN, unit, 0)));
        }
    }

    /// Tells that the next rows lie behind, with one clock, or that they do not.
    fn set_behind(&mut self, behind: Option<Timestamp>) {
        if self.behind != behind {
            self.behind = behind;
            self.push_mark(behind.map_or(Mark::OnTime, Mark::Behind));
        }
    }

    /// Puts rows on the edge, and into the stage what does not fit there.
    #[inline]
    fn push_rows(&mut self, (times, orders, values): Columns<'_, O, T>) {
        let pushed = if self.is_empty() { self.sender.push(times, orders, values) } else { 0 };
        self.times.extend_from_slice(&times[pushed..]);
        self.orders.extend_from_slice(&orders[pushed..]);
        self.values.extend_from_slice(&values[pushed..]);
    }

    /// Pushes what fits; whether nothing is left.
    #[inline]
    fn flush(&mut self) -> bool {
        self.is_empty() || self.push_staged()
    }

    fn push_staged(&mut self) -> bool {
        loop {
            let end = self.marks.front().map_or(self.values.len(), |&(at, _)| at);
            if self.sent < end {
                let run = self.sent..end;
                self.sent += self.sender.push(&self.times[run.clone()], &self.orders[run.clone()], &self.values[run]);
                if self.sent < end {
                    return false;
                }
            }
            let Some(&(_, mark)) = self.marks.front() else { break };
            if !self.sender.push_mark(mark) {
                return false;
            }
            self.marks.pop_front();
        }
        self.times.clear();
        self.orders.clear();
        self.values.clear();
        self.sent = 0;
        true
    }
}

/// A route with an edge to each worker that it may name.
struct Routed<R, O, T> {
    route: R,
    deal: Deal<O, T>,
    edges: Vec<Staged<O, T>>,
}

impl<R: Route<T>, O: Order, T: bytemuck::Pod + Send> Routed<R, O, T> {
    /// Sends rows of one unit, each with its order, to the workers that take them.
    #[inline]
    fn send(&mut self, rows: &Rows<'_, T>, behind: Option<Timestamp>, order_of: impl Fn(usize) -> O + Copy) {
        let Self { route, deal, edges } = self;
        let unit = rows.places.unit();
        let push = |edge: &mut Staged<O, T>, columns: Columns<'_, O, T>| {
            if !columns.0.is_empty() {
                edge.begin_unit(unit);
                edge.set_behind(behind);
                edge.push_rows(columns);
            }
        };
        for first in (0..rows.len()).step_by(Deal::<O, T>::ROWS) {
            let end = rows.len().min(first + Deal::<O, T>::ROWS);
            let (times, values) = (&rows.times[first..end], &rows.values[first..end]);
            let order_of = |index| order_of(first + index);
            if R::TO_ALL || edges.len() == 1 {
                let orders = deal.orders(values.len(), order_of);
                edges.iter_mut().for_each(|edge| push(edge, (times, orders, values)));
                continue;
            }
            let worker_of = |index, row: &T| blame::at_index(first + index, || route.worker(row));
            deal.deal(times, order_of, values, worker_of);
            for (worker, edge) in edges.iter_mut().enumerate() {
                push(edge, deal.of(worker));
            }
        }
    }
}

/// The way to a step on all workers, or to an ordered sink.
pub(crate) struct Sender<R, O, T> {
    stamp: Stamp<O>,
    /// Whether one row may have become several on the way.
    fans_out: bool,
    /// The watermark of the step that takes the rows is this and 1 ns behind the clock.
    bound: i64,
    /// The orders of a batch of which one row may have become several.
    orders: Vec<O>,
    routed: Routed<R, O, T>,
    /// Counts for the step that takes the rows.
    counters: Arc<StepCounters>,
    worker: usize,
    shared: Arc<JobShared>,
}

impl<R: Route<T>, O: Order, T: bytemuck::Pod + Send> Sender<R, O, T> {
    /// A way through `senders`, which adds `path` to the path of each row.
    pub(crate) fn new(
        route: R,
        (path, fans_out, bound): (PathStamp, bool, i64),
        senders: Vec<EdgeSender<O, T>>,
        counters: Arc<StepCounters>,
        worker: usize,
        shared: Arc<JobShared>,
    ) -> Self {
        let deal = Deal::of_workers(senders.len());
        let routed = Routed { route, deal, edges: senders.into_iter().map(Staged::new).collect() };
        Self { stamp: Stamp::new(path), fans_out, bound, orders: Vec::new(), routed, counters, worker, shared }
    }

    /// Sends rows that have one clock, or whose orders carry it.
    fn send(&mut self, rows: Rows<'_, T>, behind: Option<Timestamp>) {
        let Self { stamp, orders, routed, counters, .. } = self;
        // Rows that are made one of one, straight from a source, have places of their own.
        let is_stamped = self.fans_out || matches!(rows.places, Places::Full(_) | Places::Unasked { .. });
        if is_stamped {
            orders.clear();
            for index in 0..rows.len() {
                let Some(order) = stamp.next(&rows.places, &rows.clocks, index) else {
                    return self.shared.fail(Error::FanOut { step: counters.name.to_string() });
                };
                orders.push(order);
            }
        }
        add(&counters.of(self.worker).sent, rows.len() as u64);
        let single = |places: Places<'_>, clocks: Clocks<'_>, path: PathStamp, index| {
            let base = O::base(&places, &clocks, index);
            // The first number of a path always fits.
            base.stamped(&path, 0).unwrap_or(base)
        };
        let path = stamp.path;
        blame::at_position(
            |index| rows.position(index),
            || {
                blame::in_step(&counters.name, || match (rows.places, rows.clocks) {
                    _ if is_stamped => routed.send(&rows, behind, |index| orders[index]),
                    // Told apart here, so that it is not for each row.
                    (places @ Places::Run { .. }, Clocks::OnTime) => {
                        routed.send(&rows, behind, |index| single(places, Clocks::OnTime, path, index));
                    }
                    (places, clocks) => routed.send(&rows, behind, |index| single(places, clocks, path, index)),
                });
            },
        );
    }
}

impl<R: Route<T>, O: Order, T: bytemuck::Pod + Send> Flow for Sender<R, O, T> {
    fn is_ready(&mut self) -> bool {
        // Each is flushed, whatever the others say.
        self.routed.edges.iter_mut().map(Staged::flush).filter(|empty| !empty).count() == 0
    }

    fn frontier(&mut self, place: Place, _: bool) -> bool {
        let mut is_told = true;
        for edge in self.routed.edges.iter_mut().filter(|edge| place > edge.frontier) {
            // Staged rows tell more than a frontier behind them would.
            if edge.is_empty() && edge.sender.push_mark(Mark::Frontier(place)) {
                edge.frontier = place;
                edge.unit = place.position().map_or(edge.unit, |(unit, _)| unit);
            } else {
                is_told = false;
            }
        }
        is_told
    }

    fn barrier(&mut self, barrier: Barrier) -> bool {
        for edge in self.routed.edges.iter_mut().filter(|edge| edge.epoch < barrier.epoch) {
            edge.epoch = barrier.epoch;
            edge.frontier = edge.frontier.max(barrier.place);
            edge.unit = barrier.place.position().map_or(edge.unit, |(unit, _)| unit);
            edge.push_mark(Mark::Barrier(barrier));
        }
        true
    }

    fn end(&mut self) {
        for edge in &mut self.routed.edges {
            if edge.frontier < Place::MAX {
                edge.frontier = Place::MAX;
                edge.push_mark(Mark::Frontier(Place::MAX));
            }
        }
    }

    fn needs(&self) -> Needs {
        Needs { places: true, clocks: O::HAS_CLOCK }
    }
}

impl<R: Route<T>, O: Order, T: bytemuck::Pod + Send> Receiver<T> for Sender<R, O, T> {
    fn rows(&mut self, rows: Rows<'_, T>) -> usize {
        if let (false, Clocks::Each(clocks)) = (O::HAS_CLOCK, rows.clocks) {
            // Rows behind the watermark do not raise the clock: those in a run have one. Others need none.
            let bound = self.bound;
            let behind =
                |index: usize| Some(clocks[index]).filter(|clock| rows.times[index] <= watermark_at(*clock, bound));
            let mut start = 0;
            while start < rows.len() {
                let clock = behind(start);
                let end = (start + 1..rows.len()).find(|index| behind(*index) != clock).unwrap_or(rows.len());
                let run = Rows { clocks: clock.map_or(Clocks::OnTime, Clocks::All), ..rows.range(start..end) };
                self.send(run, clock);
                start = end;
            }
        } else {
            let behind = match rows.clocks {
                Clocks::All(clock) if !O::HAS_CLOCK => Some(clock),
                _ => None,
            };
            self.send(rows, behind);
        }
        rows.len()
    }
}
