//! The sending side of an exchange: a fused chain, a route, and a bounded edge to each worker.
//!
//! The rows of a batch are dealt to the workers that take them, some at a time, and copied to the edges.
//! What does not fit is staged, and the outlet is not ready until it is gone: that is the backpressure.
//! Staging holds one batch.

use crate::base::blame;
use crate::operator::chain::Chain;
use crate::progress::mark::{BlockMark, Mark};
use crate::progress::merge::EdgeSender;
use crate::progress::place::{FAN_OUT_MAX, Order, Place, Places, Stamp};
use crate::runtime::chained::{ChainBuffer, apply, position_of};
use crate::runtime::metrics::{StepCounters, add};
use crate::runtime::outlet::{Outlet, Rows};
use crate::runtime::shared::JobShared;
use crate::{Error, Key, Timestamp, hash_key, slot_of, worker_of};
use bytemuck::allocation::zeroed_vec;
use std::collections::VecDeque;
use std::sync::Arc;

/// Which worker takes a row.
pub(crate) trait Route<T>: 'static {
    fn worker(&self, row: &T) -> usize;
}

/// The owners of keys with numbers below this are looked up.
const KNOWN_OWNERS: usize = 1 << 14;

/// Rows go to the owner of their key.
pub(crate) struct KeyRoute<F> {
    key_of: F,
    workers: usize,
    /// By the key's number.
    owners: Vec<u8>,
}

impl<F> KeyRoute<F> {
    pub(crate) fn new<T, K: Key>(key_of: F, workers: usize) -> Self
    where
        F: Fn(&T) -> K,
    {
        let owner = |number: usize| {
            let key = K::from_number(number as u64);
            if key.number() == Some(number as u64) { u8::try_from(owner_of(&key, workers)).ok() } else { None }
        };
        Self { key_of, workers, owners: (0..KNOWN_OWNERS).map_while(owner).collect() }
    }
}

fn owner_of<K: Key>(key: &K, workers: usize) -> usize {
    worker_of(slot_of(hash_key(key)), workers)
}

impl<T, K: Key, F: Fn(&T) -> K + 'static> Route<T> for KeyRoute<F> {
    #[inline(always)]
    fn worker(&self, row: &T) -> usize {
        let key = (self.key_of)(row);
        let number = key.number().and_then(|number| usize::try_from(number).ok());
        match number.and_then(|number| self.owners.get(number)) {
            Some(&owner) => usize::from(owner),
            None => owner_of(&key, self.workers),
        }
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

/// Rows that are dealt at once at most: those of a batch. Long copies into a ring do not fetch the lines that they
/// overwrite.
const DEALT: usize = 1024;
/// Bytes of values that are dealt at once at most, unless one has more.
const DEALT_BYTES: usize = 1 << 20;

/// Times, orders and values of rows.
type Columns<'a, O, T> = (&'a [Timestamp], &'a [O], &'a [T]);

/// Rows in columns, by the worker that takes them.
struct Deal<O, T> {
    /// Room for [`Deal::ROWS`] of each worker, of which the first `counts[worker]` are dealt.
    times: Vec<Timestamp>,
    orders: Vec<O>,
    values: Vec<T>,
    counts: Vec<usize>,
}

impl<O: bytemuck::Pod, T: bytemuck::Pod> Deal<O, T> {
    /// Rows that are dealt at once.
    const ROWS: usize = {
        let fit = DEALT_BYTES / if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        if fit > DEALT {
            DEALT
        } else if fit == 0 {
            1
        } else {
            fit
        }
    };

    fn of_workers(workers: usize) -> Self {
        let rows = workers * Self::ROWS;
        // One takes rows from where they lie; only their orders are made.
        let dealt = if workers == 1 { 0 } else { rows };
        // Memory that is not used is not touched.
        let (times, orders, values) = (zeroed_vec(dealt), zeroed_vec(rows), zeroed_vec(dealt));
        Self { times, orders, values, counts: vec![0; workers] }
    }

