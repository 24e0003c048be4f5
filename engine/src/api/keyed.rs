//! Keyed and windowed streams.

use crate::api::output::{NodeOutputs, OUTPUTS, OutputStreams, StepOutput, output_ports};
use crate::api::stream::Stream;
use crate::base::time::duration_nanos;
use crate::graph::factory::{StepContext, StepFactory};
use crate::graph::model::{Graph, Kind, Node, NodeId, Placement, Port};
use crate::graph::step::single_input;
use crate::graph::ticks::{single_input_and_ticks, tick_port};
use crate::graph::window::WindowSettings;
use crate::operator::aggregate::{Aggregate, Rows, Windowed};
use crate::operator::chain::Chain;
use crate::operator::emitted::Emitted;
use crate::operator::process::{ProcessFunction, ProcessOperator};
use crate::operator::window::{Pane, Trigger, Windows};
use crate::runtime::route::KeyRoute;
use crate::{Key, Layout, Record, ShapeError};
use std::marker::PhantomData;
use std::time::Duration;

/// A stream whose rows are grouped by a key.
pub struct KeyedStream<K, T: Record, C: Chain<Out = T>, F> {
    pub(crate) stream: Stream<T, C>,
    pub(crate) key_of: F,
    key: PhantomData<fn() -> K>,
}

