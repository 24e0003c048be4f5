//! Two keyed streams that meet in one step: joins and co-process functions.

use crate::api::keyed::{KeyedStep, KeyedStream, StepWords, add_step, port};
use crate::api::output::{NodeOutputs, OUTPUTS, OutputStreams, output_ports};
use crate::api::stream::{Stream, lead_both};
use crate::graph::factory::StepContext;
use crate::graph::model::Port;
use crate::graph::step::two_inputs;
use crate::graph::ticks::{tick_port, two_inputs_and_ticks};
use crate::operator::asof::{AsOf, AsOfOperator, Inner, JoinRows, LeftOuter};
use crate::operator::broadcast::{BroadcastOperator, BroadcastProcessFunction};
use crate::operator::chain::Chain;
use crate::operator::co_process::{CoProcessFunction, CoProcessOperator};
use crate::operator::emitted::Emitted;
use crate::runtime::route::{KeyRoute, ToAll};
use crate::{Key, Record};

/// The outputs of a join.
#[derive(Clone)]
pub struct JoinOutput<Out: Record, L: Record, R: Record> {
    /// The joined rows.
    pub main: Stream<Out>,
    /// Left rows that came too late. Where nothing takes them they are counted.
    pub late_left: Stream<L>,
    /// Right rows that came too late. Where nothing takes them they are counted.
    pub late_right: Stream<R>,
}

/// The inputs of a step, with one of ticks where it needs them.
fn with_ticks(inputs: [Port; 2], needs_ticks: bool) -> Vec<Port> {
    inputs.into_iter().chain(needs_ticks.then(tick_port)).collect()
}

/// Two keyed streams, to be joined as of the left rows' times.
pub struct AsOfJoin<K, L: Record, R: Record, C: Chain<Out = L>, D: Chain<Out = R>, FL, FR> {
    left: KeyedStream<K, L, C, FL>,
    right: KeyedStream<K, R, D, FR>,
    as_of: AsOf,
}

