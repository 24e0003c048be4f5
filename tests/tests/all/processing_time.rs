//! Processing time is input: jobs give what a loop over events and ticks in their journaled order gives, after crashes too.

mod model;

use model::{Debounce, Watch, debounced, row_of};
use pelton::testing::CrashingDisk;
use pelton::{
    BroadcastProcessFunction, BroadcastTable, CheckpointOptions, CoProcessFunction, Error, HashSeed, Input, Job,
    ManualClock, Options, ProcessContext, ProcessFunction, Simulation, Source, Stop, Stream, Timestamp, Timing,
    Trigger, Tumbling, VecSource, Watermarks, collect, count, push,
};
use pelton_tests::campaign;
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::rng::Rng;
use pelton_tests::running::{DEADLINE, finish, settle, wait_until};
use pelton_tests::tape::Tape;
use std::time::Duration;

type Rows = Vec<(Timestamp, Row)>;

const BOUND_NS: i64 = 3000;

fn made(events: usize, seed: u64) -> Vec<Sample> {
    samples(&Shape { events, keys: 11, step_ns: 1000, disorder_ns: 5000, seed })
}

/// A job that shows its order, and one function with timers of processing time behind another.
fn job(source: impl Into<Source<Sample>>, all: &Tape, first: &Tape, second: &Tape) -> Job {
    let mut job = Job::new("debounced");
    let watermarks = Watermarks::bounded(Duration::from_nanos(BOUND_NS as u64));
    let rows = job.source("events", source).watermarks(watermarks).map(row_of);
    rows.clone().key_by(|_| 0u8).process("watch", Watch).sink("all", all.sink());
    let debounced = rows.key_by(|row| row.key % 7).process("first", Debounce { wait_us: 30 });
    debounced.clone().sink("debounced", first.sink());
    let twice = debounced.key_by(|row| row.key % 3).process("second", Debounce { wait_us: 20 });
    twice.sink("twice", second.sink());
    job
}

/// A job that was started, and where events are pushed.
struct Started {
    simulation: Simulation,
    input: Option<Input<Sample>>,
    sent: usize,
}

/// What outlives the job.
struct World {
    events: Vec<Sample>,
    durable_first: bool,
    hash_seed: HashSeed,
    state: CrashingDisk,
    journal: CrashingDisk,
    tapes: [Tape; 3],
    clock: ManualClock,
}

impl World {
    fn new(seed: u64, rng: &mut Rng) -> Self {
        Self {
            events: made(40 + rng.below(160) as usize, seed),
            durable_first: rng.below(2) == 0,
            hash_seed: HashSeed::new(seed),
            state: CrashingDisk::new(),
            journal: CrashingDisk::new(),
            tapes: Default::default(),
            clock: ManualClock::default(),
        }
    }

    fn start(&self, workers: usize, rng: &mut Rng) -> Started {
        let (input, source) = push(1 << rng.below(6));
        let [all, first, second] = &self.tapes;
        let checkpoints = CheckpointOptions::in_storage(self.state.storage()).segment_bytes(4096);
        let checkpoints = checkpoints.journal_in_storage(self.journal.storage()).durable_first(self.durable_first);
        let options = Options::workers(workers)
            .pin(false)
            .ring_bytes(64 << rng.below(8))
            .feed_block_events(1 << rng.below(6))
            .hash_seed(self.hash_seed)
            .clock(self.clock.clone())
            .processing_time_period(Duration::from_micros(1 + rng.below(20)))
            .times(Timestamp::from_nanos(-1_000_000)..=Timestamp::from_nanos(1_000_000_000))
            .checkpoints(checkpoints);
        let simulation = job(source, all, first, second).simulate(options).unwrap();
        Started { simulation, sent: input.durable() as usize, input: Some(input) }
    }

    /// Steps the job in any order, while events come and time goes on, until it ends or so many steps were done.
    fn step(&self, started: &mut Started, (workers, steps): (usize, u64), rng: &mut Rng) -> bool {
        let Started { simulation, input, sent } = started;
        let mut idle = 0;
        for _ in 0..steps {
            if simulation.is_ended() {
                return true;
            }
            if let (0, Some(open)) = (rng.below(5), input.as_mut()) {
                let rest = &self.events[*sent..];
                *sent += open.try_send(&rest[..rest.len().min(rng.below(6) as usize)]).unwrap_or(0);
                if *sent == self.events.len() {
                    *input = None;
                }
            }
            if rng.below(9) == 0 {
                self.clock.advance(Duration::from_micros(rng.below(25)));
            }
            if rng.below(30) == 0 {
                simulation.checkpoint(false).unwrap();
            }
            if rng.below(3) == 0 {
                simulation.step_checkpoints();
            }
            if rng.below(6) == 0 {
                simulation.sync_journal();
            }
            let worker = rng.below(workers as u64) as usize;
            idle = if simulation.step(worker).made_progress() { 0 } else { idle + 1 };
            assert!(idle < 100_000, "it does not move on");
        }
        false
    }

