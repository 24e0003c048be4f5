//! `generate`, `inspect` and `replay`: bars that are those of a naive program, at any number of workers.

use crate::naive::{self, Row};
use crate::support::Place;
use crate::usage::column;
use pelton_io::Trade;
use pelton_io::generate::{TradeOptions, trades};
use std::time::Duration;

const MILLISECOND: i64 = 1_000_000;

/// The trades that `generate` makes with these options.
fn made(options: &TradeOptions) -> Vec<Trade> {
    trades(options).collect()
}

fn rows(trades: &[Trade]) -> Vec<Row> {
    let row = |trade: &Trade| {
        let symbol = format!("S{:05}", trade.symbol.id());
        Row { time: trade.time_ns, symbol, price: trade.price, size: trade.size.into() }
    };
    trades.iter().map(row).collect()
}

pub(crate) fn grouped(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1_000), number % 1_000),
    }
}

fn disordered(place: &Place) -> Vec<Trade> {
    place.done("generate trades --events 100000 --keys 50 --seed 7 --disorder 5ms --block 500 t.pelton");
    let disorder = Duration::from_millis(5);
    made(&TradeOptions { events: 100_000, keys: 50, seed: 7, disorder, ..TradeOptions::default() })
}

#[test]
fn bars_are_the_naive_ones_at_any_number_of_workers() {
    let place = Place::new();
    let trades = disordered(&place);
    let (expected, late) = naive::bars(&rows(&trades), 10 * MILLISECOND, 5 * MILLISECOND);
    assert!(late.is_empty() && expected.lines().count() > 500);
    for options in ["--workers 1", "--workers 2", "--workers 3", "--workers 8", "--workers 2 --untrusted", "--speed 3x"]
    {
        let line = format!("replay t.pelton --window 10ms --out-of-orderness 5ms --overwrite --out bars.csv {options}");
        let ran = place.done(&line);
        assert!(place.read("bars.csv") == expected, "{options}");
        assert!(ran.stdout.is_empty() && ran.stderr.contains("every event is accounted for"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("are in no bar"), "{}", ran.stderr);
    }
}

#[test]
fn late_events_are_in_the_late_file_and_nowhere_else() {
    let place = Place::new();
    let trades = disordered(&place);
    let (expected, late) = naive::bars(&rows(&trades), MILLISECOND, MILLISECOND / 2);
    assert!(late.len() > 1_000, "{}", late.len());
    let mut expected_late = String::from("time_ns,price,size,symbol,condition,venue,suspicious,kind\n");
    for trade in late.iter().map(|&number| &trades[number]) {
        let Trade { time_ns, price, size, symbol, condition, suspicious, kind, .. } = trade;
        let (id, venue) = (symbol.id(), char::from(trade.venue[0]));
        expected_late += &format!("{time_ns},{price},{size},S{id:05},{condition},{venue},{suspicious},{kind}\n");
    }
    let replay = "replay t.pelton --window 1ms --out-of-orderness 500us --overwrite --out bars.csv";
    for workers in [1, 2, 3, 8] {
        place.done(&format!("{replay} --late late.csv --workers {workers}"));
        assert!(place.read("bars.csv") == expected, "{workers}");
        assert!(place.read("late.csv") == expected_late, "{workers}");
    }
    let counted: u64 = place.read("bars.csv").lines().skip(1).map(|line| column(line, 8)).sum();
    assert_eq!(counted + late.len() as u64, 100_000);
    // Not connected, they are told.
    let said = place.done(replay).stderr;
    assert!(said.contains(&format!("{} events came after their window had closed", late.len())), "{said}");
    assert!(place.read("bars.csv") == expected);
}

#[test]
fn standard_output_has_the_bars_and_nothing_else() {
    let place = Place::new();
    let trades = disordered(&place);
    let expected = naive::bars(&rows(&trades), 50 * MILLISECOND, 5 * MILLISECOND).0;
    for out in ["", "--out -"] {
        let ran = place.done(&format!("replay t.pelton --window 50ms --out-of-orderness 5ms {out}"));
        assert_eq!(ran.stdout, expected);
    }
    // The other way round: late rows there, bars in a file.
    let ran = place.done("replay t.pelton --window 1ms --out bars.csv --late -");
    assert!(ran.stdout.starts_with("time_ns,price,size,symbol,") && ran.stdout.lines().count() > 1_000);
}

#[test]
fn conditions_and_times_leave_out_what_does_not_meet_them() {
    let place = Place::new();
    let trades = disordered(&place);
    let start = TradeOptions::default().start_ns;
    let (from, until) = (start + 20 * MILLISECOND, start + 70 * MILLISECOND);
    let within = |trade: &Trade| (from..until).contains(&trade.time_ns);
    for (line, keep) in [
        ("--where suspicious=1", Box::new(|trade: &Trade| trade.suspicious == 1) as Box<dyn Fn(&Trade) -> bool>),
        ("--where kind=1", Box::new(|_| false)),
        ("--where suspicious=0 --where condition=3", Box::new(|t: &Trade| t.suspicious == 0 && t.condition == 3)),
        ("--where size=7", Box::new(|trade: &Trade| trade.size == 7)),
        (&format!("--from {from} --until {until}"), Box::new(within)),
        ("--from 2024-01-02T14:30:00.02 --until 2024-01-02T14:30:00.07", Box::new(within)),
    ] {
        let kept: Vec<Trade> = trades.iter().copied().filter(|trade| keep(trade)).collect();
        // Filters come after the watermark, which all events move: with no disorder beyond the bound
        // nothing is late either way.
        let (expected, late) = naive::bars(&rows(&kept), 10 * MILLISECOND, 5 * MILLISECOND);
        assert!(late.is_empty());
        place.done(&format!("replay t.pelton --window 10ms --out-of-orderness 5ms --overwrite --out bars.csv {line}"));
        assert!(place.read("bars.csv") == expected, "{line}");
    }
}

#[test]
fn inspect_tells_what_generate_made() {
    let place = Place::new();
    place.done("generate trades --events 10000 --keys 12 --block 1000 --start 2013-10-08T09:30:00 t.pelton");
    let text = place.done("inspect t.pelton --head 1500 --verify").stdout;
    for part in [
        "events     10,000 of Trade, 32 bytes each",
        "blocks     10 of up to 1000 events",
        "earliest   1381224600000000000  2013-10-08T09:30:00Z",
        "latest     1381224600009999000  2013-10-08T09:30:00.009999Z",
        "complete   yes",
        "symbols    12: S00000, S00001,",
        "i64      time_ns  (event time)",
        "verified   every block",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let csv = text.split("\n\n").nth(1).unwrap();
    assert_eq!(csv.lines().next(), Some("time_ns,price,size,symbol,condition,venue,suspicious,kind"));
    assert_eq!(csv.lines().count(), 1501);
    let options = TradeOptions { events: 10_000, keys: 12, start_ns: 1_381_224_600_000_000_000, ..Default::default() };
    let trade = made(&options)[1_499];
    let last = csv.lines().last().unwrap();
    assert!(last.starts_with(&format!("{},{},{},S", trade.time_ns, trade.price, trade.size)), "{last}");
    // Equal options make equal files, others do not.
    place.done("generate trades --events 10000 --keys 12 --block 1000 --start 2013-10-08T09:30:00 u.pelton");
    assert!(place.bytes("t.pelton") == place.bytes("u.pelton"));
    place.done("generate trades --events 10000 --keys 12 --block 1000 --seed 2 --overwrite u.pelton");
    assert!(place.bytes("t.pelton") != place.bytes("u.pelton"));
}

#[test]
fn no_events_are_a_header_and_no_failure() {
    let place = Place::new();
    place.done("generate trades --events 0 none.pelton");
    assert!(place.done("inspect none.pelton --head 3 --verify").stdout.contains("there are no events"));
    let ran = place.done("replay none.pelton --workers 2");
    assert_eq!(ran.stdout, "window_start,window_end,symbol,open,high,low,close,volume,count,vwap\n");
}

#[test]
fn the_demo_leaves_nothing_behind() {
    let place = Place::new();
    let text = place.done("demo --events 200000").stdout;
    for part in ["made       200,000 trades", "window_start,", "throughput ", "latency    p50 ", "accounted for"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert_eq!(std::fs::read_dir(place.path("")).unwrap().count(), 0);
}
