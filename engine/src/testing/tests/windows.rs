//! Tumbling windows with every built-in aggregate, against rows gathered and folded anew.

use super::{Row, at, cases, steps};
use crate::operator::window::combine::{CombinedOperator, Combiner, Gathering};
use crate::operator::window::slices::Slices;
use crate::testing::{self, Expected, Step, Verdict, Verify, WindowLimits, limited_tumbling, model, windowed};
use crate::{
    Aggregate, Batch, Firing, Operator, OperatorError, Outbox, Record, Timestamp, Tumbling, Window, Windowed, count,
    first, last, max, max_f64, mean, min, min_f64, sum, sum_f64, vwap, weighted_mean,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The window of a time, walked to.
fn walk_to(time: Timestamp, size: i64, offset: i64) -> Window {
    let mut start = offset;
    while start > time.as_nanos() {
        start -= size;
    }
    while start + size <= time.as_nanos() {
        start += size;
    }
    Window { start: at(start), end: at(start + size) }
}

type Rows<'a> = &'a [(Timestamp, Row)];

/// Holds windows with `aggregate` against `value` of all rows of a window and key.
fn hold<A, V>(steps: &[Step<Row>], size: i64, aggregate: A, value: impl Fn(Rows<'_>) -> V) -> Verdict
where
    A: Aggregate<u64, In = Row, Out = Windowed<u64, V>>,
    V: Record,
{
    let offset = size / 3;
    let nanos = |nanos: i64| Duration::from_nanos(nanos as u64);
    let windows = Tumbling::of(nanos(size)).offset(nanos(offset));
    Verify::new(|| testing::tumbling(windows, |row: &Row| row.key, aggregate.clone()))
        .keyed_by(|row: &Row| row.key)
        .seed(size as u64)
        .steps(steps.iter().copied())
        .against(|script| {
            let assign = |time| walk_to(time, size, offset);
            model::tumbling(script, assign, |row| row.key, |window, key, rows| windowed(window, *key, value(rows)))
        })
}

fn values(rows: Rows<'_>) -> Vec<i64> {
    rows.iter().map(|(_, row)| row.value).collect()
}

fn floats(rows: Rows<'_>) -> Vec<f64> {
    rows.iter().map(|(_, row)| row.float).collect()
}

fn exact_sum(values: impl IntoIterator<Item = i64>) -> i128 {
    values.into_iter().map(i128::from).sum()
}

/// Price times size, with prices small enough that the sum has room.
fn weighted(rows: Rows<'_>) -> f64 {
    let sum: i128 = rows.iter().map(|(_, row)| i128::from(row.value) * i128::from(row.weight)).sum();
    sum as f64 / exact_sum(rows.iter().map(|(_, row)| row.weight)) as f64
}

macro_rules! holds {
    ($($test:ident: $aggregate:expr, $value:expr;)*) => {$(
        #[test]
        fn $test() {
            proptest!(cases(192), |(steps in steps(50), size in 1i64..60)| {
                if let Err(failure) = hold(&steps, size, $aggregate, $value).result() {
                    return Err(TestCaseError::fail(failure.to_string()));
                }
            });
        }
    )*};
}

holds! {
    windows_count: count(), |rows: Rows<'_>| rows.len() as u64;
    windows_sum: sum(|row: &Row| row.value), |rows: Rows<'_>| exact_sum(values(rows));
    windows_sum_floats: sum_f64(|row: &Row| row.float), |rows: Rows<'_>| floats(rows).iter().fold(0.0, |a, b| a + b);
    windows_min: min(|row: &Row| row.value), |rows: Rows<'_>| *values(rows).iter().min().unwrap();
    windows_max: max(|row: &Row| row.value), |rows: Rows<'_>| *values(rows).iter().max().unwrap();
    windows_min_floats: min_f64(|row: &Row| row.float), |rows: Rows<'_>| {
        floats(rows).into_iter().min_by(f64::total_cmp).unwrap()
    };
    windows_max_floats: max_f64(|row: &Row| row.float), |rows: Rows<'_>| {
        floats(rows).into_iter().max_by(f64::total_cmp).unwrap()
    };
    windows_mean: mean(|row: &Row| row.value), |rows: Rows<'_>| exact_sum(values(rows)) as f64 / rows.len() as f64;
    windows_weighted_mean: weighted_mean(|row: &Row| (row.value, row.weight)), weighted;
    windows_vwap: vwap(|row: &Row| row.value, |row: &Row| row.weight), weighted;
    windows_first: first(|row: &Row| row.value), |rows: Rows<'_>| {
        rows.iter().min_by_key(|(time, _)| *time).unwrap().1.value
    };
    windows_last: last(|row: &Row| row.value), |rows: Rows<'_>| {
        rows.iter().max_by_key(|(time, _)| *time).unwrap().1.value
    };
    windows_of_a_users_aggregate: Spread, |rows: Rows<'_>| {
        i128::from(*values(rows).iter().max().unwrap()) - i128::from(*values(rows).iter().min().unwrap())
    };
}

