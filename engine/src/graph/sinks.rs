//! Sinks: one of the whole job, in its order, or one of each worker, where nothing waits.

use crate::graph::exchange::{AnyExchange, ExchangeSpec};
use crate::graph::factory::{AnyWay, BuildContext, Restoring, StagePlan, StepFactory, WayIn};
use crate::graph::step::{InPort, TypedPort, TypedStep};
use crate::progress::mark::Barrier;
use crate::progress::order::RowAt;
use crate::progress::place::Place;
use crate::runtime::edge::InEdge;
use crate::runtime::encoded::{EncodedBytes, EncodedRow, Encoding};
use crate::runtime::front::Call;
use crate::runtime::receiver::{Flow, Needs, Receiver, WayOut};
use crate::runtime::route::ToOne;
use crate::runtime::rows::Rows;
use crate::runtime::sink_stage::{ENCODED, SinkRecovery, SinkStage};
use crate::runtime::task::Task;
use crate::{Encoders, HashSeed, Record, Sink, Timestamp};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

type ToOneRoute = fn(usize, HashSeed) -> ToOne;

const fn to_one(_: usize, _: HashSeed) -> ToOne {
    ToOne
}

/// A sink of the whole job.
pub(crate) fn ordered<T: Record>(sink: impl Sink<T>) -> Box<dyn StepFactory> {
    let rows = TypedPort::<0, T, ToOneRoute>::new(to_one);
    let encoders = sink.encoders();
    let parcels = encoders.as_ref().map(|_| Arc::new(EncodedBytes::new()));
    let port: Box<dyn InPort<SinkStage<T>>> = match (encoders, &parcels) {
        (Some(encoders), Some(parcels)) => {
            let encoded = TypedPort::<ENCODED, EncodedRow, ToOneRoute>::new(to_one);
            Box::new(EncodingPort { rows, encoded, encoders, parcels: parcels.clone() })
        }
        _ => Box::new(rows),
    };
    let slot: Mutex<Option<Box<dyn Sink<T>>>> = Mutex::new(Some(Box::new(sink)));
    Box::new(TypedStep::new::<T>(vec![port], false, move |context: &BuildContext, plan: StagePlan<'_>| {
        let sink = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(sink) = sink else { unreachable!("the first worker alone builds a sink, once") };
        let recovery = SinkRecovery { number: Some(plan.counters.rows_before()), ..recovery(&plan, context) };
        let (inputs, counters) = ((1, plan.at.bound), plan.counters.clone());
        let stage = SinkStage::new(sink, inputs, recovery, counters, context.worker, context.shared.clone());
        match &parcels {
            Some(parcels) => stage.with_parcels(parcels.clone()),
            None => stage,
        }
    }))
}

/// Where a sink goes on from.
fn recovery(plan: &StagePlan<'_>, context: &BuildContext) -> SinkRecovery {
    let position = match &plan.restoring {
        Restoring::Same(recovered, _) | Restoring::Share(recovered, _) => {
            recovered.sinks.get(&(plan.counters.name.to_string(), context.worker)).cloned()
        }
        Restoring::Nothing => None,
    };
    SinkRecovery { position, number: None, giver: plan.giver.clone() }
}

/// The input of a sink that has encoders: on several workers what makes rows encodes them too.
struct EncodingPort<T> {
    rows: TypedPort<0, T, ToOneRoute>,
    encoded: TypedPort<ENCODED, EncodedRow, ToOneRoute>,
    encoders: Encoders,
    parcels: Arc<EncodedBytes>,
}

impl<T: Record> EncodingPort<T> {
    /// The input as it is on so many workers.
    fn on(&self, workers: usize) -> &dyn InPort<SinkStage<T>> {
        if workers > 1 { &self.encoded } else { &self.rows }
    }
}

impl<T: Record> InPort<SinkStage<T>> for EncodingPort<T> {
    fn is_to_all(&self) -> bool {
        false
    }

    fn encodes(&self) -> bool {
        true
    }

    fn exchange(&self, spec: &ExchangeSpec) -> AnyExchange {
        let port = self.on(spec.workers);
        if spec.workers == 1 {
            return port.exchange(spec);
        }
        // As many rows as if they lay in the ring themselves: their bytes are elsewhere.
        let row_bytes = |row: usize| row + size_of::<Place>() + size_of::<Timestamp>();
        let ring_bytes = spec.ring_bytes * row_bytes(size_of::<EncodedRow>()) / row_bytes(size_of::<T>());
        port.exchange(&ExchangeSpec { ring_bytes, ..spec.clone() })
    }

