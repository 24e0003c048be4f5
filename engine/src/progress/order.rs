//! How rows on an edge say where they stand: in 8 bytes behind sources, in full behind keyed steps.
//!
//! ```text
//! Seq      position + 1 in the unit (32 bits) │ way (8 bits) │ number (24 bits)
//! Clocked  the clock before the row           │ its Seq
//! Place    the whole place
//! ```
//! Rows straight from sources stand in the order of their units and positions, which needs no clock: only
//! steps that ask for the watermark before each row are sent it.

use crate::Timestamp;
use crate::progress::place::Place;
use bytemuck::{Pod, Zeroable};

/// Bits of a [`Seq`] that number the rows that one event became; the next ones are the way.
const NUMBER_BITS: u32 = 24;
/// The most rows that one row may become by stateless steps: a batch of such rows is held in memory.
pub(crate) const FAN_OUT_MAX: u32 = u16::MAX as u32;
const _: () = assert!(FAN_OUT_MAX < 1 << NUMBER_BITS);
/// The most inputs of a union.
pub(crate) const WAYS_MAX: usize = 1 << (32 - NUMBER_BITS);
/// The most events of a unit: positions have 32 bits, the last of which is behind all of them.
pub(crate) const UNIT_EVENTS_MAX: usize = u32::MAX as usize - 1;

/// Where a row straight from a source stands in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Seq(u64);

impl Seq {
    #[inline(always)]
    pub(crate) const fn event(position: u64) -> Self {
        Self((position + 1) << 32)
    }

    const fn position(self) -> u64 {
        (self.0 >> 32).saturating_sub(1)
    }

    /// The way and the number: the first number of the row's path.
    const fn number(self) -> u32 {
        self.0 as u32
    }

    /// The whole place of a row of `unit`.
    #[inline]
    fn place(self, clock: Timestamp, unit: u64) -> Place {
        let event = Place::event(clock, unit, self.position());
        // The first number of a path always fits.
        event.then(self.number()).unwrap_or(event)
    }
}

/// A [`Seq`] with the clock before its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Clocked {
    pub(crate) clock: Timestamp,
    seq: Seq,
}

/// What a merge compares: a unit and a [`Seq`], or a whole place.
pub(crate) trait At: Ord + Copy + std::fmt::Debug + 'static {
    const MIN: Self;
    /// As much of a place as is compared.
    fn of(place: Place) -> Self;
    /// The unit, where it is written down.
    fn unit(self) -> u64;
    /// Whether it was fired after all events.
    fn is_at_end(self) -> bool;
    /// Behind this row.
    fn behind(self) -> Self;
    /// The place of which the clock is known to be at least `clock`.
    fn place(self, clock: Timestamp) -> Place;
}

/// Where a row straight from a source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowAt {
    unit: u64,
    seq: Seq,
}

impl At for RowAt {
    const MIN: Self = Self { unit: 0, seq: Seq(0) };

    fn of(place: Place) -> Self {
        match place.position() {
            _ if place == Place::MAX => Self { unit: u64::MAX, seq: Seq(u64::MAX) },
            Some((unit, position)) => Self { unit, seq: Seq::event(position) },
            None => Self::MIN,
        }
    }

    fn unit(self) -> u64 {
        self.unit
    }

    fn is_at_end(self) -> bool {
        false
    }

    fn behind(self) -> Self {
        Self { unit: self.unit, seq: Seq(self.seq.0 + 1) }
    }

    fn place(self, clock: Timestamp) -> Place {
        match self.unit {
            u64::MAX => Place::MAX,
            unit => self.seq.place(clock, unit),
        }
    }
}

impl At for Place {
    const MIN: Self = Self::MIN;

    fn of(place: Place) -> Self {
        place
    }

    fn unit(self) -> u64 {
        0
    }

    fn is_at_end(self) -> bool {
        Self::is_at_end(&self)
    }

    fn behind(self) -> Self {
        self.behind_all_it_becomes()
    }

    fn place(self, _: Timestamp) -> Place {
        self
    }
}

