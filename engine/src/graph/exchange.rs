//! The edges into one input of a step: for each way, a ring from each worker that makes its rows to each that takes them.

use crate::graph::factory::BuildContext;
use crate::progress::mark::Mark;
use crate::progress::order::{Clocked, Order, Seq};
use crate::progress::place::Place;
use crate::ring::local::Local;
use crate::ring::{Consumer, Producer, ring};
use crate::runtime::edge::{EdgeReceiver, EdgeSender};
use std::any::Any;
use std::sync::{Mutex, PoisonError};

/// Marks that wait in a ring at most.
const RING_MARKS: usize = 256;
/// The least rows in a ring.
const RING_ROWS_MIN: usize = 2;

/// How the rows of an exchange say where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderKind {
    /// Straight from sources.
    Seq,
    /// Straight from sources, with the clock before each row.
    Clocked,
    /// Behind steps.
    Place,
}

/// What an exchange is made of.
#[derive(Debug, Clone)]
pub(crate) struct ExchangeSpec {
    pub(crate) id: usize,
    pub(crate) order: OrderKind,
    /// The ways that take this input: the number of each, and on how many of the first workers its rows are made.
    pub(crate) ways: Vec<(usize, usize)>,
    pub(crate) workers: usize,
    pub(crate) receivers: usize,
    pub(crate) ring_bytes: usize,
}

/// An exchange of rows whose type both of its ends know.
pub(crate) enum AnyExchange {
    Seq(Box<dyn Any + Send + Sync>),
    Clocked(Box<dyn Any + Send + Sync>),
    Place(Box<dyn Any + Send + Sync>),
}

/// Runs a piece of code with an exchange as what it is.
macro_rules! with_exchange {
    ($exchange:expr, $row:ty, |$typed:ident| $body:expr) => {
        match $exchange {
            $crate::graph::exchange::AnyExchange::Seq(any) => {
                let $typed = $crate::graph::exchange::typed::<$crate::progress::order::Seq, $row>(&**any);
                $body
            }
            $crate::graph::exchange::AnyExchange::Clocked(any) => {
                let $typed = $crate::graph::exchange::typed::<$crate::progress::order::Clocked, $row>(&**any);
                $body
            }
            $crate::graph::exchange::AnyExchange::Place(any) => {
                let $typed = $crate::graph::exchange::typed::<$crate::progress::place::Place, $row>(&**any);
                $body
            }
        }
    };
}
pub(crate) use with_exchange;

/// An exchange as what its maker knows it to be.
pub(crate) fn typed<O: Order, T: 'static>(any: &(dyn Any + Send + Sync)) -> &Exchange<O, T> {
    match any.downcast_ref() {
        Some(exchange) => exchange,
        None => unreachable!("both ends of an exchange were declared with the same rows"),
    }
}

impl AnyExchange {
    pub(crate) fn new<T: bytemuck::Pod + Send + Sync>(spec: &ExchangeSpec) -> Self {
        match spec.order {
            OrderKind::Seq => Self::Seq(Box::new(Exchange::<Seq, T>::new(spec))),
            OrderKind::Clocked => Self::Clocked(Box::new(Exchange::<Clocked, T>::new(spec))),
            OrderKind::Place => Self::Place(Box::new(Exchange::<Place, T>::new(spec))),
        }
    }
}

/// The ring ends of one worker, taken when the worker is built.
struct Ends<O, T> {
    /// By way, then by receiving worker; `None` for the worker itself.
    senders: Vec<Vec<Option<Producer<O, T, Mark>>>>,
    /// By way, then by sending worker; `None` for the worker itself.
    receivers: Vec<Vec<Option<Consumer<O, T, Mark>>>>,
}

/// All edges into one input of a step.
pub(crate) struct Exchange<O, T> {
    id: usize,
    capacity: usize,
    ways: Vec<usize>,
    ends: Mutex<Vec<Ends<O, T>>>,
}

impl<O: Order, T: bytemuck::Pod + Send> Exchange<O, T> {
    fn new(spec: &ExchangeSpec) -> Self {
        let row_bytes = size_of::<T>() + size_of::<O>() + 8;
        let rows = (spec.ring_bytes / row_bytes).max(RING_ROWS_MIN);
        // The largest power of two that fits.
        let capacity = 1 << rows.ilog2();
        let nothing = |ends: usize| (0..ends).map(|_| None).collect();
        let mut ends: Vec<Ends<O, T>> = (0..spec.workers)
            .map(|_| Ends {
                senders: spec.ways.iter().map(|_| (0..spec.receivers).map(|_| None).collect()).collect(),
                receivers: spec.ways.iter().map(|(_, senders)| nothing(*senders)).collect(),
            })
            .collect();
        for (way, (_, senders)) in spec.ways.iter().enumerate() {
            // A worker that does not run the step would never say that nothing more comes from it.
            for from in 0..*senders {
                for to in (0..spec.receivers).filter(|to| *to != from) {
                    let (producer, consumer) = ring(capacity, RING_MARKS);
                    ends[from].senders[way][to] = Some(producer);
                    ends[to].receivers[way][from] = Some(consumer);
                }
            }
        }
        let ways = spec.ways.iter().map(|(number, _)| *number).collect();
        Self { id: spec.id, capacity, ways, ends: Mutex::new(ends) }
    }

    /// The edges from this worker, by receiving worker, for the way with this number among those into the step.
    pub(crate) fn senders(&self, context: &BuildContext, number: usize) -> Vec<EdgeSender<O, T>> {
        let Some(way) = self.ways.iter().position(|way| *way == number) else { return Vec::new() };
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = ends[context.worker].senders[way].drain(..);
        let edge = |producer: Option<_>| match producer {
            Some(producer) => EdgeSender::Ring(producer),
            None => EdgeSender::Local(self.local(context, way)),
        };
        senders.map(edge).collect()
    }

    /// The edges to this worker, by way and then by sending worker.
    pub(crate) fn receivers(&self, context: &BuildContext) -> Vec<EdgeReceiver<O, T>> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let ways = ends[context.worker].receivers.drain(..).enumerate();
        let edge = |way, consumer: Option<_>| match consumer {
            Some(consumer) => EdgeReceiver::Ring(consumer),
            None => EdgeReceiver::Local(self.local(context, way)),
        };
        ways.flat_map(|(way, senders)| senders.into_iter().map(move |consumer| edge(way, consumer))).collect()
    }

    fn local(&self, context: &BuildContext, way: usize) -> Local<O, T, Mark> {
        context.local(self.id, way, || Local::new(self.capacity, RING_MARKS))
    }
}
