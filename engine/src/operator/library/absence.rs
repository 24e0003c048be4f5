//! Absence: a row for each key that has had no row for some time, and one when it comes back.
//!
//! **What is emitted.** Let `last` be the largest time of a key's rows, and `d` the duration. When the watermark comes to
//! `last + d`, the key is absent: a row says so, at the time `last + d`. The next row of the key that is later than `last`
//! brings it back: a row says so, at that row's time. The first row of a key says nothing. A row of the key that is later
//! than `last + d` and comes before the watermark has come there says both at once, at its own time: that the key was
//! absent, and that it is back. So each gap of more than `d` in a key that is in order is told, also where no other key has
//! the watermark move on.
//!
//! **Order.** Only the largest time counts. A row whose time is `last` or before it changes nothing: it makes no key wait
//! longer, brings none back, and takes back nothing that was said. It is looked at and goes nowhere.
//!
//! **Behind the watermark.** A row that is later than `last` counts wherever it lies. Where the watermark before it has come
//! to its own time plus `d` already, the key is absent again at once, behind the row and 1 ns ahead of that watermark.
//!
//! **End of the input.** Nobody knows what would have come, so keys whose `last + d` the clock had not come to are not
//! called absent: nothing is emitted at the end.
//!
//! **State.** A key that is there has its last time and a timer. One that is absent is kept as [`Keep`] says, counted from
//! `last + d`: after that, its next row is its first. At the end of the input nothing is left.

use crate::base::time::duration_nanos;
use crate::operator::aggregate::packed_layout;
use crate::operator::keyed::ProcessContext;
use crate::operator::library::Keep;
use crate::operator::process::ProcessFunction;
use crate::{Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;
use std::time::Duration;

/// That a key is absent, or is back: columns `<key>`, `last_time` and `is_absent`, which is 1 or 0.
///
/// It has no padding whatever the key is, so its fields are read through methods.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct Presence<K> {
    key: K,
    last_time: Timestamp,
    is_absent: u8,
}

impl<K: Copy> Presence<K> {
    /// The key.
    pub fn key(&self) -> K {
        self.key
    }

    /// The time of the key's last row before it was absent.
    pub fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// Whether the key is absent from now on; otherwise it is back.
    pub fn is_absent(&self) -> bool {
        self.is_absent != 0
    }
}

impl<K: Record> Record for Presence<K> {
    fn layout() -> Layout {
        let parts = [("key", K::layout()), ("last_time", Timestamp::layout()), ("is_absent", u8::layout())];
        packed_layout("Presence", &parts)
    }
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, Record)]
#[repr(C)]
pub(crate) struct Attendance {
    last: Timestamp,
    is_known: u32,
    is_absent: u32,
}

#[derive(Clone)]
pub(crate) struct Absence<T> {
    after: i64,
    kept: i64,
    rows: PhantomData<fn(T)>,
}

impl<T: Record> Absence<T> {
    pub(crate) fn new(after: Duration, keep: Keep) -> Self {
        let kept = keep.time_to_live().map_or(i64::MAX, duration_nanos);
        Self { after: duration_nanos(after), kept, rows: PhantomData }
    }

    pub(crate) fn mistake(&self) -> Option<&'static str> {
        (self.after == 0).then_some("keys that are absent after no time are always absent")
    }

    /// When a key is absent that was last seen then.
    const fn absent_at(&self, last: Timestamp) -> Timestamp {
        last.plus_nanos(self.after)
    }

    /// When an absent key is forgotten.
    const fn forgotten(&self, last: Timestamp) -> Timestamp {
        self.absent_at(last).plus_nanos(self.kept)
    }
}

impl<K: Key, T: Record> ProcessFunction<K> for Absence<T> {
    type In = T;
    type State = Attendance;
    type Out = Presence<K>;

    fn on_row(
        &self,
        key: &K,
        time: Timestamp,
        _: &T,
        state: &mut Attendance,
        context: &mut ProcessContext<'_, Presence<K>>,
    ) {
        let Attendance { last, is_known, is_absent } = *state;
        if is_known != 0 && time <= last {
            return;
        }
        *state = Attendance { last: time, is_known: 1, is_absent: 0 };
        let was_absent = is_absent != 0;
        let is_gap = is_known != 0 && !was_absent && time > self.absent_at(last);
        if was_absent {
            context.delete_timer(self.forgotten(last));
        }
        if is_gap {
            context.emit(Presence { key: *key, last_time: last, is_absent: 1 });
        }
        if was_absent || is_gap {
            context.emit(Presence { key: *key, last_time: last, is_absent: 0 });
        }
        // The timer of a key that is there finds the last time out when it fires.
        if is_known == 0 || was_absent {
            context.timer(self.absent_at(time));
        }
    }

    fn on_timer(
        &self,
        key: &K,
        time: Timestamp,
        state: &mut Attendance,
        context: &mut ProcessContext<'_, Presence<K>>,
    ) {
        let last = state.last;
        let reached = context.watermark().max(time);
        if reached == Timestamp::MAX || state.is_absent != 0 {
            context.clear_state();
        } else if self.absent_at(last) > reached {
            context.timer(self.absent_at(last));
        } else {
            context.emit(Presence { key: *key, last_time: last, is_absent: 1 });
            state.is_absent = 1;
            if self.forgotten(last) > reached {
                context.timer(self.forgotten(last));
            } else {
                context.clear_state();
            }
        }
    }
}
