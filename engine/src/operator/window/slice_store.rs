//! Accumulators by slice of time and key: what window operators keep.

use crate::operator::aggregate::Aggregate;
use crate::operator::window::open::OpenWindows;
use crate::operator::window::{Tumbling, Window};
use crate::store::groups::Groups;
use crate::store::{Scope, Share, Store, StoreError, StoreKind, StoreSettings};
use crate::{HashSeed, Key, Layout, Record, Timestamp, slot_of};

/// Merges what was saved of a key into what there is.
type Merge<V> = Box<dyn Fn(&mut V, &V)>;

/// The slices of a step whose workers may each have something of one key, where its aggregate is exact: parts that were
/// combined on one number of workers go on as slices on another.
pub(crate) fn merging_store<K: Key, A: Aggregate<K>>(
    windows: Tumbling,
    aggregate: &A,
    settings: &StoreSettings,
) -> SliceStore<K, A::Acc> {
    let store = SliceStore::new(windows, aggregate.state_layout(), settings);
    if !aggregate.is_exact() {
        return store;
    }
    let merging = aggregate.clone();
    SliceStore { merge: Some(Box::new(move |value, more| merging.merge(value, more))), ..store }
}

/// The open slices of one step on one worker, each with accumulators by key.
pub(crate) struct SliceStore<K, V> {
    windows: Tumbling,
    seed: HashSeed,
    keys_max: usize,
    /// Of what is kept for a key.
    layout: Layout,
    pub(crate) open: OpenWindows<Groups<K, V>>,
    /// Empty groups for slices to come.
    spare: Vec<Groups<K, V>>,
    /// The starts of slices that were closed since all was last written, once it was.
    closed: Option<Vec<Timestamp>>,
    /// Where several workers may have something of one key.
    merge: Option<Merge<V>>,
}

impl<K: Key, V: Record> SliceStore<K, V> {
    pub(crate) fn new(windows: Tumbling, layout: Layout, settings: &StoreSettings) -> Self {
        Self {
            windows,
            seed: settings.seed,
            keys_max: settings.keys_max,
            layout,
            open: OpenWindows::new(windows, settings.open_windows_max),
            spare: Vec::new(),
            closed: None,
            merge: None,
        }
    }

    /// The slot of the slice that `time` is in, which is opened where it is not, with its window.
    #[inline]
    pub(crate) fn find_or_open(&mut self, time: Timestamp) -> Result<(u32, Window), StoreError> {
        let Self { open, spare, seed, .. } = self;
        open.find_or_open(time, || spare.pop().unwrap_or_else(|| Groups::new(*seed)))
    }

    /// The accumulators of an open slice.
    #[inline(always)]
    pub(crate) fn groups_mut(&mut self, slot: u32) -> &mut Groups<K, V> {
        self.open.state_mut(slot)
    }

    /// The most keys of a slice.
    #[inline(always)]
    pub(crate) const fn keys_max(&self) -> usize {
        self.keys_max
    }

    #[cold]
    pub(crate) const fn too_many_keys(&self) -> StoreError {
        StoreError::TooManyKeys(self.keys_max)
    }

    /// Closes the first open slice and hands it out.
    pub(crate) fn take_first(&mut self) -> Option<(Timestamp, Groups<K, V>)> {
        let first = self.open.close_first()?;
        if let Some(closed) = &mut self.closed {
            closed.push(first.0);
        }
        Some(first)
    }

    /// Closes the first open slice and keeps its memory.
    pub(crate) fn close_first(&mut self) {
        if let Some((_, mut groups)) = self.take_first() {
            groups.clear();
            self.keep_spare(groups);
        }
    }

    /// Takes a piece, of which `put` puts the value beside what there is of its key.
    fn take_piece(
        &mut self,
        share: Share,
        piece: &[u8],
        put: impl FnOnce(Option<&Merge<V>>, &mut V, &V),
    ) -> Result<(), StoreError> {
        let Some((start, rest)) = piece.split_first_chunk::<8>() else { return Err(StoreError::misfit("no window")) };
        let start = Timestamp::from_nanos(i64::from_le_bytes(*start));
        if self.windows.assign(start).start != start {
            return Err(StoreError::misfit("a time that is no window's start"));
        }
        let Share::Slot(slot) = share else {
            self.open.close(start);
            return if rest.is_empty() { Ok(()) } else { Err(StoreError::misfit("a wrong length")) };
        };
        if rest.len() != size_of::<K>() + size_of::<V>() {
            return Err(StoreError::misfit("a wrong length"));
        }
        let (key, value) = rest.split_at(size_of::<K>());
        let (key, value) = (bytemuck::pod_read_unaligned::<K>(key), bytemuck::pod_read_unaligned(value));
        if slot_of(self.seed.hash(&key)) != slot {
            return Err(StoreError::misfit("a key of another slot"));
        }
        let seed = self.seed;
        let (slot, _) = self.open.find_or_restore(start, || Groups::new(seed));
        put(self.merge.as_ref(), self.open.state_mut(slot).value_mut(key), &value);
        Ok(())
    }

    /// Keeps empty groups for a slice to come.
    pub(crate) fn keep_spare(&mut self, groups: Groups<K, V>) {
        self.spare.push(groups);
    }
}

impl<K: Key, V: Record> Store for SliceStore<K, V> {
    fn kind(&self) -> StoreKind {
        StoreKind::Slices
    }

    fn layout(&self) -> Layout {
        self.layout.clone()
    }

    fn bytes(&self) -> usize {
        let all = self.open.iter().chain(&self.spare);
        all.map(Groups::bytes).sum()
    }

    /// A piece is the start of a slice with a key and its value, or alone where the slice was closed.
    fn save(&mut self, scope: Scope, piece: &mut dyn FnMut(Share, &[u8])) {
        let closed = self.closed.replace(Vec::new()).filter(|_| scope == Scope::Changed);
        for start in closed.into_iter().flatten() {
            piece(Share::All, &start.as_nanos().to_le_bytes());
        }
        let seed = self.seed;
        let mut bytes = Vec::new();
        for (window, groups) in self.open.iter_mut() {
            groups.take(scope, |key, value| {
                bytes.clear();
                bytes.extend_from_slice(&window.start.as_nanos().to_le_bytes());
                bytes.extend_from_slice(bytemuck::bytes_of(key));
                bytes.extend_from_slice(bytemuck::bytes_of(value));
                piece(Share::Slot(slot_of(seed.hash(key))), &bytes);
            });
        }
    }

    fn restore(&mut self, share: Share, piece: &[u8]) -> Result<(), StoreError> {
        self.take_piece(share, piece, |_, value, saved| *value = *saved)
    }

    fn adopt(&mut self, share: Share, piece: &[u8]) -> Result<(), StoreError> {
        self.take_piece(share, piece, |merge, value, saved| match merge {
            Some(merge) => merge(value, saved),
            None => *value = *saved,
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        self.open.check()?;
        if self.open.iter().any(|groups| groups.len() > self.keys_max) { Err(self.too_many_keys()) } else { Ok(()) }
    }
}
