//! The work that is measured, as jobs: what each row becomes is shared with the hand-written loops.

use pelton::{
    Aggregate, BoxError, HashSeed, IdleStrategy, Job, Options, Pane, ProcessContext, ProcessFunction, Report, Sink,
    Source, Symbol, Timestamp, Tumbling, Watermarks,
};
use pelton_io::sink::Seen;
use pelton_io::{Trade, blackhole};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The trades of one symbol in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, pelton::Record)]
#[repr(C)]
pub struct WindowRow {
    /// The window's first nanosecond.
    pub start_ns: i64,
    /// The first nanosecond behind the window.
    pub end_ns: i64,
    /// The sum of the sizes.
    pub size: u64,
    /// The number of trades.
    pub trades: u32,
    /// The symbol.
    pub symbol: Symbol,
}

/// What is kept of a symbol while its window is open.
#[derive(Debug, Clone, Copy, Default, pelton::Record)]
#[repr(C)]
pub struct CountAndSum {
    /// The number of trades.
    pub trades: u64,
    /// The sum of the sizes.
    pub size: u64,
}

/// Counts trades and sums their sizes.
#[derive(Debug, Clone, Copy)]
pub struct CountSizes;

impl Aggregate for CountSizes {
    type In = Trade;
    type Acc = CountAndSum;
    type Value = CountAndSum;
    const EXACT: bool = true;

    #[inline]
    fn add(&self, acc: &mut CountAndSum, _: Timestamp, trade: &Trade) {
        acc.trades += 1;
        acc.size += u64::from(trade.size);
    }

    fn merge(&self, acc: &mut CountAndSum, later: &CountAndSum) {
        acc.trades += later.trades;
        acc.size += later.size;
    }

    fn value(&self, acc: &CountAndSum) -> CountAndSum {
        *acc
    }
}

impl WindowRow {
    /// The row of a firing.
    #[inline(always)]
    pub fn new(pane: &Pane, symbol: &Symbol, sums: CountAndSum) -> Self {
        let (start_ns, end_ns) = (pane.window.start.as_nanos(), pane.window.end.as_nanos());
        Self { start_ns, end_ns, size: sums.size, trades: sums.trades as u32, symbol: *symbol }
    }
}

/// What a trade was worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, pelton::Record)]
#[repr(C)]
pub struct Notional {
    /// Price by size, in the price's unit.
    pub notional: i64,
    /// The number of shares.
    pub size: u32,
    /// The symbol.
    pub symbol: Symbol,
}

/// Whether a trade is of at least 100 shares: 9 of 10 generated ones are.
#[inline(always)]
pub fn is_round_lot(trade: &Trade) -> bool {
    trade.size >= 100
}

/// What a trade was worth.
#[inline(always)]
pub fn notional(trade: &Trade) -> Notional {
    let notional = trade.price.wrapping_mul(i64::from(trade.size));
    Notional { notional, size: trade.size, symbol: trade.symbol }
}

/// The seed of keys' hashes: which worker has which key is the same in each run.
pub const SEED: HashSeed = HashSeed::new(0);

/// The workers' options: they spin where each has a core of its own.
pub fn options(workers: usize) -> Options {
    let idle = if workers <= crate::machine::cores() { IdleStrategy::BusySpin } else { IdleStrategy::Backoff };
    Options::workers(workers).idle(idle).hash_seed(SEED)
}

/// Runs the keyed tumbling window over a source in which trades are not out of order. The rows go to
/// a blackhole; what it saw is returned with the job's report.
///
/// # Errors
/// As for [`Job::run`].
pub fn window_job(
    source: impl Into<Source<Trade>>,
    window: Duration,
    workers: usize,
) -> Result<(Seen, Report), pelton::Error> {
    let mut job = Job::new("keyed window");
    let sink = blackhole();
    let seen = sink.seen();
    job.source("trades", source)
        .key_by(|trade| trade.symbol)
        .window(Tumbling::of(window))
        .aggregate_with("sizes", CountSizes, WindowRow::new)
        .sink("out", sink);
    Ok((seen, job.run(options(workers))?))
}

/// Counts rows and sums their hashes, so that it sees the same whatever their order.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<(AtomicU64, AtomicU64)>);

impl Tally {
    /// The number of rows, and the sum of their hashes.
    pub fn seen(&self) -> (u64, u64) {
        (self.0.0.load(Ordering::Acquire), self.0.1.load(Ordering::Acquire))
    }
}

