//! A list and a map of the key that a process function is called for.

use crate::Record;
use crate::store::StoreError;
use crate::store::column::{Collection, Collections};
use crate::store::entries::Pins;
use crate::store::lists::List;
use crate::store::maps::Map;
use std::collections::btree_map::Entry;
use std::ops::RangeBounds;

/// What is kept for one key, and what is told to the table and to the step when it changes.
pub(crate) struct View<'a, C> {
    collections: &'a mut Collections<C>,
    entry: usize,
    pins: &'a mut dyn Pins,
    error: &'a mut Option<StoreError>,
}

impl<'a, C: Collection> View<'a, C> {
    pub(crate) const fn new(
        collections: &'a mut Collections<C>,
        entry: usize,
        pins: &'a mut dyn Pins,
        error: &'a mut Option<StoreError>,
    ) -> Self {
        Self { collections, entry, pins, error }
    }

    fn get(&self) -> Option<&C> {
        self.collections.get(self.entry)
    }

    fn len(&self) -> usize {
        self.get().map_or(0, C::len)
    }

    /// What is kept, to change elements but not their number.
    fn get_mut(&mut self) -> Option<&mut C> {
        self.collections.get_mut(&*self.pins, self.entry)
    }

    /// Changes what is kept. A limit that is passed ends the job once the function has returned.
    fn change<R>(&mut self, change: impl FnOnce(&mut C) -> R) -> R {
        let result = self.collections.change(self.pins, self.entry, change);
        if let Err(error) = self.collections.check() {
            self.error.get_or_insert(error);
        }
        result
    }

    fn clear(&mut self) {
        if self.len() > 0 {
            self.change(|all| *all = C::default());
        }
    }
}

/// The list of a key, in the order in which its rows were pushed: what [`ProcessContext::list`] gives.
///
/// ```
/// use pelton::{ListState, ProcessContext};
///
/// const RECENT: ListState<i64> = ListState::new("recent");
///
/// /// Keeps the last three values and tells their sum.
/// fn sum_of_last(value: i64, context: &mut ProcessContext<'_, i64>) {
///     let mut recent = context.list(&RECENT);
///     recent.push(value);
///     recent.truncate_front(3);
///     let sum = recent.get().iter().sum();
///     context.emit(sum);
/// }
/// # use pelton::testing::{self, Verify};
/// # use pelton::{ProcessFunction, States, Timestamp};
/// # #[derive(Clone)]
/// # struct Sums;
/// # impl ProcessFunction<u32> for Sums {
/// #     type In = i64;
/// #     type State = ();
/// #     type Out = i64;
/// #     fn on_row(&self, _: &u32, _: Timestamp, row: &i64, _: &mut (), context: &mut ProcessContext<'_, i64>) {
/// #         sum_of_last(*row, context);
/// #     }
/// #     fn states(&self) -> States {
/// #         States::new().list(&RECENT)
/// #     }
/// # }
/// # let verify = Verify::new(|| testing::process(|_: &i64| 0u32, Sums));
/// # let verify = (1..=5).fold(verify, |verify, row| verify.row(row, row));
/// # verify.expect_main([(1, 1), (2, 3), (3, 6), (4, 9), (5, 12)]).check();
/// ```
///
/// [`ProcessContext::list`]: crate::ProcessContext::list
pub struct ListView<'a, T>(pub(crate) View<'a, List<T>>);

impl<T: Record> ListView<'_, T> {
    /// All rows.
    pub fn get(&self) -> &[T] {
        self.0.get().map_or(&[], List::rows)
    }

    /// The last row, to be changed.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.0.get_mut()?.last_mut()
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a row at the end. Where more rows are kept than the limit allows, the job ends once the function has
    /// returned.
    pub fn push(&mut self, row: T) {
        self.0.change(|list| list.push(row));
    }

    /// Drops all but the last `len` rows.
    pub fn truncate_front(&mut self, len: usize) {
        if self.len() > len {
            self.0.change(|list| list.truncate_front(len));
        }
    }

    /// Drops all rows.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The map of a key, in growing order of the map's own keys: what [`ProcessContext::map`] gives.
