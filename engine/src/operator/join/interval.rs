//! The interval join: pairs of rows of two streams that have the same key and lie near each other in time.
//!
//! A left row of time `l` meets the right rows of its key from `l + lower` to `l + upper`, both included unless the
//! interval says otherwise. Each pair is given once, when the second of its rows comes, with the larger of their times: so
//! nothing waits for a watermark. What one row meets comes in order of (time, place). Rows at or behind the watermark are
//! late, and meet nothing.
//!
//! An outer join gives a row as well for one that meets none, once the watermark has come to where nothing that it could
//! meet is on time: for a left row `l + upper`, for a right one `r - lower`, and never before the row's own time. That is
//! the time of the row given.
//!
//! For each key rows are kept until then; of an outer join for as long as a row of the other side may still ask whether
//! it met them. One timer a key and side sees to it, and for outer joins one a row.

use crate::base::blame;
use crate::base::time::duration_nanos;
use crate::operator::join::JoinRows;
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::{KeyedRows, KeyedTable, Of, Store, StoreSettings, Timers};
use crate::{CanonicalKey, Key, Record, Timestamp};
use std::time::Duration;

/// How far a right row may lie from a left row that it meets, in event time.
///
/// ```
/// use pelton::Interval;
/// use std::time::Duration;
///
/// // A payment up to a minute after its order.
/// let paid = Interval::around(Duration::ZERO, Duration::from_secs(60));
/// // More than 1 ms, and less than 5 ms after it.
/// let soon = Interval::between_nanos(1_000_000, 5_000_000).lower_bound_exclusive().upper_bound_exclusive();
/// # let _ = (paid, soon);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// In nanoseconds after the left row, both included.
    lower: i64,
    upper: i64,
}

impl Interval {
    /// Right rows at most `before` the left row's time and at most `after` it, both included.
    pub fn around(before: Duration, after: Duration) -> Self {
        Self { lower: -duration_nanos(before), upper: duration_nanos(after) }
    }

    /// Right rows from `lower` to `upper` nanoseconds after the left row, both included; negative numbers are before it.
    pub const fn between_nanos(lower: i64, upper: i64) -> Self {
        Self { lower, upper }
    }

    /// Leaves out right rows that lie exactly at the lower bound.
    pub const fn lower_bound_exclusive(self) -> Self {
        Self { lower: self.lower.saturating_add(1), ..self }
    }

    /// Leaves out right rows that lie exactly at the upper bound.
    pub const fn upper_bound_exclusive(self) -> Self {
        Self { upper: self.upper.saturating_sub(1), ..self }
    }

    /// What is wrong with it.
    pub(crate) fn mistake(self) -> Option<&'static str> {
        (self.lower > self.upper).then_some("its lower bound is above its upper bound, so no rows can meet")
    }

    /// The first and last time of the right rows that a left row meets.
    pub(super) const fn of_left(self, left: Timestamp) -> (Timestamp, Timestamp) {
        (left.plus_nanos(self.lower), left.plus_nanos(self.upper))
    }

    /// The first and last time of the left rows that a right row meets.
    const fn of_right(self, right: Timestamp) -> (Timestamp, Timestamp) {
        (right.minus_nanos(self.upper), right.minus_nanos(self.lower))
    }

    /// How long after a left row, and after a right one, it is known what each meets.
    pub(super) fn settled_after(self) -> (i64, i64) {
        (self.upper.max(0), self.lower.saturating_neg().max(0))
    }

    /// How long after a left row, and after a right one, each is kept. Rows of an outer side ask the other once they are
    /// settled.
    fn kept_for(self, (left_outer, right_outer): (bool, bool)) -> (i64, i64) {
        let (left, right) = self.settled_after();
        let asked = |is_asked, until: i64| if is_asked { until } else { 0 };
        let left_asked = asked(right_outer, self.upper.saturating_add(right));
        let right_asked = asked(left_outer, self.lower.saturating_neg().saturating_add(left));
        (left.max(left_asked), right.max(right_asked))
    }
}

impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let signed = |nanos: i64| {
            let sign = if nanos < 0 { "-" } else { "" };
            format!("{sign}{:?}", Duration::from_nanos(nanos.unsigned_abs()))
        };
        write!(f, "right rows from {} to {} after the left", signed(self.lower), signed(self.upper))
    }
}

/// Keys whose rows are settled or dropped at once, at most.
const FIRED_AT_ONCE: usize = if cfg!(test) { 4 } else { 1024 };

