//! Windows of each kind over all small scripts: every trigger and allowed lateness, and all there are of a few rows at a few
//! times, of two keys, with a watermark before each. `PELTON_ROWS` says how many rows a script has at most, and each script
//! then runs in all ways of the harness. Every day there are two rows, and the scripts take turns with the ways.

use super::super::{Row, at, campaign};
use super::model::{Facts, Kind, Setting, count_model, fired, model};
use super::{summed, sums, sums_of};
use crate::operator::aggregate::Rows;
use crate::operator::window::Kind as WindowKind;
use crate::operator::window::count::CountOperator;
use crate::operator::window::overlapping::{Overlapping, OverlappingOperator};
use crate::operator::window::sessions::SessionOperator;
use crate::operator::window::tumbling::TumblingOperator;
use crate::operator::window::updated::UpdatedOperator;
use crate::testing::{Script, Step, Verify};
use crate::{CountWindow, OperatorInput, StoreSettings, Timestamp};

const TIMES: [i64; 3] = [1, 2, 4];
/// The first one is that of a job that has just begun.
const WATERMARKS: [Timestamp; 3] = [Timestamp::MIN, at(2), at(4)];
/// Some that windows end with, and the allowed lateness as well.
const LATENESS: [i64; 2] = [0, 2];
/// Of all ways of the harness, those that a script runs in every day: one in so many.
const SHARE: usize = 13;
/// Of the rows of a script, in order.
const VALUES: [i64; 4] = [3, -5, 7, -11];

/// Calls `check` with all scripts that go on from these steps with up to `left` more rows.
fn all(steps: &mut Vec<Step<Row>>, reached: Timestamp, left: u32, check: &mut impl FnMut(&[Step<Row>])) {
    steps.push(Step::Watermark(Timestamp::MAX));
    check(steps);
    steps.pop();
    if left == 0 {
        return;
    }
    let number = steps.len();
    let (value, weight) = (VALUES[number % VALUES.len()], number as i64 % 3);
    for watermark in WATERMARKS.into_iter().filter(|watermark| *watermark >= reached) {
        for time in TIMES.map(at) {
            // The first key is as good as the second.
            for key in 0..if number == 0 { 1 } else { 2 } {
                steps.push(Step::Row { time, value: Row { value, weight, float: 0.0, key }, watermark });
                all(steps, watermark, left - 1, check);
                steps.pop();
            }
        }
    }
}

/// A script with its number, by which it takes turns with others.
#[derive(Clone, Copy)]
struct Turn<'a> {
    steps: &'a [Step<Row>],
    number: u64,
    share: usize,
}

