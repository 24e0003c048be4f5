//! An event that jumps far ahead moves no watermark, until some in a row do, whoever reads it and however it comes.

use pelton::{
    Chain, Collected, Job, ManualClock, Options, Report, Source, Stream, Timestamp, Tumbling, Watermarks, collect,
    count, push,
};
use pelton_tests::events::{Row, Sample};
use pelton_tests::marks::{Marks, SlowMarks};
use pelton_tests::rng::Rng;
use pelton_tests::rows::{assert_same, rows_of, rows_of_model};
use pelton_tests::running::{DEADLINE, finish, paced, push_in_pieces, settle, step_in_any_order};
use pelton_tests::slow::{Placed, merged_by, reached, run, watermark};
use std::collections::BTreeMap;
use std::time::Duration;

const BLOCKS: [usize; 5] = [1, 2, 3, 64, 4096];
const WORKERS: [usize; 4] = [1, 2, 3, 8];

const MAX: i64 = 1_000;
const BELIEVED_AFTER: usize = 4;
const BOUND: i64 = 30;
const WINDOW: i64 = 100;

const ORIGIN: i64 = 1_700_000_000_000_000_000;
/// 2199-01-01.
const FAR: i64 = 7_226_582_400_000_000_000;

type Rows = Vec<(i64, Row)>;

fn options(workers: usize) -> Options {
    let believed_after = BELIEVED_AFTER as u32;
    Options::workers(workers).jump_max(Duration::from_nanos(MAX as u64)).jump_believed_after(believed_after)
}

fn events(times: &[i64]) -> Vec<Sample> {
    let event =
        |(number, &time_ns): (usize, &i64)| Sample { time_ns, key: number as u64 % 5, value: 1, number: number as u64 };
    times.iter().enumerate().map(event).collect()
}

/// Times with disorder, wrong ones among them alone and some in a row, and pauses longer than the limit.
fn jumpy(seed: u64, length: usize) -> Vec<i64> {
    let mut rng = Rng::new(seed);
    let mut now = ORIGIN + rng.below(50) as i64;
    let mut times = Vec::new();
    while times.len() < length {
        match rng.below(40) {
            0 => times.push(FAR + rng.below(9) as i64),
            1 => times.push(now + MAX + rng.below(5) as i64),
            2 => times.extend((0..1 + rng.below(3)).map(|i| FAR - i as i64 * (MAX / 2))),
            // Out of range: it is no event.
            3 => times.push(if rng.below(2) == 0 { i64::MAX } else { i64::MIN }),
            // A pause, with a straggler from before it.
            4 => {
                let before = now;
                now += MAX * (2 + rng.below(50) as i64);
                times.extend([now, before - 5, now + 1]);
            }
            _ => {
                now += rng.below(15) as i64;
                let back = if rng.below(4) == 0 { rng.below(80) as i64 } else { 0 };
                times.push(now - back);
            }
        }
    }
    // What is at the start is believed.
    times.insert(0, ORIGIN);
    times
}

/// What a job over sources has to give: its rows in order with their clocks, and what each source counts.
struct Expected {
    rows: Vec<Placed<Row>>,
    end: i64,
    jumped: Vec<u64>,
    rejected: Vec<u64>,
}

fn expected(sources: &[Vec<i64>]) -> Expected {
    let is_taken = |time: &i64| *time != i64::MIN && *time != i64::MAX;
    let taken: Vec<Vec<(usize, i64)>> = sources
        .iter()
        .map(|times| times.iter().copied().enumerate().filter(|(_, time)| is_taken(time)).collect())
        .collect();
    let judged: Vec<_> = taken
        .iter()
        .map(|taken| reached(&taken.iter().map(|(_, time)| *time).collect::<Vec<_>>(), MAX, BELIEVED_AFTER))
        .collect();
    let clocks: Vec<Vec<i64>> =
        judged.iter().map(|judged| judged.iter().map(|(reached, _)| *reached).collect()).collect();
    let rows = merged_by(&clocks).into_iter().map(|(source, at, clock)| {
        let (number, time) = taken[source][at];
        Placed { time, clock, row: Row { key: source as u64, a: number as i64, b: time } }
    });
    Expected {
        rows: rows.collect(),
        end: clocks.iter().filter_map(|clocks| clocks.last()).copied().max().unwrap_or(i64::MIN),
        jumped: judged.iter().map(|judged| judged.iter().filter(|(_, jumped)| *jumped).count() as u64).collect(),
        rejected: sources.iter().zip(&taken).map(|(all, taken)| (all.len() - taken.len()) as u64).collect(),
    }
}

