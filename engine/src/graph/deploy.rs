//! Lays a planned job on workers: makes counters and exchanges, and builds each worker on its own thread.

use crate::graph::combine::is_merged;
use crate::graph::components::{Component, components, first_time};
use crate::graph::durable::{self, Durable};
use crate::graph::exchange::{AnyExchange, ExchangeSpec};
use crate::graph::explain::JobPlan;
use crate::graph::factory::{
    AnyOutputs, AnyWay, BuildContext, ContextParts, Restoring, SourceOptions, StagePlan, WayIn,
};
use crate::graph::journaled;
use crate::graph::model::{EdgeId, Graph, Kind, Node, NodeId};
use crate::graph::plan::{Arrival, Plan, PlannedWay};
use crate::graph::serving::{Serving, serving};
use crate::graph::ways::made_on_first;
use crate::log::journal::Journal;
use crate::progress::jumps::JumpLimit;
use crate::runtime::checkpoint::Giver;
use crate::runtime::checkpointer::{Checkpointer, Checkpoints};
use crate::runtime::committer::Committer;
use crate::runtime::idle::{IdleStrategy, Idler};
use crate::runtime::metrics::{StepCounters, StepKind};
use crate::runtime::report::Report;
use crate::runtime::shared::JobShared;
use crate::runtime::source_task::{JournalStart, SourceTask, UnitOrder};
use crate::runtime::stage::{Counting, StepAt};
use crate::runtime::state::{FoundJournal, JournalKeep, JournalSettings, StateSettings};
use crate::runtime::task::Task;
use crate::runtime::worker::Worker;
use crate::store::StoreSettings;
use crate::{Error, HashSeed, Timestamp};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Windows are few: the bytes of a ring that announces their parts.
const PARTS_BYTES: usize = 8 << 10;

/// How a graph is laid on workers.
pub(crate) struct DeployOptions {
    pub(crate) workers: usize,
    /// Whether fewer workers will do where more do not serve.
    pub(crate) is_most: bool,
    pub(crate) ring_bytes: usize,
    pub(crate) feed_block_events: usize,
    pub(crate) times: RangeInclusive<Timestamp>,
    pub(crate) jumps: JumpLimit,
    pub(crate) idle: IdleStrategy,
    pub(crate) pin: bool,
    pub(crate) stores: StoreSettings,
    pub(crate) shared: Arc<JobShared>,
    pub(crate) state: Option<StateSettings>,
}

/// What counts for a node.
#[derive(Clone)]
struct NodeCounters {
    /// What the step does.
    own: Arc<StepCounters>,
    /// What it is given.
    given: Arc<StepCounters>,
}

/// A job that is laid on workers and not built yet.
pub(crate) struct Deployment {
    name: String,
    plan: Plan,
    options: DeployOptions,
    components: Vec<Component>,
    /// By node; of sources, unions and forks none.
    counters: Vec<Option<NodeCounters>>,
    /// Those that the report shows.
    reported: Vec<Arc<StepCounters>>,
    /// By node, for each of its inputs.
    exchanges: Vec<Vec<AnyExchange>>,
    started: Duration,
    first_time: Option<Timestamp>,
    warnings: Mutex<Vec<String>>,
    durable: Option<Durable>,
}

