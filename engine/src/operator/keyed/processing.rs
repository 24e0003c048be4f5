//! Of process functions: processing time, which ticks tell, and its timers.
//!
//! A tick is a row of the job's one order that reaches all workers. Between two ticks processing time stands still, so
//! what a row or a timer sees of it follows from the order of the input, in which ticks have their places. A tick fires
//! the timers up to its time in order of (time, canonical key), and what they emit stands at the tick.

use super::{Call, Keyed, ProcessContext};
use crate::operator::emitted::Emitted;
use crate::operator::{Batch, Cause, Firing, OperatorError, Outbox};
use crate::store::latest::Latest;
use crate::store::{KeyedTable, StoreSettings, Timers};
use crate::{Event, Field, FieldKind, Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::borrow::Cow;

/// What processing time has come to.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Tick {
    pub(crate) now: Timestamp,
}

impl Record for Tick {
    fn layout() -> Layout {
        let name = Cow::Borrowed("processing_time");
        let field = Field { name, kind: FieldKind::Timestamp, offset: 0, decimals: None, time: true };
        Layout::new("Tick", size_of::<Self>(), align_of::<Self>(), vec![field])
    }
}

impl Event for Tick {
    /// Ahead of all event time: nothing takes it for late.
    fn time(&self) -> Timestamp {
        Timestamp::MAX
    }
}

/// What a timer of processing time calls.
pub(crate) type OnTimer<'a, K, S, Out> = &'a dyn Fn(&K, Timestamp, &mut S, &mut ProcessContext<'_, Out>);

/// Processing time, where a function asks for it.
pub(super) struct Processing {
    pub(super) now: Latest,
    pub(super) timers: Timers,
    /// Timers that are to be set, or removed, in the order in which this was asked for.
    asked: Vec<(Timestamp, bool)>,
}

impl Processing {
    pub(super) const fn new(settings: &StoreSettings) -> Self {
        Self { now: Latest::new(), timers: Timers::new(settings), asked: Vec::new() }
    }

    pub(super) const fn asks_nothing(&self) -> bool {
        self.asked.is_empty()
    }

    /// The present and the past are 1 ns ahead: none is set at a time that fires.
    fn ask(&mut self, time: Timestamp, is_set: bool) {
        self.asked.push((time.max(self.now.get().plus_nanos(1)), is_set));
    }

    /// Sets and removes timers of an entry as was asked.
    pub(super) fn take_asked<K: Key, S: Record>(
        &mut self,
        table: &mut KeyedTable<K, S>,
        entry: usize,
    ) -> Result<(), OperatorError> {
        for (time, is_set) in self.asked.drain(..) {
            if is_set {
                self.timers.insert(table, time, entry)?;
            } else {
                self.timers.remove(table, time, entry);
            }
        }
        Ok(())
    }
}

impl<Out: Emitted> ProcessContext<'_, Out> {
    fn processing(&mut self) -> &mut Processing {
        let Some(processing) = &mut self.asked.processing else { undeclared() };
        processing
    }

    /// Processing time: what the last tick before the row or timer told. It never goes back, not even over restarts, and is
    /// [`Timestamp::MIN`] as long as there was no tick.
    ///
    /// Ticks are journaled with the input, so rows that are taken from the journal again see what they saw before. A job
    /// all of whose sources are bounded has no ticks: in a replay processing time stands still.
    ///
    /// # Panics
    /// In a function that does not say that it needs processing time
    /// ([`ProcessFunction::PROCESSING_TIME`](crate::ProcessFunction::PROCESSING_TIME)), which ends the job with an error.
    pub fn processing_time(&self) -> Timestamp {
        let Some(processing) = &self.asked.processing else { undeclared() };
        processing.now.get()
    }

    /// Has the key's timer fire at the first tick whose time has come to `time`. A second one for the same time changes
    /// nothing. One for the present or the past is one for 1 ns behind [`ProcessContext::processing_time`]: it fires at the
    /// next tick.
    ///
    /// Timers of processing time that are left at the end of the input do not fire.
    ///
    /// # Panics
    /// As [`ProcessContext::processing_time`].
    pub fn processing_timer(&mut self, time: Timestamp) {
        self.processing().ask(time, true);
    }

    /// Removes the key's timer of processing time for `time`, also one that was asked for in this call; nothing changes
    /// where there is none.
    ///
    /// # Panics
    /// As [`ProcessContext::processing_time`].
    pub fn delete_processing_timer(&mut self, time: Timestamp) {
        self.processing().ask(time, false);
    }
}

#[cold]
fn undeclared() -> ! {
    panic!("a function that does not say PROCESSING_TIME has asked for processing time")
}

impl<K: Key, S: Record> Keyed<K, S> {
    /// The same, with processing time where the function needs it.
    pub(crate) fn with_processing_time(mut self, is_needed: bool, settings: &StoreSettings) -> Self {
        self.asked.processing = is_needed.then(|| Processing::new(settings));
        self
    }

    /// Takes ticks: fires the timers of event time before each, and then those of processing time that it has come to. How
    /// many it took.
    pub(crate) fn take_ticks<Out: Emitted>(
        &mut self,
        batch: &Batch<'_, Tick>,
        out: &mut Outbox<Out::Outputs>,
        on_timer: OnTimer<'_, K, S, Out>,
        on_processing_timer: OnTimer<'_, K, S, Out>,
    ) -> Result<usize, OperatorError> {
        for (index, tick) in batch.values().iter().enumerate() {
            let watermark = batch.watermark(index);
            let has_fired = self.timers.first() > watermark || self.fire(watermark, out, on_timer)? == Firing::Done;
            if !has_fired || out.is_full() {
                return Ok(index);
            }
            if self.tick((index, tick.now), watermark, out, (on_timer, on_processing_timer))? == Firing::More {
                return Ok(index);
            }
        }
        Ok(batch.len())
    }

    /// Processing time has come to that of row `index`: fires its timers until `out` is full.
    fn tick<Out: Emitted>(
        &mut self,
        (index, now): (usize, Timestamp),
        watermark: Timestamp,
        out: &mut Outbox<Out::Outputs>,
        (on_timer, on_processing_timer): (OnTimer<'_, K, S, Out>, OnTimer<'_, K, S, Out>),
    ) -> Result<Firing, OperatorError> {
        loop {
            let Some(processing) = &mut self.asked.processing else { return Ok(Firing::Done) };
            processing.now.reach(now);
            let reached = processing.now.get();
            let Some((at, key, entry)) = processing.timers.next(reached, &self.table, out.symbols()) else {
                return Ok(Firing::Done);
            };
            if out.is_full() {
                return Ok(Firing::More);
            }
            processing.timers.take_next(&mut self.table);
            let cause = Cause::Ticked { row: index as u32, time: at, key };
            // What it emits is not late to anybody.
            let call = Call { cause, time: watermark.plus_nanos(1), watermark, is_behind: false };
            self.call_timer(entry, (at, watermark), call, out, &mut |key, time, state, context| {
                on_processing_timer(key, time, state, context);
            })?;
            self.take_asked(entry, watermark, call, out, on_timer)?;
            self.table.remove_if_empty(entry);
        }
    }
}
