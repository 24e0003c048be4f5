//! What goes wrong ends the job with an error that says where; nothing hangs.

use pelton::{
    AsOf, BoxError, Error, Handle, Job, Options, ShapeError, Sink, Source, Timestamp, Tumbling, VecSource, callback,
    channel, collect, count,
};
use pelton_tests::events::{Sample, Shape, samples};
use pelton_tests::running::{DEADLINE, failure, finish, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn events() -> Vec<Sample> {
    samples(&Shape { events: 5_000, keys: 9, step_ns: 100, disorder_ns: 0, seed: 11 })
}

#[test]
fn all_mistakes_of_shape_are_told_together() {
    let mut job = Job::new("wrong");
    let source = job.source("s", VecSource::new(events(), 64));
    source.clone().key_by(|e| e.key).window(Tumbling::of(Duration::ZERO)).aggregate("s", count());
    let keys = source.map(|e| e.key).key_by(|k| *k).process("p", Pass);
    let stranger = Job::new("other").source("o", VecSource::new(events(), 1)).map(|e| e.key);
    drop(keys.union(stranger));
    let wrong = Options::workers(0).ring_bytes(0).jump_max(Duration::ZERO).jump_believed_after(0);
    let Err(Error::Shape { mistakes, .. }) = job.run(wrong) else { panic!() };
    let has = |found: fn(&ShapeError) -> bool| mistakes.iter().any(found);
    assert!(has(|m| matches!(m, ShapeError::DuplicateName(name) if name == "s")), "{mistakes:?}");
    assert!(has(|m| matches!(m, ShapeError::BadWindow(..))));
    assert!(has(|m| matches!(m, ShapeError::Unconnected(_))));
    assert!(has(|m| matches!(m, ShapeError::OtherJob(_))));
    assert!(has(|m| matches!(m, ShapeError::BadOption { option: "workers", .. })));
    assert!(has(|m| matches!(m, ShapeError::BadOption { option: "ring_bytes", .. })));
    assert!(has(|m| matches!(m, ShapeError::BadOption { option: "jump_max", .. })));
    assert!(has(|m| matches!(m, ShapeError::BadOption { option: "jump_believed_after", .. })));
}

#[test]
fn a_join_with_a_stream_of_another_job_is_one_mistake() {
    let mut job = Job::new("wrong");
    let stranger = Job::new("other").source("o", VecSource::new(events(), 1)).key_by(|event| event.key);
    let left = job.source("s", VecSource::new(events(), 64)).key_by(|event| event.key);
    left.as_of_join(stranger, AsOf::backward()).inner("join", |left, _| *left).main.sink("out", collect().0);
    let Err(Error::Shape { mistakes, .. }) = job.run(Options::workers(1)) else { panic!("the job runs") };
    assert!(matches!(&mistakes[..], [ShapeError::OtherJob(name)] if name == "o"), "{mistakes:?}");
}

#[test]
fn blocks_of_no_events_are_a_mistake_of_shape() {
    for source in [Source::from(VecSource::new(events(), 0)), Source::blocks(VecSource::new(events(), 0))] {
        let mut job = Job::new("none");
        let (sink, _rows) = collect();
        job.source("s", source).sink("out", sink);
        let Err(Error::Shape { mistakes, .. }) = job.run(Options::workers(1)) else { panic!("the job runs") };
        assert!(matches!(&mistakes[..], [ShapeError::BadSource(name, _)] if name == "s"), "{mistakes:?}");
    }
}

/// A job on two workers with a step that is stuck until the switch is set, and is stuck by now.
fn stuck(switch: &Arc<AtomicBool>) -> Handle {
    let reached = Arc::new(AtomicBool::new(false));
    let (opened, reaching) = (switch.clone(), reached.clone());
    let mut job = Job::new("stuck");
    let numbers = job.source("numbers", VecSource::new(events(), 64)).map(move |event| {
        reaching.store(true, Ordering::Relaxed);
        wait_until("the switch is set", || opened.load(Ordering::Relaxed));
        event.number
    });
    numbers.sink("out", callback(|_, _: &u64| {}));
    let handle = job.start(Options::workers(2)).unwrap();
    wait_until("the step is reached", || reached.load(Ordering::Relaxed));
    handle
}

#[test]
fn a_join_with_a_deadline_does_not_wait_for_a_step_that_is_stuck() {
    let switch = Arc::default();
    let handle = stuck(&switch);
    let (told, tell) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let start = Instant::now();
        let ended = handle.join_within(Duration::from_millis(50));
        told.send((ended, start.elapsed())).unwrap();
    });
    let told = tell.recv_timeout(Duration::from_secs(5));
    switch.store(true, Ordering::Relaxed);
    let (ended, elapsed) = told.expect("the join waits for the step");
    assert!(matches!(ended, Err(Error::Deadline(_))), "{ended:?}");
    assert!(elapsed >= Duration::from_millis(50), "{elapsed:?}");
}

