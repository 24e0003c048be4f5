//! Bars, running sums and statistics: jobs and loops by hand give the same, whatever the shape of the input.

use pelton::{BoxError, Options, VecSource};
use pelton_bench::bar_work::{BarText, bars_job};
use pelton_bench::number_work::{Called, running_sum_job, statistics_job};
use pelton_bench::readings::Reading;
use pelton_bench::yardstick::{Counts, indexed_statistics, plain_bars, plain_running_sums, plain_statistics};
use pelton_io::Trade;
use pelton_io::generate::{TradeOptions, symbol_names, trades};
use std::time::Duration;

const US: Duration = Duration::from_micros(1);
const MS: Duration = Duration::from_millis(1);

/// Compares the bars of the loop with those of jobs of 1, 2 and 3 workers; gives the number of rows and of late events.
fn check(options: &TradeOptions, block_events: usize, window: Duration, bound: Duration) -> (u64, u64) {
    let events: Vec<Trade> = trades(options).collect();
    // Another order by text than by id.
    let names = symbol_names(options.keys).map(|name| name.chars().rev().collect::<String>());
    let names: Vec<String> = names.collect();
    let source = || VecSource::new(events.clone(), block_events).with_symbols(&names);
    let (mut sink, seen) = BarText::new();
    let counts = plain_bars(&source(), window, bound, &mut sink).unwrap();
    let expected = (counts, seen.rows(), seen.hash(counts.late));
    for workers in [1, 2, 3] {
        let (seen, report) = bars_job(source(), window, bound, Options::workers(workers)).unwrap();
        report.balance().unwrap();
        let late = report.step("bars").unwrap().late;
        let found = (Counts { events: report.events_read(), late }, seen.rows(), seen.hash(late));
        assert_eq!(found, expected, "{workers} workers: {options:?}, {block_events}, {window:?}, {bound:?}");
    }
    (expected.1, counts.late)
}

#[test]
fn bars_of_late_events_are_the_same_bytes() {
    for (keys, block_events) in [(1, 1), (10, 300), (1_000, 4096), (20_000, 1_000)] {
        for window in [100 * US, MS, 100 * MS, 10_000 * MS] {
            let events = if block_events == 1 { 2_000 } else { 20_000 };
            let options = TradeOptions { events, keys, disorder: 5 * MS, ..TradeOptions::default() };
            let (rows, late) = check(&options, block_events, window, Duration::ZERO);
            assert!(rows > 0 && (late > events / 4 || window > 5 * MS), "{keys} {window:?}: {rows} rows, {late} late");
            for bound in [MS, 5 * MS] {
                let (_, late) = check(&options, block_events, window, bound);
                assert!(late == 0 || bound < 5 * MS, "{late} late");
            }
        }
    }
}

#[test]
fn bars_of_a_row_for_each_event_and_of_many_open_windows_are_the_same_bytes() {
    let options = TradeOptions { events: 20_000, keys: 100_000, ..TradeOptions::default() };
    assert!(check(&options, 4096, 100 * US, Duration::ZERO).0 > 19_900);
    let options = TradeOptions { keys: 10, ..options };
    for bound in [500 * US, 10 * MS, 1_000 * MS] {
        let (rows, late) = check(&options, 4096, 10 * US, bound);
        assert!(rows > 12_000 && late == 0, "{rows} rows, {late} late");
    }
}

fn readings(events: u64, keys: u32) -> Vec<Reading> {
    let options = TradeOptions { events, keys, ..TradeOptions::default() };
    let reading = |trade: Trade| Reading {
        time_ns: trade.time_ns,
        device: trade.symbol.id().into(),
        value: trade.size.into(),
        sequence: 0,
    };
    trades(&options).map(reading).collect()
}

/// What a loop called with.
fn called(run: impl FnOnce(&Called) -> Result<(), BoxError>) -> (u64, u64) {
    let called = Called::default();
    run(&called).unwrap();
    called.seen()
}

#[test]
fn running_sums_are_the_same_rows_in_the_same_order() {
    for (events, keys) in [(1, 1), (30_000, 10), (30_000, 10_000)] {
        let source = || VecSource::new(readings(events, keys), 1_000);
        let expected = called(|called| plain_running_sums(&source(), called.function()));
        assert!(events == 1 || (14_000..16_000).contains(&expected.0), "{expected:?}");
        for workers in [1, 2] {
            let (called, report) = running_sum_job(source(), Options::workers(workers)).unwrap();
            report.balance().unwrap();
            assert_eq!(called.seen(), expected, "{workers} workers, {keys} keys");
        }
    }
}

#[test]
fn statistics_are_the_same_rows_in_the_same_order() {
    for (events, keys, window) in [(0, 1, MS), (30_000, 10, MS), (30_000, 10_000, 7 * MS), (30_000, 100, 10_000 * MS)] {
        let source = || VecSource::new(readings(events, keys), 1_000);
        let expected = called(|called| plain_statistics(&source(), window, called.function()));
        assert_eq!(expected.0 > 0, events > 0);
        let indexed = called(|called| indexed_statistics(&source(), window, keys as usize, called.function()));
        assert_eq!(indexed, expected);
        for workers in [1, 2] {
            let (called, report) = statistics_job(source(), window, Options::workers(workers)).unwrap();
            report.balance().unwrap();
            assert_eq!(called.seen(), expected, "{workers} workers, {keys} keys");
        }
    }
    let source = VecSource::new(readings(1_000, 10), 100);
    let called = Called::default();
    assert!(indexed_statistics(&source, MS, 5, called.function()).is_err());
}
