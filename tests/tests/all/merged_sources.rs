//! Bounded sources merge by row: by the largest time so far, the source, the position, and by nothing else.

use pelton::{
    Chain, CoProcessFunction, Collected, Event, Job, Options, ProcessContext, Report, Stop, Stream, Timestamp,
    Watermarks, collect,
};
use pelton_tests::events::{Row, Sample};
use pelton_tests::marks::{Marks, SlowMarks};
use pelton_tests::rng::Rng;
use pelton_tests::rows::{assert_same, rows_of, rows_of_model};
use pelton_tests::running::{DEADLINE, finish, paced, wait_until};
use pelton_tests::slow::{Placed, merged, run, watermark};
use std::collections::BTreeMap;
use std::time::Duration;

const BLOCKS: [[usize; 3]; 9] = [
    [1, 1, 1],
    [1, 2, 3],
    [3, 2, 1],
    [7, 1, 64],
    [64, 64, 64],
    [1, 4096, 1],
    [4096, 1, 2],
    [4096, 4096, 4096],
    [50, 51, 1],
];

type Rows = Vec<(i64, Row)>;

/// 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Event)]
#[repr(C)]
struct Tick {
    #[event(time)]
    time_ns: i64,
    number: i64,
}

/// 40 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Event)]
#[repr(C)]
struct Wide {
    number: i64,
    more: [u8; 16],
    rest: u64,
    #[event(time)]
    time_ns: i64,
}

/// Three sources of different types.
#[derive(Clone)]
struct Input {
    ticks: Vec<Tick>,
    wides: Vec<Wide>,
    samples: Vec<Sample>,
}

const ORIGIN: i64 = 1_700_000_000_000_000_000;

impl Input {
    fn new(ticks: &[i64], wides: &[i64], samples: &[i64]) -> Self {
        let numbered = |times: &[i64]| times.iter().copied().zip(0..).collect::<Vec<(i64, i64)>>();
        let tick = |(time_ns, number)| Tick { time_ns, number };
        let wide = |(time_ns, number)| Wide { time_ns, number, more: [7; 16], rest: 1 };
        let sample = |(time_ns, number)| Sample { time_ns, key: 0, value: number, number: 0 };
        Self {
            ticks: numbered(ticks).into_iter().map(tick).collect(),
            wides: numbered(wides).into_iter().map(wide).collect(),
            samples: numbered(samples).into_iter().map(sample).collect(),
        }
    }

    /// A dense source, one with many equal times, and a sparse one with much disorder.
    fn uneven(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut times = |events: usize, start: i64, step: u64, back: u64, unit: i64| -> Vec<i64> {
            let mut now = start;
            let mut time = || {
                now += rng.below(step) as i64;
                let time = if rng.below(4) == 0 { now - rng.below(back) as i64 } else { now };
                time / unit * unit
            };
            (0..events).map(|_| time()).collect()
        };
        let ticks = times(200, ORIGIN, 5, 20, 1);
        let wides = times(120, ORIGIN - 5, 9, 80, 10);
        let samples = times(8, ORIGIN + 50, 110, 150, 1);
        Self::new(&ticks, &wides, &samples)
    }

    fn times(&self) -> [Vec<i64>; 3] {
        [
            self.ticks.iter().map(|event| event.time_ns).collect(),
            self.wides.iter().map(|event| event.time_ns).collect(),
            self.samples.iter().map(|event| event.time_ns).collect(),
        ]
    }

    /// The rows in the job's order, each with the clock before it, and the clock at the end. Events out of range are
    /// not there.
    fn rows(&self) -> (Vec<Placed<Row>>, i64) {
        let numbered =
            self.times().map(|times| times.into_iter().zip(0..).filter(|(time, _)| is_taken(*time)).collect());
        let numbered: [Vec<(i64, i64)>; 3] = numbered;
        let times = numbered.clone().map(|events| events.into_iter().map(|(time, _)| time).collect());
        let row = |(source, at, clock): (usize, usize, i64)| {
            let (time, number) = numbered[source][at];
            Placed { time, clock, row: Row { key: source as u64, a: number, b: time } }
        };
        let rows: Vec<_> = merged(&times).into_iter().map(row).collect();
        (rows, times.iter().flatten().copied().max().unwrap_or(i64::MIN))
    }

    fn events(&self) -> usize {
        self.ticks.len() + self.wides.len() + self.samples.len()
    }
}

fn is_taken(time: i64) -> bool {
    (-2_208_988_800_000_000_000..=7_258_118_400_000_000_000).contains(&time)
}

const BOUNDS: [u64; 3] = [0, 30, 10];

