//! The expert's keyed window: what is written by hand by somebody who knows the processor, the events and the keys.
//!
//! - Windows are assigned by the block: its summary says whether all of its times lie in one window.
//! - Dense keys index a flat array; sparse ones are hashed into open addressing. Both lie in huge pages. Nothing is
//!   fetched beforehand: accumulators do not depend on each other, so the processor fetches those of later events by
//!   itself, and touching a batch's accumulators first was slower from 100 keys to 10 million.
//! - A window's rows leave by a scan of the array in canonical order, which is known beforehand.
//!
//! Rows are those of the plain loops. Unlike those this one may become faster.

use super::memory::Zeroed;
use super::{Counts, ranks, write_all};
use crate::readings::Measured;
use crate::work::CountAndSum;
use pelton::{BlockSource, BoxError, Sink, Timestamp};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// What is known of the keys before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// All numbers from 0 to below this.
    Dense(usize),
    /// Any numbers, at most so many different ones in a window.
    Sparse(usize),
}

/// Counts and sums by key and tumbling window of event time, where an event lies behind those before it by `bound` at
/// most. A window fires when the largest time less the bound is behind it; events that come later are late. Its rows
/// leave in the order of the keys' texts where the source names symbols, in the order of numbers otherwise.
///
/// # Errors
/// When a block cannot be read, the sink refuses, memory runs out or a key is not as was told.
pub fn expert_window<E: Measured>(
    source: &impl BlockSource<E>,
    window: Duration,
    bound: Duration,
    keys: Keys,
    sink: &mut impl Sink<E::Row>,
) -> Result<Counts, BoxError> {
    match keys {
        Keys::Dense(keys) => {
            let order = order(&ranks(&source.symbols()));
            run(source, window, bound, sink, || Dense::new(keys, order.as_deref()))
        }
        Keys::Sparse(keys) => run(source, window, bound, sink, || Sparse::new(keys)),
    }
}

/// The ids in the order of their ranks, where that is another one.
fn order(ranks: &[u32]) -> Option<Vec<u32>> {
    if ranks.iter().enumerate().all(|(id, rank)| id as u32 == *rank) {
        return None;
    }
    let mut order = vec![0; ranks.len()];
    for (id, rank) in ranks.iter().enumerate() {
        order[*rank as usize] = id as u32;
    }
    Some(order)
}

/// The accumulators of one window.
trait Table<E: Measured> {
    /// Adds events of the table's window.
    fn add(&mut self, events: &[E]) -> Result<(), BoxError>;

    /// Adds each event to this table or, from `boundary_ns` on, to the next window's.
    fn add_parted(&mut self, next: &mut Self, boundary_ns: i64, events: &[E]) -> Result<(), BoxError>;

    /// Gives the rows of all keys in canonical order, and is empty then.
    fn fire(&mut self, window: (i64, i64), rows: &mut Rows<E, impl Sink<E::Row>>) -> Result<(), BoxError>;
}

struct Open<T> {
    start_ns: i64,
    table: T,
}

/// Windows that are open, in order of time, and tables to be used again.
struct Windows<T, M> {
    open: VecDeque<Open<T>>,
    free: Vec<T>,
    make: M,
}

impl<T, M: Fn() -> io::Result<T>> Windows<T, M> {
    /// Where the window of `start_ns` is; it is opened where it is not.
    #[inline]
    fn at(&mut self, start_ns: i64) -> Result<usize, BoxError> {
        match self.open.binary_search_by_key(&start_ns, |open| open.start_ns) {
            Ok(at) => Ok(at),
            Err(at) => {
                let table = match self.free.pop() {
                    Some(table) => table,
                    None => (self.make)()?,
                };
                self.open.insert(at, Open { start_ns, table });
                Ok(at)
            }
        }
    }
}

