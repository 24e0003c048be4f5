//! Sinks that take bytes: workers encode the rows that they make, and the output is that of one worker, which writes rows.

use pelton::rows::{RowSink, RowSlice, VecRows};
use pelton::{
    BoxError, Dictionary, Encoder, Encoders, Error, Job, Layout, Options, Sink, Timestamp, Tumbling, VecSource,
    Watermarks,
};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::jobs::{BOUND_NS, Exact, OrderHash, Running, WINDOW_NS};
use pelton_tests::running::{failure, finish};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Writes a row's time and its bytes, and as many bytes more as its second number says.
struct Raw;

impl Encoder for Raw {
    fn encode(&mut self, time: Timestamp, record: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&time.as_nanos().to_le_bytes());
        out.extend_from_slice(record);
        let more = usize::from(record.get(8).copied().unwrap_or(0));
        out.resize(out.len() + more, 7);
    }
}

/// Keeps what [`Raw`] makes of rows, whoever makes it.
#[derive(Clone, Default)]
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Rows that came as bytes.
    encoded: Arc<AtomicUsize>,
    /// The length at which it refuses; none where it is 0.
    room: usize,
}

impl Kept {
    fn encoders() -> Option<Encoders> {
        Some(Arc::new(|_| Box::new(Raw)))
    }

    fn put<'a>(&self, times: &[Timestamp], records: impl Iterator<Item = &'a [u8]>) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        times.iter().zip(records).for_each(|(time, record)| Raw.encode(*time, record, &mut bytes));
    }

    fn put_encoded(&self, rows: usize, more: &[u8]) -> Result<(), BoxError> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.room > 0 && bytes.len() + more.len() > self.room {
            return Err("no space left".into());
        }
        bytes.extend_from_slice(more);
        self.encoded.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    fn take(&self) -> (Vec<u8>, usize) {
        let bytes = std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner));
        (bytes, self.encoded.load(Ordering::Relaxed))
    }
}

impl Sink<Row> for Kept {
    fn write(&mut self, times: &[Timestamp], rows: &[Row]) -> Result<usize, BoxError> {
        self.put(times, rows.iter().map(bytemuck::bytes_of));
        Ok(rows.len())
    }

    fn encoders(&self) -> Option<Encoders> {
        Self::encoders()
    }

    fn write_encoded(&mut self, rows: usize, bytes: &[u8]) -> Result<(), BoxError> {
        self.put_encoded(rows, bytes)
    }
}

impl RowSink for Kept {
    fn open(&mut self, _: &Layout, _: &Arc<Dictionary>) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, times: &[Timestamp], rows: RowSlice<'_>) -> Result<usize, BoxError> {
        self.put(times, rows.iter().map(|row| row.bytes()));
        Ok(rows.len())
    }

    fn encoders(&self, _: &Layout) -> Option<Encoders> {
        Self::encoders()
    }

    fn write_encoded(&mut self, rows: usize, bytes: &[u8]) -> Result<(), BoxError> {
        self.put_encoded(rows, bytes)
    }
}

fn events() -> Vec<Sample> {
    samples(&Shape { events: 5_000, keys: 9, step_ns: 100, disorder_ns: 0, seed: 11 })
}

const SINKS: usize = 6;

/// What sinks get behind windows that are combined and that are not, behind late rows, timers, a union, and the source.
fn run(events: &[Sample], block: usize, options: Options) -> Vec<(Vec<u8>, usize)> {
    let sinks: [Kept; SINKS] = Default::default();
    let mut job = Job::new("encoded");
    let input = job
        .source("samples", VecSource::new(events.to_vec(), block))
        .watermarks(Watermarks::bounded(Duration::from_nanos(BOUND_NS)))
        .map(|sample: &Sample| Row { key: sample.key, a: sample.value, b: sample.number as i64 });
    let windows = Tumbling::of(Duration::from_nanos(WINDOW_NS));
    let exact = input.clone().key_by(|row| row.key).window(windows).aggregate_with("exact", Exact, Exact::row);
    exact.main.sink("exact rows", sinks[0].clone());
    exact.late.sink("late rows", sinks[1].clone());
    let each = input.clone().key_by(|row| row.key).window(windows).aggregate_with("each", OrderHash, OrderHash::row);
    each.main.clone().sink("each row", sinks[2].clone());
    let running = input.clone().key_by(|row| row.key % 5).process("running", Running { timer_ns: 30_000 });
    running.clone().flat_map(|row| [*row, Row { b: !row.b, ..*row }]).sink("running rows", sinks[3].clone());
    each.main.union(running).sink("both", sinks[4].clone());
    input.filter(|row| row.a % 2 != 0).sink("odd", sinks[5].clone());
    finish(job, options);
    sinks.iter().map(Kept::take).collect()
}

