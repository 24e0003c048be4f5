//! rtrb.

use crate::event::Event;
use crate::hop::{Receiver, Sender};
use rtrb::{Consumer, Producer, RingBuffer};
use std::ops::Range;

/// Events are written where they stay: `write_chunk_uninit`, `fill_from_iter`.
pub struct ByChunk<const WORDS: usize>(Producer<Event<WORDS>>);

impl<const WORDS: usize> Sender<WORDS> for ByChunk<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        let Ok(chunk) = self.0.write_chunk_uninit((numbers.end - numbers.start) as usize) else { return false };
        chunk.fill_from_iter(numbers.map(make));
        true
    }
}

/// Events are made beside the ring, then copied: `push_entire_slice`.
pub struct BySlice<const WORDS: usize> {
    producer: Producer<Event<WORDS>>,
    events: Vec<Event<WORDS>>,
}

impl<const WORDS: usize> Sender<WORDS> for BySlice<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        let wanted = (numbers.end - numbers.start) as usize;
        if self.producer.cached_slots() < wanted && self.producer.slots() < wanted {
            return false;
        }
        let events = &mut self.events[..wanted];
        events.iter_mut().zip(numbers).for_each(|(event, number)| *event = make(number));
        self.producer.push_entire_slice(events).is_ok()
    }
}

/// One event: `push`.
pub struct PushOne<const WORDS: usize>(Producer<Event<WORDS>>);

impl<const WORDS: usize> Sender<WORDS> for PushOne<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        self.0.push(make(numbers.start)).is_ok()
    }
}

/// Events are read where they are: `read_chunk`, `as_slices`, `commit_all`.
pub struct ReadChunk<const WORDS: usize>(Consumer<Event<WORDS>>);

impl<const WORDS: usize> Receiver<WORDS> for ReadChunk<WORDS> {
    #[inline(always)]
    fn receive(&mut self, most: usize, mut take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        // It looks at the other end only when nothing known is left.
        let known = self.0.cached_slots();
        let there = if known > 0 { known } else { self.0.slots() }.min(most);
        if there == 0 {
            return 0;
        }
        let Ok(chunk) = self.0.read_chunk(there) else { return 0 };
        let (first, second) = chunk.as_slices();
        for event in first {
            take(event.time_ns, event.order, &event.value);
        }
        for event in second {
            take(event.time_ns, event.order, &event.value);
        }
        chunk.commit_all();
        there
    }
}

/// One event: `pop`.
pub struct PopOne<const WORDS: usize>(Consumer<Event<WORDS>>);

impl<const WORDS: usize> Receiver<WORDS> for PopOne<WORDS> {
    #[inline(always)]
    fn receive(&mut self, _: usize, mut take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        let Ok(event) = self.0.pop() else { return 0 };
        take(event.time_ns, event.order, &event.value);
        1
    }
}

pub fn by_chunk<const WORDS: usize>(capacity: usize) -> (ByChunk<WORDS>, ReadChunk<WORDS>) {
    let (producer, consumer) = RingBuffer::new(capacity);
    (ByChunk(producer), ReadChunk(consumer))
}

/// Runs of at most `run` events.
pub fn by_slice<const WORDS: usize>(capacity: usize, run: usize) -> (BySlice<WORDS>, ReadChunk<WORDS>) {
    let (producer, consumer) = RingBuffer::new(capacity);
    (BySlice { producer, events: vec![Event::default(); run] }, ReadChunk(consumer))
}

pub fn one<const WORDS: usize>(capacity: usize) -> (PushOne<WORDS>, PopOne<WORDS>) {
    let (producer, consumer) = RingBuffer::new(capacity);
    (PushOne(producer), PopOne(consumer))
}

/// Sent one at a time, taken by chunks.
pub fn one_to_chunks<const WORDS: usize>(capacity: usize) -> (PushOne<WORDS>, ReadChunk<WORDS>) {
    let (producer, consumer) = RingBuffer::new(capacity);
    (PushOne(producer), ReadChunk(consumer))
}
