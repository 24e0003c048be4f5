//! Jobs over rows of a layout known at run time give the bytes that the same jobs over typed streams give.

mod aggregates;
mod layouts;

use bytemuck::{Pod, Zeroable};
use pelton::rows::{Comparison, RowAggregate, RowStream};
use pelton::{Aggregate, Job, Key, Layout, Options, Pane, Record, Symbol, Timestamp, Tumbling, Watermarks};
use pelton_io::Trade;
use pelton_io::capture::{Capture, CaptureWriter, WriterOptions};
use pelton_io::generate::{TradeOptions, trades};
use pelton_tests::running::finish;
use std::path::{Path, PathBuf};
use std::time::Duration;

const WORKERS: [usize; 4] = [1, 2, 3, 8];
const BLOCKS: [u32; 3] = [1, 64, 4096];
const MILLISECOND: Duration = Duration::from_millis(1);

/// Two captures whose dictionaries have some texts in common, under other ids, with trades so much out of order that
/// some are late.
fn captures(dir: &Path, block_events: u32) -> [Capture; 2] {
    [1, 2].map(|seed| {
        let path = dir.join(format!("{seed} in blocks of {block_events}.pelton"));
        let names = (0..20u32).map(|id| format!("a symbol with the number {}", (id * 7 + 3 * seed) % 25)).collect();
        let options = WriterOptions { block_events, symbols: names, ..WriterOptions::default() };
        let mut writer = CaptureWriter::<Trade>::create(&path, options).unwrap();
        let disorder = 4 * MILLISECOND;
        let made =
            TradeOptions { events: 3_000, keys: 20, rate: 300_000, seed: seed.into(), disorder, ..Default::default() };
        trades(&made).for_each(|trade| writer.push(&trade).unwrap());
        writer.finish().unwrap();
        Capture::open(&path).unwrap()
    })
}

fn watermarks() -> Watermarks {
    Watermarks::bounded(2 * MILLISECOND)
}

/// What the sinks of a job wrote: its results, and its late rows.
struct Outputs([PathBuf; 2]);

impl Outputs {
    fn new(dir: &Path) -> Self {
        Self(["main.csv", "late.csv"].map(|name| dir.join(name)))
    }

    fn read(&self) -> [String; 2] {
        [0, 1].map(|output| std::fs::read_to_string(&self.0[output]).unwrap())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Record, Key)]
#[repr(C)]
struct Listing {
    symbol: Symbol,
    venue: [u8; 2],
    suspicious: u8,
    kind: u8,
}

