//! Work on readings with windows of all kinds and with timers, as jobs to a callback. What each row becomes is shared with
//! the loops by hand.

use crate::number_work::{Amount, Called, FloatSum, Running, Statistics, StatisticsRow, amount, is_small, measure};
use crate::readings::{Reading, ReadingRow, SumReadings};
use crate::work::CountAndSum;
use pelton::{
    Aggregate, Inline, Input, Job, Options, Pane, ProcessContext, ProcessFunction, Report, Session, Sliding, Source,
    Stream, Timestamp, Tumbling, Tuple2, Tuple4, callback, count, max_f64, min_f64, push, sum, sum_f64,
};
use std::time::Duration;

fn window_of(pane: &Pane) -> (i64, i64) {
    (pane.window.start.as_nanos(), pane.window.end.as_nanos())
}

/// The row of counts and sums.
fn counted(pane: &Pane, device: &u64, sums: Tuple2<u64, i128>) -> ReadingRow {
    let (trades, value) = sums.parts();
    ReadingRow::of_window(pane, device, CountAndSum { trades, size: value as u64 })
}

/// Runs a job over readings that are not out of order, to a callback.
fn run<T: pelton::Record>(
    source: impl Into<Source<Reading>>,
    options: Options,
    build: impl FnOnce(Stream<Reading>) -> Stream<T>,
) -> Result<(Called, Report), pelton::Error> {
    let mut job = Job::new("windows");
    let called = Called::default();
    build(job.source("readings", source)).sink("out", callback(called.function::<T>()));
    Ok((called, job.run(options)?))
}

/// Counts and sums of each device in windows that slide.
///
/// # Errors
/// As for [`Job::run`].
pub fn sliding_job(
    source: impl Into<Source<Reading>>,
    windows: Sliding,
    options: Options,
) -> Result<(Called, Report), pelton::Error> {
    let sums = (count(), sum(|reading: &Reading| reading.value as i64));
    run(source, options, |readings| {
        readings.key_by(|reading| reading.device).window(windows).aggregate_with("sliding", sums, counted).main
    })
}

/// Least and largest values of each device in windows that slide: nothing can be taken off them.
///
/// # Errors
/// As for [`Job::run`].
pub fn sliding_extremes_job(
    source: impl Into<Source<Reading>>,
    windows: Sliding,
    options: Options,
) -> Result<(Called, Report), pelton::Error> {
    let extremes = (min_f64(measure), max_f64(measure));
    run(source, options, |readings| {
        let windows = readings.key_by(|reading| reading.device).window(windows);
        windows.aggregate_with("extremes", extremes, extremes_row).main
    })
}

/// The row of extremes alone.
fn extremes_row(pane: &Pane, device: &u64, extremes: Tuple2<f64, f64>) -> StatisticsRow {
    let (min, max) = extremes.parts();
    StatisticsRow::new(window_of(pane), *device, &Statistics { min, max, ..Statistics::default() })
}

/// Counts and sums of each device in sessions.
///
/// # Errors
/// As for [`Job::run`].
pub fn session_job(
    source: impl Into<Source<Reading>>,
    gap: Duration,
    options: Options,
) -> Result<(Called, Report), pelton::Error> {
    run(source, options, |readings| {
        let sessions = readings.key_by(|reading| reading.device).window(Session::gap(gap));
        sessions.aggregate_with("sessions", SumReadings, ReadingRow::of_window).main
    })
}

/// Counts and sums of each device in tumbling windows that are kept for `lateness` behind their end.
///
/// # Errors
/// As for [`Job::run`].
pub fn tumbling_job(
    source: impl Into<Source<Reading>>,
    size: Duration,
    lateness: Duration,
    options: Options,
) -> Result<(Called, Report), pelton::Error> {
    run(source, options, |readings| {
        let windows = readings.key_by(|reading| reading.device).window(Tumbling::of(size)).allowed_lateness(lateness);
        windows.aggregate_with("sums", SumReadings, ReadingRow::of_window).main
    })
}

