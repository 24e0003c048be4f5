//! A sink, as whoever feeds it sees it.

use crate::base::blame;
use crate::progress::place::Place;
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
}

impl<T: Record> SinkStage<T> {
    /// A sink that ends when so many inputs have, in a place where the watermark is `bound` and 1 ns behind the clock.
    pub(crate) fn new(
        sink: Box<dyn Sink<T>>,
        (open_inputs, bound): (usize, i64),
        counters: Arc<StepCounters>,
        worker: usize,
        shared: Arc<JobShared>,
    ) -> Self {
        let mut stage = Self { sink, incoming: None, dirty: false, open_inputs, bound, counters, worker, shared };
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

    fn end(&mut self) {
        self.open_inputs = self.open_inputs.saturating_sub(1);
        if self.open_inputs == 0 {
            let sink = &mut self.sink;
            let finished = blame::in_step(&self.counters.name, || sink.finish());
            self.check(finished);
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
