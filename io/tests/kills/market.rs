//! Trades and quotes of two captures through windows, an as-of join and a process function with timers, into files that are
//! written in place and files that roll.

use crate::campaign::{hold, kills_wanted};
use pelton::{
    AsOf, Event, Job, ProcessContext, ProcessFunction, Record, Symbol, Timestamp, Tumbling, Watermarks, vwap,
};
use pelton_io::sink::{Format, Roll, Rolling, TextSink};
use pelton_io::{Trade, capture, csv, generate};
use std::path::Path;
use std::time::Duration;

pub(crate) const NAME: &str = "market";

/// How long a symbol is not traded before that is told.
const LULL_NS: i64 = 8_000_000;

/// A trade with the latest quote.
#[derive(Clone, Copy, Record)]
#[repr(C)]
struct Quoted {
    price: i64,
    /// The quote's price, 0 without one.
    quote: i64,
    size: u32,
    symbol: Symbol,
}

/// A symbol that is not traded for a while.
#[derive(Clone, Copy, Event)]
#[repr(C)]
struct Lull {
    #[event(time)]
    time_ns: i64,
    trades: u64,
    /// The size of all trades so far, and what they paid above their quotes.
    size: u64,
    spread: i64,
    symbol: Symbol,
    reserved: u32,
}

/// What was traded of a symbol.
#[derive(Clone, Copy, Record)]
#[repr(C)]
struct Traded {
    last_ns: i64,
    trades: u64,
    size: u64,
    spread: i64,
}

#[derive(Clone)]
struct Lulls;

impl ProcessFunction<Symbol> for Lulls {
    type In = Quoted;
    type State = Traded;
    type Out = Lull;

    fn on_row(
        &self,
        _: &Symbol,
        time: Timestamp,
        row: &Quoted,
        traded: &mut Traded,
        context: &mut ProcessContext<'_, Lull>,
    ) {
        traded.last_ns = traded.last_ns.max(time.as_nanos());
        traded.trades += 1;
        traded.size += u64::from(row.size);
        traded.spread += row.price - row.quote;
        context.timer(time.plus_nanos(LULL_NS));
    }

    fn on_timer(&self, symbol: &Symbol, time: Timestamp, traded: &mut Traded, context: &mut ProcessContext<'_, Lull>) {
        if time.as_nanos() - traded.last_ns >= LULL_NS {
            let Traded { trades, size, spread, .. } = *traded;
            context.emit(Lull { time_ns: time.as_nanos(), trades, size, spread, symbol: *symbol, reserved: 0 });
        }
    }
}

pub(crate) fn job(inputs: &Path, out: &Path) -> Job {
    let mut job = Job::new(NAME);
    // Some trades are late, and some quotes.
    let bounded = || Watermarks::bounded(Duration::from_millis(2));
    let source = |name: &str| capture::replay::<Trade>(inputs.join(format!("{name}.pelton"))).unwrap();
    let rolled = |name: &str, bytes| Rolling::new(out.join(name), Roll::bytes(bytes));
    let quotes = job.source("quotes", source("quotes")).watermarks(bounded()).key_by(|quote| quote.symbol);
    let trades = job.source("trades", source("trades")).watermarks(bounded());

    let averages = trades.clone().key_by(|trade| trade.symbol).window(Tumbling::of(Duration::from_millis(10)));
    let averages = averages.aggregate("averages", vwap(|trade: &Trade| trade.price, |trade| i64::from(trade.size)));
    averages.sink("averages_csv", csv::create(out.join("averages.csv")).unwrap());
    let late = TextSink::in_place(out.join("late.csv"), Format::Csv, false).unwrap();
    averages.late.sink("late_csv", late);

    let quoted = trades.key_by(|trade| trade.symbol).as_of_join(quotes, AsOf::backward());
    let quoted = quoted.left("quoted", |trade: &Trade, quote: Option<&Trade>| Quoted {
        price: trade.price,
        quote: quote.map_or(0, |quote| quote.price),
        size: trade.size,
        symbol: trade.symbol,
    });
    quoted.main.clone().sink("quoted_csv", TextSink::rolling(rolled("quoted.csv", 100_000), Format::Csv).unwrap());
    let lulls = quoted.main.key_by(|row| row.symbol).process("lulls", Lulls);
    lulls.sink("lulls_captures", capture::sink::rolling::<Lull>(rolled("lulls.pelton", 40_000)).unwrap());
    job
}

fn make_up(path: &Path, events: u64, rate: u64, seed: u64) {
    let disorder = Duration::from_millis(3);
    let options = generate::TradeOptions { events, keys: 200, rate, disorder, seed, ..Default::default() };
    let symbols = generate::symbol_names(options.keys).collect();
    let options_of_file = capture::WriterOptions { symbols, block_events: 256, ..Default::default() };
    let mut writer = capture::CaptureWriter::create(path, options_of_file).unwrap();
    generate::trades(&options).try_for_each(|trade| writer.push(&trade)).unwrap();
    writer.finish().unwrap();
}

pub(crate) fn test() {
    let inputs = tempfile::tempdir().unwrap();
    make_up(&inputs.path().join("trades.pelton"), 30_000, 60_000, 1);
    make_up(&inputs.path().join("quotes.pelton"), 20_000, 40_000, 2);
    hold(NAME, inputs.path(), kills_wanted(20), |files| {
        let of = |part: &str| files.keys().filter(|name| name.starts_with(part)).count();
        match (of("averages"), of("late"), of("quoted"), of("lulls")) {
            (1, 1, 4.., 3..) => Ok(()),
            other => Err(format!("{other:?} files of averages, late trades, quoted trades and lulls")),
        }
    });
}
