//! The rules of windows, one by one: what `operator/window/mod.rs` says, on inputs small enough to follow.

use crate::operator::aggregate::Rows;
use crate::operator::window::count::CountOperator;
use crate::operator::window::per_key::{PerKeyOperator, PerKeySettings};
use crate::testing::Verify;
use crate::{
    CountWindow, Cumulative, Global, Pane, Record, Session, Sliding, StoreSettings, Timing, Trigger, Tumbling, Window,
    Windows, count,
};
use Timing::{Early, Late, OnTime};
use std::time::Duration;

/// A firing, as a row.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Fired {
    start: i64,
    end: i64,
    number: u64,
    timing: u64,
    rows: u64,
    key: u64,
}

fn fired(pane: &Pane, key: &u64, rows: u64) -> Fired {
    let Pane { window: Window { start, end }, number, timing } = *pane;
    Fired { start: start.as_nanos(), end: end.as_nanos(), number, timing: timing as u64, rows, key: *key }
}

/// Window, number, timing and count of rows of the only key.
fn row(window: (i64, i64), number: u64, timing: Timing, rows: u64) -> Fired {
    Fired { start: window.0, end: window.1, number, timing: timing as u64, rows, key: 7 }
}

fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// Windows over rows that are their own keys.
fn windows(
    windows: impl Into<Windows<u64>>,
    trigger: Trigger<u64>,
    lateness: i64,
) -> Verify<Operator, impl Fn() -> Operator> {
    let settings = PerKeySettings { windows: windows.into(), trigger, lateness };
    let make = move || {
        let count = Rows::new(count::<u64>(), fired as fn(&Pane, &u64, u64) -> Fired);
        PerKeyOperator::new(settings.clone(), key_of as fn(&u64) -> u64, count, &StoreSettings::default())
    };
    Verify::new(make).keyed_by(|key: &u64| *key)
}

type Operator = PerKeyOperator<u64, fn(&u64) -> u64, Rows<crate::Count<u64>, fn(&Pane, &u64, u64) -> Fired>>;

fn key_of(key: &u64) -> u64 {
    *key
}

#[test]
fn sessions_that_overlap_or_touch_become_one_and_others_stay_apart() {
    windows(Session::gap(nanos(10)), Trigger::watermark(), 0)
        .row(0, 7)
        .row(10, 7)
        .row(21, 7)
        .row(5, 7)
        .end()
        .expect([(19, row((0, 20), 0, OnTime, 3)), (30, row((21, 31), 0, OnTime, 1))], [])
        .check();
}

#[test]
fn a_row_between_two_sessions_makes_one_of_them() {
    windows(Session::gap(nanos(10)), Trigger::watermark(), 0)
        .row(0, 7)
        .row(15, 7)
        .row(8, 7)
        .end()
        .expect([(24, row((0, 25), 0, OnTime, 3))], [])
        .check();
}

#[test]
fn windows_of_time_fire_when_the_watermark_reaches_their_last_nanosecond() {
    windows(Sliding::of(nanos(10), nanos(5)), Trigger::watermark(), 0)
        .row(6, 7)
        .watermark(8)
        .row(9, 7)
        .watermark(9)
        .row(10, 7)
        .watermark(13)
        .expect([(9, row((0, 10), 0, OnTime, 2))], [])
        .check();
    windows(Cumulative::of(nanos(10), nanos(5)), Trigger::watermark(), 0)
        .row(1, 7)
        .watermark(4)
        .row(5, 7)
        .watermark(9)
        .expect([(4, row((0, 5), 0, OnTime, 1)), (9, row((0, 10), 0, OnTime, 2))], [])
        .check();
}

#[test]
fn a_trigger_may_fire_early_at_each_multiple_of_a_period_from_the_first_row_on() {
    windows(Tumbling::of(nanos(30)), Trigger::watermark().early_every(nanos(8)), 0)
        .row(9, 7)
        .watermark(15)
        .watermark(16)
        .row(17, 7)
        .watermark(24)
        .watermark(29)
        .expect(
            [(29, row((0, 30), 0, Early, 1)), (29, row((0, 30), 1, Early, 2)), (29, row((0, 30), 2, OnTime, 2))],
            [],
        )
        .check();
}

#[test]
fn a_trigger_may_fire_early_at_each_so_many_rows() {
    windows(Tumbling::of(nanos(10)), Trigger::watermark().early_count(2), 0)
        .row(1, 7)
        .row(2, 7)
        .row(3, 7)
        .watermark(9)
        .expect([(9, row((0, 10), 0, Early, 2)), (9, row((0, 10), 1, OnTime, 3))], [])
        .check();
}

#[test]
fn a_trigger_may_fire_at_chosen_rows_and_counts_by_key() {
    windows(Tumbling::of(nanos(10)), Trigger::when(|key: &u64| *key == 7), 0)
        .row(1, 6)
        .row(2, 7)
        .watermark(9)
        .expect([(9, row((0, 10), 0, Early, 1))], [])
        .check();
}

