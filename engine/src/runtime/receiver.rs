//! What takes rows: the two ways out of a step, a call and an edge, and the steps themselves.

use crate::progress::mark::Barrier;
use crate::progress::place::Place;
use crate::runtime::rows::Rows;

/// What a receiver asks of the rows it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Needs {
    /// It matters where each row stands. Otherwise places need not be written down.
    pub(crate) places: bool,
    /// The clock before each row is wanted, and not only before those that lie behind.
    pub(crate) clocks: bool,
}

impl Needs {
    pub(crate) const NOTHING: Self = Self { places: false, clocks: false };

    pub(crate) const fn and(self, other: Self) -> Self {
        Self { places: self.places || other.places, clocks: self.clocks || other.clocks }
    }
}

/// A step, or the way to one, whatever its rows are.
pub(crate) trait Flow {
    /// Moves on what is held up; whether nothing is held up any more. `rows` and `end` each follow a yes.
    fn is_ready(&mut self) -> bool;

    /// Learns that nothing below `place` will come; it may be called at any time. `pauses` says that nothing else
    /// comes for now. Whether it need not be told again before something else comes: all who wait for it know.
    fn frontier(&mut self, place: Place, pauses: bool) -> bool;

    /// Comes to a barrier: all below it has been given and nothing else. Whether it has been passed on to all behind;
    /// until then it is called again before anything else comes.
    fn barrier(&mut self, barrier: Barrier) -> bool;

    /// Does a bounded amount of work that waits for no row: saves some of what was marked at a barrier. Whether it did any;
    /// then there may be more.
    fn work(&mut self) -> bool {
        false
    }

    /// Learns that nothing more will come.
    fn end(&mut self);

    /// What it asks of its rows.
    fn needs(&self) -> Needs {
        Needs { places: true, clocks: false }
    }
}

/// A step behind an exchange, as its task sees it.
pub(crate) trait Step: Flow {
    /// Whether it waits to be told of this frontier, since something is to fire.
    fn is_due(&self, frontier: &Place) -> bool {
        let _ = frontier;
        false
    }
}

/// What takes rows of one type, on its input `PORT`.
pub(crate) trait Receiver<T, const PORT: usize = 0>: Flow {
    /// Takes rows from the front and says how many. The ways out of a step take all of them, and hold back what
    /// does not go on at once.
    fn rows(&mut self, rows: Rows<'_, T>) -> usize;
}

/// A way out of a step, to one that takes its rows.
pub(crate) type WayOut<T> = Box<dyn Receiver<T>>;

/// Any number of ways out; with none, rows end here.
pub(crate) struct FanOut<T>(pub(crate) Vec<WayOut<T>>);

impl<T> Flow for FanOut<T> {
    fn is_ready(&mut self) -> bool {
        // Each is asked, so that each moves on.
        self.0.iter_mut().map(|way| way.is_ready()).filter(|ready| !ready).count() == 0
    }

    fn frontier(&mut self, place: Place, pauses: bool) -> bool {
        // Each is told.
        self.0.iter_mut().map(|way| way.frontier(place, pauses)).filter(|told| !told).count() == 0
    }

    fn barrier(&mut self, barrier: Barrier) -> bool {
        // Each is told, and those that have passed it on remember it.
        self.0.iter_mut().map(|way| way.barrier(barrier)).filter(|passed| !passed).count() == 0
    }

    fn work(&mut self) -> bool {
        self.0.iter_mut().map(|way| way.work()).filter(|worked| *worked).count() > 0
    }

    fn end(&mut self) {
        self.0.iter_mut().for_each(|way| way.end());
    }

    fn needs(&self) -> Needs {
        self.0.iter().map(|way| way.needs()).fold(Needs::NOTHING, Needs::and)
    }
}

impl<T> Receiver<T> for FanOut<T> {
    fn rows(&mut self, rows: Rows<'_, T>) -> usize {
        self.0.iter_mut().for_each(|way| {
            way.rows(rows);
        });
        rows.len()
    }
}
