//! The jobs that are measured and the loops they are measured against give the same rows.

use pelton::{BlockSource, VecSource};
use pelton_bench::{LatencyOptions, ThroughputOptions, generate, latency, throughput, work, yardstick};
use pelton_io::generate::{TradeOptions, symbol_names, trades};
use pelton_io::sink::Seen;
use pelton_io::{Trade, blackhole, capture};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn of(seen: &Seen) -> (u64, u64) {
    (seen.count(), seen.hash())
}

fn window_of_loop(source: &impl BlockSource<Trade>, window: Duration) -> (yardstick::Counts, (u64, u64)) {
    let mut sink = blackhole();
    let counts = yardstick::keyed_window(source, window, &mut sink).unwrap();
    (counts, of(&sink.seen()))
}

#[test]
fn the_keyed_window_gives_the_same_rows_on_any_number_of_workers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trades.pelton");
    generate(&path, 60_000, 300).unwrap();
    let replay = || capture::replay::<Trade>(&path).unwrap();
    let window = Duration::from_millis(7);
    let (counts, expected) = window_of_loop(&replay().into_blocks(), window);
    assert_eq!(counts, yardstick::Counts { events: 60_000, late: 0 });
    // 60 ms in windows of 7, the first of them cut by where the trades start.
    assert!((9 * 250..=10 * 300).contains(&expected.0), "{expected:?}");
    for workers in [1, 2, 3] {
        let (seen, report) = work::window_job(replay(), window, workers).unwrap();
        assert_eq!(of(&seen), expected, "{workers} workers");
        assert_eq!((report.events_read(), report.balance()), (60_000, Ok(())));
    }
    let (_, other) = window_of_loop(&replay().into_blocks(), 2 * window);
    assert_ne!(other, expected);
}

#[test]
fn rows_leave_in_the_order_of_the_symbols_texts_whatever_their_ids() {
    let trades = |keys| trades(&TradeOptions { events: 20_000, keys, ..TradeOptions::default() }).collect();
    let names: Vec<_> = symbol_names(50).map(|name| name.chars().rev().collect::<String>()).collect();
    let source = || VecSource::new(trades(50), 1000).with_symbols(&names);
    let (_, expected) = window_of_loop(&source(), SECOND);
    for workers in [1, 2] {
        assert_eq!(of(&work::window_job(source(), SECOND, workers).unwrap().0), expected, "{workers} workers");
    }
    let unnamed = VecSource::new(trades(50), 1000).with_symbols(symbol_names(50));
    assert_ne!(window_of_loop(&unnamed, SECOND).1, expected, "the order of ids is another one");
}

#[test]
fn late_trades_are_late_in_both() {
    let disorder = Duration::from_micros(300);
    let options = TradeOptions { events: 30_000, keys: 20, disorder, ..TradeOptions::default() };
    let source = || VecSource::new(trades(&options).collect(), 512).with_symbols(symbol_names(20));
    let window = Duration::from_millis(1);
    let (counts, expected) = window_of_loop(&source(), window);
    assert!(counts.late > 500, "{counts:?}");
    for workers in [1, 2, 3] {
        let (seen, report) = work::window_job(source(), window, workers).unwrap();
        assert_eq!(of(&seen), expected, "{workers} workers");
        assert_eq!(report.step("sizes").unwrap().late, counts.late);
    }
}

#[test]
fn filter_and_map_give_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trades.pelton");
    generate(&path, 30_000, 100).unwrap();
    let replay = || capture::replay::<Trade>(&path).unwrap();
    let mut sink = blackhole();
    assert_eq!(yardstick::stateless(&replay().into_blocks(), &mut sink).unwrap(), 30_000);
    let expected = of(&sink.seen());
    assert!((26_000..28_500).contains(&expected.0), "{expected:?}");
    for workers in [1, 2, 3] {
        assert_eq!(of(&work::stateless_job(replay(), workers).unwrap().0), expected, "{workers} workers");
    }
}

#[test]
fn numbers_come_out_of_the_ring_as_they_went_in() {
    for (events, run) in [(0, 1), (1, 1), (10_001, 1), (10_001, 64), (50_000, 9_999)] {
        yardstick::ring_throughput(events, run).unwrap();
    }
}

