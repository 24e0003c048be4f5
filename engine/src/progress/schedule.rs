//! The job's order of events: which unit of input comes when, and which worker reads it.
//!
//! Bounded sources merge by row: (largest time so far in the source, source, position), where the largest time is
//! without jumps that were not believed. A *unit* is a piece of that order, and unit `u` is read by worker `u mod N`:
//! each worker computes the same units from the index for itself. Units of one source are its blocks. Those of
//! several end where blocks end, and take of each source what comes before that, whatever its blocks are. No result
//! shows where units end.
//!
//! ```text
//! source 0   | block 0      | block 1      |
//! source 1      | block 0 | block 1 |  block 2     |
//! units      |  0         | 1          | 2   ..
//! ```
//! Where a source is a feed, the first worker reads everything and numbers units as they arrive.
//!
//! A checkpoint cuts the order in front of a unit. No worker may have told that it stands behind that, so it is the
//! furthest unit that a worker has come to: those who have not come to it read on, and tell no more than the cut before
//! they have passed the barrier on.

use crate::Timestamp;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where a unit of several sources ends: behind all rows of the source's block, and behind all of others that come
/// before its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnitEnd {
    /// The largest time so far in the source.
    pub(crate) largest: Timestamp,
    pub(crate) source: u32,
    pub(crate) block: u32,
}

/// The units of the bounded sources that share an order.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// The ends of units of several sources; empty where there is one source.
    ends: Vec<UnitEnd>,
    /// For each unit and source, the first block that may have rows in it.
    firsts: Vec<u32>,
    /// For each source and block, the largest time in the source before it, and behind the last.
    before: Vec<Vec<Timestamp>>,
    units: usize,
}

impl Schedule {
    /// The units of sources, given for each the largest time in it before each of its blocks and behind the last.
    pub(crate) fn new(before: Vec<Vec<Timestamp>>) -> Self {
        if let [single] = &*before {
            let units = single.len() - 1;
            return Self { ends: Vec::new(), firsts: Vec::new(), before, units };
        }
        let end = |source: usize, block: usize| {
            let largest = *before[source].get(block + 1)?;
            Some(UnitEnd { largest, source: source as u32, block: block as u32 })
        };
        let filled = before.iter().filter(|blocks| blocks.len() > 1).count();
        let mut heads: BinaryHeap<_> = (0..before.len()).filter_map(|source| end(source, 0)).map(Reverse).collect();
        let mut nexts = vec![0u32; before.len()];
        let (mut ends, mut firsts) = (Vec::new(), nexts.clone());
        let mut passed = 0;
        while let Some(Reverse(head)) = heads.pop() {
            nexts[head.source as usize] = head.block + 1;
            passed += 1;
            let next = end(head.source as usize, head.block as usize + 1);
            heads.extend(next.map(Reverse));
            // About a block of each source.
            if passed == filled || heads.is_empty() {
                passed = 0;
                ends.push(head);
                firsts.extend_from_slice(&nexts);
            }
        }
        let units = ends.len();
        Self { ends, firsts, before, units }
    }

    pub(crate) const fn units(&self) -> u64 {
        self.units as u64
    }

    /// Whether units are the blocks of one source.
    pub(crate) fn is_single(&self) -> bool {
        self.before.len() == 1
    }

    /// Where a unit of several sources begins, if not at the start, and where it ends.
    pub(crate) fn span(&self, unit: u64) -> (Option<UnitEnd>, UnitEnd) {
        (self.start(unit), self.ends[unit as usize])
    }

    /// Where the unit before one of several sources ends, if there is any.
    pub(crate) fn start(&self, unit: u64) -> Option<UnitEnd> {
        self.ends.get((unit as usize).checked_sub(1)?).copied()
    }

    /// The first block of a source that may have rows in a unit of several sources.
    pub(crate) fn first_block(&self, unit: u64, source: usize) -> usize {
        self.firsts[unit as usize * self.before.len() + source] as usize
    }

