//! What builds nodes and edges: where the types of rows are known.

use crate::graph::exchange::{AnyExchange, ExchangeSpec};
use crate::graph::model::StoreDeclaration;
use crate::log::journal::DurableInput;
use crate::progress::jumps::JumpLimit;
use crate::progress::order::PathStamp;
use crate::progress::watermark::Watermarks;
use crate::runtime::checkpoint::Giver;
use crate::runtime::entries::Role;
use crate::runtime::metrics::StepCounters;
use crate::runtime::recovery::Recovered;
use crate::runtime::shared::JobShared;
use crate::runtime::source_pipe::SourcePipe;
use crate::runtime::stage::StepAt;
use crate::runtime::summaries::Index;
use crate::runtime::task::Task;
use crate::store::StoreSettings;
use crate::{Dictionary, Error, ShapeError, Timestamp};
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// A `WayOut` of rows whose type both of its ends know.
pub(crate) type AnyWay = Box<dyn Any>;
/// For each output of a node, the ways out of it.
pub(crate) type AnyOutputs = Vec<Vec<AnyWay>>;

/// What an operator is made with, on one worker.
///
/// ```
/// use pelton::{KeyedTable, StepContext};
///
/// fn counts(context: &StepContext) -> KeyedTable<u32, u64> {
///     KeyedTable::new(&context.stores)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StepContext {
    /// The number of the worker.
    pub worker: usize,
    /// The number of workers that run the step.
    pub workers: usize,
    /// What stores are made with.
    pub stores: StoreSettings,
}

impl StepContext {
    /// What an operator is made with that is only to show what it keeps.
    pub(crate) fn declaring() -> Self {
        Self { worker: 0, workers: 1, stores: StoreSettings::default() }
    }
}

/// What the parts of one worker are built with; it stays on the worker's thread.
pub(crate) struct BuildContext {
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    pub(crate) feed_block_events: usize,
    pub(crate) times: RangeInclusive<Timestamp>,
    pub(crate) stores: StoreSettings,
    pub(crate) jumps: JumpLimit,
    /// The job's start, by its clock.
    pub(crate) started: Duration,
    /// The least time in the first blocks of bounded sources: what recorded speed counts from.
    pub(crate) first_time: Option<Timestamp>,
    pub(crate) shared: Arc<JobShared>,
    /// What several parts of a worker share, by exchange or node and way.
    locals: RefCell<HashMap<(usize, usize), Box<dyn Any>>>,
}

/// What is the same on all workers of a job.
pub(crate) struct ContextParts {
    pub(crate) workers: usize,
    pub(crate) feed_block_events: usize,
    pub(crate) times: RangeInclusive<Timestamp>,
    pub(crate) stores: StoreSettings,
    pub(crate) jumps: JumpLimit,
    pub(crate) started: Duration,
    pub(crate) first_time: Option<Timestamp>,
    pub(crate) shared: Arc<JobShared>,
}

impl BuildContext {
    pub(crate) fn new(worker: usize, parts: ContextParts) -> Self {
        let ContextParts { workers, feed_block_events, times, jumps, stores, started, first_time, shared } = parts;
        let locals = RefCell::default();
        Self { worker, workers, feed_block_events, times, jumps, stores, started, first_time, shared, locals }
    }

    /// What operators are made with.
    pub(crate) const fn step(&self) -> StepContext {
        StepContext { worker: self.worker, workers: self.workers, stores: self.stores }
    }

    /// What is shared under these numbers, made where it is not there yet.
    pub(crate) fn local<L: Clone + 'static>(&self, id: usize, way: usize, make: impl Fn() -> L) -> L {
        let mut locals = self.locals.borrow_mut();
        let local = locals.entry((id, way)).or_insert_with(|| Box::new(make()));
        let Some(local) = local.downcast_ref::<L>() else { unreachable!("a number stands for one type") };
        local.clone()
    }
}

/// Builds the chain of an edge.
pub(crate) trait Connect: Send + Sync {
    /// Puts the chain in front of what takes its rows.
    fn front(&self, next: AnyWay) -> AnyWay;
    /// Whether one row may become more than one.
    fn fans_out(&self) -> bool;
}

/// Builds a node that is part of the ways that lead through it: a union, or a stateless step with several outputs.
pub(crate) trait ThroughFactory: Send + Sync {
    /// The way into it, from the ways out of it.
    fn way(&self, outputs: AnyOutputs) -> AnyWay;

    /// Whether one row may become more than one of an output.
    fn fans_out(&self) -> bool {
        false
    }
}

/// What a deployment tells a source before anything is built.
pub(crate) struct SourceOptions<'a> {
    pub(crate) times: &'a RangeInclusive<Timestamp>,
    pub(crate) jumps: JumpLimit,
    pub(crate) symbols: &'a Dictionary,
}

