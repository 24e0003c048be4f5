//! Takes checkpoints: has the orders of a job cut, gathers what its tasks give there, and commits it to the log.
//!
//! It runs on a thread of its own, or is stepped together with the workers. While it writes, workers go on.

use crate::base::key::HashSeed;
use crate::log::error::StateError;
use crate::log::journal::Journal;
use crate::log::{BodyRef, Sealing, SnapshotLog, StateDirectory};
use crate::progress::schedule::Cut;
use crate::runtime::checkpoint::{Contribution, Gathering, GivenPieces, GiverId};
use crate::runtime::cuts::JournalCuts;
use crate::runtime::entries::{Entry, Role, SavedStore, put_pieces};
use crate::runtime::live::LiveSources;
use crate::runtime::metrics::Counts;
use crate::runtime::shared::JobShared;
use crate::runtime::sink::SinkAction;
use crate::{BoxError, Error};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long it sleeps at most, so that it sees when a job has failed.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// The most bodies that a checkpoint builds on before all state is written again.
const CHAIN_MAX: usize = 256;

/// Sources that share an order.
pub(crate) struct SourcesAt {
    /// Under this node their tasks give.
    pub(crate) node: usize,
    pub(crate) names: Vec<String>,
    pub(crate) cut: Arc<Cut>,
    /// Of what lies before a unit, or of sources that are read as they come before the next block of each.
    pub(crate) fingerprint: Box<Fingerprint>,
}

/// A hash of what lies before a unit, or before the next block of each source.
pub(crate) type Fingerprint = dyn Fn(u64, &[u64]) -> u64 + Send + Sync;

/// A step or sink, by its node.
pub(crate) enum Saved {
    Step(String, Role),
    Sink(String),
}

/// What is written of a job beside its state.
pub(crate) struct JobFacts {
    pub(crate) name: String,
    pub(crate) workers: usize,
    pub(crate) seed: HashSeed,
    pub(crate) sources: Vec<SourcesAt>,
    pub(crate) nodes: BTreeMap<usize, Saved>,
    pub(crate) stores: Vec<SavedStore>,
    /// Events read so far.
    pub(crate) events_read: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// When checkpoints are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interval {
    pub(crate) time: Option<Duration>,
    pub(crate) events: Option<u64>,
}

/// Where the state of a job is kept.
pub(crate) struct OpenState {
    pub(crate) log: SnapshotLog,
    /// Locked as long as the log is used.
    pub(crate) directory: Option<StateDirectory>,
    pub(crate) interval: Interval,
    /// Bytes of state that a step gives to a checkpoint between two batches.
    pub(crate) slice_bytes: usize,
    /// Of a job with live sources.
    pub(crate) journal: Option<Arc<Journal>>,
    pub(crate) cuts: JournalCuts,
    /// Of the checkpoint that the job goes on from, 0 where there is none.
    pub(crate) epoch: u64,
}

/// A checkpoint that somebody asks for.
pub(crate) struct Request {
    /// Whether it is a savepoint, at which the job stops.
    pub(crate) is_last: bool,
    /// Told when it is committed.
    pub(crate) reply: Option<SyncSender<u64>>,
}

/// What others see of the checkpoints of a job.
#[derive(Default)]
pub(crate) struct Checkpoints {
    pub(crate) gathering: Arc<Gathering>,
    requests: Mutex<Vec<Request>>,
    taken: AtomicU64,
    given_up: AtomicU64,
    epoch: AtomicU64,
    bytes: AtomicU64,
}

/// The checkpoints of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CheckpointReport {
    /// The number of the newest one that is committed; they count up over restarts.
    pub epoch: u64,
    /// Those committed since the job was started.
    pub taken: u64,
    /// Those given up because there was no room for them.
    pub given_up: u64,
    /// Bytes of the state directory's snapshot log.
    pub log_bytes: u64,
    /// The longest time that a step took to mark its state at a barrier, by the job's clock.
    pub mark_max: Duration,
}

impl Checkpoints {
    pub(crate) fn in_slices(slice_bytes: usize) -> Self {
        Self { gathering: Arc::new(Gathering::in_slices(slice_bytes)), ..Self::default() }
    }

    /// Asks for a checkpoint.
    pub(crate) fn request(&self, request: Request) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        self.gathering.wake();
    }

    fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn report(&self) -> CheckpointReport {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (epoch, taken) = (of(&self.epoch), of(&self.taken));
        let mark_max = self.gathering.mark_max();
        CheckpointReport { epoch, taken, given_up: of(&self.given_up), log_bytes: of(&self.bytes), mark_max }
    }
}

enum Phase {
    Idle,
    Gathering(Vec<Request>),
    Ended,
}

