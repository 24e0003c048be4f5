//! Operators that say when something begins or ends: thresholds and absence.

use super::*;
use crate::operator::library::absence::{Absence, Presence};
use crate::operator::library::threshold::{Threshold, Transition};
use crate::testing;
use std::collections::BTreeSet;

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn transitions_are_those_of_all_rows_that_count(
        steps in scripts(40), seed: u64, low in -2i64..2, kept in keeps(),
    ) {
        hold(|| threshold(low, low + 2, kept), (steps, seed), |script| transitions(script, (low, low + 2), kept))?;
    }

    #[test]
    fn keys_are_absent_when_no_row_of_theirs_is_close_enough(
        steps in scripts(40), seed: u64, after in 1i64..12, kept in keeps(),
    ) {
        let make = || testing::process(KEY, Absence::new(nanos(after), keep(kept)));
        hold(make, (steps, seed), |script| presences(script, after, kept))?;
    }
}

#[test]
fn all_small_inputs_raise_what_the_models_raise() {
    BY_VALUE.hold(false, || threshold(0, 2, None), |script| transitions(script, (0, 2), None));
    for kept in [None, Some(0), Some(1)] {
        let make = || testing::process(KEY, Absence::new(nanos(2), keep(kept)));
        BY_TIME.hold_main(make, |script| presences(script, 2, kept));
    }
}

type ThresholdOperator = Dropping<Threshold<Reading, i64, fn(&Reading) -> i64>>;

fn threshold(low: i64, high: i64, kept: Option<i64>) -> ThresholdOperator {
    dropping(Threshold::new(|row| row.value, low..=high, keep(kept)))
}

fn transition(row: Reading, is_raised: bool) -> Transition<Reading> {
    let bytes = [bytemuck::bytes_of(&row), &[u8::from(is_raised)]].concat();
    bytemuck::pod_read_unaligned(&bytes)
}

/// Whether a key is raised is found anew from all its rows that count.
fn transitions(
    script: &Script<Reading>,
    (low, high): (i64, i64),
    kept: Option<i64>,
) -> (Timed<Transition<Reading>>, Timed<Reading>) {
    let mut history = History::new(kept);
    let is_raised = |known: &[(Timestamp, i64)]| {
        let last = known.iter().rfind(|(_, value)| *value <= low || *value >= high);
        last.is_some_and(|(_, value)| *value >= high)
    };
    divided(script, |time, row, watermark| {
        let known = history.of(row.key, time, watermark);
        if known.iter().any(|(other, _)| *other > time) {
            return None;
        }
        let before = is_raised(known);
        known.push((time, row.value));
        let now = is_raised(known);
        Some((now != before).then(|| transition(row, now)))
    })
}

#[test]
fn an_alarm_is_raised_at_the_upper_level_and_cleared_at_the_lower_one_and_not_in_between() {
    let rows = [9, 10, 9, 6, 5, 6, 9, 12, 4].map(|value| of_value(value, 0));
    let expected = [(1, true), (4, false), (7, true), (8, false)];
    let expected = expected.map(|(at, is_raised): (usize, bool)| (at as i64, transition(rows[at], is_raised)));
    (0..)
        .zip(rows)
        .fold(Verify::new(|| threshold(5, 10, None)), |verify, (time, row)| verify.row(time, row))
        .end()
        .expect(expected, [])
        .check();
}

#[test]
fn a_value_out_of_order_changes_nothing_and_one_of_equal_time_counts() {
    let rows = [(3, 10), (2, 0), (3, 0), (1, 10)].map(|(time, value)| (time, of_value(value, 0)));
    rows.iter()
        .fold(Verify::new(|| threshold(5, 10, None)), |verify, (time, row)| verify.row(*time, *row))
        .expect([(3, transition(rows[0].1, true)), (3, transition(rows[2].1, false))], [rows[1], rows[3]])
        .check();
}

#[test]
fn nan_neither_raises_nor_clears() {
    let value_of = |row: &Reading| if row.value == 0 { f64::NAN } else { row.value as f64 };
    let rows = [0, 9, 0, 1, 0].map(|value| of_value(value, 0));
    rows.iter()
        .fold(Verify::new(|| dropping(Threshold::new(value_of, 2.0..=8.0, Keep::Forever))), |verify, row| {
            verify.row(1, *row)
        })
        .expect([(1, transition(rows[1], true)), (1, transition(rows[3], false))], [])
        .check();
}

fn presence(key: u64, last: i64, is_absent: bool) -> Presence<u64> {
    let bytes = [&key.to_ne_bytes()[..], &last.to_ne_bytes()[..], &[u8::from(is_absent)]].concat();
    bytemuck::pod_read_unaligned(&bytes)
}

