//! Lists and maps that process functions keep for each key beside its state, by name.

use crate::operator::OperatorError;
use crate::operator::emitted::Emitted;
use crate::operator::keyed::ProcessContext;
use crate::operator::views::{ListView, MapView, View};
use crate::store::column::{AnyCollected, Collected};
use crate::store::entries::{Lent, Pins};
use crate::store::{KeyedLists, KeyedMaps, KeyedTable, Of, Store, StoreError, StoreSettings};
use crate::{Key, Record};
use std::any::{Any, type_name};
use std::marker::PhantomData;

/// A list for each key, by the name that is the identity of what is kept in it.
///
/// A process function declares it in `states` and works on it by [`ProcessContext::list`]. The limit of rows of a job
/// ([`Options::rows_max`](crate::Options::rows_max)) holds for the lists of all keys together. A list leaves with the
/// key's state: where that has expired, and by [`ProcessContext::clear_state`].
///
/// ```
/// use pelton::{
///     Job, ListState, Options, ProcessContext, ProcessFunction, States, Timestamp, VecSource, collect,
/// };
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Reading { #[event(time)] time_ns: i64, sensor: u64, value: i64 }
///
/// /// The last readings.
/// const RECENT: ListState<i64> = ListState::new("recent");
///
/// /// Emits the median of a sensor's last three readings.
/// #[derive(Clone)]
/// struct Median;
///
/// impl ProcessFunction<u64> for Median {
///     type In = Reading;
///     type State = ();
///     type Out = i64;
///     fn on_row(
///         &self, _: &u64, _: Timestamp, reading: &Reading, _: &mut (), context: &mut ProcessContext<'_, i64>,
///     ) {
///         let mut recent = context.list(&RECENT);
///         recent.push(reading.value);
///         recent.truncate_front(3);
///         let mut sorted = recent.get().to_vec();
///         sorted.sort();
///         context.emit(sorted[sorted.len() / 2]);
///     }
///     fn states(&self) -> States {
///         States::new().list(&RECENT)
///     }
/// }
///
/// let readings = [3, 90, 4, 5].map(|value| Reading { time_ns: 1, sensor: 7, value });
/// let mut job = Job::new("readings");
/// let (sink, rows) = collect();
/// job.source("readings", VecSource::new(readings.into(), 64))
///     .key_by(|reading| reading.sensor)
///     .process("median", Median)
///     .sink("out", sink);
/// job.run(Options::workers(1))?;
/// assert_eq!(rows.take().iter().map(|row| row.1).collect::<Vec<_>>(), [3, 90, 4, 5]);
/// # Ok::<(), pelton::Error>(())
/// ```
#[derive(Debug)]
pub struct ListState<T> {
    name: &'static str,
    rows: PhantomData<fn() -> T>,
}

impl<T: Record> ListState<T> {
    /// A list of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, rows: PhantomData }
    }
}

/// A sorted map for each key, by the name that is the identity of what is kept in it.
///
/// A process function declares it in `states` and works on it by [`ProcessContext::map`]. The limit of rows of a job
/// ([`Options::rows_max`](crate::Options::rows_max)) holds for the entries of the maps of all keys together. A map
/// leaves with the key's state: where that has expired, and by [`ProcessContext::clear_state`].
///
/// ```
/// use pelton::{
///     Job, MapState, Options, ProcessContext, ProcessFunction, States, Timestamp, VecSource, collect,
/// };
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Click { #[event(time)] time_ns: i64, user: u64, page: u64 }
///
/// /// Clicks by page.
/// const PAGES: MapState<u64, u64> = MapState::new("pages");
///
/// /// Emits how often a user has been at the page of each click.
/// #[derive(Clone)]
/// struct Visits;
///
/// impl ProcessFunction<u64> for Visits {
///     type In = Click;
///     type State = ();
///     type Out = u64;
///     fn on_row(&self, _: &u64, _: Timestamp, click: &Click, _: &mut (), context: &mut ProcessContext<'_, u64>) {
///         let mut pages = context.map(&PAGES);
///         let clicks = pages.entry_or(click.page, 0);
///         *clicks += 1;
///         let clicks = *clicks;
///         context.emit(clicks);
///     }
///     fn states(&self) -> States {
///         States::new().map(&PAGES)
///     }
/// }
///
/// let clicks = [5, 9, 5].map(|page| Click { time_ns: 1, user: 7, page });
/// let mut job = Job::new("clicks");
/// let (sink, rows) = collect();
/// job.source("clicks", VecSource::new(clicks.into(), 64))
///     .key_by(|click| click.user)
///     .process("visits", Visits)
///     .sink("out", sink);
/// job.run(Options::workers(1))?;
/// assert_eq!(rows.take().iter().map(|row| row.1).collect::<Vec<_>>(), [1, 1, 2]);
/// # Ok::<(), pelton::Error>(())
/// ```
#[derive(Debug)]
pub struct MapState<M, T> {
    name: &'static str,
    entries: PhantomData<fn() -> (M, T)>,
}

impl<M: Record + Ord, T: Record> MapState<M, T> {
    /// A map of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, entries: PhantomData }
    }
}