///
/// ```
/// use pelton::{MapState, ProcessContext};
///
/// const LEVELS: MapState<i64, u64> = MapState::new("levels");
///
/// /// Sets the size at a price, or takes the price away, and tells the lowest price.
/// fn set(price: i64, size: u64, context: &mut ProcessContext<'_, i64>) {
///     let mut levels = context.map(&LEVELS);
///     match size {
///         0 => levels.remove(&price),
///         size => levels.insert(price, size),
///     };
///     let lowest = levels.iter().next().map(|(price, _)| *price);
///     if let Some(lowest) = lowest {
///         context.emit(lowest);
///     }
/// }
/// # use pelton::testing::{self, Verify};
/// # use pelton::{ProcessFunction, States, Timestamp};
/// # #[derive(Clone)]
/// # struct Lowest;
/// # impl ProcessFunction<u32> for Lowest {
/// #     type In = i64;
/// #     type State = ();
/// #     type Out = i64;
/// #     fn on_row(&self, _: &u32, _: Timestamp, row: &i64, _: &mut (), context: &mut ProcessContext<'_, i64>) {
/// #         set(row / 10, (row % 10) as u64, context);
/// #     }
/// #     fn states(&self) -> States {
/// #         States::new().map(&LEVELS)
/// #     }
/// # }
/// # let verify = Verify::new(|| testing::process(|_: &i64| 0u32, Lowest));
/// # let rows = [(1, 1015), (2, 993), (3, 990), (4, 1010)];
/// # let verify = rows.into_iter().fold(verify, |verify, (time, row)| verify.row(time, row));
/// # verify.expect_main([(1, 101), (2, 99), (3, 101)]).check();
/// ```
///
/// [`ProcessContext::map`]: crate::ProcessContext::map
pub struct MapView<'a, M, T>(pub(crate) View<'a, Map<M, T>>);

impl<M: Record + Ord, T: Record> MapView<'_, M, T> {
    /// The value of a key.
    pub fn get(&self, key: &M) -> Option<&T> {
        self.0.get()?.0.get(key)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &M) -> Option<&mut T> {
        self.0.get_mut()?.0.get_mut(key)
    }

    /// Whether there is a value of a key.
    pub fn contains_key(&self, key: &M) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key, to be changed; one that has none is given `value`. Where more is kept than the limit allows,
    /// the job ends once the function has returned.
    pub fn entry_or(&mut self, key: M, value: T) -> &mut T {
        let View { collections, entry, pins, error } = &mut self.0;
        let (value, limit) = collections.find_or_add(&mut **pins, *entry, |map| match map.0.entry(key) {
            Entry::Occupied(found) => (found.into_mut(), false),
            Entry::Vacant(vacant) => (vacant.insert(value), true),
        });
        if let Err(passed) = limit {
            error.get_or_insert(passed);
        }
        value
    }

    /// Gives a key a value, and returns the one it had. Where more is kept than the limit allows, the job ends once the
    /// function has returned.
    pub fn insert(&mut self, key: M, value: T) -> Option<T> {
        self.0.change(|map| map.0.insert(key, value))
    }

    /// Takes a key and its value away.
    pub fn remove(&mut self, key: &M) -> Option<T> {
        self.0.change(|map| map.0.remove(key))
    }

    /// All keys with their values, in growing order of the keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&M, &T)> {
        self.range(..)
    }

    /// Keys in range with their values, in growing order of the keys.
    ///
    /// # Panics
    /// When the range begins behind its end, as that of a `BTreeMap` does.
    pub fn range(&self, range: impl RangeBounds<M>) -> impl DoubleEndedIterator<Item = (&M, &T)> {
        self.0.get().map(|map| map.0.range(range)).into_iter().flatten()
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes all keys away.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