fn run<E: Measured, T: Table<E>, S: Sink<E::Row>>(
    source: &impl BlockSource<E>,
    window: Duration,
    bound: Duration,
    sink: &mut S,
    make: impl Fn() -> io::Result<T>,
) -> Result<Counts, BoxError> {
    let (size_ns, bound_ns) = (i64::try_from(window.as_nanos())?, i64::try_from(bound.as_nanos())?);
    if size_ns == 0 {
        return Err("a window of no length".into());
    }
    let start_of = |time_ns: i64| time_ns - time_ns.rem_euclid(size_ns);
    let mut windows = Windows { open: VecDeque::new(), free: Vec::new(), make };
    let mut rows = Rows::<E, S>::new(sink);
    let mut counts = Counts::default();
    // What has fired lies before it.
    let mut passed_ns = i64::MIN;
    let mut reader = source.reader()?;
    for (block, summary) in source.blocks().iter().enumerate() {
        reader.load(block)?;
        let events = reader.events();
        counts.events += events.len() as u64;
        let (first_ns, last_ns) = (start_of(summary.min.as_nanos()), start_of(summary.max.as_nanos()));
        let passes_ns = passed_ns.max(summary.max.as_nanos().saturating_sub(bound_ns));
        let is_on_time = passes_ns < first_ns + size_ns;
        if is_on_time && first_ns == last_ns {
            let at = windows.at(first_ns)?;
            windows.open[at].table.add(events)?;
        } else if is_on_time && last_ns - first_ns == size_ns {
            let (at, next) = (windows.at(first_ns)?, windows.at(last_ns)?);
            let open = windows.open.make_contiguous();
            let (first, later) = open.split_at_mut(next);
            first[at].table.add_parted(&mut later[0].table, last_ns, events)?;
        } else {
            let mut passed_ns = passed_ns;
            // Runs of events in one window: the rest is between runs.
            let mut rest = events;
            while let Some(first) = rest.first() {
                let start_ns = start_of(first.time().as_nanos());
                let is_in = |event: &E| (start_ns..start_ns + size_ns).contains(&event.time().as_nanos());
                let (run, behind) = rest.split_at(rest.iter().position(|event| !is_in(event)).unwrap_or(rest.len()));
                // A window's own events never make it pass.
                if start_ns + size_ns <= passed_ns {
                    counts.late += run.len() as u64;
                } else {
                    let at = windows.at(start_ns)?;
                    windows.open[at].table.add(run)?;
                }
                let largest_ns = run.iter().map(|event| event.time().as_nanos()).max().unwrap_or(i64::MIN);
                passed_ns = passed_ns.max(largest_ns.saturating_sub(bound_ns));
                rest = behind;
            }
        }
        passed_ns = passes_ns;
        while windows.open.front().is_some_and(|open| open.start_ns + size_ns <= passed_ns) {
            fire_first(&mut windows, size_ns, &mut rows)?;
        }
    }
    while !windows.open.is_empty() {
        fire_first(&mut windows, size_ns, &mut rows)?;
    }
    rows.sink.finish()?;
    Ok(counts)
}

fn fire_first<E: Measured, T: Table<E>, M>(
    windows: &mut Windows<T, M>,
    size_ns: i64,
    rows: &mut Rows<E, impl Sink<E::Row>>,
) -> Result<(), BoxError> {
    if let Some(Open { start_ns, mut table }) = windows.open.pop_front() {
        table.fire((start_ns, start_ns + size_ns), rows)?;
        rows.flush(start_ns + size_ns)?;
        windows.free.push(table);
    }
    Ok(())
}

/// Rows that go to the sink together: they fit the first cache.
const ROWS: usize = 256;

/// Rows on their way to the sink.
struct Rows<'a, E: Measured, S> {
    rows: Vec<E::Row>,
    times: Vec<Timestamp>,
    sink: &'a mut S,
}

impl<'a, E: Measured, S: Sink<E::Row>> Rows<'a, E, S> {
    fn new(sink: &'a mut S) -> Self {
        Self { rows: Vec::with_capacity(ROWS), times: Vec::with_capacity(ROWS), sink }
    }

