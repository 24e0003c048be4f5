//! disruptor: a single producer, and a poller on a thread of ours.

use crate::event::Event;
use crate::hop::{Receiver, Sender};
use disruptor::{
    BusySpin, EventPoller, Producer, SingleConsumerBarrier, SingleProducer, SingleProducerBarrier,
    build_single_producer,
};
use std::ops::Range;

type Publisher<const WORDS: usize> = SingleProducer<Event<WORDS>, SingleConsumerBarrier>;

/// A run at once: `try_batch_publish`.
pub struct Batches<const WORDS: usize>(Publisher<WORDS>);

impl<const WORDS: usize> Sender<WORDS> for Batches<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        let wanted = (numbers.end - numbers.start) as usize;
        let written = self.0.try_batch_publish(wanted, |events| {
            for (event, number) in events.zip(numbers) {
                *event = make(number);
            }
        });
        written.is_ok()
    }
}

/// One event: `try_publish`.
pub struct PublishOne<const WORDS: usize>(Publisher<WORDS>);

impl<const WORDS: usize> Sender<WORDS> for PublishOne<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        self.0.try_publish(|event| *event = make(numbers.start)).is_ok()
    }
}

/// The poller: `take`.
pub struct Poller<const WORDS: usize>(EventPoller<Event<WORDS>, SingleProducerBarrier>);

impl<const WORDS: usize> Receiver<WORDS> for Poller<WORDS> {
    #[inline(always)]
    fn receive(&mut self, most: usize, mut take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        let Ok(mut events) = self.0.take(most as u64) else { return 0 };
        let count = ExactSizeIterator::len(&&mut events);
        for event in &mut events {
            take(event.time_ns, event.order, &event.value);
        }
        count
    }
}

fn ends<const WORDS: usize>(capacity: usize) -> (Publisher<WORDS>, Poller<WORDS>) {
    let (poller, builder) = build_single_producer(capacity, Event::default, BusySpin).new_event_poller();
    (builder.build(), Poller(poller))
}

pub fn batches<const WORDS: usize>(capacity: usize) -> (Batches<WORDS>, Poller<WORDS>) {
    let (producer, poller) = ends(capacity);
    (Batches(producer), poller)
}

pub fn one<const WORDS: usize>(capacity: usize) -> (PublishOne<WORDS>, Poller<WORDS>) {
    let (producer, poller) = ends(capacity);
    (PublishOne(producer), poller)
}
