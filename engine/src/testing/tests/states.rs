//! Lists and maps of process functions, against a model that keeps all in collections of the standard library.

use super::{Row, at, cases, steps};
use crate::operator::broadcast::BroadcastOperator;
use crate::operator::co_process::CoProcessOperator;
use crate::operator::process::ProcessOperator;
use crate::operator::state;
use crate::testing::{self, Script, Side, Step, Verify};
use crate::{
    Batch, BroadcastProcessFunction, BroadcastTable, CoProcessFunction, Firing, ListState, MapState, Operator,
    OperatorError, OperatorInput, Outbox, ProcessContext, ProcessFunction, Record, Scope, States, StoreError,
    StoreSettings, Timestamp,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const RECENT: ListState<Item> = ListState::new("recent");
const PAGES: MapState<u32, u64> = MapState::new("pages");
const TIMES: ListState<i64> = ListState::new("times");

#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Item {
    value: i64,
    again: i64,
}

/// What is kept for a key when a row or timer has changed it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Record)]
#[repr(C)]
struct Found {
    key: u64,
    total: u64,
    recent: i64,
    recent_len: u64,
    times: i64,
    pages: u64,
    first_page: u64,
    pages_len: u64,
    /// Of the broadcast side.
    table: u64,
}

fn fold(numbers: impl Iterator<Item = i64>) -> i64 {
    numbers.fold(7, |folded: i64, number| folded.wrapping_mul(31).wrapping_add(number))
}

const PAGE_COUNT: u32 = 5;

fn page_of(row: &Row) -> u32 {
    row.value.rem_euclid(i64::from(PAGE_COUNT)) as u32
}

/// When the timer of a row is due, where it asks for one.
fn timer_of(time: Timestamp, row: &Row) -> Option<Timestamp> {
    let shift = row.value.rem_euclid(11) - 3;
    (row.value.rem_euclid(3) == 0).then_some(time.plus_nanos(shift))
}

/// A function over rows that say what to do with lists and maps, which live so long.
#[derive(Clone)]
struct Keeping(Option<Duration>);

impl Keeping {
    fn row(key: u64, time: Timestamp, row: &Row, table: u64, total: &mut u64, context: &mut ProcessContext<'_, Found>) {
        let page = page_of(row);
        let item = Item { value: row.value, again: row.weight };
        match row.weight.rem_euclid(14) {
            0 => context.list(&RECENT).push(item),
            1 => {
                let mut recent = context.list(&RECENT);
                recent.push(item);
                recent.push(Item { value: 1, ..item });
                recent.truncate_front(3);
            }
            2 => context.list(&RECENT).clear(),
            3 => {
                if let Some(last) = context.list(&RECENT).last_mut() {
                    last.value = last.value.wrapping_add(1);
                }
                *total += 1;
            }
            4 => {
                let mut pages = context.map(&PAGES);
                let value = pages.entry_or(page, 7);
                *value = value.wrapping_add(2);
            }
            5 => {
                let before = context.map(&PAGES).insert(page, row.weight as u64);
                *total += before.unwrap_or(1) & 3;
            }
            6 => {
                let removed = context.map(&PAGES).remove(&page);
                *total += removed.map_or(0, |value| value & 1);
            }
            7 => context.map(&PAGES).clear(),
            8 => {
                if let Some(value) = context.map(&PAGES).get_mut(&page) {
                    *value = value.wrapping_mul(2);
                }
            }
            9 => {
                context.clear_state();
                context.list(&TIMES).push(time.as_nanos());
                *context.map(&PAGES).entry_or(page, 1) += 1;
                *total += 1;
            }
            10 => {
                context.list(&TIMES).clear();
                context.list(&RECENT).clear();
                context.map(&PAGES).clear();
                *total = 0;
            }
            11 => context.list(&TIMES).push(time.as_nanos()),
            12 => context.list(&TIMES).truncate_front(1),
            _ => *total += 1,
        }
        Self::emit(key, table, *total, context);
        if let Some(timer) = timer_of(time, row) {
            context.timer(timer);
        }
    }

