//! Jobs over rows of a layout known at run time give the bytes that the same jobs over typed streams give.

use bytemuck::{Pod, Zeroable};
use pelton::rows::{Comparison, RowAggregate, RowStream, VecRows};
use pelton::{
    Aggregate, Error, Job, Key, Layout, Options, PlanFormat, Record, Symbol, Timestamp, Tumbling, VecSource,
    Watermarks, Window, count, first, last, max, max_f64, mean, min, min_f64, sum, sum_f64,
};
use pelton_io::Trade;
use pelton_io::capture::{Capture, CaptureWriter, WriterOptions};
use pelton_io::generate::{TradeOptions, trades};
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);
const WORKERS: [usize; 4] = [1, 2, 3, 8];
const BLOCKS: [u32; 3] = [1, 64, 4096];
const MILLISECOND: Duration = Duration::from_millis(1);

fn run(job: Job, workers: usize) {
    job.start(Options::workers(workers)).unwrap().join_within(DEADLINE).unwrap().balance().unwrap();
}

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

impl Aggregate<Listing> for Bars {
    type In = Trade;
    type Acc = BarState;
    type Out = Bar;
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
        Aggregate::<Listing>::merge(self, acc, &one);
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

    fn result(&self, window: Window, key: &Listing, acc: &BarState) -> Bar {
        Bar {
            window_start: window.start,
            window_end: window.end,
            listing: *key,
            trades: acc.trades,
            volume: acc.volume,
            low: acc.low,
            high: acc.high,
            smallest: acc.smallest as u32,
            mean: acc.prices as f64 / acc.trades as f64,
        }
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
        .aggregate("bars", Bars);
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
        run(typed_bars(&captures, &out), 2);
        let typed = out.read();
        let expected = expected.get_or_insert_with(|| typed.clone());
        assert!(typed[0].lines().count() > 1_000 && typed[1].lines().count() > 100, "there are bars and late rows");
        assert!(typed == *expected);
        for workers in WORKERS {
            run(bars_of_rows(&captures, None, &out), workers);
            assert!(out.read() == *expected, "blocks of {block_events} on {workers} workers");
            // With an aggregate that keeps the order, rows are exchanged instead of combined.
            run(bars_of_rows(&captures, Some(RowAggregate::first("kind")), &out), workers);
            let [main, late] = out.read();
            let cut: String = main.lines().map(|line| format!("{}\n", line.rsplit_once(',').unwrap().0)).collect();
            assert!([cut, late] == *expected, "exchanged, in blocks of {block_events} on {workers} workers");
        }
    }
}

/// An event whose time is not in front, keyed by a number with a sign.
#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Reading {
    value: f64,
    #[event(time)]
    time_ns: i64,
    count: i64,
    rate: f32,
    key: i16,
    unit: [u8; 2],
}

const READING: &str = "32/8 value:f64@0 time_ns:i64@8* count:i64@16 rate:f32@24 key:i16@28 unit:text2@30";

fn readings() -> Vec<Reading> {
    let odd = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1e300];
    let reading = |i: i64| {
        let random = (i.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64) >> 20) ^ (i << 3);
        let value = if random % 50 == 0 { odd[(random / 50).rem_euclid(7) as usize] } else { random as f64 / 7.0 };
        Reading {
            value,
            time_ns: 100 * i - random.rem_euclid(3_000),
            count: if random % 11 == 0 { i64::MIN + i } else { random },
            rate: value as f32,
            key: (random % 13 - 6) as i16,
            unit: if i % 2 == 0 { *b"kg" } else { *b"m\0" },
        }
    };
    (0..4_000).map(reading).collect()
}

/// What is done with each of the typed aggregates in turn.
trait Visit {
    fn visit<A: Aggregate<i16, In = Reading>>(&mut self, aggregate: A);
}

/// The exact ones first.
fn each_typed(visit: &mut impl Visit) {
    let (counts, values) = (|reading: &Reading| reading.count, |reading: &Reading| reading.value);
    visit.visit(count());
    visit.visit(sum(counts));
    visit.visit(min(counts));
    visit.visit(max(counts));
    visit.visit(mean(counts));
    visit.visit(min_f64(values));
    visit.visit(max_f64(values));
    visit.visit(first(counts));
    visit.visit(last(counts));
    visit.visit(sum_f64(values));
    visit.visit(sum_f64(|reading: &Reading| reading.rate.into()));
}

const EXACT: usize = 7;

