//! How a plan reads: as text, as JSON and as a Mermaid drawing.
//!
//! Each node is a line with what it is, where it runs and what it keeps; below it stand the ways in, each with how its
//! rows arrive and how wide their order is.

use crate::graph::combine::is_merged;
use crate::graph::exchange::OrderKind;
use crate::graph::model::{Edge, EdgeId, Kind, Node, NodeId, Placement, StoreDeclaration};
use crate::graph::plan::{Arrival, Plan, PlannedWay};
use crate::graph::serving::Serving;
use crate::graph::ways::made_on_first;
use std::fmt::Write;

/// What a job's plan is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlanFormat {
    /// Lines to read.
    #[default]
    Text,
    /// One JSON object with `job`, `workers`, `reason` (why there are no more, or null), `fingerprint`, `nodes` and `edges`.
    Json,
    /// A flowchart in the language of Mermaid.
    Mermaid,
}

/// How a job will run on so many workers: its steps, the edges between them and the stores they keep.
///
/// Shown as text; [`JobPlan::to`] gives other forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPlan {
    job: String,
    workers: usize,
    /// Why not all that it may have.
    reason: Option<String>,
    fingerprint: u64,
    nodes: Vec<NodeLine>,
    edges: Vec<EdgeLine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NodeLine {
    name: String,
    title: String,
    kind: &'static str,
    runs_on: &'static str,
    key: Option<String>,
    /// Name, kind and layout.
    stores: Vec<(&'static str, &'static str, String)>,
    /// Name and layout.
    outputs: Vec<(&'static str, String)>,
    bound_ns: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct EdgeLine {
    from: NodeId,
    output: &'static str,
    to: NodeId,
    input: &'static str,
    chain: Vec<&'static str>,
    how: &'static str,
    order: &'static str,
    layout: String,
}

impl JobPlan {
    pub(crate) fn new(job: &str, plan: &Plan) -> Self {
        let graph = &plan.graph;
        let nodes = plan.order.iter().filter(|id| graph.nodes[**id].kind.through().is_none());
        let shown: Vec<NodeId> = nodes.copied().collect();
        let place = |node: NodeId| shown.iter().position(|id| *id == node).unwrap_or(0);
        let mut edges = Vec::new();
        for &id in &shown {
            for planned in &plan.nodes[id].ways {
                let edge = edge_line(plan, id, planned);
                edges.push(EdgeLine { from: place(edge.from), to: place(id), ..edge });
            }
        }
        let nodes: Vec<_> = shown.iter().map(|id| node_line(plan, *id)).collect();
        let Serving { workers, reason } = plan.serving.clone();
        Self { job: job.to_owned(), workers, reason, fingerprint: fingerprint(plan), nodes, edges }
    }

    /// A hash over the names, layouts and stores of all steps: equal where saved state means the same. How many workers
    /// there are and how edges are laid does not matter.
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The plan in a form.
    pub fn to(&self, format: PlanFormat) -> String {
        match format {
            PlanFormat::Text => self.to_string(),
            PlanFormat::Json => self.json(),
            PlanFormat::Mermaid => self.mermaid(),
        }
    }

    fn edges_into(&self, node: NodeId) -> impl Iterator<Item = &EdgeLine> {
        self.edges.iter().filter(move |edge| edge.to == node)
    }

    fn json(&self) -> String {
        let nodes = self.nodes.iter().map(NodeLine::json);
        let edges = self.edges.iter().map(|edge| edge.json(&self.nodes));
        format!(
            "{{\"job\":{},\"workers\":{},\"reason\":{},\"fingerprint\":\"{:016x}\",\"nodes\":[{}],\"edges\":[{}]}}",
            quoted(&self.job),
            self.workers,
            self.reason.as_deref().map_or_else(|| String::from("null"), quoted),
            self.fingerprint,
            nodes.collect::<Vec<_>>().join(","),
            edges.collect::<Vec<_>>().join(","),
        )
    }

    fn mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        let escape = |text: &str| text.replace('"', "#quot;");
        for (id, node) in self.nodes.iter().enumerate() {
            let (open, close) = match node.kind {
                "source" => ("([", "])"),
                "sink" => ("[/", "/]"),
                _ => ("[", "]"),
            };
            let title = format!("{}<br>{}, {}", escape(&node.name), escape(&node.title), node.runs_on);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  n{id}{open}\"{title}\"{close}");
        }
        for edge in &self.edges {
            let chain = if edge.chain.is_empty() { String::new() } else { format!("{}<br>", edge.chain.join(", ")) };
            let arrow = if edge.how == "call" { "-->" } else { "==>" };
            let _ = writeln!(text, "  n{} {arrow}|\"{chain}{}\"| n{}", edge.from, edge.how, edge.to);
        }
        text
    }
}

