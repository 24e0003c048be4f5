//! What each of two threads has that own half of the symbols: their accumulators by window, and the way to the sink.
//!
//! The halves meet under a lock, where their rows are merged.

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

impl Placed {
    /// Says that a block has ended, in its last place.
    pub fn end_of(block: usize) -> Self {
        Self { place: (block as u64) << 32 | u64::from(u32::MAX), ..Self::default() }
    }

    #[inline(always)]
    pub fn block(&self) -> usize {
        (self.place >> 32) as usize
    }

    #[inline(always)]
    pub fn is_end(&self) -> bool {
        self.place as u32 == u32::MAX
    }
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

/// What both threads reach.
struct Shared {
    meeting: Meeting<Rows>,
    merged: Rows,
    out: Out,
}

/// The ends of a thread's rings: to the other thread, and from it.
pub type Ends<R> = (Producer<R>, Consumer<R>);

/// Runs `side` on two pinned threads, each with its half of the symbols and its ends of rings of `ring` trades.
///
/// # Errors
/// That of a side, or when a thread cannot be pinned or the sink refuses.
pub fn run<R: Crossing>(
    source: &impl BlockSource<Trade>,
    (windows, ring): (Windows, usize),
    cores: Cores,
    sink: Blackhole,
    side: impl Fn(Half<'_>, Ends<R>) -> Result<(), BoxError> + Sync,
) -> Result<Seen, BoxError> {
    let order = &by_text(&source.symbols())[..];
    let shared = Mutex::new(Shared { meeting: Meeting::new(), merged: Rows::new(), out: Out::new(sink) });
    let ((to_second, from_first), (to_first, from_second)) = (RingBuffer::<R>::new(ring), RingBuffer::<R>::new(ring));
    thread::scope(|scope| {
        let ends = [(cores.first, (to_second, from_second)), (cores.second, (to_first, from_first))];
        let (shared, side) = (&shared, &side);
        let sides = ends.into_iter().enumerate().map(|(me, (core, ends))| {
            scope.spawn(move || {
                pin(core)?;
                let me = me as u32;
                let (own, symbols) = (by_rank(order, me), order.len());
                let (open, spare) = (VecDeque::new(), Vec::new());
                side(Half { me, windows, own, symbols, open, first: i64::MIN, spare, shared }, ends)
            })
        });
        // All are started before one is waited for, and all are waited for before one's error is told.
        let sides: Vec<_> = sides.collect();
        let results: Vec<_> = sides.into_iter().map(|side| side.join().map_err(panicked)).collect();
        results.into_iter().try_for_each(|result| result?)
    })?;
    shared.into_inner().unwrap_or_else(PoisonError::into_inner).out.finish()
}

/// Sends all rows; `meanwhile` is what the thread does while they do not fit, and says whether it did anything.
///
/// # Errors
/// That of `meanwhile`, or when the other thread is gone.
pub fn send<R: Copy>(
    to_other: &mut Producer<R>,
    mut rows: &[R],
    mut meanwhile: impl FnMut() -> Result<bool, BoxError>,
) -> Result<(), BoxError> {
    let mut waits = Waits::default();
    while !rows.is_empty() {
        let (pushed, rest) = to_other.push_partial_slice(rows);
        rows = rest;
        if !rest.is_empty() {
            let progress = meanwhile()?;
            if pushed.is_empty() && !progress && to_other.is_abandoned() {
                return Err("the other thread is gone".into());
            }
            waits.after(progress || !pushed.is_empty());
        }
    }
    Ok(())
}

/// The symbols of one half with their ranks, in their order.
fn by_rank(order: &[u32], me: u32) -> Vec<(u32, u32)> {
    let ranked = order.iter().enumerate().map(|(rank, id)| (rank as u32, *id));
    ranked.filter(|(_, id)| id % 2 == me).collect()
}

/// The symbols of one thread.
pub struct Half<'a> {
    /// It owns the symbols whose ids are this number modulo 2.
    pub me: u32,
    pub windows: Windows,
    own: Vec<(u32, u32)>,
    symbols: usize,
    /// Windows with their tables, by half the symbol's id; in order, none before `first`.
    open: VecDeque<(i64, Vec<CountAndSum>)>,
    /// All windows before it have fired.
    first: i64,
    spare: Vec<Vec<CountAndSum>>,
    shared: &'a Mutex<Shared>,
}

impl Half<'_> {
    /// Adds trades of this half's symbols, whichever thread has read them.
    ///
    /// # Errors
    /// When one lies behind its window or its symbol has no text.
    pub fn add<R: Crossing>(&mut self, trades: &[R]) -> Result<(), BoxError> {
        let Self { windows, first, symbols, open, spare, .. } = self;
        Tables { windows: *windows, first: *first, symbols: *symbols, open, spare }.add(trades)
    }

    /// Brings the windows before `complete`, and writes those that are complete in both halves.
    ///
    /// # Errors
    /// When the sink refuses.
    pub fn fire(&mut self, complete: i64) -> Result<(), BoxError> {
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

/// The open windows of a half.
struct Tables<'a> {
    windows: Windows,
    first: i64,
    symbols: usize,
    open: &'a mut VecDeque<(i64, Vec<CountAndSum>)>,
    spare: &'a mut Vec<Vec<CountAndSum>>,
}

impl Tables<'_> {
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
