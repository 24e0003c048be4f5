//! Process functions against a model, with timers that ask for timers.

use super::{Row, at, cases, steps};
use crate::operator::process::ProcessOperator;
use crate::testing::model::{self, Actions, Call};
use crate::testing::{self, Script, Step, Verify};
use crate::{
    Batch, Firing, Operator, OperatorError, OperatorInput, Outbox, ProcessContext, ProcessFunction, Record, StoreError,
    StoreSettings, Timestamp,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug, Clone, Copy, Record)]
#[repr(C)]
struct State {
    sum: i64,
    /// Timers that timers may still ask for.
    fuel: i64,
}

#[derive(Debug, Clone, Copy, Record)]
#[repr(C)]
struct Note {
    key: u64,
    sum: i64,
    asked_for: Timestamp,
    watermark: Timestamp,
}

/// The times that a timer asks others for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Ahead,
    Back,
    Both,
}

/// What the function does: rows say how many rows it emits and how far off its timers are.
fn act(asks: Asks, key: &u64, call: Call<Row>, state: &mut State) -> Actions<Note> {
    let note = |state: &State, asked_for, watermark| Note { key: *key, sum: state.sum, asked_for, watermark };
    match call {
        Call::Row { time, row, behind, watermark } => {
            state.sum = state.sum.wrapping_add(row.value);
            state.fuel = 4;
            assert_eq!(behind, time <= watermark);
            let rows = (0..row.weight.rem_euclid(3)).map(|_| note(state, time, watermark)).collect();
            let timers = match row.weight.rem_euclid(7) {
                0 => vec![],
                1 => vec![time],
                2 => vec![time.plus_nanos(9), time.plus_nanos(9)],
                3 => vec![time.minus_nanos(30)],
                4 => vec![time.plus_nanos(1), time.plus_nanos(30)],
                _ => vec![time.plus_nanos(row.value % 8)],
            };
            let removed = match row.weight.rem_euclid(5) {
                0 => vec![time.plus_nanos(1), time.plus_nanos(30)],
                1 => (0..20).map(|nanos| watermark.plus_nanos(nanos)).collect(),
                _ => vec![],
            };
            Actions { rows, removed, timers }
        }
        Call::Timer { time, watermark } => {
            let rows = (0..state.fuel % 3).map(|_| note(state, time, watermark)).collect();
            state.sum = state.sum.wrapping_mul(3).wrapping_add(time.as_nanos());
            let mut timers = Vec::new();
            if state.fuel > 0 {
                state.fuel -= 1;
                let choice = match asks {
                    Asks::Ahead => (state.sum ^ state.fuel).rem_euclid(3),
                    Asks::Back => 3 + (state.sum ^ state.fuel).rem_euclid(3),
                    Asks::Both => (state.sum ^ state.fuel).rem_euclid(6),
                };
                timers = match choice {
                    0 => vec![time.plus_nanos(1)],
                    1 => vec![time.plus_nanos(12), time.plus_nanos(12)],
                    2 => vec![time.plus_nanos(2), time.plus_nanos(40)],
                    3 => vec![time],
                    4 => vec![time.minus_nanos(5)],
                    _ => vec![time.minus_nanos(2), time],
                };
            }
            let removed = match state.sum.rem_euclid(4) {
                0 => vec![time.plus_nanos(12), time],
                _ => vec![],
            };
            Actions { rows, removed, timers }
        }
    }
}

#[derive(Clone)]
struct Acting(Asks);

/// Emits notes, and odd sums to the side.
fn perform(actions: Actions<Note>, context: &mut ProcessContext<'_, (Note, i64)>) {
    for row in actions.rows {
        context.emit(row);
        if row.sum % 2 != 0 {
            context.emit_to::<1>(row.sum);
        }
    }
    actions.removed.into_iter().for_each(|time| context.delete_timer(time));
    actions.timers.into_iter().for_each(|time| context.timer(time));
}

impl ProcessFunction<u64> for Acting {
    type In = Row;
    type State = State;
    type Out = (Note, i64);

