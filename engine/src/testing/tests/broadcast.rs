//! The process function with a broadcast side, against a loop over both inputs in one order.

use super::joins::{Item, Pair, pairs};
use super::{at, cases};
use crate::operator::broadcast::BroadcastOperator;
use crate::testing::{Script, Side, Step, Verify};
use crate::{BroadcastProcessFunction, BroadcastTable, ProcessContext, Record, StoreSettings, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a row or a timer found: how many rows its key has had, and the sum of the table.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Seen {
    key: u64,
    rows: u64,
    table: u64,
}

/// Rows of the broadcast side set the value of their key, or remove it where their number is divisible by 3.
#[derive(Clone)]
struct Watching;

fn sum(table: &BroadcastTable<u64, u64>) -> u64 {
    // In an order, so that it matters.
    table.iter().fold(0, |sum, (key, value)| sum * 31 + key * 7 + value)
}

impl BroadcastProcessFunction<u64> for Watching {
    type In = Item;
    type Broadcast = Item;
    type TableKey = u64;
    type TableValue = u64;
    type State = u64;
    type Out = Seen;

    fn on_row(
        &self,
        key: &u64,
        time: Timestamp,
        _: &Item,
        rows: &mut u64,
        table: &BroadcastTable<u64, u64>,
        context: &mut ProcessContext<'_, Seen>,
    ) {
        *rows += 1;
        context.emit(Seen { key: *key, rows: *rows, table: sum(table) });
        if !context.is_behind() {
            context.timer(time.plus_nanos(3));
        }
    }

    fn on_broadcast(&self, _: Timestamp, item: &Item, table: &mut BroadcastTable<u64, u64>) {
        match item.number % 3 {
            0 => table.remove(&item.key),
            _ => table.insert(item.key, item.number),
        };
    }

    fn on_timer(
        &self,
        key: &u64,
        _: Timestamp,
        rows: &mut u64,
        table: &BroadcastTable<u64, u64>,
        context: &mut ProcessContext<'_, Seen>,
    ) {
        context.emit(Seen { key: *key, rows: *rows + 1000, table: sum(table) });
    }
}

fn model(script: &Script<Pair>) -> Vec<(Timestamp, Seen)> {
    let (mut table, mut rows) = (BTreeMap::<u64, u64>::new(), BTreeMap::<u64, u64>::new());
    let mut timers = BTreeSet::<(Timestamp, u64)>::new();
    let mut out = Vec::new();
    let sum = |table: &BTreeMap<u64, u64>| {
        // The table's order is that of the keys' bytes, which for small numbers is theirs.
        table.iter().fold(0, |sum, (key, value)| sum * 31 + key * 7 + value)
    };
    for step in script.steps().iter().copied().chain([Step::Watermark(script.reached())]) {
        let (Step::Row { watermark, .. } | Step::Watermark(watermark)) = step;
        while let Some((time, key)) = timers.first().copied().filter(|(time, _)| *time <= watermark) {
            timers.pop_first();
            out.push((time, Seen { key, rows: rows[&key] + 1000, table: sum(&table) }));
        }
        let Step::Row { time, value, .. } = step else { continue };
        match value {
            Side::Left(item) => {
                let rows = rows.entry(item.key).or_default();
                *rows += 1;
                out.push((time, Seen { key: item.key, rows: *rows, table: sum(&table) }));
                if time > watermark {
                    timers.insert((time.plus_nanos(3), item.key));
                }
            }
            Side::Right(item) if item.number % 3 == 0 => drop(table.remove(&item.key)),
            Side::Right(item) => drop(table.insert(item.key, item.number)),
        }
    }
    out
}

fn hold(steps: Vec<Step<Pair>>, seed: u64) -> Result<(), TestCaseError> {
    let key_of = |item: &Item| item.key;
    let verdict = Verify::two(|| BroadcastOperator::new(key_of, Watching, &StoreSettings::default()))
        .left_keyed_by(key_of)
        .seed(seed)
        .steps(steps)
        .against(|script| (model(script),));
    verdict.result().map_err(|failure| TestCaseError::fail(failure.to_string()))
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn rows_and_timers_see_the_table_as_of_their_place(steps in pairs(50), seed: u64) {
        hold(steps, seed)?;
    }
}

#[test]
fn a_row_behind_a_removal_does_not_see_what_was_removed() {
    let item = |number, is_right: bool| {
        let item = Item { key: 1, number, is_right: u64::from(is_right) };
        if is_right { Side::Right(item) } else { Side::Left(item) }
    };
    let row = |time, value| Step::Row { time: at(time), value, watermark: at(0) };
    hold(vec![row(1, item(1, true)), row(2, item(2, false)), row(3, item(3, true)), row(4, item(4, false))], 1)
        .unwrap();
}
