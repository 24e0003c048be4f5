//! The planning pass: decides of each edge what it is, and of each node where it stands, before any worker is built.

use crate::graph::combine::combine;
use crate::graph::exchange::OrderKind;
use crate::graph::model::{Graph, Kind, NodeId, Placement};
use crate::graph::serving::Serving;
use crate::graph::ways::{Way, components, fans_out, in_order, is_behind, made_on_first, roots, ways_into};
use crate::progress::order::{PathStamp, WAYS_MAX};
use crate::{Error, ShapeError};

/// How the rows of a step reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// What makes them calls the step, on the same worker.
    Call,
    /// By edges that are merged in the job's order.
    Merge(OrderKind),
}

/// A way into a step, and what it adds to the path of a row.
#[derive(Debug)]
pub(crate) struct PlannedWay {
    pub(crate) way: Way,
    pub(crate) stamp: PathStamp,
    pub(crate) fans_out: bool,
}

/// What was decided of a node.
#[derive(Debug)]
pub(crate) struct PlannedNode {
    /// The sources that share an order with it, by a number that stands for all of them.
    pub(crate) component: NodeId,
    /// Its watermark is this and 1 ns behind the clock.
    pub(crate) bound: i64,
    /// Grows from step to step.
    pub(crate) rank: usize,
    /// How its rows reach it; of sources, unions and forks nothing.
    pub(crate) arrival: Option<Arrival>,
    pub(crate) ways: Vec<PlannedWay>,
    /// Numbers in the paths of its rows, beside what caused them.
    numbers: u32,
}

/// A job as it will run.
pub(crate) struct Plan {
    pub(crate) graph: Graph,
    /// Nodes, each behind those that feed it.
    pub(crate) order: Vec<NodeId>,
    pub(crate) nodes: Vec<PlannedNode>,
    pub(crate) serving: Serving,
}

impl Plan {
    /// Plans a graph, whose sources are prepared, for the workers that serve it.
    ///
    /// # Errors
    /// When a step has more ways in than can be numbered.
    pub(crate) fn new(job: &str, mut graph: Graph, serving: Serving) -> Result<Self, Error> {
        let workers = serving.workers;
        if workers > 1 {
            combine(&mut graph);
        }
        let order = in_order(&graph);
        let components = components(&graph);
        let mut nodes: Vec<Option<PlannedNode>> = (0..graph.nodes.len()).map(|_| None).collect();
        let mut mistakes = Vec::new();
        for &id in &order {
            let ways = ways_into(&graph, id);
            if ways.len() > WAYS_MAX && graph.nodes[id].kind.step().is_some() {
                mistakes.push(ShapeError::TooManyInputs(graph.nodes[id].name.to_string(), ways.len(), WAYS_MAX));
                continue;
            }
            let planned = plan_node(&graph, id, &nodes, ways, workers);
            nodes[id] = Some(PlannedNode { component: components[id], ..planned });
        }
        if !mistakes.is_empty() {
            return Err(Error::Shape { job: job.to_owned(), mistakes });
        }
        Ok(Self { graph, order, nodes: nodes.into_iter().flatten().collect(), serving })
    }

    /// The number of workers.
    pub(crate) const fn workers(&self) -> usize {
        self.serving.workers
    }

    /// The workers that run a node.
    pub(crate) fn runs_on(&self, node: NodeId) -> usize {
        match self.graph.nodes[node].placement {
            Placement::All => self.workers(),
            Placement::First => 1,
        }
    }
}

fn plan_node(
    graph: &Graph,
    id: NodeId,
    planned: &[Option<PlannedNode>],
    ways: Vec<Way>,
    workers: usize,
) -> PlannedNode {
    let node = &graph.nodes[id];
    let before = |way: &Way| planned[way.from].as_ref();
    let bounds = roots(graph, id).into_iter().map(|root| match &graph.nodes[root].kind {
        Kind::Source(source) => source.watermarks().kind.bound(),
        _ => 0,
    });
    let bound = bounds.max().unwrap_or(0);
    // Parts of a firing come before the firing.
    let rank = ways
        .iter()
        .filter_map(before)
        .map(|node| node.rank)
        .max()
        .map_or(0, |rank| if node.parts_of.is_some() { rank + 1 } else { (rank / 2 + 1) * 2 });
    let factory = node.kind.step();
    let arrival = factory.map(|factory| arrival_of(graph, id, &ways, factory.needs_clocks(), workers));
    let numbers_before = |way: &Way| before(way).map_or(0, |node| node.numbers);
    let numbers = ways.iter().map(numbers_before).max().unwrap_or(0);
    let is_one = ways.len() == 1;
    let ways: Vec<_> = ways
        .into_iter()
        .enumerate()
        .map(|(number, way)| PlannedWay {
            stamp: PathStamp { way: (!is_one).then_some(number as u32), padding: numbers - numbers_before(&way) },
            fans_out: fans_out(graph, &way),
            way,
        })
        .collect();
    // Straight from sources, the number stands in the order of the row itself.
    let is_straight = ways.iter().all(|way| matches!(graph.nodes[way.way.from].kind, Kind::Source(_)));
    let added = if is_straight { 0 } else { 1 + u32::from(!is_one) };
    PlannedNode { component: 0, bound, rank, arrival, ways, numbers: numbers + added }
}

fn arrival_of(graph: &Graph, id: NodeId, ways: &[Way], needs_clocks: bool, workers: usize) -> Arrival {
    let node = &graph.nodes[id];
    let is_straight = ways.iter().all(|way| matches!(graph.nodes[way.from].kind, Kind::Source(_)));
    // Rows that are late leave at their own places, which have clocks.
    let gives_rows = (1..node.outputs.len()).any(|output| graph.edges_from(id, output).next().is_some());
    // Each run of rows behind the watermark would need a mark that tells its clock.
    let order = match (is_straight, needs_clocks || gives_rows || is_behind(graph, id)) {
        (true, false) => OrderKind::Seq,
        (true, true) => OrderKind::Clocked,
        (false, _) => OrderKind::Place,
    };
    if matches!(node.kind, Kind::Sink { is_ordered: false, .. }) {
        return Arrival::Call;
    }
    let [way] = ways else { return Arrival::Merge(order) };
    let stays = workers == 1 || (node.placement == Placement::First && made_on_first(graph, way.from));
    if stays || node.parts_of.is_some() { Arrival::Call } else { Arrival::Merge(order) }
}
