//! The work on timely dataflow: an operator that keeps an array of accumulators for each open window.

use crate::work::{Blocks, Sale, window_start};
use pelton::{BoxError, Symbol};
use pelton_bench::work::{CountAndSum, WindowRow};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandleVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::dataflow::operators::{Capability, InputCapability, Operator};
use timely::progress::frontier::MutableAntichain;
use timely::worker::Worker;

/// How the input is cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Events of all workers from one step of the input's time to the next: what other engines call a watermark.
    pub epoch: usize,
    /// The most events that are sent at once.
    pub batch: usize,
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
        input
            .to_stream(scope)
            .unary_frontier(Exchange::new(|sale: &Sale| u64::from(sale.symbol)), "windows", |_, _| {
                let mut windows = Windows { window_ns, symbols, open: VecDeque::new(), spare: Vec::new() };
                move |(input, frontier), output| {
                    input.for_each(|capability, sales| windows.add(&capability, output.output_index(), sales));
                    windows.fire(frontier, output);
                }
            })
            .sink(Pipeline, "rows", move |(input, _)| input.for_each(|_, rows| kept.borrow_mut().append(rows)));
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
    Ok(rows.take())
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
    fn add(&mut self, capability: &InputCapability<u64>, port: usize, sales: &[Sale]) {
        let mut rest = sales;
        while let Some(first) = rest.first() {
            let open = self.of_time(first.time_ns, capability, port);
            let (start_ns, end_ns) = (open.start_ns, open.end_ns);
            let mut added = 0;
            for sale in rest {
                if sale.time_ns < start_ns || sale.time_ns >= end_ns {
                    break;
                }
                let acc = &mut open.by_symbol[sale.symbol as usize];
                acc.trades += 1;
                acc.size += u64::from(sale.size);
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
        output: &mut OutputBuilderSession<'_, u64, CapacityContainerBuilder<Vec<WindowRow>>>,
    ) {
        while self.open.front().is_some_and(|open| !frontier.less_than(&(open.end_ns as u64))) {
            let Some(mut fired) = self.open.pop_front() else { break };
            let (start_ns, end_ns) = (fired.start_ns, fired.end_ns);
            let mut session = output.session(&fired.capability);
            for (symbol, acc) in fired.by_symbol.iter_mut().enumerate().filter(|(_, acc)| acc.trades > 0) {
                let CountAndSum { trades, size } = std::mem::take(acc);
                let symbol = Symbol::from_id(symbol as u32);
                session.give(WindowRow { start_ns, end_ns, size, trades: trades as u32, symbol });
            }
            drop(session);
            self.spare.push(fired.by_symbol);
        }
    }
}
