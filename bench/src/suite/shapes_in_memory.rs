//! The shapes of the grid whose events lie in memory: a filter with a function of each key behind it, and an aggregate of
//! the user's own.

use super::in_memory::{EVENT_BYTES, Shared, by_hand, job};
use super::{Suite, grouped};
use crate::contest::{Contest, Standing};
use crate::number_work::{running_sum_job, statistics_job};
use crate::yardstick::{indexed_statistics, plain_running_sums, plain_statistics};
use pelton::BoxError;
use std::time::Duration;

const KEYS: u32 = 10_000;
const SECOND: Duration = Duration::from_secs(1);
/// Events of these cells for each of another cell: without windows and text a run is short.
const TIMES: u64 = 10;

pub(super) fn in_memory(suite: &mut Suite<'_>) -> Result<Vec<Standing>, BoxError> {
    let mut standings = Vec::new();
    if !suite.wants_shapes('E') && !suite.wants_shapes('F') {
        return Ok(standings);
    }
    let events = suite.options.shape_events * TIMES;
    (suite.tell)(&format!("making {} readings in memory", grouped(events)));
    let source = Shared::readings(events, KEYS);
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