    fn on_row(
        &self,
        key: &u64,
        time: Timestamp,
        row: &Row,
        state: &mut State,
        context: &mut ProcessContext<'_, (Note, i64)>,
    ) {
        let call = Call::Row { time, row: *row, behind: context.is_behind(), watermark: context.watermark() };
        perform(act(self.0, key, call, state), context);
    }

    fn on_timer(&self, key: &u64, time: Timestamp, state: &mut State, context: &mut ProcessContext<'_, (Note, i64)>) {
        let call = Call::Timer { time, watermark: context.watermark() };
        perform(act(self.0, key, call, state), context);
    }
}

/// Runs functions whose timers ask for others.
fn hold(asks: Asks) {
    proptest!(cases(384), |(steps in steps(50), seed: u64)| {
        let verdict = Verify::new(|| testing::process(|row: &Row| row.key, Acting(asks)))
            .keyed_by(|row: &Row| row.key)
            .seed(seed)
            .steps(steps)
            .against(|script| {
                let (main,) = model::process(script, |row| row.key, |key, call, state| act(asks, key, call, state));
                let odd = |(time, row): &(Timestamp, Note)| (row.sum % 2 != 0).then_some((*time, row.sum));
                let side: Vec<_> = main.iter().filter_map(odd).collect();
                (main, side)
            });
        if let Err(failure) = verdict.result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    });
}

#[test]
fn rows_and_timers_that_ask_ahead_are_those_of_the_model() {
    hold(Asks::Ahead);
}

#[test]
fn rows_and_timers_that_ask_back_are_those_of_the_model() {
    hold(Asks::Back);
}

#[test]
fn rows_and_timers_that_ask_both_ways_are_those_of_the_model() {
    hold(Asks::Both);
}

