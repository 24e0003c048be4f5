//! Jobs, plain loops and expert loops give the same rows, whatever the keys and however events are out of order.

use pelton::VecSource;
use pelton_bench::readings::{Reading, reading_job};
use pelton_bench::work;
use pelton_bench::yardstick::{
    Counts, Keys, disordered_window, expert_window, keyed_window, reading_window, selective,
};
use pelton_io::generate::{TradeOptions, symbol_names, trades};
use pelton_io::sink::{Blackhole, Seen};
use pelton_io::{Trade, blackhole};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn of(seen: &Seen) -> (u64, u64) {
    (seen.count(), seen.hash())
}

/// What a loop counted and wrote.
fn counted(run: impl FnOnce(&mut Blackhole) -> Result<Counts, pelton::BoxError>) -> (Counts, (u64, u64)) {
    let mut sink = blackhole();
    (run(&mut sink).unwrap(), of(&sink.seen()))
}

/// Compares all three on trades with so much disorder, under bounds below, at and above it.
fn check(options: &TradeOptions, reversed_names: bool, block_events: usize, window: Duration) {
    let events: Vec<Trade> = trades(options).collect();
    let names = symbol_names(options.keys);
    let names: Vec<String> = names.map(|n| if reversed_names { n.chars().rev().collect() } else { n }).collect();
    let source = || VecSource::new(events.clone(), block_events).with_symbols(&names);
    let keys = Keys::Dense(options.keys as usize);
    for bound in [Duration::ZERO, options.disorder / 3, options.disorder, 3 * options.disorder] {
        let case = format!("{options:?}, {reversed_names}, {block_events}, {window:?}, bound {bound:?}");
        let (seen, report) = work::disordered_job(source(), window, bound, 1).unwrap();
        let expected = (Counts { events: options.events, late: report.step("sizes").unwrap().late }, of(&seen));
        let plain = counted(|sink| disordered_window(&source(), window, bound, sink));
        assert_eq!(plain, expected, "plain: {case}");
        let expert = counted(|sink| expert_window(&source(), window, bound, keys, sink));
        assert_eq!(expert, expected, "expert: {case}");
        if bound.is_zero() {
            assert_eq!(counted(|sink| keyed_window(&source(), window, sink)), expected, "in order: {case}");
        }
        let is_late = bound < options.disorder && options.disorder > window;
        assert!(!is_late || expected.0.late > 0, "{case}");
        assert!(bound < options.disorder || expected.0.late == 0, "{case}");
    }
}

#[test]
fn trades_in_and_out_of_order() {
    for (disorder, window) in [(0, 7), (5, 7), (20, 7), (1, 100), (90, 1)] {
        for (keys, reversed_names, block_events) in [(1, false, 100), (300, true, 4096), (50, true, 1)] {
            let events = if block_events == 1 { 3_000 } else { 30_000 };
            let rate = if block_events == 1 { 100_000 } else { 1_000_000 };
            let options = TradeOptions { events, keys, disorder: disorder * MS, rate, ..TradeOptions::default() };
            check(&options, reversed_names, block_events, window * MS);
        }
    }
}

#[test]
fn in_order_and_out_of_order_within_the_bound_are_the_same_to_a_byte() {
    let options = TradeOptions { events: 50_000, keys: 100, disorder: 4 * MS, ..TradeOptions::default() };
    let disordered: Vec<Trade> = trades(&options).collect();
    let mut sorted = disordered.clone();
    sorted.sort_by_key(|trade| trade.time_ns);
    let source = |events: &Vec<Trade>| VecSource::new(events.clone(), 1000).with_symbols(symbol_names(100));
    let rows = |events| of(&work::disordered_job(source(events), 10 * MS, 4 * MS, 1).unwrap().0);
    assert_ne!(disordered, sorted);
    assert_eq!(rows(&disordered), rows(&sorted));
}

fn readings(events: u64, keys: u32, multiplier: u64) -> Vec<Reading> {
    let options = TradeOptions { events, keys, ..TradeOptions::default() };
    let reading = |trade: Trade| Reading {
        time_ns: trade.time_ns,
        device: u64::from(trade.symbol.id()).wrapping_mul(multiplier),
        value: trade.size.into(),
        sequence: 0,
    };
    trades(&options).map(reading).collect()
}