#[test]
fn a_trigger_without_the_watermark_leaves_out_the_firing_on_time() {
    windows(Tumbling::of(nanos(10)), Trigger::count(2), 0)
        .row(1, 7)
        .row(2, 7)
        .row(3, 7)
        .end()
        .expect([(9, row((0, 10), 0, Early, 2))], [])
        .check();
}

#[test]
fn a_purging_trigger_gives_what_is_new_and_nothing_where_nothing_is() {
    windows(Tumbling::of(nanos(10)), Trigger::watermark().early_count(2).purging(), 0)
        .row(1, 7)
        .row(2, 7)
        .row(3, 7)
        .watermark(9)
        .row(11, 7)
        .row(12, 7)
        .watermark(19)
        .expect([(9, row((0, 10), 0, Early, 2)), (9, row((0, 10), 1, OnTime, 1)), (19, row((10, 20), 0, Early, 2))], [])
        .check();
}

#[test]
fn rows_behind_the_end_of_a_window_have_it_fire_again_at_once_until_the_allowed_lateness_is_over() {
    windows(Tumbling::of(nanos(10)), Trigger::watermark(), 5)
        .row(1, 7)
        .watermark(9)
        .behind(2, 7, 9)
        .behind(3, 7, 13)
        .behind(4, 7, 14)
        .expect(
            [(9, row((0, 10), 0, OnTime, 1)), (9, row((0, 10), 1, Late, 2)), (9, row((0, 10), 2, Late, 3))],
            [(4, 7)],
        )
        .check();
}

#[test]
fn a_row_that_is_late_for_some_windows_and_not_for_others_belongs_to_those() {
    windows(Sliding::of(nanos(10), nanos(5)), Trigger::watermark(), 0)
        .row(6, 7)
        .watermark(9)
        .behind(7, 7, 9)
        .watermark(14)
        .behind(8, 7, 14)
        .expect([(9, row((0, 10), 0, OnTime, 1)), (14, row((5, 15), 0, OnTime, 2))], [(8, 7)])
        .check();
}

#[test]
fn a_session_is_late_when_what_it_becomes_part_of_is() {
    // The row at 5 alone would be late at 20; with that at 14 it is part of a session that ends at 24.
    windows(Session::gap(nanos(10)), Trigger::watermark(), 0)
        .row(14, 7)
        .watermark(20)
        .behind(5, 7, 20)
        .behind(3, 6, 20)
        .end()
        .expect([(23, row((5, 24), 0, OnTime, 2))], [(3, 6)])
        .check();
}

#[test]
fn sessions_that_become_one_go_on_with_the_larger_of_their_numbers() {
    windows(Session::gap(nanos(10)), Trigger::watermark(), 30)
        .row(0, 7)
        .watermark(9)
        .behind(1, 7, 9)
        .row(20, 7)
        .behind(11, 7, 12)
        .end()
        .expect(
            [(9, row((0, 10), 0, OnTime, 1)), (10, row((0, 11), 1, OnTime, 2)), (29, row((0, 30), 2, OnTime, 4))],
            [],
        )
        .check();
}

#[test]
fn a_global_window_fires_as_its_trigger_says_and_its_results_have_the_time_of_what_has_it_fire() {
    let all = (i64::MIN, i64::MAX);
    windows(Global, Trigger::count(2), 0)
        .row(5, 7)
        .row(3, 7)
        .row(9, 7)
        .end()
        .expect([(3, row(all, 0, Early, 2))], [])
        .check();
    windows(Global, Trigger::each().early_every(nanos(10)), 0)
        .row(5, 7)
        .watermark(12)
        .expect([(5, row(all, 0, Early, 1)), (10, row(all, 1, Early, 1))], [])
        .check();
}

#[test]
fn a_count_window_has_a_keys_last_rows_and_the_time_of_the_last_one() {
    let windows = CountWindow::of(3).every(2);
    let make = move || CountOperator::new(windows, key_of, Rows::new(count::<u64>(), fired), &StoreSettings::default());
    Verify::new(make)
        .keyed_by(|key: &u64| *key)
        .row(5, 7)
        .row(4, 6)
        .row(3, 7)
        .row(8, 7)
        .row(6, 7)
        .end()
        .expect([(3, row((3, 6), 0, OnTime, 2)), (6, row((3, 7), 1, OnTime, 3))], [])
        .check();
}

#[test]
fn windows_of_one_time_leave_in_the_order_of_keys_and_then_of_windows() {
    let each = Trigger::watermark().early_every(nanos(9));
    windows(Sliding::of(nanos(20), nanos(10)), each, 0)
        .row(12, 8)
        .row(12, 7)
        .watermark(18)
        .expect(
            [
                (19, Fired { key: 7, ..row((0, 20), 0, Early, 1) }),
                (29, Fired { key: 7, ..row((10, 30), 0, Early, 1) }),
                (19, Fired { key: 8, ..row((0, 20), 0, Early, 1) }),
                (29, Fired { key: 8, ..row((10, 30), 0, Early, 1) }),
            ],
            [],
        )
        .check();
}
