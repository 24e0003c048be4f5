//! Keyed and windowed streams, and the outputs of stateful steps.

use crate::api::job::Graph;
use crate::api::stream::Stream;
use crate::graph::node::{Placement, StepNode};
use crate::graph::origin::Origin;
use crate::graph::window_node::{self, WindowStep};
use crate::operator::aggregate::Aggregate;
use crate::operator::chain::{Chain, Identity};
use crate::operator::process::{ProcessFunction, ProcessLimits, ProcessOperator};
use crate::operator::window::Tumbling;
use crate::runtime::metrics::StepKind;
use crate::runtime::send::KeyRoute;
use crate::runtime::stage::KeyedStage;
use crate::{Key, Record, ShapeError, Sink};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

/// A stream whose rows are grouped by a key.
pub struct KeyedStream<K, T: Record, C: Chain<Out = T>, F> {
    graph: Rc<RefCell<Graph>>,
    origin: Arc<Origin<C::In>>,
    chain: C,
    key_of: F,
    key: PhantomData<fn() -> K>,
}

impl<K, T, C, F> KeyedStream<K, T, C, F>
where
    K: Key,
    T: Record,
    C: Chain<Out = T>,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    pub(crate) const fn new(graph: Rc<RefCell<Graph>>, origin: Arc<Origin<C::In>>, chain: C, key_of: F) -> Self {
        Self { graph, origin, chain, key_of, key: PhantomData }
    }

    /// Runs a function with state for each key. The name is the identity of the state.
    pub fn process<P>(self, name: &str, function: P) -> StepOutput<P::Out, T>
    where
        P: ProcessFunction<K, In = T>,
    {
        let Self { graph, origin, chain, key_of, .. } = self;
        let (name, main, late) = outputs(&mut graph.borrow_mut(), name, &origin);
        let depth = origin.depth + 1;
        let (step, route_key) = (name.clone(), key_of.clone());
        let outlets = (main.clone(), late.clone());
        let node = StepNode::attach(
            (name, StepKind::Keyed, Placement::All),
            &origin,
            chain,
            move |workers| KeyRoute::new(route_key.clone(), workers),
            move |context, counters| {
                let limits = &context.limits;
                let limits = ProcessLimits { keys_max: limits.keys_max, timers_max: limits.timers_max };
                let operator = ProcessOperator::new(step.clone(), key_of.clone(), function.clone(), limits);
                let outlets = (outlets.0.outlet(context, 0), outlets.1.outlet(context, 0));
                KeyedStage::new(operator, outlets, depth, counters.clone(), context.worker, context.shared.clone())
            },
        );
        graph.borrow_mut().add_node(node);
        StepOutput::new(graph, main, late)
    }

    /// Groups each key's rows by windows of event time.
    pub fn window(self, windows: Tumbling) -> WindowedStream<K, T, C, F> {
        WindowedStream { keyed: self, windows }
    }
}

/// The name of a step behind `origin`, and the origins of its main and late output.
type Outputs<Out, In> = (Arc<str>, Arc<Origin<Out>>, Arc<Origin<In>>);

/// Takes a name for a keyed step behind `origin` and makes the origins of its outputs.
fn outputs<T, Out: 'static, In>(graph: &mut Graph, name: &str, origin: &Origin<T>) -> Outputs<Out, In> {
    let name = graph.name("step", name);
    let depth = origin.depth + 1;
    graph.check_depth(&name, depth);
    let ways = vec![origin.roots()];
    let main = Origin::new(name.clone(), ways.clone(), depth);
    let late = Origin::new(format!("{name}, late").into(), ways, depth);
    graph.add_output(&main);
    (name, main, late)
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
        if !windows.is_valid() {
            self.keyed.graph.borrow_mut().mistakes.push(ShapeError::EmptyWindow(name.to_owned()));
        }
        let KeyedStream { graph, origin, chain, key_of, key } = self.keyed;
        let (name, main, late) = outputs(&mut graph.borrow_mut(), name, &origin);
        let step = WindowStep { name, windows, key_of, aggregate, main: main.clone(), late: late.clone(), key };
        let node = window_node::attach(step, &origin, chain);
        graph.borrow_mut().add_node(node);
        StepOutput::new(graph, main, late)
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
    fn new(graph: Rc<RefCell<Graph>>, main: Arc<Origin<Out>>, late: Arc<Origin<In>>) -> Self {
        Self {
            main: Stream::new(graph.clone(), main, Identity::new(), None),
            late: Stream::new(graph, late, Identity::new(), None),
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
