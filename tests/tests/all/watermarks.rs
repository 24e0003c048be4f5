//! Watermarks that generators make of each event, and those that sources tell by themselves: the same results whatever
//! blocks, workers and pieces are.

use pelton::state::SavedJournal;
use pelton::{
    BoxError, CheckpointOptions, Collected, Event, Feed, Job, Options, PerPartition, Polled, Source, Symbol, Timestamp,
    Tumbling, VecSource, WatermarkGenerator, Watermarks, collect, count, push,
};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::marks::{Marks, SlowMarks};
use pelton_tests::rng::Rng;
use pelton_tests::rows::{assert_same, rows_of, rows_of_model};
use pelton_tests::running::{DEADLINE, finish, paced, push_in_pieces, settle};
use pelton_tests::slow::{Placed, merged, run};
use std::time::Duration;

const BLOCKS: [usize; 4] = [1, 3, 64, 4096];
const WORKERS: [usize; 4] = [1, 2, 3, 8];

fn nanos(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn sample_rows(seed: u64, events: usize) -> Vec<Sample> {
    samples(&Shape { events, keys: 4, step_ns: 10, disorder_ns: 60, seed })
}

/// The row of an event of the source of this number.
fn row_of(source: u64) -> impl Fn(&Sample) -> Row + Copy {
    move |event| Row { key: source, a: event.number as i64, b: event.time_ns }
}

/// The clock of a generator, which is the watermark and 1 ns, before each event and behind all.
fn generated<T>(events: &[T], mut generator: impl WatermarkGenerator<T>) -> Vec<i64> {
    let mut clock = i64::MIN;
    let mut clocks = vec![clock];
    clocks.extend(events.iter().map(|event| {
        if let Some(watermark) = generator.on_event(event) {
            clock = clock.max(watermark.as_nanos() + 1);
        }
        clock
    }));
    clocks
}

/// Has a source go through [`Marks`].
fn marks(source: Source<Sample>, watermarks: impl Into<Watermarks<Sample>>) -> (Job, Collected<Row>) {
    let mut job = Job::new("marks");
    let (sink, rows) = collect();
    let events = job.source("samples", source).watermarks(watermarks).map(row_of(0));
    events.key_by(|row| row.a as u64 % 5).process("marks", Marks).sink("out", sink);
    (job, rows)
}

/// A watermark at some events, which depends on all before, and may be ahead of them.
fn uneven() -> impl FnMut(&Sample) -> Option<Timestamp> + Clone + Send + Sync + 'static {
    let mut sum = 0i64;
    move |event| {
        sum = sum.wrapping_mul(31).wrapping_add(event.time_ns) % 1000;
        (sum % 3 == 0).then(|| nanos(event.time_ns - 20 + sum % 30))
    }
}

fn check_generator(generator: impl WatermarkGenerator<Sample>, what: &str) {
    let events = sample_rows(1, 300);
    let clocks = generated(&events, generator.clone());
    let placed = |(event, clock): (&Sample, &i64)| Placed { time: event.time_ns, clock: *clock, row: row_of(0)(event) };
    let rows: Vec<_> = events.iter().zip(&clocks).map(placed).collect();
    assert!(rows.iter().filter(|row| row.time < row.clock).count() > 5, "some rows of {what} are behind");
    let expected = rows_of_model(&run(&rows, clocks[events.len()], 0, SlowMarks));
    for workers in WORKERS {
        for block in BLOCKS {
            let (job, found) = marks(paced(&events, block, None), Watermarks::custom(generator.clone()));
            let report = finish(job, Options::workers(workers).pin(false));
            let what = format!("{what}, blocks of {block} on {workers} workers");
            assert_same(&rows_of(&found), &expected, &what);
            assert!(report.step("samples").unwrap().behind > 5, "{what}");
        }
        let (input, source) = push(64);
        let (job, found) = marks(source, Watermarks::custom(generator.clone()));
        let handle = job.start(Options::workers(workers).pin(false)).unwrap();
        push_in_pieces(input, &events, 32, &mut Rng::new(workers as u64));
        handle.join_within(DEADLINE).unwrap().balance().unwrap();
        assert_same(&rows_of(&found), &expected, &format!("{what}, pushed, {workers} workers"));
    }
}

