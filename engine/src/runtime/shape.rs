//! How pieces of stores are made, for those who read them without the store: what they are of, and where values are.

use crate::Layout;
use crate::runtime::entries::SavedStore;
use crate::store::StoreKind;
use std::iter;
use std::ops::Range;

/// How pieces of a store are made, as the stores themselves write them.
pub(crate) struct Shape {
    pub(crate) kind: StoreKind,
    key: Option<Layout>,
    pub(crate) element_key: Option<Layout>,
    pub(crate) value: Layout,
}

/// Bytes of a time.
pub(crate) const TIME: usize = 8;

impl Shape {
    pub(crate) fn of(saved: &SavedStore) -> Result<Self, String> {
        let unknown = || format!("`{}` is no kind of store", saved.kind);
        let kind = StoreKind::ALL.into_iter().find(|kind| kind.name() == saved.kind).ok_or_else(unknown)?;
        let layout = |text: &str| match text {
            "" => Ok(None),
            text => Layout::parse(text).map(Some).map_err(|error| error.to_string()),
        };
        let value = layout(&saved.value)?.ok_or("a store without a layout")?;
        Ok(Self { kind, key: layout(&saved.key)?, element_key: layout(&saved.element_key)?, value })
    }

    /// The layout of the key at the front of a piece.
    pub(crate) fn piece_key(&self) -> Option<&Layout> {
        match self.kind {
            StoreKind::Value => None,
            StoreKind::Broadcast => self.element_key.as_ref(),
            _ => self.key.as_ref(),
        }
    }

    /// Bytes that say what a piece is of.
    pub(crate) fn id_bytes(&self) -> usize {
        let key = self.piece_key().map_or(0, Layout::size);
        match self.kind {
            StoreKind::Timers | StoreKind::Slices => TIME + key,
            _ => key,
        }
    }

    /// Bytes that records of several keys have in front.
    pub(crate) fn front_bytes(&self) -> usize {
        self.id_bytes() - self.piece_key().map_or(0, Layout::size)
    }

    /// Whether a piece says that there is nothing any more.
    pub(crate) fn is_removal(&self, rest: &[u8]) -> bool {
        match self.kind {
            StoreKind::Timers => rest == [0],
            StoreKind::Slices | StoreKind::Value => false,
            _ => rest.is_empty(),
        }
    }

    /// Where values are in what follows what a piece is of.
    ///
    /// # Errors
    /// When it has no room for whole values.
    pub(crate) fn values(&self, rest: &[u8]) -> Result<Vec<Range<usize>>, &'static str> {
        let value = self.value.size();
        let (before, element) = match self.kind {
            StoreKind::Timers => return Ok(Vec::new()),
            StoreKind::KeyedTable | StoreKind::Broadcast => {
                // A flag stands before it, and the time it was written at may stand behind it.
                let end = 1 + value;
                return if end <= rest.len() {
                    Ok(iter::once(1..end).collect())
                } else {
                    Err("a value of another size")
                };
            }
            StoreKind::Slices | StoreKind::Value | StoreKind::KeyedLists => (0, value),
            StoreKind::KeyedRows => (TIME, TIME + value),
            StoreKind::KeyedMaps => {
                let key = self.element_key.as_ref().map_or(0, Layout::size);
                (key, key + value)
            }
        };
        if element == 0 || !rest.len().is_multiple_of(element) {
            return Err("a value of another size");
        }
        Ok((0..rest.len()).step_by(element).map(|start| start + before..start + element).collect())
    }
}