    fn timer(key: u64, time: Timestamp, table: u64, total: &mut u64, context: &mut ProcessContext<'_, Found>) {
        Self::emit(key, table, *total, context);
        match time.as_nanos().rem_euclid(4) {
            0 => context.list(&TIMES).push(time.as_nanos()),
            1 => {
                let first = context.map(&PAGES).iter().next().map(|(page, _)| *page);
                if let Some(first) = first {
                    context.map(&PAGES).remove(&first);
                }
                context.list(&RECENT).truncate_front(1);
            }
            2 => context.clear_state(),
            _ => *total += 1,
        }
    }

    fn emit(key: u64, table: u64, total: u64, context: &mut ProcessContext<'_, Found>) {
        let recent = context.list(&RECENT);
        assert_eq!(recent.is_empty(), recent.get().is_empty());
        let (recent, recent_len) = (fold(recent.get().iter().map(|item| item.value)), recent.len() as u64);
        let times = fold(context.list(&TIMES).get().iter().copied());
        let map = context.map(&PAGES);
        assert!(map.is_empty() == (map.iter().next().is_none()));
        assert!((0..PAGE_COUNT).all(|page| map.contains_key(&page) == map.get(&page).is_some()));
        let all = map.iter().flat_map(|(page, value)| [i64::from(*page), *value as i64]);
        let pages = fold(all) as u64;
        let first_page = map.range(2..).next().map_or(99, |(page, _)| u64::from(*page));
        let pages_len = map.len() as u64;
        context.emit(Found { key, total, recent, recent_len, times, pages, first_page, pages_len, table });
    }

    fn states() -> States {
        States::new().list(&RECENT).map(&PAGES).list(&TIMES)
    }
}

/// The same for the model.
#[derive(Debug, Default)]
struct Kept {
    total: u64,
    recent: Vec<Item>,
    times: Vec<i64>,
    pages: BTreeMap<u32, u64>,
}

fn last<T: Copy>(rows: &[T], len: usize) -> Vec<T> {
    rows[rows.len().saturating_sub(len)..].to_vec()
}

impl Kept {
    fn row(&mut self, key: u64, time: Timestamp, row: &Row, table: u64) -> Found {
        let page = page_of(row);
        let item = Item { value: row.value, again: row.weight };
        let kind = row.weight.rem_euclid(14);
        match kind {
            0 => self.recent.push(item),
            1 => {
                self.recent.extend([item, Item { value: 1, ..item }]);
                self.recent = last(&self.recent, 3);
            }
            2 => self.recent = vec![],
            3 => {
                if let Some(last) = self.recent.last_mut() {
                    last.value = last.value.wrapping_add(1);
                }
                self.total += 1;
            }
            4 => {
                let value = self.pages.get(&page).copied().unwrap_or(7).wrapping_add(2);
                self.pages.insert(page, value);
            }
            5 => self.total += self.pages.insert(page, row.weight as u64).unwrap_or(1) & 3,
            6 => self.total += self.pages.remove(&page).unwrap_or(0) & 1,
            7 => self.pages = BTreeMap::new(),
            8 => drop(self.pages.get(&page).copied().map(|value| self.pages.insert(page, value.wrapping_mul(2)))),
            9 => {
                self.times.push(time.as_nanos());
                *self.pages.entry(page).or_insert(1) += 1;
                self.total += 1;
            }
            10 => *self = Self::default(),
            11 => self.times.push(time.as_nanos()),
            12 => self.times = last(&self.times, 1),
            _ => self.total += 1,
        }
        let found = self.found(key, table);
        if kind == 9 {
            *self = Self::default();
        }
        found
    }