fn listing(trade: &Trade) -> Listing {
    let Trade { symbol, venue, suspicious, kind, .. } = *trade;
    Listing { symbol, venue, suspicious, kind }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
struct Bar {
    window_start: Timestamp,
    window_end: Timestamp,
    listing: Listing,
    trades: u64,
    volume: i128,
    low: i64,
    high: i64,
    smallest: u32,
    mean: f64,
}

impl Record for Bar {
    fn layout() -> Layout {
        Layout::parse(BAR).unwrap()
    }
}

const BAR: &str = "76/1 window_start:time@0 window_end:time@8 symbol:symbol@16 venue:text2@20 suspicious:u8@22 \
                   kind:u8@23 \
                   trades:u64@24 volume:i128@32 low:i64@48 high:i64@56 smallest:u32@64 mean:f64@68";

/// Bars as a typed aggregate, whose parts may be combined.
#[derive(Clone)]
struct Bars;

#[derive(Clone, Copy, Record)]
#[repr(C)]
struct BarState {
    volume: i128,
    prices: i128,
    trades: u64,
    low: i64,
    high: i64,
    smallest: u64,
}

impl Aggregate for Bars {
    type In = Trade;
    type Acc = BarState;
    type Value = BarState;
    const EXACT: bool = true;

    fn add(&self, acc: &mut BarState, _: Timestamp, trade: &Trade) {
        let (price, size) = (trade.price, trade.size);
        let one = BarState {
            volume: size.into(),
            prices: price.into(),
            trades: 1,
            low: price,
            high: price,
            smallest: size.into(),
        };
        self.merge(acc, &one);
    }

    fn merge(&self, acc: &mut BarState, later: &BarState) {
        if acc.trades == 0 {
            *acc = *later;
            return;
        }
        acc.volume += later.volume;
        acc.prices += later.prices;
        acc.trades += later.trades;
        acc.low = acc.low.min(later.low);
        acc.high = acc.high.max(later.high);
        acc.smallest = acc.smallest.min(later.smallest);
    }

    fn value(&self, acc: &BarState) -> BarState {
        *acc
    }
}

fn bar(pane: &Pane, key: &Listing, acc: BarState) -> Bar {
    Bar {
        window_start: pane.window.start,
        window_end: pane.window.end,
        listing: *key,
        trades: acc.trades,
        volume: acc.volume,
        low: acc.low,
        high: acc.high,
        smallest: acc.smallest as u32,
        mean: acc.prices as f64 / acc.trades as f64,
    }
}

fn typed_bars(captures: &[Capture; 2], out: &Outputs) -> Job {
    let mut job = Job::new("bars");
    let [first, second] = captures;
    let first = job.source("first", first.replay::<Trade>().unwrap()).watermarks(watermarks());
    let second = job.source("second", second.replay::<Trade>().unwrap()).watermarks(watermarks());
    let bars = first
        .filter(|trade| trade.size >= 20)
        .union(second.filter(|trade| trade.condition < 12))
        .key_by(listing)
        .window(Tumbling::of(MILLISECOND))
        .aggregate_with("bars", Bars, bar);
    bars.sink("main", pelton_io::csv::create(&out.0[0]).unwrap());
    bars.late.sink("late", pelton_io::csv::create(&out.0[1]).unwrap());
    job
}

fn bars_of_rows(captures: &[Capture; 2], more: Option<RowAggregate>, out: &Outputs) -> Job {
    let mut job = Job::new("bars");
    let [first, second] = captures;
    let first = job.rows("first", first.replay_rows()).watermarks(watermarks());
    let second = job.rows("second", second.replay_rows()).watermarks(watermarks());
    let aggregates = [
        ("trades", RowAggregate::count()),
        ("volume", RowAggregate::sum("size")),
        ("low", RowAggregate::min("price")),
        ("high", RowAggregate::max("price")),
        ("smallest", RowAggregate::min("size")),
        ("mean", RowAggregate::mean("price")),
    ];
    let bars = first
        .filter("size", Comparison::GreaterOrEqual, 20)
        .union(second.filter("condition", Comparison::Less, 12))
        .key_by(["symbol", "venue", "suspicious", "kind"])
        .window(Tumbling::of(MILLISECOND))
        .aggregate("bars", aggregates.into_iter().chain(more.map(|more| ("more", more))));
    assert!(more_than(&bars.main, BAR));
    bars.sink("main", pelton_io::csv::create(&out.0[0]).unwrap());
    bars.late.sink("late", pelton_io::csv::create(&out.0[1]).unwrap());
    job
}

/// Whether rows have the fields of a schema, and perhaps more behind them.
fn more_than(rows: &RowStream, schema: &str) -> bool {
    rows.layout().schema().split(' ').skip(1).zip(schema.split(' ').skip(1)).all(|(a, b)| a == b)
}

#[test]
fn a_job_from_the_schema_of_captures_gives_the_bytes_of_the_typed_job() {
    let dir = tempfile::tempdir().unwrap();
    let out = Outputs::new(dir.path());
    let mut expected = None;
    for block_events in BLOCKS {
        let captures = captures(dir.path(), block_events);
        finish(typed_bars(&captures, &out), Options::workers(2));
        let typed = out.read();
        let expected = expected.get_or_insert_with(|| typed.clone());
        assert!(typed[0].lines().count() > 1_000 && typed[1].lines().count() > 100, "there are bars and late rows");
        assert!(typed == *expected);
        for workers in WORKERS {
            finish(bars_of_rows(&captures, None, &out), Options::workers(workers));
            assert!(out.read() == *expected, "blocks of {block_events} on {workers} workers");
            // With an aggregate that keeps the order, rows are exchanged instead of combined.
            finish(bars_of_rows(&captures, Some(RowAggregate::first("kind")), &out), Options::workers(workers));
            let [main, late] = out.read();
            let cut: String = main.lines().map(|line| format!("{}\n", line.rsplit_once(',').unwrap().0)).collect();
            assert!([cut, late] == *expected, "exchanged, in blocks of {block_events} on {workers} workers");
        }
    }
}
