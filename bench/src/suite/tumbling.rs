//! Keyed tumbling windows: by the number of keys, of events in a block, of workers, in and out of order.

use super::captures::{Kind, Spec};
use super::{Found, Suite, by_hand, grouped, job};
use crate::contest::{Contest, Outcome, Standing};
use crate::readings::{Reading, reading_job};
use crate::work::{disordered_job, exchanged_window_job, tallied_window_job, window_job};
use crate::yardstick::{Keys, disordered_window, expert_window, keyed_window, reading_window};
use pelton::BoxError;
use pelton_io::Trade;
use pelton_io::capture::replay;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const EVENT_BYTES: u64 = size_of::<Trade>() as u64;
const SECOND: Duration = Duration::from_secs(1);
/// Generated events start at half past an hour, so all of a capture up to 1.8 billion events is one window.
const HOUR: Duration = Duration::from_secs(3600);
const DISORDER: Duration = Duration::from_millis(100);

/// The keyed window over trades in order: the job, the plain loop, the expert.
fn trades(suite: &mut Suite<'_>, work: &str, spec: Spec) -> Result<Standing, BoxError> {
    let path = suite.captures.get(spec, suite.tell)?;
    let keys = Keys::Dense(spec.keys as usize);
    let mut contest = Contest::new(work, suite.options.events, EVENT_BYTES);
    contest.rival("pelton", job(&path, |source| window_job(source, SECOND, 1)));
    contest.rival("plain", by_hand(&path, |source, sink| keyed_window(&source.into_blocks(), SECOND, sink)));
    contest.rival(
        "expert",
        by_hand::<Trade, _>(&path, |source, sink| {
            expert_window(&source.into_blocks(), SECOND, Duration::ZERO, keys, sink)
        }),
    );
    Ok(suite.run(contest))
}

pub(super) fn symbols(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let mut standings = Vec::new();
    for keys in [10_000, 100] {
        let work = format!("keyed window, {} symbols", grouped(keys.into()));
        standings.push(trades(suite, &work, Spec::new(Kind::Trades, keys))?);
    }
    Ok(standings.into())
}

/// Windows fire behind blocks.
pub(super) fn blocks(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let mut standings = Vec::new();
    for block_events in [1_000, 100_000] {
        let work = format!("keyed window, blocks of {} events", grouped(block_events.into()));
        let spec = Spec { block_events, ..Spec::new(Kind::Trades, 10_000) };
        standings.push(trades(suite, &work, spec)?);
    }
    Ok(standings.into())
}

/// The numbers of keys by which growth is told.
const KEYS: [u32; 4] = [100, 10_000, 1_000_000, 10_000_000];

/// Sparse devices are the dense ones times this.
const SPARSE: u64 = 0x9e37_79b9_7f4a_7c15;

pub(super) fn dense(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    by_keys(suite, "dense", 1, |keys| Keys::Dense(keys as usize))
}

pub(super) fn sparse(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    by_keys(suite, "sparse", SPARSE, |keys| Keys::Sparse(keys as usize))
}

fn by_keys(suite: &mut Suite<'_>, name: &str, multiplier: u64, told: impl Fn(u32) -> Keys) -> Result<Found, BoxError> {
    let mut standings = Vec::new();
    for keys in KEYS {
        let path = suite.captures.get(Spec::new(Kind::Readings(multiplier), keys), suite.tell)?;
        let told = told(keys);
        let work = format!("keyed window, {} {name} keys in one window", grouped(keys.into()));
        let mut contest = Contest::new(&work, suite.options.events, EVENT_BYTES);
        contest.rival("pelton", job(&path, |source| reading_job(source, HOUR, 1)));
        contest.rival("plain", by_hand(&path, |source, sink| reading_window(&source.into_blocks(), HOUR, sink)));
        contest.rival(
            "expert",
            by_hand::<Reading, _>(&path, |source, sink| {
                expert_window(&source.into_blocks(), HOUR, Duration::ZERO, told, sink)
            }),
        );
        standings.push(suite.run(contest));
    }
    let growth = growth(name, &standings);
    let mut found = Found::from(standings);
    found.more.insert("growth".into(), growth);
    Ok(found)
}

