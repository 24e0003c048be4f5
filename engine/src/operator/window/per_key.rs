//! Windows that each key keeps for itself: global windows, windows of time and sessions with a trigger, sessions and
//! windows that overlap and allow for late rows.
//!
//! A key has a sorted map of its windows, each with what was added since it began or was purged, and when it fires next.
//! Adding a row takes a look at each window that it is in. Windows of time that fire once share slices instead
//! (`tumbling.rs`), and sessions that fire once have an operator of their own (`sessions.rs`).
//!
//! A window has one timer: for its last nanosecond, and once that has come for the end of the allowed lateness. A session
//! that grows keeps the timer it has, which asks for another when it fires. Early firings at periods have timers of their
//! own. So a timer that finds nothing to do is not a mistake.

mod ticks;

use crate::base::blame;
use crate::operator::aggregate::{WindowAggregate, lend};
use crate::operator::keyed::TIMERS_AT_ONCE;
use crate::operator::window::kept::{GLOBAL, Kept, WindowId};
use crate::operator::window::{Kind, Pane, Session, Timing, Trigger, Window, Windows};
use crate::operator::{Batch, Cause, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::{KeyedMaps, KeyedTable, Of, Store, StoreSettings, Timers};
use crate::{CanonicalKey, Key, Timestamp};
use bytemuck::Zeroable;
use std::mem::offset_of;
use ticks::Ticking;

/// What is the same for all keys.
pub(crate) struct PerKeySettings<T> {
    pub(crate) windows: Windows<T>,
    pub(crate) trigger: Trigger<T>,
    /// In nanoseconds.
    pub(crate) lateness: i64,
}

impl<T> Clone for PerKeySettings<T> {
    fn clone(&self) -> Self {
        Self { windows: self.windows.clone(), trigger: self.trigger.clone(), lateness: self.lateness }
    }
}

/// Where a firing stands.
#[derive(Clone, Copy)]
struct At {
    cause: Cause,
    /// Of the results of windows that have no end.
    time: Timestamp,
    watermark: Timestamp,
}

/// When something is due for a key.
#[derive(Clone, Copy)]
struct Due {
    at: Timestamp,
    key: CanonicalKey,
    /// Whether the input has ended.
    is_end: bool,
}

pub(crate) struct PerKeyOperator<K, F, A: WindowAggregate<K>> {
    settings: PerKeySettings<A::In>,
    key_of: F,
    aggregate: A,
    keys: KeyedTable<K, ()>,
    windows: KeyedMaps<WindowId, Kept<A::Acc>>,
    timers: Timers,
    /// Where the trigger has a period of processing time.
    ticking: Option<Ticking>,
    /// What is due behind this is due at the end of the input.
    end: Timestamp,
    /// Windows that a row or timer has to do with; kept for the memory.
    touched: Vec<WindowId>,
    /// The calendar window that the last row was in: finding one takes long.
    #[cfg(feature = "calendar")]
    day: Window,
}

impl<K: Key, F, A: WindowAggregate<K>> PerKeyOperator<K, F, A> {
    pub(crate) fn new(settings: PerKeySettings<A::In>, key_of: F, aggregate: A, stores: &StoreSettings) -> Self {
        let ticking = settings.trigger.every_processing.map(|period| Ticking::new(period, stores));
        Self {
            settings,
            key_of,
            ticking,
            aggregate,
            keys: KeyedTable::new(stores),
            windows: KeyedMaps::new(stores),
            timers: Timers::new(stores),
            end: Timestamp::MAX,
            touched: Vec::new(),
            #[cfg(feature = "calendar")]
            day: Window { start: Timestamp::MAX, end: Timestamp::MAX },
        }
    }

    /// Adds a row to its windows. Whether it is late for all of them.
    fn add(
        &mut self,
        entry: usize,
        (time, row): (Timestamp, &A::In),
        at: At,
        out: &mut Outbox<(A::Out, A::In)>,
    ) -> Result<bool, OperatorError> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.clear();
        self.open(entry, (time, row), at.watermark, &mut touched)?;
        let is_late = touched.is_empty();
        for &id in &touched {
            self.add_to(entry, id, (time, row), at, out)?;
        }
        self.touched = touched;
        Ok(is_late)
    }

    /// Opens the windows of a row for which it is not late, and says which they are.
    fn open(
        &mut self,
        entry: usize,
        (time, row): (Timestamp, &A::In),
        watermark: Timestamp,
        touched: &mut Vec<WindowId>,
    ) -> Result<(), OperatorError> {
        match &self.settings.windows.0 {
            Kind::Tumbling(windows) => touched.push(WindowId::from(windows.assign(time))),
            Kind::Sliding(windows) => touched.extend(windows.assign(time).map(WindowId::from)),
            Kind::Cumulative(windows) => touched.extend(windows.assign(time).map(WindowId::from)),
            Kind::Global | Kind::Count(_) => touched.push(GLOBAL.into()),
            #[cfg(feature = "calendar")]
            Kind::Calendar(windows) => {
                if !self.day.contains(time) {
                    // A job has no calendar without a zone.
                    self.day = windows.assign(time).unwrap_or(GLOBAL);
                }
                touched.push(self.day.into());
            }
            Kind::Session(Session(gap)) => {
                let gap = gap.of(row);
                if gap == 0 {
                    return Err(OperatorError::Failed(format!("the row at {time} has a session gap of 0")));
                }
                touched.extend(self.open_session(
                    entry,
                    Window { start: time, end: time.plus_nanos(gap) },
                    watermark,
                )?);
                return Ok(());
            }
        }
        let lateness = self.settings.lateness;
        touched.retain(|id| id.end.minus_nanos(1).plus_nanos(lateness) > watermark);
        for &id in touched.iter() {
            if self.windows.get(entry, &id).is_none() {
                self.insert(entry, id, Kept::new(id.end, id.end.minus_nanos(1) <= watermark))?;
            }
        }
        Ok(())
    }

    /// Keeps a window, and has it looked at when there is something to do.
    fn insert(&mut self, entry: usize, id: WindowId, kept: Kept<A::Acc>) -> Result<(), OperatorError> {
        self.windows.insert(&mut self.keys, entry, id, kept)?;
        if id != WindowId::from(GLOBAL) {
            self.timers.insert(&mut self.keys, kept.due(self.settings.lateness), entry)?;
        }
        Ok(())
    }

    /// Makes one session of a row's own window and those of its key that overlap or touch it, unless that one is late.
    fn open_session(
        &mut self,
        entry: usize,
        own: Window,
        watermark: Timestamp,
    ) -> Result<Option<WindowId>, OperatorError> {
        // Sessions of a key do not touch each other, so their ends are in the order of their starts.
        let up_to = self.windows.range(entry, ..=WindowId::session(own.end)).rev();
        let met = up_to.take_while(|(_, kept)| { kept.end } >= own.start);
        let (mut start, mut end, mut count) = (own.start, own.end, 0);
        for (id, kept) in met {
            (start, end) = (start.min(id.start), end.max(kept.end));
            count += 1;
        }
        let last = end.minus_nanos(1);
        if last.plus_nanos(self.settings.lateness) <= watermark {
            return Ok(None);
        }
        let id = WindowId::session(start);
        let is_over = last <= watermark;
        if count == 1
            && let Some(kept) = self.windows.get_mut(&self.keys, entry, &id)
        {
            let was_over = kept.is_over == 1;
            (kept.end, kept.is_over) = (end, is_over.into());
            if was_over && !is_over {
                self.timers.insert(&mut self.keys, last, entry)?;
            }
            return Ok(Some(id));
        }
        let mut whole = Kept::new(end, is_over);
        let range = WindowId::session(start)..=WindowId::session(own.end);
        while count > 0 {
            let Some((&id, _)) = self.windows.range(entry, range.clone()).next() else { break };
            let Some(part) = self.windows.remove(&mut self.keys, entry, &id) else { break };
            count -= 1;
            if part.rows > 0 {
                let mut acc = whole.acc;
                self.aggregate.merge(&mut acc, &{ part.acc });
                whole.acc = acc;
            }
            whole.rows = whole.rows.wrapping_add(part.rows);
            whole.fresh = whole.fresh.wrapping_add(part.fresh);
            whole.fired = { whole.fired }.max(part.fired);
            whole.early = { whole.early }.min(part.early);
        }
        self.insert(entry, id, whole)?;
        Ok(Some(id))
    }

    /// Adds a row to a window that is open, and fires that where it should.
    fn add_to(
        &mut self,
        entry: usize,
        id: WindowId,
        (time, row): (Timestamp, &A::In),
        at: At,
        out: &mut Outbox<(A::Out, A::In)>,
    ) -> Result<(), OperatorError> {
        let trigger = &self.settings.trigger;
        let Some(kept) = self.windows.get_mut(&self.keys, entry, &id) else { return Ok(()) };
        let acc = &mut bytemuck::bytes_of_mut(kept)[offset_of!(Kept<A::Acc>, acc)..];
        lend(acc, |acc| self.aggregate.add(acc, time, row));
        // Counts that were restored may be anything: they wrap.
        kept.rows = kept.rows.wrapping_add(1);
        kept.fresh = kept.fresh.wrapping_add(1);
        let is_over = kept.is_over == 1;
        let fires = (is_over && trigger.fires_at_end) || trigger.fires_at(row, kept.fresh);
        let mut early = None;
        if let Some(period) = trigger.every
            && !is_over
            && { kept.early } == Timestamp::MAX
        {
            let next = next_multiple(time.max(at.watermark), period).min(kept.max_timestamp());
            kept.early = next;
            early = Some(next);
        }
        if let Some(early) = early {
            self.timers.insert(&mut self.keys, early, entry)?;
        }
        if !is_over {
            self.await_tick(entry)?;
        }
        if fires {
            self.fire(entry, id, at, out);
        }
        Ok(())
    }

    /// Emits what a window has, where it has anything.
    fn fire(&mut self, entry: usize, id: WindowId, at: At, out: &mut Outbox<(A::Out, A::In)>) {
        let Some(kept) = self.windows.get_mut(&self.keys, entry, &id) else { return };
        if kept.rows == 0 {
            return;
        }
        let window = Window { start: id.start, end: kept.end };
        let timing = match () {
            () if kept.is_over == 0 => Timing::Early,
            () if kept.max_timestamp() == at.watermark && matches!(at.cause, Cause::Fired { .. }) => Timing::OnTime,
            () => Timing::Late,
        };
        let pane = Pane { window, number: kept.fired, timing };
        let acc = kept.acc;
        kept.fired = kept.fired.wrapping_add(1);
        kept.fresh = 0;
        if self.settings.trigger.purges {
            kept.rows = 0;
            kept.acc = A::Acc::zeroed();
        }
        let row = self.aggregate.result(&pane, self.keys.key(entry), &acc);
        let time = if window == GLOBAL { at.time } else { window.max_timestamp() };
        out.column_mut::<0>().push(time, row, at.cause);
    }

    /// Does what is due for a key's windows then.
    fn on_timer(&mut self, entry: usize, due: Due, out: &mut Outbox<(A::Out, A::In)>) -> Result<(), OperatorError> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.clear();
        self.find_due(entry, due.at, &mut touched);
        for &id in &touched {
            self.look_after(entry, id, due, out)?;
        }
        self.touched = touched;
        Ok(())
    }

    /// The windows of a key for which something may be due, in order.
    fn find_due(&self, entry: usize, at: Timestamp, found: &mut Vec<WindowId>) {
        let Self { settings, windows, .. } = self;
        if settings.trigger.every.is_some() || at == Timestamp::MAX {
            found.extend(windows.range(entry, ..).map(|(id, _)| *id));
            return;
        }
        for last in [at.minus_nanos(settings.lateness), at] {
            let ends_then = |window: &Window| window.max_timestamp() == last;
            match &settings.windows.0 {
                Kind::Tumbling(windows) => found.push(windows.assign(last).into()),
                Kind::Sliding(windows) => found.extend(windows.assign(last).find(ends_then).map(WindowId::from)),
                Kind::Cumulative(windows) => found.extend(windows.assign(last).find(ends_then).map(WindowId::from)),
                Kind::Session(_) => {
                    found.extend(windows.range(entry, ..=WindowId::session(last)).next_back().map(|(id, _)| *id));
                }
                Kind::Global | Kind::Count(_) => {}
                #[cfg(feature = "calendar")]
                Kind::Calendar(windows) => found.extend(windows.assign(last).map(WindowId::from)),
            }
            if settings.lateness == 0 {
                break;
            }
        }
        found.dedup();
    }

    /// Does what is due for a window then.
    fn look_after(
        &mut self,
        entry: usize,
        id: WindowId,
        due: Due,
        out: &mut Outbox<(A::Out, A::In)>,
    ) -> Result<(), OperatorError> {
        let Due { at, key, is_end } = due;
        let PerKeySettings { trigger, lateness, .. } = &self.settings;
        let (every, fires_at_end, lateness) = (trigger.every, trigger.fires_at_end, *lateness);
        let Some(kept) = self.windows.get_mut(&self.keys, entry, &id) else { return Ok(()) };
        let here = At { cause: Cause::Fired { time: at, key }, time: at, watermark: at };
        let is_early = { kept.early } <= at;
        if is_early {
            kept.early = Timestamp::MAX;
        }
        let is_global = id == WindowId::from(GLOBAL);
        if !is_global && kept.due(lateness) > at {
            // It has become longer, or only fires early.
            let due = kept.due(lateness);
            self.timers.insert(&mut self.keys, due, entry)?;
        } else if !is_global {
            let is_over = std::mem::replace(&mut kept.is_over, 1) == 1;
            let due = kept.due(lateness);
            if !is_over && (fires_at_end || is_early) {
                self.fire(entry, id, here, out);
            }
            if due <= at {
                self.windows.remove(&mut self.keys, entry, &id);
            } else {
                self.timers.insert(&mut self.keys, due, entry)?;
            }
            return Ok(());
        }
        if is_early && let Some(period) = every {
            self.fire(entry, id, here, out);
            // A window without an end would go on for ever.
            if !(is_global && is_end)
                && let Some(kept) = self.windows.get_mut(&self.keys, entry, &id)
            {
                let next = next_multiple(at, period).min(kept.max_timestamp());
                kept.early = next;
                self.timers.insert(&mut self.keys, next, entry)?;
            }
        }
        Ok(())
    }

    /// Fires what `watermark` has reached, until `out` is full.
    fn fire_due(&mut self, watermark: Timestamp, out: &mut Outbox<(A::Out, A::In)>) -> Result<Firing, OperatorError> {
        let mut left = TIMERS_AT_ONCE;
        while let Some((at, key, entry)) = self.timers.next(watermark, &self.keys, out.symbols()) {
            if left == 0 || out.is_full() {
                return Ok(Firing::More);
            }
            left -= 1;
            self.timers.take_next(&mut self.keys);
            let is_end = watermark == Timestamp::MAX || at > self.end;
            self.on_timer(entry, Due { at, key, is_end }, out)?;
            self.keys.remove_if_empty(entry);
        }
        Ok(Firing::Done)
    }
}

