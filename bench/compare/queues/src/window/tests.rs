//! The loops by hand give the rows of the yardstick, and of jobs, for windows that end anywhere in blocks.

use super::half::Placed;
use super::rows::Windows;
use super::{combine_by_hand, contests, exchange_by_hand, one_thread_by_hand, ordered_by_hand};
use crate::hop::Cores;
use core_affinity::CoreId;
use pelton::VecSource;
use pelton_bench::yardstick;
use pelton_io::generate::{TradeOptions, symbol_names, trades};
use pelton_io::{Trade, blackhole};
use std::time::Duration;

/// Also where there is one core: the threads then take turns.
fn cores() -> Cores {
    let first = core_affinity::get_core_ids().and_then(|cores| cores.first().copied()).unwrap_or(CoreId { id: 0 });
    Cores::find().unwrap_or(Cores { first, second: first })
}

fn source(trades: Vec<Trade>, keys: u32, block_events: usize) -> VecSource<Trade> {
    VecSource::new(trades, block_events).with_symbols(symbol_names(keys))
}

#[test]
fn all_loops_give_the_rows_of_the_yardstick() {
    for (events, keys, block_events, window_us) in [
        (60_000, 100, 64, 1_000),
        (60_000, 7, 1_000, 333),
        (60_000, 1, 4_096, 10),
        (20_000, 10_000, 512, 5_000),
        // One block, so that one thread has nothing; a window for each trade; all in one window; nothing at all.
        (1_000, 10, 4_096, 100),
        (3_000, 10, 128, 1),
        (30_000, 10, 128, 1_000_000),
        (0, 10, 128, 1_000),
    ] {
        let mut all: Vec<Trade> = trades(&TradeOptions { events, keys, ..TradeOptions::default() }).collect();
        // A gap of many windows.
        let gap_from = all.len() / 2;
        all[gap_from..].iter_mut().for_each(|trade| trade.time_ns += 3_600_000_000_000);
        let size = Duration::from_micros(window_us);
        let windows = Windows::of(size).unwrap();
        let source = source(all, keys, block_events);
        let mut sink = blackhole();
        yardstick::keyed_window(&source, size, &mut sink).unwrap();
        let expected = (sink.seen().count(), sink.seen().hash());
        assert!(events == 0 || expected.0 > 0);
        for (name, seen) in [
            ("one thread", one_thread_by_hand::run(&source, windows, blackhole())),
            ("combined", combine_by_hand::run(&source, windows, cores(), blackhole())),
            ("exchanged", exchange_by_hand::run::<Trade>(&source, windows, cores(), blackhole())),
            ("in order", ordered_by_hand::run(&source, windows, cores(), blackhole())),
            ("placed", exchange_by_hand::run::<Placed>(&source, windows, cores(), blackhole())),
        ] {
            let seen = seen.unwrap();
            assert_eq!((seen.count(), seen.hash()), expected, "{name}, {events} of {keys} in {block_events}");
        }
    }
}

#[test]
fn a_trade_behind_its_window_is_an_error_and_no_loop_waits_for_ever() {
    let mut all: Vec<Trade> = trades(&TradeOptions { events: 200_000, keys: 10, ..TradeOptions::default() }).collect();
    all[150_001].time_ns -= 140_000_000;
    let source = source(all, 10, 1_000);
    let windows = Windows::of(Duration::from_millis(1)).unwrap();
    for result in [
        one_thread_by_hand::run(&source, windows, blackhole()),
        combine_by_hand::run(&source, windows, cores(), blackhole()),
        exchange_by_hand::run::<Trade>(&source, windows, cores(), blackhole()),
        ordered_by_hand::run(&source, windows, cores(), blackhole()),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("behind its window") || error.contains("other thread is gone"), "{error}");
    }
}

#[test]
fn the_contests_hold_all_rivals_equal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trades.pelton");
    pelton_bench::generate(&path, 50_000, 100).unwrap();
    let size = Duration::from_millis(10);
    let standings = contests::run(&path, size, cores(), 1, |_| true, &mut |_| {}).unwrap();
    assert_eq!(standings.len(), 2);
    for standing in &standings {
        for rival in &standing.rivals {
            assert_eq!((&rival.wrong, rival.runs_ns.len()), (&None, 1), "{}: {}", standing.work, rival.name);
        }
    }
}
