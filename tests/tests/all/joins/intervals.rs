//! Interval joins against a plain loop over the job's order.

use super::{Joined, LEFT, Sinks, all_sequences, assert_joined, uneven};
use pelton::{Error, Interval, IntervalJoin, Job, JoinOutput, Options, ShapeError, VecSource, Watermarks, push};
use pelton_tests::events::{Row, Sample};
use pelton_tests::rng::Rng;
use pelton_tests::running::{DEADLINE, finish, push_in_pieces};
use pelton_tests::slow::{Placed, merged, placed, watermark};
use std::time::Duration;

/// Which rows that meet none are given.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outer {
    None,
    Left,
    Right,
    Both,
}

const OUTERS: [Outer; 4] = [Outer::None, Outer::Left, Outer::Right, Outer::Both];

#[derive(Debug, Clone, Copy)]
struct How {
    bound: i64,
    lower: i64,
    upper: i64,
    outer: Outer,
}

/// A row of a join: the key, and the numbers of its rows or -1.
fn pair(left: Option<&Sample>, right: Option<&Sample>) -> Row {
    let number = |row: Option<&Sample>| row.map_or(-1, |row| row.number as i64);
    Row { key: left.or(right).map_or(0, |row| row.key), a: number(left), b: number(right) }
}

macro_rules! add {
    ($how:expr, $left:expr, $right:expr) => {{
        let interval = Interval::between_nanos($how.lower, $how.upper);
        let join: IntervalJoin<_, Sample, Sample, _, _, _, _> = $left.interval_join($right, interval);
        let output: JoinOutput<Row, Sample, Sample> = match $how.outer {
            Outer::None => join.inner("join", |left, right| pair(Some(left), Some(right))),
            Outer::Left => join.left("join", |left, right| pair(Some(left), right)),
            Outer::Right => join.right("join", |left, right| pair(left, Some(right))),
            Outer::Both => join.full("join", pair),
        };
        Sinks::of(output)
    }};
}

/// When a row that may be alone is given, and then its key, side, time and place.
type Alone = (i64, u64, bool, i64, usize);

/// The join by a loop over rows in the job's order, behind which the clock stands at `end`; rows with a value of 0 are left.
fn plain(rows: &[Placed<Sample>], end: i64, how: How) -> Joined {
    let mut joined = Joined { rows: Vec::new(), late_left: Vec::new(), late_right: Vec::new() };
    let mut seen: Vec<Placed<Sample>> = Vec::new();
    let mut alone: Vec<Alone> = Vec::new();
    let is_left = |row: &Placed<Sample>| row.row.value == LEFT;
    let met_by = |seen: &[Placed<Sample>], row: &Placed<Sample>| -> Vec<Placed<Sample>> {
        let meets = |other: &&Placed<Sample>| {
            let apart = if is_left(row) { other.time - row.time } else { row.time - other.time };
            let is_near = apart >= how.lower && apart <= how.upper;
            is_left(other) != is_left(row) && other.row.key == row.row.key && is_near
        };
        let mut met: Vec<_> = seen.iter().filter(meets).copied().collect();
        met.sort_by_key(|row| row.time);
        met
    };
    let fire = |joined: &mut Joined, seen: &[Placed<Sample>], alone: &mut Vec<Alone>, reached: i64| {
        let mut due: Vec<Alone> = alone.extract_if(.., |(at, ..)| *at <= reached).collect();
        due.sort_unstable();
        for (at, _, _, _, index) in due {
            let row: &Placed<Sample> = &seen[index];
            if met_by(seen, row).is_empty() {
                let row = if is_left(row) { pair(Some(&row.row), None) } else { pair(None, Some(&row.row)) };
                joined.rows.push((at, row));
            }
        }
    };
    for row in rows {
        let reached = watermark(row.clock, how.bound);
        fire(&mut joined, &seen, &mut alone, reached);
        if row.time <= reached {
            let late = if is_left(row) { &mut joined.late_left } else { &mut joined.late_right };
            late.push((row.time, row.row));
            continue;
        }
        for other in met_by(&seen, row) {
            let both = if is_left(row) { (row, &other) } else { (&other, row) };
            joined.rows.push((row.time.max(other.time), pair(Some(&both.0.row), Some(&both.1.row))));
        }
        let (is_outer, wait) = match is_left(row) {
            true => (matches!(how.outer, Outer::Left | Outer::Both), how.upper.max(0)),
            false => (matches!(how.outer, Outer::Right | Outer::Both), (-how.lower).max(0)),
        };
        alone.extend(is_outer.then(|| (row.time + wait, row.row.key, !is_left(row), row.time, seen.len())));
        seen.push(*row);
    }
    fire(&mut joined, &seen, &mut alone, watermark(end, how.bound));
    fire(&mut joined, &seen, &mut alone, i64::MAX);
    joined
}

