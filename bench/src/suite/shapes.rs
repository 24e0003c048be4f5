//! The grid of input shapes: the bars of `pelton replay` by keys, windows, disorder and windows that are open at once,
//! each next to the plain loop. Other groups measure one shape well; this one finds the shapes that are not well.
//!
//! The contests are named `X: shape`, where X is a letter of [`crate::report`]'s table.

use super::captures::{Captures, Kind, Spec};
use super::shapes_in_memory::in_memory;
use super::{Found, Suite, grouped};
use crate::bar_work::{BarText, bars_job};
use crate::contest::{Contest, Outcome, Standing};
use crate::yardstick::plain_bars;
use pelton::{BoxError, Options, Timestamp};
use pelton_io::Trade;
use pelton_io::capture::{Replay, replay};
use pelton_io::generate::TradeOptions;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EVENT_BYTES: u64 = size_of::<Trade>() as u64;
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Nanoseconds from one event to the next, of those in order.
const STEP_NS: u64 = 1_000;
/// The longest that a run should take; a cell where it takes longer gets fewer events.
const RUN_MAX: Duration = Duration::from_secs(20);

/// The letters of all groups, those in memory among them.
pub(super) const GROUPS: &str = "ABCDEF";

/// The name of the rival with the options that a user has who sets none.
const DEFAULT: &str = "pelton, default";

/// One cell of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    group: char,
    keys: u32,
    window: Duration,
    /// The most that an event lies behind those before it.
    disorder: Duration,
    /// What the job is told of it.
    bound: Duration,
}

impl Shape {
    fn spec(&self) -> Spec {
        let kind = if self.disorder.is_zero() { Kind::Trades } else { Kind::Disordered(self.disorder) };
        Spec::new(kind, self.keys)
    }

    /// Windows that are open at once for the bound alone.
    fn open(&self) -> u64 {
        (self.bound.as_nanos() / self.window.as_nanos()) as u64
    }

    fn work(&self) -> String {
        let Self { group, window, disorder, bound, .. } = self;
        let order = match (disorder.is_zero(), bound.is_zero()) {
            (true, true) => "in order".to_owned(),
            (true, false) => format!("in order, {} windows open", grouped(self.open())),
            _ => format!("disorder {}, bound {}", text(*disorder), text(*bound)),
        };
        format!("{group}: {} keys, windows of {}, {order}", grouped(self.keys.into()), text(*window))
    }
}

/// A duration in its largest unit that leaves no fraction: `100 us`.
fn text(duration: Duration) -> String {
    match duration.as_micros() {
        0 => "0".to_owned(),
        micros if micros.is_multiple_of(1_000_000) => format!("{} s", micros / 1_000_000),
        micros if micros.is_multiple_of(1_000) => format!("{} ms", micros / 1_000),
        micros => format!("{micros} us"),
    }
}

/// All cells, those that share a capture together.
fn shapes() -> Vec<Shape> {
    let (none, us) = (Duration::ZERO, Duration::from_micros(1));
    let mut shapes = Vec::new();
    let mut add = |group, keys: &[u32], windows: &[Duration], disorder, bound| {
        for &keys in keys {
            shapes.extend(windows.iter().map(|&window| Shape { group, keys, window, disorder, bound }));
        }
    };
    // Most events late.
    add('A', &[10, 1_000, 100_000], &[100 * us, MS, 100 * MS, 10 * SECOND], 20 * MS, none);
    // A row out for nearly each event.
    add('B', &[1_000, 100_000], &[100 * us, MS], none, none);
    // Many windows open: 50, with which the others are compared, 5,000 and 65,536.
    for bound in [500 * us, 50 * MS, 655_360 * us] {
        add('C', &[10], &[10 * us], none, bound);
    }
    // Two workers in place of one.
    for (disorder, bound) in [(none, none), (5 * MS, 5 * MS), (20 * MS, none)] {
        add('D', &[10, 1_000, 10_000, 100_000], &[100 * us, 10 * MS, 10 * SECOND], disorder, bound);
    }
    shapes
}

/// What one run of a cell reads and how.
struct Cell {
    path: PathBuf,
    shape: Shape,
    /// The first events of the capture, where they are in order; `None` for all.
    first: Option<u64>,
}

impl Cell {
    fn replay(&self) -> Result<Replay<Trade>, BoxError> {
        let replay = replay::<Trade>(&self.path)?;
        let Some(first) = self.first else { return Ok(replay) };
        let until_ns = TradeOptions::default().start_ns.saturating_add(i64::try_from(first * STEP_NS)?);
        Ok(replay.until(Timestamp::from_nanos(until_ns)))
    }

    fn plain(&self) -> Result<Outcome, BoxError> {
        let start = Instant::now();
        let (mut sink, seen) = BarText::new();
        let counts = plain_bars(&self.replay()?.into_blocks(), self.shape.window, self.shape.bound, &mut sink)?;
        Ok(Outcome { elapsed: start.elapsed(), rows: seen.rows(), hash: seen.hash(counts.late) })
    }

    fn pelton(&self, options: Options) -> Result<Outcome, BoxError> {
        let start = Instant::now();
        let (seen, report) = bars_job(self.replay()?, self.shape.window, self.shape.bound, options)?;
        let elapsed = start.elapsed();
        report.balance()?;
        let late = report.step("bars").ok_or("no step is called bars")?.late;
        Ok(Outcome { elapsed, rows: seen.rows(), hash: seen.hash(late) })
    }
}