/// How a kind of step, its inputs and its outputs are called.
pub(crate) struct StepWords<const INPUTS: usize> {
    pub(crate) title: &'static str,
    pub(crate) inputs: [&'static str; INPUTS],
    pub(crate) outputs: [&'static str; 4],
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
    ///
    /// It gives a stream, or a tuple of streams where the function has side outputs ([`Emitted`](crate::Emitted)).
    pub fn process<P>(self, name: &str, function: P) -> <P::Out as OutputStreams>::Streams
    where
        P: ProcessFunction<K, In = T, Out: OutputStreams>,
    {
        self.process_as(StepWords { title: "process function", inputs: ["rows"], outputs: OUTPUTS }, name, function)
    }

    /// As [`KeyedStream::process`], for a step that is called otherwise.
    pub(crate) fn process_as<P>(
        self,
        words: StepWords<1>,
        name: &str,
        function: P,
    ) -> <P::Out as OutputStreams>::Streams
    where
        P: ProcessFunction<K, In = T, Out: OutputStreams>,
    {
        let Self { stream, key_of, .. } = self;
        let [rows] = words.inputs;
        let step = KeyedStep {
            title: words.title.to_owned(),
            inputs: [port::<T>(rows)].into_iter().chain(P::PROCESSING_TIME.then(tick_port)).collect(),
            outputs: output_ports::<<P::Out as Emitted>::Outputs>(words.outputs),
            key: K::layout(),
            name,
        };
        let graph = stream.graph.clone();
        let node = add_step(&mut graph.borrow_mut(), step, || {
            let route_key = key_of.clone();
            let route = move |workers, seed| KeyRoute::new(route_key.clone(), workers, seed);
            let make =
                move |context: &StepContext| ProcessOperator::new(key_of.clone(), function.clone(), &context.stores);
            if P::PROCESSING_TIME { single_input_and_ticks(route, make) } else { single_input(route, true, make) }
        });
        stream.lead_to(node, 0);
        P::Out::streams(NodeOutputs::new(&graph, node))
    }

    /// Groups each key's rows by windows: [`Tumbling`](crate::Tumbling), [`Sliding`](crate::Sliding),
    /// [`Cumulative`](crate::Cumulative), [`Session`](crate::Session), [`CountWindow`](crate::CountWindow) or
    /// [`Global`](crate::Global).
    ///
    /// ```
    /// use pelton::{Job, Options, Session, VecSource, collect, count, max, mean};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u64, value: i64 }
    ///
    /// let readings = [(0, 3), (1, 5), (9, 4)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// job.source("readings", VecSource::new(readings.into(), 64))
    ///     .key_by(|reading| reading.sensor)
    ///     .window(Session::gap(Duration::from_nanos(5)))
    ///     // Several aggregates in one pass.
    ///     .aggregate("bursts", (count(), max(|r: &Reading| r.value), mean(|r: &Reading| r.value)))
    ///     .sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// let bursts: Vec<_> = rows.take().iter().map(|(_, row)| row.value().parts()).collect();
    /// assert_eq!(bursts, [(2, 5, 4.0), (1, 4, 4.0)]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn window(self, windows: impl Into<Windows<T>>) -> WindowedStream<K, T, C, F> {
        WindowedStream { keyed: self, settings: WindowSettings::new(windows.into()) }
    }
}

/// A keyed stream whose rows are grouped by windows.
pub struct WindowedStream<K, T: Record, C: Chain<Out = T>, F> {
    keyed: KeyedStream<K, T, C, F>,
    settings: WindowSettings<T>,
}

impl<K, T, C, F> WindowedStream<K, T, C, F>
where
    K: Key,
    T: Record,
    C: Chain<Out = T>,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    /// When the windows fire, in place of [`Trigger::watermark`].
    ///
    /// ```
    /// use pelton::{Job, Options, Trigger, Tumbling, VecSource, collect, count};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Click { #[event(time)] time_ns: i64, user: u64 }
    ///
    /// let clicks = (0..5).map(|time_ns| Click { time_ns, user: 7 }).collect();
    /// let mut job = Job::new("clicks");
    /// let (sink, rows) = collect();
    /// job.source("clicks", VecSource::new(clicks, 64))
    ///     .key_by(|click| click.user)
    ///     .window(Tumbling::of(Duration::from_secs(1)))
    ///     .trigger(Trigger::watermark().early_count(2))
    ///     .aggregate_with("clicks_1s", count(), |_, _, clicks| clicks)
    ///     .sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// assert_eq!(rows.take().iter().map(|row| row.1).collect::<Vec<_>>(), [2, 4, 5]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn trigger(self, trigger: Trigger<T>) -> Self {
        Self { settings: WindowSettings { trigger, ..self.settings }, ..self }
    }

    /// Keeps windows for so long behind their end, in event time: rows that come until then have them fire again.
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        Self { settings: WindowSettings { lateness: duration_nanos(lateness), ..self.settings }, ..self }
    }

    /// Aggregates each key and window, into rows of window, key and value. The name is the identity of the state.
    ///
    /// A window of time fires when the watermark reaches its last nanosecond; rows leave in order of (window
    /// end, key). A row that comes when its window has fired goes to [`StepOutput::late`].
    pub fn aggregate<A>(self, name: &str, aggregate: A) -> StepOutput<Windowed<K, A::Value>, T>
    where
        A: Aggregate<In = T>,
    {
        self.aggregate_with(name, aggregate, Windowed::new)
    }

    /// As [`WindowedStream::aggregate`], with rows that `row` makes of the [`Pane`], the key and the aggregate's value.
    pub fn aggregate_with<A, R, Out>(self, name: &str, aggregate: A, row: R) -> StepOutput<Out, T>
    where
        A: Aggregate<In = T>,
        Out: Record,
        R: Fn(&Pane, &K, A::Value) -> Out + Clone + Send + Sync + 'static,
    {
        let Self { keyed: KeyedStream { stream, key_of, .. }, settings } = self;
        let graph = stream.graph.clone();
        if let Some(mistake) = settings.mistake() {
            graph.borrow_mut().mistakes.push(ShapeError::BadWindow(name.to_owned(), mistake));
        }
        if settings.merge() && !A::MERGES {
            let mistake = "they merge what they keep, which their aggregate cannot: give a fold what merges its states";
            graph.borrow_mut().mistakes.push(ShapeError::BadWindow(name.to_owned(), mistake));
        }
        if let Some(mistake) = aggregate.mistake() {
            graph.borrow_mut().mistakes.push(ShapeError::BadAggregate(name.to_owned(), mistake));
        }
        let step = KeyedStep {
            title: settings.title(),
            inputs: [port::<T>("rows")].into_iter().chain(settings.trigger.needs_ticks().then(tick_port)).collect(),
            outputs: vec![port::<Out>("main"), port::<T>("late")],
            key: K::layout(),
            name,
        };
        let node = add_step(&mut graph.borrow_mut(), step, || settings.step(key_of, Rows::new(aggregate, row)));
        stream.lead_to(node, 0);
        StepOutput::new(&graph, node)
    }
}