    /// The first block of a source that may have rows in a unit, of whatever number of sources.
    pub(crate) fn block_at(&self, unit: u64, source: usize) -> usize {
        if self.is_single() { unit as usize } else { self.first_block(unit, source) }
    }

    /// The largest time in a source before one of its blocks.
    pub(crate) fn before(&self, source: usize, block: usize) -> Timestamp {
        self.before[source].get(block).copied().unwrap_or(Timestamp::MAX)
    }

    /// The number of a source's blocks.
    pub(crate) fn blocks(&self, source: usize) -> usize {
        self.before[source].len() - 1
    }

    /// The first unit before which the clock has come to a time; the end of the order where it never does.
    pub(crate) fn unit_at(&self, time: Timestamp) -> u64 {
        let (mut least, mut end) = (0, self.units());
        while least < end {
            let unit = least + (end - least) / 2;
            if self.clock(unit) < time { least = unit + 1 } else { end = unit }
        }
        least
    }

    /// The clock before a unit's first row.
    pub(crate) fn clock(&self, unit: u64) -> Timestamp {
        match unit.checked_sub(1) {
            _ if self.is_single() => self.before(0, unit as usize),
            Some(before) => self.ends[before as usize].largest,
            None => Timestamp::MIN,
        }
    }
}

/// Where the order is cut, shared by the workers: at its end when a job is stopped before that, and by checkpoints.
#[derive(Debug)]
pub(crate) struct Cut(Mutex<CutState>);

#[derive(Debug)]
struct CutState {
    /// Units from this one on are not read.
    end: u64,
    /// One more than the last unit that a worker has begun.
    begun: u64,
    is_stopped: bool,
    /// The furthest unit that a worker has come to; `None` once a worker has come to the end of all.
    reached: Option<u64>,
    /// The checkpoint that is taken.
    barrier: Option<UnitBarrier>,
    /// Workers wait in front of this unit for a last checkpoint, and whether one has come to it.
    stop: u64,
    is_at_stop: bool,
}

/// A checkpoint that cuts the order in front of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnitBarrier {
    pub(crate) epoch: u64,
    pub(crate) unit: u64,
    /// Whether all state is written, and not only what changed.
    pub(crate) is_whole: bool,
    /// Whether nothing is read behind it.
    pub(crate) is_last: bool,
}

/// What a worker that has come to a unit does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// Goes on.
    Here,
    /// Passes a barrier on first.
    Barrier(UnitBarrier),
    /// Reads no more until the job ends.
    Held,
    /// The order ends in front of a unit, which is this one or lies before it.
    End(u64),
}

impl CutState {
    /// What comes before a unit, if anything does.
    fn barrier_before(&self, unit: u64, passed: u64) -> Option<Arrived> {
        let barrier = self.barrier.filter(|barrier| barrier.unit <= unit)?;
        match barrier.is_last {
            _ if barrier.epoch > passed => Some(Arrived::Barrier(barrier)),
            true => Some(Arrived::Held),
            false => None,
        }
    }
}

impl Cut {
    /// Of an order that begins with a unit.
    pub(crate) const fn from(unit: u64) -> Self {
        let (end, reached, stop) = (u64::MAX, Some(unit), u64::MAX);
        let is_at_stop = false;
        Self(Mutex::new(CutState { end, begun: unit, is_stopped: false, reached, barrier: None, stop, is_at_stop }))
    }

    /// Has workers wait in front of a unit, which none has come to, for a last checkpoint.
    pub(crate) fn stop_before(&self, unit: u64) {
        self.state().stop = unit;
    }

    /// Whether a worker waits there.
    pub(crate) fn is_at_stop(&self) -> bool {
        self.state().is_at_stop
    }

    /// Whether a worker has come to the end of all.
    pub(crate) fn is_at_end(&self) -> bool {
        self.state().reached.is_none()
    }

