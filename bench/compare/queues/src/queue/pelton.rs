//! Pelton's ring of columns: times, orders and values apart.

use crate::event::Event;
use crate::hop::{Receiver, Sender};
use pelton::Timestamp;
use pelton::ring::{Consumer, Producer, ring};
use std::ops::Range;

type Writing<const WORDS: usize> = Producer<u64, [u64; WORDS], ()>;
type Reading<const WORDS: usize> = Consumer<u64, [u64; WORDS], ()>;

fn ends<const WORDS: usize>(capacity: usize) -> (Writing<WORDS>, Reading<WORDS>) {
    ring(capacity, 1)
}

/// Events are written where they stay: `claim`, `fill`.
pub struct ByClaim<const WORDS: usize>(Writing<WORDS>);

impl<const WORDS: usize> Sender<WORDS> for ByClaim<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        let wanted = (numbers.end - numbers.start) as usize;
        let claim = self.0.claim(wanted);
        if claim.len() < wanted {
            return false;
        }
        claim.fill(|index| {
            let event = make(numbers.start + index as u64);
            (Timestamp::from_nanos(event.time_ns), event.order, event.value)
        });
        true
    }
}

/// Columns are made beside the ring, then copied: `push`.
pub struct ByPush<const WORDS: usize> {
    producer: Writing<WORDS>,
    times: Vec<Timestamp>,
    orders: Vec<u64>,
    values: Vec<[u64; WORDS]>,
}

impl<const WORDS: usize> Sender<WORDS> for ByPush<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        let wanted = (numbers.end - numbers.start) as usize;
        if self.producer.room(wanted) < wanted {
            return false;
        }
        let (times, orders) = (&mut self.times[..wanted], &mut self.orders[..wanted]);
        let values = &mut self.values[..wanted];
        for (((number, time), order), value) in numbers.zip(times.iter_mut()).zip(&mut *orders).zip(&mut *values) {
            let event = make(number);
            (*time, *order, *value) = (Timestamp::from_nanos(event.time_ns), event.order, event.value);
        }
        self.producer.push(times, orders, values) == wanted
    }
}

/// One event is pushed as slices of one.
pub struct PushOne<const WORDS: usize>(Writing<WORDS>);

impl<const WORDS: usize> Sender<WORDS> for PushOne<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        let event = make(numbers.start);
        self.0.push(&[Timestamp::from_nanos(event.time_ns)], &[event.order], &[event.value]) == 1
    }
}

/// Events are read where they are: `peek`, `release`.
pub struct ByPeek<const WORDS: usize>(Reading<WORDS>);

impl<const WORDS: usize> Receiver<WORDS> for ByPeek<WORDS> {
    #[inline(always)]
    fn receive(&mut self, most: usize, mut take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        let run = self.0.peek();
        let count = run.len().min(most);
        let orders = &run.orders[..count];
        for ((time, order), value) in run.times[..count].iter().zip(orders).zip(&run.values[..count]) {
            take(time.as_nanos(), *order, value);
        }
        self.0.release(count);
        count
    }
}

pub fn by_claim<const WORDS: usize>(capacity: usize) -> (ByClaim<WORDS>, ByPeek<WORDS>) {
    let (producer, consumer) = ends(capacity);
    (ByClaim(producer), ByPeek(consumer))
}

/// Runs of at most `run` events.
pub fn by_push<const WORDS: usize>(capacity: usize, run: usize) -> (ByPush<WORDS>, ByPeek<WORDS>) {
    let (producer, consumer) = ends(capacity);
    let (times, orders, values) = (vec![Timestamp::MIN; run], vec![0; run], vec![[0; WORDS]; run]);
    (ByPush { producer, times, orders, values }, ByPeek(consumer))
}

pub fn push_one<const WORDS: usize>(capacity: usize) -> (PushOne<WORDS>, ByPeek<WORDS>) {
    let (producer, consumer) = ends(capacity);
    (PushOne(producer), ByPeek(consumer))
}
