//! A sink, as whoever feeds it sees it.

use crate::base::blame;
use crate::progress::mark::Barrier;
use crate::progress::place::Place;
use crate::runtime::checkpoint::{Contribution, Giver};
use crate::runtime::encoded::{EncodedBytes, EncodedRow, Incoming};
use crate::runtime::metrics::{StepCounters, add};
use crate::runtime::outputs::watermark_of;
use crate::runtime::receiver::{Flow, Needs, Receiver, Step};
use crate::runtime::rows::Rows;
use crate::runtime::shared::JobShared;
use crate::{Error, Record, Sink};
use std::sync::Arc;

/// The input on which a sink takes encoded rows.
pub(crate) const ENCODED: usize = 1;

/// A sink on one worker.
pub(crate) struct SinkStage<T> {
    sink: Box<dyn Sink<T>>,
    /// What comes as bytes.
    incoming: Option<Incoming>,
    /// Whether rows were written since the last flush.
    dirty: bool,
    /// Inputs that have not ended.
    open_inputs: usize,
    bound: i64,
    counters: Arc<StepCounters>,
    worker: usize,
    shared: Arc<JobShared>,
    /// Where checkpoints are taken, and the last one that this sink gave to.
    giver: Option<Giver>,
    epoch: u64,
}

/// Where a sink goes on from, where the job does, and to whom it gives where its output stands.
#[derive(Default)]
pub(crate) struct SinkRecovery {
    pub(crate) position: Option<Vec<u8>>,
    /// The number of the first row, where rows have an order.
    pub(crate) number: Option<u64>,
    pub(crate) giver: Option<Giver>,
}

impl<T: Record> SinkStage<T> {
    /// A sink that ends when so many inputs have, in a place where the watermark is `bound` and 1 ns behind the clock.
    pub(crate) fn new(
        sink: Box<dyn Sink<T>>,
        (open_inputs, bound): (usize, i64),
        SinkRecovery { position, number, giver }: SinkRecovery,
        counters: Arc<StepCounters>,
        worker: usize,
        shared: Arc<JobShared>,
    ) -> Self {
        let (incoming, dirty, epoch) = (None, false, 0);
        let mut stage = Self { sink, incoming, dirty, open_inputs, bound, counters, worker, shared, giver, epoch };
        if let Some(position) = position {
            let restored = blame::in_step(&stage.counters.name, || stage.sink.restore(&position));
            if stage.check(restored).is_none() {
                return stage;
            }
        }
        if let Some(number) = number {
            blame::in_step(&stage.counters.name, || stage.sink.first_number(number));
        }
        let opened = blame::in_step(&stage.counters.name, || stage.sink.open(&stage.shared.symbols));
        stage.check(opened);
        stage
    }

    /// The same, which takes rows as bytes from these parcels.
    pub(crate) fn with_parcels(self, parcels: Arc<EncodedBytes>) -> Self {
        Self { incoming: Some(Incoming::new(parcels)), ..self }
    }

    /// Counts what was written.
    fn written(&mut self, rows: usize) -> usize {
        let counters = self.counters.of(self.worker);
        add(&counters.rows_in, rows as u64);
        add(&counters.rows_out, rows as u64);
        self.dirty |= rows > 0;
        rows
    }

    /// What it counted, and where its output stands.
    fn contribution(&mut self) -> Option<Contribution> {
        self.giver.as_ref()?;
        let sink = &mut self.sink;
        let checkpoint = blame::in_step(&self.counters.name, || sink.checkpoint());
        let sink = self.check(checkpoint)?;
        let counts = vec![self.counters.of(self.worker).counts()];
        Some(Contribution { counts, sink, ..Contribution::default() })
    }

    fn check<R>(&self, result: Result<R, crate::BoxError>) -> Option<R> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.shared.fail(Error::Sink { name: self.counters.name.to_string(), error });
                None
            }
        }
    }
}

impl<T: Record> Flow for SinkStage<T> {
    fn is_ready(&mut self) -> bool {
        true
    }

    fn frontier(&mut self, place: Place, pauses: bool) -> bool {
        self.counters.of(self.worker).watermark.set(watermark_of(&place, self.bound));
        if pauses && self.dirty {
            self.dirty = false;
            let sink = &mut self.sink;
            let flushed = blame::in_step(&self.counters.name, || sink.flush());
            self.check(flushed);
        }
        true
    }

    fn barrier(&mut self, barrier: Barrier) -> bool {
        if self.epoch < barrier.epoch {
            self.epoch = barrier.epoch;
            if let (Some(giver), Some(contribution)) = (self.giver.clone(), self.contribution()) {
                self.dirty = false;
                giver.give(barrier, contribution);
            }
        }
        true
    }

    fn end(&mut self) {
        self.open_inputs = self.open_inputs.saturating_sub(1);
        if self.open_inputs == 0 {
            let sink = &mut self.sink;
            let finished = blame::in_step(&self.counters.name, || sink.finish());
            if self.check(finished).is_some()
                && let (Some(giver), Some(contribution)) = (self.giver.clone(), self.contribution())
            {
                giver.finish(contribution);
            }
        }
    }

    fn needs(&self) -> Needs {
        Needs::NOTHING
    }
}

impl<T: Record> Step for SinkStage<T> {}

impl<T: Record> Receiver<T> for SinkStage<T> {
    fn rows(&mut self, rows: Rows<'_, T>) -> usize {
        let sink = &mut self.sink;
        let name = &self.counters.name;
        let result = blame::at_position(
            |index| rows.position(index),
            || blame::in_step(name, || sink.write(rows.times, rows.values)),
        );
        let taken = self.check(result).unwrap_or(0).min(rows.len());
        self.written(taken)
    }
}

/// Rows that were encoded, on an input of their own.
impl<T: Record> Receiver<EncodedRow, ENCODED> for SinkStage<T> {
    fn rows(&mut self, rows: Rows<'_, EncodedRow>) -> usize {
        let Self { sink, incoming, counters, .. } = self;
        let Some(incoming) = incoming else { unreachable!("a sink that is given bytes has their parcels") };
        let mut taken = 0;
        let result = blame::in_step(&counters.name, || {
            incoming.each_run(rows.values, |count, bytes| {
                sink.write_encoded(count, bytes)?;
                taken += count;
                Ok(())
            })
        });
        self.check(result);
        self.written(taken)
    }
}