    fn timer(&mut self, key: u64, time: Timestamp, table: u64) -> Found {
        let found = self.found(key, table);
        match time.as_nanos().rem_euclid(4) {
            0 => self.times.push(time.as_nanos()),
            1 => {
                self.pages.pop_first();
                self.recent = last(&self.recent, 1);
            }
            2 => *self = Self::default(),
            _ => self.total += 1,
        }
        found
    }

    fn found(&self, key: u64, table: u64) -> Found {
        Found {
            key,
            total: self.total,
            recent: fold(self.recent.iter().map(|item| item.value)),
            recent_len: self.recent.len() as u64,
            times: fold(self.times.iter().copied()),
            pages: fold(self.pages.iter().flat_map(|(page, value)| [i64::from(*page), *value as i64])) as u64,
            first_page: self.pages.keys().find(|page| **page >= 2).map_or(99, |page| u64::from(*page)),
            pages_len: self.pages.len() as u64,
            table,
        }
    }
}

/// What is kept of all keys, with when a row of each came last.
struct Model {
    life: Option<i64>,
    kept: BTreeMap<u64, (Kept, Timestamp)>,
    timers: BTreeSet<(Timestamp, u64)>,
    table: BTreeSet<u64>,
}

impl Model {
    /// What is kept of a key at this time: nothing where that has expired.
    fn at(&mut self, key: u64, time: Timestamp) -> &mut (Kept, Timestamp) {
        let of_key = self.kept.entry(key).or_insert((Kept::default(), Timestamp::MIN));
        if self.life.is_some_and(|life| of_key.1.plus_nanos(life) <= time) {
            of_key.0 = Kept::default();
        }
        of_key
    }

    fn sum(&self) -> u64 {
        self.table.iter().sum()
    }

    /// All that comes out. A row of the broadcast side puts its key into the table.
    fn run<T: Copy>(
        life: Option<i64>,
        script: &Script<T>,
        side: impl Fn(T) -> Side<Row, Row>,
    ) -> Vec<(Timestamp, Found)> {
        let mut model = Self { life, kept: BTreeMap::new(), timers: BTreeSet::new(), table: BTreeSet::new() };
        let mut out = Vec::new();
        for step in script.steps().iter().copied().chain([Step::Watermark(script.reached())]) {
            let (Step::Row { watermark, .. } | Step::Watermark(watermark)) = step;
            while let Some((time, key)) = model.timers.first().copied().filter(|(time, _)| *time <= watermark) {
                model.timers.pop_first();
                let sum = model.sum();
                out.push((time, model.at(key, time).0.timer(key, time, sum)));
            }
            let Step::Row { time, value, .. } = step else { continue };
            let row = match side(value) {
                Side::Left(row) => row,
                Side::Right(row) => {
                    model.table.insert(row.key);
                    continue;
                }
            };
            let sum = model.sum();
            let (kept, written) = model.at(row.key, watermark);
            *written = time.max(watermark);
            out.push((time, kept.row(row.key, time, &row, sum)));
            match timer_of(time, &row) {
                Some(timer) if timer > watermark => drop(model.timers.insert((timer, row.key))),
                Some(timer) => {
                    let found = model.at(row.key, timer).0.timer(row.key, timer, sum);
                    out.push((watermark.plus_nanos(1), found));
                }
                None => {}
            }
        }
        out
    }
}

impl ProcessFunction<u64> for Keeping {
    type In = Row;
    type State = u64;
    type Out = Found;

    fn on_row(&self, key: &u64, time: Timestamp, row: &Row, total: &mut u64, context: &mut ProcessContext<'_, Found>) {
        Self::row(*key, time, row, 0, total, context);
    }

    fn on_timer(&self, key: &u64, time: Timestamp, total: &mut u64, context: &mut ProcessContext<'_, Found>) {
        Self::timer(*key, time, 0, total, context);
    }

    fn time_to_live(&self) -> Option<Duration> {
        self.0
    }

    fn states(&self) -> States {
        Self::states()
    }
}

