//! What the tasks of a job give to a checkpoint, and where it is gathered.
//!
//! A barrier goes through the job as a mark with a place. Each task that comes to it gives what it has there, once: a
//! source task what it counted, a sink where its output stands. A step marks its stores there, and gives pieces of them
//! while it goes on, until all that was marked is given. A task that comes to its end gives its last word, which holds for
//! all later checkpoints too. A checkpoint is complete when each has given either, and all pieces.

use crate::operator::state::StorePieces;
use crate::progress::mark::Barrier;
use crate::runtime::live::LiveSources;
use crate::runtime::metrics::Counts;
use crate::runtime::sink::SinkCheckpoint;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who gives something: a node, or for a source task the first of its sources, on a worker.
pub(crate) type GiverId = (usize, usize);

/// Bytes of pieces that wait to be written before steps give no more: what they have marked can wait in their stores.
const QUEUED_MAX: usize = 32 << 20;

/// Pieces that a step gave.
pub(crate) type GivenPieces = (GiverId, StorePieces);

/// What one task has at a barrier.
#[derive(Default)]
pub(crate) struct Contribution {
    /// What this worker counted of each source, or of the step or sink.
    pub(crate) counts: Vec<Counts>,
    /// Of a source task, the unit that comes next.
    pub(crate) unit: u64,
    /// Of a source task: where sources stand that are read as they come.
    pub(crate) live: Option<LiveSources>,
    /// Whether it was given at the end: whatever a step had before, it has no more.
    pub(crate) is_last: bool,
    /// Of a sink: where its output stands, if it can go on from there.
    pub(crate) sink: Option<SinkCheckpoint>,
}

impl Contribution {
    /// The same, to be given again. What a sink has to do is done once.
    fn again(&mut self) -> Self {
        Self {
            counts: self.counts.clone(),
            unit: self.unit,
            live: self.live.clone(),
            is_last: true,
            sink: self.sink.as_mut().map(SinkCheckpoint::again),
        }
    }
}

#[derive(Default)]
struct Giving {
    /// At the barrier of the current checkpoint.
    at_barrier: Option<Contribution>,
    /// Some of what was marked there is not given yet.
    is_saving: bool,
    /// At the end.
    last: Option<Contribution>,
}

/// Gathers what is given.
#[derive(Default)]
pub(crate) struct Gathering {
    state: Mutex<State>,
    changed: Condvar,
    /// Bytes of state that a step gives between two batches.
    slice_bytes: usize,
    /// Bytes of pieces that wait to be written.
    queued: AtomicUsize,
    /// The longest time, in nanoseconds, that marking the stores of a step took.
    mark_max: AtomicU64,
}

#[derive(Default)]
struct State {
    givers: BTreeMap<GiverId, Giving>,
    /// The checkpoint that is gathered.
    epoch: Option<u64>,
    /// What steps gave and nobody has taken.
    pieces: Vec<GivenPieces>,
    /// Somebody waits for nothing in particular.
    is_woken: bool,
}

impl Gathering {
    /// Gathers from steps that give so many bytes of state between two batches.
    pub(crate) fn in_slices(slice_bytes: usize) -> Self {
        Self { slice_bytes, ..Self::default() }
    }

