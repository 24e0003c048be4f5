//! The keyed window in two threads by hand, with every event exchanged by key: each thread reads every other block,
//! keeps the symbols that it owns in dense tables, and sends the other trades whole through an rtrb ring, by chunks.
//!
//! A thread has passed a window when it has read a trade behind it. A window of the symbols of one thread is complete
//! when this thread has passed it and has received a trade behind it, or the other's end: each sends in order of time.
//! The halves meet under a lock, where their rows are merged.
//!
//! What crosses is the bare trade, or the trade with its time and its place in the input, which is what a receiver needs
//! that takes rows in the order of the input.

use super::meeting::Meeting;
use super::rows::{Out, Windows, behind, by_text, unknown};
use crate::hop::{Cores, Waits, panicked, pin};
use pelton::{BlockSource, BoxError};
use pelton_bench::work::CountAndSum;
use pelton_io::Trade;
use pelton_io::sink::{Blackhole, Seen};
use rtrb::{Consumer, Producer, RingBuffer};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Trades of a ring.
const RING: usize = 4096;
/// Trades that are parted at once; about half of them are sent as one chunk.
const BATCH: usize = 512;

/// A trade as it crosses.
pub trait Crossing: Copy + Default + Send {
    /// The trade at `place` in the input: its block, and its number there.
    fn of(trade: &Trade, place: u64) -> Self;
    fn trade(&self) -> &Trade;
    fn time_ns(&self) -> i64;
}

/// 32 bytes.
impl Crossing for Trade {
    #[inline(always)]
    fn of(trade: &Trade, _: u64) -> Self {
        *trade
    }

    #[inline(always)]
    fn trade(&self) -> &Trade {
        self
    }

    #[inline(always)]
    fn time_ns(&self) -> i64 {
        self.time_ns
    }
}

/// 48 bytes: what crosses between workers of a job.
#[derive(Debug, Clone, Copy, Default)]
pub struct Placed {
    time_ns: i64,
    place: u64,
    trade: Trade,
}

impl Crossing for Placed {
    #[inline(always)]
    fn of(trade: &Trade, place: u64) -> Self {
        Self { time_ns: trade.time_ns, place, trade: *trade }
    }

    #[inline(always)]
    fn trade(&self) -> &Trade {
        &self.trade
    }

    #[inline(always)]
    fn time_ns(&self) -> i64 {
        self.time_ns
    }
}

/// The rows of a window so far: the symbol's rank, its id, what it has.
type Rows = Vec<(u32, u32, CountAndSum)>;

struct Shared {
    meeting: Meeting<Rows>,
    merged: Rows,
    out: Out,
}

/// # Errors
/// When a block cannot be read, the sink refuses, a trade lies behind its window, or a thread cannot be pinned.
pub fn run<R: Crossing>(
    source: &impl BlockSource<Trade>,
    windows: Windows,
    cores: Cores,
    sink: Blackhole,
) -> Result<Seen, BoxError> {
    let order = &by_text(&source.symbols())[..];
    let shared = Mutex::new(Shared { meeting: Meeting::new(), merged: Rows::new(), out: Out::new(sink) });
    let ((to_second, from_first), (to_first, from_second)) = (RingBuffer::<R>::new(RING), RingBuffer::<R>::new(RING));
    thread::scope(|scope| {
        let ends = [(cores.first, to_second, from_second), (cores.second, to_first, from_first)];
        let shared = &shared;
        let sides = ends.into_iter().enumerate().map(|(me, (core, to_other, from_other))| {
            scope.spawn(move || {
                pin(core)?;
                let side = Side {
                    me: me as u32,
                    windows,
                    own: by_rank(order, me as u32),
                    symbols: order.len(),
                    open: VecDeque::new(),
                    first: i64::MIN,
                    spare: Vec::new(),
                    read: i64::MIN,
                    received: i64::MIN,
                    from_other,
                    shared,
                };
                side.run(source, to_other)
            })
        });
        // All are started before one is waited for, and all are waited for before one's error is told.
        let sides: Vec<_> = sides.collect();
        let results: Vec<_> = sides.into_iter().map(|side| side.join().map_err(panicked)).collect();
        results.into_iter().try_for_each(|result| result?)
    })?;
    shared.into_inner().unwrap_or_else(PoisonError::into_inner).out.finish()
}

/// The symbols of one side with their ranks, in their order.
fn by_rank(order: &[u32], me: u32) -> Vec<(u32, u32)> {
    let ranked = order.iter().enumerate().map(|(rank, id)| (rank as u32, *id));
    ranked.filter(|(_, id)| id % 2 == me).collect()
}

/// One thread.
struct Side<'a, R> {
    /// It owns the symbols whose ids are this number modulo 2.
    me: u32,
    windows: Windows,
    own: Vec<(u32, u32)>,
    symbols: usize,
    /// Windows with their tables, by half the symbol's id; in order, none before `first`.
    open: VecDeque<(i64, Vec<CountAndSum>)>,
    /// All windows before it have fired.
    first: i64,
    spare: Vec<Vec<CountAndSum>>,
    /// The window of the last trade that was read.
    read: i64,
    /// The window of the last trade that was received; the greatest number when the other has ended.
    received: i64,
    from_other: Consumer<R>,
    shared: &'a Mutex<Shared>,
}

