//! From the host program into a job: events that are pushed.

use super::waiters::{Waiters, WakesOnDrop};
use crate::ring::{Consumer, Producer, ring};
use crate::{BoxError, DurableInput, Event, Feed, Polled, Source, Timestamp};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A source that the host program pushes events into, and the end to push them at.
///
/// `capacity` is in events and rounded up to a power of two. When the [`Input`] and all its clones are dropped the
/// source ends.
///
/// ```
/// use pelton::{Job, Options, collect, push};
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Tick { #[event(time)] time_ns: i64 }
///
/// let mut job = Job::new("ticks");
/// let (mut input, source) = push::<Tick>(1024);
/// let (sink, rows) = collect();
/// job.source("ticks", source).sink("out", sink);
/// let handle = job.start(Options::workers(1))?;
/// input.send_one(Tick { time_ns: 1 })?;
/// input.send(&[Tick { time_ns: 2 }, Tick { time_ns: 3 }])?;
/// drop(input);
/// handle.join()?;
/// assert_eq!(rows.take().len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn push<T: Event>(capacity: usize) -> (Input<T>, Source<T>) {
    let (producer, consumer) = ring(capacity.max(1), 1);
    let (durable, waiters) = (Arc::default(), Waiters::default());
    let feed = PushFeed { consumer, durable: Arc::clone(&durable), waiters: WakesOnDrop(waiters.clone()) };
    let entry = Arc::new(Mutex::new(Entry { producer, times: Vec::new(), promised: 0 }));
    (Input { entry: Some(entry), holds_promise: false, waiters, durable }, Source::feed(feed))
}

/// Where the host program pushes events into a job.
///
/// Clones push into the same source, from any number of threads. Their events come in the order in which they arrive
/// here: events of one call of [`Input::try_send`] stand side by side, and so do those of [`Input::send`] where there is
/// room for all of them. A job that takes checkpoints journals them in that order, and replays them in it.
///
/// With the feature `async` this is a `futures_sink::Sink` of events: `input.feed(event).await` pushes one. Closing it is
/// dropping it, and there is nothing to flush. `input.send(..)` is [`Input::send`], which takes a slice and blocks the thread;
/// the one of `futures` is called as `SinkExt::send(&mut input, event).await`.
///
/// ```
/// use pelton::{Job, Options, collect, push};
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Tick { #[event(time)] time_ns: i64 }
///
/// let mut job = Job::new("ticks");
/// let (input, source) = push::<Tick>(64);
/// let (sink, rows) = collect();
/// job.source("ticks", source).sink("out", sink);
/// let handle = job.start(Options::workers(1))?;
/// let senders = [0, 1000].map(|first| {
///     let mut input = input.clone();
///     std::thread::spawn(move || (first..first + 100).try_for_each(|time_ns| input.send_one(Tick { time_ns })))
/// });
/// drop(input);
/// for sender in senders {
///     sender.join().unwrap()?;
/// }
/// handle.join()?;
/// assert_eq!(rows.take().len(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Input<T: Event> {
    /// `None` once it was closed.
    pub(super) entry: Option<Arc<Mutex<Entry<T>>>>,
    /// Whether one of the places that are promised is this one's.
    pub(super) holds_promise: bool,
    /// Those who wait for room.
    pub(super) waiters: Waiters,
    /// What the job's journal says, where it keeps one.
    durable: Arc<OnceLock<DurableInput>>,
}

/// The writing end of a source's ring, which all clones of an input share.
pub(super) struct Entry<T> {
    producer: Producer<(), T, ()>,
    times: Vec<Timestamp>,
    /// Places in the ring that are kept free for inputs that were told of room.
    pub(super) promised: usize,
}

/// The job has ended and takes no more events; the number says how many it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job has ended and took {0} of these events: push no more, and `Handle::join` tells why it ended")]
pub struct Closed(pub usize);

/// An event that was not pushed, given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused<T> {
    /// The job has not taken enough of the events before it.
    #[error(
        "there is no room for the event now: try again later, wait for room with `send_one`, or give `push` more capacity"
    )]
    Full(T),
    /// The job has ended.
    #[error("the job has ended and takes no more events: `Handle::join` tells why")]
    Closed(T),
}

impl<T: Event> Entry<T> {
    /// Whether the job has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.producer.is_abandoned()
    }

    /// Events that there is room for, beside those that are promised a place.
    pub(super) fn room(&mut self, wanted: usize) -> usize {
        self.producer.room(wanted.saturating_add(self.promised)).saturating_sub(self.promised)
    }

    /// Pushes the events that there is room for, and says how many.
    pub(super) fn push(&mut self, events: &[T]) -> usize {
        let room = self.room(events.len()).min(events.len());
        self.times.clear();
        self.times.extend(events[..room].iter().map(Event::time));
        self.producer.push(&self.times, &vec![(); room], &events[..room])
    }
}