    /// The longest time that marking the stores of a step took.
    pub(crate) fn mark_max(&self) -> Duration {
        Duration::from_nanos(self.mark_max.load(Ordering::Relaxed))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One who gives something to each checkpoint from now on.
    pub(crate) fn giver(self: &Arc<Self>, id: GiverId) -> Giver {
        self.state().givers.entry(id).or_default();
        Giver { gathering: self.clone(), id }
    }

    /// Begins to gather what is given to a checkpoint.
    pub(crate) fn begin(&self, epoch: u64) {
        let mut state = self.state();
        state.epoch = Some(epoch);
        for giving in state.givers.values_mut() {
            giving.at_barrier = None;
            giving.is_saving = false;
        }
    }

    /// The pieces that were given since this was last called.
    pub(crate) fn take_pieces(&self) -> Vec<GivenPieces> {
        let pieces = std::mem::take(&mut self.state().pieces);
        let bytes: usize = pieces.iter().map(|(_, pieces)| pieces.pieces.len()).sum();
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
        pieces
    }

    /// All that was given to the checkpoint, once it is complete; the last pieces have been given then.
    pub(crate) fn complete(&self) -> Option<Vec<(GiverId, Contribution)>> {
        let mut state = self.state();
        let is_open = |giving: &Giving| giving.is_saving || (giving.at_barrier.is_none() && giving.last.is_none());
        if state.epoch.is_none() || state.givers.values().any(is_open) {
            return None;
        }
        state.epoch = None;
        let given = |(id, giving): (&GiverId, &mut Giving)| {
            let given = giving.at_barrier.take().or_else(|| giving.last.as_mut().map(Contribution::again));
            Some((*id, given?))
        };
        Some(state.givers.iter_mut().filter_map(given).collect())
    }

    /// Whether all have come to their ends.
    pub(crate) fn is_over(&self) -> bool {
        self.state().givers.values().all(|giving| giving.last.is_some())
    }

    /// Has who waits look again.
    pub(crate) fn wake(&self) {
        self.state().is_woken = true;
        self.changed.notify_all();
    }

    /// Waits until something was given, or somebody wakes it, at most for a time.
    pub(crate) fn wait(&self, time: Duration) {
        let state = self.state();
        let waited = self.changed.wait_timeout_while(state, time, |state| !state.is_woken);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_woken = false;
    }
}

/// One who gives something to each checkpoint.
#[derive(Clone)]
pub(crate) struct Giver {
    gathering: Arc<Gathering>,
    id: GiverId,
}

impl Giver {
    /// Gives what there is at a barrier.
    pub(crate) fn give(&self, barrier: Barrier, contribution: Contribution) {
        self.give_first(barrier, contribution, false);
    }

    /// Gives what there is at a barrier, but for what is marked there, which took so long to mark.
    pub(crate) fn give_marked(&self, barrier: Barrier, contribution: Contribution, marking: Duration) {
        self.gathering.mark_max.fetch_max(marking.as_nanos() as u64, Ordering::Relaxed);
        self.give_first(barrier, contribution, true);
    }

    fn give_first(&self, barrier: Barrier, contribution: Contribution, is_saving: bool) {
        let mut state = self.gathering.state();
        if state.epoch == Some(barrier.epoch) {
            let giving = state.givers.entry(self.id).or_default();
            giving.at_barrier = Some(contribution);
            giving.is_saving = is_saving;
        }
        drop(state);
        self.gathering.wake();
    }

    /// How many bytes of pieces to give now; `None` while many wait to be written.
    pub(crate) fn slice(&self) -> Option<usize> {
        (self.gathering.queued.load(Ordering::Relaxed) < QUEUED_MAX).then_some(self.gathering.slice_bytes)
    }

    /// Gives some of what was marked at a barrier; `is_all` says whether nothing is left.
    pub(crate) fn give_pieces(&self, barrier: Barrier, pieces: Vec<StorePieces>, is_all: bool) {
        let mut state = self.gathering.state();
        if state.epoch != Some(barrier.epoch) {
            return;
        }
        let bytes: usize = pieces.iter().map(|pieces| pieces.pieces.len()).sum();
        self.gathering.queued.fetch_add(bytes, Ordering::Relaxed);
        state.pieces.extend(pieces.into_iter().map(|pieces| (self.id, pieces)));
        if is_all {
            state.givers.entry(self.id).or_default().is_saving = false;
        }
        drop(state);
        self.gathering.wake();
    }

    /// Gives what there is at the end.
    pub(crate) fn finish(&self, contribution: Contribution) {
        self.gathering.state().givers.entry(self.id).or_default().last = Some(contribution);
        self.gathering.wake();
    }
}