fn join_of_one(rows: &[Sample], block: usize, how: How) -> (Job, Sinks) {
    let mut job = Job::new("join");
    let watermarks = Watermarks::bounded(Duration::from_nanos(how.bound as u64));
    let rows = job.source("rows", VecSource::new(rows.to_vec(), block)).watermarks(watermarks);
    let left = rows.clone().filter(|row| row.value == LEFT).key_by(|row| row.key);
    let right = rows.filter(|row| row.value != LEFT).key_by(|row| row.key);
    let sinks = add!(how, left, right);
    (job, sinks)
}

#[test]
fn all_short_sequences_join_as_a_plain_loop_does() {
    // Each sequence has times and keys of its own, far behind those of the one before.
    let sequences = all_sequences(3).into_iter().enumerate().map(|(at, mut rows)| {
        for (i, row) in rows.iter_mut().enumerate() {
            row.time_ns += at as i64 * 100;
            row.key += 2 * at as u64;
            row.number = (at * 4 + i) as u64;
        }
        rows
    });
    let all: Vec<Sample> = sequences.flatten().collect();
    let (rows, end) = placed(&all, |row| row.time_ns);
    for (number, (lower, upper)) in [(-1, 1), (0, 0), (0, 2), (1, 2), (-2, -1), (-2, 0)].into_iter().enumerate() {
        for outer in OUTERS {
            let how = How { bound: (number % 2) as i64, lower, upper, outer };
            let expected = plain_near(&rows, end, how);
            let (workers, block) = [(1, 1000), (2, 77), (3, 1)][number % 3];
            let (job, sinks) = join_of_one(&all, block, how);
            finish(job, Options::workers(workers).pin(false));
            assert_joined(&sinks.take(), &expected, &format!("{how:?} on {workers} workers"));
        }
    }
}

/// As [`plain`], sequence by sequence, so that it need not look through all of them for each row.
fn plain_near(rows: &[Placed<Sample>], end: i64, how: How) -> Joined {
    let mut joined = Joined { rows: Vec::new(), late_left: Vec::new(), late_right: Vec::new() };
    for rows in rows.chunk_by(|a, b| a.row.key / 2 == b.row.key / 2) {
        // The next sequence fires all that is left of this one.
        let more = plain(rows, end, how);
        joined.rows.extend(more.rows);
        joined.late_left.extend(more.late_left);
        joined.late_right.extend(more.late_right);
    }
    joined
}

#[test]
fn random_rows_join_as_a_plain_loop_does_bounded_and_live() {
    for (seed, (lower, upper)) in (1..).zip([(-30, 30), (0, 50), (10, 40), (-25, -5)]) {
        let rows = uneven(250, 7, seed);
        let (in_order, end) = placed(&rows, |row| row.time_ns);
        let outer = OUTERS[seed as usize % 4];
        for outer in [outer, Outer::Both] {
            let how = How { bound: 25, lower, upper, outer };
            let expected = plain(&in_order, end, how);
            let late = expected.late_left.len() + expected.late_right.len();
            assert!(expected.rows.len() > 10 && late > 0, "{} rows, {late} late", expected.rows.len());
            for workers in [1, 2, 3, 8] {
                for block in [1, 64, 4096] {
                    let (job, sinks) = join_of_one(&rows, block, how);
                    let report = finish(job, Options::workers(workers).pin(false));
                    let found = sinks.take();
                    assert_joined(&found, &expected, &format!("{how:?} in blocks of {block} on {workers} workers"));
                    let late = found.late_left.len() + found.late_right.len();
                    assert_eq!(report.step("join").unwrap().late, late as u64);
                }
                let mut job = Job::new("join");
                let (input, source) = push(64);
                let watermarks = Watermarks::bounded(Duration::from_nanos(how.bound as u64));
                let live = job.source("rows", source).watermarks(watermarks);
                let left = live.clone().filter(|row: &Sample| row.value == LEFT).key_by(|row| row.key);
                let right = live.filter(|row| row.value != LEFT).key_by(|row| row.key);
                let sinks = add!(how, left, right);
                let handle = job.start(Options::workers(workers).pin(false)).unwrap();
                push_in_pieces(input, &rows, 32, &mut Rng::new(seed));
                handle.join_within(DEADLINE).unwrap().balance().unwrap();
                assert_joined(&sinks.take(), &expected, &format!("{how:?} live on {workers} workers"));
            }
        }
    }
}

