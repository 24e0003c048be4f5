//! A job that runs: on threads of its own, or stepped by the caller.

use crate::base::panics::Panic;
use crate::graph::deploy::Deployment;
use crate::runtime::checkpointer::{Checkpointer, Request};
use crate::runtime::worker::{Worker, WorkerStep, caught};
use crate::{Error, Report};
use std::sync::Arc;
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How a job is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Sources stop; what they gave is worked off, windows fire, sinks finish.
    Drain,
    /// Everything stops where it is. Rows on their way are given up.
    Now,
}

/// How long a handle that is dropped waits for the job's threads.
const DROP_WAIT: Duration = Duration::from_secs(5);

/// How often who waits for a checkpoint looks whether the job has ended.
const REPLY_WAIT: Duration = Duration::from_millis(5);

/// A job that runs on threads of its own.
///
/// When it is dropped the job is stopped at once, and its threads are waited for, at most 5 seconds. A thread that is
/// stuck in a function of the user's longer than that is left alone: it ends when the function returns.
pub struct Handle {
    plan: Arc<Deployment>,
    threads: Vec<JoinHandle<()>>,
}

/// Stops a job from any thread; made by [`Handle::stopper`].
#[derive(Clone)]
pub struct Stopper {
    plan: Arc<Deployment>,
    threads: Vec<Thread>,
}

impl Stopper {
    /// Asks the job to stop. A job that has ended stays as it is.
    pub fn stop(&self, how: Stop) {
        match how {
            Stop::Drain => self.plan.shared().drain(),
            Stop::Now => self.plan.shared().halt(),
        }
        self.threads.iter().for_each(Thread::unpark);
    }

    /// Asks the job to stop at a savepoint, as [`Handle::stop_with_savepoint`] does.
    ///
    /// # Errors
    /// When the job takes no checkpoints.
    pub fn stop_with_savepoint(&self) -> Result<(), Error> {
        let checkpoints = self.plan.checkpoints().ok_or(Error::NoCheckpoints)?;
        checkpoints.request(Request { is_last: true, reply: None });
        self.threads.iter().for_each(Thread::unpark);
        Ok(())
    }
}

impl Handle {
    pub(crate) fn start(plan: Arc<Deployment>) -> Result<Self, Error> {
        let mut handle = Self { plan: plan.clone(), threads: Vec::new() };
        for worker in 0..plan.workers() {
            let plan = plan.clone();
            let thread = thread::Builder::new().name(format!("pelton-{worker}"));
            match thread.spawn(move || plan.run_worker(worker)) {
                Ok(thread) => handle.threads.push(thread),
                Err(error) => {
                    handle.stop(Stop::Now);
                    return Err(Error::Thread { worker, error });
                }
            }
        }
        if let Some(mut checkpointer) = plan.checkpointer() {
            let (shared, journal) = (plan.shared().clone(), plan.committer().map(|committer| committer.journal));
            handle.add_thread("pelton-checkpoints", move || {
                caught(&shared, || checkpointer.run());
                journal.iter().for_each(|journal| journal.close());
            })?;
        }
        if let Some(committer) = plan.committer() {
            let shared = plan.shared().clone();
            handle.add_thread("pelton-journal", move || {
                caught(&shared, || committer.run());
            })?;
        }
        Ok(handle)
    }

