//! How a job takes checkpoints, as its program says it.

use crate::log::LogOptions;
use crate::log::storage::Storage;
use crate::runtime::checkpointer::Interval;
use crate::runtime::migration::Migration;
pub use crate::runtime::state::JournalKeep;
use crate::runtime::state::{JournalSettings, StatePlace, StateSettings};
use crate::{Record, ShapeError, Timestamp};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Where a job keeps its state, and when it saves it there.
///
/// A job that is run again with the same state goes on from the newest checkpoint, at any number of workers, and gives
/// what it would have given without the interruption. A state directory belongs to one job, and one process uses it at a
/// time.
///
/// What comes from feeds and pushes is journaled there: written before it is processed, and durable before a checkpoint
/// that covers it. So it is read again after a crash, in the same order. [`Input::durable`](crate::Input::durable) tells
/// the program from which event on it has to push again.
///
/// ```
/// use pelton::{CheckpointOptions, Job, Options, Tumbling, VecSource, collect, count};
/// use std::time::Duration;
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Click { #[event(time)] time_ns: i64, user: u64 }
///
/// # let dir = tempfile::tempdir()?;
/// # let state = dir.path();
/// let run = || {
///     let clicks = (0..1000).map(|time_ns| Click { time_ns, user: time_ns as u64 % 7 }).collect();
///     let mut job = Job::new("clicks");
///     let (sink, _rows) = collect();
///     job.source("clicks", VecSource::new(clicks, 64))
///         .key_by(|click| click.user)
///         .window(Tumbling::of(Duration::from_nanos(100)))
///         .aggregate("clicks_by_user", count())
///         .sink("out", sink);
///     let checkpoints = CheckpointOptions::in_directory(state).every(Duration::from_secs(1));
///     job.run(Options::workers(1).pin(false).checkpoints(checkpoints))
/// };
/// let report = run()?;
/// assert!(report.recovery.is_some_and(|recovery| recovery.resumed_from.is_none()));
/// // The job has finished, so there is nothing left to do.
/// let again = run()?;
/// assert!(again.recovery.is_some_and(|recovery| recovery.was_finished));
/// assert_eq!(again.steps[0].rows_in, 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CheckpointOptions(StateSettings);

impl CheckpointOptions {
    fn at(place: StatePlace) -> Self {
        let interval = Interval { time: None, events: None };
        let journal = JournalSettings {
            storage: None,
            commit_every: Duration::from_millis(1),
            waits: false,
            keep: JournalKeep::All,
        };
        Self(StateSettings {
            place,
            interval,
            log: LogOptions::default(),
            slice_bytes: 64 << 10,
            stop_at: None,
            may_fall_back: false,
            allows_dropped: false,
            journal,
            migrations: Vec::new(),
        })
    }

    /// Keeps state in a directory, which is made where it is not there. Without an interval a checkpoint is taken at the
    /// end, and where [`Handle::checkpoint`](crate::Handle::checkpoint) asks for one.
    pub fn in_directory(path: impl Into<PathBuf>) -> Self {
        Self::at(StatePlace::Directory(path.into()))
    }

    /// Keeps state somewhere else, as tests do. The first job that is run with these options takes the storage.
    pub fn in_storage(storage: impl Storage + 'static) -> Self {
        Self::at(StatePlace::Storage(Arc::new(Mutex::new(Some(Box::new(storage))))))
    }

    /// Keeps the journal of feeds in storage of its own. Without it a job whose state is not in a directory has no feeds.
    pub fn journal_in_storage(mut self, storage: impl Storage + 'static) -> Self {
        self.0.journal.storage = Some(Arc::new(Mutex::new(Some(Box::new(storage)))));
        self
    }

    /// How often the journal of feeds is made durable at most, while something comes: by default each millisecond. What
    /// came meanwhile is made durable at once.
    pub fn commit_every(mut self, time: Duration) -> Self {
        self.0.journal.commit_every = time;
        self
    }

    /// Whether what a feed gives is held back until it is durable in the journal, by default not. Then no row leaves the
    /// job, not even through a callback or channel, before all input that it follows from is durable. It takes about the
    /// time of a sync longer.
    pub fn durable_first(mut self, waits: bool) -> Self {
        self.0.journal.waits = waits;
        self
    }

    /// How much of the journal of feeds is kept, by default all of it: then what came can be replayed from its start, and
    /// the journal grows as long as the job lives. [`JournalKeep::Checkpoints`] keeps what the newest checkpoints need,
    /// where the file system can make holes in files; the file's length still grows, and its room does not. Feeds
    /// then have no [watermarks of the program's own](crate::Watermarks::custom): after a restart these are shown all that
    /// came before.
    pub fn journal_keep(mut self, keep: JournalKeep) -> Self {
        self.0.journal.keep = keep;
        self
    }

    /// Takes a checkpoint each time so much time has passed, by the job's clock.
    pub fn every(mut self, time: Duration) -> Self {
        self.0.interval.time = Some(time);
        self
    }

    /// Takes a checkpoint each time so many events have been read.
    pub fn every_events(mut self, events: u64) -> Self {
        self.0.interval.events = Some(events);
        self
    }

    /// Keeps so many of the newest checkpoints, beside savepoints; 2 by default, from 1 to 8.
    pub fn kept(mut self, checkpoints: usize) -> Self {
        self.0.log.kept = checkpoints;
        self
    }

    /// Bytes of a segment of a snapshot log that is made now, by default 1 MiB; from 4 KiB to 1 GiB. Jobs with little
    /// state take less room with small ones.
    pub fn segment_bytes(mut self, bytes: u32) -> Self {
        self.0.log.segment_bytes = bytes;
        self
    }

    /// Bytes of state that a step writes between two batches while a checkpoint is taken, by default 64 KiB; at least 1. A
    /// step marks its state at the barrier and writes it while it goes on: less at a time means shorter pauses, and
    /// checkpoints that take longer.
    pub fn slice_bytes(mut self, bytes: usize) -> Self {
        self.0.slice_bytes = bytes;
        self
    }

    /// Has the job stop at a savepoint once event time has come to `time` in all its sources: where the first block ends
    /// behind which the largest time so far is at least that. Run again without this, or with a later time, it goes on
    /// from there. A job whose input ends before stops there as ever. All sources must be bounded.
    pub fn stop_at(mut self, time: Timestamp) -> Self {
        self.0.stop_at = Some(time);
        self
    }

    /// Goes on from an older checkpoint where the newest is damaged. Otherwise damage is an error.
    pub fn fall_back(mut self, may_fall_back: bool) -> Self {
        self.0.may_fall_back = may_fall_back;
        self
    }

    /// Leaves saved state behind that no source, step or sink of the job takes. Otherwise that is an error.
    pub fn allow_dropped_state(mut self, allows: bool) -> Self {
        self.0.allows_dropped = allows;
        self
    }

    /// Has state that was saved with values of the layout `Old` go on with the layout `New`: a store of a step, as
    /// `pelton state show` names both, goes on with what `convert` makes of each value that it kept. State that was saved
    /// with `New` already is left as it is, so a program may keep its migrations. Several for one store follow each other
    /// in the order in which they are given here. Keys and timers cannot be migrated.
    ///
    /// ```
    /// use pelton::CheckpointOptions;
    ///
    /// #[derive(Clone, Copy, pelton::Record)]
    /// #[repr(C)]
    /// struct Count { rows: u64 }
    ///
    /// #[derive(Clone, Copy, pelton::Record)]
    /// #[repr(C)]
    /// struct CountAndSum { rows: u64, sum: u64 }
    ///
    /// let checkpoints = CheckpointOptions::in_directory("state")
    ///     .migrate("totals", "state", |was: &Count| CountAndSum { rows: was.rows, sum: 0 });
    /// # let _ = checkpoints;
    /// ```
    pub fn migrate<Old: Record, New: Record>(
        mut self,
        step: impl Into<String>,
        store: impl Into<String>,
        convert: impl Fn(&Old) -> New + Send + Sync + 'static,
    ) -> Self {
        self.0.migrations.push(Migration::new(step.into(), store.into(), convert));
        self
    }

    pub(crate) fn mistakes(&self, out: &mut Vec<ShapeError>) {
        let StateSettings { interval, log, slice_bytes, .. } = &self.0;
        let mut check = |holds: bool, option, found: String, wanted| {
            if !holds {
                out.push(ShapeError::BadOption { option, found, wanted });
            }
        };
        check(interval.time != Some(Duration::ZERO), "every", "0 s".to_owned(), "a duration above 0");
        check(interval.events != Some(0), "every_events", "0".to_owned(), "at least 1");
        check(*slice_bytes > 0, "slice_bytes", "0".to_owned(), "at least 1");
        check((1..=8).contains(&log.kept), "kept", log.kept.to_string(), "from 1 to 8");
        let sizes = 4096..=1 << 30;
        let found = log.segment_bytes.to_string();
        check(sizes.contains(&log.segment_bytes), "segment_bytes", found, "from 4,096 to 1,073,741,824");
    }

    /// Whether feeds can be journaled.
    pub(crate) const fn can_journal(&self) -> bool {
        self.0.can_journal()
    }

    pub(crate) fn settings(self) -> StateSettings {
        self.0
    }
}
