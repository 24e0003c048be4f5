//! The rewriting pass that has workers combine what they read, instead of exchanging rows.
//!
//! A step whose aggregate merges exactly becomes a pair: `parts` is called where rows are made, on each worker, and the
//! step itself merges the parts. Late rows leave `parts`.

use crate::graph::model::{Edge, EdgeId, Graph, Kind, Node, NodeId, Placement, Port};
use crate::graph::ways::{made_on_first, ways_into};

/// Rewrites all steps that gain by it.
pub(crate) fn combine(graph: &mut Graph) {
    for step in 0..graph.nodes.len() {
        let Some(edge) = edge_to_combine(graph, step) else { continue };
        let Some(combining) = graph.nodes[step].kind.step().and_then(|factory| factory.combining()) else { continue };
        let parts = add_parts(graph, step, combining.parts, &combining.part);
        graph.edges[edge].to = (parts, 0);
        // The second output of the step, which is late, is the first of the parts.
        graph.edges.iter_mut().filter(|edge| edge.from == (step, 1)).for_each(|edge| edge.from = (parts, 0));
        let (connect, layout) = (combining.connect, combining.part.clone());
        graph.add_edge(Edge { from: (parts, 1), to: (step, 0), chain: Vec::new(), layout, connect });
        // All workers fire where they have something to do with the rows.
        let fires_on_all = (0..graph.nodes.len())
            .filter(|node| match &graph.nodes[*node].kind {
                Kind::Sink { is_ordered, factory } => !is_ordered || factory.encodes(),
                _ => false,
            })
            .any(|sink| ways_into(graph, sink).iter().any(|way| way.from == step));
        let node = &mut graph.nodes[step];
        node.kind = Kind::Step(combining.merged);
        node.inputs = vec![Port { name: "parts", layout: combining.part }];
        node.outputs.truncate(1);
        node.placement = if fires_on_all { Placement::All } else { Placement::First };
    }
}

/// The edge into a step whose rows could be combined before it.
fn edge_to_combine(graph: &Graph, step: NodeId) -> Option<EdgeId> {
    let ways = ways_into(graph, step);
    // Several ways, as through a union, are merged first; where one worker makes all rows there is nothing to combine.
    let [way] = &ways[..] else { return None };
    way.edges.last().copied().filter(|_| !made_on_first(graph, way.from))
}

/// Whether a step combines what workers read, where there are several.
pub(crate) fn may_combine(graph: &Graph, step: NodeId) -> bool {
    let combines = graph.nodes[step].kind.step().is_some_and(|factory| factory.combining().is_some());
    combines && edge_to_combine(graph, step).is_some()
}

/// Whether a step merges parts.
pub(super) fn is_merged(graph: &Graph, node: NodeId) -> bool {
    graph.nodes.iter().any(|other| other.parts_of == Some(node))
}

fn add_parts(
    graph: &mut Graph,
    step: NodeId,
    factory: Box<dyn crate::graph::factory::StepFactory>,
    part: &crate::Layout,
) -> NodeId {
    let node = &graph.nodes[step];
    let late = Port { name: "late", layout: node.inputs[0].layout.clone() };
    let parts = Node {
        name: node.name.clone(),
        title: format!("parts of {}", node.title),
        inputs: node.inputs.clone(),
        outputs: vec![late, Port { name: "parts", layout: part.clone() }],
        key: node.key.clone(),
        stores: node.stores.clone(),
        placement: Placement::All,
        parts_of: Some(step),
        kind: Kind::Step(factory),
    };
    graph.add_node(parts)
}
