//! Which engines run which contest, with which settings.

use crate::ours;
use crate::renoir_windows::{self, Keys};
use crate::timely_windows::{self, Cut};
use crate::work::{Blocks, outcome};
use crate::{Options, dbsp_windows, generate};
use pelton::BoxError;
use pelton_bench::contest::{Contest, Standing};
use pelton_bench::work::WindowRow;
use pelton_io::Trade;
use std::path::{Path, PathBuf};
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(1);
const WINDOW_NS: i64 = 1_000_000_000;
/// Events between two watermarks of the others where that is not what is measured, the best for each of them of those
/// from 1,000 to a window's events.
const OWN: usize = 1_000_000;
/// Events of a block where that is not what is measured: the default of captures.
const BLOCK: u32 = 4096;
/// Events that timely's input sends at once: more leave the cache, fewer cost more steps of the worker.
const TIMELY_BATCH: usize = 4096;
/// The watermarks' distances that are compared.
const SPARSE: usize = 100_000;
const DENSE: usize = 1_000;

/// One of the comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    kind: Kind,
    keys: u32,
    events: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All but dbsp.
    Windows,
    /// With dbsp, on fewer events.
    WindowsOfDbsp,
    /// Each engine with watermarks far apart and close together.
    Watermarks,
    /// Likewise with dbsp, on fewer events.
    WatermarksOfDbsp,
}

/// All of them.
pub fn all(options: &Options) -> Vec<Comparison> {
    let mut all = Vec::new();
    for kind in [Kind::Windows, Kind::WindowsOfDbsp, Kind::Watermarks, Kind::WatermarksOfDbsp] {
        let events = match kind {
            Kind::Windows | Kind::Watermarks => options.events,
            Kind::WindowsOfDbsp | Kind::WatermarksOfDbsp => options.dbsp_events,
        };
        all.extend(options.keys.iter().map(|&keys| Comparison { kind, keys, events }));
    }
    all
}

type Run<'a> = Box<dyn Fn(Blocks) -> Result<Vec<WindowRow>, BoxError> + 'a>;

impl Comparison {
    /// Its name.
    pub fn name(&self) -> String {
        let what = match self.kind {
            Kind::Windows => "keyed window",
            Kind::WindowsOfDbsp => "keyed window, with dbsp",
            Kind::Watermarks => "watermarks",
            Kind::WatermarksOfDbsp => "watermarks, with dbsp",
        };
        format!("{what}, {} keys", self.keys)
    }

    /// Makes what captures it needs in `dir`, and runs it.
    ///
    /// # Errors
    /// When a capture cannot be made.
    pub fn run(&self, options: &Options, dir: &Path, tell: &mut dyn FnMut(&str)) -> Result<Standing, BoxError> {
        let made = |block: u32| -> Result<PathBuf, BoxError> {
            let path = dir.join(format!("{}-{}-{block}.pelton", self.events, self.keys));
            if !path.exists() {
                generate(&path, self.events, self.keys, block)?;
            }
            Ok(path)
        };
        let usual = || match &options.capture {
            Some(path) => Ok(path.clone()),
            None => made(BLOCK),
        };
        let standing = match self.kind {
            Kind::Windows => self.windows(&usual()?, options.rounds, tell)?,
            Kind::WindowsOfDbsp => self.windows_of_dbsp(&usual()?, options.rounds, tell)?,
            Kind::Watermarks => self.watermarks(&made(SPARSE as u32)?, &made(DENSE as u32)?, options.rounds, tell),
            Kind::WatermarksOfDbsp => self.watermarks_of_dbsp(&made(BLOCK)?, options.rounds, tell),
        };
        for block in [BLOCK, SPARSE as u32, DENSE as u32] {
            let path = dir.join(format!("{}-{}-{block}.pelton", self.events, self.keys));
            if path.exists() {
                std::fs::remove_file(path)?;
            }
        }
        Ok(standing)
    }

    fn windows(&self, path: &Path, rounds: usize, tell: &mut dyn FnMut(&str)) -> Result<Standing, BoxError> {
        let mut contest = Entries::new(&self.name(), events_of(path)?);
        contest.plain_and_pelton(path);
        contest.add("pelton, 2 workers", path, "", Box::new(|blocks| ours::pelton(blocks, WINDOW, 2)));
        for workers in [1, 2] {
            let name = format!("timely, {}", count(workers, "worker"));
            contest.add(&name, path, "an epoch every 1,000,000 events", timely(workers, OWN, false));
        }
        let remark = "sums of each worker go through the exchange; an epoch every 1,000,000 events";
        contest.add("timely, 2 workers, combined", path, remark, timely(2, OWN, true));
        let remark = "key_by, a watermark every 1,000,000 events";
        contest.add("renoir, 1 replica", path, remark, renoir(1, Keys::Stay, OWN));
        for replicas in [1, 2] {
            let name = format!("renoir, {}, exchange", count(replicas, "replica"));
            let remark = "group_by, 2 threads for each replica, a watermark every 1,000,000 events";
            contest.add(&name, path, remark, renoir(replicas as u64, Keys::Exchange, OWN));
        }
        Ok(contest.run(rounds, tell))
    }