    fn rows(&self) -> [Rows; 3] {
        [0, 1, 2].map(|tape: usize| self.tapes[tape].rows())
    }

    /// What the journal gives when it is read from its start.
    fn replayed(&self, workers: usize, rng: &mut Rng) -> [Rows; 3] {
        let again = Self {
            events: self.events.clone(),
            state: CrashingDisk::new(),
            journal: CrashingDisk::with_bytes(self.journal.bytes()),
            tapes: Default::default(),
            clock: ManualClock::default(),
            ..*self
        };
        let Started { mut simulation, input, .. } = again.start(workers, rng);
        drop(input);
        for _ in 0..1_000_000 {
            if simulation.is_ended() {
                break;
            }
            simulation.step(rng.below(workers as u64) as usize);
            simulation.step_checkpoints();
            simulation.sync_journal();
        }
        simulation.finish().unwrap().balance().unwrap();
        again.rows()
    }
}

/// Runs a job that crashes or stops some times and goes on at other numbers of workers; how often it went on, and how many
/// timers fired.
fn hold(seed: u64) -> (u64, usize) {
    let mut rng = Rng::new(seed);
    let mut world = World::new(seed, &mut rng);
    let mut runs = 0;
    let report = loop {
        let workers = 1 + rng.below(3) as usize;
        let most = 1 << (2 + rng.below(9));
        let steps = if runs > 5 { 5_000_000 } else { 1 + rng.below(most) };
        let mut started = world.start(workers, &mut rng);
        let mut is_ended = world.step(&mut started, (workers, steps), &mut rng);
        if !is_ended && rng.below(4) == 0 {
            started.simulation.checkpoint(true).unwrap();
            is_ended = world.step(&mut started, (workers, 300), &mut rng);
        }
        let simulation = started.simulation;
        let at_savepoint = simulation.report().recovery.is_some_and(|recovery| recovery.at_savepoint);
        if is_ended && !at_savepoint {
            break simulation.finish().unwrap();
        }
        drop(simulation);
        runs += 1;
        assert!(runs < 20, "seed {seed}: the job does not come to its end");
        world.state.crash(rng.next_u64());
        world.journal.crash(rng.next_u64());
        if rng.below(4) == 0 {
            // The clock was set back: processing time stands still until it has come there again.
            world.clock = ManualClock::default();
        }
    };
    report.balance().unwrap();
    assert_eq!(report.step("events").unwrap().rows_in, world.events.len() as u64);
    assert_eq!(report.step("processing time of events").unwrap().behind, 0);
    let [all, first, second] = world.rows();
    let order = model::order(&all, &world.events);
    let (once, twice) = debounced(&order, BOUND_NS);
    assert!(first == once, "seed {seed}: other rows of the first function");
    assert!(second == twice, "seed {seed}: other rows of the second function");
    let fired = first.iter().chain(&second).filter(|(_, row)| row.a == -1).count();
    let workers = 1 + rng.below(3) as usize;
    assert!(world.replayed(workers, &mut rng) == [all, first, second], "seed {seed}: another replay of the journal");
    (runs, fired)
}

#[test]
fn jobs_that_crash_anywhere_see_the_ticks_that_they_saw() {
    let seeds = campaign::seeds(60);
    let count = seeds.end - seeds.start;
    let (mut runs, mut fired) = (0, 0);
    for seed in seeds {
        let (times, timers) = hold(seed);
        (runs, fired) = (runs + times, fired + timers);
    }
    println!("{runs} times a job went on, {fired} timers fired");
    assert!((runs > count && fired as u64 > 50 * count) || count == 1, "{runs} times, {fired} timers fired");
}

#[test]
fn replays_of_bounded_sources_have_no_processing_time() {
    let events = made(300, 5);
    let order: Vec<_> = events.iter().map(|event| model::Item::Event(row_of(event), event.time_ns)).collect();
    let (once, twice) = debounced(&order, BOUND_NS);
    for workers in [1, 2, 3, 8] {
        for block in [1, 64, 4096] {
            let tapes: [Tape; 3] = Default::default();
            let [all, first, second] = &tapes;
            let report =
                finish(job(VecSource::new(events.clone(), block), all, first, second), Options::workers(workers));
            assert!((first.rows(), second.rows()) == (once.clone(), twice.clone()), "{workers} workers, {block}");
            assert!(report.steps.iter().all(|step| !step.name.contains("processing time")));
        }
    }
    assert!(once.iter().all(|(_, row)| row.b == i64::MIN) && once.len() == events.len());
}

