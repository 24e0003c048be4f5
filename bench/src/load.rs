//! Load at a fixed rate, and the latency it meets, measured from the time each event was meant to be sent.
//!
//! The schedule is made before the run and nothing moves it: an event that could not be sent in time
//! is sent at once and its latency still counts from its intended time. A job that stalls for 10 ms
//! thus shows 10 ms and all that queued up behind, and not one slow event (no coordinated omission).

use crate::Error;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use pelton::{BoxError, Closed, Feed, Polled, Sink, Timestamp};
use serde_json::{Map, Value};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest latency that a histogram tells from longer ones.
pub const LATENCY_MAX: Duration = Duration::from_secs(10);

const SECOND_NS: u64 = 1_000_000_000;

/// The percentiles that are reported, with their names.
pub const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99)];

/// A histogram of nanoseconds with 3 significant digits, up to [`LATENCY_MAX`], whose memory is there.
pub fn histogram() -> Histogram<u64> {
    let Ok(mut histogram) = Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 3) else {
        unreachable!("the bounds are constants that are right")
    };
    // Written to, so that no page of it is first touched while something is measured.
    histogram.reset();
    histogram
}

/// The reported percentiles and the largest value, by name.
pub fn percentiles(histogram: &Histogram<u64>) -> Value {
    let mut all: Map<String, Value> = PERCENTILES
        .iter()
        .map(|&(name, percentile)| (name.to_owned(), histogram.value_at_percentile(percentile).into()))
        .collect();
    all.insert("max".into(), histogram.max().into());
    Value::Object(all)
}

/// One event of the load, 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, pelton::Event)]
#[repr(C)]
pub struct Ping {
    /// When it was meant to be sent, in nanoseconds since the load's start.
    #[event(time)]
    pub intended_ns: i64,
    /// Its number, from 0.
    pub number: u64,
    /// What it is keyed by.
    pub key: u64,
    /// What a job may write.
    pub value: u64,
}

/// When events are sent: at a fixed rate from the load's start on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Events per second, from 1 to 10^9.
    pub rate: u64,
    /// How many events.
    pub events: u64,
    /// Keys `0 .. keys`, in turns; at least 1.
    pub keys: u64,
}

impl Schedule {
    /// When event `number` is meant to be sent, in nanoseconds since the start.
    #[inline]
    pub fn intended_ns(&self, number: u64) -> u64 {
        let rate = self.rate.clamp(1, SECOND_NS);
        (number / rate) * SECOND_NS + (number % rate) * SECOND_NS / rate
    }

    fn ping(&self, number: u64) -> Ping {
        let intended_ns = self.intended_ns(number) as i64;
        Ping { intended_ns, number, key: number % self.keys.max(1), value: 0 }
    }
}

/// Events that are sent together at most, when the sender is late.
const SEND_MAX: usize = 256;

/// Sends all events of the schedule, each as soon as it is due, and returns how late they were sent.
///
/// `send` takes a prefix of what it is given and says how many. While nothing is due the thread spins.
///
/// # Errors
/// When `send` says that the job has ended.
pub fn drive(
    schedule: &Schedule,
    start: Instant,
    mut send: impl FnMut(&[Ping]) -> Result<usize, Closed>,
) -> Result<Histogram<u64>, Closed> {
    let mut lags = histogram();
    let mut due: Vec<Ping> = Vec::with_capacity(SEND_MAX);
    let mut sent = 0;
    let mut next = 0;
    while next < schedule.events || sent < due.len() {
        if sent == due.len() {
            (sent, due) = (0, cleared(due));
        }
        let now = start.elapsed().as_nanos() as u64;
        while due.len() < SEND_MAX && next < schedule.events {
            let intended = schedule.intended_ns(next);
            if intended > now {
                break;
            }
            lags.saturating_record(now - intended);
            due.push(schedule.ping(next));
            next += 1;
        }
        let taken = if due.is_empty() { 0 } else { send(&due[sent..])? };
        sent += taken;
        if taken > 0 {
            continue;
        }
        std::hint::spin_loop();
    }
    Ok(lags)
}

/// A source that gives each event of a schedule when it is due: the load for a job whose workers leave
/// no core for a generator of its own. Latency counts from the intended time all the same.
pub struct ScheduledFeed {
    schedule: Schedule,
    start: Instant,
    /// Not given yet.
    next: Ping,
    /// The one behind, so that whether another is due is known without waiting for a division.
    after_next: Ping,
}

impl ScheduledFeed {
    /// A feed of all events of `schedule`, from `start` on.
    pub fn new(schedule: Schedule, start: Instant) -> Self {
        Self { schedule, start, next: schedule.ping(0), after_next: schedule.ping(1) }
    }
}

