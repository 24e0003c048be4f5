//! A stream of rows: stateless steps, unions, keys, sinks.

use crate::api::job::Graph;
use crate::api::keyed::KeyedStream;
use crate::graph::node::{Placement, StepNode};
use crate::graph::origin::Origin;
use crate::operator::chain::{Chain, Filter, FlatMap, Identity, Map};
use crate::progress::watermark::Watermarks;
use crate::runtime::chained::ChainOutlet;
use crate::runtime::metrics::StepKind;
use crate::runtime::send::ToOne;
use crate::runtime::stage::SinkStage;
use crate::{Key, Record, ShapeError, Sink};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// A stream of rows of type `T`, changed by the stateless steps `C` since they were read or emitted.
///
/// A clone is the same stream: each taker gets all rows. Rows keep the time of what they were made
/// of.
pub struct Stream<T: Record, C: Chain<Out = T> = Identity<T>> {
    graph: Rc<RefCell<Graph>>,
    origin: Arc<Origin<C::In>>,
    chain: C,
    /// Of a source, until a step follows.
    watermarks: Option<Arc<Mutex<Watermarks>>>,
}

impl<T: Record, C: Chain<Out = T>> Clone for Stream<T, C> {
    fn clone(&self) -> Self {
        Self::new(self.graph.clone(), self.origin.clone(), self.chain.clone(), self.watermarks.clone())
    }
}

impl<T: Record> Stream<T> {
    /// Says how the watermark of this source follows its events. Said twice, the last one counts.
    pub fn watermarks(self, watermarks: Watermarks) -> Self {
        if let Some(slot) = &self.watermarks {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = watermarks;
        }
        self
    }
}

impl<T: Record, C: Chain<Out = T>> Stream<T, C> {
    pub(crate) fn new(
        graph: Rc<RefCell<Graph>>,
        origin: Arc<Origin<C::In>>,
        chain: C,
        watermarks: Option<Arc<Mutex<Watermarks>>>,
    ) -> Self {
        Self { graph, origin, chain, watermarks }
    }

    fn fused_name(&self, kind: &str) -> Arc<str> {
        self.graph.borrow_mut().fused_name(kind, &self.origin.name)
    }

    /// Keeps the rows for which `keep` says so.
    pub fn filter<F>(self, keep: F) -> Stream<T, Filter<C, F>>
    where
        F: Fn(&T) -> bool + Clone + Send + Sync + 'static,
    {
        let step = self.fused_name("filter");
        Stream::new(self.graph, self.origin, Filter { inner: self.chain, keep, step }, None)
    }

    /// Makes one row of each row.
    pub fn map<U, F>(self, map: F) -> Stream<U, Map<C, F>>
    where
        U: Record,
        F: Fn(&T) -> U + Clone + Send + Sync + 'static,
    {
        let step = self.fused_name("map");
        Stream::new(self.graph, self.origin, Map { inner: self.chain, map, step }, None)
    }

    /// Makes any number of rows of each row, at most 65,535 before the next keyed step or sink.
    pub fn flat_map<U, I, F>(self, map: F) -> Stream<U, FlatMap<C, F>>
    where
        U: Record,
        I: IntoIterator<Item = U>,
        F: Fn(&T) -> I + Clone + Send + Sync + 'static,
    {
        let step = self.fused_name("flat_map");
        Stream::new(self.graph, self.origin, FlatMap { inner: self.chain, map, step }, None)
    }

    /// The rows of both streams, in the job's order; of rows with the same cause, this stream's first.
    /// The watermark is the lesser of the two.
    pub fn union<D: Chain<Out = T>>(self, other: Stream<T, D>) -> Stream<T> {
        let name: Arc<str> = format!("{} and {}", self.origin.name, other.origin.name).into();
        let ways = [&self.origin.ways[..], &other.origin.ways[..]].concat();
        let union = Origin::new(name, ways, self.origin.depth.max(other.origin.depth));
        self.graph.borrow_mut().add_output(&union);
        self.graph.borrow_mut().check_ways(&union.name, union.ways.len());
        if !Rc::ptr_eq(&self.graph, &other.graph) {
            self.graph.borrow_mut().mistakes.push(ShapeError::OtherJob(other.origin.name.to_string()));
        }
        self.origin.feed_step();
        other.origin.feed_step();
        let offset = self.origin.ways.len();
        let (chain, into) = (self.chain, union.clone());
        self.origin.subscribe(move |context, way| {
            Box::new(ChainOutlet::new(chain.clone(), Box::new(into.outlet(context, way))))
        });
        let (chain, into) = (other.chain, union.clone());
        other.origin.subscribe(move |context, way| {
            Box::new(ChainOutlet::new(chain.clone(), Box::new(into.outlet(context, offset + way))))
        });
        Stream::new(self.graph, union, Identity::new(), None)
    }

    /// Groups the rows by a key. Each key belongs to one worker and sees its rows in the job's order.
    pub fn key_by<K, F>(self, key_of: F) -> KeyedStream<K, T, C, F>
    where
        K: Key,
        F: Fn(&T) -> K + Clone + Send + Sync + 'static,
    {
        KeyedStream::new(self.graph, self.origin, self.chain, key_of)
    }

    /// Gives the rows to a sink, in the job's order.
    pub fn sink(self, name: &str, sink: impl Sink<T>) {
        let mut graph = self.graph.borrow_mut();
        let name = graph.name("sink", name);
        let slot: Mutex<Option<Box<dyn Sink<T>>>> = Mutex::new(Some(Box::new(sink)));
        let node = StepNode::attach(
            (name, StepKind::Sink, Placement::One),
            &self.origin,
            self.chain,
            |_| ToOne,
            move |context, counters| {
                let sink = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some(sink) = sink else { unreachable!("the first worker alone builds a sink, once") };
                SinkStage::new(sink, counters.clone(), context.worker, context.shared.clone())
            },
        );
        graph.add_node(node);
    }

    /// Gives the rows to a sink of each worker, made by `make` with the worker's number.
    ///
    /// Each row goes to one of them, straight from where it was made: nothing waits for other
    /// workers. For that, which sink gets a row, and in which order, depends on the number of workers.
    ///
    /// ```
    /// use pelton::{Job, Options, Timestamp, VecSource, callback};
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, value: u64 }
    ///
    /// let readings = (1..=100).map(|i| Reading { time_ns: i, value: i as u64 }).collect();
    /// let total = Arc::new(AtomicU64::new(0));
    /// let counted = total.clone();
    /// let mut job = Job::new("total");
    /// job.source("readings", VecSource::new(readings, 10)).sink_unordered("total", move |_| {
    ///     let total = counted.clone();
    ///     callback(move |_: Timestamp, reading: &Reading| {
    ///         total.fetch_add(reading.value, Ordering::Relaxed);
    ///     })
    /// });
    /// job.run(Options::workers(2))?;
    /// assert_eq!(total.load(Ordering::Relaxed), 5050);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn sink_unordered<S: Sink<T>>(self, name: &str, make: impl Fn(usize) -> S + Send + Sync + 'static) {
        let mut graph = self.graph.borrow_mut();
        let name = graph.name("sink", name);
        graph.add_node(crate::graph::unordered::attach(name, &self.origin, self.chain, make));
    }
}
