//! Chains of stateless steps, unions and forks, which are built into the ways out of the steps before them.

use crate::Record;
use crate::graph::factory::{AnyOutputs, AnyWay, Connect, ThroughFactory};
use crate::operator::chain::Chain;
use crate::operator::emitted::{Emitted, Emitter};
use crate::runtime::fork::Fork;
use crate::runtime::front::Front;
use crate::runtime::outputs::{StepOutputs, fan_out};
use crate::runtime::receiver::WayOut;
use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::Arc;

/// A chain, with the types of its rows.
pub(crate) struct TypedChain<C>(pub(crate) C);

impl<C: Chain> Connect for TypedChain<C>
where
    C::Out: Record,
{
    fn front(&self, next: AnyWay) -> AnyWay {
        if self.0.is_identity() && TypeId::of::<C::In>() == TypeId::of::<C::Out>() {
            return next;
        }
        let next = match next.downcast::<WayOut<C::Out>>() {
            Ok(next) => *next,
            Err(_) => unreachable!("both ends of an edge were declared with the same rows"),
        };
        let front: WayOut<C::In> = Box::new(Front::new(self.0.clone(), next));
        Box::new(front)
    }

    fn fans_out(&self) -> bool {
        self.0.fans_out()
    }
}

/// A union of rows of type `T`.
pub(crate) struct TypedUnion<T>(PhantomData<fn(T)>);

impl<T> TypedUnion<T> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Record> ThroughFactory for TypedUnion<T> {
    fn way(&self, outputs: AnyOutputs) -> AnyWay {
        let all: WayOut<T> = Box::new(fan_out::<T>(outputs.into_iter().next().unwrap_or_default()));
        Box::new(all)
    }
}

/// A stateless step with several outputs, behind a chain.
pub(crate) struct TypedFork<C, Out, F> {
    pub(crate) chain: C,
    pub(crate) function: F,
    pub(crate) step: Arc<str>,
    /// Whether it may emit several rows for one, by one output.
    pub(crate) fans_out: bool,
    pub(crate) outputs: PhantomData<fn() -> Out>,
}

impl<C, Out, F> ThroughFactory for TypedFork<C, Out, F>
where
    C: Chain,
    Out: Emitted<Outputs: StepOutputs>,
    F: Fn(&C::Out, &mut Emitter<'_, Out>) + Clone + Send + Sync + 'static,
{
    fn way(&self, outputs: AnyOutputs) -> AnyWay {
        let Self { chain, function, step, .. } = self;
        let ways = Out::Outputs::ways(outputs);
        let fork: WayOut<C::In> = Box::new(Fork::<C, Out, F>::new(chain.clone(), function.clone(), step.clone(), ways));
        Box::new(fork)
    }

    fn fans_out(&self) -> bool {
        self.fans_out || self.chain.fans_out()
    }
}
