//! Places: the total order of all rows of a job, the same at any number of workers.
//!
//! ```text
//! clock │ step         │ time  │ key, hash     │ path
//! ──────┼──────────────┼───────┼───────────────┼──────────────────────────────────────────────
//!   c   │ rank         │ t     │ of the firing │ rows that a firing at `t` gives, c = t + bound + 1
//!   c   │ ROW | unit   │ 0     │ position, 0   │ rows of events; `c` is the clock before the event
//!   c   │ ROW | unit   │ t     │ of the timer  │ rows that a tick fires at processing time `t`
//!       │  + 1024 - rank                       │
//! ```
//! The *clock* is the largest event time so far in the job's order, before the row: it never goes back,
//! and a step's watermark is the clock less its bound less 1 ns. A firing at `t` therefore stands behind
//! all rows whose watermark is below `t` and before all others, which no worker has to find out.
//!
//! A *tick* of processing time is alone in its unit, and the 1,024 numbers behind that unit are no units: rows of timers
//! that it fires stand there, behind the tick and before all else. A step fires before it sees what the tick has had
//! fired in steps before it, so the numbers fall as ranks grow.
//!
//! The *path* numbers the rows that one row became at each exchange, as a row of prefix codes: numbers
//! that are 0 take one bit. All rows of a step have equally many numbers in their paths, so paths compare
//! as their numbers do. No two rows of a step have one place, and each sender's rows leave in growing
//! order of place, so a merge by place is a total order.

use crate::Timestamp;
use bytemuck::{Pod, Zeroable};

/// The step of a row that an event caused; the unit it was read in stands in the other bits.
const ROW: u64 = 1 << 63;

/// The step of a row that was fired after all events: its rank stands in the other bits.
const END: u64 = 1 << 62;

/// The unit of a tick, and the numbers behind it that are no units.
pub(crate) const TICK_UNITS: u64 = 1025;

/// Where a row stands among all rows of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Place {
    clock: i64,
    step: u64,
    time: i64,
    key: [u64; 2],
    hash: u64,
    path: Path,
}

const _: () = assert!(size_of::<Place>() == 72);

impl Place {
    /// Before everything.
    pub(crate) const MIN: Self =
        Self { clock: i64::MIN, step: 0, time: i64::MIN, key: [0; 2], hash: 0, path: Path::ROOT };
    /// After everything.
    pub(crate) const MAX: Self = Self {
        clock: i64::MAX,
        step: u64::MAX,
        time: i64::MAX,
        key: [u64::MAX; 2],
        hash: u64::MAX,
        path: Path([u64::MAX; Path::WORDS]),
    };

    /// The event at `position` of a unit, before which the clock stood at `clock`.
    pub(crate) const fn event(clock: Timestamp, unit: u64, position: u64) -> Self {
        Self { clock: clock.as_nanos(), step: ROW | unit, time: 0, key: [position, 0], hash: 0, path: Path::ROOT }
    }

    /// Behind all events, with the clock at `clock`, and before the end of time.
    pub(crate) const fn behind_events(clock: Timestamp) -> Self {
        Self::event(clock, ROW - 2, 0)
    }

    /// A row fired at `time` by a step of this rank, which grows from step to step, and whose watermark is `bound` and
    /// 1 ns behind the clock.
    pub(crate) fn fired(bound: i64, rank: usize, time: Timestamp, key: u128, hash: u64) -> Self {
        Self {
            clock: due_clock(time, bound).as_nanos(),
            step: rank as u64,
            time: time.as_nanos(),
            key: [(key >> 64) as u64, key as u64],
            hash,
            path: Path::ROOT,
        }
    }

    /// A row that the tick at this place has fired for a timer, in a step of this rank. As each step behind another takes
    /// a bit of a path, ranks are far below 1,024.
    pub(crate) const fn ticked(self, rank: usize, time: Timestamp, key: u128, hash: u64) -> Self {
        Self {
            clock: self.clock,
            step: self.step + (TICK_UNITS - 1).saturating_sub(rank as u64),
            time: time.as_nanos(),
            key: [(key >> 64) as u64, key as u64],
            hash,
            path: Path::ROOT,
        }
    }