#[test]
fn a_handle_that_is_dropped_waits_for_a_step_that_is_stuck_for_some_seconds_only() {
    let switch = Arc::default();
    let handle = stuck(&switch);
    let (told, tell) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let start = Instant::now();
        drop(handle);
        told.send(start.elapsed()).unwrap();
    });
    let told = tell.recv_timeout(Duration::from_secs(15));
    switch.store(true, Ordering::Relaxed);
    assert!(told.expect("the drop waits for the step") >= Duration::from_secs(4));
}

/// Passes keys on.
#[derive(Clone)]
struct Pass;

impl pelton::ProcessFunction<u64> for Pass {
    type In = u64;
    type State = u64;
    type Out = u64;
    fn on_row(&self, _: &u64, _: Timestamp, row: &u64, _: &mut u64, context: &mut pelton::ProcessContext<'_, u64>) {
        context.emit(*row);
    }
}

#[test]
fn a_panic_names_the_step_and_the_event() {
    for workers in [1, 2, 3] {
        let mut job = Job::new("panics");
        let (sink, _rows) = collect();
        job.source("numbers", VecSource::new(events(), 64))
            .map(|e| {
                assert!(e.number != 1000, "a bad number");
                e.number
            })
            .key_by(|n| *n)
            .process("pass", Pass)
            .sink("out", sink);
        let error = failure(job, Options::workers(workers)).to_string();
        assert!(error.contains("map 1 behind numbers"), "{error}");
        // 1000 = 15 * 64 + 40
        assert!(error.contains("event 40 of block 15"), "{error}");
        assert!(error.contains("a bad number"), "{error}");

        let mut job = Job::new("panics");
        let (sink, _rows) = collect();
        let keyed = job.source("numbers", VecSource::new(events(), 64)).filter(|e| e.number % 2 == 0).key_by(|e| e.key);
        let panicking = pelton::min(|e: &Sample| if e.number == 1000 { panic!("in the window") } else { e.value });
        keyed.window(Tumbling::of(Duration::from_secs(1))).aggregate("low", panicking).sink("out", sink);
        let error = failure(job, Options::workers(workers)).to_string();
        assert!(error.contains("`low`") && error.contains("event 40 of block 15"), "{error}");
    }
}

/// A sink that panics at a row.
fn panicking<T: pelton::Record>(is_bad: fn(&T) -> bool) -> impl Sink<T> {
    pelton::callback(move |_: Timestamp, row: &T| assert!(!is_bad(row), "a bad row"))
}

#[test]
fn a_panic_in_a_sink_names_the_event_or_the_block_that_caused_the_row() {
    for workers in [1, 2, 3] {
        let mut job = Job::new("panics");
        let numbers = job.source("numbers", VecSource::new(events(), 1)).map(|e| e.number);
        numbers.key_by(|_| 7u64).process("pass", Pass).sink_unordered("out", |_| panicking(|n| *n == 1000));
        let error = failure(job, Options::workers(workers)).to_string();
        assert!(error.contains("`out`") && error.contains("event 0 of block 1000"), "{error}");

        let mut job = Job::new("panics");
        let keyed = job.source("numbers", VecSource::new(events(), 64)).key_by(|e| e.key);
        let counted = keyed.window(Tumbling::of(Duration::from_secs(1))).aggregate("counted", count());
        counted.sink_unordered("out", |_| panicking(|_| true));
        let error = failure(job, Options::workers(workers)).to_string();
        assert!(error.contains("`out`") && error.contains("a row fired at"), "{error}");
    }
}

/// Refuses everything after some rows, or takes nothing.
struct Bad {
    room: usize,
    fails: bool,
}

impl Sink<u64> for Bad {
    fn write(&mut self, _: &[Timestamp], rows: &[u64]) -> Result<usize, BoxError> {
        let taken = rows.len().min(self.room);
        self.room -= taken;
        if taken == 0 && self.fails { Err("no space left".into()) } else { Ok(taken) }
    }
}