    fn state(&self) -> MutexGuard<'_, CutState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker comes to a unit, of an order of so many, and wants to tell that it stands there; it has passed on the
    /// barriers up to an epoch.
    pub(crate) fn arrive(&self, unit: u64, units: u64, passed: u64) -> Arrived {
        let mut state = self.state();
        if let Some(first) = state.barrier_before(unit, passed) {
            return first;
        }
        // Where nothing is left, one end is as good as another.
        let (stop, is_left) = (state.stop, state.stop < units);
        state.reached = state.reached.map(|other| other.max(unit.min(units).min(stop)));
        if unit >= stop && is_left {
            state.is_at_stop = true;
            return Arrived::Held;
        }
        Arrived::Here
    }

    /// The worker wants to read that unit, of an order of so many units.
    pub(crate) fn begin(&self, unit: u64, units: u64, passed: u64, is_stopping: bool) -> Arrived {
        let mut state = self.state();
        if is_stopping && !state.is_stopped {
            state.is_stopped = true;
            state.end = state.begun;
        }
        if let Some(first) = state.barrier_before(unit, passed) {
            return first;
        }
        let end = state.end.min(units);
        if unit >= end {
            state.reached = None;
            return Arrived::End(end);
        }
        state.begun = state.begun.max(unit + 1);
        Arrived::Here
    }

    /// Has workers wait at the start for a first checkpoint.
    pub(crate) fn hold(&self, epoch: u64) {
        let mut state = self.state();
        state.barrier = Some(UnitBarrier { epoch, unit: state.begun, is_whole: true, is_last: true });
    }

    /// Lets those go on who wait behind a checkpoint.
    pub(crate) fn release(&self) {
        if let Some(barrier) = &mut self.state().barrier {
            barrier.is_last = false;
        }
    }

