//! Variance and standard deviation, and values at the extremes of another column.

use crate::operator::aggregate::Aggregate;
use crate::operator::aggregate::basic::{canonical, count_to, extracting};
use crate::{Record, Timestamp};
use std::marker::PhantomData;

/// The number of values, their mean, and the sum of the squares of their distances from it.
#[derive(Debug, Clone, Copy, Default, crate::Record)]
#[repr(C)]
pub struct Moments {
    rows: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Adds a value, as Welford does (Technometrics 4, 1962).
    #[inline(always)]
    fn add(&mut self, value: f64) {
        count_to(&mut self.rows, 1);
        let before = value - self.mean;
        self.mean += before / self.rows as f64;
        self.squares += before * (value - self.mean);
    }

    /// Adds other values, as Chan, Golub and LeVeque do (Updating Formulae and a Pairwise Algorithm for Computing Sample
    /// Variances, 1979).
    fn merge(&mut self, later: &Self) {
        if self.rows == 0 {
            *self = *later;
            return;
        }
        let (rows, more) = (self.rows as f64, later.rows as f64);
        let apart = later.mean - self.mean;
        self.mean += apart * more / (rows + more);
        self.squares += later.squares + apart * apart * rows * more / (rows + more);
        count_to(&mut self.rows, later.rows);
    }

    fn variance(&self, rows_less: u64) -> f64 {
        canonical(self.squares / self.rows.saturating_sub(rows_less) as f64)
    }
}

extracting! {
    /// The population variance: the mean square distance from the mean. Floats are taken in the job's order.
    var_pop, VarPop<T: f64>, exact false, acc Moments, out f64,
    add |acc, _time, value| { acc.add(value) },
    merge |acc, later| { acc.merge(later) },
    result |acc| acc.variance(0)
}

extracting! {
    /// The sample variance, with one degree of freedom less: NaN for a single row. Floats are taken in the job's order.
    var_samp, VarSamp<T: f64>, exact false, acc Moments, out f64,
    add |acc, _time, value| { acc.add(value) },
    merge |acc, later| { acc.merge(later) },
    result |acc| acc.variance(1)
}

extracting! {
    /// The population standard deviation: the root of [`var_pop`].
    stddev_pop, StddevPop<T: f64>, exact false, acc Moments, out f64,
    add |acc, _time, value| { acc.add(value) },
    merge |acc, later| { acc.merge(later) },
    result |acc| acc.variance(0).sqrt()
}

extracting! {
    /// The sample standard deviation: the root of [`var_samp`].
    stddev_samp, StddevSamp<T: f64>, exact false, acc Moments, out f64,
    add |acc, _time, value| { acc.add(value) },
    merge |acc, later| { acc.merge(later) },
    result |acc| acc.variance(1).sqrt()
}

/// What a row is compared by and what it has, with the number of rows behind it.
#[derive(Debug, Clone, Copy, Default, crate::Record)]
#[repr(C)]
pub struct ArgI64 {
    rows: u64,
    by: i64,
    value: i64,
}

impl ArgI64 {
    /// Takes what another has, where that is better.
    #[inline(always)]
    fn take(&mut self, rows: u64, (by, value): (i64, i64), is_better: impl Fn(i64, i64) -> bool) {
        let is_tie = by == self.by && value < self.value;
        if self.rows == 0 || is_better(by, self.by) || is_tie {
            (self.by, self.value) = (by, value);
        }
        count_to(&mut self.rows, rows);
    }
}

extracting! {
    /// Of pairs (by, value), the value where `by` is smallest; of several such, the smallest value.
    arg_min, ArgMin<T: (i64, i64)>, exact true, acc ArgI64, out i64,
    add |acc, _time, pair| { acc.take(1, pair, |by, best| by < best) },
    merge |acc, later| { acc.take(later.rows, (later.by, later.value), |by, best| by < best) },
    result |acc| acc.value
}

extracting! {
    /// Of pairs (by, value), the value where `by` is largest; of several such, the smallest value.
    arg_max, ArgMax<T: (i64, i64)>, exact true, acc ArgI64, out i64,
    add |acc, _time, pair| { acc.take(1, pair, |by, best| by > best) },
    merge |acc, later| { acc.take(later.rows, (later.by, later.value), |by, best| by > best) },
    result |acc| acc.value
}