    /// The same place, of a row that was fired after all events.
    pub(crate) const fn at_end(mut self) -> Self {
        self.step |= END;
        self
    }

    /// Whether the row was fired after all events: the clock before it is not that of any.
    pub(crate) const fn is_at_end(&self) -> bool {
        !self.is_event() && self.step & END != 0
    }

    /// Whether nothing but what is fired after all events stands behind this.
    pub(crate) const fn is_behind_events(&self) -> bool {
        self.step == ROW | (ROW - 2)
    }

    /// The clock before the row. As a frontier: all firings up to it may leave.
    pub(crate) const fn clock(&self) -> Timestamp {
        match self.is_event() {
            true => Timestamp::from_nanos(self.clock),
            // A firing happens while the clock gets there.
            false => Timestamp::from_nanos(self.clock).minus_nanos(1),
        }
    }

    const fn is_event(&self) -> bool {
        self.step >= ROW
    }

    /// The unit and the position in it of the event that caused the row, where one did.
    pub(crate) const fn position(&self) -> Option<(u64, u64)> {
        if self.is_event() { Some((self.step & !ROW, self.key[0])) } else { None }
    }

    /// When the row was fired, where no event caused it.
    pub(crate) const fn fired_at(&self) -> Option<Timestamp> {
        if self.is_event() { None } else { Some(Timestamp::from_nanos(self.time)) }
    }

    /// This place with the next number of its path; `None` where the path is full.
    #[inline]
    pub(crate) fn then(mut self, number: u32) -> Option<Self> {
        self.path = self.path.then(number)?;
        Some(self)
    }

    /// Behind this row and all that it becomes.
    pub(crate) fn behind_all_it_becomes(mut self) -> Self {
        self.path = self.path.behind_all();
        self
    }
}

/// The clock at which a firing at `time` is due, in a step whose watermark is `bound` and 1 ns behind the clock.
pub(crate) const fn due_clock(time: Timestamp, bound: i64) -> Timestamp {
    time.plus_nanos(bound).plus_nanos(1)
}

/// The watermark of a step where the clock stands at `clock`.
#[inline(always)]
pub(crate) const fn watermark_at(clock: Timestamp, bound: i64) -> Timestamp {
    match clock {
        Timestamp::MAX => Timestamp::MAX,
        clock => clock.minus_nanos(bound).minus_nanos(1),
    }
}

/// Numbers, one an exchange, as prefix codes from the highest bit on; the lowest byte counts the bits.
///
/// ```text
/// 0                  0
/// 1 .. 256           10  + 8 bits
/// 257 .. 65,792      110 + 16 bits
/// 65,793 ..          111 + 32 bits
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(transparent)]
struct Path([u64; Path::WORDS]);

impl Path {
    const WORDS: usize = 3;
    const BITS: u32 = Self::WORDS as u32 * 64 - 8;
    const ROOT: Self = Self([0; Self::WORDS]);

    const fn len(&self) -> u32 {
        (self.0[Self::WORDS - 1] & 0xff) as u32
    }

    /// The code of a number and its length in bits.
    const fn code(number: u32) -> (u64, u32) {
        match number {
            0 => (0, 1),
            1..=256 => (0b10 << 8 | (number as u64 - 1), 10),
            257..=65_792 => (0b110 << 16 | (number as u64 - 257), 19),
            _ => (0b111 << 32 | number as u64, 35),
        }
    }

    #[inline]
    fn then(mut self, number: u32) -> Option<Self> {
        let (code, bits) = Self::code(number);
        let (start, end) = (self.len(), self.len() + bits);
        if end > Self::BITS {
            return None;
        }
        let word = (start / 64) as usize;
        // The code's highest bit goes `start % 64` bits below the word's.
        let wide = u128::from(code) << (128 - bits - start % 64);
        self.0[word] |= (wide >> 64) as u64;
        if let Some(next) = self.0.get_mut(word + 1) {
            *next |= wide as u64;
        }
        self.0[Self::WORDS - 1] += u64::from(bits);
        Some(self)
    }

