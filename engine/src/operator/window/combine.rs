//! Combining instead of exchanging: each worker aggregates the rows it reads, and brings each of its
//! slices, whole, to where it is merged with those of the others. No row leaves its worker.
//!
//! Only for aggregates whose merge is exact: the result is then the same whatever rows a worker read,
//! and in whatever order slices are merged. A worker brings a slice when its own watermark has reached
//! the window's end, and announces the window to the operator that fires it, which does so when all
//! workers' watermarks have.

use crate::base::blame;
use crate::operator::aggregate::Aggregate;
use crate::operator::window::firing::{FiringOrder, fire_slice};
use crate::operator::window::slices::{Slice, Slices};
use crate::operator::window::tumbling::{Piece, save_slice};
use crate::operator::window::{Tumbling, Window};
use crate::operator::{Batch, Firing, Operator, OperatorError, Outbox};
use crate::store::groups::Groups;
use crate::{Key, Slot, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The slices that workers have brought, by the starts of their windows.
pub(crate) struct Gathering<K: Key, A: Aggregate<K>> {
    aggregate: A,
    keys_max: usize,
    gathered: Mutex<Gathered<K, A::Acc>>,
}

struct Gathered<K, V> {
    parts: BTreeMap<Timestamp, Part<K, V>>,
    /// What each worker gets back, not cleared.
    spare: Vec<Vec<Groups<K, V>>>,
}

/// One worker's part of a window, or the sum of several in one's memory. It goes back to that worker,
/// in whose cache it is.
pub(crate) struct Part<K, V> {
    groups: Groups<K, V>,
    worker: usize,
}

impl<K: Key, A: Aggregate<K>> Gathering<K, A> {
    /// A gathering of windows with at most `keys_max` keys each.
    pub(crate) fn new(aggregate: A, keys_max: usize, workers: usize) -> Self {
        let spare = (0..workers).map(|_| Vec::new()).collect();
        let gathered = Gathered { parts: BTreeMap::new(), spare };
        Self { aggregate, keys_max, gathered: Mutex::new(gathered) }
    }

    fn lock(&self) -> MutexGuard<'_, Gathered<K, A::Acc>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one worker's part of a window and gives an empty one for it. What others have brought is
    /// merged without the lock, so that several workers merge side by side.
    fn bring(&self, start: Timestamp, mut own: Part<K, A::Acc>) -> Result<Groups<K, A::Acc>, OperatorError> {
        let worker = own.worker;
        loop {
            let mut gathered = self.lock();
            let Some(mut other) = gathered.parts.remove(&start) else {
                gathered.parts.insert(start, own);
                let mut spare = gathered.spare[worker].pop().unwrap_or_else(Groups::new);
                drop(gathered);
                spare.clear();
                return Ok(spare);
            };
            drop(gathered);
            if other.groups.is_larger_than(&own.groups) {
                std::mem::swap(&mut own, &mut other);
            }
            own.groups.absorb(&other.groups, |value, more| self.aggregate.merge(value, more));
            if own.groups.len() > self.keys_max {
                return Err(OperatorError::TooManyKeys(self.keys_max));
            }
            self.give_back(other);
        }
    }

    /// Takes what there is of a window.
    pub(crate) fn take(&self, start: Timestamp) -> Option<Part<K, A::Acc>> {
        self.lock().parts.remove(&start)
    }

    /// Gives the memory of a part back to its worker.
    fn give_back(&self, part: Part<K, A::Acc>) {
        self.lock().spare[part.worker].push(part.groups);
    }
}

/// The sending side.
pub(crate) struct Combiner<K: Key, F, A: Aggregate<K>> {
    step: Arc<str>,
    worker: usize,
    slices: Slices<K, F, A>,
    gathering: Arc<Gathering<K, A>>,
}

impl<K: Key, F, A: Aggregate<K>> Combiner<K, F, A>
where
    F: Fn(&A::In) -> K,
{
    pub(crate) const fn new(
        step: Arc<str>,
        worker: usize,
        slices: Slices<K, F, A>,
        gathering: Arc<Gathering<K, A>>,
    ) -> Self {
        Self { step, worker, slices, gathering }
    }

    /// Adds rows that are not late.
    pub(crate) fn add(&mut self, batch: Batch<'_, A::In>) -> Result<(), OperatorError> {
        blame::in_step(&self.step, || self.slices.add_rows(batch))
    }

    pub(crate) fn is_late(&self, time: Timestamp, watermark: Timestamp) -> bool {
        self.slices.is_late(time, watermark)
    }

    /// Brings at most `most` slices of windows that `watermark` has reached, and announces each by the
    /// last time and the start of its window; none when all were brought.
    pub(crate) fn bring(
        &mut self,
        watermark: Timestamp,
        most: usize,
        times: &mut Vec<Timestamp>,
        starts: &mut Vec<Timestamp>,
    ) -> Result<(), OperatorError> {
        let Self { step, worker, slices, gathering } = self;
        blame::in_step(step, || {
            while starts.len() < most && slices.first_due(watermark).is_some() {
                let Slice { window, groups } = slices.take_first();
                slices.keep_spare(gathering.bring(window.start, Part { groups, worker: *worker })?);
                times.push(window.max_timestamp());
                starts.push(window.start);
            }
            Ok(())
        })
    }
}

/// The receiving side: fires windows that were announced by their starts.
pub(crate) struct CombinedOperator<K: Key, A: Aggregate<K>> {
    step: Arc<str>,
    windows: Tumbling,
    gathering: Arc<Gathering<K, A>>,
    /// Starts of windows that have not begun to fire.
    announced: BTreeSet<Timestamp>,
    firing: Option<(Window, Part<K, A::Acc>)>,
    order: FiringOrder,
}

impl<K: Key, A: Aggregate<K>> CombinedOperator<K, A> {
    pub(crate) fn new(step: Arc<str>, windows: Tumbling, gathering: Arc<Gathering<K, A>>) -> Self {
        let order = FiringOrder::default();
        Self { step, windows, gathering, announced: BTreeSet::new(), firing: None, order }
    }

    /// The first window that `watermark` has reached, where one fires or is to.
    fn first_due(&mut self, watermark: Timestamp) -> Option<(Window, Part<K, A::Acc>)> {
        if let Some(firing) = self.firing.take() {
            return Some(firing);
        }
        loop {
            let window = self.windows.assign(*self.announced.first()?);
            if window.max_timestamp() > watermark {
                return None;
            }
            self.announced.pop_first();
            if let Some(part) = self.gathering.take(window.start) {
                return Some((window, part));
            }
        }
    }

    fn fire(&mut self, watermark: Timestamp, out: &mut Outbox<A::Out, Timestamp>) -> Firing {
        while let Some((window, part)) = self.first_due(watermark) {
            if fire_slice(window, &part.groups, &mut self.order, &self.gathering.aggregate, out) == Firing::More {
                self.firing = Some((window, part));
                return Firing::More;
            }
            self.gathering.give_back(part);
        }
        Firing::Done
    }
}

impl<K: Key, A: Aggregate<K>> Operator for CombinedOperator<K, A> {
    type In = Timestamp;
    type Out = A::Out;

    fn on_batch(
        &mut self,
        batch: Batch<'_, Timestamp>,
        _: &mut Outbox<A::Out, Timestamp>,
    ) -> Result<usize, OperatorError> {
        self.announced.extend(batch.values);
        Ok(batch.values.len())
    }

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Outbox<A::Out, Timestamp>,
    ) -> Result<Firing, OperatorError> {
        Ok(self.fire(watermark, out))
    }

    fn save(&self, piece: &mut dyn FnMut(Slot, &[u8])) {
        let gathered = self.gathering.lock();
        let open = self.announced.iter().filter_map(|start| Some((*start, &gathered.parts.get(start)?.groups)));
        let firing = self.firing.iter().map(|(window, part)| (window.start, &part.groups));
        firing.chain(open).for_each(|(start, groups)| save_slice(start, groups, piece));
    }

    fn restore(&mut self, slot: Slot, piece: &[u8]) -> Result<(), OperatorError> {
        let Piece { start, key, value } = Piece::parse(&self.step, self.windows, slot, piece)?;
        let mut gathered = self.gathering.lock();
        let part = gathered.parts.entry(start).or_insert_with(|| Part { groups: Groups::new(), worker: 0 });
        *part.groups.value_mut(key) = value;
        self.announced.insert(start);
        Ok(())
    }
}
