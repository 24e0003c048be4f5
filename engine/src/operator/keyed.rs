//! What process functions keep for a key: a state, and timers.

use crate::base::blame;
use crate::operator::due::Due;
use crate::operator::{Batch, Cause, Firing, OperatorError, OperatorOutput, OutColumns, Outbox};
use crate::store::table::Table;
use crate::{Key, Record, Slot, Timestamp, hash_key, slot_of};
use std::marker::PhantomData;

/// What a process function can do besides changing its state.
pub struct ProcessContext<'a, Out: Record, In = ()> {
    out: &'a mut OutColumns<Out>,
    asked: &'a mut Vec<Timestamp>,
    call: Call,
    rows: PhantomData<fn(In)>,
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

impl<Out: Record, In> ProcessContext<'_, Out, In> {
    /// Emits a row at the time of the row or timer that caused it.
    pub fn emit(&mut self, row: Out) {
        self.out.push(self.call.time, row, self.call.cause);
    }

    /// Has the key's timer fire when the watermark reaches `time`. A second one for the same time changes nothing.
    ///
    /// One that a row asks for at or before its watermark fires at once, behind the row. So does one that a timer asks
    /// for at or before its own time; if that one asks for another such, that is not fired, so that none goes on
    /// for ever.
    pub fn timer(&mut self, time: Timestamp) {
        self.asked.push(time);
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

/// The limits of a process function on one worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessLimits {
    pub(crate) keys_max: usize,
    pub(crate) timers_max: usize,
}

/// Timers that fire in one call, where the outbox does not fill up before.
const TIMERS_AT_ONCE: usize = 1024;

/// States and timers by key.
pub(crate) struct Keyed<K, S> {
    limits: ProcessLimits,
    table: Table<K, S>,
    timers: Due,
    /// Timers behind this fire at the end of the input.
    end: Timestamp,
    asked: Vec<Timestamp>,
}