/// Says a row again when time has gone on by a microsecond.
#[derive(Clone)]
struct Echo;

impl ProcessFunction<u64> for Echo {
    type In = Sample;
    type State = Sample;
    type Out = Row;
    const PROCESSING_TIME: bool = true;

    fn on_row(&self, _: &u64, _: Timestamp, row: &Sample, kept: &mut Sample, context: &mut ProcessContext<'_, Row>) {
        *kept = *row;
        context.processing_timer(context.processing_time() + Duration::from_micros(1));
    }

    fn on_processing_timer(&self, _: &u64, time: Timestamp, kept: &mut Sample, context: &mut ProcessContext<'_, Row>) {
        context.emit(Row { key: kept.key, a: kept.value, b: time.as_nanos() });
    }
}

impl CoProcessFunction<u64> for Echo {
    type Left = Sample;
    type Right = Sample;
    type State = Sample;
    type Out = Row;
    const PROCESSING_TIME: bool = true;

    fn on_left(
        &self,
        key: &u64,
        time: Timestamp,
        row: &Sample,
        kept: &mut Sample,
        context: &mut ProcessContext<'_, Row>,
    ) {
        ProcessFunction::on_row(self, key, time, row, kept, context);
    }

    fn on_right(
        &self,
        key: &u64,
        time: Timestamp,
        row: &Sample,
        kept: &mut Sample,
        context: &mut ProcessContext<'_, Row>,
    ) {
        ProcessFunction::on_row(self, key, time, row, kept, context);
    }

    fn on_processing_timer(
        &self,
        key: &u64,
        time: Timestamp,
        kept: &mut Sample,
        context: &mut ProcessContext<'_, Row>,
    ) {
        ProcessFunction::on_processing_timer(self, key, time, kept, context);
    }
}

impl BroadcastProcessFunction<u64> for Echo {
    type In = Sample;
    type Broadcast = Sample;
    type TableKey = u64;
    type TableValue = i64;
    type State = Sample;
    type Out = Row;
    const PROCESSING_TIME: bool = true;

    fn on_row(
        &self,
        key: &u64,
        time: Timestamp,
        row: &Sample,
        kept: &mut Sample,
        _: &BroadcastTable<u64, i64>,
        context: &mut ProcessContext<'_, Row>,
    ) {
        ProcessFunction::on_row(self, key, time, row, kept, context);
    }

    fn on_broadcast(&self, _: Timestamp, row: &Sample, table: &mut BroadcastTable<u64, i64>) {
        table.insert(0, row.value);
    }

    fn on_processing_timer(
        &self,
        key: &u64,
        time: Timestamp,
        kept: &mut Sample,
        table: &BroadcastTable<u64, i64>,
        context: &mut ProcessContext<'_, Row>,
    ) {
        kept.value += table.get(&0).copied().unwrap_or(0);
        ProcessFunction::on_processing_timer(self, key, time, kept, context);
    }
}

fn event(number: u64) -> Sample {
    Sample { time_ns: 1_700_000_000_000_000_000 + number as i64, key: number, value: 10, number }
}

/// Pushes events into two sources and moves the clock while nothing else comes: what the job gives then.
fn idle(workers: usize, build: impl Fn(Stream<Sample>, Stream<Sample>) -> Stream<Row>) -> Vec<Row> {
    let ((mut left, left_source), (mut right, right_source)) = (push(16), push(16));
    let clock = ManualClock::default();
    let mut job = Job::new("idle");
    let (sink, rows) = collect();
    let streams = (job.source("left", left_source), job.source("right", right_source));
    build(streams.0, streams.1).sink("out", sink);
    let mut simulation = job.simulate(Options::workers(workers).pin(false).clock(clock.clone())).unwrap();
    right.send(&[event(9)]).unwrap();
    settle(&mut simulation, workers);
    left.send(&[event(2), event(1)]).unwrap();
    settle(&mut simulation, workers);
    assert!(rows.take().is_empty(), "nothing is due");
    // Less than a period, and then a whole one.
    clock.advance(Duration::from_millis(9));
    settle(&mut simulation, workers);
    assert!(rows.take().is_empty(), "no tick has come");
    clock.advance(Duration::from_millis(1));
    settle(&mut simulation, workers);
    let given = rows.take().into_iter().map(|(_, row)| row).collect();
    drop((left, right));
    settle(&mut simulation, workers);
    assert!(simulation.is_ended(), "ticks keep no job from its end");
    simulation.finish().unwrap().balance().unwrap();
    given
}