/// The lists and maps that a process function keeps for each key beside its state.
///
/// Their names are the names of stores of the step, in order, behind `state` and `timers`. A job in which a name comes
/// twice does not run: [`ShapeError::DuplicateStore`](crate::ShapeError::DuplicateStore).
///
/// ```
/// use pelton::{ListState, MapState, States};
///
/// const RECENT: ListState<i64> = ListState::new("recent");
/// const PAGES: MapState<u32, u64> = MapState::new("pages");
/// let states = States::new().list(&RECENT).map(&PAGES);
/// assert_eq!(states.names().collect::<Vec<_>>(), ["recent", "pages"]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct States(Vec<Declared>);

/// A list or map that was declared.
#[derive(Debug, Clone, Copy)]
struct Declared {
    name: &'static str,
    /// The type of the descriptor.
    described: fn() -> &'static str,
    make: fn(&StoreSettings) -> Box<dyn AnyCollected>,
}

impl States {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// These and a list.
    pub fn list<T: Record>(mut self, state: &ListState<T>) -> Self {
        let make = |settings: &StoreSettings| -> Box<dyn AnyCollected> { Box::new(KeyedLists::<T>::new(settings)) };
        self.0.push(Declared { name: state.name, described: type_name::<ListState<T>>, make });
        self
    }

    /// These and a map.
    pub fn map<M: Record + Ord, T: Record>(mut self, state: &MapState<M, T>) -> Self {
        let make = |settings: &StoreSettings| -> Box<dyn AnyCollected> { Box::new(KeyedMaps::<M, T>::new(settings)) };
        self.0.push(Declared { name: state.name, described: type_name::<MapState<M, T>>, make });
        self
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|declared| declared.name)
    }
}

/// The lists and maps of all keys of a step.
pub(crate) struct StateStores {
    stores: Vec<(Declared, Box<dyn AnyCollected>)>,
    /// The first limit that was passed in a call of the function.
    error: Option<StoreError>,
}

impl StateStores {
    pub(crate) fn new(states: &States, settings: &StoreSettings) -> Self {
        let stores = states.0.iter().map(|declared| (*declared, (declared.make)(settings)));
        Self { stores: stores.collect(), error: None }
    }

    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.stores.is_empty()
    }

    /// Those of one entry, whose value is lent out; `place` is where it stays meanwhile. None where the function has no
    /// lists and maps.
    #[inline(always)]
    pub(crate) fn of<'a, K: Key>(
        &'a mut self,
        entry: usize,
        lent: Lent<'a, K>,
        place: &'a mut Option<Lent<'a, K>>,
    ) -> Option<KeyStates<'a>> {
        if self.is_empty() {
            return None;
        }
        Some(KeyStates { stores: self, entry, pins: place.insert(lent) })
    }

    /// Drops what is kept for an entry.
    pub(crate) fn clear(&mut self, table: &mut dyn Pins, entry: usize) {
        self.stores.iter_mut().for_each(|(_, store)| store.clear_entry(table, entry));
    }

    /// The first limit that was passed, once.
    pub(crate) fn check(&mut self) -> Result<(), OperatorError> {
        self.error.take().map_or(Ok(()), |error| Err(error.into()))
    }

    pub(crate) fn show<K: Key, S: Record>(
        &mut self,
        table: &mut KeyedTable<K, S>,
        show: &mut dyn FnMut(&'static str, &mut dyn Store),
    ) {
        for (declared, store) in &mut self.stores {
            show(declared.name, &mut Of::new(table, &mut **store));
        }
    }
}

/// The lists and maps of one key.
pub(crate) struct KeyStates<'a> {
    stores: &'a mut StateStores,
    entry: usize,
    pins: &'a mut dyn Pins,
}

