//! Readings that lie in memory, and runs over them.

use super::captures::reading;
use crate::contest::Outcome;
use crate::number_work::Called;
use crate::readings::Reading;
use pelton::{BlockReader, BlockSource, BlockSummary, BoxError, Options, Report, Source, VecSource};
use pelton_io::generate::{TradeOptions, trades};
use std::sync::Arc;

pub(super) const EVENT_BYTES: u64 = size_of::<Reading>() as u64;
const BLOCK_EVENTS: usize = 4096;

/// Readings in memory that all runs share.
#[derive(Clone)]
pub(super) struct Shared(Arc<VecSource<Reading>>);

impl Shared {
    /// So many readings of so many devices, a million for each second of event time.
    pub(super) fn readings(events: u64, keys: u32) -> Self {
        let options = TradeOptions { events, keys, ..TradeOptions::default() };
        let readings = trades(&options).map(|trade| reading(&trade, 1)).collect();
        Self(Arc::new(VecSource::new(readings, BLOCK_EVENTS)))
    }
}

impl BlockSource<Reading> for Shared {
    fn blocks(&self) -> &[BlockSummary] {
        self.0.blocks()
    }

    fn reader(&self) -> Result<Box<dyn BlockReader<Reading>>, BoxError> {
        self.0.reader()
    }
}

/// A run of a job on one worker.
pub(super) fn job(
    source: &Shared,
    run: impl Fn(Source<Reading>, Options) -> Result<(Called, Report), pelton::Error>,
) -> impl FnMut() -> Result<Outcome, BoxError> {
    move || {
        Outcome::timed(|| {
            let (called, report) = run(Source::blocks(source.clone()), Options::workers(1))?;
            report.balance()?;
            Ok(called.seen())
        })
    }
}

/// A run of a loop.
pub(super) fn by_hand(run: impl Fn(&Called) -> Result<(), BoxError>) -> impl FnMut() -> Result<Outcome, BoxError> {
    move || {
        Outcome::timed(|| {
            let called = Called::default();
            run(&called)?;
            Ok(called.seen())
        })
    }
}
