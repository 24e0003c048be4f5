//! Joins: as-of joins and aggregates against all pairs, interval joins against a plain loop.

mod around;
mod intervals;
mod real_quotes;
mod rules;

use pelton::{AsOf, Collected, Job, JoinOutput, Options, VecSource, Watermarks, collect};
use pelton_tests::events::{Row, Sample};
use pelton_tests::rng::Rng;
use pelton_tests::rows::{assert_same, rows_of};
use pelton_tests::running::{DEADLINE, finish, step_in_any_order};
use pelton_tests::slow::{Placed, merged, placed, watermark};
use std::cmp::Ordering;
use std::time::Duration;

const LEFT: i64 = 0;

/// Which right row a left one meets, with the tolerance.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Looks {
    Backward(Option<i64>),
    Forward(i64),
    Nearest(i64),
}

impl Looks {
    fn as_of(self) -> AsOf {
        let nanos = |nanos: i64| Duration::from_nanos(nanos as u64);
        match self {
            Self::Backward(None) => AsOf::backward(),
            Self::Backward(Some(tolerance)) => AsOf::backward().within(nanos(tolerance)),
            Self::Forward(tolerance) => AsOf::forward(nanos(tolerance)),
            Self::Nearest(tolerance) => AsOf::nearest(nanos(tolerance)),
        }
    }

    /// How long after a left row its answer comes.
    fn answered_after(self) -> i64 {
        match self {
            Self::Backward(_) => 0,
            Self::Forward(tolerance) | Self::Nearest(tolerance) => tolerance,
        }
    }

    /// Whether a right row that comes so much later than the left one is met, where there is no other.
    fn reaches(self, later: i64) -> bool {
        match self {
            Self::Backward(tolerance) => later <= 0 && tolerance.is_none_or(|tolerance| -later <= tolerance),
            Self::Forward(tolerance) => (0..=tolerance).contains(&later),
            Self::Nearest(tolerance) => later.abs() <= tolerance,
        }
    }

    /// Whether a right row is met rather than another one before it in the job's order, both of which are reached.
    fn prefers(self, later: i64, other: i64) -> bool {
        match later.abs().cmp(&other.abs()) {
            Ordering::Less => true,
            Ordering::Greater => false,
            // As near on the other side, or of one time: backward the last one, and forward the first.
            Ordering::Equal if later != other => later < 0,
            Ordering::Equal => later < 0 || later == 0 && !matches!(self, Self::Forward(_)),
        }
    }
}

/// How a join is made.
#[derive(Debug, Clone, Copy)]
struct How {
    bound: i64,
    looks: Looks,
    is_inner: bool,
}

fn ways(bounds: &[i64], tolerances: &[i64]) -> Vec<How> {
    let with =
        |tolerance: &i64| [Looks::Backward(Some(*tolerance)), Looks::Forward(*tolerance), Looks::Nearest(*tolerance)];
    let looks: Vec<_> = tolerances.iter().flat_map(with).chain([Looks::Backward(None)]).collect();
    let of_bound = |bound: &i64| {
        let how = |is_inner: bool| looks.iter().map(move |looks| How { bound: *bound, looks: *looks, is_inner });
        how(false).chain(how(true)).collect::<Vec<_>>()
    };
    bounds.iter().flat_map(of_bound).collect()
}

/// What a join gives: joined rows, and late ones of both sides.
#[derive(Debug, PartialEq, Clone)]
struct Joined {
    rows: Vec<(i64, Row)>,
    late_left: Vec<(i64, Sample)>,
    late_right: Vec<(i64, Sample)>,
}

/// A row of a join: the key, the left row's number, and the right one's or -1.
fn pair(left: &Sample, right: Option<&Sample>) -> Row {
    Row { key: left.key, a: left.number as i64, b: right.map_or(-1, |right| right.number as i64) }
}