#[test]
fn functions_of_all_kinds_and_windows_fire_though_no_event_comes() {
    let row = |key, a| Row { key, a, b: 1000 };
    for workers in [1, 2, 3, 8] {
        let given = idle(workers, |left, right| {
            right.sink("right rows", pelton::callback(|_, _: &Sample| ()));
            left.key_by(|event| event.key).process("echo", Echo)
        });
        assert_eq!(given, [row(1, 10), row(2, 10)], "{workers} workers");
        let given = idle(workers, |left, right| {
            left.key_by(|event| event.key).co_process(right.key_by(|event| event.key), "echo", Echo)
        });
        assert_eq!(given, [row(1, 10), row(2, 10), row(9, 10)], "{workers} workers, of two streams");
        let given =
            idle(workers, |left, right| left.key_by(|event| event.key).process_with_broadcast(right, "echo", Echo));
        assert_eq!(given, [row(1, 20), row(2, 20)], "{workers} workers, with a table");
        let given = idle(workers, |left, right| {
            right.sink("right rows", pelton::callback(|_, _: &Sample| ()));
            let trigger = Trigger::watermark().early_every_processing(Duration::from_millis(10));
            let windows = left.key_by(|event| event.key).window(Tumbling::of(Duration::from_secs(60))).trigger(trigger);
            windows
                .aggregate_with("counted", count(), |pane, key, rows| Row {
                    key: *key,
                    a: rows as i64,
                    b: i64::from(pane.timing == Timing::Early),
                })
                .main
        });
        let early = |key| Row { key, a: 1, b: 1 };
        assert_eq!(given, [early(1), early(2)], "{workers} workers, of windows");
    }
}

#[test]
fn a_timer_fires_by_the_clock_of_the_machine() {
    let (mut input, source) = push(16);
    let mut job = Job::new("real time");
    let (sink, rows) = collect();
    job.source("events", source).key_by(|event: &Sample| event.key).process("echo", Echo).sink("out", sink);
    let handle = job.start(Options::workers(2).pin(false)).unwrap();
    input.send(&[event(3)]).unwrap();
    let mut given = Vec::new();
    wait_until("a timer that fires", || {
        given.extend(rows.take());
        !given.is_empty()
    });
    // The time of day, some time after this was written.
    assert!(given.len() == 1 && given[0].1.b > 1_700_000_000_000_000_000, "{given:?}");
    // Ticks keep no job from draining.
    handle.stop(Stop::Drain);
    handle.join_within(DEADLINE).unwrap().balance().unwrap();
    drop(input);
}

#[test]
fn sources_that_share_no_order_have_ticks_of_their_own() {
    let ((left, left_source), (right, right_source)) = (push::<Sample>(16), push::<Sample>(16));
    let mut job = Job::new("two orders");
    for (name, source) in [("left", left_source), ("right", right_source)] {
        let stream = job.source(name, source).key_by(|event: &Sample| event.key);
        stream.process(&format!("{name} echo"), Echo).sink(&format!("{name} out"), collect().0);
    }
    drop((left, right));
    let report = finish(job, Options::workers(2));
    let ticks = |name: &str| report.step(&format!("processing time of {name}")).is_some();
    assert!(ticks("left") && ticks("right"));
}

/// Asks for what it does not say it needs.
#[derive(Clone)]
struct Undeclared;

impl ProcessFunction<u64> for Undeclared {
    type In = Sample;
    type State = u64;
    type Out = Row;

    fn on_row(&self, _: &u64, _: Timestamp, _: &Sample, _: &mut u64, context: &mut ProcessContext<'_, Row>) {
        context.processing_timer(Timestamp::from_nanos(5));
    }
}

#[test]
fn a_function_that_does_not_say_that_it_needs_processing_time_ends_the_job_with_an_error() {
    let mut job = Job::new("undeclared");
    let stream = job.source("events", VecSource::new(vec![event(1)], 64)).key_by(|event| event.key);
    stream.process("asks", Undeclared).sink("out", collect().0);
    let Err(Error::Panicked { step, message, .. }) = job.run(Options::workers(1)) else { panic!("it asks") };
    assert!(step == "asks" && message.contains("PROCESSING_TIME"), "{step}: {message}");
}

#[test]
fn a_period_of_nothing_is_a_mistake() {
    let mut job = Job::new("no period");
    job.source("events", VecSource::new(vec![event(1)], 64)).sink("out", collect().0);
    let error = job.run(Options::workers(1).processing_time_period(Duration::ZERO)).unwrap_err();
    assert!(error.to_string().contains("processing_time_period"), "{error}");
}
