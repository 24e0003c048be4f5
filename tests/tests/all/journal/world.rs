//! The outside world of a simulated job with live sources: what comes, on which disks it is kept, and where rows go.

use super::archive::Archive;
use pelton::testing::CrashingDisk;
use pelton::{
    BoxError, CheckpointOptions, DurableInput, Event, Feed, HashSeed, Input, InputCount, Job, JournalKeep, ManualClock,
    Options, Polled, Report, Simulation, Source, Symbol, Timestamp, Tumbling, VecSource, Watermarks, push,
};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::{BOUND_NS, Kind, OrderHash, Running, WINDOW_NS, job_into};
use pelton_tests::rng::Rng;
use pelton_tests::tape::Tape;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(super) type Rows = Vec<(Timestamp, Row)>;

fn bounded() -> Watermarks {
    Watermarks::bounded(Duration::from_nanos(BOUND_NS))
}

/// An event with a symbol.
#[derive(Debug, Clone, Copy, Event)]
#[repr(C)]
pub(super) struct Deal {
    #[event(time)]
    time_ns: i64,
    pair: Symbol,
    number: u32,
}

/// Input from outside that is written bit by bit; what is no event is rejected.
struct Lines {
    items: Arc<Vec<Option<Sample>>>,
    written: Arc<AtomicUsize>,
    at: usize,
    /// Where it last told a watermark.
    told: usize,
    rejected: u64,
}

impl Feed<Sample> for Lines {
    fn go_on(&mut self, durable: &DurableInput) -> Result<(), BoxError> {
        let InputCount { events, rejected } = durable.count();
        self.at = (events + rejected) as usize;
        let before = self.items[..self.at].iter();
        assert_eq!(before.filter(|item| item.is_some()).count() as u64, events, "events and others are told together");
        Ok(())
    }

    fn poll(&mut self, room: usize, out: &mut Vec<Sample>) -> Result<Polled, BoxError> {
        let end = self.written.load(Ordering::Acquire).min(self.at + room.min(7));
        for item in &self.items[self.at..end] {
            match item {
                Some(event) => out.push(*event),
                None => self.rejected += 1,
            }
        }
        self.at = end;
        Ok(if self.at == self.items.len() { Polled::End } else { Polled::Pending })
    }

    fn backlog(&self) -> usize {
        self.items[self.at..self.written.load(Ordering::Acquire)].iter().flatten().count()
    }

    fn watermark(&mut self) -> Option<Timestamp> {
        let last = self.items[..self.at].iter().flatten().next_back()?;
        let is_told = self.at.is_multiple_of(11) && self.at != self.told;
        self.told = self.at;
        is_told.then(|| Timestamp::from_nanos(last.time_ns))
    }

    fn rejected(&self) -> u64 {
        self.rejected
    }
}

/// The outside world of a job, which outlives it.
pub(super) struct World {
    /// One of the jobs that stress the order, over one input, or one over several.
    kind: Option<Kind>,
    ticks: Vec<Sample>,
    deals: Vec<(i64, String)>,
    days: Vec<Sample>,
    pub(super) lines: Arc<Vec<Option<Sample>>>,
    pub(super) written: Arc<AtomicUsize>,
    custom: bool,
    durable_first: bool,
    keep: JournalKeep,
    hash_seed: HashSeed,
    pub(super) state: CrashingDisk,
    pub(super) journal: CrashingDisk,
    /// What was cut of the journal.
    pub(super) archive: Archive,
    pub(super) out: Tape,
    pub(super) late: Tape,
    pub(super) all: Tape,
    clock: ManualClock,
    /// What the pushers were told to be durable.
    known: [u64; 2],
}

/// A job that was started, and the ends at which events are pushed.
pub(super) struct Started {
    pub(super) simulation: Simulation,
    pub(super) symbols: Arc<pelton::Dictionary>,
    pub(super) ticks: Option<Input<Sample>>,
    pub(super) deals: Option<Input<Deal>>,
    pub(super) sent: [usize; 2],
}

impl World {
    pub(super) fn new(kind: Option<Kind>, seed: u64, rng: &mut Rng) -> Self {
        let mut made = |events: u64, seed| {
            let shape = Shape {
                events: 1 + rng.below(events) as usize,
                keys: 1 + rng.below(20),
                step_ns: 1000 + rng.below(3000) as i64,
                disorder_ns: rng.below(90_000),
                seed,
            };
            samples(&shape)
        };
        let (mut ticks, mut lines, days) = (made(250, seed), made(100, seed + 1), made(60, seed + 2));
        let deals = (0..rng.below(60)).map(|n| (n as i64 * 4000, format!("pair {}", n * 7 % 23))).collect();
        for event in ticks.iter_mut().chain(&mut lines) {
            match rng.below(25) {
                // Far ahead of all others, or out of the range of times.
                0 => event.time_ns += 40_000_000,
                1 => event.time_ns = i64::MIN / 2,
                _ => {}
            }
        }
        let lines = lines.into_iter().flat_map(|event| match event.number % 9 {
            4 => vec![None, Some(event), None],
            _ => vec![Some(event)],
        });
        let custom = rng.below(3) == 0;
        // Watermarks of the program's own are shown the whole journal again.
        let cuts = rng.below(2) == 0 && !custom;
        Self {
            kind,
            ticks,
            deals,
            days,
            lines: Arc::new(lines.collect()),
            written: Arc::default(),
            custom,
            durable_first: rng.below(2) == 0,
            keep: if cuts { JournalKeep::Checkpoints } else { JournalKeep::All },
            hash_seed: HashSeed::new(seed),
            state: CrashingDisk::new(),
            journal: CrashingDisk::new(),
            archive: Archive::default(),
            out: Tape::default(),
            late: Tape::default(),
            all: Tape::default(),
            clock: ManualClock::default(),
            known: [0; 2],
        }
    }