#[test]
fn a_generator_gives_the_same_at_any_block_size_and_number_of_workers_and_live() {
    check_generator(uneven(), "an uneven one");
}

#[test]
fn the_oldest_partition_holds_event_time_back_until_it_is_idle() {
    let partitions = PerPartition::new(|event: &Sample| event.key % 2, Duration::ZERO);
    check_generator(partitions.clone(), "partitions");
    check_generator(partitions.idle_after(Duration::from_nanos(40)), "partitions that become idle");
}

#[test]
fn a_generator_beside_a_bounded_source_holds_the_clock_of_both_back_row_by_row() {
    let (ticks, samples) = (sample_rows(3, 200), sample_rows(4, 90));
    let clocks = generated(&samples, uneven());
    let times = [&ticks, &samples].map(|events| events.iter().map(|event| event.time_ns).collect::<Vec<_>>());
    let mut passed = 0;
    let placed = |(source, at, clock): (usize, usize, i64)| {
        let event = if source == 0 { &ticks[at] } else { &samples[at] };
        let clock = clock.min(clocks[passed]);
        passed += source;
        Placed { time: event.time_ns, clock, row: row_of(source as u64)(event) }
    };
    let rows: Vec<_> = merged(&times).into_iter().map(placed).collect();
    let end = times.iter().flatten().copied().max().unwrap().min(clocks[samples.len()]);
    let expected = rows_of_model(&run(&rows, end, 0, SlowMarks));
    for workers in WORKERS {
        for (of_ticks, of_samples) in [(1, 1), (1, 4096), (4096, 1), (3, 7), (64, 64), (4096, 4096)] {
            let mut job = Job::new("both");
            let (sink, found) = collect();
            let first = job.source("ticks", paced(&ticks, of_ticks, None)).map(row_of(0));
            let second = job.source("samples", paced(&samples, of_samples, None));
            let second = second.watermarks(Watermarks::custom(uneven())).map(row_of(1));
            first.union(second).key_by(|row| row.a as u64 % 5).process("marks", Marks).sink("out", sink);
            finish(job, Options::workers(workers).pin(false));
            let what = format!("blocks of {of_ticks} and {of_samples} on {workers} workers");
            assert_same(&rows_of(&found), &expected, &what);
        }
    }
}

#[derive(Debug, Clone, Copy, Event)]
#[repr(C)]
struct Deal {
    #[event(time)]
    time_ns: i64,
    pair: Symbol,
    number: u32,
}

#[test]
fn a_generator_sees_the_symbols_of_the_job() {
    let texts = ["a", "b", "c", "end"];
    let deals: Vec<_> = sample_rows(5, 120)
        .iter()
        .map(|event| Deal {
            time_ns: event.time_ns,
            pair: Symbol::from_id(event.number as u32 % 4),
            number: event.number as u32,
        })
        .collect();
    let row = |deal: &Deal| Row { key: 0, a: i64::from(deal.number), b: deal.time_ns };
    let clocks = generated(&deals, |deal: &Deal| (deal.pair.id() == 3).then(|| nanos(deal.time_ns)));
    let placed = |(deal, clock): (&Deal, &i64)| Placed { time: deal.time_ns, clock: *clock, row: row(deal) };
    let rows: Vec<_> = deals.iter().zip(&clocks).map(placed).collect();
    let expected = rows_of_model(&run(&rows, clocks[deals.len()], 0, SlowMarks));
    for workers in WORKERS {
        for block in BLOCKS {
            let mut job = Job::new("deals");
            // The source's own ids are others.
            let end = job.symbols().intern("end").unwrap();
            let ends = move |deal: &Deal| (deal.pair == end).then(|| nanos(deal.time_ns));
            let (sink, found) = collect();
            let source = VecSource::new(deals.clone(), block).with_symbols(texts);
            let all = job.source("deals", source).watermarks(Watermarks::custom(ends)).map(row);
            all.key_by(|row| row.a as u64 % 5).process("marks", Marks).sink("out", sink);
            finish(job, Options::workers(workers).pin(false));
            assert_same(&rows_of(&found), &expected, &format!("blocks of {block} on {workers} workers"));
        }
    }
}

