//! Stores that hang on the entries of a keyed table.

use crate::store::changes::Changes;
use crate::store::entries::{Entries, Pins};
use crate::store::pieces::{PieceWriter, Pieces};
use crate::store::table::KeyedTable;
use crate::store::{Scope, Share, Store, StoreError, StoreKind};
use crate::{Key, Layout, Slot};
use bytemuck::Pod;
use std::any::Any;
use std::ops::Range;

/// Something for each entry of a table.
pub(crate) trait Column {
    fn kind(&self) -> StoreKind;
    fn layout(&self) -> Layout;
    fn key_layout(&self) -> Option<Layout> {
        None
    }
    fn bytes(&self) -> usize;
    fn check(&self) -> Result<(), StoreError>;

    fn mark(&mut self, scope: Scope);

    fn save(&mut self, table: &dyn Entries, out: &mut PieceWriter<'_>) -> bool;

    fn restore(&mut self, table: &mut dyn Entries, share: Share, piece: &[u8]) -> Result<(), StoreError>;
}

/// A store with the table on which it hangs.
///
/// ```
/// use pelton::{KeyedTable, Of, PieceWriter, Store, StoreSettings, Timers, Timestamp};
///
/// let settings = StoreSettings::default();
/// let (mut table, mut timers) = (KeyedTable::<u32, u64>::new(&settings), Timers::new(&settings));
/// let entry = table.find_or_insert(7)?;
/// timers.insert(&mut table, Timestamp::from_nanos(5), entry)?;
/// let mut timers = Of::new(&mut table, &mut timers);
/// let mut pieces = 0;
/// timers.mark(pelton::Scope::All);
/// assert!(timers.save(&mut PieceWriter::unlimited(&mut |_, _| pieces += 1)));
/// assert_eq!(pieces, 1);
/// # Ok::<(), pelton::StoreError>(())
/// ```
pub struct Of<'a, K, V, C: ?Sized> {
    table: &'a mut KeyedTable<K, V>,
    column: &'a mut C,
}

impl<'a, K, V, C: ?Sized> Of<'a, K, V, C> {
    /// A store and its table.
    pub const fn new(table: &'a mut KeyedTable<K, V>, column: &'a mut C) -> Self {
        Self { table, column }
    }
}

impl<K: Key, V: Pod, C: Column + ?Sized> Store for Of<'_, K, V, C> {
    fn kind(&self) -> StoreKind {
        self.column.kind()
    }

    fn layout(&self) -> Layout {
        self.column.layout()
    }

    fn key_layout(&self) -> Option<Layout> {
        self.column.key_layout()
    }

    fn bytes(&self) -> usize {
        self.column.bytes()
    }

    fn check(&self) -> Result<(), StoreError> {
        self.column.check()
    }

    fn mark(&mut self, scope: Scope) {
        self.column.mark(scope);
    }

    fn save(&mut self, out: &mut PieceWriter<'_>) -> bool {
        self.column.save(self.table, out)
    }

    fn restore(&mut self, share: Share, piece: &[u8], _: &Range<Slot>) -> Result<(), StoreError> {
        self.column.restore(self.table, share, piece)
    }
}

/// Collections of elements by the numbers of entries, with what is the same for lists, maps and rows: a piece has the
/// whole collection of a key.
#[derive(Debug)]
pub(crate) struct Collections<C> {
    by_number: Vec<C>,
    changes: Changes,
    /// Pieces of collections that were marked and then changed.
    kept: Pieces,
    /// Elements of all collections.
    elements: usize,
    elements_max: usize,
}