    /// Cuts the order for a checkpoint; the barrier, or `None` where a worker has come to the end of all.
    pub(crate) fn cut(&self, epoch: u64, is_whole: bool, is_last: bool) -> Option<UnitBarrier> {
        let mut state = self.state();
        let unit = state.reached?.max(state.begun);
        state.barrier = Some(UnitBarrier { epoch, unit, is_whole, is_last });
        state.barrier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest times before blocks with these, 0 in one without an event that counts.
    fn blocks(maxima: &[i64]) -> Vec<Timestamp> {
        let mut largest = Timestamp::MIN;
        let ends = maxima.iter().map(|&max| {
            largest = if max > 0 { largest.max(Timestamp::from_nanos(max)) } else { largest };
            largest
        });
        std::iter::once(Timestamp::MIN).chain(ends).collect()
    }

    #[test]
    fn units_end_where_blocks_end_in_the_order_of_largest_times() {
        let schedule = Schedule::new(vec![blocks(&[5, 3, 0, 9]), blocks(&[4, 5, 6])]);
        let ends: Vec<_> = schedule.ends.iter().map(|end| (end.source, end.block, end.largest.as_nanos())).collect();
        // Two blocks a unit: (1, 0) and (0, 0); (0, 1) and (0, 2), which raise nothing; (1, 1) and (1, 2); (0, 3).
        assert_eq!(ends, [(0, 0, 5), (0, 2, 5), (1, 2, 6), (0, 3, 9)]);
        assert_eq!(schedule.firsts, [0, 0, 1, 1, 3, 1, 3, 3, 4, 3]);
        assert_eq!(schedule.clock(0), Timestamp::MIN);
        assert_eq!(schedule.clock(3), Timestamp::from_nanos(6));
        assert_eq!((schedule.units(), schedule.blocks(0), schedule.before(0, 3)), (4, 4, Timestamp::from_nanos(5)));
    }

    #[test]
    fn units_of_one_source_are_its_blocks() {
        let schedule = Schedule::new(vec![blocks(&[5, 3, 9])]);
        assert!(schedule.is_single() && schedule.units() == 3);
        assert_eq!(schedule.clock(2), Timestamp::from_nanos(5));
        assert_eq!(Schedule::new(vec![blocks(&[]), blocks(&[])]).units(), 0);
    }

    #[test]
    fn a_cut_stands_behind_every_unit_that_was_begun() {
        let cut = Cut::from(0);
        let begin = |unit, is_stopping| cut.begin(unit, 9, 0, is_stopping);
        assert_eq!(begin(0, false), Arrived::Here);
        assert_eq!(begin(3, false), Arrived::Here);
        assert_eq!(begin(2, true), Arrived::Here);
        assert_eq!(begin(4, true), Arrived::End(4));
        assert_eq!(begin(1, true), Arrived::Here);
    }

    #[test]
    fn a_checkpoint_stands_where_no_worker_has_come_further() {
        let cut = Cut::from(0);
        // The second worker of two has come to unit 3, and the first reads unit 2.
        assert_eq!(cut.arrive(2, 9, 0), Arrived::Here);
        assert_eq!(cut.begin(2, 9, 0, false), Arrived::Here);
        assert_eq!(cut.arrive(3, 9, 0), Arrived::Here);
        let barrier = cut.cut(1, false, false).unwrap();
        assert_eq!(barrier.unit, 3);
        assert_eq!(cut.begin(3, 9, 0, false), Arrived::Barrier(barrier));
        assert_eq!(cut.arrive(4, 9, 0), Arrived::Barrier(barrier));
        assert_eq!(cut.arrive(4, 9, 1), Arrived::Here);
        assert_eq!(cut.begin(3, 9, 1, false), Arrived::Here);
        assert_eq!(cut.begin(4, 9, 1, false), Arrived::Here);
        // What was begun is read, and behind the last barrier nothing is.
        let last = cut.cut(2, true, true).unwrap();
        assert_eq!((last.unit, cut.arrive(5, 9, 1)), (5, Arrived::Barrier(last)));
        assert_eq!((cut.arrive(5, 9, 2), cut.begin(5, 9, 2, false)), (Arrived::Held, Arrived::Held));
    }

    #[test]
    fn workers_wait_where_the_order_is_to_stop() {
        let schedule = Schedule::new(vec![blocks(&[5, 3, 9, 12])]);
        let unit_at = |nanos| schedule.unit_at(Timestamp::from_nanos(nanos));
        assert_eq!([i64::MIN, 1, 5, 6, 9, 10, 13].map(unit_at), [0, 1, 1, 3, 3, 4, 4]);
        let cut = Cut::from(0);
        cut.stop_before(3);
        assert_eq!((cut.arrive(4, 9, 0), cut.is_at_stop()), (Arrived::Held, true));
        assert_eq!((cut.arrive(1, 9, 0), cut.begin(1, 9, 0, false)), (Arrived::Here, Arrived::Here));
        let barrier = cut.cut(1, true, true).unwrap();
        assert_eq!(barrier.unit, 3);
        assert_eq!([cut.arrive(4, 9, 0), cut.arrive(3, 9, 0)], [Arrived::Barrier(barrier); 2]);
        assert_eq!(cut.arrive(4, 9, 1), Arrived::Held);
        // Where nothing is left behind it, there is nothing to stop.
        let cut = Cut::from(0);
        cut.stop_before(4);
        assert_eq!((cut.arrive(4, 4, 0), cut.begin(4, 4, 0, false)), (Arrived::Here, Arrived::End(4)));
        assert!(cut.is_at_end() && !cut.is_at_stop());
    }

    #[test]
    fn there_is_no_checkpoint_once_a_worker_is_at_the_end() {
        let cut = Cut::from(4);
        assert_eq!((cut.arrive(8, 8, 0), cut.begin(8, 8, 0, false)), (Arrived::Here, Arrived::End(8)));
        assert_eq!(cut.cut(1, false, false), None);
        let cut = Cut::from(4);
        assert_eq!(cut.arrive(11, 8, 0), Arrived::Here);
        let barrier = cut.cut(1, false, false).unwrap();
        assert_eq!((barrier.unit, cut.begin(8, 8, 0, false)), (8, Arrived::Barrier(barrier)));
        assert_eq!((cut.begin(11, 8, 1, false), cut.cut(2, false, false)), (Arrived::End(8), None));
    }
}
