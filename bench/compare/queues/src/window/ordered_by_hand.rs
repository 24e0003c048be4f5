//! The keyed window in two threads by hand, with every event exchanged by key and added in the order of the input: what
//! sums of floats need that come out the same at any number of threads, and what a job of two workers does.
//!
//! Each thread reads every other block, sends the trades of symbols that it does not own, and keeps those that it owns
//! until the blocks before are done with. A row behind each block's trades says that the block has ended.

use super::half::{self, Crossing, Half, Placed};
use super::rows::Windows;
use crate::hop::{Cores, Waits};
use pelton::{BlockSource, BoxError};
use pelton_io::Trade;
use pelton_io::sink::{Blackhole, Seen};
use rtrb::{Consumer, Producer};

/// Trades of a ring: a thread's trades of a block lie there until the block before is done with.
const RING: usize = 8192;
/// Trades that are parted at once; about half of them are sent as one chunk.
const BATCH: usize = 512;

/// # Errors
/// When a block cannot be read, the sink refuses, a trade lies behind its window, or a thread cannot be pinned.
pub fn run(
    source: &impl BlockSource<Trade>,
    windows: Windows,
    cores: Cores,
    sink: Blackhole,
) -> Result<Seen, BoxError> {
    let blocks = source.blocks().len();
    half::run(source, (windows, RING), cores, sink, |half, (to_other, from_other)| {
        let turns = Turns { half, block: 0, complete: i64::MIN };
        Side { turns, blocks, kept: Vec::new(), taken: 0, from_other }.run(source, to_other)
    })
}

/// One thread.
struct Side<'a> {
    turns: Turns<'a>,
    blocks: usize,
    /// Trades of this side's symbols that it has read itself; those before `taken` are added.
    kept: Vec<Placed>,
    taken: usize,
    from_other: Consumer<Placed>,
}

impl Side<'_> {
    fn run(mut self, source: &impl BlockSource<Trade>, mut to_other: Producer<Placed>) -> Result<(), BoxError> {
        let (mut keep, mut send) = ([Placed::default(); BATCH + 1], [Placed::default(); BATCH + 1]);
        let mut reader = source.reader()?;
        for block in (self.turns.half.me as usize..self.blocks).step_by(2) {
            reader.load(block)?;
            let mut place = (block as u64) << 32;
            let batches = reader.events().chunks(BATCH);
            let last = batches.len() - 1;
            for (batch, trades) in batches.enumerate() {
                // Both are written and one is kept: which one is as good as random, so a branch would often be missed.
                let (mut kept, mut sent) = (0, 0);
                for trade in trades {
                    let row = Placed::of(trade, place);
                    keep[kept] = row;
                    send[sent] = row;
                    place += 1;
                    let is_mine = trade.symbol.id() % 2 == self.turns.half.me;
                    kept += usize::from(is_mine);
                    sent += usize::from(!is_mine);
                }
                if batch == last {
                    keep[kept] = Placed::end_of(block);
                    send[sent] = Placed::end_of(block);
                    kept += 1;
                    sent += 1;
                }
                self.keep(&keep[..kept])?;
                // The other may be waiting for room as well.
                half::send(&mut to_other, &send[..sent], || self.advance())?;
                self.advance()?;
            }
        }
        let mut waits = Waits::default();
        while self.turns.block < self.blocks {
            let progress = self.advance()?;
            if !progress && self.from_other.is_abandoned() && self.from_other.is_empty() {
                return Err("the other thread is gone".into());
            }
            waits.after(progress);
        }
        self.turns.half.fire(i64::MAX)
    }

    /// Adds trades that this thread has read, or keeps them for their turn.
    fn keep(&mut self, rows: &[Placed]) -> Result<(), BoxError> {
        let added = if self.kept.is_empty() { self.turns.add(rows)? } else { 0 };
        self.kept.extend_from_slice(&rows[added..]);
        Ok(())
    }

    /// Adds what has its turn, of this thread's trades and of what has come from the other; whether there was any.
    fn advance(&mut self) -> Result<bool, BoxError> {
        let mut progress = false;
        loop {
            let is_own = self.turns.block % 2 == self.turns.half.me as usize;
            let added = if is_own { self.add_kept()? } else { self.receive()? };
            if added == 0 {
                self.turns.half.fire(self.turns.complete)?;
                return Ok(progress);
            }
            progress = true;
        }
    }

    fn add_kept(&mut self) -> Result<usize, BoxError> {
        let added = self.turns.add(&self.kept[self.taken..])?;
        self.taken += added;
        if self.taken == self.kept.len() {
            self.kept.clear();
            self.taken = 0;
        }
        Ok(added)
    }

    fn receive(&mut self) -> Result<usize, BoxError> {
        let chunk = self.from_other.read_chunk(self.from_other.slots())?;
        let added = self.turns.add(chunk.as_slices().0)?;
        chunk.commit(added);
        Ok(added)
    }
}

/// Adds trades block by block.
struct Turns<'a> {
    half: Half<'a>,
    /// The block whose trades are added now.
    block: usize,
    /// The window of the last trade that was added.
    complete: i64,
}

impl Turns<'_> {
    /// Adds the first rows, as far as they are of the block whose turn it is; says how many.
    fn add(&mut self, rows: &[Placed]) -> Result<usize, BoxError> {
        let count = rows.partition_point(|row| row.block() <= self.block);
        let mut trades = &rows[..count];
        if let Some((last, rest)) = trades.split_last()
            && last.is_end()
        {
            self.block += 1;
            trades = rest;
        }
        self.half.add(trades)?;
        if let Some(last) = trades.last() {
            self.complete = self.half.windows.number(last.time_ns());
        }
        Ok(count)
    }
}
