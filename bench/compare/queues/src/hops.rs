//! The contests of single queues: throughput of runs and of single events, and latency.

use crate::event::{Checksum, event_bytes};
use crate::hop::{Cores, Load, Receiver, Sender, alone, hop};
use crate::latency::{self, AGAINST, Counting, LatencyContest, LatencyStanding};
use crate::queue::{crossbeam, disruptor, least, pelton, ringbuf, rtrb};
use ::pelton::BoxError;
use pelton_bench::contest::{Contest, Outcome, Standing};
use pelton_bench::load::Schedule;
use pelton_bench::{hop_latencies, push_latencies};
use std::time::Duration;

/// Events that are sent and taken at once in the contests of runs.
const RUN: usize = 64;

/// A contest in the making, whose rivals all move the same load.
struct Hops<'a, const WORDS: usize> {
    contest: Contest<'a>,
    load: Load,
    threads: Threads,
    expected: Checksum,
}

/// Where the two ends are.
#[derive(Debug, Clone, Copy)]
pub enum Threads {
    /// Each on a thread of its own.
    Two(Cores),
    /// Both on the current one.
    One,
}

impl Threads {
    fn hop(self) -> &'static str {
        match self {
            Self::Two(_) => "ring hop",
            Self::One => "ring on one thread",
        }
    }
}

impl<'a, const WORDS: usize> Hops<'a, WORDS> {
    fn new(work: &str, load: Load, threads: Threads) -> Self {
        let contest = Contest::new(work, load.events, event_bytes(WORDS));
        Self { contest, load, threads, expected: Checksum::expected::<WORDS>(load.events) }
    }

    /// A rival with ends that are made anew for each run, and the interfaces that it uses.
    fn rival<S: Sender<WORDS>, R: Receiver<WORDS>>(
        &mut self,
        name: &str,
        remark: &str,
        ends: impl Fn() -> (S, R) + 'a,
    ) {
        let (load, threads, expected) = (self.load, self.threads, self.expected);
        self.contest.rival(name, move || {
            let outcome: Outcome = match threads {
                Threads::Two(cores) => hop(load, cores, ends())?,
                Threads::One => alone(load, ends())?,
            };
            // The first rival's outcome is the reference for all; it is held to what must come out.
            if (outcome.rows, outcome.hash) != (expected.events, expected.hash()) {
                return Err::<_, BoxError>(format!("expected {expected:?}, found {outcome:?}").into());
            }
            Ok(outcome)
        });
        self.contest.remark(name, remark);
    }
}

/// Runs of 64 events, sent and taken whole.
pub fn runs<const WORDS: usize>(
    capacity: usize,
    events: u64,
    threads: Threads,
    rounds: usize,
    tell: &mut dyn FnMut(&str),
) -> Standing {
    let load = Load { events, run: RUN as u64, most: RUN };
    let mut hops = Hops::<WORDS>::new(&runs_name::<WORDS>(threads, capacity), load, threads);
    hops.rival("pelton claim", "claim, fill; peek, release", move || pelton::by_claim(capacity));
    hops.rival("pelton push", "push; peek, release", move || pelton::by_push(capacity, RUN));
    hops.rival("rtrb chunk", "write_chunk_uninit, fill_from_iter; read_chunk", move || rtrb::by_chunk(capacity));
    hops.rival("rtrb slice", "push_entire_slice; read_chunk", move || rtrb::by_slice(capacity, RUN));
    hops.rival("ringbuf in place", "push_iter; as_slices, skip", move || ringbuf::in_place(capacity));
    hops.rival("ringbuf slice", "push_slice; pop_slice", move || ringbuf::by_slice(capacity, RUN));
    hops.rival("disruptor", "try_batch_publish; take", move || disruptor::batches(capacity));
    hops.rival("crossbeam ArrayQueue", "no runs: push; pop", move || crossbeam::array(capacity));
    hops.rival("crossbeam channel", "no runs: try_send; try_recv", move || crossbeam::channel(capacity));
    let remark = "cells and two cursors, nothing else";
    hops.rival("least queue, rows", remark, move || least::ends::<WORDS, false>(capacity));
    hops.rival("least queue, columns", remark, move || least::ends::<WORDS, true>(capacity));
    hops.contest.run(rounds, tell)
}

/// The name of the contest of runs.
pub fn runs_name<const WORDS: usize>(threads: Threads, capacity: usize) -> String {
    format!("{}, runs of {RUN}, {} bytes, {capacity} slots", threads.hop(), event_bytes(WORDS))
}

/// The slots of the contests of single events.
pub const SINGLE_SLOTS: usize = 1024;

