//! ringbuf: `HeapRb`, split into its caching ends.

use crate::event::Event;
use crate::hop::{Receiver, Sender};
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use std::ops::Range;

/// Events are written where they stay: `push_iter`.
pub struct ByIter<const WORDS: usize>(HeapProd<Event<WORDS>>);

impl<const WORDS: usize> Sender<WORDS> for ByIter<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        if self.0.vacant_len() < (numbers.end - numbers.start) as usize {
            return false;
        }
        self.0.push_iter(numbers.map(make));
        true
    }
}

/// Events are made beside the ring, then copied: `push_slice`.
pub struct BySlice<const WORDS: usize> {
    producer: HeapProd<Event<WORDS>>,
    events: Vec<Event<WORDS>>,
}

impl<const WORDS: usize> Sender<WORDS> for BySlice<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        let wanted = (numbers.end - numbers.start) as usize;
        if self.producer.vacant_len() < wanted {
            return false;
        }
        let events = &mut self.events[..wanted];
        events.iter_mut().zip(numbers).for_each(|(event, number)| *event = make(number));
        self.producer.push_slice(events) == wanted
    }
}

/// One event: `try_push`.
pub struct PushOne<const WORDS: usize>(HeapProd<Event<WORDS>>);

impl<const WORDS: usize> Sender<WORDS> for PushOne<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        self.0.try_push(make(numbers.start)).is_ok()
    }
}

/// Events are read where they are: `as_slices`, `skip`.
pub struct BySlices<const WORDS: usize>(HeapCons<Event<WORDS>>);

impl<const WORDS: usize> Receiver<WORDS> for BySlices<WORDS> {
    #[inline(always)]
    fn receive(&mut self, most: usize, mut take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        let (first, second) = self.0.as_slices();
        let first = &first[..first.len().min(most)];
        let second = &second[..second.len().min(most - first.len())];
        for event in first {
            take(event.time_ns, event.order, &event.value);
        }
        for event in second {
            take(event.time_ns, event.order, &event.value);
        }
        let count = first.len() + second.len();
        if count > 0 {
            self.0.skip(count);
        }
        count
    }
}

/// Events are copied out: `pop_slice`.
pub struct PopSlice<const WORDS: usize> {
    consumer: HeapCons<Event<WORDS>>,
    events: Vec<Event<WORDS>>,
}

impl<const WORDS: usize> Receiver<WORDS> for PopSlice<WORDS> {
    #[inline(always)]
    fn receive(&mut self, most: usize, mut take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        let most = most.min(self.events.len());
        let count = self.consumer.pop_slice(&mut self.events[..most]);
        for event in &self.events[..count] {
            take(event.time_ns, event.order, &event.value);
        }
        count
    }
}

/// One event: `try_pop`.
pub struct PopOne<const WORDS: usize>(HeapCons<Event<WORDS>>);

impl<const WORDS: usize> Receiver<WORDS> for PopOne<WORDS> {
    #[inline(always)]
    fn receive(&mut self, _: usize, mut take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        let Some(event) = self.0.try_pop() else { return 0 };
        take(event.time_ns, event.order, &event.value);
        1
    }
}

/// In place on both sides.
pub fn in_place<const WORDS: usize>(capacity: usize) -> (ByIter<WORDS>, BySlices<WORDS>) {
    let (producer, consumer) = HeapRb::new(capacity).split();
    (ByIter(producer), BySlices(consumer))
}

/// Copied on both sides, in runs of at most `run` events.
pub fn by_slice<const WORDS: usize>(capacity: usize, run: usize) -> (BySlice<WORDS>, PopSlice<WORDS>) {
    let (producer, consumer) = HeapRb::new(capacity).split();
    let events = vec![Event::default(); run];
    (BySlice { producer, events: events.clone() }, PopSlice { consumer, events })
}

pub fn one<const WORDS: usize>(capacity: usize) -> (PushOne<WORDS>, PopOne<WORDS>) {
    let (producer, consumer) = HeapRb::new(capacity).split();
    (PushOne(producer), PopOne(consumer))
}

/// Sent one at a time, read in place as many as there are.
pub fn one_to_slices<const WORDS: usize>(capacity: usize) -> (PushOne<WORDS>, BySlices<WORDS>) {
    let (producer, consumer) = HeapRb::new(capacity).split();
    (PushOne(producer), BySlices(consumer))
}