    /// Behind all paths that begin as this one.
    fn behind_all(mut self) -> Self {
        let len = self.len();
        for (word, first) in self.0.iter_mut().zip((0..).step_by(64)) {
            *word |= match len.saturating_sub(first) {
                used if used < 64 => u64::MAX >> used,
                _ => 0,
            };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn places_order_as_the_picture_says() {
        let event = |clock, unit, position| Place::event(at(clock), unit, position);
        let mut places = vec![
            Place::MIN,
            event(i64::MIN, 0, 0),
            event(i64::MIN, 0, 0).behind_all_it_becomes(),
            event(0, 0, 1).then(0).unwrap(),
            event(0, 0, 1).then(1).unwrap(),
            event(0, 0, 1).then(1).unwrap().then(3).unwrap(),
            event(0, 0, 1).then(2).unwrap(),
            event(0, 0, 70_000),
            // The watermark of a bound of 5 has reached 1 where the clock stands at 7.
            event(6, 0, 70_001),
            Place::fired(5, 1, at(1), 9, 0),
            Place::fired(5, 1, at(1), 1 << 70, 2),
            Place::fired(5, 2, at(1), 0, 0),
            event(7, 1, 0),
            event(7, 1, 0).then(3).unwrap(),
            event(7, 1, 0).then(3).unwrap().ticked(4, at(-9), 1, 0),
            event(7, 1, 0).ticked(4, at(-8), 0, 1),
            event(7, 1, 0).ticked(4, at(-8), 0, 2),
            event(7, 1, 0).ticked(4, at(-8), 1 << 70, 0),
            event(7, 1, 0).ticked(2, at(i64::MIN), 0, 0),
            event(7, 1 + TICK_UNITS, 0),
            Place::fired(5, 1, at(2), 0, 0),
            // At the end of time places cannot tell clocks apart, but times.
            Place::fired(5, 1, at(i64::MAX - 3), 1, 0),
            Place::fired(5, 1, at(i64::MAX - 2), 0, 0),
            Place::MAX,
        ];
        let sorted = places.clone();
        places.reverse();
        places.sort();
        assert_eq!(places, sorted);
    }

    #[test]
    fn a_firing_is_due_where_the_watermark_reaches_it() {
        for (time, bound) in [(0, 0), (7, 3), (-5, 1 << 40)] {
            let clock = due_clock(at(time), bound);
            assert_eq!(watermark_at(clock, bound), at(time));
            assert_eq!(watermark_at(Place::fired(bound, 1, at(time), 0, 0).clock(), bound), at(time - 1));
        }
        assert_eq!(watermark_at(Timestamp::MIN, 5), Timestamp::MIN);
        assert_eq!(watermark_at(Timestamp::MAX, 5), Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn paths_of_equally_many_numbers_order_as_their_numbers(
            left in prop::collection::vec(prop_oneof![0u32..3, 250u32..260, 65_780u32..65_800, any::<u32>()], 4),
            right in prop::collection::vec(prop_oneof![0u32..3, 250u32..260, 65_780u32..65_800, any::<u32>()], 4),
            same in 0usize..5,
        ) {
            let mut right = right;
            right[..same.min(4)].copy_from_slice(&left[..same.min(4)]);
            let path = |numbers: &[u32]| numbers.iter().try_fold(Path::ROOT, |path, number| path.then(*number)).unwrap();
            prop_assert_eq!(path(&left).cmp(&path(&right)), left.cmp(&right));
            // What a row becomes stands between it and what is behind all of that.
            for depth in 0..4 {
                let (row, part) = (path(&left[..depth]), path(&left));
                prop_assert!(row.0[..2] <= part.0[..2] && part < row.behind_all());
                if right[..depth] > left[..depth] {
                    prop_assert!(row.behind_all() < path(&right[..depth]));
                }
            }
        }
    }

    #[test]
    fn a_path_holds_many_single_rows_and_says_when_it_is_full() {
        let mut place = Place::event(at(0), 0, 0);
        for _ in 0..Path::BITS {
            place = place.then(0).unwrap();
        }
        assert!(place.then(0).is_none());
        let mut place = Place::event(at(0), 0, 0);
        for _ in 0..5 {
            place = place.then(u32::MAX).unwrap();
        }
        assert!(place.then(u32::MAX).is_none());
    }
}
