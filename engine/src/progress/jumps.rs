//! Jumps of event time: an event far ahead of all before it does not move its source's clock, until some in a row do.
//!
//! ```text
//! limit 100, believed after 4
//! time                   1   2   900   3   4   905   904   2   906   908   909
//! jumps in a row                   1   0   0     1     2   2     3     4     0
//! the least of them              900           905   904       904   904
//! largest time so far    1   2     2   3   4     4     4   4     4   908   909
//! ```
//! The fourth jump in a row is believed: the clock goes to the least time of the row, and this event is judged once more
//! by that. So a single wrong time among the others of a row is not believed with them. An event from the largest time so
//! far up to the limit ends a row; one behind the largest time says nothing of where time stands, and does not.
//!
//! All of this follows from the times of one source in their order. The clock never goes back.

use crate::Timestamp;
use std::ops::RangeInclusive;

/// How far an event may lie ahead of the largest time before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JumpLimit {
    /// Nanoseconds; `u64::MAX` is as far as two times can lie apart.
    pub(crate) max_ns: u64,
    /// So many jumps in a row are believed, at least 1.
    pub(crate) believed_after: u32,
}

impl JumpLimit {
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { max_ns: u64::MAX, believed_after: 16 };

    #[inline]
    const fn is_exceeded(self, from: Timestamp, to: Timestamp) -> bool {
        let (from, to) = (from.as_nanos(), to.as_nanos());
        // The difference fits 64 bits without a sign.
        to > from && to.wrapping_sub(from) as u64 > self.max_ns
    }

    /// Whether any event of some may jump, which lie from `min` to `max` and come behind `largest`.
    #[inline]
    pub(crate) const fn may_jump(self, largest: Timestamp, (min, max): (Timestamp, Timestamp)) -> bool {
        match largest {
            // The first of them is no jump, and the others follow it.
            Timestamp::MIN => self.is_exceeded(min, max),
            largest => self.is_exceeded(largest, max),
        }
    }
}

/// Jumps in a row that are not believed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    /// Fewer than are believed.
    count: u32,
    /// The least of their times; the end of time where there are none.
    least: Timestamp,
}

impl Row {
    const NONE: Self = Self { count: 0, least: Timestamp::MAX };
}

/// How far event time has come in one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SourceClock {
    /// The largest time so far, without the jumps that were not believed; `Timestamp::MIN` before the first event.
    pub(crate) largest: Timestamp,
    row: Row,
}

impl SourceClock {
    pub(crate) const START: Self = Self::at(Timestamp::MIN);

    /// Behind events up to `largest`, the last of which did not jump.
    pub(crate) const fn at(largest: Timestamp) -> Self {
        Self { largest, row: Row::NONE }
    }

    /// The largest time so far, how many jumps in a row are not believed, and the least of their times.
    pub(crate) const fn parts(&self) -> (Timestamp, u32, Timestamp) {
        (self.largest, self.row.count, self.row.least)
    }

    /// The clock that has these parts.
    pub(crate) const fn from_parts((largest, count, least): (Timestamp, u32, Timestamp)) -> Self {
        Self { largest, row: Row { count, least } }
    }

    /// Takes the next event; whether it jumped and did not move the clock.
    pub(crate) fn take(&mut self, time: Timestamp, limit: JumpLimit) -> bool {
        // The first event has nothing to jump from.
        if self.largest == Timestamp::MIN || !limit.is_exceeded(self.largest, time) {
            self.take_all(time);
            return false;
        }
        self.row = Row { count: self.row.count + 1, least: self.row.least.min(time) };
        if self.row.count < limit.believed_after {
            return true;
        }
        self.largest = self.row.least;
        self.row = Row::NONE;
        let is_alone = limit.is_exceeded(self.largest, time);
        match is_alone {
            true => self.row = Row { count: 1, least: time },
            false => self.largest = time,
        }
        is_alone
    }

    /// Takes the next events, of which none jumps, up to the largest of them.
    #[inline]
    pub(crate) fn take_all(&mut self, max: Timestamp) {
        self.end_row(max);
        self.largest = self.largest.max(max);
    }

    /// Takes a watermark that the source tells by itself: nothing at or before it comes any more, of a source whose
    /// watermark is `bound` and 1 ns behind the largest time.
    pub(crate) fn raise(&mut self, watermark: Timestamp, bound: i64) {
        self.take_all(watermark.plus_nanos(bound).plus_nanos(1));
    }

    /// Ends a row of jumps, if one of the next events does, of which none jumps and `max` is the largest.
    #[inline]
    pub(crate) fn end_row(&mut self, max: Timestamp) {
        // The first event at the clock or ahead of it is one that ends a row.
        if max >= self.largest {
            self.row = Row::NONE;
        }
    }

