//! Stateless steps, fused by generics into one loop: map, filter, flat_map.

use crate::Record;
use crate::base::blame;
use std::marker::PhantomData;
use std::sync::Arc;

/// A run of stateless steps, from the rows of a source or operator to those of its last step.
pub trait Chain: Clone + Send + Sync + 'static {
    /// What the first step takes.
    type In: Record;
    /// What the last step gives.
    type Out: Copy + Send + 'static;

    /// Gives each row that `value` becomes to `out`.
    fn each(&self, value: &Self::In, out: &mut impl FnMut(Self::Out));

    /// Whether the chain has no step.
    fn is_identity(&self) -> bool {
        false
    }

    /// Whether one row may become more than one.
    fn fans_out(&self) -> bool;

    /// Whether the chain gives rows as they are, or not at all: it has filters only.
    const SELECTS: bool = false;

    /// Whether the chain begins with a filter.
    const BEGINS_WITH_FILTER: bool = false;

    /// Whether the filters that the chain begins with keep `value`.
    #[inline(always)]
    fn is_selected(&self, value: &Self::In) -> bool {
        let _ = value;
        true
    }

    /// As [`Chain::each`], for a value that is selected.
    #[inline(always)]
    fn each_selected(&self, value: &Self::In, out: &mut impl FnMut(Self::Out)) {
        self.each(value, out);
    }
}

/// The chain without a step.
pub struct Identity<T>(PhantomData<fn(T) -> T>);

impl<T> Identity<T> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Identity<T> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<T: Record> Chain for Identity<T> {
    type In = T;
    type Out = T;

    #[inline(always)]
    fn each(&self, value: &T, out: &mut impl FnMut(T)) {
        out(*value);
    }

    fn is_identity(&self) -> bool {
        true
    }

    fn fans_out(&self) -> bool {
        false
    }

    const SELECTS: bool = true;
}

/// A chain that ends in a filter.
#[derive(Clone)]
pub struct Filter<C, F> {
    pub(crate) inner: C,
    pub(crate) keep: F,
    pub(crate) step: Arc<str>,
}

impl<C: Chain, F> Chain for Filter<C, F>
where
    F: Fn(&C::Out) -> bool + Clone + Send + Sync + 'static,
{
    type In = C::In;
    type Out = C::Out;

    #[inline(always)]
    fn each(&self, value: &C::In, out: &mut impl FnMut(C::Out)) {
        self.inner.each(value, &mut |row| {
            if blame::in_step(&self.step, || (self.keep)(&row)) {
                out(row);
            }
        });
    }

    fn fans_out(&self) -> bool {
        self.inner.fans_out()
    }

    const SELECTS: bool = C::SELECTS;
    const BEGINS_WITH_FILTER: bool = C::SELECTS || C::BEGINS_WITH_FILTER;

    #[inline(always)]
    fn is_selected(&self, value: &C::In) -> bool {
        let mut is_selected = self.inner.is_selected(value);
        if C::SELECTS && is_selected {
            // What the steps before give is the value itself.
            self.inner.each_selected(value, &mut |row| {
                is_selected = blame::in_step(&self.step, || (self.keep)(&row));
            });
        }
        is_selected
    }

    #[inline(always)]
    fn each_selected(&self, value: &C::In, out: &mut impl FnMut(C::Out)) {
        self.inner.each_selected(value, &mut |row| {
            if C::SELECTS || blame::in_step(&self.step, || (self.keep)(&row)) {
                out(row);
            }
        });
    }
}

/// A chain that ends in a map.
#[derive(Clone)]
pub struct Map<C, F> {
    pub(crate) inner: C,
    pub(crate) map: F,
    pub(crate) step: Arc<str>,
}

impl<C: Chain, U, F> Chain for Map<C, F>
where
    U: Copy + Send + 'static,
    F: Fn(&C::Out) -> U + Clone + Send + Sync + 'static,
{
    type In = C::In;
    type Out = U;

    #[inline(always)]
    fn each(&self, value: &C::In, out: &mut impl FnMut(U)) {
        self.inner.each(value, &mut |row| out(blame::in_step(&self.step, || (self.map)(&row))));
    }

    fn fans_out(&self) -> bool {
        self.inner.fans_out()
    }

    const BEGINS_WITH_FILTER: bool = C::BEGINS_WITH_FILTER;

    #[inline(always)]
    fn is_selected(&self, value: &C::In) -> bool {
        self.inner.is_selected(value)
    }

    #[inline(always)]
    fn each_selected(&self, value: &C::In, out: &mut impl FnMut(U)) {
        self.inner.each_selected(value, &mut |row| out(blame::in_step(&self.step, || (self.map)(&row))));
    }
}

/// A chain that ends in a flat map.
#[derive(Clone)]
pub struct FlatMap<C, F> {
    pub(crate) inner: C,
    pub(crate) map: F,
    pub(crate) step: Arc<str>,
}

impl<C: Chain, U, I, F> Chain for FlatMap<C, F>
where
    U: Copy + Send + 'static,
    I: IntoIterator<Item = U>,
    F: Fn(&C::Out) -> I + Clone + Send + Sync + 'static,
{
    type In = C::In;
    type Out = U;

    #[inline(always)]
    fn each(&self, value: &C::In, out: &mut impl FnMut(U)) {
        self.inner.each(value, &mut |row| {
            blame::in_step(&self.step, || (self.map)(&row).into_iter().for_each(&mut *out));
        });
    }

    fn fans_out(&self) -> bool {
        true
    }
}
