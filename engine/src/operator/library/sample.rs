//! Samples: one row of a key for each period, or each so many rows.
//!
//! **For each period**: periods are spans of event time, aligned to the epoch. Of a key's rows in a period the one with the
//! least time is the first, and the one with the largest time is the last. Of rows of equal time it is the first or the last
//! in the job's order. It leaves when the period is over, at the period's last nanosecond, so rows may come in any
//! order within it. Rows that come when their period is over are late. These are tumbling windows, at whose end an aggregate
//! gives the row that it kept.
//!
//! **Each so many rows**: the n-th row of a key in the job's order, the 2 n-th, and so on. Times and the watermark play no
//! part. A row that is not the n-th is dropped.
//!
//! **State.** Windows are over at the end of the input. A count is kept as [`Keep`] says, and is nothing once the n-th row
//! has come.

use crate::operator::aggregate::Aggregate;
use crate::operator::keyed::ProcessContext;
use crate::operator::library::{Keep, Last};
use crate::operator::process::ProcessFunction;
use crate::{Key, Record, Timestamp};
use std::marker::PhantomData;
use std::time::Duration;

/// Keeps one row of those that are added: that of the least time or that of the largest.
#[derive(Clone)]
pub(crate) struct OneRow<T> {
    is_last: bool,
    rows: PhantomData<fn(T)>,
}

impl<T: Record> OneRow<T> {
    /// The first row; of rows of equal time, the first in the job's order.
    pub(crate) const fn first() -> Self {
        Self { is_last: false, rows: PhantomData }
    }

    /// The last row; of rows of equal time, the last in the job's order.
    pub(crate) const fn last() -> Self {
        Self { is_last: true, rows: PhantomData }
    }
}

impl<T: Record> Aggregate for OneRow<T> {
    type In = T;
    type Acc = Last<T>;
    type Value = T;

    fn add(&self, kept: &mut Last<T>, time: Timestamp, row: &T) {
        self.merge(kept, &Last::new(time, *row));
    }

    fn merge(&self, kept: &mut Last<T>, later: &Last<T>) {
        let (kept_time, time) = (kept.time, later.time);
        let replaces = if self.is_last { time >= kept_time } else { time < kept_time };
        if kept.is_known == 0 || replaces {
            *kept = *later;
        }
    }

    fn value(&self, kept: &Last<T>) -> T {
        kept.value
    }
}

#[derive(Clone)]
pub(crate) struct EachNth<T> {
    nth: u64,
    keep: Keep,
    rows: PhantomData<fn(T)>,
}

impl<T: Record> EachNth<T> {
    pub(crate) const fn new(nth: u64, keep: Keep) -> Self {
        Self { nth, keep, rows: PhantomData }
    }

    pub(crate) fn mistake(&self) -> Option<&'static str> {
        (self.nth == 0).then_some("there is no 0th row")
    }
}

impl<K: Key, T: Record> ProcessFunction<K> for EachNth<T> {
    type In = T;
    /// Rows since the last one that was kept, in range `0 .. nth`.
    type State = u64;
    type Out = (T, T);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_row(&self, _: &K, _: Timestamp, row: &T, rows: &mut u64, context: &mut ProcessContext<'_, (T, T)>) {
        if *rows + 1 == self.nth {
            context.clear_state();
            context.emit(*row);
        } else {
            *rows += 1;
            context.emit_to::<1>(*row);
        }
    }

    fn time_to_live(&self) -> Option<Duration> {
        self.keep.time_to_live()
    }
}