impl CoProcessFunction<u64> for Keeping {
    type Left = Row;
    type Right = Row;
    type State = u64;
    type Out = Found;

    fn on_left(&self, key: &u64, time: Timestamp, row: &Row, total: &mut u64, context: &mut ProcessContext<'_, Found>) {
        Self::row(*key, time, row, 0, total, context);
    }

    fn on_right(
        &self,
        key: &u64,
        time: Timestamp,
        row: &Row,
        total: &mut u64,
        context: &mut ProcessContext<'_, Found>,
    ) {
        Self::row(*key, time, row, 0, total, context);
    }

    fn on_timer(&self, key: &u64, time: Timestamp, total: &mut u64, context: &mut ProcessContext<'_, Found>) {
        Self::timer(*key, time, 0, total, context);
    }

    fn time_to_live(&self) -> Option<Duration> {
        self.0
    }

    fn states(&self) -> States {
        Self::states()
    }
}

fn sum(table: &BroadcastTable<u64, u64>) -> u64 {
    table.iter().map(|(key, _)| *key).sum()
}

impl BroadcastProcessFunction<u64> for Keeping {
    type In = Row;
    type Broadcast = Row;
    type TableKey = u64;
    type TableValue = u64;
    type State = u64;
    type Out = Found;

    fn on_row(
        &self,
        key: &u64,
        time: Timestamp,
        row: &Row,
        total: &mut u64,
        table: &BroadcastTable<u64, u64>,
        context: &mut ProcessContext<'_, Found>,
    ) {
        Self::row(*key, time, row, sum(table), total, context);
    }

    fn on_broadcast(&self, _: Timestamp, row: &Row, table: &mut BroadcastTable<u64, u64>) {
        table.insert(row.key, 1);
    }

    fn on_timer(
        &self,
        key: &u64,
        time: Timestamp,
        total: &mut u64,
        table: &BroadcastTable<u64, u64>,
        context: &mut ProcessContext<'_, Found>,
    ) {
        Self::timer(*key, time, sum(table), total, context);
    }

    fn time_to_live(&self) -> Option<Duration> {
        self.0
    }

    fn states(&self) -> States {
        Self::states()
    }
}

fn lives() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![Just(None), (1i64..40).prop_map(Some)]
}

fn keeping(life: Option<i64>) -> Keeping {
    Keeping(life.map(|nanos| Duration::from_nanos(nanos as u64)))
}

/// The same script with the rows of which `is_right` says so on the second input.
fn on_sides(steps: Vec<Step<Row>>, is_right: impl Fn(&Row) -> bool) -> Vec<Step<Side<Row, Row>>> {
    let side = |row| if is_right(&row) { Side::Right(row) } else { Side::Left(row) };
    let on_side = |step| match step {
        Step::Row { time, value, watermark } => Step::Row { time, value: side(value), watermark },
        Step::Watermark(watermark) => Step::Watermark(watermark),
    };
    steps.into_iter().map(on_side).collect()
}

fn key_of(row: &Row) -> u64 {
    row.key
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn lists_and_maps_are_those_of_the_model(steps in steps(60), life in lives(), seed: u64) {
        let verdict = Verify::new(|| testing::process(key_of, keeping(life)))
            .keyed_by(key_of)
            .seed(seed)
            .steps(steps)
            .against(|script| (Model::run(life, script, Side::Left),));
        if let Err(failure) = verdict.result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    }

    #[test]
    fn both_inputs_of_a_co_process_function_see_the_same_lists_and_maps(steps in steps(60), life in lives(), seed: u64) {
        let settings = StoreSettings::default();
        let verdict = Verify::two(|| CoProcessOperator::new((key_of, key_of), keeping(life), &settings))
            .keyed_by(key_of, key_of)
            .seed(seed)
            .steps(on_sides(steps, |row| row.weight % 2 == 0))
            .against(|script| (Model::run(life, script, |side| match side {
                Side::Left(row) | Side::Right(row) => Side::Left(row),
            }),));
        if let Err(failure) = verdict.result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    }

    #[test]
    fn a_function_with_a_broadcast_table_has_lists_and_maps_beside_it(steps in steps(60), life in lives(), seed: u64) {
        let settings = StoreSettings::default();
        let verdict = Verify::two(|| BroadcastOperator::new(key_of, keeping(life), &settings))
            .left_keyed_by(key_of)
            .seed(seed)
            .steps(on_sides(steps, |row| row.weight % 5 == 4))
            .against(|script| (Model::run(life, script, |side| side),));
        if let Err(failure) = verdict.result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    }
}

