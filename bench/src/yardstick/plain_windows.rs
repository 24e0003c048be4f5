//! Plain yardsticks for windows that slide, sessions, and timers, by the rules of `plain.rs`. Readings are in order.
//!
//! Frozen: changed only to fix an error, never to be slower or faster.

use crate::number_work::Running;
use crate::readings::{Measured, Reading, ReadingRow};
use crate::window_work::timer_of;
use crate::work::CountAndSum;
use hashbrown::HashMap;
use pelton::{BlockSource, BoxError, Timestamp};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

#[inline(always)]
fn add(sums: &mut CountAndSum, reading: &Reading) {
    sums.trades += 1;
    sums.size = sums.size.wrapping_add(reading.value);
}

/// Calls `each` for all readings.
#[inline(always)]
fn for_each(source: &impl BlockSource<Reading>, mut each: impl FnMut(&Reading)) -> Result<(), BoxError> {
    let mut reader = source.reader()?;
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        reader.events().iter().for_each(&mut each);
    }
    Ok(())
}

/// Counts and sums by device in windows of `slides` slides each. A slide's sums are added to those of the window when it
/// is over, and taken off when the window has left it behind.
///
/// # Errors
/// When a block cannot be read.
pub fn plain_sliding(
    source: &impl BlockSource<Reading>,
    slide: Duration,
    slides: usize,
    mut call: impl FnMut(Timestamp, &ReadingRow),
) -> Result<(), BoxError> {
    let slide_ns = i64::try_from(slide.as_nanos())?;
    let size_ns = slide_ns * i64::try_from(slides)?;
    let mut window: HashMap<u64, CountAndSum> = HashMap::new();
    let mut open: HashMap<u64, CountAndSum> = HashMap::new();
    let mut parts: VecDeque<Vec<(u64, CountAndSum)>> = VecDeque::new();
    let mut rows: Vec<(u64, CountAndSum)> = Vec::new();
    let mut fire = |open: &mut HashMap<u64, CountAndSum>, end_ns: i64| {
        let part: Vec<_> = open.drain().collect();
        for (device, sums) in &part {
            let all = window.entry(*device).or_default();
            (all.trades, all.size) = (all.trades + sums.trades, all.size.wrapping_add(sums.size));
        }
        parts.push_back(part);
        rows.clear();
        rows.extend(window.iter().map(|(device, sums)| (*device, *sums)));
        rows.sort_unstable_by_key(|row| row.0);
        for (device, sums) in &rows {
            call(Timestamp::from_nanos(end_ns - 1), &Reading::row(*device, (end_ns - size_ns, end_ns), sums));
        }
        if parts.len() == slides {
            for (device, sums) in parts.pop_front().into_iter().flatten() {
                let Some(all) = window.get_mut(&device) else { continue };
                (all.trades, all.size) = (all.trades - sums.trades, all.size.wrapping_sub(sums.size));
                if all.trades == 0 {
                    window.remove(&device);
                }
            }
        }
        !window.is_empty()
    };
    let mut end_ns = i64::MIN;
    for_each(source, |reading| {
        while reading.time_ns >= end_ns {
            if end_ns == i64::MIN || !fire(&mut open, end_ns) && open.is_empty() {
                // No window has a reading until the one that this begins.
                end_ns = reading.time_ns - reading.time_ns.rem_euclid(slide_ns) + slide_ns;
            } else {
                end_ns += slide_ns;
            }
        }
        add(open.entry(reading.device).or_default(), reading);
    })?;
    while end_ns > i64::MIN && fire(&mut open, end_ns) {
        end_ns += slide_ns;
    }
    Ok(())
}

/// Readings of a device, each within the gap of the one before it.
struct Session {
    start_ns: i64,
    end_ns: i64,
    sums: CountAndSum,
}

/// Counts and sums by device in sessions. A session fires once a reading has come behind its end, of whatever device.
///
/// # Errors
/// When a block cannot be read.
pub fn plain_sessions(
    source: &impl BlockSource<Reading>,
    gap: Duration,
    mut call: impl FnMut(Timestamp, &ReadingRow),
) -> Result<(), BoxError> {
    let gap_ns = i64::try_from(gap.as_nanos())?;
    let mut open: HashMap<u64, Session> = HashMap::new();
    // When a session has to be looked at; rows that prolong it leave this as it is.
    let mut due: BinaryHeap<Reverse<(i64, u64)>> = BinaryHeap::new();
    let mut fire = |open: &mut HashMap<u64, Session>, due: &mut BinaryHeap<Reverse<(i64, u64)>>, now_ns: i64| {
        while let Some(&Reverse((end_ns, device))) = due.peek()
            && end_ns <= now_ns
        {
            due.pop();
            let Some(session) = open.get(&device) else { continue };
            if session.end_ns > end_ns {
                due.push(Reverse((session.end_ns, device)));
                continue;
            }
            let row = Reading::row(device, (session.start_ns, end_ns), &session.sums);
            call(Timestamp::from_nanos(end_ns - 1), &row);
            open.remove(&device);
        }
    };
    let mut now_ns = i64::MIN;
    for_each(source, |reading| {
        // A session goes on with a reading at its very end, if that is the first one then.
        fire(&mut open, &mut due, now_ns);
        now_ns = reading.time_ns;
        let end_ns = reading.time_ns + gap_ns;
        let session = open.entry(reading.device).or_insert_with(|| {
            due.push(Reverse((end_ns, reading.device)));
            Session { start_ns: reading.time_ns, end_ns, sums: CountAndSum::default() }
        });
        session.end_ns = end_ns;
        add(&mut session.sums, reading);
    })?;
    fire(&mut open, &mut due, i64::MAX);
    Ok(())
}

/// A timer for each reading, and at each timer the number of its device's readings so far. Two timers of a device for one
/// time are one.
///
/// # Errors
/// When a block cannot be read.
pub fn plain_timers(
    source: &impl BlockSource<Reading>,
    mut call: impl FnMut(Timestamp, &Running),
) -> Result<(), BoxError> {
    let mut rows: HashMap<u64, i64> = HashMap::new();
    let mut timers: BinaryHeap<Reverse<(i64, u64)>> = BinaryHeap::new();
    let mut fire = |rows: &HashMap<u64, i64>, timers: &mut BinaryHeap<Reverse<(i64, u64)>>, until_ns: i64| {
        while let Some(&Reverse((time_ns, device))) = timers.peek()
            && time_ns < until_ns
        {
            timers.pop();
            while timers.peek() == Some(&Reverse((time_ns, device))) {
                timers.pop();
            }
            let sum = rows.get(&device).copied().unwrap_or_default();
            call(Timestamp::from_nanos(time_ns), &Running { device, sum });
        }
    };
    let mut clock_ns = i64::MIN;
    for_each(source, |reading| {
        fire(&rows, &mut timers, clock_ns);
        clock_ns = clock_ns.max(reading.time_ns);
        *rows.entry(reading.device).or_default() += 1;
        timers.push(Reverse((timer_of(reading), reading.device)));
    })?;
    fire(&rows, &mut timers, i64::MAX);
    Ok(())
}
