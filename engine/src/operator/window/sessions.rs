//! Sessions that fire once: of each key the newest one is a value of the table of keys.
//!
//! ```text
//! key ──► newest session [start, end, due, acc]      most rows have to do with this one alone
//!     └─► older sessions by start                    only while rows come out of order
//! ```
//! A session has a timer for the last nanosecond that it had when the timer was set (`due`). Rows move its end and leave the
//! timer where it is; when that fires too early, it asks for another. So a row in order costs a look at its key. Sessions
//! with triggers or allowed lateness are kept in `per_key.rs`.

use crate::base::blame;
use crate::operator::aggregate::{WindowAggregate, lend, packed_layout};
use crate::operator::keyed::TIMERS_AT_ONCE;
use crate::operator::window::{Pane, Session, Timing, Window};
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::ahead::FETCHED;
use crate::store::{KeyedMaps, KeyedTable, Of, Store, StoreSettings, Timers};
use crate::{Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;

/// A session; zeros where there is none.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(crate) struct Open<V> {
    is_open: u8,
    start: Timestamp,
    end: Timestamp,
    /// The time of its timer, at or before its last nanosecond.
    due: Timestamp,
    acc: V,
}

impl<V: Record> Record for Open<V> {
    fn layout() -> Layout {
        let time = Timestamp::layout;
        let parts =
            [("is_open", u8::layout()), ("start", time()), ("end", time()), ("due", time()), ("acc", V::layout())];
        packed_layout("Open", &parts)
    }
}

impl<V: Record> Open<V> {
    fn new(window: Window, due: Timestamp) -> Self {
        Self { is_open: 1, start: window.start, end: window.end, due, acc: V::zeroed() }
    }

    fn window(&self) -> Window {
        Window { start: self.start, end: self.end }
    }

    fn last(&self) -> Timestamp {
        { self.end }.minus_nanos(1)
    }

    #[inline(always)]
    fn lend_acc(&mut self, change: impl FnOnce(&mut V)) {
        lend(&mut bytemuck::bytes_of_mut(self)[offset_of!(Self, acc)..], change);
    }

    /// Whether a window overlaps or touches it.
    fn meets(&self, window: Window) -> bool {
        self.is_open == 1 && { self.start } <= window.end && window.start <= { self.end }
    }
}

pub(crate) struct SessionOperator<K, F, A: WindowAggregate<K>> {
    sessions: Session<A::In>,
    key_of: F,
    aggregate: A,
    newest: KeyedTable<K, Open<A::Acc>>,
    /// By start. They neither overlap nor touch each other or the newest one, which begins behind them all.
    older: KeyedMaps<Timestamp, Open<A::Acc>>,
    timers: Timers,
}

impl<K: Key, F, A: WindowAggregate<K>> SessionOperator<K, F, A> {
    pub(crate) fn new(sessions: Session<A::In>, key_of: F, aggregate: A, settings: &StoreSettings) -> Self {
        let (newest, older) = (KeyedTable::new(settings), KeyedMaps::new(settings));
        Self { sessions, key_of, aggregate, newest, older, timers: Timers::new(settings) }
    }

    /// Adds a row to the session of its key. Whether it is late.
    #[inline(always)]
    fn add(&mut self, key: K, time: Timestamp, row: &A::In, watermark: Timestamp) -> Result<bool, OperatorError> {
        let gap = self.sessions.0.of(row);
        if gap <= 0 {
            return Err(OperatorError::Failed(format!("the row at {time} has a session gap of 0")));
        }
        let end = time.plus_nanos(gap);
        let entry = self.newest.find_or_insert(key)?;
        let newest = self.newest.value_mut(entry);
        // All sessions that are open end behind the watermark, so the row is not late.
        if newest.is_open == 1 && { newest.start } <= time && time <= { newest.end } {
            newest.end = { newest.end }.max(end);
            newest.lend_acc(|acc| self.aggregate.add(acc, time, row));
            return Ok(false);
        }
        self.add_elsewhere(entry, Window { start: time, end }, row, watermark)
    }

    /// Adds a row that is not simply the newest session's next.
    #[inline(never)]
    fn add_elsewhere(
        &mut self,
        entry: usize,
        own: Window,
        row: &A::In,
        watermark: Timestamp,
    ) -> Result<bool, OperatorError> {
        let mut whole = self.take_met(entry, own);
        let is_new = whole.is_open == 0;
        if is_new {
            if own.max_timestamp() <= watermark {
                self.newest.remove_if_empty(entry);
                return Ok(true);
            }
            whole = Open::new(own, own.max_timestamp());
        }
        // A session that it meets is open and ends behind the watermark.
        (whole.start, whole.end) = ({ whole.start }.min(own.start), { whole.end }.max(own.end));
        whole.lend_acc(|acc| self.aggregate.add(acc, own.start, row));
        if is_new {
            self.timers.insert(&mut self.newest, whole.due, entry)?;
        }
        self.keep(entry, whole)?;
        Ok(false)
    }

