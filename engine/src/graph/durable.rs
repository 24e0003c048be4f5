//! What makes a deployed job durable: what is written of it beside its state, and what it goes on from.

use crate::base::key::HashSeed;
use crate::graph::combine::is_merged;
use crate::graph::components::Component;
use crate::graph::factory::Restoring;
use crate::graph::model::{Graph, Kind, NodeId};
use crate::graph::plan::Plan;
use crate::log::error::StateError;
use crate::log::journal::Journal;
use crate::runtime::checkpointer::{Checkpointer, Checkpoints, JobFacts, OpenState, Saved, SourcesAt};
use crate::runtime::entries::{Role, SavedStore};
use crate::runtime::live::LiveSources;
use crate::runtime::metrics::StepCounters;
use crate::runtime::recovery::Recovered;
use crate::runtime::report::RecoveryReport;
use crate::runtime::shared::JobShared;
use crate::runtime::summaries::Index;
use crate::{Error, Layout, ShapeError, Timestamp};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The checkpoints of a deployed job.
pub(super) struct Durable {
    pub(super) checkpoints: Arc<Checkpoints>,
    checkpointer: Mutex<Option<Checkpointer>>,
    /// What the job goes on from, until all workers are built.
    recovered: Mutex<Option<Arc<Recovered>>>,
    unbuilt: Mutex<usize>,
    /// The checkpoint that the job goes on from, and whether the job had come to its end there.
    resumed: Option<(u64, bool)>,
    remarks: Vec<String>,
    /// Of a job with live sources.
    pub(super) journal: Option<Arc<Journal>>,
}

impl Durable {
    pub(super) fn new(
        (name, plan): (&str, &Plan),
        components: &[Component],
        (open, recovered, remarks): (OpenState, Option<Recovered>, Vec<String>),
        (seed, read): (HashSeed, Vec<Arc<StepCounters>>),
        shared: &Arc<JobShared>,
    ) -> Self {
        let checkpoints = Arc::new(Checkpoints::in_slices(open.slice_bytes));
        // All are known before the first of them has anything to give.
        let steps = (0..plan.graph.nodes.len()).filter(|id| plan.graph.nodes[*id].kind.step().is_some());
        let steps = steps.map(|id| (id, plan.runs_on(id)));
        let sources = components.iter().map(|component| (component.sources[0], plan.workers()));
        for (node, workers) in steps.chain(sources) {
            (0..workers).for_each(|worker| drop(checkpoints.gathering.giver((node, worker))));
        }
        let remarks = open.log.remarks().iter().cloned().chain(remarks).collect();
        let journal = open.journal.clone();
        let facts = JobFacts {
            name: name.to_owned(),
            workers: plan.workers(),
            seed,
            sources: components.iter().map(|component| sources_at(&plan.graph, component)).collect(),
            nodes: plan.graph.nodes.iter().enumerate().filter_map(|(id, node)| Some((id, saved(node)?))).collect(),
            stores: stores(&plan.graph),
            events_read: Box::new(move || read.iter().map(|source| source.report().rows_in).sum()),
        };
        let resumed = recovered.as_ref().map(|recovered| (recovered.epoch, recovered.is_finished));
        let checkpointer = Checkpointer::new(open, facts, checkpoints.clone(), shared.clone());
        Self {
            checkpoints,
            checkpointer: Mutex::new(Some(checkpointer)),
            recovered: Mutex::new(recovered.map(Arc::new)),
            unbuilt: Mutex::new(plan.workers()),
            resumed,
            remarks,
            journal,
        }
    }

