//! The sending side of an exchange: a fused chain, a route, and a bounded edge to each worker.
//!
//! The rows of a batch are first dealt to workers, then each worker's are picked into a stage, which is
//! copied into its edge. What does not fit stays staged, and the outlet is not ready until it is gone:
//! that is the backpressure. Staging holds one batch.

use crate::base::blame;
use crate::operator::chain::Chain;
use crate::progress::mark::{BlockMark, Mark};
use crate::progress::merge::EdgeSender;
use crate::progress::place::{FAN_OUT_MAX, Order, Place, Places, Stamp};
use crate::ring::local::pick_onto;
use crate::runtime::chained::{ChainBuffer, apply, position_of};
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

/// The rows of a batch by the worker that takes them.
struct Deal {
    /// `batch` numbers of rows for each worker, of which the first `counts[worker]` are set.
    rows: Vec<u32>,
    batch: usize,
    counts: Vec<usize>,
}

impl Deal {
    fn of_workers(workers: usize) -> Self {
        Self { rows: Vec::new(), batch: 0, counts: vec![0; workers] }
    }

    /// Deals `values` anew.
    #[inline]
    fn deal<T>(&mut self, values: &[T], worker_of: impl Fn(usize, &T) -> usize) {
        let Self { rows, batch, counts } = self;
        if *batch < values.len() {
            *batch = values.len();
            rows.resize(*batch * counts.len(), 0);
        }
        if let [to_first, to_second] = &mut counts[..] {
            // The ends stay in registers, where the next row does not wait for them to be stored.
            let rows = &mut rows[..2 * *batch];
            let (mut first, mut second) = (0, *batch);
            for (index, value) in values.iter().enumerate() {
                let is_first = worker_of(index, value) == 0;
                rows[if is_first { first } else { second }] = index as u32;
                first += usize::from(is_first);
                second += usize::from(!is_first);
            }
            (*to_first, *to_second) = (first, second - *batch);
            return;
        }
        counts.fill(0);
        for (index, value) in values.iter().enumerate() {
            let worker = worker_of(index, value);
            let count = &mut counts[worker];
            rows[worker * *batch + *count] = index as u32;
            *count += 1;
        }
    }

    /// The numbers of the rows for `worker`, growing.
    fn of(&self, worker: usize) -> &[u32] {
        let start = worker * self.batch;
        &self.rows[start..start + self.counts[worker]]
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

    /// Puts a mark behind all rows so far.
    fn push_mark(&mut self, mark: Mark) {
        if !self.is_empty() || !self.sender.push_mark(mark) {
            self.marks.push_back((self.values.len(), mark));
        }
    }

    /// Puts the picked rows behind all there is: into the queue or the stage, column by column, and from the
    /// stage on into the ring.
    #[inline]
    fn push_rows(&mut self, picks: &[u32], times: &[Timestamp], order_of: impl Fn(usize) -> O + Copy, values: &[T]) {
        let pushed = match &self.sender {
            EdgeSender::Local(queue) if self.is_empty() => queue.push_picked(picks, times, order_of, values),
            _ => 0,
        };
        let picks = &picks[pushed..];
        if picks.is_empty() {
            return;
        }
        pick_onto(&mut self.times, picks, |pick| times[pick]);
        pick_onto(&mut self.orders, picks, order_of);
        pick_onto(&mut self.values, picks, |pick| values[pick]);
        self.flush();
    }

    /// As [`Staged::push_rows`]; a row that lies behind takes the watermark with it.
    fn push_all(&mut self, picks: &[u32], rows: &Rows<'_, T>, order_of: impl Fn(usize) -> O + Copy) {
        let Some(watermark) = rows.behind else { return self.push_rows(picks, rows.times, order_of, rows.values) };
        for pick in picks.chunks(1) {
            self.push_mark(Mark::Behind(watermark));
            self.push_rows(pick, rows.times, order_of, rows.values);
        }
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
    buffer: ChainBuffer<C::Out>,
    route: R,
    stamp: Stamp<O>,
    /// The orders of a batch of which one row may have become several.
    orders: Vec<O>,
    deal: Deal,
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
        let (stamp, deal) = (Stamp::new(level, way), Deal::of_workers(senders.len()));
        let edges = senders.into_iter().map(Staged::new).collect();
        let (buffer, orders) = (ChainBuffer::new(), Vec::new());
        Self { chain, buffer, route, stamp, orders, deal, edges, counters, worker, shared }
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
        let Self { chain, buffer, route, stamp, orders, deal, edges, counters, .. } = self;
        let rows = apply(chain, rows, buffer);
        if rows.values.is_empty() {
            return;
        }
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
        let step = &counters.name;
        blame::at_position(
            |index| position_of(&rows.places, index),
            || {
                let worker_of = |index, row: &C::Out| blame::at_index(index, || route.worker(row));
                blame::in_step(step, || deal.deal(rows.values, worker_of));
            },
        );
        add(&counters.of(self.worker).sent, rows.values.len() as u64);
        // All rows given at once are of one block.
        let block = rows.places.block();
        for (worker, edge) in edges.iter_mut().enumerate() {
            let dealt = deal.of(worker);
            if dealt.is_empty() {
                continue;
            }
            if edge.block != block {
                edge.block = block;
                edge.push_mark(Mark::Frontier(Place::block_start(block)));
            }
            match rows.places {
                _ if is_stamped => edge.push_all(dealt, &rows, |index| orders[index]),
                // Told apart here, so that it is not for each row.
                Places::Run { block, first } => {
                    edge.push_all(dealt, &rows, stamp.singles(block, first));
                }
                places => edge.push_all(dealt, &rows, |index| stamp.single(&places, index)),
            }
        }
    }

    fn mark(&mut self, mark: BlockMark) {
        self.stamp.block_end();
        // The receiver goes on to the next block by itself.
        for edge in &mut self.edges {
            edge.push_mark(Mark::BlockEnd(mark));
            edge.block = mark.block + 1;
        }
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
}
