//! How many workers serve a job that may have as many as there are cores.
//!
//! Two workers that exchange rows spend as much on the exchange as they save by sharing cheap steps. So where there are
//! two cores, a job of windows over bounded sources, none of which can be combined before its exchange, gets a second
//! worker only where nearly each event becomes a row and keys are too many for a cache: then most of the work is waiting
//! for memory, which two cores do at once. All other jobs get a worker for each core: functions of the user's may take
//! any time, live sources any rate, and three workers share more than the exchange costs.

use crate::graph::combine::may_combine;
use crate::graph::model::{Graph, Kind, Node, NodeId};
use crate::graph::ways::{is_behind, roots};
use crate::{BlockSummary, FieldKind};

/// Rows for each event from which on a second worker serves.
const ROWS_MIN: f64 = 0.8;
/// As many keys as it takes for that.
const KEYS_MIN: f64 = 32_768.0;

/// How many workers a job gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Serving {
    pub(crate) workers: usize,
    /// Why not all that it may have.
    pub(crate) reason: Option<String>,
}

/// The workers that serve, of so many; sources are prepared, and have `symbols` texts in all.
pub(crate) fn serving(graph: &Graph, most: usize, symbols: usize) -> Serving {
    let all = Serving { workers: most, reason: None };
    if most != 2 {
        return all;
    }
    let mut steps = graph.nodes.iter().enumerate().filter(|(_, node)| matches!(node.kind, Kind::Step(_))).peekable();
    let is_alone = steps.peek().is_some() && steps.all(|(id, node)| is_cheap(graph, id, node, symbols));
    let is_known = |node: &Node| match &node.kind {
        Kind::Source(source) => source.is_bounded() && !source.is_paced(),
        _ => true,
    };
    if !is_alone || !graph.nodes.iter().all(is_known) {
        return all;
    }
    let reason = "exchanging rows between two workers would cost more than it spares".to_owned();
    Serving { workers: 1, reason: Some(reason) }
}

/// Whether a step takes less for its rows than their exchange would.
fn is_cheap(graph: &Graph, id: NodeId, node: &Node, symbols: usize) -> bool {
    let Some(window_ns) = node.kind.step().and_then(|step| step.window_ns()) else { return false };
    if may_combine(graph, id) {
        return false;
    }
    let Some(events) = events_of_window(graph, id, window_ns) else { return false };
    match keys_of(node, symbols) {
        // Late events become no rows.
        Some(keys) if keys >= KEYS_MIN && !is_behind(graph, id) => rows_for_each_event(events, keys) < ROWS_MIN,
        _ => true,
    }
}

/// The events that fall into one window on average, by the indexes of the sources.
fn events_of_window(graph: &Graph, step: NodeId, window_ns: i64) -> Option<f64> {
    let mut seen: Option<BlockSummary> = None;
    let mut events = 0.0;
    for source in roots(graph, step) {
        let Kind::Source(source) = &graph.nodes[source].kind else { continue };
        for block in source.index().summaries.iter().flatten() {
            let seen = seen.get_or_insert(*block);
            (seen.min, seen.max) = (seen.min.min(block.min), seen.max.max(block.max));
            events += f64::from(block.count);
        }
    }
    let seen = seen?;
    let span_ns = (seen.max.as_nanos() as f64 - seen.min.as_nanos() as f64).max(1.0);
    Some((events * window_ns as f64 / span_ns).min(events))
}

/// The keys that a step may have; `None` where they are not counted before they come.
fn keys_of(node: &Node, symbols: usize) -> Option<f64> {
    let [field] = node.key.as_ref()?.fields() else { return None };
    (field.kind == FieldKind::Symbol).then_some(symbols as f64)
}

/// The rows that a window gives for each of its events, where all keys are as frequent.
fn rows_for_each_event(events: f64, keys: f64) -> f64 {
    keys * -(-events / keys).exp_m1() / events.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_many_as_keys_in_long_windows_and_as_events_in_short_ones() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 0.005, "{found} {expected}");
        near(rows_for_each_event(1e6, 1e3), 0.001);
        near(rows_for_each_event(100.0, 1e5), 1.0);
        near(rows_for_each_event(1e4, 1e4), 0.632);
        near(rows_for_each_event(0.1, 7.0), 0.1);
    }
}