/// `J` gives the rows for those that met, and for those that met none.
pub(crate) struct IntervalOperator<K, FL, FR, L, R, J> {
    keys_of: (FL, FR),
    interval: Interval,
    join: J,
    keys: KeyedTable<K, ()>,
    left: KeyedRows<L>,
    right: KeyedRows<R>,
    /// When rows of a key are settled or dropped.
    due: Timers,
    /// So many pairs of the row at the front of a batch were given before the outbox was full.
    paired: usize,
    /// So many rows of the key that fires were looked at before the outbox was full.
    settled: usize,
}

impl<K: Key, FL, FR, L: Record, R: Record, J: JoinRows<L, R>> IntervalOperator<K, FL, FR, L, R, J> {
    pub(crate) fn new(keys_of: (FL, FR), interval: Interval, join: J, settings: &StoreSettings) -> Self {
        Self {
            keys_of,
            interval,
            join,
            keys: KeyedTable::new(settings),
            left: KeyedRows::new(settings),
            right: KeyedRows::new(settings),
            due: Timers::new(&StoreSettings { timers_max: usize::MAX, ..*settings }),
            paired: 0,
            settled: 0,
        }
    }

    /// Whether rows leave by firings, between those that leave by pairs.
    const FIRES: bool = J::OUTER.0 || J::OUTER.1;

    fn add_left(&mut self, entry: usize, time: Timestamp, row: L) -> Result<(), OperatorError> {
        let (kept, settled) = (self.interval.kept_for(J::OUTER).0, self.interval.settled_after().0);
        if self.left.first(entry).is_none() {
            self.due.insert(&mut self.keys, time.plus_nanos(kept), entry)?;
        }
        if J::OUTER.0 {
            self.due.insert(&mut self.keys, time.plus_nanos(settled), entry)?;
        }
        Ok(self.left.insert(&mut self.keys, entry, time, row)?)
    }

    fn add_right(&mut self, entry: usize, time: Timestamp, row: R) -> Result<(), OperatorError> {
        let (kept, settled) = (self.interval.kept_for(J::OUTER).1, self.interval.settled_after().1);
        if self.right.first(entry).is_none() {
            self.due.insert(&mut self.keys, time.plus_nanos(kept), entry)?;
        }
        if J::OUTER.1 {
            self.due.insert(&mut self.keys, time.plus_nanos(settled), entry)?;
        }
        Ok(self.right.insert(&mut self.keys, entry, time, row)?)
    }

    /// Fires what is due, within what the outbox takes.
    fn fire(&mut self, watermark: Timestamp, out: &mut Outbox<(J::Out, L, R)>) -> Result<Firing, OperatorError> {
        for _ in 0..FIRED_AT_ONCE {
            let Some((at, key, entry)) = self.due.next(watermark, &self.keys, out.symbols()) else {
                return Ok(Firing::Done);
            };
            if self.settle(at, (key, entry), out) == Firing::More {
                return Ok(Firing::More);
            }
            self.settled = 0;
            self.due.take_next(&mut self.keys);
            let (left, right) = self.interval.kept_for(J::OUTER);
            if self.left.drop_up_to(&mut self.keys, entry, at.minus_nanos(left)) > 0
                && let Some((first, _)) = self.left.first(entry)
            {
                self.due.insert(&mut self.keys, first.plus_nanos(left), entry)?;
            }
            if self.right.drop_up_to(&mut self.keys, entry, at.minus_nanos(right)) > 0
                && let Some((first, _)) = self.right.first(entry)
            {
                self.due.insert(&mut self.keys, first.plus_nanos(right), entry)?;
            }
            self.keys.remove_if_empty(entry);
        }
        Ok(if self.due.first() <= watermark { Firing::More } else { Firing::Done })
    }

    /// Gives the rows of a key that are settled at a time and met none.
    fn settle(
        &mut self,
        at: Timestamp,
        (key, entry): (CanonicalKey, usize),
        out: &mut Outbox<(J::Out, L, R)>,
    ) -> Firing {
        let (left, right) = self.interval.settled_after();
        let (left, right) = (at.minus_nanos(left), at.minus_nanos(right));
        let lefts = self.left.between(entry, left, left).filter(|_| J::OUTER.0);
        let lefts = lefts.map(|(time, row)| {
            let (first, last) = self.interval.of_left(*time);
            (self.right.between(entry, first, last).next().is_none(), Some(row), None)
        });
        let rights = self.right.between(entry, right, right).filter(|_| J::OUTER.1);
        let rights = rights.map(|(time, row)| {
            let (first, last) = self.interval.of_right(*time);
            (self.left.between(entry, first, last).next().is_none(), None, Some(row))
        });
        for (number, (is_alone, left, right)) in lefts.chain(rights).enumerate().skip(self.settled) {
            if out.is_full() {
                self.settled = number;
                return Firing::More;
            }
            if let Some(row) = self.join.join(left, right).filter(|_| is_alone) {
                out.emit_fired::<0>(at, key, row);
            }
        }
        Firing::Done
    }
}

