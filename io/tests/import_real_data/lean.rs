//! Trades and quotes of US equities, as LEAN keeps them.

use super::{read, run, table};
use pelton::Symbol;
use pelton_io::Trade;
use pelton_io::capture::Capture;
use pelton_io::codec::lean::{self, LeanOptions, Quote};
use pelton_io::codec::{Decode, Decoded, Input, InputLimits, Reject, events};
use pelton_io::import::{Day, Format, ImportOptions};
use pelton_tests::data::data;
use std::collections::BTreeSet;

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
