//! What process functions keep for a key: a state, lists and maps, and timers.

mod processing;

pub(crate) use processing::Tick;

use crate::base::blame;
use crate::operator::emitted::Emitted;
use crate::operator::states::{KeyStates, StateStores, States};
use crate::operator::{Batch, Cause, Firing, OperatorError, OperatorOutput, Outbox};
use crate::store::ahead::FETCHED;
use crate::store::{KeyedTable, Of, Store, StoreSettings, Timers};
use crate::{Key, Record, Timestamp};
use processing::Processing;
use std::time::Duration;

/// What a process function can do besides changing its state.
pub struct ProcessContext<'a, Out: Emitted> {
    out: &'a mut Outbox<Out::Outputs>,
    asked: &'a mut Asked,
    call: Call,
    /// None where the function declares no lists and maps.
    pub(super) states: Option<KeyStates<'a>>,
}

/// What a function asks for.
#[derive(Default)]
struct Asked {
    timers: Vec<Timestamp>,
    /// Timers of these times are removed first.
    removed: Vec<Timestamp>,
    /// Whether the key's state is to be removed.
    clears: bool,
    /// Processing time, and what is asked of it, where the function needs it.
    processing: Option<Processing>,
}

impl Asked {
    fn is_nothing(&self) -> bool {
        let asks_nothing = self.processing.as_ref().is_none_or(Processing::asks_nothing);
        self.timers.is_empty() && self.removed.is_empty() && !self.clears && asks_nothing
    }
}

/// What a function is called for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) cause: Cause,
    /// Of the rows it emits.
    pub(crate) time: Timestamp,
    pub(crate) watermark: Timestamp,
    pub(crate) is_behind: bool,
}

impl Call {
    /// A call for row `index` of a batch.
    pub(crate) fn row(index: usize, time: Timestamp, watermark: Timestamp) -> Self {
        Self { cause: Cause::Row(index as u32), time, watermark, is_behind: time <= watermark }
    }
}

impl<Out: Emitted> ProcessContext<'_, Out> {
    /// Emits a row by the main output, at the time of the row or timer that caused it.
    #[inline(always)]
    pub fn emit(&mut self, row: Out::Main) {
        self.out.column_mut::<0>().push(self.call.time, row, self.call.cause);
    }

    /// Emits a row by output `OUTPUT`, of which 0 is the main one: see [`Emitted`].
    pub fn emit_to<const OUTPUT: usize>(&mut self, row: <Out::Outputs as OperatorOutput<OUTPUT>>::Row)
    where
        Out::Outputs: OperatorOutput<OUTPUT>,
    {
        if self.out.is_taken::<OUTPUT>() {
            self.out.column_mut::<OUTPUT>().push(self.call.time, row, self.call.cause);
        } else {
            self.out.count::<OUTPUT>(1);
        }
    }

    /// Has the key's timer fire when the watermark reaches `time`. A second one for the same time changes nothing.
    ///
    /// One that a row asks for at or before its watermark fires at once, behind the row. So does one that a timer asks
    /// for at or before its own time; if that one asks for another such, that is not fired, so that none goes on
    /// for ever.
    pub fn timer(&mut self, time: Timestamp) {
        self.asked.timers.push(time);
    }

    /// Removes the key's timer for `time`, also one that was asked for in this call; nothing changes where there is none.
    pub fn delete_timer(&mut self, time: Timestamp) {
        self.asked.timers.retain(|asked| *asked != time);
        self.asked.removed.push(time);
    }

    /// Removes the key's state once the function returns: it is zeros again, whatever the function makes of it, and its
    /// lists and maps are empty.
    pub fn clear_state(&mut self) {
        self.asked.clears = true;
    }

    /// The watermark before the row, or the time that a timer was due; [`Timestamp::MAX`] at the end of the input.
    pub fn watermark(&self) -> Timestamp {
        self.call.watermark
    }

    /// Whether the row lies at or before the watermark before it.
    pub fn is_behind(&self) -> bool {
        self.call.is_behind
    }
}

/// Timers that fire in one call, where the outbox does not fill up before.
pub(crate) const TIMERS_AT_ONCE: usize = if cfg!(test) { 8 } else { 1024 };