/// Single events, sent one at a time and taken one at a time.
pub fn singles<const WORDS: usize>(
    events: u64,
    threads: Threads,
    rounds: usize,
    tell: &mut dyn FnMut(&str),
) -> Standing {
    let capacity = SINGLE_SLOTS;
    let mut hops = Hops::<WORDS>::new(&singles_name::<WORDS>(threads), Load { events, run: 1, most: 1 }, threads);
    hops.rival("pelton claim", "claim, fill; peek, release", move || pelton::by_claim(capacity));
    hops.rival("pelton push", "push; peek, release", move || pelton::push_one(capacity));
    hops.rival("rtrb", "push; pop", move || rtrb::one(capacity));
    hops.rival("ringbuf", "try_push; try_pop", move || ringbuf::one(capacity));
    hops.rival("disruptor", "try_publish; take", move || disruptor::one(capacity));
    hops.rival("crossbeam ArrayQueue", "push; pop", move || crossbeam::array(capacity));
    hops.rival("crossbeam channel", "try_send; try_recv", move || crossbeam::channel(capacity));
    hops.contest.run(rounds, tell)
}

/// The name of the contest of single events.
pub fn singles_name<const WORDS: usize>(threads: Threads) -> String {
    format!("{}, one at a time, {} bytes, {SINGLE_SLOTS} slots", threads.hop(), event_bytes(WORDS))
}

/// Single events, sent one at a time and taken as many as are there.
pub fn gathered<const WORDS: usize>(
    events: u64,
    threads: Threads,
    rounds: usize,
    tell: &mut dyn FnMut(&str),
) -> Standing {
    let capacity = SINGLE_SLOTS;
    let load = Load { events, run: 1, most: usize::MAX };
    let mut hops = Hops::<WORDS>::new(&gathered_name::<WORDS>(threads), load, threads);
    hops.rival("pelton claim", "claim, fill; peek, release", move || pelton::by_claim(capacity));
    hops.rival("pelton push", "push; peek, release", move || pelton::push_one(capacity));
    hops.rival("rtrb", "push; read_chunk", move || rtrb::one_to_chunks(capacity));
    hops.rival("ringbuf", "try_push; as_slices, skip", move || ringbuf::one_to_slices(capacity));
    hops.rival("disruptor", "try_publish; poll", move || disruptor::one(capacity));
    hops.rival("crossbeam ArrayQueue", "push; pop", move || crossbeam::array(capacity));
    hops.rival("crossbeam channel", "try_send; try_recv", move || crossbeam::channel(capacity));
    hops.contest.run(rounds, tell)
}

/// The name of the contest of gathered events.
pub fn gathered_name<const WORDS: usize>(threads: Threads) -> String {
    format!(
        "{}, sent one at a time, taken as they are there, {} bytes, {SINGLE_SLOTS} slots",
        threads.hop(),
        event_bytes(WORDS)
    )
}

/// Keys of the jobs in the contest of latencies.
const KEYS: u64 = 10_000;

/// The name of the contest of latencies.
pub fn latencies_name(rate: u64) -> String {
    format!("one-way latency, {rate}/s, 32 bytes, {SINGLE_SLOTS} slots")
}

/// One-way latency of single events at a fixed rate, for `milliseconds` of which the first tenth is not recorded: through
/// queues, through one behind which events are counted by key, and through jobs of one worker and of two.
pub fn latencies(
    rate: u64,
    milliseconds: u64,
    cores: Cores,
    rounds: usize,
    tell: &mut dyn FnMut(&str),
) -> LatencyStanding {
    let events = (rate * milliseconds / 1000).max(10);
    let (schedule, warm_up) = (Schedule { rate, events, keys: 1 }, events / 10);
    let capacity = SINGLE_SLOTS;
    let mut contest = LatencyContest::new(&latencies_name(rate), rate);
    contest.rival("pelton", move || latency::measure::<2>(schedule, warm_up, cores, pelton::by_claim(capacity)));
    contest.rival(AGAINST, move || latency::measure::<2>(schedule, warm_up, cores, rtrb::one(capacity)));
    contest.rival("ringbuf", move || latency::measure::<2>(schedule, warm_up, cores, ringbuf::one(capacity)));
    contest.rival("disruptor", move || latency::measure::<2>(schedule, warm_up, cores, disruptor::one(capacity)));
    let array = move || latency::measure::<2>(schedule, warm_up, cores, crossbeam::array(capacity));
    contest.rival("crossbeam ArrayQueue", array);
    let channel = move || latency::measure::<2>(schedule, warm_up, cores, crossbeam::channel(capacity));
    contest.rival("crossbeam channel", channel);
    contest.rival("rtrb, counted by key", move || {
        let (sender, receiver) = rtrb::one(capacity);
        latency::measure::<2>(schedule, warm_up, cores, (sender, Counting::new(receiver, KEYS)))
    });
    let warm_up_time = Duration::from_millis(milliseconds) / 10;
    let keyed = Schedule { keys: KEYS, ..schedule };
    contest.rival("a job of 2 workers, one hop", move || Ok(hop_latencies(keyed, warm_up_time)?));
    contest.rival("a job of 1 worker, pushed to", move || Ok(push_latencies(keyed, warm_up_time)?));
    contest.run(rounds, tell)
}
