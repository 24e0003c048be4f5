//! The ordered merge: says which of many edges gives how many rows next, and knows no row's type.
//!
//! Each edge's rows grow in place, and each edge gives a lower bound for what is still to come: its
//! next row, or the last frontier its sender told. The least row is taken once no other edge can bring
//! a lesser one. A sender tells its frontier also while it stalls, so the edge that holds the others up
//! always knows enough for the least row of all to be taken: a bounded mesh cannot lock up.

use crate::Timestamp;
use crate::progress::mark::Barrier;
use crate::progress::order::At;
use crate::progress::place::Place;

/// What stands first on an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    Row,
    Empty,
    /// Nothing behind it is taken before no other edge can bring anything below it.
    Barrier(Barrier),
    Ended,
}

impl Head {
    /// Of the barrier, if one stands there.
    fn epoch(&self) -> Option<u64> {
        match self {
            Self::Barrier(barrier) => Some(barrier.epoch),
            Self::Row | Self::Empty | Self::Ended => None,
        }
    }
}

/// What is known of an edge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EdgeState<A> {
    /// Nothing below this will come.
    pub(crate) bound: A,
    /// What the clock has come to, as far as frontiers told.
    pub(crate) clock: Timestamp,
    /// As of the last look.
    pub(crate) head: Head,
    /// The clock before the rows at the head, where they lie behind and do not carry it themselves.
    pub(crate) behind: Option<Timestamp>,
}

impl<A: At> EdgeState<A> {
    /// Takes what a sender told.
    pub(crate) fn advance(&mut self, place: Place) {
        self.bound = self.bound.max(A::of(place));
        // What is fired after all events, and that nothing more will come, say nothing of what the clock came to.
        if place < Place::MAX && !place.is_at_end() {
            self.clock = self.clock.max(place.clock());
        }
    }
}

/// The receiving end of an edge, as a merge sees it.
pub(crate) trait MergeEdge<A> {
    /// Takes marks up to the first row, and says where that stands.
    fn look(&mut self, state: &mut EdgeState<A>) -> Head;
    /// Whether anything came since the edge was seen empty.
    fn has_any(&mut self) -> bool;
}

/// Rows of an edge must not pass this.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit<A> {
    at: A,
    /// Whether a row may stand at the limit itself: such rows belong to the edge with the lower index.
    is_included: bool,
}

impl<A: At> Limit<A> {
    /// How many of the first rows keep to the limit.
    pub(crate) fn prefix<O>(&self, orders: &[O], at: impl Fn(&O) -> A) -> usize {
        let is_below = |order: &O| {
            let at = at(order);
            at < self.at || (self.is_included && at == self.at)
        };
        match orders.last() {
            Some(last) if is_below(last) => orders.len(),
            _ => {
                // Mostly a few rows or all of them: steps that grow find a few soonest.
                let mut end = 1;
                while end < orders.len() && is_below(&orders[end - 1]) {
                    end *= 2;
                }
                let start = end / 2;
                start + orders[start..end.min(orders.len())].partition_point(is_below)
            }
        }
    }
}

/// What the merge found next.
#[derive(Debug)]
pub(crate) enum Next<A> {
    /// Rows of this edge, up to a limit.
    Rows(usize, Limit<A>),
    /// All that stands below this has been taken, and nothing else.
    Barrier(Barrier),
    /// Nothing can be taken now.
    Starved,
    /// All edges have ended.
    Ended,
}

/// The edges into one step on one worker, in the order of their places.
pub(crate) struct Merge<A, E: ?Sized> {
    edges: Vec<(EdgeState<A>, Box<E>)>,
}

impl<A: At, E: MergeEdge<A> + ?Sized> Merge<A, E> {
    pub(crate) fn new(edges: Vec<Box<E>>) -> Self {
        let state = EdgeState { bound: A::MIN, clock: Timestamp::MIN, head: Head::Empty, behind: None };
        Self { edges: edges.into_iter().map(|edge| (state, edge)).collect() }
    }

    /// Looks at each edge that may have more than was seen.
    pub(crate) fn look(&mut self) {
        for (state, edge) in &mut self.edges {
            if state.head == Head::Row || (state.head == Head::Empty && edge.has_any()) {
                state.head = edge.look(state);
            }
        }
    }

    /// Nothing below this place will come, and the clock has come to its clock, by what the senders had told at the last
    /// look.
    pub(crate) fn known_frontier(&self) -> Place {
        let open = self.edges.iter().map(|(state, _)| state).filter(|state| state.head != Head::Ended);
        match open.min_by_key(|state| state.bound) {
            // The clock does not go back, so what comes from others behind this has at least the clock here.
            Some(least) => least.bound.place(least.clock),
            // The end of time is told when all edges have ended.
            None => self.behind_events(),
        }
    }

    /// Whether nothing more comes on any edge, by the last look.
    pub(crate) fn is_ended(&self) -> bool {
        self.edges.iter().all(|(state, _)| state.head == Head::Ended)
    }

