//! The built-in operators with two inputs against models.

use super::{at, cases};
use crate::operator::co_process::CoProcessOperator;
use crate::operator::join::answered::AnsweredOperator;
use crate::operator::join::around::Around;
use crate::operator::join::as_of::AsOf;
use crate::operator::join::interval::{Interval, IntervalOperator};
use crate::operator::join::{FullOuter, Inner, JoinRows, LeftOuter, RightOuter};
use crate::testing::model::{self, Actions, Call};
use crate::testing::{self, ExpectedTwo, Script, Side, Step, Verify};
use crate::{CoProcessFunction, ProcessContext, ProcessFunction, Record, StoreSettings, Timestamp, fold};
use proptest::prelude::*;
use std::time::Duration;

/// A row of either input.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
pub(super) struct Item {
    pub(super) key: u64,
    pub(super) number: u64,
    pub(super) is_right: u64,
}

pub(super) type Pair = Side<Item, Item>;

/// Scripts with rows of both inputs, ahead of the watermark and behind it.
pub(super) fn pairs(most: usize) -> impl Strategy<Value = Vec<Step<Pair>>> {
    (prop::collection::vec((0u8..10, 0i64..9, 0u64..4, any::<bool>()), 0..most), any::<bool>()).prop_map(
        |(raw, ends)| {
            let mut reached = 0;
            let mut steps = Vec::new();
            for (number, (kind, shift, key, is_right)) in raw.into_iter().enumerate() {
                if kind > 4 {
                    reached += shift / 2;
                }
                let watermark = at(reached);
                let item = Item { key, number: number as u64, is_right: u64::from(is_right) };
                let value = if is_right { Side::Right(item) } else { Side::Left(item) };
                steps.push(match kind {
                    9 => Step::Watermark(watermark),
                    7 | 8 => Step::Row { time: at(reached - shift), value, watermark },
                    _ => Step::Row { time: at(reached + 1 + shift), value, watermark },
                });
            }
            steps.extend(ends.then_some(Step::Watermark(Timestamp::MAX)));
            steps
        },
    )
}

/// A left row with the number of the right row that it met, or none.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Met {
    key: u64,
    left: u64,
    right: u64,
}

const NONE: u64 = u64::MAX;

/// Which way an as-of join looks: backward, forward or both.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Looks {
    Backward(Option<i64>),
    Forward(i64),
    Nearest(i64),
}

impl Looks {
    fn as_of(self) -> AsOf {
        let nanos = |nanos: i64| Duration::from_nanos(nanos as u64);
        match self {
            Self::Backward(None) => AsOf::backward(),
            Self::Backward(Some(tolerance)) => AsOf::backward().within(nanos(tolerance)),
            Self::Forward(tolerance) => AsOf::forward(nanos(tolerance)),
            Self::Nearest(tolerance) => AsOf::nearest(nanos(tolerance)),
        }
    }

    fn answered_after(self) -> i64 {
        match self {
            Self::Backward(_) => 0,
            Self::Forward(tolerance) | Self::Nearest(tolerance) => tolerance,
        }
    }

    /// How good a right row is that comes so much later than the left one; of equal ones, the last for rows that are not
    /// later, and the first for others.
    fn rank(self, later: i64) -> Option<i64> {
        match self {
            Self::Backward(tolerance) => {
                (later <= 0 && tolerance.is_none_or(|tolerance| -later <= tolerance)).then_some(-later)
            }
            Self::Forward(tolerance) => (later >= 0 && later <= tolerance).then_some(later),
            Self::Nearest(tolerance) => (later.abs() <= tolerance).then_some(2 * later.abs() + i64::from(later > 0)),
        }
    }
}

/// Each left row looked up among all right rows, as long as its answer is reached.
fn as_of_model(script: &Script<Pair>, looks: Looks) -> ExpectedTwo<Met, Item, Item> {
    let mut expected = ExpectedTwo::default();
    let (mut lefts, mut rights) = (Vec::new(), Vec::new());
    for step in script.steps() {
        match *step {
            Step::Row { time, value: Side::Left(item), watermark } if time <= watermark => {
                expected.late_left.push((time, item));
            }
            Step::Row { time, value: Side::Right(item), watermark } if time <= watermark => {
                expected.late_right.push((time, item));
            }
            Step::Row { time, value: Side::Left(item), .. } => lefts.push((time, item)),
            Step::Row { time, value: Side::Right(item), .. } => rights.push((time, item)),
            Step::Watermark(_) => {}
        }
    }
    let answered_at = |time: Timestamp| time.plus_nanos(looks.answered_after());
    // Rows of one key and time stay in the order in which they came.
    lefts.sort_by_key(|(time, item)| (*time, item.key));
    rights.sort_by_key(|(time, _)| *time);
    for (time, left) in lefts.into_iter().filter(|(time, _)| answered_at(*time) <= script.reached()) {
        let mut best: Option<(i64, u64)> = None;
        for (at, right) in rights.iter().filter(|(_, right)| right.key == left.key) {
            let later = at.as_nanos() - time.as_nanos();
            let Some(rank) = looks.rank(later) else { continue };
            let takes_last = later < 0 || later == 0 && !matches!(looks, Looks::Forward(_));
            if best.is_none_or(|(other, _)| rank < other || rank == other && takes_last) {
                best = Some((rank, right.number));
            }
        }
        let right = best.map_or(NONE, |(_, number)| number);
        expected.main.push((answered_at(time), Met { key: left.key, left: left.number, right }));
    }
    expected
}