    /// The same world for somebody who reads its journal from the start.
    fn again(&self) -> Self {
        self.on_disks(CrashingDisk::new(), CrashingDisk::with_bytes(self.archive.whole(self.journal.bytes())))
    }

    /// The same world with a state and a journal of which nothing is cut, and no rows.
    pub(super) fn on_disks(&self, state: CrashingDisk, journal: CrashingDisk) -> Self {
        Self {
            kind: self.kind,
            ticks: self.ticks.clone(),
            deals: self.deals.clone(),
            days: self.days.clone(),
            lines: self.lines.clone(),
            written: self.written.clone(),
            hash_seed: self.hash_seed,
            state,
            journal,
            archive: Archive::default(),
            keep: JournalKeep::All,
            out: Tape::default(),
            late: Tape::default(),
            all: Tape::default(),
            clock: ManualClock::default(),
            known: [0; 2],
            ..*self
        }
    }

    fn watermarks(&self) -> Watermarks<Sample> {
        if self.custom { Watermarks::custom(halfway()) } else { bounded().into() }
    }

    fn job(&self, ticks: Source<Sample>, deals: Source<Deal>) -> Job {
        let Some(kind) = self.kind else { return self.mixed(ticks, deals) };
        job_into(kind, ticks, (self.out.sink(), self.late.sink()))
    }

    /// Three live sources and a bounded one that share an order, a process function with timers, and windows.
    fn mixed(&self, ticks: Source<Sample>, deals: Source<Deal>) -> Job {
        let mut job = Job::new("mixed");
        let idle = Duration::from_millis(2);
        let row = |tag: u64| {
            move |sample: &Sample| Row { key: sample.key, a: sample.value, b: (sample.number << 2 | tag) as i64 }
        };
        let ticks = job.source("ticks", ticks).watermarks(self.watermarks().idle_after(idle)).map(row(0));
        let lines = Lines { items: self.lines.clone(), written: self.written.clone(), at: 0, told: 0, rejected: 0 };
        let lines = job.source("lines", Source::feed(lines)).watermarks(bounded().idle_after(idle)).map(row(1));
        let days = job.source("days", VecSource::new(self.days.clone(), 5)).watermarks(self.watermarks()).map(row(2));
        let deals = job.source("deals", deals).watermarks(bounded().idle_after(idle));
        let deals =
            deals.map(|deal: &Deal| Row { key: deal.pair.id().into(), a: 1, b: i64::from(deal.number) << 2 | 3 });
        let all = ticks.union(lines).union(days).union(deals);
        all.clone().sink("all", self.all.sink());
        let timed = all.key_by(|row| row.key % 7).process("timed", Running { timer_ns: 60_000 });
        let windows = Tumbling::of(Duration::from_nanos(WINDOW_NS));
        let counted =
            timed.key_by(|row| row.key % 5).window(windows).aggregate_with("counted", OrderHash, OrderHash::row);
        counted.sink("out", self.out.sink());
        counted.late.sink("late", self.late.sink());
        job
    }

    fn options(&self, workers: usize, rng: &mut Rng) -> Options {
        let checkpoints = CheckpointOptions::in_storage(self.state.storage()).segment_bytes(4096);
        let journal = self.archive.over(self.journal.storage());
        let checkpoints = checkpoints.journal_in_storage(journal).durable_first(self.durable_first);
        let checkpoints = checkpoints.journal_keep(self.keep).kept(1 + rng.below(3) as usize);
        limited(Options::workers(workers))
            .ring_bytes(64 << rng.below(8))
            .feed_block_events(1 << rng.below(7))
            .hash_seed(self.hash_seed)
            .clock(self.clock.clone())
            .checkpoints(checkpoints)
    }

    pub(super) fn start(&mut self, workers: usize, rng: &mut Rng) -> Result<Started, pelton::Error> {
        let ((ticks, tick_source), (deals, deal_source)) = (push(1 << rng.below(6)), push(1 << rng.below(4)));
        let job = self.job(tick_source, deal_source);
        let symbols = job.symbols().clone();
        let simulation = job.simulate(self.options(workers, rng))?;
        let sent = [ticks.durable(), deals.durable()];
        assert!(sent >= self.known, "{sent:?} are durable, and {:?} were", self.known);
        let sent = sent.map(|count| count as usize);
        Ok(Started { simulation, symbols, ticks: Some(ticks), deals: Some(deals), sent })
    }