impl<K: Key, S: Record> Keyed<K, S> {
    pub(crate) fn new(limits: ProcessLimits) -> Self {
        Self { limits, table: Table::new(), timers: Due::new(), end: Timestamp::MAX, asked: Vec::new() }
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
    fn row<Out: Record, In>(
        &mut self,
        key: K,
        call: Call,
        out: &mut OutColumns<Out>,
        on_row: impl FnOnce(&K, &mut S, &mut ProcessContext<'_, Out, In>),
        on_timer: impl FnMut(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out, In>),
    ) -> Result<(), OperatorError> {
        let number = self.table.find_or_insert(key, hash_key(&key));
        let mut context = ProcessContext { out: &mut *out, asked: &mut self.asked, call, rows: PhantomData };
        on_row(&key, &mut self.table.entry_mut(number).value, &mut context);
        if self.table.len() > self.limits.keys_max {
            return Err(OperatorError::TooManyKeys(self.limits.keys_max));
        }
        if self.asked.is_empty() {
            return Ok(());
        }
        // What a timer of the past emits is not late to anybody.
        let time = call.watermark.plus_nanos(1);
        self.take_asked(number as u32, call.watermark, Call { time, is_behind: false, ..call }, out, on_timer)
    }

    /// Keeps the timers behind `reached` that were asked for, and fires the others at once; the rows that those emit
    /// have the time of `call` at least.
    fn take_asked<Out: Record, In>(
        &mut self,
        number: u32,
        reached: Timestamp,
        call: Call,
        out: &mut OutColumns<Out>,
        mut on_timer: impl FnMut(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out, In>),
    ) -> Result<(), OperatorError> {
        let mut asked = std::mem::take(&mut self.asked);
        asked.sort_unstable();
        asked.dedup();
        for &at in &asked {
            if at > reached {
                self.timers.insert(at, number);
                continue;
            }
            self.call_timer(number, at, Call { time: at.max(call.time), ..call }, out, &mut on_timer);
            for later in self.asked.drain(..).filter(|later| *later > reached) {
                self.timers.insert(later, number);
            }
        }
        asked.clear();
        self.asked = asked;
        if self.timers.len() > self.limits.timers_max {
            return Err(OperatorError::TooManyTimers(self.limits.timers_max));
        }
        Ok(())
    }

    /// Calls the function for a timer that was asked for at `at`.
    fn call_timer<Out: Record, In>(
        &mut self,
        number: u32,
        at: Timestamp,
        call: Call,
        out: &mut OutColumns<Out>,
        on_timer: &mut impl FnMut(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out, In>),
    ) {
        let entry = self.table.entry_mut(number as usize);
        let key = entry.key;
        let mut context = ProcessContext { out, asked: &mut self.asked, call, rows: PhantomData };
        on_timer(&key, at, &mut entry.value, &mut context);
    }

    /// Fires the timers that `watermark` has reached, until `out` is full.
    pub(crate) fn fire<O, Out, In>(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<O>,
        mut on_timer: impl FnMut(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out, In>),
    ) -> Result<Firing, OperatorError>
    where
        O: OperatorOutput<0, Row = Out>,
        Out: Record,
    {
        let mut left = TIMERS_AT_ONCE;
        while let Some((at, key, number)) = self.timers.next(watermark, &self.table, out.symbols()) {
            if left == 0 || out.is_full() {
                return Ok(Firing::More);
            }
            left -= 1;
            self.timers.take_next();
            let is_end = watermark == Timestamp::MAX || at > self.end;
            let shown = if is_end { Timestamp::MAX } else { at };
            let cause = Cause::Fired { time: at, key };
            let call = Call { cause, time: at, watermark: shown, is_behind: false };
            self.call_timer(number, at, call, out.column_mut(), &mut on_timer);
            if is_end {
                // The input has ended: a timer that renews itself would never stop.
                self.asked.clear();
            }
            self.take_asked(number, at, call, out.column_mut(), &mut on_timer)?;
        }
        Ok(Firing::Done)
    }

    /// Takes rows of one input: fires the timers before each, and calls `on_row` for it. How many it took.
    #[inline(always)]
    pub(crate) fn take<O, Out, In, T>(
        &mut self,
        batch: &Batch<'_, T>,
        out: &mut Outbox<O>,
        key_of: impl Fn(&T) -> K,
        on_row: impl Fn(&K, Timestamp, &T, &mut S, &mut ProcessContext<'_, Out, In>),
        on_timer: impl Fn(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out, In>),
    ) -> Result<usize, OperatorError>
    where
        O: OperatorOutput<0, Row = Out>,
        Out: Record,
    {
        for (index, (&time, row)) in batch.times().iter().zip(batch.values()).enumerate() {
            let watermark = batch.watermark(index);
            let has_fired = self.timers.first() > watermark || self.fire(watermark, out, &on_timer)? == Firing::Done;
            if !has_fired || out.is_full() {
                return Ok(index);
            }
            batch.ahead.fetch(row);
            let call = Call::row(index, time, watermark);
            let on_row = |key: &K, state: &mut S, context: &mut ProcessContext<'_, Out, In>| {
                on_row(key, time, row, state, context);
            };
            blame::at_index(index, || self.row(key_of(row), call, out.column_mut(), on_row, &on_timer))?;
        }
        Ok(batch.len())
    }

    /// Writes all states and timers as pieces, each of one key.
    pub(crate) fn save(&self, piece: &mut dyn FnMut(Slot, &[u8])) {
        let mut timers = vec![Vec::new(); self.table.len()];
        for (time, number) in self.timers.iter() {
            timers[number as usize].push(time);
        }
        let mut bytes = Vec::new();
        for (entry, timers) in self.table.entries().zip(timers) {
            bytes.clear();
            bytes.extend_from_slice(bytemuck::bytes_of(&entry.key));
            bytes.extend_from_slice(bytemuck::bytes_of(&entry.value));
            for time in timers {
                bytes.extend_from_slice(&time.as_nanos().to_le_bytes());
            }
            piece(slot_of(hash_key(&entry.key)), &bytes);
        }
    }

    /// Adds what [`Keyed::save`] wrote of a key.
    pub(crate) fn restore(&mut self, step: &str, slot: Slot, piece: &[u8]) -> Result<(), OperatorError> {
        let misfit = |what: &str| OperatorError::Misfit(format!("{what} in a piece of slot {slot} of {step}"));
        let fixed = size_of::<K>() + size_of::<S>();
        if piece.len() < fixed || !(piece.len() - fixed).is_multiple_of(8) {
            return Err(misfit("a wrong length"));
        }
        let (key, rest) = piece.split_at(size_of::<K>());
        let (state, timers) = rest.split_at(size_of::<S>());
        let key: K = bytemuck::pod_read_unaligned(key);
        let hash = hash_key(&key);
        if slot_of(hash) != slot {
            return Err(misfit("a key of another slot"));
        }
        let number = self.table.find_or_insert(key, hash);
        self.table.entry_mut(number).value = bytemuck::pod_read_unaligned(state);
        for bytes in timers.as_chunks::<8>().0 {
            self.timers.insert(Timestamp::from_nanos(i64::from_le_bytes(*bytes)), number as u32);
        }
        Ok(())
    }
}
