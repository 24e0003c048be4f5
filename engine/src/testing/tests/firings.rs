//! Windows of all kinds, with triggers and allowed lateness, against a model that keeps every row.

use super::{Row, at, cases, steps};
use crate::operator::aggregate::Rows;
use crate::operator::window::count::CountOperator;
use crate::operator::window::overlapping::{Overlapping, OverlappingOperator};
use crate::operator::window::per_key::{PerKeyOperator, PerKeySettings};
use crate::operator::window::updated::UpdatedOperator;
use crate::testing::{Expected, Script, Step, Verify};
use crate::{
    Aggregate, CanonicalKey, CountWindow, Cumulative, Global, OperatorInput, Pane, Record, Session, Sliding,
    StoreSettings, Timestamp, Timing, Trigger, Tumbling, Tuple2, Window, Windows, count, sum,
};
use proptest::prelude::*;
use std::time::Duration;

/// What a window knows of its rows.
#[derive(Clone)]
struct Facts;

#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Known {
    rows: u64,
    sum: i64,
    first_time: Timestamp,
    first: i64,
    last_time: Timestamp,
    last: i64,
}

impl Aggregate for Facts {
    type In = Row;
    type Acc = Known;
    type Value = Known;

    fn add(&self, acc: &mut Known, time: Timestamp, row: &Row) {
        let value = row.value;
        let (first_time, last_time) = (time, time);
        self.merge(acc, &Known { rows: 1, sum: value, first_time, first: value, last_time, last: value });
    }

    fn merge(&self, acc: &mut Known, later: &Known) {
        if acc.rows == 0 {
            *acc = *later;
            return;
        }
        acc.rows += later.rows;
        acc.sum = acc.sum.wrapping_add(later.sum);
        if later.first_time < acc.first_time {
            (acc.first_time, acc.first) = (later.first_time, later.first);
        }
        if later.last_time >= acc.last_time {
            (acc.last_time, acc.last) = (later.last_time, later.last);
        }
    }

    fn value(&self, acc: &Known) -> Known {
        *acc
    }
}

/// A firing, as a row.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Fired {
    start: Timestamp,
    end: Timestamp,
    key: u64,
    number: u64,
    timing: u64,
    rows: u64,
    sum: i64,
    first_time: Timestamp,
    first: i64,
    last_time: Timestamp,
    last: i64,
}

fn fired(pane: &Pane, key: &u64, known: Known) -> Fired {
    let Pane { window: Window { start, end }, number, timing } = *pane;
    let Known { rows, sum, first_time, first, last_time, last } = known;
    Fired { start, end, key: *key, number, timing: timing as u64, rows, sum, first_time, first, last_time, last }
}

/// Windows and when they fire, so that both sides can be made of it.
#[derive(Debug, Clone, Copy)]
struct Setting {
    kind: Kind,
    fires_at_end: bool,
    every: Option<i64>,
    count: Option<u64>,
    at_negative: bool,
    purges: bool,
    lateness: i64,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Tumbling(i64, i64),
    Sliding(i64, i64, i64),
    Cumulative(i64, i64, i64),
    Session(i64),
    SessionByRow,
    Global,
}

fn nanos(nanos: i64) -> Duration {
    Duration::from_nanos(nanos as u64)
}

fn own_gap(row: &Row) -> i64 {
    1 + row.weight.rem_euclid(12)
}

impl Setting {
    /// Windows that fire once.
    fn plain(kind: Kind) -> Self {
        Self { kind, fires_at_end: true, every: None, count: None, at_negative: false, purges: false, lateness: 0 }
    }

    fn windows(&self) -> Windows<Row> {
        match self.kind {
            Kind::Tumbling(size, offset) => Tumbling::of(nanos(size)).offset(nanos(offset)).into(),
            Kind::Sliding(size, slide, offset) => Sliding::of(nanos(size), nanos(slide)).offset(nanos(offset)).into(),
            Kind::Cumulative(size, step, offset) => {
                Cumulative::of(nanos(size), nanos(step)).offset(nanos(offset)).into()
            }
            Kind::Session(gap) => Session::gap(nanos(gap)).into(),
            Kind::SessionByRow => Session::gap_by(|row| nanos(own_gap(row))).into(),
            Kind::Global => Global.into(),
        }
    }

    fn trigger(&self) -> Trigger<Row> {
        Trigger {
            fires_at_end: self.fires_at_end,
            every: self.every,
            count: self.count,
            ..if self.at_negative { Trigger::when(|row: &Row| row.value < 0) } else { Trigger::watermark() }
        }
        .purging_if(self.purges)
    }

