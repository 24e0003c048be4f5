//! Processing time: who reads it, and the steps that are told.
//!
//! The sources that share an order share one more where steps behind them need processing time: a feed whose events are
//! ticks, read by the worker that reads the others. So ticks have places in the one order, and are journaled where the
//! others are. Where all of these sources are bounded there are no ticks.

use crate::graph::connect::TypedChain;
use crate::graph::factory::{StepContext, StepFactory};
use crate::graph::model::{Edge, Graph, Kind, Node, NodeId, Placement, Port};
use crate::graph::source::TypedSource;
use crate::graph::step::{InPort, TypedPort, step_of, two_ports};
use crate::graph::ways::{components, sources_behind};
use crate::operator::OperatorInput;
use crate::operator::chain::Identity;
use crate::operator::keyed::Tick;
use crate::progress::watermark::Watermarks;
use crate::runtime::outputs::StepOutputs;
use crate::runtime::route::{Route, ToAll};
use crate::runtime::source::{Feed, Polled};
use crate::runtime::stage::OperatorStage;
use crate::{BoxError, Clock, HashSeed, Record, Source};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Tells processing time, at most once in each period.
struct Ticks {
    clock: Arc<dyn Clock>,
    period: Duration,
    last: Option<Duration>,
}

impl Feed<Tick> for Ticks {
    fn poll(&mut self, _: usize, out: &mut Vec<Tick>) -> Result<Polled, BoxError> {
        let now = self.clock.now();
        if self.last.is_some_and(|last| now < last.saturating_add(self.period)) {
            return Ok(Polled::Pending);
        }
        self.last = Some(now);
        out.push(Tick { now: self.clock.start() + now });
        Ok(Polled::Ready)
    }
}

/// Adds ticks for the steps that need processing time and have live sources.
pub(crate) fn add_ticks(graph: &mut Graph, clock: &Arc<dyn Clock>, period: Duration) {
    let components = components(graph);
    let inputs = |(id, node): (NodeId, &Node)| Some((id, node.kind.step()?.tick_input()?));
    let takers: Vec<(NodeId, usize)> = graph.nodes.iter().enumerate().filter_map(inputs).collect();
    let sources: Vec<_> = takers.iter().map(|(id, _)| sources_behind(graph, *id)).collect();
    let mut added = BTreeMap::new();
    for ((id, input), sources) in takers.into_iter().zip(sources) {
        let is_feed = |source: &NodeId| matches!(&graph.nodes[*source].kind, Kind::Source(of) if !of.is_bounded());
        if !sources.iter().any(is_feed) {
            continue;
        }
        let of = graph.nodes[sources[0]].name.clone();
        let node = *added.entry(components[id]).or_insert_with(|| {
            let ticks = Ticks { clock: clock.clone(), period, last: None };
            add_source(graph, &format!("processing time of {of}"), ticks)
        });
        let connect = Box::new(TypedChain(Identity::<Tick>::new()));
        graph.add_edge(Edge { from: (node, 0), to: (id, input), chain: Vec::new(), layout: Tick::layout(), connect });
    }
}

fn add_source(graph: &mut Graph, name: &str, ticks: Ticks) -> NodeId {
    let name = graph.name("source", name);
    let watermarks = Arc::new(Mutex::new(Watermarks::apart().into()));
    let source = TypedSource::new(name.clone(), Source::feed(ticks), watermarks, Vec::new());
    graph.add_node(Node {
        name,
        title: String::from("processing time"),
        inputs: Vec::new(),
        outputs: vec![Port { name: "ticks", layout: Tick::layout() }],
        key: None,
        stores: Vec::new(),
        placement: Placement::All,
        parts_of: None,
        kind: Kind::Source(Box::new(source)),
    })
}

/// The input of a step that takes ticks.
pub(crate) fn tick_port() -> Port {
    Port { name: "processing time", layout: Tick::layout() }
}

fn typed_port<const PORT: usize, Op>() -> Box<dyn InPort<OperatorStage<Op>>>
where
    Op: OperatorInput<PORT, Row = Tick>,
    Op::Outputs: StepOutputs,
{
    Box::new(TypedPort::<PORT, Tick, _>::new(|_, _| ToAll))
}

/// A step with one input, and one of ticks.
pub(crate) fn single_input_and_ticks<Op, M, R>(
    make_route: impl Fn(usize, HashSeed) -> R + Send + Sync + 'static,
    make: M,
) -> Box<dyn StepFactory>
where
    Op: OperatorInput<0> + OperatorInput<1, Row = Tick>,
    Op::Outputs: StepOutputs,
    R: Route<<Op as OperatorInput<0>>::Row>,
    M: Fn(&StepContext) -> Op + Clone + Send + Sync + 'static,
{
    step_of::<Op, _, _>(two_ports::<Op, _, _>((make_route, |_, _| ToAll)).into(), true, make)
}

/// A step with two inputs, and one of ticks.
pub(crate) fn two_inputs_and_ticks<Op, M, R0, R1>(
    routes: (
        impl Fn(usize, HashSeed) -> R0 + Send + Sync + 'static,
        impl Fn(usize, HashSeed) -> R1 + Send + Sync + 'static,
    ),
    make: M,
) -> Box<dyn StepFactory>
where
    Op: OperatorInput<0> + OperatorInput<1> + OperatorInput<2, Row = Tick>,
    Op::Outputs: StepOutputs,
    R0: Route<<Op as OperatorInput<0>>::Row>,
    R1: Route<<Op as OperatorInput<1>>::Row>,
    M: Fn(&StepContext) -> Op + Clone + Send + Sync + 'static,
{
    let mut ports = Vec::from(two_ports::<Op, _, _>(routes));
    ports.push(typed_port::<2, Op>());
    step_of::<Op, _, _>(ports, true, make)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ManualClock, Timestamp};

    #[test]
    fn the_clock_is_told_at_once_and_then_at_most_once_in_a_period() {
        let clock = ManualClock::default();
        let mut ticks = Ticks { clock: Arc::new(clock.clone()), period: Duration::from_nanos(10), last: None };
        let mut told = Vec::new();
        for _ in 0..35 {
            let before = told.len();
            let is_ready = ticks.poll(usize::MAX, &mut told).unwrap() == Polled::Ready;
            assert_eq!(told.len() - before, usize::from(is_ready));
            clock.advance(Duration::from_nanos(3));
        }
        let expected = (0..35).step_by(4).map(|n| Timestamp::from_nanos(n * 3));
        assert_eq!(told.into_iter().map(|tick| tick.now).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}
