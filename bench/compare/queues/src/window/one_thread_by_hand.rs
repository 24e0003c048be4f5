//! The keyed window in one thread by hand, with a dense table: symbols are small numbers, so the accumulators are an
//! array. `pelton_bench::yardstick` has the same loop with a hash table.

use super::rows::{Out, Windows, behind, by_text, unknown};
use pelton::{BlockSource, BoxError};
use pelton_bench::work::CountAndSum;
use pelton_io::Trade;
use pelton_io::sink::{Blackhole, Seen};

/// # Errors
/// When a block cannot be read, the sink refuses, or a trade lies behind its window.
pub fn run(source: &impl BlockSource<Trade>, windows: Windows, sink: Blackhole) -> Result<Seen, BoxError> {
    let order = by_text(&source.symbols());
    let mut table = vec![CountAndSum::default(); order.len()];
    let mut out = Out::new(sink);
    let (mut start_ns, mut end_ns) = (i64::MIN, i64::MIN);
    let mut reader = source.reader()?;
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        for trade in reader.events() {
            if trade.time_ns >= end_ns {
                fire(&mut out, (start_ns, end_ns), &order, &mut table)?;
                (start_ns, end_ns) = windows.bounds(windows.number(trade.time_ns));
            } else if trade.time_ns < start_ns {
                return Err(behind(trade.time_ns));
            }
            let acc = table.get_mut(trade.symbol.id() as usize).ok_or_else(|| unknown(trade.symbol))?;
            acc.trades += 1;
            acc.size += u64::from(trade.size);
        }
    }
    fire(&mut out, (start_ns, end_ns), &order, &mut table)?;
    out.finish()
}

fn fire(out: &mut Out, bounds: (i64, i64), order: &[u32], table: &mut [CountAndSum]) -> Result<(), BoxError> {
    out.fire(bounds, order.iter().map(|id| (*id, std::mem::take(&mut table[*id as usize]))))
}