/// What an interval join has seen.
struct Seen {
    interval: (i64, i64),
    outer: (bool, bool),
    /// Rows of both sides, with the times at which those that may be alone are told.
    rows: Vec<(Timestamp, Item)>,
    alone: Vec<(Timestamp, u64, u64, usize)>,
    main: Vec<(Timestamp, Met)>,
}

fn met(left: Option<&Item>, right: Option<&Item>) -> Met {
    let key = left.or(right).map_or(NONE, |item| item.key);
    Met { key, left: left.map_or(NONE, |item| item.number), right: right.map_or(NONE, |item| item.number) }
}

impl Seen {
    /// Whether two rows meet.
    fn meet(&self, (left, left_item): &(Timestamp, Item), (right, right_item): &(Timestamp, Item)) -> bool {
        let apart = right.as_nanos() - left.as_nanos();
        left_item.key == right_item.key && apart >= self.interval.0 && apart <= self.interval.1
    }

    /// The rows that one meets, in order of time.
    fn met_by(&self, row: &(Timestamp, Item)) -> Vec<(Timestamp, Item)> {
        let is_right = row.1.is_right == 1;
        let meets = |other: &&(Timestamp, Item)| {
            let pair = if is_right { (*other, row) } else { (row, *other) };
            other.1.is_right != row.1.is_right && self.meet(pair.0, pair.1)
        };
        let mut found: Vec<_> = self.rows.iter().filter(meets).copied().collect();
        found.sort_by_key(|(time, _)| *time);
        found
    }

    fn fire(&mut self, watermark: Timestamp) {
        let mut due: Vec<_> = self.alone.extract_if(.., |(at, ..)| *at <= watermark).collect();
        due.sort_unstable();
        for (at, _, _, index) in due {
            let row = self.rows[index];
            if self.met_by(&row).is_empty() {
                let alone = if row.1.is_right == 1 { met(None, Some(&row.1)) } else { met(Some(&row.1), None) };
                self.main.push((at, alone));
            }
        }
    }

    fn row(&mut self, row: (Timestamp, Item)) {
        let (time, item) = row;
        for (other_time, other) in self.met_by(&row) {
            let pair = if item.is_right == 1 { met(Some(&other), Some(&item)) } else { met(Some(&item), Some(&other)) };
            self.main.push((time.max(other_time), pair));
        }
        let (is_outer, wait) = match item.is_right {
            1 => (self.outer.1, (-self.interval.0).max(0)),
            _ => (self.outer.0, self.interval.1.max(0)),
        };
        let index = self.rows.len();
        self.rows.push(row);
        // Rows of one firing and key: left ones first, and those of a side in order of time and place.
        self.alone.extend(is_outer.then_some((time.plus_nanos(wait), item.key, item.is_right, index)));
    }
}

/// Each row held against all that came before it.
fn interval_model(script: &Script<Pair>, interval: (i64, i64), outer: (bool, bool)) -> ExpectedTwo<Met, Item, Item> {
    let mut expected = ExpectedTwo::default();
    let mut seen = Seen { interval, outer, rows: Vec::new(), alone: Vec::new(), main: Vec::new() };
    for step in script.steps() {
        match *step {
            Step::Watermark(watermark) => seen.fire(watermark),
            Step::Row { time, value, watermark } => {
                seen.fire(watermark);
                match value {
                    Side::Left(item) if time <= watermark => expected.late_left.push((time, item)),
                    Side::Right(item) if time <= watermark => expected.late_right.push((time, item)),
                    Side::Left(item) | Side::Right(item) => seen.row((time, item)),
                }
            }
        }
    }
    expected.main = seen.main;
    expected
}

/// Holds an interval join of a kind against the model.
fn check_interval<J: JoinRows<Item, Item, Out = Met> + Clone>(
    steps: &[Step<Pair>],
    (interval, seed): ((i64, i64), u64),
    join: &J,
) -> Result<(), TestCaseError> {
    let key_of = |item: &Item| item.key;
    let verdict = Verify::two(|| {
        let (settings, bounds) = (StoreSettings::default(), Interval::between_nanos(interval.0, interval.1));
        IntervalOperator::<u64, _, _, Item, Item, J>::new((key_of, key_of), bounds, join.clone(), &settings)
    })
    .keyed_by(key_of, key_of)
    .seed(seed)
    .steps(steps.to_vec())
    .against(|script| interval_model(script, interval, J::OUTER));
    verdict.result().map(|_| ()).map_err(|failure| TestCaseError::fail(format!("{:?}: {failure}", J::OUTER)))
}