/// What is kept for one key.
pub(crate) trait Collection: Default {
    fn len(&self) -> usize;
    fn write(&self, out: &mut Vec<u8>);
    /// The collection that was written.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// A store that keeps a collection for each entry.
pub(crate) trait Collected {
    type Collection: Collection;
    const KIND: StoreKind;
    const ELEMENT_BYTES: usize;
    /// The layout of an element, and of what it is found by.
    fn element() -> Layout;
    fn element_key() -> Option<Layout> {
        None
    }
    fn collections(&self) -> &Collections<Self::Collection>;
    fn collections_mut(&mut self) -> &mut Collections<Self::Collection>;
}

impl<S: Collected> Column for S {
    fn kind(&self) -> StoreKind {
        S::KIND
    }

    fn layout(&self) -> Layout {
        S::element()
    }

    fn key_layout(&self) -> Option<Layout> {
        S::element_key()
    }

    fn bytes(&self) -> usize {
        self.collections().bytes(S::ELEMENT_BYTES)
    }

    fn check(&self) -> Result<(), StoreError> {
        self.collections().check()
    }

    fn mark(&mut self, scope: Scope) {
        self.collections_mut().mark(scope);
    }

    fn save(&mut self, table: &dyn Entries, out: &mut PieceWriter<'_>) -> bool {
        self.collections_mut().save(table, out)
    }

    fn restore(&mut self, table: &mut dyn Entries, share: Share, piece: &[u8]) -> Result<(), StoreError> {
        self.collections_mut().restore(table, share, piece)
    }
}

/// A store that keeps a collection for each entry, whatever its elements are.
pub(crate) trait AnyCollected: Column + Any {
    /// Drops all elements of an entry.
    fn clear_entry(&mut self, table: &mut dyn Pins, entry: usize);
}

impl<S: Collected + 'static> AnyCollected for S {
    fn clear_entry(&mut self, table: &mut dyn Pins, entry: usize) {
        let collections = self.collections_mut();
        if collections.get(entry).is_some_and(|collection| collection.len() > 0) {
            collections.change(table, entry, |all| *all = S::Collection::default());
        }
    }
}

impl<C: Collection> Collections<C> {
    pub(crate) fn new(elements_max: usize) -> Self {
        let (by_number, kept) = (Vec::new(), Pieces::default());
        Self { by_number, changes: Changes::EMPTY, kept, elements: 0, elements_max }
    }

    /// Elements of all collections.
    pub(crate) const fn elements(&self) -> usize {
        self.elements
    }

    pub(crate) const fn elements_max(&self) -> usize {
        self.elements_max
    }

    /// The collection of an entry, where it ever had one.
    #[inline]
    pub(crate) fn get(&self, entry: usize) -> Option<&C> {
        self.by_number.get(entry)
    }

    /// Notes that the collection of an entry is about to change.
    #[inline]
    fn note<P: Pins + ?Sized>(&mut self, table: &P, entry: usize) {
        if self.changes.note(entry) {
            self.keep(table, entry);
        }
    }

    /// As [`Collections::note`], for an entry that may have none yet.
    #[inline]
    fn note_or_make<P: Pins + ?Sized>(&mut self, table: &P, entry: usize) {
        if entry >= self.by_number.len() {
            self.by_number.resize_with(entry + 1, C::default);
        }
        self.note(table, entry);
    }

    /// Changes the collection of an entry of the table, which cannot be removed while its collection is not empty.
    #[inline]
    pub(crate) fn change<P: Pins + ?Sized, R>(
        &mut self,
        table: &mut P,
        entry: usize,
        change: impl FnOnce(&mut C) -> R,
    ) -> R {
        self.note_or_make(table, entry);
        let collection = &mut self.by_number[entry];
        let before = collection.len();
        let result = change(collection);
        let after = collection.len();
        self.elements = self.elements - before + after;
        match (before == 0, after == 0) {
            (true, false) => table.pin(entry),
            (false, true) => {
                *collection = C::default();
                table.unpin(entry);
            }
            _ => {}
        }
        result
    }