impl Deployment {
    /// Lays a graph on workers.
    ///
    /// # Errors
    /// When a source cannot be prepared, or the graph cannot be planned.
    pub(crate) fn new(name: String, graph: Graph, mut options: DeployOptions) -> Result<Self, Error> {
        let opened = options.state.as_ref().map(StateSettings::open).transpose()?;
        let (mut open, recovered) = opened.map_or((None, None), |(open, recovered)| (Some(open), recovered));
        let found = match (&options.state, &open) {
            (Some(state), Some(open)) if graph.feeds().next().is_some() => {
                Some(state.find_journal(open, recovered.as_ref())?)
            }
            _ => None,
        };
        journaled::restore_symbols(recovered.as_ref(), found.as_ref(), &options.shared.symbols)?;
        if let Some(recovered) = &recovered {
            options.stores.seed = HashSeed::from_bits(recovered.seed);
        }
        for node in &graph.nodes {
            if let Kind::Source(source) = &node.kind {
                let (times, jumps, symbols) = (&options.times, options.jumps, &*options.shared.symbols);
                source.prepare(&SourceOptions { times, jumps, symbols })?;
            }
        }
        let serving = match options.is_most {
            true => serving(&graph, options.workers, options.shared.symbols.len()),
            false => Serving { workers: options.workers, reason: None },
        };
        let plan = Plan::new(&name, graph, serving)?;
        for (id, node) in plan.graph.nodes.iter().enumerate() {
            if let Kind::Source(source) = &node.kind {
                let readers = if made_on_first(&plan.graph, id) { 1 } else { plan.workers() };
                source.count_for(plan.workers(), readers);
            }
        }
        let mut components = components(&plan);
        found.as_ref().map_or(Ok(()), |found| journaled::check(found, &plan.graph, &components))?;
        if let Some(recovered) = &recovered {
            let allows_dropped = options.state.as_ref().is_some_and(|state| state.allows_dropped);
            durable::check(recovered, &name, &plan, allows_dropped)?;
            durable::start_sources(recovered, &plan.graph, &mut components, allows_dropped)?;
        }
        if let Some(time) = options.state.as_ref().and_then(|state| state.stop_at) {
            durable::stop_sources(&name, &plan.graph, &components, time)?;
        }
        let remarks = found.as_ref().map(FoundJournal::remarks).unwrap_or_default();
        if let (Some(open), Some(found)) = (&mut open, found) {
            let journal = journaled::open(found, &plan.graph, &components)?;
            let keep = options.state.as_ref().map_or(JournalKeep::All, |state| state.journal.keep);
            journaled::check_keep(keep, &journal, (&name, &plan.graph), &components)?;
            open.journal = Some(journal);
        }
        let first_time = first_time(&plan.graph, &components);
        let (counters, reported) = counters(&plan);
        let counts = |name: &str| recovered.as_ref()?.counts.get(name);
        reported.iter().filter_map(|step| Some((step, counts(&step.name)?))).for_each(|(step, was)| step.go_on(was));
        let durable = open.map(|open| {
            let events = reported.iter().filter(|step| step.kind == StepKind::Source).cloned().collect();
            let saved = (open, recovered, remarks);
            Durable::new((&name, &plan), &components, saved, (options.stores.seed, events), &options.shared)
        });
        let exchanges = (0..plan.graph.nodes.len()).map(|node| exchanges(&plan, node, options.ring_bytes)).collect();
        let started = options.shared.clock.now();
        let warnings = Mutex::default();
        Ok(Self {
            name,
            plan,
            options,
            components,
            counters,
            reported,
            exchanges,
            started,
            first_time,
            warnings,
            durable,
        })
    }

    /// How the job will run.
    pub(crate) fn explain(&self) -> JobPlan {
        JobPlan::new(&self.name, &self.plan)
    }

    pub(crate) const fn workers(&self) -> usize {
        self.plan.workers()
    }

    pub(crate) const fn shared(&self) -> &Arc<JobShared> {
        &self.options.shared
    }

    /// Builds one worker; it must be built where it will run.
    pub(crate) fn build(&self, worker: usize) -> Result<Worker, Error> {
        let options = &self.options;
        let context = BuildContext::new(
            worker,
            ContextParts {
                workers: self.plan.workers(),
                feed_block_events: options.feed_block_events,
                times: options.times.clone(),
                stores: options.stores,
                jumps: options.jumps,
                started: self.started,
                first_time: self.first_time,
                shared: options.shared.clone(),
            },
        );
        let mut tasks: Vec<Box<dyn Task>> = Vec::new();
        for component in &self.components {
            tasks.push(Box::new(self.source_task(&context, component)?));
        }
        for &node in &self.plan.order {
            let is_merge = matches!(self.plan.nodes[node].arrival, Some(Arrival::Merge(_)));
            if !is_merge || worker >= self.plan.runs_on(node) {
                continue;
            }
            if let Some(factory) = self.plan.graph.nodes[node].kind.step() {
                tasks.push(factory.task(&context, self.stage(&context, node), &self.exchanges[node]));
            }
        }
        tasks.reverse();
        if let Some(durable) = &self.durable {
            durable.is_built();
        }
        Ok(Worker::new(tasks, options.shared.clone()))
    }

