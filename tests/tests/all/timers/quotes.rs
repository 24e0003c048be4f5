//! A function over two streams whose timers close what is too old.

use super::{BOUND, SECOND, bounded, everywhere, uneven};
use pelton::{CoProcessFunction, Event, Job, ProcessContext, Record, Timestamp, collect};
use pelton_tests::events::{Row, Sample};
use pelton_tests::rows::rows_of_model;
use pelton_tests::running::paced;
use pelton_tests::slow::{Call, Function, Placed, merged, run};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Event)]
#[repr(C)]
struct Trade {
    #[event(time)]
    time_ns: i64,
    symbol: u64,
    number: u64,
}

#[derive(Clone, Copy, Record)]
#[repr(C)]
struct LastQuote {
    time: Timestamp,
    bid: i64,
    is_open: u64,
}

/// Gives each trade the last bid, as long as that is not older than a second.
#[derive(Clone)]
struct LastBid;

impl CoProcessFunction<u64> for LastBid {
    type Left = Trade;
    type Right = Sample;
    type State = LastQuote;
    type Out = Row;

    fn on_left(
        &self,
        key: &u64,
        _: Timestamp,
        trade: &Trade,
        last: &mut LastQuote,
        context: &mut ProcessContext<'_, Row>,
    ) {
        let bid = if last.is_open == 1 { last.bid } else { -1 };
        context.emit(Row { key: *key, a: trade.number as i64, b: bid });
    }

    fn on_right(
        &self,
        _: &u64,
        time: Timestamp,
        quote: &Sample,
        last: &mut LastQuote,
        context: &mut ProcessContext<'_, Row>,
    ) {
        *last = LastQuote { time, bid: quote.value, is_open: 1 };
        context.timer(time + Duration::from_secs(1));
    }

    fn on_timer(&self, key: &u64, time: Timestamp, last: &mut LastQuote, context: &mut ProcessContext<'_, Row>) {
        if last.is_open == 1 && last.time + Duration::from_secs(1) == time {
            last.is_open = 0;
            context.emit(Row { key: *key, a: -1, b: time.as_nanos() });
        }
    }
}

#[derive(Clone, Copy)]
enum Either {
    Trade(Trade),
    Quote(Sample),
}

#[derive(Default)]
struct SlowBid(BTreeMap<u64, (i64, i64)>);

impl Function<Either> for SlowBid {
    type Out = Row;
    fn key(&self, row: &Either) -> u64 {
        match row {
            Either::Trade(trade) => trade.symbol,
            Either::Quote(quote) => quote.key,
        }
    }
    fn row(&mut self, key: u64, time: i64, row: &Either, call: &mut Call<Row>) {
        match row {
            Either::Trade(trade) => {
                let bid = self.0.get(&key).map_or(-1, |(_, bid)| *bid);
                call.rows.push(Row { key, a: trade.number as i64, b: bid });
            }
            Either::Quote(quote) => {
                self.0.insert(key, (time, quote.value));
                call.timers.push(time + SECOND);
            }
        }
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        if self.0.get(&key).is_some_and(|(quoted, _)| quoted + SECOND == time) {
            self.0.remove(&key);
            call.rows.push(Row { key, a: -1, b: time });
        }
    }
}

#[test]
fn trades_meet_the_last_quote_of_another_source_that_is_open() {
    for (seed, trades, quotes) in [(20, 100, 150), (21, 150, 20), (22, 1, 50), (23, 50, 0)] {
        let trade = |sample: Sample| Trade { time_ns: sample.time_ns, symbol: sample.key, number: sample.number };
        let trades: Vec<Trade> = uneven(trades, 4, seed).into_iter().map(trade).collect();
        let quotes = uneven(quotes, 4, seed + 100);
        let times = [trades.iter().map(|row| row.time_ns).collect(), quotes.iter().map(|row| row.time_ns).collect()];
        let end = times.iter().flatten().copied().max().unwrap();
        let rows: Vec<_> = merged(&times)
            .into_iter()
            .map(|(source, at, clock)| {
                let row = if source == 0 { Either::Trade(trades[at]) } else { Either::Quote(quotes[at]) };
                Placed { time: times[source][at], clock, row }
            })
            .collect();
        let expected = rows_of_model(&run(&rows, end, BOUND, SlowBid::default()));
        assert!(expected.len() >= trades.len());
        everywhere(&expected, |block, pace| {
            let mut job = Job::new("last bid");
            let (sink, rows) = collect();
            // Trades have a bound of their own, which is the smaller one.
            let left = job.source("trades", paced(&trades, block, pace)).key_by(|trade| trade.symbol);
            let right = job.source("quotes", paced(&quotes, block.div_ceil(2), pace)).watermarks(bounded());
            left.co_process(right.key_by(|quote| quote.key), "last bid", LastBid).sink("out", sink);
            (job, rows)
        });
    }
}
