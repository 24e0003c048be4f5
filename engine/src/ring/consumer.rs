//! The reading end of a ring, and the runs that it lends.

use super::protocol::{Protocol, Sound};
use super::spsc::{Cursors, Gauge, Memory};
use crate::Timestamp;
use crate::base::sync::Arc;
use bytemuck::Pod;
use std::{cell::Cell, fmt, marker::PhantomData};

/// Elements at the read position, in columns of one length.
#[derive(Debug)]
pub struct Run<'a, O, T> {
    /// Event times.
    pub times: &'a [Timestamp],
    /// Orders.
    pub orders: &'a [O],
    /// Values.
    pub values: &'a [T],
}

impl<O, T> Clone for Run<'_, O, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O, T> Copy for Run<'_, O, T> {}

impl<O, T> Run<'_, O, T> {
    /// The number of elements.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

/// Copies of the run under loom, where no slice can be lent over checked cells.
#[cfg(loom)]
type Scratch<O, T> = (Vec<Timestamp>, Vec<O>, Vec<T>);

/// The reading end. Dropping it abandons the ring.
pub struct Consumer<O, T, M, P: Protocol = Sound> {
    memory: Arc<Memory<O, T, M>>,
    cursors: Arc<Cursors>,
    /// A power of two.
    capacity: usize,
    /// The published head.
    head: usize,
    /// A tail that was published, at most the true one.
    known_tail: usize,
    /// The published marks head: the mark at it is `mark`, where known.
    marks_head: usize,
    /// A marks tail seen after `known_tail`: every mark below `known_tail` is below it.
    known_marks_tail: usize,
    /// The first mark not taken and its position, at least head.
    mark: Option<(usize, M)>,
    #[cfg(loom)]
    scratch: Scratch<O, T>,
    /// Not Sync: the end belongs to one thread at a time.
    policy: PhantomData<(P, Cell<()>)>,
}

impl<O: Pod + Send, T: Pod + Send, M: Copy + Send, P: Protocol> Consumer<O, T, M, P> {
    pub(super) fn new(memory: Arc<Memory<O, T, M>>, cursors: Arc<Cursors>, capacity: usize, start: usize) -> Self {
        Self {
            memory,
            cursors,
            capacity,
            head: start,
            known_tail: start,
            marks_head: start,
            known_marks_tail: start,
            mark: None,
            #[cfg(loom)]
            scratch: Default::default(),
            policy: PhantomData,
        }
    }

    /// Elements that the ring holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Looks at what the producer has published since.
    ///
    /// [`Consumer::peek`] does so itself when nothing known is left. Call it before where a partly
    /// released run should grow.
    #[inline]
    pub fn refresh(&mut self) {
        if P::MARKS_BEFORE_DATA {
            self.refresh_marks();
            self.known_tail = self.cursors.producer.data.load(P::TAIL_LOAD);
            return;
        }
        // This order is what keeps a run from reaching past a mark (point 4).
        self.known_tail = self.cursors.producer.data.load(P::TAIL_LOAD);
        self.refresh_marks();
    }

    /// Looks at what the producer has published since; whether anything can be taken now, elements or a mark.
    #[inline]
    pub(crate) fn has_any(&mut self) -> bool {
        let known_tail = self.known_tail;
        self.refresh();
        if known_tail != self.known_tail {
            // Each column has lines of its own in the other core's cache: they are asked for at once.
            let start = self.head & (self.capacity - 1);
            self.memory.times.cells().fetch(start);
            self.memory.orders.cells().fetch(start);
            self.memory.values.cells().fetch(start);
        }
        self.known() > 0 || self.mark.is_some_and(|(position, _)| position == self.head)
    }

    #[inline]
    fn refresh_marks(&mut self) {
        self.known_marks_tail = self.cursors.producer.marks.load(P::MARKS_TAIL_LOAD);
        self.read_mark();
    }

    #[inline]
    fn read_mark(&mut self) {
        if self.mark.is_none() && self.marks_head != self.known_marks_tail {
            let index = self.marks_head & (self.memory.marks.len() - 1);
            // SAFETY: the mark is below a marks tail that was seen, so its write happened before, and
            // not given back, so it is not written (point 3). Test: loom_marks, loom_marks_full.
            self.mark = Some(unsafe { self.memory.marks.read(index) });
        }
    }

    /// Known elements that stand before the next mark.
    #[inline(always)]
    fn known(&self) -> usize {
        let data = self.known_tail.wrapping_sub(self.head);
        match self.mark {
            Some((position, _)) => data.min(position.wrapping_sub(self.head)),
            None => data,
        }
    }

