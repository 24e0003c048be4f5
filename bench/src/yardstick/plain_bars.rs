//! The plain yardstick for bars, by the rules of `plain.rs`: open, high, low, close, volume, count and average price of
//! each symbol and window, of trades in and out of order.
//!
//! Frozen: changed only to fix an error, never to be slower or faster.

use super::{Counts, ranks, write_all};
use hashbrown::HashMap;
use pelton::{BlockSource, BoxError, Dictionary, Sink, Symbol, Timestamp};
use pelton_io::Trade;
use pelton_io::bars::Bar;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What is kept of a symbol while its window is open.
struct State {
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    open_ns: i64,
    close_ns: i64,
    volume: u64,
    count: u64,
    notional: i128,
}

impl State {
    /// The state of a symbol that has not been traded.
    const NEW: Self = Self {
        open: 0,
        high: i64::MIN,
        low: i64::MAX,
        close: 0,
        open_ns: i64::MAX,
        close_ns: i64::MIN,
        volume: 0,
        count: 0,
        notional: 0,
    };

    #[inline]
    fn add(&mut self, trade: &Trade) {
        if trade.time_ns < self.open_ns {
            (self.open, self.open_ns) = (trade.price, trade.time_ns);
        }
        if trade.time_ns >= self.close_ns {
            (self.close, self.close_ns) = (trade.price, trade.time_ns);
        }
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.volume += u64::from(trade.size);
        self.count += 1;
        self.notional += i128::from(trade.price) * i128::from(trade.size);
    }

    fn bar(&self, (start_ns, end_ns): (i64, i64), id: u32) -> Bar {
        let vwap = if self.volume == 0 { f64::NAN } else { self.notional as f64 / self.volume as f64 };
        Bar {
            window_start: Timestamp::from_nanos(start_ns),
            window_end: Timestamp::from_nanos(end_ns),
            symbol: Symbol::from_id(id),
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: self.volume.into(),
            count: self.count,
            vwap,
        }
    }
}

type Table = HashMap<u32, State>;

/// Makes bars of each symbol and tumbling window of event time, where a trade lies behind those before it by `bound` at
/// most. A window fires when the largest time less the bound is behind it; trades that come later are late. Its rows
/// leave in the order of the symbols' texts.
///
/// # Errors
/// When a block cannot be read, or the sink refuses.
///
/// # Panics
/// When the window is shorter than 1 ns.
pub fn plain_bars(
    source: &impl BlockSource<Trade>,
    window: Duration,
    bound: Duration,
    sink: &mut impl Sink<Bar>,
) -> Result<Counts, BoxError> {
    let (size_ns, bound_ns) = (i64::try_from(window.as_nanos())?, i64::try_from(bound.as_nanos())?);
    assert!(size_ns > 0, "a window of no length");
    let texts = source.symbols();
    let ranks = ranks(&texts);
    sink.open(&dictionary(&texts)?)?;
    let mut counts = Counts::default();
    // Windows by their first nanosecond, and tables of fired ones to be used again.
    let mut open: BTreeMap<i64, Table> = BTreeMap::new();
    let mut free: Vec<Table> = Vec::new();
    // What has fired lies before it.
    let mut passed_ns = i64::MIN;
    // The end of the first open window.
    let mut due_ns = i64::MAX;
    // The window of the trade before.
    let (mut start_ns, mut end_ns) = (i64::MIN, i64::MIN);
    let mut firing = Firing::default();
    let mut reader = source.reader()?;
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        let trades = reader.events();
        counts.events += trades.len() as u64;
        for trade in trades {
            let time_ns = trade.time_ns;
            passed_ns = passed_ns.max(time_ns.saturating_sub(bound_ns));
            while due_ns <= passed_ns {
                if let Some((start_ns, mut table)) = open.pop_first() {
                    firing.fire(&mut table, (start_ns, start_ns + size_ns), &ranks, sink)?;
                    free.push(table);
                }
                due_ns = open.first_key_value().map_or(i64::MAX, |(start_ns, _)| start_ns + size_ns);
            }
            if !(start_ns..end_ns).contains(&time_ns) {
                start_ns = time_ns - time_ns.rem_euclid(size_ns);
                end_ns = start_ns + size_ns;
            }
            if end_ns <= passed_ns {
                counts.late += 1;
                continue;
            }
            let table = open.entry(start_ns).or_insert_with(|| {
                due_ns = due_ns.min(end_ns);
                free.pop().unwrap_or_default()
            });
            table.entry(trade.symbol.id()).or_insert(State::NEW).add(trade);
        }
    }
    for (start_ns, mut table) in open {
        firing.fire(&mut table, (start_ns, start_ns + size_ns), &ranks, sink)?;
    }
    sink.finish()?;
    Ok(counts)
}

/// The texts of symbols for the sink.
fn dictionary(texts: &[Arc<str>]) -> Result<Arc<Dictionary>, BoxError> {
    let dictionary = Dictionary::default();
    for text in texts {
        dictionary.intern(text)?;
    }
    Ok(Arc::new(dictionary))
}

/// The rows of a window that fires; kept for the memory.
#[derive(Default)]
struct Firing {
    times: Vec<Timestamp>,
    rows: Vec<Bar>,
}

impl Firing {
    fn fire(
        &mut self,
        table: &mut Table,
        window: (i64, i64),
        ranks: &[u32],
        sink: &mut impl Sink<Bar>,
    ) -> Result<(), BoxError> {
        let rank = |id: u32| ranks.get(id as usize).copied().unwrap_or(id);
        let mut entries: Vec<(u32, u32, &State)> = table.iter().map(|(id, state)| (rank(*id), *id, state)).collect();
        entries.sort_unstable_by_key(|entry| entry.0);
        self.rows.clear();
        self.rows.extend(entries.iter().map(|(_, id, state)| state.bar(window, *id)));
        self.times.clear();
        self.times.resize(self.rows.len(), Timestamp::from_nanos(window.1.saturating_sub(1)));
        table.clear();
        write_all(sink, &self.times, &self.rows)
    }
}