    fn source_task(&self, context: &BuildContext, component: &Component) -> Result<SourceTask, Error> {
        let sources = || component.sources.iter().map(|node| (*node, &self.plan.graph.nodes[*node].kind));
        let order = match &component.schedule {
            Some(schedule) => UnitOrder::Known(schedule.clone()),
            None if context.worker == 0 => UnitOrder::AsTheyCome(
                sources()
                    .map(|(_, kind)| match kind {
                        Kind::Source(source) if source.is_bounded() => Some(source.index().summaries.len()),
                        _ => None,
                    })
                    .collect(),
            ),
            None => UnitOrder::Elsewhere,
        };
        let reads = !matches!(order, UnitOrder::Elsewhere);
        let pipes = sources().filter_map(|(node, kind)| match kind {
            Kind::Source(source) => Some(source.pipe(context, reads, self.outputs(context, node, &[]))),
            _ => None,
        });
        let pipes = pipes.collect::<Result<Vec<_>, _>>()?;
        let at = (context.worker, context.workers);
        let giver = component.sources.first().and_then(|node| self.giver(*node, context.worker));
        let cut = (component.cut.clone(), component.start);
        let is_live = matches!(order, UnitOrder::AsTheyCome(_));
        let task = SourceTask::new(pipes, order, at, cut, giver, context.shared.clone());
        match self.journal().filter(|_| is_live) {
            Some((journal, settings)) => task.with_journal(JournalStart {
                journal: journal.clone(),
                first: journaled::first_source(&self.components, component),
                waits: settings.waits,
                saved: component.live.clone(),
            }),
            None => Ok(task),
        }
    }

    /// The journal of a job with live sources.
    fn journal(&self) -> Option<(&Arc<Journal>, &JournalSettings)> {
        Some((self.durable.as_ref()?.journal.as_ref()?, &self.options.state.as_ref()?.journal))
    }

    /// What makes the journal durable.
    pub(crate) fn committer(&self) -> Option<Committer> {
        let (journal, settings) = self.journal()?;
        let (journal, shared) = (journal.clone(), self.options.shared.clone());
        Some(Committer { journal, every: settings.commit_every, shared })
    }

    /// The ways out of all outputs of a node, reached through these edges of unions and forks.
    fn outputs(&self, context: &BuildContext, node: NodeId, through: &[EdgeId]) -> AnyOutputs {
        let graph = &self.plan.graph;
        let ways =
            |output| graph.edges_from(node, output).filter_map(|edge| self.way(context, edge, through)).collect();
        (0..graph.nodes[node].outputs.len()).map(ways).collect()
    }

    /// The way along an edge to whatever takes its rows; `None` where that is called on the first worker only, which
    /// makes all rows.
    fn way(&self, context: &BuildContext, edge: EdgeId, through: &[EdgeId]) -> Option<AnyWay> {
        let graph = &self.plan.graph;
        let to = graph.edges[edge].to.0;
        let edges: Vec<EdgeId> = through.iter().copied().chain([edge]).collect();
        let end = match &graph.nodes[to].kind {
            Kind::Union(through) | Kind::Fork(through) => through.way(self.outputs(context, to, &edges)),
            _ if self.plan.nodes[to].arrival == Some(Arrival::Call) && context.worker >= self.plan.runs_on(to) => {
                return None;
            }
            _ => self.way_in(context, to, &edges),
        };
        Some(graph.edges[edge].connect.front(end))
    }

    /// The end of the way through these edges, at a step.
    fn way_in(&self, context: &BuildContext, node: NodeId, edges: &[EdgeId]) -> AnyWay {
        let planned = &self.plan.nodes[node];
        let found = planned.ways.iter().enumerate().find(|(_, way)| way.way.edges == edges);
        let (Some((number, way)), Some(counters), Some(factory)) =
            (found, &self.counters[node], self.plan.graph.nodes[node].kind.step())
        else {
            unreachable!("all ways into a step are planned")
        };
        let PlannedWay { way, stamp, fans_out } = way;
        let (stamp, fans_out, bound) = (*stamp, *fans_out, planned.bound);
        let way_in = WayIn { number, stamp, fans_out, bound, counters: &counters.given };
        match planned.arrival {
            Some(Arrival::Merge(_)) => factory.sender(context, way.input, &self.exchanges[node][way.input], way_in),
            _ => factory.call(context, self.stage(context, node), way_in),
        }
    }

    /// Who gives what a node has on a worker to checkpoints.
    fn giver(&self, node: NodeId, worker: usize) -> Option<Giver> {
        self.durable.as_ref().map(|durable| durable.checkpoints.gathering.giver((node, worker)))
    }

    /// What a step takes of what was saved.
    fn restoring(&self, node: NodeId) -> Restoring {
        self.durable.as_ref().map_or(Restoring::Nothing, |durable| durable.restoring(&self.plan, node))
    }

    /// What takes the checkpoints; taken once.
    pub(crate) fn checkpointer(&self) -> Option<Checkpointer> {
        self.durable.as_ref()?.checkpointer()
    }

    pub(crate) fn checkpoints(&self) -> Option<&Arc<Checkpoints>> {
        self.durable.as_ref().map(|durable| &durable.checkpoints)
    }

