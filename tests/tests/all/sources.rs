//! Sources that end, pause, drain or lie.

use pelton::{
    BlockReader, BlockSource, BlockSummary, BoxError, Error, Feed, Job, ManualClock, Options, Polled, ProcessContext,
    ProcessFunction, Source, Stop, Timestamp, Tumbling, VecSource, Watermarks, callback, collect, count, push,
};
use pelton_tests::events::{Sample, Shape, samples};
use pelton_tests::running::{DEADLINE, failure, finish, settle, wait_until};
use std::time::Duration;

fn at(time_ns: i64) -> Sample {
    Sample { time_ns, key: 1, value: 1, number: 0 }
}

fn windows() -> Tumbling {
    Tumbling::of(Duration::from_nanos(1000))
}

#[test]
fn an_ended_source_holds_nobody_back() {
    let mut job = Job::new("ended");
    let (sink, rows) = collect();
    let (mut input, source) = push::<Sample>(1 << 12);
    let ended = job.source("ended", VecSource::new(vec![at(5)], 16));
    let live = job.source("live", source);
    ended.union(live).key_by(|e| e.key).window(windows()).aggregate("w", count()).sink("out", sink);
    let mut simulation = job.simulate(Options::workers(1)).unwrap();
    (0..50).for_each(|i| input.send(&[at(i * 1000)]).unwrap());
    settle(&mut simulation, 1);
    assert_eq!(rows.take().len(), 49);
}

#[test]
fn a_short_capture_beside_a_long_one_keeps_few_windows_open() {
    for workers in [1, 2] {
        let mut job = Job::new("short");
        let (sink, rows) = collect();
        let short = job.source("short", VecSource::new(vec![at(5)], 16));
        let empty = job.source("empty", VecSource::new(Vec::<Sample>::new(), 16));
        let long = job.source("long", VecSource::new((0..2000).map(|i| at(i * 1000)).collect(), 16));
        let all = short.union(empty).union(long);
        all.key_by(|e| e.key).window(windows()).aggregate("w", count()).sink("out", sink);
        finish(job, Options::workers(workers).open_windows_max(100));
        assert_eq!(rows.take().len(), 2000);
    }
}

#[test]
fn an_idle_source_holds_nobody_back_and_its_return_opens_no_window_again() {
    let clock = ManualClock::default();
    let mut job = Job::new("idle");
    let (sink, rows) = collect();
    let (mut quiet_input, quiet) = push::<Sample>(64);
    let (mut live_input, live) = push::<Sample>(64);
    let quiet = job.source("quiet", quiet).watermarks(Watermarks::ascending().idle_after(Duration::from_millis(50)));
    let live = job.source("live", live);
    quiet.union(live).key_by(|e| e.key).window(windows()).aggregate("w", count()).sink("out", sink);
    let mut simulation = job.simulate(Options::workers(1).clock(clock.clone())).unwrap();
    quiet_input.send(&[at(10)]).unwrap();
    live_input.send(&[at(0), at(1000), at(2000), at(3000)]).unwrap();
    settle(&mut simulation, 1);
    assert_eq!(rows.take().len(), 0, "the quiet source is at 10 ns");
    clock.advance(Duration::from_millis(60));
    settle(&mut simulation, 1);
    assert_eq!(rows.take().len(), 3, "the quiet source is idle");
    quiet_input.send(&[at(20), at(1020)]).unwrap();
    settle(&mut simulation, 1);
    drop((quiet_input, live_input));
    settle(&mut simulation, 1);
    assert!(simulation.is_ended());
    let report = simulation.finish().unwrap();
    report.balance().unwrap();
    assert_eq!(report.step("w").unwrap().late, 2);
    assert_eq!(rows.take().len(), 1);
}

#[test]
fn an_event_out_of_range_does_not_stop_a_paced_replay() {
    for bad in [i64::MAX, 8_000_000_000_000_000_000] {
        let mut input = samples(&Shape { events: 100, keys: 3, step_ns: 100, disorder_ns: 0, seed: 1 });
        (input[0].time_ns, input[50].time_ns) = (bad, bad);
        let mut job = Job::new("paced");
        let (sink, rows) = collect();
        job.source("s", Source::from(VecSource::new(input, 16)).speed(1.0)).sink("out", sink);
        finish(job, Options::workers(1));
        assert_eq!(rows.take().len(), 98);
    }
}

