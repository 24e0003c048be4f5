//! Accumulators by slice of time and key: what window operators keep.

use crate::operator::aggregate::Aggregate;
use crate::operator::window::open::OpenWindows;
use crate::operator::window::{Tumbling, Window};
use crate::store::groups::Groups;
use crate::store::pieces::{PieceWriter, Pieces};
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
    /// The starts of slices that were closed since the last mark, once there was one.
    closed: Option<Vec<Timestamp>>,
    marked: Marked,
    /// Where several workers may have something of one key.
    merge: Option<Merge<V>>,
}

/// What is left to write as it was at the mark, beside what the slices themselves know.
#[derive(Default)]
struct Marked {
    /// The starts of slices that were closed before.
    closed: Vec<Timestamp>,
    /// Pieces of slices that were closed since.
    kept: Pieces,
    /// What slices before this slot had is written.
    slot: usize,
}

/// Makes the pieces of the values of a slice.
fn piece_writer<K: Key, V: Record>(seed: HashSeed, start: Timestamp) -> impl FnMut(&mut PieceWriter<'_>, &K, &V) {
    let mut bytes = Vec::with_capacity(8 + size_of::<K>() + size_of::<V>());
    move |out, key, value| {
        bytes.clear();
        bytes.extend_from_slice(&start.as_nanos().to_le_bytes());
        bytes.extend_from_slice(bytemuck::bytes_of(key));
        bytes.extend_from_slice(bytemuck::bytes_of(value));
        out.write(Share::Slot(slot_of(seed.hash(key))), &bytes);
    }
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
            marked: Marked::default(),
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

    /// Puts other accumulators in place of those of an open slice, and hands those out.
    pub(crate) fn swap(&mut self, slot: u32, groups: &mut Groups<K, V>) {
        if let Some((window, open)) = self.open.at_mut(slot as usize) {
            keep_marked(&mut self.marked.kept, self.seed, window.start, open);
            std::mem::swap(open, groups);
        }
    }

    /// Closes the first open slice and hands it out.
    pub(crate) fn take_first(&mut self) -> Option<(Timestamp, Groups<K, V>)> {
        let (start, mut groups) = self.open.close_first()?;
        keep_marked(&mut self.marked.kept, self.seed, start, &mut groups);
        if let Some(closed) = &mut self.closed {
            closed.push(start);
        }
        Some((start, groups))
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

/// Keeps the pieces of a slice that are marked, before it is closed. Firing it takes longer.
fn keep_marked<K: Key, V: Record>(kept: &mut Pieces, seed: HashSeed, start: Timestamp, groups: &mut Groups<K, V>) {
    if groups.is_marked() {
        let mut keep = |share, piece: &[u8]| kept.push(share, piece);
        groups.save(&mut PieceWriter::unlimited(&mut keep), piece_writer(seed, start));
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
        all.map(Groups::bytes).sum::<usize>() + self.marked.kept.len()
    }

    fn mark(&mut self, scope: Scope) {
        let closed = self.closed.replace(Vec::new()).filter(|_| scope == Scope::Changed);
        self.marked = Marked { closed: closed.unwrap_or_default(), ..Marked::default() };
        self.open.iter_mut().for_each(|(_, groups)| groups.mark(scope));
    }

    /// A piece is the start of a slice with a key and its value, or alone where the slice was closed.
    fn save(&mut self, out: &mut PieceWriter<'_>) -> bool {
        let Self { open, seed, marked, .. } = self;
        while out.has_room()
            && let Some(start) = marked.closed.pop()
        {
            out.write(Share::All, &start.as_nanos().to_le_bytes());
        }
        if !marked.closed.is_empty() || !marked.kept.take(out) {
            return false;
        }
        while marked.slot < open.slots() {
            if let Some((window, groups)) = open.at_mut(marked.slot)
                && groups.is_marked()
                && !groups.save(out, piece_writer(*seed, window.start))
            {
                return false;
            }
            marked.slot += 1;
        }
        true
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
