//! Windows that fire early at periods of processing time, against a loop over rows and ticks.

use super::joins::{Item, pairs};
use super::ticks::{Ticked, ticked};
use super::{at, cases};
use crate::operator::aggregate::Rows;
use crate::operator::keyed::Tick;
use crate::operator::window::per_key::{PerKeyOperator, PerKeySettings};
use crate::testing::{Script, Side, Step, Verify};
use crate::{
    Global, OperatorInput, Pane, Record, Sliding, StoreSettings, Timestamp, Timing, Trigger, Tumbling, Windows, count,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A result.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Fired {
    key: u64,
    start: Timestamp,
    count: u64,
    number: u64,
    timing: u64,
}

fn fired(pane: &Pane, key: &u64, count: u64) -> Fired {
    let timing = match pane.timing {
        Timing::Early => 0,
        Timing::OnTime => 1,
        Timing::Late => 2,
    };
    Fired { key: *key, start: pane.window.start, count, number: pane.number, timing }
}

#[derive(Debug, Clone, Copy)]
struct Setting {
    /// The size of windows, or none for the global one.
    size: Option<i64>,
    /// Sliding by this, where not by the size.
    slide: i64,
    period: i64,
    purges: bool,
    lateness: i64,
}

fn settings() -> impl Strategy<Value = Setting> {
    (prop::option::weighted(0.8, (1i64..5, 1i64..4)), 1i64..12, any::<bool>(), 0i64..6).prop_map(
        |(windows, period, purges, lateness)| Setting {
            size: windows.map(|(slide, slides)| slide * slides * 2),
            slide: windows.map_or(1, |(slide, _)| slide * 2),
            period,
            purges,
            lateness: if windows.is_some() { lateness } else { 0 },
        },
    )
}

fn nanos(nanos: i64) -> Duration {
    Duration::from_nanos(nanos as u64)
}

impl Setting {
    fn operator(self) -> impl OperatorInput<0, Row = Item, Outputs = (Fired, Item)> + OperatorInput<1, Row = Tick> {
        let windows: Windows<Item> = match self.size {
            Some(size) if size == self.slide => Tumbling::of(nanos(size)).into(),
            Some(size) => Sliding::of(nanos(size), nanos(self.slide)).into(),
            None => Global.into(),
        };
        // A window without an end has none to fire at.
        let trigger = if self.size.is_some() { Trigger::watermark() } else { Trigger::when(|_| false) };
        let trigger = trigger.early_every_processing(nanos(self.period));
        let trigger = if self.purges { trigger.purging() } else { trigger };
        let settings = PerKeySettings { windows, trigger, lateness: self.lateness };
        let key_of: fn(&Item) -> u64 = |item| item.key;
        PerKeyOperator::new(settings, key_of, Rows::new(count(), fired), &StoreSettings::default())
    }

    /// The spans of the windows that have a time.
    fn windows(self, time: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let Some(size) = self.size else { return vec![(Timestamp::MIN, Timestamp::MAX)] };
        let starts = (time.as_nanos() - size + 1..=time.as_nanos()).filter(|start| start.rem_euclid(self.slide) == 0);
        starts.map(|start| (at(start), at(start + size))).collect()
    }
}

/// What is known of a window of a key.
#[derive(Default)]
struct Open {
    rows: u64,
    fired: u64,
    is_over: bool,
}

type Main = Vec<(Timestamp, Fired)>;

struct Plain {
    setting: Setting,
    /// By key and span.
    open: BTreeMap<(u64, (Timestamp, Timestamp)), Open>,
    multiples: BTreeSet<(i64, u64)>,
    now: Timestamp,
    main: Main,
}

impl Plain {
    fn fire(&mut self, (key, span): (u64, (Timestamp, Timestamp)), timing: u64, global_time: Timestamp) {
        let open = self.open.get_mut(&(key, span)).unwrap();
        if open.rows == 0 {
            return;
        }
        let time = if self.setting.size.is_some() { span.1.minus_nanos(1) } else { global_time };
        self.main.push((time, Fired { key, start: span.0, count: open.rows, number: open.fired, timing }));
        open.fired += 1;
        if self.setting.purges {
            open.rows = 0;
        }
    }

    /// The next multiple of the period.
    fn await_tick(&mut self, key: u64) {
        let (now, period) = (self.now.as_nanos(), self.setting.period);
        self.multiples.insert((now.saturating_sub(now.rem_euclid(period)).saturating_add(period), key));
    }

    fn watermark(&mut self, watermark: Timestamp) {
        let ends = self.open.iter().filter(|((_, span), open)| !open.is_over && span.1.minus_nanos(1) <= watermark);
        let mut due: Vec<_> = ends.map(|(id, _)| *id).collect();
        // Nothing ends a window without an end.
        due.retain(|_| self.setting.size.is_some());
        due.sort_by_key(|(key, span)| (span.1, *key, span.0));
        for id in due {
            self.fire(id, 1, watermark);
            self.open.get_mut(&id).unwrap().is_over = true;
        }
        let lateness = self.setting.lateness;
        let is_global = self.setting.size.is_none();
        self.open.retain(|(_, span), _| is_global || span.1.minus_nanos(1).plus_nanos(lateness) > watermark);
    }

    fn row(&mut self, time: Timestamp, item: Item, watermark: Timestamp) -> bool {
        let is_kept = |span: &(Timestamp, Timestamp)| {
            self.setting.size.is_none() || span.1.minus_nanos(1).plus_nanos(self.setting.lateness) > watermark
        };
        let spans: Vec<_> = self.setting.windows(time).into_iter().filter(is_kept).collect();
        for &span in &spans {
            let is_over = self.setting.size.is_some() && span.1.minus_nanos(1) <= watermark;
            let open = self.open.entry((item.key, span)).or_default();
            open.rows += 1;
            open.is_over = is_over;
            if is_over {
                self.fire((item.key, span), 2, time);
            } else {
                self.await_tick(item.key);
            }
        }
        spans.is_empty()
    }

    fn tick(&mut self, tick: Tick, watermark: Timestamp) {
        self.now = self.now.max(tick.now);
        while let Some((_, key)) = self.multiples.first().copied().filter(|(time, _)| *time <= self.now.as_nanos()) {
            self.multiples.pop_first();
            let all = self.open.iter().filter(|((of, _), open)| *of == key && !open.is_over);
            let all: Vec<_> = all.map(|(id, _)| *id).collect();
            for &id in &all {
                self.fire(id, 0, watermark.plus_nanos(1));
            }
            if !all.is_empty() {
                self.await_tick(key);
            }
        }
    }
}

fn model(setting: Setting, script: &Script<Ticked>) -> (Main, Vec<(Timestamp, Item)>) {
    let (open, multiples) = (BTreeMap::new(), BTreeSet::new());
    let mut plain = Plain { setting, open, multiples, now: Timestamp::MIN, main: Vec::new() };
    let mut late = Vec::new();
    for step in script.steps().iter().copied().chain([Step::Watermark(script.reached())]) {
        let (Step::Row { watermark, .. } | Step::Watermark(watermark)) = step;
        plain.watermark(watermark);
        match step {
            Step::Row { value: Side::Right(tick), .. } => plain.tick(tick, watermark),
            Step::Row { value: Side::Left(item), time, .. } => {
                if plain.row(time, item, watermark) {
                    late.push((time, item));
                }
            }
            Step::Watermark(_) => {}
        }
    }
    (plain.main, late)
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn windows_fire_at_ticks_as_in_a_loop_over_rows_and_ticks(
        setting in settings(),
        steps in pairs(60),
        seed: u64,
    ) {
        let verify = Verify::two(|| setting.operator()).left_keyed_by(|item: &Item| item.key).seed(seed);
        let verdict = verify.steps(ticked(steps)).against(|script| model(setting, script));
        verdict.result().map_err(|failure| TestCaseError::fail(failure.to_string()))?;
    }
}

#[test]
fn a_tick_fires_the_windows_of_keys_that_have_not_ended_once() {
    let setting = Setting { size: Some(10), slide: 10, period: 100, purges: false, lateness: 50 };
    let item = |key| Item { key, number: 0, is_right: 0 };
    let tick = |now| Tick { now: at(now) };
    let timed = |rows: [(i64, Fired); 8]| rows.map(|(time, row)| (at(time), row)).to_vec();
    let result =
        |time: i64, key, count, number, timing| (time, Fired { key, start: at(time - 9), count, number, timing });
    Verify::two(|| setting.operator())
        .left_keyed_by(|item: &Item| item.key)
        .right(1, tick(30))
        .left(2, item(7))
        .left(3, item(5))
        .left(12, item(5))
        // Not yet; then at once for several multiples, in the order of keys and windows.
        .right(12, tick(99))
        .right(12, tick(350))
        .left(4, item(5))
        .right(12, tick(399))
        // The first windows have ended: what is late has them fire at once, and ticks do not.
        .watermark(9)
        .left_behind(5, item(5), 9)
        .right(20, tick(400))
        .end()
        .against(|_| {
            (
                timed([
                    result(9, 5, 1, 0, 0),
                    result(19, 5, 1, 0, 0),
                    result(9, 7, 1, 0, 0),
                    result(9, 5, 2, 1, 1),
                    result(9, 7, 1, 1, 1),
                    result(9, 5, 3, 2, 2),
                    result(19, 5, 1, 1, 0),
                    result(19, 5, 1, 2, 1),
                ]),
                Vec::new(),
            )
        })
        .check();
}