impl<K, FL, FR, L, R, J> Operator for IntervalOperator<K, FL, FR, L, R, J>
where
    K: Key,
    L: Record,
    R: Record,
    FL: 'static,
    FR: 'static,
    J: JoinRows<L, R>,
{
    type Outputs = (J::Out, L, R);
    const LATE_OUTPUTS: &'static [usize] = &[1, 2];

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<(J::Out, L, R)>,
    ) -> Result<Firing, OperatorError> {
        self.fire(watermark, out)
    }

    fn next_firing(&self) -> Timestamp {
        self.due.first()
    }

    fn needs_watermarks(&self) -> bool {
        Self::FIRES
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("keys", &mut self.keys);
        show("left", &mut Of::new(&mut self.keys, &mut self.left));
        show("right", &mut Of::new(&mut self.keys, &mut self.right));
        show("due", &mut Of::new(&mut self.keys, &mut self.due));
    }
}

impl<K, FL, FR, L, R, J> OperatorInput<0> for IntervalOperator<K, FL, FR, L, R, J>
where
    K: Key,
    L: Record,
    R: Record,
    FL: Fn(&L) -> K + 'static,
    FR: 'static,
    J: JoinRows<L, R>,
{
    type Row = L;

    fn on_batch(&mut self, batch: Batch<'_, L>, out: &mut Outbox<(J::Out, L, R)>) -> Result<usize, OperatorError> {
        for (index, (&time, row)) in batch.times().iter().zip(batch.values()).enumerate() {
            if Self::FIRES && self.fire(batch.watermark(index), out)? == Firing::More {
                return Ok(index);
            }
            if batch.is_behind(index) {
                out.emit::<1>(index, time, *row);
                continue;
            }
            let key = blame::at_index(index, || (self.keys_of.0)(row));
            let entry = self.keys.find_or_insert(key)?;
            let (first, last) = self.interval.of_left(time);
            for (number, (other, met)) in self.right.between(entry, first, last).enumerate().skip(self.paired) {
                if out.is_full() {
                    self.paired = number;
                    return Ok(index);
                }
                if let Some(joined) = blame::at_index(index, || self.join.join(Some(row), Some(met))) {
                    out.emit::<0>(index, time.max(*other), joined);
                }
            }
            self.paired = 0;
            self.add_left(entry, time, *row)?;
        }
        Ok(batch.len())
    }
}

impl<K, FL, FR, L, R, J> OperatorInput<1> for IntervalOperator<K, FL, FR, L, R, J>
where
    K: Key,
    L: Record,
    R: Record,
    FL: 'static,
    FR: Fn(&R) -> K + 'static,
    J: JoinRows<L, R>,
{
    type Row = R;

    fn on_batch(&mut self, batch: Batch<'_, R>, out: &mut Outbox<(J::Out, L, R)>) -> Result<usize, OperatorError> {
        for (index, (&time, row)) in batch.times().iter().zip(batch.values()).enumerate() {
            if Self::FIRES && self.fire(batch.watermark(index), out)? == Firing::More {
                return Ok(index);
            }
            if batch.is_behind(index) {
                out.emit::<2>(index, time, *row);
                continue;
            }
            let key = blame::at_index(index, || (self.keys_of.1)(row));
            let entry = self.keys.find_or_insert(key)?;
            let (first, last) = self.interval.of_right(time);
            for (number, (other, met)) in self.left.between(entry, first, last).enumerate().skip(self.paired) {
                if out.is_full() {
                    self.paired = number;
                    return Ok(index);
                }
                if let Some(joined) = blame::at_index(index, || self.join.join(Some(met), Some(row))) {
                    out.emit::<0>(index, time.max(*other), joined);
                }
            }
            self.paired = 0;
            self.add_right(entry, time, *row)?;
        }
        Ok(batch.len())
    }
}