impl Feed<Ping> for ScheduledFeed {
    fn poll(&mut self, room: usize, out: &mut Vec<Ping>) -> Result<Polled, BoxError> {
        let Some(elapsed) = Instant::now().checked_duration_since(self.start) else { return Ok(Polled::Pending) };
        let now = elapsed.as_nanos() as i64;
        while out.len() < room && self.next.number < self.schedule.events && self.next.intended_ns <= now {
            out.push(self.next);
            self.next = self.after_next;
            self.after_next = self.schedule.ping(self.next.number + 1);
        }
        Ok(match out.len() {
            0 if self.next.number == self.schedule.events => Polled::End,
            0 => Polled::Pending,
            _ => Polled::Ready,
        })
    }
}

fn cleared(mut pings: Vec<Ping>) -> Vec<Ping> {
    pings.clear();
    pings
}

/// What a [`LatencySink`] recorded.
#[derive(Debug, Clone)]
pub struct Latencies {
    /// One histogram for each second of intended time, after the warm-up, in nanoseconds.
    pub seconds: Vec<Histogram<u64>>,
    /// Rows that came, those of the warm-up among them.
    pub rows: u64,
    /// Rows that took longer than [`LATENCY_MAX`], which the histograms hold as that.
    pub too_long: u64,
}

impl Latencies {
    /// All seconds in one.
    pub fn total(&self) -> Histogram<u64> {
        let mut total = histogram();
        for second in &self.seconds {
            if total.add(second).is_err() {
                unreachable!("all histograms have the same bounds");
            }
        }
        total
    }

    /// Writes an interval log, as HdrHistogram's tools read it: one line per second, values in
    /// microseconds in its column of maxima, nanoseconds inside.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_hlog(&self, out: &mut impl Write, name: &str, warm_up: Duration) -> Result<(), Error> {
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            .add_comment(&format!("[{name}, nanoseconds from the intended time]"))
            .with_max_value_divisor(1000.0)
            .begin_log_with(out, &mut serializer)?;
        for (second, histogram) in self.seconds.iter().enumerate() {
            let start = warm_up + Duration::from_secs(second as u64);
            let tag = Tag::new("latency");
            log.write_histogram(histogram, start, Duration::from_secs(1), tag)
                .map_err(|error| Error::Io(std::io::Error::other(error.to_string())))?;
        }
        Ok(())
    }
}

/// A sink that records how long after its intended time each [`Ping`] came.
pub struct LatencySink {
    start: Instant,
    warm_up_ns: u64,
    latencies: Latencies,
    done: Arc<Mutex<Option<Latencies>>>,
}

/// Where a [`LatencySink`] leaves its latencies when its stream has ended.
#[derive(Debug, Clone)]
pub struct Recorded(Arc<Mutex<Option<Latencies>>>);

