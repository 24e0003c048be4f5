//! Tumbling windows with every built-in aggregate, against rows gathered and folded anew.

use super::{Row, at, cases, steps};
use crate::operator::state;
use crate::testing::{self, Expected, Step, Verdict, Verify, limited_tumbling, model, windowed};
use crate::{
    ALL_SLOTS, Aggregate, Batch, Firing, Operator, OperatorInput, Outbox, Outputs, Record, Scope, StoreError,
    StoreSettings, Timestamp, Tumbling, Window, Windowed, count, first, last, max, max_f64, mean, min, min_f64, sum,
    sum_f64, vwap, weighted_mean,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
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
    A: Aggregate<In = Row, Value = V>,
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

/// The order of floats for extremes: NaN of either sign is larger than infinity.
fn by_extremes(a: &f64, b: &f64) -> std::cmp::Ordering {
    a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b))
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
        floats(rows).into_iter().min_by(by_extremes).unwrap()
    };
    windows_max_floats: max_f64(|row: &Row| row.float), |rows: Rows<'_>| {
        floats(rows).into_iter().max_by(by_extremes).unwrap()
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

impl Aggregate for Spread {
    type In = Row;
    type Acc = Extremes;
    type Value = i128;

    fn add(&self, acc: &mut Extremes, _: Timestamp, row: &Row) {
        self.merge(acc, &Extremes { rows: 1, low: row.value, high: row.value });
    }

    fn merge(&self, acc: &mut Extremes, later: &Extremes) {
        let (low, high) = if acc.rows == 0 { (later.low, later.high) } else { (acc.low, acc.high) };
        *acc = Extremes { rows: acc.rows + later.rows, low: low.min(later.low), high: high.max(later.high) };
    }