/// The most events up to `events` of which a run is expected to take no longer than `limit`: the first 16th, then twice
/// as many as long as the time allows, which is taken to grow as it grew before.
fn affordable(
    events: u64,
    limit: Duration,
    mut run: impl FnMut(u64) -> Result<Duration, BoxError>,
) -> Result<u64, BoxError> {
    let mut tried = events.div_ceil(16);
    let mut before: Option<Duration> = None;
    loop {
        let elapsed = run(tried)?;
        let growth = before.map_or(4.0, |before| elapsed.as_secs_f64() / before.as_secs_f64().max(1e-9));
        if tried >= events || elapsed.as_secs_f64() * growth.max(2.0) > limit.as_secs_f64() {
            return Ok(tried);
        }
        before = Some(elapsed);
        tried = (2 * tried).min(events);
    }
}

/// The contest of one cell.
fn cell(suite: &mut Suite<'_>, captures: &mut Captures, shape: Shape) -> Result<Standing, BoxError> {
    let path = captures.get(shape.spec(), suite.tell)?;
    let all = suite.options.shape_events;
    let mut cell = Cell { path, shape, first: None };
    let mut events = all;
    if shape.group == 'C' {
        events = affordable(all, RUN_MAX, |first| {
            cell.first = Some(first);
            let runs = [cell.pelton(Options::workers(1))?.elapsed, cell.pelton(Options::per_core())?.elapsed];
            Ok(runs[0].max(runs[1]))
        })?;
        cell.first = (events < all).then_some(events);
    }
    let mut contest = Contest::new(&shape.work(), events, EVENT_BYTES);
    contest.rival("plain", || cell.plain());
    contest.rival("pelton, 1 worker", || cell.pelton(Options::workers(1)));
    contest.rival("pelton, 2 workers", || cell.pelton(Options::workers(2)));
    contest.rival(DEFAULT, || cell.pelton(Options::per_core()));
    if events < all {
        let (seconds, spanned) = (RUN_MAX.as_secs(), u128::from(events * STEP_NS) / shape.window.as_nanos());
        let open = grouped(shape.open().min(spanned as u64));
        let text = format!("{} events, {open} windows open: more would take over {seconds} s", grouped(events));
        contest.remark("plain", &text);
    }
    Ok(suite.run(contest))
}

pub(super) fn grid(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let dir: &Path = &suite.options.dir;
    let mut captures = Captures::new(dir, suite.options.shape_events)?;
    let mut standings = Vec::new();
    for shape in shapes().into_iter().filter(|shape| suite.wants_shapes(shape.group)).collect::<Vec<_>>() {
        standings.push(cell(suite, &mut captures, shape)?);
    }
    drop(captures);
    standings.extend(in_memory(suite)?);
    Ok(Found { shapes: standings, ..Found::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_all_shapes_and_each_has_a_name_of_its_own() {
        let shapes = shapes();
        let count = |group| shapes.iter().filter(|shape| shape.group == group).count();
        assert_eq!(['A', 'B', 'C', 'D'].map(count), [12, 4, 3, 36]);
        let mut works: Vec<_> = shapes.iter().map(Shape::work).collect();
        assert_eq!(works[0], "A: 10 keys, windows of 100 us, disorder 20 ms, bound 0");
        assert_eq!(works[12], "B: 1,000 keys, windows of 100 us, in order");
        assert_eq!(works[18], "C: 10 keys, windows of 10 us, in order, 65,536 windows open");
        works.sort();
        works.dedup();
        assert_eq!(works.len(), shapes.len());
    }

    #[test]
    fn a_run_that_would_take_too_long_gets_fewer_events() {
        let affordable = |ns_of: fn(u64) -> u64| {
            let mut tried = Vec::new();
            let run = |events| {
                tried.push(events);
                Ok(Duration::from_nanos(ns_of(events)))
            };
            (affordable(1_000, Duration::from_micros(100), run).unwrap(), tried)
        };
        assert_eq!(affordable(|events| events), (1_000, vec![63, 126, 252, 504, 1_000]));
        // The next would take 50,400 * 2 and 63,504 * 4.
        assert_eq!(affordable(|events| events * 100), (504, vec![63, 126, 252, 504]));
        assert_eq!(affordable(|events| events * events), (252, vec![63, 126, 252]));
        assert_eq!(affordable(|_| u64::MAX / 2), (63, vec![63]));
    }

    #[test]
    fn the_first_events_of_a_capture_are_as_many_as_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = Captures::new(dir.path(), 10_000).and_then(|mut captures| {
            let path = captures.get(Spec::new(Kind::Trades, 10), &mut |_| {})?;
            std::fs::copy(&path, dir.path().join("kept"))?;
            Ok(dir.path().join("kept"))
        });
        let shape = Shape { group: 'C', keys: 10, window: MS, disorder: Duration::ZERO, bound: MS };
        let cell = Cell { path: path.unwrap(), shape, first: Some(4_321) };
        let (mut sink, _) = BarText::new();
        let counts = plain_bars(&cell.replay().unwrap().into_blocks(), MS, MS, &mut sink).unwrap();
        assert_eq!(counts.events, 4_321);
        assert_eq!(cell.plain().unwrap().hash, cell.pelton(Options::workers(2)).unwrap().hash);
    }
}
