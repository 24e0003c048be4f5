//! The keyed process function: a state per key, event-time timers, any rows out.

use crate::base::blame;
use crate::operator::{Batch, Firing, Operator, OperatorError, Outbox};
use crate::store::table::Table;
use crate::{CanonicalKey, Key, Record, Slot, Timestamp, hash_key, slot_of};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A function with state for each key. It sees a key's rows in the job's order.
///
/// Timers fire when the watermark reaches them, and watermarks come at block ends: what a timer
/// sees of later rows depends on where blocks end, what a row sees of earlier rows does not.
///
/// ```
/// use pelton::{ProcessContext, ProcessFunction, Timestamp};
///
/// /// Emits a key's rising values.
/// #[derive(Clone)]
/// struct Rising;
///
/// impl ProcessFunction<u32> for Rising {
///     type In = i64;
///     type State = i64;
///     type Out = i64;
///     fn on_row(&self, _: &u32, _: Timestamp, row: &i64, last: &mut i64, context: &mut ProcessContext<'_, i64, i64>) {
///         if *row > *last {
///             context.emit(*row);
///         }
///         *last = *row;
///     }
/// }
/// ```
pub trait ProcessFunction<K>: Clone + Send + Sync + 'static {
    /// The rows it takes.
    type In: Record;
    /// The state of one key, zeros for a new one.
    type State: Record;
    /// The rows it emits.
    type Out: Record;

    /// A row of `key` came.
    fn on_row(
        &self,
        key: &K,
        time: Timestamp,
        row: &Self::In,
        state: &mut Self::State,
        context: &mut ProcessContext<'_, Self::Out, Self::In>,
    );

    /// A timer of `key` fired: the watermark has reached `time`.
    ///
    /// At the end of the input all timers fire; those asked for meanwhile do not.
    fn on_timer(
        &self,
        key: &K,
        time: Timestamp,
        state: &mut Self::State,
        context: &mut ProcessContext<'_, Self::Out, Self::In>,
    ) {
        let _ = (key, time, state, context);
    }
}

/// What a [`ProcessFunction`] can do besides changing its state.
pub struct ProcessContext<'a, Out, In> {
    out: &'a mut Outbox<Out, In>,
    timers: &'a mut Vec<Timestamp>,
    time: Timestamp,
    watermark: Timestamp,
    behind: bool,
    cause: ContextCause,
}

enum ContextCause {
    Row(usize),
    Timer { at: Timestamp, key: CanonicalKey, hash: u64 },
}

impl<Out: Record, In: Record> ProcessContext<'_, Out, In> {
    /// Emits a row at the time of the row or timer that caused it.
    pub fn emit(&mut self, row: Out) {
        match self.cause {
            ContextCause::Row(index) => self.out.emit(index, self.time, row),
            ContextCause::Timer { at, key, hash } => self.out.emit_fired(at, key, hash, row),
        }
    }

    /// Has the key's timer fire when the watermark reaches `time`. A second one for the same time
    /// changes nothing.
    pub fn timer(&mut self, time: Timestamp) {
        self.timers.push(time);
    }

    /// The watermark: as of the last block end, or at the row's own place for one that is behind.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Whether the row lies behind the watermark at its own place.
    pub fn is_behind(&self) -> bool {
        self.behind
    }
}

/// The limits of a process function on one worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessLimits {
    pub(crate) keys_max: usize,
    pub(crate) timers_max: usize,
}

/// A timer that is due: the time it fires at, canonical key, hash, number of the entry, the time it
/// was asked for. The first two differ where a timer asks for another at or before its own time:
/// that one fires 1 ns later, so that rows leave in growing order whatever keys share the worker.
type Due = (Timestamp, u128, u64, u32, Timestamp);

/// Timers that fire in one call, where the outbox does not fill up before.
const TIMERS_AT_ONCE: usize = 1024;

pub(crate) struct ProcessOperator<K, F, P: ProcessFunction<K>> {
    step: Arc<str>,
    key_of: F,
    function: P,
    limits: ProcessLimits,
    table: Table<K, P::State>,
    /// Timers by time and number of the entry.
    timers: BTreeSet<(Timestamp, u32)>,
    /// Timers at or before the watermark, in the order they fire.
    due: BTreeSet<Due>,
    new_timers: Vec<Timestamp>,
    watermark: Timestamp,
}

impl<K: Key, F, P: ProcessFunction<K>> ProcessOperator<K, F, P>
where
    F: Fn(&P::In) -> K,
{
    pub(crate) fn new(step: Arc<str>, key_of: F, function: P, limits: ProcessLimits) -> Self {
        Self {
            step,
            key_of,
            function,
            limits,
            table: Table::new(),
            timers: BTreeSet::new(),
            due: BTreeSet::new(),
            new_timers: Vec::new(),
            watermark: Timestamp::MIN,
        }
    }

    fn keep_new_timers(&mut self, number: u32) -> Result<(), OperatorError> {
        for time in self.new_timers.drain(..) {
            self.timers.insert((time, number));
        }
        if self.timers.len() + self.due.len() > self.limits.timers_max {
            return Err(OperatorError::TooManyTimers(self.limits.timers_max));
        }
        Ok(())
    }

    /// Moves the timers that `watermark` has reached to those that are due.
    fn collect_due(&mut self, watermark: Timestamp, out: &Outbox<P::Out, P::In>) {
        while let Some(&(time, number)) = self.timers.first()
            && time <= watermark
        {
            self.timers.pop_first();
            self.due.insert(self.due_at(time, time, number, out));
        }
    }

    fn due_at(&self, at: Timestamp, time: Timestamp, number: u32, out: &Outbox<P::Out, P::In>) -> Due {
        let key = &self.table.entry(number as usize).key;
        (at, CanonicalKey::of(key, out.symbols()).value(), hash_key(key), number, time)
    }
}