impl std::fmt::Display for JobPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = if self.workers == 1 { "" } else { "s" };
        writeln!(f, "job {} on {} worker{plural}, fingerprint {:016x}", self.job, self.workers, self.fingerprint)?;
        if let Some(reason) = &self.reason {
            writeln!(f, "    no more workers: {reason}")?;
        }
        for (id, node) in self.nodes.iter().enumerate() {
            writeln!(f, "{}: {}, {}", node.name, node.title, node.runs_on)?;
            for edge in self.edges_into(id) {
                let from = &self.nodes[edge.from];
                let output = if from.outputs.len() > 1 { format!(" ({})", edge.output) } else { String::new() };
                let chain: String = edge.chain.iter().map(|step| format!(" > {step}")).collect();
                let order = if edge.order.is_empty() { String::new() } else { format!(", ordered by {}", edge.order) };
                writeln!(f, "    {} < {}{output}{chain}: {}{order}", edge.input, from.name, edge.how)?;
            }
            if let Some(key) = &node.key {
                writeln!(f, "    key {key}")?;
            }
            for (name, kind, layout) in &node.stores {
                writeln!(f, "    store {name}: {kind} of {layout}")?;
            }
        }
        Ok(())
    }
}

impl NodeLine {
    fn json(&self) -> String {
        let stores = self.stores.iter().map(|(name, kind, layout)| {
            format!("{{\"name\":{},\"kind\":{},\"layout\":{}}}", quoted(name), quoted(kind), quoted(layout))
        });
        let outputs = self
            .outputs
            .iter()
            .map(|(name, layout)| format!("{{\"name\":{},\"layout\":{}}}", quoted(name), quoted(layout)));
        format!(
            "{{\"name\":{},\"kind\":{},\"title\":{},\"runs_on\":{},\"key\":{},\"bound_ns\":{},\"stores\":[{}],\"outputs\":[{}]}}",
            quoted(&self.name),
            quoted(self.kind),
            quoted(&self.title),
            quoted(self.runs_on),
            self.key.as_deref().map_or_else(|| String::from("null"), quoted),
            self.bound_ns.map_or_else(|| String::from("null"), |bound| bound.to_string()),
            stores.collect::<Vec<_>>().join(","),
            outputs.collect::<Vec<_>>().join(","),
        )
    }
}

impl EdgeLine {
    fn json(&self, nodes: &[NodeLine]) -> String {
        let chain: Vec<_> = self.chain.iter().map(|step| quoted(step)).collect();
        format!(
            "{{\"from\":{},\"output\":{},\"to\":{},\"input\":{},\"chain\":[{}],\"how\":{},\"order\":{},\"layout\":{}}}",
            quoted(&nodes[self.from].name),
            quoted(self.output),
            quoted(&nodes[self.to].name),
            quoted(self.input),
            chain.join(","),
            quoted(self.how),
            quoted(self.order),
            quoted(&self.layout),
        )
    }
}