/// A key with its largest time, and whether it was called absent.
type Known = BTreeMap<u64, (i64, bool)>;

/// Brings all keys to a watermark: those that are absent by then are called so, and those that nobody has to know any more
/// are forgotten.
fn come_to(watermark: i64, known: &mut Known, (after, kept): (i64, Option<i64>)) -> Vec<(i64, u64, i64)> {
    let mut absent = BTreeSet::new();
    for (key, (last, is_absent)) in known.iter_mut() {
        if !*is_absent && *last + after <= watermark {
            *is_absent = true;
            absent.insert((*last + after, *key, *last));
        }
    }
    known.retain(|_, (last, is_absent)| !*is_absent || kept.is_none_or(|kept| *last + after + kept > watermark));
    absent.into_iter().collect()
}

fn presences(script: &Script<Reading>, after: i64, kept: Option<i64>) -> (Vec<(Timestamp, Presence<u64>)>,) {
    let (mut known, mut main) = (Known::new(), Vec::new());
    for step in script.steps() {
        let (Step::Row { watermark, .. } | Step::Watermark(watermark)) = *step;
        if watermark < Timestamp::MAX {
            for (time, key, last) in come_to(watermark.as_nanos(), &mut known, (after, kept)) {
                main.push((at(time), presence(key, last, true)));
            }
        }
        let Step::Row { time, value: Reading { key, .. }, watermark } = *step else { continue };
        let (time, watermark) = (time.as_nanos(), watermark.as_nanos());
        match known.get(&key) {
            Some((last, _)) if time <= *last => continue,
            Some((last, true)) => main.push((at(time), presence(key, *last, false))),
            Some((last, false)) if time > *last + after => {
                main.extend([true, false].map(|is_absent| (at(time), presence(key, *last, is_absent))));
            }
            _ => {}
        }
        known.insert(key, (time, false));
        for (_, key, last) in come_to(watermark, &mut known, (after, kept)) {
            main.push((at(watermark + 1), presence(key, last, true)));
        }
    }
    (main,)
}

fn absence(kept: Option<i64>) -> impl OperatorInput<0, Row = Reading, Outputs = (Presence<u64>,)> {
    testing::process(KEY, Absence::new(nanos(10), keep(kept)))
}

#[test]
fn a_key_is_absent_from_its_largest_time_on_and_back_with_the_first_later_row() {
    let row = reading(1, 0);
    Verify::new(|| absence(None))
        .keyed_by(KEY)
        .row(100, row)
        .row(105, row)
        // Neither of these makes it wait longer.
        .row(99, row)
        .row(105, row)
        .watermark(114)
        .watermark(115)
        // Not later than the largest time: it does not bring the key back.
        .behind(105, row, 115)
        // Later, though behind the watermark. By 116 it is not yet absent again.
        .behind(107, row, 116)
        .watermark(117)
        .row(200, row)
        .end()
        .expect_main([
            (115, presence(1, 105, true)),
            (107, presence(1, 105, false)),
            (117, presence(1, 107, true)),
            (200, presence(1, 107, false)),
        ])
        .check();
}

#[test]
fn a_key_whose_row_comes_too_late_is_absent_at_once() {
    Verify::new(|| absence(None))
        .behind(5, reading(1, 0), 30)
        .row(31, reading(1, 1))
        .end()
        .expect_main([(31, presence(1, 5, true)), (31, presence(1, 5, false))])
        .check();
}

#[test]
fn a_gap_is_told_at_the_row_behind_it_where_the_watermark_has_not_come_there() {
    let row = reading(1, 0);
    Verify::new(|| absence(None))
        .keyed_by(KEY)
        .row(0, row)
        .row(10, row)
        .row(21, row)
        // What lies in the gap takes nothing back.
        .row(15, row)
        .end()
        .expect_main([(21, presence(1, 10, true)), (21, presence(1, 10, false))])
        .check();
}

#[test]
fn at_the_end_of_the_input_no_key_is_called_absent() {
    Verify::new(|| absence(None)).row(5, reading(1, 0)).row(9, reading(2, 1)).end().expect_main([]).check();
}

#[test]
fn an_absent_key_that_is_forgotten_comes_for_the_first_time() {
    let verify = || Verify::new(|| absence(Some(20))).keyed_by(KEY).row(0, reading(1, 0));
    verify()
        .at(29, 40, reading(1, 1))
        .end()
        .expect_main([(10, presence(1, 0, true)), (40, presence(1, 0, false))])
        .check();
    verify().at(30, 40, reading(1, 1)).end().expect_main([(10, presence(1, 0, true))]).check();
}
