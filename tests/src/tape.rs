//! A sink whose output outlives the job that writes it, as a file does.

use crate::events::Row;
use pelton::{BoxError, Sink, SinkCheckpoint, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows that were written, in memory.
#[derive(Clone, Default)]
pub struct Tape(Arc<Mutex<Vec<(Timestamp, Row)>>>);

impl Tape {
    /// All rows.
    pub fn rows(&self) -> Vec<(Timestamp, Row)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A tape on which something is written already.
    pub fn with_rows(rows: Vec<(Timestamp, Row)>) -> Self {
        Self(Arc::new(Mutex::new(rows)))
    }

    /// A sink that writes to it.
    pub fn sink(&self) -> TapeSink {
        TapeSink { tape: self.clone(), is_restored: false, early: 0 }
    }

    /// A sink that says of a row that it is written before it is: a mistake that tests of recovery have to find.
    pub fn early_sink(&self) -> TapeSink {
        TapeSink { early: 1, ..self.sink() }
    }
}

/// Writes to a [`Tape`], from its beginning or from where it stood at a checkpoint.
pub struct TapeSink {
    tape: Tape,
    is_restored: bool,
    early: u64,
}

impl Sink<Row> for TapeSink {
    fn open(&mut self, _: &Arc<pelton::Dictionary>) -> Result<(), BoxError> {
        if !self.is_restored {
            self.tape.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        Ok(())
    }

    fn write(&mut self, times: &[Timestamp], rows: &[Row]) -> Result<usize, BoxError> {
        let mut tape = self.tape.0.lock().unwrap_or_else(PoisonError::into_inner);
        tape.extend(times.iter().copied().zip(rows.iter().copied()));
        Ok(rows.len())
    }

    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        let len = self.tape.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64;
        Ok(Some(SinkCheckpoint::new((len + self.early).to_le_bytes())))
    }

    fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        let len = u64::from_le_bytes(position.try_into()?) as usize;
        let mut tape = self.tape.0.lock().unwrap_or_else(PoisonError::into_inner);
        if len > tape.len() {
            return Err(format!("{len} rows were committed and {} are there", tape.len()).into());
        }
        tape.truncate(len);
        self.is_restored = true;
        Ok(())
    }
}
