//! The as-of join: each row of the left stream with the latest row of the right stream up to its own time.
//!
//! A left row of time `t` meets the last right row, in order of (time, place), with its key and a time at or before
//! `t`, and no further back than the tolerance where there is one. That is known once the watermark of both streams has
//! come to `t`: then all left rows of that time are answered, in order of (key, place). Rows at or behind the
//! watermark are late.
//!
//! For each key there are kept: left rows behind the watermark; right rows behind it; and the latest right row before
//! it. Right rows that are older are dropped when a left row of their key is answered, and of all keys whenever the
//! rows have doubled or half of the room for them is gone.

use crate::base::blame;
use crate::base::time::duration_nanos;
use crate::operator::due::Due;
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, OperatorOutput, Outbox};
use crate::store::table::Table;
use crate::store::timed_rows::TimedRows;
use crate::{Key, Record, Slot, Timestamp, hash_key, slot_of};
use std::sync::Arc;
use std::time::Duration;

/// How far an as-of join looks back.
///
/// ```
/// use pelton::AsOf;
/// use std::time::Duration;
///
/// let any = AsOf::backward();
/// let recent = AsOf::backward().within(Duration::from_secs(5));
/// # let _ = (any, recent);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// In nanoseconds.
    tolerance: Option<i64>,
}

impl AsOf {
    /// The latest right row at or before the left row's time, however old it is.
    pub const fn backward() -> Self {
        Self { tolerance: None }
    }

    /// A right row counts only if it is at most so much older than the left row.
    pub fn within(self, tolerance: Duration) -> Self {
        Self { tolerance: Some(duration_nanos(tolerance)) }
    }

    /// Whether a right row of time `right` counts for a left row of time `left`, which is not before it.
    fn reaches(&self, left: Timestamp, right: Timestamp) -> bool {
        self.tolerance.is_none_or(|tolerance| left.minus_nanos(tolerance) <= right)
    }
}

impl std::fmt::Display for AsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.tolerance {
            Some(nanos) => write!(f, "backward within {:?}", Duration::from_nanos(nanos.unsigned_abs())),
            None => f.write_str("backward"),
        }
    }
}

/// The limits of a join on one worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JoinLimits {
    pub(crate) keys_max: usize,
    pub(crate) rows_max: usize,
}

/// What is kept for a key.
struct Sides<L, R> {
    left: TimedRows<L>,
    right: TimedRows<R>,
}

/// Left rows that are answered at once, where the outbox does not fill up before.
const ANSWERS_AT_ONCE: usize = 1024;
/// Fewer rows are not looked through for those that can be dropped.
const SWEEP_MIN: usize = 1024;

/// `J` gives the row for a left row and the right row that it met, or none where there is to be no row.
pub(crate) struct AsOfOperator<K, FL, FR, L, R, J> {
    step: Arc<str>,
    keys_of: (FL, FR),
    as_of: AsOf,
    join: J,
    limits: JoinLimits,
    index: Table<K, u8>,
    /// By the entry's number.
    sides: Vec<Sides<L, R>>,
    /// Rows of both sides.
    rows: usize,
    /// With so many rows, those that no left row to come can meet are dropped once the watermark comes to `sweep_due`.
    sweep_at: usize,
    sweep_due: Timestamp,
    /// Left rows that wait.
    waiting: Due,
    watermark: Timestamp,
}

impl<K: Key, FL, FR, L: Record, R: Record, J> AsOfOperator<K, FL, FR, L, R, J> {
    pub(crate) fn new(step: Arc<str>, keys_of: (FL, FR), as_of: AsOf, join: J, limits: JoinLimits) -> Self {
        Self {
            step,
            keys_of,
            as_of,
            join,
            limits,
            index: Table::new(),
            sides: Vec::new(),
            rows: 0,
            sweep_at: SWEEP_MIN,
            sweep_due: Timestamp::MAX,
            waiting: Due::new(),
            watermark: Timestamp::MIN,
        }
    }

    /// The number of a key's sides, which are made where they are new.
    fn sides_of(&mut self, key: K) -> Result<usize, OperatorError> {
        let number = self.index.find_or_insert(key, hash_key(&key));
        if number == self.sides.len() {
            if number == self.limits.keys_max {
                return Err(OperatorError::TooManyKeys(self.limits.keys_max));
            }
            self.sides.push(Sides { left: TimedRows::default(), right: TimedRows::default() });
        }
        Ok(number)
    }