    /// Takes away all sessions of a key that a window overlaps or touches, as one; zeros where there is none.
    fn take_met(&mut self, entry: usize, own: Window) -> Open<A::Acc> {
        let mut whole = Open::<A::Acc>::zeroed();
        let mut first = self.older.range(entry, ..=own.start).next_back().map_or(own.start, |(start, _)| *start);
        loop {
            let met = self.older.range(entry, first..=own.end).find(|(_, session)| session.meets(own));
            let Some(start) = met.map(|(start, _)| *start) else { break };
            let Some(part) = self.older.remove(&mut self.newest, entry, &start) else { break };
            self.join(&mut whole, part);
            first = start;
        }
        let newest = *self.newest.value(entry);
        if newest.meets(own) {
            *self.newest.value_mut(entry) = Open::zeroed();
            self.join(&mut whole, newest);
        }
        whole
    }

    /// Adds a session to those before it. The timers of both stay; that of the first one goes on.
    fn join(&self, whole: &mut Open<A::Acc>, later: Open<A::Acc>) {
        if whole.is_open == 0 {
            *whole = later;
            return;
        }
        whole.end = { whole.end }.max(later.end);
        whole.lend_acc(|acc| self.aggregate.merge(acc, &{ later.acc }));
    }

    /// Keeps a session where it belongs.
    fn keep(&mut self, entry: usize, session: Open<A::Acc>) -> Result<(), OperatorError> {
        let newest = *self.newest.value(entry);
        let (older, newest) = match newest.is_open == 1 {
            false => (None, session),
            true if { newest.start } < { session.start } => (Some(newest), session),
            true => (Some(session), newest),
        };
        *self.newest.value_mut(entry) = newest;
        if let Some(older) = older {
            self.older.insert(&mut self.newest, entry, older.start, older)?;
        }
        Ok(())
    }

    /// Takes away the session of a key whose timer this is, where it is over then; gives it another timer where it is not.
    fn take_over(&mut self, entry: usize, at: Timestamp) -> Result<Option<Open<A::Acc>>, OperatorError> {
        let Self { newest, older, timers, .. } = self;
        let session = newest.value(entry);
        // No two sessions of a key have a timer of one time.
        if session.is_open == 1 && { session.due } == at {
            if session.last() <= at {
                return Ok(Some(std::mem::replace(newest.value_mut(entry), Open::zeroed())));
            }
            let due = session.last();
            newest.value_mut(entry).due = due;
            timers.insert(newest, due, entry)?;
            return Ok(None);
        }
        let has_timer = |(_, session): &(&Timestamp, &Open<A::Acc>)| { session.due } == at;
        let start = older.range(entry, ..=at).rev().find(has_timer).map(|(start, _)| *start);
        // The timer of a session that was joined to another has nothing to do.
        let Some(start) = start else { return Ok(None) };
        let Some(session) = older.get_mut(newest, entry, &start) else { return Ok(None) };
        if session.last() <= at {
            return Ok(older.remove(newest, entry, &start));
        }
        session.due = session.last();
        let due = session.due;
        timers.insert(newest, due, entry)?;
        Ok(None)
    }

    /// Fires what `watermark` has reached, until `out` is full.
    fn fire_due(&mut self, watermark: Timestamp, out: &mut Outbox<(A::Out, A::In)>) -> Result<Firing, OperatorError> {
        let mut left = TIMERS_AT_ONCE;
        while let Some((at, key, entry)) = self.timers.next(watermark, &self.newest, out.symbols()) {
            if left == 0 || out.is_full() {
                return Ok(Firing::More);
            }
            left -= 1;
            self.timers.take_next(&mut self.newest);
            if let Some(session) = self.take_over(entry, at)? {
                let pane = Pane { window: session.window(), number: 0, timing: Timing::OnTime };
                let row = self.aggregate.result(&pane, self.newest.key(entry), &{ session.acc });
                out.emit_fired::<0>(at, key, row);
            }
            self.newest.remove_if_empty(entry);
        }
        Ok(Firing::Done)
    }
}

impl<K, F, A> Operator for SessionOperator<K, F, A>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: WindowAggregate<K>,
{
    type Outputs = (A::Out, A::In);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<(A::Out, A::In)>,
    ) -> Result<Firing, OperatorError> {
        self.fire_due(watermark, out)
    }

    fn next_firing(&self) -> Timestamp {
        self.timers.first()
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("newest", &mut self.newest);
        show("older", &mut Of::new(&mut self.newest, &mut self.older));
        show("timers", &mut Of::new(&mut self.newest, &mut self.timers));
    }
}

impl<K, F, A> OperatorInput<0> for SessionOperator<K, F, A>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: WindowAggregate<K>,
{
    type Row = A::In;

    fn on_batch(&mut self, batch: Batch<'_, A::In>, out: &mut Outbox<(A::Out, A::In)>) -> Result<usize, OperatorError> {
        for (index, (&time, row)) in batch.times().iter().zip(batch.values()).enumerate() {
            let watermark = batch.watermark(index);
            let has_fired = self.timers.first() > watermark || self.fire_due(watermark, out)? == Firing::Done;
            if !has_fired || out.is_full() {
                return Ok(index);
            }
            if index.is_multiple_of(FETCHED) {
                let rows = batch.values()[index..].iter().take(FETCHED).enumerate();
                self.newest.fetch(rows.map(|(next, row)| blame::at_index(index + next, || (self.key_of)(row))));
            }
            let is_late = blame::at_index(index, || self.add((self.key_of)(row), time, row, watermark))?;
            if is_late {
                out.emit::<1>(index, time, *row);
            }
        }
        Ok(batch.len())
    }
}