    /// Deals at most [`Deal::ROWS`] anew. Apart, so that the loop has the registers for itself.
    #[inline(never)]
    fn deal(
        &mut self,
        times: &[Timestamp],
        order_of: impl Fn(usize) -> O,
        values: &[T],
        worker_of: impl Fn(usize, &T) -> usize,
    ) {
        let Self { times: to_times, orders: to_orders, values: to_values, counts } = self;
        let rows = times.iter().zip(values).enumerate();
        if let [to_first, to_second] = &mut counts[..] {
            // The ends stay in registers, where the next row does not wait for them to be stored.
            let (mut first, mut second) = (0, Self::ROWS);
            let (to_times, to_orders) = (&mut to_times[..2 * Self::ROWS], &mut to_orders[..2 * Self::ROWS]);
            let to_values = &mut to_values[..2 * Self::ROWS];
            for (index, (&time, value)) in rows {
                let is_first = worker_of(index, value) == 0;
                let at = if is_first { first } else { second };
                to_values[at] = *value;
                to_times[at] = time;
                to_orders[at] = order_of(index);
                first += usize::from(is_first);
                second += usize::from(!is_first);
            }
            (*to_first, *to_second) = (first, second - Self::ROWS);
            return;
        }
        counts.fill(0);
        for (index, (&time, value)) in rows {
            let worker = worker_of(index, value);
            let at = worker * Self::ROWS + counts[worker];
            (to_times[at], to_orders[at], to_values[at]) = (time, order_of(index), *value);
            counts[worker] += 1;
        }
    }

    /// The orders of at most [`Deal::ROWS`] rows that all go to one worker.
    fn orders(&mut self, count: usize, order_of: impl Fn(usize) -> O) -> &[O] {
        let orders = &mut self.orders[..count];
        orders.iter_mut().enumerate().for_each(|(index, order)| *order = order_of(index));
        orders
    }

    /// The rows for `worker`, in their order.
    fn of(&self, worker: usize) -> Columns<'_, O, T> {
        let start = worker * Self::ROWS;
        let dealt = start..start + self.counts[worker];
        (&self.times[dealt.clone()], &self.orders[dealt.clone()], &self.values[dealt])
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
    /// The last frontier that was told, or that a block's end tells.
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

    /// Puts a mark behind all rows so far.
    fn push_mark(&mut self, mark: Mark) {
        if !self.is_empty() || !self.sender.push_mark(mark) {
            self.marks.push_back((self.values.len(), mark));
        }
    }

