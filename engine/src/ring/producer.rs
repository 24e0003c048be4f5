//! The writing end of a ring, and slots claimed to be written in place.

use super::column::{AHEAD_ELEMENTS, Cells};
use super::protocol::{Protocol, Sound};
use super::spsc::{Cursors, Gauge, Memory, Published};
use crate::Timestamp;
use crate::base::sync::Arc;
use bytemuck::Pod;
use std::{cell::Cell, fmt, marker::PhantomData};

/// The writing end. Dropping it closes the ring; what was pushed can still be read.
pub struct Producer<O, T, M, P: Protocol = Sound> {
    memory: Arc<Memory<O, T, M>>,
    cursors: Arc<Cursors>,
    /// A power of two.
    capacity: usize,
    /// The published tail.
    tail: usize,
    /// A head that was published, at most the true one.
    known_head: usize,
    /// The published marks tail.
    marks_tail: usize,
    /// A marks head that was published, at most the true one.
    known_marks_head: usize,
    /// Not Sync: the end belongs to one thread at a time.
    policy: PhantomData<(P, Cell<()>)>,
}

impl<O: Pod + Send, T: Pod + Send, M: Copy + Send, P: Protocol> Producer<O, T, M, P> {
    pub(super) fn new(memory: Arc<Memory<O, T, M>>, cursors: Arc<Cursors>, capacity: usize, start: usize) -> Self {
        Self {
            memory,
            cursors,
            capacity,
            tail: start,
            known_head: start,
            marks_tail: start,
            known_marks_head: start,
            policy: PhantomData,
        }
    }

    /// Elements that the ring holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Elements that can be pushed now, as far as is known.
    ///
    /// It asks the consumer's side only when it knows of fewer than `wanted`, so the answer may be
    /// below the truth when it is at least `wanted`, and never above it.
    #[inline]
    pub fn room(&mut self, wanted: usize) -> usize {
        let known = self.known_room();
        if known >= wanted {
            return known;
        }
        self.known_head = self.cursors.consumer.data.load(P::HEAD_LOAD);
        self.known_room()
    }

    /// Elements that can be pushed as far as is known without asking.
    #[inline(always)]
    fn known_room(&self) -> usize {
        self.capacity + P::EXTRA_ROOM - self.tail.wrapping_sub(self.known_head)
    }

    /// Copies the longest prefix that fits, publishes it at once, and says how long it is.
    ///
    /// # Panics
    /// When the columns differ in length.
    #[inline]
    pub fn push(&mut self, times: &[Timestamp], orders: &[O], values: &[T]) -> usize {
        assert!(times.len() == orders.len() && times.len() == values.len(), "columns of different lengths");
        let count = self.room(times.len()).min(times.len());
        if count == 0 {
            return 0;
        }
        if P::TAIL_BEFORE_COPY {
            self.cursors.producer.data.store(self.tail.wrapping_add(count), P::TAIL_STORE);
        }
        let start = self.tail & (self.capacity - 1);
        let first = count.min(self.capacity - start);
        let memory = &*self.memory;
        if count == 1 {
            let is_free_ahead = self.known_room() > AHEAD_ELEMENTS;
            // SAFETY: as below, for one slot that the mask keeps in the columns.
            unsafe {
                let mask = self.capacity - 1;
                memory.times.cells().write_ahead(start, mask, is_free_ahead, times[0]);
                memory.orders.cells().write_ahead(start, mask, is_free_ahead, orders[0]);
                memory.values.cells().write_ahead(start, mask, is_free_ahead, values[0]);
            }
            self.tail = self.tail.wrapping_add(1);
            if !P::TAIL_BEFORE_COPY {
                self.cursors.producer.data.store(self.tail, P::TAIL_STORE);
            }
            return 1;
        }
        // SAFETY: `start + first <= capacity` and `count - first <= capacity - first`, so both ranges
        // are in the columns. Their positions are tail .. tail + count, at most head + capacity: the
        // consumer gave them back, which happened before (point 2), and reads them only after the
        // store below. Test: loom_wrap, and the planted EXTRA_ROOM, HEAD_LOAD, TAIL_BEFORE_COPY.
        unsafe {
            memory.times.cells().copy_in(start, &times[..first]);
            memory.orders.cells().copy_in(start, &orders[..first]);
            memory.values.cells().copy_in(start, &values[..first]);
            if first < count {
                memory.times.cells().copy_in(0, &times[first..count]);
                memory.orders.cells().copy_in(0, &orders[first..count]);
                memory.values.cells().copy_in(0, &values[first..count]);
            }
        }
        self.tail = self.tail.wrapping_add(count);
        if !P::TAIL_BEFORE_COPY {
            self.cursors.producer.data.store(self.tail, P::TAIL_STORE);
        }
        count
    }