/// What a job gave.
struct Given {
    marks: Collected<Row>,
    /// Of each window its end, its key and a count.
    windows: Box<dyn Fn() -> Vec<(i64, u64, u64)>>,
    late: Collected<Row>,
}

/// Marks and windows over the union of sources.
fn declare(sources: Vec<Source<Sample>>) -> (Job, Given) {
    let mut job = Job::new("jumps");
    let bound = Watermarks::bounded(Duration::from_nanos(BOUND as u64));
    let mut streams = Vec::new();
    for (index, source) in sources.into_iter().enumerate() {
        let stream = job.source(&format!("s{index}"), source).watermarks(bound.clone());
        let key = index as u64;
        streams.push(stream.map(move |event: &Sample| Row { key, a: event.number as i64, b: event.time_ns }));
    }
    let mut streams = streams.into_iter();
    match (streams.next(), streams.next()) {
        (Some(first), Some(second)) => steps(job, streams.fold(first.union(second), Stream::union)),
        (Some(only), None) => steps(job, only),
        (None, _) => panic!("a job has a source"),
    }
}

fn steps(job: Job, all: Stream<Row, impl Chain<Out = Row>>) -> (Job, Given) {
    let (marks_sink, marks) = collect();
    let (window_sink, windows) = collect();
    let (late_sink, late) = collect();
    all.clone().key_by(|row| row.a as u64 % 5).process("marks", Marks).sink("marks out", marks_sink);
    let window = all.key_by(|row| row.key).window(Tumbling::of(Duration::from_nanos(WINDOW as u64)));
    let window = window.aggregate("windows", count());
    window.sink("windows out", window_sink);
    window.late.sink("late out", late_sink);
    let windows = move || {
        let rows = windows.take();
        rows.iter().map(|(_, row)| (row.window().end.as_nanos(), row.key(), row.value())).collect()
    };
    (job, Given { marks, windows: Box::new(windows), late })
}

/// What [`Expected`] rows come to in windows, and those that are late.
fn windows_of(rows: &[Placed<Row>]) -> (Vec<(i64, u64, u64)>, Rows) {
    let (mut counts, mut late) = (BTreeMap::new(), Vec::new());
    for placed in rows {
        let end = placed.time.div_euclid(WINDOW) * WINDOW + WINDOW;
        if watermark(placed.clock, BOUND) >= end - 1 {
            late.push((placed.time, placed.row));
        } else {
            *counts.entry((end, placed.row.key)).or_insert(0) += 1;
        }
    }
    (counts.into_iter().map(|((end, key), count)| (end, key, count)).collect(), late)
}

impl Given {
    /// Compares what a job gave with what it has to give.
    fn check(&self, report: &Report, sources: &[Vec<i64>], what: &str) {
        let expected = expected(sources);
        let marks = rows_of_model(&run(&expected.rows, expected.end, BOUND, SlowMarks));
        assert_same(&rows_of(&self.marks), &marks, &format!("marks, {what}"));
        let (windows, late) = windows_of(&expected.rows);
        assert_eq!((self.windows)(), windows, "{what}");
        assert_same(&rows_of(&self.late), &late, &format!("late rows, {what}"));
        for (index, times) in sources.iter().enumerate() {
            let step = report.step(&format!("s{index}")).unwrap();
            assert_eq!((step.jumped, step.rejected), (expected.jumped[index], expected.rejected[index]), "{what}");
            assert_eq!(step.rows_out + step.rejected, times.len() as u64, "{what}");
            let placed = expected.rows.iter().filter(|placed| placed.row.key == index as u64);
            let behind = placed.filter(|placed| placed.time <= watermark(placed.clock, BOUND)).count();
            assert_eq!(step.behind, behind as u64, "{what}");
        }
    }
}

fn bounded(times: &[i64], block: usize) -> Source<Sample> {
    paced(&events(times), block, None)
}

