//! Lookups in tables that are keyed and in those that are broadcast.

use super::super::joins::{Item, Pair, pairs};
use super::*;
use crate::operator::asof::{Inner, LeftOuter};
use crate::operator::broadcast::BroadcastOperator;
use crate::operator::co_process::CoProcessOperator;
use crate::operator::library::enrich::{Enrich, EnrichBroadcast};
use crate::testing::Side;

/// A row with the number of its entry, or none.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Found {
    row: u64,
    entry: u64,
}

const NONE: u64 = u64::MAX;
/// A row's key, or that of its entry.
const ITEM_KEY: fn(&Item) -> u64 = |item| item.key;
/// The key of the entry of a broadcast table that a row looks for.
const OTHER_KEY: fn(&Item) -> u64 = |item| item.number % 4;

fn found(row: &Item, entry: &Item) -> Found {
    Found { row: row.number, entry: entry.number }
}

fn found_or_not(row: &Item, entry: Option<&Item>) -> Found {
    Found { row: row.number, entry: entry.map_or(NONE, |entry| entry.number) }
}

/// All entries of a table are looked through from the last one on.
fn looked_up(
    script: &Script<Pair>,
    kept: Option<i64>,
    is_inner: bool,
    looks_for: fn(&Item) -> u64,
) -> (Timed<Found>, Timed<Item>) {
    let (mut main, mut dropped) = (Vec::new(), Vec::new());
    // For each row of either side: its side and key, itself, and from when on it is no longer there to keep an entry.
    let mut seen: Vec<(bool, u64, Item, Option<Timestamp>)> = Vec::new();
    for step in script.steps() {
        let Step::Row { time, value, watermark } = *step else { continue };
        let ends = kept.map(|kept| time.max(watermark).plus_nanos(kept));
        let (is_right, key, item) = match value {
            Side::Left(item) => (false, looks_for(&item), item),
            Side::Right(item) => (true, item.key, item),
        };
        // An entry is forgotten with the last row of its key so far.
        if let Some(last) = seen.iter().rfind(|(_, other, ..)| *other == key)
            && last.3.is_some_and(|ends| ends <= watermark)
        {
            seen.retain(|(_, other, ..)| *other != key);
        }
        if !is_right {
            let entry =
                seen.iter().rfind(|(is_entry, other, ..)| *is_entry && *other == key).map(|(_, _, entry, _)| *entry);
            match entry {
                None if is_inner => dropped.push((time, item)),
                entry => main.push((time, found_or_not(&item, entry.as_ref()))),
            }
        }
        seen.push((is_right, key, item, ends));
    }
    (main, dropped)
}

fn hold_two<Op>(
    make: impl Fn() -> Op,
    (steps, seed): (Vec<Step<Pair>>, u64),
    is_broadcast: bool,
    model: impl FnOnce(&Script<Pair>) -> (Timed<Found>, Timed<Item>),
) -> Result<(), TestCaseError>
where
    Op: OperatorInput<0, Row = Item, Outputs = (Found, Item)> + OperatorInput<1, Row = Item>,
{
    let verify = Verify::two(make).seed(seed).steps(steps);
    let verify = if is_broadcast { verify.left_keyed_by(ITEM_KEY) } else { verify.keyed_by(ITEM_KEY, ITEM_KEY) };
    verify.against(model).result().map_err(|failure| TestCaseError::fail(failure.to_string()))
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn rows_find_the_last_entry_before_them(steps in pairs(40), seed: u64, kept in keeps()) {
        let settings = StoreSettings::default();
        let keys = (ITEM_KEY, ITEM_KEY);
        let inner = || CoProcessOperator::new(keys, Enrich::new(Inner(found), keep(kept)), &settings);
        let left = || {
            CoProcessOperator::new(keys, Enrich::new(LeftOuter(found_or_not), keep(kept)), &settings)
        };
        hold_two(inner, (steps.clone(), seed), false, |script| looked_up(script, kept, true, ITEM_KEY))?;
        hold_two(left, (steps, seed), false, |script| looked_up(script, kept, false, ITEM_KEY))?;
    }

    #[test]
    fn rows_find_the_last_entry_of_a_broadcast_table_before_them(steps in pairs(40), seed: u64) {
        let settings = StoreSettings::default();
        let keys = (OTHER_KEY, ITEM_KEY);
        let inner = || {
            BroadcastOperator::new(ITEM_KEY, EnrichBroadcast::new(Inner(found), keys), &settings)
        };
        let left = || {
            let function = EnrichBroadcast::new(LeftOuter(found_or_not), keys);
            BroadcastOperator::new(ITEM_KEY, function, &settings)
        };
        hold_two(inner, (steps.clone(), seed), true, |script| looked_up(script, None, true, OTHER_KEY))?;
        hold_two(left, (steps, seed), true, |script| looked_up(script, None, false, OTHER_KEY))?;
    }
}

