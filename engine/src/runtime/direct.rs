//! The direct way from one step to the next, where both are on one worker and nothing has to be
//! merged: a call, without a queue. Rows of an empty chain are not even copied.

use crate::operator::chain::Chain;
use crate::progress::mark::BlockMark;
use crate::progress::place::{FAN_OUT_MAX, Place, Places, Seq, Stamp};
use crate::runtime::chained::{ChainBuffer, apply};
use crate::runtime::metrics::{StepCounters, add};
use crate::runtime::outlet::{Outlet, Rows};
use crate::runtime::shared::JobShared;
use crate::runtime::stage::Stage;
use crate::{Error, Timestamp};
use std::sync::Arc;

/// Rows that the stage did not take.
struct Left<T> {
    times: Vec<Timestamp>,
    values: Vec<T>,
    places: Vec<Place>,
    behind: Option<Timestamp>,
    /// Rows before this one were taken.
    taken: usize,
}

pub(crate) struct DirectOutlet<C: Chain, S> {
    chain: C,
    buffer: ChainBuffer<C::Out>,
    stage: S,
    left: Left<C::Out>,
    stamps: Stamps,
    counters: Arc<StepCounters>,
    worker: usize,
    shared: Arc<JobShared>,
}

/// Numbers the rows made of one row, as an exchange would.
struct Stamps {
    seq: Stamp<Seq>,
    place: Stamp<Place>,
    seqs: Vec<Seq>,
    places: Vec<Place>,
}

impl Stamps {
    /// The places of `rows`, each its own; `None` where one row became too many.
    fn stamp<'a, T>(&'a mut self, rows: &Rows<'a, T>, fans_out: bool) -> Option<Places<'a>> {
        let count = rows.values.len();
        match rows.places {
            Places::Full(_) => {
                self.places.clear();
                for index in 0..count {
                    self.places.push(self.place.next(&rows.places, index)?);
                }
                Some(Places::Full(&self.places))
            }
            Places::Seqs { block, .. } if fans_out => {
                self.seqs.clear();
                for index in 0..count {
                    self.seqs.push(self.seq.next(&rows.places, index)?);
                }
                Some(Places::Seqs { block, seqs: &self.seqs })
            }
            places => Some(places),
        }
    }
}

impl<C: Chain, S: Stage<C::Out>> DirectOutlet<C, S> {
    /// A way to a stage that stands behind `level` exchanges, on the same worker.
    pub(crate) fn new(
        chain: C,
        stage: S,
        (level, worker): (usize, usize),
        counters: Arc<StepCounters>,
        shared: Arc<JobShared>,
    ) -> Self {
        let stamps =
            Stamps { seq: Stamp::new(level, 0), place: Stamp::new(level, 0), seqs: Vec::new(), places: Vec::new() };
        let left = Left { times: Vec::new(), values: Vec::new(), places: Vec::new(), behind: None, taken: 0 };
        Self { chain, buffer: ChainBuffer::new(), stage, left, stamps, counters, worker, shared }
    }
}

/// Gives rows to the stage until it takes no more, and says how many it took.
fn give<T>(stage: &mut impl Stage<T>, rows: Rows<'_, T>) -> usize {
    let mut taken = 0;
    while taken < rows.values.len() {
        let count = stage.rows(rows.skip(taken));
        taken += count;
        if taken < rows.values.len() && (count == 0 || !stage.is_ready()) {
            break;
        }
    }
    taken
}

impl<C: Chain, S: Stage<C::Out>> Outlet<C::In> for DirectOutlet<C, S>
where
    C::Out: bytemuck::Pod,
{
    fn is_ready(&mut self) -> bool {
        if !self.stage.is_ready() {
            return false;
        }
        let left = &mut self.left;
        if left.taken < left.values.len() {
            let rows = Rows::new(&left.times, &left.values, Places::Full(&left.places));
            let rows = Rows { behind: left.behind, ..rows };
            left.taken += give(&mut self.stage, rows.skip(left.taken));
            return left.taken == left.values.len() && self.stage.is_ready();
        }
        true
    }

    fn rows(&mut self, rows: Rows<'_, C::In>) {
        let rows = apply(&self.chain, rows, &mut self.buffer);
        if rows.values.is_empty() {
            return;
        }
        let Some(places) = self.stamps.stamp(&rows, self.chain.fans_out()) else {
            let error = Error::FanOut { step: self.counters.name.to_string(), max: FAN_OUT_MAX };
            return self.shared.fail(error);
        };
        let rows = Rows { places, ..rows };
        add(&self.counters.of(self.worker).sent, rows.values.len() as u64);
        let taken = give(&mut self.stage, rows);
        if taken < rows.values.len() {
            let left = &mut self.left;
            left.times.clear();
            left.times.extend_from_slice(&rows.times[taken..]);
            left.values.clear();
            left.values.extend_from_slice(&rows.values[taken..]);
            left.places.clear();
            left.places.extend((taken..rows.values.len()).map(|index| rows.places.place(index)));
            left.behind = rows.behind;
            left.taken = 0;
        }
    }

    fn mark(&mut self, mark: BlockMark) {
        self.stamps.seq.block_end();
        self.stamps.place.block_end();
        self.stage.mark(mark);
    }

    fn frontier(&mut self, place: Place) -> bool {
        let left = &self.left;
        match left.places.get(left.taken) {
            Some(left) => {
                self.stage.frontier(*left);
                false
            }
            None => self.stage.frontier(place),
        }
    }

    fn end(&mut self) {
        self.stage.end();
    }

    fn uses_places(&self) -> bool {
        S::USES_PLACES || !self.chain.is_identity()
    }
}