#[test]
fn rows_of_two_sources_join_as_a_plain_loop_over_both_does() {
    let (left, right) = (uneven(150, 5, 21), uneven(120, 5, 22));
    let times = [&left, &right].map(|rows| rows.iter().map(|row| row.time_ns).collect::<Vec<_>>());
    let side = |source: usize, at: usize| if source == 0 { left[at] } else { right[at] };
    let of_side = |(source, at, clock)| {
        let row = Sample { value: source as i64, ..side(source, at) };
        Placed { time: row.time_ns, clock, row }
    };
    let rows: Vec<_> = merged(&times).into_iter().map(of_side).collect();
    let end = times.iter().flatten().copied().max().unwrap();
    let how = How { bound: 25, lower: -20, upper: 35, outer: Outer::Both };
    let expected = plain(&rows, end, how);
    for workers in [1, 2, 3, 8] {
        for block in [1, 64, 4096] {
            let mut job = Job::new("join");
            let bounded = Watermarks::bounded(Duration::from_nanos(25));
            let left = job.source("left", VecSource::new(left.clone(), block)).watermarks(bounded);
            let right = job.source("right", VecSource::new(right.clone(), block.div_ceil(3)));
            let left = left.map(|row| Sample { value: 0, ..*row }).key_by(|row| row.key);
            let right = right.map(|row| Sample { value: 1, ..*row }).key_by(|row| row.key);
            let sinks = add!(how, left, right);
            finish(job, Options::workers(workers).pin(false));
            assert_joined(&sinks.take(), &expected, &format!("blocks of {block} on {workers} workers"));
        }
    }
}

/// Keys with as many pairs as they have rows squared: rings and outboxes hold far fewer than one row makes.
#[test]
fn a_row_that_meets_hundreds_is_given_whole_and_in_order() {
    let row = |number: u64| Sample {
        time_ns: (number % 300) as i64,
        key: number / 600,
        value: (number / 300 % 2) as i64,
        number,
    };
    let rows: Vec<_> = (0..1200).map(row).collect();
    let how = How { bound: 2000, lower: -1000, upper: 1000, outer: Outer::None };
    let mut expected = None;
    for workers in [1, 2] {
        let (job, sinks) = join_of_one(&rows, 512, how);
        let report = finish(job, Options::workers(workers).pin(false).ring_bytes(1024));
        let found = sinks.take();
        assert_eq!((found.rows.len(), report.step("join").unwrap().rows_out), (180_000, 180_000));
        assert_joined(&found, expected.get_or_insert_with(|| found.clone()), "as on one worker");
    }
}

#[test]
fn an_interval_that_is_none_is_a_mistake_of_the_jobs_shape() {
    let how = How { bound: 0, lower: 3, upper: 2, outer: Outer::None };
    let (job, _sinks) = join_of_one(&uneven(5, 2, 1), 4, how);
    let Err(Error::Shape { mistakes, .. }) = job.run(Options::workers(1)) else { panic!("it is refused") };
    assert!(matches!(&*mistakes, [ShapeError::BadStep(name, _)] if name == "join"), "{mistakes:?}");
    let touching = Interval::between_nanos(0, 1).lower_bound_exclusive().upper_bound_exclusive();
    assert_ne!(touching, Interval::between_nanos(0, 1));
}
