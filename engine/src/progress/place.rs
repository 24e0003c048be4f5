//! Places: the total order of rows, the same at any number of workers.
//!
//! ```text
//! block │ step                              │ time, key, hash      │ path
//! ──────┼───────────────────────────────────┼──────────────────────┼──────────────────────────
//!   b   │ (position + 1) << 32              │ 0                    │ rows caused by an event
//!   b   │ END | depth of the firing step    │ of the firing        │ rows of windows and timers
//!   b   │ u64::MAX                          │ 0                    │ the block's end mark
//! ```
//! `path` numbers the rows that one row became at each exchange on its way, 32 bits an exchange: 8 for
//! the input of a union that the row took, 24 for its number. No two rows of a step have one place, and
//! each sender's rows leave in growing order of place, so a merge by place is a total order.

use bytemuck::{Pod, Zeroable};

/// Words of a path; each has two levels.
const PATH_WORDS: usize = 3;
/// Exchanges that a row can pass: levels in a path.
pub(crate) const LEVELS: usize = 2 * PATH_WORDS;
/// Bits of a level that number the rows that one row became; the rest is the way.
const SUB_BITS: u32 = 24;
/// The most rows that one row may become before an exchange: a batch of such rows is held in memory.
pub(crate) const FAN_OUT_MAX: u32 = u16::MAX as u32;
const _: () = assert!(FAN_OUT_MAX < 1 << SUB_BITS);
/// The most inputs of a union.
pub(crate) const WAYS_MAX: usize = 1 << (32 - SUB_BITS);

/// The step of the first row that a block's end fires.
const END: u64 = 0xffff_ffff << 32;

/// Where a row stands among all rows of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Place {
    block: u64,
    step: u64,
    time: i64,
    key: [u64; 2],
    hash: u64,
    path: [u64; PATH_WORDS],
}

impl Place {
    /// Before everything.
    pub(crate) const MIN: Self = Self { block: 0, step: 0, time: 0, key: [0; 2], hash: 0, path: [0; PATH_WORDS] };
    /// After everything.
    pub(crate) const MAX: Self = Self {
        block: u64::MAX,
        step: u64::MAX,
        time: i64::MAX,
        key: [u64::MAX; 2],
        hash: u64::MAX,
        path: [u64::MAX; PATH_WORDS],
    };

    /// Before the first event of a block.
    pub(crate) const fn block_start(block: u64) -> Self {
        Self { block, ..Self::MIN }
    }

    /// After everything that the block's events and its end caused.
    pub(crate) const fn block_end(block: u64) -> Self {
        Self { block, step: u64::MAX, ..Self::MIN }
    }

    /// The event at `position` in a block.
    pub(crate) const fn event(block: u64, position: u64) -> Self {
        Self { block, step: (position + 1) << 32, ..Self::MIN }
    }

    /// A row fired at a block's end by a step `depth` exchanges away from the sources.
    pub(crate) fn fired(block: u64, depth: usize, time: i64, key: u128, hash: u64) -> Self {
        let step = END | depth as u64;
        Self { block, step, time, key: [(key >> 64) as u64, key as u64], hash, path: [0; PATH_WORDS] }
    }

    /// The block of the place.
    pub(crate) const fn block(&self) -> u64 {
        self.block
    }

    /// The position in its block of the event that caused the row, where an event did.
    pub(crate) const fn position(&self) -> Option<u64> {
        if self.step >= END || self.step == 0 { None } else { Some((self.step >> 32) - 1) }
    }

    /// Behind all rows that this one becomes at the exchange of `level` and later.
    pub(crate) fn behind_all_it_becomes(mut self, level: usize) -> Self {
        for deeper in level..LEVELS {
            self.path[deeper / 2] |= 0xffff_ffff << shift(deeper);
        }
        self
    }

    /// This place for the row with this number among those that it became at the exchange of `level`.
    fn with_path(mut self, level: usize, number: u32) -> Self {
        self.path[level / 2] |= u64::from(number) << shift(level);
        self
    }
}