/// Rows are of a key and do what is told by their number: see [`Simple::do_as_told`].
#[derive(Clone)]
struct Simple(Option<Duration>);

const PUSH: u32 = 0;
const CLEAR: u32 = 1;
const NOTHING: u32 = 2;
const PUSH_AT_TIMER: u32 = 3;
const COUNT: u32 = 4;

const NUMBERS: ListState<u32> = ListState::new("numbers");
const COUNTS: MapState<u32, u32> = MapState::new("counts");

impl ProcessFunction<u32> for Simple {
    type In = u32;
    type State = u32;
    type Out = u32;

    fn on_row(&self, key: &u32, time: Timestamp, row: &u32, _: &mut u32, context: &mut ProcessContext<'_, u32>) {
        match row % 10 {
            PUSH => context.list(&NUMBERS).push(*key),
            CLEAR => {
                context.list(&NUMBERS).clear();
                context.map(&COUNTS).clear();
            }
            PUSH_AT_TIMER => context.timer(time.plus_nanos(1)),
            // The second one of a key is counted in the same element.
            COUNT => *context.map(&COUNTS).entry_or(*key % 2, 0) += 1,
            _ => {}
        }
    }

    fn on_timer(&self, key: &u32, _: Timestamp, _: &mut u32, context: &mut ProcessContext<'_, u32>) {
        context.list(&NUMBERS).push(*key);
        context.list(&NUMBERS).push(*key);
    }

    fn time_to_live(&self) -> Option<Duration> {
        self.0
    }

    fn states(&self) -> States {
        States::new().list(&NUMBERS).map(&COUNTS)
    }
}

type SimpleOperator = ProcessOperator<u32, fn(&u32) -> u32, Simple>;

fn simple(life: Option<Duration>, settings: &StoreSettings) -> SimpleOperator {
    ProcessOperator::new(|row: &u32| row / 10, Simple(life), settings)
}

/// Rows at these times, whose watermark is 1 ns behind.
fn take(operator: &mut SimpleOperator, rows: &[(i64, u32)]) -> Result<usize, OperatorError> {
    let (times, values): (Vec<_>, Vec<_>) = rows.iter().map(|(time, row)| (at(*time), *row)).unzip();
    let watermarks: Vec<_> = rows.iter().map(|(time, _)| at(time - 1)).collect();
    let batch = Batch::with_watermarks(&times, &values, &watermarks);
    OperatorInput::<0>::on_batch(operator, batch, &mut Outbox::new(9999, Default::default()))
}

/// How many pieces each store writes.
fn pieces(operator: &mut SimpleOperator) -> BTreeMap<&'static str, usize> {
    let mut pieces = BTreeMap::new();
    for piece in state::save(operator, Scope::All) {
        *pieces.entry(piece.store).or_default() += 1;
    }
    pieces
}

