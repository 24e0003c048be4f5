//! More plain yardsticks, by the rules of `plain.rs`: readings, trades out of order, a filter that little passes.
//!
//! Frozen: changed only to fix an error, never to be slower or faster.

use super::{Counts, ranks, write_all};
use crate::readings::{Measured, Reading, ReadingRow};
use crate::work::{CountAndSum, WindowRow, Worth, is_large, notional, worth};
use hashbrown::HashMap;
use pelton::{BlockSource, BoxError, Sink, Timestamp};
use pelton_io::Trade;
use std::time::Duration;

/// Counts and sums readings by device and tumbling window of event time. A window fires at the first reading behind
/// it: no reading may lie behind another. Its rows leave in the order of devices.
///
/// # Errors
/// When a block cannot be read, or the sink refuses.
///
/// # Panics
/// When the window is shorter than 1 ns.
pub fn reading_window(
    source: &impl BlockSource<Reading>,
    window: Duration,
    sink: &mut impl Sink<ReadingRow>,
) -> Result<Counts, BoxError> {
    let size_ns = i64::try_from(window.as_nanos())?;
    assert!(size_ns > 0, "a window of no length");
    let mut counts = Counts::default();
    let mut open: HashMap<u64, CountAndSum> = HashMap::new();
    let (mut start_ns, mut end_ns) = (i64::MIN, i64::MIN);
    let mut firing = Firing::<Reading>::default();
    let mut reader = source.reader()?;
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        let readings = reader.events();
        counts.events += readings.len() as u64;
        for reading in readings {
            if reading.time_ns >= end_ns {
                firing.fire(&mut open, (start_ns, end_ns), |device| device, sink)?;
                start_ns = reading.time_ns - reading.time_ns.rem_euclid(size_ns);
                end_ns = start_ns + size_ns;
            } else if reading.time_ns < start_ns {
                counts.late += 1;
                continue;
            }
            let acc = open.entry(reading.device).or_default();
            acc.trades += 1;
            acc.size = acc.size.wrapping_add(reading.value);
        }
    }
    firing.fire(&mut open, (start_ns, end_ns), |device| device, sink)?;
    sink.finish()?;
    Ok(counts)
}

/// A window that has not fired.
struct Open {
    start_ns: i64,
    end_ns: i64,
    symbols: HashMap<u64, CountAndSum>,
}

/// Counts trades and sums their sizes by symbol and tumbling window of event time, where a trade lies behind those
/// before it by `bound` at most. A window fires when the largest time less the bound is behind it; trades that come
/// later are late. Its rows leave in the order of the symbols' texts.
///
/// # Errors
/// When a block cannot be read, or the sink refuses.
///
/// # Panics
/// When the window is shorter than 1 ns.
pub fn disordered_window(
    source: &impl BlockSource<Trade>,
    window: Duration,
    bound: Duration,
    sink: &mut impl Sink<WindowRow>,
) -> Result<Counts, BoxError> {
    let (size_ns, bound_ns) = (i64::try_from(window.as_nanos())?, i64::try_from(bound.as_nanos())?);
    assert!(size_ns > 0, "a window of no length");
    let ranks = ranks(&source.symbols());
    let rank = |id: u64| ranks.get(id as usize).map_or(id, |rank| u64::from(*rank));
    let mut counts = Counts::default();
    // In order of time; hardly ever more than two.
    let mut open: Vec<Open> = Vec::new();
    // What has fired lies before it.
    let mut passed_ns = i64::MIN;
    let mut firing = Firing::<Trade>::default();
    let mut reader = source.reader()?;
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        let trades = reader.events();
        counts.events += trades.len() as u64;
        for trade in trades {
            let time_ns = trade.time_ns;
            passed_ns = passed_ns.max(time_ns.saturating_sub(bound_ns));
            while open.first().is_some_and(|first| first.end_ns <= passed_ns) {
                let Open { start_ns, end_ns, mut symbols } = open.remove(0);
                firing.fire(&mut symbols, (start_ns, end_ns), rank, sink)?;
            }
            let at = match open.iter().position(|open| (open.start_ns..open.end_ns).contains(&time_ns)) {
                Some(at) => at,
                None => {
                    let start_ns = time_ns - time_ns.rem_euclid(size_ns);
                    let end_ns = start_ns + size_ns;
                    if end_ns <= passed_ns {
                        counts.late += 1;
                        continue;
                    }
                    let at = open.partition_point(|open| open.start_ns < start_ns);
                    open.insert(at, Open { start_ns, end_ns, symbols: HashMap::new() });
                    at
                }
            };
            let acc = open[at].symbols.entry(trade.number()).or_default();
            acc.trades += 1;
            acc.size += u64::from(trade.size);
        }
    }
    for Open { start_ns, end_ns, mut symbols } in open {
        firing.fire(&mut symbols, (start_ns, end_ns), rank, sink)?;
    }
    sink.finish()?;
    Ok(counts)
}

/// The rows of a window that fires; kept for the memory.
struct Firing<E: Measured> {
    /// Rank, key, what it counted.
    entries: Vec<(u64, u64, CountAndSum)>,
    times: Vec<Timestamp>,
    rows: Vec<E::Row>,
}

impl<E: Measured> Default for Firing<E> {
    fn default() -> Self {
        Self { entries: Vec::new(), times: Vec::new(), rows: Vec::new() }
    }
}

impl<E: Measured> Firing<E> {
    fn fire(
        &mut self,
        open: &mut HashMap<u64, CountAndSum>,
        window: (i64, i64),
        rank: impl Fn(u64) -> u64,
        sink: &mut impl Sink<E::Row>,
    ) -> Result<(), BoxError> {
        self.entries.clear();
        self.entries.extend(open.drain().map(|(number, acc)| (rank(number), number, acc)));
        self.entries.sort_unstable_by_key(|entry| entry.0);
        self.rows.clear();
        self.rows.extend(self.entries.iter().map(|(_, number, acc)| E::row(*number, window, acc)));
        self.times.clear();
        self.times.resize(self.rows.len(), Timestamp::from_nanos(window.1.saturating_sub(1)));
        write_all(sink, &self.times, &self.rows)
    }
}

/// Trades that are looked at before the sink gets what is left of them.
const SELECTIVE_BATCH: usize = 4096;

/// Keeps the large trades and computes what they were worth, of what.
///
/// # Errors
/// When a block cannot be read, or the sink refuses.
pub fn selective(source: &impl BlockSource<Trade>, sink: &mut impl Sink<Worth>) -> Result<u64, BoxError> {
    let mut events = 0;
    let mut times = Vec::with_capacity(SELECTIVE_BATCH);
    let mut rows = Vec::with_capacity(SELECTIVE_BATCH);
    let mut reader = source.reader()?;
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        for trades in reader.events().chunks(SELECTIVE_BATCH) {
            events += trades.len() as u64;
            times.clear();
            rows.clear();
            for trade in trades {
                if is_large(trade) {
                    times.push(Timestamp::from_nanos(trade.time_ns));
                    rows.push(worth(&notional(trade)));
                }
            }
            write_all(sink, &times, &rows)?;
        }
    }
    sink.finish()?;
    Ok(events)
}
