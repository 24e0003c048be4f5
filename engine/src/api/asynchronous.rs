//! The ends of the host program for tasks: results as a `Stream`, pushing events as a `Sink`.
//!
//! ```
//! use futures::{SinkExt, StreamExt, executor::block_on};
//! use pelton::{Job, Options, channel, push};
//!
//! #[derive(Clone, Copy, pelton::Event)]
//! #[repr(C)]
//! struct Tick { #[event(time)] time_ns: i64 }
//!
//! let mut job = Job::new("ticks");
//! let ((mut input, source), (sink, output)) = (push(64), channel(64));
//! job.source("ticks", source).sink("out", sink);
//! let handle = job.start(Options::workers(1))?;
//! let times: Vec<i64> = block_on(async {
//!     for time_ns in 1..=3 {
//!         input.feed(Tick { time_ns }).await?;
//!     }
//!     // `input.send` is the one that blocks.
//!     SinkExt::send(&mut input, Tick { time_ns: 4 }).await?;
//!     input.close().await?;
//!     Ok::<_, pelton::Closed>(output.map(|(time, _)| time.as_nanos()).collect().await)
//! })?;
//! handle.join()?;
//! assert_eq!(times, [1, 2, 3, 4]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::channel::{NotReceived, Output};
use super::push::{Closed, Input};
use crate::{Event, Record, Timestamp};
use futures_core::Stream;
use futures_sink::Sink;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll};

impl<T: Record> Stream for Output<T> {
    type Item = (Timestamp, T);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = poll(&mut self);
        if polled.is_ready() {
            return polled;
        }
        self.waiters.register(context.waker());
        poll(&mut self)
    }
}

fn poll<T: Record>(output: &mut Output<T>) -> Poll<Option<(Timestamp, T)>> {
    match output.try_recv() {
        Ok(row) => Poll::Ready(Some(row)),
        Err(NotReceived::Ended) => Poll::Ready(None),
        Err(NotReceived::Pending) => Poll::Pending,
    }
}

impl<T: Event> Input<T> {
    /// Keeps a place free for the next event where there is room.
    fn promise(&mut self) -> Poll<Result<(), Closed>> {
        let Some(entry) = &self.entry else { return Poll::Ready(Err(Closed(0))) };
        let mut entry = entry.lock().unwrap_or_else(PoisonError::into_inner);
        if entry.is_closed() {
            return Poll::Ready(Err(Closed(0)));
        }
        if !self.holds_promise {
            if entry.room(1) == 0 {
                return Poll::Pending;
            }
            entry.promised += 1;
            self.holds_promise = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// An event is in the job's hands as soon as it is sent, so flushing has nothing to do. Who was told of room has a place
/// kept free, until an event is sent or the input is dropped.
impl<T: Event> Sink<T> for Input<T> {
    type Error = Closed;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let polled = self.promise();
        if polled.is_ready() {
            return polled;
        }
        self.waiters.register(context.waker());
        self.promise()
    }

    /// # Panics
    /// When there is no room because `poll_ready` was not asked before.
    fn start_send(mut self: Pin<&mut Self>, event: T) -> Result<(), Closed> {
        let count = self.try_send(&[event])?;
        assert!(count == 1, "`start_send` was called without `poll_ready` before, and there is no room");
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.give_up_promise();
        self.entry = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Job, Options, Refused, channel, push};
    use futures::executor::block_on;
    use futures::{SinkExt, StreamExt, join};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    #[derive(Debug, Clone, Copy, PartialEq, crate::Event)]
    #[repr(C)]
    struct Tick {
        #[event(time)]
        time_ns: i64,
    }

    fn tick(time_ns: i64) -> Tick {
        Tick { time_ns }
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Far more events than the rings have room for, by two inputs and one output, on one thread that sleeps unless it is
    /// woken: it would sleep for ever if a wake-up were lost.
    #[test]
    fn a_task_that_pushes_and_takes_is_woken_by_the_job() {
        for workers in [1, 2, 3] {
            let mut job = Job::new("ticks");
            let ((mut input, source), (sink, output)) = (push::<Tick>(4), channel(2));
            job.source("ticks", source).map(|tick| tick.time_ns).sink("out", sink);
            let handle = job.start(Options::workers(workers).pin(false)).unwrap();
            let mut other = input.clone();
            let numbers = block_on(async move {
                let sends = async {
                    for number in 0..500 {
                        input.feed(tick(number)).await.unwrap();
                    }
                    input.close().await.unwrap();
                };
                let others = async {
                    let ticks = futures::stream::iter(500..1000).map(|number| Ok(tick(number)));
                    ticks.forward(&mut other).await.unwrap();
                };
                join!(sends, others, output.map(|(_, number)| number).collect::<Vec<i64>>()).2
            });
            let (first, second): (Vec<i64>, Vec<i64>) = numbers.iter().partition(|number| **number < 500);
            assert!(first.into_iter().eq(0..500) && second.into_iter().eq(500..1000), "{numbers:?}");
            handle.join().unwrap();
        }
    }

    #[test]
    fn an_output_wakes_its_task_for_a_row_and_for_the_end() {
        let mut job = Job::new("ticks");
        let ((mut input, source), (sink, mut output)) = (push(4), channel(4));
        job.source("ticks", source).sink("out", sink);
        let mut simulation = job.simulate(Options::workers(1)).unwrap();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        simulation.step(0);
        assert!(output.poll_next_unpin(&mut context).is_pending());
        for _ in 0..4 {
            simulation.step(0);
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "nothing has come");
        input.try_send_one(tick(1)).unwrap();
        let mut steps = 0;
        while wakes.0.load(Ordering::Relaxed) == 0 {
            simulation.step(0);
            steps += 1;
            assert!(steps < 100, "the row wakes nobody");
        }
        assert_eq!(output.poll_next_unpin(&mut context), Poll::Ready(Some((Timestamp::from_nanos(1), tick(1)))));
        assert!(output.poll_next_unpin(&mut context).is_pending());
        drop(input);
        while !simulation.is_ended() {
            simulation.step(0);
        }
        simulation.finish().unwrap();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2, "the end wakes whoever waits");
        assert_eq!(output.poll_next_unpin(&mut context), Poll::Ready(None));
    }

    #[test]
    fn who_is_told_of_room_has_it() {
        let (mut input, source) = push(1);
        let mut other = input.clone();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        for _ in 0..2 {
            assert_eq!(input.poll_ready_unpin(&mut context), Poll::Ready(Ok(())));
        }
        assert!(other.poll_ready_unpin(&mut context).is_pending());
        assert_eq!(other.try_send_one(tick(1)), Err(Refused::Full(tick(1))));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        // Whoever does not use its place leaves it to others.
        drop(input);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert_eq!(other.poll_ready_unpin(&mut context), Poll::Ready(Ok(())));
        assert_eq!(other.start_send_unpin(tick(2)), Ok(()));
        assert!(other.poll_ready_unpin(&mut context).is_pending());
        // A job that ends wakes those who wait for room.
        drop(source);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
        assert_eq!(other.poll_ready_unpin(&mut context), Poll::Ready(Err(Closed(0))));
        assert_eq!(other.start_send_unpin(tick(3)), Err(Closed(0)));
    }
}
