//! The ways out of a step: a fused chain, and behind it a call of the next step or an edge to it.

use crate::operator::chain::Chain;
use crate::progress::mark::Barrier;
use crate::progress::order::{Clocks, PathStamp, Places, Seq, Stamp};
use crate::progress::place::Place;
use crate::runtime::chained::{ChainBuffer, apply};
use crate::runtime::metrics::{StepCounters, add};
use crate::runtime::receiver::{Flow, Needs, Receiver, WayOut};
use crate::runtime::rows::Rows;
use crate::runtime::shared::JobShared;
use crate::{Error, Timestamp};
use std::sync::Arc;

/// A fused chain in front of whatever takes its rows.
pub(crate) struct Front<C: Chain> {
    chain: C,
    buffer: ChainBuffer<C::Out>,
    next: WayOut<C::Out>,
}

impl<C: Chain> Front<C> {
    pub(crate) fn new(chain: C, next: WayOut<C::Out>) -> Self {
        Self { chain, buffer: ChainBuffer::new(), next }
    }
}

impl<C: Chain> Flow for Front<C> {
    fn is_ready(&mut self) -> bool {
        self.next.is_ready()
    }

    fn frontier(&mut self, place: Place, pauses: bool) -> bool {
        self.next.frontier(place, pauses)
    }

    fn barrier(&mut self, barrier: Barrier) -> bool {
        self.next.barrier(barrier)
    }

    fn work(&mut self) -> bool {
        self.next.work()
    }

    fn end(&mut self) {
        self.next.end();
    }

    fn needs(&self) -> Needs {
        // What the chain makes has the places of what it was made of.
        if self.chain.is_identity() {
            self.next.needs()
        } else {
            self.next.needs().and(Needs { places: true, clocks: false })
        }
    }
}

impl<C: Chain> Receiver<C::In> for Front<C>
where
    C::Out: bytemuck::Pod,
{
    fn rows(&mut self, rows: Rows<'_, C::In>) -> usize {
        let made = apply(&self.chain, rows, &mut self.buffer);
        if !made.values.is_empty() {
            self.next.rows(made);
        }
        rows.len()
    }
}

/// Rows that the step did not take yet.
struct Left<T> {
    times: Vec<Timestamp>,
    values: Vec<T>,
    places: Vec<Place>,
    clocks: Vec<Timestamp>,
    /// Rows before this one were taken.
    taken: usize,
}

/// The direct way to a step on the same worker, where nothing has to be merged: a call, without a queue.
pub(crate) struct Call<T> {
    step: WayOut<T>,
    needs: Needs,
    left: Left<T>,
    stamp: Stamped,
    counters: Arc<StepCounters>,
    worker: usize,
    shared: Arc<JobShared>,
}

/// Numbers the rows made of one row, as an edge would.
struct Stamped {
    seq: Stamp<Seq>,
    place: Stamp<Place>,
    fans_out: bool,
    seqs: Vec<Seq>,
    places: Vec<Place>,
}

impl Stamped {
    /// The places of `rows`, each its own; `None` where one row became too many.
    fn stamp<'a, T>(&'a mut self, rows: &Rows<'a, T>) -> Option<Places<'a>> {
        let rows_in = 0..rows.len();
        match rows.places {
            Places::Full(_) | Places::Unasked { .. } => {
                self.places.clear();
                for index in rows_in {
                    self.places.push(self.place.next(&rows.places, &rows.clocks, index)?);
                }
                Some(Places::Full(&self.places))
            }
            _ if self.fans_out => {
                self.seqs.clear();
                for index in rows_in {
                    self.seqs.push(self.seq.next(&rows.places, &rows.clocks, index)?);
                }
                Some(Places::Seqs { unit: rows.places.unit(), seqs: &self.seqs })
            }
            places => Some(places),
        }
    }
}

impl<T: bytemuck::Pod> Call<T> {
    /// A way to `step`, on the same worker; `fans_out` says whether one row may have become several on the way.
    pub(crate) fn new(
        step: WayOut<T>,
        fans_out: bool,
        counters: Arc<StepCounters>,
        worker: usize,
        shared: Arc<JobShared>,
    ) -> Self {
        let (seq, place) = (Stamp::new(PathStamp::SINGLE), Stamp::new(PathStamp::SINGLE));
        let stamp = Stamped { seq, place, fans_out, seqs: Vec::new(), places: Vec::new() };
        let left = Left { times: Vec::new(), values: Vec::new(), places: Vec::new(), clocks: Vec::new(), taken: 0 };
        Self { needs: step.needs(), step, left, stamp, counters, worker, shared }
    }
}

/// Gives rows to the step until it takes no more, and says how many it took.
fn give<T>(step: &mut WayOut<T>, rows: Rows<'_, T>) -> usize {
    let mut taken = 0;
    while taken < rows.len() {
        let count = step.rows(rows.skip(taken));
        taken += count;
        if taken < rows.len() && (count == 0 || !step.is_ready()) {
            break;
        }
    }
    taken
}

impl<T: bytemuck::Pod> Left<T> {
    fn rows(&self) -> Rows<'_, T> {
        let rows = Rows::new(&self.times, &self.values, Places::Full(&self.places), Clocks::Each(&self.clocks));
        rows.skip(self.taken)
    }

    #[cold]
    fn keep(&mut self, rows: Rows<'_, T>) {
        self.times.clear();
        self.times.extend_from_slice(rows.times);
        self.values.clear();
        self.values.extend_from_slice(rows.values);
        self.places.clear();
        self.places.extend((0..rows.len()).map(|index| rows.place(index)));
        self.clocks.clear();
        self.clocks.extend((0..rows.len()).map(|index| rows.places.clock_before(&rows.clocks, index)));
        self.taken = 0;
    }
}

impl<T: bytemuck::Pod> Flow for Call<T> {
    fn is_ready(&mut self) -> bool {
        if !self.step.is_ready() {
            return false;
        }
        if self.left.taken < self.left.values.len() {
            let taken = give(&mut self.step, self.left.rows());
            self.left.taken += taken;
            return self.left.taken == self.left.values.len() && self.step.is_ready();
        }
        true
    }

    fn frontier(&mut self, place: Place, pauses: bool) -> bool {
        match self.left.places.get(self.left.taken) {
            Some(left) => {
                self.step.frontier(*left, pauses);
                false
            }
            None => self.step.frontier(place, pauses),
        }
    }

    fn barrier(&mut self, barrier: Barrier) -> bool {
        self.is_ready() && self.step.barrier(barrier)
    }

    fn work(&mut self) -> bool {
        self.step.work()
    }

    fn end(&mut self) {
        self.step.end();
    }

    fn needs(&self) -> Needs {
        self.needs
    }
}

impl<T: bytemuck::Pod> Receiver<T> for Call<T> {
    fn rows(&mut self, rows: Rows<'_, T>) -> usize {
        let places = if self.needs.places { self.stamp.stamp(&rows) } else { Some(rows.places) };
        let Some(places) = places else {
            self.shared.fail(Error::FanOut { step: self.counters.name.to_string() });
            return rows.len();
        };
        let rows = Rows { places, ..rows };
        add(&self.counters.of(self.worker).sent, rows.len() as u64);
        let taken = give(&mut self.step, rows);
        if taken < rows.len() {
            self.left.keep(rows.skip(taken));
        }
        rows.len()
    }
}
