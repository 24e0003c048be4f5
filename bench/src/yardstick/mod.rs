//! Yardsticks: loops written by hand for one job each, without an engine.
//!
//! *Plain* is what a good Rust programmer writes in an hour; it is frozen. *Expert* is what somebody writes who knows
//! the processor, the events and the keys beforehand, and is free to become faster. Both read blocks as the engine
//! does, so that all check the same checksums, and give the same rows to the same sink.

mod expert;
mod memory;
mod plain;
#[cfg(feature = "suite")]
mod plain_bars;
#[cfg(feature = "suite")]
mod plain_more;
#[cfg(feature = "suite")]
mod plain_numbers;
#[cfg(feature = "suite")]
mod plain_pushed;
#[cfg(feature = "suite")]
mod plain_windows;
mod ring;

use pelton::{BoxError, Sink, Timestamp};
use std::sync::Arc;

pub use expert::{Keys, expert_window};
pub use plain::{keyed_window, stateless};
#[cfg(feature = "suite")]
pub use plain_bars::plain_bars;
#[cfg(feature = "suite")]
pub use plain_more::{disordered_window, reading_window, selective};
#[cfg(feature = "suite")]
pub use plain_numbers::{indexed_statistics, plain_float_sums, plain_running_sums, plain_statistics};
#[cfg(feature = "suite")]
pub use plain_pushed::{PushedSums, pushed_amount};
#[cfg(feature = "suite")]
pub use plain_windows::{plain_sessions, plain_sliding, plain_timers};
pub use ring::ring_throughput;

/// What a window's loop has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Trades that were read.
    pub events: u64,
    /// Trades whose window had fired.
    pub late: u64,
}

/// The rank of each symbol by its text.
fn ranks(texts: &[Arc<str>]) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..texts.len() as u32).collect();
    ids.sort_by_key(|id| &texts[*id as usize]);
    let mut ranks = vec![0; texts.len()];
    for (rank, id) in ids.into_iter().enumerate() {
        ranks[id as usize] = rank as u32;
    }
    ranks
}

fn write_all<T: pelton::Record>(
    sink: &mut impl Sink<T>,
    mut times: &[Timestamp],
    mut rows: &[T],
) -> Result<(), BoxError> {
    while !rows.is_empty() {
        let written = sink.write(times, rows)?;
        (times, rows) = (&times[written..], &rows[written..]);
    }
    Ok(())
}
