//! The keyed window in two threads by hand, combined: each thread reads every other block into a dense table of its own
//! and brings it to a table under a lock when its window ends. No event goes from one thread to the other.
//!
//! The thread by which a window becomes complete writes its rows.

use super::meeting::Meeting;
use super::rows::{Out, Windows, behind, by_text, unknown};
use crate::hop::{Cores, panicked, pin};
use pelton::{BlockSource, BoxError};
use pelton_bench::work::CountAndSum;
use pelton_io::Trade;
use pelton_io::sink::{Blackhole, Seen};
use std::sync::{Mutex, PoisonError};
use std::thread;

type Table = Vec<CountAndSum>;

struct Shared {
    meeting: Meeting<Table>,
    /// Tables of zeros.
    spare: Vec<Table>,
    out: Out,
}

/// # Errors
/// When a block cannot be read, the sink refuses, a trade lies behind its window, or a thread cannot be pinned.
pub fn run(
    source: &impl BlockSource<Trade>,
    windows: Windows,
    cores: Cores,
    sink: Blackhole,
) -> Result<Seen, BoxError> {
    let order = &by_text(&source.symbols())[..];
    let shared = Mutex::new(Shared { meeting: Meeting::new(), spare: Vec::new(), out: Out::new(sink) });
    thread::scope(|scope| {
        let shared = &shared;
        let sides = [cores.first, cores.second].into_iter().enumerate().map(|(side, core)| {
            scope.spawn(move || {
                pin(core)?;
                Side { side, windows, order, shared }.read(source)
            })
        });
        // All are started before one is waited for, and all are waited for before one's error is told.
        let sides: Vec<_> = sides.collect();
        let results: Vec<_> = sides.into_iter().map(|side| side.join().map_err(panicked)).collect();
        results.into_iter().try_for_each(|result| result?)
    })?;
    shared.into_inner().unwrap_or_else(PoisonError::into_inner).out.finish()
}

struct Side<'a> {
    side: usize,
    windows: Windows,
    order: &'a [u32],
    shared: &'a Mutex<Shared>,
}

impl Side<'_> {
    fn read(&self, source: &impl BlockSource<Trade>) -> Result<(), BoxError> {
        let mut table = vec![CountAndSum::default(); self.order.len()];
        let (mut window, mut start_ns, mut end_ns) = (i64::MIN, i64::MIN, i64::MIN);
        let mut reader = source.reader()?;
        for block in (self.side..source.blocks().len()).step_by(2) {
            reader.load(block)?;
            for trade in reader.events() {
                if trade.time_ns >= end_ns {
                    let next = self.windows.number(trade.time_ns);
                    table = self.leave(window, table, next)?;
                    window = next;
                    (start_ns, end_ns) = self.windows.bounds(window);
                } else if trade.time_ns < start_ns {
                    return Err(behind(trade.time_ns));
                }
                let acc = table.get_mut(trade.symbol.id() as usize).ok_or_else(|| unknown(trade.symbol))?;
                acc.trades += 1;
                acc.size += u64::from(trade.size);
            }
        }
        self.leave(window, table, i64::MAX)?;
        Ok(())
    }

    /// Brings this side's part of `window` and goes on to window `next`, for which it returns an empty table.
    fn leave(&self, window: i64, table: Table, next: i64) -> Result<Table, BoxError> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Shared { meeting, spare, out } = &mut *shared;
        spare.extend(meeting.bring(window, table, |all, part| {
            for (all, part) in all.iter_mut().zip(part) {
                all.trades += part.trades;
                all.size += part.size;
                *part = CountAndSum::default();
            }
        }));
        meeting.pass(self.side, next);
        while let Some((window, mut table)) = meeting.next() {
            // Before the first trade there was no window, and its table is empty.
            if window != i64::MIN {
                let entries = self.order.iter().map(|id| (*id, std::mem::take(&mut table[*id as usize])));
                out.fire(self.windows.bounds(window), entries)?;
            }
            spare.push(table);
        }
        Ok(spare.pop().unwrap_or_else(|| vec![CountAndSum::default(); self.order.len()]))
    }
}
