//! What operators keep: stores, which the runtime limits, saves, restores and deals out again.
//!
//! An operator holds its stores, made with the job's [`StoreSettings`], and shows them by name in
//! [`Operator::stores`](crate::Operator::stores). It has no code to save or restore.
//!
//! ```text
//! KeyedTable<K, V>   a value for each key; its entries are numbered
//!   ├ Timers         times for each entry, taken by (time, canonical key)
//!   ├ KeyedLists<T>  a list for each entry
//!   ├ KeyedMaps<M,V> a sorted map for each entry
//!   └ KeyedRows<T>   rows for each entry, by time
//! BroadcastTable     a table that all workers have alike
//! Value<T>           one value that all workers have alike
//! SliceStore         accumulators by slice of time and key (in `operator/window`)
//! ```
//! What hangs on a table finds its keys by the numbers of the table's entries: a key is hashed once for all of them. An
//! entry stays while anything hangs on it, and until it is removed.
//!
//! **Pieces.** State is written as pieces, each of one key, of several keys or of the whole step. At a barrier a store marks all it has, or
//! what changed since the last mark, which takes a time that does not grow with either. What was marked is written
//! bit by bit while rows come, as it was at the mark: what changes before it was written is kept first. What changed
//! is restored into a store of the same worker, mark after mark, and replaces what was written before; the pieces of
//! one mark come in any order. All that a store then has can be dealt out: a key is of a slot, and so of whichever
//! worker owns the slot now; what is of no key is of all workers. There it is adopted, beside pieces of other workers. Limits are looked at
//! when all pieces have come.

pub(crate) mod ahead;
mod broadcast;
mod changes;
pub(crate) mod column;
pub(crate) mod dense;
mod due;
pub(crate) mod entries;
pub(crate) mod groups;
pub(crate) mod latest;
pub(crate) mod lists;
pub(crate) mod maps;
pub(crate) mod pieces;
pub(crate) mod region;
mod rows;
mod settings;
mod small;
pub(crate) mod sparse;
mod table;
mod table_store;
mod timers;
mod value;

pub use broadcast::BroadcastTable;
pub use column::Of;
pub use lists::KeyedLists;
pub use maps::KeyedMaps;
pub use pieces::PieceWriter;
pub use rows::KeyedRows;
pub use settings::StoreSettings;
pub use table::KeyedTable;
pub use timers::Timers;
pub use value::Value;

use crate::{Layout, Slot};
use std::ops::Range;

/// How a store keeps things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreKind {
    /// A value for each key.
    KeyedTable,
    /// A list for each key.
    KeyedLists,
    /// A sorted map for each key.
    KeyedMaps,
    /// Rows for each key, in order of time.
    KeyedRows,
    /// Times for each key.
    Timers,
    /// A value for each slice of time and key.
    Slices,
    /// A table that all workers have alike.
    Broadcast,
    /// A value that all workers have alike.
    Value,
}

impl StoreKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 8] = [
        Self::KeyedTable,
        Self::KeyedLists,
        Self::KeyedMaps,
        Self::KeyedRows,
        Self::Timers,
        Self::Slices,
        Self::Broadcast,
        Self::Value,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KeyedTable => "keyed table",
            Self::KeyedLists => "lists by key",
            Self::KeyedMaps => "sorted maps by key",
            Self::KeyedRows => "rows by key and time",
            Self::Timers => "timers",
            Self::Slices => "slices",
            Self::Broadcast => "broadcast table",
            Self::Value => "value",
        }
    }
}

/// Whose a piece of state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The worker's that owns the slot.
    Slot(Slot),
    /// Of several keys, each of which is the worker's that owns its slot.
    Keys,
    /// Every worker's; all of them write the same.
    All,
}

/// What a store marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All there is.
    All,
    /// What changed since the last mark; all, if there was none.
    Changed,
}

/// A store cannot take more, or cannot take what was saved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// More windows are open than the limit allows.
    #[error("more than {0} windows are open: the times of the input are too far apart, or the bound is too wide")]
    TooManyWindows(usize),
    /// There are more keys than the limit allows.
    #[error("there are more than {0} keys")]
    TooManyKeys(usize),
    /// There are more timers than the limit allows.
    #[error("there are more than {0} timers")]
    TooManyTimers(usize),
    /// More rows are kept than the limit allows.
    #[error("more than {0} rows are kept")]
    TooManyRows(usize),
    /// The stores of a step take more bytes than the limit allows.
    #[error("its state takes {0} bytes, which is more than {1}")]
    TooManyBytes(usize, usize),
    /// Saved state does not fit.
    #[error("saved state does not fit: {0}")]
    Misfit(String),
}

impl StoreError {
    pub(crate) fn misfit(what: impl Into<String>) -> Self {
        Self::Misfit(what.into())
    }
}

/// What the runtime asks of a store.
///
/// ```
/// use pelton::{ALL_SLOTS, KeyedTable, PieceWriter, Scope, Share, Store, StoreSettings};
///
/// let settings = StoreSettings::default();
/// let mut counts = KeyedTable::<u32, u64>::new(&settings);
/// let entry = counts.find_or_insert(7)?;
/// *counts.value_mut(entry) += 1;
/// counts.mark(Scope::All);
/// // It changes before it was written.
/// *counts.value_mut(entry) += 1;
/// let mut pieces = Vec::new();
/// let mut take = |share, piece: &[u8]| pieces.push((share, piece.to_vec()));
/// while !counts.save(&mut PieceWriter::new(100, &mut take)) {}
///
/// let mut restored = KeyedTable::<u32, u64>::new(&settings);
/// for (share, piece) in &pieces {
///     restored.restore(*share, piece, &ALL_SLOTS)?;
/// }
/// assert_eq!(restored.get(&7), Some(&1));
/// # Ok::<(), pelton::StoreError>(())
/// ```
pub trait Store {
    /// How it keeps things.
    fn kind(&self) -> StoreKind;

    /// The layout of what it keeps: of a value, a row or an element.
    fn layout(&self) -> Layout;

    /// The layout of what its values are found by, where that is not the key of the step.
    fn key_layout(&self) -> Option<Layout> {
        None
    }

    /// Bytes that it takes, about.
    fn bytes(&self) -> usize;

    /// Marks what is to be written, as it is now. What was marked before is written, or nobody needs it. The time it
    /// takes does not grow with what there is, nor with what changed.
    fn mark(&mut self, scope: Scope);

    /// Writes pieces of what was marked, as it was at the mark, as far as there is room; whether nothing is left.
    fn save(&mut self, out: &mut PieceWriter<'_>) -> bool;

    /// Takes a piece that a store of the same worker wrote; it replaces what was there. Of a piece of several keys, it
    /// takes those of these slots; of others all.
    ///
    /// # Errors
    /// When the piece is not of such a store.
    fn restore(&mut self, share: Share, piece: &[u8], slots: &Range<Slot>) -> Result<(), StoreError>;

    /// Takes a piece of all that a store of any worker has, as far as [`Store::restore`] would. Where several have something
    /// of one key, it is combined.
    ///
    /// # Errors
    /// When the piece is not of such a store.
    fn adopt(&mut self, share: Share, piece: &[u8], slots: &Range<Slot>) -> Result<(), StoreError> {
        self.restore(share, piece, slots)
    }

    /// Whether what it has is within its limits.
    ///
    /// # Errors
    /// When it is not.
    fn check(&self) -> Result<(), StoreError>;
}
