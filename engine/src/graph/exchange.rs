//! The edges into one step: a ring from each worker to each other, for each way.

use crate::graph::plan::BuildContext;
use crate::progress::mark::Mark;
use crate::progress::merge::{EdgeReceiver, EdgeSender};
use crate::progress::place::Order;
use crate::ring::local::Local;
use crate::ring::{Consumer, Producer, ring};
use std::sync::{Mutex, PoisonError};

/// Marks that wait in a ring at most.
const RING_MARKS: usize = 256;
/// The least rows in a ring.
const RING_ROWS_MIN: usize = 2;

/// The ring ends of one worker, taken when the worker is built.
struct Ends<O, T> {
    /// By way, then by receiving worker; `None` for the worker itself.
    senders: Vec<Vec<Option<Producer<O, T, Mark>>>>,
    /// By way, then by sending worker; `None` for the worker itself.
    receivers: Vec<Vec<Option<Consumer<O, T, Mark>>>>,
}

/// All edges into one step.
pub(crate) struct Exchange<O, T> {
    id: usize,
    capacity: usize,
    ends: Mutex<Vec<Ends<O, T>>>,
}

impl<O: Order, T: bytemuck::Pod + Send> Exchange<O, T> {
    /// Edges for `ways` flows from `workers` workers to the first `receivers` of them.
    pub(crate) fn new(id: usize, ways: usize, workers: usize, receivers: usize, ring_bytes: usize) -> Self {
        let row_bytes = size_of::<T>() + size_of::<O>() + 8;
        let rows = (ring_bytes / row_bytes).max(RING_ROWS_MIN);
        // The largest power of two that fits.
        let capacity = 1 << rows.ilog2();
        let mut ends: Vec<Ends<O, T>> = (0..workers)
            .map(|_| Ends {
                senders: (0..ways).map(|_| (0..receivers).map(|_| None).collect()).collect(),
                receivers: (0..ways).map(|_| (0..workers).map(|_| None).collect()).collect(),
            })
            .collect();
        for way in 0..ways {
            for from in 0..workers {
                for to in (0..receivers).filter(|to| *to != from) {
                    let (producer, consumer) = ring(capacity, RING_MARKS);
                    ends[from].senders[way][to] = Some(producer);
                    ends[to].receivers[way][from] = Some(consumer);
                }
            }
        }
        Self { id, capacity, ends: Mutex::new(ends) }
    }

    /// The edges from this worker, by receiving worker.
    pub(crate) fn senders(&self, context: &BuildContext, way: usize) -> Vec<EdgeSender<O, T>> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = ends[context.worker].senders[way].drain(..);
        let edge = |producer: Option<_>| match producer {
            Some(producer) => EdgeSender::Ring(producer),
            None => EdgeSender::Local(self.local(context, way)),
        };
        senders.map(edge).collect()
    }

    /// The edges to this worker with their ways, by way and then by sending worker.
    pub(crate) fn receivers(&self, context: &BuildContext) -> Vec<(usize, EdgeReceiver<O, T>)> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let ways = ends[context.worker].receivers.drain(..).enumerate();
        let edge = |way, consumer: Option<_>| match consumer {
            Some(consumer) => (way, EdgeReceiver::Ring(consumer)),
            None => (way, EdgeReceiver::Local(self.local(context, way))),
        };
        ways.flat_map(|(way, senders)| senders.into_iter().map(move |consumer| edge(way, consumer))).collect()
    }

    fn local(&self, context: &BuildContext, way: usize) -> Local<O, T, Mark> {
        context.local(self.id, way, || Local::new(self.capacity, RING_MARKS))
    }
}
