//! A step behind an exchange, on all workers: how it is fed, and the task that runs it.

use crate::graph::exchange::Exchange;
use crate::graph::origin::Origin;
use crate::graph::plan::{BuildContext, Deployment};
use crate::operator::chain::Chain;
use crate::progress::merge::{Merge, Roots};
use crate::progress::place::{Place, Seq};
use crate::runtime::direct::DirectOutlet;
use crate::runtime::metrics::{StepCounters, StepKind};
use crate::runtime::outlet::Outlet;
use crate::runtime::send::{Route, SendOutlet};
use crate::runtime::stage::Stage;
use crate::runtime::task::{MergeTask, Task};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A step of the graph, whatever its rows are.
pub(crate) trait Node: Send + Sync {
    /// Makes counters and edges for a deployment.
    fn prepare(&self, id: usize, deployment: &Deployment);
    fn counters(&self) -> Option<Arc<StepCounters>>;
    /// The task for one worker, where the step has one of its own.
    fn task(&self, context: &BuildContext) -> Option<Box<dyn Task>>;
}

/// Which workers run a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Each, over its keys.
    All,
    /// The first.
    One,
}

/// The edges of a step: with short orders behind sources, with full ones behind keyed steps.
enum Edges<T> {
    Direct,
    Short(Exchange<Seq, T>),
    Full(Exchange<Place, T>),
}

/// A keyed step or an ordered sink.
pub(crate) struct StepNode<T, M> {
    name: Arc<str>,
    kind: StepKind,
    placement: Placement,
    ways: Vec<Roots>,
    /// Keyed steps between the sources and this one's input.
    depth: usize,
    /// Whether all rows of the input are made on the first worker.
    from_first: Arc<AtomicBool>,
    /// Makes the stage for one worker.
    make_stage: M,
    edges: OnceLock<Edges<T>>,
    counters: OnceLock<Arc<StepCounters>>,
}

impl<T, M, S> StepNode<T, M>
where
    T: bytemuck::Pod + Send + Sync,
    S: Stage<T> + 'static,
    M: Fn(&BuildContext, &Arc<StepCounters>) -> S + Send + Sync + 'static,
{
    /// A step that takes the rows of `origin`; nothing feeds it yet.
    pub(crate) fn new<U>(
        (name, kind, placement): (Arc<str>, StepKind, Placement),
        origin: &Origin<U>,
        make_stage: M,
    ) -> Self {
        Self {
            name,
            kind,
            placement,
            ways: origin.ways.clone(),
            depth: origin.depth,
            from_first: origin.on_first.clone(),
            make_stage,
            edges: OnceLock::new(),
            counters: OnceLock::new(),
        }
    }

    /// A step that takes the rows of `origin`, changed by `chain`.
    pub(crate) fn attach<C, R>(
        (name, kind, placement): (Arc<str>, StepKind, Placement),
        origin: &Arc<Origin<C::In>>,
        chain: C,
        route: impl Fn(usize) -> R + Send + Sync + 'static,
        make_stage: M,
    ) -> Arc<Self>
    where
        C: Chain<Out = T>,
        R: Route<T>,
    {
        if placement == Placement::All {
            origin.feed_step();
        }
        let node = Arc::new(Self::new((name, kind, placement), origin, make_stage));
        let feeding = node.clone();
        origin.subscribe(move |context, way| feeding.outlet(context, way, chain.clone(), route(context.workers)));
        node
    }

    pub(crate) fn outlet<C, R>(&self, context: &BuildContext, way: usize, chain: C, route: R) -> Box<dyn Outlet<C::In>>
    where
        C: Chain<Out = T>,
        R: Route<T>,
    {
        let (edges, counters) = self.prepared();
        let (worker, shared) = (context.worker, context.shared.clone());
        let at = (self.depth, way);
        match edges {
            Edges::Direct => {
                let stage = (self.make_stage)(context, counters);
                Box::new(DirectOutlet::new(chain, stage, (self.depth, worker), counters.clone(), shared))
            }
            Edges::Short(exchange) => {
                let senders = exchange.senders(context, way);
                Box::new(SendOutlet::new(chain, route, at, senders, counters.clone(), worker, shared))
            }
            Edges::Full(exchange) => {
                let senders = exchange.senders(context, way);
                Box::new(SendOutlet::new(chain, route, at, senders, counters.clone(), worker, shared))
            }
        }
    }

    fn prepared(&self) -> (&Edges<T>, &Arc<StepCounters>) {
        match (self.edges.get(), self.counters.get()) {
            (Some(edges), Some(counters)) => (edges, counters),
            _ => unreachable!("a deployment prepares all nodes before it builds a worker"),
        }
    }
}

impl<T, M, S> Node for StepNode<T, M>
where
    T: bytemuck::Pod + Send + Sync,
    S: Stage<T> + 'static,
    M: Fn(&BuildContext, &Arc<StepCounters>) -> S + Send + Sync + 'static,
{
    fn prepare(&self, id: usize, deployment: &Deployment) {
        let workers = deployment.workers;
        let receivers = match self.placement {
            Placement::All => workers,
            Placement::One => 1,
        };
        let bytes = deployment.ring_bytes;
        let stays = receivers == 1 && (workers == 1 || self.from_first.load(Ordering::Relaxed));
        let edges = if stays && self.ways.len() == 1 {
            Edges::Direct
        } else if self.depth == 0 {
            Edges::Short(Exchange::new(id, self.ways.len(), workers, receivers, bytes))
        } else {
            Edges::Full(Exchange::new(id, self.ways.len(), workers, receivers, bytes))
        };
        // A job is deployed once.
        let _ = self.edges.set(edges);
        let _ = self.counters.set(StepCounters::new(self.name.clone(), self.kind, workers, receivers));
    }

    fn counters(&self) -> Option<Arc<StepCounters>> {
        self.counters.get().cloned()
    }

    fn task(&self, context: &BuildContext) -> Option<Box<dyn Task>> {
        if self.placement == Placement::One && context.worker != 0 {
            return None;
        }
        let (edges, counters) = self.prepared();
        match edges {
            Edges::Direct => None,
            Edges::Short(exchange) => {
                let merge = Merge::new(self.depth, &self.ways, exchange.receivers(context));
                Some(Box::new(MergeTask::new(merge, (self.make_stage)(context, counters))))
            }
            Edges::Full(exchange) => {
                let merge = Merge::new(self.depth, &self.ways, exchange.receivers(context));
                Some(Box::new(MergeTask::new(merge, (self.make_stage)(context, counters))))
            }
        }
    }
}