/// The three sources as rows that say where they come from.
fn sources(
    job: &mut Job,
    input: &Input,
    blocks: [usize; 3],
    pace: Option<f64>,
) -> (Stream<Row, impl Chain<Out = Row>>, Stream<Row, impl Chain<Out = Row>>, Stream<Row, impl Chain<Out = Row>>) {
    let bounds = BOUNDS.map(|bound| Watermarks::bounded(Duration::from_nanos(bound)));
    let [first, second, third] = bounds;
    let ticks = job.source("ticks", paced(&input.ticks, blocks[0], pace)).watermarks(first);
    let wides = job.source("wides", paced(&input.wides, blocks[1], pace)).watermarks(second);
    let samples = job.source("samples", paced(&input.samples, blocks[2], pace)).watermarks(third);
    (
        ticks.map(|event: &Tick| Row { key: 0, a: event.number, b: event.time_ns }),
        wides.map(|event: &Wide| Row { key: 1, a: event.number, b: event.time_ns }),
        samples.map(|event: &Sample| Row { key: 2, a: event.value, b: event.time_ns }),
    )
}

/// Runs a job with many sizes of blocks and numbers of workers.
fn everywhere(make: impl Fn([usize; 3], Option<f64>) -> (Job, Collected<Row>), check: impl Fn(&Rows, &Report, &str)) {
    for blocks in BLOCKS {
        for workers in [1, 2, 3, 8] {
            let (job, rows) = make(blocks, None);
            let report = finish(job, Options::workers(workers));
            check(&rows_of(&rows), &report, &format!("blocks of {blocks:?} on {workers} workers"));
        }
        for (pace, ring_bytes) in [(Some(10.0), 1 << 16), (None, 1)] {
            let (job, rows) = make(blocks, pace);
            let report = finish(job, Options::workers(3).ring_bytes(ring_bytes));
            check(&rows_of(&rows), &report, &format!("blocks of {blocks:?}, pace {pace:?}, rings of {ring_bytes} B"));
        }
    }
}

/// The union of all three, with the first declared last or first in the union.
fn union_of(input: &Input, blocks: [usize; 3], pace: Option<f64>, turned: bool) -> (Job, Collected<Row>) {
    let mut job = Job::new("union");
    let (sink, rows) = collect();
    let (ticks, wides, samples) = sources(&mut job, input, blocks, pace);
    let all = if turned { samples.union(ticks).union(wides) } else { ticks.union(wides).union(samples) };
    all.sink("out", sink);
    (job, rows)
}

#[test]
fn a_union_has_the_order_of_a_plain_merge() {
    for seed in 0..2 {
        let input = Input::uneven(seed);
        let expected = rows_of_model(&input.rows().0);
        assert_eq!(expected.len(), input.events());
        for turned in [false, true] {
            everywhere(
                |blocks, pace| union_of(&input, blocks, pace, turned),
                |rows, report, what| {
                    assert_same(rows, &expected, what);
                    assert_eq!(report.events_read(), input.events() as u64, "{what}");
                },
            );
        }
    }
}

#[test]
fn events_out_of_range_move_no_other() {
    let mut input = Input::uneven(5);
    for (at, bad) in [(0, i64::MAX), (1, i64::MIN), (70, 8_000_000_000_000_000_000), (150, -3_000_000_000_000_000_000)]
    {
        input.ticks[at].time_ns = bad;
        input.wides[(119 + 120 - at) % 120].time_ns = bad;
    }
    (input.samples[0].time_ns, input.samples[7].time_ns) = (i64::MAX, i64::MIN);
    let expected = rows_of_model(&input.rows().0);
    assert_eq!(expected.len() + 10, input.events());
    everywhere(
        |blocks, pace| union_of(&input, blocks, pace, false),
        |rows, report, what| {
            assert_same(rows, &expected, what);
            let rejected = ["ticks", "wides", "samples"].map(|name| report.step(name).unwrap().rejected);
            assert_eq!(rejected, [4, 4, 2], "{what}");
        },
    );
}

#[test]
fn empty_sources_and_sources_of_one_event_take_part() {
    let some: Vec<_> = (0..30).map(|i| ORIGIN + i * 7 % 50).collect();
    let one = [ORIGIN + 20];
    let inputs = [
        Input::new(&some, &[], &one),
        Input::new(&[], &[], &some),
        Input::new(&one, &one, &one),
        Input::new(&[], &one, &[]),
        Input::new(&[], &[], &[]),
        Input::new(&[i64::MAX, i64::MIN], &some, &[i64::MAX]),
    ];
    for input in inputs {
        let expected = rows_of_model(&input.rows().0);
        for workers in [1, 2, 3, 8] {
            for blocks in BLOCKS {
                let (job, rows) = union_of(&input, blocks, None, false);
                finish(job, Options::workers(workers));
                assert_same(&rows_of(&rows), &expected, &format!("blocks of {blocks:?} on {workers} workers"));
            }
        }
    }
}

