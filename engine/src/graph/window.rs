//! A window step: fed with rows, or with the parts that each worker combined.

use crate::graph::connect::TypedChain;
use crate::graph::exchange::{AnyExchange, ExchangeSpec};
use crate::graph::factory::{AnyWay, BuildContext, Combining, StagePlan, StepContext, StepFactory, WayIn};
use crate::graph::model::StoreDeclaration;
use crate::graph::step::single_input;
use crate::graph::ticks::single_input_and_ticks;
use crate::operator::aggregate::WindowAggregate;
use crate::operator::chain::Identity;
use crate::operator::window::count::CountOperator;
use crate::operator::window::merged::{MergedOperator, MergedOverlappingOperator};
use crate::operator::window::overlapping::{Overlapping, OverlappingOperator};
use crate::operator::window::part::{PartOperator, PartRef, PartTables};
use crate::operator::window::per_key::{PerKeyOperator, PerKeySettings};
use crate::operator::window::sessions::SessionOperator;
use crate::operator::window::tumbling::TumblingOperator;
use crate::operator::window::updated::UpdatedOperator;
use crate::operator::window::{Kind, Trigger, Tumbling, Windows};
use crate::runtime::route::{KeyRoute, Route, ToOne};
use crate::runtime::task::Task;
use crate::{Key, Record};
use std::marker::PhantomData;
use std::sync::Arc;

/// Windows, and when they fire.
pub(crate) struct WindowSettings<T> {
    pub(crate) windows: Windows<T>,
    pub(crate) trigger: Trigger<T>,
    /// In nanoseconds.
    pub(crate) lateness: i64,
}

impl<T> WindowSettings<T> {
    pub(crate) const fn new(windows: Windows<T>) -> Self {
        Self { windows, trigger: Trigger::watermark(), lateness: 0 }
    }

    /// What is wrong with them.
    pub(crate) fn mistake(&self) -> Option<&'static str> {
        let Self { windows, trigger, lateness } = self;
        match &windows.0 {
            Kind::Global if !trigger.fires_without_end() => {
                Some("a global window has no end: give it a trigger that fires without one")
            }
            Kind::Count(_) if !trigger.is_default() => Some("count windows fire by their count, and take no trigger"),
            Kind::Count(_) | Kind::Global if *lateness != 0 => {
                Some("windows without an end have nothing that rows could be late for")
            }
            _ => windows.mistake().or_else(|| trigger.mistake()),
        }
    }

    /// Whether they merge what they keep.
    pub(crate) const fn merge(&self) -> bool {
        match &self.windows.0 {
            Kind::Session(_) => true,
            Kind::Count(windows) => windows.slides(),
            _ => false,
        }
    }

    /// How a step is called that has them.
    pub(crate) fn title(&self) -> String {
        let Self { windows, trigger, lateness } = self;
        let trigger = if trigger.is_default() { String::new() } else { format!(", firing {trigger}") };
        match lateness {
            0 => format!("{windows}{trigger}"),
            nanos => {
                let allowed = std::time::Duration::from_nanos(nanos.unsigned_abs());
                format!("{windows}{trigger}, allowing for {allowed:?}")
            }
        }
    }

    /// What builds a step that has them.
    pub(crate) fn step<K, F, A>(self, key_of: F, aggregate: A) -> Box<dyn StepFactory>
    where
        K: Key,
        A: WindowAggregate<K, In = T>,
        F: Fn(&T) -> K + Clone + Send + Sync + 'static,
        T: Record,
    {
        let route_key = key_of.clone();
        let route = move |workers, seed| KeyRoute::new(route_key.clone(), workers, seed);
        let Self { windows: Windows(windows), trigger, lateness } = self;
        match windows {
            Kind::Tumbling(windows) if trigger.is_default() && lateness == 0 => {
                let windows = Sliced::Tumbling(windows);
                Box::new(WindowFactory::new(WindowStep { windows, key_of, aggregate, key: PhantomData }))
            }
            Kind::Tumbling(windows) if trigger.is_default() => single_input(route, false, move |context| {
                UpdatedOperator::new((windows, lateness), key_of.clone(), aggregate.clone(), &context.stores)
            }),
            Kind::Sliding(_) | Kind::Cumulative(_)
                if trigger.is_default()
                    && lateness == 0
                    && aggregate.merges()
                    && let Some(windows) = Overlapping::of(&windows) =>
            {
                let windows = Sliced::Overlapping(windows);
                Box::new(WindowFactory::new(WindowStep { windows, key_of, aggregate, key: PhantomData }))
            }
            Kind::Session(sessions) if trigger.is_default() && lateness == 0 => {
                single_input(route, true, move |context| {
                    SessionOperator::new(sessions.clone(), key_of.clone(), aggregate.clone(), &context.stores)
                })
            }
            Kind::Count(windows) => single_input(route, true, move |context| {
                CountOperator::new(windows, key_of.clone(), aggregate.clone(), &context.stores)
            }),
            windows => {
                let needs_ticks = trigger.needs_ticks();
                let settings = PerKeySettings { windows: Windows(windows), trigger, lateness };
                let make = move |context: &StepContext| {
                    PerKeyOperator::new(settings.clone(), key_of.clone(), aggregate.clone(), &context.stores)
                };
                if needs_ticks { single_input_and_ticks(route, make) } else { single_input(route, true, make) }
            }
        }
    }
}