#[test]
fn sources_at_recorded_speed_share_one_time() {
    let clock = ManualClock::default();
    let mut job = Job::new("shared");
    let (sink, rows) = collect();
    let early = job.source("early", Source::from(VecSource::new(vec![at(0)], 1)).speed(1.0));
    let late = job.source("late", Source::from(VecSource::new(vec![at(1_000_000_000)], 1)).speed(1.0));
    early.union(late).sink("out", sink);
    let mut simulation = job.simulate(Options::workers(1).clock(clock.clone())).unwrap();
    settle(&mut simulation, 1);
    assert_eq!(rows.take().len(), 1);
    clock.advance(Duration::from_secs(1));
    settle(&mut simulation, 1);
    assert_eq!(rows.take().len(), 1);
    assert!(simulation.is_ended());
}

/// The results of windows and timers of a replay at recorded speed come when event time does, in the middle of blocks
/// and whoever reads those.
#[test]
fn results_of_a_paced_replay_come_at_the_pace_of_event_time() {
    for (workers, block) in [(1, 4096), (2, 4096), (2, 7), (8, 1)] {
        let clock = ManualClock::default();
        let mut job = Job::new("paced");
        let (sink, rows) = collect();
        let input: Vec<Sample> = (0..4096).map(|second| at(second * 1_000_000_000)).collect();
        let seconds = job.source("s", Source::from(VecSource::new(input, block)).speed(1.0)).key_by(|row| row.key);
        let windows = seconds.window(Tumbling::of(Duration::from_secs(10))).aggregate("w", count());
        windows.sink("out", sink);
        let mut simulation = job.simulate(Options::workers(workers).clock(clock.clone())).unwrap();
        for ended in 0..6 {
            settle(&mut simulation, workers);
            let ends: Vec<_> = rows.take().iter().map(|(_, row)| (row.window().end.as_nanos(), row.value())).collect();
            let expected = if ended == 0 { vec![] } else { vec![(ended * 10_000_000_000, 10)] };
            assert_eq!(ends, expected, "{workers} workers, blocks of {block}");
            clock.advance(Duration::from_secs(10));
        }
    }
}

/// Always has more.
struct Endless(i64);

impl Feed<Sample> for Endless {
    fn poll(&mut self, room: usize, out: &mut Vec<Sample>) -> Result<Polled, BoxError> {
        for _ in 0..room.min(64) {
            self.0 += 1;
            out.push(at(self.0));
        }
        Ok(Polled::Ready)
    }
}

#[test]
fn draining_ends_a_feed_that_always_has_more() {
    let mut job = Job::new("endless");
    job.source("s", Source::feed(Endless(0))).sink("out", callback(|_, _: &Sample| {}));
    let handle = job.start(Options::workers(1)).unwrap();
    wait_until("an event is read", || handle.report().events_read() > 0);
    handle.stop(Stop::Drain);
    handle.join_within(DEADLINE).unwrap().balance().unwrap();
}

#[test]
fn draining_does_not_wait_for_a_recorded_hour() {
    let mut job = Job::new("gap");
    let (sink, rows) = collect();
    job.source("s", Source::from(VecSource::new(vec![at(0), at(3_600_000_000_000)], 16)).speed(1.0)).sink("out", sink);
    let handle = job.start(Options::workers(1)).unwrap();
    wait_until("an event is read", || handle.report().events_read() > 0);
    handle.stop(Stop::Drain);
    handle.join_within(DEADLINE).unwrap().balance().unwrap();
    assert_eq!(rows.take().len(), 2);
}

/// Gives events and says that there are none now.
struct Shy(Vec<Sample>);

impl Feed<Sample> for Shy {
    fn poll(&mut self, _: usize, out: &mut Vec<Sample>) -> Result<Polled, BoxError> {
        let polled = if self.0.is_empty() { Polled::End } else { Polled::Pending };
        out.append(&mut self.0);
        Ok(polled)
    }
}

#[test]
fn events_that_come_with_pending_are_taken() {
    let mut job = Job::new("shy");
    let (sink, rows) = collect();
    job.source("s", Source::feed(Shy(vec![at(1), at(2)]))).sink("out", sink);
    finish(job, Options::workers(1));
    assert_eq!(rows.take().len(), 2);
}

/// Gives all its events with its end.
struct AtOnce(Vec<Sample>);