impl<K, L, C, FL> KeyedStream<K, L, C, FL>
where
    K: Key,
    L: Record,
    C: Chain<Out = L>,
    FL: Fn(&L) -> K + Clone + Send + Sync + 'static,
{
    /// Joins each row with the latest row of `right` that has the same key and a time at or before its own.
    ///
    /// Of equal times the last one in the job's order counts. A row is answered once the watermark of both streams has
    /// come to its time; rows leave in order of (time, key, left row) and have the left row's time. Rows at or behind
    /// the watermark go to their side's late output.
    ///
    /// ```
    /// use pelton::{AsOf, Job, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Trade { #[event(time)] time_ns: i64, symbol: u32, size: u32 }
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Quote { #[event(time)] time_ns: i64, symbol: u64, bid: i64 }
    ///
    /// let trades = vec![Trade { time_ns: 5, symbol: 1, size: 10 }];
    /// let quotes = [(1, 100), (4, 101), (6, 102)].map(|(time_ns, bid)| Quote { time_ns, symbol: 1, bid });
    /// let mut job = Job::new("quoted trades");
    /// let (sink, rows) = collect();
    /// let quotes = job.source("quotes", VecSource::new(quotes.into(), 64)).key_by(|quote| quote.symbol as u32);
    /// job.source("trades", VecSource::new(trades, 64))
    ///     .key_by(|trade| trade.symbol)
    ///     .as_of_join(quotes, AsOf::backward())
    ///     .inner("quoted", |trade: &Trade, quote: &Quote| i64::from(trade.size) * quote.bid)
    ///     .main
    ///     .sink("out", sink);
    /// job.run(Options::workers(2))?;
    /// assert_eq!(rows.take()[0].1, 1010);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn as_of_join<R, D, FR>(self, right: KeyedStream<K, R, D, FR>, as_of: AsOf) -> AsOfJoin<K, L, R, C, D, FL, FR>
    where
        R: Record,
        D: Chain<Out = R>,
        FR: Fn(&R) -> K + Clone + Send + Sync + 'static,
    {
        AsOfJoin { left: self, right, as_of }
    }

    /// Runs a function with one state for each key over the rows of this stream and of `right`.
    pub fn co_process<D, FR, P>(
        self,
        right: KeyedStream<K, P::Right, D, FR>,
        name: &str,
        function: P,
    ) -> <P::Out as OutputStreams>::Streams
    where
        P: CoProcessFunction<K, Left = L, Out: OutputStreams>,
        D: Chain<Out = P::Right>,
        FR: Fn(&P::Right) -> K + Clone + Send + Sync + 'static,
    {
        let words = StepWords { title: "co-process function", inputs: ["left", "right"], outputs: OUTPUTS };
        self.co_process_as(words, right, name, function)
    }

    /// As [`KeyedStream::co_process`], for a step that is called otherwise.
    pub(crate) fn co_process_as<D, FR, P>(
        self,
        words: StepWords<2>,
        right: KeyedStream<K, P::Right, D, FR>,
        name: &str,
        function: P,
    ) -> <P::Out as OutputStreams>::Streams
    where
        P: CoProcessFunction<K, Left = L, Out: OutputStreams>,
        D: Chain<Out = P::Right>,
        FR: Fn(&P::Right) -> K + Clone + Send + Sync + 'static,
    {
        let (left_key, right_key) = (self.key_of, right.key_of);
        let step = KeyedStep {
            title: words.title.to_owned(),
            inputs: with_ticks([port::<L>(words.inputs[0]), port::<P::Right>(words.inputs[1])], P::PROCESSING_TIME),
            outputs: output_ports::<<P::Out as Emitted>::Outputs>(words.outputs),
            key: K::layout(),
            name,
        };
        let graph = self.stream.graph.clone();
        let node = add_step(&mut graph.borrow_mut(), step, || {
            let (route_left, route_right) = (left_key.clone(), right_key.clone());
            let routes = (
                move |workers, seed| KeyRoute::new(route_left.clone(), workers, seed),
                move |workers, seed| KeyRoute::new(route_right.clone(), workers, seed),
            );
            let make = move |context: &StepContext| {
                let keys_of = (left_key.clone(), right_key.clone());
                CoProcessOperator::new(keys_of, function.clone(), &context.stores)
            };
            if P::PROCESSING_TIME { two_inputs_and_ticks(routes, make) } else { two_inputs(routes, true, make) }
        });
        lead_both(self.stream, right.stream, node);
        P::Out::streams(NodeOutputs::new(&graph, node))
    }

    /// Runs a function with state for each key over the rows of this stream, and a table that the rows of `broadcast`
    /// fill on all workers.
    pub fn process_with_broadcast<D, P>(
        self,
        broadcast: Stream<P::Broadcast, D>,
        name: &str,
        function: P,
    ) -> <P::Out as OutputStreams>::Streams
    where
        P: BroadcastProcessFunction<K, In = L, Out: OutputStreams>,
        D: Chain<Out = P::Broadcast>,
    {
        let title = "process function with a broadcast table";
        let words = StepWords { title, inputs: ["rows", "broadcast"], outputs: OUTPUTS };
        self.process_with_broadcast_as(words, broadcast, name, function)
    }

    /// As [`KeyedStream::process_with_broadcast`], for a step that is called otherwise.
    pub(crate) fn process_with_broadcast_as<D, P>(
        self,
        words: StepWords<2>,
        broadcast: Stream<P::Broadcast, D>,
        name: &str,
        function: P,
    ) -> <P::Out as OutputStreams>::Streams
    where
        P: BroadcastProcessFunction<K, In = L, Out: OutputStreams>,
        D: Chain<Out = P::Broadcast>,
    {
        let key_of = self.key_of;
        let step = KeyedStep {
            title: words.title.to_owned(),
            inputs: with_ticks([port::<L>(words.inputs[0]), port::<P::Broadcast>(words.inputs[1])], P::PROCESSING_TIME),
            outputs: output_ports::<<P::Out as Emitted>::Outputs>(words.outputs),
            key: K::layout(),
            name,
        };
        let graph = self.stream.graph.clone();
        let node = add_step(&mut graph.borrow_mut(), step, || {
            let route_key = key_of.clone();
            let routes = (move |workers, seed| KeyRoute::new(route_key.clone(), workers, seed), |_, _| ToAll);
            let make =
                move |context: &StepContext| BroadcastOperator::new(key_of.clone(), function.clone(), &context.stores);
            if P::PROCESSING_TIME { two_inputs_and_ticks(routes, make) } else { two_inputs(routes, true, make) }
        });
        lead_both(self.stream, broadcast, node);
        P::Out::streams(NodeOutputs::new(&graph, node))
    }
}

impl<K, L, R, C, D, FL, FR> AsOfJoin<K, L, R, C, D, FL, FR>
where
    K: Key,
    L: Record,
    R: Record,
    C: Chain<Out = L>,
    D: Chain<Out = R>,
    FL: Fn(&L) -> K + Clone + Send + Sync + 'static,
    FR: Fn(&R) -> K + Clone + Send + Sync + 'static,
{
    /// Gives a row for each left row that meets a right one. The name is the identity of the state.
    pub fn inner<Out: Record>(
        self,
        name: &str,
        join: impl Fn(&L, &R) -> Out + Clone + Send + Sync + 'static,
    ) -> JoinOutput<Out, L, R> {
        self.add(name, "inner", Inner(join))
    }

    /// Gives a row for each left row, with the right row that it meets or none. The name is the identity of the state.
    pub fn left<Out: Record>(
        self,
        name: &str,
        join: impl Fn(&L, Option<&R>) -> Out + Clone + Send + Sync + 'static,
    ) -> JoinOutput<Out, L, R> {
        self.add(name, "left", LeftOuter(join))
    }

    fn add<Out, J>(self, name: &str, kind: &str, join: J) -> JoinOutput<Out, L, R>
    where
        Out: Record,
        J: JoinRows<L, R, Out = Out> + Clone + Send + Sync,
    {
        let Self { left, right, as_of } = self;
        let (left_key, right_key) = (left.key_of, right.key_of);
        let step = KeyedStep {
            title: format!("{kind} as-of join, {as_of}"),
            inputs: vec![port::<L>("left"), port::<R>("right")],
            outputs: vec![port::<Out>("main"), port::<L>("late left"), port::<R>("late right")],
            key: K::layout(),
            name,
        };
        let graph = left.stream.graph.clone();
        let node = add_step(&mut graph.borrow_mut(), step, || {
            let (route_left, route_right) = (left_key.clone(), right_key.clone());
            two_inputs(
                (
                    move |workers, seed| KeyRoute::new(route_left.clone(), workers, seed),
                    move |workers, seed| KeyRoute::new(route_right.clone(), workers, seed),
                ),
                false,
                move |context| {
                    let keys_of = (left_key.clone(), right_key.clone());
                    AsOfOperator::new(keys_of, as_of, join.clone(), &context.stores)
                },
            )
        });
        lead_both(left.stream, right.stream, node);
        let outputs = NodeOutputs::new(&graph, node);
        JoinOutput { main: outputs.stream(0), late_left: outputs.stream(1), late_right: outputs.stream(2) }
    }
}