fn node_line(plan: &Plan, id: NodeId) -> NodeLine {
    let node = &plan.graph.nodes[id];
    let is_source = matches!(node.kind, Kind::Source(_));
    let runs_on = match node.placement {
        _ if is_source && made_on_first(&plan.graph, id) => "on the first worker",
        Placement::First => "on the first worker",
        Placement::All => "on all workers",
    };
    let parts = if node.parts_of.is_some() { ", parts" } else { "" };
    NodeLine {
        name: format!("{}{parts}", node.name),
        title: if is_merged(&plan.graph, id) { format!("merged {}", node.title) } else { node.title.clone() },
        kind: match node.kind {
            Kind::Source(_) => "source",
            Kind::Step(_) => "step",
            Kind::Sink { .. } => "sink",
            Kind::Union(_) => "union",
            Kind::Fork(_) => "fork",
        },
        runs_on,
        key: node.key.as_ref().map(|key| key.schema()),
        stores: node.stores.iter().map(|store| (store.name, store.kind.name(), kept(store))).collect(),
        outputs: node.outputs.iter().map(|port| (port.name, port.layout.schema())).collect(),
        bound_ns: (!matches!(node.kind, Kind::Sink { .. })).then_some(plan.nodes[id].bound),
    }
}

fn edge_line(plan: &Plan, id: NodeId, planned: &PlannedWay) -> EdgeLine {
    let graph = &plan.graph;
    let way = &planned.way;
    let edges = || way.edges.iter().map(|edge: &EdgeId| &graph.edges[*edge]);
    let (first, last) = (edges().next(), edges().next_back());
    let port_name = |node: &Node, output: usize| node.outputs.get(output).map_or("", |port| port.name);
    let (how, order) = match plan.nodes[id].arrival {
        Some(Arrival::Merge(order)) => (
            if plan.workers() == 1 {
                "edge, local"
            } else if graph.nodes[id].kind.step().is_some_and(|step| step.encodes()) {
                "edge to the first worker, encoded"
            } else if plan.runs_on(id) == 1 {
                "edge to the first worker"
            } else {
                "edge to all workers"
            },
            match order {
                OrderKind::Seq => "position, 8 bytes",
                OrderKind::Clocked => "position and clock, 16 bytes",
                OrderKind::Place => "place, 72 bytes",
            },
        ),
        _ => ("call", ""),
    };
    EdgeLine {
        from: way.from,
        output: first.map_or("", |edge| port_name(&graph.nodes[edge.from.0], edge.from.1)),
        to: id,
        input: graph.nodes[id].inputs.get(way.input).map_or("", |port| port.name),
        chain: edges().flat_map(|edge| steps_of(&graph.nodes[edge.from.0], edge)).collect(),
        how,
        order,
        layout: last.map_or_else(String::new, |edge| edge.layout.schema()),
    }
}

/// The stateless steps on an edge; behind a fork, first the output that they take.
fn steps_of<'a>(from: &'a Node, edge: &'a Edge) -> impl Iterator<Item = &'static str> + 'a {
    let is_fork = matches!(from.kind, Kind::Fork(_));
    let output = from.outputs.get(edge.from.1).filter(|_| is_fork);
    output.map(|port| port.name).into_iter().chain(edge.chain.iter().copied())
}

/// The layouts of what a store keeps: of its own keys, where it has some, and of values.
fn kept(store: &StoreDeclaration) -> String {
    let key = store.key.as_ref().map_or_else(String::new, |key| format!("{} to ", key.schema()));
    key + &store.value.schema()
}

/// FNV-1a with 64 bits over what saved state depends on.
fn fingerprint(plan: &Plan) -> u64 {
    let mut text = String::new();
    // Forks keep nothing, as chains.
    let is_kept = |node: &&Node| node.parts_of.is_none() && !matches!(node.kind, Kind::Fork(_));
    let mut nodes: Vec<&Node> = plan.graph.nodes.iter().filter(is_kept).collect();
    nodes.sort_by_key(|node| node.name.clone());
    for node in nodes {
        let _ = write!(text, "{}:{}", node.name, node.key.as_ref().map_or_else(String::new, |key| key.schema()));
        for store in &node.stores {
            let _ = write!(text, "|{} {} {}", store.name, store.kind.name(), kept(store));
        }
        text.push('\n');
    }
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
