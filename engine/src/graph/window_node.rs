//! A window step on all workers: fed with rows, or with slices that each worker combined.
//!
//! Workers combine where the aggregate's merge is exact and there is something to gain: there is
//! more than one worker, and all sources are bounded, so that every worker reads. When a window fires
//! then depends on the number of workers, by a few blocks, so nothing but sinks may take the rows:
//! they get the same rows in the same order. Combined windows fire where their rows are taken: on the
//! first worker, straight into the sinks, or on all of them in turn where each has sinks of its own.

use crate::graph::exchange::Exchange;
use crate::graph::node::{Node, Placement, StepNode};
use crate::graph::origin::Origin;
use crate::graph::plan::{BuildContext, Deployment};
use crate::operator::aggregate::Aggregate;
use crate::operator::chain::{Chain, Identity};
use crate::operator::window::Tumbling;
use crate::operator::window::combine::{CombinedOperator, Combiner, Gathering};
use crate::operator::window::slices::{Slices, WindowLimits};
use crate::operator::window::tumbling::TumblingOperator;
use crate::progress::merge::Merge;
use crate::progress::place::Seq;
use crate::runtime::combine::CombineOutlet;
use crate::runtime::metrics::{StepCounters, StepKind};
use crate::runtime::outlet::{FanOut, Outlet};
use crate::runtime::send::{KeyRoute, Route, SendOutlet};
use crate::runtime::stage::KeyedStage;
use crate::runtime::task::{MergeTask, Task};
use crate::{Key, Timestamp};
use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

/// Windows are few: the bytes of a ring that announces them.
const ANNOUNCED_BYTES: usize = 8 << 10;

/// What a window step does, and where its rows go.
pub(crate) struct WindowStep<K, F, A: Aggregate<K>> {
    pub(crate) name: Arc<str>,
    pub(crate) windows: Tumbling,
    pub(crate) key_of: F,
    pub(crate) aggregate: A,
    pub(crate) main: Arc<Origin<A::Out>>,
    pub(crate) late: Arc<Origin<A::In>>,
    pub(crate) key: PhantomData<fn() -> K>,
}

type Operator<K, F, A> = TumblingOperator<K, F, A>;

impl<K, F, A> WindowStep<K, F, A>
where
    K: Key,
    A: Aggregate<K>,
    F: Fn(&A::In) -> K + Clone + Send + Sync + 'static,
{
    fn limits(context: &BuildContext) -> WindowLimits {
        let limits = &context.limits;
        WindowLimits { open_windows_max: limits.open_windows_max, keys_max: limits.keys_max }
    }

    fn operator(&self, context: &BuildContext) -> Operator<K, F, A> {
        let (key_of, aggregate) = (self.key_of.clone(), self.aggregate.clone());
        TumblingOperator::new(self.name.clone(), self.windows, key_of, aggregate, Self::limits(context))
    }

    fn combiner(&self, context: &BuildContext, gathering: Arc<Gathering<K, A>>) -> Combiner<K, F, A> {
        let (key_of, aggregate) = (self.key_of.clone(), self.aggregate.clone());
        let slices = Slices::new(self.windows, key_of, aggregate, Self::limits(context));
        Combiner::new(self.name.clone(), context.worker, slices, gathering)
    }
}

/// What is made when workers combine.
struct Combined<K: Key, A: Aggregate<K>> {
    /// The workers that fire windows: the first, or all.
    firing: usize,
    gathering: Arc<Gathering<K, A>>,
    announcements: Exchange<Seq, Timestamp>,
    counters: Arc<StepCounters>,
    /// Of the announcements, which the report does not show.
    announced: Arc<StepCounters>,
}

/// Windows that start one after another are fired by one worker after another.
struct InTurn {
    windows: Tumbling,
    workers: usize,
}

impl Route<Timestamp> for InTurn {
    fn worker(&self, start: &Timestamp) -> usize {
        self.windows.number(*start).rem_euclid(self.workers as i64) as usize
    }
}

/// A window step on all workers.
pub(crate) struct WindowNode<K: Key, F, A: Aggregate<K>, M> {
    step: Arc<WindowStep<K, F, A>>,
    rows: StepNode<A::In, M>,
    depth: usize,
    /// Whether the input is straight from one source.
    is_first: bool,
    roots: crate::progress::merge::Roots,
    combined: OnceLock<Combined<K, A>>,
}