impl Feed<Sample> for AtOnce {
    fn poll(&mut self, _: usize, out: &mut Vec<Sample>) -> Result<Polled, BoxError> {
        out.append(&mut self.0);
        Ok(Polled::End)
    }
    fn backlog(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn a_job_that_drains_takes_events_that_come_with_the_end() {
    let mut job = Job::new("at_once");
    let (sink, rows) = collect();
    job.source("s", Source::feed(AtOnce(vec![at(1), at(2), at(3)]))).sink("out", sink);
    let mut simulation = job.simulate(Options::workers(1)).unwrap();
    simulation.stop(Stop::Drain);
    settle(&mut simulation, 1);
    assert!(simulation.is_ended());
    simulation.finish().unwrap().balance().unwrap();
    assert_eq!(rows.take().len(), 3);
}

/// The clock moves on within what comes at once, and the other feed waits behind it.
#[test]
fn a_feed_beside_another_may_give_more_at_once_than_rings_have_room_for() {
    for workers in 1..4 {
        let mut job = Job::new("beside");
        let (sink, rows) = collect();
        let ((mut first, first_source), (mut second, second_source)) = (push::<Sample>(1 << 10), push::<Sample>(16));
        let (one, two) = (job.source("one", first_source), job.source("two", second_source));
        one.union(two).key_by(|e| e.key).process("timed", Echo).sink("out", sink);
        let mut simulation = job.simulate(Options::workers(workers).ring_bytes(64)).unwrap();
        second.send(&[at(5_000_000)]).unwrap();
        settle(&mut simulation, workers);
        let many: Vec<_> = (0..1000).map(|i| Sample { key: i % 7, ..at(i as i64 * 1000) }).collect();
        first.send(&many).unwrap();
        drop((first, second));
        settle(&mut simulation, workers);
        settle(&mut simulation, workers);
        assert!(simulation.is_ended(), "{workers} workers: it does not move on");
        simulation.finish().unwrap().balance().unwrap();
        assert_eq!(rows.take().len(), 1001);
    }
}

/// Gives each row on.
#[derive(Clone)]
struct Echo;

impl ProcessFunction<u64> for Echo {
    type In = Sample;
    type State = u64;
    type Out = u64;
    fn on_row(&self, _: &u64, _: Timestamp, row: &Sample, _: &mut u64, context: &mut ProcessContext<'_, u64>) {
        context.emit(row.number);
    }
}

/// Renews its timer 1 ns later, for ever.
#[derive(Clone)]
struct Renew;

impl ProcessFunction<u64> for Renew {
    type In = Sample;
    type State = u64;
    type Out = u64;
    fn on_row(&self, _: &u64, time: Timestamp, _: &Sample, _: &mut u64, context: &mut ProcessContext<'_, u64>) {
        context.timer(time);
    }
    fn on_timer(&self, _: &u64, time: Timestamp, fired: &mut u64, context: &mut ProcessContext<'_, u64>) {
        *fired += 1;
        // Each row is a sign that it still goes on, and few enough to be kept.
        if fired.is_power_of_two() {
            context.emit(*fired);
        }
        context.timer(time + Duration::from_nanos(1));
    }
}

#[test]
fn a_job_whose_timers_never_end_can_be_stopped() {
    let (mut input, source) = push::<Sample>(16);
    let mut job = Job::new("renew");
    let (sink, rows) = collect();
    job.source("s", source).key_by(|e| e.key).process("renew", Renew).sink("out", sink);
    let handle = job.start(Options::workers(1).jump_max(Duration::MAX)).unwrap();
    // The second event's watermark lets the first one's timer fire for some hundreds of years.
    input.send(&[at(1), at(i64::MAX / 2)]).unwrap();
    wait_until("a timer fires", || {
        assert!(!handle.is_finished(), "no timer fires");
        !rows.take().is_empty()
    });
    handle.stop(Stop::Now);
    assert!(handle.join_within(DEADLINE).unwrap().halted);
}

/// A source whose index or reader is wrong.
struct Wrong {
    index: Vec<BlockSummary>,
    fails: bool,
}

struct WrongReader {
    events: [Sample; 2],
    fails: bool,
}

impl BlockSource<Sample> for Wrong {
    fn blocks(&self) -> &[BlockSummary] {
        &self.index
    }
    fn reader(&self) -> Result<Box<dyn BlockReader<Sample>>, BoxError> {
        Ok(Box::new(WrongReader { events: [at(5), at(9)], fails: self.fails }))
    }
}

impl BlockReader<Sample> for WrongReader {
    fn load(&mut self, block: usize) -> Result<(), BoxError> {
        if self.fails { Err(format!("block {block} is damaged").into()) } else { Ok(()) }
    }
    fn events(&self) -> &[Sample] {
        &self.events
    }
}

#[test]
fn an_index_that_lies_and_a_reader_that_fails_end_the_job_with_their_words() {
    let summary =
        |count, min, max| BlockSummary { count, min: Timestamp::from_nanos(min), max: Timestamp::from_nanos(max) };
    for (index, fails, words) in [
        (summary(2, 5, 9), true, "block 0 is damaged"),
        (summary(3, 5, 9), false, "2 events"),
        (summary(2, 4, 9), false, "from 1970-01-01T00:00:00.000000004Z"),
        (summary(2, 5, 8), false, "to 1970-01-01T00:00:00.000000008Z"),
        // Beyond the job's range, so that the block is looked at before the job runs.
        (summary(2, 5, i64::MAX), false, "to 1970-01-01T00:00:00.000000009Z"),
    ] {
        for workers in [1, 2] {
            let mut job = Job::new("wrong");
            let (sink, _rows) = collect();
            job.source("s", Source::blocks(Wrong { index: vec![index], fails })).sink("out", sink);
            let ended = job.start(Options::workers(workers)).and_then(|handle| handle.join_within(DEADLINE));
            let error = ended.unwrap_err();
            assert!(matches!(error, Error::Source { .. }), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

/// A source of one block, whose index and reader lend so many events.
fn of_one_block(lent: usize, index: BlockSummary) -> Source<Sample> {
    Source::blocks(Lends { lent, index: [index] })
}

struct Lends {
    lent: usize,
    index: [BlockSummary; 1],
}

impl BlockSource<Sample> for Lends {
    fn blocks(&self) -> &[BlockSummary] {
        &self.index
    }
    fn reader(&self) -> Result<Box<dyn BlockReader<Sample>>, BoxError> {
        Ok(Box::new(Lent(vec![at(5); self.lent])))
    }
}

struct Lent(Vec<Sample>);

impl BlockReader<Sample> for Lent {
    fn load(&mut self, _: usize) -> Result<(), BoxError> {
        Ok(())
    }
    fn events(&self) -> &[Sample] {
        &self.0
    }
}

#[test]
fn a_block_without_events_ends_the_job_with_its_number() {
    let index = |count, max| BlockSummary { count, min: Timestamp::from_nanos(5), max: Timestamp::from_nanos(max) };
    // Of the last, the block is looked at before the job runs.
    for (lent, index) in [(1, index(0, 5)), (0, index(0, 5)), (0, index(1, 5)), (0, index(1, i64::MAX))] {
        for workers in [1, 2] {
            let mut job = Job::new("empty");
            let (sink, _rows) = collect();
            job.source("s", of_one_block(lent, index)).sink("out", sink);
            let ended = job.start(Options::workers(workers)).and_then(|handle| handle.join_within(DEADLINE));
            let error = ended.unwrap_err();
            assert!(matches!(&error, Error::Source { name, .. } if name == "s"), "{error}");
            assert!(error.to_string().contains("block 0 has no events"), "{error}");
        }
    }
}

/// Gives an event at each poll; what it says it rejected falls after the second.
struct Forgetful(i64);

impl Feed<Sample> for Forgetful {
    fn poll(&mut self, _: usize, out: &mut Vec<Sample>) -> Result<Polled, BoxError> {
        self.0 += 1;
        out.push(at(self.0));
        Ok(if self.0 < 5 { Polled::Ready } else { Polled::End })
    }
    fn rejected(&self) -> u64 {
        if self.0 < 3 { 7 } else { 4 }
    }
}

#[test]
fn a_count_of_rejected_input_that_falls_ends_the_job() {
    let mut job = Job::new("forgetful");
    let (sink, _rows) = collect();
    job.source("s", Source::feed(Forgetful(0))).sink("out", sink);
    let error = failure(job, Options::workers(1));
    assert!(matches!(&error, Error::Source { name, .. } if name == "s"), "{error}");
    assert!(error.to_string().contains("at block 2") && error.to_string().contains("from 7 to 4"), "{error}");
}
