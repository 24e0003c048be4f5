//! The ring alone: numbers from one thread to another.

use crate::Error;
use pelton::Timestamp;
use pelton::ring::ring;
use std::thread;
use std::time::{Duration, Instant};

/// Elements of the ring of [`ring_throughput`].
const RING: usize = 4096;

/// Moves `events` numbers from one thread to another through a bare ring, `run` at a time, and returns
/// the time from the first push to the last release.
///
/// # Errors
/// When what came out is not what went in.
pub fn ring_throughput(events: u64, run: usize) -> Result<Duration, Error> {
    let run = run.clamp(1, RING);
    let (mut producer, mut consumer) = ring::<u64, u64, ()>(RING, 1);
    let start = Instant::now();
    let writer = thread::spawn(move || {
        let (mut times, mut orders, mut values) = (vec![Timestamp::MIN; run], vec![0; run], vec![0; run]);
        let mut next = 0;
        let mut waits = Waits::default();
        while next < events {
            let count = (events - next).min(run as u64) as usize;
            for (i, number) in (next..next + count as u64).enumerate() {
                times[i] = Timestamp::from_nanos(number as i64);
                orders[i] = number;
                values[i] = number ^ 1;
            }
            let mut pushed = 0;
            while pushed < count {
                let now = producer.push(&times[pushed..count], &orders[pushed..count], &values[pushed..count]);
                waits.after(now);
                pushed += now;
                if now == 0 && producer.is_abandoned() {
                    return;
                }
            }
            next += count as u64;
        }
    });
    let (mut seen, mut sum) = (0u64, 0u64);
    let mut waits = Waits::default();
    while seen < events {
        let elements = consumer.peek();
        let count = elements.len().min(run);
        for i in 0..count {
            let number = elements.orders[i] ^ elements.times[i].as_nanos() as u64;
            sum = sum.wrapping_add(number).wrapping_add(elements.values[i]);
        }
        consumer.release(count);
        waits.after(count);
        seen += count as u64;
        if count == 0 && consumer.is_finished() {
            break;
        }
    }
    let elapsed = start.elapsed();
    drop(consumer);
    // A writer that panicked shows in the sum.
    let _ = writer.join();
    let expected = (0..events).fold(0u64, |sum, number| sum.wrapping_add(number ^ 1));
    if sum != expected {
        return Err(Error::Result { name: format!("ring, {run} at a time"), expected, found: sum });
    }
    Ok(elapsed)
}

/// Spins a little, then gives up the core, so that it ends on a machine with one.
#[derive(Default)]
struct Waits(u32);

impl Waits {
    #[inline]
    fn after(&mut self, progress: usize) {
        if progress > 0 {
            self.0 = 0;
        } else if self.0 < 1000 {
            self.0 += 1;
            std::hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}
