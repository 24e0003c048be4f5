//! Windows: what they are, when they fire, and what is late for them.
//!
//! **Windows of time** are spans of event time: `start` is in them, `end` is not. [`Tumbling`] windows stand side by side.
//! [`Sliding`] windows of one size begin at each multiple of the slide, so they overlap. [`Cumulative`] windows begin
//! together and end step by step, up to the largest; then the next ones begin. These three are aligned to the epoch plus an
//! offset, and the same for all keys. With the feature `calendar` there are days, weeks and months of a time zone as well
//! (`Calendar`). A [`Session`] is a key's own: a row at `t` opens `[t, t + gap)`, and windows of a key
//! that overlap or touch become one.
//!
//! **Windows without an end**: [`CountWindow`] has a key's last so many rows, each time so many have come, in the job's
//! order. [`Global`] has all rows of a key, and fires as its trigger says.
//!
//! **Firing.** A window of time fires on time when the watermark reaches its last nanosecond. A [`Trigger`] may have it
//! fire early as well: at each multiple of a period of event time, each so many rows, or at rows that a predicate chooses.
//! A trigger without the watermark leaves out the firing on time. A window that fires again gives all its rows so far, or
//! with a purging trigger those that came since the last firing; where there are none, it gives nothing.
//!
//! **Late rows.** A row is late for a window when the watermark before the row has reached the window's last nanosecond plus
//! the allowed lateness. A row that is late for all its windows leaves by the output `late`. Until then a window is kept,
//! and each row that comes behind its end has it fire again, at once. Whether a session is late is asked of the window that
//! the row's own one becomes part of.
//!
//! **Panes.** What a window gives for a key in one firing is a [`Pane`]: they are numbered from 0 for each window and key,
//! and say whether they are early, on time or late. Sessions that become one go on with the larger of their numbers.
//!
//! **Times and order of results.** A result of a window of time has the window's last nanosecond as its time, in whatever
//! pane it is, so that windows of windows are what they seem; an update that comes late is late in the next window too,
//! unless that allows for it. A result of a count window, or of a global window that fires at a row, has the row's time;
//! one that fires at a period has that time. Results that a row causes stand at that row. The others stand in the order of
//! (time of firing, key, window).

mod assigners;
#[cfg(feature = "calendar")]
mod calendar;
pub(crate) mod count;
pub(crate) mod firing;
mod kept;
pub(crate) mod merged;
pub(crate) mod open;
pub(crate) mod overlapping;
pub(crate) mod part;
pub(crate) mod per_key;
mod running;
pub(crate) mod slice_store;
pub(crate) mod slices;
mod tree;
mod trigger;
pub(crate) mod tumbling;
pub(crate) mod updated;

pub(crate) use assigners::Kind;
pub use assigners::{CountWindow, Cumulative, Global, Session, Sliding, Tumbling, Windows};
#[cfg(feature = "calendar")]
pub use calendar::Calendar;
pub use trigger::Trigger;

use crate::Timestamp;

/// A span of event time: `start` is in it, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first time in the window.
    pub start: Timestamp,
    /// The first time behind the window.
    pub end: Timestamp,
}

impl Window {
    /// The last time in the window: when the watermark gets there, the window fires.
    #[inline(always)]
    pub fn max_timestamp(&self) -> Timestamp {
        self.end.minus_nanos(1)
    }

    /// Whether `time` is in the window.
    #[inline(always)]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.start <= time && time < self.end
    }
}

/// What a window gives for a key in one firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pane {
    /// The window. Of a count window, from the time of its first row to that of its last one; of a global window, all of time.
    pub window: Window,
    /// How often the window has fired for the key before.
    pub number: u64,
    /// When it fires.
    pub timing: Timing,
}

impl Pane {
    /// The only pane of a window that fires once.
    pub(crate) const fn only(window: Window) -> Self {
        Self { window, number: 0, timing: Timing::OnTime }
    }
}

/// When a window fires, by the watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timing {
    /// Before the watermark has reached its last nanosecond.
    Early,
    /// When the watermark reaches it.
    OnTime,
    /// Behind that, for a row that came late and is allowed for.
    Late,
}
