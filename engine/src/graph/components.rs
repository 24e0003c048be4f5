//! Sources that share an order: which they are, and where they begin.

use crate::Timestamp;
use crate::graph::model::{Graph, Kind, NodeId};
use crate::graph::plan::Plan;
use crate::progress::schedule::{Cut, Schedule};
use crate::runtime::live::LiveSources;
use std::sync::Arc;

/// Sources that share an order.
pub(super) struct Component {
    pub(super) sources: Vec<NodeId>,
    /// Where all of them are bounded.
    pub(super) schedule: Option<Arc<Schedule>>,
    pub(super) cut: Arc<Cut>,
    /// The first unit that is read.
    pub(super) start: u64,
    /// Where sources go on that are read as they come.
    pub(super) live: Option<LiveSources>,
}

impl Component {
    /// Has it begin with a unit.
    pub(super) fn start_at(&mut self, unit: u64) {
        self.start = unit;
        self.cut = Arc::new(Cut::from(unit));
    }

    /// Has sources that are read as they come go on, with a unit of this number.
    pub(super) fn go_on(&mut self, unit: u64, live: Option<LiveSources>) {
        self.start = unit;
        self.live = live;
    }
}

/// The sources of a plan, by the order that they share.
pub(super) fn components(plan: &Plan) -> Vec<Component> {
    let mut components: Vec<(NodeId, Vec<NodeId>)> = Vec::new();
    for (node, planned) in plan
        .graph
        .nodes
        .iter()
        .zip(&plan.nodes)
        .enumerate()
        .filter_map(|(id, (node, planned))| matches!(node.kind, Kind::Source(_)).then_some((id, planned)))
    {
        match components.iter_mut().find(|(component, _)| *component == planned.component) {
            Some((_, sources)) => sources.push(node),
            None => components.push((planned.component, vec![node])),
        }
    }
    let component = |sources: Vec<NodeId>| {
        let largest: Option<Vec<_>> = sources
            .iter()
            .map(|node| match &plan.graph.nodes[*node].kind {
                Kind::Source(source) if source.is_bounded() => Some(source.index().largest.clone()),
                _ => None,
            })
            .collect();
        let schedule = largest.map(|largest| Arc::new(Schedule::new(largest)));
        Component { sources, schedule, cut: Arc::new(Cut::from(0)), start: 0, live: None }
    };
    components.into_iter().map(|(_, sources)| component(sources)).collect()
}

/// The least time in the first blocks of bounded sources that are read.
pub(super) fn first_time(graph: &Graph, components: &[Component]) -> Option<Timestamp> {
    let first = |component: &Component, at: usize| {
        let Kind::Source(source) = &graph.nodes[component.sources[at]].kind else { return None };
        let first = component.schedule.as_ref().map_or(0, |schedule| schedule.block_at(component.start, at));
        source.index().summaries.iter().skip(first).flatten().next().map(|block| block.min)
    };
    let all = components.iter().flat_map(|component| (0..component.sources.len()).map(move |at| (component, at)));
    all.filter_map(|(component, at)| first(component, at)).min()
}
