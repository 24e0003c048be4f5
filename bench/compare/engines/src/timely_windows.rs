//! The work on timely dataflow: an operator that keeps an array of accumulators for each open window.
//!
//! Either every event goes through an exchange by symbol to its accumulator, or each worker sums what it reads and
//! the sums of a window go through the exchange when the window is over.

use crate::work::{Blocks, Sale, window_start};
use pelton::{BoxError, Symbol};
use pelton_bench::work::{CountAndSum, WindowRow};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::dataflow::operators::{Capability, InputCapability, Operator};
use timely::dataflow::{InputHandleVec, StreamVec};
use timely::progress::frontier::MutableAntichain;
use timely::worker::Worker;

/// How the input is cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Events of all workers from one step of the input's time to the next: what other engines call a watermark.
    pub epoch: usize,
    /// The most events that are sent at once.
    pub batch: usize,
    /// Whether sums go through the exchange instead of events.
    pub combine: bool,
}

/// What can be counted: an event, or the sums of many.
trait Part: Copy {
    fn time_ns(&self) -> i64;
    fn symbol(&self) -> u32;
    fn add_to(&self, acc: &mut CountAndSum);
}

impl Part for Sale {
    #[inline(always)]
    fn time_ns(&self) -> i64 {
        self.time_ns
    }

    #[inline(always)]
    fn symbol(&self) -> u32 {
        self.symbol
    }

    #[inline(always)]
    fn add_to(&self, acc: &mut CountAndSum) {
        acc.trades += 1;
        acc.size += u64::from(self.size);
    }
}

/// What one worker has summed of a symbol's window.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Sums {
    start_ns: i64,
    size: u64,
    trades: u32,
    symbol: u32,
}

impl Part for Sums {
    fn time_ns(&self) -> i64 {
        self.start_ns
    }

    fn symbol(&self) -> u32 {
        self.symbol
    }

    fn add_to(&self, acc: &mut CountAndSum) {
        acc.trades += u64::from(self.trades);
        acc.size += self.size;
    }
}

/// Runs it; the input's time is event time in nanoseconds.
pub fn run(blocks: Blocks, window_ns: i64, workers: usize, cut: Cut) -> Result<Vec<WindowRow>, BoxError> {
    let config = if workers > 1 { timely::Config::process(workers) } else { timely::Config::thread() };
    let work = move |worker: &mut Worker| work(worker, &blocks, window_ns, cut).map_err(|error| error.to_string());
    let mut rows = Vec::new();
    for worker in timely::execute(config, work)?.join() {
        rows.append(&mut worker??);
    }
    Ok(rows)
}

/// One worker's part: it reads every n-th block and keeps the rows of every n-th symbol.
fn work(worker: &mut Worker, blocks: &Blocks, window_ns: i64, cut: Cut) -> Result<Vec<WindowRow>, BoxError> {
    let (index, peers) = (worker.index(), worker.peers());
    let symbols = blocks.symbols().len();
    let mut input = InputHandleVec::<u64, Sale>::new();
    let rows = Rc::new(RefCell::new(Vec::new()));
    let kept = rows.clone();
    worker.dataflow::<u64, _, _>(|scope| {
        let sales = input.to_stream(scope);
        let by_symbol = Exchange::new(|sale: &Sale| u64::from(sale.symbol));
        let sums = if cut.combine {
            let of_worker = windows(sales, Pipeline, window_ns, symbols);
            windows(of_worker, Exchange::new(|sums: &Sums| u64::from(sums.symbol)), window_ns, symbols)
        } else {
            windows(sales, by_symbol, window_ns, symbols)
        };
        sums.sink(Pipeline, "rows", move |(input, _)| input.for_each(|_, sums| kept.borrow_mut().append(sums)));
    });
    let mut reader = blocks.reader()?;
    let mut batch = Vec::with_capacity(cut.batch);
    let epoch = (cut.epoch / peers).max(1);
    let mut left = epoch;
    for block in (index..blocks.blocks().len()).step_by(peers) {
        reader.load(block)?;
        let mut trades = reader.events();
        while !trades.is_empty() {
            // Not between the last batch of an epoch and the epoch's end: the exchange would not be told to flush.
            worker.step();
            let (now, later) = trades.split_at(trades.len().min(left).min(cut.batch));
            batch.extend(now.iter().map(Sale::from));
            input.send_batch(&mut batch);
            batch.clear();
            left -= now.len();
            trades = later;
            if let (0, Some(last)) = (left, now.last()) {
                input.advance_to(last.time_ns as u64);
                left = epoch;
            }
        }
    }
    input.close();
    while worker.step() {}
    Ok(rows.take().into_iter().map(|sums| row(sums, window_ns)).collect())
}

