//! Operators that keep some rows as they are and drop the others.

use super::*;
use crate::operator::library::changes::Changes;
use crate::operator::library::deduplicate::{Deduplicate, Repeats};
use crate::operator::library::delta::Delta;
use crate::operator::library::latest::Latest;
use crate::operator::library::rate_limit::RateLimit;
use crate::operator::library::running::Running;
use crate::operator::library::sample::EachNth;
use crate::testing;
use crate::{sum, sum_f64};

/// Every row that was kept or seen is remembered for ever.
fn unique(script: &Script<Reading>, period: i64, renews: bool) -> (Timed<Reading>, Timed<Reading>) {
    let mut references: Vec<(u64, Timestamp)> = Vec::new();
    divided(script, |time, row, watermark| {
        if time <= watermark.minus_nanos(period) {
            return None;
        }
        let is_repeat = references.iter().any(|(key, other)| *key == row.key && time < other.plus_nanos(period));
        if renews || !is_repeat {
            references.push((row.key, time));
        }
        (!is_repeat).then_some(Some(row))
    })
}

fn repeats(period: i64, renews: bool) -> Repeats {
    if renews { Repeats::since_seen(nanos(period)) } else { Repeats::since_kept(nanos(period)) }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn repeats_are_those_of_a_loop_that_forgets_nothing(
        steps in scripts(40), seed: u64, period in 1i64..15, renews: bool,
    ) {
        let make = || dropping(Deduplicate::new(repeats(period, renews)));
        hold(make, (steps, seed), |script| unique(script, period, renews))?;
    }

    #[test]
    fn limited_rows_are_those_that_no_earlier_row_forbids(
        steps in scripts(40), seed: u64, tokens in 1u32..5, period in 1i64..15,
    ) {
        hold(|| dropping(RateLimit::new(tokens, nanos(period))), (steps, seed), |script| limited(script, tokens, period))?;
    }

    #[test]
    fn changes_are_those_of_a_loop(steps in scripts(40), seed: u64, kept in keeps()) {
        let make = || dropping(Changes::new(|row: &Reading| row.value, keep(kept)));
        hold(make, (steps, seed), |script| changed(script, kept))?;
    }

    #[test]
    fn deltas_are_those_of_a_loop(steps in scripts(40), seed: u64, kept in keeps()) {
        hold(|| dropping(Delta::new(difference, keep(kept))), (steps, seed), |script| deltas(script, kept))?;
    }

    #[test]
    fn latest_rows_are_those_of_a_loop(steps in scripts(40), seed: u64, kept in keeps()) {
        hold(|| dropping(Latest::new(keep(kept))), (steps, seed), |script| latest(script, kept))?;
    }

    #[test]
    fn each_nth_row_is_that_of_a_loop(steps in scripts(40), seed: u64, nth in 1u64..5, kept in keeps()) {
        hold(|| dropping(EachNth::new(nth, keep(kept))), (steps, seed), |script| each_nth(script, nth, kept))?;
    }

    #[test]
    fn running_values_are_those_of_all_rows_so_far(steps in scripts(40), seed: u64, kept in keeps()) {
        let make = || {
            let aggregate = (sum(|row: &Reading| row.value), sum_f64(|row: &Reading| row.value as f64 / 3.0));
            testing::process(KEY, Running::new(aggregate, keep(kept)))
        };
        hold(make, (steps, seed), |script| running(script, kept))?;
    }
}

#[test]
fn all_small_inputs_are_divided_as_the_models_say() {
    for renews in [false, true] {
        let make = || dropping(Deduplicate::new(repeats(2, renews)));
        BY_TIME.hold(true, make, |script| unique(script, 2, renews));
    }
    for (tokens, period) in [(1, 2), (2, 3)] {
        let make = || dropping(RateLimit::new(tokens, nanos(period)));
        BY_TIME.hold(true, make, |script| limited(script, tokens, period));
    }
    for kept in [None, Some(1)] {
        BY_TIME.hold(false, || dropping(Delta::new(difference, keep(kept))), |script| deltas(script, kept));
        BY_TIME.hold(false, || dropping(Latest::new(keep(kept))), |script| latest(script, kept));
        BY_TIME.hold(false, || dropping(EachNth::new(2, keep(kept))), |script| each_nth(script, 2, kept));
    }
    BY_TIME.hold(true, || dropping(EachNth::new(1, Keep::Forever)), |script| each_nth(script, 1, None));
    let make = || dropping(Changes::new(|row: &Reading| row.value, Keep::Forever));
    BY_VALUE.hold(false, make, |script| changed(script, None));
}