/// Takes the checkpoints of a job.
pub(crate) struct Checkpointer {
    state: OpenState,
    facts: JobFacts,
    checkpoints: Arc<Checkpoints>,
    shared: Arc<JobShared>,
    phase: Phase,
    /// The number of the checkpoint that is taken, or was taken last.
    epoch: u64,
    is_whole: bool,
    body: Body,
    /// What the next one can build on.
    chain: Vec<BodyRef>,
    /// Symbols before this one are in the chain.
    symbols: usize,
    /// What sinks have to do for a checkpoint that was given up.
    left: Vec<SinkWork>,
    last_time: Duration,
    last_events: u64,
    /// Workers wait for the first checkpoint, in which the outputs are told that the job begins to write.
    is_first: bool,
}

/// The body of the checkpoint that is taken.
enum Body {
    NotBegun,
    Begun,
    /// There was no room for it. What else is given to it is dropped.
    GivenUp(StateError),
}

/// Whether a checkpoint was committed.
enum Committed {
    Yes,
    NoRoom(StateError),
}

/// What a sink has to do before and behind a commit.
struct SinkWork {
    name: String,
    sync: Option<SinkAction>,
    commit: Option<SinkAction>,
}

impl Checkpointer {
    pub(crate) fn new(
        state: OpenState,
        facts: JobFacts,
        checkpoints: Arc<Checkpoints>,
        shared: Arc<JobShared>,
    ) -> Self {
        // A job that begins says so before it writes anything: whatever then is in its outputs is its own.
        let is_first = state.epoch == 0;
        let epoch = if is_first { 1 } else { state.epoch };
        if is_first {
            checkpoints.gathering.begin(epoch);
            facts.sources.iter().for_each(|sources| sources.cut.hold(epoch));
        }
        checkpoints.epoch.store(state.epoch, Ordering::Relaxed);
        checkpoints.bytes.store(state.log.disk_bytes().0, Ordering::Relaxed);
        Self {
            epoch,
            is_first,
            last_time: shared.clock.now(),
            last_events: (facts.events_read)(),
            state,
            facts,
            checkpoints,
            shared,
            phase: if is_first { Phase::Gathering(Vec::new()) } else { Phase::Idle },
            is_whole: true,
            body: Body::NotBegun,
            chain: Vec::new(),
            symbols: 0,
            left: Vec::new(),
        }
    }

    /// Takes checkpoints until the job has ended.
    pub(crate) fn run(&mut self) {
        while !self.step() {
            let left = match self.phase {
                Phase::Idle => self.until_due().unwrap_or(WAIT_MAX),
                Phase::Gathering(_) | Phase::Ended => WAIT_MAX,
            };
            self.checkpoints.gathering.wait(left.min(WAIT_MAX));
        }
    }

    /// Does what can be done now; whether the job has ended. A failure ends the job.
    pub(crate) fn step(&mut self) -> bool {
        let stepped = match std::mem::replace(&mut self.phase, Phase::Ended) {
            _ if self.shared.is_halted() => Ok(Phase::Ended),
            Phase::Idle => self.begin(),
            Phase::Gathering(requests) => self.gather(requests),
            Phase::Ended => Ok(Phase::Ended),
        };
        match stepped {
            Ok(phase) => self.phase = phase,
            Err(error) => self.shared.fail(error),
        }
        matches!(self.phase, Phase::Ended)
    }

    /// How long there is until the next checkpoint by time.
    fn until_due(&self) -> Option<Duration> {
        let due = self.last_time + self.state.interval.time?;
        Some(due.saturating_sub(self.shared.clock.now()))
    }

    /// Whether all orders have come to where the job is to stop, or to their ends.
    fn is_at_stop(&self) -> bool {
        let mut cuts = self.facts.sources.iter().map(|sources| &sources.cut);
        cuts.clone().any(|cut| cut.is_at_stop()) && cuts.all(|cut| cut.is_at_stop() || cut.is_at_end())
    }

    fn is_due(&self) -> bool {
        let events = || (self.facts.events_read)().saturating_sub(self.last_events);
        self.until_due().is_some_and(|left| left.is_zero())
            || self.state.interval.events.is_some_and(|every| events() >= every)
    }

    /// Begins a checkpoint where one is due, or was asked for.
    fn begin(&mut self) -> Result<Phase, Error> {
        if self.checkpoints.gathering.is_over() {
            self.finish()?;
            return Ok(Phase::Ended);
        }
        let mut requests = self.checkpoints.take_requests();
        if self.is_at_stop() {
            requests.push(Request { is_last: true, reply: None });
        }
        if requests.is_empty() && !self.is_due() {
            return Ok(Phase::Idle);
        }
        self.last_time = self.shared.clock.now();
        self.last_events = (self.facts.events_read)();
        let is_last = requests.iter().any(|request| request.is_last);
        self.is_whole |= is_last || self.chain_is_long();
        self.epoch += 1;
        self.checkpoints.gathering.begin(self.epoch);
        if is_last {
            self.shared.hurry();
        }
        for sources in &self.facts.sources {
            // Those at their end give their last words soon.
            let _ = sources.cut.cut(self.epoch, self.is_whole, is_last);
        }
        Ok(Phase::Gathering(requests))
    }

