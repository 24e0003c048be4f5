//! The sending side of an exchange: a fused chain, a route, and a bounded edge to each worker.
//!
//! Rows of a batch are staged by worker and then pushed in runs. What does not fit stays staged, and
//! the outlet is not ready until it is gone: that is the backpressure. Staging holds one batch.

use crate::base::blame;
use crate::operator::chain::Chain;
use crate::progress::mark::{BlockMark, Mark};
use crate::progress::merge::EdgeSender;
use crate::progress::place::{FAN_OUT_MAX, Order, Place, Stamp};
use crate::runtime::chained::position_of;
use crate::runtime::metrics::{StepCounters, add};
use crate::runtime::outlet::{Outlet, Rows};
use crate::runtime::shared::JobShared;
use crate::{Error, Key, Timestamp, hash_key, slot_of, worker_of};
use std::collections::VecDeque;
use std::sync::Arc;

/// Which worker takes a row.
pub(crate) trait Route<T>: 'static {
    fn worker(&self, row: &T) -> usize;
}

/// Rows go to the owner of their key.
pub(crate) struct KeyRoute<F> {
    pub(crate) key_of: F,
    pub(crate) workers: usize,
}

impl<T, K: Key, F: Fn(&T) -> K + 'static> Route<T> for KeyRoute<F> {
    #[inline(always)]
    fn worker(&self, row: &T) -> usize {
        worker_of(slot_of(hash_key(&(self.key_of)(row))), self.workers)
    }
}

/// All rows go to one worker: to an ordered sink.
pub(crate) struct ToOne;

impl<T> Route<T> for ToOne {
    #[inline(always)]
    fn worker(&self, _: &T) -> usize {
        0
    }
}

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
    /// The block that the receiver takes the next rows for.
    block: u64,
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
            block: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.marks.is_empty()
    }

    fn push_mark(&mut self, mark: Mark) {
        self.marks.push_back((self.values.len(), mark));
    }

    /// Pushes what fits; whether nothing is left.
    fn flush(&mut self) -> bool {
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

/// The way from a source or operator to a keyed step or ordered sink on all workers.
pub(crate) struct SendOutlet<C: Chain, R, O> {
    chain: C,
    route: R,
    stamp: Stamp<O>,
    edges: Vec<Staged<O, C::Out>>,
    /// Counts for the step that takes the rows.
    counters: Arc<StepCounters>,
    worker: usize,
    shared: Arc<JobShared>,
}

impl<C: Chain, R: Route<C::Out>, O: Order> SendOutlet<C, R, O>
where
    C::Out: bytemuck::Pod,
{
    /// An outlet of rows that leave `level` exchanges behind the sources, for input `way` of a union.
    pub(crate) fn new(
        chain: C,
        route: R,
        (level, way): (usize, usize),
        senders: Vec<EdgeSender<O, C::Out>>,
        counters: Arc<StepCounters>,
        worker: usize,
        shared: Arc<JobShared>,
    ) -> Self {
        let edges = senders.into_iter().map(Staged::new).collect();
        Self { chain, route, stamp: Stamp::new(level, way), edges, counters, worker, shared }
    }

    fn flush(&mut self) -> bool {
        // Each is flushed, whatever the others say.
        self.edges.iter_mut().map(Staged::flush).filter(|empty| !empty).count() == 0
    }
}

impl<C: Chain, R: Route<C::Out>, O: Order> Outlet<C::In> for SendOutlet<C, R, O>
where
    C::Out: bytemuck::Pod,
{
    fn is_ready(&mut self) -> bool {
        self.flush()
    }

    fn rows(&mut self, rows: Rows<'_, C::In>) {
        let Self { chain, route, stamp, edges, counters, .. } = self;
        let step = &counters.name;
        let mut sent = 0;
        let mut too_many = false;
        // All rows given at once are of one block.
        let block = rows.places.block();
        blame::at_position(
            |index| position_of(&rows.places, index),
            || {
                for (index, (time, value)) in rows.times.iter().zip(rows.values).enumerate() {
                    blame::at_index(index, || {
                        chain.each(value, &mut |row| {
                            if too_many {
                                return;
                            }
                            let worker = blame::in_step(step, || route.worker(&row));
                            let Some(order) = stamp.next(&rows.places, index) else {
                                too_many = true;
                                return;
                            };
                            let edge = &mut edges[worker];
                            if edge.block != block {
                                edge.block = block;
                                edge.push_mark(Mark::Frontier(Place::block_start(block)));
                            }
                            if let Some(watermark) = rows.behind {
                                edge.push_mark(Mark::Behind(watermark));
                            }
                            edge.times.push(*time);
                            edge.orders.push(order);
                            edge.values.push(row);
                            sent += 1;
                        });
                    });
                }
            },
        );
        add(&self.counters.of(self.worker).sent, sent);
        if too_many {
            self.shared.fail(Error::FanOut { step: self.counters.name.to_string(), max: FAN_OUT_MAX });
        }
        self.flush();
    }

    fn mark(&mut self, mark: BlockMark) {
        self.stamp.block_end();
        // The receiver goes on to the next block by itself.
        for edge in &mut self.edges {
            edge.push_mark(Mark::BlockEnd(mark));
            edge.block = mark.block + 1;
        }
        self.flush();
    }

    fn frontier(&mut self, place: Place) {
        for edge in &mut self.edges {
            // Staged rows tell more than a frontier behind them would.
            if edge.is_empty() && place > edge.frontier && edge.sender.push_mark(Mark::Frontier(place)) {
                edge.frontier = place;
                edge.block = place.block();
            }
        }
    }

    fn end(&mut self) {
        for edge in &mut self.edges {
            edge.push_mark(Mark::End);
        }
        self.flush();
    }
}