#[test]
fn one_source_gives_what_a_plain_loop_gives_at_any_block_size_and_number_of_workers() {
    for seed in 0..6 {
        let times = jumpy(seed, 300);
        let counts = expected(std::slice::from_ref(&times)).jumped[0];
        assert!(counts > 10, "{counts} events jump");
        for block in BLOCKS {
            for workers in WORKERS {
                let ring_bytes = if seed % 2 == 0 { 1 << 16 } else { 1 };
                let (job, given) = declare(vec![bounded(&times, block)]);
                let report = finish(job, options(workers).ring_bytes(ring_bytes));
                given.check(&report, std::slice::from_ref(&times), &format!("seed {seed}, {block}, {workers} workers"));
            }
        }
    }
}

#[test]
fn sources_that_are_merged_agree() {
    for seed in 0..4 {
        let sources = [jumpy(seed, 200), jumpy(seed + 100, 150), jumpy(seed + 200, 9)];
        for count in [2, 3] {
            let sources = &sources[..count];
            for block in BLOCKS {
                for workers in WORKERS {
                    let blocks = [block, BLOCKS[(seed as usize + 1) % 5], 2];
                    let replays = sources.iter().zip(blocks).map(|(times, block)| bounded(times, block));
                    let (job, given) = declare(replays.collect());
                    let report = finish(job, options(workers));
                    let what = format!("seed {seed}, {count} sources, {blocks:?}, {workers} workers");
                    given.check(&report, sources, &what);
                }
            }
        }
    }
}

#[test]
fn pushed_in_pieces_of_any_size_it_gives_the_same() {
    for seed in 0..12 {
        let times = jumpy(seed, 400);
        let mut rng = Rng::new(seed);
        let (input, source) = push::<Sample>(1 << rng.below(10));
        let (job, given) = declare(vec![source]);
        let workers = WORKERS[seed as usize % 4];
        let handle = job.start(options(workers).feed_block_events(1 + rng.below(50) as usize)).unwrap();
        push_in_pieces(input, &events(&times), 128, &mut rng);
        let report = handle.join_within(DEADLINE).unwrap();
        report.balance().unwrap();
        given.check(&report, &[times], &format!("seed {seed}, pushed to {workers} workers"));
    }
}

#[test]
fn a_bounded_source_beside_a_feed_is_judged_by_itself() {
    for seed in 0..4 {
        let times = jumpy(seed, 300);
        for block in BLOCKS {
            let (input, source) = push::<Sample>(4);
            drop(input);
            let (job, given) = declare(vec![bounded(&times, block), source]);
            let simulation = job.simulate(options(1)).unwrap();
            let what = format!("seed {seed}, blocks of {block}");
            let report = step_in_any_order(simulation, 1, &mut Rng::new(seed), &what);
            let expected = expected(std::slice::from_ref(&times));
            assert_eq!(report.step("s0").unwrap().jumped, expected.jumped[0], "{what}");
            // The feed holds the clock back until it is found to have ended, which is before the second block.
            let late = rows_of(&given.late).len();
            assert!(late <= windows_of(&expected.rows).1.len(), "{what}: {late} late rows");
        }
    }
}

/// A minute of readings, one each second, in windows of ten: what is late, what jumped, and the counts of the windows.
fn minute(change: impl Fn(&mut Vec<i64>), options: Options) -> (u64, u64, Vec<u64>) {
    const SECOND: i64 = 1_000_000_000;
    let mut times: Vec<i64> = (0..60).map(|second| ORIGIN + second * SECOND).collect();
    change(&mut times);
    let mut job = Job::new("minute");
    let (sink, rows) = collect();
    let readings = job.source("readings", bounded(&times, 7)).key_by(|_| 0u64);
    readings.window(Tumbling::of(Duration::from_secs(10))).aggregate("counts", count()).sink("out", sink);
    let report = finish(job, options);
    let counts = rows.take().iter().map(|(_, row)| row.value()).collect();
    (report.step("counts").unwrap().late, report.step("readings").unwrap().jumped, counts)
}

#[test]
fn one_event_of_another_century_makes_no_other_late_unless_there_is_no_limit() {
    let wrong = |times: &mut Vec<i64>| times[5] = FAR;
    for workers in WORKERS {
        let options = || Options::workers(workers);
        assert_eq!(minute(|_| (), options()), (0, 0, vec![10; 6]));
        assert_eq!(minute(wrong, options()), (0, 1, vec![9, 10, 10, 10, 10, 10, 1]));
        assert_eq!(minute(wrong, options().jump_max(Duration::from_secs(10))), (0, 1, vec![9, 10, 10, 10, 10, 10, 1]));
        assert_eq!(minute(wrong, options().jump_max(Duration::MAX)), (54, 0, vec![5, 1]));
        // A limit that nothing exceeds changes nothing.
        let late = |times: &mut Vec<i64>| times[55] = ORIGIN;
        assert_eq!(minute(late, options()), minute(late, options().jump_max(Duration::MAX)));
    }
}