/// A join by all pairs, of rows in the job's order; `side_of` says what a row is.
fn all_pairs(
    rows: &[Placed<Sample>],
    how: How,
    is_left: impl Fn(&Sample) -> bool,
    is_right: impl Fn(&Sample) -> bool,
) -> Joined {
    let is_late = |row: &Placed<Sample>| row.time <= watermark(row.clock, how.bound);
    let late = |side: &dyn Fn(&Sample) -> bool| -> Vec<(i64, Sample)> {
        rows.iter().filter(|row| side(&row.row) && is_late(row)).map(|row| (row.time, row.row)).collect()
    };
    let mut joined: Vec<(i64, u64, usize, Row)> = Vec::new();
    for (place, left) in rows.iter().enumerate().filter(|(_, row)| is_left(&row.row) && !is_late(row)) {
        let mut best: Option<(i64, &Sample)> = None;
        for right in rows.iter().filter(|row| is_right(&row.row) && !is_late(row) && row.row.key == left.row.key) {
            let later = right.time - left.time;
            if how.looks.reaches(later) && best.is_none_or(|(other, _)| how.looks.prefers(later, other)) {
                best = Some((later, &right.row));
            }
        }
        if best.is_some() || !how.is_inner {
            let at = left.time + how.looks.answered_after();
            joined.push((at, left.row.key, place, pair(&left.row, best.map(|(_, right)| right))));
        }
    }
    joined.sort_by_key(|(time, key, place, _)| (*time, *key, *place));
    let rows = joined.into_iter().map(|(time, _, _, row)| (time, row)).collect();
    Joined { rows, late_left: late(&is_left), late_right: late(&is_right) }
}

struct Sinks {
    rows: Collected<Row>,
    late_left: Collected<Sample>,
    late_right: Collected<Sample>,
}

impl Sinks {
    fn of(output: JoinOutput<Row, Sample, Sample>) -> Self {
        let (sink, rows) = collect();
        let (left_sink, late_left) = collect();
        let (right_sink, late_right) = collect();
        output.main.sink("out", sink);
        output.late_left.sink("late left", left_sink);
        output.late_right.sink("late right", right_sink);
        Self { rows, late_left, late_right }
    }

    fn take(&self) -> Joined {
        Joined { rows: rows_of(&self.rows), late_left: rows_of(&self.late_left), late_right: rows_of(&self.late_right) }
    }
}

fn assert_joined(found: &Joined, expected: &Joined, what: &str) {
    assert_same(&found.rows, &expected.rows, what);
    assert_same(&found.late_left, &expected.late_left, &format!("late left rows, {what}"));
    assert_same(&found.late_right, &expected.late_right, &format!("late right rows, {what}"));
}

/// Joins the rows of one source: those with a value of 0, or all, with those of other values, or all.
fn join_of_one(rows: &[Sample], block: usize, how: How, is_self: bool) -> (Job, Sinks) {
    let mut job = Job::new("join");
    let watermarks = Watermarks::bounded(Duration::from_nanos(how.bound as u64));
    let rows = job.source("rows", VecSource::new(rows.to_vec(), block)).watermarks(watermarks);
    let left = rows.clone().filter(move |row| is_self || row.value == LEFT).key_by(|row| row.key);
    let right = rows.filter(move |row| is_self || row.value != LEFT).key_by(|row| row.key);
    let join = left.as_of_join(right, how.looks.as_of());
    let output = if how.is_inner {
        join.inner("join", |left: &Sample, right: &Sample| pair(left, Some(right)))
    } else {
        join.left("join", pair)
    };
    (job, Sinks::of(output))
}

/// All rows of up to `length` with a side, one of two keys and one of three times.
fn all_sequences(length: usize) -> Vec<Vec<Sample>> {
    let choices: Vec<_> =
        (0..12).map(|i: i64| Sample { value: i % 2, key: (i / 2 % 2) as u64, time_ns: i / 4, number: 0 }).collect();
    let mut all: Vec<Vec<Sample>> = vec![Vec::new()];
    let mut last = all.clone();
    for _ in 0..length {
        let longer = |rows: &Vec<Sample>| -> Vec<Vec<Sample>> {
            choices.iter().map(|choice| rows.iter().copied().chain([*choice]).collect()).collect()
        };
        last = last.iter().flat_map(longer).collect();
        all.extend(last.iter().cloned());
    }
    all
}