/// All scripts, each with each of these.
fn run_all<T>(what: &str, settings: &[T], check: impl Fn(&T, Turn<'_>)) {
    let share = if std::env::var_os("PELTON_ROWS").is_some() { 1 } else { SHARE };
    let rows = campaign("PELTON_ROWS", 2);
    let mut number = 0;
    for setting in settings {
        all(&mut Vec::new(), Timestamp::MIN, rows, &mut |steps| {
            number += 1;
            check(setting, Turn { steps, number, share });
        });
    }
    println!("{number} small scripts of {what}; {} settings, {rows} rows", settings.len());
    // Without a row, and one at each of the times with each of the watermarks.
    assert!(number >= settings.len() as u64 * 10, "{number}");
}

/// All triggers, purging or not.
fn settings(kind: Kind) -> Vec<Setting> {
    let plain = Setting::plain(kind);
    let is_global = matches!(kind, Kind::Global);
    let plain = Setting { fires_at_end: !is_global, ..plain };
    let triggers = [
        plain,
        Setting { every: Some(2), ..plain },
        Setting { count: Some(2), ..plain },
        Setting { at_negative: true, ..plain },
        Setting { every: Some(2), count: Some(2), ..plain },
        Setting { every: Some(2), fires_at_end: false, ..plain },
        Setting { count: Some(2), fires_at_end: false, ..plain },
    ];
    // A global window needs a trigger, never fires by its end, and has no lateness.
    let triggers = if is_global { &triggers[1..5] } else { &triggers[..] };
    let lateness = if is_global { &LATENESS[..1] } else { &LATENESS[..] };
    let purging = triggers.iter().flat_map(|setting| [false, true].map(|purges| Setting { purges, ..*setting }));
    purging.flat_map(|setting| lateness.iter().map(move |&lateness| Setting { lateness, ..setting })).collect()
}

/// Holds an operator to a model over a script.
fn hold<Op, E>(
    make: impl Fn() -> Op,
    setting: &impl std::fmt::Debug,
    turn: Turn<'_>,
    model: impl FnOnce(&Script<Row>) -> E,
) where
    Op: OperatorInput<0, Row = Row>,
    Op::Outputs: crate::testing::Tested,
    E: Into<<Op::Outputs as crate::testing::Tested>::Rows>,
{
    let Turn { steps, number, share } = turn;
    let verify = Verify::new(make).keyed_by(|row: &Row| row.key).seed(number).share(share).steps(steps.iter().copied());
    if let Err(failure) = verify.against(model).result() {
        panic!("{setting:?}, {steps:?}: {failure}");
    }
}

/// Holds all operators to the model that may have such windows: the one that keeps windows by key, and the one that a job
/// would use.
fn hold_all(setting: &Setting, turn: Turn<'_>) {
    hold(|| setting.operator(Rows::new(Facts, fired)), setting, turn, |script| model(setting, script));
    let is_default = setting.fires_at_end
        && setting.every.is_none()
        && setting.count.is_none()
        && !setting.at_negative
        && !setting.purges;
    if !is_default {
        return;
    }
    let (stores, key_of, rows) = (StoreSettings::default(), |row: &Row| row.key, Rows::new(Facts, fired));
    let windows = setting.windows().0;
    let lateness = setting.lateness;
    match &windows {
        WindowKind::Tumbling(windows) if lateness == 0 => {
            let make = || TumblingOperator::new(*windows, key_of, rows.clone(), &stores);
            hold(make, setting, turn, |script| model(setting, script));
        }
        WindowKind::Tumbling(windows) => {
            let make = || UpdatedOperator::new((*windows, lateness), key_of, rows.clone(), &stores);
            hold(make, setting, turn, |script| model(setting, script));
        }
        WindowKind::Session(sessions) if lateness == 0 => {
            let make = || SessionOperator::new(sessions.clone(), key_of, rows.clone(), &stores);
            hold(make, setting, turn, |script| model(setting, script));
        }
        windows
            if lateness == 0
                && let Some(windows) = Overlapping::of(windows) =>
        {
            let make = || OverlappingOperator::new(windows, key_of, rows.clone(), &stores);
            hold(make, setting, turn, |script| model(setting, script));
            let summing = Rows::new(sums(), summed);
            let make = || OverlappingOperator::new(windows, key_of, summing.clone(), &stores);
            hold(make, setting, turn, |script| sums_of(model(setting, script)));
        }
        _ => {}
    }
}

#[test]
fn tumbling_windows_over_all_small_scripts() {
    run_all("tumbling windows", &settings(Kind::Tumbling(3, 0)), hold_all);
}

#[test]
fn sliding_windows_over_all_small_scripts() {
    run_all("sliding windows", &settings(Kind::Sliding(3, 2, 1)), hold_all);
}

#[test]
fn cumulative_windows_over_all_small_scripts() {
    run_all("cumulative windows", &settings(Kind::Cumulative(4, 2, 0)), hold_all);
}

#[test]
fn sessions_over_all_small_scripts() {
    run_all("sessions", &settings(Kind::Session(2)), hold_all);
}

#[test]
fn sessions_with_gaps_by_row_over_all_small_scripts() {
    run_all("sessions with gaps by row", &settings(Kind::SessionByRow), hold_all);
}

#[test]
fn global_windows_over_all_small_scripts() {
    run_all("global windows", &settings(Kind::Global), hold_all);
}

#[test]
fn count_windows_over_all_small_scripts() {
    let sizes = [(1, 1), (2, 2), (2, 1), (3, 3), (3, 2), (3, 1)];
    run_all("count windows", &sizes, |size, turn| {
        let windows = CountWindow::of(size.0).every(size.1);
        let (stores, key_of) = (StoreSettings::default(), |row: &Row| row.key);
        let make = || CountOperator::new(windows, key_of, Rows::new(Facts, fired), &stores);
        hold(make, size, turn, |script| count_model(*size, script));
        let summing = Rows::new(sums(), summed);
        let make = || CountOperator::new(windows, key_of, summing.clone(), &stores);
        hold(make, size, turn, |script| sums_of(count_model(*size, script)));
    });
}
