//! The keyed window in two threads by hand, with every event exchanged by key: each thread reads every other block,
//! keeps the symbols that it owns in dense tables, and sends the other trades whole through an rtrb ring, by chunks.
//!
//! A thread has passed a window when it has read a trade behind it. A window of the symbols of one thread is complete
//! when this thread has passed it and has received a trade behind it, or the other's end: each sends in order of time.
//! A trade is added when it comes, so the trades of a symbol are not added in the order of the input: counts and sums of
//! whole numbers come out right.
//!
//! What crosses is the bare trade, or the trade with its time and its place in the input, which is what a receiver needs
//! that takes rows in the order of the input.

use super::half::{self, Crossing, Half};
use super::rows::Windows;
use crate::hop::{Cores, Waits};
use pelton::{BlockSource, BoxError};
use pelton_io::Trade;
use pelton_io::sink::{Blackhole, Seen};
use rtrb::{Consumer, Producer};

/// Trades of a ring.
const RING: usize = 4096;
/// Trades that are parted at once; about half of them are sent as one chunk.
const BATCH: usize = 512;

/// # Errors
/// When a block cannot be read, the sink refuses, a trade lies behind its window, or a thread cannot be pinned.
pub fn run<R: Crossing>(
    source: &impl BlockSource<Trade>,
    windows: Windows,
    cores: Cores,
    sink: Blackhole,
) -> Result<Seen, BoxError> {
    half::run(source, (windows, RING), cores, sink, |half, (to_other, from_other)| {
        Side::<R> { half, read: i64::MIN, received: i64::MIN, from_other }.run(source, to_other)
    })
}

/// One thread.
struct Side<'a, R> {
    half: Half<'a>,
    /// The window of the last trade that was read.
    read: i64,
    /// The window of the last trade that was received; the greatest number when the other has ended.
    received: i64,
    from_other: Consumer<R>,
}

impl<R: Crossing> Side<'_, R> {
    fn run(mut self, source: &impl BlockSource<Trade>, mut to_other: Producer<R>) -> Result<(), BoxError> {
        let (mut keep, mut send) = ([R::default(); BATCH], [R::default(); BATCH]);
        let mut reader = source.reader()?;
        for block in (self.half.me as usize..source.blocks().len()).step_by(2) {
            reader.load(block)?;
            let mut place = (block as u64) << 32;
            for trades in reader.events().chunks(BATCH) {
                // Both are written and one is kept: which one is as good as random, so a branch would often be missed.
                let (mut kept, mut sent) = (0, 0);
                for trade in trades {
                    let row = R::of(trade, place);
                    keep[kept] = row;
                    send[sent] = row;
                    place += 1;
                    let is_mine = trade.symbol.id() % 2 == self.half.me;
                    kept += usize::from(is_mine);
                    sent += usize::from(!is_mine);
                }
                self.half.add(&keep[..kept])?;
                // The other may be waiting for room as well.
                half::send(&mut to_other, &send[..sent], || Ok(self.receive()? > 0))?;
                self.receive()?;
                if let Some(last) = trades.last() {
                    self.read = self.half.windows.number(last.time_ns);
                }
                self.half.fire(self.read.min(self.received))?;
            }
        }
        self.read = i64::MAX;
        drop(to_other);
        let mut waits = Waits::default();
        while self.received < i64::MAX {
            let received = self.receive()?;
            self.half.fire(self.read.min(self.received))?;
            waits.after(received > 0);
        }
        self.half.fire(self.read.min(self.received))
    }

    /// Takes what has come from the other thread.
    fn receive(&mut self) -> Result<usize, BoxError> {
        // Before the look at what is there: what it sent before it ended is then seen.
        let ended = self.from_other.is_abandoned();
        let there = self.from_other.slots();
        if there == 0 {
            if ended {
                self.received = i64::MAX;
            }
            return Ok(0);
        }
        let chunk = self.from_other.read_chunk(there)?;
        let (front, back) = chunk.as_slices();
        self.half.add(front)?;
        self.half.add(back)?;
        if let Some(last) = back.last().or(front.last()) {
            self.received = self.half.windows.number(last.time_ns());
        }
        chunk.commit_all();
        Ok(there)
    }
}