    /// Takes rows of one side with `add`; late ones leave by output `LATE`. How many it took.
    fn take<T: Record, O: OperatorOutput<LATE, Row = T>, const LATE: usize>(
        &mut self,
        batch: &Batch<'_, T>,
        out: &mut Outbox<O>,
        add: impl Fn(&mut Self, usize, Timestamp, &T) -> Result<(), OperatorError>,
    ) -> Result<usize, OperatorError> {
        for (index, (&time, row)) in batch.times().iter().zip(batch.values()).enumerate() {
            // Answers that are due before a late row have to leave before it.
            if batch.is_in_order && index > 0 && self.waiting.first() <= batch.watermark(index) {
                return Ok(index);
            }
            if batch.is_behind(index) {
                out.emit::<LATE>(index, time, *row);
            } else {
                add(self, index, time, row)?;
            }
        }
        Ok(batch.len())
    }

    fn count_row(&mut self) -> Result<(), OperatorError> {
        self.rows += 1;
        if self.rows > self.limits.rows_max {
            return Err(OperatorError::TooManyRows(self.limits.rows_max));
        }
        Ok(())
    }

    fn add_left(&mut self, key: K, time: Timestamp, row: L) -> Result<(), OperatorError> {
        let number = self.sides_of(key)?;
        self.count_row()?;
        self.sides[number].left.insert(time, row);
        self.waiting.insert(time, number as u32);
        Ok(())
    }

    fn add_right(&mut self, key: K, time: Timestamp, row: R) -> Result<(), OperatorError> {
        let number = self.sides_of(key)?;
        self.count_row()?;
        self.sides[number].right.insert(time, row);
        // The row's own time, which no watermark has come to yet.
        if self.rows >= self.sweep_at && self.sweep_due == Timestamp::MAX {
            self.sweep_due = time;
        }
        Ok(())
    }

    /// Drops right rows that no left row behind the watermark meets; none before it waits any more.
    fn sweep(&mut self) {
        let watermark = self.watermark;
        let dropped = |sides: &mut Sides<L, R>| sides.right.drop_before_latest(watermark);
        self.rows -= self.sides.iter_mut().map(dropped).sum::<usize>();
        // Half of the room there is, so that the work stays in proportion to the rows that come.
        self.sweep_at = SWEEP_MIN.max((2 * self.rows).min(self.rows.midpoint(self.limits.rows_max)));
        self.sweep_due = Timestamp::MAX;
    }
}

impl<K, FL, FR, L, R, J, Out> Operator for AsOfOperator<K, FL, FR, L, R, J>
where
    K: Key,
    L: Record,
    R: Record,
    Out: Record,
    FL: 'static,
    FR: 'static,
    J: JoinRows<L, R, Out = Out>,
{
    type Outputs = (Out, L, R);

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<(Out, L, R)>) -> Result<Firing, OperatorError> {
        let mut left = ANSWERS_AT_ONCE;
        while let Some((at, key, number)) = self.waiting.next(watermark, &self.index, out.symbols()) {
            let sides = &mut self.sides[number as usize];
            let found = sides.right.latest_at(at).filter(|(time, _)| self.as_of.reaches(at, *time)).copied();
            while let Some((_, row)) = sides.left.first().filter(|(time, _)| *time == at).copied() {
                if left == 0 || out.is_full() {
                    return Ok(Firing::More);
                }
                left -= 1;
                sides.left.pop_first();
                self.rows -= 1;
                if let Some(joined) = self.join.join(&row, found.as_ref().map(|(_, right)| right)) {
                    out.emit_fired::<0>(at, key, joined);
                }
            }
            self.rows -= sides.right.drop_before_latest(at);
            self.waiting.take_next();
        }
        self.watermark = self.watermark.max(watermark);
        if self.sweep_due <= self.watermark {
            self.sweep();
        }
        Ok(Firing::Done)
    }

    fn next_firing(&self) -> Timestamp {
        self.waiting.first().min(self.sweep_due)
    }

    fn needs_watermarks(&self) -> bool {
        false
    }

    fn save(&self, piece: &mut dyn FnMut(Slot, &[u8])) {
        let mut bytes = Vec::new();
        for (entry, sides) in self.index.entries().zip(&self.sides) {
            bytes.clear();
            bytes.extend_from_slice(bytemuck::bytes_of(&entry.key));
            bytes.extend_from_slice(&(sides.left.len() as u64).to_le_bytes());
            for (time, row) in sides.left.iter() {
                bytes.extend_from_slice(&time.as_nanos().to_le_bytes());
                bytes.extend_from_slice(bytemuck::bytes_of(row));
            }
            for (time, row) in sides.right.iter() {
                bytes.extend_from_slice(&time.as_nanos().to_le_bytes());
                bytes.extend_from_slice(bytemuck::bytes_of(row));
            }
            piece(slot_of(hash_key(&entry.key)), &bytes);
        }
    }

    fn restore(&mut self, slot: Slot, piece: &[u8]) -> Result<(), OperatorError> {
        let step = self.step.clone();
        let misfit = |what: &str| OperatorError::Misfit(format!("{what} in a piece of slot {slot} of {step}"));
        let Some((key, rest)) = piece.split_at_checked(size_of::<K>()) else { return Err(misfit("no key")) };
        let key: K = bytemuck::pod_read_unaligned(key);
        if slot_of(hash_key(&key)) != slot {
            return Err(misfit("a key of another slot"));
        }
        let Some((count, rest)) = rest.split_first_chunk::<8>() else { return Err(misfit("no number of rows")) };
        let (left_size, right_size) = (8 + size_of::<L>(), 8 + size_of::<R>());
        let left_bytes =
            usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(left_size));
        let Some((left, right)) = left_bytes.and_then(|bytes| rest.split_at_checked(bytes)) else {
            return Err(misfit("a wrong number of rows"));
        };
        if !right.len().is_multiple_of(right_size) {
            return Err(misfit("a wrong length"));
        }
        let time_of = |bytes: &[u8]| Timestamp::from_nanos(i64::from_le(bytemuck::pod_read_unaligned(bytes)));
        for row in left.chunks_exact(left_size) {
            self.add_left(key, time_of(&row[..8]), bytemuck::pod_read_unaligned(&row[8..]))?;
        }
        for row in right.chunks_exact(right_size) {
            self.add_right(key, time_of(&row[..8]), bytemuck::pod_read_unaligned(&row[8..]))?;
        }
        // The watermark may have come to their times before; rows to come ask for the sweep.
        self.sweep_due = Timestamp::MAX;
        Ok(())
    }
}

