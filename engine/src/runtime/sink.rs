//! Where rows go: one ordered sink on one worker.

use crate::{BoxError, Dictionary, Record, Timestamp};
use std::sync::Arc;

/// Takes the rows of a stream, in order, on one worker.
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

    /// Makes what was written visible to readers; called when the stream pauses.
    ///
    /// # Errors
    /// As for [`Sink::write`].
    fn flush(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Called once after the last row; not when the job failed or was stopped at once.
    ///
    /// # Errors
    /// When the last rows cannot be written.
    fn finish(&mut self) -> Result<(), BoxError> {
        self.flush()
    }
}
