//! Plain yardsticks for readings keyed by numbers, by the rules of `plain.rs`: running sums and statistics by window; and
//! statistics by a loop that knows the numbers to be dense.
//!
//! Frozen: changed only to fix an error, never to be slower or faster.

use crate::number_work::{FloatSum, Running, Statistics, StatisticsRow, amount, is_small, measure, quarter};
use crate::readings::Reading;
use hashbrown::HashMap;
use pelton::{BlockSource, BoxError, Timestamp};
use std::time::Duration;

/// Keeps the small readings and sums them by device; calls `call` with the sum at every one, and its time.
///
/// # Errors
/// When a block cannot be read.
pub fn plain_running_sums(
    source: &impl BlockSource<Reading>,
    mut call: impl FnMut(Timestamp, &Running),
) -> Result<(), BoxError> {
    let mut sums: HashMap<u64, i64> = HashMap::new();
    let mut reader = source.reader()?;
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        for reading in reader.events() {
            if is_small(reading) {
                let row = amount(reading);
                let sum = sums.entry(row.device).or_default();
                *sum += row.amount;
                call(Timestamp::from_nanos(reading.time_ns), &Running { device: row.device, sum: *sum });
            }
        }
    }
    Ok(())
}

#[inline(always)]
fn add(statistics: &mut Statistics, reading: &Reading) {
    let value = measure(reading);
    if statistics.count == 0 {
        (statistics.min, statistics.max) = (value, value);
    } else {
        statistics.min = statistics.min.min(value);
        statistics.max = statistics.max.max(value);
    }
    statistics.sum += value;
    statistics.count += 1;
}

/// Statistics by device and tumbling window of event time. A window fires at the first reading behind it: no reading may
/// lie behind another. `call` gets its rows in the order of devices.
///
/// # Errors
/// When a block cannot be read, or a reading lies behind its window.
///
/// # Panics
/// When the window is shorter than 1 ns.
pub fn plain_statistics(
    source: &impl BlockSource<Reading>,
    window: Duration,
    mut call: impl FnMut(Timestamp, &StatisticsRow),
) -> Result<(), BoxError> {
    let mut open: HashMap<u64, Statistics> = HashMap::new();
    let mut fired: Vec<(u64, Statistics)> = Vec::new();
    let mut fire = |open: &mut HashMap<u64, Statistics>, window: (i64, i64)| {
        fired.clear();
        fired.extend(open.drain());
        fired.sort_unstable_by_key(|entry| entry.0);
        for (device, statistics) in &fired {
            call(Timestamp::from_nanos(window.1 - 1), &StatisticsRow::new(window, *device, statistics));
        }
    };
    let last = in_windows(source, window, &mut open, &mut fire, |open, reading| {
        add(open.entry(reading.device).or_default(), reading);
        Ok(())
    })?;
    fire(&mut open, last);
    Ok(())
}

/// Sums of floats by device and tumbling window of event time, as [`plain_statistics`].
///
/// # Errors
/// When a block cannot be read, or a reading lies behind its window.
///
/// # Panics
/// When the window is shorter than 1 ns.
pub fn plain_float_sums(
    source: &impl BlockSource<Reading>,
    window: Duration,
    mut call: impl FnMut(Timestamp, &FloatSum),
) -> Result<(), BoxError> {
    let mut open: HashMap<u64, f64> = HashMap::new();
    let mut fired: Vec<(u64, f64)> = Vec::new();
    let mut fire = |open: &mut HashMap<u64, f64>, (start_ns, end_ns): (i64, i64)| {
        fired.clear();
        fired.extend(open.drain());
        fired.sort_unstable_by_key(|entry| entry.0);
        for &(device, sum) in &fired {
            call(Timestamp::from_nanos(end_ns - 1), &FloatSum { start_ns, end_ns, device, sum });
        }
    };
    let last = in_windows(source, window, &mut open, &mut fire, |open, reading| {
        *open.entry(reading.device).or_default() += quarter(reading);
        Ok(())
    })?;
    fire(&mut open, last);
    Ok(())
}

/// As [`plain_statistics`], where devices have the numbers from 0 to below `devices`: a reading's statistics are found
/// by its number and not by a hash.
///
/// # Errors
/// When a block cannot be read, a reading lies behind its window, or a device's number is not as was told.
///
/// # Panics
/// When the window is shorter than 1 ns.
pub fn indexed_statistics(
    source: &impl BlockSource<Reading>,
    window: Duration,
    devices: usize,
    mut call: impl FnMut(Timestamp, &StatisticsRow),
) -> Result<(), BoxError> {
    let mut open = vec![Statistics::default(); devices];
    let mut fire = |open: &mut Vec<Statistics>, window: (i64, i64)| {
        for (device, statistics) in open.iter_mut().enumerate().filter(|(_, statistics)| statistics.count > 0) {
            call(Timestamp::from_nanos(window.1 - 1), &StatisticsRow::new(window, device as u64, statistics));
            *statistics = Statistics::default();
        }
    };
    let last = in_windows(source, window, &mut open, &mut fire, |open, reading| {
        let Some(statistics) = open.get_mut(reading.device as usize) else {
            return Err(format!("device {} is not below {devices}", reading.device).into());
        };
        add(statistics, reading);
        Ok(())
    })?;
    fire(&mut open, last);
    Ok(())
}

/// Adds all readings to the window that is open, which fires at the first reading behind it. Returns the last window.
#[inline(always)]
fn in_windows<T>(
    source: &impl BlockSource<Reading>,
    window: Duration,
    open: &mut T,
    mut fire: impl FnMut(&mut T, (i64, i64)),
    add: impl Fn(&mut T, &Reading) -> Result<(), BoxError>,
) -> Result<(i64, i64), BoxError> {
    let size_ns = i64::try_from(window.as_nanos())?;
    assert!(size_ns > 0, "a window of no length");
    // Nothing is in the open window before the first reading.
    let (mut start_ns, mut end_ns) = (i64::MIN, i64::MIN);
    let mut reader = source.reader()?;
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        for reading in reader.events() {
            if reading.time_ns >= end_ns {
                if end_ns > i64::MIN {
                    fire(open, (start_ns, end_ns));
                }
                start_ns = reading.time_ns - reading.time_ns.rem_euclid(size_ns);
                end_ns = start_ns + size_ns;
            } else if reading.time_ns < start_ns {
                return Err("a reading lies behind its window".into());
            }
            add(open, reading)?;
        }
    }
    Ok((start_ns, end_ns))
}