    /// Has something done beside the workers.
    fn add_thread(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        match thread::Builder::new().name(name.to_owned()).spawn(run) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                self.stop(Stop::Now);
                return Err(Error::Checkpoints { error });
            }
        }
        Ok(())
    }

    /// Takes a checkpoint now, and waits for it: the number under which it was committed.
    ///
    /// # Errors
    /// When the job takes no checkpoints, or ends before.
    pub fn checkpoint(&self) -> Result<u64, Error> {
        let (reply, committed) = std::sync::mpsc::sync_channel(1);
        self.request(Request { is_last: false, reply: Some(reply) })?;
        loop {
            match committed.recv_timeout(REPLY_WAIT) {
                Ok(epoch) => return Ok(epoch),
                // What came at the last moment still counts.
                Err(_) if self.is_finished() => return committed.try_recv().map_err(|_| Error::EndedBefore),
                Err(_) => {}
            }
        }
    }

    /// Stops the job at a savepoint: sources read no more, what they gave is worked off without closing windows, and all
    /// state is saved. Run again with the same state, the job goes on there. A job that comes to its end before is
    /// finished as any other; [`RecoveryReport::at_savepoint`](crate::RecoveryReport::at_savepoint) tells which it was.
    ///
    /// # Errors
    /// When the job takes no checkpoints, or fails before.
    pub fn stop_with_savepoint(self) -> Result<Report, Error> {
        self.stopper().stop_with_savepoint()?;
        self.join()
    }

    fn request(&self, request: Request) -> Result<(), Error> {
        let checkpoints = self.plan.checkpoints().ok_or(Error::NoCheckpoints)?;
        checkpoints.request(request);
        Ok(())
    }

    /// Asks the job to stop; [`Handle::join`] waits for it.
    pub fn stop(&self, how: Stop) {
        self.stopper().stop(how);
    }

    /// Stops the job from another thread, such as one that waits for signals, while this one joins it.
    pub fn stopper(&self) -> Stopper {
        let threads = self.threads.iter().map(|thread| thread.thread().clone()).collect();
        Stopper { plan: self.plan.clone(), threads }
    }

    /// Whether all workers have ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// What the job has done so far.
    pub fn report(&self) -> Report {
        self.plan.report()
    }

    /// Waits for the job's end.
    ///
    /// # Errors
    /// The first failure of a source, step or sink.
    pub fn join(mut self) -> Result<Report, Error> {
        self.wait()
    }

    /// Waits for the job's end, at most for `deadline`; then it stops the job and returns at once.
    ///
    /// Threads that have not ended by then are told to stop and are not waited for: each ends when the function of
    /// the user's that it is in returns. Until then it keeps what the job has, such as files that sinks write.
    ///
    /// # Errors
    /// The first failure, or [`Error::Deadline`].
    pub fn join_within(mut self, deadline: Duration) -> Result<Report, Error> {
        if self.ends_within(deadline) {
            return self.wait();
        }
        self.abandon();
        Err(self.plan.shared().take_failure().unwrap_or(Error::Deadline(deadline)))
    }

    /// Waits until all workers have ended, at most for `deadline`; whether they have.
    fn ends_within(&self, deadline: Duration) -> bool {
        let start = Instant::now();
        while !self.is_finished() {
            let left = deadline.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            thread::sleep(left.min(Duration::from_micros(200)));
        }
        true
    }

    /// Stops the job and lets go of its threads.
    fn abandon(&mut self) {
        self.stop(Stop::Now);
        self.threads.clear();
    }

    fn wait(&mut self) -> Result<Report, Error> {
        for thread in self.threads.drain(..) {
            // A worker catches panics; what it could not catch still ends the job.
            if let Err(payload) = thread.join() {
                self.plan.shared().fail_with_panic(Panic::of(&*payload));
            }
        }
        match self.plan.shared().take_failure() {
            Some(error) => Err(error),
            None => Ok(self.plan.report()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.threads.is_empty() {
            return;
        }
        self.stop(Stop::Now);
        if self.ends_within(DROP_WAIT) {
            // A failure has nobody left to be told to.
            let _ = self.wait();
        } else {
            self.abandon();
        }
    }
}

/// A job whose workers are all on this thread and are stepped one by one: for tests and simulations.
///
/// ```
/// use pelton::{Job, Options, VecSource, WorkerStep, collect};
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Tick { #[event(time)] time_ns: i64 }
///
/// let mut job = Job::new("ticks");
/// let (sink, rows) = collect();
/// job.source("ticks", VecSource::new(vec![Tick { time_ns: 1 }], 1)).sink("out", sink);
/// let mut simulation = job.simulate(Options::workers(2))?;
/// while !simulation.is_ended() {
///     for worker in 0..2 {
///         simulation.step(worker);
///     }
/// }
/// simulation.finish()?;
/// assert_eq!(rows.take().len(), 1);
/// # Ok::<(), pelton::Error>(())
/// ```
pub struct Simulation {
    plan: Arc<Deployment>,
    workers: Vec<Worker>,
    ended: Vec<bool>,
    /// Of a job that takes checkpoints.
    checkpointer: Option<Checkpointer>,
}

impl Simulation {
    pub(crate) fn new(plan: Arc<Deployment>) -> Result<Self, Error> {
        let workers: Vec<_> = (0..plan.workers()).map(|worker| plan.build(worker)).collect::<Result<_, _>>()?;
        let ended = vec![false; workers.len()];
        let checkpointer = plan.checkpointer();
        Ok(Self { plan, workers, ended, checkpointer })
    }

    /// Runs each task of one worker once.
    pub fn step(&mut self, worker: usize) -> WorkerStep {
        let step = self.workers[worker].step();
        self.ended[worker] |= step == WorkerStep::Ended;
        // What a job has at its end is saved, too.
        if self.workers_ended() {
            self.step_checkpoints();
        }
        step
    }

    /// Does what can be done now for the checkpoints of a job that takes any. A job that begins with nothing saved reads
    /// nothing before its first one is committed.
    pub fn step_checkpoints(&mut self) {
        if let Some(checkpointer) = &mut self.checkpointer
            && checkpointer.step()
        {
            self.checkpointer = None;
        }
    }

    /// Makes durable what was journaled, as a thread of its own does when the job runs. A job whose options say
    /// [`CheckpointOptions::durable_first`](crate::CheckpointOptions::durable_first) gives nothing on before.
    pub fn sync_journal(&mut self) {
        if let Some(committer) = self.plan.committer() {
            committer.commit();
        }
    }

    /// Asks for a checkpoint, which is then taken as the job is stepped; `stops` has the job stop there.
    ///
    /// # Errors
    /// When the job takes no checkpoints.
    pub fn checkpoint(&self, stops: bool) -> Result<(), Error> {
        self.request(Request { is_last: stops, reply: None })
    }

    pub(crate) fn request(&self, request: Request) -> Result<(), Error> {
        let checkpoints = self.plan.checkpoints().ok_or(Error::NoCheckpoints)?;
        checkpoints.request(request);
        Ok(())
    }

    /// Whether all workers have ended, and the last checkpoint is taken.
    pub fn is_ended(&self) -> bool {
        self.workers_ended() && self.checkpointer.is_none()
    }

    pub(crate) fn workers_ended(&self) -> bool {
        self.ended.iter().all(|ended| *ended)
    }

    /// Asks the job to stop.
    pub fn stop(&self, how: Stop) {
        match how {
            Stop::Drain => self.plan.shared().drain(),
            Stop::Now => self.plan.shared().halt(),
        }
    }

    /// What the job has done so far.
    pub fn report(&self) -> Report {
        self.plan.report()
    }

    /// Whether it takes checkpoints that are not over.
    pub(crate) const fn takes_checkpoints(&self) -> bool {
        self.checkpointer.is_some()
    }

    /// The failure that the job ended with, once.
    pub(crate) fn failure(&self) -> Result<(), Error> {
        self.plan.shared().take_failure().map_or(Ok(()), Err)
    }

    /// Ends the simulation.
    ///
    /// # Errors
    /// The first failure of a source, step or sink.
    pub fn finish(self) -> Result<Report, Error> {
        self.failure().map(|()| self.plan.report())
    }
}
