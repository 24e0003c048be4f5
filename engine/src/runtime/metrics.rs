//! Counters of sources, steps and sinks: written by their workers, read by anyone.

use crate::Timestamp;
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What a row of the report stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// A source.
    Source,
    /// A keyed step.
    Keyed,
    /// A sink.
    Sink,
}

/// The counters of one source, step or sink on one worker.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Rows that upstream gave to this step.
    pub(crate) sent: AtomicU64,
    pub(crate) rows_in: AtomicU64,
    pub(crate) rows_out: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) behind: AtomicU64,
    pub(crate) jumped: AtomicU64,
    pub(crate) watermark: Reached,
}

/// What was counted of a source, step or sink, as checkpoints keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Counts {
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) late: u64,
    pub(crate) rejected: u64,
    pub(crate) behind: u64,
    pub(crate) jumped: u64,
    /// In nanoseconds; the least of the workers.
    pub(crate) watermark: i64,
}

impl Default for Counts {
    /// Of no worker.
    fn default() -> Self {
        Self { rows_in: 0, rows_out: 0, late: 0, rejected: 0, behind: 0, jumped: 0, watermark: i64::MAX }
    }
}

impl Counts {
    pub(crate) fn add(&mut self, more: &Self) {
        self.rows_in += more.rows_in;
        self.rows_out += more.rows_out;
        self.late += more.late;
        self.rejected += more.rejected;
        self.behind += more.behind;
        self.jumped += more.jumped;
        self.watermark = self.watermark.min(more.watermark);
    }
}

impl Counters {
    /// What this worker counted.
    pub(crate) fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            rows_in: of(&self.rows_in),
            rows_out: of(&self.rows_out),
            late: of(&self.late),
            rejected: of(&self.rejected),
            behind: of(&self.behind),
            jumped: of(&self.jumped),
            watermark: self.watermark.get().as_nanos(),
        }
    }

    /// Goes on from what was counted before; all that was given was taken.
    fn go_on(&self, counts: &Counts, kind: StepKind) {
        add(&self.sent, if kind == StepKind::Source { 0 } else { counts.rows_in });
        add(&self.rows_in, counts.rows_in);
        add(&self.rows_out, counts.rows_out);
        add(&self.late, counts.late);
        add(&self.rejected, counts.rejected);
        add(&self.behind, counts.behind);
        add(&self.jumped, counts.jumped);
    }
}

/// The time that a worker has come to; the least of all until it is set.
#[derive(Debug)]
pub(crate) struct Reached(AtomicI64);

impl Default for Reached {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Reached {
    pub(crate) fn set(&self, time: Timestamp) {
        self.0.store(time.as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Adds to a counter that only this thread writes.
#[inline(always)]
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

/// The counters of one source, step or sink on all workers.
#[derive(Debug)]
pub(crate) struct StepCounters {
    pub(crate) name: Arc<str>,
    pub(crate) kind: StepKind,
    cells: Vec<CachePadded<Counters>>,
    /// So many of the first workers have a part in the step.
    taking_part: usize,
}

impl StepCounters {
    /// The counters of a step on so many workers, of which the first `taking_part` have a part in it.
    pub(crate) fn new(name: Arc<str>, kind: StepKind, workers: usize, taking_part: usize) -> Arc<Self> {
        Arc::new(Self { name, kind, cells: (0..workers).map(|_| CachePadded::default()).collect(), taking_part })
    }

    pub(crate) fn of(&self, worker: usize) -> &Counters {
        &self.cells[worker]
    }

    /// Goes on from what was counted before a restart, on all workers.
    pub(crate) fn go_on(&self, counts: &Counts) {
        self.cells[0].go_on(counts, self.kind);
    }

    /// Rows that came before the job was started, in the runs that it goes on from; asked before any comes.
    pub(crate) fn rows_before(&self) -> u64 {
        self.total(|counters| &counters.rows_in)
    }

    fn total(&self, counter: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.cells.iter().map(|cell| counter(cell).load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn report(&self) -> StepReport {
        // What one worker has not come to, the step has not.
        let watermarks = self.cells.iter().take(self.taking_part).map(|cell| cell.watermark.get());
        StepReport {
            name: self.name.to_string(),
            kind: self.kind,
            sent: self.total(|counters| &counters.sent),
            rows_in: self.total(|counters| &counters.rows_in),
            rows_out: self.total(|counters| &counters.rows_out),
            late: self.total(|counters| &counters.late),
            rejected: self.total(|counters| &counters.rejected),
            behind: self.total(|counters| &counters.behind),
            jumped: self.total(|counters| &counters.jumped),
            watermark: watermarks.min().unwrap_or(Timestamp::MIN),
        }
    }
}

/// The counts of one source, step or sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: StepKind,
    /// Rows that the steps before it gave it; of a source, 0.
    pub sent: u64,
    /// Rows it took; of a source, events it read.
    pub rows_in: u64,
    /// Rows it gave on by all outputs but late ones; of a source, events it took; of a sink, rows it wrote.
    pub rows_out: u64,
    /// Rows that were late and went to the late output, or were [dropped](crate::DropOutput::dropped); connected or not.
    pub late: u64,
    /// Events outside the job's range of times, and input that could not become an event.
    pub rejected: u64,
    /// Events of a source at or before the watermark at their own place.
    pub behind: u64,
    /// Events of a source that jumped ahead by more than [`Options::jump_max`](crate::Options::jump_max) and did not
    /// move its watermark. They are part of what it took.
    pub jumped: u64,
    /// The watermark it has come to: the least of the workers that have a part in it.
    pub watermark: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_least_watermark_of_the_workers_that_have_a_part_in_the_step() {
        let counters = StepCounters::new("s".into(), StepKind::Keyed, 3, 2);
        let reported = || counters.report().watermark.as_nanos();
        let at = Timestamp::from_nanos;
        counters.of(0).watermark.set(at(7));
        assert_eq!(reported(), i64::MIN, "the second worker has not come to anything");
        counters.of(1).watermark.set(at(5));
        assert_eq!(reported(), 5);
        counters.of(1).watermark.set(at(9));
        assert_eq!(reported(), 7);
    }
}