const BOUND: i64 = 30;

/// Events, with watermarks that are told behind some: at some distance before the last event, or ahead of it.
fn told(seed: u64) -> Vec<(Sample, Option<i64>)> {
    let mut rng = Rng::new(seed);
    let tell = |event: Sample| {
        let watermark = (rng.below(6) == 0).then(|| event.time_ns + 20 - rng.below(60) as i64);
        (event, watermark)
    };
    sample_rows(seed, 250).into_iter().map(tell).collect()
}

fn expected_of_told(told: &[(Sample, Option<i64>)]) -> Vec<(i64, Row)> {
    let mut clock = i64::MIN;
    let mut place = |(event, watermark): &(Sample, Option<i64>)| {
        let placed = Placed { time: event.time_ns, clock, row: row_of(0)(event) };
        clock = clock.max(event.time_ns);
        if let Some(watermark) = watermark {
            clock = clock.max(watermark + BOUND + 1);
        }
        placed
    };
    let rows: Vec<_> = told.iter().map(&mut place).collect();
    rows_of_model(&run(&rows, clock, BOUND, SlowMarks))
}

#[test]
fn watermarks_that_are_pushed_stand_where_they_were_pushed_and_are_journaled() {
    for (seed, workers) in (7..15).zip(WORKERS.into_iter().cycle()) {
        let told = told(seed);
        let expected = expected_of_told(&told);
        let directory = tempfile::tempdir().unwrap();
        let bounded = || Watermarks::bounded(Duration::from_nanos(BOUND as u64));
        let (mut input, source) = push(16);
        let (job, found) = marks(source, bounded());
        let checkpoints = CheckpointOptions::in_directory(directory.path());
        let handle = job.start(Options::workers(workers).pin(false).checkpoints(checkpoints)).unwrap();
        let mut rng = Rng::new(seed);
        for (event, watermark) in &told {
            input.send_one(*event).unwrap();
            if let Some(watermark) = watermark {
                input.send_watermark(nanos(*watermark)).unwrap();
            }
            if rng.below(30) == 0 {
                std::thread::sleep(Duration::from_micros(rng.below(600)));
            }
        }
        drop(input);
        let report = handle.join_within(DEADLINE).unwrap();
        report.balance().unwrap();
        assert!(report.step("samples").unwrap().behind > 5);
        assert_same(&rows_of(&found), &expected, &format!("pushed, {workers} workers"));
        for workers in WORKERS {
            let journal = SavedJournal::open(directory.path()).unwrap();
            let (job, found) = marks(journal.events::<Sample>("samples").unwrap().into(), bounded());
            finish(job, Options::workers(workers).pin(false));
            assert_same(&rows_of(&found), &expected, &format!("from the journal, {workers} workers"));
        }
    }
}