    fn operator(&self) -> impl OperatorInput<0, Row = Row, Outputs = (Fired, Row)> + use<> {
        let settings = PerKeySettings { windows: self.windows(), trigger: self.trigger(), lateness: self.lateness };
        PerKeyOperator::new(settings, |row: &Row| row.key, Rows::new(Facts, fired), &StoreSettings::default())
    }

    /// All windows of a time, found by walking from window to window.
    fn assign(&self, time: i64, row: &Row) -> Vec<(i64, i64)> {
        // No time of a script is further away.
        let starts = |step: i64, offset: i64| (-1_000..1_000).map(move |number| number * step + offset);
        let all: Vec<(i64, i64)> = match self.kind {
            Kind::Tumbling(size, offset) => starts(size, offset).map(|start| (start, start + size)).collect(),
            Kind::Sliding(size, slide, offset) => starts(slide, offset).map(|start| (start, start + size)).collect(),
            Kind::Cumulative(size, step, offset) => {
                let ends = |start| (1..=size / step).map(move |number| (start, start + number * step));
                starts(size, offset).flat_map(ends).collect()
            }
            Kind::Session(gap) => vec![(time, time + gap)],
            Kind::SessionByRow => vec![(time, time + own_gap(row))],
            Kind::Global => vec![(i64::MIN, i64::MAX)],
        };
        all.into_iter().filter(|(start, end)| (*start..*end).contains(&time)).collect()
    }

    const fn merges(&self) -> bool {
        matches!(self.kind, Kind::Session(_) | Kind::SessionByRow)
    }
}

impl Trigger<Row> {
    fn purging_if(self, purges: bool) -> Self {
        if purges { self.purging() } else { self }
    }
}

/// A window of a key with all its rows.
#[derive(Debug, Clone)]
struct Open {
    key: u64,
    start: i64,
    end: i64,
    rows: Vec<(i64, Row)>,
    fresh: u64,
    fired: u64,
    is_over: bool,
    early: Option<i64>,
}

/// One row after the other, one time after the other, everything searched from the front.
struct Model<'a> {
    setting: &'a Setting,
    script: &'a Script<Row>,
    open: Vec<Open>,
    expected: Expected<Fired, Row>,
}

fn multiple_behind(time: i64, period: i64) -> i64 {
    (time - period..=time + period).find(|multiple| multiple.rem_euclid(period) == 0 && *multiple > time).unwrap()
}

