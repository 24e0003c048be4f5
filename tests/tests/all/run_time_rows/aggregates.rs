//! Each aggregate and filter over columns, against the typed ones.

use super::{BLOCKS, WORKERS};
use bytemuck::{Pod, Zeroable};
use pelton::rows::{Comparison, RowAggregate, RowStream, VecRows};
use pelton::{
    Aggregate, Job, Layout, Options, Pane, Record, Timestamp, Tumbling, VecSource, Watermarks, count, first, last, max,
    max_f64, mean, min, min_f64, sum, sum_f64,
};
use pelton_tests::running::finish;
use std::time::Duration;

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
    fn visit<A: Aggregate<In = Reading>>(&mut self, aggregate: A);
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
    fn visit<A: Aggregate<In = Reading>>(&mut self, aggregate: A) {
        let state = &mut self.0[self.1..self.1 + size_of::<A::Acc>()];
        let mut acc = bytemuck::pod_read_unaligned(state);
        aggregate.add(&mut acc, self.2, self.3);
        state.copy_from_slice(bytemuck::bytes_of(&acc));
        self.1 += size_of::<A::Acc>();
    }
}

struct Give<'a>(&'a [u8], usize, Vec<u8>);

impl Visit for Give<'_> {
    fn visit<A: Aggregate<In = Reading>>(&mut self, aggregate: A) {
        let state = &self.0[self.1..self.1 + size_of::<A::Acc>()];
        let value = aggregate.value(&bytemuck::pod_read_unaligned(state));
        self.2.extend_from_slice(bytemuck::bytes_of(&value));
        self.1 += size_of::<A::Acc>();
    }
}

/// The window, the key, and the values one behind the other.
fn results(pane: &Pane, key: &i16, acc: [u8; 256]) -> Results {
    let mut give = Give(&acc, 0, Vec::new());
    give.2.extend_from_slice(bytemuck::bytes_of(&[pane.window.start, pane.window.end]));
    give.2.extend_from_slice(bytemuck::bytes_of(key));
    each_typed(&mut give);
    Results(give.2.try_into().unwrap())
}

impl Aggregate for AllTyped {
    type In = Reading;
    type Acc = [u8; 256];
    type Value = [u8; 256];

    fn add(&self, acc: &mut [u8; 256], time: Timestamp, row: &Reading) {
        each_typed(&mut Add(acc, 0, time, row));
    }

    fn merge(&self, _: &mut [u8; 256], _: &[u8; 256]) {
        unreachable!("it is not exact")
    }

    fn value(&self, acc: &[u8; 256]) -> [u8; 256] {
        *acc
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
        .aggregate_with("step", AllTyped, results)
        .sink("out", pelton_io::csv::create(&path).unwrap());
    finish(job, Options::workers(2));
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
                finish(job, Options::workers(workers));
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
    finish(job, Options::workers(1));
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
            finish(job, Options::workers(workers));
            let found = std::fs::read_to_string(&path).unwrap();
            assert!(found == expected, "blocks of {block_rows} on {workers} workers");
        }
    }
}
