//! Real trades with the quotes that they meet, as two other programs found them.

use pelton::{AsOf, Job, Options, Record, VecSource, collect};
use pelton_io::Trade;
use pelton_io::codec::lean::{self, LeanOptions, Quote};
use pelton_io::codec::{Input, InputLimits, events};
use pelton_tests::data::{data, time_of_day};
use pelton_tests::rows::assert_same;
use pelton_tests::running::finish;

/// A trade with the quote that it met.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Record)]
#[repr(C)]
struct QuotedTrade {
    trade_ns: i64,
    venue: u64,
    price: i64,
    bid: i64,
    ask: i64,
    /// 0 where there is none.
    quote_ns: i64,
}

fn quoted(trade: &Trade, quote: Option<&Quote>) -> QuotedTrade {
    let venue = u64::from(u16::from_be_bytes(trade.venue));
    let (bid, ask, quote_ns) = quote.map_or((-1, -1, 0), |quote| (quote.bid_price, quote.ask_price, quote.time_ns));
    QuotedTrade { trade_ns: trade.time_ns, venue, price: trade.price, bid, ask, quote_ns }
}

/// Venue, time, price, bid, ask, time of the quote.
fn expected_of(text: &str) -> Vec<QuotedTrade> {
    let row = |line: &str| {
        let columns: Vec<&str> = line.split(',').collect();
        let [venue, time, price, bid, ask, quoted] = columns[..] else { panic!("{line}") };
        let number = |text: &str| if text.is_empty() { -1 } else { text.parse().unwrap() };
        let mut letters = [0; 2];
        letters[..venue.len()].copy_from_slice(venue.as_bytes());
        QuotedTrade {
            trade_ns: time_of_day(time),
            venue: u64::from(u16::from_be_bytes(letters)),
            price: number(price),
            bid: number(bid),
            ask: number(ask),
            quote_ns: if quoted.is_empty() { 0 } else { time_of_day(quoted) },
        }
    };
    text.lines().map(row).collect()
}

#[test]
fn real_trades_meet_the_quotes_that_two_other_programs_found() {
    let test = "real_trades_meet_the_quotes_that_two_other_programs_found";
    let Some(dir) = data(test, "lean_us_equity_tick") else { return };
    let open = |name: &str| Input::open(&dir.join(name), &InputLimits::default()).unwrap();
    let options = LeanOptions::default();
    let trades: Vec<Trade> =
        events(lean::trades(open("ibm_20131008_trade.zip"), options)).collect::<Result<_, _>>().unwrap();
    let quotes: Vec<Quote> =
        events(lean::quotes(open("ibm_20131008_quote.zip"), options)).collect::<Result<_, _>>().unwrap();
    let mut expected = expected_of(&std::fs::read_to_string(dir.join("expected/ibm_20131008_temporal.csv")).unwrap());
    assert_eq!((trades.len(), expected.len()), (33_381, 33_381));
    // The file has no order among trades of one time and venue; the job keeps that of the trades.
    let order = |row: &QuotedTrade| (row.trade_ns, row.venue);
    let whole = |row: &QuotedTrade| (order(row), row.price, row.bid, row.ask, row.quote_ns);
    expected.sort_by_key(whole);
    let mut lefts: Vec<_> = trades.iter().map(|trade| quoted(trade, None)).collect();
    lefts.sort_by_key(order);
    let left = |row: &QuotedTrade| (order(row), row.price);
    let lefts: Vec<_> = lefts.iter().map(left).collect();
    for (workers, block) in [(1, 1), (1, 4096), (2, 64), (3, 4096), (8, 64)] {
        let mut job = Job::new("quoted trades");
        let (sink, rows) = collect();
        let quotes = job
            .source("quotes", VecSource::new(quotes.clone(), block).with_symbols(["IBM"]))
            .key_by(|quote| quote.venue);
        let trades = job
            .source("trades", VecSource::new(trades.clone(), block).with_symbols(["IBM"]))
            .key_by(|trade| trade.venue);
        trades.as_of_join(quotes, AsOf::backward()).left("quoted", quoted).main.sink("out", sink);
        let report = finish(job, Options::workers(workers));
        assert_eq!(report.step("quoted").unwrap().late, 0);
        let mut found: Vec<_> = rows.take().into_iter().map(|(_, row)| row).collect();
        let what = format!("blocks of {block} on {workers} workers");
        assert_same(&found.iter().map(left).collect::<Vec<_>>(), &lefts, &format!("trades, {what}"));
        found.sort_by_key(whole);
        assert_same(&found, &expected, &what);
    }
}