    fn sender(&self, context: &BuildContext, exchange: &AnyExchange, way: WayIn<'_>) -> AnyWay {
        let counters = way.counters.clone();
        let next = self.on(context.workers).sender(context, exchange, way);
        match next.downcast::<WayOut<EncodedRow>>() {
            Err(rows) => rows,
            Ok(next) => {
                let encoder = (self.encoders)(&context.shared.symbols);
                let (parcels, shared) = (self.parcels.clone(), context.shared.clone());
                let encoding = Encoding::new(encoder, parcels, *next, counters, context.worker, shared);
                let way: WayOut<T> = Box::new(encoding);
                Box::new(way)
            }
        }
    }

    fn row_edges(&self, context: &BuildContext, exchange: &AnyExchange) -> Vec<Box<dyn InEdge<RowAt, SinkStage<T>>>> {
        self.on(context.workers).row_edges(context, exchange)
    }

    fn place_edges(&self, context: &BuildContext, exchange: &AnyExchange) -> Vec<Box<dyn InEdge<Place, SinkStage<T>>>> {
        self.on(context.workers).place_edges(context, exchange)
    }
}

/// Sinks that `make` makes for each worker: called by whatever makes the rows there.
pub(crate) struct Unordered<T, S, M> {
    make: M,
    rows: std::marker::PhantomData<fn(T) -> S>,
}

impl<T, S, M> Unordered<T, S, M> {
    pub(crate) const fn new(make: M) -> Self {
        Self { make, rows: std::marker::PhantomData }
    }
}

/// One worker's sink and how far each way into it has come.
struct WaysIn<T> {
    sink: SinkStage<T>,
    frontiers: Vec<Place>,
    /// For each way the last barrier that came by it, and whether it has ended.
    epochs: Vec<u64>,
}

/// One worker's sink, as a way of a union sees it: it has come as far as the last way, and ends when all ways have.
struct SharedSink<T> {
    shared: Rc<RefCell<WaysIn<T>>>,
    way: usize,
}

impl<T: Record> Flow for SharedSink<T> {
    fn is_ready(&mut self) -> bool {
        true
    }

    fn frontier(&mut self, place: Place, pauses: bool) -> bool {
        let WaysIn { sink, frontiers, .. } = &mut *self.shared.borrow_mut();
        frontiers[self.way] = place;
        sink.frontier(frontiers.iter().copied().min().unwrap_or(place), pauses)
    }

    fn barrier(&mut self, barrier: Barrier) -> bool {
        let WaysIn { sink, epochs, .. } = &mut *self.shared.borrow_mut();
        epochs[self.way] = epochs[self.way].max(barrier.epoch);
        // Nothing from behind the barrier may be written before all ways have come to it.
        epochs.iter().all(|epoch| *epoch >= barrier.epoch) && sink.barrier(barrier)
    }

    fn end(&mut self) {
        let WaysIn { sink, epochs, .. } = &mut *self.shared.borrow_mut();
        epochs[self.way] = u64::MAX;
        sink.end();
    }

    fn needs(&self) -> Needs {
        Needs::NOTHING
    }
}

impl<T: Record> Receiver<T> for SharedSink<T> {
    fn rows(&mut self, rows: Rows<'_, T>) -> usize {
        self.shared.borrow_mut().sink.rows(rows)
    }
}

impl<T, S, M> StepFactory for Unordered<T, S, M>
where
    T: Record,
    S: Sink<T>,
    M: Fn(usize) -> S + Send + Sync,
{
    fn needs_clocks(&self) -> bool {
        false
    }

    fn exchange(&self, _: usize, _: &ExchangeSpec) -> AnyExchange {
        unreachable!("sinks of each worker are called")
    }

    fn sender(&self, _: &BuildContext, _: usize, _: &AnyExchange, _: WayIn<'_>) -> AnyWay {
        unreachable!("sinks of each worker are called")
    }

    fn call(&self, context: &BuildContext, plan: StagePlan<'_>, way: WayIn<'_>) -> AnyWay {
        let (worker, shared) = (context.worker, &context.shared);
        let ways = context.local(plan.node, usize::MAX, || {
            let sink = Box::new((self.make)(worker));
            let inputs = (plan.ways, plan.at.bound);
            let recovery = recovery(&plan, context);
            let sink = SinkStage::new(sink, inputs, recovery, plan.counters.clone(), worker, shared.clone());
            Rc::new(RefCell::new(WaysIn { sink, frontiers: vec![Place::MIN; plan.ways], epochs: vec![0; plan.ways] }))
        });
        let sink = SharedSink { shared: ways, way: way.number };
        let counters = way.counters.clone();
        let call: WayOut<T> = Box::new(Call::new(Box::new(sink), way.fans_out, counters, worker, shared.clone()));
        Box::new(call)
    }

    fn task(&self, _: &BuildContext, _: StagePlan<'_>, _: &[AnyExchange]) -> Box<dyn Task> {
        unreachable!("sinks of each worker are called")
    }
}
