//! Slices combined in runs of two, four, eight and so on, so that a window of n slices is made of at most 2 log n tables.
//!
//! ```text
//! level 2:  [         0 .. 4        ]
//! level 1:  [  0 .. 2  ][  2 .. 4  ][  4 .. 6  ]
//! slices:   [ 0 ][ 1 ]  [ 2 ][ 3 ]  [ 4 ][ 5 ][ 6 ]        1 .. 7 is 1, 2 .. 4, 4 .. 6 and 6
//! ```
//! Which runs there are depends on the numbers of slices alone. So sums of floats are added up in the same groups wherever
//! a job begins, and a tree can be made again from its slices. Tangwongsan, Hirzel and Schneider call the tree of single
//! values FlatFAT (General Incremental Sliding-Window Aggregation, VLDB 2015); here each node has a table of keys.

use crate::operator::window::slice_store::SliceStore;
use crate::store::groups::Groups;
use crate::{HashSeed, Key, Record};
use bytemuck::Pod;
use std::collections::BTreeMap;
use std::ops::Range;

/// Runs of slices that no row on time is added to any more, made when they are first asked for.
pub(crate) struct Tree<K, V> {
    /// By level from 1 on, and by the number of the run in its level.
    levels: Vec<BTreeMap<i64, Groups<K, V>>>,
    spare: Vec<Groups<K, V>>,
    /// Of all runs and spare ones.
    bytes: usize,
    /// What was combined last.
    pub(crate) whole: Groups<K, V>,
}

/// The slices of a run.
const fn slices_of(level: u32, number: i64) -> Range<i64> {
    number << level..(number + 1) << level
}

impl<K: Key, V: Pod + Record> Tree<K, V> {
    /// Nothing is combined yet.
    pub(crate) fn new(seed: HashSeed) -> Self {
        Self { levels: Vec::new(), spare: Vec::new(), bytes: 0, whole: Groups::new(seed) }
    }

    /// A slice has changed: runs with it are made again.
    pub(crate) fn forget(&mut self, slice: i64) {
        for (level, runs) in (1..).zip(&mut self.levels) {
            self.spare.extend(runs.remove(&(slice >> level)));
        }
    }

    /// Forgets runs with slices before this one.
    pub(crate) fn forget_before(&mut self, slice: i64) {
        for (level, runs) in (1..).zip(&mut self.levels) {
            while let Some(first) = runs.first_entry()
                && slices_of(level, *first.key()).start < slice
            {
                self.spare.push(first.remove());
            }
        }
    }

    /// Combines the slices in a range, in order.
    pub(crate) fn combine(&mut self, range: Range<i64>, slices: &SliceStore<K, V>, merge: &impl Fn(&mut V, &V)) {
        let Range { mut start, end } = range;
        let mut whole = std::mem::replace(&mut self.whole, slices.fresh());
        whole.clear();
        while start < end {
            let level = start.trailing_zeros().min((end - start).ilog2());
            let number = start >> level;
            self.make(level, number, slices, merge);
            if let Some(run) = self.find(level, number, slices) {
                whole.absorb(run, merge);
            }
            start = slices_of(level, number).end;
        }
        self.whole = whole;
    }

    fn find<'a>(&'a self, level: u32, number: i64, slices: &'a SliceStore<K, V>) -> Option<&'a Groups<K, V>> {
        match level {
            0 => slices.numbered(number),
            level => self.levels.get(level as usize - 1)?.get(&number),
        }
    }

    /// Makes a run and those that it consists of, where it has any rows and is not made.
    fn make(&mut self, level: u32, number: i64, slices: &SliceStore<K, V>, merge: &impl Fn(&mut V, &V)) {
        if level == 0 || self.find(level, number, slices).is_some() || !slices.has_any(slices_of(level, number)) {
            return;
        }
        let mut run = self.spare.pop().inspect(|run| self.bytes -= run.bytes()).unwrap_or_else(|| slices.fresh());
        run.clear();
        for half in [2 * number, 2 * number + 1] {
            self.make(level - 1, half, slices, merge);
            if let Some(half) = self.find(level - 1, half, slices) {
                run.absorb(half, merge);
            }
        }
        self.bytes += run.bytes();
        let level = level as usize;
        if self.levels.len() < level {
            self.levels.resize_with(level, BTreeMap::new);
        }
        self.levels[level - 1].insert(number, run);
    }

    /// Bytes of all that is combined.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.whole.bytes()
    }
}
