//! The shapes of the grid whose events lie in memory: a filter with a function of each key behind it, and an aggregate of
//! the user's own.

use super::captures::reading;
use super::{Suite, grouped};
use crate::contest::{Contest, Outcome, Standing};
use crate::number_work::{Called, running_sum_job, statistics_job};
use crate::readings::Reading;
use crate::yardstick::{indexed_statistics, plain_running_sums, plain_statistics};
use pelton::{BlockReader, BlockSource, BlockSummary, BoxError, Options, Report, Source, VecSource};
use pelton_io::generate::{TradeOptions, trades};
use std::sync::Arc;
use std::time::Duration;

const EVENT_BYTES: u64 = size_of::<Reading>() as u64;
const KEYS: u32 = 10_000;
const BLOCK_EVENTS: usize = 4096;
const SECOND: Duration = Duration::from_secs(1);
/// Events of these cells for each of another cell: without windows and text a run is short.
const TIMES: u64 = 10;

/// Readings in memory that all runs share.
#[derive(Clone)]
struct Shared(Arc<VecSource<Reading>>);

impl BlockSource<Reading> for Shared {
    fn blocks(&self) -> &[BlockSummary] {
        self.0.blocks()
    }

    fn reader(&self) -> Result<Box<dyn BlockReader<Reading>>, BoxError> {
        self.0.reader()
    }
}

/// A run of a job on one worker.
fn job(
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
fn by_hand(run: impl Fn(&Called) -> Result<(), BoxError>) -> impl FnMut() -> Result<Outcome, BoxError> {
    move || {
        Outcome::timed(|| {
            let called = Called::default();
            run(&called)?;
            Ok(called.seen())
        })
    }
}

pub(super) fn in_memory(suite: &mut Suite<'_>) -> Result<Vec<Standing>, BoxError> {
    let mut standings = Vec::new();
    if !suite.wants_shapes('E') && !suite.wants_shapes('F') {
        return Ok(standings);
    }
    let events = suite.options.shape_events * TIMES;
    (suite.tell)(&format!("making {} readings in memory", grouped(events)));
    let options = TradeOptions { events, keys: KEYS, ..TradeOptions::default() };
    let readings = trades(&options).map(|trade| reading(&trade, 1)).collect();
    let source = Shared(Arc::new(VecSource::new(readings, BLOCK_EVENTS)));
    if suite.wants_shapes('E') {
        standings.push(suite.run(running_sums(&source, events)));
    }
    if suite.wants_shapes('F') {
        standings.push(suite.run(statistics(&source, events)));
    }
    Ok(standings)
}

fn running_sums(source: &Shared, events: u64) -> Contest<'_> {
    let keys = grouped(KEYS.into());
    let work = format!("E: {keys} keys, half pass a filter, a map, running sums by a process function");
    let mut contest = Contest::new(&work, events, EVENT_BYTES);
    contest.rival("plain", by_hand(|called| plain_running_sums(source, called.function())));
    contest.rival("pelton, 1 worker", job(source, running_sum_job));
    contest
}

fn statistics(source: &Shared, events: u64) -> Contest<'_> {
    let keys = grouped(KEYS.into());
    let work = format!("F: {keys} keys, windows of 1 s, the user's own aggregate of floats");
    let mut contest = Contest::new(&work, events, EVENT_BYTES);
    contest.rival("plain", by_hand(|called| plain_statistics(source, SECOND, called.function())));
    contest
        .rival("direct index", by_hand(|called| indexed_statistics(source, SECOND, KEYS as usize, called.function())));
    contest.rival("pelton, 1 worker", job(source, |source, options| statistics_job(source, SECOND, options)));
    contest
}
