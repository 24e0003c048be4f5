//! The bars that `pelton replay` makes, as a job, and the sink that it and the loop by hand write them to.

use pelton::{BoxError, Dictionary, Encoders, Job, Options, Report, Sink, Source, Timestamp, Tumbling, Watermarks};
use pelton_io::Trade;
use pelton_io::bars::{Bar, Priced, bars};
use pelton_io::sink::{Format, TextSink};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Windows that may be open at once: a few more than any shape of the suite needs.
const OPEN_WINDOWS_MAX: usize = 1 << 18;

/// Writes bars as CSV text, of which no more is kept than its length and a checksum.
pub struct BarText {
    text: TextSink,
    rows: u64,
    seen: TextSeen,
}

impl BarText {
    /// A sink, and what it will have written.
    pub fn new() -> (Self, TextSeen) {
        let seen = TextSeen::default();
        let out = Checksum { sum: crc32fast::Hasher::new(), bytes: 0, seen: seen.clone() };
        (Self { text: TextSink::new(out, "memory", Format::Csv), rows: 0, seen: seen.clone() }, seen)
    }
}

impl Sink<Bar> for BarText {
    fn open(&mut self, symbols: &Arc<Dictionary>) -> Result<(), BoxError> {
        Sink::<Bar>::open(&mut self.text, symbols)
    }

    fn write(&mut self, times: &[Timestamp], rows: &[Bar]) -> Result<usize, BoxError> {
        let written = self.text.write(times, rows)?;
        self.rows += written as u64;
        Ok(written)
    }

    fn encoders(&self) -> Option<Encoders> {
        Sink::<Bar>::encoders(&self.text)
    }

    fn write_encoded(&mut self, rows: usize, lines: &[u8]) -> Result<(), BoxError> {
        Sink::<Bar>::write_encoded(&mut self.text, rows, lines)?;
        self.rows += rows as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        Sink::<Bar>::flush(&mut self.text)?;
        self.seen.0.rows.store(self.rows, Ordering::Release);
        Ok(())
    }
}

/// What a [`BarText`] has written up to its last flush; clones share it.
#[derive(Debug, Clone, Default)]
pub struct TextSeen(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    rows: AtomicU64,
    bytes: AtomicU64,
    sum: AtomicU64,
}

impl TextSeen {
    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.0.rows.load(Ordering::Acquire)
    }

    /// A hash of all bytes together with the number of late events, so that both are compared.
    pub fn hash(&self, late: u64) -> u64 {
        let text = (self.0.bytes.load(Ordering::Acquire) << 32) ^ self.0.sum.load(Ordering::Acquire);
        text ^ late.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Sums the bytes that it is given.
struct Checksum {
    sum: crc32fast::Hasher,
    bytes: u64,
    seen: TextSeen,
}

impl Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sum.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.seen.0.bytes.store(self.bytes, Ordering::Release);
        self.seen.0.sum.store(self.sum.clone().finalize().into(), Ordering::Release);
        Ok(())
    }
}

/// Runs the job of `pelton replay`: bars of each symbol and window, where a trade lies behind those before it by
/// `bound` at most, as CSV text. Trades that come later are late, and are counted.
///
/// # Errors
/// As for [`Job::run`].
pub fn bars_job(
    source: impl Into<Source<Trade>>,
    window: Duration,
    bound: Duration,
    options: Options,
) -> Result<(TextSeen, Report), pelton::Error> {
    let mut job = Job::new("bars");
    let (sink, seen) = BarText::new();
    job.source("trades", source)
        .watermarks(Watermarks::bounded(bound))
        .key_by(Priced::symbol)
        .window(Tumbling::of(window))
        .aggregate_with("bars", bars(), Bar::new)
        .sink("out", sink);
    Ok((seen, job.run(options.open_windows_max(OPEN_WINDOWS_MAX))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_knows_every_row_and_the_late_events() {
        let hash = |counts: &[u64], late| {
            let (mut sink, seen) = BarText::new();
            sink.open(&Arc::default()).unwrap();
            for &count in counts {
                let bar = Bar { count, ..bytemuck::Zeroable::zeroed() };
                assert_eq!(sink.write(&[Timestamp::MIN], &[bar]).unwrap(), 1);
            }
            sink.finish().unwrap();
            assert_eq!(seen.rows(), counts.len() as u64);
            seen.hash(late)
        };
        assert_eq!(hash(&[1, 2], 7), hash(&[1, 2], 7));
        let mut hashes = [hash(&[1, 2], 7), hash(&[2, 1], 7), hash(&[1], 7), hash(&[1, 2], 8), hash(&[1, 3], 7)];
        hashes.sort_unstable();
        assert!(hashes.is_sorted_by(|a, b| a < b));
    }
}
