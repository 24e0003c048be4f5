//! The least queue there can be: cells, two cursors, each end's copy of the other's. It tells what a layout costs by
//! itself: events in rows, or their fields in columns.
//!
//! Cells are atomic and reached in relaxed order, which are plain loads and stores on this machine.

use crate::event::Event;
use crate::hop::{Receiver, Sender};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A cursor that shares no cache line, nor a pair of them.
#[derive(Default)]
#[repr(align(128))]
struct Cursor(AtomicUsize);

struct Shared {
    cells: Vec<AtomicU64>,
    head: Cursor,
    tail: Cursor,
}

/// One end; `COLUMNS` says whether the fields are in columns.
pub struct End<const WORDS: usize, const COLUMNS: bool> {
    shared: Arc<Shared>,
    /// A power of two.
    capacity: usize,
    own: usize,
    /// The other end's cursor, as it was.
    other: usize,
}

impl<const WORDS: usize, const COLUMNS: bool> End<WORDS, COLUMNS> {
    /// Word `word` of the event at `position`: time, order, value.
    #[inline(always)]
    fn cell(&self, position: usize, word: usize) -> &AtomicU64 {
        let slot = position & (self.capacity - 1);
        let index = match (COLUMNS, word) {
            (false, _) => slot * (2 + WORDS) + word,
            (true, 0 | 1) => word * self.capacity + slot,
            (true, _) => 2 * self.capacity + slot * WORDS + word - 2,
        };
        &self.shared.cells[index]
    }
}

impl<const WORDS: usize, const COLUMNS: bool> Sender<WORDS> for End<WORDS, COLUMNS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        let wanted = (numbers.end - numbers.start) as usize;
        if self.capacity - (self.own - self.other) < wanted {
            self.other = self.shared.head.0.load(Ordering::Acquire);
            if self.capacity - (self.own - self.other) < wanted {
                return false;
            }
        }
        for (position, number) in (self.own..).zip(numbers) {
            let event = make(number);
            self.cell(position, 0).store(event.time_ns as u64, Ordering::Relaxed);
            self.cell(position, 1).store(event.order, Ordering::Relaxed);
            for (word, value) in event.value.into_iter().enumerate() {
                self.cell(position, 2 + word).store(value, Ordering::Relaxed);
            }
        }
        self.own += wanted;
        self.shared.tail.0.store(self.own, Ordering::Release);
        true
    }
}

impl<const WORDS: usize, const COLUMNS: bool> Receiver<WORDS> for End<WORDS, COLUMNS> {
    #[inline(always)]
    fn receive(&mut self, most: usize, mut take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        if self.own == self.other {
            self.other = self.shared.tail.0.load(Ordering::Acquire);
        }
        let count = (self.other - self.own).min(most);
        for position in self.own..self.own + count {
            let word = |word| self.cell(position, word).load(Ordering::Relaxed);
            take(word(0) as i64, word(1), &std::array::from_fn(|value| word(2 + value)));
        }
        if count > 0 {
            self.own += count;
            self.shared.head.0.store(self.own, Ordering::Release);
        }
        count
    }
}

/// Both ends of a queue.
pub fn ends<const WORDS: usize, const COLUMNS: bool>(capacity: usize) -> (End<WORDS, COLUMNS>, End<WORDS, COLUMNS>) {
    let capacity = capacity.next_power_of_two();
    let cells = (0..capacity * (2 + WORDS)).map(|_| AtomicU64::new(0)).collect();
    let shared = Arc::new(Shared { cells, head: Cursor::default(), tail: Cursor::default() });
    let end = || End { shared: shared.clone(), capacity, own: 0, other: 0 };
    (end(), end())
}