#[test]
fn a_watermark_that_is_pushed_ends_idleness_and_moves_event_time_without_events() {
    let mut job = Job::new("heartbeats");
    let ((mut first, first_source), (mut second, second_source)) = (push(8), push(8));
    let (sink, rows) = collect();
    let one = job.source("one", first_source).map(row_of(0));
    let two = job.source("two", second_source).map(row_of(1));
    one.union(two).key_by(|_| 0).process("marks", Marks).sink("out", sink);
    let mut simulation = job.simulate(Options::workers(2)).unwrap();
    let at = |time_ns| Sample { time_ns, key: 0, value: 0, number: 0 };
    assert_eq!(first.try_send(&[at(100)]), Ok(1));
    settle(&mut simulation, 2);
    let timers = |rows: &Collected<Row>| rows_of(rows).iter().filter(|(_, row)| row.key == 10).count();
    assert_eq!(timers(&rows), 0);
    // The timer at 125 needs both sources.
    assert_eq!(first.try_send_watermark(nanos(200)), Ok(true));
    settle(&mut simulation, 2);
    assert_eq!(timers(&rows), 0);
    assert_eq!(second.try_send_watermark(nanos(124)), Ok(true));
    settle(&mut simulation, 2);
    assert_eq!(timers(&rows), 0);
    assert_eq!(second.try_send_watermark(nanos(125)), Ok(true));
    settle(&mut simulation, 2);
    assert_eq!(timers(&rows), 1);
    drop((first, second));
    settle(&mut simulation, 2);
    simulation.finish().unwrap().balance().unwrap();
}

#[test]
fn a_source_that_is_aligned_waits_for_the_slowest() {
    let at = |time_ns| Sample { time_ns, key: 0, value: 0, number: 0 };
    for workers in [1, 2] {
        let mut job = Job::new("aligned");
        let ((mut fast, fast_source), (mut slow, slow_source)) = (push(2000), push(8));
        let aligned = Watermarks::ascending().aligned_within(Duration::from_nanos(100));
        let (sink, _rows) = collect();
        let one = job.source("fast", fast_source).watermarks(aligned).map(row_of(0));
        let two = job.source("slow", slow_source).map(row_of(1));
        one.union(two).sink("out", sink);
        let mut simulation = job.simulate(Options::workers(workers).feed_block_events(1)).unwrap();
        assert_eq!(fast.try_send(&(0..1000).map(at).collect::<Vec<_>>()), Ok(1000));
        let taken = |simulation: &mut pelton::Simulation| {
            settle(simulation, workers);
            simulation.report().step("fast").unwrap().rows_in
        };
        // Of the other nothing is known: it takes what shows how far it is.
        assert_eq!(taken(&mut simulation), 1);
        assert_eq!(slow.try_send(&[at(0)]), Ok(1));
        assert_eq!(taken(&mut simulation), 102);
        assert_eq!(slow.try_send_watermark(nanos(499)), Ok(true));
        assert_eq!(taken(&mut simulation), 602);
        drop(slow);
        assert_eq!(taken(&mut simulation), 1000);
        drop(fast);
        settle(&mut simulation, workers);
        simulation.finish().unwrap().balance().unwrap();
    }
}

/// Gives one event, and a later watermark at each poll.
struct Beating(i64);

impl Feed<Sample> for Beating {
    fn poll(&mut self, _: usize, out: &mut Vec<Sample>) -> Result<Polled, BoxError> {
        self.0 += 1;
        if self.0 > 1 {
            return Ok(Polled::Pending);
        }
        out.push(Sample { time_ns: 5, key: 0, value: 0, number: 0 });
        Ok(Polled::Ready)
    }

    fn watermark(&mut self) -> Option<Timestamp> {
        Some(Timestamp::from_nanos(self.0))
    }
}

#[test]
fn watermarks_without_end_move_event_time_though_nothing_else_comes() {
    for workers in [1, 2] {
        let mut job = Job::new("beats");
        let (sink, counts) = collect();
        let beats = job.source("beats", Source::feed(Beating(0))).key_by(|row| row.key);
        let windows = beats.window(Tumbling::of(Duration::from_nanos(10)));
        windows.aggregate_with("counts", count(), |_, _, count| count).sink("out", sink);
        let mut simulation = job.simulate(Options::workers(workers)).unwrap();
        for step in 0..100 {
            simulation.step(step % workers);
        }
        assert_eq!(counts.take(), [(Timestamp::from_nanos(9), 1)], "{workers} workers");
    }
}
