//! Operators that choose one row of several: samples of periods, and the last rows of bursts.

use super::*;
use crate::operator::aggregate::Rows;
use crate::operator::library::debounce::debounce;
use crate::operator::library::sample::OneRow;
use crate::operator::window::per_key::{PerKeyOperator, PerKeySettings};
use crate::testing::{self, Expected, model, windowed};
use crate::{Pane, Trigger, Tumbling, Window, Windowed};

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn samples_are_the_first_and_last_rows_of_each_period(
        steps in scripts(40), seed: u64, period in 1i64..12, is_last: bool,
    ) {
        hold(|| sample(period, is_last), (steps, seed), |script| sampled(script, period, is_last))?;
    }

    #[test]
    fn settled_rows_are_the_last_ones_of_bursts(steps in scripts(40), seed: u64, quiet in 1i64..8) {
        hold(|| settling(quiet), (steps, seed), |script| settled(script, quiet))?;
    }
}

#[test]
fn all_small_inputs_are_sampled_as_the_models_say() {
    for is_last in [false, true] {
        BY_TIME.hold(true, || sample(2, is_last), |script| sampled(script, 2, is_last));
    }
    for quiet in [1, 2] {
        BY_TIME.hold(true, || settling(quiet), |script| settled(script, quiet));
    }
}

fn sample(
    period: i64,
    is_last: bool,
) -> impl OperatorInput<0, Row = Reading, Outputs = (Windowed<u64, Reading>, Reading)> {
    let aggregate = if is_last { OneRow::last() } else { OneRow::first() };
    testing::tumbling(Tumbling::of(nanos(period)), KEY, aggregate)
}

fn sampled(script: &Script<Reading>, period: i64, is_last: bool) -> Expected<Windowed<u64, Reading>, Reading> {
    let assign = |time: Timestamp| {
        let start = time.as_nanos().div_euclid(period) * period;
        Window { start: at(start), end: at(start + period) }
    };
    model::tumbling(script, assign, KEY, |window, key, rows| {
        let mut rows = rows.to_vec();
        // Rows of equal time stay as they came.
        rows.sort_by_key(|(time, _)| *time);
        let row = if is_last { rows.last() } else { rows.first() };
        windowed(window, *key, row.unwrap().1)
    })
}

type Settling = PerKeyOperator<u64, fn(&Reading) -> u64, Rows<OneRow<Reading>, fn(&Pane, &u64, Reading) -> Reading>>;

fn settling(quiet: i64) -> Settling {
    let (windows, aggregate) = debounce(nanos(quiet));
    let settings = PerKeySettings { windows, trigger: Trigger::watermark(), lateness: 0 };
    let row: fn(&Pane, &u64, Reading) -> Reading = |_, _, row| row;
    PerKeyOperator::new(settings, KEY, Rows::new(aggregate, row), &StoreSettings::default())
}

/// The rows of a burst in the job's order, with their times in nanoseconds.
type Burst = Vec<(i64, Reading)>;

fn end(burst: &Burst, quiet: i64) -> i64 {
    burst.iter().map(|(time, _)| *time).max().unwrap() + quiet - 1
}

fn settled(script: &Script<Reading>, quiet: i64) -> Expected<Reading, Reading> {
    let (mut bursts, mut expected) = (Vec::<Burst>::new(), Expected::default());
    for step in script.steps() {
        let (Step::Row { watermark, .. } | Step::Watermark(watermark)) = *step;
        let (mut over, open): (Vec<Burst>, Vec<Burst>) =
            bursts.into_iter().partition(|burst| end(burst, quiet) <= watermark.as_nanos());
        bursts = open;
        over.sort_by_key(|burst| (end(burst, quiet), burst[0].1.key));
        for burst in over {
            // The last one of those with the largest time.
            let (_, row) = burst.iter().max_by_key(|(time, _)| *time).unwrap();
            expected.main.push((at(end(&burst, quiet)), *row));
        }
        let Step::Row { time, value, watermark } = *step else { continue };
        let nanos = time.as_nanos();
        let (near, far): (Vec<Burst>, Vec<Burst>) = bursts.into_iter().partition(|burst| {
            burst[0].1.key == value.key && burst.iter().any(|(other, _)| (other - nanos).abs() <= quiet)
        });
        bursts = far;
        let mut burst: Burst = near.concat();
        burst.push((nanos, value));
        burst.sort_by_key(|(_, row)| row.number);
        if end(&burst, quiet) <= watermark.as_nanos() {
            expected.late.push((time, value));
        } else {
            bursts.push(burst);
        }
    }
    expected
}

#[test]
fn a_burst_leaves_its_last_row_once_its_key_was_quiet_and_rows_in_between_join_two() {
    let row = |number| reading(1, number);
    Verify::new(|| settling(5))
        .keyed_by(KEY)
        .row(10, row(0))
        .row(20, row(1))
        .row(20, row(2))
        .row(15, row(3))
        .watermark(23)
        // 20 and 25 are no further apart than 5.
        .row(25, row(4))
        .row(40, row(5))
        .watermark(29)
        .behind(24, row(6), 29)
        .end()
        .expect([(29, row(4)), (44, row(5))], [(24, row(6))])
        .check();
}

#[test]
fn of_rows_of_equal_time_the_first_or_the_last_in_the_jobs_order_is_sampled() {
    let row = |number| reading(1, number);
    let window = Window { start: at(0), end: at(10) };
    for (is_last, number) in [(false, 1), (true, 2)] {
        Verify::new(|| sample(10, is_last))
            .row(5, row(0))
            .row(3, row(1))
            .row(7, row(9))
            .row(3, row(4))
            .row(7, row(2))
            .behind(8, row(8), 9)
            .end()
            .expect([(9, windowed(window, 1, row(number)))], [(8, row(8))])
            .check();
    }
}