#[test]
fn all_short_sequences_join_as_all_pairs_do() {
    // Each sequence has times and keys of its own, far behind those of the one before.
    let sequences: Vec<Vec<Sample>> = all_sequences(4)
        .into_iter()
        .enumerate()
        .map(|(at, mut rows)| {
            for (i, row) in rows.iter_mut().enumerate() {
                row.time_ns += at as i64 * 100;
                row.key += 2 * at as u64;
                row.number = (at * 4 + i) as u64;
            }
            rows
        })
        .collect();
    let all: Vec<Sample> = sequences.iter().flatten().copied().collect();
    assert_eq!(sequences.len(), 1 + 12 + 144 + 1728 + 20_736);
    let of_both = |how: &How| !how.is_inner || how.looks == Looks::Backward(None);
    for (number, how) in ways(&[0, 1], &[0, 1]).into_iter().filter(of_both).enumerate() {
        let mut expected = Joined { rows: Vec::new(), late_left: Vec::new(), late_right: Vec::new() };
        for rows in &sequences {
            let (rows, _) = placed(rows, |row| row.time_ns);
            let joined = all_pairs(&rows, how, |row| row.value == LEFT, |row| row.value != LEFT);
            expected.rows.extend(joined.rows);
            expected.late_left.extend(joined.late_left);
            expected.late_right.extend(joined.late_right);
        }
        let (workers, block) = if number.is_multiple_of(2) { (1, 1000) } else { (2, 77) };
        let (job, sinks) = join_of_one(&all, block, how, false);
        finish(job, Options::workers(workers));
        assert_joined(&sinks.take(), &expected, &format!("{how:?} on {workers} workers"));
    }
}

#[test]
fn short_sequences_join_each_in_a_job_of_its_own() {
    let sequences = all_sequences(3);
    let mut rng = Rng::new(1);
    let ways = ways(&[0, 1], &[1]);
    for _ in 0..40 {
        let mut rows = sequences[rng.below(sequences.len() as u64) as usize].clone();
        rows.iter_mut().zip(0..).for_each(|(row, number)| row.number = number);
        let (workers, block) = (1 + rng.below(2) as usize, 1 + rng.below(3) as usize);
        for how in &ways {
            let (placed, _) = placed(&rows, |row| row.time_ns);
            let expected = all_pairs(&placed, *how, |row| row.value == LEFT, |row| row.value != LEFT);
            let (job, sinks) = join_of_one(&rows, block, *how, false);
            let what = format!("{rows:?} {how:?} on {workers} workers");
            step_in_any_order(job.simulate(Options::workers(workers)).unwrap(), workers, &mut rng, &what);
            assert_joined(&sinks.take(), &expected, &what);
        }
    }
}

/// Rows with equal times, gaps, and some behind any bound.
fn uneven(rows: usize, keys: u64, seed: u64) -> Vec<Sample> {
    let mut rng = Rng::new(seed);
    let mut now = 1_000_000;
    let row = |number: u64| {
        now += if rng.below(3) == 0 { rng.below(40) as i64 } else { 0 };
        let back = if rng.below(3) == 0 { rng.below(60) as i64 } else { 0 };
        Sample { time_ns: now - back, key: rng.below(keys), value: rng.below(2) as i64, number }
    };
    (0..rows as u64).map(row).collect()
}

