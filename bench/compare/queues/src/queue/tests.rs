//! Every queue gives all events in order, in small rings that fill and empty all the time.

use super::{crossbeam, disruptor, least, pelton, ringbuf, rtrb};
use crate::event::Checksum;
use crate::hop::{Cores, Load, Receiver, Sender, hop};
use crate::latency;
use core_affinity::CoreId;
use pelton_bench::load::Schedule;

/// Also where there is one core: the threads then take turns.
fn cores() -> Cores {
    let first = core_affinity::get_core_ids().and_then(|cores| cores.first().copied()).unwrap_or(CoreId { id: 0 });
    Cores::find().unwrap_or(Cores { first, second: first })
}

fn check<const WORDS: usize, S: Sender<WORDS>, R: Receiver<WORDS>>(
    name: &str,
    run: u64,
    most: usize,
    make: impl Fn() -> (S, R),
) {
    // No multiple of the run: the last one is short.
    let events = 10_007;
    let outcome = hop(Load { events, run, most }, cores(), make()).unwrap();
    let expected = Checksum::expected::<WORDS>(events);
    assert_eq!((outcome.rows, outcome.hash), (expected.events, expected.hash()), "{name}");
    let schedule = Schedule { rate: 1_000_000, events: 2_000, keys: 1 };
    let recorded = latency::measure(schedule, 500, cores(), make()).unwrap();
    assert_eq!(recorded.len(), 1_500, "{name}");
}

fn all<const WORDS: usize>() {
    check("pelton claim", 8, 8, || pelton::by_claim::<WORDS>(16));
    check("pelton claim, odd runs", 5, 3, || pelton::by_claim::<WORDS>(16));
    check("pelton push", 8, 8, || pelton::by_push::<WORDS>(16, 8));
    check("pelton push one", 1, 1, || pelton::push_one::<WORDS>(16));
    check("least queue, rows", 5, 3, || least::ends::<WORDS, false>(16));
    check("least queue, columns", 5, 3, || least::ends::<WORDS, true>(16));
    check("rtrb chunk", 8, 8, || rtrb::by_chunk::<WORDS>(16));
    check("rtrb chunk, odd runs", 5, 3, || rtrb::by_chunk::<WORDS>(16));
    check("rtrb slice", 8, 8, || rtrb::by_slice::<WORDS>(16, 8));
    check("rtrb one", 1, 1, || rtrb::one::<WORDS>(16));
    check("rtrb one to chunks", 1, usize::MAX, || rtrb::one_to_chunks::<WORDS>(16));
    check("ringbuf in place", 8, 8, || ringbuf::in_place::<WORDS>(16));
    check("ringbuf in place, odd runs", 5, 3, || ringbuf::in_place::<WORDS>(16));
    check("ringbuf slice", 8, 8, || ringbuf::by_slice::<WORDS>(16, 8));
    check("ringbuf one", 1, 1, || ringbuf::one::<WORDS>(16));
    check("ringbuf one to slices", 1, usize::MAX, || ringbuf::one_to_slices::<WORDS>(16));
    check("array queue", 8, 8, || crossbeam::array::<WORDS>(16));
    check("array queue one", 1, 1, || crossbeam::array::<WORDS>(16));
    check("channel", 8, 8, || crossbeam::channel::<WORDS>(16));
    check("channel one", 1, 1, || crossbeam::channel::<WORDS>(16));
    check("disruptor batches", 8, 8, || disruptor::batches::<WORDS>(16));
    check("disruptor batches, odd runs", 5, 3, || disruptor::batches::<WORDS>(16));
    check("disruptor one", 1, 1, || disruptor::one::<WORDS>(16));
    check("disruptor one to all", 1, usize::MAX, || disruptor::one::<WORDS>(16));
}

#[test]
fn every_queue_gives_all_events_of_32_bytes_in_order() {
    all::<2>();
}

#[test]
fn every_queue_gives_all_events_of_64_bytes_in_order() {
    all::<6>();
}

/// Drops its end after some events.
struct Quits<R>(Option<R>, usize);

impl<const WORDS: usize, R: Receiver<WORDS>> Receiver<WORDS> for Quits<R> {
    fn receive(&mut self, most: usize, take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        assert!(self.1 > 0, "the receiver gives up");
        self.1 -= 1;
        self.0.as_mut().map_or(0, |receiver| receiver.receive(most, take))
    }
}

#[test]
fn a_receiver_that_panics_ends_the_run_with_its_words() {
    let (sender, receiver) = disruptor::batches::<2>(16);
    let load = Load { events: 1_000_000, run: 4, most: 4 };
    let error = hop(load, cores(), (sender, Quits(Some(receiver), 10))).unwrap_err();
    assert!(["the receiver is gone", "the receiver gives up"].contains(&error.to_string().as_str()), "{error}");
}