/// Emits the time of each timer that a row asks for, and asks again as long as the state is not 0.
#[derive(Clone)]
struct Asking(&'static [i64]);

impl ProcessFunction<u32> for Asking {
    type In = u32;
    type State = u32;
    type Out = i64;

    fn on_row(&self, _: &u32, time: Timestamp, again: &u32, state: &mut u32, context: &mut ProcessContext<'_, i64>) {
        *state = *again;
        self.0.iter().for_each(|shift| context.timer(time.plus_nanos(*shift)));
    }

    fn on_timer(&self, _: &u32, time: Timestamp, state: &mut u32, context: &mut ProcessContext<'_, i64>) {
        context.emit(time.as_nanos());
        if *state > 0 {
            *state -= 1;
            self.0.iter().for_each(|shift| context.timer(time.plus_nanos(*shift)));
        }
    }
}

fn asking(shifts: &'static [i64]) -> Verify<AskingOperator, impl Fn() -> AskingOperator> {
    Verify::new(move || asking_operator(shifts)).keyed_by(|_: &u32| 0u32)
}

type AskingOperator = ProcessOperator<u32, fn(&u32) -> u32, Asking>;

fn asking_operator(shifts: &'static [i64]) -> AskingOperator {
    limited(shifts, StoreSettings::default())
}

fn limited(shifts: &'static [i64], settings: StoreSettings) -> AskingOperator {
    ProcessOperator::new(|_: &u32| 0, Asking(shifts), &settings)
}

#[test]
fn a_timer_asked_for_twice_fires_once() {
    asking(&[5, 5]).row(1, 0).row(1, 0).watermark(5).watermark(6).end().expect_main([(6, 6)]).check();
}

#[test]
fn a_timer_asked_for_at_or_before_its_asker_fires_at_once_and_what_that_one_asks_for_as_early_is_dropped() {
    asking(&[0]).row(1, 3).watermark(1).end().expect_main([(1, 1), (1, 1)]).check();
    asking(&[-2]).row(5, 3).watermark(9).end().expect_main([(3, 3), (3, 1)]).check();
}

#[test]
fn a_timer_that_waits_is_not_doubled() {
    let fired = [(3, 3), (3, 1), (5, 5), (5, 3), (7, 7)];
    asking(&[-2, 2]).row(5, 4).watermark(9).expect_main(fired).check();
}

#[test]
fn at_the_end_timers_fire_and_ask_in_vain() {
    asking(&[5]).row(1, 9).end().expect_main([(6, 6)]).check();
    asking(&[5]).row(1, 9).watermark(12).end().expect_main([(6, 6), (11, 11), (16, 16)]).check();
}

#[test]
fn what_a_row_asks_for_at_or_before_its_watermark_fires_at_once_1_ns_ahead_of_the_watermark() {
    asking(&[-50])
        .row(10, 0)
        .watermark(20)
        .behind(15, 0, 25)
        .watermark(25)
        .expect_main([(-40, -40), (26, -35)])
        .check();
    // In order of time, once each; what they ask for at or before the watermark is dropped.
    asking(&[7, 0, -3, 0]).at(20, 15, 1).end().expect_main([(21, 12), (21, 15), (22, 22)]).check();
}

#[test]
fn timers_fire_before_the_first_row_whose_watermark_has_reached_them() {
    // The row of watermark 6 lets timers ask for others: too late for that of time 6.
    asking(&[5]).row(1, 0).at(6, 21, 1).watermark(12).end().expect_main([(6, 6), (26, 26)]).check();
    asking(&[5]).row(1, 0).at(5, 21, 1).watermark(12).end().expect_main([(6, 6), (11, 11), (26, 26)]).check();
    asking(&[5]).row(1, 2).at(40, 41, 0).expect_main([(6, 6), (11, 11), (16, 16)]).check();
}

fn take(
    operator: &mut impl OperatorInput<0, Row = u32, Outputs = (i64,)>,
    rows: &[(i64, u32)],
) -> Result<usize, OperatorError> {
    let (times, values): (Vec<_>, Vec<_>) = rows.iter().map(|(time, row)| (at(*time), *row)).unzip();
    operator.on_batch(Batch::new(&times, &values), &mut Outbox::new(99, Default::default()))
}

#[test]
fn one_key_more_than_the_limit_is_an_error() {
    let settings = StoreSettings { keys_max: 2, ..StoreSettings::default() };
    let mut operator = ProcessOperator::new(|key: &u32| *key, Asking(&[]), &settings);
    assert_eq!(take(&mut operator, &[(1, 1), (1, 2), (1, 1)]), Ok(3));
    assert_eq!(take(&mut operator, &[(1, 3)]), Err(StoreError::TooManyKeys(2).into()));
}

#[test]
fn one_timer_more_than_the_limit_is_an_error_and_doubled_or_fired_ones_do_not_count() {
    let mut operator = limited(&[5, 7], StoreSettings { timers_max: 3, ..StoreSettings::default() });
    assert_eq!(take(&mut operator, &[(1, 0), (1, 0), (3, 0)]), Ok(3));
    assert_eq!(operator.on_watermark(at(6), &mut Outbox::new(9, Default::default())), Ok(Firing::Done));
    assert_eq!(take(&mut operator, &[(8, 0)]), Err(StoreError::TooManyTimers(3).into()));
}

#[test]
fn a_row_knows_the_watermark_at_its_own_place() {
    let row = Row { value: 1, weight: 2, float: 0.0, key: 3 };
    let verify = Verify::new(|| testing::process(|row: &Row| row.key, Acting(Asks::Ahead)));
    let note = |asked_for, sum, watermark| Note { key: 3, sum, asked_for: at(asked_for), watermark: at(watermark) };
    let (first, second) = (note(4, 1, 12), note(16, 17, 13));
    verify
        .watermark(10)
        .behind(4, row, 12)
        .at(13, 16, Row { weight: 23, ..row })
        .expect(
            [(4, first), (4, first), (13, note(13, 1, 13)), (16, second), (16, second)],
            [(4, 1), (4, 1), (13, 1), (16, 17), (16, 17)],
        )
        .check();
}

/// A timer at the next ten, and nothing to tell.
#[derive(Clone)]
struct Silent;

impl ProcessFunction<u32> for Silent {
    type In = u32;
    type State = u32;
    type Out = u32;

    fn on_row(&self, _: &u32, _: Timestamp, row: &u32, sum: &mut u32, context: &mut ProcessContext<'_, u32>) {
        *sum += 1;
        context.timer(at(10));
        if *row == u32::MAX {
            context.emit(*sum);
        }
    }
}

#[test]
fn more_timers_than_fire_at_once_may_be_due_before_a_row() {
    let mut verify = Verify::new(|| testing::process(|row: &u32| *row, Silent)).keyed_by(|row: &u32| *row);
    for key in 0..150 {
        verify = verify.row(1, key);
    }
    verify.at(10, 11, u32::MAX).expect_main([(11, 1)]).check();
}

/// Counts the rows of a key, of which it forgets all 4 ns behind the last one, and all where a row is 7.
#[derive(Clone)]
struct Recent;

const LIFE: i64 = 4;

impl ProcessFunction<u32> for Recent {
    type In = u32;
    type State = u64;
    type Out = u64;

    fn on_row(&self, _: &u32, time: Timestamp, row: &u32, rows: &mut u64, context: &mut ProcessContext<'_, u64>) {
        *rows += 1;
        context.emit(*rows);
        if *row % 10 == 7 {
            context.clear_state();
        }
        context.timer(time.plus_nanos(6));
    }

    fn on_timer(&self, _: &u32, _: Timestamp, rows: &mut u64, context: &mut ProcessContext<'_, u64>) {
        context.emit(*rows + 100);
        // State that a timer writes lives no longer.
        *rows += 1;
    }

    fn time_to_live(&self) -> Option<Duration> {
        Some(Duration::from_nanos(LIFE as u64))
    }
}

/// What comes out of `Recent`, whose keys are the tens of its rows.
fn recent(script: &Script<u32>) -> Vec<(Timestamp, u64)> {
    let (mut kept, mut out) = (BTreeMap::<u32, (u64, Timestamp)>::new(), Vec::new());
    let mut timers = BTreeSet::<(Timestamp, u32)>::new();
    let count = |kept: &BTreeMap<u32, (u64, Timestamp)>, key, at: Timestamp| {
        kept.get(&key).filter(|(_, written)| written.plus_nanos(LIFE) > at).map_or(0, |(rows, _)| *rows)
    };
    let fire = |kept: &mut BTreeMap<u32, (u64, Timestamp)>, key, at| {
        let rows = count(kept, key, at);
        if let Some(of_key) = kept.get_mut(&key) {
            of_key.0 = rows + 1;
        }
        rows + 100
    };
    for step in script.steps().iter().copied().chain([Step::Watermark(script.reached())]) {
        let (Step::Row { watermark, .. } | Step::Watermark(watermark)) = step;
        while let Some((time, key)) = timers.first().copied().filter(|(time, _)| *time <= watermark) {
            timers.pop_first();
            out.push((time, fire(&mut kept, key, time)));
        }
        let Step::Row { time, value, .. } = step else { continue };
        let key = value / 10;
        let rows = count(&kept, key, watermark) + 1;
        out.push((time, rows));
        kept.insert(key, (if value % 10 == 7 { 0 } else { rows }, time.max(watermark)));
        let timer = time.plus_nanos(6);
        if timer > watermark {
            timers.insert((timer, key));
        } else {
            out.push((watermark.plus_nanos(1), fire(&mut kept, key, timer)));
        }
    }
    out
}

#[test]
fn state_expires_by_the_watermark_at_a_rows_place_and_is_cleared_where_a_function_asks_for_it() {
    let step = (0i64..7, 0u32..40, 0i64..9);
    proptest!(cases(96), |(rows in prop::collection::vec(step, 0..40), seed: u64)| {
        let (mut clock, mut reached) = (0, i64::MIN);
        let steps = rows.into_iter().map(|(passed, value, behind)| {
            clock += passed;
            reached = reached.max(clock - 5);
            Step::Row { time: at(clock - behind), value, watermark: at(reached) }
        });
        let steps: Vec<_> = steps.collect();
        let verdict = Verify::new(|| testing::process(|row: &u32| row / 10, Recent))
            .keyed_by(|row: &u32| row / 10)
            .seed(seed)
            .steps(steps)
            .against(|script| (recent(script),));
        if let Err(failure) = verdict.result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    });
}
