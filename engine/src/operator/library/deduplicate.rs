//! Deduplication: of rows of a key that lie close together in time, only the first is kept.
//!
//! **What is kept.** Let `d` be the period. A row at `t` is a repeat where `t < r + d`, and `r` is the time of the last row
//! of its key that was kept ([`Repeats::since_kept`]), or the largest time of a row of its key so far, kept or not
//! ([`Repeats::since_seen`]). All other rows are kept. First is who comes first in the job's order.
//!
//! **Order.** A row whose time is before `r` is a repeat, however far before, and so is one whose time is `r`. So kept rows
//! of a key have growing times, and lie at least `d` apart.
//!
//! **Behind the watermark.** A row that lies `d` or more behind the watermark before it is too old: whether it repeats
//! something may be forgotten. It is dropped, and counts as seen by nobody. Rows that are less far behind are judged as
//! all others, and exactly.
//!
//! **State.** `r` is forgotten once the watermark has come to `r + 2 d`: any row that is not too old by then lies at
//! `r + d` or later.

use crate::base::time::duration_nanos;
use crate::operator::keyed::ProcessContext;
use crate::operator::process::ProcessFunction;
use crate::{Key, Record, Timestamp};
use std::marker::PhantomData;
use std::time::Duration;

/// Which rows of a key are repeats: [`KeyedStream::deduplicate`](crate::KeyedStream::deduplicate). A `Duration` is the same
/// as [`Repeats::since_kept`].
///
/// ```
/// use pelton::Repeats;
/// use std::time::Duration;
///
/// let minute = Duration::from_secs(60);
/// assert_eq!(Repeats::from(minute), Repeats::since_kept(minute));
/// assert_ne!(Repeats::from(minute), Repeats::since_seen(minute));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    period: i64,
    renews: bool,
}

impl Repeats {
    /// Rows less than a period behind the last row that was kept: at least one row of a period passes.
    pub fn since_kept(period: Duration) -> Self {
        Self { period: duration_nanos(period), renews: false }
    }

    /// Rows less than a period behind the last row that was seen, kept or not: a key that never pauses for so long passes
    /// once.
    pub fn since_seen(period: Duration) -> Self {
        Self { period: duration_nanos(period), renews: true }
    }

    pub(crate) fn mistake(self) -> Option<&'static str> {
        (self.period == 0).then_some("a period of no time has no repeats")
    }
}

impl From<Duration> for Repeats {
    fn from(period: Duration) -> Self {
        Self::since_kept(period)
    }
}

/// The time that rows are held against.
#[derive(Debug, Clone, Copy, Record)]
#[repr(C)]
pub(crate) struct Reference {
    time: Timestamp,
    is_known: u64,
}

#[derive(Clone)]
pub(crate) struct Deduplicate<T> {
    repeats: Repeats,
    rows: PhantomData<fn(T)>,
}

impl<T: Record> Deduplicate<T> {
    pub(crate) const fn new(repeats: Repeats) -> Self {
        Self { repeats, rows: PhantomData }
    }

    /// When a time is forgotten.
    const fn forgotten(&self, time: Timestamp) -> Timestamp {
        time.plus_nanos(self.repeats.period).plus_nanos(self.repeats.period)
    }

    /// Holds rows against this time from now on.
    fn set(&self, reference: &mut Reference, time: Timestamp, context: &mut ProcessContext<'_, (T, T)>) {
        if reference.is_known != 0 {
            context.delete_timer(self.forgotten(reference.time));
        }
        context.timer(self.forgotten(time));
        *reference = Reference { time, is_known: 1 };
    }
}

impl<K: Key, T: Record> ProcessFunction<K> for Deduplicate<T> {
    type In = T;
    type State = Reference;
    type Out = (T, T);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_row(
        &self,
        _: &K,
        time: Timestamp,
        row: &T,
        reference: &mut Reference,
        context: &mut ProcessContext<'_, (T, T)>,
    ) {
        let Repeats { period, renews } = self.repeats;
        let is_known = reference.is_known != 0;
        if time <= context.watermark().minus_nanos(period) {
            if !is_known {
                context.clear_state();
            }
            context.emit_to::<1>(*row);
        } else if is_known && time < reference.time.plus_nanos(period) {
            if renews && time > reference.time {
                self.set(reference, time, context);
            }
            context.emit_to::<1>(*row);
        } else {
            self.set(reference, time, context);
            context.emit(*row);
        }
    }

    fn on_timer(&self, _: &K, _: Timestamp, _: &mut Reference, context: &mut ProcessContext<'_, (T, T)>) {
        context.clear_state();
    }
}
