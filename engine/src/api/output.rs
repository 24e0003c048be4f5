//! The outputs of stateful steps.

use crate::api::keyed::KeyedStream;
use crate::api::stream::Stream;
use crate::graph::model::{Graph, NodeId, Port};
use crate::operator::Outputs;
use crate::operator::chain::{Chain, Filter, FlatMap, Identity, Map};
use crate::operator::emitted::Emitted;
use crate::runtime::outputs::StepOutputs;
use crate::{IntoKey, Record, Sink};
use std::cell::RefCell;
use std::rc::Rc;

/// The outputs of a stateful step. It can be used as its main output.
///
/// ```
/// use pelton::{Job, Options, Tumbling, VecSource, collect, count};
/// use std::time::Duration;
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Click { #[event(time)] time_ns: i64, user: u64 }
///
/// let clicks = [7, 7, 8].map(|user| Click { time_ns: 1, user });
/// let mut job = Job::new("clicks");
/// let (sink, rows) = collect();
/// job.source("clicks", VecSource::new(clicks.into(), 64))
///     .key_by(|click| click.user)
///     .window(Tumbling::of(Duration::from_secs(1)))
///     .aggregate("clicks_1s", count())
///     .filter(|row| row.value() > 1)
///     .map(|row| row.key())
///     .sink("out", sink);
/// job.run(Options::workers(1))?;
/// assert_eq!(rows.take()[0].1, 7);
/// # Ok::<(), pelton::Error>(())
/// ```
#[derive(Clone)]
pub struct StepOutput<Out: Record, In: Record> {
    /// What the step emits.
    pub main: Stream<Out>,
    /// Rows that came too late. Where nothing takes them they are counted.
    pub late: Stream<In>,
}

impl<Out: Record, In: Record> StepOutput<Out, In> {
    pub(crate) fn new(graph: &Rc<RefCell<Graph>>, node: NodeId) -> Self {
        let outputs = NodeOutputs::new(graph, node);
        Self { main: outputs.stream(0), late: outputs.stream(1) }
    }

    /// [`Stream::filter`] of the main output.
    pub fn filter<F>(self, keep: F) -> Stream<Out, Filter<Identity<Out>, F>>
    where
        F: Fn(&Out) -> bool + Clone + Send + Sync + 'static,
    {
        self.main.filter(keep)
    }

    /// [`Stream::map`] of the main output.
    pub fn map<U, F>(self, map: F) -> Stream<U, Map<Identity<Out>, F>>
    where
        U: Record,
        F: Fn(&Out) -> U + Clone + Send + Sync + 'static,
    {
        self.main.map(map)
    }

    /// [`Stream::flat_map`] of the main output.
    pub fn flat_map<U, I, F>(self, map: F) -> Stream<U, FlatMap<Identity<Out>, F>>
    where
        U: Record,
        I: IntoIterator<Item = U>,
        F: Fn(&Out) -> I + Clone + Send + Sync + 'static,
    {
        self.main.flat_map(map)
    }

    /// [`Stream::key_by`] of the main output.
    pub fn key_by<K, F>(
        self,
        key_of: F,
    ) -> KeyedStream<K::Key, Out, Identity<Out>, impl Fn(&Out) -> K::Key + Clone + Send + Sync + use<Out, In, K, F>>
    where
        K: IntoKey,
        F: Fn(&Out) -> K + Clone + Send + Sync + 'static,
    {
        self.main.key_by(key_of)
    }

    /// [`Stream::union`] of the main output.
    pub fn union<D: Chain<Out = Out>>(self, other: Stream<Out, D>) -> Stream<Out> {
        self.main.union(other)
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

/// The streams of a process function's outputs: one, or a tuple of them where it emits a tuple.
#[expect(private_bounds, reason = "all outputs of operators are outputs of steps, as of a job as of the harness")]
pub trait OutputStreams: Emitted<Outputs: StepOutputs> {
    /// A [`Stream`], or a tuple of streams.
    type Streams;
    /// The outputs of a node.
    #[doc(hidden)]
    fn streams(outputs: NodeOutputs<'_>) -> Self::Streams;
}

/// The outputs of a node in a graph.
#[derive(Clone, Copy)]
pub struct NodeOutputs<'a> {
    graph: &'a Rc<RefCell<Graph>>,
    node: NodeId,
}

impl<'a> NodeOutputs<'a> {
    pub(crate) const fn new(graph: &'a Rc<RefCell<Graph>>, node: NodeId) -> Self {
        Self { graph, node }
    }

    /// Output `number`.
    pub(crate) fn stream<T: Record>(self, number: usize) -> Stream<T> {
        Stream::new(self.graph.clone(), (self.node, number), Identity::new(), None)
    }
}

impl<T: Record> OutputStreams for T {
    type Streams = Stream<T>;

    fn streams(outputs: NodeOutputs<'_>) -> Stream<T> {
        outputs.stream(0)
    }
}

macro_rules! output_streams {
    ($($($row:ident $number:tt),+;)+) => {$(
        impl<$($row: Record),+> OutputStreams for ($($row),+) {
            type Streams = ($(Stream<$row>),+);

            fn streams(outputs: NodeOutputs<'_>) -> Self::Streams {
                ($(outputs.stream::<$row>($number)),+)
            }
        }
    )+};
}

output_streams! {
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
}

/// The names of outputs.
pub(crate) const OUTPUTS: [&str; 4] = ["main", "output 1", "output 2", "output 3"];

/// The ports of an operator's outputs, which have these names.
pub(crate) fn output_ports<O: Outputs>(names: [&'static str; 4]) -> Vec<Port> {
    names.into_iter().zip(O::layouts()).map(|(name, layout)| Port { name, layout }).collect()
}