/// Nanoseconds for each event by the number of keys.
fn growth(name: &str, standings: &[Standing]) -> Value {
    let of_rival = |rival: &str| {
        let ns = standings.iter().map(|standing| standing.ns_per_event(rival)).collect::<Vec<_>>();
        json!({ "name": rival, "ns_per_event": ns })
    };
    let rivals = ["pelton", "plain", "expert"].map(of_rival);
    json!([{ "work": format!("keyed window, {name} keys"), "keys": KEYS, "rivals": rivals }])
}

pub(super) fn disorder(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let keys = 10_000;
    let told = Keys::Dense(keys as usize);
    let disordered = suite.captures.get(Spec::new(Kind::Disordered(DISORDER), keys), suite.tell)?;
    let sorted = suite.captures.get(Spec::new(Kind::Sorted(DISORDER), keys), suite.tell)?;
    let work = "keyed window, half of the events out of order by up to 100 ms";
    let mut contest = Contest::new(work, suite.options.events, EVENT_BYTES);
    for (path, suffix) in [(&disordered, ""), (&sorted, ", in order")] {
        let name = |rival: &str| format!("{rival}{suffix}");
        contest.rival(&name("pelton"), job(path, |source| disordered_job(source, SECOND, DISORDER, 1)));
        contest.rival(
            &name("plain"),
            by_hand(path, |source, sink| disordered_window(&source.into_blocks(), SECOND, DISORDER, sink)),
        );
        contest.rival(
            &name("expert"),
            by_hand::<Trade, _>(path, move |source, sink| {
                expert_window(&source.into_blocks(), SECOND, DISORDER, told, sink)
            }),
        );
    }
    contest.remark("pelton, in order", "the same events sorted by time, the same bound of 100 ms");
    Ok(vec![suite.run(contest)].into())
}

/// One worker, two that combine, two that exchange every event.
fn by_workers(suite: &mut Suite<'_>, work: &str, kind: Kind) -> Result<Standing, BoxError> {
    let path = suite.captures.get(Spec::new(kind, 10_000), suite.tell)?;
    let mut contest = Contest::new(work, suite.options.events, EVENT_BYTES);
    contest.rival("pelton", job(&path, |source| window_job(source, SECOND, 1)));
    contest.rival("pelton, 2 workers", job(&path, |source| window_job(source, SECOND, 2)));
    contest.remark("pelton, 2 workers", "combined on each worker");
    contest.rival("pelton, 2 workers, exchanged", job(&path, |source| exchanged_window_job(source, SECOND, 2)));
    contest.remark("pelton, 2 workers, exchanged", "every event goes to its key's worker");
    contest.rival("plain", by_hand(&path, |source, sink| keyed_window(&source.into_blocks(), SECOND, sink)));
    let keys = Keys::Dense(10_000);
    contest.rival(
        "expert",
        by_hand::<Trade, _>(&path, |source, sink| {
            expert_window(&source.into_blocks(), SECOND, Duration::ZERO, keys, sink)
        }),
    );
    Ok(suite.run(contest))
}

pub(super) fn workers(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    Ok(vec![by_workers(suite, "keyed window on 2 workers, even keys", Kind::Trades)?].into())
}

pub(super) fn skew(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    Ok(vec![by_workers(suite, "keyed window on 2 workers, one key has half of the events", Kind::Skewed)?].into())
}

/// In block order, and without order.
pub(super) fn order(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let path = suite.captures.get(Spec::new(Kind::Trades, 10_000), suite.tell)?;
    let mut contest = Contest::new("keyed window on 2 workers, order", suite.options.events, EVENT_BYTES);
    for (name, is_ordered) in [("pelton, 2 workers", true), ("pelton, 2 workers, unordered", false)] {
        let path = &path;
        contest.rival(name, move || {
            let start = Instant::now();
            let (tally, report) = tallied_window_job(replay(path)?, SECOND, 2, is_ordered)?;
            let elapsed = start.elapsed();
            report.balance()?;
            let (rows, hash) = tally.seen();
            Ok(Outcome { elapsed, rows, hash })
        });
    }
    contest.remark("pelton, 2 workers, unordered", "a sink of each worker; the rows are compared by a sum of hashes");
    Ok(vec![suite.run(contest)].into())
}