    /// Whether reading the increments would take longer than reading what they change.
    fn chain_is_long(&self) -> bool {
        let Some((base, increments)) = self.chain.split_first() else { return true };
        increments.iter().map(BodyRef::segments).sum::<usize>() > base.segments().max(8)
            || self.chain.len() >= CHAIN_MAX
    }

    /// Commits a checkpoint once all was given to it.
    fn gather(&mut self, requests: Vec<Request>) -> Result<Phase, Error> {
        let given = self.checkpoints.gathering.complete();
        // The last ones are there where it is complete.
        self.write_pieces(self.checkpoints.gathering.take_pieces())?;
        let Some(given) = given else { return Ok(Phase::Gathering(requests)) };
        let is_last = requests.iter().any(|request| request.is_last);
        // What was given at a barrier is no end, though all may have come to theirs meanwhile.
        let is_finished = given.iter().all(|(_, contribution)| contribution.is_last);
        match self.commit(given, Sealing { is_savepoint: is_last, is_finished })? {
            Committed::Yes => self.answer(requests),
            // Who wants to stop or to be told cannot be served, and without the first one nothing begins.
            Committed::NoRoom(error) if self.is_first || is_finished || !requests.is_empty() => {
                return Err(Error::State(error));
            }
            Committed::NoRoom(_) => {}
        }
        if std::mem::replace(&mut self.is_first, false) {
            self.facts.sources.iter().for_each(|sources| sources.cut.release());
        }
        if is_last && !is_finished {
            self.shared.stop_at_savepoint();
        }
        Ok(if is_last || is_finished { Phase::Ended } else { Phase::Idle })
    }

    /// Commits what the job has at its end.
    fn finish(&mut self) -> Result<(), Error> {
        self.epoch += 1;
        self.is_whole = true;
        self.checkpoints.gathering.begin(self.epoch);
        let given = self.checkpoints.gathering.complete().unwrap_or_default();
        let requests = self.checkpoints.take_requests();
        if let Committed::NoRoom(error) = self.commit(given, Sealing { is_savepoint: false, is_finished: true })? {
            return Err(Error::State(error));
        }
        self.answer(requests);
        Ok(())
    }

    /// Tells those who asked that it is committed.
    fn answer(&self, requests: Vec<Request>) {
        for reply in requests.into_iter().filter_map(|request| request.reply) {
            // Who asked may have gone.
            let _ = reply.try_send(self.epoch);
        }
    }

    /// Commits what was given, where there is room for it.
    fn commit(&mut self, mut given: Vec<(GiverId, Contribution)>, sealing: Sealing) -> Result<Committed, Error> {
        let mut work = self.sink_work(&mut given);
        work.splice(0..0, self.left.drain(..));
        let first = if self.is_whole { 0 } else { self.symbols };
        let symbols = self.shared.symbols.texts_from(first);
        let mut written = self.write_rest(&given, first, &symbols);
        self.body = Body::NotBegun;
        if written.is_ok() {
            for sink in &mut work {
                done(&sink.name, sink.sync.take())?;
            }
            // What came before the barrier is durable before a checkpoint says that it was taken.
            self.state.journal.as_ref().map_or(Ok(()), |journal| journal.commit())?;
            written = self.state.log.seal(sealing);
        }
        match written {
            Ok(()) => {}
            Err(error @ StateError::Full { .. }) => {
                self.left = work;
                // What the stores gave as changed is in no checkpoint.
                self.is_whole = true;
                self.checkpoints.given_up.fetch_add(1, Ordering::Relaxed);
                return Ok(Committed::NoRoom(error));
            }
            Err(error) => return Err(Error::State(error)),
        }
        self.chain = self.state.log.kept().last().map(|kept| kept.bodies.clone()).unwrap_or_default();
        self.symbols = first + symbols.len();
        self.is_whole = false;
        self.checkpoints.epoch.store(self.epoch, Ordering::Relaxed);
        self.checkpoints.taken.fetch_add(1, Ordering::Relaxed);
        self.checkpoints.bytes.store(self.state.log.disk_bytes().0, Ordering::Relaxed);
        for sink in &mut work {
            done(&sink.name, sink.commit.take())?;
        }
        let OpenState { log, journal, cuts, .. } = &mut self.state;
        if let Some(journal) = journal {
            let live = given.iter().filter_map(|(_, contribution)| contribution.live.as_ref());
            cuts.committed(self.epoch, LiveSources::needed(live));
            cuts.needed(log.kept()).map_or(Ok(()), |position| journal.cut(position))?;
        }
        Ok(Committed::Yes)
    }