#[test]
fn a_sink_that_fails_ends_the_job_with_its_name() {
    for workers in [1, 3] {
        let mut job = Job::new("fails");
        job.source("numbers", VecSource::new(events(), 64))
            .map(|e| e.number)
            .sink("disk", Bad { room: 700, fails: true });
        let error = failure(job, Options::workers(workers));
        assert!(matches!(&error, Error::Sink { name, .. } if name == "disk"), "{error}");
        assert!(error.to_string().contains("no space left"));
    }
}

#[test]
fn a_sink_that_blocks_stops_the_sources_and_the_job_can_still_be_stopped() {
    for workers in [1, 2] {
        let mut job = Job::new("blocks");
        let source =
            VecSource::new(samples(&Shape { events: 100_000, keys: 9, step_ns: 1, disorder_ns: 0, seed: 1 }), 64);
        job.source("numbers", source).map(|e| e.number).sink("stuck", Bad { room: 100, fails: false });
        let handle = job.start(Options::workers(workers).ring_bytes(4096)).unwrap();
        wait_until("the sink is full", || handle.report().step("stuck").unwrap().rows_out >= 100);
        std::thread::sleep(Duration::from_millis(50));
        let read = handle.report().events_read();
        std::thread::sleep(Duration::from_millis(100));
        let report = handle.report();
        assert_eq!(report.step("stuck").unwrap().rows_out, 100);
        assert_eq!(report.events_read(), read, "the source goes on reading");
        assert!(read < 10_000);
        handle.stop(pelton::Stop::Now);
        assert!(handle.join_within(DEADLINE).unwrap().halted);
    }
}

#[test]
fn a_slow_reader_of_a_channel_gets_every_row() {
    let mut job = Job::new("slow");
    let (sink, mut output) = channel::<u64>(16);
    job.source("numbers", VecSource::new(events(), 64)).map(|e| e.number).sink("out", sink);
    let handle = job.start(Options::workers(2).ring_bytes(2000)).unwrap();
    for expected in 0..5_000 {
        assert_eq!(output.recv_timeout(DEADLINE).map(|(_, number)| number), Ok(expected));
    }
    assert_eq!(output.recv_timeout(DEADLINE).err(), Some(pelton::NotReceived::Ended));
    handle.join_within(DEADLINE).unwrap().balance().unwrap();
}

#[test]
fn a_reader_that_goes_away_ends_the_job() {
    let mut job = Job::new("gone");
    let (sink, output) = channel::<u64>(16);
    job.source("numbers", VecSource::new(events(), 64)).map(|e| e.number).sink("out", sink);
    drop(output);
    assert!(matches!(failure(job, Options::workers(2)), Error::Sink { .. }));
}

#[test]
fn limits_end_the_job_with_an_error() {
    let windowed = |options: Options| {
        let mut job = Job::new("limits");
        let (sink, _rows) = collect();
        let keyed = job.source("numbers", VecSource::new(events(), 64)).key_by(|e| e.key);
        keyed.window(Tumbling::of(Duration::from_nanos(1000))).aggregate("w", count()).sink("out", sink);
        failure(job, options).to_string()
    };
    assert!(windowed(Options::workers(1).keys_max(3)).contains("more than 3 keys"));
    assert!(windowed(Options::workers(2).open_windows_max(2)).contains("more than 2 windows"));
    let mut job = Job::new("fan-out");
    let (sink, _rows) = collect();
    job.source("numbers", VecSource::new(events(), 64)).flat_map(|e| 0..e.number * 1000).sink("out", sink);
    assert!(matches!(failure(job, Options::workers(2)), Error::FanOut { .. }));
}

#[test]
fn any_number_of_keyed_steps_may_follow_one_another() {
    for workers in [1, 2, 3] {
        let mut job = Job::new("deep");
        let (sink, rows) = collect();
        let mut deep =
            job.source("s", VecSource::new(events(), 64)).map(|e| e.number).key_by(|k| *k).process("p", Pass);
        for i in 0..20 {
            deep = deep.key_by(move |k| *k / (i + 1)).process(&format!("p{i}"), Pass);
        }
        deep.sink("out", sink);
        finish(job, Options::workers(workers));
        let numbers: Vec<_> = events().iter().map(|e| e.number).collect();
        assert!(rows.take().iter().map(|(_, number)| *number).eq(numbers));
    }
}
