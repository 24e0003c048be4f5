//! Functions that alert: when something happens too often, and when nothing happens for too long.

use super::{BOUND, SECOND, everywhere, job_over, pushed, uneven};
use pelton::{ProcessContext, ProcessFunction, Record, Timestamp};
use pelton_tests::events::{Row, Sample};
use pelton_tests::rows::rows_of_model;
use pelton_tests::running::paced;
use pelton_tests::slow::{Call, Function, placed, run};
use std::collections::BTreeMap;
use std::time::Duration;

const MINUTE: i64 = 60 * SECOND;

fn is_failure(sample: &Sample) -> bool {
    sample.value < 60
}

/// Alerts when a user fails to log in three times within a minute.
#[derive(Clone)]
struct FailedLogins;

impl ProcessFunction<u64> for FailedLogins {
    type In = Sample;
    type State = u64;
    type Out = Row;

    fn on_row(
        &self,
        user: &u64,
        time: Timestamp,
        login: &Sample,
        failures: &mut u64,
        context: &mut ProcessContext<'_, Row>,
    ) {
        if is_failure(login) {
            *failures += 1;
            context.timer(time + Duration::from_secs(60));
            if *failures >= 3 {
                context.emit(Row { key: *user, a: *failures as i64, b: login.number as i64 });
            }
        }
    }

    fn on_timer(&self, _: &u64, _: Timestamp, failures: &mut u64, _: &mut ProcessContext<'_, Row>) {
        *failures = failures.saturating_sub(1);
    }
}

#[derive(Default)]
struct SlowLogins(BTreeMap<u64, i64>);

impl Function<Sample> for SlowLogins {
    type Out = Row;
    fn key(&self, login: &Sample) -> u64 {
        login.key
    }
    fn row(&mut self, user: u64, time: i64, login: &Sample, call: &mut Call<Row>) {
        if login.value >= 60 {
            return;
        }
        let failures = self.0.entry(user).or_default();
        *failures += 1;
        call.timers.push(time + MINUTE);
        if *failures > 2 {
            call.rows.push(Row { key: user, a: *failures, b: login.number as i64 });
        }
    }
    fn timer(&mut self, user: u64, _: i64, _: &mut Call<Row>) {
        let failures = self.0.get_mut(&user).unwrap();
        *failures = (*failures - 1).max(0);
    }
}

fn logins(stream: pelton::Stream<Sample>) -> pelton::Stream<Row> {
    stream.key_by(|login| login.key).process("failed logins", FailedLogins)
}

#[test]
fn three_failed_logins_within_a_minute_are_found_whatever_blocks_and_workers() {
    for seed in 0..2 {
        let events = uneven(200, 7, seed);
        let (rows, end) = placed(&events, |event| event.time_ns);
        let expected = rows_of_model(&run(&rows, end, BOUND, SlowLogins::default()));
        assert!(expected.len() > 10, "{} alerts", expected.len());
        everywhere(&expected, |block, pace| job_over(paced(&events, block, pace), logins));
    }
}

#[test]
fn three_failed_logins_are_found_in_events_that_are_pushed_in_any_pieces() {
    let events = uneven(600, 7, 3);
    let (rows, end) = placed(&events, |event| event.time_ns);
    let expected = rows_of_model(&run(&rows, end, BOUND, SlowLogins::default()));
    pushed(&events, &expected, logins);
}

#[derive(Clone, Copy, Record)]
#[repr(C)]
struct LastSeen {
    time: Timestamp,
    alerts: u64,
}

/// Alerts when nothing came of a key for five seconds, and again every second, five times.
#[derive(Clone)]
struct Silence;

const QUIET: i64 = 5 * SECOND;

impl ProcessFunction<u64> for Silence {
    type In = Sample;
    type State = LastSeen;
    type Out = Row;

    fn on_row(&self, _: &u64, time: Timestamp, _: &Sample, last: &mut LastSeen, context: &mut ProcessContext<'_, Row>) {
        if context.is_behind() && time < last.time {
            return;
        }
        *last = LastSeen { time: last.time.max(time), alerts: 0 };
        context.timer(time + Duration::from_secs(5));
    }

    fn on_timer(&self, key: &u64, time: Timestamp, last: &mut LastSeen, context: &mut ProcessContext<'_, Row>) {
        if time.as_nanos() - last.time.as_nanos() < QUIET || last.alerts == 5 {
            return;
        }
        last.alerts += 1;
        let quiet = time.as_nanos() - last.time.as_nanos();
        context.emit(Row { key: *key, a: quiet, b: context.watermark().as_nanos() });
        context.timer(time + Duration::from_secs(1));
    }
}

#[derive(Default)]
pub(super) struct SlowSilence(BTreeMap<u64, (i64, u32)>);

impl Function<Sample> for SlowSilence {
    type Out = Row;
    fn key(&self, row: &Sample) -> u64 {
        row.key
    }
    fn row(&mut self, key: u64, time: i64, _: &Sample, call: &mut Call<Row>) {
        let last = self.0.entry(key).or_default();
        if !(call.is_behind && time < last.0) {
            *last = (last.0.max(time), 0);
            call.timers.push(time + QUIET);
        }
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        let last = self.0.get_mut(&key).unwrap();
        if time - last.0 >= QUIET && last.1 < 5 {
            last.1 += 1;
            call.rows.push(Row { key, a: time - last.0, b: call.watermark });
            call.timers.push(time + SECOND);
        }
    }
}

pub(super) fn silence(stream: pelton::Stream<Sample>) -> pelton::Stream<Row> {
    stream.key_by(|event| event.key).process("silence", Silence)
}

#[test]
fn silence_is_told_at_the_same_place_whatever_blocks_and_workers() {
    for seed in 10..12 {
        let events = uneven(200, 5, seed);
        let (rows, end) = placed(&events, |event| event.time_ns);
        let expected = rows_of_model(&run(&rows, end, BOUND, SlowSilence::default()));
        assert!(expected.len() > 50, "{} alerts", expected.len());
        everywhere(&expected, |block, pace| job_over(paced(&events, block, pace), silence));
    }
}

#[test]
fn silence_is_told_of_events_that_are_pushed_in_any_pieces() {
    let events = uneven(600, 5, 13);
    let (rows, end) = placed(&events, |event| event.time_ns);
    let expected = rows_of_model(&run(&rows, end, BOUND, SlowSilence::default()));
    pushed(&events, &expected, silence);
}
