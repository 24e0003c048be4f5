//! Recorded frames of Binance's streams.

use super::{read, run};
use pelton_io::codec::binance::{self, BinanceEvent, Streams};
use pelton_io::codec::lines::Lines;
use pelton_io::codec::{Input, InputLimits, SkipReason, SymbolTable, events};
use pelton_io::import::{Format, ImportOptions};
use pelton_tests::data::data;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// A decimal number times 10^16, the scale of a price times a quantity.
fn decimal_1e16(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<16}").parse().unwrap()
}

/// The levels of the book in the file's REST answers, which the truth counts as well.
fn snapshot_levels(path: &Path) -> u64 {
    let mut lines = Lines::new(Input::open(path, &InputLimits::default()).unwrap(), 1 << 20);
    let mut levels = 0;
    while let Some(line) = lines.next_line().unwrap() {
        let json = &line.bytes[line.bytes.iter().position(|&byte| byte == b' ').unwrap()..];
        if json.starts_with(b" {\"lastUpdateId\"") {
            let book: Value = serde_json::from_slice(json).unwrap();
            levels += (book["bids"].as_array().unwrap().len() + book["asks"].as_array().unwrap().len()) as u64;
        }
    }
    levels
}

#[test]
fn binance_frames_are_those_that_were_counted() {
    let Some(dir) = data("binance_frames_are_those_that_were_counted", "binance_ws") else { return };
    let truth: Value = serde_json::from_slice(&std::fs::read(dir.join("TRUTH.json")).unwrap()).unwrap();
    let output = tempfile::tempdir().unwrap();
    let files = truth.as_array().unwrap();
    assert_eq!(files.len(), 6);
    for file in files {
        let name = file["file"].as_str().unwrap();
        let path = output.path().join("frames.pelton");
        let options = ImportOptions { strict: true, overwrite: true, ..ImportOptions::default() };
        let report = run(Format::Binance, &[dir.join(name)], &path, &options);
        assert_eq!(report.read, file["lines"].as_u64().unwrap(), "{name}");
        let skipped = file["streams"]["snapshot/other"].as_u64().unwrap();
        assert_eq!((report.skipped, report.skipped_for(SkipReason::Snapshot)), (skipped, skipped), "{name}");

        let frames: Vec<BinanceEvent> = read(&path);
        let count = |kind| frames.iter().filter(|frame| frame.kind == kind).count() as u64;
        let kinds =
            [(BinanceEvent::TRADE, "trade"), (BinanceEvent::BOOK_TICKER, "bookTicker"), (BinanceEvent::DEPTH, "depth")];
        for (kind, stream) in kinds {
            assert_eq!(count(kind), file["streams"][stream].as_u64().unwrap(), "{name} {stream}");
        }
        let levels: u64 = frames.iter().map(|frame| u64::from(frame.bids) + u64::from(frame.asks)).sum();
        let levels = levels + snapshot_levels(&dir.join(name));
        assert_eq!(levels, file["level_updates"].as_u64().unwrap(), "{name}");

        let trades: Vec<_> = frames.iter().filter(|frame| frame.kind == BinanceEvent::TRADE).collect();
        let quantity: i128 = trades.iter().map(|trade| i128::from(trade.quantity)).sum();
        assert_eq!(quantity * 100_000_000, decimal_1e16(file["trade_qty"].as_str().unwrap()), "{name}");
        let notional: i128 = trades.iter().map(|trade| i128::from(trade.quantity) * i128::from(trade.price)).sum();
        assert_eq!(notional, decimal_1e16(file["notional"].as_str().unwrap()), "{name}");
        let ids: BTreeSet<_> = trades.iter().map(|trade| trade.id).collect();
        let (first, last) = (*ids.first().unwrap(), *ids.last().unwrap());
        assert_eq!((first, last), (file["id_min"].as_u64().unwrap(), file["id_max"].as_u64().unwrap()), "{name}");
        assert_eq!((ids.len(), ids.len() as u64), (trades.len(), last - first + 1), "{name}");

        for (bound_ms, late) in file["out_of_order_exch_ms"].as_object().unwrap() {
            let bound_ns = bound_ms.parse::<i64>().unwrap() * 1_000_000;
            let (mut max, mut behind) = (i64::MIN, 0);
            for frame in &frames {
                behind += u64::from(frame.time_ns < max.saturating_sub(bound_ns));
                max = max.max(frame.time_ns);
            }
            assert_eq!(behind, late.as_u64().unwrap(), "{name}: behind by more than {bound_ms} ms");
        }
        let inferred = frames.iter().filter(|frame| frame.flags & BinanceEvent::TIME_INFERRED != 0).count() as u64;
        assert_eq!(inferred, if name.contains("spot") { count(BinanceEvent::BOOK_TICKER) } else { 0 }, "{name}");
        assert!(frames.windows(2).all(|pair| pair[0].receive_ns <= pair[1].receive_ns), "{name}");
    }
}

#[test]
fn a_stream_that_is_left_out_changes_no_other() {
    let Some(dir) = data("a_stream_that_is_left_out_changes_no_other", "binance_ws") else { return };
    let decode = |streams| -> Vec<BinanceEvent> {
        let input = Input::open(&dir.join("dev/spot_ethusdt_20240808.gz"), &InputLimits::default()).unwrap();
        let frames = binance::frames(input, streams, SymbolTable::default(), 1 << 20);
        events(frames).collect::<Result<_, _>>().unwrap()
    };
    let tickers: Vec<_> =
        decode(Streams::default()).into_iter().filter(|frame| frame.kind == BinanceEvent::BOOK_TICKER).collect();
    assert_eq!(decode("bookTicker".parse().unwrap()), tickers);
}
