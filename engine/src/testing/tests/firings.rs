//! Windows of all kinds, with triggers and allowed lateness, against a model that keeps every row.

mod combined;
mod limited;
mod model;
mod small;

use super::{Row, at, cases, steps};
use crate::operator::aggregate::Rows;
use crate::operator::window::Kind as WindowKind;
use crate::operator::window::count::CountOperator;
use crate::operator::window::overlapping::{Overlapping, OverlappingOperator};
use crate::operator::window::sessions::SessionOperator;
use crate::operator::window::tumbling::TumblingOperator;
use crate::operator::window::updated::UpdatedOperator;
use crate::testing::{Expected, Verdict, Verify};
use crate::{Aggregate, CountWindow, Pane, StoreSettings, Tumbling, Tuple4, count, sum, sum_f64_exact};
use model::{Facts, Fired, Kind, Known, Setting, count_model, fired, model, nanos};
use proptest::prelude::*;
use std::cell::Cell;

fn overlapping_kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1i64..40, 1i64..40, 0i64..9).prop_map(|(a, b, offset)| Kind::Sliding(
            a.max(b),
            a.min(b).max(a.max(b) / 6 + 1),
            offset
        )),
        (1i64..9, 1i64..6, 0i64..9).prop_map(|(step, steps, offset)| Kind::Cumulative(step * steps, step, offset)),
    ]
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        1 => (1i64..40, 0i64..9).prop_map(|(size, offset)| Kind::Tumbling(size, offset)),
        2 => overlapping_kinds(),
        1 => (1i64..20).prop_map(Kind::Session),
        1 => Just(Kind::SessionByRow),
        1 => Just(Kind::Global),
    ]
}

fn settings() -> impl Strategy<Value = Setting> {
    let triggers = (
        prop::bool::weighted(0.8),
        prop::option::weighted(0.3, 1i64..15),
        prop::option::weighted(0.3, 1u64..5),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.3),
    );
    (kinds(), triggers, prop_oneof![2 => Just(0), 3 => 1i64..40]).prop_map(
        |(kind, (fires_at_end, every, count, at_negative, purges), lateness)| {
            let is_global = matches!(kind, Kind::Global);
            Setting {
                kind,
                fires_at_end: fires_at_end && !is_global,
                every,
                count,
                at_negative,
                purges,
                lateness: if is_global { 0 } else { lateness },
            }
        },
    )
}

/// The cases of a property in which something ran: they are told in the end.
struct Ran {
    what: &'static str,
    cases: Cell<u64>,
}

impl Ran {
    const fn new(what: &'static str) -> Self {
        Self { what, cases: Cell::new(0) }
    }

    fn hold(&self, verdict: Verdict) -> Result<(), TestCaseError> {
        self.cases.set(self.cases.get() + 1);
        verdict.result().map_err(|failure| TestCaseError::fail(failure.to_string()))
    }
}

impl Drop for Ran {
    fn drop(&mut self) {
        println!("{} random cases of {}", self.cases.get(), self.what);
    }
}

#[test]
fn windows_of_all_kinds_fire_as_a_model_that_keeps_every_row() {
    let ran = Ran::new("windows of all kinds");
    proptest!(cases(400), |(setting in settings(), steps in steps(40))| {
        let verify = Verify::new(|| setting.operator(Rows::new(Facts, fired))).keyed_by(|row: &Row| row.key).seed(steps.len() as u64);
        ran.hold(verify.steps(steps.iter().copied()).against(|script| model(&setting, script)))?;
    });
}

#[test]
fn windows_that_share_slices_fire_as_if_each_had_its_own_rows() {
    let ran = Ran::new("windows that share slices");
    proptest!(cases(400), |(kind in overlapping_kinds(), steps in steps(50))| {
        let setting = Setting::plain(kind);
        let Some(windows) = Overlapping::of(&setting.windows().0) else { return Ok(()) };
        let (settings, key_of) = (StoreSettings::default(), |row: &Row| row.key);
        let operator = || OverlappingOperator::new(windows, key_of, Rows::new(Facts, fired), &settings);
        let verify = Verify::new(operator).keyed_by(key_of).seed(steps.len() as u64).steps(steps.iter().copied());
        ran.hold(verify.against(|script| model(&setting, script)))?;
    });
}

#[test]
fn tumbling_windows_that_fire_once_are_those_of_a_model_that_keeps_every_row() {
    let ran = Ran::new("tumbling windows that fire once");
    proptest!(cases(400), |(size in 1i64..40, offset in 0i64..9, steps in steps(50))| {
        let setting = Setting::plain(Kind::Tumbling(size, offset));
        let windows = Tumbling::of(nanos(size)).offset(nanos(offset));
        let (settings, key_of) = (StoreSettings::default(), |row: &Row| row.key);
        let operator = || TumblingOperator::new(windows, key_of, Rows::new(Facts, fired), &settings);
        let verify = Verify::new(operator).keyed_by(key_of).seed(steps.len() as u64).steps(steps.iter().copied());
        ran.hold(verify.against(|script| model(&setting, script)))?;
    });
}