/// Adds a window step behind `origin`.
pub(crate) fn attach<C, K, F, A>(step: WindowStep<K, F, A>, origin: &Arc<Origin<C::In>>, chain: C) -> Arc<dyn Node>
where
    C: Chain<Out = A::In>,
    K: Key,
    A: Aggregate<K>,
    F: Fn(&A::In) -> K + Clone + Send + Sync + 'static,
{
    origin.feed_step();
    let depth = origin.depth + 1;
    let step = Arc::new(step);
    let making = step.clone();
    let rows = StepNode::new(
        (step.name.clone(), StepKind::Keyed, Placement::All),
        origin,
        move |context: &BuildContext, counters: &Arc<StepCounters>| {
            let outputs = (making.main.outlet(context, 0), making.late.outlet(context, 0));
            let operator = making.operator(context);
            KeyedStage::new(operator, outputs, depth, counters.clone(), context.worker, context.shared.clone())
        },
    );
    let is_first = origin.depth == 0 && origin.ways.len() == 1;
    let node = Arc::new(WindowNode { step, rows, depth, is_first, roots: origin.roots(), combined: OnceLock::new() });
    let feeding = node.clone();
    origin.subscribe(move |context, way| match feeding.combined.get() {
        Some(combined) => feeding.combining_outlet(context, way, chain.clone(), combined),
        None => {
            let route = KeyRoute::new(feeding.step.key_of.clone(), context.workers);
            feeding.rows.outlet(context, way, chain.clone(), route)
        }
    });
    node
}

impl<K, F, A, M> WindowNode<K, F, A, M>
where
    K: Key,
    A: Aggregate<K>,
    F: Fn(&A::In) -> K + Clone + Send + Sync + 'static,
{
    fn combining_outlet<C: Chain<Out = A::In>>(
        &self,
        context: &BuildContext,
        way: usize,
        chain: C,
        combined: &Combined<K, A>,
    ) -> Box<dyn Outlet<C::In>> {
        let (worker, shared) = (context.worker, &context.shared);
        let route = InTurn { windows: self.step.windows, workers: combined.firing };
        let senders = combined.announcements.senders(context, way);
        let (at, announced) = ((self.depth - 1, way), combined.announced.clone());
        let next = SendOutlet::new(Identity::new(), route, at, senders, announced, worker, shared.clone());
        let outputs = (next, self.step.late.outlet(context, 0));
        let combiner = self.step.combiner(context, combined.gathering.clone());
        Box::new(CombineOutlet::new(chain, combiner, outputs, combined.counters.clone(), worker, shared.clone()))
    }
}

impl<K, F, A, M> Node for WindowNode<K, F, A, M>
where
    K: Key,
    A: Aggregate<K>,
    F: Fn(&A::In) -> K + Clone + Send + Sync + 'static,
    M: Fn(&BuildContext, &Arc<StepCounters>) -> KeyedStage<Operator<K, F, A>> + Send + Sync + 'static,
{
    fn prepare(&self, id: usize, deployment: &Deployment) {
        let workers = deployment.workers;
        let combines =
            A::EXACT && workers > 1 && deployment.all_bounded && self.is_first && self.step.main.feeds_sinks_only();
        if !combines {
            return self.rows.prepare(id, deployment);
        }
        let main = &self.step.main;
        let firing = if main.feeds_all_workers() { workers } else { 1 };
        main.on_first.store(firing == 1, Ordering::Relaxed);
        let counters = || StepCounters::new(self.step.name.clone(), StepKind::Keyed, workers, firing);
        let combined = Combined {
            firing,
            gathering: Arc::new(Gathering::new(self.step.aggregate.clone(), deployment.limits.keys_max, workers)),
            announcements: Exchange::new(id, 1, workers, firing, deployment.ring_bytes.min(ANNOUNCED_BYTES)),
            counters: counters(),
            announced: counters(),
        };
        // A job is deployed once.
        let _ = self.combined.set(combined);
    }

    fn counters(&self) -> Option<Arc<StepCounters>> {
        match self.combined.get() {
            Some(combined) => Some(combined.counters.clone()),
            None => self.rows.counters(),
        }
    }

    fn task(&self, context: &BuildContext) -> Option<Box<dyn Task>> {
        let Some(combined) = self.combined.get() else { return self.rows.task(context) };
        if context.worker >= combined.firing {
            return None;
        }
        let merge = Merge::of_combiners(self.depth - 1, self.roots.clone(), combined.announcements.receivers(context));
        let Self { step, depth, .. } = self;
        let operator = CombinedOperator::new(step.name.clone(), step.windows, combined.gathering.clone());
        let outputs = (step.main.outlet(context, 0), FanOut(Vec::new()));
        let counters = combined.counters.clone();
        let stage = KeyedStage::new(operator, outputs, *depth, counters, context.worker, context.shared.clone());
        Some(Box::new(MergeTask::behind_combiners(merge, stage.behind_combiners())))
    }
}
