//! Between the host program and a job: push events, take rows by channel or callback.

use crate::ring::{Consumer, Producer, ring};
use crate::{BoxError, DurableInput, Event, Feed, Polled, Record, Sink, Source, Timestamp};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A source that the host program pushes events into, and the end to push them at.
///
/// `capacity` is in events and rounded up to a power of two. When the [`Input`] is dropped the source
/// ends.
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
/// input.send(&[Tick { time_ns: 1 }, Tick { time_ns: 2 }]).unwrap();
/// drop(input);
/// handle.join()?;
/// assert_eq!(rows.take().len(), 2);
/// # Ok::<(), pelton::Error>(())
/// ```
pub fn push<T: Event>(capacity: usize) -> (Input<T>, Source<T>) {
    let (producer, consumer) = ring(capacity.max(1), 1);
    let durable = Arc::default();
    let feed = PushFeed { consumer, durable: Arc::clone(&durable) };
    (Input { producer, times: Vec::new(), durable }, Source::feed(feed))
}

/// Where the host program pushes events into a job.
pub struct Input<T> {
    producer: Producer<(), T, ()>,
    times: Vec<Timestamp>,
    /// What the job's journal says, where it keeps one.
    durable: Arc<OnceLock<DurableInput>>,
}

/// The job has ended and takes no more events; the number says how many it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job has ended; it took {0} of the events")]
pub struct Closed(pub usize);

impl<T: Event> Input<T> {
    /// How many events of this input are durable, since the job first started: those are taken exactly once, whatever
    /// happens. When a job that takes checkpoints is started again, it says which event is to be pushed first.
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

    /// Pushes the events that there is room for, and says how many.
    ///
    /// # Errors
    /// When the job has ended.
    pub fn try_send(&mut self, events: &[T]) -> Result<usize, Closed> {
        if self.producer.is_abandoned() {
            return Err(Closed(0));
        }
        let room = self.producer.room(events.len()).min(events.len());
        self.times.clear();
        self.times.extend(events[..room].iter().map(Event::time));
        Ok(self.producer.push(&self.times, &vec![(); room], &events[..room]))
    }

    /// Pushes all events, waiting for room.
    ///
    /// # Errors
    /// When the job ends meanwhile.
    pub fn send(&mut self, events: &[T]) -> Result<(), Closed> {
        let mut sent = 0;
        let backoff = crossbeam_utils::Backoff::new();
        while sent < events.len() {
            match self.try_send(&events[sent..]) {
                Ok(0) if backoff.is_completed() => std::thread::sleep(Duration::from_micros(50)),
                Ok(0) => backoff.snooze(),
                Ok(count) => {
                    sent += count;
                    backoff.reset();
                }
                Err(Closed(_)) => return Err(Closed(sent)),
            }
        }
        Ok(())
    }
}

struct PushFeed<T> {
    consumer: Consumer<(), T, ()>,
    durable: Arc<OnceLock<DurableInput>>,
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
        self.consumer.release(count);
        Ok(match count {
            0 if self.consumer.is_finished() => Polled::End,
            0 => Polled::Pending,
            _ => Polled::Ready,
        })
    }
}

/// A sink to a bounded channel, and the channel's other end.
///
/// `capacity` is in rows and rounded up to a power of two. A full channel stops the job's sources
/// until it is read: that is backpressure. A channel whose other end is dropped ends the job with an
/// error.
///
/// A job that goes on from a checkpoint gives the rows behind it again: at least once. [`Output::number`] tells which
/// ones these are.
pub fn channel<T: Record>(capacity: usize) -> (ChannelSink<T>, Output<T>) {
    let (producer, consumer) = ring(capacity.max(1), 1);
    let first = Arc::new(AtomicU64::new(0));
    (ChannelSink { producer, first: first.clone() }, Output { consumer, first, taken: 0 })
}

/// Made by [`channel`].
pub struct ChannelSink<T> {
    producer: Producer<(), T, ()>,
    /// The number of the first row; set before any is pushed, so whoever sees a row sees it too.
    first: Arc<AtomicU64>,
}

impl<T: Record> Sink<T> for ChannelSink<T> {
    fn write(&mut self, times: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        if self.producer.is_abandoned() {
            return Err("the reading end of the channel was dropped".into());
        }
        Ok(self.producer.push(times, &vec![(); rows.len()], rows))
    }

    fn first_number(&mut self, number: u64) {
        self.first.store(number, Ordering::Relaxed);
    }
}

/// The reading end of a [`channel`].
pub struct Output<T> {
    consumer: Consumer<(), T, ()>,
    first: Arc<AtomicU64>,
    /// Rows taken so far.
    taken: u64,
}

/// What [`Output::recv`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<T> {
    /// A row with its time.
    Row(Timestamp, T),
    /// Nothing came in time.
    Timeout,
    /// The job has ended and all rows were taken.
    End,
}