/// The largest less the smallest value: an aggregate as a user writes one.
#[derive(Clone)]
pub(super) struct Spread;

#[derive(Debug, Clone, Copy, Record)]
#[repr(C)]
pub(super) struct Extremes {
    rows: u64,
    low: i64,
    high: i64,
}

impl Aggregate<u64> for Spread {
    type In = Row;
    type Acc = Extremes;
    type Out = Windowed<u64, i128>;

    fn add(&self, acc: &mut Extremes, _: Timestamp, row: &Row) {
        self.merge(acc, &Extremes { rows: 1, low: row.value, high: row.value });
    }

    fn merge(&self, acc: &mut Extremes, later: &Extremes) {
        let (low, high) = if acc.rows == 0 { (later.low, later.high) } else { (acc.low, acc.high) };
        *acc = Extremes { rows: acc.rows + later.rows, low: low.min(later.low), high: high.max(later.high) };
    }

    fn result(&self, window: Window, key: &u64, acc: &Extremes) -> Windowed<u64, i128> {
        windowed(window, *key, i128::from(acc.high) - i128::from(acc.low))
    }
}

#[test]
fn added_rows_are_a_model_too() {
    proptest!(cases(64), |(steps in steps(40))| {
        let windows = Tumbling::of(Duration::from_nanos(20));
        let spread = || testing::tumbling(windows, |row: &Row| row.key, Spread);
        let model = |script: &_| model::tumbling(script, |t| windows.assign(t), |row| row.key, model::added(Spread));
        Verify::new(spread).steps(steps).against(model).check();
    });
}

/// Runs a step as several workers do that combine their rows.
fn hold_combined<A: Aggregate<u64, In = Row>>(steps: &[Step<Row>], size: i64, aggregate: A, workers: &[usize]) {
    assert!(A::EXACT);
    let windows = Tumbling::of(Duration::from_nanos(size as u64));
    let key_of: fn(&Row) -> u64 = |row| row.key;
    let mut expected = Vec::new();
    Verify::new(|| testing::tumbling(windows, key_of, aggregate.clone()))
        .steps(steps.iter().copied())
        .against(|script| {
            let added = model::added(aggregate.clone());
            let model = model::tumbling(script, |time| windows.assign(time), key_of, added);
            expected.clone_from(&model.main);
            model
        })
        .check();

    let limits = WindowLimits { open_windows_max: 1 << 16, keys_max: 1 << 16 };
    let gathering = Arc::new(Gathering::new(aggregate.clone(), limits.keys_max, 4));
    let combiner = |worker| {
        let slices = Slices::new(windows, key_of, aggregate.clone(), limits);
        Combiner::new("combined".into(), worker, slices, gathering.clone())
    };
    let operator = || CombinedOperator::new("combined".into(), windows, gathering.clone());
    let (mut combiners, mut firing) = (Vec::from_iter((0..4).map(combiner)), operator());
    let (mut main, mut out) = (Vec::new(), Outbox::new(3, Default::default()));
    for (i, step) in steps.iter().copied().enumerate() {
        let worker = workers[i % workers.len()];
        let watermark = match step {
            Step::Behind { time, watermark, .. } if combiners[worker].is_late(time, watermark) => continue,
            Step::Row { time, value } | Step::Behind { time, value, .. } => {
                combiners[worker].add(Batch::new(&[time], &[value])).unwrap();
                continue;
            }
            Step::Watermark(watermark) => watermark,
        };
        // Any worker may be the first to bring its part.
        combiners.rotate_left(worker);
        let mut announced = BTreeSet::new();
        for combiner in &mut combiners {
            loop {
                let (mut times, mut starts) = (Vec::new(), Vec::new());
                combiner.bring(watermark, 2, &mut times, &mut starts).unwrap();
                assert_eq!(firing.on_batch(Batch::new(&times, &starts), &mut out), Ok(starts.len()));
                if starts.is_empty() {
                    break;
                }
                announced.extend(starts);
            }
        }
        if worker == 0 {
            // What was brought and has not fired outlives the operator.
            let mut pieces = Vec::new();
            firing.save(&mut |slot, piece| pieces.push((slot, piece.to_vec())));
            announced.iter().for_each(|start| assert!(gathering.take(*start).is_some()));
            firing = operator();
            pieces.iter().for_each(|(slot, piece)| firing.restore(*slot, piece).unwrap());
        }
        loop {
            let state = firing.on_watermark(watermark, &mut out).unwrap();
            main.extend(out.rows().0.iter().copied().zip(out.rows().1.iter().copied()));
            out.clear();
            if state == Firing::Done {
                break;
            }
        }
        assert!(announced.iter().all(|start| gathering.take(*start).is_none()));
    }
    let bytes = |rows: &[(Timestamp, A::Out)]| -> Vec<_> {
        rows.iter().map(|(time, row)| (*time, bytemuck::bytes_of(row).to_vec())).collect()
    };
    assert_eq!(bytes(&main), bytes(&expected));
}

