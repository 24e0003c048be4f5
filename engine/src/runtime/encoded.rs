//! Rows as bytes on their way to an ordered sink: workers that make rows encode them, and the sink's worker merges
//! what they encoded.
//!
//! ```text
//! rows ── encoder ──► bytes, a parcel for a batch ─────────────────► sink: the parcel's bytes up to each row's end
//!                └──► (number of the parcel, end of the row) ─ edge ─┘
//! ```
//! The edge orders rows as it does any others; what travels on it is where a row's bytes are.

use crate::base::blame;
use crate::base::parcels::Parcels;
use crate::progress::mark::Barrier;
use crate::progress::place::Place;
use crate::runtime::metrics::StepCounters;
use crate::runtime::receiver::{Flow, Needs, Receiver, WayOut};
use crate::runtime::rows::Rows;
use crate::runtime::shared::JobShared;
use crate::runtime::sink::Encoder;
use crate::{Error, Record};
use std::sync::Arc;

/// A parcel that has come to so many bytes is sent.
const PARCEL_BYTES: usize = 1 << 16;

/// Where the bytes of a row lie: in a parcel, from the end of the row before on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, crate::Record)]
#[repr(C)]
pub(crate) struct EncodedRow {
    parcel: u32,
    end: u32,
}

/// Bytes on their way, of one sink.
pub(crate) type EncodedBytes = Parcels<(usize, Vec<u8>)>;

/// The way to a sink through its encoder.
pub(crate) struct Encoding {
    encoder: Box<dyn Encoder>,
    bytes: Vec<u8>,
    rows: Vec<EncodedRow>,
    parcels: Arc<EncodedBytes>,
    next: WayOut<EncodedRow>,
    counters: Arc<StepCounters>,
    worker: usize,
    shared: Arc<JobShared>,
}

impl Encoding {
    pub(crate) fn new(
        encoder: Box<dyn Encoder>,
        parcels: Arc<EncodedBytes>,
        next: WayOut<EncodedRow>,
        counters: Arc<StepCounters>,
        worker: usize,
        shared: Arc<JobShared>,
    ) -> Self {
        Self { encoder, bytes: Vec::new(), rows: Vec::new(), parcels, next, counters, worker, shared }
    }

    /// Encodes rows from the front until a parcel is full; how many, `None` where one is too long.
    fn encode<T: Record>(&mut self, rows: &Rows<'_, T>) -> Option<usize> {
        let Self { encoder, bytes, rows: encoded, .. } = self;
        bytes.clear();
        encoded.clear();
        for (index, (time, row)) in rows.times.iter().zip(rows.values).enumerate() {
            blame::at_index(index, || encoder.encode(*time, bytemuck::bytes_of(row), bytes));
            encoded.push(EncodedRow { parcel: 0, end: u32::try_from(bytes.len()).ok()? });
            if bytes.len() >= PARCEL_BYTES {
                break;
            }
        }
        Some(encoded.len())
    }

    /// Sends what was encoded of these rows.
    fn send<T>(&mut self, rows: Rows<'_, T>) {
        let parcel = (self.worker, std::mem::take(&mut self.bytes));
        let (number, spare) = self.parcels.send(self.worker, parcel);
        self.bytes = spare.map_or_else(Vec::new, |(_, bytes)| bytes);
        self.rows.iter_mut().for_each(|row| row.parcel = number);
        let Rows { times, places, clocks, bounds, ahead, .. } = rows;
        self.next.rows(Rows { times, values: &self.rows, places, clocks, bounds, ahead });
    }
}

impl Flow for Encoding {
    fn is_ready(&mut self) -> bool {
        self.next.is_ready()
    }

    fn frontier(&mut self, place: Place, pauses: bool) -> bool {
        self.next.frontier(place, pauses)
    }

    fn barrier(&mut self, barrier: Barrier) -> bool {
        self.next.barrier(barrier)
    }

    fn end(&mut self) {
        self.next.end();
    }

    fn needs(&self) -> Needs {
        self.next.needs()
    }
}

impl<T: Record> Receiver<T> for Encoding {
    fn rows(&mut self, rows: Rows<'_, T>) -> usize {
        let mut sent = 0;
        while sent < rows.len() {
            let rest = rows.skip(sent);
            let name = self.counters.name.clone();
            let encoded =
                blame::at_position(|index| rest.position(index), || blame::in_step(&name, || self.encode(&rest)));
            let Some(count) = encoded else {
                let error = "a row has more than 4 GiB of bytes".into();
                self.shared.fail(Error::Sink { name: name.to_string(), error });
                break;
            };
            self.send(rest.range(0..count));
            sent += count;
        }
        rows.len()
    }
}

/// The parcels whose rows are being written, by number.
pub(crate) struct Incoming {
    parcels: Arc<EncodedBytes>,
    open: Vec<Option<Open>>,
}

struct Open {
    worker: usize,
    bytes: Vec<u8>,
    /// Bytes before this one were written.
    written: usize,
}

impl Incoming {
    pub(crate) const fn new(parcels: Arc<EncodedBytes>) -> Self {
        Self { parcels, open: Vec::new() }
    }

    /// Calls `write` with the bytes of the rows, and how many rows they are, until it refuses.
    pub(crate) fn each_run<E>(
        &mut self,
        rows: &[EncodedRow],
        mut write: impl FnMut(usize, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for run in rows.chunk_by(|a, b| a.parcel == b.parcel) {
            let (number, end) = (run[0].parcel, run[run.len() - 1].end as usize);
            let place = number as usize;
            if self.open.len() <= place {
                self.open.resize_with(place + 1, || None);
            }
            let open = self.open[place].get_or_insert_with(|| {
                let Some((worker, bytes)) = self.parcels.open(number) else {
                    unreachable!("rows are told with the bytes that they are in")
                };
                Open { worker, bytes, written: 0 }
            });
            let written = std::mem::replace(&mut open.written, end);
            write(run.len(), &open.bytes[written..end])?;
            if end == open.bytes.len()
                && let Some(Open { worker, bytes, .. }) = self.open[place].take()
            {
                self.parcels.close(number, worker, (worker, bytes));
            }
        }
        Ok(())
    }
}
