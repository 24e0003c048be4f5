//! Ready-made keyed operators. Each file says first what its operator means, and then how it does it.
//!
//! What holds for all of them:
//!
//! - **Order.** A key's rows are looked at in the job's order, so the output depends on the input alone. Where an operator
//!   goes by event time, its file says what becomes of a row whose time is before that of an earlier row, of rows of equal
//!   time, and of rows behind the watermark.
//! - **Accounting.** A row that an operator keeps out of its output leaves by the output `dropped`, wherever dropping rows
//!   is not the whole point of the output's shape (an alarm, an aggregate). Rows that nobody takes from there are counted.
//! - **State.** What depends on time alone is forgotten by a timer, as soon as no row can ask for it any more; at the end
//!   of the input nothing of it is left. What would be kept for ever, such as the last value of a key, is kept as
//!   [`Keep`] says.

pub(crate) mod absence;
pub(crate) mod changes;
pub(crate) mod debounce;
pub(crate) mod deduplicate;
pub(crate) mod delta;
pub(crate) mod enrich;
pub(crate) mod latest;
pub(crate) mod rate_limit;
pub(crate) mod running;
pub(crate) mod sample;
pub(crate) mod threshold;

use crate::operator::aggregate::packed_layout;
use crate::{Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::time::Duration;

/// How long the state of a key is kept that nothing else ends.
///
/// ```
/// use pelton::Keep;
/// use std::time::Duration;
///
/// assert_eq!(Keep::from(Duration::from_secs(60)), Keep::For(Duration::from_secs(60)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// For ever: where the number of keys is bounded.
    Forever,
    /// Until the watermark is so far behind the key's last row, in event time. After that the key is as new. A row behind
    /// the watermark counts as though it had the watermark's time.
    For(Duration),
}

impl Keep {
    const fn time_to_live(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(time) => Some(time),
        }
    }
}

impl From<Duration> for Keep {
    fn from(time: Duration) -> Self {
        Self::For(time)
    }
}

/// A value that a key had last, with its time.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(crate) struct Last<T> {
    time: Timestamp,
    is_known: u8,
    value: T,
}

impl<T: Record> Last<T> {
    const fn new(time: Timestamp, value: T) -> Self {
        Self { time, is_known: 1, value }
    }

    /// The value, where there is one.
    fn get(&self) -> Option<T> {
        (self.is_known != 0).then_some(self.value)
    }

    /// Whether a row of this time is older.
    fn is_after(&self, time: Timestamp) -> bool {
        let last = self.time;
        self.is_known != 0 && time < last
    }
}

impl<T: Record> Record for Last<T> {
    fn layout() -> Layout {
        let parts = [("last_time", Timestamp::layout()), ("is_known", u8::layout()), ("value", T::layout())];
        packed_layout("Last", &parts)
    }
}