impl<T: Event> Input<T> {
    /// How many events of this source are durable, since the job first started: those are taken exactly once, whatever
    /// happens. When a job that takes checkpoints is started again, it says which event is to be pushed first. Where
    /// there are clones, it counts the events of all of them.
    ///
    /// 0 before the job is started, and where it takes no checkpoints.
    ///
    /// ```
    /// use pelton::{CheckpointOptions, Job, Options, collect, push};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Tick { #[event(time)] time_ns: i64 }
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let state = dir.path();
    /// let ticks: Vec<Tick> = (0..1000).map(|time_ns| Tick { time_ns }).collect();
    /// for end in [400, 1000] {
    ///     let mut job = Job::new("ticks");
    ///     let (mut input, source) = push::<Tick>(1024);
    ///     job.source("ticks", source).sink("out", collect().0);
    ///     let checkpoints = CheckpointOptions::in_directory(state);
    ///     let handle = job.start(Options::workers(1).pin(false).checkpoints(checkpoints))?;
    ///     let first = input.durable() as usize;
    ///     input.send(&ticks[first..end])?;
    ///     while input.durable() < end as u64 {
    ///         std::thread::yield_now();
    ///     }
    ///     let report = handle.stop_with_savepoint()?;
    ///     assert_eq!(report.steps[0].rows_in, end as u64);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn durable(&self) -> u64 {
        self.durable.get().map_or(0, |durable| durable.count().events)
    }

    /// Pushes one event, waiting for room. Before the job is started nothing makes room.
    ///
    /// # Errors
    /// When the job has ended, or ends meanwhile.
    pub fn send_one(&mut self, event: T) -> Result<(), Closed> {
        self.send(&[event])
    }

    /// Pushes one event if there is room for it.
    ///
    /// ```
    /// use pelton::{Refused, push};
    ///
    /// #[derive(Debug, Clone, Copy, PartialEq, pelton::Event)]
    /// #[repr(C)]
    /// struct Tick { #[event(time)] time_ns: i64 }
    ///
    /// let (mut input, source) = push(1);
    /// assert_eq!(input.try_send_one(Tick { time_ns: 1 }), Ok(()));
    /// assert_eq!(input.try_send_one(Tick { time_ns: 2 }), Err(Refused::Full(Tick { time_ns: 2 })));
    /// drop(source);
    /// assert_eq!(input.try_send_one(Tick { time_ns: 3 }), Err(Refused::Closed(Tick { time_ns: 3 })));
    /// ```
    ///
    /// # Errors
    /// The event, with the reason why it was not taken.
    pub fn try_send_one(&mut self, event: T) -> Result<(), Refused<T>> {
        match self.try_send(&[event]) {
            Ok(0) => Err(Refused::Full(event)),
            Ok(_) => Ok(()),
            Err(Closed(_)) => Err(Refused::Closed(event)),
        }
    }

    /// Pushes the events that there is room for, and says how many: the first so many of them.
    ///
    /// # Errors
    /// When the job has ended.
    pub fn try_send(&mut self, events: &[T]) -> Result<usize, Closed> {
        let Some(entry) = &self.entry else { return Err(Closed(0)) };
        let mut entry = entry.lock().unwrap_or_else(PoisonError::into_inner);
        // The place that was promised is used.
        if self.holds_promise && !events.is_empty() {
            entry.promised -= 1;
            self.holds_promise = false;
        }
        if entry.is_closed() { Err(Closed(0)) } else { Ok(entry.push(events)) }
    }

    /// Pushes all events, waiting for room. Before the job is started nothing makes room.
    ///
    /// # Errors
    /// When the job has ended, or ends meanwhile.
    pub fn send(&mut self, events: &[T]) -> Result<(), Closed> {
        let mut sent = self.try_send(events)?;
        if sent == events.len() {
            return Ok(());
        }
        let waiters = self.waiters.clone();
        let sent_all = waiters.wait(None, || match self.try_send(&events[sent..]) {
            Ok(count) => {
                sent += count;
                (sent == events.len()).then_some(Ok(()))
            }
            Err(Closed(_)) => Some(Err(Closed(sent))),
        });
        // Without a deadline it does not give up.
        sent_all.unwrap_or(Ok(()))
    }

    /// Gives up the place that it was promised.
    pub(super) fn give_up_promise(&mut self) {
        if let Some(entry) = self.entry.as_ref().filter(|_| self.holds_promise) {
            entry.lock().unwrap_or_else(PoisonError::into_inner).promised -= 1;
            self.holds_promise = false;
            // Somebody else may take the place.
            self.waiters.wake();
        }
    }
}

impl<T: Event> Clone for Input<T> {
    fn clone(&self) -> Self {
        let Self { entry, waiters, durable, .. } = self;
        Self { entry: entry.clone(), holds_promise: false, waiters: waiters.clone(), durable: durable.clone() }
    }
}

impl<T: Event> Drop for Input<T> {
    fn drop(&mut self) {
        self.give_up_promise();
    }
}

/// The reading end; fields are dropped in their order.
struct PushFeed<T> {
    consumer: Consumer<(), T, ()>,
    durable: Arc<OnceLock<DurableInput>>,
    waiters: WakesOnDrop,
}