    /// Puts rows of a block behind all there is; those that lie behind a watermark each take it with them.
    fn push(&mut self, block: u64, behind: Option<Timestamp>, (times, orders, values): Columns<'_, O, T>) {
        if values.is_empty() {
            return;
        }
        if self.block != block {
            self.block = block;
            self.push_mark(Mark::Frontier(Place::block_start(block)));
        }
        let Some(watermark) = behind else { return self.push_rows((times, orders, values)) };
        for row in 0..values.len() {
            self.push_mark(Mark::Behind(watermark));
            self.push_rows((&times[row..=row], &orders[row..=row], &values[row..=row]));
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
    /// Sends rows of one block, each with its order, to the workers that take them.
    #[inline]
    fn send(&mut self, rows: &Rows<'_, T>, order_of: impl Fn(usize) -> O + Copy) {
        let Self { route, deal, edges } = self;
        let block = rows.places.block();
        for first in (0..rows.values.len()).step_by(Deal::<O, T>::ROWS) {
            let end = rows.values.len().min(first + Deal::<O, T>::ROWS);
            let (times, values) = (&rows.times[first..end], &rows.values[first..end]);
            let order_of = |index| order_of(first + index);
            if let [edge] = &mut edges[..] {
                edge.push(block, rows.behind, (times, deal.orders(values.len(), order_of), values));
                continue;
            }
            let worker_of = |index, row: &T| blame::at_index(first + index, || route.worker(row));
            deal.deal(times, order_of, values, worker_of);
            for (worker, edge) in edges.iter_mut().enumerate() {
                edge.push(block, rows.behind, deal.of(worker));
            }
        }
    }
}

/// The way from a source or operator to a keyed step or ordered sink on all workers.
pub(crate) struct SendOutlet<C: Chain, R, O> {
    chain: C,
    buffer: ChainBuffer<C::Out>,
    stamp: Stamp<O>,
    /// The orders of a batch of which one row may have become several.
    orders: Vec<O>,
    routed: Routed<R, O, C::Out>,
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
        let deal = Deal::of_workers(senders.len());
        let routed = Routed { route, deal, edges: senders.into_iter().map(Staged::new).collect() };
        let (buffer, stamp, orders) = (ChainBuffer::new(), Stamp::new(level, way), Vec::new());
        Self { chain, buffer, stamp, orders, routed, counters, worker, shared }
    }
}

impl<C: Chain, R: Route<C::Out>, O: Order> Outlet<C::In> for SendOutlet<C, R, O>
where
    C::Out: bytemuck::Pod,
{
    fn is_ready(&mut self) -> bool {
        // Each is flushed, whatever the others say.
        self.routed.edges.iter_mut().map(Staged::flush).filter(|empty| !empty).count() == 0
    }

    fn rows(&mut self, rows: Rows<'_, C::In>) {
        let Self { chain, buffer, stamp, orders, routed, counters, .. } = self;
        let rows = apply(chain, rows, buffer);
        // Rows that are made one of one, straight from a source, have places of their own.
        let is_stamped = matches!(rows.places, Places::Full(_)) || chain.fans_out();
        if is_stamped {
            orders.clear();
            for index in 0..rows.values.len() {
                let Some(order) = stamp.next(&rows.places, index) else {
                    let error = Error::FanOut { step: counters.name.to_string(), max: FAN_OUT_MAX };
                    return self.shared.fail(error);
                };
                orders.push(order);
            }
        }
        add(&counters.of(self.worker).sent, rows.values.len() as u64);
        let position = |index| position_of(&rows.places, index);
        blame::at_position(position, || {
            blame::in_step(&counters.name, || match rows.places {
                _ if is_stamped => routed.send(&rows, |index| orders[index]),
                // Told apart here, so that it is not for each row.
                Places::Run { block, first } => routed.send(&rows, stamp.singles(block, first)),
                places => routed.send(&rows, |index| stamp.single(&places, index)),
            });
        });
    }

    fn mark(&mut self, mark: BlockMark) {
        self.stamp.block_end();
        // The receiver goes on to the next block by itself.
        let next = Place::block_start(mark.block + 1);
        for edge in &mut self.routed.edges {
            edge.push_mark(Mark::BlockEnd(mark));
            edge.block = mark.block + 1;
            edge.frontier = edge.frontier.max(next);
        }
    }

    fn frontier(&mut self, place: Place) -> bool {
        let mut is_told = true;
        for edge in self.routed.edges.iter_mut().filter(|edge| place > edge.frontier) {
            // Staged rows tell more than a frontier behind them would.
            if edge.is_empty() && edge.sender.push_mark(Mark::Frontier(place)) {
                edge.frontier = place;
                edge.block = place.block();
            } else {
                is_told = false;
            }
        }
        is_told
    }

    fn end(&mut self) {
        for edge in &mut self.routed.edges {
            edge.push_mark(Mark::End);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Symbol;

    fn check<K: Key>(keys: &[K]) {
        for workers in [1, 2, 3, 300] {
            let route = KeyRoute::new(|key: &K| *key, workers);
            for key in keys {
                assert_eq!(route.worker(key), worker_of(slot_of(hash_key(key)), workers));
            }
        }
    }

    #[test]
    fn looked_up_or_hashed_a_row_goes_to_the_owner_of_its_keys_slot() {
        check(&(0..=u8::MAX).collect::<Vec<_>>());
        check(&(i8::MIN..=i8::MAX).collect::<Vec<_>>());
        check(&(0..40_000u32).map(Symbol::from_id).collect::<Vec<_>>());
        check(&(0..40_000i64).map(|i| i * i * i - 20_000).collect::<Vec<_>>());
        check(&(0..1000u32).map(u32::to_le_bytes).collect::<Vec<_>>());
    }

    fn check_deal<T: bytemuck::Pod + PartialEq + std::fmt::Debug>(value_of: impl Fn(u64) -> T, rows: usize) {
        assert_eq!(Deal::<u64, T>::ROWS, rows);
        for workers in [2, 3] {
            let mut deal = Deal::<u64, T>::of_workers(workers);
            for count in [rows, 1, 0, rows / 2] {
                let times: Vec<_> = (0..count as i64).map(Timestamp::from_nanos).collect();
                let values: Vec<_> = (0..count as u64).map(&value_of).collect();
                deal.deal(&times, |index| 7 * index as u64, &values, |index, _| index * index % workers);
                for worker in 0..workers {
                    let expected: Vec<_> = (0..count).filter(|index| index * index % workers == worker).collect();
                    let (found, orders, dealt) = deal.of(worker);
                    assert!(expected.iter().map(|&index| times[index]).eq(found.iter().copied()));
                    assert!(expected.iter().map(|&index| 7 * index as u64).eq(orders.iter().copied()));
                    assert!(expected.iter().map(|&index| values[index]).eq(dealt.iter().copied()));
                }
            }
        }
    }

    #[test]
    fn each_worker_gets_its_rows_in_their_order_however_long_they_are() {
        check_deal(|row| row, DEALT);
        check_deal(|_| (), DEALT);
        check_deal(|row| [row; 512], DEALT_BYTES / 4096);
    }
}