    fn windows_of_dbsp(&self, path: &Path, rounds: usize, tell: &mut dyn FnMut(&str)) -> Result<Standing, BoxError> {
        let mut contest = Entries::new(&self.name(), events_of(path)?);
        contest.plain_and_pelton(path);
        contest.add("dbsp, 1 worker", path, "a step every 1,000,000 events", dbsp(OWN));
        Ok(contest.run(rounds, tell))
    }

    fn watermarks(&self, sparse: &Path, dense: &Path, rounds: usize, tell: &mut dyn FnMut(&str)) -> Standing {
        let mut contest = Entries::new(&self.name(), self.events);
        for (every, path) in [(SPARSE, sparse), (DENSE, dense)] {
            let remark = format!("blocks of {every} events, behind which windows fire");
            contest.add(&each("pelton", every), path, &remark, Box::new(|blocks| ours::pelton(blocks, WINDOW, 1)));
        }
        for every in [SPARSE, DENSE] {
            contest.add(&each("timely", every), sparse, "the epoch", timely(1, every, false));
        }
        for every in [SPARSE, DENSE] {
            contest.add(&each("renoir", every), sparse, "the watermarks' frequency", renoir(1, Keys::Stay, every));
        }
        contest.run(rounds, tell)
    }

    fn watermarks_of_dbsp(&self, path: &Path, rounds: usize, tell: &mut dyn FnMut(&str)) -> Standing {
        let mut contest = Entries::new(&self.name(), self.events);
        for every in [SPARSE, DENSE] {
            contest.add(&each("dbsp", every), path, "the step", dbsp(every));
        }
        contest.run(rounds, tell)
    }

    /// What is to be said of the standing beyond its table: what close watermarks cost each engine.
    pub fn ratios(&self, standing: &Standing) -> Vec<String> {
        if !matches!(self.kind, Kind::Watermarks | Kind::WatermarksOfDbsp) {
            return Vec::new();
        }
        let line = |engine: &str| {
            let ratio = standing.ratio(&each(engine, DENSE), &each(engine, SPARSE))?;
            Some(format!(
                "{engine}: with a watermark every {DENSE} events {ratio:.2} of the speed with one every {SPARSE}"
            ))
        };
        ["pelton", "timely", "renoir", "dbsp"].iter().filter_map(|engine| line(engine)).collect()
    }
}

fn each(engine: &str, every: usize) -> String {
    format!("{engine}, every {every}")
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn events_of(path: &Path) -> Result<u64, BoxError> {
    Ok(pelton_io::capture::Capture::open(path)?.event_count())
}

fn timely(workers: usize, epoch: usize, combine: bool) -> Run<'static> {
    let cut = Cut { epoch, batch: TIMELY_BATCH, combine };
    Box::new(move |blocks| timely_windows::run(blocks, WINDOW_NS, workers, cut))
}

fn renoir(replicas: u64, keys: Keys, watermark: usize) -> Run<'static> {
    Box::new(move |blocks| renoir_windows::run(blocks, WINDOW_NS, replicas, keys, watermark))
}

fn dbsp(step: usize) -> Run<'static> {
    Box::new(move |blocks| dbsp_windows::run(blocks, WINDOW_NS, 1, step))
}

/// A contest's rivals, each with the capture that it reads.
struct Entries<'a>(Contest<'a>);

impl<'a> Entries<'a> {
    fn new(name: &str, events: u64) -> Self {
        Self(Contest::new(name, events, size_of::<Trade>() as u64))
    }

    fn plain_and_pelton(&mut self, path: &'a Path) {
        self.add("plain loop", path, "", Box::new(|blocks| ours::plain(blocks, WINDOW)));
        self.add("pelton, 1 worker", path, "", Box::new(|blocks| ours::pelton(blocks, WINDOW, 1)));
    }

    fn add(&mut self, name: &str, path: &'a Path, remark: &str, run: Run<'a>) {
        self.0.rival(name, move || outcome(path, &run)).remark(name, remark);
    }

    fn run(self, rounds: usize, tell: &mut dyn FnMut(&str)) -> Standing {
        self.0.run(rounds, tell)
    }
}
