//! Imports of real market and telemetry data, compared with what other programs counted in it.
//!
//! The data is found by `PELTON_DATA` or beside the workspace; without it the tests say so and pass.

use pelton::{Event, Symbol};
use pelton_io::Trade;
use pelton_io::capture::Capture;
use pelton_io::codec::binance::{self, BinanceEvent, Streams};
use pelton_io::codec::lean::{self, LeanOptions, Quote};
use pelton_io::codec::lines::Lines;
use pelton_io::codec::{Decode, Decoded, Input, InputLimits, Reject, SkipReason, SymbolTable, events};
use pelton_io::import::{Day, Format, ImportOptions, ImportReport, import};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn data(test: &str, folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PELTON_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped {test}: no data at {}", path.display());
    None
}

/// The rows of a CSV file by column name.
fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    reader.records().map(|row| names.iter().cloned().zip(row.unwrap().iter().map(str::to_owned)).collect()).collect()
}

fn run(format: Format, inputs: &[PathBuf], output: &Path, options: &ImportOptions) -> ImportReport {
    let report = import(format, inputs, output, options, &mut |_| {}).unwrap();
    assert_eq!(report.read, report.written + report.rejected + report.skipped);
    report
}

/// The events of a capture.
fn read<T: Event>(path: &Path) -> Vec<T> {
    let capture = Capture::open(path).unwrap();
    assert_eq!(capture.layout().schema(), T::layout().schema());
    let (mut all, mut block) = (Vec::new(), Vec::new());
    for index in 0..capture.blocks().len() {
        block.clear();
        capture.read_raw(index, &mut block).unwrap();
        all.extend(bytemuck::pod_collect_to_vec::<u8, T>(&block));
    }
    all
}

#[test]
fn lean_trades_add_up_to_the_daily_truth() {
    let Some(dir) = data("lean_trades_add_up_to_the_daily_truth", "lean_us_equity_tick") else { return };
    let truth = table(&dir.join("TRUTH_trades_daily.csv"));
    assert_eq!(truth.len(), 12);
    let files: Vec<_> =
        truth.iter().map(|row| dir.join(format!("{}_{}_trade.zip", row["sym"], row["trade_day"]))).collect();
    let output = tempfile::tempdir().unwrap();
    let path = output.path().join("trades.pelton");
    let options = ImportOptions { day: Day::FromName, strict: true, ..ImportOptions::default() };
    let report = run(Format::LeanTrade, &files, &path, &options);
    let trades: Vec<Trade> = read(&path);
    assert_eq!((report.files, report.written), (12, trades.len() as u64));
    assert_eq!(report.read, report.written);

    let symbols = Capture::open(&path).unwrap().symbols().to_vec();
    let mut rest = &trades[..];
    for row in &truth {
        let number = |name: &str| row[name].parse::<i128>().unwrap();
        let (day, later) = rest.split_at(number("trades") as usize);
        rest = later;
        let midnight = row["trade_day"].parse::<pelton_io::codec::time::Date>().unwrap().midnight_ns();
        let millis = |trade: &Trade| i128::from((trade.time_ns - midnight) / 1_000_000);
        let found = [
            day.iter().map(|trade| i128::from(trade.size)).sum(),
            day.iter().map(|trade| i128::from(trade.size) * i128::from(trade.price)).sum(),
            i128::from(day.iter().map(|trade| trade.price).min().unwrap()),
            i128::from(day.iter().map(|trade| trade.price).max().unwrap()),
            day.iter().map(millis).min().unwrap(),
            day.iter().map(millis).max().unwrap(),
            day.iter().map(|trade| i128::from(trade.suspicious)).sum(),
            day.iter().map(|trade| trade.venue).collect::<BTreeSet<_>>().len() as i128,
        ];
        let names = ["volume", "notional_1e4", "lo", "hi", "t0_ms", "t1_ms", "suspicious", "venues"];
        assert_eq!(found, names.map(number), "{row:?}");
        assert!(day.iter().all(|trade| symbols[trade.symbol.id() as usize].eq_ignore_ascii_case(&row["sym"])));
    }
    assert!(rest.is_empty());
}