#[test]
fn a_key_without_anything_leaves_nothing() {
    let mut operator = simple(None, &StoreSettings::default());
    for what in [CLEAR, NOTHING] {
        take(&mut operator, &[(1, 70 + what)]).unwrap();
        assert!(pieces(&mut operator).is_empty());
    }
    take(&mut operator, &[(1, 70 + PUSH), (1, 80 + COUNT), (1, 90 + PUSH_AT_TIMER)]).unwrap();
    assert_eq!(pieces(&mut operator), [("counts", 1), ("numbers", 1), ("state", 1), ("timers", 1)].into());
    take(&mut operator, &[(1, 70 + CLEAR), (1, 80 + CLEAR), (2, 90 + NOTHING)]).unwrap();
    assert_eq!(pieces(&mut operator), [("state", 1), ("timers", 1)].into());
    assert_eq!(operator.on_watermark(at(5), &mut Outbox::new(9, Default::default())), Ok(Firing::Done));
    take(&mut operator, &[(6, 90 + CLEAR)]).unwrap();
    assert!(pieces(&mut operator).is_empty());
}

#[test]
fn lists_and_maps_of_keys_that_never_come_back_leave_once_they_have_expired() {
    let mut operator = simple(Some(Duration::from_nanos(100)), &StoreSettings::default());
    let rows: Vec<_> = (0..300).flat_map(|key| [(1, key * 10 + PUSH), (1, key * 10 + COUNT)]).collect();
    take(&mut operator, &rows).unwrap();
    let before = pieces(&mut operator);
    assert_eq!((before["numbers"], before["counts"]), (300, 300));
    // Another key, whose rows look at two others each.
    take(&mut operator, &vec![(200, 5000 + PUSH); 200]).unwrap();
    let after = pieces(&mut operator);
    assert_eq!((after["numbers"], after.get("counts"), after["state"]), (1, None, 1));
    // The places of those that left are taken by others, which have none of it.
    let rows: Vec<_> = (600..900).map(|key| (201, key * 10 + COUNT)).collect();
    take(&mut operator, &rows).unwrap();
    let after = pieces(&mut operator);
    assert_eq!((after["numbers"], after["counts"]), (1, 300));
}

#[test]
fn more_than_the_limit_is_an_error_of_the_row_or_timer_and_what_was_dropped_does_not_count() {
    let settings = StoreSettings { rows_max: 3, ..StoreSettings::default() };
    let error = Err(StoreError::TooManyRows(3).into());
    let mut operator = simple(None, &settings);
    let rows = [10, 20, 30].map(|key| (1, key + PUSH));
    assert_eq!(take(&mut operator, &rows), Ok(3));
    assert_eq!(take(&mut operator, &[(1, 20 + CLEAR), (1, 40 + PUSH), (1, 40 + NOTHING)]), Ok(3));
    assert_eq!(take(&mut operator, &[(1, 40 + PUSH)]), error);
    let mut operator = simple(None, &settings);
    assert_eq!(take(&mut operator, &[(1, 10 + PUSH), (1, 10 + PUSH), (1, 20 + PUSH_AT_TIMER)]), Ok(3));
    let fired = operator.on_watermark(at(5), &mut Outbox::new(9, Default::default()));
    assert_eq!(fired, Err(StoreError::TooManyRows(3).into()));
    let mut operator = simple(None, &settings);
    let rows = [10, 20, 30, 10, 20, 30].map(|key| (1, key + COUNT));
    assert_eq!(take(&mut operator, &rows), Ok(6));
    assert_eq!(take(&mut operator, &[(1, 40 + COUNT)]), error);
}

#[test]
fn what_was_restored_is_held_to_the_limit() {
    let mut operator = simple(None, &StoreSettings::default());
    take(&mut operator, &[(1, 10 + PUSH), (1, 10 + PUSH), (1, 20 + PUSH)]).unwrap();
    let written = state::save(&mut operator, Scope::All);
    for (rows_max, expected) in [(3, Ok(())), (2, Err(StoreError::TooManyRows(2).into()))] {
        let mut operator = simple(None, &StoreSettings { rows_max, ..StoreSettings::default() });
        for piece in &written {
            state::restore(&mut operator, piece, &crate::ALL_SLOTS, false).unwrap();
        }
        assert_eq!(state::check(&mut operator), expected);
    }
}
