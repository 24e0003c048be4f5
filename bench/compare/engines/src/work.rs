//! The work that all engines do, and the check of what they made of it.
//!
//! Trades are counted and their sizes summed by symbol and tumbling window of event time. A rival reads the capture
//! through [`BlockSource`] and keeps its rows; the clock stops when it has the last one. Sorting and hashing happen
//! behind the clock, as some engines give the rows of a window in no order.

use pelton::{BlockSource, BoxError, Sink, Source, Timestamp};
use pelton_bench::contest::Outcome;
use pelton_bench::work::WindowRow;
use pelton_io::{Trade, blackhole, capture};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The capture as all rivals read it.
#[derive(Clone)]
pub struct Blocks {
    path: PathBuf,
    blocks: Arc<dyn BlockSource<Trade>>,
}

impl Blocks {
    /// The capture as a job's source: its times are then checked once, by the job.
    ///
    /// # Errors
    /// When it cannot be opened again.
    pub fn source(&self) -> Result<Source<Trade>, BoxError> {
        Ok(capture::replay::<Trade>(&self.path)?.into())
    }
}

impl Deref for Blocks {
    type Target = dyn BlockSource<Trade>;

    fn deref(&self) -> &Self::Target {
        &*self.blocks
    }
}

/// What of a trade goes into the result: engines that copy events copy no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sale {
    /// When, in nanoseconds since the epoch.
    pub time_ns: i64,
    /// The symbol's id.
    pub symbol: u32,
    /// The number of shares.
    pub size: u32,
}

impl From<&Trade> for Sale {
    #[inline(always)]
    fn from(trade: &Trade) -> Self {
        Self { time_ns: trade.time_ns, symbol: trade.symbol.id(), size: trade.size }
    }
}

/// The window's first nanosecond.
#[inline(always)]
pub fn window_start(time_ns: i64, window_ns: i64) -> i64 {
    time_ns - time_ns.rem_euclid(window_ns)
}

/// Opens the capture, lets `run` make rows of it, and checks nothing: the time, and the rows.
///
/// # Errors
/// When the capture cannot be opened, or as `run` fails.
pub fn timed(
    path: &Path,
    run: impl FnOnce(Blocks) -> Result<Vec<WindowRow>, BoxError>,
) -> Result<(Duration, Vec<WindowRow>), BoxError> {
    let start = Instant::now();
    let rows = run(open(path)?)?;
    Ok((start.elapsed(), rows))
}

/// The blocks of the capture.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> Result<Blocks, BoxError> {
    Ok(Blocks { path: path.to_owned(), blocks: Arc::new(capture::replay::<Trade>(path)?.into_blocks()) })
}

/// As [`timed`], with the rows' number and hash in the order of windows and symbols.
///
/// # Errors
/// As for [`timed`].
pub fn outcome(path: &Path, run: impl FnOnce(Blocks) -> Result<Vec<WindowRow>, BoxError>) -> Result<Outcome, BoxError> {
    let (elapsed, mut rows) = timed(path, run)?;
    rows.sort_unstable_by_key(|row| (row.end_ns, row.symbol.id()));
    let times: Vec<_> = rows.iter().map(|row| Timestamp::from_nanos(row.end_ns - 1)).collect();
    let mut sink = blackhole();
    sink.write(&times, &rows)?;
    Ok(Outcome { elapsed, rows: rows.len() as u64, hash: sink.seen().hash() })
}

/// What is known of rows in any order: for programs that cannot sort them as [`outcome`] does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of rows.
    pub rows: u64,
    /// The trades of all rows.
    pub trades: u64,
    /// The sum of the rows' hashes.
    pub hash: u64,
}

impl Summary {
    /// The summary of the rows.
    pub fn of(rows: &[WindowRow]) -> Self {
        rows.iter().fold(Self::default(), |seen, row| Self {
            rows: seen.rows + 1,
            trades: seen.trades + u64::from(row.trades),
            hash: seen.hash.wrapping_add(row_hash(row)),
        })
    }
}

/// A hash of one row that is easily written in any language.
fn row_hash(row: &WindowRow) -> u64 {
    let words = [row.end_ns as u64, u64::from(row.symbol.id()), u64::from(row.trades), row.size];
    words.iter().fold(0, |hash, word| mix(hash ^ word))
}

/// The last step of splitmix64, by Steele, Lea and Flood, in the public domain.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A sink that keeps the rows; the job's own collects their times too, which nobody else does.
#[derive(Default, Clone)]
pub struct Rows(Arc<std::sync::Mutex<Vec<WindowRow>>>);

impl Rows {
    /// Takes the rows so far.
    pub fn take(&self) -> Vec<WindowRow> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Sink<WindowRow> for Rows {
    fn write(&mut self, _: &[Timestamp], rows: &[WindowRow]) -> Result<usize, BoxError> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend_from_slice(rows);
        Ok(rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::Symbol;

    #[test]
    fn a_summary_knows_every_field_but_not_the_order() {
        let row = |end_ns, symbol, trades, size| WindowRow {
            start_ns: end_ns - 10,
            end_ns,
            size,
            trades,
            symbol: Symbol::from_id(symbol),
        };
        let (a, b) = (row(10, 1, 2, 3), row(20, 1, 2, 3));
        assert_eq!(Summary::of(&[a, b]), Summary::of(&[b, a]));
        let others = [row(11, 1, 2, 3), row(10, 2, 2, 3), row(10, 1, 3, 3), row(10, 1, 2, 4)];
        for other in others {
            assert_ne!(Summary::of(&[a]).hash, Summary::of(&[other]).hash);
        }
        assert_eq!(Summary::of(&[a, b]).trades, 4);
    }
}
