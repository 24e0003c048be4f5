//! Timers that ask for timers, of the past and to come, and functions behind functions.

use super::alerts::{SlowSilence, silence};
use super::{BOUND, SECOND, everywhere, job_over, placed_rows, pushed, row_of, uneven};
use pelton::{ProcessContext, ProcessFunction, Record, Timestamp};
use pelton_tests::events::{Row, Sample};
use pelton_tests::rows::rows_of_model;
use pelton_tests::running::paced;
use pelton_tests::slow::{Call, Function, placed, run};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Copy, Record)]
#[repr(C)]
struct Steps {
    rows: i64,
    fired: i64,
}

/// Asks for timers of the past, of now and to come, and fired ones do so again.
#[derive(Clone)]
struct Chains;

impl ProcessFunction<u64> for Chains {
    type In = Row;
    type State = Steps;
    type Out = Row;

    fn on_row(&self, key: &u64, time: Timestamp, row: &Row, steps: &mut Steps, context: &mut ProcessContext<'_, Row>) {
        steps.rows += 1;
        for ahead in chains_of_row(row.a) {
            context.timer(time.plus_nanos(ahead));
        }
        if row.a % 3 == 0 {
            context.emit(Row { key: *key, a: row.a, b: steps.rows });
        }
        if row.a % 10 == 7 {
            context.timer(context.watermark());
            context.timer(context.watermark().plus_nanos(1));
        }
    }

    fn on_timer(&self, key: &u64, time: Timestamp, steps: &mut Steps, context: &mut ProcessContext<'_, Row>) {
        steps.fired += 1;
        context.emit(Row { key: *key, a: time.as_nanos(), b: context.watermark().as_nanos() ^ steps.fired });
        for ahead in chains_of_timer(steps.fired) {
            context.timer(time.plus_nanos(ahead));
        }
    }
}

fn chains_of_row(value: i64) -> Vec<i64> {
    match value.rem_euclid(6) {
        0 => vec![0, 5 * SECOND],
        1 => vec![-SECOND, -3 * SECOND, -SECOND],
        2 => vec![BOUND, BOUND + 1, 0],
        3 => vec![100 * SECOND, 20 * SECOND],
        4 => vec![-BOUND, -BOUND - 1, -BOUND + 1],
        _ => Vec::new(),
    }
}

fn chains_of_timer(fired: i64) -> Vec<i64> {
    match fired.rem_euclid(5) {
        0 => vec![0, -SECOND, 3 * SECOND],
        1 => vec![1, 0],
        2 => vec![SECOND, SECOND],
        _ => Vec::new(),
    }
}

#[derive(Default)]
struct SlowChains(BTreeMap<u64, (i64, i64)>);

impl Function<Row> for SlowChains {
    type Out = Row;
    fn key(&self, row: &Row) -> u64 {
        row.key
    }
    fn row(&mut self, key: u64, time: i64, row: &Row, call: &mut Call<Row>) {
        let (rows, _) = self.0.entry(key).or_default();
        *rows += 1;
        call.timers.extend(chains_of_row(row.a).iter().map(|ahead| time + ahead));
        if row.a % 3 == 0 {
            call.rows.push(Row { key, a: row.a, b: *rows });
        }
        if row.a % 10 == 7 {
            call.timers.extend([call.watermark, call.watermark.saturating_add(1)]);
        }
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        let (_, fired) = self.0.get_mut(&key).unwrap();
        *fired += 1;
        call.rows.push(Row { key, a: time, b: call.watermark ^ *fired });
        call.timers.extend(chains_of_timer(*fired).iter().map(|ahead| time + ahead));
    }
}

fn chains(stream: pelton::Stream<Sample>) -> pelton::Stream<Row> {
    stream.map(row_of).key_by(|row| row.key).process("chains", Chains)
}

#[test]
fn timers_of_the_past_fire_once_behind_their_row_and_chains_end() {
    let events = uneven(250, 6, 30);
    let (rows, end) = placed_rows(&events);
    let expected = rows_of_model(&run(&rows, end, BOUND, SlowChains::default()));
    assert!(expected.len() > 250);
    everywhere(&expected, |block, pace| job_over(paced(&events, block, pace), chains));
}

#[test]
fn timers_of_the_past_fire_once_in_events_that_are_pushed_in_any_pieces() {
    let events = uneven(400, 6, 33);
    let (rows, end) = placed_rows(&events);
    let expected = rows_of_model(&run(&rows, end, BOUND, SlowChains::default()));
    pushed(&events, &expected, chains);
}

/// Counts a group's rows, and tells the count three seconds behind each.
#[derive(Clone)]
struct Groups;

impl ProcessFunction<u64> for Groups {
    type In = Row;
    type State = u64;
    type Out = Row;

    fn on_row(&self, key: &u64, time: Timestamp, row: &Row, rows: &mut u64, context: &mut ProcessContext<'_, Row>) {
        *rows += 1;
        context.emit(Row { key: *key, a: row.a, b: *rows as i64 });
        context.timer(time + Duration::from_secs(3));
        context.timer(time.plus_nanos(-1));
    }

    fn on_timer(&self, key: &u64, time: Timestamp, rows: &mut u64, context: &mut ProcessContext<'_, Row>) {
        context.emit(Row { key: *key, a: -2, b: time.as_nanos() ^ *rows as i64 });
    }
}

/// Keyed by what the first step emits, so that rows of all workers meet.
const GROUPS: u64 = 3;

fn group_of(row: &Row) -> u64 {
    (row.a as u64 ^ row.key) % GROUPS
}

#[derive(Default)]
struct SlowGroups(BTreeMap<u64, i64>);

impl Function<Row> for SlowGroups {
    type Out = Row;
    fn key(&self, row: &Row) -> u64 {
        group_of(row)
    }
    fn row(&mut self, key: u64, time: i64, row: &Row, call: &mut Call<Row>) {
        let rows = self.0.entry(key).or_default();
        *rows += 1;
        call.rows.push(Row { key, a: row.a, b: *rows });
        call.timers.extend([time + 3 * SECOND, time - 1]);
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        call.rows.push(Row { key, a: -2, b: time ^ self.0[&key] });
    }
}

#[test]
fn two_functions_in_a_chain_fire_as_two_loops_in_a_chain() {
    let events = uneven(200, 6, 40);
    let (rows, end) = placed(&events, |event| event.time_ns);
    let first = run(&rows, end, BOUND, SlowSilence::default());
    let expected = rows_of_model(&run(&first, end, BOUND, SlowGroups::default()));
    assert!(expected.len() > 100);
    everywhere(&expected, |block, pace| {
        job_over(paced(&events, block, pace), |stream| silence(stream).key_by(group_of).process("groups", Groups))
    });
}

#[test]
fn chains_behind_chains_fire_as_loops_in_a_chain() {
    let events = uneven(150, 6, 45);
    let (rows, end) = placed_rows(&events);
    let first = run(&rows, end, BOUND, SlowChains::default());
    let expected = rows_of_model(&run(&first, end, BOUND, SlowGroups::default()));
    everywhere(&expected, |block, pace| {
        job_over(paced(&events, block, pace), |stream| chains(stream).key_by(group_of).process("groups", Groups))
    });
}