/// States, lists, maps and timers by key.
pub(crate) struct Keyed<K, S> {
    table: KeyedTable<K, S>,
    states: StateStores,
    timers: Timers,
    /// Timers behind this fire at the end of the input.
    end: Timestamp,
    asked: Asked,
}

impl<K: Key, S: Record> Keyed<K, S> {
    pub(crate) fn new(settings: &StoreSettings, time_to_live: Option<Duration>, states: &States) -> Self {
        let table = KeyedTable::new(settings).with_time_to_live(time_to_live);
        let (states, timers) = (StateStores::new(states, settings), Timers::new(settings));
        Self { table, states, timers, end: Timestamp::MAX, asked: Asked::default() }
    }

    /// The time of the first timer, or [`Timestamp::MAX`].
    #[inline(always)]
    pub(crate) const fn next_timer(&self) -> Timestamp {
        self.timers.first()
    }

    /// Timers behind `watermark` fire at the end of the input.
    pub(crate) const fn end_behind(&mut self, watermark: Timestamp) {
        self.end = watermark;
    }

    /// Calls `on_row` for a row of `key`, and `on_timer` for the timers of the past that it asks for.
    #[inline(always)]
    fn row<Out: Emitted>(
        &mut self,
        key: K,
        row_time: Timestamp,
        call: Call,
        out: &mut Outbox<Out::Outputs>,
        on_row: impl FnOnce(&K, &mut S, &mut ProcessContext<'_, Out>),
        on_timer: impl FnMut(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out>),
    ) -> Result<(), OperatorError> {
        let Self { table, states, asked, .. } = self;
        let entry = table.find_or_insert(key)?;
        table.touch(entry, row_time, call.watermark, |table, expired| states.clear(table, expired));
        let ((state, lent), mut place) = (table.lend(entry), None);
        let states = states.of(entry, lent, &mut place);
        let mut context = ProcessContext { out: &mut *out, asked, call, states };
        on_row(&key, state, &mut context);
        if self.asked.is_nothing() && self.states.is_empty() {
            return Ok(());
        }
        self.row_end(entry, call, out, on_timer)
    }

    /// What a row asked for, and what became of lists and maps.
    fn row_end<Out: Emitted>(
        &mut self,
        entry: usize,
        call: Call,
        out: &mut Outbox<Out::Outputs>,
        on_timer: impl FnMut(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out>),
    ) -> Result<(), OperatorError> {
        self.return_from_call(entry)?;
        // What a timer of the past emits is not late to anybody.
        let time = call.watermark.plus_nanos(1);
        self.take_asked(entry, call.watermark, Call { time, is_behind: false, ..call }, out, on_timer)?;
        self.table.remove_if_empty(entry);
        Ok(())
    }

    /// Makes zeros of the state of a key, and removes timers of it, where its function asked for that.
    ///
    /// # Errors
    /// When the function kept more rows than the limit allows.
    fn return_from_call(&mut self, entry: usize) -> Result<(), OperatorError> {
        if std::mem::take(&mut self.asked.clears) {
            *self.table.value_mut(entry) = S::zeroed();
            self.states.clear(&mut self.table, entry);
        }
        for time in self.asked.removed.drain(..) {
            self.timers.remove(&mut self.table, time, entry);
        }
        self.states.check()
    }

    /// Keeps the timers behind `reached` that were asked for, and fires the others at once; the rows that those emit
    /// have the time of `call` at least.
    fn take_asked<Out: Emitted>(
        &mut self,
        entry: usize,
        reached: Timestamp,
        call: Call,
        out: &mut Outbox<Out::Outputs>,
        mut on_timer: impl FnMut(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out>),
    ) -> Result<(), OperatorError> {
        let mut asked = std::mem::take(&mut self.asked.timers);
        asked.sort_unstable();
        asked.dedup();
        for &at in &asked {
            if at > reached {
                self.timers.insert(&mut self.table, at, entry)?;
                continue;
            }
            let call = Call { time: at.max(call.time), ..call };
            self.call_timer(entry, (at, at), call, out, &mut on_timer)?;
            for later in self.asked.timers.drain(..).filter(|later| *later > reached) {
                self.timers.insert(&mut self.table, later, entry)?;
            }
        }
        asked.clear();
        self.asked.timers = asked;
        let Self { table, asked, .. } = self;
        asked.processing.as_mut().map_or(Ok(()), |processing| processing.take_asked(table, entry))
    }

    /// Calls the function for a timer that was asked for at `at`, where event time has come to `reached`.
    fn call_timer<Out: Emitted>(
        &mut self,
        entry: usize,
        (at, reached): (Timestamp, Timestamp),
        call: Call,
        out: &mut Outbox<Out::Outputs>,
        on_timer: &mut impl FnMut(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out>),
    ) -> Result<(), OperatorError> {
        let Self { table, states, asked, .. } = self;
        let key = *table.key(entry);
        if table.expire(entry, reached) {
            states.clear(table, entry);
        }
        let ((state, lent), mut place) = (table.lend(entry), None);
        let states = states.of(entry, lent, &mut place);
        let mut context = ProcessContext { out, asked, call, states };
        on_timer(&key, at, state, &mut context);
        self.return_from_call(entry)
    }

    /// Fires the timers that `watermark` has reached, until `out` is full.
    pub(crate) fn fire<Out: Emitted>(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<Out::Outputs>,
        mut on_timer: impl FnMut(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out>),
    ) -> Result<Firing, OperatorError> {
        let mut left = TIMERS_AT_ONCE;
        while let Some((at, key, entry)) = self.timers.next(watermark, &self.table, out.symbols()) {
            if left == 0 || out.is_full() {
                return Ok(Firing::More);
            }
            left -= 1;
            self.timers.take_next(&mut self.table);
            let is_end = watermark == Timestamp::MAX || at > self.end;
            let shown = if is_end { Timestamp::MAX } else { at };
            let cause = Cause::Fired { time: at, key };
            let call = Call { cause, time: at, watermark: shown, is_behind: false };
            self.call_timer(entry, (at, at), call, out, &mut on_timer)?;
            if is_end {
                // The input has ended: a timer that renews itself would never stop.
                self.asked.timers.clear();
            }
            self.take_asked(entry, at, call, out, &mut on_timer)?;
            self.table.remove_if_empty(entry);
        }
        Ok(Firing::Done)
    }

    /// Takes rows of one input: fires the timers before each, and calls `on_row` for it. How many it took.
    #[inline(always)]
    pub(crate) fn take<Out: Emitted, T>(
        &mut self,
        batch: &Batch<'_, T>,
        out: &mut Outbox<Out::Outputs>,
        key_of: impl Fn(&T) -> K,
        on_row: impl Fn(&K, Timestamp, &T, &mut S, &mut ProcessContext<'_, Out>),
        on_timer: impl Fn(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out>),
    ) -> Result<usize, OperatorError> {
        for (index, (&time, row)) in batch.times().iter().zip(batch.values()).enumerate() {
            let watermark = batch.watermark(index);
            let has_fired = self.timers.first() > watermark || self.fire(watermark, out, &on_timer)? == Firing::Done;
            if !has_fired || out.is_full() {
                return Ok(index);
            }
            batch.ahead.fetch(row);
            if index.is_multiple_of(FETCHED) {
                let rows = batch.values()[index..].iter().take(FETCHED).enumerate();
                self.table.fetch(rows.map(|(next, row)| blame::at_index(index + next, || key_of(row))));
            }
            let call = Call::row(index, time, watermark);
            let on_row = |key: &K, state: &mut S, context: &mut ProcessContext<'_, Out>| {
                on_row(key, time, row, state, context);
            };
            blame::at_index(index, || self.row(key_of(row), time, call, out, on_row, &on_timer))?;
        }
        Ok(batch.len())
    }

    /// Shows the states, the timers, and the lists and maps.
    pub(crate) fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("state", &mut self.table);
        show("timers", &mut Of::new(&mut self.table, &mut self.timers));
        self.states.show(&mut self.table, show);
        if let Some(processing) = &mut self.asked.processing {
            show("processing timers", &mut Of::new(&mut self.table, &mut processing.timers));
            show("processing time", &mut processing.now);
        }
    }
}
