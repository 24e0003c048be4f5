//! Why a job did not run or did not finish.

use crate::operator::OperatorError;
use crate::{BoxError, DictionaryError};
use std::fmt;

/// A mistake in the shape of a job or in its options, found before anything runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Two steps, sources or sinks share a name.
    #[error("the name `{0}` is given twice: names are the identity of state and of reports")]
    DuplicateName(String),
    /// Two stores of a step share a name.
    #[error("two stores of `{0}` are called `{1}`")]
    DuplicateStore(String, &'static str),
    /// Watermarks are said of a stream that is not a source's own.
    #[error("watermarks are said of what comes behind `{0}`: say them of the source, before any other step")]
    MisplacedWatermarks(String),
    /// A step, source or sink has an empty name.
    #[error("a {0} has an empty name")]
    EmptyName(&'static str),
    /// Nothing takes the rows of a source or step.
    #[error("nothing takes the rows of `{0}`: give them to a sink or to another step")]
    Unconnected(String),
    /// Too many ways lead into a step or sink.
    #[error("{1} ways lead into `{0}`; it may have {2}")]
    TooManyInputs(String, usize, usize),
    /// A stream of another job is used.
    #[error("a union or step takes the rows of `{0}`, which is in another job")]
    OtherJob(String),
    /// There is no source.
    #[error("the job has no source")]
    NoSource,
    /// The windows of a step cannot be.
    #[error("the windows of `{0}` do not work: {1}")]
    BadWindow(String, &'static str),
    /// What a ready-made step is to do cannot be.
    #[error("the step `{0}` does not work: {1}")]
    BadStep(String, &'static str),
    /// The aggregate of a step cannot be.
    #[error("the aggregate of `{0}` does not work: {1}")]
    BadAggregate(String, &'static str),
    /// A speed is not a positive number.
    #[error("the speed of source `{0}` is {1}; it must be a positive number")]
    BadSpeed(String, String),
    /// A source was made in a way that it cannot be read.
    #[error("the source `{0}` cannot be read: {1}")]
    BadSource(String, String),
    /// A step cannot use a column of its rows.
    #[error("`{step}` cannot use the column `{column}`: {reason}")]
    BadColumn {
        /// The step.
        step: String,
        /// The column, as it was given.
        column: String,
        /// Why.
        reason: String,
    },
    /// A job that takes checkpoints has a feed, and no place for a journal of it.
    #[error(
        "the source `{0}` cannot be read again after a crash: give the job a state directory, or storage for a journal"
    )]
    NotReplayable(String),
    /// The rows of a source, a union or a step cannot have the layout that they would need.
    #[error("the rows of `{0}` do not work: {1}")]
    BadRows(String, String),
    /// An option is outside its range.
    #[error("the option `{option}` is {found}; it must be {wanted}")]
    BadOption {
        /// The option's name.
        option: &'static str,
        /// What it was set to.
        found: String,
        /// What it may be.
        wanted: &'static str,
    },
}

/// Why a job did not run or did not finish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The job's shape is wrong; all mistakes are told together.
    #[error("the job `{job}` cannot run:{}", List(mistakes))]
    Shape {
        /// The job's name.
        job: String,
        /// Each mistake.
        mistakes: Vec<ShapeError>,
    },
    /// A source failed.
    #[error("source `{name}`: {error}")]
    Source {
        /// The source's name.
        name: String,
        /// Why.
        error: BoxError,
    },
    /// A sink failed.
    #[error("sink `{name}`: {error}")]
    Sink {
        /// The sink's name.
        name: String,
        /// Why.
        error: BoxError,
    },
    /// A step reached a limit.
    #[error("step `{step}`: {error}")]
    Step {
        /// The step's name.
        step: String,
        /// Why.
        error: OperatorError,
    },
    /// One row became too many.
    #[error(
        "before `{step}` one row became more rows than can be numbered: at most 65,535 by stateless steps, and fewer the more steps in a row each make several"
    )]
    FanOut {
        /// The step that would take them.
        step: String,
    },
    /// The symbols of a source do not fit the job's dictionary.
    #[error("source `{name}`: {error}")]
    Symbols {
        /// The source's name.
        name: String,
        /// Why.
        error: DictionaryError,
    },
    /// A function given to the job panicked.
    #[error("step `{step}` panicked at {position}, in {location}: {message}")]
    Panicked {
        /// The step's name.
        step: String,
        /// Which event it was working on.
        position: String,
        /// The file, line and column that panicked.
        location: String,
        /// What the panic said.
        message: String,
    },
    /// A worker's thread could not be started.
    #[error("worker {worker} could not be started: {error}")]
    Thread {
        /// The worker.
        worker: usize,
        /// Why.
        error: std::io::Error,
    },
    /// State could not be saved, or read, or does not fit the job.
    #[error("state: {0}")]
    State(#[from] crate::log::error::StateError),
    /// The thread that takes checkpoints could not be started.
    #[error("the thread that takes checkpoints could not be started: {error}")]
    Checkpoints {
        /// Why.
        error: std::io::Error,
    },
    /// A checkpoint was asked of a job that takes none.
    #[error("the job takes no checkpoints: give it `Options::checkpoints`")]
    NoCheckpoints,
    /// The job ended before the checkpoint that was asked for.
    #[error("the job ended before the checkpoint that was asked for")]
    EndedBefore,
    /// The job has ended, and takes no more events.
    #[error("the job has ended and takes no more events")]
    Ended,
    /// A worker did not stop in time.
    #[error("the job did not end within {0:?}")]
    Deadline(std::time::Duration),
}

struct List<'a>(&'a [ShapeError]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
    }
}
