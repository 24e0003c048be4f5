//! Keyed and windowed streams, and the outputs of stateful steps.

use crate::api::stream::Stream;
use crate::graph::factory::StepFactory;
use crate::graph::model::{Graph, Kind, Node, NodeId, Placement, Port};
use crate::graph::step::single_input;
use crate::graph::window::{WindowFactory, WindowStep};
use crate::operator::aggregate::Aggregate;
use crate::operator::chain::{Chain, Identity};
use crate::operator::process::{ProcessFunction, ProcessOperator};
use crate::operator::window::Tumbling;
use crate::runtime::route::KeyRoute;
use crate::{Key, Layout, Record, ShapeError, Sink};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

/// A stream whose rows are grouped by a key.
pub struct KeyedStream<K, T: Record, C: Chain<Out = T>, F> {
    pub(crate) stream: Stream<T, C>,
    pub(crate) key_of: F,
    key: PhantomData<fn() -> K>,
}

/// What a keyed step is, beside its name and what builds it.
pub(crate) struct KeyedStep<'a> {
    pub(crate) title: String,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) key: Layout,
    pub(crate) name: &'a str,
}

/// Adds a keyed step to a graph; `make` makes what builds it.
pub(crate) fn add_step(graph: &mut Graph, step: KeyedStep<'_>, make: impl FnOnce() -> Box<dyn StepFactory>) -> NodeId {
    let name = graph.name("step", step.name);
    let KeyedStep { title, inputs, outputs, key, .. } = step;
    let factory = make();
    let stores = factory.stores();
    for (at, store) in stores.iter().enumerate() {
        if stores[..at].iter().any(|other| other.name == store.name) {
            graph.mistakes.push(ShapeError::DuplicateStore(name.to_string(), store.name));
        }
    }
    graph.add_node(Node {
        name,
        title,
        inputs,
        outputs,
        key: Some(key),
        stores,
        placement: Placement::All,
        parts_of: None,
        kind: Kind::Step(factory),
    })
}

/// An input or output with rows of type `T`.
pub(crate) fn port<T: Record>(name: &'static str) -> Port {
    Port { name, layout: T::layout() }
}

impl<K, T, C, F> KeyedStream<K, T, C, F>
where
    K: Key,
    T: Record,
    C: Chain<Out = T>,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    pub(crate) const fn new(stream: Stream<T, C>, key_of: F) -> Self {
        Self { stream, key_of, key: PhantomData }
    }

    /// Runs a function with state for each key. The name is the identity of the state.
    pub fn process<P>(self, name: &str, function: P) -> StepOutput<P::Out, T>
    where
        P: ProcessFunction<K, In = T>,
    {
        let Self { stream, key_of, .. } = self;
        let step = KeyedStep {
            title: String::from("process function"),
            inputs: vec![port::<T>("rows")],
            outputs: vec![port::<P::Out>("main"), port::<T>("late")],
            key: K::layout(),
            name,
        };
        let graph = stream.graph.clone();
        let node = add_step(&mut graph.borrow_mut(), step, || {
            let route_key = key_of.clone();
            single_input(
                move |workers, seed| KeyRoute::new(route_key.clone(), workers, seed),
                true,
                move |context| ProcessOperator::new(key_of.clone(), function.clone(), &context.stores),
            )
        });
        stream.lead_to(node, 0);
        StepOutput::new(graph, node)
    }

    /// Groups each key's rows by windows of event time.
    pub fn window(self, windows: Tumbling) -> WindowedStream<K, T, C, F> {
        WindowedStream { keyed: self, windows }
    }
}

/// A keyed stream whose rows are grouped by windows.
pub struct WindowedStream<K, T: Record, C: Chain<Out = T>, F> {
    keyed: KeyedStream<K, T, C, F>,
    windows: Tumbling,
}

impl<K, T, C, F> WindowedStream<K, T, C, F>
where
    K: Key,
    T: Record,
    C: Chain<Out = T>,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    /// Aggregates each key and window. The name is the identity of the state.
    ///
    /// A window fires when the watermark reaches its last nanosecond; rows leave in order of (window
    /// end, key). A row that comes when its window has fired goes to [`StepOutput::late`].
    pub fn aggregate<A>(self, name: &str, aggregate: A) -> StepOutput<A::Out, T>
    where
        A: Aggregate<K, In = T>,
    {
        let windows = self.windows;
        let KeyedStream { stream, key_of, key } = self.keyed;
        let graph = stream.graph.clone();
        if !windows.is_valid() {
            graph.borrow_mut().mistakes.push(ShapeError::EmptyWindow(name.to_owned()));
        }
        let step = KeyedStep {
            title: format!("tumbling window of {windows}"),
            inputs: vec![port::<T>("rows")],
            outputs: vec![port::<A::Out>("main"), port::<T>("late")],
            key: K::layout(),
            name,
        };
        let node = add_step(&mut graph.borrow_mut(), step, || {
            Box::new(WindowFactory::new(WindowStep { windows, key_of, aggregate, key }))
        });
        stream.lead_to(node, 0);
        StepOutput::new(graph, node)
    }
}

/// The outputs of a stateful step. It can be used as its main output.
#[derive(Clone)]
pub struct StepOutput<Out: Record, In: Record> {
    /// What the step emits.
    pub main: Stream<Out>,
    /// Rows that came too late. Where nothing takes them they are counted.
    pub late: Stream<In>,
}

impl<Out: Record, In: Record> StepOutput<Out, In> {
    fn new(graph: Rc<RefCell<Graph>>, node: NodeId) -> Self {
        Self {
            main: Stream::new(graph.clone(), (node, 0), Identity::new(), None),
            late: Stream::new(graph, (node, 1), Identity::new(), None),
        }
    }

    /// Gives the main output to a sink: [`Stream::sink`].
    pub fn sink(&self, name: &str, sink: impl Sink<Out>) {
        self.main.clone().sink(name, sink);
    }

    /// Gives the main output to a sink of each worker: [`Stream::sink_unordered`].
    pub fn sink_unordered<S: Sink<Out>>(&self, name: &str, make: impl Fn(usize) -> S + Send + Sync + 'static) {
        self.main.clone().sink_unordered(name, make);
    }
}