#[test]
fn lean_quotes_add_up_to_the_daily_truth() {
    let Some(dir) = data("lean_quotes_add_up_to_the_daily_truth", "lean_us_equity_tick") else { return };
    let truth = table(&dir.join("TRUTH_quotes_daily.csv"));
    assert_eq!(truth.len(), 9);
    for row in &truth {
        let number = |name: &str| row[name].parse::<i128>().unwrap();
        let file = dir.join(format!("{}_{}_quote.zip", row["sym"], row["trade_day"]));
        let input = Input::open(&file, &InputLimits::default()).unwrap();
        let (mut quotes, mut bids, mut asks, mut suspicious) = (0, 0, 0, 0);
        let (mut bid_size, mut ask_size, mut max_bid, mut min_ask) = (0, 0, 0, i64::MAX);
        for quote in events(lean::quotes(input, LeanOptions { symbol: Symbol::from_id(3), ..LeanOptions::default() })) {
            let quote = quote.unwrap();
            quotes += 1;
            bids += i128::from(quote.side & Quote::BID != 0);
            asks += i128::from(quote.side & Quote::ASK != 0);
            bid_size += i128::from(quote.bid_size);
            ask_size += i128::from(quote.ask_size);
            max_bid = max_bid.max(quote.bid_price);
            if quote.side & Quote::ASK != 0 {
                min_ask = min_ask.min(quote.ask_price);
            }
            suspicious += i128::from(quote.suspicious);
        }
        let found = [quotes, bids, asks, bid_size, ask_size, i128::from(max_bid), i128::from(min_ask), suspicious];
        let names = ["quotes", "bids", "asks", "bid_size", "ask_size", "max_bid", "min_ask", "suspicious"];
        assert_eq!(found, names.map(number), "{row:?}");
    }
}

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

#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Reading {
    #[event(time)]
    timestamp: pelton::Timestamp,
    value: f64,
}

#[test]
fn nab_series_have_the_rows_and_times_that_were_counted() {
    let Some(dir) = data("nab_series_have_the_rows_and_times_that_were_counted", "nab") else { return };
    let output = tempfile::tempdir().unwrap();
    let path = output.path().join("series.pelton");
    let options = ImportOptions {
        csv_schema: Some("timestamp:time[iso],value:f64".parse().unwrap()),
        strict: true,
        overwrite: true,
        ..ImportOptions::default()
    };
    let truth = table(&dir.join("TRUTH.csv"));
    assert!(truth.len() > 30);
    for row in &truth {
        let name = &row["file"];
        let report = run(Format::Csv, &[dir.join("data").join(name)], &path, &options);
        assert_eq!((report.written, report.skipped), (row["rows"].parse::<u64>().unwrap(), 1), "{name}");
        let readings: Vec<Reading> = read(&path);
        let iso = |text: &str| pelton_io::codec::time::iso(text.as_bytes(), Default::default()).unwrap();
        // First and last are the smallest and the largest time.
        let times = readings.iter().map(|reading| reading.timestamp.as_nanos());
        let range = (times.clone().min().unwrap(), times.clone().max().unwrap());
        assert_eq!(range, (iso(&row["first"]), iso(&row["last"])), "{name}");
        let behind = readings.windows(2).filter(|pair| pair[1].timestamp < pair[0].timestamp).count();
        assert_eq!(behind, row["out_of_order"].parse::<usize>().unwrap(), "{name}");
        let value = |name: &str| row[name].parse::<f64>().unwrap();
        let fold = |pick: fn(f64, f64) -> f64| readings.iter().map(|reading| reading.value).reduce(pick).unwrap();
        assert_eq!((fold(f64::min), fold(f64::max)), (value("min"), value("max")), "{name}");
        let sum: f64 = readings.iter().map(|reading| reading.value).sum();
        assert!((sum - value("sum")).abs() <= 1e-9 * sum.abs().max(1.0), "{name}: {sum}");
    }
}

