//! crossbeam's bounded queues, which many threads may share and which have no batches.

use crate::event::Event;
use crate::hop::{Receiver, Sender};
use crossbeam_queue::ArrayQueue;
use std::ops::Range;
use std::sync::Arc;

/// One event after the other, as many as are wanted. A queue that is full in the middle of a run is waited for: there is
/// no way to send a run whole.
#[inline(always)]
fn each<const WORDS: usize>(
    sent: &mut u64,
    numbers: Range<u64>,
    make: impl Fn(u64) -> Event<WORDS>,
    mut push: impl FnMut(Event<WORDS>) -> bool,
) -> bool {
    while *sent < numbers.end - numbers.start {
        if !push(make(numbers.start + *sent)) {
            return false;
        }
        *sent += 1;
    }
    *sent = 0;
    true
}

/// `ArrayQueue`, as both ends.
pub struct Array<const WORDS: usize> {
    queue: Arc<ArrayQueue<Event<WORDS>>>,
    /// Of the current run.
    sent: u64,
}

impl<const WORDS: usize> Sender<WORDS> for Array<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        each(&mut self.sent, numbers, make, |event| self.queue.push(event).is_ok())
    }
}

impl<const WORDS: usize> Receiver<WORDS> for Array<WORDS> {
    #[inline(always)]
    fn receive(&mut self, most: usize, mut take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        for count in 0..most {
            let Some(event) = self.queue.pop() else { return count };
            take(event.time_ns, event.order, &event.value);
        }
        most
    }
}

/// The sender of a bounded channel.
pub struct ChannelSender<const WORDS: usize> {
    sender: crossbeam_channel::Sender<Event<WORDS>>,
    /// Of the current run.
    sent: u64,
}

impl<const WORDS: usize> Sender<WORDS> for ChannelSender<WORDS> {
    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool {
        each(&mut self.sent, numbers, make, |event| self.sender.try_send(event).is_ok())
    }
}

/// The receiver of a bounded channel.
pub struct ChannelReceiver<const WORDS: usize>(crossbeam_channel::Receiver<Event<WORDS>>);

impl<const WORDS: usize> Receiver<WORDS> for ChannelReceiver<WORDS> {
    #[inline(always)]
    fn receive(&mut self, most: usize, mut take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        for count in 0..most {
            let Ok(event) = self.0.try_recv() else { return count };
            take(event.time_ns, event.order, &event.value);
        }
        most
    }
}

pub fn array<const WORDS: usize>(capacity: usize) -> (Array<WORDS>, Array<WORDS>) {
    let queue = Arc::new(ArrayQueue::new(capacity));
    (Array { queue: queue.clone(), sent: 0 }, Array { queue, sent: 0 })
}

pub fn channel<const WORDS: usize>(capacity: usize) -> (ChannelSender<WORDS>, ChannelReceiver<WORDS>) {
    let (sender, receiver) = crossbeam_channel::bounded(capacity);
    (ChannelSender { sender, sent: 0 }, ChannelReceiver(receiver))
}
