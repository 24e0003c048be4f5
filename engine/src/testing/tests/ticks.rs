//! Process functions with timers of both kinds, with ticks as a further input, against a loop over rows and ticks.

use super::joins::{Item, Pair, pairs};
use super::{at, cases};
use crate::operator::co_process::CoProcessOperator;
use crate::operator::keyed::Tick;
use crate::operator::process::ProcessOperator;
use crate::testing::{Script, Side, Step, Verify};
use crate::{
    Batch, CoProcessFunction, Dictionary, OperatorInput, Outbox, ProcessContext, ProcessFunction, Record,
    StoreSettings, Timestamp,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) type Ticked = Side<Item, Tick>;

/// What a row or timer found.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Seen {
    key: u64,
    count: u64,
    now: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Record)]
#[repr(C)]
struct Kept {
    count: u64,
    /// The last timer of processing time that was asked for.
    asked: Timestamp,
}

/// What happens.
#[derive(Debug, Clone, Copy)]
enum What {
    Row(u64),
    Timer,
    Processing(Timestamp),
}

/// What is asked for.
#[derive(Default)]
struct Asks {
    rows: Vec<u64>,
    clears: bool,
    timers: Vec<Timestamp>,
    /// Set or removed.
    processing: Vec<(Timestamp, bool)>,
}

/// Decides by numbers alone what to ask for.
fn act(what: What, now: Timestamp, watermark: Timestamp, kept: &mut Kept) -> Asks {
    let mut asks = Asks::default();
    kept.count += 1;
    let after = |nanos| now.plus_nanos(nanos);
    match what {
        What::Row(number) => {
            asks.rows.push(kept.count);
            match number % 7 {
                0 => asks.processing.push((after(4), true)),
                1 => asks.processing.extend([(after(-3), true), (after(9), true)]),
                2 => asks.processing.push((kept.asked, false)),
                3 => asks.timers.push(watermark.plus_nanos(3)),
                4 => asks.processing.extend([(after(2), true), (after(5), true), (after(2), false), (after(5), true)]),
                5 => asks.clears = number.is_multiple_of(2),
                _ => {}
            }
        }
        What::Timer => {
            asks.rows.push(kept.count + 1000);
            asks.processing.push((after(1), true));
        }
        What::Processing(time) => {
            asks.rows.push(kept.count + 2000);
            if kept.count.is_multiple_of(2) {
                asks.rows.push(time.as_nanos() as u64);
            }
            match kept.count % 5 {
                0 => asks.timers.push(watermark.plus_nanos(2)),
                1 => asks.timers.push(watermark),
                2 => asks.processing.push((time.plus_nanos(2), true)),
                3 => asks.clears = true,
                _ => {}
            }
        }
    }
    if let Some((time, true)) = asks.processing.last() {
        kept.asked = *time;
    }
    asks
}

fn perform(key: &u64, asks: Asks, context: &mut ProcessContext<'_, Seen>) {
    let now = context.processing_time();
    asks.rows.into_iter().for_each(|count| context.emit(Seen { key: *key, count, now }));
    asks.timers.into_iter().for_each(|time| context.timer(time));
    for (time, is_set) in asks.processing {
        if is_set {
            context.processing_timer(time);
        } else {
            context.delete_processing_timer(time);
        }
    }
    if asks.clears {
        context.clear_state();
    }
}

#[derive(Clone)]
struct Timed;

impl ProcessFunction<u64> for Timed {
    type In = Item;
    type State = Kept;
    type Out = Seen;
    const PROCESSING_TIME: bool = true;

    fn on_row(&self, key: &u64, _: Timestamp, row: &Item, kept: &mut Kept, context: &mut ProcessContext<'_, Seen>) {
        let asks = act(What::Row(row.number), context.processing_time(), context.watermark(), kept);
        perform(key, asks, context);
    }

    fn on_timer(&self, key: &u64, _: Timestamp, kept: &mut Kept, context: &mut ProcessContext<'_, Seen>) {
        let asks = act(What::Timer, context.processing_time(), context.watermark(), kept);
        perform(key, asks, context);
    }