fn check_intervals(steps: &[Step<Pair>], interval: (i64, i64), seed: u64) -> Result<(), TestCaseError> {
    let how = (interval, seed);
    check_interval(steps, how, &Inner(|left: &Item, right: &Item| met(Some(left), Some(right))))?;
    check_interval(steps, how, &LeftOuter(|left: &Item, right: Option<&Item>| met(Some(left), right)))?;
    check_interval(steps, how, &RightOuter(|left: Option<&Item>, right: &Item| met(left, Some(right))))?;
    check_interval(steps, how, &FullOuter(met))
}

/// Holds an as-of join against the model.
fn check_as_of(steps: Vec<Step<Pair>>, looks: Looks, seed: u64) -> Result<(), TestCaseError> {
    let join = |left: &Item, right: Option<&Item>| met(Some(left), right);
    let key_of = |item: &Item| item.key;
    let verdict = Verify::two(|| {
        let settings = StoreSettings::default();
        AnsweredOperator::<u64, _, _, Item, Item, _, _>::new(
            (key_of, key_of),
            looks.as_of(),
            LeftOuter(join),
            &settings,
        )
    })
    .keyed_by(key_of, key_of)
    .seed(seed)
    .steps(steps)
    .against(|script| as_of_model(script, looks));
    verdict.result().map(|_| ()).map_err(|failure| TestCaseError::fail(format!("{looks:?}: {failure}")))
}

/// A row, where it is of this side.
fn side(row: &Pair, is_right: u64) -> Option<Item> {
    let (Side::Left(item) | Side::Right(item)) = *row;
    (item.is_right == is_right).then_some(item)
}

/// What is told of a left row: the rows in its interval in their order, as one number.
fn told(seen: u64, item: &Item) -> u64 {
    seen * 31 + item.number + 1
}

/// Each left row with all right rows in the interval around it.
fn around_model(script: &Script<Pair>, (lower, upper): (i64, i64)) -> ExpectedTwo<Met, Item, Item> {
    let mut seen = as_of_model(script, Looks::Backward(None));
    let on_time = |step: &Step<Pair>| match *step {
        Step::Row { time, value, watermark } if time > watermark => Some((time, value)),
        _ => None,
    };
    let rows: Vec<_> = script.steps().iter().filter_map(on_time).collect();
    let mut main = Vec::new();
    for (time, left) in rows.iter().filter_map(|(time, row)| Some((*time, side(row, 0)?))) {
        let lies = |at: Timestamp| (lower..=upper).contains(&(at.as_nanos() - time.as_nanos()));
        let near =
            |(at, row): &(Timestamp, Pair)| Some((*at, side(row, 1).filter(|row| row.key == left.key && lies(*at))?));
        let mut found: Vec<_> = rows.iter().filter_map(near).collect();
        found.sort_by_key(|(at, _)| *at);
        let right = if found.is_empty() { NONE } else { found.iter().fold(0, |seen, (_, item)| told(seen, item)) };
        main.push((time.plus_nanos(upper.max(0)), left.key, time, Met { key: left.key, left: left.number, right }));
    }
    main.sort_by_key(|(at, key, time, _)| (*at, *key, *time));
    main.retain(|(at, ..)| *at <= script.reached());
    seen.main = main.into_iter().map(|(at, _, _, met)| (at, met)).collect();
    seen
}

/// Holds an aggregate of the rows around each row against the model.
fn check_around(steps: Vec<Step<Pair>>, (lower, upper): (i64, i64), seed: u64) -> Result<(), TestCaseError> {
    let join = |left: &Item, right: Option<&u64>| Met {
        key: left.key,
        left: left.number,
        right: right.map_or(NONE, |right| *right),
    };
    let key_of = |item: &Item| item.key;
    let verdict = Verify::two(|| {
        let around = Around {
            interval: Interval::between_nanos(lower, upper),
            aggregate: fold(0, |seen: &mut u64, _, item: &Item| *seen = told(*seen, item)),
        };
        let settings = StoreSettings::default();
        AnsweredOperator::<u64, _, _, Item, Item, _, _>::new((key_of, key_of), around, LeftOuter(join), &settings)
    })
    .keyed_by(key_of, key_of)
    .seed(seed)
    .steps(steps)
    .against(|script| around_model(script, (lower, upper)));
    verdict.result().map(|_| ()).map_err(|failure| TestCaseError::fail(format!("{lower} to {upper}: {failure}")))
}

