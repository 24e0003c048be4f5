//! Aggregates of the rows around each row against all pairs.

use super::{Joined, LEFT, Sinks, assert_joined, uneven};
use pelton::{Error, Interval, Job, Options, ShapeError, Source, VecSource, Watermarks, fold, push, quantile};
use pelton_tests::events::{Row, Sample};
use pelton_tests::rng::Rng;
use pelton_tests::running::{DEADLINE, finish, push_in_pieces};
use pelton_tests::slow::{Placed, placed, watermark};
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
struct How {
    bound: i64,
    lower: i64,
    upper: i64,
}

/// What is told of right rows, in their order.
fn told(seen: i64, row: &Sample) -> i64 {
    seen.wrapping_mul(31).wrapping_add(row.number as i64 + 1)
}

fn is_left(row: &Sample) -> bool {
    row.value == LEFT
}

/// All rows that are on time, in the job's order, against each other.
fn all_pairs(rows: &[Placed<Sample>], how: How) -> Joined {
    let is_late = |row: &&Placed<Sample>| row.time <= watermark(row.clock, how.bound);
    let late = |of_left: bool| {
        let late = rows.iter().filter(is_late).filter(|row| is_left(&row.row) == of_left);
        late.map(|row| (row.time, row.row)).collect()
    };
    let on_time: Vec<_> = rows.iter().filter(|row| !is_late(row)).collect();
    let mut joined = Vec::new();
    for (place, left) in on_time.iter().enumerate().filter(|(_, row)| is_left(&row.row)) {
        let lies = |row: &&&Placed<Sample>| {
            let is_right = !is_left(&row.row) && row.row.key == left.row.key;
            is_right && (how.lower..=how.upper).contains(&(row.time - left.time))
        };
        let mut found: Vec<_> = on_time.iter().filter(lies).collect();
        found.sort_by_key(|row| row.time);
        let b = if found.is_empty() { -1 } else { found.iter().fold(0, |seen, row| told(seen, &row.row)) };
        let row = Row { key: left.row.key, a: left.row.number as i64, b };
        joined.push(((left.time + how.upper.max(0), left.row.key, left.time, place), row));
    }
    joined.sort_by_key(|(order, _)| *order);
    let rows = joined.into_iter().map(|((at, ..), row)| (at, row)).collect();
    Joined { rows, late_left: late(true), late_right: late(false) }
}

fn job(source: impl Into<Source<Sample>>, how: How) -> (Job, Sinks) {
    let mut job = Job::new("around");
    let watermarks = Watermarks::bounded(Duration::from_nanos(how.bound as u64));
    let rows = job.source("rows", source).watermarks(watermarks);
    let left = rows.clone().filter(is_left).key_by(|row| row.key);
    let right = rows.filter(|row| !is_left(row)).key_by(|row| row.key);
    let aggregate = fold(0, |seen: &mut i64, _, row: &Sample| *seen = told(*seen, row));
    let output = left.interval_join(right, Interval::between_nanos(how.lower, how.upper)).aggregate(
        "around",
        aggregate,
        |left: &Sample, seen: Option<&i64>| Row {
            key: left.key,
            a: left.number as i64,
            b: seen.copied().unwrap_or(-1),
        },
    );
    (job, Sinks::of(output))
}

#[test]
fn rows_around_each_row_are_those_of_all_pairs_bounded_and_live() {
    for (seed, (lower, upper)) in (1..).zip([(-30, 30), (0, 50), (10, 40), (-25, -5)]) {
        let rows = uneven(400, 7, seed);
        let how = How { bound: 25, lower, upper };
        let expected = all_pairs(&placed(&rows, |row| row.time_ns).0, how);
        let late = expected.late_left.len() + expected.late_right.len();
        let met = expected.rows.iter().filter(|(_, row)| row.b >= 0).count();
        assert!(
            met > 10 && met < expected.rows.len() && late > 0,
            "{met} of {} meet, {late} late",
            expected.rows.len()
        );
        for workers in [1, 2, 3, 8] {
            for block in [1, 64, 4096] {
                let (job, sinks) = job(VecSource::new(rows.clone(), block), how);
                let report = finish(job, Options::workers(workers).pin(false));
                assert_joined(&sinks.take(), &expected, &format!("{how:?} in blocks of {block} on {workers} workers"));
                assert_eq!(report.step("around").unwrap().late, late as u64);
            }
            let (input, source) = push(64);
            let (job, sinks) = job(source, how);
            let handle = job.start(Options::workers(workers).pin(false)).unwrap();
            push_in_pieces(input, &rows, 32, &mut Rng::new(seed));
            handle.join_within(DEADLINE).unwrap().balance().unwrap();
            assert_joined(&sinks.take(), &expected, &format!("{how:?} live on {workers} workers"));
        }
    }
}

#[test]
fn bad_intervals_and_aggregates_are_mistakes_of_the_jobs_shape() {
    let mut job = Job::new("around");
    let rows = job.source("rows", uneven(5, 2, 1));
    let (left, right) = (rows.clone().key_by(|row| row.key), rows.key_by(|row| row.key));
    let half = quantile(2.0, |row: &Sample| row.value as f64);
    let join = left.interval_join(right, Interval::between_nanos(3, 2));
    join.aggregate("around", half, |left: &Sample, _: Option<&f64>| *left);
    let Err(Error::Shape { mistakes, .. }) = job.run(Options::workers(1)) else { panic!("it is refused") };
    let names: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    assert!(
        mistakes.iter().any(|mistake| matches!(mistake, ShapeError::BadStep(name, _) if name == "around")),
        "{names:?}"
    );
    assert!(mistakes.iter().any(|mistake| matches!(mistake, ShapeError::BadAggregate(..))), "{names:?}");
}
