//! The ways into each step: from an output, through chains, unions and forks, to an input.

use crate::graph::model::{EdgeId, Graph, Kind, NodeId, Placement};

/// A way from a source or step to an input of another step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// The edges on the way; all but the last lead into unions and forks.
    pub(crate) edges: Vec<EdgeId>,
    /// The source or step that the rows come from.
    pub(crate) from: NodeId,
    pub(crate) input: usize,
}

/// The ways into a node, in the order of its inputs, and for each in the order of a union's inputs.
pub(crate) fn ways_into(graph: &Graph, node: NodeId) -> Vec<Way> {
    let mut ways: Vec<_> = graph.edges_into(node).flat_map(|edge| ways_through(graph, edge)).collect();
    ways.sort_by_key(|way| way.input);
    ways
}

fn ways_through(graph: &Graph, edge: EdgeId) -> Vec<Way> {
    let (from, input) = (graph.edges[edge].from.0, graph.edges[edge].to.1);
    if graph.nodes[from].kind.through().is_none() {
        return vec![Way { edges: vec![edge], from, input }];
    }
    let before = graph.edges_into(from).flat_map(|edge| ways_through(graph, edge));
    let behind = before.map(|mut way| {
        way.edges.push(edge);
        way.input = input;
        way
    });
    behind.collect()
}

/// Whether one row may become more than one on a way.
pub(crate) fn fans_out(graph: &Graph, way: &Way) -> bool {
    way.edges.iter().map(|edge| &graph.edges[*edge]).any(|edge| {
        let through = graph.nodes[edge.to.0].kind.through();
        edge.connect.fans_out() || through.is_some_and(|through| through.fans_out())
    })
}

/// Whether all rows of a source or step are made on the first worker.
pub(crate) fn made_on_first(graph: &Graph, node: NodeId) -> bool {
    match &graph.nodes[node].kind {
        Kind::Source(_) => sources_behind(graph, node).iter().any(|source| is_feed(graph, *source)),
        _ => graph.nodes[node].placement == Placement::First,
    }
}

fn is_feed(graph: &Graph, node: NodeId) -> bool {
    matches!(&graph.nodes[node].kind, Kind::Source(source) if !source.is_bounded())
}

/// The sources that share an order with a node: all that are connected with it.
pub(crate) fn sources_behind(graph: &Graph, node: NodeId) -> Vec<NodeId> {
    let components = components(graph);
    let of_node = components[node];
    let is_source = |id: &NodeId| matches!(graph.nodes[*id].kind, Kind::Source(_)) && components[*id] == of_node;
    (0..graph.nodes.len()).filter(is_source).collect()
}

/// For each node the least node that it is connected with: sources whose rows meet anywhere share one order.
pub(crate) fn components(graph: &Graph) -> Vec<NodeId> {
    let mut component: Vec<NodeId> = (0..graph.nodes.len()).collect();
    loop {
        let mut is_changed = false;
        for edge in &graph.edges {
            let (from, to) = (edge.from.0, edge.to.0);
            let least = component[from].min(component[to]);
            is_changed |= component[from] != least || component[to] != least;
            (component[from], component[to]) = (least, least);
        }
        if !is_changed {
            return component;
        }
    }
}

/// The sources that the rows into a node come from.
pub(crate) fn roots(graph: &Graph, node: NodeId) -> Vec<NodeId> {
    let mut roots = Vec::new();
    let mut seen = vec![false; graph.nodes.len()];
    let mut left = vec![node];
    while let Some(node) = left.pop() {
        if std::mem::replace(&mut seen[node], true) {
            continue;
        }
        if matches!(graph.nodes[node].kind, Kind::Source(_)) {
            roots.push(node);
        }
        left.extend(graph.edges_into(node).map(|edge| graph.edges[edge].from.0));
    }
    roots.sort_unstable();
    roots
}

/// Whether many rows into a node come from events behind the watermark, by the indexes of its sources.
pub(crate) fn is_behind(graph: &Graph, node: NodeId) -> bool {
    roots(graph, node).into_iter().any(|root| match &graph.nodes[root].kind {
        Kind::Source(source) => source.index().is_behind(source.watermarks().kind.bound()),
        _ => false,
    })
}

/// All nodes, each behind those that feed it.
pub(crate) fn in_order(graph: &Graph) -> Vec<NodeId> {
    let mut open: Vec<usize> = (0..graph.nodes.len()).map(|node| graph.edges_into(node).count()).collect();
    let mut ready: Vec<NodeId> = (0..graph.nodes.len()).rev().filter(|node| open[*node] == 0).collect();
    let mut order = Vec::with_capacity(graph.nodes.len());
    while let Some(node) = ready.pop() {
        order.push(node);
        for edge in graph.edges.iter().filter(|edge| edge.from.0 == node) {
            open[edge.to.0] -= 1;
            if open[edge.to.0] == 0 {
                ready.push(edge.to.0);
            }
        }
    }
    order
}
