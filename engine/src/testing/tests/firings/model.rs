//! The model of windows: every row of every window of every key is kept, and everything is searched from the front.

use super::super::{Row, at};
use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::per_key::{PerKeyOperator, PerKeySettings};
use crate::testing::{Expected, Script, Step};
use crate::{
    Aggregate, CanonicalKey, Cumulative, Global, OperatorInput, Pane, Record, Session, Sliding, StoreSettings,
    Timestamp, Timing, Trigger, Tumbling, Window, Windows,
};
use std::time::Duration;

/// What a window knows of its rows.
#[derive(Clone)]
pub(super) struct Facts;

#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
pub(super) struct Known {
    pub(super) rows: u64,
    pub(super) sum: i64,
    pub(super) first_time: Timestamp,
    pub(super) first: i64,
    pub(super) last_time: Timestamp,
    pub(super) last: i64,
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
pub(super) struct Fired {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) key: u64,
    pub(super) number: u64,
    pub(super) timing: u64,
    pub(super) rows: u64,
    pub(super) sum: i64,
    pub(super) first_time: Timestamp,
    pub(super) first: i64,
    pub(super) last_time: Timestamp,
    pub(super) last: i64,
}

pub(super) fn fired(pane: &Pane, key: &u64, known: Known) -> Fired {
    let Pane { window: Window { start, end }, number, timing } = *pane;
    let Known { rows, sum, first_time, first, last_time, last } = known;
    Fired { start, end, key: *key, number, timing: timing as u64, rows, sum, first_time, first, last_time, last }
}

/// Windows and when they fire, so that both sides can be made of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) kind: Kind,
    pub(super) fires_at_end: bool,
    pub(super) every: Option<i64>,
    pub(super) count: Option<u64>,
    pub(super) at_negative: bool,
    pub(super) purges: bool,
    pub(super) lateness: i64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Tumbling(i64, i64),
    Sliding(i64, i64, i64),
    Cumulative(i64, i64, i64),
    Session(i64),
    SessionByRow,
    Global,
}

pub(super) fn nanos(nanos: i64) -> Duration {
    Duration::from_nanos(nanos as u64)
}

fn own_gap(row: &Row) -> i64 {
    1 + row.weight.rem_euclid(12)
}

impl Setting {
    /// Windows that fire once.
    pub(super) fn plain(kind: Kind) -> Self {
        Self { kind, fires_at_end: true, every: None, count: None, at_negative: false, purges: false, lateness: 0 }
    }

    pub(super) fn windows(&self) -> Windows<Row> {
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

    pub(super) fn operator<A>(&self, rows: A) -> impl OperatorInput<0, Row = Row, Outputs = (Fired, Row)> + use<A>
    where
        A: WindowAggregate<u64, In = Row, Out = Fired>,
    {
        let settings = PerKeySettings { windows: self.windows(), trigger: self.trigger(), lateness: self.lateness };
        PerKeyOperator::new(settings, |row: &Row| row.key, rows, &StoreSettings::default())
    }

    /// All windows of a time, found by walking from window to window.
    fn assign(&self, time: i64, row: &Row) -> Vec<(i64, i64)> {
        // No window that has the time is further away: steps, sizes and offsets are at most 48 altogether.
        let far = time.abs() + 64;
        let starts = |step: i64, offset: i64| (-far..far).map(move |number| number * step + offset);
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

pub(super) fn model(setting: &Setting, script: &Script<Row>) -> Expected<Fired, Row> {
    let mut model = Model { setting, script, open: Vec::new(), expected: Expected::default() };
    for step in script.steps() {
        match *step {
            Step::Row { time, value, watermark } => model.row(time.as_nanos(), value, watermark.as_nanos()),
            Step::Watermark(watermark) => model.advance(watermark.as_nanos()),
        }
    }
    model.expected
}

pub(super) fn count_model(windows: (u64, u64), script: &Script<Row>) -> Expected<Fired, Row> {
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