#[test]
fn throughput_measures_all_scenarios_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let options = ThroughputOptions {
        events: 20_000,
        keys: 50,
        window: Duration::from_millis(2),
        workers: vec![1, 3],
        runs: 2,
        dir: dir.path().to_owned(),
        capture: None,
        ring_events: 1_000,
        read_bytes: 1 << 16,
    };
    let json = throughput(&options).unwrap().to_json();
    let names: Vec<_> = json["results"].as_array().unwrap().iter().map(|entry| entry["name"].clone()).collect();
    let expected = [
        "keyed window, 1 worker",
        "keyed window, 3 workers",
        "filter and map, 1 worker",
        "ring, runs of 64",
        "ring, one at a time",
        "sequential read",
    ];
    assert_eq!(names, expected);
    for entry in &json["results"].as_array().unwrap()[..3] {
        let number = |name: &str| entry[name].as_f64().unwrap_or_else(|| panic!("{name} in {entry}"));
        let (rate, yardstick) = (number("events_per_s"), number("yardstick"));
        assert!(number("min") <= rate && rate <= number("max"), "{entry}");
        assert!((number("ratio") - rate / yardstick).abs() < 1e-9);
        assert!((number("ns_per_event") * rate - 1e9).abs() < 1.0);
        assert!((number("gb_per_s") - rate * 32e-9).abs() < 1e-6);
    }
    assert!(json["machine"]["cores"].is_u64());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_capture_that_is_given_is_measured_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("given.pelton");
    generate(&path, 5_000, 10).unwrap();
    let options = ThroughputOptions {
        capture: Some(path.clone()),
        workers: vec![1],
        runs: 1,
        ring_events: 0,
        read_bytes: 0,
        dir: dir.path().join("is not needed"),
        ..ThroughputOptions::default()
    };
    assert_eq!(throughput(&options).unwrap().results.len(), 2);
    assert!(path.exists());
    let none = ThroughputOptions { window: Duration::ZERO, ..options };
    assert!(throughput(&none).unwrap_err().to_string().starts_with("window: found 0ns"));
}

#[test]
fn latency_loses_no_row_and_writes_logs() {
    let dir = tempfile::tempdir().unwrap();
    let options = LatencyOptions {
        rates: vec![20_000],
        workers: vec![1, 2, 3],
        duration: SECOND,
        warm_up: Duration::from_millis(100),
        keys: 100,
        stall: Duration::from_millis(2),
        hlog_dir: Some(dir.path().join("logs")),
    };
    let json = latency(&options).unwrap().to_json();
    let entries = json["results"].as_array().unwrap();
    // The machine's own lateness comes first, and rounds of idle workers behind the scenarios of as many.
    let (rounds, entries): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| entry["name"].as_str().is_some_and(|name| name.starts_with("passes")));
    assert_eq!((rounds.len(), entries.len()), (3, 6));
    assert!(rounds.iter().all(|entry| entry["events_per_s"].as_f64().is_some_and(|rate| rate > 0.0)));
    assert!(entries[0]["name"].as_str().unwrap().starts_with("a spinning thread"));
    for entry in &entries {
        assert!(entry == &entries[0] || entry["offered_per_s"] == 20_000);
        assert!(entry["yardstick"].is_null() && entry["ratio"].is_null());
        let percentiles: Vec<_> = ["p50", "p90", "p99", "p99.9", "p99.99", "max"]
            .iter()
            .map(|name| entry["percentiles_ns"][name].as_u64().unwrap_or_else(|| panic!("{name} in {entry}")))
            .collect();
        assert!(percentiles.is_sorted() && percentiles[0] > 0, "{percentiles:?}");
    }
    assert!(json["machine"]["stalls"]["percentiles_ns"]["max"].is_u64());
    let log = std::fs::read_to_string(dir.path().join("logs/2-workers-20000-per-s.hlog")).unwrap();
    assert_eq!(log.lines().filter(|line| line.starts_with("Tag=latency,0.1")).count(), 1, "{log}");
    let wrong = LatencyOptions { rates: vec![0], ..options };
    assert!(latency(&wrong).unwrap_err().to_string().starts_with("rate: found 0"));
}