impl WindowSettings<()> {
    /// The same over rows of another type, of which they know nothing.
    pub(crate) fn over<T>(self) -> WindowSettings<T> {
        let Self { windows, trigger, lateness } = self;
        WindowSettings { windows: windows.over(), trigger: trigger.over(), lateness }
    }
}

/// Windows that fire once, from slices.
#[derive(Clone, Copy)]
enum Sliced {
    /// Each is a slice.
    Tumbling(Tumbling),
    Overlapping(Overlapping),
}

/// What a window step does.
struct WindowStep<K, F, A> {
    windows: Sliced,
    key_of: F,
    aggregate: A,
    key: PhantomData<fn() -> K>,
}

impl<K, F: Clone, A: Clone> Clone for WindowStep<K, F, A> {
    fn clone(&self) -> Self {
        let Self { windows, key_of, aggregate, key } = self;
        Self { windows: *windows, key_of: key_of.clone(), aggregate: aggregate.clone(), key: *key }
    }
}

/// A window step of the graph.
struct WindowFactory<K, F, A> {
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
    A: WindowAggregate<K>,
    F: Fn(&A::In) -> K + Clone + Send + Sync + 'static,
{
    fn new(step: WindowStep<K, F, A>) -> Self {
        let WindowStep { windows, key_of, aggregate, .. } = step.clone();
        let route_key = key_of.clone();
        let route = move |workers, seed| KeyRoute::new(route_key.clone(), workers, seed);
        let whole = match windows {
            Sliced::Tumbling(windows) => single_input(route, false, move |context| {
                TumblingOperator::new(windows, key_of.clone(), aggregate.clone(), &context.stores)
            }),
            Sliced::Overlapping(windows) => single_input(route, false, move |context| {
                OverlappingOperator::new(windows, key_of.clone(), aggregate.clone(), &context.stores)
            }),
        };
        Self { step, whole }
    }
}

impl<K, F, A> StepFactory for WindowFactory<K, F, A>
where
    K: Key,
    A: WindowAggregate<K>,
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
        match self.step.windows {
            Sliced::Tumbling(windows) => Some(windows.size_nanos()),
            Sliced::Overlapping(_) => None,
        }
    }

    fn combining(&self) -> Option<Combining> {
        let WindowStep { windows, key_of, aggregate, .. } = self.step.clone();
        // A key's windows that overlap have one worker, since they share slices. With many keys all workers fire as it is.
        if !aggregate.is_exact() || (matches!(windows, Sliced::Overlapping(_)) && size_of::<K>() > 0) {
            return None;
        }
        // All workers share the tables that are on their way.
        let tables = Arc::new(PartTables::new());
        let (of_parts, merging) = (tables.clone(), aggregate.clone());
        let parts = single_input(
            |_, _| ToOne,
            false,
            move |context| {
                let (worker, stores, tables) = (context.worker, &context.stores, of_parts.clone());
                let aggregating = (key_of.clone(), aggregate.clone());
                match windows {
                    Sliced::Tumbling(windows) => PartOperator::new(worker, windows, aggregating, stores, tables),
                    Sliced::Overlapping(windows) => {
                        PartOperator::overlapping(worker, windows, aggregating, stores, tables)
                    }
                }
            },
        );
        let merged = match windows {
            Sliced::Tumbling(windows) => single_input(
                move |receivers, _| InTurn { windows, workers: receivers },
                false,
                move |context| MergedOperator::new(windows, merging.clone(), &context.stores, tables.clone()),
            ),
            Sliced::Overlapping(windows) => single_input(
                |_, _| ToOne,
                false,
                move |context| {
                    MergedOverlappingOperator::new(windows, merging.clone(), &context.stores, tables.clone())
                },
            ),
        };
        let connect = Box::new(TypedChain(Identity::<PartRef>::new()));
        Some(Combining { parts, merged, connect, part: PartRef::layout() })
    }
}