impl<K, FL, FR, L, R, J, Out> OperatorInput<0> for AsOfOperator<K, FL, FR, L, R, J>
where
    K: Key,
    L: Record,
    R: Record,
    Out: Record,
    FL: Fn(&L) -> K + 'static,
    FR: 'static,
    J: JoinRows<L, R, Out = Out>,
{
    type Row = L;

    fn on_batch(&mut self, batch: Batch<'_, L>, out: &mut Outbox<(Out, L, R)>) -> Result<usize, OperatorError> {
        self.take::<_, _, 1>(&batch, out, |join, index, time, row| {
            let key = blame::at_index(index, || (join.keys_of.0)(row));
            join.add_left(key, time, *row)
        })
    }
}

impl<K, FL, FR, L, R, J, Out> OperatorInput<1> for AsOfOperator<K, FL, FR, L, R, J>
where
    K: Key,
    L: Record,
    R: Record,
    Out: Record,
    FL: 'static,
    FR: Fn(&R) -> K + 'static,
    J: JoinRows<L, R, Out = Out>,
{
    type Row = R;

    fn on_batch(&mut self, batch: Batch<'_, R>, out: &mut Outbox<(Out, L, R)>) -> Result<usize, OperatorError> {
        self.take::<_, _, 2>(&batch, out, |join, index, time, row| {
            let key = blame::at_index(index, || (join.keys_of.1)(row));
            join.add_right(key, time, *row)
        })
    }
}

/// Makes a row of a left row and the right row that it met.
pub(crate) trait JoinRows<L, R>: 'static {
    type Out: Record;

    /// The row for a left row, where there is to be one.
    fn join(&self, left: &L, right: Option<&R>) -> Option<Self::Out>;
}

/// Gives a row for each pair.
#[derive(Clone)]
pub(crate) struct Inner<J>(pub(crate) J);

impl<L, R, Out: Record, J: Fn(&L, &R) -> Out + 'static> JoinRows<L, R> for Inner<J> {
    type Out = Out;

    fn join(&self, left: &L, right: Option<&R>) -> Option<Out> {
        right.map(|right| (self.0)(left, right))
    }
}

/// Gives a row for each left row, whether it met a right one or not.
#[derive(Clone)]
pub(crate) struct LeftOuter<J>(pub(crate) J);

impl<L, R, Out: Record, J: Fn(&L, Option<&R>) -> Out + 'static> JoinRows<L, R> for LeftOuter<J> {
    type Out = Out;

    fn join(&self, left: &L, right: Option<&R>) -> Option<Out> {
        Some((self.0)(left, right))
    }
}