    fn value(&self, acc: &Extremes) -> i128 {
        i128::from(acc.high) - i128::from(acc.low)
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

/// Has an operator fire all that is due, and what it emits given to `take`.
pub(super) fn fire<Op: Operator>(
    operator: &mut Op,
    watermark: Timestamp,
    out: &mut Outbox<Op::Outputs>,
    mut take: impl FnMut(&Outbox<Op::Outputs>),
) {
    loop {
        let firing = operator.on_watermark(watermark, out).unwrap();
        take(out);
        out.clear();
        if firing == Firing::Done {
            break;
        }
    }
    assert!(operator.next_firing() > watermark || watermark == Timestamp::MAX);
}

/// What `fresh` goes on with when it restores what `operator` saved.
pub(super) fn restored<Op: Operator<Outputs: Outputs>>(operator: &mut Op, mut fresh: Op) -> Op {
    let pieces = state::save(operator, Scope::All);
    pieces.iter().rev().for_each(|piece| state::restore(&mut fresh, piece, &ALL_SLOTS, true).unwrap());
    assert_eq!(fresh.next_firing(), operator.next_firing());
    fresh
}

#[test]
fn rows_of_one_batch_are_late_each_by_its_own_watermark() {
    let count = || testing::tumbling(Tumbling::of(Duration::from_nanos(10)), |key: &u32| *key, count());
    let window = |start| Window { start: at(start), end: at(start + 10) };
    Verify::new(count)
        .keyed_by(|key: &u32| *key)
        .row(3, 1)
        .at(8, 9, 2)
        .behind(4, 3, 8)
        .at(9, 12, 1)
        .behind(5, 1, 9)
        .behind(6, 1, 15)
        .at(19, 20, 1)
        .behind(15, 1, 19)
        .behind(3, 2, 19)
        .expect(
            [
                (9, windowed(window(0), 1, 1)),
                (9, windowed(window(0), 2, 1)),
                (9, windowed(window(0), 3, 1)),
                (19, windowed(window(10), 1, 1)),
            ],
            [(5, 1), (6, 1), (15, 1), (3, 2)],
        )
        .check();
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

type Out = Outbox<Counted>;
type Counted = (Windowed<u64, u64>, u64);

fn limited(open_windows_max: usize, keys_max: usize) -> (impl OperatorInput<0, Row = u64, Outputs = Counted>, Out) {
    let windows = Tumbling::of(Duration::from_nanos(10));
    let settings = StoreSettings { open_windows_max, keys_max, ..StoreSettings::default() };
    let operator = limited_tumbling(windows, |key: &u64| *key, count(), &settings);
    (operator, Outbox::new(16, Default::default()))
}

#[test]
fn one_key_more_than_the_limit_is_an_error_and_each_window_counts_its_own() {
    let (mut operator, mut out) = limited(8, 2);
    let times = [0, 0, 0, 10, 10, 20, 20, 20].map(at);
    assert_eq!(operator.on_batch(Batch::new(&times[..5], &[1, 2, 1, 3, 4]), &mut out), Ok(5));
    assert_eq!(
        operator.on_batch(Batch::new(&times[5..], &[1, 2, 3]), &mut out),
        Err(StoreError::TooManyKeys(2).into())
    );
}

#[test]
fn one_key_more_than_the_limit_is_an_error_when_it_is_restored() {
    let (mut operator, mut out) = limited(8, 3);
    assert_eq!(operator.on_batch(Batch::new(&[at(0); 3], &[1, 2, 3]), &mut out), Ok(3));
    let pieces = state::save(&mut operator, Scope::All);
    let (mut restored, _) = limited(8, 2);
    assert!(pieces.iter().all(|piece| state::restore(&mut restored, piece, &ALL_SLOTS, true).is_ok()));
    assert_eq!(state::check(&mut restored), Err(StoreError::TooManyKeys(2).into()));
}

/// The watermark at a row's own place says what is late: nothing that an operator would have to remember.
#[test]
fn a_restored_operator_does_not_open_a_window_again_that_has_fired() {
    let windows = Tumbling::of(Duration::from_nanos(10));
    let new = || testing::tumbling(windows, |key: &u64| *key, count());
    let (mut operator, mut out) = (new(), Outbox::new(16, Default::default()));
    assert_eq!(operator.on_batch(Batch::new(&[at(1), at(11)], &[1, 1]), &mut out), Ok(2));
    fire(&mut operator, at(9), &mut out, |_| ());
    let mut operator = restored(&mut operator, new());
    let (times, watermarks) = ([at(2), at(12)], [at(9), at(9)]);
    assert_eq!(operator.on_batch(Batch::with_watermarks(&times, &[1, 1], &watermarks), &mut out), Ok(2));
    assert_eq!(out.rows::<1>(), (&[at(2)][..], &[1][..]));
    out.clear();
    let mut fired = Vec::new();
    fire(&mut operator, Timestamp::MAX, &mut out, |out| fired.extend(out.rows::<0>().1.iter().map(|row| row.value())));
    assert_eq!(fired, [2]);
}

#[test]
fn one_open_window_more_than_the_limit_is_an_error_and_fired_ones_do_not_count() {
    let (mut operator, mut out) = limited(2, 8);
    assert_eq!(operator.on_batch(Batch::new(&[at(0), at(10)], &[1, 1]), &mut out), Ok(2));
    assert_eq!(operator.on_watermark(at(9), &mut out), Ok(Firing::Done));
    assert_eq!(operator.on_batch(Batch::new(&[at(20)], &[1]), &mut out), Ok(1));
    assert_eq!(
        operator.on_batch(Batch::new(&[at(i64::MAX / 2)], &[1]), &mut out),
        Err(StoreError::TooManyWindows(2).into())
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
        found.extend(out.rows::<0>().1.iter().map(|row| (row.key(), row.value())));
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
    let steps = [Step::Row { time: at(1), value, watermark: Timestamp::MIN }, Step::Watermark(Timestamp::MAX)];
    assert!(hold(&steps, 5, count(), |rows| rows.len() as u64).result().is_ok());
    assert!(hold(&steps, 5, count(), |rows| rows.len() as u64 + 1).result().is_err());
    let nothing = |_: &_| Expected::<Windowed<u64, u64>, Row>::default();
    let windows = Tumbling::of(Duration::from_nanos(5));
    let verify = Verify::new(|| testing::tumbling(windows, |row: &Row| row.key, count())).steps(steps);
    assert!(verify.against(nothing).result().is_err());
}
