//! Rows as lines of JSON: an object for each row, with the fields in the order of the layout.
//!
//! ```
//! use pelton::{Record, Sink, Timestamp};
//!
//! #[derive(Clone, Copy, Record)]
//! #[repr(C)]
//! struct Count { key: u64, count: u64 }
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("counts.jsonl");
//! let mut sink = pelton_io::jsonl::create(&path)?;
//! sink.write(&[Timestamp::from_nanos(60)], &[Count { key: 7, count: 2 }])?;
//! Sink::<Count>::finish(&mut sink)?;
//! assert_eq!(std::fs::read_to_string(&path)?, "{\"key\":7,\"count\":2}\n");
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
    TextSink::create(path.as_ref(), Format::Json)
}

/// Writes to standard output.
pub fn stdout() -> TextSink {
    TextSink::stdout(Format::Json)
}