#[test]
fn readings_of_dense_and_sparse_keys() {
    // More than 16,384 rows in a window take the way through buckets.
    for (events, keys, multiplier) in [(20_000, 10, 1), (200_000, 150_000, 1), (200_000, 150_000, 0x9e37_79b9)] {
        for window in [7 * MS, Duration::from_secs(3600)] {
            let events = readings(events, keys, multiplier);
            let source = || VecSource::new(events.clone(), 4096);
            let (seen, report) = reading_job(source(), window, 1).unwrap();
            let expected = (Counts { events: events.len() as u64, late: 0 }, of(&seen));
            report.balance().unwrap();
            assert_eq!(of(&reading_job(source(), window, 2).unwrap().0), expected.1);
            assert_eq!(counted(|sink| reading_window(&source(), window, sink)), expected);
            let sparse = Keys::Sparse(keys as usize);
            assert_eq!(counted(|sink| expert_window(&source(), window, Duration::ZERO, sparse, sink)), expected);
            if multiplier == 1 {
                let dense = Keys::Dense(keys as usize);
                assert_eq!(counted(|sink| expert_window(&source(), window, Duration::ZERO, dense, sink)), expected);
            }
        }
    }
}

#[test]
fn the_expert_parts_windows_of_sparse_keys_too() {
    let mut events = readings(30_000, 1_000, 0x0123_4567_89ab_cdef);
    for pair in events.chunks_mut(64) {
        pair.reverse();
    }
    let source = || VecSource::new(events.clone(), 500);
    let run = |keys| counted(|sink| expert_window(&source(), 3 * MS, MS, keys, sink));
    let (counts, (rows, hash)) = run(Keys::Sparse(1_000));
    let mut sorted = events.clone();
    sorted.sort_by_key(|reading| reading.time_ns);
    let (expected, seen) = counted(|sink| reading_window(&VecSource::new(sorted, 500), 3 * MS, sink));
    assert_eq!((counts, (rows, hash)), (expected, seen));
}

#[test]
fn keys_that_are_not_as_told_are_errors() {
    let source = || VecSource::new(readings(1_000, 100, 1), 100);
    let run = |keys| expert_window(&source(), MS, Duration::ZERO, keys, &mut blackhole()).map_err(|e| e.to_string());
    assert_eq!(run(Keys::Dense(100)).unwrap().events, 1_000);
    assert!(run(Keys::Dense(50)).unwrap_err().ends_with("is not below 50"));
    assert_eq!(run(Keys::Sparse(10)).unwrap_err(), "more keys than was told");
    assert!(expert_window(&source(), Duration::ZERO, MS, Keys::Dense(100), &mut blackhole()).is_err());
}

#[test]
fn the_selective_filter_keeps_a_tenth() {
    let options = TradeOptions { events: 50_000, keys: 20, ..TradeOptions::default() };
    let source = || VecSource::new(trades(&options).collect(), 1000).with_symbols(symbol_names(20));
    let mut sink = blackhole();
    assert_eq!(selective(&source(), &mut sink).unwrap(), 50_000);
    let expected = of(&sink.seen());
    assert!((4_500..5_500).contains(&expected.0), "{expected:?}");
    for workers in [1, 2] {
        assert_eq!(of(&work::selective_job(source(), workers).unwrap().0), expected, "{workers} workers");
    }
}

#[test]
fn a_window_with_every_trade_exchanged_gives_the_same_rows() {
    let options = TradeOptions { events: 30_000, keys: 20, ..TradeOptions::default() };
    let source = || VecSource::new(trades(&options).collect(), 1000).with_symbols(symbol_names(20));
    let expected = of(&work::window_job(source(), MS, 1).unwrap().0);
    for workers in [1, 2, 3] {
        assert_eq!(of(&work::exchanged_window_job(source(), MS, workers).unwrap().0), expected, "{workers} workers");
    }
}
