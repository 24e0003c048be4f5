//! The contests over one capture: every event exchanged by key, and partial results combined.

use super::half::Placed;
use super::rows::Windows;
use super::{combine_by_hand, exchange_by_hand, one_thread_by_hand, ordered_by_hand};
use crate::hop::Cores;
use pelton::{BlockSource, BoxError, Report};
use pelton_bench::contest::{Contest, Outcome, Standing};
use pelton_bench::work;
use pelton_bench::yardstick;
use pelton_io::capture::{self, Capture, Replay};
use pelton_io::sink::{Blackhole, Seen};
use pelton_io::{Trade, blackhole};
use std::path::Path;
use std::time::Duration;

/// The outcome of a job over the capture, which is opened within the time.
fn job(
    path: &Path,
    run: impl FnOnce(Replay<Trade>) -> Result<(Seen, Report), pelton::Error>,
) -> Result<Outcome, BoxError> {
    Outcome::timed(|| {
        let (seen, report) = run(capture::replay(path)?)?;
        report.balance()?;
        Ok((seen.count(), seen.hash()))
    })
}

/// The outcome of a loop over the capture, which is opened within the time.
fn by_hand<S: BlockSource<Trade>>(
    path: &Path,
    blocks: impl FnOnce(Replay<Trade>) -> S,
    run: impl FnOnce(&S, Blackhole) -> Result<Seen, BoxError>,
) -> Result<Outcome, BoxError> {
    Outcome::timed(|| {
        let seen = run(&blocks(capture::replay(path)?), blackhole())?;
        Ok((seen.count(), seen.hash()))
    })
}

/// The name of the first contest.
pub const EXCHANGED: &str = "every event exchanged, 2 workers";
/// The name of the second.
pub const COMBINED: &str = "exact merge, 2 workers";

/// Runs the contests whose names `wanted` takes.
///
/// # Errors
/// When the capture cannot be opened, or the windows have no length.
pub fn run(
    path: &Path,
    size: Duration,
    cores: Cores,
    rounds: usize,
    wanted: impl Fn(&str) -> bool,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Standing>, BoxError> {
    let windows = Windows::of(size)?;
    let events = Capture::open(path)?.event_count();
    let bytes = size_of::<Trade>() as u64;
    let blocks = Replay::into_blocks;
    let mut standings = Vec::new();
    if wanted(EXCHANGED) {
        let mut contest = Contest::new(EXCHANGED, events, bytes);
        contest.rival("pelton, 2 workers", || job(path, |replay| work::exchanged_window_job(replay, size, 2)));
        let name = "two threads by hand, rtrb";
        contest.rival(name, || {
            by_hand(path, blocks, |source, sink| exchange_by_hand::run::<Trade>(source, windows, cores, sink))
        });
        contest.remark(name, "dense tables, chunks of at most 512 trades through 4096 slots");
        let name = "the same by hand, 48 bytes a trade";
        contest.rival(name, || {
            by_hand(path, blocks, |source, sink| exchange_by_hand::run::<Placed>(source, windows, cores, sink))
        });
        contest.remark(name, "with its time and its place in the input, as between workers");
        let name = "the same by hand, 48 bytes, in order";
        contest
            .rival(name, || by_hand(path, blocks, |source, sink| ordered_by_hand::run(source, windows, cores, sink)));
        contest.remark(name, "added in the input's order, as sums of floats need that are always the same");
        standings.push(contest.run(rounds, tell));
    }
    if wanted(COMBINED) {
        let mut contest = Contest::new(COMBINED, events, bytes);
        contest.rival("pelton, 2 workers", || job(path, |replay| work::window_job(replay, size, 2)));
        contest.rival("pelton, 1 worker", || job(path, |replay| work::window_job(replay, size, 1)));
        let name = "two threads by hand, tables merged";
        contest
            .rival(name, || by_hand(path, blocks, |source, sink| combine_by_hand::run(source, windows, cores, sink)));
        contest.remark(name, "dense tables, merged under a lock");
        let name = "one thread by hand, hash table";
        contest.rival(name, || {
            by_hand(path, blocks, |source, mut sink| {
                yardstick::keyed_window(source, size, &mut sink)?;
                Ok(sink.seen())
            })
        });
        contest.remark(name, "pelton_bench::yardstick");
        contest.rival("one thread by hand, dense table", || {
            by_hand(path, blocks, |source, sink| one_thread_by_hand::run(source, windows, sink))
        });
        standings.push(contest.run(rounds, tell));
    }
    Ok(standings)
}