    /// The elements at the read position, up to the end of the ring's memory, the next mark, or what
    /// was published at the last look. Empty where there is none, or a mark comes first.
    ///
    /// It looks again only when nothing known is left. The elements stay until they are released.
    #[inline]
    pub fn peek(&mut self) -> Run<'_, O, T> {
        // With a mark in hand, data can be unknown only as long as none is left before the mark.
        if self.head == self.known_tail {
            self.refresh();
        }
        let start = self.head & (self.capacity - 1);
        let len = self.known().min(self.capacity - start);
        let memory = &*self.memory;
        // SAFETY: `start + len <= capacity`. The positions are head .. head + len, at most a tail that
        // was seen: their writes happened before (point 1), and the producer writes them again only
        // after `release`, which the run's borrow of `self` keeps away. Test: loom_wrap, and the
        // planted TAIL_STORE, TAIL_LOAD, RELEASE_BEFORE_READ.
        #[cfg(not(loom))]
        unsafe {
            Run {
                times: memory.times.cells().slice(start, len),
                orders: memory.orders.cells().slice(start, len),
                values: memory.values.cells().slice(start, len),
            }
        }
        #[cfg(loom)]
        {
            // SAFETY: as above.
            unsafe { copy_out(memory, start, len, &mut self.scratch) };
            Run { times: &self.scratch.0, orders: &self.scratch.1, values: &self.scratch.2 }
        }
    }

    /// Gives the first `count` elements' slots back to the producer, at once.
    ///
    /// # Panics
    /// When so many are not known to stand before the next mark: at most what [`Consumer::peek`] lent.
    #[inline]
    pub fn release(&mut self, count: usize) {
        let known = self.known();
        if count > known {
            released_too_many(count, known);
        }
        if count == 0 {
            return;
        }
        #[cfg(loom)]
        let start = self.head & (self.capacity - 1);
        // To loom, the run is read until here.
        #[cfg(loom)]
        if !P::RELEASE_BEFORE_READ {
            self.read_again(start, count);
        }
        self.head = self.head.wrapping_add(count);
        self.cursors.consumer.data.store(self.head, P::HEAD_STORE);
        #[cfg(loom)]
        if P::RELEASE_BEFORE_READ {
            self.read_again(start, count);
        }
    }

    #[cfg(loom)]
    fn read_again(&mut self, start: usize, count: usize) {
        let first = count.min(self.capacity - start);
        // SAFETY: as in `peek`, around the wrap.
        unsafe {
            copy_out(&self.memory, start, first, &mut self.scratch);
            copy_out(&self.memory, 0, count - first, &mut self.scratch);
        }
    }

    /// Looks for marks where one could stand at the read position unseen.
    #[inline]
    fn look_for_mark(&mut self) -> Option<M> {
        // All marks below the known tail are known, so only at it can there be another.
        if self.mark.is_none() && self.head == self.known_tail {
            self.refresh_marks();
        }
        match self.mark {
            Some((position, mark)) if position == self.head => Some(mark),
            _ => None,
        }
    }

    /// The mark that stands at the read position, if any: all data before it was released.
    #[inline]
    pub fn peek_mark(&mut self) -> Option<M> {
        self.look_for_mark()
    }

    /// Takes the mark that stands at the read position, if any.
    #[inline]
    pub fn next_mark(&mut self) -> Option<M> {
        let taken = self.look_for_mark()?;
        #[cfg(loom)]
        let index = self.marks_head & (self.memory.marks.len() - 1);
        self.mark = None;
        self.marks_head = self.marks_head.wrapping_add(1);
        // To loom, the mark is read until it is given back.
        #[cfg(loom)]
        if !P::MARK_RELEASE_BEFORE_READ {
            // SAFETY: as in `read_mark`.
            let _ = unsafe { self.memory.marks.read(index) };
        }
        self.cursors.consumer.marks.store(self.marks_head, P::MARKS_HEAD_STORE);
        #[cfg(loom)]
        if P::MARK_RELEASE_BEFORE_READ {
            // SAFETY: it is not safe; that is the mistake that loom must see.
            let _ = unsafe { self.memory.marks.read(index) };
        }
        self.read_mark();
        Some(taken)
    }

    /// Whether the producer was dropped and all its data and marks were taken: there will never be more.
    #[inline]
    pub fn is_finished(&mut self) -> bool {
        if P::GONE_AFTER_EMPTY {
            self.refresh();
            return self.nothing_known() && self.cursors.producer.gone.load(P::GONE_LOAD);
        }
        // The flag before the tails (point 5).
        if !self.nothing_known() || !self.cursors.producer.gone.load(P::GONE_LOAD) {
            return false;
        }
        self.refresh();
        self.nothing_known()
    }

    fn nothing_known(&self) -> bool {
        self.head == self.known_tail && self.mark.is_none()
    }
}

/// Copies the run of `len` slots from `start` on, all columns.
///
/// # Safety
/// As for `Cells::copy_out`.
#[cfg(loom)]
unsafe fn copy_out<O: Pod, T: Pod, M>(memory: &Memory<O, T, M>, start: usize, len: usize, out: &mut Scratch<O, T>) {
    out.0.clear();
    out.1.clear();
    out.2.clear();
    // SAFETY: as the caller says.
    unsafe {
        memory.times.cells().copy_out(start, len, &mut out.0);
        memory.orders.cells().copy_out(start, len, &mut out.1);
        memory.values.cells().copy_out(start, len, &mut out.2);
    }
}

impl<O, T, M, P: Protocol> Consumer<O, T, M, P> {
    /// Elements in the ring, about: the producer may be adding some. Marks are not counted.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.cursors.len(self.capacity)
    }

    /// A handle that tells how full the ring is, for metrics.
    pub fn gauge(&self) -> Gauge {
        Gauge { cursors: self.cursors.clone(), capacity: self.capacity }
    }
}

impl<O, T, M, P: Protocol> Drop for Consumer<O, T, M, P> {
    fn drop(&mut self) {
        self.cursors.consumer.gone.store(true, P::GONE_STORE);
    }
}

impl<O, T, M, P: Protocol> fmt::Debug for Consumer<O, T, M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("capacity", &self.capacity).field("head", &self.head).finish_non_exhaustive()
    }
}

/// Takes values, not references, so that what it tells can stay in registers.
#[cold]
#[inline(never)]
#[track_caller]
fn released_too_many(count: usize, known: usize) -> ! {
    panic!("{count} elements released of {known}")
}