#[test]
fn rows_combined_on_each_worker_give_the_same_windows() {
    proptest!(cases(96), |(steps in steps(50), size in 1i64..60, workers in prop::collection::vec(0usize..4, 1..9))| {
        hold_combined(&steps, size, count(), &workers);
        hold_combined(&steps, size, mean(|row: &Row| row.value), &workers);
        hold_combined(&steps, size, min_f64(|row: &Row| row.float), &workers);
        hold_combined(&steps, size, weighted_mean(|row: &Row| (row.value, row.weight)), &workers);
    });
}

#[test]
fn a_row_is_late_exactly_from_the_last_nanosecond_of_its_window_on() {
    let count = || testing::tumbling(Tumbling::of(Duration::from_nanos(10)), |key: &u32| *key, count());
    let window = Window { start: at(0), end: at(10) };
    Verify::new(count)
        .behind(0, 1, 8)
        .behind(9, 1, 9)
        .behind(0, 1, 9)
        .end()
        .expect([(9, windowed(window, 1, 1))], [(9, 1), (0, 1)])
        .check();
}

type Out = Outbox<Windowed<u64, u64>, u64>;

fn limited(open_windows_max: usize, keys_max: usize) -> (impl Operator<In = u64, Out = Windowed<u64, u64>>, Out) {
    let windows = Tumbling::of(Duration::from_nanos(10));
    let limits = WindowLimits { open_windows_max, keys_max };
    let operator = limited_tumbling(windows, |key: &u64| *key, count(), limits);
    (operator, Outbox::new(16, Default::default()))
}

#[test]
fn one_key_more_than_the_limit_is_an_error_and_each_window_counts_its_own() {
    let (mut operator, mut out) = limited(8, 2);
    let times = [0, 0, 0, 10, 10, 20, 20, 20].map(at);
    assert_eq!(operator.on_batch(Batch::new(&times[..5], &[1, 2, 1, 3, 4]), &mut out), Ok(5));
    assert_eq!(operator.on_batch(Batch::new(&times[5..], &[1, 2, 3]), &mut out), Err(OperatorError::TooManyKeys(2)));
}

#[test]
fn one_open_window_more_than_the_limit_is_an_error_and_fired_ones_do_not_count() {
    let (mut operator, mut out) = limited(2, 8);
    assert_eq!(operator.on_batch(Batch::new(&[at(0), at(10)], &[1, 1]), &mut out), Ok(2));
    assert_eq!(operator.on_watermark(at(9), &mut out), Ok(Firing::Done));
    assert_eq!(operator.on_batch(Batch::new(&[at(20)], &[1]), &mut out), Ok(1));
    assert_eq!(
        operator.on_batch(Batch::new(&[at(i64::MAX / 2)], &[1]), &mut out),
        Err(OperatorError::TooManyWindows(2))
    );
}

#[test]
fn tables_that_no_longer_are_small_count_and_fire_as_small_ones() {
    let mut keys = Vec::new();
    let mut word = 1u64;
    for _ in 0..60_000 {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        keys.push((word >> 33) % 20_000);
    }
    let (mut operator, _) = limited(2, 1 << 20);
    let mut out: Out = Outbox::new(777, Default::default());
    let mut model = BTreeMap::<u64, u64>::new();
    for keys in keys.chunks(1001) {
        let times = vec![at(5); keys.len()];
        assert_eq!(operator.on_batch(Batch::new(&times, keys), &mut out), Ok(keys.len()));
        keys.iter().for_each(|key| *model.entry(*key).or_default() += 1);
    }
    assert!(model.len() > 1 << 14, "the table's index has outgrown a small one's");
    let mut found = Vec::new();
    for _ in 0..100 {
        let firing = operator.on_watermark(at(9), &mut out).unwrap();
        found.extend(out.rows().1.iter().map(|row| (row.key(), row.value())));
        out.clear();
        if firing == Firing::Done {
            break;
        }
    }
    assert_eq!(found, Vec::from_iter(model));
}

#[test]
fn the_harness_finds_an_aggregate_that_does_not_suit_its_model() {
    let value = Row { value: 1, weight: 1, float: 1.0, key: 1 };
    let steps = [Step::Row { time: at(1), value }, Step::Watermark(Timestamp::MAX)];
    assert!(hold(&steps, 5, count(), |rows| rows.len() as u64).result().is_ok());
    assert!(hold(&steps, 5, count(), |rows| rows.len() as u64 + 1).result().is_err());
    let nothing = |_: &_| Expected::default();
    let windows = Tumbling::of(Duration::from_nanos(5));
    let verify = Verify::new(|| testing::tumbling(windows, |row: &Row| row.key, count())).steps(steps);
    assert!(verify.against(nothing).result().is_err());
}
