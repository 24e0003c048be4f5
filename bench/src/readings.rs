//! Readings: events keyed by a plain number, for tables of many keys; and what windows need to know of any event.

use crate::work::{CountAndSum, WindowRow, options};
use pelton::{Aggregate, Event, Job, Pane, Record, Report, Source, Symbol, Timestamp, Tumbling};
use pelton_io::sink::Seen;
use pelton_io::{Trade, blackhole};
use std::time::Duration;

/// What a device read, in 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, pelton::Event)]
#[repr(C)]
pub struct Reading {
    /// When, in nanoseconds since the epoch.
    #[event(time)]
    pub time_ns: i64,
    /// The device, which is the key.
    pub device: u64,
    /// What it read.
    pub value: u64,
    /// The device's count of its own readings; no job looks at it.
    pub sequence: u64,
}

/// The readings of one device in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, pelton::Record)]
#[repr(C)]
pub struct ReadingRow {
    /// The window's first nanosecond.
    pub start_ns: i64,
    /// The first nanosecond behind the window.
    pub end_ns: i64,
    /// The device.
    pub device: u64,
    /// The number of readings.
    pub readings: u64,
    /// The sum of what was read.
    pub value: u64,
}

/// An event of which loops by hand count and sum, whatever its type.
pub trait Measured: Event {
    /// What a key becomes when its window fires.
    type Row: Record;

    /// The key as a number: a symbol's id, a device.
    fn number(&self) -> u64;

    /// What is summed.
    fn amount(&self) -> u64;

    /// The row of a key and a window (first nanosecond, first nanosecond behind it).
    fn row(number: u64, window: (i64, i64), acc: &CountAndSum) -> Self::Row;
}

impl Measured for Trade {
    type Row = WindowRow;

    #[inline(always)]
    fn number(&self) -> u64 {
        self.symbol.id().into()
    }

    #[inline(always)]
    fn amount(&self) -> u64 {
        self.size.into()
    }

    #[inline(always)]
    fn row(number: u64, (start_ns, end_ns): (i64, i64), acc: &CountAndSum) -> WindowRow {
        let symbol = Symbol::from_id(number as u32);
        WindowRow { start_ns, end_ns, size: acc.size, trades: acc.trades as u32, symbol }
    }
}

impl Measured for Reading {
    type Row = ReadingRow;

    #[inline(always)]
    fn number(&self) -> u64 {
        self.device
    }

    #[inline(always)]
    fn amount(&self) -> u64 {
        self.value
    }

    #[inline(always)]
    fn row(device: u64, (start_ns, end_ns): (i64, i64), acc: &CountAndSum) -> ReadingRow {
        ReadingRow { start_ns, end_ns, device, readings: acc.trades, value: acc.size }
    }
}

/// Counts readings and sums them.
#[derive(Debug, Clone, Copy)]
pub struct SumReadings;

impl Aggregate for SumReadings {
    type In = Reading;
    type Acc = CountAndSum;
    type Value = CountAndSum;
    const EXACT: bool = true;

    #[inline]
    fn add(&self, acc: &mut CountAndSum, _: Timestamp, reading: &Reading) {
        acc.trades += 1;
        acc.size = acc.size.wrapping_add(reading.value);
    }

    fn merge(&self, acc: &mut CountAndSum, later: &CountAndSum) {
        acc.trades += later.trades;
        acc.size = acc.size.wrapping_add(later.size);
    }

    fn value(&self, acc: &CountAndSum) -> CountAndSum {
        *acc
    }
}

impl ReadingRow {
    /// The row of a firing.
    #[inline(always)]
    pub fn of_window(pane: &Pane, device: &u64, sums: CountAndSum) -> Self {
        Reading::row(*device, (pane.window.start.as_nanos(), pane.window.end.as_nanos()), &sums)
    }
}

/// Runs the keyed tumbling window over readings that are not out of order, to a blackhole.
///
/// # Errors
/// As for [`Job::run`].
pub fn reading_job(
    source: impl Into<Source<Reading>>,
    window: Duration,
    workers: usize,
) -> Result<(Seen, Report), pelton::Error> {
    let mut job = Job::new("readings");
    let sink = blackhole();
    let seen = sink.seen();
    job.source("readings", source)
        .key_by(|reading| reading.device)
        .window(Tumbling::of(window))
        .aggregate_with("sums", SumReadings, ReadingRow::of_window)
        .sink("out", sink);
    Ok((seen, job.run(options(workers))?))
}