/// The same over rows.
fn each_of_rows() -> [(&'static str, RowAggregate); 11] {
    [
        ("rows", RowAggregate::count()),
        ("sum", RowAggregate::sum("count")),
        ("min", RowAggregate::min("count")),
        ("max", RowAggregate::max("count")),
        ("mean", RowAggregate::mean("count")),
        ("low", RowAggregate::min("value")),
        ("high", RowAggregate::max("value")),
        ("first", RowAggregate::first("count")),
        ("last", RowAggregate::last("count")),
        ("total", RowAggregate::sum("value")),
        ("rates", RowAggregate::sum("rate")),
    ]
}

const RESULTS: &str = "114/1 window_start:time@0 window_end:time@8 key:i16@16 rows:u64@18 sum:i128@26 min:i64@42 \
                       max:i64@50 mean:f64@58 low:f64@66 high:f64@74 first:i64@82 last:i64@90 total:f64@98 rates:f64@106";

/// All typed aggregates in one step, whose states lie one behind the other.
#[derive(Clone)]
struct AllTyped;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct Results([u8; 114]);

impl Record for Results {
    fn layout() -> Layout {
        Layout::parse(RESULTS).unwrap()
    }
}

struct Add<'a>(&'a mut [u8], usize, Timestamp, &'a Reading);

impl Visit for Add<'_> {
    fn visit<A: Aggregate<i16, In = Reading>>(&mut self, aggregate: A) {
        let state = &mut self.0[self.1..self.1 + size_of::<A::Acc>()];
        let mut acc = bytemuck::pod_read_unaligned(state);
        aggregate.add(&mut acc, self.2, self.3);
        state.copy_from_slice(bytemuck::bytes_of(&acc));
        self.1 += size_of::<A::Acc>();
    }
}

struct Give<'a>(&'a [u8], usize, Window, i16, Vec<u8>);

impl Visit for Give<'_> {
    fn visit<A: Aggregate<i16, In = Reading>>(&mut self, aggregate: A) {
        let state = &self.0[self.1..self.1 + size_of::<A::Acc>()];
        let windowed = aggregate.result(self.2, &self.3, &bytemuck::pod_read_unaligned(state));
        let bytes = bytemuck::bytes_of(&windowed);
        // The window and the key come once, and the values one behind the other.
        self.4.extend_from_slice(if self.1 == 0 { bytes } else { &bytes[18..] });
        self.1 += size_of::<A::Acc>();
    }
}

impl Aggregate<i16> for AllTyped {
    type In = Reading;
    type Acc = [u8; 256];
    type Out = Results;

    fn add(&self, acc: &mut [u8; 256], time: Timestamp, row: &Reading) {
        each_typed(&mut Add(acc, 0, time, row));
    }

    fn merge(&self, _: &mut [u8; 256], _: &[u8; 256]) {
        unreachable!("it is not exact")
    }

    fn result(&self, window: Window, key: &i16, acc: &[u8; 256]) -> Results {
        let mut give = Give(acc, 0, window, *key, Vec::new());
        each_typed(&mut give);
        Results(give.4.try_into().unwrap())
    }
}

fn reading_rows(job: &mut Job, block_rows: usize) -> RowStream {
    let records = readings().iter().flat_map(|reading| bytemuck::bytes_of(reading).to_vec()).collect();
    job.rows("readings", VecRows::new(Layout::parse(READING).unwrap(), records, block_rows))
        .watermarks(Watermarks::bounded(Duration::from_nanos(2_000)))
}

#[test]
fn each_aggregate_over_a_column_gives_the_bytes_of_the_typed_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.csv");
    assert_eq!(Reading::layout().schema(), READING);
    let (bound, windows) = (Duration::from_nanos(2_000), Tumbling::of(Duration::from_nanos(5_000)));
    let mut job = Job::new("readings");
    job.source("readings", VecSource::new(readings(), 64))
        .watermarks(Watermarks::bounded(bound))
        .key_by(|reading| reading.key)
        .window(windows)
        .aggregate("step", AllTyped)
        .sink("out", pelton_io::csv::create(&path).unwrap());
    run(job, 2);
    let all = std::fs::read_to_string(&path).unwrap();
    assert!(all.lines().count() > 500 && all.contains("NaN") && all.contains("inf"), "{all}");
    let first_columns = |line: &str| line.split(',').take(3 + EXACT).collect::<Vec<_>>().join(",") + "\n";
    let exact: String = all.lines().map(first_columns).collect();
    for workers in WORKERS {
        for block_rows in BLOCKS {
            for (count, expected) in [(EXACT, &exact), (11, &all)] {
                let mut job = Job::new("readings");
                reading_rows(&mut job, block_rows as usize)
                    .key_by(["key"])
                    .window(windows)
                    .aggregate("step", each_of_rows().into_iter().take(count))
                    .sink("out", pelton_io::csv::create(&path).unwrap());
                run(job, workers);
                let found = std::fs::read_to_string(&path).unwrap();
                let difference = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
                assert!(found == *expected, "blocks of {block_rows} on {workers} workers: {difference:?}");
            }
        }
    }
}

