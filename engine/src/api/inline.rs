//! A job on the caller's own thread.

use crate::api::handle::{Simulation, Stop};
use crate::api::push::Input;
use crate::runtime::checkpointer::Request;
use crate::runtime::worker::WorkerStep;
use crate::{Error, Event, Report};

/// A job that runs on the caller's thread, inside of the calls of [`Inline::push`]: what a program embeds that has to act
/// on the rows before it goes on.
///
/// There is no thread, and nothing is woken. When `push` returns, all that the event causes has been done: rows have
/// been given to the sinks, such as a [`callback`](crate::callback). The job is the same as with threads: it
/// has the same rows in the same order, may keep its state by [checkpoints](crate::Options::checkpoints), and accounts for
/// every event. It has one worker. With checkpoints an event is durable when `push` returns, which takes a write to the
/// disk each time; [`Inline::push_all`] shares it among events.
///
/// ```
/// use pelton::{Job, Options, Tumbling, callback, count, push};
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Click { #[event(time)] time_ns: i64, user: u64 }
///
/// let (mut input, clicks) = push::<Click>(16);
/// let seen = Arc::new(AtomicU64::new(0));
/// let show = seen.clone();
/// let mut job = Job::new("clicks");
/// job.source("clicks", clicks)
///     .key_by(|click| click.user)
///     .window(Tumbling::of(Duration::from_nanos(10)))
///     .aggregate("clicks_10ns", count())
///     .sink("out", callback(move |_, row: &pelton::Windowed<u64, u64>| show.store(row.value(), Relaxed)));
/// let mut job = job.inline(Options::workers(1))?;
/// for time_ns in [1, 2, 3] {
///     job.push(&mut input, &Click { time_ns, user: 7 })?;
/// }
/// assert_eq!(seen.load(Relaxed), 0);
/// job.push(&mut input, &Click { time_ns: 11, user: 7 })?;
/// // The window before it has fired.
/// assert_eq!(seen.load(Relaxed), 3);
/// drop(input);
/// job.finish()?.balance()?;
/// assert_eq!(seen.load(Relaxed), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Inline {
    simulation: Simulation,
    /// Whether it takes checkpoints.
    is_durable: bool,
}

/// A job that takes checkpoints has nothing left to do when nothing was done so many times, with a look at the journal and
/// the checkpoints between.
const IDLE_ROUNDS: usize = 4;

impl Inline {
    pub(crate) const fn new(simulation: Simulation) -> Self {
        let is_durable = simulation.takes_checkpoints();
        Self { simulation, is_durable }
    }

    /// Pushes an event into an input of this job, and does all that it causes.
    ///
    /// # Errors
    /// The failure of a source, step or sink. [`Error::Ended`] where the job has ended.
    #[inline]
    pub fn push<T: Event>(&mut self, input: &mut Input<T>, event: &T) -> Result<(), Error> {
        self.push_all(input, std::slice::from_ref(event))
    }

    /// Pushes events into an input of this job, and does all that they cause.
    ///
    /// # Errors
    /// As for [`Inline::push`].
    pub fn push_all<T: Event>(&mut self, input: &mut Input<T>, mut events: &[T]) -> Result<(), Error> {
        while !events.is_empty() {
            if self.simulation.workers_ended() {
                return Err(Error::Ended);
            }
            let sent = input.try_send(events).unwrap_or(0);
            events = &events[sent..];
            self.run()?;
        }
        Ok(())
    }

    /// Does all that can be done without another event, such as what follows from
    /// [a watermark](crate::Input::try_send_watermark).
    ///
    /// # Errors
    /// The failure of a source, step or sink; it is told once.
    pub fn run(&mut self) -> Result<(), Error> {
        let mut idle = 0;
        while idle < IDLE_ROUNDS {
            match self.simulation.step(0) {
                WorkerStep::Idle | WorkerStep::CaughtUp if !self.is_durable => return Ok(()),
                WorkerStep::Made | WorkerStep::CaughtUp => idle = 0,
                WorkerStep::Idle => {
                    idle += 1;
                    self.simulation.sync_journal();
                    self.simulation.step_checkpoints();
                }
                WorkerStep::Ended => return self.simulation.failure(),
            }
        }
        Ok(())
    }

    /// Takes a checkpoint: the number under which it was committed.
    ///
    /// # Errors
    /// When the job takes no checkpoints or ends before, and as for [`Inline::run`].
    pub fn checkpoint(&mut self) -> Result<u64, Error> {
        let (reply, committed) = std::sync::mpsc::sync_channel(1);
        self.simulation.request(Request { is_last: false, reply: Some(reply) })?;
        self.run()?;
        committed.try_recv().map_err(|_| Error::EndedBefore)
    }

    /// What the job has done so far.
    pub fn report(&self) -> Report {
        self.simulation.report()
    }

    /// Ends all inputs, and does what is left to do: windows fire, and sinks finish.
    ///
    /// # Errors
    /// As for [`Inline::run`].
    pub fn finish(mut self) -> Result<Report, Error> {
        self.simulation.stop(Stop::Drain);
        self.end()
    }

    /// Stops the job at a savepoint, as [`Handle::stop_with_savepoint`](crate::Handle::stop_with_savepoint) does: windows
    /// stay open, and the job goes on there when it is made again with the same state.
    ///
    /// # Errors
    /// When the job takes no checkpoints, and as for [`Inline::run`].
    pub fn stop_with_savepoint(mut self) -> Result<Report, Error> {
        self.simulation.checkpoint(true)?;
        self.end()
    }

    fn end(&mut self) -> Result<Report, Error> {
        while !self.simulation.is_ended() {
            self.run()?;
        }
        self.simulation.failure()?;
        Ok(self.simulation.report())
    }
}
