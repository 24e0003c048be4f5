//! The expert's keyed window: what is written by hand by somebody who knows the processor, the events and the keys.
//!
//! - Windows are assigned by the block: its summary says whether all of its times lie in one window.
//! - Dense keys index a flat array; sparse ones are hashed a batch at a time into open addressing.
//! - A batch's cells are touched before they are used, where they do not fit the cache, so that the processor fetches
//!   them side by side.
//! - A window's rows leave by a scan of the array in canonical order, which is known beforehand.
//!
//! Rows are those of the plain loops. Unlike those this one may become faster.

use super::memory::Zeroed;
use super::{Counts, ranks, write_all};
use crate::readings::Measured;
use crate::work::CountAndSum;
use pelton::{BlockSource, BoxError, Sink, Timestamp};
use std::collections::VecDeque;
use std::hint::black_box;
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

/// A table larger than this does not stay in the second-level cache, in bytes.
const CACHED_BYTES: usize = 1 << 20;
/// Events whose cells are touched together.
const TOUCHED: usize = 64;

/// Accumulators by the key's number.
struct Dense<'a> {
    cells: Zeroed<CountAndSum>,
    /// Keys in canonical order; `None` where that is the order of numbers.
    order: Option<&'a [u32]>,
    is_cached: bool,
}

impl<'a> Dense<'a> {
    fn new(keys: usize, order: Option<&'a [u32]>) -> io::Result<Self> {
        let is_cached = keys * size_of::<CountAndSum>() <= CACHED_BYTES;
        Ok(Self { cells: Zeroed::new(keys)?, order, is_cached })
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
        if self.is_cached {
            return events.iter().try_for_each(|event| add_to(cells, event));
        }
        for events in events.chunks(TOUCHED) {
            let touch = |sum: u64, event: &E| sum ^ cells.get(event.number() as usize).map_or(0, |cell| cell.trades);
            black_box(events.iter().fold(0, touch));
            events.iter().try_for_each(|event| add_to(cells, event))?;
        }
        Ok(())
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

/// A key and its accumulator; empty while `trades` is 0.
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Cell {
    key: u64,
    acc: CountAndSum,
}

/// Accumulators by open addressing with linear probing, at most three quarters full.
struct Sparse {
    cells: Zeroed<Cell>,
    mask: usize,
    len: usize,
    /// Kept for the memory.
    fired: Vec<Cell>,
    sorted: Vec<Cell>,
}

impl Sparse {
    fn new(keys: usize) -> io::Result<Self> {
        let cells = (keys.max(16) + keys / 3).next_power_of_two();
        let (fired, sorted) = (Vec::new(), Vec::new());
        Ok(Self { cells: Zeroed::new(cells)?, mask: cells - 1, len: 0, fired, sorted })
    }

    #[inline(always)]
    fn add_at(&mut self, mut at: usize, event: &impl Measured) -> Result<(), BoxError> {
        let (key, mask) = (event.number(), self.mask);
        let cells = self.cells.values();
        loop {
            let cell = &mut cells[at];
            if cell.acc.trades == 0 {
                cell.key = key;
                self.len += 1;
                if self.len > mask - mask / 8 {
                    return Err("more keys than was told".into());
                }
            } else if cell.key != key {
                at = (at + 1) & mask;
                continue;
            }
            cell.acc.trades += 1;
            cell.acc.size = cell.acc.size.wrapping_add(event.amount());
            return Ok(());
        }
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
        let mut places = [0; TOUCHED];
        for events in events.chunks(TOUCHED) {
            let cells = self.cells.values();
            let mut touched = 0;
            for (place, event) in places.iter_mut().zip(events) {
                *place = hash(event.number()) & self.mask;
                touched ^= cells[*place].acc.trades;
            }
            black_box(touched);
            for (place, event) in places.iter().zip(events) {
                self.add_at(*place, event)?;
            }
        }
        Ok(())
    }

    fn add_parted(&mut self, next: &mut Self, boundary_ns: i64, events: &[E]) -> Result<(), BoxError> {
        for event in events {
            let table = if event.time().as_nanos() >= boundary_ns { &mut *next } else { &mut *self };
            table.add_at(hash(event.number()) & table.mask, event)?;
        }
        Ok(())
    }

    fn fire(&mut self, window: (i64, i64), rows: &mut Rows<E, impl Sink<E::Row>>) -> Result<(), BoxError> {
        let Self { cells, len, fired, sorted, .. } = self;
        fired.clear();
        fired.extend(cells.values().iter().filter(|cell| cell.acc.trades > 0));
        cells.values().fill(Cell::default());
        *len = 0;
        sort(fired, sorted);
        sorted.iter().try_for_each(|cell| rows.push(cell.key, window, &cell.acc))
    }
}

/// The buckets of [`sort`], by so many of the keys' highest bits that differ.
const BUCKET_BITS: u32 = 12;

/// Sorts by key into `sorted`: dealt into buckets first, which then fit the cache.
fn sort(cells: &[Cell], sorted: &mut Vec<Cell>) {
    sorted.clear();
    sorted.extend_from_slice(cells);
    if cells.len() < 1 << (BUCKET_BITS + 2) {
        return sorted.sort_unstable_by_key(|cell| cell.key);
    }
    let largest = cells.iter().map(|cell| cell.key).max().unwrap_or(0);
    let shift = (u64::BITS - largest.leading_zeros()).saturating_sub(BUCKET_BITS);
    let bucket = |cell: &Cell| (cell.key >> shift) as usize;
    let mut ends = vec![0; (1 << BUCKET_BITS) + 1];
    cells.iter().for_each(|cell| ends[bucket(cell) + 1] += 1);
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    for cell in cells {
        let end = &mut ends[bucket(cell)];
        sorted[*end] = *cell;
        *end += 1;
    }
    let mut start = 0;
    for &end in &ends[..1 << BUCKET_BITS] {
        sorted[start..end].sort_unstable_by_key(|cell| cell.key);
        start = end;
    }
}