#[test]
fn filtered_rows_are_written_as_they_came_wherever_their_time_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.csv");
    let mut job = Job::new("readings");
    job.source("readings", VecSource::new(readings(), 64))
        .filter(|reading| reading.value > 0.5 && reading.unit == *b"kg")
        .filter(|reading| reading.key != -3)
        .sink("out", pelton_io::csv::create(&path).unwrap());
    run(job, 1);
    let expected = std::fs::read_to_string(&path).unwrap();
    assert!(expected.lines().count() > 500);
    for workers in WORKERS {
        for block_rows in BLOCKS {
            let mut job = Job::new("readings");
            reading_rows(&mut job, block_rows as usize)
                .filter("value", Comparison::Greater, 0.5)
                .filter("unit", Comparison::Equal, "kg")
                .filter("key", Comparison::NotEqual, -3)
                .sink("out", pelton_io::csv::create(&path).unwrap());
            run(job, workers);
            let found = std::fs::read_to_string(&path).unwrap();
            assert!(found == expected, "blocks of {block_rows} on {workers} workers");
        }
    }
}

/// Records of a schema, with times that grow and bytes that are all there is in a field.
fn records(layout: &Layout, count: usize) -> Vec<u8> {
    let time = layout.time_field().unwrap().offset;
    (0..count)
        .flat_map(|number| {
            let mut record: Vec<u8> = (0..layout.size()).map(|at| b'a' + ((at + number) % 26) as u8).collect();
            record[time..time + 8].copy_from_slice(&(number as i64).to_le_bytes());
            record
        })
        .collect()
}

#[test]
fn rows_of_every_class_keep_all_their_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.csv");
    for text in [1, 8, 9, 16, 24, 25, 56, 57, 60, 120, 200, 247, 248] {
        for is_first in [true, false] {
            let size = text + 8;
            let schema = match is_first {
                true => format!("{size}/1 t:time@0* text:text{text}@8"),
                false => format!("{size}/1 text:text{text}@0 t:time@{text}*"),
            };
            let layout = Layout::parse(&schema).unwrap();
            let records = records(&layout, 100);
            let mut encoder = pelton_io::sink::RowEncoder::new(&layout, pelton_io::sink::Format::Csv);
            let mut expected = Vec::new();
            encoder.header(&mut expected);
            records.chunks_exact(size).for_each(|record| encoder.row(record, &mut expected));
            let mut job = Job::new("classes");
            job.rows("rows", VecRows::new(layout, records, 7)).sink("out", pelton_io::csv::create(&path).unwrap());
            let is_too_wide = !is_first && size + 8 > 256;
            match job.run(Options::workers(2)) {
                Err(error) => assert!(is_too_wide && error.to_string().contains("at most 248"), "{schema}: {error}"),
                Ok(_) => assert!(!is_too_wide && std::fs::read(&path).unwrap() == expected, "{schema}"),
            }
        }
    }
}

#[test]
fn a_symbol_is_found_by_its_text_whatever_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let captures = captures(dir.path(), 64);
    let (typed, path) = (dir.path().join("typed.csv"), dir.path().join("out.csv"));
    let wanted = "a symbol with the number 12";
    let mut job = Job::new("one symbol");
    let symbol = job.symbols().intern(wanted).unwrap();
    let [first, second] = captures.each_ref().map(|capture| capture.replay::<Trade>().unwrap());
    let all = job.source("first", first).union(job.source("second", second));
    all.filter(move |trade| trade.symbol == symbol).sink("out", pelton_io::csv::create(&typed).unwrap());
    run(job, 1);
    let expected = std::fs::read_to_string(&typed).unwrap();
    assert!(expected.lines().count() > 100);
    for workers in WORKERS {
        let mut job = Job::new("one symbol");
        let [first, second] = captures.each_ref().map(Capture::replay_rows);
        let all = job.rows("first", first).union(job.rows("second", second));
        let one = all.filter("symbol", Comparison::Equal, wanted);
        one.sink("out", pelton_io::csv::create(&path).unwrap());
        run(job, workers);
        assert!(std::fs::read_to_string(&path).unwrap() == expected, "{workers} workers");
    }
}

