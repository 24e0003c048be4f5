//! Plain yardsticks for readings that come one by one, by the rules of `plain.rs`. Readings are in order.
//!
//! Frozen: changed only to fix an error, never to be slower or faster.

use crate::number_work::{Amount, amount, is_small};
use crate::readings::{Measured, Reading, ReadingRow};
use crate::work::CountAndSum;
use hashbrown::HashMap;
use pelton::{BoxError, Timestamp};
use std::time::Duration;

/// Calls `call` with what a reading adds, where it is small.
#[inline]
pub fn pushed_amount(reading: &Reading, call: &mut impl FnMut(Timestamp, &Amount)) {
    if is_small(reading) {
        call(Timestamp::from_nanos(reading.time_ns), &amount(reading));
    }
}

/// Counts and sums by device in the tumbling window that is open.
#[derive(Debug)]
pub struct PushedSums {
    size_ns: i64,
    /// The open window; before the first reading one that nothing is in.
    start_ns: i64,
    end_ns: i64,
    open: HashMap<u64, CountAndSum>,
    fired: Vec<(u64, CountAndSum)>,
}

impl PushedSums {
    /// Windows of this size.
    ///
    /// # Errors
    /// When it is shorter than 1 ns or longer than 292 years.
    pub fn new(window: Duration) -> Result<Self, BoxError> {
        let size_ns = i64::try_from(window.as_nanos())?;
        if size_ns == 0 {
            return Err("a window of no length".into());
        }
        let (open, fired) = (HashMap::new(), Vec::new());
        Ok(Self { size_ns, start_ns: i64::MIN, end_ns: i64::MIN, open, fired })
    }

    /// Adds a reading. Where it is the first one behind the open window, that fires: `call` gets its rows in the order of
    /// devices.
    #[inline]
    pub fn push(&mut self, reading: &Reading, call: &mut impl FnMut(Timestamp, &ReadingRow)) {
        if reading.time_ns >= self.end_ns {
            self.fire(call);
            self.start_ns = reading.time_ns - reading.time_ns.rem_euclid(self.size_ns);
            self.end_ns = self.start_ns + self.size_ns;
        }
        let sums = self.open.entry(reading.device).or_default();
        sums.trades += 1;
        sums.size = sums.size.wrapping_add(reading.value);
    }

    /// Fires the open window.
    pub fn fire(&mut self, call: &mut impl FnMut(Timestamp, &ReadingRow)) {
        let Self { start_ns, end_ns, open, fired, .. } = self;
        fired.clear();
        fired.extend(open.drain());
        fired.sort_unstable_by_key(|entry| entry.0);
        for (device, sums) in &*fired {
            call(Timestamp::from_nanos(*end_ns - 1), &Reading::row(*device, (*start_ns, *end_ns), sums));
        }
    }
}