/// The places of a run of rows, in growing order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Places<'a> {
    /// Consecutive events of a unit.
    Run { unit: u64, first: u64 },
    /// Some events of a unit: `of` counts from the event at `first`.
    Picked { unit: u64, first: u64, of: &'a [u32] },
    /// Rows of one unit, straight from a source.
    Seqs { unit: u64, seqs: &'a [Seq] },
    /// The same, with the clock before each.
    Clocked { unit: u64, rows: &'a [Clocked] },
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

/// The clock before each row of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Clocks<'a> {
    /// No row lies behind its source's watermark, and nobody asked for more.
    OnTime,
    /// One clock for all.
    All(Timestamp),
    /// A clock for each.
    Each(&'a [Timestamp]),
    /// The rows' places have them.
    InPlaces,
}

impl<'a> Clocks<'a> {
    /// The clocks of the rows in a range.
    pub(crate) fn range(self, rows: std::ops::Range<usize>) -> Self {
        match self {
            Self::Each(clocks) => Self::Each(&clocks[rows]),
            other => other,
        }
    }
}

impl<'a> Places<'a> {
    /// The [`Seq`] of a row straight from a source.
    #[inline(always)]
    fn seq(&self, index: usize) -> Seq {
        match self {
            Self::Run { first, .. } => Seq::event(first + index as u64),
            Self::Picked { first, of, .. } => Seq::event(first + u64::from(of[index])),
            Self::Seqs { seqs, .. } => seqs[index],
            Self::Clocked { rows, .. } => rows[index].seq,
            Self::Full(_) | Self::Unasked { .. } => Seq::event(0),
        }
    }

    /// The clock before a row, where the places have it.
    #[inline(always)]
    fn clock(&self, index: usize) -> Timestamp {
        match self {
            Self::Clocked { rows, .. } => rows[index].clock,
            Self::Full(places) => places[index].clock(),
            Self::Unasked { of, first } => of.place(first + index).clock(),
            Self::Run { .. } | Self::Picked { .. } | Self::Seqs { .. } => Timestamp::MIN,
        }
    }

    /// The clock before row `index`; that of rows on time is known only where somebody asked for it.
    #[inline(always)]
    pub(crate) fn clock_before(&self, clocks: &Clocks<'_>, index: usize) -> Timestamp {
        match clocks {
            Clocks::OnTime => Timestamp::MIN,
            Clocks::All(clock) => *clock,
            Clocks::Each(clocks) => clocks[index],
            Clocks::InPlaces => self.clock(index),
        }
    }

    /// The whole place of row `index`.
    #[inline]
    pub(crate) fn place(&self, clocks: &Clocks<'_>, index: usize) -> Place {
        match self {
            Self::Full(places) => places[index],
            Self::Unasked { of, first } => of.place(first + index),
            Self::Run { unit, .. }
            | Self::Picked { unit, .. }
            | Self::Seqs { unit, .. }
            | Self::Clocked { unit, .. } => self.seq(index).place(self.clock_before(clocks, index), *unit),
        }
    }

    /// The unit of the rows; 0 where their places have it.
    pub(crate) const fn unit(&self) -> u64 {
        match self {
            Self::Run { unit, .. }
            | Self::Picked { unit, .. }
            | Self::Seqs { unit, .. }
            | Self::Clocked { unit, .. } => *unit,
            Self::Full(_) | Self::Unasked { .. } => 0,
        }
    }

    /// The places of the rows in a range.
    pub(crate) fn range(self, rows: std::ops::Range<usize>) -> Self {
        match self {
            Self::Run { unit, first } => Self::Run { unit, first: first + rows.start as u64 },
            Self::Picked { unit, first, of } => Self::Picked { unit, first, of: &of[rows] },
            Self::Seqs { unit, seqs } => Self::Seqs { unit, seqs: &seqs[rows] },
            Self::Clocked { unit, rows: all } => Self::Clocked { unit, rows: &all[rows] },
            Self::Full(places) => Self::Full(&places[rows]),
            Self::Unasked { of, first } => Self::Unasked { of, first: first + rows.start },
        }
    }
}

/// How an edge writes where its rows stand.
pub(crate) trait Order: Pod + Ord + Send + Sync + std::fmt::Debug {
    /// What a merge of such edges compares.
    type At: At;
    /// Whether the clock before each row is written down.
    const HAS_CLOCK: bool;
    /// Whether the unit is told apart from the rows, by a mark before them.
    const TELLS_UNIT: bool;

    /// The order of row `index`, before its path is stamped.
    fn base(places: &Places<'_>, clocks: &Clocks<'_>, index: usize) -> Self;
    /// The order of the row with this number among those made of one row, on input `way` of a union; `None` where
    /// the path is full.
    fn stamped(self, stamp: &PathStamp, number: u32) -> Option<Self>;
    /// Where a row of `unit` stands.
    fn at(self, unit: u64) -> Self::At;
    /// A column of orders as places.
    fn places(unit: u64, orders: &[Self]) -> Places<'_>;
}

/// What an exchange adds to the path of each row besides its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PathStamp {
    /// The input of a union that the rows take, where there are several, in range `0 .. WAYS_MAX`.
    pub(crate) way: Option<u32>,
    /// Numbers that the paths of other inputs have and these have not.
    pub(crate) padding: u32,
}

impl PathStamp {
    pub(crate) const SINGLE: Self = Self { way: None, padding: 0 };

    /// The place of the row with this number among those made of the row at `place`.
    #[inline]
    pub(crate) fn place(&self, mut place: Place, number: u32) -> Option<Place> {
        for _ in 0..self.padding {
            place = place.then(0)?;
        }
        if let Some(way) = self.way {
            place = place.then(way)?;
        }
        place.then(number)
    }
}

impl Order for Seq {
    type At = RowAt;
    const HAS_CLOCK: bool = false;
    const TELLS_UNIT: bool = true;

    #[inline(always)]
    fn base(places: &Places<'_>, _: &Clocks<'_>, index: usize) -> Self {
        places.seq(index)
    }

    #[inline(always)]
    fn stamped(self, stamp: &PathStamp, number: u32) -> Option<Self> {
        let number = Some(number).filter(|number| *number <= FAN_OUT_MAX)?;
        Some(Self(self.0 | u64::from(stamp.way.unwrap_or(0) << NUMBER_BITS | number)))
    }

    fn at(self, unit: u64) -> RowAt {
        RowAt { unit, seq: self }
    }

    fn places(unit: u64, seqs: &[Self]) -> Places<'_> {
        Places::Seqs { unit, seqs }
    }
}

impl Order for Clocked {
    type At = RowAt;
    const HAS_CLOCK: bool = true;
    const TELLS_UNIT: bool = true;

    #[inline(always)]
    fn base(places: &Places<'_>, clocks: &Clocks<'_>, index: usize) -> Self {
        Self { clock: places.clock_before(clocks, index), seq: places.seq(index) }
    }

    #[inline(always)]
    fn stamped(self, stamp: &PathStamp, number: u32) -> Option<Self> {
        Some(Self { seq: self.seq.stamped(stamp, number)?, ..self })
    }

    fn at(self, unit: u64) -> RowAt {
        RowAt { unit, seq: self.seq }
    }

    fn places(unit: u64, rows: &[Self]) -> Places<'_> {
        Places::Clocked { unit, rows }
    }
}