    /// Takes up to `wanted` free slots to write in place; how many is the claim's length.
    ///
    /// ```
    /// use pelton::{Timestamp, ring::ring};
    ///
    /// let (mut producer, mut consumer) = ring::<u64, u32, ()>(4, 1);
    /// let mut claim = producer.claim(3);
    /// for i in 0..claim.len() {
    ///     claim.set(i, Timestamp::from_nanos(i as i64), i as u64, 7);
    /// }
    /// claim.commit(2);
    /// assert_eq!(consumer.peek().orders, &[0, 1]);
    /// ```
    #[inline]
    pub fn claim(&mut self, wanted: usize) -> Claim<'_, O, T, P> {
        let len = self.room(wanted).min(wanted);
        let free = self.known_room();
        let memory = &*self.memory;
        Claim {
            times: memory.times.cells(),
            orders: memory.orders.cells(),
            values: memory.values.cells(),
            published: &self.cursors.producer,
            mask: self.capacity - 1,
            start: self.tail,
            tail: &mut self.tail,
            len,
            free,
            policy: PhantomData,
        }
    }

    /// Puts a control mark after all data pushed so far and before all data pushed later.
    ///
    /// # Errors
    /// The mark itself, when there is no room for another.
    #[inline]
    pub fn push_mark(&mut self, mark: M) -> Result<(), M> {
        let limit = self.memory.marks.len() + P::EXTRA_MARKS;
        if self.marks_tail.wrapping_sub(self.known_marks_head) == limit {
            self.known_marks_head = self.cursors.consumer.marks.load(P::MARKS_HEAD_LOAD);
            if self.marks_tail.wrapping_sub(self.known_marks_head) == limit {
                return Err(mark);
            }
        }
        let index = self.marks_tail & (self.memory.marks.len() - 1);
        self.marks_tail = self.marks_tail.wrapping_add(1);
        if P::MARKS_TAIL_BEFORE_WRITE {
            self.cursors.producer.marks.store(self.marks_tail, P::MARKS_TAIL_STORE);
        }
        // SAFETY: fewer marks are out than there are cells, so the consumer gave this one back, which
        // happened before, and reads it only after the store below (point 3). Test: loom_marks_full.
        unsafe { self.memory.marks.write(index, self.tail, mark) }
        if !P::MARKS_TAIL_BEFORE_WRITE {
            self.cursors.producer.marks.store(self.marks_tail, P::MARKS_TAIL_STORE);
        }
        Ok(())
    }
}

impl<O, T, M, P: Protocol> Producer<O, T, M, P> {
    /// Whether the consumer was dropped, so that nothing pushed will ever be read.
    #[inline]
    pub fn is_abandoned(&self) -> bool {
        self.cursors.consumer.gone.load(P::GONE_LOAD)
    }

    /// Elements in the ring, about: the consumer may be taking some.
    // An emptiness that may be over at once has no use.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.cursors.len(self.capacity)
    }

    /// A handle that tells how full the ring is, for metrics.
    pub fn gauge(&self) -> Gauge {
        Gauge { cursors: self.cursors.clone(), capacity: self.capacity }
    }
}