fn row(sums: Sums, window_ns: i64) -> WindowRow {
    let Sums { start_ns, size, trades, symbol } = sums;
    WindowRow { start_ns, end_ns: start_ns + window_ns, size, trades, symbol: Symbol::from_id(symbol) }
}

/// Sums the parts by symbol and window; a window's sums leave when its time is over.
fn windows<'scope, P: Part + 'static>(
    parts: StreamVec<'scope, u64, P>,
    pact: impl ParallelizationContract<u64, Vec<P>>,
    window_ns: i64,
    symbols: usize,
) -> StreamVec<'scope, u64, Sums> {
    parts.unary_frontier(pact, "windows", |_, _| {
        let mut windows = Windows { window_ns, symbols, open: VecDeque::new(), spare: Vec::new() };
        move |(input, frontier), output| {
            input.for_each(|capability, parts| windows.add(&capability, output.output_index(), parts));
            windows.fire(frontier, output);
        }
    })
}

/// The open windows, oldest first.
struct Windows {
    window_ns: i64,
    symbols: usize,
    open: VecDeque<Open>,
    /// Arrays of windows that have fired: empty accumulators.
    spare: Vec<Vec<CountAndSum>>,
}

struct Open {
    start_ns: i64,
    end_ns: i64,
    capability: Capability<u64>,
    by_symbol: Vec<CountAndSum>,
}

impl Windows {
    fn add<P: Part>(&mut self, capability: &InputCapability<u64>, port: usize, parts: &[P]) {
        let mut rest = parts;
        while let Some(first) = rest.first() {
            let open = self.of_time(first.time_ns(), capability, port);
            let (start_ns, end_ns) = (open.start_ns, open.end_ns);
            let mut added = 0;
            for part in rest {
                if part.time_ns() < start_ns || part.time_ns() >= end_ns {
                    break;
                }
                part.add_to(&mut open.by_symbol[part.symbol() as usize]);
                added += 1;
            }
            rest = &rest[added..];
        }
    }

    fn of_time(&mut self, time_ns: i64, capability: &InputCapability<u64>, port: usize) -> &mut Open {
        let start_ns = window_start(time_ns, self.window_ns);
        let place = self.open.partition_point(|open| open.start_ns < start_ns);
        if self.open.get(place).is_none_or(|open| open.start_ns != start_ns) {
            let end_ns = start_ns + self.window_ns;
            let capability = capability.delayed(&(end_ns as u64 - 1), port);
            let by_symbol = self.spare.pop().unwrap_or_else(|| vec![CountAndSum::default(); self.symbols]);
            self.open.insert(place, Open { start_ns, end_ns, capability, by_symbol });
        }
        &mut self.open[place]
    }

    fn fire(
        &mut self,
        frontier: &MutableAntichain<u64>,
        output: &mut OutputBuilderSession<'_, u64, CapacityContainerBuilder<Vec<Sums>>>,
    ) {
        while self.open.front().is_some_and(|open| !frontier.less_than(&(open.end_ns as u64))) {
            let Some(mut fired) = self.open.pop_front() else { break };
            let start_ns = fired.start_ns;
            let mut session = output.session(&fired.capability);
            for (symbol, acc) in fired.by_symbol.iter_mut().enumerate().filter(|(_, acc)| acc.trades > 0) {
                let CountAndSum { trades, size } = std::mem::take(acc);
                session.give(Sums { start_ns, size, trades: trades as u32, symbol: symbol as u32 });
            }
            drop(session);
            self.spare.push(fired.by_symbol);
        }
    }
}
