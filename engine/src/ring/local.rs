//! The local edge: a worker's own share of an exchange, a bounded queue without atomics.
//!
//! It has the columns and marks of a ring; both ends live on one thread.

use crate::Timestamp;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A bounded queue of rows in columns, with marks beside them. Clones are the same queue.
pub(crate) struct Local<O, T, M>(Rc<RefCell<Queue<O, T, M>>>);

struct Queue<O, T, M> {
    /// Rows `head ..` are queued; those before it were taken.
    times: Vec<Timestamp>,
    orders: Vec<O>,
    values: Vec<T>,
    head: usize,
    capacity: usize,
    /// Rows taken so far.
    taken: u64,
    /// Marks with the number of rows pushed before them.
    marks: VecDeque<(u64, M)>,
    marks_max: usize,
}

impl<O, T, M> Clone for Local<O, T, M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<O, T, M> Queue<O, T, M> {
    /// Makes room at the end for `count` rows, or for fewer: says for how many.
    fn make_room(&mut self, count: usize) -> usize {
        let queued = self.values.len() - self.head;
        let count = count.min(self.capacity - queued);
        if self.head > 0 && self.values.len() + count > 2 * self.capacity {
            let head = std::mem::take(&mut self.head);
            self.times.drain(..head);
            self.orders.drain(..head);
            self.values.drain(..head);
        }
        count
    }
}

impl<O: Copy, T: Copy, M: Copy> Local<O, T, M> {
    /// A queue of at most `capacity` rows and `marks_max` marks, both allocated now.
    pub(crate) fn new(capacity: usize, marks_max: usize) -> Self {
        Self(Rc::new(RefCell::new(Queue {
            times: Vec::with_capacity(2 * capacity),
            orders: Vec::with_capacity(2 * capacity),
            values: Vec::with_capacity(2 * capacity),
            head: 0,
            capacity,
            taken: 0,
            marks: VecDeque::with_capacity(marks_max),
            marks_max,
        })))
    }

    /// Appends the rows that fit and says how many.
    pub(crate) fn push(&self, times: &[Timestamp], orders: &[O], values: &[T]) -> usize {
        let mut queue = self.0.borrow_mut();
        let count = queue.make_room(values.len());
        queue.times.extend_from_slice(&times[..count]);
        queue.orders.extend_from_slice(&orders[..count]);
        queue.values.extend_from_slice(&values[..count]);
        count
    }

    /// Appends a mark behind the rows pushed so far; `false` where there is no room.
    pub(crate) fn push_mark(&self, mark: M) -> bool {
        let mut queue = self.0.borrow_mut();
        if queue.marks.len() == queue.marks_max {
            return false;
        }
        let position = queue.taken + (queue.values.len() - queue.head) as u64;
        queue.marks.push_back((position, mark));
        true
    }

    /// Lends the rows up to the next mark to `body`, which takes as many as it returns.
    pub(crate) fn with_rows<R>(&self, body: impl FnOnce(&[Timestamp], &[O], &[T]) -> (usize, R)) -> R {
        let mut queue = self.0.borrow_mut();
        let queued = queue.values.len() - queue.head;
        let count = match queue.marks.front() {
            Some(&(position, _)) => queued.min((position - queue.taken) as usize),
            None => queued,
        };
        let rows = queue.head..queue.head + count;
        let (taken, result) = body(&queue.times[rows.clone()], &queue.orders[rows.clone()], &queue.values[rows]);
        queue.head += taken;
        queue.taken += taken as u64;
        if queue.head == queue.values.len() {
            queue.head = 0;
            queue.times.clear();
            queue.orders.clear();
            queue.values.clear();
        }
        result
    }

    /// Whether there are neither rows nor marks.
    pub(crate) fn is_empty(&self) -> bool {
        let queue = self.0.borrow();
        queue.head == queue.values.len() && queue.marks.is_empty()
    }

    /// Takes the mark at the read position, where one stands.
    pub(crate) fn next_mark(&self) -> Option<M> {
        let mut queue = self.0.borrow_mut();
        let &(position, mark) = queue.marks.front()?;
        if position != queue.taken {
            return None;
        }
        queue.marks.pop_front();
        Some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_marks_come_out_in_the_order_they_went_in() {
        let queue = Local::<u64, u32, char>::new(3, 2);
        let row = |i: u64| (Timestamp::from_nanos(i as i64), i, i as u32);
        let push = |rows: &[u64]| {
            let (times, (orders, values)): (Vec<_>, (Vec<_>, Vec<_>)) = rows
                .iter()
                .map(|&i| {
                    let (t, o, v) = row(i);
                    (t, (o, v))
                })
                .unzip();
            queue.push(&times, &orders, &values)
        };
        let take = |most: usize| {
            queue.with_rows(|_, orders, _| {
                let n = orders.len().min(most);
                (n, orders[..n].to_vec())
            })
        };
        assert_eq!(push(&[0, 1]), 2);
        assert!(queue.push_mark('a'));
        assert_eq!(push(&[2, 3]), 1);
        assert!(queue.push_mark('b'));
        assert!(!queue.push_mark('c'));
        assert_eq!(queue.next_mark(), None);
        assert_eq!(take(1), [0]);
        assert_eq!(take(9), [1]);
        assert_eq!(take(9), []);
        assert_eq!(queue.next_mark(), Some('a'));
        assert_eq!(push(&[3, 4, 5]), 2);
        assert_eq!(take(9), [2]);
        assert_eq!(queue.next_mark(), Some('b'));
        assert_eq!(take(9), [3, 4]);
        for i in 0..20 {
            assert_eq!(push(&[i, i + 1]), 2);
            assert_eq!(take(1), [i]);
            assert_eq!(take(1), [i + 1]);
        }
    }
}