#[test]
fn tumbling_windows_that_late_rows_update_fire_as_a_model_that_keeps_every_row() {
    let ran = Ran::new("tumbling windows that late rows update");
    proptest!(cases(400), |(size in 1i64..40, offset in 0i64..9, lateness in 1i64..40, steps in steps(50))| {
        let setting = Setting { lateness, ..Setting::plain(Kind::Tumbling(size, offset)) };
        let windows = Tumbling::of(nanos(size)).offset(nanos(offset));
        let (settings, key_of) = (StoreSettings::default(), |row: &Row| row.key);
        let operator = || UpdatedOperator::new((windows, lateness), key_of, Rows::new(Facts, fired), &settings);
        let verify = Verify::new(operator).keyed_by(key_of).seed(steps.len() as u64).steps(steps.iter().copied());
        ran.hold(verify.against(|script| model(&setting, script)))?;
    });
}

#[test]
fn sessions_that_fire_once_are_those_of_a_model_that_keeps_every_row() {
    let ran = Ran::new("sessions that fire once");
    let kinds = prop_oneof![(1i64..25).prop_map(Kind::Session), Just(Kind::SessionByRow)];
    proptest!(cases(400), |(kind in kinds, steps in steps(50))| {
        let setting = Setting::plain(kind);
        let WindowKind::Session(sessions) = setting.windows().0 else { return Ok(()) };
        let (settings, key_of) = (StoreSettings::default(), |row: &Row| row.key);
        let operator = || SessionOperator::new(sessions.clone(), key_of, Rows::new(Facts, fired), &settings);
        let verify = Verify::new(operator).keyed_by(key_of).seed(steps.len() as u64).steps(steps.iter().copied());
        ran.hold(verify.against(|script| model(&setting, script)))?;
    });
}

/// A count, and sums of values as they are, of small ones, and of these as floats.
fn sums() -> impl Aggregate<In = Row, Value = Tuple4<u64, i128, i128, f64>> {
    let small = |row: &Row| row.value.clamp(-1 << 40, 1 << 40);
    (count(), sum(|row: &Row| row.value), sum(small), sum_f64_exact(move |row: &Row| small(row) as f64))
}

/// What is told where there are sums alone.
fn summed(pane: &Pane, key: &u64, sums: Tuple4<u64, i128, i128, f64>) -> Fired {
    let (rows, sum, small, exact) = sums.parts();
    assert_eq!(exact, small as f64);
    fired(pane, key, Known { rows, sum: sum as i64, ..bytemuck::Zeroable::zeroed() })
}

/// The same without what sums do not tell.
fn sums_of(mut expected: Expected<Fired, Row>) -> Expected<Fired, Row> {
    for (_, row) in &mut expected.main {
        *row = Fired { first_time: at(0), first: 0, last_time: at(0), last: 0, ..*row };
    }
    expected
}

#[test]
fn windows_that_take_slices_off_fire_as_if_each_had_its_own_rows() {
    let ran = Ran::new("windows that take slices off");
    proptest!(cases(400), |(kind in overlapping_kinds(), steps in steps(50))| {
        let setting = Setting::plain(kind);
        let Some(windows) = Overlapping::of(&setting.windows().0) else { return Ok(()) };
        let (settings, key_of) = (StoreSettings::default(), |row: &Row| row.key);
        let operator = || OverlappingOperator::new(windows, key_of, Rows::new(sums(), summed), &settings);
        let verify = Verify::new(operator).keyed_by(key_of).seed(steps.len() as u64).steps(steps.iter().copied());
        let verdict = verify.against(|script| sums_of(model(&setting, script)));
        ran.hold(verdict)?;
    });
}

#[test]
fn count_windows_have_the_last_rows_of_a_key() {
    let ran = Ran::new("count windows");
    proptest!(cases(200), |(size in 1u64..9, slide in 1u64..9, steps in steps(60))| {
        let (size, slide) = (size.max(slide), size.min(slide));
        let windows = CountWindow::of(size).every(slide);
        let operator = || {
            CountOperator::new(windows, |row: &Row| row.key, Rows::new(Facts, fired), &StoreSettings::default())
        };
        let verify = Verify::new(operator).keyed_by(|row: &Row| row.key).seed(size).steps(steps.iter().copied());
        ran.hold(verify.against(|script| count_model((size, slide), script)))?;
    });
}

#[test]
fn count_windows_that_take_slices_off_have_the_last_rows_of_a_key() {
    let ran = Ran::new("count windows that take slices off");
    proptest!(cases(200), |(size in 1u64..9, slide in 1u64..9, steps in steps(60))| {
        let (size, slide) = (size.max(slide), size.min(slide));
        let windows = CountWindow::of(size).every(slide);
        let rows = Rows::new(sums(), summed);
        let operator = || CountOperator::new(windows, |row: &Row| row.key, rows.clone(), &StoreSettings::default());
        let verify = Verify::new(operator).keyed_by(|row: &Row| row.key).seed(size).steps(steps.iter().copied());
        let verdict = verify.against(|script| sums_of(count_model((size, slide), script)));
        ran.hold(verdict)?;
    });
}
