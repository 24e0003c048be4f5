//! Where a job's rows go: text files, one or several that roll, standard output, nowhere.
//!
//! Captures are written by [`crate::capture::sink`].

mod blackhole;
pub mod csv;
mod encode;
mod frames;
mod in_place;
pub mod jsonl;
mod number;
mod rolled;
mod text;
mod write_all;

pub use crate::parts::{Roll, Rolling};
pub use blackhole::{Blackhole, Seen, blackhole};
pub use encode::{Format, RowEncoder};
pub use text::{SinkError, TextSink};