/// Sums of floats of each device in tumbling windows, by one of the aggregates that give them.
///
/// # Errors
/// As for [`Job::run`].
pub fn float_sums_job<A: Aggregate<In = Reading, Value = f64>>(
    source: impl Into<Source<Reading>>,
    size: Duration,
    sums: A,
    options: Options,
) -> Result<(Called, Report), pelton::Error> {
    let row = |pane: &Pane, device: &u64, sum: f64| {
        let (start_ns, end_ns) = window_of(pane);
        FloatSum { start_ns, end_ns, device: *device, sum }
    };
    run(source, options, |readings| {
        readings.key_by(|reading| reading.device).window(Tumbling::of(size)).aggregate_with("sums", sums, row).main
    })
}

/// Events that wait to be taken by a job on the caller's thread: each is pushed when the one before is done.
const PUSHED_MAX: usize = 64;

/// A job on the caller's thread that gives what small readings add, and the input to push them into.
///
/// # Errors
/// As for [`Job::inline`].
pub fn inline_amounts(called: &Called) -> Result<(Inline, Input<Reading>), pelton::Error> {
    let (input, readings) = push::<Reading>(PUSHED_MAX);
    let mut job = Job::new("amounts");
    job.source("readings", readings).filter(is_small).map(amount).sink("out", callback(called.function::<Amount>()));
    Ok((job.inline(Options::workers(1))?, input))
}

/// A job on the caller's thread that gives counts and sums of each device in tumbling windows, and its input.
///
/// # Errors
/// As for [`Job::inline`].
pub fn inline_sums(called: &Called, size: Duration) -> Result<(Inline, Input<Reading>), pelton::Error> {
    let (input, readings) = push::<Reading>(PUSHED_MAX);
    let mut job = Job::new("sums");
    job.source("readings", readings)
        .key_by(|reading| reading.device)
        .window(Tumbling::of(size))
        .aggregate_with("sums", SumReadings, ReadingRow::of_window)
        .sink("out", callback(called.function::<ReadingRow>()));
    Ok((job.inline(Options::workers(1))?, input))
}

/// The statistics of [`statistics_job`](crate::number_work::statistics_job) by four aggregates in one pass.
///
/// # Errors
/// As for [`Job::run`].
pub fn four_aggregates_job(
    source: impl Into<Source<Reading>>,
    size: Duration,
    options: Options,
) -> Result<(Called, Report), pelton::Error> {
    let four = (count(), sum_f64(measure), min_f64(measure), max_f64(measure));
    let row = |pane: &Pane, device: &u64, four: Tuple4<u64, f64, f64, f64>| {
        let (count, sum, min, max) = four.parts();
        StatisticsRow::new(window_of(pane), *device, &Statistics { count, sum, min, max })
    };
    run(source, options, |readings| {
        readings.key_by(|reading| reading.device).window(Tumbling::of(size)).aggregate_with("four", four, row).main
    })
}

/// How long behind its reading a timer is due.
pub const TIMER_NS: i64 = 10_000_000;

/// When the timer of a reading is due: not in the order of readings.
#[inline(always)]
pub fn timer_of(reading: &Reading) -> i64 {
    reading.time_ns + TIMER_NS + (reading.value % 1024) as i64 * 1000
}

/// Sets a timer at each reading, and gives at each timer how many readings of its device have come.
#[derive(Debug, Clone, Copy)]
pub struct Echoes;

impl ProcessFunction<u64> for Echoes {
    type In = Reading;
    type State = i64;
    type Out = Running;

    #[inline]
    fn on_row(&self, _: &u64, _: Timestamp, row: &Reading, rows: &mut i64, context: &mut ProcessContext<'_, Running>) {
        *rows += 1;
        context.timer(Timestamp::from_nanos(timer_of(row)));
    }

    #[inline]
    fn on_timer(&self, device: &u64, _: Timestamp, rows: &mut i64, context: &mut ProcessContext<'_, Running>) {
        context.emit(Running { device: *device, sum: *rows });
    }
}

/// A timer for each reading: [`Echoes`].
///
/// # Errors
/// As for [`Job::run`].
pub fn timers_job(source: impl Into<Source<Reading>>, options: Options) -> Result<(Called, Report), pelton::Error> {
    run(source, options, |readings| readings.key_by(|reading| reading.device).process("echoes", Echoes))
}
