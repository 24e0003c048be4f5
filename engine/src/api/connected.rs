//! Two streams that meet in one step: co-process functions, and functions with a broadcast table.

use crate::api::keyed::{KeyedStep, KeyedStream, StepWords, add_step, port};
use crate::api::output::{NodeOutputs, OUTPUTS, OutputStreams, output_ports};
use crate::api::stream::{Stream, lead_both};
use crate::graph::factory::StepContext;
use crate::graph::model::Port;
use crate::graph::step::two_inputs;
use crate::graph::ticks::{tick_port, two_inputs_and_ticks};
use crate::operator::broadcast::{BroadcastOperator, BroadcastProcessFunction};
use crate::operator::chain::Chain;
use crate::operator::co_process::{CoProcessFunction, CoProcessOperator};
use crate::operator::emitted::Emitted;
use crate::runtime::route::{KeyRoute, ToAll};
use crate::{Key, Record};

/// The inputs of a step, with one of ticks where it needs them.
fn with_ticks(inputs: [Port; 2], needs_ticks: bool) -> Vec<Port> {
    inputs.into_iter().chain(needs_ticks.then(tick_port)).collect()
}

impl<K, L, C, FL> KeyedStream<K, L, C, FL>
where
    K: Key,
    L: Record,
    C: Chain<Out = L>,
    FL: Fn(&L) -> K + Clone + Send + Sync + 'static,
{
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
