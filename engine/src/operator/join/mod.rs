//! Joins of two keyed streams, and what they make of the rows that meet.

pub(crate) mod answered;
pub(crate) mod around;
pub(crate) mod as_of;
pub(crate) mod interval;

use crate::Record;

/// Makes a row of the rows that met, or of one that met none.
pub(crate) trait JoinRows<L, R>: 'static {
    type Out: Record;
    /// Whether left rows that met none become rows as well, and right ones.
    const OUTER: (bool, bool);

    /// The row for these, where there is to be one.
    fn join(&self, left: Option<&L>, right: Option<&R>) -> Option<Self::Out>;
}

/// Gives a row for each pair.
#[derive(Clone)]
pub(crate) struct Inner<J>(pub(crate) J);

impl<L, R, Out: Record, J: Fn(&L, &R) -> Out + 'static> JoinRows<L, R> for Inner<J> {
    type Out = Out;
    const OUTER: (bool, bool) = (false, false);

    fn join(&self, left: Option<&L>, right: Option<&R>) -> Option<Out> {
        Some((self.0)(left?, right?))
    }
}

/// Gives a row for each left row too that met no right one.
#[derive(Clone)]
pub(crate) struct LeftOuter<J>(pub(crate) J);

impl<L, R, Out: Record, J: Fn(&L, Option<&R>) -> Out + 'static> JoinRows<L, R> for LeftOuter<J> {
    type Out = Out;
    const OUTER: (bool, bool) = (true, false);

    fn join(&self, left: Option<&L>, right: Option<&R>) -> Option<Out> {
        Some((self.0)(left?, right))
    }
}

/// Gives a row for each right row too that met no left one.
#[derive(Clone)]
pub(crate) struct RightOuter<J>(pub(crate) J);

impl<L, R, Out: Record, J: Fn(Option<&L>, &R) -> Out + 'static> JoinRows<L, R> for RightOuter<J> {
    type Out = Out;
    const OUTER: (bool, bool) = (false, true);

    fn join(&self, left: Option<&L>, right: Option<&R>) -> Option<Out> {
        Some((self.0)(left, right?))
    }
}

/// Gives a row for each row of either side too that met none.
#[derive(Clone)]
pub(crate) struct FullOuter<J>(pub(crate) J);

impl<L, R, Out: Record, J: Fn(Option<&L>, Option<&R>) -> Out + 'static> JoinRows<L, R> for FullOuter<J> {
    type Out = Out;
    const OUTER: (bool, bool) = (true, true);

    fn join(&self, left: Option<&L>, right: Option<&R>) -> Option<Out> {
        Some((self.0)(left, right))
    }
}