    /// Takes out what sinks have to do.
    fn sink_work(&self, given: &mut [(GiverId, Contribution)]) -> Vec<SinkWork> {
        let mut work = Vec::new();
        for ((node, _), contribution) in given {
            if let (Some(sink), Some(Saved::Sink(name))) = (&mut contribution.sink, self.facts.nodes.get(node)) {
                work.push(SinkWork { name: name.clone(), sync: sink.sync.take(), commit: sink.commit.take() });
            }
        }
        work
    }

    /// Begins the body of the checkpoint, where that was not done.
    fn begin_body(&mut self) -> Result<(), StateError> {
        match std::mem::replace(&mut self.body, Body::Begun) {
            Body::Begun => return Ok(()),
            Body::GivenUp(error) => return Err(error),
            Body::NotBegun => {}
        }
        let Self { facts, state: OpenState { log, .. }, .. } = self;
        let builds_on = if self.is_whole { Vec::new() } else { self.chain.clone() };
        log.begin(self.epoch, builds_on)?;
        let (workers, seed) = (facts.workers as u32, facts.seed.bits());
        Entry::Job { name: facts.name.clone(), workers, seed }.write(log)
    }

    /// Writes pieces of stores as they are given, as far as there is room.
    fn write_pieces(&mut self, pieces: Vec<GivenPieces>) -> Result<(), Error> {
        if pieces.is_empty() || matches!(self.body, Body::GivenUp(_)) {
            return Ok(());
        }
        let written = self.begin_body().and_then(|()| {
            pieces.iter().try_for_each(|((node, worker), pieces)| match self.facts.nodes.get(node) {
                Some(Saved::Step(step, role)) => {
                    put_pieces(&mut self.state.log, (step, *role, *worker), pieces.store, pieces.pieces.bytes())
                }
                Some(Saved::Sink(_)) | None => Ok(()),
            })
        });
        match written {
            Ok(()) => Ok(()),
            Err(error @ StateError::Full { .. }) => {
                self.body = Body::GivenUp(error);
                Ok(())
            }
            Err(error) => Err(Error::State(error)),
        }
    }

    /// Writes what the body of a checkpoint has beside pieces.
    fn write_rest(
        &mut self,
        given: &[(GiverId, Contribution)],
        first: usize,
        symbols: &[Arc<str>],
    ) -> Result<(), StateError> {
        self.begin_body()?;
        let Self { facts, state: OpenState { log, .. }, .. } = self;
        if !symbols.is_empty() {
            let texts = symbols.iter().map(|text| text.to_string()).collect();
            Entry::Symbols { first: first as u32, texts }.write(log)?;
        }
        let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
        for SourcesAt { node, names, fingerprint, .. } in &facts.sources {
            let (mut next, mut live) = (0, None);
            for (_, contribution) in given.iter().filter(|((of, _), _)| of == node) {
                next = next.max(contribution.unit);
                live = live.or(contribution.live.as_ref());
                for (name, more) in names.iter().zip(&contribution.counts) {
                    counts.entry(name).or_default().add(more);
                }
            }
            let fingerprint = fingerprint(next, &live.map(LiveSources::blocks).unwrap_or_default());
            Entry::Sources { names: names.clone(), unit: next, fingerprint }.write(log)?;
            live.map_or(Ok(()), |live| Entry::Live(live.clone()).write(log))?;
        }
        for ((node, worker), contribution) in given {
            let Some(saved) = facts.nodes.get(node) else { continue };
            let (Saved::Step(name, _) | Saved::Sink(name)) = saved;
            contribution.counts.iter().for_each(|more| counts.entry(name).or_default().add(more));
            match (saved, &contribution.sink) {
                (Saved::Step(step, role), _) if contribution.is_last => {
                    Entry::Ended { step: step.clone(), role: *role, worker: *worker as u32 }.write(log)?;
                }
                (Saved::Sink(name), Some(sink)) => {
                    let (name, worker, position) = (name.clone(), *worker as u32, sink.position.clone());
                    Entry::Sink { name, worker, position }.write(log)?;
                }
                (Saved::Step(..), _) | (Saved::Sink(_), None) => {}
            }
        }
        for (name, counts) in counts {
            Entry::Counts { name: name.to_owned(), counts }.write(log)?;
        }
        facts.stores.iter().try_for_each(|store| Entry::Store(store.clone()).write(log))
    }
}

/// Has a sink do something.
fn done(name: &str, action: Option<SinkAction>) -> Result<(), Error> {
    let result: Result<(), BoxError> = action.map_or(Ok(()), |action| action());
    result.map_err(|error| Error::Sink { name: name.to_owned(), error })
}
