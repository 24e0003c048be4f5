//! Accumulators by slice of time and key: what window operators keep.

use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::open::OpenWindows;
use crate::operator::window::{Tumbling, Window};
use crate::store::groups::Groups;
use crate::store::pieces::{PieceWriter, Pieces, split_records};
use crate::store::{Scope, Share, Store, StoreError, StoreKind, StoreSettings};
use crate::{ALL_SLOTS, HashSeed, Key, Layout, Record, Slot, Timestamp, slot_of};
use std::ops::Range;

/// Merges what was saved of a key into what there is.
type Merge<V> = Box<dyn Fn(&mut V, &V)>;

/// The slices of a step whose workers may each have something of one key, where its aggregate is exact: parts that were
/// combined on one number of workers go on as slices on another.
pub(crate) fn merging_store<K: Key, A: WindowAggregate<K>>(
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
    /// Bytes of what is combined of slices, and can be made again.
    combined: usize,
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

impl<K: Key, V: Record> SliceStore<K, V> {
    pub(crate) fn new(windows: Tumbling, layout: Layout, settings: &StoreSettings) -> Self {
        Self {
            windows,
            seed: settings.seed,
            keys_max: settings.keys_max,
            layout,
            open: OpenWindows::new(windows, settings.open_windows_max),
            spare: Vec::new(),
            combined: 0,
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

    /// The slice with this number, where it is open.
    pub(crate) fn numbered(&self, number: i64) -> Option<&Groups<K, V>> {
        self.open.starting(self.windows.start_of(number))
    }

    /// Whether any slice with a number in this range is open.
    pub(crate) fn has_any(&self, numbers: Range<i64>) -> bool {
        let first = self.open.first_from(self.windows.start_of(numbers.start));
        first.is_some_and(|start| self.windows.number(start) < numbers.end)
    }

    /// The open slices with numbers in this range, in order.
    pub(crate) fn numbered_in(&self, numbers: Range<i64>) -> impl Iterator<Item = &Groups<K, V>> {
        self.open.starting_in(self.windows.start_of(numbers.start)..self.windows.start_of(numbers.end))
    }

    /// The seed of hashes.
    pub(crate) const fn seed(&self) -> HashSeed {
        self.seed
    }

    /// Empty groups.
    pub(crate) fn fresh(&self) -> Groups<K, V> {
        Groups::new(self.seed)
    }

    /// What is combined of slices takes so many bytes.
    pub(crate) const fn count_combined(&mut self, bytes: usize) {
        self.combined = bytes;
    }

    /// Puts other accumulators in place of those of an open slice, and hands those out.
    pub(crate) fn swap(&mut self, slot: u32, groups: &mut Groups<K, V>) {
        if let Some((window, open)) = self.open.at_mut(slot as usize) {
            keep_marked(&mut self.marked.kept, window.start, open);
            std::mem::swap(open, groups);
        }
    }

    /// Closes the first open slice and hands it out.
    pub(crate) fn take_first(&mut self) -> Option<(Timestamp, Groups<K, V>)> {
        let (start, mut groups) = self.open.close_first()?;
        keep_marked(&mut self.marked.kept, start, &mut groups);
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

    /// Takes those keys of a piece that are of some slots. `put` puts a value beside what there is of its key.
    fn take_piece(
        &mut self,
        share: Share,
        piece: &[u8],
        slots: &Range<Slot>,
        put: impl Fn(Option<&Merge<V>>, &mut V, &V),
    ) -> Result<(), StoreError> {
        let (start, records) = match share {
            Share::Keys => split_records(piece, 8)?,
            Share::Slot(_) | Share::All => {
                let (start, rest) = piece.split_at_checked(8).ok_or_else(|| StoreError::misfit("no window"))?;
                (start, rest.chunks_exact(rest.len().max(1)))
            }
        };
        let start = Timestamp::from_nanos(bytemuck::pod_read_unaligned(start));
        if self.windows.assign(start).start != start {
            return Err(StoreError::misfit("a time that is no window's start"));
        }
        let has_wrong_length = |record: &[u8]| record.len() != Groups::<K, V>::RECORD;
        match (share, records.len()) {
            (Share::All, 0) => {
                self.open.close(start);
                return Ok(());
            }
            (Share::All, _) | (Share::Slot(_), 0) => return Err(StoreError::misfit("a wrong length")),
            // All of them are as long as the first.
            _ if records.clone().next().is_some_and(has_wrong_length) => {
                return Err(StoreError::misfit("a wrong length"));
            }
            _ => {}
        }
        let Self { seed, open, merge, .. } = self;
        let key_of = |record: &[u8]| bytemuck::pod_read_unaligned::<K>(&record[..size_of::<K>()]);
        let slot_of_key = |record: &[u8]| slot_of(seed.hash(&key_of(record)));
        let takes_all = *slots == ALL_SLOTS;
        let is_taken = |record: &[u8]| takes_all || slots.contains(&slot_of_key(record));
        if let Share::Slot(slot) = share
            && records.clone().any(|record| slot_of_key(record) != slot)
        {
            return Err(StoreError::misfit("a key of another slot"));
        }
        let mut taken = records.filter(|record| is_taken(record)).peekable();
        // A slice is opened only for what it has.
        if taken.peek().is_some() {
            let (slice, _) = open.find_or_restore(start, || Groups::new(*seed));
            let groups = open.state_mut(slice);
            for record in taken {
                let value = bytemuck::pod_read_unaligned(&record[size_of::<K>()..][..size_of::<V>()]);
                put(merge.as_ref(), groups.value_mut(key_of(record)), &value);
            }
        }
        Ok(())
    }

    /// Keeps empty groups for a slice to come.
    pub(crate) fn keep_spare(&mut self, groups: Groups<K, V>) {
        self.spare.push(groups);
    }
}

/// Keeps the pieces of a slice that are marked, before it is closed. Firing it takes longer.
fn keep_marked<K: Key, V: Record>(kept: &mut Pieces, start: Timestamp, groups: &mut Groups<K, V>) {
    if groups.is_marked() {
        let mut keep = |share, piece: &[u8]| kept.push(share, piece);
        groups.save(&mut PieceWriter::unlimited(&mut keep), &start.as_nanos().to_le_bytes());
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
        all.map(Groups::bytes).sum::<usize>() + self.marked.kept.len() + self.combined
    }

    fn mark(&mut self, scope: Scope) {
        let closed = self.closed.replace(Vec::new()).filter(|_| scope == Scope::Changed);
        self.marked = Marked { closed: closed.unwrap_or_default(), ..Marked::default() };
        self.open.iter_mut().for_each(|(_, groups)| groups.mark(scope));
    }

    /// A piece is the start of a slice with keys and their values, or alone where the slice was closed.
    fn save(&mut self, out: &mut PieceWriter<'_>) -> bool {
        let Self { open, marked, .. } = self;
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
                && !groups.save(out, &window.start.as_nanos().to_le_bytes())
            {
                return false;
            }
            marked.slot += 1;
        }
        true
    }

    fn restore(&mut self, share: Share, piece: &[u8], slots: &Range<Slot>) -> Result<(), StoreError> {
        self.take_piece(share, piece, slots, |_, value, saved| *value = *saved)
    }

    fn adopt(&mut self, share: Share, piece: &[u8], slots: &Range<Slot>) -> Result<(), StoreError> {
        self.take_piece(share, piece, slots, |merge, value, saved| match merge {
            Some(merge) => merge(value, saved),
            None => *value = *saved,
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        self.open.check()?;
        if self.open.iter().any(|groups| groups.len() > self.keys_max) { Err(self.too_many_keys()) } else { Ok(()) }
    }
}