/// What is kept by this name for the key that a function is called for.
///
/// # Panics
/// When the function has not declared it, or has declared it with other types.
fn find<'c, S: Collected + 'static>(
    states: &'c mut Option<KeyStates<'_>>,
    name: &'static str,
    described: fn() -> &'static str,
) -> View<'c, S::Collection> {
    let Some(KeyStates { stores, entry, pins }) = states else { undeclared(name) };
    let Some((declared, store)) = stores.stores.iter_mut().find(|(declared, _)| declared.name == name) else {
        undeclared(name)
    };
    let store: &mut dyn Any = &mut **store;
    let Some(store) = store.downcast_mut::<S>() else {
        panic!("the state `{name}` is declared as {}, and asked for as {}", (declared.described)(), described())
    };
    View::new(store.collections_mut(), *entry, &mut **pins, &mut stores.error)
}

#[cold]
fn undeclared(name: &str) -> ! {
    panic!("the state `{name}` is not declared: the function has to name it in `states`")
}

impl<Out: Emitted> ProcessContext<'_, Out> {
    /// The key's list of this name.
    ///
    /// # Panics
    /// When the function has not declared it in `states`, or has declared it with other types.
    ///
    /// ```
    /// use pelton::{ListState, ProcessContext, ProcessFunction, States, Timestamp};
    ///
    /// const WAITING: ListState<i64> = ListState::new("waiting");
    ///
    /// /// Keeps rows, and emits their sum a second later.
    /// #[derive(Clone)]
    /// struct Gathered;
    ///
    /// impl ProcessFunction<u32> for Gathered {
    ///     type In = i64;
    ///     type State = ();
    ///     type Out = i64;
    ///     fn on_row(&self, _: &u32, at: Timestamp, row: &i64, _: &mut (), context: &mut ProcessContext<'_, i64>) {
    ///         context.list(&WAITING).push(*row);
    ///         context.timer(at.plus_nanos(1_000_000_000));
    ///     }
    ///     fn on_timer(&self, _: &u32, _: Timestamp, _: &mut (), context: &mut ProcessContext<'_, i64>) {
    ///         let mut waiting = context.list(&WAITING);
    ///         let sum = waiting.get().iter().sum();
    ///         waiting.clear();
    ///         context.emit(sum);
    ///     }
    ///     fn states(&self) -> States {
    ///         States::new().list(&WAITING)
    ///     }
    /// }
    ///
    /// use pelton::testing::{self, Verify};
    /// Verify::new(|| testing::process(|_: &i64| 0u32, Gathered))
    ///     .row(1, 40)
    ///     .row(1, 2)
    ///     .watermark(1_000_000_001)
    ///     .expect_main([(1_000_000_001, 42)])
    ///     .check();
    /// ```
    pub fn list<T: Record>(&mut self, state: &ListState<T>) -> ListView<'_, T> {
        ListView(find::<KeyedLists<T>>(&mut self.states, state.name, type_name::<ListState<T>>))
    }

    /// The key's map of this name.
    ///
    /// # Panics
    /// When the function has not declared it in `states`, or has declared it with other types.
    ///
    /// ```
    /// use pelton::{MapState, ProcessContext, ProcessFunction, States, Timestamp};
    ///
    /// const SEEN: MapState<i64, u64> = MapState::new("seen");
    ///
    /// /// Emits each row of a key once.
    /// #[derive(Clone)]
    /// struct Distinct;
    ///
    /// impl ProcessFunction<u32> for Distinct {
    ///     type In = i64;
    ///     type State = ();
    ///     type Out = i64;
    ///     fn on_row(&self, _: &u32, _: Timestamp, row: &i64, _: &mut (), context: &mut ProcessContext<'_, i64>) {
    ///         if context.map(&SEEN).insert(*row, 1).is_none() {
    ///             context.emit(*row);
    ///         }
    ///     }
    ///     fn states(&self) -> States {
    ///         States::new().map(&SEEN)
    ///     }
    /// }
    ///
    /// use pelton::testing::{self, Verify};
    /// Verify::new(|| testing::process(|_: &i64| 0u32, Distinct))
    ///     .row(1, 40)
    ///     .row(2, 2)
    ///     .row(3, 40)
    ///     .expect_main([(1, 40), (2, 2)])
    ///     .check();
    /// ```
    pub fn map<M: Record + Ord, T: Record>(&mut self, state: &MapState<M, T>) -> MapView<'_, M, T> {
        MapView(find::<KeyedMaps<M, T>>(&mut self.states, state.name, type_name::<MapState<M, T>>))
    }
}
