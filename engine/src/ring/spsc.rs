//! A wait-free bounded ring of columns for one producer and one consumer, with control marks.
//!
//! ```text
//!             head = 5           tail = 11       positions only grow; a slot is position mod 8
//!               |                  |
//!  slot    0  1 | 2  3 ... in a ring of 8 the positions 5 ..= 10 lie in the slots
//!         +--+--+--+--+--+--+--+--+
//!  times  | 8| 9|10|  |  | 5| 6| 7|    three columns, the same slot in each
//!  orders | 8| 9|10|  |  | 5| 6| 7|    readable: head .. tail, two runs around the wrap
//!  values | 8| 9|10|  |  | 5| 6| 7|    free: the rest
//!         +--+--+--+--+--+--+--+--+
//!  marks  (7, A) (7, B) (11, C)        5, 6, A, B, 7, 8, 9, 10, C is what the consumer sees
//! ```
//!
//! Who writes what. The producer alone writes the data tail, the marks tail, the slots from tail to
//! head + capacity, and its end flag. The consumer alone writes the data head, the marks head and
//! its end flag, and reads the slots from head to tail. Each end keeps its own two positions as plain
//! numbers and a copy of the other's, which it refreshes only when the copy does not suffice: the
//! copy is never ahead of the truth, so a stale one only hides room or data. No call loops or waits.
//!
//! Why the orderings suffice:
//!
//! 1. *Data.* The producer copies, then stores tail with Release. The consumer loads tail with
//!    Acquire, then reads. So the copies happen before the reads.
//! 2. *Room.* The consumer reads, then stores head with Release. The producer loads head with
//!    Acquire, then overwrites. So the reads happen before the next copies.
//! 3. *Marks* have the same two pairs over their own slots. A mark's position is the tail when it was
//!    pushed: it stands after all data below that position and before all data from it on.
//! 4. *Marks against data.* The consumer refreshes tail first and the marks tail second. If it sees a
//!    tail above p, that store came after the store of every mark with position <= p in the producer's
//!    order, and the Acquire load of tail makes the later load of the marks tail see them. So no run
//!    ever reaches past a mark that stands inside it. A mark that is seen before its data just waits.
//! 5. *End.* A dropped end stores its flag with Release after all else. The consumer loads the flag
//!    with Acquire first and both tails second: if the flag was up, what it then sees is all there is.
//!
//! Each of these is a name in [`Protocol`], and the model tests break each one.

use super::column::{Column, MarkCells};
use super::consumer::Consumer;
use super::producer::Producer;
use super::protocol::Protocol;
use crate::Timestamp;
use crate::base::sync::{Arc, AtomicBool, AtomicUsize, Ordering};
use bytemuck::Pod;
use crossbeam_utils::CachePadded;
use std::fmt;

/// What one end tells the other; only that end writes it.
pub(super) struct Published {
    /// Data position. In range: head <= tail <= head + capacity, wrapping.
    pub(super) data: AtomicUsize,
    /// Mark position, likewise.
    pub(super) marks: AtomicUsize,
    /// Whether the end was dropped.
    pub(super) gone: AtomicBool,
}

impl Published {
    fn at(position: usize) -> CachePadded<Self> {
        let (data, marks) = (AtomicUsize::new(position), AtomicUsize::new(position));
        CachePadded::new(Self { data, marks, gone: AtomicBool::new(false) })
    }
}

/// The shared positions. Both ends' lines are padded so that neither write disturbs the other.
pub(super) struct Cursors {
    /// Tails.
    pub(super) producer: CachePadded<Published>,
    /// Heads.
    pub(super) consumer: CachePadded<Published>,
}

impl Cursors {
    pub(super) fn len(&self, capacity: usize) -> usize {
        // Head first, with Acquire: the tail loaded after it is not below it.
        let head = self.consumer.data.load(Ordering::Acquire);
        let tail = self.producer.data.load(Ordering::Acquire);
        tail.wrapping_sub(head).min(capacity)
    }
}

pub(super) struct Memory<O, T, M> {
    pub(super) times: Column<Timestamp>,
    pub(super) orders: Column<O>,
    pub(super) values: Column<T>,
    pub(super) marks: MarkCells<M>,
}

// SAFETY: the two ends reach the same cells from two threads, but each cell by one of them at a time,
// handed over by Release and Acquire as argued at the top; nothing else reaches them. Values move
// from one thread to the other, hence Send. Test: the loom models and the thread sanitizer's run.
unsafe impl<O: Send, T: Send, M: Send> Sync for Memory<O, T, M> {}

