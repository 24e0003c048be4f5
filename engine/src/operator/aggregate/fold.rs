//! Aggregates made of closures.

use crate::operator::aggregate::basic::count_to;
use crate::operator::aggregate::{Aggregate, packed_layout};
use crate::{Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;

/// The state of a fold with the number of rows behind it.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct Folded<S> {
    rows: u64,
    state: S,
}

impl<S: Record> Record for Folded<S> {
    fn layout() -> Layout {
        packed_layout("Folded", &[("rows", u64::layout()), ("state", S::layout())])
    }
}

/// In place of what merges a fold's states.
#[derive(Debug, Clone, Copy)]
pub struct NoMerge;

/// What merges the later of two states into the earlier.
pub trait MergeStates<S>: Clone + Send + Sync + 'static {
    /// Whether there is anything that does.
    #[doc(hidden)]
    const MERGES: bool;
    /// Merges them.
    #[doc(hidden)]
    fn merge(&self, state: &mut S, later: &S);
}

impl<S> MergeStates<S> for NoMerge {
    const MERGES: bool = false;

    fn merge(&self, _: &mut S, _: &S) {
        unreachable!("a step whose windows merge refuses a fold that does not")
    }
}

impl<S, M: Fn(&mut S, &S) + Clone + Send + Sync + 'static> MergeStates<S> for M {
    const MERGES: bool = true;

    fn merge(&self, state: &mut S, later: &S) {
        self(state, later);
    }
}

/// Made by [`fold`] and [`fold_merging`].
pub struct Fold<T, S, F, M> {
    zero: S,
    add: F,
    merge: M,
    rows: PhantomData<fn(T)>,
}

/// Folds the rows of a key and window into a state, in the job's order: `add` adds a row with its time to what began as
/// `zero`. Sessions and count windows that slide merge states, and need [`fold_merging`].
///
/// ```
/// use pelton::{Aggregate, Timestamp, fold};
///
/// let ups = fold(0, |ups: &mut u64, _, price: &i64| *ups += u64::from(*price > 0));
/// let mut acc = bytemuck::Zeroable::zeroed();
/// [3, -1, 4].iter().for_each(|price| ups.add(&mut acc, Timestamp::MIN, price));
/// assert_eq!(ups.value(&acc), 2);
/// ```
pub const fn fold<T, S, F>(zero: S, add: F) -> Fold<T, S, F, NoMerge>
where
    F: Fn(&mut S, Timestamp, &T) + Clone + Send + Sync + 'static,
{
    Fold { zero, add, merge: NoMerge, rows: PhantomData }
}

/// As [`fold`], with what merges the later of two states into the earlier.
///
/// ```
/// use pelton::{Aggregate, Timestamp, fold_merging};
///
/// let largest = fold_merging(i64::MIN, |max, _, row: &i64| *max = (*max).max(*row), |max, later| *max = (*max).max(*later));
/// let mut acc = bytemuck::Zeroable::zeroed();
/// [-3, -1].iter().for_each(|row| largest.add(&mut acc, Timestamp::MIN, row));
/// assert_eq!(largest.value(&acc), -1);
/// ```
pub const fn fold_merging<T, S, F, M>(zero: S, add: F, merge: M) -> Fold<T, S, F, M>
where
    F: Fn(&mut S, Timestamp, &T) + Clone + Send + Sync + 'static,
    M: Fn(&mut S, &S) + Clone + Send + Sync + 'static,
{
    Fold { zero, add, merge, rows: PhantomData }
}

impl<T, S: Clone, F: Clone, M: Clone> Clone for Fold<T, S, F, M> {
    fn clone(&self) -> Self {
        Self { zero: self.zero.clone(), add: self.add.clone(), merge: self.merge.clone(), rows: PhantomData }
    }
}

impl<T, S, F, M> Aggregate for Fold<T, S, F, M>
where
    T: Record,
    S: Record,
    F: Fn(&mut S, Timestamp, &T) + Clone + Send + Sync + 'static,
    M: MergeStates<S>,
{
    type In = T;
    type Acc = Folded<S>;
    type Value = S;
    const MERGES: bool = M::MERGES;

    #[inline(always)]
    fn add(&self, acc: &mut Folded<S>, time: Timestamp, row: &T) {
        let (mut rows, mut state) = (acc.rows, if acc.rows == 0 { self.zero } else { acc.state });
        count_to(&mut rows, 1);
        (self.add)(&mut state, time, row);
        *acc = Folded { rows, state };
    }

    fn merge(&self, acc: &mut Folded<S>, later: &Folded<S>) {
        if acc.rows == 0 {
            *acc = *later;
            return;
        }
        let (mut rows, mut state) = (acc.rows, acc.state);
        count_to(&mut rows, later.rows);
        self.merge.merge(&mut state, &{ later.state });
        *acc = Folded { rows, state };
    }

    fn value(&self, acc: &Folded<S>) -> S {
        if acc.rows == 0 { self.zero } else { acc.state }
    }
}
