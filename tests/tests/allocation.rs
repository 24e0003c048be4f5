//! No allocation per event: once a job is warm, its workers take events, fire windows and write rows
//! without asking for memory.

use pelton::{BoxError, IdleStrategy, Options, Sink, Timestamp, VecSource};
use pelton_tests::events::{Row, Sample, Shape, samples};
use pelton_tests::running::DEADLINE;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counter does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts rows and notes the allocations when a given share of the windows has fired.
struct Watch {
    rows: Arc<AtomicU64>,
}

impl Sink<Row> for Watch {
    fn write(&mut self, _: &[Timestamp], rows: &[Row]) -> Result<usize, BoxError> {
        self.rows.fetch_add(rows.len() as u64, Ordering::Relaxed);
        Ok(rows.len())
    }
}

#[test]
fn a_warm_job_does_not_allocate() {
    let shape = Shape { events: 400_000, keys: 100, step_ns: 100, disorder_ns: 100_000, seed: 3 };
    let events = samples(&shape);
    for workers in [1, 2] {
        let rows = Arc::new(AtomicU64::new(0));
        let mut job = pelton::Job::new("warm");
        let windows = pelton::Tumbling::of(Duration::from_micros(100));
        job.source("samples", VecSource::new(events.clone(), 1024))
            .filter(|sample| sample.value != 0)
            .map(|sample: &Sample| Row { key: sample.key, a: sample.value, b: sample.number as i64 })
            .key_by(|row| row.key)
            .window(windows)
            .aggregate_with("hash", pelton_tests::jobs::OrderHash, pelton_tests::jobs::OrderHash::row)
            .sink("out", Watch { rows: rows.clone() });
        let options = Options::workers(workers).pin(false).idle(IdleStrategy::BusySpin);
        let mut simulation = job.simulate(options).unwrap();
        let mut warm = None;
        let deadline = Instant::now() + DEADLINE;
        while !simulation.is_ended() {
            assert!(Instant::now() < deadline, "the job does not end");
            (0..workers).for_each(|worker| {
                simulation.step(worker);
            });
            // 400 windows of 100 keys fire in all.
            if warm.is_none() && rows.load(Ordering::Relaxed) > 20_000 {
                warm = Some((ALLOCATIONS.load(Ordering::Relaxed), rows.load(Ordering::Relaxed)));
            }
        }
        let (before, warm_rows) = warm.unwrap();
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        let fired = rows.load(Ordering::Relaxed) - warm_rows;
        println!("{workers} workers: {allocations} allocations while {fired} rows fired");
        assert!(fired > 10_000);
        // 350,000 events. A buffer may still find its last size; nothing grows with events or windows.
        assert!(allocations < 20, "{allocations} allocations with {workers} workers");
        simulation.finish().unwrap();
    }
}
