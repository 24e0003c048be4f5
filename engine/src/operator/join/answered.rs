//! Joins whose left rows wait until the watermark tells what they meet: one answer to each left row.
//!
//! A left row is answered at a time that follows from its own, once the watermark of both streams has come there: then all
//! left rows of that time are answered, in order of (key, place), and the rows that are given have that time. Rows at or behind
//! the watermark are late.
//!
//! For each key there are kept: left rows that wait, and right rows that a left row may still meet. Others are dropped when a
//! left row of their key is answered, and of all keys whenever the rows have doubled or half of the room for them is gone.

use crate::base::blame;
use crate::operator::join::JoinRows;
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, OperatorOutput, Outbox};
use crate::store::{KeyedRows, KeyedTable, Of, Store, StoreSettings, Timers};
use crate::{Key, Record, Timestamp};

/// What a left row meets among the right rows of its key.
pub(crate) trait Answer<R>: 'static {
    type Met;

    /// When a left row of this time is answered, which is not before it.
    fn answered_at(&self, left: Timestamp) -> Timestamp;

    /// What a left row of this time meets, where it meets anything. Takes from `room` as many as there were rows to be looked
    /// at one by one.
    fn find(&self, rights: &KeyedRows<R>, entry: usize, left: Timestamp, room: &mut usize) -> Option<Self::Met>;

    /// Drops the right rows of a key that no left row of this time or a later one meets.
    fn drop_before<K: Key>(
        &self,
        rights: &mut KeyedRows<R>,
        keys: &mut KeyedTable<K, ()>,
        entry: usize,
        left: Timestamp,
    );
}

/// Left rows that are answered at once, where the outbox does not fill up before.
const ANSWERS_AT_ONCE: usize = if cfg!(test) { 8 } else { 1024 };
/// Fewer rows are not looked through for those that can be dropped.
const SWEEP_MIN: usize = if cfg!(test) { 8 } else { 1024 };

/// `J` gives the row for a left row and the right row that it met, or none where there is to be no row.
pub(crate) struct AnsweredOperator<K, FL, FR, L, R, W, J> {
    keys_of: (FL, FR),
    answer: W,
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

impl<K: Key, FL, FR, L: Record, R: Record, W: Answer<R>, J> AnsweredOperator<K, FL, FR, L, R, W, J> {
    pub(crate) fn new(keys_of: (FL, FR), answer: W, join: J, settings: &StoreSettings) -> Self {
        Self {
            keys_of,
            answer,
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
        self.waiting.insert(&mut self.keys, self.answer.answered_at(time), entry)?;
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

    /// Drops the right rows of a key that no left row meets which waits, or comes once the watermark has come here.
    fn drop_unneeded(&mut self, entry: usize, watermark: Timestamp) {
        let next = watermark.plus_nanos(1);
        let next = self.left.first(entry).map_or(next, |(first, _)| next.min(*first));
        self.answer.drop_before(&mut self.right, &mut self.keys, entry, next);
        self.keys.remove_if_empty(entry);
    }

    /// Drops right rows that no left row meets any more.
    fn sweep(&mut self) {
        let entries: Vec<usize> = self.keys.entries().map(|(entry, _, ())| entry).collect();
        entries.into_iter().for_each(|entry| self.drop_unneeded(entry, self.watermark));
        // Half of the room there is, so that the work stays in proportion to the rows that come.
        let rows = self.right.len();
        self.sweep_at = SWEEP_MIN.max((2 * rows).min(rows.midpoint(self.right.limit())));
        self.sweep_due = Timestamp::MAX;
    }
}

impl<K, FL, FR, L, R, W, J, Out> Operator for AnsweredOperator<K, FL, FR, L, R, W, J>
where
    K: Key,
    L: Record,
    R: Record,
    Out: Record,
    FL: 'static,
    FR: 'static,
    W: Answer<R>,
    J: JoinRows<L, W::Met, Out = Out>,
{
    type Outputs = (Out, L, R);
    const LATE_OUTPUTS: &'static [usize] = &[1, 2];

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<(Out, L, R)>) -> Result<Firing, OperatorError> {
        let mut room = ANSWERS_AT_ONCE;
        while let Some((at, key, entry)) = self.waiting.next(watermark, &self.keys, out.symbols()) {
            while let Some((time, row)) = self.left.first(entry).copied()
                && self.answer.answered_at(time) == at
            {
                if room == 0 || out.is_full() {
                    return Ok(Firing::More);
                }
                room -= 1;
                let found = self.answer.find(&self.right, entry, time, &mut room);
                self.left.pop_first(&mut self.keys, entry);
                if let Some(joined) = self.join.join(Some(&row), found.as_ref()) {
                    out.emit_fired::<0>(at, key, joined);
                }
            }
            self.waiting.take_next(&mut self.keys);
            self.drop_unneeded(entry, at);
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

impl<K, FL, FR, L, R, W, J, Out> OperatorInput<0> for AnsweredOperator<K, FL, FR, L, R, W, J>
where
    K: Key,
    L: Record,
    R: Record,
    Out: Record,
    FL: Fn(&L) -> K + 'static,
    FR: 'static,
    W: Answer<R>,
    J: JoinRows<L, W::Met, Out = Out>,
{
    type Row = L;

    fn on_batch(&mut self, batch: Batch<'_, L>, out: &mut Outbox<(Out, L, R)>) -> Result<usize, OperatorError> {
        self.take::<_, _, 1>(&batch, out, |join, index, time, row| {
            let key = blame::at_index(index, || (join.keys_of.0)(row));
            join.add_left(key, time, *row)
        })
    }
}

impl<K, FL, FR, L, R, W, J, Out> OperatorInput<1> for AnsweredOperator<K, FL, FR, L, R, W, J>
where
    K: Key,
    L: Record,
    R: Record,
    Out: Record,
    FL: 'static,
    FR: Fn(&R) -> K + 'static,
    W: Answer<R>,
    J: JoinRows<L, W::Met, Out = Out>,
{
    type Row = R;

    fn on_batch(&mut self, batch: Batch<'_, R>, out: &mut Outbox<(Out, L, R)>) -> Result<usize, OperatorError> {
        self.take::<_, _, 2>(&batch, out, |join, index, time, row| {
            let key = blame::at_index(index, || (join.keys_of.1)(row));
            join.add_right(key, time, *row)
        })
    }
}