    /// Finds an element of the collection of an entry, or adds it. `find` says whether it added one.
    ///
    /// Beside the element it returns an error where there are now more than the limit allows.
    #[inline]
    pub(crate) fn find_or_add<'c, P: Pins + ?Sized, E>(
        &'c mut self,
        table: &mut P,
        entry: usize,
        find: impl FnOnce(&'c mut C) -> (&'c mut E, bool),
    ) -> (&'c mut E, Result<(), StoreError>) {
        self.note_or_make(table, entry);
        let Self { by_number, elements, elements_max, .. } = self;
        let collection = &mut by_number[entry];
        let is_first = collection.len() == 0;
        let (element, is_new) = find(collection);
        if is_new {
            *elements += 1;
            if is_first {
                table.pin(entry);
            }
        }
        (element, within(*elements, *elements_max))
    }

    /// The collection of an entry, where it ever had one, to change its elements but not their number.
    #[inline]
    pub(crate) fn get_mut<P: Pins + ?Sized>(&mut self, table: &P, entry: usize) -> Option<&mut C> {
        if entry < self.by_number.len() {
            self.note(table, entry);
        }
        self.by_number.get_mut(entry)
    }

    /// An error where there are more elements than the limit allows.
    #[inline]
    pub(crate) const fn check(&self) -> Result<(), StoreError> {
        within(self.elements, self.elements_max)
    }

    fn bytes(&self, element: usize) -> usize {
        self.by_number.len() * size_of::<C>() + self.elements * element + self.kept.len()
    }

    /// Makes the piece of a collection that is marked: only the key where it is empty. Whether there is one.
    fn piece<P: Pins + ?Sized>(&self, table: &P, number: usize, bytes: &mut Vec<u8>) -> bool {
        bytes.clear();
        let collection = self.by_number.get(number).filter(|collection| collection.len() > 0);
        if collection.is_none() && self.changes.marks_all() {
            return false;
        }
        bytes.extend_from_slice(table.key_bytes(number));
        if let Some(collection) = collection {
            collection.write(bytes);
        }
        true
    }

    /// Keeps the piece of a collection that is marked, before it changes.
    #[cold]
    fn keep<P: Pins + ?Sized>(&mut self, table: &P, number: usize) {
        let mut bytes = Vec::new();
        if self.piece(table, number, &mut bytes) {
            self.kept.push(table.share(number), &bytes);
        }
    }

    fn mark(&mut self, scope: Scope) {
        self.changes.mark(scope, self.by_number.len());
    }

    fn save(&mut self, table: &dyn Entries, out: &mut PieceWriter<'_>) -> bool {
        if !self.kept.take(out) {
            return false;
        }
        let mut bytes = Vec::new();
        while out.has_room() {
            let Some(number) = self.changes.next_marked() else { return true };
            out.pass(1);
            if self.piece(table, number, &mut bytes) {
                out.write(table.share(number), &bytes);
            }
        }
        false
    }

    fn restore(&mut self, table: &mut dyn Entries, share: Share, piece: &[u8]) -> Result<(), StoreError> {
        let (key, rest) = table.split_key(share, piece)?;
        let Some(collection) = C::read(rest) else { return Err(StoreError::misfit("a wrong length")) };
        if collection.len() == 0 {
            if let Some(entry) = table.find_restored(key) {
                self.change(table, entry, |all| *all = collection);
            }
            return Ok(());
        }
        let entry = table.find_or_make(key);
        self.change(table, entry, |all| *all = collection);
        Ok(())
    }
}

/// An error where there are more elements than the limit allows.
#[inline]
const fn within(elements: usize, elements_max: usize) -> Result<(), StoreError> {
    if elements > elements_max {
        return Err(StoreError::TooManyRows(elements_max));
    }
    Ok(())
}