impl Model<'_> {
    /// Fires a window: its result has the time of the window's last nanosecond, or that of what has it fire.
    fn fire(&mut self, number: usize, timing: Timing, cause: i64) {
        let open = &mut self.open[number];
        let purges = self.setting.purges;
        if open.rows.is_empty() {
            return;
        }
        let mut known: Known = bytemuck::Zeroable::zeroed();
        known.rows = open.rows.len() as u64;
        known.sum = open.rows.iter().fold(0, |sum, row| sum.wrapping_add(row.1.value));
        let first = open.rows.iter().min_by_key(|row| row.0).unwrap();
        let last = open.rows.iter().max_by_key(|row| row.0).unwrap();
        (known.first_time, known.first) = (at(first.0), first.1.value);
        (known.last_time, known.last) = (at(last.0), last.1.value);
        let window = Window { start: at(open.start), end: at(open.end) };
        let row = fired(&Pane { window, number: open.fired, timing }, &open.key, known);
        let time = if matches!(self.setting.kind, Kind::Global) { cause } else { open.end - 1 };
        open.fired += 1;
        open.fresh = 0;
        if purges {
            open.rows.clear();
        }
        self.expected.main.push((at(time), row));
    }

    /// Does all that is due up to a watermark, in order of time, key and window.
    fn advance(&mut self, watermark: i64) {
        let lateness = self.setting.lateness;
        let is_endless = matches!(self.setting.kind, Kind::Global);
        loop {
            let due = |open: &Open| {
                let last = open.end - 1;
                let last = if open.is_over { last.saturating_add(lateness) } else { last };
                let last = if is_endless { i64::MAX } else { last };
                last.min(open.early.unwrap_or(i64::MAX))
            };
            let symbols = self.script.symbols();
            let order = |open: &Open| (due(open), CanonicalKey::of(&open.key, symbols), open.start, open.end);
            let dues = self.open.iter().enumerate().filter(|(_, open)| due(open) <= watermark);
            let dues = dues.filter(|(_, open)| !is_endless || open.early.is_some());
            let Some((number, time)) = dues.min_by_key(|(_, open)| order(open)).map(|(i, open)| (i, due(open))) else {
                return;
            };
            let open = &mut self.open[number];
            let is_early = open.early == Some(time);
            if is_early {
                open.early = None;
            }
            let (was_over, last) = (open.is_over, open.end - 1);
            if time == last && !was_over {
                open.is_over = true;
                if self.setting.fires_at_end || is_early {
                    self.fire(number, Timing::OnTime, time);
                }
                if lateness == 0 {
                    self.open.remove(number);
                }
            } else if was_over {
                self.open.remove(number);
            } else {
                self.fire(number, Timing::Early, time);
                let open = &mut self.open[number];
                let next = multiple_behind(time, self.setting.every.unwrap()).min(open.end - 1);
                open.early = (!is_endless || watermark < i64::MAX).then_some(next);
            }
        }
    }

    fn row(&mut self, time: i64, row: Row, watermark: i64) {
        self.advance(watermark);
        let Setting { lateness, every, count, at_negative, fires_at_end, .. } = *self.setting;
        let mut is_late = true;
        for (mut start, mut end) in self.setting.assign(time, &row) {
            let mut met: Vec<usize> = Vec::new();
            for (number, open) in self.open.iter().enumerate().filter(|(_, open)| open.key == row.key) {
                let touches = open.start <= end && start <= open.end;
                if if self.setting.merges() { touches } else { (open.start, open.end) == (start, end) } {
                    met.push(number);
                }
            }
            for open in met.iter().map(|number| &self.open[*number]) {
                (start, end) = (start.min(open.start), end.max(open.end));
            }
            if (end - 1).saturating_add(lateness) <= watermark {
                continue;
            }
            is_late = false;
            met.sort_by_key(|number| self.open[*number].start);
            let parts: Vec<Open> = met.iter().map(|number| self.open[*number].clone()).collect();
            let mut number = 0;
            self.open.retain(|_| {
                number += 1;
                !met.contains(&(number - 1))
            });
            let mut whole = Open {
                key: row.key,
                start,
                end,
                rows: parts.iter().flat_map(|part| part.rows.clone()).collect(),
                fresh: parts.iter().map(|part| part.fresh).sum(),
                fired: parts.iter().map(|part| part.fired).max().unwrap_or(0),
                is_over: end - 1 <= watermark,
                early: parts.iter().filter_map(|part| part.early).min(),
            };
            whole.rows.push((time, row));
            whole.fresh += 1;
            if let (Some(period), None, false) = (every, whole.early, whole.is_over) {
                whole.early = Some(multiple_behind(time.max(watermark), period).min(end - 1));
            }
            let fires = (whole.is_over && fires_at_end)
                || count.is_some_and(|count| whole.fresh >= count)
                || (at_negative && row.value < 0);
            let timing = if whole.is_over { Timing::Late } else { Timing::Early };
            self.open.push(whole);
            if fires {
                self.fire(self.open.len() - 1, timing, time);
            }
        }
        if is_late {
            self.expected.late.push((at(time), row));
        }
    }
}

fn model(setting: &Setting, script: &Script<Row>) -> Expected<Fired, Row> {
    let mut model = Model { setting, script, open: Vec::new(), expected: Expected::default() };
    for step in script.steps() {
        match *step {
            Step::Row { time, value, watermark } => model.row(time.as_nanos(), value, watermark.as_nanos()),
            Step::Watermark(watermark) => model.advance(watermark.as_nanos()),
        }
    }
    model.expected
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1i64..40, 0i64..9).prop_map(|(size, offset)| Kind::Tumbling(size, offset)),
        (1i64..40, 1i64..40, 0i64..9).prop_map(|(a, b, offset)| Kind::Sliding(
            a.max(b),
            a.min(b).max(a.max(b) / 6 + 1),
            offset
        )),
        (1i64..9, 1i64..6, 0i64..9).prop_map(|(step, steps, offset)| Kind::Cumulative(step * steps, step, offset)),
        (1i64..20).prop_map(Kind::Session),
        Just(Kind::SessionByRow),
        Just(Kind::Global),
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

#[test]
fn windows_of_all_kinds_fire_as_a_model_that_keeps_every_row() {
    proptest!(cases(400), |(setting in settings(), steps in steps(40))| {
        let verify = Verify::new(|| setting.operator()).keyed_by(|row: &Row| row.key).seed(steps.len() as u64);
        if let Err(failure) = verify.steps(steps.iter().copied()).against(|script| model(&setting, script)).result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    });
}

