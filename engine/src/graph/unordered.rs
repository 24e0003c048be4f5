//! An unordered sink: one for each worker, called by whatever makes the rows there. Nothing is
//! exchanged and nothing merged.

use crate::graph::node::Node;
use crate::graph::origin::Origin;
use crate::graph::plan::{BuildContext, Deployment};
use crate::operator::chain::Chain;
use crate::progress::mark::BlockMark;
use crate::progress::place::Place;
use crate::runtime::direct::DirectOutlet;
use crate::runtime::metrics::{StepCounters, StepKind};
use crate::runtime::outlet::Rows;
use crate::runtime::stage::{SinkStage, Stage};
use crate::runtime::task::Task;
use crate::{Record, Sink};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

/// The sinks of all workers.
struct UnorderedNode {
    name: Arc<str>,
    /// The node's number and its counters.
    prepared: OnceLock<(usize, Arc<StepCounters>)>,
}

/// One worker's sink, as each way of a union sees it: it ends when all ways have.
struct SharedSink<T>(Rc<RefCell<(SinkStage<T>, usize)>>);

impl<T> Clone for SharedSink<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Record> Stage<T> for SharedSink<T> {
    const USES_PLACES: bool = false;

    fn is_ready(&mut self) -> bool {
        true
    }

    fn rows(&mut self, rows: Rows<'_, T>) -> usize {
        self.0.borrow_mut().0.rows(rows)
    }

    fn mark(&mut self, mark: BlockMark) {
        self.0.borrow_mut().0.mark(mark);
    }

    fn frontier(&mut self, place: Place) -> bool {
        self.0.borrow_mut().0.frontier(place)
    }

    fn end(&mut self) {
        let (stage, open_ways) = &mut *self.0.borrow_mut();
        *open_ways -= 1;
        if *open_ways == 0 {
            stage.end();
        }
    }
}

/// Adds a sink made by `make` for each worker behind `origin`.
pub(crate) fn attach<C, S>(
    name: Arc<str>,
    origin: &Arc<Origin<C::In>>,
    chain: C,
    make: impl Fn(usize) -> S + Send + Sync + 'static,
) -> Arc<dyn Node>
where
    C: Chain,
    C::Out: Record,
    S: Sink<C::Out>,
{
    origin.feed_all_workers();
    let node = Arc::new(UnorderedNode { name, prepared: OnceLock::new() });
    let (feeding, level, ways) = (node.clone(), origin.depth, origin.ways.len());
    origin.subscribe(move |context, _| {
        let (id, counters) = feeding.prepared();
        let (worker, shared) = (context.worker, &context.shared);
        let sink: SharedSink<C::Out> = context.local(*id, 0, || {
            let sink = SinkStage::new(Box::new(make(worker)), counters.clone(), worker, shared.clone());
            SharedSink(Rc::new(RefCell::new((sink, ways))))
        });
        Box::new(DirectOutlet::new(chain.clone(), sink, (level, worker), counters.clone(), shared.clone()))
    });
    node
}

impl UnorderedNode {
    fn prepared(&self) -> &(usize, Arc<StepCounters>) {
        match self.prepared.get() {
            Some(prepared) => prepared,
            None => unreachable!("a deployment prepares all nodes before it builds a worker"),
        }
    }
}

impl Node for UnorderedNode {
    fn prepare(&self, id: usize, deployment: &Deployment) {
        let workers = deployment.workers;
        let counters = StepCounters::new(self.name.clone(), StepKind::Sink, workers, workers);
        // A job is deployed once.
        let _ = self.prepared.set((id, counters));
    }

    fn counters(&self) -> Option<Arc<StepCounters>> {
        self.prepared.get().map(|(_, counters)| counters.clone())
    }

    fn task(&self, _: &BuildContext) -> Option<Box<dyn Task>> {
        None
    }
}
