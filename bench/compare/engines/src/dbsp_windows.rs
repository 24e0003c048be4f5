//! The work on DBSP: an incremental circuit that sums (1, size) by window and symbol.
//!
//! Each step feeds a batch of trades and reads the changes of the sums; a window's rows are taken when its time is
//! over. The circuit forgets the sums of windows that are over.

use crate::work::{Blocks, Sale, window_start};
use dbsp::dynamic::DynData;
use dbsp::typed_batch::{IndexedZSetReader, SpineSnapshot};
use dbsp::utils::Tup2;
use dbsp::{OrdIndexedZSet, OutputHandle, Runtime, TypedBox, ZWeight};
use pelton::{BoxError, Symbol};
use pelton_bench::work::{CountAndSum, WindowRow};
use std::collections::BTreeMap;

/// A window's first nanosecond and a symbol's id.
type Key = Tup2<i64, u32>;
/// Trades and their sizes.
type Sums = Tup2<i64, i64>;
type Output = OutputHandle<SpineSnapshot<OrdIndexedZSet<Key, Sums>>>;

/// Runs it with `step` trades for each step of the circuit.
pub fn run(blocks: Blocks, window_ns: i64, workers: usize, step: usize) -> Result<Vec<WindowRow>, BoxError> {
    let (mut circuit, (trades, clock, output)) = Runtime::init_circuit(workers, |circuit| {
        let (clock, clock_handle) = circuit.add_input_stream::<i64>();
        let (trades, trades_handle) = circuit.add_input_indexed_zset::<Key, u32>();
        let over = clock.apply(|start_ns| TypedBox::<i64, DynData>::new(*start_ns));
        let sums = trades.aggregate_linear_retain_keys(
            &over,
            |key: &Key, over: &i64| key.0 >= *over,
            |size: &u32| Tup2(1i64, i64::from(*size)),
        );
        Ok((trades_handle, clock_handle, sums.accumulate_output()))
    })?;
    let mut windows = Windows { window_ns, symbols: blocks.symbols().len(), open: BTreeMap::new(), rows: Vec::new() };
    let mut reader = blocks.reader()?;
    let mut batch: Vec<Tup2<Key, Tup2<u32, ZWeight>>> = Vec::with_capacity(step);
    let mut now_ns = i64::MIN;
    for block in 0..blocks.blocks().len() {
        reader.load(block)?;
        let mut rest = reader.events();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(step - batch.len()));
            batch.extend(now.iter().map(Sale::from).map(|sale| {
                now_ns = sale.time_ns;
                Tup2(Tup2(window_start(sale.time_ns, window_ns), sale.symbol), Tup2(sale.size, 1))
            }));
            if batch.len() == step {
                trades.append(&mut batch);
                batch.clear();
                clock.set_for_all(windows.oldest());
                circuit.transaction()?;
                windows.change(&output);
                windows.fire(window_start(now_ns, window_ns));
            }
            rest = later;
        }
    }
    trades.append(&mut batch);
    clock.set_for_all(windows.oldest());
    circuit.transaction()?;
    windows.change(&output);
    windows.fire(i64::MAX);
    circuit.kill().map_err(|_| "a worker of dbsp panicked")?;
    Ok(windows.rows)
}

/// The sums of the open windows, by the window's start.
struct Windows {
    window_ns: i64,
    symbols: usize,
    open: BTreeMap<i64, Vec<CountAndSum>>,
    rows: Vec<WindowRow>,
}

impl Windows {
    /// The start of the oldest window whose sums may change.
    fn oldest(&self) -> i64 {
        self.open.keys().next().copied().unwrap_or(i64::MIN)
    }

    fn change(&mut self, output: &Output) {
        for (key, sums, weight) in output.concat().iter() {
            // What is taken back is replaced: a sum once there does not go.
            if weight > 0 {
                let sums_of = self.open.entry(key.0).or_insert_with(|| vec![CountAndSum::default(); self.symbols]);
                sums_of[key.1 as usize] = CountAndSum { trades: sums.0 as u64, size: sums.1 as u64 };
            }
        }
    }

    /// Takes the rows of the windows before the one that starts then.
    fn fire(&mut self, before_ns: i64) {
        while let Some(open) = self.open.first_entry().filter(|open| *open.key() < before_ns) {
            let (start_ns, sums) = open.remove_entry();
            let end_ns = start_ns + self.window_ns;
            for (symbol, CountAndSum { trades, size }) in sums.into_iter().enumerate().filter(|(_, acc)| acc.trades > 0)
            {
                let symbol = Symbol::from_id(symbol as u32);
                self.rows.push(WindowRow { start_ns, end_ns, size, trades: trades as u32, symbol });
            }
        }
    }
}