/// A source of the graph, whatever its events are.
pub(crate) trait SourceFactory: Send + Sync {
    /// Mistakes that can be seen before anything runs.
    fn mistakes(&self, out: &mut Vec<ShapeError>);
    fn watermarks(&self) -> Watermarks;
    /// Whether its end is known and its blocks have an index.
    fn is_bounded(&self) -> bool;
    /// Whether its events are given on at a recorded speed.
    fn is_paced(&self) -> bool;
    /// Reads the index and maps the symbols.
    fn prepare(&self, options: &SourceOptions<'_>) -> Result<(), Error>;
    /// Tells a feed what is durable of it, before it is polled.
    fn go_on(&self, durable: &DurableInput) -> Result<(), Error>;
    /// Makes the counters of a source that so many workers of all read; a job is deployed once.
    fn count_for(&self, workers: usize, readers: usize);
    /// What is known of the blocks of a bounded source; it is there once the source is prepared.
    fn index(&self) -> Arc<Index>;
    fn counters(&self) -> Option<Arc<StepCounters>>;
    /// The pipe for one worker; `reads` says whether that worker reads the source.
    fn pipe(&self, context: &BuildContext, reads: bool, outputs: AnyOutputs) -> Result<Box<dyn SourcePipe>, Error>;
}

/// How a way reaches an input of a step.
pub(crate) struct WayIn<'a> {
    /// The number of the way among all ways into the step.
    pub(crate) number: usize,
    pub(crate) stamp: PathStamp,
    pub(crate) fans_out: bool,
    /// Of the step's watermark.
    pub(crate) bound: i64,
    /// Counts for the step that takes the rows.
    pub(crate) counters: &'a Arc<StepCounters>,
}

/// A step on one worker: where it stands, what it counts, where its rows go.
pub(crate) struct StagePlan<'a> {
    pub(crate) node: usize,
    pub(crate) at: StepAt,
    pub(crate) counters: &'a Arc<StepCounters>,
    pub(crate) outputs: AnyOutputs,
    /// The ways into the step.
    pub(crate) ways: usize,
    /// Where it gives to checkpoints.
    pub(crate) giver: Option<Giver>,
    pub(crate) restoring: Restoring,
}

/// What a step on one worker takes of what was saved.
#[derive(Clone)]
pub(crate) enum Restoring {
    Nothing,
    /// What it had itself.
    Same(Arc<Recovered>, Role),
    /// Its share, as one of so many workers, of what all had.
    Share(Arc<Recovered>, usize),
}

/// A step or sink of the graph, whatever its rows are.
pub(crate) trait StepFactory: Send + Sync {
    /// What it keeps.
    fn stores(&self) -> Vec<StoreDeclaration> {
        Vec::new()
    }

    /// The first input whose rows reach all workers, as those of all inputs behind it do.
    fn broadcast_input(&self) -> Option<usize> {
        None
    }

    /// The input that takes ticks of processing time.
    fn tick_input(&self) -> Option<usize> {
        None
    }

    /// Whether what makes its rows on several workers encodes them for it.
    fn encodes(&self) -> bool {
        false
    }

    /// The size of the windows that it adds rows to, where it does nothing else with them.
    fn window_ns(&self) -> Option<i64> {
        None
    }

    /// Whether rows on its inputs have to carry the clock.
    fn needs_clocks(&self) -> bool;
    /// The edges into an input.
    fn exchange(&self, input: usize, spec: &ExchangeSpec) -> AnyExchange;
    /// The sending end of an exchange, on one worker and for one way.
    fn sender(&self, context: &BuildContext, input: usize, exchange: &AnyExchange, way: WayIn<'_>) -> AnyWay;
    /// The step itself, to be called by what makes its rows on the same worker.
    fn call(&self, context: &BuildContext, plan: StagePlan<'_>, way: WayIn<'_>) -> AnyWay;
    /// The task of a step behind exchanges, one for each input.
    fn task(&self, context: &BuildContext, plan: StagePlan<'_>, exchanges: &[AnyExchange]) -> Box<dyn Task>;
    /// The pair of steps that does the same and combines before the exchange, where there is one.
    fn combining(&self) -> Option<Combining> {
        None
    }
}

/// A pair of steps that stands for one: parts are made where rows are, and merged behind an exchange.
pub(crate) struct Combining {
    pub(crate) parts: Box<dyn StepFactory>,
    pub(crate) merged: Box<dyn StepFactory>,
    /// The way of a part from one to the other, and its layout.
    pub(crate) connect: Box<dyn Connect>,
    pub(crate) part: crate::Layout,
}
