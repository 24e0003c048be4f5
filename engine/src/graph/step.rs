//! Steps and sinks behind typed inputs.

use crate::graph::exchange::{AnyExchange, ExchangeSpec, with_exchange};
use crate::graph::factory::{AnyWay, BuildContext, Restoring, StagePlan, StepContext, StepFactory, WayIn};
use crate::graph::model::StoreDeclaration;
use crate::operator::keyed::Tick;
use crate::operator::{Operator, OperatorInput, state};
use crate::progress::order::{At, RowAt};
use crate::progress::place::Place;
use crate::runtime::edge::{InEdge, PortEdge};
use crate::runtime::front::Call;
use crate::runtime::outputs::StepOutputs;
use crate::runtime::receiver::{Receiver, Step, WayOut};
use crate::runtime::route::Route;
use crate::runtime::send::Sender;
use crate::runtime::stage::OperatorStage;
use crate::runtime::task::{MergeTask, Task};
use crate::{Error, HashSeed, Record};
use std::any::TypeId;
use std::marker::PhantomData;

/// An input of a step `S`, which knows the type of its rows.
pub(crate) trait InPort<S>: Send + Sync {
    /// Whether each row reaches all workers.
    fn is_to_all(&self) -> bool;
    /// Whether its rows are ticks of processing time.
    fn takes_ticks(&self) -> bool {
        false
    }
    /// Whether what makes rows on several workers encodes them.
    fn encodes(&self) -> bool {
        false
    }
    fn exchange(&self, spec: &ExchangeSpec) -> AnyExchange;
    fn sender(&self, context: &BuildContext, exchange: &AnyExchange, way: WayIn<'_>) -> AnyWay;
    /// The edges to one worker, where none of their rows was fired by a step.
    fn row_edges(&self, context: &BuildContext, exchange: &AnyExchange) -> Vec<Box<dyn InEdge<RowAt, S>>>;
    /// The edges to one worker, of any rows.
    fn place_edges(&self, context: &BuildContext, exchange: &AnyExchange) -> Vec<Box<dyn InEdge<Place, S>>>;
}

/// Input `PORT`, whose rows go where the route that `M` makes says.
pub(crate) struct TypedPort<const PORT: usize, T, M> {
    make_route: M,
    rows: PhantomData<fn(T)>,
}

impl<const PORT: usize, T, M> TypedPort<PORT, T, M> {
    pub(crate) const fn new(make_route: M) -> Self {
        Self { make_route, rows: PhantomData }
    }
}

impl<const PORT: usize, T, M, R, S> InPort<S> for TypedPort<PORT, T, M>
where
    T: Record,
    R: Route<T>,
    M: Fn(usize, HashSeed) -> R + Send + Sync,
    S: Receiver<T, PORT> + 'static,
{
    fn is_to_all(&self) -> bool {
        R::TO_ALL
    }

    fn takes_ticks(&self) -> bool {
        TypeId::of::<T>() == TypeId::of::<Tick>()
    }

    fn exchange(&self, spec: &ExchangeSpec) -> AnyExchange {
        AnyExchange::new::<T>(spec)
    }

    fn sender(&self, context: &BuildContext, exchange: &AnyExchange, way: WayIn<'_>) -> AnyWay {
        let path = (way.stamp, way.fans_out, way.bound);
        let (counters, worker, shared) = (way.counters.clone(), context.worker, context.shared.clone());
        let sender: WayOut<T> = with_exchange!(exchange, T, |exchange| {
            let senders = exchange.senders(context, way.number);
            let route = (self.make_route)(senders.len(), context.stores.seed);
            Box::new(Sender::new(route, path, senders, counters, worker, shared))
        });
        Box::new(sender)
    }

    fn row_edges(&self, context: &BuildContext, exchange: &AnyExchange) -> Vec<Box<dyn InEdge<RowAt, S>>> {
        fn boxed<const PORT: usize, O, T, S>(
            receivers: Vec<crate::runtime::edge::EdgeReceiver<O, T>>,
        ) -> Vec<Box<dyn InEdge<RowAt, S>>>
        where
            O: crate::progress::order::Order<At = RowAt>,
            T: Record,
            S: Receiver<T, PORT>,
        {
            let edge = |receiver| -> Box<dyn InEdge<RowAt, S>> { Box::new(PortEdge::<PORT, O, T>(receiver)) };
            receivers.into_iter().map(edge).collect()
        }
        use crate::graph::exchange::typed;
        use crate::progress::order::{Clocked, Seq};
        match exchange {
            AnyExchange::Seq(any) => boxed::<PORT, Seq, T, S>(typed::<Seq, T>(&**any).receivers(context)),
            AnyExchange::Clocked(any) => boxed::<PORT, Clocked, T, S>(typed::<Clocked, T>(&**any).receivers(context)),
            AnyExchange::Place(_) => Vec::new(),
        }
    }

    fn place_edges(&self, context: &BuildContext, exchange: &AnyExchange) -> Vec<Box<dyn InEdge<Place, S>>> {
        let AnyExchange::Place(any) = exchange else { return Vec::new() };
        let receivers = crate::graph::exchange::typed::<Place, T>(&**any).receivers(context);
        let edge = |receiver| -> Box<dyn InEdge<Place, S>> { Box::new(PortEdge::<PORT, Place, T>(receiver)) };
        receivers.into_iter().map(edge).collect()
    }
}

/// What a step keeps.
type Declare = Box<dyn Fn() -> Vec<StoreDeclaration> + Send + Sync>;

/// A step `S`, which `M` makes for each worker.
pub(crate) struct TypedStep<S, M> {
    ports: Vec<Box<dyn InPort<S>>>,
    needs_clocks: bool,
    make: M,
    declare: Option<Declare>,
    /// The step as it is called where it has one input.
    as_way: fn(&BuildContext, S, &WayIn<'_>) -> AnyWay,
}

fn call_way<T: Record, S: Receiver<T> + 'static>(context: &BuildContext, step: S, way: &WayIn<'_>) -> AnyWay {
    let (counters, worker, shared) = (way.counters.clone(), context.worker, context.shared.clone());
    let call: WayOut<T> = Box::new(Call::new(Box::new(step), way.fans_out, counters, worker, shared));
    Box::new(call)
}

impl<S: Step + 'static, M> TypedStep<S, M>
where
    M: Fn(&BuildContext, StagePlan<'_>) -> S + Send + Sync,
{
    /// A step whose first input has rows of type `T`.
    pub(crate) fn new<T: Record>(ports: Vec<Box<dyn InPort<S>>>, needs_clocks: bool, make: M) -> Self
    where
        S: Receiver<T>,
    {
        Self { ports, needs_clocks, make, declare: None, as_way: call_way::<T, S> }
    }

    /// The same, which keeps what `declare` says.
    fn keeping(self, declare: Declare) -> Self {
        Self { declare: Some(declare), ..self }
    }
}

fn task_of<A: At, S: Step + 'static>(edges: Vec<Box<dyn InEdge<A, S>>>, step: S) -> Box<dyn Task> {
    Box::new(MergeTask::new(edges, step))
}

impl<S: Step + 'static, M> StepFactory for TypedStep<S, M>
where
    M: Fn(&BuildContext, StagePlan<'_>) -> S + Send + Sync,
{
    fn needs_clocks(&self) -> bool {
        self.needs_clocks
    }

    fn stores(&self) -> Vec<StoreDeclaration> {
        self.declare.as_ref().map_or_else(Vec::new, |declare| declare())
    }

    fn broadcast_input(&self) -> Option<usize> {
        self.ports.iter().position(|port| port.is_to_all())
    }

    fn tick_input(&self) -> Option<usize> {
        self.ports.iter().position(|port| port.takes_ticks())
    }

    fn encodes(&self) -> bool {
        self.ports.iter().any(|port| port.encodes())
    }

    fn exchange(&self, input: usize, spec: &ExchangeSpec) -> AnyExchange {
        self.ports[input].exchange(spec)
    }

    fn sender(&self, context: &BuildContext, input: usize, exchange: &AnyExchange, way: WayIn<'_>) -> AnyWay {
        self.ports[input].sender(context, exchange, way)
    }

    fn call(&self, context: &BuildContext, plan: StagePlan<'_>, way: WayIn<'_>) -> AnyWay {
        let step = (self.make)(context, plan);
        (self.as_way)(context, step, &way)
    }

    fn task(&self, context: &BuildContext, plan: StagePlan<'_>, exchanges: &[AnyExchange]) -> Box<dyn Task> {
        let step = (self.make)(context, plan);
        let ports = || self.ports.iter().zip(exchanges);
        if matches!(exchanges.first(), Some(AnyExchange::Place(_))) {
            let edges = ports().flat_map(|(port, exchange)| port.place_edges(context, exchange));
            return task_of(edges.collect(), step);
        }
        let edges = ports().flat_map(|(port, exchange)| port.row_edges(context, exchange));
        task_of(edges.collect(), step)
    }
}

/// An operator as a step: `make` makes it for each worker.
pub(crate) fn operator_stage<Op: Operator>(
    context: &BuildContext,
    plan: StagePlan<'_>,
    operator: Op,
) -> OperatorStage<Op>
where
    Op::Outputs: StepOutputs,
{
    let ways = Op::Outputs::ways(plan.outputs);
    let bytes_max = context.stores.bytes_max;
    let stage = OperatorStage::new(operator, ways, plan.at, bytes_max, plan.counters.clone(), context.shared.clone());
    stage.giving(plan.giver)
}

/// The stores of the operator that `make` makes.
fn declared<Op: Operator>(make: impl Fn(&StepContext) -> Op + Send + Sync + 'static) -> Declare {
    Box::new(move || {
        let mut stores = Vec::new();
        make(&StepContext::declaring()).stores(&mut |name, store| {
            let (kind, key, value) = (store.kind(), store.key_layout(), store.layout());
            stores.push(StoreDeclaration { name, kind, key, value });
        });
        stores
    })
}

/// What makes the stage of the operator that `make` makes.
fn staged<Op: Operator>(
    make: impl Fn(&StepContext) -> Op + Send + Sync,
) -> impl Fn(&BuildContext, StagePlan<'_>) -> OperatorStage<Op> + Send + Sync
where
    Op::Outputs: StepOutputs,
{
    move |context, plan| {
        let mut operator = make(&context.step());
        let (name, worker) = (plan.counters.name.clone(), context.worker);
        let restored = match &plan.restoring {
            Restoring::Nothing => Ok(()),
            Restoring::Same(recovered, role) => recovered.restore_same(&mut operator, (&name, *role, worker)),
            Restoring::Share(recovered, workers) => {
                recovered.restore_share(&mut operator, &name, (worker, *workers), || make(&context.step()))
            }
        };
        if let Err(error) = restored.and_then(|()| state::check(&mut operator)) {
            context.shared.fail(Error::Step { step: name.to_string(), error });
        }
        operator_stage(context, plan, operator)
    }
}

/// A step with one input, whose rows go where the route that `make_route` makes says.
pub(crate) fn single_input<Op, M, R>(
    make_route: impl Fn(usize, HashSeed) -> R + Send + Sync + 'static,
    needs_clocks: bool,
    make: M,
) -> Box<dyn StepFactory>
where
    Op: OperatorInput<0>,
    Op::Outputs: StepOutputs,
    R: Route<Op::Row>,
    M: Fn(&StepContext) -> Op + Clone + Send + Sync + 'static,
{
    let port: Box<dyn InPort<OperatorStage<Op>>> = Box::new(TypedPort::<0, Op::Row, _>::new(make_route));
    step_of::<Op, Op::Row, _>(vec![port], needs_clocks, make)
}

/// A step with these inputs, the first of which has rows of type `T`.
pub(super) fn step_of<Op, T, M>(
    ports: Vec<Box<dyn InPort<OperatorStage<Op>>>>,
    needs_clocks: bool,
    make: M,
) -> Box<dyn StepFactory>
where
    T: Record,
    Op: OperatorInput<0, Row = T>,
    Op::Outputs: StepOutputs,
    M: Fn(&StepContext) -> Op + Clone + Send + Sync + 'static,
{
    let (declare, stage) = (declared(make.clone()), staged(make));
    Box::new(TypedStep::new::<T>(ports, needs_clocks, stage).keeping(declare))
}

/// A step with two inputs, each with its route.
pub(crate) fn two_inputs<Op, M, R0, R1>(
    routes: (
        impl Fn(usize, HashSeed) -> R0 + Send + Sync + 'static,
        impl Fn(usize, HashSeed) -> R1 + Send + Sync + 'static,
    ),
    needs_clocks: bool,
    make: M,
) -> Box<dyn StepFactory>
where
    Op: OperatorInput<0> + OperatorInput<1>,
    Op::Outputs: StepOutputs,
    R0: Route<<Op as OperatorInput<0>>::Row>,
    R1: Route<<Op as OperatorInput<1>>::Row>,
    M: Fn(&StepContext) -> Op + Clone + Send + Sync + 'static,
{
    step_of::<Op, _, _>(two_ports::<Op, _, _>(routes).into(), needs_clocks, make)
}

/// The first two inputs of a step, each with its route.
pub(super) fn two_ports<Op, R0, R1>(
    routes: (
        impl Fn(usize, HashSeed) -> R0 + Send + Sync + 'static,
        impl Fn(usize, HashSeed) -> R1 + Send + Sync + 'static,
    ),
) -> [Box<dyn InPort<OperatorStage<Op>>>; 2]
where
    Op: OperatorInput<0> + OperatorInput<1>,
    Op::Outputs: StepOutputs,
    R0: Route<<Op as OperatorInput<0>>::Row>,
    R1: Route<<Op as OperatorInput<1>>::Row>,
{
    [
        Box::new(TypedPort::<0, <Op as OperatorInput<0>>::Row, _>::new(routes.0)),
        Box::new(TypedPort::<1, <Op as OperatorInput<1>>::Row, _>::new(routes.1)),
    ]
}