    fn stage(&self, context: &BuildContext, node: NodeId) -> StagePlan<'_> {
        let planned = &self.plan.nodes[node];
        let Some(counters) = &self.counters[node] else { unreachable!("each step has counters") };
        let counting = if self.plan.graph.nodes[node].parts_of.is_some() {
            Counting { output: false, ..Counting::WHOLE }
        } else if is_merged(&self.plan.graph, node) {
            Counting { input: false, ..Counting::WHOLE }
        } else {
            let broadcast = self.plan.graph.nodes[node].kind.step().and_then(|step| step.broadcast_input());
            Counting { broadcast, ..Counting::WHOLE }
        };
        let at = StepAt { rank: planned.rank, bound: planned.bound, worker: context.worker, counting };
        let outputs = self.outputs(context, node, &[]);
        let (giver, restoring) = (self.giver(node, context.worker), self.restoring(node));
        StagePlan { node, at, counters: &counters.own, outputs, ways: planned.ways.len(), giver, restoring }
    }

    /// Builds one worker on this thread and runs it to its end.
    pub(crate) fn run_worker(&self, worker: usize) {
        let options = &self.options;
        // Asked before this thread is pinned: afterwards it may use one core only.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if options.pin
            && let Err(warning) = crate::runtime::pin::pin(worker)
        {
            self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
        }
        let is_paced = |node: &Node| matches!(&node.kind, Kind::Source(source) if source.is_paced());
        let idler = Idler::new(options.idle, self.plan.workers() > cores, self.plan.graph.nodes.iter().any(is_paced));
        match crate::runtime::worker::caught(&options.shared, || self.build(worker)) {
            Some(Ok(mut worker)) => worker.run(idler),
            Some(Err(error)) => options.shared.fail(error),
            None => {}
        }
    }

    pub(crate) fn report(&self) -> Report {
        let shared = &self.options.shared;
        Report {
            job: self.name.clone(),
            workers: self.plan.workers(),
            elapsed: shared.clock.now().saturating_sub(self.started),
            steps: self.reported.iter().map(|counters| counters.report()).collect(),
            warnings: self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            halted: shared.is_halted(),
            recovery: self.durable.as_ref().map(|durable| durable.report(shared)),
        }
    }
}

/// The counters of all nodes, and those that the report shows in their order: sources, then steps and sinks.
fn counters(plan: &Plan) -> (Vec<Option<NodeCounters>>, Vec<Arc<StepCounters>>) {
    let graph = &plan.graph;
    let mut all: Vec<Option<NodeCounters>> = Vec::new();
    let mut reported = Vec::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        let kind = match &node.kind {
            Kind::Source(source) => {
                reported.extend(source.counters());
                all.push(None);
                continue;
            }
            Kind::Union(_) | Kind::Fork(_) => {
                all.push(None);
                continue;
            }
            Kind::Step(_) => StepKind::Keyed,
            Kind::Sink { .. } => StepKind::Sink,
        };
        let counters = || StepCounters::new(node.name.clone(), kind, plan.workers(), plan.runs_on(id));
        let own = match node.parts_of.and_then(|step| all[step].as_ref()) {
            Some(step) => step.own.clone(),
            None => counters(),
        };
        // What is given to a merging step are parts, which the report does not show.
        let given = if is_merged(graph, id) { counters() } else { own.clone() };
        all.push(Some(NodeCounters { own, given }));
    }
    let is_shown = |id: &usize| graph.nodes[*id].parts_of.is_none();
    let steps = (0..graph.nodes.len()).filter(is_shown).filter_map(|id| all[id].as_ref());
    reported.extend(steps.map(|counters| counters.own.clone()));
    (all, reported)
}

/// The exchanges into a node, one for each input.
fn exchanges(plan: &Plan, id: NodeId, ring_bytes: usize) -> Vec<AnyExchange> {
    let (node, planned) = (&plan.graph.nodes[id], &plan.nodes[id]);
    let (Some(Arrival::Merge(order)), Some(factory)) = (planned.arrival, node.kind.step()) else { return Vec::new() };
    let ring_bytes = if is_merged(&plan.graph, id) { ring_bytes.min(PARTS_BYTES) } else { ring_bytes };
    let exchange = |input: usize| {
        let ways = planned.ways.iter().enumerate().filter(|(_, way)| way.way.input == input);
        let spec = ExchangeSpec {
            // No node has so many inputs.
            id: id * 16 + input,
            order,
            ways: ways.map(|(number, way)| (number, plan.runs_on(way.way.from))).collect(),
            workers: plan.workers(),
            receivers: plan.runs_on(id),
            ring_bytes,
        };
        factory.exchange(input, &spec)
    };
    (0..node.inputs.len()).map(exchange).collect()
}