#[test]
fn real_files_with_flipped_bits_or_cut_off_never_pass() {
    let Some(dir) = data("real_files_with_flipped_bits_or_cut_off_never_pass", "lean_us_equity_tick") else { return };
    let output = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(dir.join("ibm_20131007_trade.zip")).unwrap();
    let whole = |bytes: &[u8]| {
        let path = output.path().join("ibm_20131007_trade.zip");
        std::fs::write(&path, bytes).unwrap();
        let Ok(input) = Input::open(&path, &InputLimits::default()) else { return false };
        let mut rows = lean::trades(input, LeanOptions::default());
        let mut refused: Vec<Reject> = Vec::new();
        loop {
            match rows.decode() {
                Ok(Some(Decoded::Rejected(reject))) => refused.push(reject),
                Ok(Some(_)) => {}
                Ok(None) => return refused.is_empty(),
                Err(_) => return false,
            }
        }
    };
    assert!(whole(&bytes));
    for part in 1..20 {
        assert!(!whole(&bytes[..bytes.len() * part / 20]), "cut at {part}/20");
        // Bits of the packed data, which starts behind the entry's header.
        let mut flipped = bytes.clone();
        flipped[100 + (bytes.len() - 300) * part / 20] ^= 1 << (part % 8);
        assert!(!whole(&flipped), "flipped at {part}/20");
    }
}

#[cfg(feature = "dbn")]
mod dbn {
    use super::*;
    use pelton_io::codec::dbn::{DbnTrade, Mbo, Mbp1};
    use pelton_io::import::ImportError;

    #[test]
    fn the_day_of_a_future_has_the_messages_that_were_counted() {
        let Some(dir) = data("the_day_of_a_future_has_the_messages_that_were_counted", "dbn/nautilus") else { return };
        let output = tempfile::tempdir().unwrap();
        let path = output.path().join("esh4.pelton");
        let options = ImportOptions { strict: true, ..ImportOptions::default() };
        let file = dir.join("esh4-glbx-mdp3-20231225.mbo.dbn.zst");
        let report = run(Format::Dbn(None), &[file], &path, &options);
        assert_eq!((report.read, report.written), (68_792, 68_792));
        let messages: Vec<Mbo> = read(&path);
        let mut actions = BTreeMap::new();
        for message in &messages {
            let (count, volume) = actions.entry(char::from(message.action)).or_insert((0, 0));
            *count += 1;
            *volume += u64::from(message.size);
        }
        let counts: Vec<_> = actions.iter().map(|(&action, &(count, _))| (action, count)).collect();
        assert_eq!(counts, [('A', 29_216), ('C', 17_999), ('F', 6_371), ('M', 12_233), ('T', 2_973)]);
        assert_eq!((actions[&'T'].1, actions[&'F'].1), (9_892, 10_201));
        assert_eq!(Capture::open(&path).unwrap().symbols().iter().map(|text| &**text).collect::<Vec<_>>(), ["ESH4"]);

        // The orders that rest at the end, replayed naively.
        let mut orders: BTreeMap<u64, (u8, i64, u32)> = BTreeMap::new();
        for message in &messages {
            match message.action {
                b'A' | b'M' => {
                    orders.insert(message.order_id, (message.side, message.price, message.size));
                }
                b'C' => {
                    if let Some(order) = orders.get_mut(&message.order_id) {
                        order.2 = order.2.saturating_sub(message.size);
                        if order.2 == 0 {
                            orders.remove(&message.order_id);
                        }
                    }
                }
                _ => {}
            }
        }
        let resting = |side| orders.values().filter(move |order| order.0 == side).map(|order| order.1);
        assert_eq!((resting(b'B').count(), resting(b'A').count()), (6_935, 4_282));
        assert_eq!(resting(b'B').max(), Some(4_810_000_000_000));
        assert_eq!(resting(b'A').min(), Some(4_810_250_000_000));
    }

