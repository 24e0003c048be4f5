//! A window step: fed with rows, or with the parts that each worker combined.

use crate::graph::connect::TypedChain;
use crate::graph::exchange::{AnyExchange, ExchangeSpec};
use crate::graph::factory::{AnyWay, BuildContext, Combining, StagePlan, StepFactory, WayIn};
use crate::graph::model::StoreDeclaration;
use crate::graph::step::single_input;
use crate::operator::aggregate::Aggregate;
use crate::operator::chain::Identity;
use crate::operator::window::Tumbling;
use crate::operator::window::merged::MergedOperator;
use crate::operator::window::part::{PartOperator, PartRef, PartTables};
use crate::operator::window::tumbling::TumblingOperator;
use crate::runtime::route::{KeyRoute, Route, ToOne};
use crate::runtime::task::Task;
use crate::{Key, Record};
use std::marker::PhantomData;
use std::sync::Arc;

/// What a window step does.
pub(crate) struct WindowStep<K, F, A> {
    pub(crate) windows: Tumbling,
    pub(crate) key_of: F,
    pub(crate) aggregate: A,
    pub(crate) key: PhantomData<fn() -> K>,
}

impl<K, F: Clone, A: Clone> Clone for WindowStep<K, F, A> {
    fn clone(&self) -> Self {
        let Self { windows, key_of, aggregate, key } = self;
        Self { windows: *windows, key_of: key_of.clone(), aggregate: aggregate.clone(), key: *key }
    }
}

/// A window step of the graph.
pub(crate) struct WindowFactory<K, F, A> {
    step: WindowStep<K, F, A>,
    whole: Box<dyn StepFactory>,
}

/// Windows that start one after another are fired by one worker after another.
struct InTurn {
    windows: Tumbling,
    workers: usize,
}

impl Route<PartRef> for InTurn {
    fn worker(&self, part: &PartRef) -> usize {
        self.windows.number(part.start).rem_euclid(self.workers as i64) as usize
    }
}

impl<K, F, A> WindowFactory<K, F, A>
where
    K: Key,
    A: Aggregate<K>,
    F: Fn(&A::In) -> K + Clone + Send + Sync + 'static,
{
    pub(crate) fn new(step: WindowStep<K, F, A>) -> Self {
        let (key_of, making) = (step.key_of.clone(), step.clone());
        let route = move |workers, seed| KeyRoute::new(key_of.clone(), workers, seed);
        let whole = single_input(route, false, move |context| {
            let WindowStep { windows, key_of, aggregate, .. } = making.clone();
            TumblingOperator::new(windows, key_of, aggregate, &context.stores)
        });
        Self { step, whole }
    }
}

impl<K, F, A> StepFactory for WindowFactory<K, F, A>
where
    K: Key,
    A: Aggregate<K>,
    F: Fn(&A::In) -> K + Clone + Send + Sync + 'static,
{
    fn needs_clocks(&self) -> bool {
        self.whole.needs_clocks()
    }

    fn stores(&self) -> Vec<StoreDeclaration> {
        self.whole.stores()
    }

    fn exchange(&self, input: usize, spec: &ExchangeSpec) -> AnyExchange {
        self.whole.exchange(input, spec)
    }

    fn sender(&self, context: &BuildContext, input: usize, exchange: &AnyExchange, way: WayIn<'_>) -> AnyWay {
        self.whole.sender(context, input, exchange, way)
    }

    fn call(&self, context: &BuildContext, plan: StagePlan<'_>, way: WayIn<'_>) -> AnyWay {
        self.whole.call(context, plan, way)
    }

    fn task(&self, context: &BuildContext, plan: StagePlan<'_>, exchanges: &[AnyExchange]) -> Box<dyn Task> {
        self.whole.task(context, plan, exchanges)
    }

    fn window_ns(&self) -> Option<i64> {
        Some(self.step.windows.size_nanos())
    }

    fn combining(&self) -> Option<Combining> {
        if !self.step.aggregate.is_exact() {
            return None;
        }
        // All workers share the tables that are on their way.
        let tables = Arc::new(PartTables::new());
        let (of_parts, making) = (tables.clone(), self.step.clone());
        let parts = single_input(
            |_, _| ToOne,
            false,
            move |context| {
                let WindowStep { windows, key_of, aggregate, .. } = making.clone();
                PartOperator::new(context.worker, windows, (key_of, aggregate), &context.stores, of_parts.clone())
            },
        );
        let (making, windows) = (self.step.clone(), self.step.windows);
        let merged = single_input(
            move |receivers, _| InTurn { windows, workers: receivers },
            false,
            move |context| {
                let WindowStep { windows, aggregate, .. } = making.clone();
                MergedOperator::new(windows, aggregate, &context.stores, tables.clone())
            },
        );
        let connect = Box::new(TypedChain(Identity::<PartRef>::new()));
        Some(Combining { parts, merged, connect, part: PartRef::layout() })
    }
}