#[test]
fn windows_that_share_slices_fire_as_if_each_had_its_own_rows() {
    proptest!(cases(400), |(kind in kinds(), steps in steps(50))| {
        let setting = Setting::plain(kind);
        let Some(windows) = Overlapping::of(&setting.windows().0) else { return Ok(()) };
        let (settings, key_of) = (StoreSettings::default(), |row: &Row| row.key);
        let operator = || OverlappingOperator::new(windows, key_of, Rows::new(Facts, fired), &settings);
        let verify = Verify::new(operator).keyed_by(key_of).seed(steps.len() as u64).steps(steps.iter().copied());
        if let Err(failure) = verify.against(|script| model(&setting, script)).result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    });
}

#[test]
fn tumbling_windows_that_late_rows_update_fire_as_a_model_that_keeps_every_row() {
    proptest!(cases(400), |(size in 1i64..40, offset in 0i64..9, lateness in 1i64..40, steps in steps(50))| {
        let setting = Setting { lateness, ..Setting::plain(Kind::Tumbling(size, offset)) };
        let windows = Tumbling::of(nanos(size)).offset(nanos(offset));
        let (settings, key_of) = (StoreSettings::default(), |row: &Row| row.key);
        let operator = || UpdatedOperator::new((windows, lateness), key_of, Rows::new(Facts, fired), &settings);
        let verify = Verify::new(operator).keyed_by(key_of).seed(steps.len() as u64).steps(steps.iter().copied());
        if let Err(failure) = verify.against(|script| model(&setting, script)).result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    });
}

/// What is told where there are sums alone.
fn summed(pane: &Pane, key: &u64, sums: Tuple2<u64, i128>) -> Fired {
    let (rows, sum) = sums.parts();
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
    proptest!(cases(400), |(kind in kinds(), steps in steps(50))| {
        let setting = Setting::plain(kind);
        let Some(windows) = Overlapping::of(&setting.windows().0) else { return Ok(()) };
        let (settings, key_of) = (StoreSettings::default(), |row: &Row| row.key);
        let sums = (count(), sum(|row: &Row| row.value));
        let operator = || OverlappingOperator::new(windows, key_of, Rows::new(sums.clone(), summed), &settings);
        let verify = Verify::new(operator).keyed_by(key_of).seed(steps.len() as u64).steps(steps.iter().copied());
        let verdict = verify.against(|script| sums_of(model(&setting, script)));
        if let Err(failure) = verdict.result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    });
}

fn count_model(windows: (u64, u64), script: &Script<Row>) -> Expected<Fired, Row> {
    let (size, slide) = windows;
    let mut rows: Vec<(i64, Row)> = Vec::new();
    let mut expected = Expected::default();
    for step in script.steps() {
        let Step::Row { time, value, .. } = *step else { continue };
        rows.push((time.as_nanos(), value));
        let own: Vec<_> = rows.iter().filter(|row| row.1.key == value.key).collect();
        let count = own.len() as u64;
        if count.is_multiple_of(slide) {
            let own = &own[count.saturating_sub(size) as usize..];
            let mut known = bytemuck::Zeroable::zeroed();
            own.iter().for_each(|(time, row)| Facts.add(&mut known, at(*time), row));
            let (first, last) = (own[0].0, own[own.len() - 1].0);
            let window = Window { start: at(first.min(last)), end: at(first.max(last) + 1) };
            let pane = Pane { window, number: count / slide - 1, timing: Timing::OnTime };
            expected.main.push((time, fired(&pane, &value.key, known)));
        }
    }
    expected
}

#[test]
fn count_windows_have_the_last_rows_of_a_key() {
    proptest!(cases(200), |(size in 1u64..9, slide in 1u64..9, steps in steps(60))| {
        let (size, slide) = (size.max(slide), size.min(slide));
        let windows = CountWindow::of(size).every(slide);
        let operator = || {
            CountOperator::new(windows, |row: &Row| row.key, Rows::new(Facts, fired), &StoreSettings::default())
        };
        let verify = Verify::new(operator).keyed_by(|row: &Row| row.key).seed(size).steps(steps.iter().copied());
        if let Err(failure) = verify.against(|script| count_model((size, slide), script)).result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    });
}

#[test]
fn count_windows_that_take_slices_off_have_the_last_rows_of_a_key() {
    proptest!(cases(200), |(size in 1u64..9, slide in 1u64..9, steps in steps(60))| {
        let (size, slide) = (size.max(slide), size.min(slide));
        let windows = CountWindow::of(size).every(slide);
        let rows = Rows::new((count(), sum(|row: &Row| row.value)), summed);
        let operator = || CountOperator::new(windows, |row: &Row| row.key, rows.clone(), &StoreSettings::default());
        let verify = Verify::new(operator).keyed_by(|row: &Row| row.key).seed(size).steps(steps.iter().copied());
        let verdict = verify.against(|script| sums_of(count_model((size, slide), script)));
        if let Err(failure) = verdict.result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    });
}