    fn on_processing_timer(&self, key: &u64, time: Timestamp, kept: &mut Kept, context: &mut ProcessContext<'_, Seen>) {
        let asks = act(What::Processing(time), context.processing_time(), context.watermark(), kept);
        perform(key, asks, context);
    }
}

/// All that a slow operator keeps.
struct Plain {
    kept: BTreeMap<u64, Kept>,
    timers: BTreeSet<(Timestamp, u64)>,
    processing: BTreeSet<(Timestamp, u64)>,
    now: Timestamp,
    out: Vec<(Timestamp, Seen)>,
}

impl Plain {
    /// One call; the timers of event time that it asks for.
    fn call(&mut self, key: u64, what: What, (time, watermark): (Timestamp, Timestamp)) -> BTreeSet<Timestamp> {
        let kept = self.kept.entry(key).or_default();
        let asks = act(what, self.now, watermark, kept);
        if asks.clears {
            *kept = Kept::default();
        }
        let now = self.now;
        self.out.extend(asks.rows.into_iter().map(|count| (time, Seen { key, count, now })));
        for (time, is_set) in asks.processing {
            let timer = (time.max(now.plus_nanos(1)), key);
            if is_set {
                self.processing.insert(timer)
            } else {
                self.processing.remove(&timer)
            };
        }
        asks.timers.into_iter().collect()
    }

    /// A call at `watermark`, and those for timers of the past that it leads to.
    fn happen(&mut self, key: u64, what: What, (time, watermark): (Timestamp, Timestamp), of_past: Timestamp) {
        for timer in self.call(key, what, (time, watermark)) {
            if timer > watermark {
                self.timers.insert((timer, key));
                continue;
            }
            let later = self.call(key, What::Timer, (of_past, watermark));
            assert!(later.is_empty(), "timers of event time ask for none");
        }
    }

    fn fire(&mut self, watermark: Timestamp) {
        while let Some((time, key)) = self.timers.first().copied().filter(|(time, _)| *time <= watermark) {
            self.timers.pop_first();
            let shown = if watermark == Timestamp::MAX { watermark } else { time };
            self.happen(key, What::Timer, (time, shown), time);
        }
    }

    fn tick(&mut self, tick: Tick, watermark: Timestamp) {
        self.now = self.now.max(tick.now);
        let time = watermark.plus_nanos(1);
        while let Some((at, key)) = self.processing.first().copied().filter(|(at, _)| *at <= self.now) {
            self.processing.pop_first();
            self.happen(key, What::Processing(at), (time, watermark), time);
        }
    }
}

fn model(script: &Script<Ticked>) -> Vec<(Timestamp, Seen)> {
    let mut plain = Plain {
        kept: BTreeMap::new(),
        timers: BTreeSet::new(),
        processing: BTreeSet::new(),
        now: Timestamp::MIN,
        out: Vec::new(),
    };
    for step in script.steps().iter().copied().chain([Step::Watermark(script.reached())]) {
        let (Step::Row { watermark, .. } | Step::Watermark(watermark)) = step;
        plain.fire(watermark);
        match step {
            Step::Row { value: Side::Right(tick), .. } => plain.tick(tick, watermark),
            Step::Row { value: Side::Left(item), time, .. } => {
                plain.happen(item.key, What::Row(item.number), (time, watermark), watermark.plus_nanos(1));
            }
            Step::Watermark(_) => {}
        }
    }
    plain.out
}

/// The rows of the right side become ticks, of a clock that goes back now and then.
pub(super) fn ticked(steps: Vec<Step<Pair>>) -> Vec<Step<Ticked>> {
    let mut now = 100;
    let step = |step: Step<Pair>| match step {
        Step::Watermark(watermark) => Step::Watermark(watermark),
        Step::Row { time, value: Side::Left(item), watermark } => {
            Step::Row { time, value: Side::Left(item), watermark }
        }
        Step::Row { time, value: Side::Right(item), watermark } => {
            now += if item.number % 11 == 10 { -6 } else { item.number as i64 % 4 };
            Step::Row { time, value: Side::Right(Tick { now: at(now) }), watermark }
        }
    };
    steps.into_iter().map(step).collect()
}