/// Elements of a fixed layout, read from bytes that hold nothing else.
pub(crate) fn elements<T: Pod>(bytes: &[u8]) -> Option<impl Iterator<Item = T>> {
    let size = size_of::<T>();
    if size == 0 || !bytes.len().is_multiple_of(size) {
        return None;
    }
    Some(bytes.chunks_exact(size).map(bytemuck::pod_read_unaligned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{KeyedLists, StoreSettings, Timers};
    use crate::{ALL_SLOTS, Dictionary, Timestamp};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// A table with what hangs on it.
    struct Stores {
        table: KeyedTable<u64, u64>,
        lists: KeyedLists<u64>,
        timers: Timers,
    }

    /// The same as lists by key, and times and keys.
    type Model = (BTreeMap<u64, Vec<u64>>, BTreeSet<(Timestamp, u64)>);

    impl Stores {
        fn new() -> Self {
            let settings = StoreSettings::default();
            let (table, lists) = (KeyedTable::new(&settings), KeyedLists::new(&settings));
            Self { table, lists, timers: Timers::new(&settings) }
        }

        fn each(&mut self, mut body: impl FnMut(usize, &mut dyn Store)) {
            body(0, &mut self.table);
            body(1, &mut Of::new(&mut self.table, &mut self.lists));
            body(2, &mut Of::new(&mut self.table, &mut self.timers));
        }

        fn model(&self) -> Model {
            let lists = self.table.entries().map(|(entry, key, _)| (*key, self.lists.get(entry).to_vec()));
            let timers = self.timers.each().map(|(time, entry)| (time, *self.table.key(entry))).collect();
            (lists.filter(|(_, list)| !list.is_empty()).collect(), timers)
        }
    }

    proptest! {
        /// Rows come while the pieces of a mark are written: those are as the stores were at the mark.
        #[test]
        fn what_hangs_on_a_table_is_written_as_it_was_at_the_mark(
            steps in prop::collection::vec((0u64..20, 0u8..9, 0usize..150), 0..2000),
        ) {
            let (mut stores, mut written) = (Stores::new(), Stores::new());
            let mut marked = None::<Model>;
            let symbols = Dictionary::default();
            let mut now = 0;
            for (key, what, number) in steps {
                match what {
                    0 => match &marked {
                        None => {
                            let scope = if number % 9 == 0 { Scope::All } else { Scope::Changed };
                            if scope == Scope::All {
                                written = Stores::new();
                            }
                            stores.each(|_, store| store.mark(scope));
                            marked = Some(stores.model());
                        }
                        Some(expected) => {
                            let (mut is_all, mut room) = (true, number);
                            stores.each(|which, store| {
                                let mut take = |share, piece: &[u8]| {
                                    written.each(|other, into| {
                                        if other == which {
                                            into.restore(share, piece, &ALL_SLOTS).unwrap();
                                        }
                                    });
                                };
                                let mut out = PieceWriter::new(room, &mut take);
                                is_all &= store.save(&mut out);
                                room = out.room();
                            });
                            if is_all {
                                prop_assert_eq!(&written.model(), expected);
                                marked = None;
                            }
                        }
                    },
                    1 | 2 => {
                        let entry = stores.table.find_or_insert(key).unwrap();
                        stores.lists.push(&mut stores.table, entry, number as u64).unwrap();
                    }
                    3 | 4 => {
                        if let Some(entry) = stores.table.find(&key) {
                            stores.lists.clear(&mut stores.table, entry);
                            stores.table.remove_if_empty(entry);
                        }
                    }
                    5 | 6 => {
                        let entry = stores.table.find_or_insert(key).unwrap();
                        let time = Timestamp::from_nanos(now + 1 + number as i64);
                        stores.timers.insert(&mut stores.table, time, entry).unwrap();
                    }
                    _ => {
                        now += number as i64 / 10;
                        let Stores { table, timers, .. } = &mut stores;
                        while let Some((_, _, entry)) = timers.next(Timestamp::from_nanos(now), table, &symbols) {
                            timers.take_next(table);
                            table.remove_if_empty(entry);
                        }
                    }
                }
            }
        }
    }
}
