//! Deals the rows of a batch to the workers that take them, column by column, in one pass.

use crate::Timestamp;
use bytemuck::allocation::zeroed_vec;

/// Rows that are dealt at once at most: those of a batch. Long copies into a ring do not fetch the lines that they
/// overwrite.
const DEALT: usize = 1024;
/// Bytes of values that are dealt at once at most, unless one has more.
const DEALT_BYTES: usize = 1 << 20;

/// Times, orders and values of rows.
pub(crate) type Columns<'a, O, T> = (&'a [Timestamp], &'a [O], &'a [T]);

/// Rows in columns, by the worker that takes them.
pub(crate) struct Deal<O, T> {
    /// Room for [`Deal::ROWS`] of each worker, of which the first `counts[worker]` are dealt.
    times: Vec<Timestamp>,
    orders: Vec<O>,
    values: Vec<T>,
    counts: Vec<usize>,
}

impl<O: bytemuck::Pod, T: bytemuck::Pod> Deal<O, T> {
    /// Rows that are dealt at once.
    pub(crate) const ROWS: usize = {
        let fit = DEALT_BYTES / if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        if fit > DEALT {
            DEALT
        } else if fit == 0 {
            1
        } else {
            fit
        }
    };

    pub(crate) fn of_workers(workers: usize) -> Self {
        let rows = workers * Self::ROWS;
        // One takes rows from where they lie; only their orders are made.
        let dealt = if workers == 1 { 0 } else { rows };
        // Memory that is not used is not touched.
        let (times, orders, values) = (zeroed_vec(dealt), zeroed_vec(rows), zeroed_vec(dealt));
        Self { times, orders, values, counts: vec![0; workers] }
    }

    /// Deals at most [`Deal::ROWS`] anew. Apart, so that the loop has the registers for itself.
    #[inline(never)]
    pub(crate) fn deal(
        &mut self,
        times: &[Timestamp],
        order_of: impl Fn(usize) -> O,
        values: &[T],
        worker_of: impl Fn(usize, &T) -> usize,
    ) {
        let Self { times: to_times, orders: to_orders, values: to_values, counts } = self;
        let rows = times.iter().zip(values).enumerate();
        if let [to_first, to_second] = &mut counts[..] {
            // The ends stay in registers, where the next row does not wait for them to be stored.
            let (mut first, mut second) = (0, Self::ROWS);
            let (to_times, to_orders) = (&mut to_times[..2 * Self::ROWS], &mut to_orders[..2 * Self::ROWS]);
            let to_values = &mut to_values[..2 * Self::ROWS];
            for (index, (&time, value)) in rows {
                let is_first = worker_of(index, value) == 0;
                let at = if is_first { first } else { second };
                to_values[at] = *value;
                to_times[at] = time;
                to_orders[at] = order_of(index);
                first += usize::from(is_first);
                second += usize::from(!is_first);
            }
            (*to_first, *to_second) = (first, second - Self::ROWS);
            return;
        }
        counts.fill(0);
        for (index, (&time, value)) in rows {
            let worker = worker_of(index, value);
            let at = worker * Self::ROWS + counts[worker];
            (to_times[at], to_orders[at], to_values[at]) = (time, order_of(index), *value);
            counts[worker] += 1;
        }
    }

    /// The orders of at most [`Deal::ROWS`] rows that all go to one worker.
    pub(crate) fn orders(&mut self, count: usize, order_of: impl Fn(usize) -> O) -> &[O] {
        let orders = &mut self.orders[..count];
        orders.iter_mut().enumerate().for_each(|(index, order)| *order = order_of(index));
        orders
    }

    /// The rows for `worker`, in their order.
    pub(crate) fn of(&self, worker: usize) -> Columns<'_, O, T> {
        let start = worker * Self::ROWS;
        let dealt = start..start + self.counts[worker];
        (&self.times[dealt.clone()], &self.orders[dealt.clone()], &self.values[dealt])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_deal<T: bytemuck::Pod + PartialEq + std::fmt::Debug>(value_of: impl Fn(u64) -> T, rows: usize) {
        assert_eq!(Deal::<u64, T>::ROWS, rows);
        for workers in [2, 3] {
            let mut deal = Deal::<u64, T>::of_workers(workers);
            for count in [rows, 1, 0, rows / 2] {
                let times: Vec<_> = (0..count as i64).map(Timestamp::from_nanos).collect();
                let values: Vec<_> = (0..count as u64).map(&value_of).collect();
                deal.deal(&times, |index| 7 * index as u64, &values, |index, _| index * index % workers);
                for worker in 0..workers {
                    let expected: Vec<_> = (0..count).filter(|index| index * index % workers == worker).collect();
                    let (found, orders, dealt) = deal.of(worker);
                    assert!(expected.iter().map(|&index| times[index]).eq(found.iter().copied()));
                    assert!(expected.iter().map(|&index| 7 * index as u64).eq(orders.iter().copied()));
                    assert!(expected.iter().map(|&index| values[index]).eq(dealt.iter().copied()));
                }
            }
        }
    }

    #[test]
    fn each_worker_gets_its_rows_in_their_order_however_long_they_are() {
        check_deal(|row| row, DEALT);
        check_deal(|_| (), DEALT);
        check_deal(|row| [row; 512], DEALT_BYTES / 4096);
    }
}
