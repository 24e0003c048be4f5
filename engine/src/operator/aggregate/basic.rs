//! The built-in aggregates of one number a row: counts, sums, means, extremes, first and last.

use crate::operator::aggregate::Aggregate;
use crate::{Record, Timestamp};
use std::marker::PhantomData;

macro_rules! extracting {
    ($(#[$doc:meta])* $maker:ident, $name:ident<$input:ident: $extracted:ty>, exact $exact:expr, acc $acc:ty, out $out:ty,
     add |$a:ident, $time:ident, $value:ident| $add:block,
     merge |$into:ident, $later:ident| $merge:block,
     $(unmerge |$from:ident, $merged:ident| $unmerge:block,)?
     result |$state:ident| $result:expr) => {
        $(#[$doc])*
        pub fn $maker<T: Record, F>(of: F) -> $name<T, F>
        where
            F: Fn(&T) -> $extracted + Clone + Send + Sync + 'static,
        {
            $name { of, rows: PhantomData }
        }

        #[doc = concat!("Made by [`", stringify!($maker), "`].")]
        pub struct $name<T, F> {
            of: F,
            rows: PhantomData<fn(T)>,
        }

        impl<T, F: Clone> Clone for $name<T, F> {
            fn clone(&self) -> Self {
                Self { of: self.of.clone(), rows: PhantomData }
            }
        }

        impl<$input: Record, F> Aggregate for $name<$input, F>
        where
            F: Fn(&$input) -> $extracted + Clone + Send + Sync + 'static,
        {
            type In = $input;
            type Acc = $acc;
            type Value = $out;
            const EXACT: bool = $exact;

            #[inline(always)]
            fn add(&self, $a: &mut $acc, $time: Timestamp, row: &$input) {
                let $value = (self.of)(row);
                $add
            }

            fn merge(&self, $into: &mut $acc, $later: &$acc) {
                $merge
            }

            $(
                const INVERTIBLE: bool = true;

                #[inline(always)]
                fn unmerge(&self, $from: &mut $acc, $merged: &$acc) {
                    $unmerge
                }
            )?

            #[inline]
            fn value(&self, $state: &$acc) -> $out {
                $result
            }
        }
    };
}

pub(super) use extracting;

/// A value with the number of rows behind it.
#[derive(Debug, Clone, Copy, Default, crate::Record)]
#[repr(C)]
pub struct CountedI64 {
    rows: u64,
    value: i64,
}

/// A float with the number of rows behind it.
#[derive(Debug, Clone, Copy, Default, crate::Record)]
#[repr(C)]
pub struct CountedF64 {
    rows: u64,
    value: f64,
}

/// A value with the time of its row.
#[derive(Debug, Clone, Copy, Default, crate::Record)]
#[repr(C)]
pub struct TimedI64 {
    rows: u64,
    time: Timestamp,
    value: i64,
}

/// A sum with the number of rows behind it.
#[derive(Debug, Clone, Copy, Default, crate::Record)]
#[repr(C)]
pub struct CountedSum {
    sum: [u8; 16],
    rows: u64,
}

/// A sum of products with the sum of weights.
#[derive(Debug, Clone, Copy, Default, crate::Record)]
#[repr(C)]
pub struct WeightedSum {
    sum: [u8; 16],
    weight: [u8; 16],
}

/// The one NaN that results have, whatever its sign and payload were.
const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

/// The float itself, or the one NaN; by total order that is larger than infinity.
#[inline(always)]
pub(crate) fn canonical(value: f64) -> f64 {
    if value.is_nan() { NAN } else { value }
}

fn add_to(sum: &mut [u8; 16], value: i128) {
    *sum = i128::from_le_bytes(*sum).wrapping_add(value).to_le_bytes();
}

fn take_from(sum: &mut [u8; 16], merged: &[u8; 16]) {
    *sum = i128::from_le_bytes(*sum).wrapping_sub(i128::from_le_bytes(*merged)).to_le_bytes();
}

/// A count that was restored may be anything: it wraps like a sum.
#[inline]
pub(super) fn count_to(count: &mut u64, more: u64) {
    *count = count.wrapping_add(more);
}

extracting! {
    /// The sum of integers, exact: it has 128 bits, which is room for 2^64 rows of any values. It cannot overflow.
    sum, Sum<T: i64>, exact true, acc [u8; 16], out i128,
    add |acc, _time, value| { add_to(acc, i128::from(value)) },
    merge |acc, later| { add_to(acc, i128::from_le_bytes(*later)) },
    unmerge |acc, merged| { take_from(acc, merged) },
    result |acc| i128::from_le_bytes(*acc)
}

extracting! {
    /// The sum of floats, in the job's order, so that it is the same at any number of workers. A NaN makes it
    /// NaN, always the same one: quiet, positive and without a payload. [`sum_f64_exact`](crate::sum_f64_exact) has no
    /// rounding errors, and needs no order.
    sum_f64, SumF64<T: f64>, exact false, acc f64, out f64,
    add |acc, _time, value| { *acc += value },
    merge |acc, later| { *acc += *later },
    result |acc| canonical(*acc)
}

extracting! {
    /// The smallest integer.
    min, Min<T: i64>, exact true, acc CountedI64, out i64,
    add |acc, _time, value| {
        acc.value = if acc.rows == 0 { value } else { acc.value.min(value) };
        count_to(&mut acc.rows, 1);
    },
    merge |acc, later| {
        acc.value = if acc.rows == 0 { later.value } else { acc.value.min(later.value) };
        count_to(&mut acc.rows, later.rows);
    },
    result |acc| acc.value
}

extracting! {
    /// The largest integer.
    max, Max<T: i64>, exact true, acc CountedI64, out i64,
    add |acc, _time, value| {
        acc.value = if acc.rows == 0 { value } else { acc.value.max(value) };
        count_to(&mut acc.rows, 1);
    },
    merge |acc, later| {
        acc.value = if acc.rows == 0 { later.value } else { acc.value.max(later.value) };
        count_to(&mut acc.rows, later.rows);
    },
    result |acc| acc.value
}

extracting! {
    /// The smallest float: -0.0 before 0.0, and NaN of either sign after infinity. The result is NaN only where all
    /// values are; it is always the same one: quiet, positive and without a payload.
    min_f64, MinF64<T: f64>, exact true, acc CountedF64, out f64,
    add |acc, _time, value| {
        let value = canonical(value);
        if acc.rows == 0 || value.total_cmp(&acc.value).is_lt() { acc.value = value; }
        count_to(&mut acc.rows, 1);
    },
    merge |acc, later| {
        if acc.rows == 0 || later.value.total_cmp(&acc.value).is_lt() { acc.value = later.value; }
        count_to(&mut acc.rows, later.rows);
    },
    result |acc| acc.value
}

extracting! {
    /// The largest float: 0.0 after -0.0, and NaN of either sign after infinity. The result is NaN where any value is;
    /// it is always the same one: quiet, positive and without a payload.
    max_f64, MaxF64<T: f64>, exact true, acc CountedF64, out f64,
    add |acc, _time, value| {
        let value = canonical(value);
        if acc.rows == 0 || value.total_cmp(&acc.value).is_gt() { acc.value = value; }
        count_to(&mut acc.rows, 1);
    },
    merge |acc, later| {
        if acc.rows == 0 || later.value.total_cmp(&acc.value).is_gt() { acc.value = later.value; }
        count_to(&mut acc.rows, later.rows);
    },
    result |acc| acc.value
}

extracting! {
    /// The mean of integers: an exact sum, divided once.
    mean, Mean<T: i64>, exact true, acc CountedSum, out f64,
    add |acc, _time, value| { add_to(&mut acc.sum, i128::from(value)); count_to(&mut acc.rows, 1); },
    merge |acc, later| { add_to(&mut acc.sum, i128::from_le_bytes(later.sum)); count_to(&mut acc.rows, later.rows); },
    unmerge |acc, merged| { take_from(&mut acc.sum, &merged.sum); acc.rows = acc.rows.wrapping_sub(merged.rows); },
    result |acc| canonical(i128::from_le_bytes(acc.sum) as f64 / acc.rows as f64)
}

extracting! {
    /// The mean of (value, weight): sums of 128 bits, divided once; NaN where all weights are 0. Products
    /// that add up to more than 128 bits wrap.
    weighted_mean, WeightedMean<T: (i64, i64)>, exact true, acc WeightedSum, out f64,
    add |acc, _time, value| {
        add_to(&mut acc.sum, i128::from(value.0) * i128::from(value.1));
        add_to(&mut acc.weight, i128::from(value.1));
    },
    merge |acc, later| {
        add_to(&mut acc.sum, i128::from_le_bytes(later.sum));
        add_to(&mut acc.weight, i128::from_le_bytes(later.weight));
    },
    unmerge |acc, merged| {
        take_from(&mut acc.sum, &merged.sum);
        take_from(&mut acc.weight, &merged.weight);
    },
    result |acc| canonical(i128::from_le_bytes(acc.sum) as f64 / i128::from_le_bytes(acc.weight) as f64)
}

extracting! {
    /// The value of the earliest row by event time; of rows with the same time, the first in the job's order.
    first, First<T: i64>, exact false, acc TimedI64, out i64,
    add |acc, time, value| {
        if acc.rows == 0 || time < acc.time { acc.time = time; acc.value = value; }
        count_to(&mut acc.rows, 1);
    },
    merge |acc, later| {
        if acc.rows == 0 || later.time < acc.time { acc.time = later.time; acc.value = later.value; }
        count_to(&mut acc.rows, later.rows);
    },
    result |acc| acc.value
}

extracting! {
    /// The value of the latest row by event time; of rows with the same time, the last in the job's order.
    last, Last<T: i64>, exact false, acc TimedI64, out i64,
    add |acc, time, value| {
        if acc.rows == 0 || time >= acc.time { acc.time = time; acc.value = value; }
        count_to(&mut acc.rows, 1);
    },
    merge |acc, later| {
        if acc.rows == 0 || later.time >= acc.time { acc.time = later.time; acc.value = later.value; }
        count_to(&mut acc.rows, later.rows);
    },
    result |acc| acc.value
}

/// The number of rows.
///
/// ```
/// use pelton::{Job, Options, Tumbling, VecSource, Watermarks, collect, count};
/// use std::time::Duration;
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Click { #[event(time)] time_ns: i64, user: u64 }
///
/// let clicks = vec![Click { time_ns: 0, user: 7 }, Click { time_ns: 1, user: 7 }];
/// let mut job = Job::new("clicks");
/// let (sink, rows) = collect();
/// job.source("clicks", VecSource::new(clicks, 64))
///     .watermarks(Watermarks::ascending())
///     .key_by(|click| click.user)
///     .window(Tumbling::of(Duration::from_secs(1)))
///     .aggregate("clicks_1s", count())
///     .sink("out", sink);
/// job.run(Options::workers(1))?;
/// assert_eq!(rows.take()[0].1.value(), 2);
/// # Ok::<(), pelton::Error>(())
/// ```
pub fn count<T: Record>() -> Count<T> {
    Count(PhantomData)
}

/// Made by [`count`].
pub struct Count<T>(PhantomData<fn(T)>);

impl<T> Clone for Count<T> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<T: Record> Aggregate for Count<T> {
    type In = T;
    type Acc = u64;
    type Value = u64;
    const EXACT: bool = true;

    #[inline(always)]
    fn add(&self, acc: &mut u64, _: Timestamp, _: &T) {
        count_to(acc, 1);
    }

    fn merge(&self, acc: &mut u64, later: &u64) {
        count_to(acc, *later);
    }

    const INVERTIBLE: bool = true;

    #[inline(always)]
    fn unmerge(&self, acc: &mut u64, merged: &u64) {
        *acc = acc.wrapping_sub(*merged);
    }

    #[inline]
    fn value(&self, acc: &u64) -> u64 {
        *acc
    }
}

/// The volume-weighted average price: [`weighted_mean`] under the name traders know.
pub fn vwap<T: Record, P, S>(
    price: P,
    size: S,
) -> WeightedMean<T, impl Fn(&T) -> (i64, i64) + Clone + Send + Sync + 'static>
where
    P: Fn(&T) -> i64 + Clone + Send + Sync + 'static,
    S: Fn(&T) -> i64 + Clone + Send + Sync + 'static,
{
    weighted_mean(move |row: &T| (price(row), size(row)))
}
