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
use crate::operator::join::JoinRows;
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, OperatorOutput, Outbox};
use crate::store::{KeyedRows, KeyedTable, Of, Store, StoreSettings, Timers};
use crate::{Key, Record, Timestamp};
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

/// Left rows that are answered at once, where the outbox does not fill up before.
const ANSWERS_AT_ONCE: usize = if cfg!(test) { 8 } else { 1024 };
/// Fewer rows are not looked through for those that can be dropped.
const SWEEP_MIN: usize = if cfg!(test) { 8 } else { 1024 };

/// `J` gives the row for a left row and the right row that it met, or none where there is to be no row.
pub(crate) struct AsOfOperator<K, FL, FR, L, R, J> {
    keys_of: (FL, FR),
    as_of: AsOf,
    join: J,
    keys: KeyedTable<K, ()>,
    left: KeyedRows<L>,
    right: KeyedRows<R>,
    /// With so many right rows, those that no left row to come can meet are dropped once the watermark comes to `sweep_due`.
    sweep_at: usize,
    sweep_due: Timestamp,
    /// Left rows that wait.
    waiting: Timers,
    watermark: Timestamp,
}

impl<K: Key, FL, FR, L: Record, R: Record, J> AsOfOperator<K, FL, FR, L, R, J> {
    pub(crate) fn new(keys_of: (FL, FR), as_of: AsOf, join: J, settings: &StoreSettings) -> Self {
        Self {
            keys_of,
            as_of,
            join,
            keys: KeyedTable::new(settings),
            left: KeyedRows::new(settings),
            right: KeyedRows::new(settings),
            sweep_at: SWEEP_MIN,
            sweep_due: Timestamp::MAX,
            waiting: Timers::new(&StoreSettings { timers_max: usize::MAX, ..*settings }),
            watermark: Timestamp::MIN,
        }
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

    fn add_left(&mut self, key: K, time: Timestamp, row: L) -> Result<(), OperatorError> {
        let entry = self.keys.find_or_insert(key)?;
        self.left.insert(&mut self.keys, entry, time, row)?;
        self.waiting.insert(&mut self.keys, time, entry)?;
        Ok(())
    }

    fn add_right(&mut self, key: K, time: Timestamp, row: R) -> Result<(), OperatorError> {
        let entry = self.keys.find_or_insert(key)?;
        self.right.insert(&mut self.keys, entry, time, row)?;
        // The row's own time, which no watermark has come to yet.
        if self.right.len() >= self.sweep_at && self.sweep_due == Timestamp::MAX {
            self.sweep_due = time;
        }
        Ok(())
    }

    /// Drops right rows that no left row behind the watermark meets; none before it waits any more.
    fn sweep(&mut self) {
        let entries: Vec<usize> = self.keys.entries().map(|(entry, _, ())| entry).collect();
        entries.into_iter().for_each(|entry| self.right.drop_before_latest(&mut self.keys, entry, self.watermark));
        // Half of the room there is, so that the work stays in proportion to the rows that come.
        let rows = self.right.len();
        self.sweep_at = SWEEP_MIN.max((2 * rows).min(rows.midpoint(self.right.limit())));
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
    const LATE_OUTPUTS: &'static [usize] = &[1, 2];

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<(Out, L, R)>) -> Result<Firing, OperatorError> {
        let mut room = ANSWERS_AT_ONCE;
        while let Some((at, key, entry)) = self.waiting.next(watermark, &self.keys, out.symbols()) {
            let found = self.right.latest_at(entry, at).filter(|(time, _)| self.as_of.reaches(at, *time)).copied();
            while let Some((_, row)) = self.left.first(entry).filter(|(time, _)| *time == at).copied() {
                if room == 0 || out.is_full() {
                    return Ok(Firing::More);
                }
                room -= 1;
                self.left.pop_first(&mut self.keys, entry);
                if let Some(joined) = self.join.join(Some(&row), found.as_ref().map(|(_, right)| right)) {
                    out.emit_fired::<0>(at, key, joined);
                }
            }
            self.right.drop_before_latest(&mut self.keys, entry, at);
            self.waiting.take_next(&mut self.keys);
            self.keys.remove_if_empty(entry);
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

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("keys", &mut self.keys);
        show("left", &mut Of::new(&mut self.keys, &mut self.left));
        show("right", &mut Of::new(&mut self.keys, &mut self.right));
        show("waiting", &mut Of::new(&mut self.keys, &mut self.waiting));
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
