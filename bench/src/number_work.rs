//! Work on readings keyed by dense numbers: running sums behind a filter, and statistics by window, as jobs. What each
//! row becomes is shared with the loops by hand.

use crate::readings::Reading;
use pelton::{
    Aggregate, Job, Options, ProcessContext, ProcessFunction, Record, Report, Source, Timestamp, Tumbling, callback,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a device added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, pelton::Record)]
#[repr(C)]
pub struct Amount {
    /// The device, which is the key.
    pub device: u64,
    /// What it added.
    pub amount: i64,
}

/// What a device has added so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, pelton::Record)]
#[repr(C)]
pub struct Running {
    /// The device.
    pub device: u64,
    /// The sum of its amounts up to here.
    pub sum: i64,
}

/// Whether a reading is small: half of those made of generated trades are, whose sizes go from 1 to 1,024.
#[inline(always)]
pub fn is_small(reading: &Reading) -> bool {
    reading.value <= 512
}

/// What a reading adds.
#[inline(always)]
pub fn amount(reading: &Reading) -> Amount {
    Amount { device: reading.device, amount: reading.value as i64 * 3 - 512 }
}

/// Sums the amounts of each device and gives the sum at every one.
#[derive(Debug, Clone, Copy)]
pub struct RunningSum;

impl ProcessFunction<u64> for RunningSum {
    type In = Amount;
    type State = i64;
    type Out = Running;

    #[inline]
    fn on_row(
        &self,
        device: &u64,
        _: Timestamp,
        row: &Amount,
        sum: &mut i64,
        context: &mut ProcessContext<'_, Running>,
    ) {
        *sum = sum.wrapping_add(row.amount);
        context.emit(Running { device: *device, sum: *sum });
    }
}

/// The number and a hash of the rows that a callback was called with; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Called(Arc<(AtomicU64, AtomicU64)>);

/// Odd numbers for multiplying with.
const MULTIPLIERS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

impl Called {
    /// A function to be called with rows and their times, in their order.
    pub fn function<T: Record>(&self) -> impl FnMut(Timestamp, &T) + Send + 'static + use<T> {
        let Self(shared) = self.clone();
        let (mut count, mut hash) = (0u64, 0u64);
        move |time, row| {
            // The words of a row do not wait for each other, nor for the rows before it.
            let (mut words, mut factor) = ((time.as_nanos() as u64).wrapping_mul(MULTIPLIERS[1]), MULTIPLIERS[1]);
            for bytes in bytemuck::bytes_of(row).chunks(8) {
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                factor = factor.wrapping_mul(MULTIPLIERS[0]);
                words = words.wrapping_add(u64::from_le_bytes(word).wrapping_mul(factor));
            }
            count += 1;
            hash = (hash.rotate_left(29) ^ words).wrapping_mul(MULTIPLIERS[0]);
            shared.0.store(count, Ordering::Relaxed);
            shared.1.store(hash, Ordering::Relaxed);
        }
    }

    /// The number of rows, and a hash of them in their order. Complete once the job or the loop has ended.
    pub fn seen(&self) -> (u64, u64) {
        (self.0.0.load(Ordering::Acquire), self.0.1.load(Ordering::Acquire))
    }
}

/// Runs a filter that half passes, a map and a running sum of each device, to a callback.
///
/// # Errors
/// As for [`Job::run`].
pub fn running_sum_job(
    source: impl Into<Source<Reading>>,
    options: Options,
) -> Result<(Called, Report), pelton::Error> {
    let mut job = Job::new("running sums");
    let called = Called::default();
    job.source("readings", source)
        .filter(is_small)
        .map(amount)
        .key_by(|row| row.device)
        .process("sums", RunningSum)
        .sink("out", callback(called.function::<Running>()));
    Ok((called, job.run(options)?))
}

/// What is kept of a device while its window is open; where nothing was counted the rest means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default, pelton::Record)]
#[repr(C)]
pub struct Statistics {
    /// The number of readings.
    pub count: u64,
    /// The sum of their values.
    pub sum: f64,
    /// The least value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

/// The statistics of one device in one window.
#[derive(Debug, Clone, Copy, PartialEq, pelton::Record)]
#[repr(C)]
pub struct StatisticsRow {
    /// The window's first nanosecond.
    pub start_ns: i64,
    /// The first nanosecond behind the window.
    pub end_ns: i64,
    /// The device.
    pub device: u64,
    /// The number of readings.
    pub count: u64,
    /// The sum of their values.
    pub sum: f64,
    /// The least value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl StatisticsRow {
    /// The row of a device and a window (first nanosecond, first nanosecond behind it).
    #[inline]
    pub fn new((start_ns, end_ns): (i64, i64), device: u64, statistics: &Statistics) -> Self {
        let Statistics { count, sum, min, max } = *statistics;
        Self { start_ns, end_ns, device, count, sum, min, max }
    }
}

/// A reading's value as a float.
#[inline(always)]
pub fn measure(reading: &Reading) -> f64 {
    reading.value as f64 * 0.1
}

/// A quarter of a reading's value, as a float whose sums are exact in any order.
#[inline(always)]
pub fn quarter(reading: &Reading) -> f64 {
    reading.value as f64 * 0.25
}

/// The sum of one device in one window.
#[derive(Debug, Clone, Copy, PartialEq, pelton::Record)]
#[repr(C)]
pub struct FloatSum {
    /// The window's first nanosecond.
    pub start_ns: i64,
    /// The first nanosecond behind the window.
    pub end_ns: i64,
    /// The device.
    pub device: u64,
    /// The sum of a quarter of each value.
    pub sum: f64,
}

/// Count, sum, least and largest value as one aggregate, such as users write. A sum of floats is not exact.
#[derive(Debug, Clone, Copy)]
pub struct Summary;

impl Aggregate for Summary {
    type In = Reading;
    type Acc = Statistics;
    type Value = Statistics;

    #[inline]
    fn add(&self, acc: &mut Statistics, _: Timestamp, reading: &Reading) {
        let value = measure(reading);
        if acc.count == 0 {
            (acc.min, acc.max) = (value, value);
        } else {
            (acc.min, acc.max) = (acc.min.min(value), acc.max.max(value));
        }
        acc.sum += value;
        acc.count += 1;
    }

    fn merge(&self, acc: &mut Statistics, later: &Statistics) {
        if acc.count == 0 {
            *acc = *later;
            return;
        }
        acc.count += later.count;
        acc.sum += later.sum;
        (acc.min, acc.max) = (acc.min.min(later.min), acc.max.max(later.max));
    }

    fn value(&self, acc: &Statistics) -> Statistics {
        *acc
    }
}

/// Runs the statistics of each device and window over readings that are not out of order, to a callback.
///
/// # Errors
/// As for [`Job::run`].
pub fn statistics_job(
    source: impl Into<Source<Reading>>,
    window: Duration,
    options: Options,
) -> Result<(Called, Report), pelton::Error> {
    let mut job = Job::new("statistics");
    let called = Called::default();
    job.source("readings", source)
        .key_by(|reading| reading.device)
        .window(Tumbling::of(window))
        .aggregate_with("statistics", Summary, |pane, device, statistics| {
            StatisticsRow::new((pane.window.start.as_nanos(), pane.window.end.as_nanos()), *device, &statistics)
        })
        .sink("out", callback(called.function::<StatisticsRow>()));
    Ok((called, job.run(options)?))
}
