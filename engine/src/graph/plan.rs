//! Lays a graph on workers: checks it, makes edges and counters, and builds each worker.

use crate::graph::node::Node;
use crate::graph::source_node::SourceNode;
use crate::progress::schedule::{Entry, merge_blocks};
use crate::runtime::idle::{IdleStrategy, Idler};
use crate::runtime::metrics::StepCounters;
use crate::runtime::report::Report;
use crate::runtime::shared::JobShared;
use crate::runtime::source_task::{BlockOrder, SourceTask};
use crate::runtime::task::Task;
use crate::runtime::worker::Worker;
use crate::{Error, Timestamp};
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How a graph is laid on workers.
pub(crate) struct Deployment {
    pub(crate) workers: usize,
    pub(crate) ring_bytes: usize,
    pub(crate) feed_block_events: usize,
    pub(crate) times: RangeInclusive<Timestamp>,
    pub(crate) idle: IdleStrategy,
    pub(crate) pin: bool,
    pub(crate) limits: Limits,
    pub(crate) shared: Arc<JobShared>,
    /// Whether all sources are bounded; known when they are prepared.
    pub(crate) all_bounded: bool,
}

/// The limits of keyed steps, for each worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) keys_max: usize,
    pub(crate) open_windows_max: usize,
    pub(crate) timers_max: usize,
}

/// What the parts of one worker are built with; it stays on the worker's thread.
pub(crate) struct BuildContext {
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    pub(crate) feed_block_events: usize,
    pub(crate) times: RangeInclusive<Timestamp>,
    pub(crate) limits: Limits,
    /// The job's start, by its clock.
    pub(crate) started: Duration,
    /// The least time in the first blocks of bounded sources: what recorded speed counts from.
    pub(crate) first_time: Option<Timestamp>,
    pub(crate) shared: Arc<JobShared>,
    /// Local edges of which one end is built, by step and way.
    locals: RefCell<HashMap<(usize, usize), Box<dyn Any>>>,
}

impl BuildContext {
    /// The local edge of a step and way, the same one for both of its ends.
    pub(crate) fn local<L: Clone + 'static>(&self, step: usize, way: usize, make: impl Fn() -> L) -> L {
        let mut locals = self.locals.borrow_mut();
        let edge = locals.entry((step, way)).or_insert_with(|| Box::new(make()));
        edge.downcast_ref::<L>().cloned().unwrap_or_else(make)
    }
}

/// A job that is laid on workers and not built yet.
pub(crate) struct Plan {
    name: String,
    sources: Vec<Arc<dyn SourceNode>>,
    nodes: Vec<Arc<dyn Node>>,
    deployment: Deployment,
    /// The order of blocks, where all sources are bounded.
    order: Option<Arc<Vec<Entry>>>,
    counters: Vec<Arc<StepCounters>>,
    started: Duration,
    first_time: Option<Timestamp>,
    warnings: Mutex<Vec<String>>,
}

impl Plan {
    /// Lays a graph on workers. Nodes come in order, each behind those that feed it.
    pub(crate) fn new(
        name: String,
        sources: Vec<Arc<dyn SourceNode>>,
        nodes: Vec<Arc<dyn Node>>,
        mut deployment: Deployment,
    ) -> Result<Self, Error> {
        for source in &sources {
            source.prepare(&deployment)?;
        }
        deployment.all_bounded = sources.iter().all(|source| source.blocks().is_some());
        for (id, node) in nodes.iter().enumerate() {
            node.prepare(id, &deployment);
        }
        let first_blocks =
            sources.iter().filter_map(|source| source.blocks()?.into_iter().find(|block| block.count > 0));
        let first_time = first_blocks.map(|block| block.min).min();
        let blocks: Option<Vec<_>> = sources.iter().map(|source| source.blocks()).collect();
        let order = blocks.map(|blocks| Arc::new(merge_blocks(&blocks)));
        let counters = sources.iter().filter_map(|source| source.counters());
        let counters = counters.chain(nodes.iter().filter_map(|node| node.counters())).collect();
        let started = deployment.shared.clock.now();
        Ok(Self { name, sources, nodes, deployment, order, counters, started, first_time, warnings: Mutex::default() })
    }

    pub(crate) const fn workers(&self) -> usize {
        self.deployment.workers
    }

    pub(crate) const fn shared(&self) -> &Arc<JobShared> {
        &self.deployment.shared
    }

    /// Builds one worker; it must be built where it will run.
    pub(crate) fn build(&self, worker: usize) -> Result<Worker, Error> {
        let deployment = &self.deployment;
        let context = BuildContext {
            worker,
            workers: deployment.workers,
            feed_block_events: deployment.feed_block_events,
            times: deployment.times.clone(),
            limits: deployment.limits,
            started: self.started,
            first_time: self.first_time,
            shared: deployment.shared.clone(),
            locals: RefCell::default(),
        };
        let order = match &self.order {
            Some(order) => BlockOrder::Known(order.clone()),
            None if worker == 0 => {
                let blocks = self.sources.iter().map(|source| source.blocks().map(|blocks| blocks.len()));
                BlockOrder::AsTheyCome(blocks.collect())
            }
            None => BlockOrder::Elsewhere,
        };
        let reads = !matches!(order, BlockOrder::Elsewhere);
        let pipes = self.sources.iter().map(|source| source.pipe(&context, reads)).collect::<Result<_, _>>()?;
        let source = SourceTask::new(pipes, order, worker, deployment.workers, deployment.shared.clone());
        let mut tasks: Vec<Box<dyn Task>> = vec![Box::new(source)];
        tasks.extend(self.nodes.iter().filter_map(|node| node.task(&context)));
        tasks.reverse();
        Ok(Worker::new(tasks, deployment.shared.clone()))
    }

    /// Builds one worker on this thread and runs it to its end.
    pub(crate) fn run_worker(&self, worker: usize) {
        let deployment = &self.deployment;
        // Asked before this thread is pinned: afterwards it may use one core only.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if deployment.pin
            && let Err(warning) = crate::runtime::pin::pin(worker)
        {
            self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
        }
        let idler = Idler::new(deployment.idle, deployment.workers > cores);
        match crate::runtime::worker::caught(&deployment.shared, || self.build(worker)) {
            Some(Ok(mut worker)) => worker.run(idler),
            Some(Err(error)) => deployment.shared.fail(error),
            None => {}
        }
    }

    pub(crate) fn report(&self) -> Report {
        let shared = &self.deployment.shared;
        Report {
            job: self.name.clone(),
            workers: self.deployment.workers,
            elapsed: shared.clock.now().saturating_sub(self.started),
            steps: self.counters.iter().map(|counters| counters.report()).collect(),
            warnings: self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            halted: shared.is_halted(),
        }
    }
}