impl<O, T, M, P: Protocol> Drop for Producer<O, T, M, P> {
    fn drop(&mut self) {
        self.cursors.producer.gone.store(true, P::GONE_STORE);
    }
}

impl<O, T, M, P: Protocol> fmt::Debug for Producer<O, T, M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("capacity", &self.capacity).field("tail", &self.tail).finish_non_exhaustive()
    }
}

/// Free slots of a ring, to be written in place. Dropped without [`Claim::commit`], it publishes
/// nothing.
#[must_use]
pub struct Claim<'a, O, T, P: Protocol = Sound> {
    times: Cells<'a, Timestamp>,
    orders: Cells<'a, O>,
    values: Cells<'a, T>,
    published: &'a Published,
    /// Capacity - 1.
    mask: usize,
    /// The position of element 0.
    start: usize,
    tail: &'a mut usize,
    len: usize,
    /// Slots from element 0 on that are known to be free, at least the claim's length.
    free: usize,
    policy: PhantomData<P>,
}

impl<O: Pod, T: Pod, P: Protocol> Claim<'_, O, T, P> {
    /// The number of slots.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes element `index`, in any order and as often as wanted.
    ///
    /// # Panics
    /// When `index` is not below the claim's length.
    #[inline(always)]
    pub fn set(&mut self, index: usize, time: Timestamp, order: O, value: T) {
        if index >= self.len {
            element_beyond_claim(index, self.len);
        }
        let slot = self.start.wrapping_add(index) & self.mask;
        let is_free_ahead = index + AHEAD_ELEMENTS < self.free;
        // SAFETY: the mask keeps the slot in the columns; its position is in tail .. head + capacity,
        // free as in `push` and not published before `commit`. Test: loom_claim.
        unsafe {
            self.times.write_ahead(slot, self.mask, is_free_ahead, time);
            self.orders.write_ahead(slot, self.mask, is_free_ahead, order);
            self.values.write_ahead(slot, self.mask, is_free_ahead, value);
        }
    }

    /// Writes all elements, `element(0)` first, and publishes them. It is faster than setting one by one.
    ///
    /// ```
    /// use pelton::{Timestamp, ring::ring};
    ///
    /// let (mut producer, mut consumer) = ring::<u64, u32, ()>(4, 1);
    /// producer.claim(3).fill(|index| (Timestamp::MIN, index as u64, 7));
    /// assert_eq!(consumer.peek().orders, &[0, 1, 2]);
    /// ```
    #[inline]
    pub fn fill(self, mut element: impl FnMut(usize) -> (Timestamp, O, T)) {
        for index in 0..self.len {
            let (time, order, value) = element(index);
            let slot = self.start.wrapping_add(index) & self.mask;
            let is_free_ahead = index + AHEAD_ELEMENTS < self.free;
            // SAFETY: the mask keeps the slot in the columns; it is free and not published, as in `set`.
            // Test: loom_claim.
            unsafe {
                self.times.write_ahead(slot, self.mask, is_free_ahead, time);
                self.orders.write_ahead(slot, self.mask, is_free_ahead, order);
                self.values.write_ahead(slot, self.mask, is_free_ahead, value);
            }
        }
        let len = self.len;
        self.commit(len);
    }

    /// Publishes the first `count` elements; each of them should have been set, or holds whatever
    /// its slot held before.
    ///
    /// # Panics
    /// When `count` is above the claim's length.
    #[inline]
    pub fn commit(self, count: usize) {
        if count > self.len {
            count_beyond_claim(count, self.len);
        }
        *self.tail = self.start.wrapping_add(count);
        self.published.data.store(*self.tail, P::TAIL_STORE);
    }
}

// They take values, not references: with references the whole claim would lie on the stack.

#[cold]
#[inline(never)]
#[track_caller]
fn element_beyond_claim(index: usize, len: usize) -> ! {
    panic!("element {index} of a claim of {len}")
}

#[cold]
#[inline(never)]
#[track_caller]
fn count_beyond_claim(count: usize, len: usize) -> ! {
    panic!("{count} elements of a claim of {len}")
}
