//! Chains of stateless steps and unions, which are built into the ways out of the steps before them.

use crate::Record;
use crate::graph::factory::{AnyWay, Connect, UnionFactory};
use crate::operator::chain::Chain;
use crate::runtime::front::Front;
use crate::runtime::outputs::fan_out;
use crate::runtime::receiver::WayOut;
use std::any::TypeId;
use std::marker::PhantomData;

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

impl<T: Record> UnionFactory for TypedUnion<T> {
    fn fan_out(&self, ways: Vec<AnyWay>) -> AnyWay {
        let all: WayOut<T> = Box::new(fan_out::<T>(ways));
        Box::new(all)
    }
}