    pub(super) fn checkpointer(&self) -> Option<Checkpointer> {
        self.checkpointer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A worker is built; behind the last one, what the job went on from is not needed any more.
    pub(super) fn is_built(&self) {
        let mut unbuilt = self.unbuilt.lock().unwrap_or_else(PoisonError::into_inner);
        *unbuilt = unbuilt.saturating_sub(1);
        if *unbuilt == 0 {
            self.recovered.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// What a step takes of what was saved.
    pub(super) fn restoring(&self, plan: &Plan, node: NodeId) -> Restoring {
        let recovered = self.recovered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(recovered) = recovered else { return Restoring::Nothing };
        let is_parts = plan.graph.nodes[node].parts_of.is_some();
        let is_pair = is_parts || is_merged(&plan.graph, node);
        let role = if is_parts { Role::Parts } else { Role::Whole };
        let saved = recovered.roles_of(&plan.graph.nodes[node].name);
        if recovered.workers == plan.workers() && (is_pair || !saved.contains(&Role::Parts)) {
            Restoring::Same(recovered, role)
        } else if is_parts || !is_pair {
            Restoring::Share(recovered, plan.runs_on(node))
        } else {
            // Parts take what there is of windows, and what merges them takes it from there.
            Restoring::Nothing
        }
    }

    pub(super) fn report(&self, shared: &JobShared) -> RecoveryReport {
        RecoveryReport {
            resumed_from: self.resumed.map(|(epoch, _)| epoch),
            was_finished: self.resumed.is_some_and(|(_, is_finished)| is_finished),
            at_savepoint: shared.is_at_savepoint(),
            checkpoints: self.checkpoints.report(),
            remarks: self.remarks.clone(),
        }
    }
}

fn saved(node: &crate::graph::model::Node) -> Option<Saved> {
    let name = node.name.to_string();
    match (&node.kind, node.parts_of) {
        (Kind::Step(_), None) => Some(Saved::Step(name, Role::Whole)),
        (Kind::Step(_), Some(_)) => Some(Saved::Step(name, Role::Parts)),
        (Kind::Sink { .. }, _) => Some(Saved::Sink(name)),
        (Kind::Source(_) | Kind::Union(_) | Kind::Fork(_), _) => None,
    }
}

fn source_names(graph: &Graph, component: &Component) -> Vec<String> {
    component.sources.iter().map(|node| graph.nodes[*node].name.to_string()).collect()
}

fn sources_at(graph: &Graph, component: &Component) -> SourcesAt {
    SourcesAt {
        node: component.sources[0],
        names: source_names(graph, component),
        cut: component.cut.clone(),
        fingerprint: Box::new(fingerprints(graph, component)),
    }
}

/// The stores of all steps.
fn stores(graph: &Graph) -> Vec<SavedStore> {
    let mut stores = Vec::new();
    for node in graph.nodes.iter().filter(|node| node.parts_of.is_none()) {
        for store in &node.stores {
            let schema = |layout: &Option<Layout>| layout.as_ref().map(Layout::schema).unwrap_or_default();
            stores.push(SavedStore {
                step: node.name.to_string(),
                store: store.name.to_owned(),
                kind: store.kind.name().to_owned(),
                title: node.title.clone(),
                key: schema(&node.key),
                element_key: schema(&store.key),
                value: store.value.schema(),
            });
        }
    }
    stores
}

/// A hash of what lies before a unit: of the order, and of the blocks that are read before it. Of sources that are read
/// as they come, it is what lies before the next block of each.
fn fingerprints(graph: &Graph, component: &Component) -> impl Fn(u64, &[u64]) -> u64 + Send + Sync + use<> {
    let prefixes: Vec<Vec<u64>> = component
        .sources
        .iter()
        .map(|node| match &graph.nodes[*node].kind {
            Kind::Source(source) => prefixes(&source.index()),
            _ => Vec::new(),
        })
        .collect();
    let schedule = component.schedule.clone();
    move |unit, blocks| {
        let mut hash = 0;
        let Some(schedule) = &schedule else {
            for (prefixes, block) in prefixes.iter().zip(blocks) {
                // There is none beyond the last where the source has become shorter.
                let prefix = prefixes.get(*block as usize).copied().unwrap_or(u64::MAX);
                hash = mix(mix(hash, *block), prefix);
            }
            return hash;
        };
        for (source, prefixes) in prefixes.iter().enumerate() {
            // The block of which a part is read counts as well.
            let block = schedule.block_at(unit, source);
            let block = if schedule.is_single() { block } else { (block + 1).min(prefixes.len() - 1) };
            hash = mix(mix(hash, block as u64), prefixes[block]);
        }
        mix(hash, schedule.clock(unit).as_nanos() as u64)
    }
}

/// The hash of a number behind others whose hash is `before`.
fn mix(before: u64, number: u64) -> u64 {
    HashSeed::from_bits(before).hash(&number)
}

/// Before each block, and behind the last, a hash of the summaries before it.
fn prefixes(index: &Index) -> Vec<u64> {
    let mut prefixes = vec![0];
    for summary in &index.summaries {
        let words = summary.map_or([0; 3], |summary| {
            [u64::from(summary.count), summary.min.as_nanos() as u64, summary.max.as_nanos() as u64]
        });
        let before = prefixes[prefixes.len() - 1];
        prefixes.push(words.into_iter().fold(before, mix));
    }
    prefixes
}

/// Holds what was saved against the steps and sinks of a job.
pub(super) fn check(recovered: &Recovered, name: &str, plan: &Plan, allows_dropped: bool) -> Result<(), Error> {
    let mut reasons = Vec::new();
    if recovered.job != name {
        reasons.push(format!("it is of the job `{}`, and this one is `{name}`", recovered.job));
    }
    let now = stores(&plan.graph);
    for was in &recovered.stores {
        match now.iter().find(|store| (&store.step, &store.store) == (&was.step, &was.store)) {
            Some(store) if store == was => {}
            Some(store) => {
                reasons.push(format!(
                    "store `{}` of step `{}` was {} and is {}",
                    was.store,
                    was.step,
                    tell(was),
                    tell(store)
                ));
            }
            None if allows_dropped => {}
            None => reasons.push(format!(
                "store `{}` of step `{}`, which was {} of [{}], is not in the job",
                was.store, was.step, was.kind, was.value
            )),
        }
    }
    let sinks: BTreeSet<&str> = recovered.sinks.keys().map(|(name, _)| name.as_str()).collect();
    for name in sinks {
        let node = plan.graph.nodes.iter().position(|node| *node.name == *name);
        let runs_on = node.map_or(0, |node| plan.runs_on(node));
        let was_on = recovered.sinks.keys().filter(|(of, _)| of == name).count();
        match node {
            None if !allows_dropped => reasons.push(format!("sink `{name}` is not in the job")),
            Some(_) if runs_on != was_on => reasons.push(format!(
                "sink `{name}`, which is one on each worker and says where its output stands, was on {was_on} and is on \
                 {runs_on}: start the job with {was_on} workers"
            )),
            _ => {}
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Error::State(StateError::misfit(recovered.path(), reasons.join("; "))))
}

/// What a store is, in words.
fn tell(store: &SavedStore) -> String {
    let SavedStore { kind, title, key, element_key, value, .. } = store;
    let by = if element_key.is_empty() { String::new() } else { format!(" by [{element_key}]") };
    format!("{kind} of [{value}]{by} for keys [{key}] of a {title}")
}

/// Has sources stop where event time has come to `time`.
pub(super) fn stop_sources(job: &str, graph: &Graph, components: &[Component], time: Timestamp) -> Result<(), Error> {
    for component in components {
        let Some(schedule) = &component.schedule else {
            let found = format!("the live source `{}`", source_names(graph, component).join("`, `"));
            let (option, wanted) = ("stop_at", "bounded sources");
            let mistakes = vec![ShapeError::BadOption { option, found, wanted }];
            return Err(Error::Shape { job: job.to_owned(), mistakes });
        };
        component.cut.stop_before(schedule.unit_at(time).max(component.start));
    }
    Ok(())
}

/// Has sources go on where they stood.
pub(super) fn start_sources(
    recovered: &Recovered,
    graph: &Graph,
    components: &mut [Component],
    allows_dropped: bool,
) -> Result<(), Error> {
    let misfit = |reason: String| Err(Error::State(StateError::misfit(recovered.path(), reason)));
    let mut names = BTreeSet::new();
    for component in components.iter_mut() {
        let now = source_names(graph, component);
        names.extend(now.clone());
        let Some(saved) = recovered.sources.iter().find(|saved| saved.names.iter().any(|name| now.contains(name)))
        else {
            continue;
        };
        let list = |names: &[String]| names.join("`, `");
        if saved.names != now {
            return misfit(format!(
                "the sources `{}` shared an order, and now `{}` do",
                list(&saved.names),
                list(&now)
            ));
        }
        if saved.live.is_some() != component.schedule.is_none() {
            let tell = |is_live| if is_live { "had a feed among them" } else { "were all bounded" };
            let (was, is) = (tell(saved.live.is_some()), tell(component.schedule.is_none()));
            return misfit(format!("the sources `{}` {was}, and now they {is}", list(&now)));
        }
        let blocks = saved.live.as_ref().map(LiveSources::blocks).unwrap_or_default();
        let is_there = component.schedule.as_ref().is_none_or(|schedule| saved.unit <= schedule.units());
        if !is_there || fingerprints(graph, component)(saved.unit, &blocks) != saved.fingerprint {
            return misfit(format!("what was read of `{}` is not there any more, or is different", list(&now)));
        }
        match (&component.schedule, &saved.live) {
            (Some(schedule), _) if recovered.is_finished => component.start_at(schedule.units()),
            (Some(_), _) => component.start_at(saved.unit),
            (None, live) => component.go_on(saved.unit, live.clone()),
        }
    }
    let is_gone = |name: &&String| !names.contains(*name);
    match recovered.sources.iter().flat_map(|saved| &saved.names).find(is_gone) {
        Some(gone) if !allows_dropped => misfit(format!("source `{gone}` is not in the job")),
        _ => Ok(()),
    }
}