impl<K: Key, F, P: ProcessFunction<K>> Operator for ProcessOperator<K, F, P>
where
    F: Fn(&P::In) -> K + 'static,
{
    type In = P::In;
    type Out = P::Out;

    fn on_batch(&mut self, batch: Batch<'_, P::In>, out: &mut Outbox<P::Out, P::In>) -> Result<usize, OperatorError> {
        for (index, (&time, row)) in batch.times.iter().zip(batch.values).enumerate() {
            if out.is_full() {
                return Ok(index);
            }
            batch.ahead.fetch(row);
            let number = blame::at_index(index, || {
                let key = (self.key_of)(row);
                let number = self.table.find_or_insert(key, hash_key(&key));
                let mut context = ProcessContext {
                    out,
                    timers: &mut self.new_timers,
                    time,
                    watermark: batch.behind.unwrap_or(self.watermark),
                    behind: batch.behind.is_some(),
                    cause: ContextCause::Row(index),
                };
                let entry = self.table.entry_mut(number);
                self.function.on_row(&key, time, row, &mut entry.value, &mut context);
                number
            });
            if self.table.len() > self.limits.keys_max {
                return Err(OperatorError::TooManyKeys(self.limits.keys_max));
            }
            if !self.new_timers.is_empty() {
                self.keep_new_timers(number as u32)?;
            }
        }
        Ok(batch.values.len())
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<P::Out, P::In>) -> Result<Firing, OperatorError> {
        self.watermark = watermark;
        self.collect_due(watermark, out);
        let mut last = None;
        let mut fired = 0;
        while let Some(&due) = self.due.first() {
            let (at, canonical, hash, number, time) = due;
            // Timers with one place are not parted.
            if (out.is_full() || fired >= TIMERS_AT_ONCE) && last != Some((at, canonical, hash)) {
                return Ok(Firing::More);
            }
            last = Some((at, canonical, hash));
            fired += 1;
            self.due.pop_first();
            let entry = self.table.entry_mut(number as usize);
            let key = entry.key;
            let mut context = ProcessContext {
                cause: ContextCause::Timer { at, key: CanonicalKey::of(&key, out.symbols()), hash },
                out: &mut *out,
                timers: &mut self.new_timers,
                time,
                watermark,
                behind: false,
            };
            self.function.on_timer(&key, time, &mut entry.value, &mut context);
            let mut again = std::mem::take(&mut self.new_timers);
            for time in again.drain(..) {
                if watermark == Timestamp::MAX {
                    // The input has ended: a timer that renews itself would never stop.
                    continue;
                }
                if time <= watermark {
                    // One that waits at this very time, for its own or behind its asker, is not doubled.
                    let waits = time <= at && self.due.contains(&self.due_at(at, time, number, out));
                    if !waits {
                        let at = if time > at { time } else { at.plus_nanos(1) };
                        self.due.insert(self.due_at(at, time, number, out));
                    }
                } else {
                    self.new_timers.push(time);
                }
            }
            self.keep_new_timers(number)?;
        }
        Ok(Firing::Done)
    }

    fn save(&self, piece: &mut dyn FnMut(Slot, &[u8])) {
        let mut timers = vec![Vec::new(); self.table.len()];
        for &(time, number) in &self.timers {
            timers[number as usize].push(time);
        }
        let mut bytes = Vec::new();
        for (entry, timers) in self.table.entries().zip(timers) {
            bytes.clear();
            bytes.extend_from_slice(&self.watermark.as_nanos().to_le_bytes());
            bytes.extend_from_slice(bytemuck::bytes_of(&entry.key));
            bytes.extend_from_slice(bytemuck::bytes_of(&entry.value));
            for time in timers {
                bytes.extend_from_slice(&time.as_nanos().to_le_bytes());
            }
            piece(slot_of(hash_key(&entry.key)), &bytes);
        }
    }

    fn restore(&mut self, slot: Slot, piece: &[u8]) -> Result<(), OperatorError> {
        let misfit = |what: &str| OperatorError::Misfit(format!("{what} in a piece of slot {slot} of {}", self.step));
        let fixed = size_of::<K>() + size_of::<P::State>();
        let Some((watermark, rest)) = piece.split_first_chunk::<8>() else { return Err(misfit("no watermark")) };
        if rest.len() < fixed || !(rest.len() - fixed).is_multiple_of(8) {
            return Err(misfit("a wrong length"));
        }
        let (key, rest) = rest.split_at(size_of::<K>());
        let (state, timers) = rest.split_at(size_of::<P::State>());
        let key: K = bytemuck::pod_read_unaligned(key);
        let hash = hash_key(&key);
        if slot_of(hash) != slot {
            return Err(misfit("a key of another slot"));
        }
        let number = self.table.find_or_insert(key, hash);
        self.table.entry_mut(number).value = bytemuck::pod_read_unaligned(state);
        self.watermark = self.watermark.max(Timestamp::from_nanos(i64::from_le_bytes(*watermark)));
        let times = timers.as_chunks::<8>().0.iter();
        self.new_timers.extend(times.map(|bytes| Timestamp::from_nanos(i64::from_le_bytes(*bytes))));
        self.keep_new_timers(number as u32)
    }
}