    #[test]
    fn every_conformance_file_is_imported_or_refused_in_words() {
        let test = "every_conformance_file_is_imported_or_refused_in_words";
        let Some(dir) = data(test, "dbn/databento_tests/tests/data") else { return };
        let output = tempfile::tempdir().unwrap();
        let path = output.path().join("out.pelton");
        let options = ImportOptions { overwrite: true, ..ImportOptions::default() };
        let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 81);
        let mut imported = BTreeMap::new();
        for file in files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let schemas = ["trades", "mbo", "mbp-1", "tbbo"];
            let ours = schemas.iter().any(|schema| name.starts_with(&format!("test_data.{schema}.")));
            match import(Format::Dbn(None), &[file], &path, &options, &mut |_| {}) {
                Ok(report) => {
                    assert!(ours, "{name}");
                    assert_eq!(report.read, report.written + report.rejected + report.skipped);
                    imported.insert(name, (report.written, report.rejected));
                }
                Err(ImportError::Input { source, .. }) => {
                    let text = source.to_string();
                    assert!(!ours || name.ends_with(".dbz"), "{name}: {text}");
                    assert!(text.contains("expected ") && text.contains("found "), "{name}: {text}");
                }
                Err(error) => panic!("{name}: {error}"),
            }
        }
        // Each of the four in versions 1 to 3, as zstd, and raw.
        assert!(imported.len() >= 16, "{imported:?}");
        assert!(imported.values().all(|&(written, rejected)| (written, rejected) == (2, 0)), "{imported:?}");
    }

    #[test]
    fn trades_and_top_of_book_agree_with_the_vendors_decoder() {
        use ::dbn::decode::{DecodeRecord, dbn::Decoder};
        let test = "trades_and_top_of_book_agree_with_the_vendors_decoder";
        let Some(dir) = data(test, "dbn/nautilus/historical_bars_catalog/databento") else { return };
        let output = tempfile::tempdir().unwrap();
        let path = output.path().join("out.pelton");
        let options = ImportOptions { overwrite: true, strict: true, ..ImportOptions::default() };

        let file = dir.join("futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst");
        run("dbn-trades".parse().unwrap(), std::slice::from_ref(&file), &path, &options);
        let mut vendor = Decoder::from_zstd_file(&file).unwrap();
        let trades: Vec<DbnTrade> = read(&path);
        for trade in &trades {
            let theirs = vendor.decode_record::<::dbn::TradeMsg>().unwrap().unwrap();
            assert_eq!(
                (trade.time_ns as u64, trade.receive_ns as u64, trade.price, trade.size, trade.sequence),
                (theirs.hd.ts_event, theirs.ts_recv, theirs.price, theirs.size, theirs.sequence)
            );
            assert_eq!(
                (trade.action, trade.side, trade.flags, trade.depth),
                (theirs.action as u8, theirs.side as u8, theirs.flags.raw(), theirs.depth)
            );
        }
        assert!(vendor.decode_record::<::dbn::TradeMsg>().unwrap().is_none());
        assert!(!trades.is_empty());

        let file = dir.join("futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst");
        run("dbn-mbp-1".parse().unwrap(), std::slice::from_ref(&file), &path, &options);
        let mut vendor = Decoder::from_zstd_file(&file).unwrap();
        let tops: Vec<Mbp1> = read(&path);
        for top in &tops {
            let theirs = vendor.decode_record::<::dbn::Mbp1Msg>().unwrap().unwrap();
            let level = &theirs.levels[0];
            assert_eq!(
                (top.time_ns as u64, top.receive_ns as u64, top.price, top.size, top.sequence),
                (theirs.hd.ts_event, theirs.ts_recv, theirs.price, theirs.size, theirs.sequence)
            );
            assert_eq!(
                (top.bid_price, top.ask_price, top.bid_size, top.ask_size),
                (level.bid_px, level.ask_px, level.bid_sz, level.ask_sz)
            );
            assert_eq!(
                (top.bid_count, top.ask_count, top.action, top.side),
                (level.bid_ct, level.ask_ct, theirs.action as u8, theirs.side as u8)
            );
        }
        assert!(vendor.decode_record::<::dbn::Mbp1Msg>().unwrap().is_none());
        assert!(tops.len() > 1000);
    }

    #[test]
    fn damaged_conformance_files_never_panic() {
        let Some(dir) = data("damaged_conformance_files_never_panic", "dbn/databento_tests/tests/data") else { return };
        let output = tempfile::tempdir().unwrap();
        let (path, input) = (output.path().join("out.pelton"), output.path().join("in"));
        let options = ImportOptions { overwrite: true, ..ImportOptions::default() };
        let bytes = std::fs::read(dir.join("test_data.mbo.v3.dbn")).unwrap();
        let try_import = |bytes: &[u8]| {
            std::fs::write(&input, bytes).unwrap();
            import(Format::Dbn(None), std::slice::from_ref(&input), &path, &options, &mut |_| {})
        };
        assert_eq!(try_import(&bytes).unwrap().written, 2);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            if let Ok(report) = try_import(&flipped) {
                assert_eq!(report.read, report.written + report.rejected + report.skipped);
            }
            let cut = try_import(&bytes[..at]);
            assert!(at + 56 == bytes.len() || at + 112 == bytes.len() || cut.is_err(), "cut at {at}");
        }
    }
}