#[test]
fn the_watermark_before_a_row_is_that_of_the_merged_order() {
    let input = Input::uneven(11);
    let (rows, end) = input.rows();
    let expected = rows_of_model(&run(&rows, end, 30, SlowMarks));
    assert!(rows.iter().filter(|row| row.time <= watermark(row.clock, 30)).count() > 5, "some rows are late");
    everywhere(
        |blocks, pace| {
            let mut job = Job::new("marks");
            let (sink, rows) = collect();
            let (ticks, wides, samples) = sources(&mut job, &input, blocks, pace);
            let all = ticks.union(wides).union(samples).key_by(|row| row.a as u64 % 5);
            all.process("marks", Marks).sink("out", sink);
            (job, rows)
        },
        |rows, _, what| assert_same(rows, &expected, what),
    );
}

#[test]
fn a_step_over_one_source_sees_the_clock_of_those_it_is_connected_with() {
    let input = Input::uneven(12);
    let (rows, end) = input.rows();
    // The clock is that of all three, the bound that of the one.
    let ticks: Vec<_> = rows.iter().filter(|placed| placed.row.key == 0).copied().collect();
    let expected = rows_of_model(&run(&ticks, end, BOUNDS[0] as i64, SlowMarks));
    everywhere(
        |blocks, pace| {
            let mut job = Job::new("one of three");
            let (sink, rows) = collect();
            let (all_sink, _all) = collect();
            let (ticks, wides, samples) = sources(&mut job, &input, blocks, pace);
            ticks.clone().key_by(|row| row.a as u64 % 5).process("marks", Marks).sink("out", sink);
            ticks.union(wides).union(samples).sink("all", all_sink);
            (job, rows)
        },
        |rows, _, what| assert_same(rows, &expected, what),
    );
}

/// Emits for each left row the last right one.
#[derive(Clone)]
struct Latest;

impl CoProcessFunction<u64> for Latest {
    type Left = Row;
    type Right = Row;
    type State = i64;
    type Out = Row;

    fn on_left(&self, key: &u64, _: Timestamp, row: &Row, latest: &mut i64, context: &mut ProcessContext<'_, Row>) {
        context.emit(Row { key: *key, a: row.a, b: *latest });
    }

    fn on_right(&self, _: &u64, _: Timestamp, row: &Row, latest: &mut i64, _: &mut ProcessContext<'_, Row>) {
        *latest = row.a + 1;
    }
}

#[test]
fn the_latest_row_of_another_source_is_that_of_a_plain_loop() {
    let input = Input::uneven(13);
    let mut latest = BTreeMap::new();
    let mut expected = Vec::new();
    for placed in input.rows().0 {
        let key = placed.row.a as u64 % 3;
        if placed.row.key == 1 {
            latest.insert(key, placed.row.a + 1);
        } else {
            let b = latest.get(&key).copied().unwrap_or(0);
            expected.push((placed.time, Row { key, a: placed.row.a, b }));
        }
    }
    everywhere(
        |blocks, pace| {
            let mut job = Job::new("latest");
            let (sink, rows) = collect();
            let (ticks, wides, samples) = sources(&mut job, &input, blocks, pace);
            let left = ticks.union(samples).key_by(|row| row.a as u64 % 3);
            left.co_process(wides.key_by(|row| row.a as u64 % 3), "latest", Latest).sink("out", sink);
            (job, rows)
        },
        |rows, report, what| {
            assert_same(rows, &expected, what);
            assert_eq!(report.step("latest").unwrap().rows_in, input.events() as u64, "{what}");
        },
    );
}

#[test]
fn draining_in_the_middle_gives_a_prefix() {
    let times = |step: i64| -> Vec<i64> { (0..6_000_000 / step).map(|i| ORIGIN + i * step * 1000).collect() };
    let input = Input::new(&times(2_000), &times(3_000), &times(500_000));
    let expected = rows_of_model(&input.rows().0);
    for workers in [1, 2, 3] {
        for blocks in [[8, 5, 1], [1, 64, 2]] {
            // Six seconds at recorded speed, stopped after some milliseconds.
            let (job, rows) = union_of(&input, blocks, Some(1.0), false);
            let handle = job.start(Options::workers(workers)).unwrap();
            wait_until("40 events are read", || handle.report().events_read() >= 40);
            handle.stop(Stop::Drain);
            let report = handle.join_within(DEADLINE).unwrap();
            report.balance().unwrap();
            let found = rows_of(&rows);
            assert_eq!(found.len() as u64, report.events_read());
            assert!(found.len() >= 40 && found.len() < expected.len(), "{} of {} rows", found.len(), expected.len());
            assert_same(&found, &expected[..found.len()], &format!("blocks of {blocks:?} on {workers} workers"));
        }
    }
}
