//! Yardsticks: what a good Rust programmer writes in an hour for one job, without an engine.
//!
//! Frozen: changed only to fix an error, never to be slower or faster. They read blocks as the engine
//! does, so that both check the same checksums, and give the same rows to the same sink.

use crate::Error;
use crate::work::{CountAndSum, Notional, WindowRow, is_round_lot, notional};
use hashbrown::HashMap;
use pelton::ring::ring;
use pelton::{BlockSource, BoxError, Sink, Timestamp};
use pelton_io::Trade;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What a window's loop has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Trades that were read.
    pub events: u64,
    /// Trades whose window had fired.
    pub late: u64,
}

/// Counts trades and sums their sizes by symbol and tumbling window of event time.
///
/// A window fires at the first trade behind it: no trade may lie behind another. Its rows leave in
/// the order of the symbols' texts.
///
/// # Errors
/// When a block cannot be read, or the sink refuses.
///
/// # Panics
/// When the window is shorter than 1 ns.
pub fn keyed_window(
    source: &impl BlockSource<Trade>,
    window: Duration,
    sink: &mut impl Sink<WindowRow>,
) -> Result<Counts, BoxError> {
    let size_ns = i64::try_from(window.as_nanos())?;
    assert!(size_ns > 0, "a window of no length");
    let ranks = ranks(&source.symbols());
    let mut counts = Counts::default();
    let mut open: HashMap<u32, CountAndSum> = HashMap::new();
    // The open window: nothing is in it before the first trade.
    let (mut start_ns, mut end_ns) = (i64::MIN, i64::MIN);
    let mut firing = Firing::default();
    let mut reader = source.reader()?;
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        let trades = reader.events();
        counts.events += trades.len() as u64;
        for trade in trades {
            if trade.time_ns >= end_ns {
                firing.fire(&mut open, (start_ns, end_ns), &ranks, sink)?;
                start_ns = trade.time_ns - trade.time_ns.rem_euclid(size_ns);
                end_ns = start_ns + size_ns;
            } else if trade.time_ns < start_ns {
                counts.late += 1;
                continue;
            }
            let acc = open.entry(trade.symbol.id()).or_default();
            acc.trades += 1;
            acc.size += u64::from(trade.size);
        }
    }
    firing.fire(&mut open, (start_ns, end_ns), &ranks, sink)?;
    sink.finish()?;
    Ok(counts)
}

/// The rows of a window that fires; kept for the memory.
#[derive(Default)]
struct Firing {
    entries: Vec<(u32, u32, CountAndSum)>,
    times: Vec<Timestamp>,
    rows: Vec<WindowRow>,
}

impl Firing {
    fn fire(
        &mut self,
        open: &mut HashMap<u32, CountAndSum>,
        (start_ns, end_ns): (i64, i64),
        ranks: &[u32],
        sink: &mut impl Sink<WindowRow>,
    ) -> Result<(), BoxError> {
        self.entries.clear();
        let rank = |id: u32| ranks.get(id as usize).copied().unwrap_or(id);
        self.entries.extend(open.drain().map(|(id, acc)| (rank(id), id, acc)));
        self.entries.sort_unstable_by_key(|entry| entry.0);
        self.rows.clear();
        self.rows.extend(self.entries.iter().map(|&(_, id, acc)| {
            let symbol = pelton::Symbol::from_id(id);
            WindowRow { start_ns, end_ns, size: acc.size, trades: acc.trades as u32, symbol }
        }));
        self.times.clear();
        self.times.resize(self.rows.len(), Timestamp::from_nanos(end_ns.saturating_sub(1)));
        write_all(sink, &self.times, &self.rows)
    }
}

/// The rank of each symbol by its text.
fn ranks(texts: &[Arc<str>]) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..texts.len() as u32).collect();
    ids.sort_by_key(|id| &texts[*id as usize]);
    let mut ranks = vec![0; texts.len()];
    for (rank, id) in ids.into_iter().enumerate() {
        ranks[id as usize] = rank as u32;
    }
    ranks
}

