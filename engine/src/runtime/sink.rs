//! Where rows go: one ordered sink on one worker.

use crate::{BoxError, Dictionary, Record, Timestamp};
use std::sync::Arc;

/// Makes bytes of rows for a sink that takes them so, on a worker that makes rows.
pub trait Encoder: Send + 'static {
    /// Appends the bytes of a row, of which `record` is the fixed layout. Nothing may depend on other rows: which
    /// ones an encoder sees depends on the number of workers.
    fn encode(&mut self, time: Timestamp, record: &[u8], out: &mut Vec<u8>);
}

/// Makes the encoder of a worker.
///
/// ```
/// use pelton::{Encoder, Encoders, Timestamp};
/// use std::sync::Arc;
///
/// /// Records as they lie in memory.
/// struct Raw;
///
/// impl Encoder for Raw {
///     fn encode(&mut self, _: Timestamp, record: &[u8], out: &mut Vec<u8>) {
///         out.extend_from_slice(record);
///     }
/// }
///
/// let encoders: Encoders = Arc::new(|_| Box::new(Raw));
/// let mut bytes = Vec::new();
/// encoders(&Arc::default()).encode(Timestamp::MIN, &[1, 2], &mut bytes);
/// assert_eq!(bytes, [1, 2]);
/// ```
pub type Encoders = Arc<dyn Fn(&Arc<Dictionary>) -> Box<dyn Encoder> + Send + Sync>;

/// The error of a sink that is given bytes and has no encoder.
pub(crate) fn takes_no_bytes() -> BoxError {
    "the sink has encoders and does not take what they make".into()
}

/// The error of a sink that gives checkpoints and does not take them.
pub(crate) fn cannot_restore() -> BoxError {
    "the sink cannot take its output back to a checkpoint".into()
}

/// Where the output of a sink stands at a checkpoint, so that it can go on from there.
///
/// ```
/// use pelton::SinkCheckpoint;
///
/// let checkpoint = SinkCheckpoint::new(42u64.to_le_bytes());
/// # let _ = checkpoint;
/// ```
pub struct SinkCheckpoint {
    pub(crate) position: Vec<u8>,
    pub(crate) sync: Option<SinkAction>,
    pub(crate) commit: Option<SinkAction>,
}

/// What a sink has to do for a checkpoint, on a thread of its own.
pub(crate) type SinkAction = Box<dyn FnOnce() -> Result<(), BoxError> + Send>;

impl SinkCheckpoint {
    /// Where the output stands, as [`Sink::restore`] will be given it.
    pub fn new(position: impl Into<Vec<u8>>) -> Self {
        Self { position: position.into(), sync: None, commit: None }
    }

    /// Has what was written up to here made durable, before the checkpoint is committed. If that fails, the job ends.
    pub fn sync(mut self, sync: impl FnOnce() -> Result<(), BoxError> + Send + 'static) -> Self {
        self.sync = Some(Box::new(sync));
        self
    }

    /// Has something done once the checkpoint is committed, such as giving a file its name. A crash may come between:
    /// [`Sink::restore`] does it where it was not done.
    pub fn commit(mut self, commit: impl FnOnce() -> Result<(), BoxError> + Send + 'static) -> Self {
        self.commit = Some(Box::new(commit));
        self
    }

    /// Where the output stands.
    pub fn position(&self) -> &[u8] {
        &self.position
    }

    /// Does what has to be done before the checkpoint is committed and once it is, as a job does: for tests of sinks.
    ///
    /// ```
    /// use pelton::SinkCheckpoint;
    /// use std::sync::mpsc::channel;
    ///
    /// let (done, what) = channel();
    /// let also = done.clone();
    /// let checkpoint = SinkCheckpoint::new([7]).sync(move || Ok(done.send("sync")?)).commit(move || Ok(also.send("commit")?));
    /// checkpoint.run()?;
    /// assert_eq!(what.iter().collect::<Vec<_>>(), ["sync", "commit"]);
    /// # Ok::<(), pelton::BoxError>(())
    /// ```
    ///
    /// # Errors
    /// As of the sink.
    pub fn run(self) -> Result<(), BoxError> {
        self.sync.into_iter().chain(self.commit).try_for_each(|action| action())
    }

    /// The same for a later checkpoint: what has to be done is done once.
    pub(crate) fn again(&mut self) -> Self {
        Self { position: self.position.clone(), sync: self.sync.take(), commit: self.commit.take() }
    }
}

/// Takes the rows of a stream, in order, on one worker.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no sink for rows of type `{T}`",
    label = "not a sink of these rows",
    note = "a closure becomes one by `pelton::callback(|time, row: &{T}| ..)`, and `pelton::collect()` makes one that keeps all rows",
    note = "a sink takes the rows that its stream has: what a window step gives is `pelton::Windowed<K, V>` of its key and value"
)]
pub trait Sink<T: Record>: Send + 'static {
    /// Called once before the first row, on the worker's thread.
    ///
    /// # Errors
    /// When the sink cannot be made ready; the job ends with the error.
    fn open(&mut self, symbols: &Arc<Dictionary>) -> Result<(), BoxError> {
        let _ = symbols;
        Ok(())
    }

    /// Takes a prefix of the rows and says how many. `times[i]` is the time of `rows[i]`.
    ///
    /// A sink that has no room takes fewer, down to 0, and is asked again: that is backpressure. It
    /// must not wait for its reader.
    ///
    /// # Errors
    /// When rows cannot be written; the job ends with the error.
    fn write(&mut self, times: &[Timestamp], rows: &[T]) -> Result<usize, BoxError>;

    /// What makes bytes of rows, where the sink takes bytes as well: then each worker encodes the rows that it makes,
    /// and [`Sink::write_encoded`] gets them. Called before the sink is opened. Where one worker makes all
    /// rows, they are written as rows.
    fn encoders(&self) -> Option<Encoders> {
        None
    }

    /// Takes the bytes of the next rows, of which there are so many; all of them.
    ///
    /// # Errors
    /// As for [`Sink::write`].
    fn write_encoded(&mut self, rows: usize, bytes: &[u8]) -> Result<(), BoxError> {
        let _ = (rows, bytes);
        Err(takes_no_bytes())
    }

    /// Makes what was written visible to readers; called when the stream pauses.
    ///
    /// # Errors
    /// As for [`Sink::write`].
    fn flush(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Where its output stands, all rows so far written. `None` is for a sink whose output cannot be taken back: after a
    /// crash it gets the rows behind the last checkpoint again.
    ///
    /// # Errors
    /// As for [`Sink::write`].
    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        self.flush()?;
        Ok(None)
    }

    /// Takes back the output to where it stood at a checkpoint; called before the sink is opened.
    ///
    /// # Errors
    /// When the output is not there, or has not come that far.
    fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        let _ = position;
        Err(cannot_restore())
    }

    /// Called once before it is opened, for a sink of the whole job: the number of the first row that it will be given.
    /// Rows are numbered from 0 in the job's order, and the numbers go on over restarts from a checkpoint. So a row that
    /// comes again has the number that it had, and whoever takes rows at least once can drop repeats.
    ///
    /// [Sinks of each worker](crate::Stream::sink_unordered) are told no number, because their rows have no order.
    fn first_number(&mut self, number: u64) {
        let _ = number;
    }

    /// Called once after the last row; not when the job failed or was stopped at once.
    ///
    /// # Errors
    /// When the last rows cannot be written.
    fn finish(&mut self) -> Result<(), BoxError> {
        self.flush()
    }
}