/// A process function over rows of both inputs, which it tells apart.
fn act(key: &u64, call: Call<Item>, seen: &mut u64) -> Actions<Met> {
    let (left, timers) = match call {
        Call::Row { time, row, .. } => {
            *seen = *seen * 2 + row.is_right;
            (row.number, vec![time.plus_nanos(3), time.minus_nanos(row.number as i64 % 5)])
        }
        Call::Timer { time, .. } => {
            *seen += 1000;
            (time.as_nanos() as u64, if seen.is_multiple_of(3) { vec![time.plus_nanos(4), time] } else { vec![] })
        }
    };
    Actions { rows: vec![Met { key: *key, left, right: *seen }], removed: vec![], timers }
}

#[derive(Clone)]
struct Both;

fn perform(actions: Actions<Met>, context: &mut ProcessContext<'_, Met>) {
    actions.rows.into_iter().for_each(|row| context.emit(row));
    actions.timers.into_iter().for_each(|time| context.timer(time));
}

fn row_call(time: Timestamp, row: &Item, context: &ProcessContext<'_, Met>) -> Call<Item> {
    Call::Row { time, row: *row, behind: context.is_behind(), watermark: context.watermark() }
}

impl CoProcessFunction<u64> for Both {
    type Left = Item;
    type Right = Item;
    type State = u64;
    type Out = Met;

    fn on_left(&self, key: &u64, time: Timestamp, row: &Item, seen: &mut u64, context: &mut ProcessContext<'_, Met>) {
        perform(act(key, row_call(time, row, context), seen), context);
    }

    fn on_right(&self, key: &u64, time: Timestamp, row: &Item, seen: &mut u64, context: &mut ProcessContext<'_, Met>) {
        perform(act(key, row_call(time, row, context), seen), context);
    }

    fn on_timer(&self, key: &u64, time: Timestamp, seen: &mut u64, context: &mut ProcessContext<'_, Met>) {
        perform(act(key, Call::Timer { time, watermark: context.watermark() }, seen), context);
    }
}

impl ProcessFunction<u64> for Both {
    type In = Item;
    type State = u64;
    type Out = Met;

    fn on_row(&self, key: &u64, time: Timestamp, row: &Item, seen: &mut u64, context: &mut ProcessContext<'_, Met>) {
        perform(act(key, row_call(time, row, context), seen), context);
    }

    fn on_timer(&self, key: &u64, time: Timestamp, seen: &mut u64, context: &mut ProcessContext<'_, Met>) {
        perform(act(key, Call::Timer { time, watermark: context.watermark() }, seen), context);
    }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn as_of_joins_are_those_of_the_model(
        steps in pairs(50), direction in 0usize..3, tolerance in prop::option::of(0i64..12), seed: u64
    ) {
        let looks = match (direction, tolerance) {
            (1, Some(tolerance)) => Looks::Forward(tolerance),
            (2, Some(tolerance)) => Looks::Nearest(tolerance),
            (_, tolerance) => Looks::Backward(tolerance),
        };
        check_as_of(steps, looks, seed)?;
    }

    #[test]
    fn aggregates_of_the_rows_around_a_row_are_those_of_the_model(
        steps in pairs(50), lower in -9i64..9, width in 0i64..12, seed: u64
    ) {
        check_around(steps, (lower, lower + width), seed)?;
    }

    #[test]
    fn interval_joins_are_those_of_the_model(
        steps in pairs(40), lower in -9i64..9, width in 0i64..12, seed: u64
    ) {
        check_intervals(&steps, (lower, lower + width), seed)?;
    }

    /// The model is that of a process function which gets the rows of both inputs as one.
    #[test]
    fn a_co_process_function_is_a_process_function_over_both_inputs(steps in pairs(50), seed: u64) {
        let one = |item: &Pair| match item { Side::Left(item) | Side::Right(item) => *item };
        let as_one: Vec<_> = steps.iter().map(|step| match *step {
            Step::Row { time, value, watermark } => Step::Row { time, value: one(&value), watermark },
            Step::Watermark(watermark) => Step::Watermark(watermark),
        }).collect();
        let mut expected = Vec::new();
        let verdict = Verify::new(|| testing::process(|item: &Item| item.key, Both)).steps(as_one).against(|script| {
            let model = model::process(script, |item| item.key, act);
            expected.clone_from(&model.0);
            model
        });
        prop_assert!(verdict.result().is_ok());
        let key_of = |item: &Item| item.key;
        let settings = StoreSettings::default();
        let verdict = Verify::two(|| CoProcessOperator::new((key_of, key_of), Both, &settings))
            .keyed_by(key_of, key_of)
            .seed(seed)
            .steps(steps)
            .against(|_| (expected,));
        if let Err(failure) = verdict.result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    }
}