#[test]
fn the_bytes_are_the_same_whoever_encodes_them() {
    let events = samples(&Shape { events: 6_000, keys: 40, step_ns: 100, disorder_ns: 160_000, seed: 5 });
    let expected = run(&events, 64, Options::workers(1));
    assert!(expected.iter().all(|(bytes, encoded)| bytes.len() > 10_000 && *encoded == 0));
    for workers in [2, 3, 8] {
        for (block, ring_bytes) in [(1, 1 << 16), (64, 1), (1024, 1 << 16)] {
            let found = run(&events, block, Options::workers(workers).ring_bytes(ring_bytes));
            for (sink, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let what = format!("sink {sink}, {workers} workers, blocks of {block}, rings of {ring_bytes}");
                assert!(found.1 > 0, "{what}: nothing came as bytes");
                assert!(found.0 == expected.0, "{what}");
            }
        }
    }
}

#[test]
fn rows_of_run_time_layouts_are_encoded_too() {
    let run = |workers| {
        let kept = Kept::default();
        let layout = Layout::parse("32/8 place:i64@0 key:u64@8 value:i64@16 number:time@24*").unwrap();
        let events = samples(&Shape { events: 3_000, keys: 40, step_ns: 100, disorder_ns: 0, seed: 5 });
        let records: Vec<u8> = events.iter().flat_map(|event| bytemuck::bytes_of(event).to_vec()).collect();
        let source = VecRows::new(layout, records, 64);
        let mut job = Job::new("rows");
        job.rows("samples", source).sink("out", kept.clone());
        finish(job, Options::workers(workers));
        kept.take()
    };
    let (expected, encoded) = run(1);
    assert!(expected.len() > 3_000 * 32 && encoded == 0);
    for workers in [2, 3] {
        let (found, encoded) = run(workers);
        assert_eq!(encoded, 3_000);
        assert!(found == expected, "{workers} workers");
    }
}

#[test]
fn a_sink_that_refuses_bytes_ends_the_job_with_its_name() {
    let mut job = Job::new("fails");
    let sink = Kept { room: 2_000, ..Kept::default() };
    let rows = job.source("numbers", VecSource::new(events(), 64)).map(|e| Row { key: e.key, a: 0, b: 0 });
    rows.sink("disk", sink.clone());
    let error = failure(job, Options::workers(2));
    assert!(matches!(&error, Error::Sink { name, .. } if name == "disk"), "{error}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(sink.take().0.len() <= 2_000);
}

/// Panics at a row.
struct Panicking;

impl Encoder for Panicking {
    fn encode(&mut self, _: Timestamp, record: &[u8], _: &mut Vec<u8>) {
        assert_ne!(record[..8], 1000u64.to_le_bytes(), "a bad row");
    }
}

struct Fragile;

impl Sink<u64> for Fragile {
    fn write(&mut self, _: &[Timestamp], rows: &[u64]) -> Result<usize, BoxError> {
        Ok(rows.len())
    }

    fn encoders(&self) -> Option<Encoders> {
        Some(Arc::new(|_| Box::new(Panicking)))
    }

    fn write_encoded(&mut self, _: usize, _: &[u8]) -> Result<(), BoxError> {
        Ok(())
    }
}

#[test]
fn a_panic_in_an_encoder_names_the_sink_and_the_event() {
    let mut job = Job::new("panics");
    job.source("numbers", VecSource::new(events(), 64)).map(|e| e.number).sink("out", Fragile);
    let error = failure(job, Options::workers(2)).to_string();
    assert!(
        error.contains("`out`") && error.contains("event 40 of block 15") && error.contains("a bad row"),
        "{error}"
    );
}