/// Calls `each` with all scripts of up to 4 rows of 2 keys on either side at 2 times; the second key is as good as the first.
fn small_pairs(steps: &mut Vec<Step<Pair>>, each: &mut impl FnMut(&[Step<Pair>])) {
    each(steps);
    if steps.len() == ROWS {
        return;
    }
    for (key, is_right) in [(0, false), (0, true), (1, false), (1, true)] {
        for time in [1, 3] {
            let item = Item { key, number: steps.len() as u64, is_right: u64::from(is_right) };
            let value = if is_right { Side::Right(item) } else { Side::Left(item) };
            // The watermark of a row comes to the times of those before it, at the latest.
            let reached = steps.iter().fold(0, |reached, step| match step {
                Step::Row { time, .. } => time.as_nanos().max(reached),
                Step::Watermark(_) => reached,
            });
            steps.push(Step::Row { time: at(time), value, watermark: at(reached) });
            small_pairs(steps, each);
            steps.pop();
        }
    }
}

#[test]
fn all_small_inputs_find_what_the_model_finds() {
    let settings = StoreSettings::default();
    let mut count = 0;
    small_pairs(&mut Vec::new(), &mut |steps| {
        for kept in [None, Some(1)] {
            let mut script = Script::new();
            steps.iter().for_each(|step| script.push(*step));
            let function = Enrich::new(Inner(found), keep(kept));
            let mut operator = CoProcessOperator::new((ITEM_KEY, ITEM_KEY), function, &settings);
            let mut out = Outbox::new(4096, script.symbols().clone());
            for step in steps {
                let Step::Row { time, value, watermark } = *step else { continue };
                let (times, watermarks) = ([time], [watermark]);
                let taken = match value {
                    Side::Left(item) => {
                        let batch = Batch::with_watermarks(&times, std::slice::from_ref(&item), &watermarks);
                        OperatorInput::<0>::on_batch(&mut operator, batch, &mut out)
                    }
                    Side::Right(item) => {
                        let batch = Batch::with_watermarks(&times, std::slice::from_ref(&item), &watermarks);
                        OperatorInput::<1>::on_batch(&mut operator, batch, &mut out)
                    }
                };
                assert_eq!(taken, Ok(1));
            }
            let (main, dropped) = looked_up(&script, kept, true, ITEM_KEY);
            assert!(out.rows::<0>().1.iter().eq(main.iter().map(|(_, row)| row)), "{steps:?}");
            assert!(out.rows::<1>().1.iter().eq(dropped.iter().map(|(_, row)| row)), "{steps:?}");
            let has_entries = steps.iter().any(|step| matches!(step, Step::Row { value: Side::Right(_), .. }));
            // Those that are not kept for ever may have expired.
            let is_kept = state_bytes(&mut operator) > 0;
            assert!(is_kept == has_entries || kept.is_some() && !is_kept, "{steps:?}");
        }
        count += 1;
    });
    assert!(count > 4_000, "{count}");
}

#[test]
fn nothing_is_kept_of_rows_that_are_looked_up_in_a_broadcast_table() {
    let kept = |rows: u64| {
        let function = EnrichBroadcast::new(Inner(found), (OTHER_KEY, ITEM_KEY));
        let mut operator = BroadcastOperator::new(ITEM_KEY, function, &StoreSettings::default());
        let mut out = Outbox::new(4096, Default::default());
        let item = |key, is_right| Item { key, number: key, is_right };
        let (times, entry) = ([at(1)], [item(2, 1)]);
        let taken = OperatorInput::<1>::on_batch(&mut operator, Batch::new(&times, &entry), &mut out);
        assert_eq!(taken, Ok(1));
        for row in (0..rows).map(|key| [item(key, 0)]) {
            assert_eq!(OperatorInput::<0>::on_batch(&mut operator, Batch::new(&times, &row), &mut out), Ok(1));
        }
        state_bytes(&mut operator)
    };
    assert!(kept(0) > 0, "the entry is kept");
    assert_eq!(kept(9), kept(0));
}

#[test]
fn an_older_entry_that_comes_later_is_the_one_that_is_found_and_nothing_waits_for_an_entry() {
    let item = |number| Item { key: 1, number, is_right: 0 };
    let function = || Enrich::new(Inner(found), Keep::Forever);
    Verify::two(|| CoProcessOperator::new((ITEM_KEY, ITEM_KEY), function(), &StoreSettings::default()))
        .keyed_by(ITEM_KEY, ITEM_KEY)
        .left(5, item(0))
        .right(5, item(1))
        .right(3, item(2))
        .left(9, item(3))
        .end()
        .against(|_| (vec![(at(9), Found { row: 3, entry: 2 })], vec![(at(5), item(0))]))
        .check();
}