    #[inline(always)]
    fn push(&mut self, number: u64, window: (i64, i64), acc: &CountAndSum) -> Result<(), BoxError> {
        self.rows.push(E::row(number, window, acc));
        if self.rows.len() == ROWS { self.flush(window.1) } else { Ok(()) }
    }

    fn flush(&mut self, end_ns: i64) -> Result<(), BoxError> {
        self.times.clear();
        self.times.resize(self.rows.len(), Timestamp::from_nanos(end_ns - 1));
        write_all(self.sink, &self.times, &self.rows)?;
        self.rows.clear();
        Ok(())
    }
}

/// Accumulators by the key's number.
struct Dense<'a> {
    cells: Zeroed<CountAndSum>,
    /// Keys in canonical order; `None` where that is the order of numbers.
    order: Option<&'a [u32]>,
}

impl<'a> Dense<'a> {
    fn new(keys: usize, order: Option<&'a [u32]>) -> io::Result<Self> {
        Ok(Self { cells: Zeroed::new(keys)?, order })
    }
}

#[cold]
fn beyond(number: u64, keys: usize) -> BoxError {
    format!("key {number} is not below {keys}").into()
}

#[inline(always)]
fn add_to(cells: &mut [CountAndSum], event: &impl Measured) -> Result<(), BoxError> {
    let keys = cells.len();
    let Some(cell) = cells.get_mut(event.number() as usize) else { return Err(beyond(event.number(), keys)) };
    cell.trades += 1;
    cell.size = cell.size.wrapping_add(event.amount());
    Ok(())
}

impl<E: Measured> Table<E> for Dense<'_> {
    fn add(&mut self, events: &[E]) -> Result<(), BoxError> {
        let cells = self.cells.values();
        events.iter().try_for_each(|event| add_to(cells, event))
    }

    fn add_parted(&mut self, next: &mut Self, boundary_ns: i64, events: &[E]) -> Result<(), BoxError> {
        let (cells, next) = (self.cells.values(), next.cells.values());
        for event in events {
            let is_next = event.time().as_nanos() >= boundary_ns;
            add_to(if is_next { &mut *next } else { &mut *cells }, event)?;
        }
        Ok(())
    }

    fn fire(&mut self, window: (i64, i64), rows: &mut Rows<E, impl Sink<E::Row>>) -> Result<(), BoxError> {
        let cells = self.cells.values();
        let mut fire = |number: usize, cell: &mut CountAndSum| {
            if cell.trades == 0 {
                return Ok(());
            }
            let acc = std::mem::take(cell);
            rows.push(number as u64, window, &acc)
        };
        match self.order {
            None => cells.iter_mut().enumerate().try_for_each(|(number, cell)| fire(number, cell)),
            Some(order) => order.iter().try_for_each(|&number| match cells.get_mut(number as usize) {
                Some(cell) => fire(number as usize, cell),
                None => Ok(()),
            }),
        }
    }
}

/// Accumulators by open addressing with linear probing, at most half full: most keys are where they are looked for.
///
/// Keys lie apart from accumulators, so that probing hardly leaves a cache line.
struct Sparse {
    /// Key by place, 0 where there is none. The key 0 has the place behind the last.
    keys: Zeroed<u64>,
    accs: Zeroed<CountAndSum>,
    /// The most keys, as was told.
    keys_max: usize,
    len: usize,
    /// Kept for the memory.
    fired: Vec<(u64, CountAndSum)>,
    sorted: Vec<(u64, CountAndSum)>,
}

/// Events after which the number of keys is looked at.
const CHECKED: usize = 512;

impl Sparse {
    fn new(keys_max: usize) -> io::Result<Self> {
        // Room for more keys than were told, until that is noticed.
        let places = (2 * keys_max.max(2 * CHECKED)).next_power_of_two();
        let (keys, accs) = (Zeroed::new(places)?, Zeroed::new(places + 1)?);
        Ok(Self { keys, accs, keys_max, len: 0, fired: Vec::new(), sorted: Vec::new() })
    }