    /// Something comes from outside.
    fn bring(&self, started: &mut Started, rng: &mut Rng) {
        let count = rng.below(12) as usize;
        if let Some(input) = &mut started.ticks {
            let rest = &self.ticks[started.sent[0]..];
            started.sent[0] += input.try_send(&rest[..rest.len().min(count)]).unwrap_or(0);
            if self.kind.is_none() && rng.below(5) == 0 && started.sent[0] > 0 {
                let last = self.ticks[started.sent[0] - 1].time_ns;
                let _ = input.try_send_watermark(Timestamp::from_nanos(last - rng.below(100_000) as i64));
            }
            if started.sent[0] == self.ticks.len() {
                started.ticks = None;
            }
        }
        let count = rng.below(3) as usize;
        if let (Some(input), true) = (&mut started.deals, self.kind.is_none()) {
            let first = started.sent[1];
            let deals = self.deals[first..].iter().take(count).enumerate().map(|(n, (time_ns, pair))| {
                let pair = started.symbols.intern(pair).unwrap();
                Deal { time_ns: *time_ns, pair, number: (first + n) as u32 }
            });
            started.sent[1] += input.try_send(&deals.collect::<Vec<_>>()).unwrap_or(0);
            if started.sent[1] == self.deals.len() {
                started.deals = None;
            }
        }
        let written = self.written.load(Ordering::Acquire) + rng.below(8) as usize;
        self.written.store(written.min(self.lines.len()), Ordering::Release);
        if rng.below(4) == 0 {
            self.clock.advance(Duration::from_micros(rng.below(1500)));
        }
    }

    /// Steps the job in any order until it ends or so many steps were done; the report of one that ended.
    pub(super) fn step(&mut self, started: &mut Started, (workers, steps): (usize, u64), rng: &mut Rng) -> bool {
        let mut idle = 0;
        for _ in 0..steps {
            if started.simulation.is_ended() {
                return true;
            }
            if rng.below(4) == 0 {
                self.bring(started, rng);
            }
            if rng.below(20) == 0 {
                started.simulation.checkpoint(false).unwrap();
            }
            if rng.below(3) == 0 {
                started.simulation.step_checkpoints();
            }
            if rng.below(6) == 0 {
                started.simulation.sync_journal();
            }
            let worker = rng.below(workers as u64) as usize;
            idle = if started.simulation.step(worker).made_progress() { 0 } else { idle + 1 };
            assert!(idle < 100_000, "{:?} does not move on", self.kind);
            self.learn(started, rng.below(8) == 0);
        }
        false
    }

    /// What the pushers are told; where rows wait for it, none was given before.
    fn learn(&mut self, started: &Started, looks: bool) {
        let told = [started.ticks.as_ref().map(Input::durable), started.deals.as_ref().map(Input::durable)];
        for (known, told) in self.known.iter_mut().zip(told) {
            *known = told.unwrap_or(*known).max(*known);
        }
        if let (true, Some(input)) = (looks && self.durable_first, &started.ticks) {
            let given = self.all.rows().iter().filter(|(_, row)| row.b & 3 == 0).count() as u64;
            assert!(given <= input.durable(), "{given} events were given on, and {} are durable", input.durable());
        }
    }

    pub(super) fn rows(&self) -> [Rows; 3] {
        [self.out.rows(), self.late.rows(), self.all.rows()]
    }

    /// What the journal gives when it is read from the start.
    pub(super) fn replayed(&self, workers: usize, rng: &mut Rng) -> ([Rows; 3], Report, Vec<Arc<str>>) {
        let mut again = self.again();
        let mut started = again.start(workers, rng).unwrap();
        while !started.simulation.is_ended() {
            started.simulation.step(rng.below(workers as u64) as usize);
            started.simulation.step_checkpoints();
            started.simulation.sync_journal();
        }
        let report = started.simulation.finish().unwrap();
        (again.rows(), report, started.symbols.texts())
    }

    /// What the job gives over the same events in a bounded source, where it has one source.
    pub(super) fn expected(&self, kind: Kind) -> (Rows, Rows) {
        let (out, late) = (Tape::default(), Tape::default());
        let job = job_into(kind, VecSource::new(self.ticks.clone(), 16), (out.sink(), late.sink()));
        let mut simulation = job.simulate(limited(Options::workers(1))).unwrap();
        while !simulation.is_ended() {
            simulation.step(0);
        }
        simulation.finish().unwrap();
        (out.rows(), late.rows())
    }
}

/// A watermark that depends on all events before.
fn halfway() -> impl FnMut(&Sample) -> Option<Timestamp> + Clone + Send + Sync + 'static {
    let mut sum = 0i64;
    move |event| {
        sum = sum / 2 + event.time_ns / 2;
        Some(Timestamp::from_nanos(sum - BOUND_NS as i64))
    }
}

/// The same limits on times for all jobs of a world.
fn limited(options: Options) -> Options {
    let range = Timestamp::from_nanos(-1_000_000)..=Timestamp::from_nanos(1_000_000_000);
    options.pin(false).times(range).jump_max(Duration::from_millis(10)).jump_believed_after(3)
}
