//! How rows leave a task: the outlet's protocol, and outlets to many and to none.

use crate::Timestamp;
use crate::base::prefetch::Ahead;
use crate::progress::mark::BlockMark;
use crate::progress::place::{Place, Places};
use crate::progress::watermark;

/// A run of rows on its way from one task to the next.
pub(crate) struct Rows<'a, T> {
    pub(crate) times: &'a [Timestamp],
    pub(crate) values: &'a [T],
    pub(crate) places: Places<'a>,
    /// All times lie from the first to the second, where that is known without looking.
    pub(crate) bounds: Option<(Timestamp, Timestamp)>,
    /// The watermark at the place of the row that caused these, where that row lay behind it.
    pub(crate) behind: Option<Timestamp>,
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
    /// Rows that are on time, of which nothing else is known.
    pub(crate) fn new(times: &'a [Timestamp], values: &'a [T], places: Places<'a>) -> Self {
        Self { times, values, places, bounds: None, behind: None, ahead: Ahead::NONE }
    }

    /// The rows from `start` on.
    pub(crate) fn skip(self, start: usize) -> Self {
        Self {
            times: &self.times[start..],
            values: &self.values[start..],
            places: self.places.skip(start),
            bounds: self.bounds,
            behind: self.behind,
            ahead: self.ahead,
        }
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

/// Where the rows of a source or operator go.
///
/// `rows`, `mark` and `end` each follow an `is_ready` that said yes; then they take what they get
/// whole. In between nothing is asked twice: one `is_ready`, one call.
pub(crate) trait Outlet<T> {
    /// Moves on what is held up; whether nothing is held up any more.
    fn is_ready(&mut self) -> bool;
    /// Takes rows.
    fn rows(&mut self, rows: Rows<'_, T>);
    /// Takes a block's end.
    fn mark(&mut self, mark: BlockMark);
    /// Learns that nothing below `place` will come. It may be called at any time. Whether it need not be told again
    /// before something else comes: all who wait for it know.
    fn frontier(&mut self, place: Place) -> bool;
    /// Learns that nothing more will come.
    fn end(&mut self);
    /// Whether it matters where each row stands. Otherwise places need not be written down.
    fn uses_places(&self) -> bool {
        true
    }
}

/// An outlet to any number of others; with none, rows end here.
pub(crate) struct FanOut<T>(pub(crate) Vec<Box<dyn Outlet<T>>>);

impl<T> Outlet<T> for FanOut<T> {
    fn is_ready(&mut self) -> bool {
        // Each is asked, so that each moves on.
        let held_up = self.0.iter_mut().map(|outlet| outlet.is_ready()).filter(|ready| !ready);
        held_up.count() == 0
    }

    fn rows(&mut self, rows: Rows<'_, T>) {
        self.0.iter_mut().for_each(|outlet| outlet.rows(rows));
    }

    fn mark(&mut self, mark: BlockMark) {
        self.0.iter_mut().for_each(|outlet| outlet.mark(mark));
    }

    fn frontier(&mut self, place: Place) -> bool {
        // Each is told.
        self.0.iter_mut().map(|outlet| outlet.frontier(place)).filter(|told| !told).count() == 0
    }

    fn end(&mut self) {
        self.0.iter_mut().for_each(|outlet| outlet.end());
    }

    fn uses_places(&self) -> bool {
        self.0.iter().any(|outlet| outlet.uses_places())
    }
}
