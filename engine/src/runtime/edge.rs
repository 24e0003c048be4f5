//! Both ends of an edge: a ring to another worker, or a queue without atomics to the worker itself.

use crate::Timestamp;
use crate::progress::mark::Mark;
use crate::progress::merge::{EdgeState, Head, Limit, MergeEdge};
use crate::progress::order::{At, Clocks, Order};
use crate::progress::place::Place;
use crate::ring::local::Local;
use crate::ring::{Consumer, Producer};
use crate::runtime::receiver::Receiver;
use crate::runtime::rows::Rows;

/// The sending end of an edge.
pub(crate) enum EdgeSender<O, T> {
    Ring(Producer<O, T, Mark>),
    Local(Local<O, T, Mark>),
}

impl<O: Order, T: bytemuck::Pod + Send> EdgeSender<O, T> {
    pub(crate) fn push(&mut self, times: &[Timestamp], orders: &[O], values: &[T]) -> usize {
        match self {
            Self::Ring(ring) => ring.push(times, orders, values),
            Self::Local(queue) => queue.push(times, orders, values),
        }
    }

    pub(crate) fn push_mark(&mut self, mark: Mark) -> bool {
        match self {
            Self::Ring(ring) => ring.push_mark(mark).is_ok(),
            Self::Local(queue) => queue.push_mark(mark),
        }
    }
}

/// The receiving end of an edge.
pub(crate) enum EdgeReceiver<O, T> {
    Ring(Consumer<O, T, Mark>),
    Local(Local<O, T, Mark>),
}

impl<O: Order, T: bytemuck::Pod + Send> EdgeReceiver<O, T> {
    fn with_rows<R>(&mut self, body: impl FnOnce(&[Timestamp], &[O], &[T]) -> (usize, R)) -> R {
        match self {
            Self::Ring(ring) => {
                let run = ring.peek();
                let (taken, result) = body(run.times, run.orders, run.values);
                ring.release(taken);
                result
            }
            Self::Local(queue) => queue.with_rows(body),
        }
    }

    fn next_mark(&mut self) -> Option<Mark> {
        match self {
            Self::Ring(ring) => ring.next_mark(),
            Self::Local(queue) => queue.next_mark(),
        }
    }

    /// Whether there is anything to take.
    #[inline]
    fn has_any(&mut self) -> bool {
        match self {
            Self::Ring(ring) => ring.has_any(),
            Self::Local(queue) => !queue.is_empty(),
        }
    }
}

impl<O: Order, T: bytemuck::Pod + Send> MergeEdge<O::At> for EdgeReceiver<O, T> {
    fn look(&mut self, state: &mut EdgeState<O::At>) -> Head {
        loop {
            match self.next_mark() {
                Some(Mark::Frontier(place)) => state.advance(place),
                Some(Mark::Behind(clock)) => state.behind = Some(clock),
                Some(Mark::OnTime) => state.behind = None,
                Some(Mark::Barrier(barrier)) => {
                    state.advance(barrier.place);
                    return Head::Barrier(barrier);
                }
                None => {
                    let unit = state.bound.unit();
                    let first = self.with_rows(|_, orders, _| (0, orders.first().copied()));
                    let Some(first) = first else {
                        return if state.bound == O::At::of(Place::MAX) { Head::Ended } else { Head::Empty };
                    };
                    state.bound = state.bound.max(first.at(unit));
                    if !first.at(unit).is_at_end() {
                        state.clock = state.clock.max(O::places(unit, &[first]).clock_before(&Clocks::InPlaces, 0));
                    }
                    return Head::Row;
                }
            }
        }
    }

    fn has_any(&mut self) -> bool {
        Self::has_any(self)
    }
}

/// An edge into a step, whatever its rows are.
pub(crate) trait InEdge<A, S>: MergeEdge<A> {
    /// Has the step take rows from the front, up to a limit: how many were found and taken, and where the last one
    /// stood.
    fn take(&mut self, state: &EdgeState<A>, limit: Limit<A>, step: &mut S) -> (usize, usize, Option<A>);
}

/// An edge into input `PORT` of a step.
pub(crate) struct PortEdge<const PORT: usize, O, T>(pub(crate) EdgeReceiver<O, T>);

impl<const PORT: usize, O: Order, T: bytemuck::Pod + Send> MergeEdge<O::At> for PortEdge<PORT, O, T> {
    fn look(&mut self, state: &mut EdgeState<O::At>) -> Head {
        self.0.look(state)
    }

    fn has_any(&mut self) -> bool {
        self.0.has_any()
    }
}

impl<const PORT: usize, O, T, S> InEdge<O::At, S> for PortEdge<PORT, O, T>
where
    O: Order,
    T: bytemuck::Pod + Send,
    S: Receiver<T, PORT>,
{
    fn take(&mut self, state: &EdgeState<O::At>, limit: Limit<O::At>, step: &mut S) -> (usize, usize, Option<O::At>) {
        let unit = state.bound.unit();
        let clocks = match state.behind {
            _ if O::HAS_CLOCK => Clocks::InPlaces,
            Some(clock) => Clocks::All(clock),
            None => Clocks::OnTime,
        };
        self.0.with_rows(|times, orders, values| {
            let found = limit.prefix(orders, |order| order.at(unit));
            let (times, values) = (&times[..found], &values[..found]);
            let taken = step.rows(Rows::new(times, values, O::places(unit, &orders[..found]), clocks));
            (taken, (found, taken, taken.checked_sub(1).map(|last| orders[last].at(unit))))
        })
    }
}
