//! Two pinned threads with a queue between them: as many events as it takes, and what came out.
//!
//! Every rival is driven by the same loop, waits in the same way and learns in the same way that the other thread is
//! gone. A run of events is sent whole or, where it does not fit yet, not at all; this is what all batch interfaces can
//! do, and with runs that divide the capacity no run is cut by the end of the memory.

use crate::event::{Checksum, Event};
use core_affinity::CoreId;
use pelton::BoxError;
use pelton_bench::contest::Outcome;
use std::any::Any;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The writing end of a queue.
pub trait Sender<const WORDS: usize>: Send {
    /// Sends the events of `numbers`, made by `make`, all or none; says whether it did.
    fn send(&mut self, numbers: Range<u64>, make: impl Fn(u64) -> Event<WORDS>) -> bool;
}

/// The reading end of a queue.
pub trait Receiver<const WORDS: usize>: Send {
    /// Takes at most `most` of the events that are there, in their order, and says how many.
    fn receive(&mut self, most: usize, take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize;
}

/// The cores of the two threads.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub first: CoreId,
    pub second: CoreId,
}

impl Cores {
    /// Two cores that this process may use; `None` where there are fewer.
    pub fn find() -> Option<Self> {
        let cores = core_affinity::get_core_ids()?;
        Some(Self { first: *cores.first()?, second: *cores.get(1)? })
    }
}

/// Pins the current thread.
///
/// # Errors
/// When the system refuses: figures of threads that wander mean nothing.
pub fn pin(core: CoreId) -> Result<(), BoxError> {
    if core_affinity::set_for_current(core) { Ok(()) } else { Err(format!("core {} refuses a thread", core.id).into()) }
}

/// Spins a little, then gives up the core.
#[derive(Debug, Default)]
pub struct Waits(u32);

impl Waits {
    #[inline]
    pub fn after(&mut self, progress: bool) {
        if progress {
            self.0 = 0;
        } else if self.0 < 1000 {
            self.0 += 1;
            std::hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}

/// Says that a thread is gone, however it goes.
pub struct Leaving<'a>(pub &'a AtomicBool);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Lets two threads start together.
#[derive(Debug, Default)]
pub struct Gate(AtomicUsize);

impl Gate {
    /// Waits for the other thread, or until it is gone.
    pub fn pass(&self, other_gone: &AtomicBool) {
        self.0.fetch_add(1, Ordering::AcqRel);
        let mut waits = Waits::default();
        while self.0.load(Ordering::Acquire) < 2 && !other_gone.load(Ordering::Acquire) {
            waits.after(false);
        }
    }
}

/// What a thread panicked with.
pub fn panicked(payload: Box<dyn Any + Send>) -> BoxError {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a thread panicked".into()).into()
}

/// How events are moved.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub events: u64,
    /// Events that are sent at once, at least 1.
    pub run: u64,
    /// Events that are taken at once at most, at least 1.
    pub most: usize,
}

/// Moves events from one thread to another, and returns the time from the start of both to the last event's arrival.
///
/// # Errors
/// When a thread cannot be pinned or panics. Events that are lost show in the outcome.
pub fn hop<const WORDS: usize>(
    load: Load,
    cores: Cores,
    (mut sender, mut receiver): (impl Sender<WORDS>, impl Receiver<WORDS>),
) -> Result<Outcome, BoxError> {
    let (gate, sender_gone, receiver_gone) = (Gate::default(), AtomicBool::new(false), AtomicBool::new(false));
    let (gate, sender_gone, receiver_gone) = (&gate, &sender_gone, &receiver_gone);
    let run = load.run.max(1);
    let (checksum, elapsed) = thread::scope(|scope| -> Result<(Checksum, Duration), BoxError> {
        let writer = scope.spawn(move || -> Result<(), BoxError> {
            let _leaving = Leaving(sender_gone);
            pin(cores.first)?;
            gate.pass(receiver_gone);
            let mut waits = Waits::default();
            let mut next = 0;
            while next < load.events {
                let end = load.events.min(next + run);
                let sent = sender.send(next..end, Event::of);
                if sent {
                    next = end;
                } else if receiver_gone.load(Ordering::Acquire) {
                    return Err("the receiver is gone".into());
                }
                waits.after(sent);
            }
            Ok(())
        });
        let reader = scope.spawn(move || -> Result<(Checksum, Duration), BoxError> {
            let _leaving = Leaving(receiver_gone);
            pin(cores.second)?;
            gate.pass(sender_gone);
            let start = Instant::now();
            Ok((drain(&mut receiver, load, sender_gone), start.elapsed()))
        });
        let (written, read) = (writer.join().map_err(panicked), reader.join().map_err(panicked));
        written??;
        read?
    })?;
    Ok(Outcome { elapsed, rows: checksum.events, hash: checksum.hash() })
}

/// Moves events through both ends on the current thread: each run is taken as soon as it is sent. What is left of the
/// queue's cost is its instructions.
///
/// # Errors
/// When the queue does not take a run while it is empty.
pub fn alone<const WORDS: usize>(
    load: Load,
    (mut sender, mut receiver): (impl Sender<WORDS>, impl Receiver<WORDS>),
) -> Result<Outcome, BoxError> {
    let (run, start) = (load.run.max(1), Instant::now());
    let mut checksum = Checksum::default();
    while checksum.events < load.events {
        let (from, mut sums) = (checksum.events, checksum);
        let end = load.events.min(from + run);
        if !sender.send(from..end, Event::of) {
            return Err(format!("the events {from} .. {end} do not fit an empty queue").into());
        }
        while sums.events < end {
            let take = |time, order, value: &[u64; WORDS]| sums.fold(time as u64, order, value);
            if receiver.receive(load.most, take) == 0 {
                return Err(format!("the events {} .. {end} were lost", sums.events).into());
            }
        }
        checksum = sums;
    }
    Ok(Outcome { elapsed: start.elapsed(), rows: checksum.events, hash: checksum.hash() })
}

fn drain<const WORDS: usize>(receiver: &mut impl Receiver<WORDS>, load: Load, sender_gone: &AtomicBool) -> Checksum {
    let mut checksum = Checksum::default();
    let mut waits = Waits::default();
    while checksum.events < load.events {
        let mut sums = checksum;
        let mut count =
            receiver.receive(load.most, |time, order, value: &[u64; WORDS]| sums.fold(time as u64, order, value));
        if count == 0 && sender_gone.load(Ordering::Acquire) {
            // What was sent before it went is there by now.
            count = receiver.receive(load.most, |time, order, value| sums.fold(time as u64, order, value));
            if count == 0 {
                break;
            }
        }
        checksum = sums;
        waits.after(count > 0);
    }
    checksum
}
