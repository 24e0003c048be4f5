//! Pelton, and the loop written by hand.

use crate::work::{Blocks, Rows};
use pelton::{BlockReader, BlockSource, BlockSummary, BoxError, Job, Options, Tumbling};
use pelton_bench::work::{CountSizes, WindowRow, options};
use pelton_bench::yardstick;
use pelton_io::Trade;
use std::sync::Arc;
use std::time::Duration;

/// The job of `pelton_bench::work::window_job`, with a sink that keeps the rows.
pub fn pelton(blocks: Blocks, window: Duration, workers: usize) -> Result<Vec<WindowRow>, BoxError> {
    pelton_with(blocks, window, options(workers))
}

/// As [`pelton`], with these options.
pub fn pelton_with(blocks: Blocks, window: Duration, options: Options) -> Result<Vec<WindowRow>, BoxError> {
    let mut job = Job::new("keyed window");
    let rows = Rows::default();
    job.source("trades", blocks.source()?)
        .key_by(|trade| trade.symbol)
        .window(Tumbling::of(window))
        .aggregate_with("sizes", CountSizes, WindowRow::new)
        .sink("out", rows.clone());
    job.run(options)?.balance()?;
    Ok(rows.take())
}

/// The loop written by hand.
pub fn plain(blocks: Blocks, window: Duration) -> Result<Vec<WindowRow>, BoxError> {
    let mut rows = Rows::default();
    yardstick::keyed_window(&Shared(blocks), window, &mut rows)?;
    Ok(rows.take())
}

/// A source whose blocks others may read too.
struct Shared(Blocks);

impl BlockSource<Trade> for Shared {
    fn blocks(&self) -> &[BlockSummary] {
        self.0.blocks()
    }

    fn symbols(&self) -> Vec<Arc<str>> {
        self.0.symbols()
    }

    fn reader(&self) -> Result<Box<dyn BlockReader<Trade>>, BoxError> {
        self.0.reader()
    }
}
