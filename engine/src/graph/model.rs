//! The graph of a job as data: nodes and edges, with what is needed to build them.
//!
//! Nothing here knows the type of a row: a node says by [`Layout`]s what it takes and gives, and types are behind the
//! traits of `factory.rs`.

use crate::graph::factory::{Connect, SourceFactory, StepFactory, ThroughFactory};
use crate::store::StoreKind;
use crate::{Layout, ShapeError};
use std::collections::HashSet;
use std::sync::Arc;

/// The number of a node.
pub(crate) type NodeId = usize;
/// The number of an edge.
pub(crate) type EdgeId = usize;

/// An input or output of a node.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub(crate) name: &'static str,
    pub(crate) layout: Layout,
}

/// What a node keeps, by name.
#[derive(Debug, Clone)]
pub(crate) struct StoreDeclaration {
    pub(crate) name: &'static str,
    pub(crate) kind: StoreKind,
    /// Of what its values are found by, where that is not the key of the step.
    pub(crate) key: Option<Layout>,
    /// Of what is kept for a key.
    pub(crate) value: Layout,
}

/// Which workers run a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Each, over its share.
    All,
    /// The first.
    First,
}

/// What builds a node.
pub(crate) enum Kind {
    Source(Box<dyn SourceFactory>),
    Step(Box<dyn StepFactory>),
    /// A sink of the whole job, or one of each worker.
    Sink {
        factory: Box<dyn StepFactory>,
        is_ordered: bool,
    },
    Union(Box<dyn ThroughFactory>),
    /// A stateless step with several outputs.
    Fork(Box<dyn ThroughFactory>),
}

impl Kind {
    pub(crate) fn step(&self) -> Option<&dyn StepFactory> {
        match self {
            Self::Step(factory) | Self::Sink { factory, .. } => Some(&**factory),
            Self::Source(_) | Self::Union(_) | Self::Fork(_) => None,
        }
    }

    /// What builds the node into the ways that lead through it.
    pub(crate) fn through(&self) -> Option<&dyn ThroughFactory> {
        match self {
            Self::Union(factory) | Self::Fork(factory) => Some(&**factory),
            Self::Source(_) | Self::Step(_) | Self::Sink { .. } => None,
        }
    }
}

/// A source, a step, a union, a fork or a sink.
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    /// What it is, in words: `tumbling window`.
    pub(crate) title: String,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// What rows are grouped by.
    pub(crate) key: Option<Layout>,
    pub(crate) stores: Vec<StoreDeclaration>,
    pub(crate) placement: Placement,
    /// The step that this one makes parts for, before they are exchanged.
    pub(crate) parts_of: Option<NodeId>,
    pub(crate) kind: Kind,
}

/// The way from an output of one node to an input of another, through stateless steps.
pub(crate) struct Edge {
    pub(crate) from: (NodeId, usize),
    pub(crate) to: (NodeId, usize),
    /// The stateless steps on the way.
    pub(crate) chain: Vec<&'static str>,
    /// Of the rows behind the chain.
    pub(crate) layout: Layout,
    pub(crate) connect: Box<dyn Connect>,
}

/// What was declared of a job.
#[derive(Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) mistakes: Vec<ShapeError>,
    names: HashSet<String>,
    fused_steps: usize,
}

impl Graph {
    /// Takes a name for a source, step or sink.
    pub(crate) fn name(&mut self, kind: &'static str, name: &str) -> Arc<str> {
        if name.is_empty() {
            self.mistakes.push(ShapeError::EmptyName(kind));
        } else if !self.names.insert(name.to_owned()) {
            self.mistakes.push(ShapeError::DuplicateName(name.to_owned()));
        }
        name.into()
    }

    /// A name for a stateless step, which has none of its own.
    pub(crate) fn fused_name(&mut self, kind: &str, behind: NodeId) -> Arc<str> {
        self.fused_steps += 1;
        format!("{kind} {} behind {}", self.fused_steps, self.nodes[behind].name).into()
    }

    pub(crate) fn add_node(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(crate) fn add_edge(&mut self, edge: Edge) -> EdgeId {
        self.edges.push(edge);
        self.edges.len() - 1
    }

    /// The edges from an output of a node.
    pub(crate) fn edges_from(&self, node: NodeId, output: usize) -> impl Iterator<Item = EdgeId> {
        let edges = self.edges.iter().enumerate();
        edges.filter(move |(_, edge)| edge.from == (node, output)).map(|(id, _)| id)
    }

    /// The edges into a node.
    pub(crate) fn edges_into(&self, node: NodeId) -> impl Iterator<Item = EdgeId> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.to.0 == node).map(|(id, _)| id)
    }

    /// The names of sources that cannot be read again.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = &str> {
        let is_feed = |node: &&Node| matches!(&node.kind, Kind::Source(source) if !source.is_bounded());
        self.nodes.iter().filter(is_feed).map(|node| &*node.name)
    }

    /// Mistakes that can be seen before anything runs.
    pub(crate) fn check(&mut self) -> Vec<ShapeError> {
        let mut mistakes = std::mem::take(&mut self.mistakes);
        let mut has_source = false;
        for (id, node) in self.nodes.iter().enumerate() {
            match &node.kind {
                Kind::Source(source) => {
                    has_source = true;
                    source.mistakes(&mut mistakes);
                }
                Kind::Step(_) | Kind::Union(_) | Kind::Fork(_) | Kind::Sink { .. } => {}
            }
            // The first output has the results; what is late may be left to the counts. Of a fork, any output will do.
            let outputs = if matches!(node.kind, Kind::Fork(_)) { node.outputs.len() } else { 1 };
            let is_taken = (0..outputs).any(|output| self.edges_from(id, output).next().is_some());
            if !node.outputs.is_empty() && !is_taken {
                mistakes.push(ShapeError::Unconnected(node.name.to_string()));
            }
        }
        if !has_source {
            mistakes.insert(0, ShapeError::NoSource);
        }
        mistakes
    }
}