/// The lowest bit of a level in its word of a path.
const fn shift(level: usize) -> u32 {
    if level.is_multiple_of(2) { 32 } else { 0 }
}

/// The place of a row that came straight from a source, within its block: position and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Seq(u64);

impl Seq {
    #[inline(always)]
    pub(crate) const fn event(position: u64) -> Self {
        Self((position + 1) << 32)
    }

    const fn place(self, block: u64) -> Place {
        let step = self.0 & (0xffff_ffff << 32);
        let path = (self.0 & 0xffff_ffff) << shift(0);
        Place { block, step, path: [path, 0, 0], ..Place::MIN }
    }
}

/// The places of a run of rows, in growing order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Places<'a> {
    /// Consecutive events of a block.
    Run { block: u64, first: u64 },
    /// Rows of one block, straight from a source.
    Seqs { block: u64, seqs: &'a [Seq] },
    /// Any rows.
    Full(&'a [Place]),
    /// Rows on their way to one who asks where each stands only when something goes wrong: those of `of` from
    /// `first` on.
    Unasked { of: &'a dyn Placed, first: usize },
}

/// Rows whose places are found when they are asked for.
pub(crate) trait Placed: std::fmt::Debug {
    /// The place of a row.
    fn place(&self, index: usize) -> Place;
}

impl<'a> Places<'a> {
    #[inline]
    pub(crate) fn place(&self, index: usize) -> Place {
        match self {
            Self::Run { block, first } => Place::event(*block, first + index as u64),
            Self::Seqs { block, seqs } => seqs[index].place(*block),
            Self::Full(places) => places[index],
            Self::Unasked { of, first } => of.place(first + index),
        }
    }

    /// The block of the first row; 0 where there is none.
    pub(crate) fn block(&self) -> u64 {
        match self {
            Self::Run { block, .. } | Self::Seqs { block, .. } => *block,
            Self::Full(places) => places.first().map_or(0, Place::block),
            Self::Unasked { of, first } => of.place(*first).block(),
        }
    }

    /// The places of the rows from `start` on.
    pub(crate) fn skip(self, start: usize) -> Self {
        match self {
            Self::Run { block, first } => Self::Run { block, first: first + start as u64 },
            Self::Seqs { block, seqs } => Self::Seqs { block, seqs: &seqs[start..] },
            Self::Full(places) => Self::Full(&places[start..]),
            Self::Unasked { of, first } => Self::Unasked { of, first: first + start },
        }
    }
}

/// How an edge writes places: in 8 bytes behind sources, in full behind keyed steps.
pub(crate) trait Order: Pod + Ord + Send + Sync + std::fmt::Debug {
    /// The order of row `index` of `places`, before its path is stamped.
    fn base(places: &Places<'_>, index: usize) -> Self;
    /// The order of the row with this number among those made of one row at the exchange of `level`.
    fn stamped(self, level: usize, number: u32) -> Self;
    /// The place of a row of `block`.
    fn place(self, block: u64) -> Place;
    /// A column of orders as places.
    fn places(block: u64, orders: &[Self]) -> Places<'_>;
}

impl Order for Seq {
    #[inline(always)]
    fn base(places: &Places<'_>, index: usize) -> Self {
        match places {
            Places::Run { first, .. } => Self::event(first + index as u64),
            Places::Seqs { seqs, .. } => seqs[index],
            // An edge of this order stands behind sources only, whose rows have runs or seqs.
            Places::Full(_) | Places::Unasked { .. } => Self(places.place(index).step),
        }
    }

    #[inline(always)]
    fn stamped(self, _: usize, number: u32) -> Self {
        Self(self.0 | u64::from(number))
    }

    fn place(self, block: u64) -> Place {
        Seq::place(self, block)
    }

    fn places(block: u64, seqs: &[Self]) -> Places<'_> {
        Places::Seqs { block, seqs }
    }
}

impl Order for Place {
    fn base(places: &Places<'_>, index: usize) -> Self {
        places.place(index)
    }

    fn stamped(self, level: usize, number: u32) -> Self {
        self.with_path(level, number)
    }

    fn place(self, _: u64) -> Place {
        self
    }

    fn places(_: u64, places: &[Self]) -> Places<'_> {
        Places::Full(places)
    }
}

/// Numbers the rows that leave one step: several rows made of one row differ in their path.
#[derive(Debug)]
pub(crate) struct Stamp<O> {
    level: usize,
    /// The input of a union that the rows take, in range `0 .. WAYS_MAX`.
    way: u32,
    last: Option<O>,
    sub: u32,
}

impl<O: Order> Stamp<O> {
    /// A stamp for rows that leave `level` exchanges behind the sources, for input `way` of a union.
    pub(crate) const fn new(level: usize, way: usize) -> Self {
        Self { level, way: way as u32, last: None, sub: 0 }
    }

    /// The order of the next row, made of row `index` of `places`; `None` past [`FAN_OUT_MAX`].
    #[inline(always)]
    pub(crate) fn next(&mut self, places: &Places<'_>, index: usize) -> Option<O> {
        let base = O::base(places, index);
        if self.last == Some(base) {
            if self.sub == FAN_OUT_MAX {
                return None;
            }
            self.sub += 1;
        } else {
            self.last = Some(base);
            self.sub = 0;
        }
        Some(base.stamped(self.level, self.way << SUB_BITS | self.sub))
    }

    /// The order of a row that is the only one made of row `index` of `places`.
    #[inline(always)]
    pub(crate) fn single(&self, places: &Places<'_>, index: usize) -> O {
        O::base(places, index).stamped(self.level, self.way << SUB_BITS)
    }

    /// The orders of rows that are the only ones made of events from position `first` on. It borrows
    /// nothing, so that a loop over it can take several at once.
    #[inline(always)]
    pub(crate) fn singles(&self, block: u64, first: u64) -> impl Fn(usize) -> O + Copy + use<O> {
        let (level, number) = (self.level, self.way << SUB_BITS);
        move |index| O::base(&Places::Run { block, first }, index).stamped(level, number)
    }

    /// Forgets the last row: positions start anew with each block.
    pub(crate) fn block_end(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_order_as_the_picture_says() {
        let mut places = vec![
            Place::MIN,
            Place::event(0, 0),
            Place::event(0, 0).with_path(0, 1),
            Place::event(0, 0).with_path(0, 1).with_path(1, 3),
            Place::event(0, 0).with_path(0, 2),
            Place::event(0, 70_000),
            Place::fired(0, 1, -5, 9, 0),
            Place::fired(0, 1, 7, 1, 5),
            Place::fired(0, 1, 7, 1 << 70, 2),
            Place::fired(0, 2, -9, 0, 0),
            Place::block_end(0),
            Place::block_start(1),
            Place::MAX,
        ];
        let sorted = places.clone();
        places.reverse();
        places.sort();
        assert_eq!(places, sorted);
    }

    #[test]
    fn short_and_full_orders_mean_the_same_place() {
        let places = Places::Run { block: 3, first: 10 };
        let mut short = Stamp::<Seq>::new(0, 0);
        let mut full = Stamp::<Place>::new(0, 0);
        for index in [0, 1, 1, 1, 4] {
            let seq = short.next(&places, index).unwrap();
            assert_eq!(Order::place(seq, 3), full.next(&places, index).unwrap());
        }
    }

    #[test]
    fn one_row_becomes_at_most_so_many() {
        let mut stamp = Stamp::<Seq>::new(0, 0);
        let places = Places::Run { block: 0, first: 0 };
        for _ in 0..=FAN_OUT_MAX {
            assert!(stamp.next(&places, 0).is_some());
        }
        assert!(stamp.next(&places, 0).is_none());
    }
}