impl<T: Record> Output<T> {
    /// The number of the row that was taken last, `None` before the first. Rows are numbered from 0 in the job's order, and
    /// a job that goes on from a checkpoint goes on with the number that comes there. So rows up to the largest number that
    /// was taken before a crash are repeats.
    ///
    /// The rows of a channel of one [worker](crate::Stream::sink_unordered) have no order: they are numbered from 0 each
    /// time the job is started, as they come.
    ///
    /// ```
    /// use pelton::{Job, Options, Received, VecSource, channel};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Tick { #[event(time)] time_ns: i64 }
    ///
    /// let ticks = (0..10).map(|i| Tick { time_ns: i }).collect();
    /// let mut job = Job::new("ticks");
    /// let (sink, mut output) = channel(16);
    /// job.source("ticks", VecSource::new(ticks, 4)).sink("out", sink);
    /// let handle = job.start(Options::workers(1))?;
    /// let mut numbers = Vec::new();
    /// while let Received::Row(..) = output.recv(Duration::from_secs(30)) {
    ///     numbers.extend(output.number());
    /// }
    /// handle.join()?;
    /// assert_eq!(numbers, (0..10).collect::<Vec<u64>>());
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn number(&self) -> Option<u64> {
        Some(self.first.load(Ordering::Relaxed) + self.taken.checked_sub(1)?)
    }

    /// Takes the next row, waiting for it at most so long.
    pub fn recv(&mut self, timeout: Duration) -> Received<T> {
        let start = Instant::now();
        let backoff = crossbeam_utils::Backoff::new();
        loop {
            let run = self.consumer.peek();
            if let (Some(&time), Some(&row)) = (run.times.first(), run.values.first()) {
                self.consumer.release(1);
                self.taken += 1;
                return Received::Row(time, row);
            }
            if self.consumer.is_finished() {
                return Received::End;
            }
            if start.elapsed() >= timeout {
                return Received::Timeout;
            }
            if backoff.is_completed() {
                std::thread::sleep(Duration::from_micros(50));
            } else {
                backoff.snooze();
            }
        }
    }
}

/// A sink that calls a function with each row and its time, on a worker's thread.
///
/// A job that goes on from a checkpoint calls it again with the rows behind that: at least once. [`callback_numbered`] tells
/// which rows these are.
///
/// ```
/// let sink = pelton::callback(|time: pelton::Timestamp, value: &u64| println!("{time} {value}"));
/// # let _: &dyn pelton::Sink<u64> = &sink;
/// ```
pub fn callback<T: Record, F>(call: F) -> Callback<F>
where
    F: FnMut(Timestamp, &T) + Send + 'static,
{
    Callback { call }
}

/// Made by [`callback`].
pub struct Callback<F> {
    call: F,
}

impl<T: Record, F: FnMut(Timestamp, &T) + Send + 'static> Sink<T> for Callback<F> {
    fn write(&mut self, times: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        times.iter().zip(rows).for_each(|(time, row)| (self.call)(*time, row));
        Ok(rows.len())
    }
}

/// A sink that calls a function with each row's number, its time and the row, on a worker's thread.
///
/// Rows are numbered from 0 in the job's order. A job that goes on from a checkpoint gives the rows behind it again, with
/// the numbers that they had: at least once, and whoever remembers the largest number can drop repeats. A callback of one
/// [worker](crate::Stream::sink_unordered) gets its rows in no order: they are numbered from 0 each time the job is started.
///
/// ```
/// use pelton::{Job, Options, Timestamp, VecSource, callback_numbered};
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Tick { #[event(time)] time_ns: i64 }
///
/// let ticks = (0..10).map(|i| Tick { time_ns: i }).collect();
/// let mut job = Job::new("ticks");
/// let each = |number: u64, time: Timestamp, _: &Tick| assert_eq!(number as i64, time.as_nanos());
/// job.source("ticks", VecSource::new(ticks, 4)).sink("out", callback_numbered(each));
/// job.run(Options::workers(2))?;
/// # Ok::<(), pelton::Error>(())
/// ```
pub fn callback_numbered<T: Record, F>(call: F) -> CallbackNumbered<F>
where
    F: FnMut(u64, Timestamp, &T) + Send + 'static,
{
    CallbackNumbered { call, next: 0 }
}

/// Made by [`callback_numbered`].
pub struct CallbackNumbered<F> {
    call: F,
    /// The number of the next row.
    next: u64,
}

impl<T: Record, F: FnMut(u64, Timestamp, &T) + Send + 'static> Sink<T> for CallbackNumbered<F> {
    fn write(&mut self, times: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        for (time, row) in times.iter().zip(rows) {
            (self.call)(self.next, *time, row);
            self.next += 1;
        }
        Ok(rows.len())
    }

    fn first_number(&mut self, number: u64) {
        self.next = number;
    }
}

/// A sink that keeps all rows in memory, and the place to take them from: for tests and small jobs.
pub fn collect<T: Record>() -> (Collect<T>, Collected<T>) {
    let rows = Collected(Arc::default());
    (Collect(rows.clone()), rows)
}

/// Made by [`collect`].
pub struct Collect<T>(Collected<T>);

/// The rows of a [`collect`] sink with their times, in the job's order.
pub struct Collected<T>(Arc<Mutex<Vec<(Timestamp, T)>>>);

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Collected<T> {
    /// Takes the rows so far.
    pub fn take(&self) -> Vec<(Timestamp, T)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Record> Sink<T> for Collect<T> {
    fn write(&mut self, times: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        let mut kept = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(times.iter().copied().zip(rows.iter().copied()));
        Ok(rows.len())
    }
}
