//! A stream of rows: stateless steps, unions, keys, sinks.

use crate::api::keyed::{KeyedStream, WindowedStream};
use crate::graph::connect::{TypedChain, TypedUnion};
use crate::graph::factory::ThroughFactory;
use crate::graph::model::{Edge, Graph, Kind, Node, NodeId, Placement, Port};
use crate::graph::sinks::{self, Unordered};
use crate::operator::chain::{Chain, Filter, FlatMap, Identity, Map};
use crate::operator::window::Windows;
use crate::progress::watermark::Watermarks;
use crate::{IntoKey, Layout, Record, ShapeError, Sink};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// A stream of rows of type `T`, changed by the stateless steps `C` since they were read or emitted.
///
/// A clone is the same stream: each taker gets all rows. Rows keep the time of what they were made
/// of.
///
/// Functions get rows by reference, and give values:
///
/// ```
/// use pelton::{Job, Options, collect};
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Click { #[event(time)] time_ns: i64, user: u64 }
///
/// let is_wanted = |click: &Click| click.user != 2;
/// let mut job = Job::new("clicks");
/// let (sink, users) = collect();
/// job.source("clicks", [1, 2, 3].map(|user| Click { time_ns: 1, user }))
///     .filter(is_wanted)
///     .map(|click| click.user)
///     .flat_map(|&user| [user; 2])
///     .sink("users", sink);
/// job.run(Options::workers(1))?;
/// assert_eq!(users.take().iter().map(|(_, user)| *user).collect::<Vec<_>>(), [1, 1, 3, 3]);
/// # Ok::<(), pelton::Error>(())
/// ```
///
/// For a function that takes a value, the compiler asks for the reference (`consider adjusting the signature so it borrows
/// its argument`):
///
/// ```compile_fail,E0631
/// # use pelton::Job;
/// # #[derive(Clone, Copy, pelton::Event)]
/// # #[repr(C)]
/// # struct Click { #[event(time)] time_ns: i64, user: u64 }
/// # let mut job = Job::new("clicks");
/// job.source("clicks", Vec::<Click>::new()).map(|click: Click| click.user);
/// ```
pub struct Stream<T: Record, C: Chain<Out = T> = Identity<T>> {
    pub(crate) graph: Rc<RefCell<Graph>>,
    /// The output of a node that the rows come from.
    from: (NodeId, usize),
    chain: C,
    /// The steps of the chain, in words.
    steps: Vec<&'static str>,
    /// Of the rows, as they are now.
    layout: Layout,
    /// Of a source, until a step follows.
    watermarks: Option<Arc<Mutex<Watermarks>>>,
}

/// Some rows of a stream.
type Filtered<T, C, F> = Stream<T, Filter<C, F>>;

impl<T: Record, C: Chain<Out = T>> Clone for Stream<T, C> {
    fn clone(&self) -> Self {
        let Self { graph, from, chain, steps, layout, watermarks } = self;
        Self {
            graph: graph.clone(),
            from: *from,
            chain: chain.clone(),
            steps: steps.clone(),
            layout: layout.clone(),
            watermarks: watermarks.clone(),
        }
    }
}

impl<T: Record> Stream<T> {
    /// Says how the watermark of this source follows its events. Said twice, the last one counts.
    pub fn watermarks(self, watermarks: Watermarks) -> Self {
        self.set_watermarks(watermarks);
        self
    }
}

impl<T: Record, C: Chain<Out = T>> Stream<T, C> {
    pub(crate) fn new(
        graph: Rc<RefCell<Graph>>,
        from: (NodeId, usize),
        chain: C,
        watermarks: Option<Arc<Mutex<Watermarks>>>,
    ) -> Self {
        Self { graph, from, chain, steps: Vec::new(), layout: T::layout(), watermarks }
    }

    /// The stream with rows of a layout that their type does not tell.
    pub(crate) fn with_layout(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }

    /// The stream with another chain over the same rows, which has one step more of this kind.
    pub(crate) fn rechained<D: Chain<Out = T>>(
        self,
        kind: Option<&'static str>,
        chain: impl FnOnce(C) -> D,
    ) -> Stream<T, D> {
        let Self { graph, from, chain: inner, mut steps, layout, watermarks } = self;
        steps.extend(kind);
        let watermarks = watermarks.filter(|_| kind.is_none());
        Stream { graph, from, chain: chain(inner), steps, layout, watermarks }
    }

    /// Says how the watermark of a source follows its events; of any other stream that is a mistake.
    pub(crate) fn set_watermarks(&self, watermarks: Watermarks) {
        match &self.watermarks {
            Some(slot) => *slot.lock().unwrap_or_else(PoisonError::into_inner) = watermarks,
            None => {
                let mut graph = self.graph.borrow_mut();
                let behind = graph.nodes[self.from.0].name.to_string();
                graph.mistakes.push(ShapeError::MisplacedWatermarks(behind));
            }
        }
    }

    /// A name for a stateless step behind this stream.
    pub(crate) fn name_step(&self, kind: &'static str) -> Arc<str> {
        self.graph.borrow_mut().fused_name(kind, self.from.0)
    }

    /// The stream with one more stateless step, which `make` adds to the chain under a name.
    fn with<U: Record, D: Chain<Out = U>>(
        self,
        kind: &'static str,
        make: impl FnOnce(C, Arc<str>) -> D,
    ) -> Stream<U, D> {
        let name = self.name_step(kind);
        let Self { graph, from, chain, mut steps, .. } = self;
        steps.push(kind);
        Stream { graph, from, chain: make(chain, name), steps, layout: U::layout(), watermarks: None }
    }

    /// The name of the source or step that the rows come from.
    pub(crate) fn source_name(&self) -> String {
        self.graph.borrow().nodes[self.from.0].name.to_string()
    }

    /// Leads the rows to an input of a node.
    pub(crate) fn lead_to(self, to: NodeId, input: usize) {
        let Self { graph, from, chain, steps, layout, .. } = self;
        let connect = Box::new(TypedChain(chain));
        graph.borrow_mut().add_edge(Edge { from, to: (to, input), chain: steps, layout, connect });
    }

    /// Leads the rows to a stateless step with these outputs, which `make` makes of the chain before it and a name.
    pub(crate) fn fork(
        self,
        kind: &'static str,
        outputs: Vec<Port>,
        make: impl FnOnce(C, Arc<str>) -> Box<dyn ThroughFactory>,
    ) -> NodeId {
        let name = self.name_step(kind);
        let Self { graph, from, chain, mut steps, layout, .. } = self;
        steps.push(kind);
        let mut graph = graph.borrow_mut();
        let node = graph.add_node(Node {
            name: name.clone(),
            title: kind.to_owned(),
            inputs: vec![Port { name: "rows", layout: layout.clone() }],
            outputs,
            key: None,
            stores: Vec::new(),
            placement: Placement::All,
            parts_of: None,
            kind: Kind::Fork(make(chain, name)),
        });
        // The chain is part of the node: both are one loop.
        let connect = Box::new(TypedChain(Identity::<C::In>::new()));
        graph.add_edge(Edge { from, to: (node, 0), chain: steps, layout, connect });
        node
    }

    /// Groups all rows by windows, without a key: one worker has all of them, but for what workers combine before.
    pub fn window_all(self, windows: impl Into<Windows<T>>) -> WindowedStream<(), T, C, fn(&T)> {
        let key_of: fn(&T) = |_| ();
        KeyedStream::new(self, key_of).window(windows)
    }

    /// Keeps rows for which `keep` returns true.
    pub fn filter<F>(self, keep: F) -> Stream<T, Filter<C, F>>
    where
        F: Fn(&T) -> bool + Clone + Send + Sync + 'static,
    {
        self.with("filter", |inner, step| Filter { inner, keep, step })
    }

    /// Makes one row of each row.
    pub fn map<U, F>(self, map: F) -> Stream<U, Map<C, F>>
    where
        U: Record,
        F: Fn(&T) -> U + Clone + Send + Sync + 'static,
    {
        self.with("map", |inner, step| Map { inner, map, step })
    }

    /// Makes any number of rows of each row, at most 65,535 before the next keyed step or sink.
    pub fn flat_map<U, I, F>(self, map: F) -> Stream<U, FlatMap<C, F>>
    where
        U: Record,
        I: IntoIterator<Item = U>,
        F: Fn(&T) -> I + Clone + Send + Sync + 'static,
    {
        self.with("flat_map", |inner, step| FlatMap { inner, map, step })
    }

    /// Shows each row to a function on its way.
    pub fn peek<F>(self, look: F) -> Stream<T, Map<C, impl Fn(&T) -> T + Clone + Send + Sync + use<T, C, F>>>
    where
        F: Fn(&T) + Clone + Send + Sync + 'static,
    {
        self.map(move |row: &T| {
            look(row);
            *row
        })
    }

    /// The rows for which `is_first` returns true, and the others. It is called for each of the two; one that is to be called
    /// once is for [`Stream::flat_map_to`].
    ///
    /// ```
    /// use pelton::{Job, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Paid { #[event(time)] time_ns: i64, cents: i64 }
    ///
    /// let paid = [5, -7, 9].map(|cents| Paid { time_ns: 1, cents });
    /// let mut job = Job::new("paid");
    /// let ((in_sink, incomes), (out_sink, refunds)) = (collect(), collect());
    /// let (income, refund) = job.source("paid", VecSource::new(paid.into(), 64)).split(|paid| paid.cents > 0);
    /// income.sink("income", in_sink);
    /// refund.sink("refund", out_sink);
    /// job.run(Options::workers(1))?;
    /// assert_eq!((incomes.take().len(), refunds.take().len()), (2, 1));
    /// # Ok::<(), pelton::Error>(())
    /// ```
    #[expect(clippy::type_complexity, reason = "a closure's type has no name")]
    pub fn split<F>(self, is_first: F) -> (Filtered<T, C, F>, Filtered<T, C, impl Fn(&T) -> bool + Clone + Send + Sync>)
    where
        F: Fn(&T) -> bool + Clone + Send + Sync + 'static,
    {
        let is_other = is_first.clone();
        let others = self.clone().filter(move |row: &T| !is_other(row));
        (self.filter(is_first), others)
    }

    /// The rows of both streams, in the job's order; of rows with the same cause, this stream's first.
    /// The watermark is the lesser of the two.
    pub fn union<D: Chain<Out = T>>(self, other: Stream<T, D>) -> Stream<T> {
        let name = format!("{} and {}", self.source_name(), other.source_name()).into();
        let (graph, layout) = (self.graph.clone(), self.layout.clone());
        let node = graph.borrow_mut().add_node(Node {
            name,
            title: String::from("union"),
            inputs: ["first", "second"].map(|name| Port { name, layout: layout.clone() }).into(),
            outputs: vec![Port { name: "rows", layout: layout.clone() }],
            key: None,
            stores: Vec::new(),
            placement: Placement::All,
            parts_of: None,
            kind: Kind::Union(Box::new(TypedUnion::<T>::new())),
        });
        lead_both(self, other, node);
        Stream::new(graph, (node, 0), Identity::new(), None).with_layout(layout)
    }

    /// Groups the rows by a key. Each key belongs to one worker and sees its rows in the job's order. `key_of` depends on
    /// the row alone: it may be called more than once for each. It gives a [`Key`](crate::Key), or what becomes one, such as
    /// a tuple: see [`IntoKey`].
    pub fn key_by<K, F>(
        self,
        key_of: F,
    ) -> KeyedStream<K::Key, T, C, impl Fn(&T) -> K::Key + Clone + Send + Sync + use<T, C, K, F>>
    where
        K: IntoKey,
        F: Fn(&T) -> K + Clone + Send + Sync + 'static,
    {
        KeyedStream::new(self, move |row: &T| key_of(row).into_key())
    }

    /// Gives the rows to a sink, in the job's order.
    pub fn sink(self, name: &str, sink: impl Sink<T>) {
        self.lead_to_sink(name, Placement::First, Kind::Sink { factory: sinks::ordered(sink), is_ordered: true });
    }

    fn lead_to_sink(self, name: &str, placement: Placement, kind: Kind) {
        let node = {
            let mut graph = self.graph.borrow_mut();
            let name = graph.name("sink", name);
            graph.add_node(Node {
                name,
                title: String::from(if placement == Placement::All { "sink of each worker" } else { "sink" }),
                inputs: vec![Port { name: "rows", layout: self.layout.clone() }],
                outputs: Vec::new(),
                key: None,
                stores: Vec::new(),
                placement,
                parts_of: None,
                kind,
            })
        };
        self.lead_to(node, 0);
    }

    /// Gives the rows to a sink of each worker, made by `make` with the worker's number.
    ///
    /// Each row goes to one of them, straight from where it was made: nothing waits for other
    /// workers. For that, which sink gets a row, and in which order, depends on the number of workers.
    ///
    /// Where these sinks [say where their output stands](Sink::checkpoint), a job goes on from a checkpoint at the number of
    /// workers that it had: another is an error that names the sink and both numbers. Where they do not, as
    /// callbacks and channels do not, it goes on at any number of workers, and rows behind the checkpoint come again,
    /// perhaps on other workers. [Numbers](Sink::first_number) are for sinks of the whole job.
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
        let factory = Box::new(Unordered::<T, S, _>::new(make));
        self.lead_to_sink(name, Placement::All, Kind::Sink { factory, is_ordered: false });
    }
}

/// Leads two streams to the inputs of a node; those of another job are a mistake.
pub(crate) fn lead_both<L: Record, R: Record, C: Chain<Out = L>, D: Chain<Out = R>>(
    left: Stream<L, C>,
    right: Stream<R, D>,
    node: NodeId,
) {
    let graph = left.graph.clone();
    left.lead_to(node, 0);
    if Rc::ptr_eq(&graph, &right.graph) {
        right.lead_to(node, 1);
    } else {
        graph.borrow_mut().mistakes.push(ShapeError::OtherJob(right.source_name()));
    }
}