#[test]
fn a_repeat_is_a_row_before_the_end_of_the_period_and_any_row_before_the_kept_one() {
    let verify = Verify::new(|| dropping(Deduplicate::new(repeats(10, false)))).keyed_by(KEY);
    let row = |number| reading(1, number);
    verify
        .row(100, row(0))
        .row(100, row(1))
        .row(109, row(2))
        .row(50, row(3))
        .row(110, row(4))
        .row(105, row(5))
        .row(105, reading(2, 6))
        .end()
        .expect(
            [(100, row(0)), (110, row(4)), (105, reading(2, 6))],
            [(100, row(1)), (109, row(2)), (50, row(3)), (105, row(5))],
        )
        .check();
}

#[test]
fn rows_that_keep_coming_repeat_where_the_period_counts_from_the_last_one_seen() {
    let row = |number| reading(1, number);
    let verify = |renews| {
        Verify::new(move || dropping(Deduplicate::new(repeats(10, renews))))
            .keyed_by(KEY)
            .row(0, row(0))
            .row(9, row(1))
            .row(18, row(2))
            .row(28, row(3))
            .end()
    };
    verify(false).expect([(0, row(0)), (18, row(2)), (28, row(3))], [(9, row(1))]).check();
    verify(true).expect([(0, row(0)), (28, row(3))], [(9, row(1)), (18, row(2))]).check();
}

#[test]
fn a_row_a_period_behind_the_watermark_is_too_old_and_one_that_is_less_far_behind_is_judged_exactly() {
    let row = |number| reading(1, number);
    Verify::new(|| dropping(Deduplicate::new(repeats(10, false))))
        .keyed_by(KEY)
        .behind(90, row(0), 100)
        .behind(91, row(1), 100)
        // The row at 91 is remembered up to the watermark 111.
        .behind(101, row(2), 110)
        .behind(101, reading(2, 3), 111)
        .behind(102, reading(2, 4), 111)
        .end()
        .expect(
            [(91, row(1)), (101, row(2))].into_iter().chain([(102, reading(2, 4))]),
            [(90, row(0)), (101, reading(2, 3))],
        )
        .check();
}

/// Of the rows that pass, from any one to any other, there are at most as many as the rate allows.
fn limited(script: &Script<Reading>, tokens: u32, period: i64) -> (Timed<Reading>, Timed<Reading>) {
    let mut passed: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    divided(script, |time, row, watermark| {
        let at = time.max(watermark.plus_nanos(1)).as_nanos();
        let passed = passed.entry(row.key).or_default();
        let (tokens, period, rows) = (i64::from(tokens), period, passed.len() as i64 + 1);
        let allows = |(before, from): (usize, &i64)| (rows - before as i64 - tokens) * period <= (at - from) * tokens;
        let passes = passed.iter().enumerate().all(allows);
        if passes {
            passed.push(at);
        }
        passes.then_some(Some(row))
    })
}

#[test]
fn a_bucket_is_full_at_first_and_gets_a_token_each_share_of_the_duration() {
    let row = |number| reading(1, number);
    // A token each 3 1/3 ns.
    Verify::new(|| dropping(RateLimit::new(3, nanos(10))))
        .keyed_by(KEY)
        .row(0, row(0))
        .row(0, row(1))
        .row(0, row(2))
        .row(3, row(3))
        .row(4, row(4))
        .row(6, row(5))
        .row(7, row(6))
        .row(9, row(7))
        .row(10, row(8))
        .end()
        .expect(
            [(0, row(0)), (0, row(1)), (0, row(2)), (4, row(4)), (7, row(6)), (10, row(8))],
            [(3, row(3)), (6, row(5)), (9, row(7))],
        )
        .check();
}

#[test]
fn rows_out_of_order_find_the_tokens_that_later_rows_left_and_rows_behind_are_as_of_the_watermark() {
    let row = |number| reading(1, number);
    let verify = || Verify::new(|| dropping(RateLimit::new(1, nanos(10)))).keyed_by(KEY).row(20, row(0));
    verify().row(9, row(1)).row(30, row(2)).end().expect([(20, row(0)), (30, row(2))], [(9, row(1))]).check();
    // As of 30 and of 29.
    verify().behind(9, row(1), 29).end().expect([(20, row(0)), (9, row(1))], []).check();
    verify().behind(9, row(1), 28).end().expect([(20, row(0))], [(9, row(1))]).check();
}

#[test]
fn limits_at_the_ends_of_time_and_of_numbers_do_not_overflow() {
    let row = |number| reading(1, number);
    let (first, last) = (i64::MIN + 1, i64::MAX - 1);
    Verify::new(|| dropping(RateLimit::new(u32::MAX, Duration::MAX)))
        .keyed_by(KEY)
        .row(first, row(0))
        .row(last, row(1))
        .end()
        .expect([(first, row(0)), (last, row(1))], [])
        .check();
    Verify::new(|| dropping(RateLimit::new(1, Duration::MAX)))
        .keyed_by(KEY)
        .row(0, row(0))
        .row(last, row(1))
        .end()
        .expect([(0, row(0))], [(last, row(1))])
        .check();
    Verify::new(|| dropping(Deduplicate::new(Repeats::since_seen(Duration::MAX))))
        .keyed_by(KEY)
        .row(0, row(0))
        .row(5, row(1))
        .row(last, row(2))
        .end()
        .expect([(0, row(0))], [(5, row(1)), (last, row(2))])
        .check();
}