#[test]
fn a_weekend_is_believed_after_some_events_and_its_stragglers_do_not_hinder_that() {
    const WEEKEND: i64 = 48 * 3_600_000_000_000;
    let pause = |times: &mut Vec<i64>| times[20..].iter_mut().for_each(|time| *time += WEEKEND);
    let stragglers = |times: &mut Vec<i64>| {
        pause(times);
        // One in four, of the last second but one before the weekend.
        (22..60).step_by(4).for_each(|at| times[at] = times[18]);
    };
    for workers in WORKERS {
        let options = || Options::workers(workers).jump_max(Duration::from_secs(3600));
        assert_eq!(minute(pause, options()), (0, 15, vec![10; 6]));
        // Five of ten come before Monday is believed.
        assert_eq!(minute(stragglers, options()), (5, 15, vec![10, 15, 8, 7, 8, 7]));
        assert_eq!(minute(pause, options().jump_believed_after(1)), (0, 0, vec![10; 6]));
    }
}

#[test]
fn a_first_event_is_believed_whatever_it_is() {
    assert_eq!(minute(|times| times[0] = FAR, Options::workers(2)), (59, 0, vec![1]));
    // A clock that was not set yet does no harm for long.
    assert_eq!(minute(|times| times[0] = 0, Options::workers(2)), (0, 15, vec![1, 9, 10, 10, 10, 10, 10]));
}

#[test]
fn a_replay_at_recorded_speed_does_not_wait_for_an_event_that_jumps() {
    for (workers, block) in [(1, 4096), (2, 7), (3, 1)] {
        for feed in [false, true] {
            let times: Vec<i64> = (0..40).map(|i| if i % 8 == 3 { FAR } else { i * 1_000_000_000 }).collect();
            let source = match feed {
                false => bounded(&times, block),
                true => {
                    let (mut input, source) = push::<Sample>(64);
                    input.send(&events(&times)).unwrap();
                    source
                }
            };
            let clock = ManualClock::default();
            let mut job = Job::new("paced");
            let (sink, rows) = collect();
            job.source("s", source.speed(1.0)).sink("out", sink);
            let options = Options::workers(workers).clock(clock.clone());
            let mut simulation = job.simulate(options).unwrap();
            let mut found = 0;
            for second in 0..40 {
                settle(&mut simulation, workers);
                found += rows.take().len() as i64;
                // What jumps comes with the one before it.
                let expected = if second % 8 == 2 { second + 2 } else { second + 1 };
                assert_eq!(found, expected, "{workers} workers, blocks of {block}, feed: {feed}");
                clock.advance(Duration::from_secs(1));
            }
        }
    }
}

#[test]
fn a_watermark_of_ones_own_sees_no_jumps() {
    let times: Vec<i64> = (0..64).map(|i| if i % 16 == 7 { FAR } else { ORIGIN + i * 10 }).collect();
    for workers in WORKERS {
        for (block, feed) in [(1, false), (4, false), (64, false), (64, true)] {
            let source = match feed {
                false => bounded(&times, block),
                true => {
                    let (mut input, source) = push::<Sample>(64);
                    input.send(&events(&times)).unwrap();
                    source
                }
            };
            let mut job = Job::new("custom");
            let (sink, rows) = collect();
            let watermarks = Watermarks::custom(|event: &Sample| Some(Timestamp::from_nanos(event.time_ns - 1)));
            let all = job.source("s", source).watermarks(watermarks);
            let all = all.map(|event: &Sample| Row { key: 0, a: event.number as i64, b: event.time_ns });
            all.key_by(|row| row.key).process("marks", Marks).sink("out", sink);
            let report = finish(job, options(workers));
            let what = format!("{workers} workers, blocks of {block}, feed: {feed}");
            let step = report.step("s").unwrap();
            assert_eq!((step.jumped, step.behind), (4, 0), "{what}");
            let shown = rows_of(&rows).into_iter().filter(|(_, row)| row.key == 0).map(|(_, row)| row.b).max();
            // Behind the last event but one.
            let expected = ORIGIN + 62 * 10 - 1;
            assert_eq!(shown, Some(expected), "{what}");
        }
    }
}
