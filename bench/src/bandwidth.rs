//! How fast one thread reads memory in order: the ceiling of any loop over a capture.

use crate::machine;
use std::time::{Duration, Instant};

/// How much was read in which time.
#[derive(Debug, Clone, Copy)]
pub struct Bandwidth {
    /// Bytes that were read, each once.
    pub bytes: u64,
    /// The time it took.
    pub elapsed: Duration,
}

impl Bandwidth {
    /// 10^9 bytes per second.
    pub fn gb_per_s(&self) -> f64 {
        self.bytes as f64 / 1e9 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// A size that no cache of this machine holds: 8 times its largest one, at least 1 GiB.
///
/// Virtual machines are known to report up to 260 MiB that they share with others.
pub fn buffer_bytes() -> u64 {
    (8 * machine::last_level_cache_bytes()).max(1 << 30)
}

/// A buffer of 64-bit words in memory of its own, `None` where there is not so much.
pub fn buffer(bytes: u64) -> Option<Vec<u64>> {
    let words = usize::try_from(bytes / 8).ok()?;
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(words).ok()?;
    // Written, so that each page is a page of its own and not the system's one page of zeros.
    buffer.extend(0..words as u64);
    Some(buffer)
}

/// Reads the buffer once, front to back. It is a bandwidth of memory only where the buffer is larger
/// than the caches: see [`buffer_bytes`].
///
/// # Errors
/// When the sum of what was read is wrong.
pub fn read(buffer: &[u64]) -> Result<Bandwidth, crate::Error> {
    let start = Instant::now();
    let sum = sum(std::hint::black_box(buffer));
    let elapsed = start.elapsed();
    let words = buffer.len() as u64;
    let expected = (u128::from(words) * u128::from(words.saturating_sub(1)) / 2) as u64;
    if sum != expected {
        return Err(crate::Error::Result { name: "sequential read".into(), expected, found: sum });
    }
    Ok(Bandwidth { bytes: words * 8, elapsed })
}

/// Wrapping; several sums side by side, so that memory and not the additions set the pace.
pub(crate) fn sum(words: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    let mut chunks = words.chunks_exact(sums.len());
    for chunk in &mut chunks {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().chain(chunks.remainder()).fold(0, |sum, word| sum.wrapping_add(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_and_a_wrong_one_is_noticed() {
        for words in [0, 1, 31, 32, 1000] {
            let mut buffer = buffer(words * 8).unwrap();
            assert_eq!(read(&buffer).unwrap().bytes, words * 8);
            if let Some(last) = buffer.last_mut() {
                *last += 1;
                assert!(read(&buffer).is_err());
            }
        }
    }

    #[test]
    fn a_rate_is_bytes_over_time() {
        let bandwidth = Bandwidth { bytes: 3_000_000_000, elapsed: Duration::from_millis(1500) };
        assert_eq!(bandwidth.gb_per_s(), 2.0);
        assert!(buffer_bytes() >= 1 << 30);
    }
}