impl<R: Crossing> Side<'_, R> {
    fn run(mut self, source: &impl BlockSource<Trade>, mut to_other: Producer<R>) -> Result<(), BoxError> {
        let (mut keep, mut send) = ([R::default(); BATCH], [R::default(); BATCH]);
        let mut reader = source.reader()?;
        for block in (self.me as usize..source.blocks().len()).step_by(2) {
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
                    let is_mine = trade.symbol.id() % 2 == self.me;
                    kept += usize::from(is_mine);
                    sent += usize::from(!is_mine);
                }
                self.add(&keep[..kept])?;
                self.send(&mut to_other, &send[..sent])?;
                self.receive()?;
                if let Some(last) = trades.last() {
                    self.read = self.windows.number(last.time_ns);
                }
                self.fire()?;
            }
        }
        self.read = i64::MAX;
        drop(to_other);
        let mut waits = Waits::default();
        while self.received < i64::MAX {
            let received = self.receive()?;
            self.fire()?;
            waits.after(received > 0);
        }
        self.fire()
    }

    fn send(&mut self, to_other: &mut Producer<R>, mut trades: &[R]) -> Result<(), BoxError> {
        let mut waits = Waits::default();
        while !trades.is_empty() {
            let (pushed, rest) = to_other.push_partial_slice(trades);
            trades = rest;
            if !rest.is_empty() {
                // The other may be waiting for room as well.
                let received = self.receive()?;
                if pushed.is_empty() && received == 0 && to_other.is_abandoned() {
                    return Err("the other thread is gone".into());
                }
                waits.after(received > 0 || !pushed.is_empty());
            }
        }
        Ok(())
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
        let Self { from_other, open, spare, .. } = self;
        let chunk = from_other.read_chunk(there)?;
        let mut tables = Tables { windows: self.windows, first: self.first, symbols: self.symbols, open, spare };
        let (front, back) = chunk.as_slices();
        tables.add(front)?;
        tables.add(back)?;
        if let Some(last) = back.last().or(front.last()) {
            self.received = self.windows.number(last.time_ns());
        }
        chunk.commit_all();
        Ok(there)
    }

    fn add(&mut self, trades: &[R]) -> Result<(), BoxError> {
        let Self { windows, first, symbols, open, spare, .. } = self;
        Tables { windows: *windows, first: *first, symbols: *symbols, open, spare }.add(trades)
    }

    /// Brings the windows that are complete here, and writes those that are complete.
    fn fire(&mut self) -> Result<(), BoxError> {
        let complete = self.read.min(self.received);
        if complete <= self.first {
            return Ok(());
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Shared { meeting, merged, out } = &mut *shared;
        self.first = complete;
        while self.open.front().is_some_and(|(window, _)| *window < complete) {
            let Some((window, mut table)) = self.open.pop_front() else { break };
            let take = |&(rank, id): &(u32, u32)| (rank, id, std::mem::take(&mut table[(id / 2) as usize]));
            let rows: Rows = self.own.iter().map(take).filter(|(_, _, acc)| acc.trades > 0).collect();
            meeting.bring(window, rows, |all, part| {
                merge(all, part, merged);
                std::mem::swap(all, merged);
            });
            self.spare.push(table);
        }
        meeting.pass(self.me as usize, complete);
        while let Some((window, rows)) = meeting.next() {
            out.fire(self.windows.bounds(window), rows.into_iter().map(|(_, id, acc)| (id, acc)))?;
        }
        Ok(())
    }
}

/// Two lists in order become one.
fn merge(a: &Rows, b: &Rows, out: &mut Rows) {
    out.clear();
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(first), Some(second)) if first.0 <= second.0 => a.next(),
            (Some(_), None) => a.next(),
            _ => b.next(),
        };
        let Some(next) = next else { return };
        out.push(*next);
    }
}

/// The open windows of one side.
struct Tables<'a> {
    windows: Windows,
    first: i64,
    symbols: usize,
    open: &'a mut VecDeque<(i64, Vec<CountAndSum>)>,
    spare: &'a mut Vec<Vec<CountAndSum>>,
}

impl Tables<'_> {
    /// Adds trades of this side's symbols, whichever thread has read them.
    fn add<R: Crossing>(&mut self, mut trades: &[R]) -> Result<(), BoxError> {
        while let Some(first) = trades.first() {
            let window = self.windows.number(first.time_ns());
            let (start_ns, end_ns) = self.windows.bounds(window);
            let table = self.table(window).ok_or_else(|| behind(first.time_ns()))?;
            let mut added = 0;
            for row in trades {
                if row.time_ns() < start_ns || row.time_ns() >= end_ns {
                    break;
                }
                let trade = row.trade();
                let acc = table.get_mut((trade.symbol.id() / 2) as usize).ok_or_else(|| unknown(trade.symbol))?;
                acc.trades += 1;
                acc.size += u64::from(trade.size);
                added += 1;
            }
            trades = &trades[added..];
        }
        Ok(())
    }

    /// The table of a window; `None` where it has fired.
    fn table(&mut self, window: i64) -> Option<&mut Vec<CountAndSum>> {
        if window < self.first {
            return None;
        }
        // Nearly always it is one of the last two.
        let before = self.open.iter().rposition(|(open, _)| *open <= window);
        let index = match before {
            Some(index) if self.open[index].0 == window => index,
            _ => {
                let table = self.spare.pop().unwrap_or_else(|| vec![CountAndSum::default(); self.symbols.div_ceil(2)]);
                let index = before.map_or(0, |index| index + 1);
                self.open.insert(index, (window, table));
                index
            }
        };
        Some(&mut self.open[index].1)
    }
}
