//! The job: trades that are pushed become bars, and those of a feed of its own become sums, by timers.

use crate::numbered;
use pelton::{
    BoxError, CheckpointOptions, DurableInput, Feed, InputCount, Job, JournalKeep, Options, Polled, ProcessContext,
    ProcessFunction, Record, Source, Symbol, Timestamp, Tumbling, Watermarks, callback_numbered, push,
};
use pelton_io::generate::{TradeOptions, trades};
use pelton_io::{Trade, bars, csv};
use std::path::Path;
use std::time::Duration;

/// Files that are written in place: bars, late trades and sums.
pub(crate) const FILES: [&str; 3] = ["bars.csv", "late.csv", "sums.csv"];
/// What the numbered callback was given.
pub(crate) const NUMBERED: &str = "sums.numbered";
/// What a job says that goes on from a checkpoint.
pub(crate) const RESUMED: &str = "went on from checkpoint";

/// The flag of a job that keeps of its journal what checkpoints need.
pub(crate) const CUTS: u64 = 2;

const SYMBOLS: u32 = 30;
const DISORDER: Duration = Duration::from_millis(3);
/// How long after its last trade a symbol is told of.
const TIMER_NS: i64 = 500_000;

fn made(seed: u64) -> Vec<Trade> {
    let options =
        TradeOptions { events: 20_000, keys: SYMBOLS, seed, rate: 50_000, disorder: DISORDER, ..Default::default() };
    trades(&options).collect()
}

/// A feed that goes on where it is told to, and now and then has nothing.
struct Replies {
    trades: Vec<Trade>,
    at: usize,
    polls: u64,
}

impl Feed<Trade> for Replies {
    fn go_on(&mut self, durable: &DurableInput) -> Result<(), BoxError> {
        let InputCount { events, .. } = durable.count();
        self.at = usize::try_from(events)?;
        Ok(())
    }

    fn poll(&mut self, room: usize, out: &mut Vec<Trade>) -> Result<Polled, BoxError> {
        self.polls += 1;
        let rest = &self.trades[self.at..];
        if rest.is_empty() {
            return Ok(Polled::End);
        }
        let count = rest.len().min(room).min(self.polls as usize % 40);
        out.extend_from_slice(&rest[..count]);
        self.at += count;
        Ok(if count == 0 { Polled::Pending } else { Polled::Ready })
    }
}

/// What was traded of a symbol so far.
#[derive(Debug, Clone, Copy, Record)]
#[repr(C)]
struct Sum {
    last_ns: i64,
    now_ns: i64,
    trades: u64,
    volume: u64,
    symbol: Symbol,
    is_odd: u32,
}

/// Tells sums some time after each fourth trade of a symbol.
#[derive(Clone)]
struct Sums;

impl ProcessFunction<Symbol> for Sums {
    type In = Trade;
    type State = Sum;
    type Out = Sum;

    fn on_row(
        &self,
        symbol: &Symbol,
        time: Timestamp,
        trade: &Trade,
        sum: &mut Sum,
        context: &mut ProcessContext<'_, Sum>,
    ) {
        *sum = Sum {
            last_ns: sum.last_ns.max(time.as_nanos()),
            now_ns: 0,
            trades: sum.trades + 1,
            volume: sum.volume + u64::from(trade.size),
            symbol: *symbol,
            is_odd: sum.is_odd ^ 1,
        };
        if sum.trades.is_multiple_of(4) {
            context.timer(Timestamp::from_nanos(sum.last_ns).plus_nanos(TIMER_NS));
        }
    }

    fn on_timer(&self, _: &Symbol, time: Timestamp, sum: &mut Sum, context: &mut ProcessContext<'_, Sum>) {
        context.emit(Sum { now_ns: time.as_nanos(), ..*sum });
    }
}

/// The job in a directory.
pub(crate) struct LiveJob<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) workers: usize,
    /// Bits: options that no result depends on.
    pub(crate) flags: u64,
}

impl LiveJob<'_> {
    /// Runs it to its end, from where it stood.
    pub(crate) fn run(&self) {
        let file = |name: &str| csv::create(self.dir.join(name)).unwrap();
        let mut job = Job::new("live");
        (0..SYMBOLS).for_each(|id| assert!(job.symbols().intern(&format!("S{id:05}")).is_ok()));
        let (mut input, source) = push::<Trade>(1024);
        let pushed = job.source("trades", source).watermarks(Watermarks::bounded(DISORDER / 2));
        let windows = pushed.key_by(|trade| trade.symbol).window(Tumbling::of(Duration::from_millis(10)));
        let bars = windows.aggregate_with("bars", bars::bars(), bars::Bar::new);
        bars.sink("bars_file", file(FILES[0]));
        bars.late.sink("late_file", file(FILES[1]));

        let replies = Replies { trades: made(2), at: 0, polls: self.flags };
        let replies = job.source("replies", Source::feed(replies)).watermarks(Watermarks::bounded(DISORDER));
        let sums = replies.key_by(|trade| trade.symbol).process("sums", Sums);
        sums.clone().sink("sums_file", file(FILES[2]));
        let mut append = numbered::append_to(&self.dir.join(NUMBERED));
        let call = move |number: u64, time: Timestamp, sum: &Sum| append(number, &format!("{time:?} {sum:?}"));
        sums.sink("numbered", callback_numbered(call));

        let checkpoints = CheckpointOptions::in_directory(self.dir.join("state"))
            .every(Duration::from_millis(3))
            .segment_bytes(1 << 14)
            .durable_first(self.flags & 1 == 1)
            .journal_keep(if self.flags & CUTS == 0 { JournalKeep::All } else { JournalKeep::Checkpoints });
        let options = Options::workers(self.workers).pin(false).feed_block_events(256).checkpoints(checkpoints);
        let handle = job.start(options).unwrap();
        if let Some(epoch) = handle.report().recovery.and_then(|recovery| recovery.resumed_from) {
            println!("{RESUMED} {epoch}");
        }
        let trades = made(1);
        for some in trades[input.durable() as usize..].chunks(200) {
            // A job that had finished takes no more.
            input.send(some).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(input);
        handle.join().unwrap().balance().unwrap();
    }
}