    /// Behind all events, once the senders have told what the clock came to.
    pub(crate) fn behind_events(&self) -> Place {
        let clocks = self.edges.iter().map(|(state, _)| state.clock);
        Place::behind_events(clocks.max().unwrap_or(Timestamp::MIN))
    }

    /// Whether the next row of an edge was fired after all events.
    pub(crate) fn is_at_end(&self, edge: usize) -> bool {
        self.edges[edge].0.bound.is_at_end()
    }

    /// Whether anything came since nothing could be taken.
    #[inline]
    pub(crate) fn has_news(&mut self) -> bool {
        self.edges.iter_mut().any(|(state, edge)| state.head == Head::Empty && edge.has_any())
    }

    /// Says whose rows come next.
    pub(crate) fn next(&mut self) -> Next<A> {
        // Looked at once: an edge that gets something meanwhile shows it next time.
        self.look();
        let open = self.edges.iter().enumerate().filter(|(_, (state, _))| state.head != Head::Ended);
        // What comes to a barrier is behind all that another edge may still bring up to it, and two barriers may stand at
        // one place: the later one waits for those that have yet to come to the earlier.
        let least = open.min_by_key(|(_, (state, _))| (state.bound, state.head.epoch()));
        match least.map(|(index, (state, _))| (index, state.head)) {
            None | Some((_, Head::Ended)) => Next::Ended,
            Some((index, Head::Row)) => Next::Rows(index, self.limit_of(index)),
            Some((_, Head::Barrier(barrier))) => Next::Barrier(barrier),
            Some((_, Head::Empty)) => Next::Starved,
        }
    }

    /// Goes on behind a barrier. An edge that has come to a later one stays there.
    pub(crate) fn pass_barrier(&mut self, passed: Barrier) {
        for (state, edge) in &mut self.edges {
            if state.head.epoch().is_some_and(|epoch| epoch <= passed.epoch) {
                state.head = edge.look(state);
            }
        }
    }

    fn limit_of(&self, index: usize) -> Limit<A> {
        let others =
            self.edges.iter().enumerate().filter(|(other, (state, _))| *other != index && state.head != Head::Ended);
        let least = others.map(|(other, (state, _))| (state.bound, other)).min();
        match least {
            Some((at, other)) => Limit { at, is_included: index < other },
            None => Limit { at: A::of(Place::MAX), is_included: true },
        }
    }

    /// Has rows of an edge taken by `take`, which says how many it found and took, and where the last one stood.
    pub(crate) fn take(
        &mut self,
        index: usize,
        take: impl FnOnce(&mut E, &EdgeState<A>) -> (usize, usize, Option<A>),
    ) -> (usize, usize) {
        let (state, edge) = &mut self.edges[index];
        let (found, taken, last) = take(edge, state);
        if let Some(last) = last {
            // All that the row becomes here has left when it was taken.
            state.bound = last.behind();
        }
        (found, taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::mark::Mark;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::rc::Rc;

    /// An edge without rows.
    #[derive(Clone, Default)]
    struct Marks(Rc<RefCell<VecDeque<Mark>>>);

    impl MergeEdge<Place> for Marks {
        fn look(&mut self, state: &mut EdgeState<Place>) -> Head {
            while let Some(mark) = self.0.borrow_mut().pop_front() {
                match mark {
                    Mark::Barrier(barrier) => {
                        state.advance(barrier.place);
                        return Head::Barrier(barrier);
                    }
                    Mark::Frontier(place) => state.advance(place),
                    Mark::Behind(_) | Mark::OnTime => {}
                }
            }
            Head::Empty
        }

        fn has_any(&mut self) -> bool {
            !self.0.borrow().is_empty()
        }
    }

    fn barrier(epoch: u64) -> Mark {
        let place = Place::event(Timestamp::MIN, 0, 0);
        Mark::Barrier(Barrier { epoch, place, is_whole: true })
    }

    /// An edge that told more than where the barrier stands lets it pass on the other one, which then comes to the next.
    #[test]
    fn barriers_at_one_place_are_each_passed_on_each_edge() {
        for late in [0, 1] {
            let edges = [Marks::default(), Marks::default()];
            let push = |edge: usize, mark| edges[edge].0.borrow_mut().push_back(mark);
            let mut merge = Merge::<Place, Marks>::new(edges.iter().cloned().map(Box::new).collect());
            push(late, Mark::Frontier(Place::event(Timestamp::MIN, 0, 1)));
            push(1 - late, barrier(1));
            let Next::Barrier(first) = merge.next() else { panic!("no barrier") };
            merge.pass_barrier(first);
            push(1 - late, Mark::Frontier(Place::event(Timestamp::MIN, 0, 1)));
            push(1 - late, barrier(2));
            push(late, barrier(1));
            let Next::Barrier(again) = merge.next() else { panic!("no barrier") };
            assert_eq!((first.epoch, again), (1, first));
            merge.pass_barrier(again);
            assert!(matches!(merge.next(), Next::Starved));
            push(late, barrier(2));
            let Next::Barrier(second) = merge.next() else { panic!("no barrier") };
            assert_eq!(second.epoch, 2);
            merge.pass_barrier(second);
            assert!(matches!(merge.next(), Next::Starved));
        }
    }
}
