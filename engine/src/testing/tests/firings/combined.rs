//! Windows that overlap and whose rows several workers combine, against the model that keeps every row.

use super::super::combined::{run_combined, same};
use super::super::{Row, cases, steps};
use super::model::{Fired, Known, Setting, fired, model};
use super::{overlapping_kinds, summed, sums, sums_of};
use crate::operator::aggregate::{Rows, WindowAggregate};
use crate::operator::window::merged::MergedOverlappingOperator;
use crate::operator::window::overlapping::{Overlapping, OverlappingOperator};
use crate::operator::window::part::{PartOperator, PartTables};
use crate::testing::{Expected, Step, Verify};
use crate::{Aggregate, Pane, StoreSettings, Tuple3, count, max, sum};
use proptest::prelude::*;
use std::sync::Arc;

/// The same sums beside a largest value, which cannot be taken off.
fn extremes() -> impl Aggregate<In = Row, Value = Tuple3<u64, i128, i64>> {
    (count(), sum(|row: &Row| row.value), max(|row: &Row| row.value))
}

fn extreme(pane: &Pane, key: &u64, values: Tuple3<u64, i128, i64>) -> Fired {
    let (rows, sum, _) = values.parts();
    fired(pane, key, Known { rows, sum: sum as i64, ..bytemuck::Zeroable::zeroed() })
}

/// Runs windows of this setting as workers do that combine their rows.
fn hold<A>(setting: &Setting, windows: Overlapping, rows: &A, steps: &[Step<Row>], choices: &[usize])
where
    A: WindowAggregate<u64, In = Row, Out = Fired>,
{
    assert!(rows.is_exact());
    let (settings, key_of): (_, fn(&Row) -> u64) = (StoreSettings::default(), |row| row.key);
    let whole = || OverlappingOperator::new(windows, key_of, rows.clone(), &settings);
    let mut expected = Expected::default();
    Verify::new(whole)
        .steps(steps.iter().copied())
        .against(|script| {
            expected = sums_of(model(setting, script));
            expected.clone()
        })
        .check();
    let tables = Arc::new(PartTables::new());
    let aggregating = || (key_of, rows.clone());
    let given = run_combined(
        steps,
        choices,
        |worker| PartOperator::overlapping(worker, windows, aggregating(), &settings, tables.clone()),
        || MergedOverlappingOperator::new(windows, rows.clone(), &settings, tables.clone()),
        whole,
    );
    same(&given, &expected);
}

#[test]
fn windows_that_overlap_fire_the_same_where_workers_combine_their_rows() {
    let choices = || prop::collection::vec(0usize..60, 1..9);
    proptest!(cases(300), |(kind in overlapping_kinds(), steps in steps(60), choices in choices())| {
        let setting = Setting::plain(kind);
        let Some(windows) = Overlapping::of(&setting.windows().0) else { return Ok(()) };
        hold(&setting, windows, &Rows::new(sums(), summed), &steps, &choices);
        hold(&setting, windows, &Rows::new(extremes(), extreme), &steps, &choices);
    });
}
