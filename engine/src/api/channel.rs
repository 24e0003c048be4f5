//! From a job to the host program: rows by channel, callback or collection.

use super::waiters::{Waiters, WakesOnDrop};
use crate::ring::{Consumer, Producer, ring};
use crate::{BoxError, Record, Sink, Timestamp};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A sink to a bounded channel, and the channel's other end.
///
/// `capacity` is in rows and rounded up to a power of two. A full channel stops the job's sources
/// until it is read: that is backpressure. A channel whose other end is dropped ends the job with an
/// error.
///
/// A job that goes on from a checkpoint gives the rows behind it again: at least once. [`Output::number`] tells which
/// ones these are.
///
/// ```
/// use pelton::{Job, Options, channel};
///
/// #[derive(Debug, Clone, Copy, PartialEq, pelton::Event)]
/// #[repr(C)]
/// struct Tick { #[event(time)] time_ns: i64 }
///
/// let mut job = Job::new("ticks");
/// let (sink, mut output) = channel(16);
/// job.source("ticks", [1, 2, 3].map(|time_ns| Tick { time_ns })).sink("out", sink);
/// let handle = job.start(Options::workers(1))?;
/// for (time, tick) in output.iter() {
///     assert_eq!(time.as_nanos(), tick.time_ns);
/// }
/// // There are no more rows: the job has ended, and `join` tells how.
/// assert_eq!(handle.join()?.step("out").map(|sink| sink.rows_out), Some(3));
/// # Ok::<(), pelton::Error>(())
/// ```
pub fn channel<T: Record>(capacity: usize) -> (ChannelSink<T>, Output<T>) {
    let (producer, consumer) = ring(capacity.max(1), 1);
    let (first, waiters) = (Arc::new(AtomicU64::new(0)), Waiters::default());
    let sink = ChannelSink { producer, first: first.clone(), waiters: WakesOnDrop(waiters.clone()) };
    (sink, Output { consumer, first, taken: 0, waiters })
}

/// Made by [`channel`]; its fields are dropped in their order.
pub struct ChannelSink<T> {
    producer: Producer<(), T, ()>,
    /// The number of the first row; set before any is pushed, so whoever sees a row sees it too.
    first: Arc<AtomicU64>,
    waiters: WakesOnDrop,
}

impl<T: Record> Sink<T> for ChannelSink<T> {
    fn write(&mut self, times: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        if self.producer.is_abandoned() {
            return Err("the reading end of the channel was dropped: keep the `Output` until the job has ended".into());
        }
        let count = self.producer.push(times, &vec![(); rows.len()], rows);
        if count > 0 {
            self.waiters.0.wake();
        }
        Ok(count)
    }

    fn first_number(&mut self, number: u64) {
        self.first.store(number, Ordering::Relaxed);
    }
}

/// The reading end of a [`channel`]: the rows of a job, each with its time.
///
/// Whoever waits for a row sleeps until the job wakes it. With the feature `async` this is a `futures_core::Stream` as
/// well, of the items that [`Output::iter`] has.
pub struct Output<T> {
    consumer: Consumer<(), T, ()>,
    first: Arc<AtomicU64>,
    /// Rows taken so far.
    taken: u64,
    pub(super) waiters: Waiters,
}