/// The first multiple of a period behind a time.
fn next_multiple(time: Timestamp, period: i64) -> Timestamp {
    let nanos = time.as_nanos();
    Timestamp::from_nanos((nanos.saturating_sub(nanos.rem_euclid(period))).saturating_add(period))
}

impl<K, F, A> Operator for PerKeyOperator<K, F, A>
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

    fn on_events_over(&mut self, watermark: Timestamp) {
        self.end = watermark;
    }

    fn next_firing(&self) -> Timestamp {
        self.timers.first()
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("keys", &mut self.keys);
        show("windows", &mut Of::new(&mut self.keys, &mut self.windows));
        show("timers", &mut Of::new(&mut self.keys, &mut self.timers));
        if let Some(ticking) = &mut self.ticking {
            show("processing timers", &mut Of::new(&mut self.keys, &mut ticking.timers));
            show("processing time", &mut ticking.now);
        }
    }
}

impl<K, F, A> OperatorInput<0> for PerKeyOperator<K, F, A>
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
            let at = At { cause: Cause::Row(index as u32), time, watermark };
            blame::at_index(index, || {
                let entry = self.keys.find_or_insert((self.key_of)(row))?;
                if self.add(entry, (time, row), at, out)? {
                    out.emit::<1>(index, time, *row);
                    self.keys.remove_if_empty(entry);
                }
                Ok::<_, OperatorError>(())
            })?;
        }
        Ok(batch.len())
    }
}