    /// Takes the next events, those in `range`, and tells the largest time so far behind each.
    pub(crate) fn take_each(
        &mut self,
        times: impl Iterator<Item = Timestamp>,
        range: &RangeInclusive<Timestamp>,
        limit: JumpLimit,
        reached: &mut Vec<Timestamp>,
    ) {
        reached.extend(times.map(|time| {
            if range.contains(&time) {
                self.take(time, limit);
            }
            self.largest
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: JumpLimit = JumpLimit { max_ns: 100, believed_after: 4 };

    /// The largest time behind each event, and how many jumped.
    fn taken(limit: JumpLimit, times: &[i64]) -> (Vec<i64>, usize) {
        let (mut clock, mut jumps) = (SourceClock::START, 0);
        let take = |&time: &i64| {
            jumps += usize::from(clock.take(Timestamp::from_nanos(time), limit));
            clock.largest.as_nanos()
        };
        (times.iter().map(take).collect(), jumps)
    }

    fn check(times: &[i64], reached: &[i64], jumps: usize) {
        assert_eq!(taken(LIMIT, times), (reached.to_vec(), jumps), "{times:?}");
    }

    #[test]
    fn a_jump_moves_nothing_until_some_in_a_row_are_believed() {
        check(&[1, 2, 900, 3, 4, 905, 904, 2, 906, 908, 909], &[1, 2, 2, 3, 4, 4, 4, 4, 4, 908, 909], 4);
        // Up to the limit is no jump.
        check(&[0, 100, 200, 301, 300], &[0, 100, 200, 200, 300], 1);
        // What lies at the clock ends a row, too.
        check(&[0, 500, 501, 502, 0, 503, 504, 505, 506], &[0, 0, 0, 0, 0, 0, 0, 0, 506], 6);
    }

    #[test]
    fn a_wrong_time_in_a_row_is_not_believed_with_the_others() {
        check(&[0, 500, 9000, 501, 502, 503], &[0, 0, 0, 0, 502, 503], 3);
        // The fourth is the wrong one: it begins a row of its own.
        check(&[0, 500, 501, 502, 9000, 503, 9001, 9002, 9003, 9004], &[0, 0, 0, 0, 500, 503, 503, 503, 503, 9004], 7);
    }

    #[test]
    fn the_first_event_is_believed_and_the_ends_of_time_saturate() {
        check(&[i64::MAX - 1, 5], &[i64::MAX - 1, i64::MAX - 1], 0);
        check(&[i64::MIN + 1, i64::MAX - 1, i64::MIN + 2], &[i64::MIN + 1, i64::MIN + 1, i64::MIN + 2], 1);
        check(&[i64::MAX - 50, i64::MAX - 1], &[i64::MAX - 50, i64::MAX - 1], 0);
    }

    #[test]
    fn without_a_limit_or_with_one_jump_believed_the_clock_is_the_largest_time() {
        let times = [5, -3, 1 << 62, 7, i64::MAX - 1, 8];
        let largest = [5, 5, 1 << 62, 1 << 62, i64::MAX - 1, i64::MAX - 1];
        for limit in [JumpLimit::NONE, JumpLimit { max_ns: 100, believed_after: 1 }] {
            assert_eq!(taken(limit, &times), (largest.to_vec(), 0));
        }
    }

    proptest! {
        /// In whatever pieces the events are taken, and whether a piece is judged as a whole where that is possible.
        #[test]
        fn pieces_do_not_matter(
            times in prop::collection::vec(prop_oneof![0i64..30, 500i64..530, 5000i64..5003], 1..60),
            pieces in prop::collection::vec(1usize..9, 60),
            believed_after in 1u32..5,
        ) {
            let limit = JumpLimit { max_ns: 20, believed_after };
            let (reached, jumps) = taken(limit, &times);
            let (mut clock, mut at, mut found) = (SourceClock::START, 0, Vec::new());
            let all = Timestamp::MIN..=Timestamp::MAX;
            for piece in pieces {
                let piece: Vec<_> = times[at..].iter().take(piece).copied().map(Timestamp::from_nanos).collect();
                let (Some(min), Some(max)) = (piece.iter().min(), piece.iter().max()) else { break };
                at += piece.len();
                if limit.may_jump(clock.largest, (*min, *max)) {
                    clock.take_each(piece.iter().copied(), &all, limit, &mut found);
                } else {
                    let mut largest = clock.largest;
                    found.extend(piece.iter().map(|time| { largest = largest.max(*time); largest }));
                    clock.take_all(*max);
                }
                prop_assert_eq!(found.last(), Some(&clock.largest));
            }
            let found: Vec<_> = found.iter().map(|time| time.as_nanos()).collect();
            prop_assert_eq!(&found, &reached);
            // An event jumped where it lies ahead of the clock behind it.
            prop_assert_eq!(times.iter().zip(&reached).filter(|(time, reached)| time > reached).count(), jumps);
        }
    }
}
