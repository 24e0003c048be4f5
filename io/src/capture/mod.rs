//! Captures: files of fixed-layout events that a job can replay straight from the mapping.
//!
//! [`CaptureWriter`] writes one, [`Capture`] looks into one, [`replay`] gives one to a job, and
//! [`sink`] makes one of a job's rows. A capture carries its schema, its symbols' texts and an
//! index by time; `format.rs` draws the bytes.
//!
//! A capture may be damaged or hostile: every length is checked before it is used, every block is
//! checked just before its events are, and what is wrong is an error that names the file, the
//! offset, what was expected and what was found. A file that is changed or cut *while it is mapped*
//! is outside of this promise; [`Replay::untrusted`] reads into owned buffers instead.
//!
//! ```
//! use pelton_io::capture::{Capture, CaptureWriter, WriterOptions};
//! use pelton_io::Trade;
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("day.pelton");
//! let mut writer = CaptureWriter::<Trade>::create(&path, WriterOptions::default())?;
//! let symbol = writer.intern("BAC")?;
//! writer.push(&Trade { time_ns: 7, price: 285_300, size: 100, symbol, ..Trade::default() })?;
//! assert_eq!(writer.finish()?.events, 1);
//!
//! let capture = Capture::open(&path)?;
//! assert!(capture.is_complete());
//! assert_eq!((capture.event_count(), &*capture.symbols()[0]), (1, "BAC"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod footer;
mod format;
mod mapping;
mod open;
pub(crate) mod project;
mod reader;
mod replay;
mod resume;
mod rows;
mod schema;
pub mod sink;
mod writer;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;

pub use error::CaptureError;
pub use format::{BLOCK_BYTES_MAX, FOOTER_BYTES_MAX, RECORD_BYTES_MAX};
pub use reader::{Capture, Cut};
pub use replay::{Replay, Speed, replay};
pub use rows::{AnyRow, RowReplay, replay_rows};
pub use writer::{CaptureWriter, Output, RawWriter, Summary, WriterOptions};
