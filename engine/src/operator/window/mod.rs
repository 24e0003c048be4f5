//! Windows: what they are, when they fire, and what is late for them.
//!
//! **Windows of time** are spans of event time: `start` is in them, `end` is not. [`Tumbling`] windows stand side by side.
//! [`Sliding`] windows of one size begin at each multiple of the slide, so they overlap. [`Cumulative`] windows begin
//! together and end step by step, up to the largest; then the next ones begin. These three are aligned to the epoch plus an
//! offset, and the same for all keys. With the feature `calendar` there are days, weeks and months of a time zone as well
//! (`Calendar`). A [`Session`] belongs to one key: a row at `t` opens `[t, t + gap)`, and windows of a key that overlap or
//! touch become one.
//!
//! **Windows without an end**: [`CountWindow`] has a key's last so many rows, each time so many have come, in the job's
//! order. [`Global`] has all rows of a key, and fires as its trigger says.
//!
//! **Firing.** A window of time fires on time when the watermark reaches its last nanosecond. A [`Trigger`] may have it
//! fire early as well: at each multiple of a period of event time or of processing time, each so many rows, or at rows that a
//! predicate chooses. A period of processing time has all windows of a key fire that have rows and have not ended, once at
//! the first tick behind a multiple.
//! A trigger without the watermark leaves out the firing on time. A window that fires again gives all its rows so far, or
//! with a purging trigger those that came since the last firing; where there are none, it gives nothing.
//!
//! **Late rows.** A row is late for a window when the watermark before the row has reached the window's last nanosecond plus
//! the allowed lateness. A row that is late for all its windows leaves by the output `late`. Until then a window is kept,
//! and each row that comes behind its end has it fire again, at once. A row of a session is judged by the window that its
//! own one becomes part of.
//!
//! **Panes.** What a window gives for a key in one firing is a [`Pane`]: they are numbered from 0 for each window and key,
//! and say whether they are early, on time or late. Sessions that become one go on with the larger of their numbers.
//!
//! **Times and order of results.** A result of a window of time has the window's last nanosecond as its time, in whatever
//! pane it is, so that windows of windows are what they seem; an update that comes late is late in the next window too,
//! unless that allows for it. A result of a count window, or of a global window that fires at a row, has the row's time;
//! one that fires at a period of event time has that time, and one that fires at a tick of processing time the time 1 ns
//! behind the watermark. Results that a row causes stand at that row, and those that a tick causes at the tick, in the order
//! of (multiple, key, window). The others stand in the order of (time of firing, key, window).
//!
//! **Combining.** Where workers read rows of one stream each and the aggregate merges exactly, they need not exchange the
//! rows. Of tumbling windows each worker aggregates its own rows and sends each window that is over as a part; of sliding
//! and cumulative windows over all rows it sends the slices that a window which fires has. One worker merges the parts of a
//! window and fires it. What is late, what fires and in which order is the same. Sliding and cumulative windows of keys are not combined:
//! a window shares slices with others, so one worker would fire all windows of all keys, while rows that are exchanged by
//! key leave the firing to all workers. Neither are windows of other kinds, and those with a trigger or allowed lateness.
//!
//! **Beside Flink.** These words mean what they mean in Flink, and `scripts/flink-windows.sh` holds random jobs to Flink's own
//! rows. Three things differ on purpose:
//!
//! - Early firings at a period stand at its multiples, and only at those that the watermark has yet to reach. Flink's first
//!   one follows the window's first row, even where the watermark has passed it. Each next one comes a period later, even
//!   where the last one stood at the old end of a session that has grown. A session that has fired on time and grows goes
//!   on with the firing it had planned before.
//! - A result of a window without an end has the time of what has it fire. Flink's has the end of all time.
//! - A global window never fires on time. At the end of the input Flink fires it by an event-time trigger, and one with a
//!   period again and again for ever; here the latter fires once more.
//!
//! One fault of Flink 2.3 is not followed: when several rows have become one session, and the gap of a later row spans
//! exactly that session, Flink forgets the rows before it.
//!
//! **Tests** that hold each of these rules, in `testing/tests/window_rules.rs` where nothing else is said:
//!
//! - Which windows have a time: `overlapping_windows_are_those_that_have_the_time` (`assigners.rs`),
//!   `days_weeks_and_months_begin_at_the_midnight_of_their_zone` (`calendar.rs`),
//!   `sessions_that_overlap_or_touch_become_one_and_others_stay_apart`, `a_row_between_two_sessions_makes_one_of_them`.
//! - Windows without an end: `a_count_window_has_a_keys_last_rows_and_the_time_of_the_last_one`,
//!   `a_global_window_fires_as_its_trigger_says_and_its_results_have_the_time_of_what_has_it_fire`.
//! - Firing: `windows_of_time_fire_when_the_watermark_reaches_their_last_nanosecond`,
//!   `a_trigger_may_fire_early_at_each_multiple_of_a_period_from_the_first_row_on`,
//!   `a_trigger_may_fire_early_at_each_so_many_rows`, `a_trigger_may_fire_at_chosen_rows_and_counts_by_key`,
//!   `a_trigger_without_the_watermark_leaves_out_the_firing_on_time`,
//!   `a_purging_trigger_gives_what_is_new_and_nothing_where_nothing_is`.
//! - Firing by processing time: `windows_fire_at_ticks_as_in_a_loop_over_rows_and_ticks` and
//!   `a_tick_fires_the_windows_of_keys_that_have_not_ended_once` (`testing/tests/window_ticks.rs`).
//! - Late rows: `rows_behind_the_end_of_a_window_have_it_fire_again_at_once_until_the_allowed_lateness_is_over`,
//!   `a_row_that_is_late_for_some_windows_and_not_for_others_belongs_to_those`,
//!   `a_session_is_late_when_what_it_becomes_part_of_is`.
//! - Panes: `sessions_that_become_one_go_on_with_the_larger_of_their_numbers`, and all of the above.
//! - Combining: `rows_combined_on_each_worker_give_the_same_windows` (`testing/tests/combined.rs`) and
//!   `windows_that_overlap_fire_the_same_where_workers_combine_their_rows` (`testing/tests/firings/combined.rs`).
//! - Order: `windows_of_one_time_leave_in_the_order_of_keys_and_then_of_windows`.
//! - All of them together: over random windows, triggers and rows in `testing/tests/firings.rs`, and over all small scripts
//!   in `testing/tests/firings/small.rs`. `scripts/windows.sh` runs both at length.

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
pub(crate) mod sessions;
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