#[test]
fn random_rows_of_two_sources_join_as_all_pairs_do() {
    for (seed, lefts, rights) in [(1, 150, 150), (2, 200, 20), (3, 20, 200), (4, 50, 0)] {
        let left = uneven(lefts, 9, seed);
        let right = uneven(rights, 9, seed + 50);
        let times = [left.iter().map(|row| row.time_ns).collect(), right.iter().map(|row| row.time_ns).collect()];
        let rows: Vec<_> = merged(&times)
            .into_iter()
            .map(|(source, at, clock)| {
                let row = if source == 0 { left[at] } else { right[at] };
                Placed { time: row.time_ns, clock, row: Sample { value: source as i64, ..row } }
            })
            .collect();
        // A left join without a tolerance, and an inner one with it, or the other way round.
        let is_taken = |how: &How| (how.is_inner == (how.looks != Looks::Backward(None))) == (seed % 2 == 1);
        for how in ways(&[25], &[30]).into_iter().filter(is_taken) {
            let expected = all_pairs(&rows, how, |row| row.value == LEFT, |row| row.value != LEFT);
            for block in [1, 64, 4096] {
                for workers in [1, 2, 3, 8] {
                    let mut job = Job::new("join");
                    let watermarks = Watermarks::bounded(Duration::from_nanos(25));
                    let left = job.source("left", VecSource::new(left.clone(), block));
                    let right = job.source("right", VecSource::new(right.clone(), block.div_ceil(3)));
                    let left = left.map(|row| Sample { value: 0, ..*row }).key_by(|row| row.key);
                    let right =
                        right.watermarks(watermarks).map(|row| Sample { value: 1, ..*row }).key_by(|row| row.key);
                    let join = left.as_of_join(right, how.looks.as_of());
                    let output = if how.is_inner {
                        join.inner("join", |left: &Sample, right: &Sample| pair(left, Some(right)))
                    } else {
                        join.left("join", pair)
                    };
                    let sinks = Sinks::of(output);
                    let report = finish(job, Options::workers(workers));
                    let found = sinks.take();
                    assert_joined(&found, &expected, &format!("{how:?} in blocks of {block} on {workers} workers"));
                    let late = found.late_left.len() + found.late_right.len();
                    assert_eq!(report.step("join").unwrap().late, late as u64);
                    assert!(late > 0, "some rows are late");
                }
            }
        }
    }
}

#[test]
fn a_stream_joins_itself() {
    let rows = uneven(250, 7, 9);
    let (placed, _) = placed(&rows, |row| row.time_ns);
    for how in ways(&[0, 25], &[]) {
        let expected = all_pairs(&placed, how, |_| true, |_| true);
        // Each row that is on time meets itself or a later one of its own time.
        assert!(expected.rows.len() > 80 && expected.rows.iter().all(|(_, row)| row.b >= row.a));
        for block in [1, 64, 4096] {
            for workers in [1, 2, 3, 8] {
                let (job, sinks) = join_of_one(&rows, block, how, true);
                finish(job, Options::workers(workers).ring_bytes(if block == 64 { 1 } else { 1 << 16 }));
                assert_joined(&sinks.take(), &expected, &format!("{how:?} in blocks of {block} on {workers} workers"));
            }
        }
    }
}

/// Many quotes and hardly a trade: what no trade to come can meet is dropped, though no trade asks for it.
#[test]
fn quotes_that_no_trade_will_meet_are_not_kept() {
    let at = |time_ns: i64, key| Sample { time_ns, key, value: time_ns, number: 0 };
    let quotes: Vec<_> = (0..100_000).map(|time| at(time, time as u64 % 7)).collect();
    let looks = [Looks::Backward(None), Looks::Backward(Some(6)), Looks::Forward(6), Looks::Nearest(6)];
    let ways = [(vec![], 1, 64), (vec![at(5, 5), at(99_999, 1)], 1, 4096), (vec![at(3, 2)], 3, 64)];
    for ((trades, workers, block), looks) in ways.iter().flat_map(|way| looks.map(|looks| (way, looks))) {
        let job = |rows_max| {
            let mut job = Job::new("quotes");
            let (sink, rows) = collect();
            let left = job.source("trades", VecSource::new(trades.clone(), *block)).key_by(|trade| trade.key);
            let right = job.source("quotes", VecSource::new(quotes.clone(), *block)).key_by(|quote| quote.key);
            let join = left.as_of_join(right, looks.as_of());
            join.inner("join", |trade, quote| Row { key: trade.key, a: trade.time_ns, b: quote.value })
                .main
                .sink("out", sink);
            (job.start(Options::workers(*workers).rows_max(rows_max)).unwrap().join_within(DEADLINE), rows)
        };
        let (report, rows) = job(20_000);
        report.unwrap().balance().unwrap();
        let meets =
            |trade: &Sample, quote: &Sample| quote.key == trade.key && looks.reaches(quote.time_ns - trade.time_ns);
        let met = trades.iter().filter(|trade| quotes.iter().any(|quote| meets(trade, quote))).count();
        assert_eq!(rows.take().len(), met, "{looks:?}");
        // The limit is one: fewer than a key's latest row each.
        let error = job(1).0.unwrap_err().to_string();
        assert!(error.contains("more than 1 rows"), "{error}");
    }
}
