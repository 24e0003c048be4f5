//! The sink that keeps nothing but a count and a hash: for benchmarks and comparisons.

use pelton::rows::{RowSink, RowSlice};
use pelton::{BoxError, Dictionary, Layout, Record, Sink, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A sink that counts and hashes rows and their times, in their order.
///
/// ```
/// use pelton::{Sink, Timestamp};
///
/// let mut sink = pelton_io::blackhole();
/// let seen = sink.seen();
/// sink.write(&[Timestamp::from_nanos(1), Timestamp::from_nanos(2)], &[10u64, 20])?;
/// assert_eq!(seen.count(), 2);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub fn blackhole() -> Blackhole {
    Blackhole { count: 0, hash: 0, seen: Seen::default() }
}

/// See [`blackhole`].
#[derive(Debug)]
pub struct Blackhole {
    count: u64,
    hash: u64,
    seen: Seen,
}

impl Blackhole {
    /// What was seen, to be read after the sink was given to a job.
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }
}

/// The count and the hash of a [`Blackhole`]; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<(AtomicU64, AtomicU64)>);

impl Seen {
    /// The number of rows so far.
    pub fn count(&self) -> u64 {
        self.0.0.load(Ordering::Acquire)
    }

    /// A hash of all rows and times so far: equal only for equal rows in the same order, however
    /// they were cut into batches. Not for telling apart rows that somebody chose to collide.
    pub fn hash(&self) -> u64 {
        self.0.1.load(Ordering::Acquire)
    }
}

const MULTIPLIERS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The words of a row do not wait for each other: only one multiplication joins row to row.
#[inline(always)]
fn row_hash(time: Timestamp, row: &[u8]) -> u64 {
    let mut hash = fold(time.as_nanos() as u64 ^ MULTIPLIERS[0], MULTIPLIERS[1]);
    let mut place = MULTIPLIERS[0];
    let mut words = row.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
        place = place.wrapping_add(MULTIPLIERS[1]);
        hash = hash.wrapping_add(fold(word ^ place, MULTIPLIERS[0]));
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = hash.wrapping_add(fold(u64::from_le_bytes(word) ^ !place, MULTIPLIERS[1]));
    }
    hash
}

impl Blackhole {
    #[inline]
    fn see<'a>(
        &mut self,
        times: &[Timestamp],
        records: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<usize, BoxError> {
        let rows = records.len();
        if times.len() != rows {
            return Err(format!("{} times for {rows} rows", times.len()).into());
        }
        let mut hash = self.hash;
        for (&time, record) in times.iter().zip(records) {
            hash = fold(hash ^ row_hash(time, record), MULTIPLIERS[0]).rotate_left(23);
        }
        self.hash = hash;
        self.count += rows as u64;
        self.seen.0.0.store(self.count, Ordering::Release);
        self.seen.0.1.store(hash, Ordering::Release);
        Ok(rows)
    }
}

impl<T: Record> Sink<T> for Blackhole {
    fn write(&mut self, times: &[Timestamp], rows: &[T]) -> Result<usize, BoxError> {
        self.see(times, rows.iter().map(bytemuck::bytes_of))
    }
}

impl RowSink for Blackhole {
    fn open(&mut self, _: &Layout, _: &Arc<Dictionary>) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, times: &[Timestamp], rows: RowSlice<'_>) -> Result<usize, BoxError> {
        self.see(times, rows.iter().map(|row| row.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rows = Vec<(i64, [u8; 11])>;

    fn hash(rows: &[(i64, [u8; 11])], batch: usize) -> (u64, u64) {
        let mut sink = blackhole();
        for rows in rows.chunks(batch) {
            let times: Vec<_> = rows.iter().map(|row| Timestamp::from_nanos(row.0)).collect();
            let rows: Vec<_> = rows.iter().map(|row| row.1).collect();
            Sink::write(&mut sink, &times, &rows).unwrap();
        }
        (sink.seen().count(), sink.seen().hash())
    }

    #[test]
    fn the_hash_knows_order_times_and_every_byte_but_not_the_batches() {
        let rows: Rows = (0..40).map(|i| (i64::from(i), [i; 11])).collect();
        let whole = hash(&rows, 40);
        assert_eq!(whole.0, 40);
        assert_eq!(hash(&rows, 7), whole);
        let mut others = vec![whole.1];
        let mut add = |change: &dyn Fn(&mut Rows)| {
            let mut rows = rows.clone();
            change(&mut rows);
            others.push(hash(&rows, 40).1);
        };
        add(&|rows| rows.swap(3, 4));
        add(&|rows| rows[5].0 += 1);
        add(&|rows| rows.truncate(39));
        for byte in 0..11 {
            add(&|rows| rows[6].1[byte] ^= 1);
        }
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), 4 + 11);
    }
}
