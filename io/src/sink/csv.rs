//! Rows as comma-separated values: a line of the fields' names, then a line for each row.
//!
//! ```
//! use pelton::{Record, Sink, Timestamp};
//!
//! #[derive(Clone, Copy, Record)]
//! #[repr(C)]
//! struct Vwap { window_end: i64, #[event(decimals = 2)] vwap: f64 }
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("vwap.csv");
//! let mut sink = pelton_io::csv::create(&path)?;
//! sink.write(&[Timestamp::from_nanos(60)], &[Vwap { window_end: 60, vwap: 28.5 }])?;
//! Sink::<Vwap>::finish(&mut sink)?;
//! assert_eq!(std::fs::read_to_string(&path)?, "window_end,vwap\n60,28.50\n");
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```

use super::encode::Format;
use super::text::{SinkError, TextSink};
use std::path::Path;

/// Writes to the file at `path`, in place of what is in it. Where the job takes checkpoints it goes on behind what was
/// committed.
///
/// # Errors
/// When the file cannot be created.
pub fn create(path: impl AsRef<Path>) -> Result<TextSink, SinkError> {
    TextSink::create(path.as_ref(), Format::Csv)
}

/// Writes to standard output.
pub fn stdout() -> TextSink {
    TextSink::stdout(Format::Csv)
}