/// The rows of a key that count, of which the last one has the largest time.
fn counts(known: &mut Vec<(Timestamp, Reading)>, time: Timestamp, row: Reading) -> Option<Option<Reading>> {
    if known.iter().any(|(other, _)| *other > time) {
        return None;
    }
    let before = known.last().map(|(_, row)| *row);
    known.push((time, row));
    Some(before)
}

fn changed(script: &Script<Reading>, kept: Option<i64>) -> (Timed<Reading>, Timed<Reading>) {
    let mut history = History::new(kept);
    divided(script, |time, row, watermark| {
        let before = counts(history.of(row.key, time, watermark), time, row)?;
        before.is_none_or(|before| before.value != row.value).then_some(Some(row))
    })
}

#[test]
fn a_row_older_than_the_one_before_does_not_count_and_rows_of_equal_time_do() {
    let rows =
        [(5, of_value(1, 0)), (3, of_value(2, 1)), (5, of_value(1, 2)), (5, of_value(2, 3)), (6, of_value(1, 4))];
    let verify = || {
        rows.iter().fold(
            Verify::new(|| dropping(Changes::new(|row: &Reading| row.value, Keep::Forever))),
            |verify, (time, row)| verify.row(*time, *row),
        )
    };
    verify().expect([rows[0], rows[3], rows[4]], [rows[1], rows[2]]).check();
    let verify = || {
        rows.iter().fold(Verify::new(|| dropping(Delta::new(difference, Keep::Forever))), |verify, (time, row)| {
            verify.row(*time, *row)
        })
    };
    verify().expect([(5, -1), (5, 2), (5, 203), (6, 304)], [rows[1]]).check();
    let verify = || {
        rows.iter()
            .fold(Verify::new(|| dropping(Latest::new(Keep::Forever))), |verify, (time, row)| verify.row(*time, *row))
    };
    verify().expect([rows[0], rows[2], rows[3], rows[4]], [rows[1]]).check();
}

#[test]
fn values_are_compared_by_their_bytes() {
    let value_of = |row: &Reading| [f64::NAN, 0.0, -0.0][row.value as usize];
    let rows = [0, 0, 1, 2, 2].map(|value| of_value(value, 0));
    rows.iter()
        .fold(Verify::new(|| dropping(Changes::new(value_of, Keep::Forever))), |verify, row| verify.row(1, *row))
        .expect([(1, rows[0]), (1, rows[2]), (1, rows[3])], [(1, rows[1]), (1, rows[4])])
        .check();
}

/// The numbers of both rows, of which the first row has none before it.
fn difference(before: Option<&Reading>, row: &Reading) -> i64 {
    before.map_or(-1, |before| before.number as i64 * 100 + row.number as i64)
}

fn deltas(script: &Script<Reading>, kept: Option<i64>) -> (Timed<i64>, Timed<Reading>) {
    let mut history = History::new(kept);
    divided(script, |time, row, watermark| {
        let before = counts(history.of(row.key, time, watermark), time, row)?;
        Some(Some(difference(before.as_ref(), &row)))
    })
}

fn latest(script: &Script<Reading>, kept: Option<i64>) -> (Timed<Reading>, Timed<Reading>) {
    let mut history = History::new(kept);
    divided(script, |time, row, watermark| counts(history.of(row.key, time, watermark), time, row).map(|_| Some(row)))
}

fn each_nth(script: &Script<Reading>, nth: u64, kept: Option<i64>) -> (Timed<Reading>, Timed<Reading>) {
    let mut history = History::new(kept);
    divided(script, |time, row, watermark| {
        let known = history.of(row.key, time, watermark);
        known.push(row);
        (known.len() as u64).is_multiple_of(nth).then_some(Some(row))
    })
}

type Sums = crate::KeyValue<u64, crate::Tuple2<i128, f64>>;

fn running(script: &Script<Reading>, kept: Option<i64>) -> (Timed<Sums>,) {
    let mut history = History::new(kept);
    let value = |known: &[Reading]| {
        known.iter().fold((0, 0.0), |sums, row| (sums.0 + i128::from(row.value), sums.1 + row.value as f64 / 3.0))
    };
    let main = rows_of(script).map(|(time, row, watermark)| {
        let known = history.of(row.key, time, watermark);
        known.push(row);
        (time, packed(row.key, value(known)))
    });
    (main.collect(),)
}

/// The row of a running aggregate.
fn packed(key: u64, sums: (i128, f64)) -> Sums {
    let bytes = [&key.to_ne_bytes()[..], &sums.0.to_ne_bytes()[..], &sums.1.to_ne_bytes()[..]].concat();
    bytemuck::pod_read_unaligned(&bytes)
}
