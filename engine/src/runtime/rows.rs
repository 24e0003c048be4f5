//! A run of rows on its way from one step to the next.

use crate::Timestamp;
use crate::base::prefetch::Ahead;
use crate::progress::order::{Clocks, Places};
use crate::progress::place::Place;
use crate::progress::watermark;

/// Rows in columns, in the job's order.
pub(crate) struct Rows<'a, T> {
    pub(crate) times: &'a [Timestamp],
    pub(crate) values: &'a [T],
    pub(crate) places: Places<'a>,
    pub(crate) clocks: Clocks<'a>,
    /// All times lie from the first to the second, where that is known without looking.
    pub(crate) bounds: Option<(Timestamp, Timestamp)>,
    /// From these values to those that this worker reads next; only of rows straight from a source.
    pub(crate) ahead: Ahead,
}

impl<T> Clone for Rows<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Rows<'_, T> {}

impl<'a, T> Rows<'a, T> {
    /// Rows of which nothing else is known.
    pub(crate) fn new(times: &'a [Timestamp], values: &'a [T], places: Places<'a>, clocks: Clocks<'a>) -> Self {
        Self { times, values, places, clocks, bounds: None, ahead: Ahead::NONE }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The rows in a range.
    pub(crate) fn range(self, rows: std::ops::Range<usize>) -> Self {
        Self {
            times: &self.times[rows.clone()],
            values: &self.values[rows.clone()],
            places: self.places.range(rows.clone()),
            clocks: self.clocks.range(rows),
            ..self
        }
    }

    /// The rows from `start` on.
    pub(crate) fn skip(self, start: usize) -> Self {
        self.range(start..self.len())
    }

    /// The whole place of a row.
    pub(crate) fn place(&self, index: usize) -> Place {
        self.places.place(&self.clocks, index)
    }

    /// Tells in words where a row stands.
    pub(crate) fn position(&self, index: usize) -> String {
        position_of(&self.place(index))
    }
}

/// Tells in words where a row stands.
fn position_of(place: &Place) -> String {
    match (place.position(), place.fired_at()) {
        (Some((unit, position)), _) => format!("event {position} of block {unit}"),
        (None, Some(time)) => format!("a row fired at {time}"),
        (None, None) => String::from("no row"),
    }
}

/// The smallest and the largest of the times, where there are any.
#[inline]
pub(crate) fn extremes(times: &[Timestamp]) -> Option<(Timestamp, Timestamp)> {
    let (first, last) = (*times.first()?, *times.last()?);
    // Which most are, and it takes half as long to see.
    if times.is_sorted() {
        return Some((first, last));
    }
    Some(watermark::extremes(times))
}
