//! Stores that hang on the entries of a keyed table.

use crate::store::changes::Changes;
use crate::store::table::KeyedTable;
use crate::store::{Scope, Share, Store, StoreError, StoreKind};
use crate::{Key, Layout};
use bytemuck::Pod;

/// Something for each entry of a table.
pub(crate) trait Column {
    fn kind(&self) -> StoreKind;
    fn layout(&self) -> Layout;
    fn key_layout(&self) -> Option<Layout> {
        None
    }
    fn bytes(&self) -> usize;
    fn check(&self) -> Result<(), StoreError>;

    fn save<K: Key, V: Pod>(&mut self, table: &KeyedTable<K, V>, scope: Scope, piece: &mut dyn FnMut(Share, &[u8]));

    fn restore<K: Key, V: Pod>(
        &mut self,
        table: &mut KeyedTable<K, V>,
        share: Share,
        piece: &[u8],
    ) -> Result<(), StoreError>;
}

/// A store with the table on which it hangs.
///
/// ```
/// use pelton::{KeyedTable, Of, Store, StoreSettings, Timers, Timestamp};
///
/// let settings = StoreSettings::default();
/// let (mut table, mut timers) = (KeyedTable::<u32, u64>::new(&settings), Timers::new(&settings));
/// let entry = table.find_or_insert(7)?;
/// timers.insert(&mut table, Timestamp::from_nanos(5), entry)?;
/// let mut pieces = 0;
/// Of::new(&mut table, &mut timers).save(pelton::Scope::All, &mut |_, _| pieces += 1);
/// assert_eq!(pieces, 1);
/// # Ok::<(), pelton::StoreError>(())
/// ```
pub struct Of<'a, K, V, C> {
    table: &'a mut KeyedTable<K, V>,
    column: &'a mut C,
}

impl<'a, K, V, C> Of<'a, K, V, C> {
    /// A store and its table.
    pub const fn new(table: &'a mut KeyedTable<K, V>, column: &'a mut C) -> Self {
        Self { table, column }
    }
}

impl<K: Key, V: Pod, C: Column> Store for Of<'_, K, V, C> {
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

    fn save(&mut self, scope: Scope, piece: &mut dyn FnMut(Share, &[u8])) {
        self.column.save(self.table, scope, piece);
    }

    fn restore(&mut self, share: Share, piece: &[u8]) -> Result<(), StoreError> {
        self.column.restore(self.table, share, piece)
    }
}

/// Collections of elements by the numbers of entries, with what is the same for lists, maps and rows: a piece has the
/// whole collection of a key.
#[derive(Debug)]
pub(crate) struct Collections<C> {
    by_number: Vec<C>,
    changes: Changes,
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

    fn save<K: Key, V: Pod>(&mut self, table: &KeyedTable<K, V>, scope: Scope, piece: &mut dyn FnMut(Share, &[u8])) {
        self.collections_mut().save(table, scope, piece);
    }

    fn restore<K: Key, V: Pod>(
        &mut self,
        table: &mut KeyedTable<K, V>,
        share: Share,
        piece: &[u8],
    ) -> Result<(), StoreError> {
        self.collections_mut().restore(table, share, piece)
    }
}

impl<C: Collection> Collections<C> {
    pub(crate) const fn new(elements_max: usize) -> Self {
        Self { by_number: Vec::new(), changes: Changes::EMPTY, elements: 0, elements_max }
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

    /// Changes the collection of an entry of the table, which cannot be removed while its collection is not empty.
    #[inline]
    pub(crate) fn change<K: Key, V: Pod, R>(
        &mut self,
        table: &mut KeyedTable<K, V>,
        entry: usize,
        change: impl FnOnce(&mut C) -> R,
    ) -> R {
        if entry >= self.by_number.len() {
            self.by_number.resize_with(entry + 1, C::default);
        }
        self.changes.note(entry);
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

    /// An error where there are more elements than the limit allows.
    #[inline]
    pub(crate) const fn check(&self) -> Result<(), StoreError> {
        if self.elements > self.elements_max {
            return Err(StoreError::TooManyRows(self.elements_max));
        }
        Ok(())
    }

    fn bytes(&self, element: usize) -> usize {
        self.by_number.len() * size_of::<C>() + self.elements * element
    }

    fn save<K: Key, V: Pod>(&mut self, table: &KeyedTable<K, V>, scope: Scope, piece: &mut dyn FnMut(Share, &[u8])) {
        let changed = self.changes.take().filter(|_| scope == Scope::Changed);
        let mut bytes = Vec::new();
        let mut write = |key: &K, collection: Option<&C>| {
            bytes.clear();
            bytes.extend_from_slice(bytemuck::bytes_of(key));
            if let Some(collection) = collection {
                collection.write(&mut bytes);
            }
            piece(table.share_of(key), &bytes);
        };
        match changed {
            None => {
                for (number, collection) in self.by_number.iter().enumerate().filter(|(_, all)| all.len() > 0) {
                    write(table.key(number), Some(collection));
                }
            }
            Some(changed) => {
                for number in changed {
                    // The key may have left and come back with another number, which then changed too.
                    let key = table.key(number as usize);
                    write(key, table.find(key).and_then(|number| self.by_number.get(number)));
                }
            }
        }
    }

    fn restore<K: Key, V: Pod>(
        &mut self,
        table: &mut KeyedTable<K, V>,
        share: Share,
        piece: &[u8],
    ) -> Result<(), StoreError> {
        let (key, rest) = table.parse_key(share, piece)?;
        let Some(collection) = C::read(rest) else { return Err(StoreError::misfit("a wrong length")) };
        if collection.len() == 0 {
            if let Some(entry) = table.find(&key) {
                self.change(table, entry, |all| *all = collection);
            }
            return Ok(());
        }
        let entry = table.find_or_restore(key);
        self.change(table, entry, |all| *all = collection);
        Ok(())
    }
}

/// Elements of a fixed layout, read from bytes that hold nothing else.
pub(crate) fn elements<T: Pod>(bytes: &[u8]) -> Option<impl Iterator<Item = T>> {
    let size = size_of::<T>();
    if size == 0 || !bytes.len().is_multiple_of(size) {
        return None;
    }
    Some(bytes.chunks_exact(size).map(bytemuck::pod_read_unaligned))
}