/// Trades that are given to the sink at once.
const STATELESS_BATCH: usize = 512;

/// Keeps the round lots and computes what they were worth.
///
/// # Errors
/// When a block cannot be read, or the sink refuses.
pub fn stateless(source: &impl BlockSource<Trade>, sink: &mut impl Sink<Notional>) -> Result<u64, BoxError> {
    let mut events = 0;
    let mut times = Vec::with_capacity(STATELESS_BATCH);
    let mut rows = Vec::with_capacity(STATELESS_BATCH);
    let mut reader = source.reader()?;
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        for trades in reader.events().chunks(STATELESS_BATCH) {
            events += trades.len() as u64;
            times.clear();
            rows.clear();
            for trade in trades {
                if is_round_lot(trade) {
                    times.push(Timestamp::from_nanos(trade.time_ns));
                    rows.push(notional(trade));
                }
            }
            write_all(sink, &times, &rows)?;
        }
    }
    sink.finish()?;
    Ok(events)
}

fn write_all<T: pelton::Record>(
    sink: &mut impl Sink<T>,
    mut times: &[Timestamp],
    mut rows: &[T],
) -> Result<(), BoxError> {
    while !rows.is_empty() {
        let written = sink.write(times, rows)?;
        (times, rows) = (&times[written..], &rows[written..]);
    }
    Ok(())
}

/// Elements of the ring of [`ring_throughput`].
const RING: usize = 4096;

/// Moves `events` numbers from one thread to another through a bare ring, `run` at a time, and returns
/// the time from the first push to the last release.
///
/// # Errors
/// When what came out is not what went in.
pub fn ring_throughput(events: u64, run: usize) -> Result<Duration, Error> {
    let run = run.clamp(1, RING);
    let (mut producer, mut consumer) = ring::<u64, u64, ()>(RING, 1);
    let start = Instant::now();
    let writer = thread::spawn(move || {
        let (mut times, mut orders, mut values) = (vec![Timestamp::MIN; run], vec![0; run], vec![0; run]);
        let mut next = 0;
        let mut waits = Waits::default();
        while next < events {
            let count = (events - next).min(run as u64) as usize;
            for (i, number) in (next..next + count as u64).enumerate() {
                times[i] = Timestamp::from_nanos(number as i64);
                orders[i] = number;
                values[i] = number ^ 1;
            }
            let mut pushed = 0;
            while pushed < count {
                let now = producer.push(&times[pushed..count], &orders[pushed..count], &values[pushed..count]);
                waits.after(now);
                pushed += now;
                if now == 0 && producer.is_abandoned() {
                    return;
                }
            }
            next += count as u64;
        }
    });
    let (mut seen, mut sum) = (0u64, 0u64);
    let mut waits = Waits::default();
    while seen < events {
        let elements = consumer.peek();
        let count = elements.len().min(run);
        for i in 0..count {
            let number = elements.orders[i] ^ elements.times[i].as_nanos() as u64;
            sum = sum.wrapping_add(number).wrapping_add(elements.values[i]);
        }
        consumer.release(count);
        waits.after(count);
        seen += count as u64;
        if count == 0 && consumer.is_finished() {
            break;
        }
    }
    let elapsed = start.elapsed();
    drop(consumer);
    // A writer that panicked shows in the sum.
    let _ = writer.join();
    let expected = (0..events).fold(0u64, |sum, number| sum.wrapping_add(number ^ 1));
    if sum != expected {
        return Err(Error::Result { name: format!("ring, {run} at a time"), expected, found: sum });
    }
    Ok(elapsed)
}

/// Spins a little, then gives up the core, so that it ends on a machine with one.
#[derive(Default)]
struct Waits(u32);

impl Waits {
    #[inline]
    fn after(&mut self, progress: usize) {
        if progress > 0 {
            self.0 = 0;
        } else if self.0 < 1000 {
            self.0 += 1;
            std::hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}