impl<T: Event> Feed<T> for PushFeed<T> {
    fn go_on(&mut self, durable: &DurableInput) -> Result<(), BoxError> {
        // A job is deployed once.
        let _ = self.durable.set(durable.clone());
        Ok(())
    }

    fn backlog(&self) -> usize {
        self.consumer.len()
    }

    fn poll(&mut self, room: usize, out: &mut Vec<T>) -> Result<Polled, BoxError> {
        let run = self.consumer.peek();
        let count = run.values.len().min(room);
        out.extend_from_slice(&run.values[..count]);
        if count == 0 {
            return Ok(if self.consumer.is_finished() { Polled::End } else { Polled::Pending });
        }
        self.consumer.release(count);
        self.waiters.0.wake();
        Ok(Polled::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::SavedJournal;
    use crate::{BlockSource, CheckpointOptions, Job, Options, Stop, callback_numbered, collect};
    use std::collections::BTreeMap;
    use std::thread;

    #[derive(Debug, Clone, Copy, PartialEq, crate::Event)]
    #[repr(C)]
    struct Tick {
        #[event(time)]
        time_ns: i64,
        sender: u64,
    }

    fn ticks(sender: u64, count: i64) -> Vec<Tick> {
        (0..count).map(|time_ns| Tick { time_ns, sender }).collect()
    }

    /// Three threads push through rings that are mostly full, into a job that is stopped at once and goes on from its
    /// journal: a row's number tells its event in both runs, and the journal has these events in this order.
    #[test]
    fn clones_push_in_an_order_of_arrival_that_the_journal_keeps() {
        let directory = tempfile::tempdir().unwrap();
        let rows = Arc::new(Mutex::new(BTreeMap::new()));
        for run in 0..2 {
            let (input, source) = push::<Tick>(8);
            let seen = rows.clone();
            let sink = callback_numbered(move |number, _, tick: &Tick| {
                let before = seen.lock().unwrap().insert(number, *tick);
                assert!(before.is_none_or(|before| before == *tick), "row {number} is {tick:?} and was {before:?}");
            });
            let mut job = Job::new("ticks");
            job.source("ticks", source).sink("out", sink);
            let checkpoints = CheckpointOptions::in_directory(directory.path()).durable_first(true);
            let handle = job.start(Options::workers(1 + run).pin(false).checkpoints(checkpoints)).unwrap();
            let first = input.durable();
            assert_eq!(first > 0, run == 1);
            let senders = [0, 1, 2].map(|sender| {
                let mut input = input.clone();
                thread::spawn(move || {
                    ticks(sender + 10 * run as u64, 400).chunks(3).try_for_each(|ticks| input.send(ticks))
                })
            });
            if run == 0 {
                while input.durable() < 300 {
                    thread::yield_now();
                }
                handle.stop(Stop::Now);
            }
            drop(input);
            let results = senders.map(|sender| sender.join().unwrap());
            handle.join().unwrap();
            assert!(run == 0 || results.iter().all(Result::is_ok), "{results:?}");
        }
        let feed = SavedJournal::open(directory.path()).unwrap().events::<Tick>("ticks").unwrap();
        let mut reader = feed.reader().unwrap();
        let mut journaled = Vec::new();
        for block in 0..feed.blocks().len() {
            reader.load(block).unwrap();
            journaled.extend_from_slice(reader.events());
        }
        let rows = rows.lock().unwrap();
        assert!(rows.keys().copied().eq(0..journaled.len() as u64), "{} rows, {}", rows.len(), journaled.len());
        assert!(rows.values().eq(&journaled));
        for sender in [0, 1, 2, 10, 11, 12] {
            let own: Vec<_> = journaled.iter().filter(|tick| tick.sender == sender).copied().collect();
            assert_eq!(own, ticks(sender, own.len() as i64), "of one input nothing is lost, twice or out of order");
            assert!(sender < 10 || own.len() == 400);
        }
    }

    #[test]
    fn a_source_ends_with_the_last_of_its_inputs() {
        let mut job = Job::new("ticks");
        let ((mut input, source), (sink, rows)) = (push(4), collect());
        job.source("ticks", source).sink("out", sink);
        let mut simulation = job.simulate(Options::workers(1)).unwrap();
        let mut clone = input.clone();
        assert_eq!(input.try_send(&ticks(0, 1)), Ok(1));
        drop(input);
        for _ in 0..20 {
            simulation.step(0);
        }
        assert!(!simulation.is_ended());
        assert_eq!(clone.try_send(&ticks(1, 9)), Ok(4), "as many as the ring has room for");
        drop(clone);
        while !simulation.is_ended() {
            simulation.step(0);
        }
        simulation.finish().unwrap();
        assert_eq!(rows.take().len(), 5);
    }

    #[test]
    fn who_waits_for_room_learns_that_the_job_is_gone() {
        let (mut input, source) = push(2);
        let sender = thread::spawn(move || input.send(&ticks(0, 5)));
        drop(source);
        let closed = sender.join().unwrap().unwrap_err();
        assert!(closed.0 <= 2, "{closed}");
    }
}