/// Why [`Output::try_recv`] or [`Output::recv_timeout`] found no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReceived {
    /// There is none now, or none came in time.
    #[error("no row has come so far: ask again later")]
    Pending,
    /// The job has ended and all rows were taken.
    #[error("the job has ended and all its rows were taken: `Handle::join` tells how it ended")]
    Ended,
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
    /// use pelton::{Job, Options, channel};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Tick { #[event(time)] time_ns: i64 }
    ///
    /// let ticks: Vec<_> = (0..10).map(|i| Tick { time_ns: i }).collect();
    /// let mut job = Job::new("ticks");
    /// let (sink, mut output) = channel(16);
    /// job.source("ticks", ticks).sink("out", sink);
    /// let handle = job.start(Options::workers(1))?;
    /// let mut numbers = Vec::new();
    /// while let Some(_row) = output.recv() {
    ///     numbers.extend(output.number());
    /// }
    /// handle.join()?;
    /// assert_eq!(numbers, (0..10).collect::<Vec<u64>>());
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn number(&self) -> Option<u64> {
        Some(self.first.load(Ordering::Relaxed) + self.taken.checked_sub(1)?)
    }

    /// Takes the next row, waiting for it; `None` when the job has ended and all rows were taken. Before the job is
    /// started none comes.
    pub fn recv(&mut self) -> Option<(Timestamp, T)> {
        self.wait(None).ok()
    }

    /// Takes the next row if there is one.
    ///
    /// ```
    /// use pelton::{Job, NotReceived, Options, channel};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Tick { #[event(time)] time_ns: i64 }
    ///
    /// let mut job = Job::new("ticks");
    /// let (sink, mut output) = channel(16);
    /// job.source("ticks", vec![Tick { time_ns: 7 }]).sink("out", sink);
    /// assert_eq!(output.try_recv().err(), Some(NotReceived::Pending));
    /// assert_eq!(output.recv_timeout(Duration::from_millis(1)).err(), Some(NotReceived::Pending));
    /// job.run(Options::workers(1))?;
    /// assert_eq!(output.try_recv().unwrap().0.as_nanos(), 7);
    /// assert_eq!(output.try_recv().err(), Some(NotReceived::Ended));
    /// # Ok::<(), pelton::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is none now, or will be none any more.
    pub fn try_recv(&mut self) -> Result<(Timestamp, T), NotReceived> {
        let run = self.consumer.peek();
        if let (Some(&time), Some(&row)) = (run.times.first(), run.values.first()) {
            self.consumer.release(1);
            self.taken += 1;
            return Ok((time, row));
        }
        Err(if self.consumer.is_finished() { NotReceived::Ended } else { NotReceived::Pending })
    }

    /// Takes the next row, waiting for it at most so long.
    ///
    /// # Errors
    /// When none came in time, or none will come any more.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<(Timestamp, T), NotReceived> {
        // A deadline that no clock reaches is none.
        self.wait(Instant::now().checked_add(timeout))
    }

    /// The rows to come, waiting for each, until the job has ended.
    pub fn iter(&mut self) -> impl Iterator<Item = (Timestamp, T)> + '_ {
        std::iter::from_fn(|| self.recv())
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<(Timestamp, T), NotReceived> {
        let found = self.try_recv();
        if !matches!(found, Err(NotReceived::Pending)) {
            return found;
        }
        let waiters = self.waiters.clone();
        let found = waiters
            .wait(deadline, || Some(self.try_recv()).filter(|found| !matches!(found, Err(NotReceived::Pending))));
        found.unwrap_or(Err(NotReceived::Pending))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Job, Options, Stop, push};
    use std::thread;

    #[derive(Debug, Clone, Copy, PartialEq, crate::Event)]
    #[repr(C)]
    struct Tick {
        #[event(time)]
        time_ns: i64,
    }

    #[test]
    fn who_waits_for_a_row_gets_each_and_then_the_end() {
        for stop in [None, Some(Stop::Now)] {
            let mut job = Job::new("ticks");
            let ((mut input, source), (sink, mut output)) = (push(4), channel(2));
            job.source("ticks", source).sink("out", sink);
            let handle = job.start(Options::workers(2).pin(false)).unwrap();
            let reader = thread::spawn(move || {
                let rows: Vec<_> = output.iter().map(|(_, tick): (_, Tick)| tick.time_ns).collect();
                (rows, output.try_recv().err(), output.recv_timeout(Duration::MAX).err())
            });
            let sent = (0..100).map(|time_ns| Tick { time_ns }).try_for_each(|tick| input.send_one(tick));
            assert_eq!(sent, Ok(()));
            if let Some(stop) = stop {
                handle.stop(stop);
            }
            drop(input);
            let (rows, ended, still_ended) = reader.join().unwrap();
            assert_eq!((ended, still_ended), (Some(NotReceived::Ended), Some(NotReceived::Ended)));
            assert!(rows.iter().copied().eq(0..rows.len() as i64) && (stop.is_some() || rows.len() == 100), "{rows:?}");
            handle.join().unwrap();
        }
    }
}
