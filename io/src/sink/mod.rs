//! Where a job's rows go: text files, standard output, nowhere.
//!
//! Captures are written by [`crate::capture::sink`].

mod blackhole;
pub mod csv;
mod encode;
mod in_place;
pub mod jsonl;
mod number;
mod text;

pub use blackhole::{Blackhole, Seen, blackhole};
pub use encode::{Format, RowEncoder};
pub use text::{SinkError, TextSink};