#[test]
fn a_plan_shows_the_layouts_of_rows_keys_and_states() {
    let dir = tempfile::tempdir().unwrap();
    let captures = captures(dir.path(), 4096);
    let out = Outputs::new(dir.path());
    let plan = |more| bars_of_rows(&captures, more, &out).explain(Options::workers(2)).unwrap();
    let exchanged = plan(Some(RowAggregate::last("price")));
    let text = exchanged.to_string();
    assert!(text.contains("key 8/1 symbol:symbol@0 venue:text2@4 suspicious:u8@6 kind:u8@7"), "{text}");
    let state = "store slices: slices of 76/1 #rows:u64@0 volume:i128@8 low:i64@24 high:i64@32 smallest:u32@40 \
                 mean:i128@44 more#time:time@60 more:i64@68";
    assert!(text.contains(state), "{text}");
    assert!(text.contains("first > filter: edge") && text.contains("second > filter: edge"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&exchanged.to(PlanFormat::Json)).unwrap();
    let edges = json["edges"].as_array().unwrap();
    let layout_of = |from: &str, to: &str| {
        let edge = edges.iter().find(|edge| edge["from"] == from && edge["to"] == to).unwrap();
        edge["layout"].as_str().unwrap().to_owned()
    };
    assert_eq!(layout_of("first", "bars"), Trade::layout().schema());
    assert_eq!(layout_of("bars", "late"), Trade::layout().schema());
    assert_eq!(layout_of("bars", "main"), format!("{} more:i64@76", BAR.replace("76/1", "84/1")));
    // What is exact is combined where rows are read, as it is for typed rows; but for unions.
    let mut job = Job::new("one capture");
    let minutes = job.rows("trades", captures[0].replay_rows()).key_by(["symbol"]).window(Tumbling::of(MILLISECOND));
    minutes.aggregate("sums", [("sum", RowAggregate::sum("size"))]).sink("out", pelton_io::blackhole());
    let text = job.explain(Options::workers(2)).unwrap().to_string();
    assert!(text.contains("sums, parts: parts of tumbling window"), "{text}");
}

#[test]
fn all_mistakes_are_told_at_once_with_the_step_and_the_column() {
    let mut job = Job::new("mistakes");
    let layout = |schema: &str| Layout::parse(schema).unwrap();
    let source = |schema: &str| VecRows::new(layout(schema), Vec::new(), 64);
    job.rows("timeless", source("4/4 size:u32@0")).sink("a", pelton_io::blackhole());
    job.rows("wide", source("264/8 t:i64@0* text:text256@8")).sink("b", pelton_io::blackhole());
    let trades = job.rows("trades", source("32/8 t:i64@0* price:f64@8 size:u64@16 symbol:symbol@24 venue:text4@28"));
    let other = job.rows("other", source("16/8 t:i64@0* price:f64@8"));
    trades.clone().union(other).sink("c", pelton_io::blackhole());
    let keyed = |columns: &[&str]| trades.clone().key_by(columns.iter().copied()).window(Tumbling::of(MILLISECOND));
    keyed(&["symbl", "price"]).aggregate("keys", [("n", RowAggregate::count())]).sink("d", pelton_io::blackhole());
    keyed(&["symbol"])
        .aggregate(
            "sums",
            [
                ("a", RowAggregate::sum("symbol")),
                ("b", RowAggregate::max("venue")),
                ("symbol", RowAggregate::min("size")),
            ],
        )
        .sink("e", pelton_io::blackhole());
    keyed(&[]).aggregate("nothing", [("n", RowAggregate::last("sise"))]).sink("f", pelton_io::blackhole());
    trades.filter("symbol", Comparison::Less, "BAC").sink("g", pelton_io::blackhole());
    let many = (0..20).map(|number| (format!("sum{number}"), RowAggregate::sum("x")));
    let wide = job.rows("more", source("48/8 t:i64@0* x:i64@8 key:text32@16"));
    wide.clone()
        .key_by(["key"])
        .window(Tumbling::of(MILLISECOND))
        .aggregate("many", many)
        .sink("h", pelton_io::blackhole());
    let long = wide.key_by(["key", "x"]).window(Tumbling::of(Duration::ZERO));
    long.aggregate("long", [("n", RowAggregate::count())]).sink("i", pelton_io::blackhole());

    let Err(Error::Shape { mistakes, .. }) = job.run(Options::workers(1)) else { panic!("it has mistakes") };
    let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    let expected = [
        "the rows of `timeless` do not work: no field is their event time",
        "the rows of `wide` do not work: a record of 264 bytes is too wide",
        "the rows of `trades` do not work: they are 32/8 ",
        "`keys` cannot use the column `symbl`: there is none of this name in 32/8 ",
        "`keys` cannot use the column `price`: it is f64, and floats are no keys",
        "`sums` cannot use the column `symbol`: it is symbol, of which there is no such aggregate",
        "`sums` cannot use the column `venue`: it is text4, of which",
        "the rows of `sums` do not work: two fields are named `symbol`",
        "`nothing` cannot use the column ``: a key has at least one column",
        "`nothing` cannot use the column `sise`: there is none",
        "`filter 1 behind trades` cannot use the column `symbol`: symbols are compared for equality only",
        "the rows of `many` do not work: a record of 368 bytes is too wide",
        "the windows of `long` have no size",
        "`long` cannot use the column `x`: with it the key has 40 bytes, and 32 are the most",
    ];
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake} instead of {expected}");
    }
}
