//! Benchmarks of `pelton` that check themselves before they time: throughput next to loops written by
//! hand for the same work, and latency under a load that does not wait.
//!
//! ```no_run
//! use pelton_bench::{ThroughputOptions, throughput};
//!
//! let results = throughput(&ThroughputOptions { events: 67_108_864, ..ThroughputOptions::default() })?;
//! println!("{results}\n{}", results.to_json());
//! # Ok::<(), pelton_bench::Error>(())
//! ```
//!
//! What the command needs is here without features. The feature `suite`, on by default, adds the contests with other
//! loops and their report: many jobs, which take minutes to build.

#![deny(unsafe_code)]

pub mod bandwidth;
#[cfg(feature = "suite")]
pub mod bar_work;
#[cfg(feature = "suite")]
pub mod contest;
mod latency;
pub mod load;
pub mod machine;
#[cfg(feature = "suite")]
pub mod number_work;
mod passes;
pub mod readings;
#[cfg(feature = "suite")]
pub mod report;
mod results;
pub mod stall;
#[cfg(feature = "suite")]
pub mod suite;
mod throughput;
#[cfg(feature = "suite")]
pub mod window_work;
pub mod work;
pub mod yardstick;

pub use latency::{LatencyOptions, hop_latencies, latency, latency_with, push_latencies};
pub use results::{Entry, Results};
pub use throughput::{ThroughputOptions, generate, throughput, throughput_with};

/// A benchmark could not be run, or gave a wrong result, so that its figures mean nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A job failed.
    #[error(transparent)]
    Job(#[from] pelton::Error),
    /// The capture cannot be written or read.
    #[error(transparent)]
    Capture(#[from] pelton_io::capture::CaptureError),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A hand-written loop could not read its input or write its rows.
    #[error("the hand-written loop: {0}")]
    Yardstick(#[source] pelton::BoxError),
    /// A result is not what it must be.
    #[error("{name}: expected {expected}, found {found}")]
    Result {
        /// What was measured.
        name: String,
        /// The number, or the hash of the rows, that was expected.
        expected: u64,
        /// The one that was found.
        found: u64,
    },
    /// The counts of a job do not add up.
    #[error("{name}: {reason}")]
    Balance {
        /// What was measured.
        name: String,
        /// What does not hold.
        reason: String,
    },
    /// The job ended while load was sent.
    #[error("{name}: {source}")]
    Closed {
        /// What was measured.
        name: String,
        /// How many events of the last run were taken.
        source: pelton::Closed,
    },
    /// An option has a value that makes no sense.
    #[error("{option}: found {found}, expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}