impl Sink<WindowRow> for Tally {
    fn write(&mut self, _: &[Timestamp], rows: &[WindowRow]) -> Result<usize, BoxError> {
        let hash = |row: &WindowRow| {
            let words = [row.start_ns as u64, row.end_ns as u64, row.size, row.trades.into(), row.symbol.id().into()];
            words.iter().fold(0u64, |hash, word| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
        };
        self.0.0.fetch_add(rows.len() as u64, Ordering::AcqRel);
        self.0.1.fetch_add(rows.iter().fold(0, |sum, row| sum.wrapping_add(hash(row))), Ordering::AcqRel);
        Ok(rows.len())
    }
}

/// As [`window_job`], to a sink that does not mind the order of rows; they come in order, or to a sink of each
/// worker as they are made.
///
/// # Errors
/// As for [`Job::run`].
pub fn tallied_window_job(
    source: impl Into<Source<Trade>>,
    window: Duration,
    workers: usize,
    is_ordered: bool,
) -> Result<(Tally, Report), pelton::Error> {
    let mut job = Job::new("keyed window, tallied");
    let tally = Tally::default();
    let output = job.source("trades", source).key_by(|trade| trade.symbol).window(Tumbling::of(window)).aggregate_with(
        "sizes",
        CountSizes,
        WindowRow::new,
    );
    if is_ordered {
        output.sink("out", tally.clone());
    } else {
        let tally = tally.clone();
        output.sink_unordered("out", move |_| tally.clone());
    }
    Ok((tally, job.run(options(workers))?))
}

/// Runs a filter and a map, to a blackhole.
///
/// # Errors
/// As for [`Job::run`].
pub fn stateless_job(source: impl Into<Source<Trade>>, workers: usize) -> Result<(Seen, Report), pelton::Error> {
    let mut job = Job::new("filter and map");
    let sink = blackhole();
    let seen = sink.seen();
    job.source("trades", source).filter(is_round_lot).map(notional).sink("out", sink);
    Ok((seen, job.run(options(workers))?))
}

/// Runs the keyed tumbling window over trades of which each lies behind the trades before it by `bound` at most, to a
/// blackhole.
///
/// # Errors
/// As for [`Job::run`].
pub fn disordered_job(
    source: impl Into<Source<Trade>>,
    window: Duration,
    bound: Duration,
    workers: usize,
) -> Result<(Seen, Report), pelton::Error> {
    let mut job = Job::new("disordered keyed window");
    let sink = blackhole();
    let seen = sink.seen();
    job.source("trades", source)
        .watermarks(Watermarks::bounded(bound))
        .key_by(|trade| trade.symbol)
        .window(Tumbling::of(window))
        .aggregate_with("sizes", CountSizes, WindowRow::new)
        .sink("out", sink);
    Ok((seen, job.run(options(workers))?))
}

/// As [`CountSizes`], but it does not say that its merge is exact: between workers every trade is exchanged.
#[derive(Debug, Clone, Copy)]
pub struct ExchangedSizes;

impl Aggregate for ExchangedSizes {
    type In = Trade;
    type Acc = CountAndSum;
    type Value = CountAndSum;

    #[inline]
    fn add(&self, acc: &mut CountAndSum, time: Timestamp, trade: &Trade) {
        CountSizes.add(acc, time, trade);
    }

    fn merge(&self, acc: &mut CountAndSum, later: &CountAndSum) {
        CountSizes.merge(acc, later);
    }

    fn value(&self, acc: &CountAndSum) -> CountAndSum {
        *acc
    }
}

/// As [`window_job`], with every trade exchanged.
///
/// # Errors
/// As for [`Job::run`].
pub fn exchanged_window_job(
    source: impl Into<Source<Trade>>,
    window: Duration,
    workers: usize,
) -> Result<(Seen, Report), pelton::Error> {
    let mut job = Job::new("keyed window, exchanged");
    let sink = blackhole();
    let seen = sink.seen();
    job.source("trades", source)
        .key_by(|trade| trade.symbol)
        .window(Tumbling::of(window))
        .aggregate_with("sizes", ExchangedSizes, WindowRow::new)
        .sink("out", sink);
    Ok((seen, job.run(options(workers))?))
}

/// What a trade was worth, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, pelton::Record)]
#[repr(C)]
pub struct Worth {
    /// Price by size, in the price's unit.
    pub notional: i64,
    /// The symbol's id.
    pub symbol: u64,
}

/// Whether a trade is large: 1 of 10 generated ones is.
#[inline(always)]
pub fn is_large(trade: &Trade) -> bool {
    trade.size > 922
}

/// Leaves the size out.
#[inline(always)]
pub fn worth(row: &Notional) -> Worth {
    Worth { notional: row.notional, symbol: row.symbol.id().into() }
}

/// Runs a filter that a tenth passes, a map and a projection, to a blackhole.
///
/// # Errors
/// As for [`Job::run`].
pub fn selective_job(source: impl Into<Source<Trade>>, workers: usize) -> Result<(Seen, Report), pelton::Error> {
    let mut job = Job::new("filter, map and project");
    let sink = blackhole();
    let seen = sink.seen();
    job.source("trades", source).filter(is_large).map(notional).map(worth).sink("out", sink);
    Ok((seen, job.run(options(workers))?))
}

/// Emits each row as it is: what remains is the exchange by key.
#[derive(Debug, Clone, Copy)]
pub struct Forward;

impl<K> ProcessFunction<K> for Forward {
    type In = Trade;
    type State = u64;
    type Out = Trade;

    fn on_row(&self, _: &K, _: Timestamp, row: &Trade, rows: &mut u64, context: &mut ProcessContext<'_, Trade>) {
        *rows += 1;
        context.emit(*row);
    }
}

/// Runs a keyed step that passes each trade on: through the exchange by key, and in order to a blackhole.
///
/// # Errors
/// As for [`Job::run`].
pub fn exchange_job(source: impl Into<Source<Trade>>, workers: usize) -> Result<(Seen, Report), pelton::Error> {
    let mut job = Job::new("exchange");
    let sink = blackhole();
    let seen = sink.seen();
    job.source("trades", source).key_by(|trade| trade.symbol).process("forward", Forward).sink("out", sink);
    Ok((seen, job.run(options(workers))?))
}