/// Makes a ring for `capacity` elements and `marks_capacity` control marks, each rounded up to a
/// power of two, at least 1.
///
/// An element is a time, an order (whatever the merge downstream compares) and a value. A large ring
/// takes memory only as it is first filled.
///
/// ```
/// use pelton::{Timestamp, ring::ring};
///
/// let (mut producer, mut consumer) = ring::<u64, u32, &str>(4, 4);
/// let times = [1, 2, 3].map(Timestamp::from_nanos);
/// assert_eq!(producer.push(&times, &[10, 11, 12], &[7, 8, 9]), 3);
/// producer.push_mark("end of block").unwrap();
///
/// let run = consumer.peek();
/// assert_eq!((run.orders, run.values), (&[10, 11, 12][..], &[7, 8, 9][..]));
/// consumer.release(3);
/// assert_eq!(consumer.next_mark(), Some("end of block"));
/// drop(producer);
/// assert!(consumer.is_finished());
/// ```
///
/// Each end has one owner. It can be sent to a thread:
/// ```
/// let (producer, consumer) = pelton::ring::ring::<u64, u32, ()>(4, 4);
/// std::thread::spawn(move || drop(producer));
/// std::thread::spawn(move || drop(consumer));
/// ```
/// It cannot be cloned:
/// ```compile_fail,E0599
/// let (producer, consumer) = pelton::ring::ring::<u64, u32, ()>(4, 4);
/// let second = producer.clone();
/// ```
/// ```compile_fail,E0599
/// let (producer, consumer) = pelton::ring::ring::<u64, u32, ()>(4, 4);
/// let second = consumer.clone();
/// ```
/// It cannot be shared:
/// ```compile_fail,E0277
/// let (producer, consumer) = pelton::ring::ring::<u64, u32, ()>(4, 4);
/// std::thread::scope(|scope| { scope.spawn(|| producer.len()); });
/// ```
/// ```compile_fail,E0277
/// let (producer, consumer) = pelton::ring::ring::<u64, u32, ()>(4, 4);
/// std::thread::scope(|scope| { scope.spawn(|| consumer.len()); });
/// ```
/// And a run does not outlive its release:
/// ```compile_fail,E0499
/// let (producer, mut consumer) = pelton::ring::ring::<u64, u32, ()>(4, 4);
/// let run = consumer.peek();
/// consumer.release(0);
/// assert!(run.is_empty());
/// ```
///
/// # Panics
/// When a capacity is above `isize::MAX` or its memory cannot be had.
pub fn ring<O, T, M>(capacity: usize, marks_capacity: usize) -> (Producer<O, T, M>, Consumer<O, T, M>)
where
    O: Pod + Send,
    T: Pod + Send,
    M: Copy + Send,
{
    build(capacity, marks_capacity, 0)
}

type Ends<O, T, M, P> = (Producer<O, T, M, P>, Consumer<O, T, M, P>);

/// A ring under any protocol, whose positions start anywhere.
pub(super) fn build<O, T, M, P>(capacity: usize, marks_capacity: usize, start: usize) -> Ends<O, T, M, P>
where
    O: Pod + Send,
    T: Pod + Send,
    M: Copy + Send,
    P: Protocol,
{
    // So that positions may wrap around: a fill of usize::MAX + 1 would look empty.
    let half = 1 << (usize::BITS - 2);
    assert!(capacity <= half && marks_capacity <= half, "a ring of {capacity} elements and {marks_capacity} marks");
    let (capacity, marks_capacity) = (capacity.next_power_of_two(), marks_capacity.next_power_of_two());
    let memory = Arc::new(Memory {
        times: Column::zeroed(capacity),
        orders: Column::zeroed(capacity),
        values: Column::zeroed(capacity),
        marks: MarkCells::new(marks_capacity),
    });
    let cursors = Arc::new(Cursors { producer: Published::at(start), consumer: Published::at(start) });
    let producer = Producer::new(memory.clone(), cursors.clone(), capacity, start);
    let consumer = Consumer::new(memory, cursors, capacity, start);
    (producer, consumer)
}

/// Tells any thread how full a ring is, without keeping its memory alive.
///
/// ```
/// let (mut producer, _consumer) = pelton::ring::ring::<u64, u32, ()>(4, 1);
/// let gauge = producer.gauge();
/// producer.push(&[pelton::Timestamp::MIN], &[0], &[7]);
/// assert_eq!((gauge.len(), gauge.capacity()), (1, 4));
/// ```
#[derive(Clone)]
pub struct Gauge {
    pub(super) cursors: Arc<Cursors>,
    pub(super) capacity: usize,
}

impl Gauge {
    /// Elements in the ring at some moment of the call, about.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.cursors.len(self.capacity)
    }

    /// Elements that the ring holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauge").field("len", &self.len()).field("capacity", &self.capacity).finish()
    }
}