impl Recorded {
    /// The latencies, once the stream has ended.
    pub fn take(&self) -> Option<Latencies> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl LatencySink {
    /// A sink for a load that starts at `start` and lasts for `seconds` after the warm-up, whose
    /// events are not recorded.
    pub fn new(start: Instant, warm_up: Duration, seconds: usize) -> (Self, Recorded) {
        let done = Arc::default();
        let seconds = (0..seconds.max(1)).map(|_| histogram()).collect();
        let latencies = Latencies { seconds, rows: 0, too_long: 0 };
        let warm_up_ns = warm_up.as_nanos() as u64;
        (Self { start, warm_up_ns, latencies, done: Arc::clone(&done) }, Recorded(done))
    }

    #[inline]
    fn record(&mut self, intended_ns: u64, now_ns: u64) {
        self.latencies.rows += 1;
        let Some(since) = intended_ns.checked_sub(self.warm_up_ns) else { return };
        let latency = now_ns.saturating_sub(intended_ns);
        let last = self.latencies.seconds.len() - 1;
        let second = &mut self.latencies.seconds[((since / SECOND_NS) as usize).min(last)];
        self.latencies.too_long += u64::from(latency > LATENCY_MAX.as_nanos() as u64);
        second.saturating_record(latency);
    }
}

impl Sink<Ping> for LatencySink {
    fn write(&mut self, _: &[Timestamp], rows: &[Ping]) -> Result<usize, BoxError> {
        for row in rows {
            // Read for each row: those at the end of a batch came later than those at its start.
            let now = self.start.elapsed().as_nanos() as u64;
            self.record(row.intended_ns as u64, now);
        }
        Ok(rows.len())
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        let latencies = Latencies { seconds: std::mem::take(&mut self.latencies.seconds), ..self.latencies };
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = Some(latencies);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn the_schedule_is_even_and_exact_at_any_rate() {
        for rate in [1, 3, 100_000, 999_983, 1_000_000_000] {
            let schedule = Schedule { rate, events: 0, keys: 1 };
            for number in [0, 1, 2, rate - 1, rate, 7 * rate + rate / 2, 100_000 * rate] {
                let exact = u128::from(number) * u128::from(SECOND_NS) / u128::from(rate);
                assert_eq!(u128::from(schedule.intended_ns(number)), exact, "{number} at {rate}");
            }
        }
    }

    #[test]
    fn every_event_is_sent_once_in_order_never_early_and_stamped_with_its_intended_time() {
        let schedule = Schedule { rate: 1_000_000, events: 3_000, keys: 7 };
        let start = Instant::now();
        let mut sent = Vec::new();
        // Takes nothing, one, two, three in turns: the sender falls behind and must not shift the schedule.
        let mut turn = 0;
        let lags = drive(&schedule, start, |pings| {
            let now = start.elapsed().as_nanos() as u64;
            turn += 1;
            let taken = pings.len().min(turn % 4);
            assert!(pings.iter().all(|ping| ping.intended_ns as u64 <= now));
            sent.extend_from_slice(&pings[..taken]);
            Ok(taken)
        });
        assert_eq!(lags.unwrap().len(), 3_000);
        assert_eq!(sent.len(), 3_000);
        for (number, ping) in sent.iter().enumerate() {
            let intended_ns = number as i64 * 1_000;
            assert_eq!(*ping, Ping { intended_ns, number: number as u64, key: number as u64 % 7, value: 0 });
        }
        assert_eq!(drive(&schedule, start, |_| Err(Closed(0))).unwrap_err(), Closed(0));
    }

    #[test]
    fn a_scheduled_feed_gives_every_event_once_and_never_early() {
        let schedule = Schedule { rate: 1_000_000, events: 3_000, keys: 7 };
        let start = Instant::now();
        let mut feed = ScheduledFeed::new(schedule, start);
        let mut all = Vec::new();
        loop {
            let mut pings = Vec::new();
            let polled = feed.poll(16, &mut pings).unwrap();
            let now = start.elapsed().as_nanos() as u64;
            assert!(pings.len() <= 16 && pings.iter().all(|ping| ping.intended_ns as u64 <= now));
            all.extend(pings);
            if polled == Polled::End {
                break;
            }
        }
        assert!(all.iter().map(|ping| ping.number).eq(0..3_000));
    }

    #[test]
    fn latencies_count_from_the_intended_time_by_second_and_leave_out_the_warm_up() {
        let (mut sink, recorded) = LatencySink::new(Instant::now(), Duration::from_secs(1), 2);
        sink.record(999_999_999, 5_000_000_000);
        sink.record(SECOND_NS, SECOND_NS + 1_500);
        sink.record(2 * SECOND_NS, 2 * SECOND_NS + 7);
        // Behind the last second, earlier than its time, and longer than can be told.
        sink.record(9 * SECOND_NS, 9 * SECOND_NS - 1);
        sink.record(SECOND_NS, 30 * SECOND_NS);
        assert!(recorded.take().is_none());
        sink.finish().unwrap();
        let latencies = recorded.take().unwrap();
        assert_eq!((latencies.rows, latencies.too_long), (5, 1));
        assert_eq!(latencies.seconds.iter().map(Histogram::len).collect::<Vec<_>>(), [2, 2]);
        let total = latencies.total();
        assert_eq!((total.len(), total.min()), (4, 0));
        assert!(total.max() >= 10 * SECOND_NS && total.max() < 11 * SECOND_NS);
        assert_eq!(total.count_between(1_499, 1_501), 1);
        assert_eq!(percentiles(&total)["p50"], 7);
    }

    #[test]
    fn the_interval_log_can_be_read_back() {
        let (mut sink, recorded) = LatencySink::new(Instant::now(), Duration::ZERO, 3);
        for i in 0..3_000u64 {
            sink.record(i * 1_000_000, i * 1_000_000 + i);
        }
        sink.finish().unwrap();
        let latencies = recorded.take().unwrap();
        let mut log = Vec::new();
        latencies.write_hlog(&mut log, "test", Duration::from_secs(1)).unwrap();
        let entries = IntervalLogIterator::new(&log).map(Result::unwrap);
        let intervals: Vec<_> = entries
            .filter_map(|entry| match entry {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        assert_eq!(intervals.len(), 3);
        assert_eq!(intervals[2].start_timestamp(), Duration::from_secs(3));
        for (interval, expected) in intervals.iter().zip(&latencies.seconds) {
            let bytes = interval_bytes(interval.encoded_histogram());
            let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            assert_eq!((histogram.len(), histogram.max()), (expected.len(), expected.max()));
        }
    }

    /// Base64 without padding questions: the alphabet is the standard one.
    fn interval_bytes(text: &str) -> Vec<u8> {
        let digit = |c: u8| match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let mut bytes = Vec::new();
        for four in text.trim_end_matches('=').as_bytes().chunks(4) {
            let bits = four.iter().fold(0u32, |bits, &c| (bits << 6) | u32::from(digit(c))) << (6 * (4 - four.len()));
            bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
        }
        bytes
    }
}
