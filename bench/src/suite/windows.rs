//! Windows of all kinds: that slide, by the number of windows that a reading is in; sessions; allowed lateness; several
//! aggregates; sums of floats that are exact; timers; and jobs on the caller's thread.

use super::in_memory::{EVENT_BYTES, Shared, by_hand, job};
use super::inline::inline;
use super::{Found, Suite, grouped};
use crate::contest::{Contest, Standing};
use crate::number_work::{quarter, statistics_job};
use crate::window_work::{
    float_sums_job, four_aggregates_job, session_job, sliding_extremes_job, sliding_job, timers_job, tumbling_job,
};
use crate::yardstick::{
    indexed_statistics, plain_float_sums, plain_sessions, plain_sliding, plain_statistics, plain_timers,
};
use pelton::{Aggregate, BoxError, Sliding, sum_f64, sum_f64_exact};
use serde_json::{Value, json};
use std::time::Duration;

const KEYS: u32 = 100;
/// As many as are no longer in the nearest cache where each has an exact sum.
const MANY_KEYS: u32 = 10_000;
const OVERLAPS: [u32; 5] = [1, 10, 100, 1_000, 10_000];
/// So many readings for each of a cell of the grid.
const TIMES: u64 = 10;
const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// The size of windows whose slide is the shorter the more of them overlap.
const SIZE: Duration = Duration::from_secs(10);
/// A device reads each 100 us on average: one gap in 150 is as long as this.
const GAP: Duration = Duration::from_micros(500);

pub(super) fn windows(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let events = suite.options.shape_events * TIMES;
    (suite.tell)(&format!("making {} readings in memory", grouped(events)));
    let source = Shared::readings(events, KEYS);
    let mut found = Found::default();
    for name in ["slide", "window"] {
        let mut standings = Vec::new();
        for overlap in OVERLAPS {
            standings.push(suite.run(sliding(&source, events, (name, overlap))));
        }
        found.more.insert(format!("growth, {name} fixed"), growth(&standings));
        found.standings.append(&mut standings);
    }
    inline(suite, &source, &mut found)?;
    for contest in [
        extremes(&source, events),
        sessions(&source, events),
        lateness(&source, events),
        four_aggregates(&source, events),
        timers(&source, events),
        float_sums(&source, events, KEYS),
    ] {
        found.standings.push(suite.run(contest));
    }
    drop(source);
    let source = Shared::readings(events, MANY_KEYS);
    found.standings.push(suite.run(float_sums(&source, events, MANY_KEYS)));
    Ok(found)
}

/// Sums whose floats are rounded once, beside sums that are rounded at each reading. Of these readings both are the same.
fn float_sums(source: &Shared, events: u64, keys: u32) -> Contest<'_> {
    let work = format!("sums of floats of {} devices in windows of 1 s", grouped(keys.into()));
    let (plain, exact) = (sum_f64(quarter), sum_f64_exact(quarter));
    let bytes = [state_bytes(&plain), state_bytes(&exact)].map(|bytes| format!("{bytes} bytes a key"));
    let mut contest = Contest::new(&work, events, EVENT_BYTES);
    contest.rival("plain", by_hand(|called| plain_float_sums(source, SECOND, called.function())));
    contest.rival("pelton", job(source, move |source, options| float_sums_job(source, SECOND, plain.clone(), options)));
    contest.remark("pelton", &bytes[0]);
    let exact = job(source, move |source, options| float_sums_job(source, SECOND, exact.clone(), options));
    contest.rival("pelton, exact", exact);
    contest.remark("pelton, exact", &bytes[1]);
    contest
}

/// Bytes of what an aggregate keeps of a key.
const fn state_bytes<A: Aggregate>(_: &A) -> usize {
    size_of::<A::Acc>()
}

/// Windows whose slide is the same for all overlaps, or whose size is.
fn sliding<'a>(source: &'a Shared, events: u64, (fixed, overlap): (&str, u32)) -> Contest<'a> {
    let slide = if fixed == "slide" { MILLI } else { SIZE / overlap };
    let work = format!("sliding windows, {fixed} fixed: {overlap} x {slide:?}, counts and sums of {KEYS} devices");
    let windows = Sliding::of(slide * overlap, slide);
    let mut contest = Contest::new(&work, events, EVENT_BYTES);
    contest.rival("plain", by_hand(move |called| plain_sliding(source, slide, overlap as usize, called.function())));
    contest.rival("pelton", job(source, move |source, options| sliding_job(source, windows, options)));
    contest
}

/// Nanoseconds for each event, and rows, by the number of windows that overlap.
fn growth(standings: &[Standing]) -> Value {
    let ns = |rival: &str| standings.iter().map(|standing| standing.ns_per_event(rival)).collect::<Vec<_>>();
    json!({ "overlaps": OVERLAPS, "plain": ns("plain"), "pelton": ns("pelton") })
}

fn extremes(source: &Shared, events: u64) -> Contest<'_> {
    let work = "sliding windows, 1,000 x 1ms: least and largest values, which cannot be taken off";
    let windows = Sliding::of(SECOND, MILLI);
    let mut contest = Contest::new(work, events, EVENT_BYTES);
    contest.rival("pelton", job(source, move |source, options| sliding_extremes_job(source, windows, options)));
    contest
}

fn sessions(source: &Shared, events: u64) -> Contest<'_> {
    let work = format!("sessions with a gap of {GAP:?}, counts and sums of {KEYS} devices");
    let mut contest = Contest::new(&work, events, EVENT_BYTES);
    contest.rival("plain", by_hand(|called| plain_sessions(source, GAP, called.function())));
    contest.rival("pelton", job(source, |source, options| session_job(source, GAP, options)));
    contest
}

fn lateness(source: &Shared, events: u64) -> Contest<'_> {
    let work = format!("tumbling windows of 1 ms, counts and sums of {KEYS} devices; nothing is late");
    let mut contest = Contest::new(&work, events, EVENT_BYTES);
    let tumbling = |lateness| job(source, move |source, options| tumbling_job(source, MILLI, lateness, options));
    contest.rival("plain", by_hand(|called| plain_sliding(source, MILLI, 1, called.function())));
    contest.rival("pelton", tumbling(Duration::ZERO));
    contest.rival("pelton, lateness of 1 s", tumbling(SECOND));
    contest
}

fn four_aggregates(source: &Shared, events: u64) -> Contest<'_> {
    let work = format!("count, sum, least and largest value of {KEYS} devices in windows of 1 s");
    let mut contest = Contest::new(&work, events, EVENT_BYTES);
    contest.rival("plain", by_hand(|called| plain_statistics(source, SECOND, called.function())));
    contest
        .rival("direct index", by_hand(|called| indexed_statistics(source, SECOND, KEYS as usize, called.function())));
    contest.rival("pelton, one by hand", job(source, |source, options| statistics_job(source, SECOND, options)));
    contest
        .rival("pelton, a tuple of four", job(source, |source, options| four_aggregates_job(source, SECOND, options)));
    contest
}

fn timers(source: &Shared, events: u64) -> Contest<'_> {
    let work = format!("a timer for each reading, 10 ms behind it, {KEYS} devices");
    let mut contest = Contest::new(&work, events, EVENT_BYTES);
    contest.rival("plain, a binary heap", by_hand(|called| plain_timers(source, called.function())));
    contest.rival("pelton", job(source, timers_job));
    contest
}
