//! The plain yardsticks: what a good Rust programmer writes in an hour for one job, without an engine.
//!
//! Frozen: changed only to fix an error, never to be slower or faster. They read blocks as the engine
//! does, so that both check the same checksums, and give the same rows to the same sink.

use super::{Counts, ranks, write_all};
use crate::work::{CountAndSum, Notional, WindowRow, is_round_lot, notional};
use hashbrown::HashMap;
use pelton::{BlockSource, BoxError, Sink, Timestamp};
use pelton_io::Trade;
use std::time::Duration;

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
