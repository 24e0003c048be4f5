//! Aggregates of fixed size in windows of all kinds: in each firing they agree with the rows that it collected.

use super::super::{Row, cases, steps};
use super::model::{Facts, Fired, Known, Setting, count_model, fired, model, nanos};
use super::{kinds, settings};
use crate::operator::aggregate::Rows;
use crate::operator::window::count::CountOperator;
use crate::operator::window::overlapping::{Overlapping, OverlappingOperator};
use crate::operator::window::updated::UpdatedOperator;
use crate::testing::Verify;
use crate::{
    Aggregate, CountWindow, DistinctCount, Pane, StoreSettings, Timestamp, Tumbling, Tuple6, UpTo, collect_up_to,
    count_distinct, quantile, sum_f64_exact, top_n,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

type Several = Tuple6<Known, UpTo<Row, 24>, DistinctCount, f64, f64, UpTo<i64, 2>>;

fn total() -> impl Aggregate<In = Row, Value = f64> {
    sum_f64_exact(|row: &Row| row.float)
}

fn median() -> impl Aggregate<In = Row, Value = f64> {
    quantile(0.5, |row: &Row| row.float).bins::<3, 4>()
}

fn several() -> impl Aggregate<In = Row, Value = Several> {
    let distinct = count_distinct::<4, _, _>(|row: &Row| row.value);
    let top = top_n::<2, _, _>(|row: &Row| (row.weight / 300, row.value));
    (Facts, collect_up_to::<24, _, _>(|row: &Row| *row), distinct, total(), median(), top)
}

/// The bits of what an aggregate makes of these rows.
fn bits_of(aggregate: &impl Aggregate<In = Row, Value = f64>, rows: &[Row]) -> u64 {
    let mut acc = bytemuck::Zeroable::zeroed();
    rows.iter().for_each(|row| aggregate.add(&mut acc, Timestamp::MIN, row));
    aggregate.value(&acc).to_bits()
}

fn agreed(pane: &Pane, key: &u64, values: Several) -> Fired {
    let (known, collected, distinct, sum, middle, top) = values.parts();
    let mut rows: Vec<Row> = collected.values().collect();
    assert_eq!((collected.rows(), rows.len() as u64), (known.rows, known.rows));
    assert_eq!((rows[0].value, rows[rows.len() - 1].value), (known.first, known.last));
    let values = rows.iter().map(|row| row.value).collect::<BTreeSet<_>>().len() as u64;
    assert_eq!(distinct.exact(), (values <= 4).then_some(values));
    assert_eq!([sum, middle].map(f64::to_bits), [bits_of(&total(), &rows), bits_of(&median(), &rows)]);
    // They are in the order of their times and of the job, which sorting keeps.
    rows.sort_by_key(|row| -(row.weight / 300));
    assert!(top.values().eq(rows.iter().map(|row| row.value).take(2)));
    fired(pane, key, known)
}

fn check(verdict: Result<(), impl ToString>) -> Result<(), TestCaseError> {
    verdict.map_err(|failure| TestCaseError::fail(failure.to_string()))
}

#[test]
fn aggregates_of_fixed_size_agree_with_the_rows_of_windows_that_fire_as_they_are_told() {
    proptest!(cases(20), |(setting in settings(), steps in steps(24))| {
        let operator = || setting.operator(Rows::new(several(), agreed));
        let verify = Verify::new(operator).keyed_by(|row: &Row| row.key).seed(steps.len() as u64);
        check(verify.steps(steps.iter().copied()).against(|script| model(&setting, script)).result())?;
    });
}

#[test]
fn aggregates_of_fixed_size_agree_with_the_rows_of_windows_that_share_slices() {
    proptest!(cases(20), |(kind in kinds(), steps in steps(24), lateness in 1i64..40)| {
        let (settings, key_of) = (StoreSettings::default(), |row: &Row| row.key);
        let setting = Setting::plain(kind);
        if let Some(windows) = Overlapping::of(&setting.windows().0) {
            let operator = || OverlappingOperator::new(windows, key_of, Rows::new(several(), agreed), &settings);
            let verify = Verify::new(operator).keyed_by(key_of).seed(steps.len() as u64).steps(steps.iter().copied());
            check(verify.against(|script| model(&setting, script)).result())?;
        }
        let size = lateness / 2 + 3;
        let setting = Setting { lateness, ..Setting::plain(super::model::Kind::Tumbling(size, 0)) };
        let windows = Tumbling::of(nanos(size));
        let operator = || UpdatedOperator::new((windows, lateness), key_of, Rows::new(several(), agreed), &settings);
        let verify = Verify::new(operator).keyed_by(key_of).seed(steps.len() as u64).steps(steps.iter().copied());
        check(verify.against(|script| model(&setting, script)).result())?;
    });
}

#[test]
fn aggregates_of_fixed_size_agree_with_the_last_rows_of_a_key() {
    proptest!(cases(20), |(size in 1u64..9, slide in 1u64..9, steps in steps(24))| {
        let (size, slide) = (size.max(slide), size.min(slide));
        let (windows, key_of) = (CountWindow::of(size).every(slide), |row: &Row| row.key);
        let operator = || CountOperator::new(windows, key_of, Rows::new(several(), agreed), &StoreSettings::default());
        let verify = Verify::new(operator).keyed_by(key_of).seed(size).steps(steps.iter().copied());
        check(verify.against(|script| count_model((size, slide), script)).result())?;
    });
}
