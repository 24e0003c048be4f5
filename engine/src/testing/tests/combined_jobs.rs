//! Whole jobs with windows over all rows, which workers combine: at any number of workers, stopped and run again, also where
//! their rows were exchanged before.

use crate::testing::CrashingDisk;
use crate::{
    Aggregate, CheckpointOptions, Collected, Cumulative, Job, Options, Sliding, Timestamp, Tumbling, VecSource,
    Watermarks, Windowed, Windows, collect,
};
use std::time::Duration;

#[derive(Debug, Clone, Copy, crate::Event)]
#[repr(C)]
struct Paid {
    #[event(time)]
    time_ns: i64,
    cents: i64,
}

/// Sums, which workers may combine or not. They keep their layout.
#[derive(Clone)]
struct Sums<const EXACT: bool>;

impl<const IS_EXACT: bool> Aggregate for Sums<IS_EXACT> {
    type In = Paid;
    type Acc = i64;
    type Value = i64;
    const EXACT: bool = IS_EXACT;

    fn add(&self, sum: &mut i64, _: Timestamp, paid: &Paid) {
        *sum += paid.cents;
    }

    fn merge(&self, sum: &mut i64, later: &i64) {
        *sum += later;
    }

    fn value(&self, sum: &i64) -> i64 {
        *sum
    }
}

const ALL: usize = 2000;
const BOUND_NS: i64 = 150;

/// Half of them lie behind the watermark, in windows some of which have fired, and some are late for all windows.
fn paid() -> Vec<Paid> {
    let paid = |at: usize| {
        let mixed = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        Paid { time_ns: 1000 + at as i64 * 10 - (mixed % 700) as i64, cents: (mixed / 700 % 1000) as i64 }
    };
    (0..ALL).map(paid).collect()
}

/// Windows of each kind: of sliding ones, not each slice ends where a window does.
fn windows(kind: usize) -> Windows<Paid> {
    let nanos = Duration::from_nanos;
    match kind {
        0 => Sliding::of(nanos(300), nanos(200)).into(),
        1 => Sliding::of(nanos(400), nanos(100)).offset(nanos(30)).into(),
        2 => Cumulative::of(nanos(500), nanos(100)).into(),
        _ => Tumbling::of(nanos(300)).into(),
    }
}

const KINDS: usize = 4;

/// Start and end of windows with their sums, and late events.
type Given = (Vec<(i64, i64, i64)>, Vec<(i64, i64)>);

/// The job, its rows and its late events.
fn job<const EXACT: bool>(kind: usize, block: usize) -> (Job, Collected<Windowed<(), i64>>, Collected<Paid>) {
    let ((sink, rows), (late_sink, late)) = (collect(), collect());
    let mut job = Job::new("sums");
    let source = job.source("paid", VecSource::new(paid(), block));
    let paid = source.watermarks(Watermarks::bounded(Duration::from_nanos(BOUND_NS as u64)));
    let output = paid.window_all(windows(kind)).aggregate("sums", Sums::<EXACT>);
    output.main.sink("out", sink);
    output.late.sink("late", late_sink);
    (job, rows, late)
}

fn run<const EXACT: bool>(kind: usize, block: usize, options: Options) -> Given {
    let (job, rows, late) = job::<EXACT>(kind, block);
    job.run(options.pin(false)).unwrap();
    let row = |row: &Windowed<(), i64>| (row.window().start.as_nanos(), row.window().end.as_nanos(), row.value());
    let late = late.take().iter().map(|(time, paid)| (time.as_nanos(), paid.cents)).collect();
    (rows.take().iter().map(|(_, all)| row(all)).collect(), late)
}

#[test]
fn only_workers_whose_aggregate_is_exact_combine() {
    for kind in 0..KINDS {
        let is_combined = |job: Job, workers| {
            let plan = job.explain(Options::workers(workers)).unwrap().to_string();
            plan.contains("sums, parts: parts of ")
        };
        assert!(is_combined(job::<true>(kind, 64).0, 2), "windows {kind}");
        assert!(!is_combined(job::<true>(kind, 64).0, 1) && !is_combined(job::<false>(kind, 64).0, 2));
    }
}

/// Each window of each time, searched for.
fn model(kind: usize) -> Given {
    let (mut sums, mut late, mut clock) = (Vec::<(i64, i64, i64)>::new(), Vec::new(), i64::MIN);
    for Paid { time_ns, cents } in paid() {
        let watermark = clock.saturating_sub(BOUND_NS + 1);
        let all = (-10..20 + ALL as i64 / 10).flat_map(|step| {
            let start = step * 100;
            match kind {
                0 if start % 200 == 0 => vec![(start, start + 300)],
                1 => vec![(start + 30, start + 430)],
                2 if start % 500 == 0 => (1..=5).map(|steps| (start, start + steps * 100)).collect(),
                3 if start % 300 == 0 => vec![(start, start + 300)],
                _ => vec![],
            }
        });
        let open = all.filter(|(start, end)| (*start..*end).contains(&time_ns) && end - 1 > watermark);
        let mut is_late = true;
        for (start, end) in open {
            is_late = false;
            match sums.iter_mut().find(|window| (window.0, window.1) == (start, end)) {
                Some(window) => window.2 += cents,
                None => sums.push((start, end, cents)),
            }
        }
        if is_late {
            late.push((time_ns, cents));
        }
        clock = clock.max(time_ns);
    }
    sums.sort_by_key(|(_, end, _)| *end);
    (sums, late)
}

#[test]
fn any_number_of_workers_and_any_blocks_give_the_windows_of_a_plain_loop() {
    for kind in 0..KINDS {
        let expected = model(kind);
        assert!(expected.1.len() > 100);
        for workers in [1, 2, 3, 8] {
            for block in [1, 64, 4096] {
                let found = run::<true>(kind, block, Options::workers(workers));
                assert!(found == expected, "windows {kind}, {workers} workers, blocks of {block}");
            }
        }
    }
}

/// Runs a job up to its middle, and then to its end, each time with so many workers that combine or do not.
fn go_on<const BEFORE: bool, const AFTER: bool>(kind: usize, before: usize, after: usize) {
    let disk = CrashingDisk::new();
    let checkpoints =
        || CheckpointOptions::in_storage(disk.storage()).segment_bytes(4096).every_events(100).slice_bytes(64);
    let middle = Timestamp::from_nanos(ALL as i64 * 5);
    let (mut rows, mut late) =
        run::<BEFORE>(kind, 16, Options::workers(before).checkpoints(checkpoints().stop_at(middle)));
    let expected = model(kind);
    assert!(!rows.is_empty() && rows.len() < expected.0.len());
    disk.crash(before as u64);
    let rest = run::<AFTER>(kind, 16, Options::workers(after).checkpoints(checkpoints()));
    rows.extend(rest.0);
    late.extend(rest.1);
    assert!((rows, late) == expected, "windows {kind}: {before} workers ({BEFORE}), then {after} ({AFTER})");
}

#[test]
fn windows_go_on_at_any_number_of_workers_and_whether_their_rows_were_combined_or_not() {
    for kind in 0..KINDS {
        for (before, after) in [(1, 3), (3, 1), (3, 2), (2, 3), (3, 3), (1, 1)] {
            go_on::<true, true>(kind, before, after);
            go_on::<false, true>(kind, before, after);
            // What several workers have of a key cannot be put together without a merge that is exact.
            if before == 1 {
                go_on::<true, false>(kind, before, after);
            }
        }
    }
}