fn operator() -> ProcessOperator<u64, fn(&Item) -> u64, Timed> {
    ProcessOperator::new(|item| item.key, Timed, &StoreSettings::default())
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn timers_of_both_kinds_fire_as_in_a_loop_over_rows_and_ticks(steps in pairs(60), seed: u64) {
        let verify = Verify::two(operator).left_keyed_by(|item: &Item| item.key).seed(seed).steps(ticked(steps));
        let verdict = verify.against(|script| (model(script),));
        verdict.result().map_err(|failure| TestCaseError::fail(failure.to_string()))?;
    }
}

#[test]
fn scripts_have_timers_of_processing_time_that_fire() {
    let item = |number| Side::Left(Item { key: number % 3, number, is_right: 0 });
    let steps = (0..60u64).map(|number| {
        let value = if number % 3 == 2 { Side::Right(Tick { now: at(number as i64) }) } else { item(number) };
        Step::Row { time: at(number as i64), value, watermark: at(number as i64 - 5) }
    });
    let verify = Verify::two(operator).left_keyed_by(|item: &Item| item.key).steps(steps);
    let mut fired = 0;
    let verdict = verify.against(|script| {
        let rows = model(script);
        fired = rows.iter().filter(|(_, row)| row.count > 2000 && row.count < 3000).count();
        (rows,)
    });
    verdict.check();
    assert!(fired > 15, "{fired} fired");
}

/// Two streams, and alarms that renew themselves.
#[derive(Clone)]
struct Alarm;

impl CoProcessFunction<u64> for Alarm {
    type Left = Item;
    type Right = Item;
    type State = u64;
    type Out = Seen;
    const PROCESSING_TIME: bool = true;

    fn on_left(&self, _: &u64, _: Timestamp, _: &Item, state: &mut u64, context: &mut ProcessContext<'_, Seen>) {
        *state += 1;
        context.processing_timer(context.processing_time());
    }

    fn on_right(&self, _: &u64, _: Timestamp, _: &Item, state: &mut u64, context: &mut ProcessContext<'_, Seen>) {
        *state += 100;
        context.processing_timer(at(7));
    }

    fn on_processing_timer(&self, key: &u64, time: Timestamp, state: &mut u64, context: &mut ProcessContext<'_, Seen>) {
        context.emit(Seen { key: *key, count: *state, now: time });
        // One that renews itself for the past waits for the next tick.
        context.processing_timer(time);
    }
}

#[test]
fn a_function_of_two_streams_takes_ticks_as_its_third_input() {
    let key_of = |item: &Item| item.key;
    let mut operator = CoProcessOperator::new((key_of, key_of), Alarm, &StoreSettings::default());
    let mut out = Outbox::new(64, Arc::new(Dictionary::default()));
    let item = |key| Item { key, number: 0, is_right: 0 };
    let mut fired = Vec::new();
    OperatorInput::<0>::on_batch(&mut operator, Batch::new(&[at(1)], &[item(3)]), &mut out).unwrap();
    OperatorInput::<1>::on_batch(&mut operator, Batch::new(&[at(1), at(1)], &[item(3), item(2)]), &mut out).unwrap();
    for now in [5, 5, 7, 9] {
        let ticks = [Tick { now: at(now) }];
        assert_eq!(OperatorInput::<2>::on_batch(&mut operator, Batch::new(&[Timestamp::MAX], &ticks), &mut out), Ok(1));
        fired.push(out.rows::<0>().1.iter().map(|row| (row.key, row.count)).collect::<Vec<_>>());
        out.clear();
    }
    // The second tick tells nothing new. At 7 both keys are called for what was set at 7, and key 3 for what it renewed.
    assert_eq!(fired, [vec![(3, 101)], vec![], vec![(3, 101), (2, 100), (3, 101)], vec![(2, 100), (3, 101)]]);
}