    #[inline(always)]
    fn add_checked<E: Measured>(&mut self, events: &[E]) -> Result<(), BoxError> {
        let (keys, accs) = (self.keys.values(), self.accs.values());
        for event in events {
            let acc = &mut accs[place(keys, event.number())];
            self.len += usize::from(acc.trades == 0);
            acc.trades += 1;
            acc.size = acc.size.wrapping_add(event.amount());
        }
        if self.len > self.keys_max { Err("more keys than was told".into()) } else { Ok(()) }
    }
}

/// Where the key is; it is added where it is new.
#[inline(always)]
fn place(keys: &mut [u64], key: u64) -> usize {
    if key == 0 {
        return keys.len();
    }
    let mask = keys.len() - 1;
    let mut at = hash(key) & mask;
    loop {
        let found = &mut keys[at];
        if *found == key || *found == 0 {
            *found = key;
            return at;
        }
        at = (at + 1) & mask;
    }
}

/// Both halves of a product, folded: all bits of the key reach all bits of the hash.
#[inline(always)]
fn hash(key: u64) -> usize {
    let product = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    ((product as u64) ^ ((product >> 64) as u64)) as usize
}

impl<E: Measured> Table<E> for Sparse {
    fn add(&mut self, events: &[E]) -> Result<(), BoxError> {
        events.chunks(CHECKED).try_for_each(|events| self.add_checked(events))
    }

    fn add_parted(&mut self, next: &mut Self, boundary_ns: i64, events: &[E]) -> Result<(), BoxError> {
        for event in events {
            let table = if event.time().as_nanos() >= boundary_ns { &mut *next } else { &mut *self };
            table.add_checked(std::slice::from_ref(event))?;
        }
        Ok(())
    }

    fn fire(&mut self, window: (i64, i64), rows: &mut Rows<E, impl Sink<E::Row>>) -> Result<(), BoxError> {
        let Self { keys, accs, len, fired, sorted, .. } = self;
        let (keys, accs) = (keys.values(), accs.values());
        fired.clear();
        let taken = keys.iter().chain(&[0]).zip(accs.iter()).filter(|(_, acc)| acc.trades > 0);
        fired.extend(taken.map(|(key, acc)| (*key, *acc)));
        keys.fill(0);
        accs.fill(CountAndSum::default());
        *len = 0;
        sort(fired, sorted);
        sorted.iter().try_for_each(|(key, acc)| rows.push(*key, window, acc))
    }
}

/// The buckets of [`sort`], by so many of the keys' highest bits that differ.
const BUCKET_BITS: u32 = 12;

/// Sorts by key into `sorted`: dealt into buckets first, which then fit the cache.
fn sort(fired: &[(u64, CountAndSum)], sorted: &mut Vec<(u64, CountAndSum)>) {
    sorted.clear();
    sorted.extend_from_slice(fired);
    if fired.len() < 1 << (BUCKET_BITS + 2) {
        return sorted.sort_unstable_by_key(|entry| entry.0);
    }
    let largest = fired.iter().map(|entry| entry.0).max().unwrap_or(0);
    let shift = (u64::BITS - largest.leading_zeros()).saturating_sub(BUCKET_BITS);
    let bucket = |entry: &(u64, CountAndSum)| (entry.0 >> shift) as usize;
    let mut ends = vec![0; (1 << BUCKET_BITS) + 1];
    fired.iter().for_each(|entry| ends[bucket(entry) + 1] += 1);
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    for entry in fired {
        let end = &mut ends[bucket(entry)];
        sorted[*end] = *entry;
        *end += 1;
    }
    let mut start = 0;
    for &end in &ends[..1 << BUCKET_BITS] {
        sorted[start..end].sort_unstable_by_key(|entry| entry.0);
        start = end;
    }
}
