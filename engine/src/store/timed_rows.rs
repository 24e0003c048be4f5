//! Rows in order of time; of equal times in the order in which they came.

use crate::Timestamp;
use std::collections::VecDeque;

/// Rows of one key and side of a join.
#[derive(Debug, Clone)]
pub(crate) struct TimedRows<T>(VecDeque<(Timestamp, T)>);

impl<T> Default for TimedRows<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Copy> TimedRows<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a row behind all of its time.
    pub(crate) fn insert(&mut self, time: Timestamp, row: T) {
        // Most rows come in order.
        match self.0.back() {
            Some((last, _)) if *last > time => {
                let at = self.0.partition_point(|(other, _)| *other <= time);
                self.0.insert(at, (time, row));
            }
            _ => self.0.push_back((time, row)),
        }
    }

    /// The first row.
    pub(crate) fn first(&self) -> Option<&(Timestamp, T)> {
        self.0.front()
    }

    pub(crate) fn pop_first(&mut self) -> Option<(Timestamp, T)> {
        self.0.pop_front()
    }

    /// The last row at or before `time`.
    pub(crate) fn latest_at(&self, time: Timestamp) -> Option<&(Timestamp, T)> {
        let behind = self.0.partition_point(|(other, _)| *other <= time);
        self.0.get(behind.checked_sub(1)?)
    }

    /// Drops rows that are not the latest at `time` or any later time; says how many.
    pub(crate) fn drop_before_latest(&mut self, time: Timestamp) -> usize {
        let behind = self.0.partition_point(|(other, _)| *other <= time);
        let dropped = behind.saturating_sub(1);
        self.0.drain(..dropped);
        dropped
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Timestamp, T)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_are_found_as_in_a_sorted_list(
            rows in prop::collection::vec(0i64..30, 0..60), at in 0i64..30, dropped_at in 0i64..30,
        ) {
            let time = Timestamp::from_nanos;
            let mut timed = TimedRows::default();
            let mut model = Vec::new();
            for (number, nanos) in rows.into_iter().enumerate() {
                timed.insert(time(nanos), number);
                model.push((time(nanos), number));
            }
            model.sort_by_key(|(time, _)| *time);
            prop_assert!(timed.iter().eq(&model));
            prop_assert_eq!(timed.latest_at(time(at)), model.iter().rfind(|(other, _)| *other <= time(at)));
            let later = time(at.max(dropped_at));
            let latest = timed.latest_at(later).copied();
            let before = timed.len();
            let count = timed.drop_before_latest(time(dropped_at));
            prop_assert_eq!(timed.len() + count, before);
            prop_assert_eq!(timed.latest_at(later).copied(), latest);
            prop_assert!(timed.iter().filter(|(other, _)| *other <= time(dropped_at)).count() <= 1);
        }
    }
}