impl Order for Place {
    type At = Place;
    const HAS_CLOCK: bool = true;
    const TELLS_UNIT: bool = false;

    fn base(places: &Places<'_>, clocks: &Clocks<'_>, index: usize) -> Self {
        places.place(clocks, index)
    }

    #[inline]
    fn stamped(self, stamp: &PathStamp, number: u32) -> Option<Self> {
        stamp.place(self, number)
    }

    fn at(self, _: u64) -> Place {
        self
    }

    fn places(_: u64, places: &[Self]) -> Places<'_> {
        Places::Full(places)
    }
}

/// Numbers the rows that leave one step: several rows made of one row differ in their path.
#[derive(Debug)]
pub(crate) struct Stamp<O> {
    pub(crate) path: PathStamp,
    last: Option<(u64, O)>,
    number: u32,
}

impl<O: Order> Stamp<O> {
    pub(crate) const fn new(path: PathStamp) -> Self {
        Self { path, last: None, number: 0 }
    }

    /// The order of the next row, made of row `index`; `None` where one row became too many or its path is full.
    #[inline(always)]
    pub(crate) fn next(&mut self, places: &Places<'_>, clocks: &Clocks<'_>, index: usize) -> Option<O> {
        let base = (places.unit(), O::base(places, clocks, index));
        if self.last == Some(base) {
            // Rows that steps with state make are numbered by them, and may be more than these.
            self.number = self.number.checked_add(1)?;
        } else {
            self.last = Some(base);
            self.number = 0;
        }
        base.1.stamped(&self.path, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_orders_mean_the_same_place() {
        let places = Places::Run { unit: 3, first: 10 };
        let clocks: Vec<_> = (0..5).map(Timestamp::from_nanos).collect();
        let clocks = Clocks::Each(&clocks);
        let stamp = PathStamp { way: Some(2), padding: 0 };
        let mut seqs = Stamp::<Seq>::new(stamp);
        let mut clocked = Stamp::<Clocked>::new(stamp);
        for index in [0, 1, 1, 1, 4] {
            let seq = seqs.next(&places, &clocks, index).unwrap();
            let row = clocked.next(&places, &clocks, index).unwrap();
            assert_eq!(seq.at(3), row.at(3));
            let whole = seq.place(clocks_at(&clocks, index), 3);
            assert_eq!(RowAt::of(whole).unit(), 3);
            assert_eq!(row.at(3).place(row.clock), whole);
            assert!(whole > places.place(&clocks, index).then(0).unwrap());
        }
    }

    fn clocks_at(clocks: &Clocks<'_>, index: usize) -> Timestamp {
        Places::Run { unit: 0, first: 0 }.clock_before(clocks, index)
    }

    #[test]
    fn a_frontier_stands_before_the_rows_of_its_event_and_behind_those_before() {
        let at = |position, number| Seq::event(position).stamped(&PathStamp::SINGLE, number).unwrap().at(7);
        let frontier = RowAt::of(Place::event(Timestamp::MIN, 7, 5));
        assert!(at(4, 9) < frontier && frontier <= at(5, 0));
        assert!(at(5, 0).behind() <= at(5, 1) && at(5, 0) < at(5, 0).behind());
        assert!(RowAt::of(Place::MAX) > at(u64::from(u32::MAX) - 1, 9));
    }

    #[test]
    fn rows_of_one_row_are_numbered_across_batches_and_units() {
        let mut stamp = Stamp::<Seq>::new(PathStamp::SINGLE);
        let unit = |unit| Places::Run { unit, first: 0 };
        let first = stamp.next(&unit(0), &Clocks::OnTime, 0).unwrap();
        let second = stamp.next(&unit(0), &Clocks::OnTime, 0).unwrap();
        let other = stamp.next(&unit(1), &Clocks::OnTime, 0).unwrap();
        assert!(first < second);
        assert_eq!(first, other);
    }
}
