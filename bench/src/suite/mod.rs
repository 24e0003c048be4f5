//! The suite: contests of jobs, plain loops and expert loops over the same captures, each held equal before it counts.
//!
//! A group of contests gives one file of results, `<group>.json`, in [`SuiteOptions::out`].

mod cached;
mod captures;
mod child;
mod durable;
mod in_memory;
mod inline;
mod read;
mod shapes;
mod shapes_in_memory;
mod start;
mod tumbling;
mod windows;

pub use child::child;

use crate::contest::{Contest, Outcome, Standing, results};
use crate::machine;
use captures::Captures;
use pelton::{BoxError, Event, Report};
use pelton_io::blackhole;
use pelton_io::capture::{Replay, replay};
use pelton_io::sink::{Blackhole, Seen};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What [`suite`] measures, and where.
#[derive(Debug, Clone)]
pub struct SuiteOptions {
    /// Events of each capture, 32 bytes each; a million per second of event time.
    pub events: u64,
    /// Events of each cell of the grid of shapes; those that lie in memory are ten times as many.
    pub shape_events: u64,
    /// The letters of the grid's groups of shapes to run, such as `AC`; empty for all.
    pub shape_groups: String,
    /// Rounds of each contest, at least 1.
    pub rounds: usize,
    /// The groups to run, by [`groups`]; empty for all.
    pub only: Vec<String>,
    /// Where captures are made, in a directory of its own that is removed again. It needs room for three.
    pub dir: PathBuf,
    /// Where results are written, one file for each group.
    pub out: PathBuf,
    /// A program that gives its arguments to [`child`], for what takes a process of its own; `None` leaves that out.
    pub program: Option<PathBuf>,
}

impl Default for SuiteOptions {
    /// 2 GiB of events, 2 million for each shape, 5 rounds, all groups but those that take a process of their own.
    fn default() -> Self {
        Self {
            events: 1 << 26,
            shape_events: 2_000_000,
            shape_groups: String::new(),
            rounds: 5,
            only: Vec::new(),
            dir: std::env::temp_dir(),
            out: PathBuf::from("."),
            program: None,
        }
    }
}

/// What a group found: contests, those that are cells of the grid of shapes, and what is no contest by name.
#[derive(Default)]
struct Found {
    standings: Vec<Standing>,
    shapes: Vec<Standing>,
    more: Map<String, Value>,
}

impl From<Vec<Standing>> for Found {
    fn from(standings: Vec<Standing>) -> Self {
        Self { standings, ..Self::default() }
    }
}

type Group = fn(&mut Suite<'_>) -> Result<Found, BoxError>;

/// In the order in which they run: those that share captures stand together.
const GROUPS: &[(&str, Group)] = &[
    ("read", read::sequential),
    ("stateless", read::stateless),
    ("cached", cached::cached),
    ("symbols", tumbling::symbols),
    ("workers", tumbling::workers),
    ("order", tumbling::order),
    ("skew", tumbling::skew),
    ("blocks", tumbling::blocks),
    ("disorder", tumbling::disorder),
    ("dense", tumbling::dense),
    ("sparse", tumbling::sparse),
    ("windows", windows::windows),
    ("shapes", shapes::grid),
    ("durable", durable::durable),
    ("start", start::first_row),
    ("memory", start::memory),
];

/// The names of the groups of contests.
pub fn groups() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|(name, _)| *name)
}

/// The running suite, as its groups see it.
struct Suite<'a> {
    options: &'a SuiteOptions,
    captures: Captures,
    tell: &'a mut dyn FnMut(&str),
}

impl Suite<'_> {
    /// Whether a group of shapes is to be run.
    fn wants_shapes(&self, group: char) -> bool {
        self.options.shape_groups.is_empty() || self.options.shape_groups.contains(group)
    }

    fn run(&mut self, contest: Contest<'_>) -> Standing {
        let standing = contest.run(self.options.rounds, self.tell);
        (self.tell)(&format!("\n{standing}"));
        standing
    }
}

/// Runs the groups and writes their files; `tell` hears what is being done and how it ends. True where no rival was
/// wrong.
///
/// # Errors
/// When a group's name is unknown, a capture cannot be made or a file cannot be written. A rival that fails or is wrong
/// is no error: it has no figures.
pub fn suite(options: &SuiteOptions, tell: &mut dyn FnMut(&str)) -> Result<bool, BoxError> {
    if let Some(unknown) = options.only.iter().find(|only| !groups().any(|name| name == **only)) {
        let names: Vec<_> = groups().collect();
        return Err(format!("no group {unknown}: there are {}", names.join(", ")).into());
    }
    if let Some(unknown) = options.shape_groups.chars().find(|group| !shapes::GROUPS.contains(*group)) {
        return Err(format!("no group of shapes {unknown}: there are {}", shapes::GROUPS).into());
    }
    fs::create_dir_all(&options.out)?;
    let captures = Captures::new(&options.dir, options.events)?;
    let mut suite = Suite { options, captures, tell };
    let mut all_right = true;
    for (name, group) in GROUPS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        let machine = machine::record();
        let Found { standings, shapes, more } = group(&mut suite)?;
        let mut rivals = standings.iter().chain(&shapes).flat_map(|standing| &standing.rivals);
        all_right &= rivals.all(|rival| rival.wrong.is_none());
        let mut file = results(&machine, &standings);
        if !shapes.is_empty() {
            file["shapes"] = shapes.iter().map(Standing::to_json).collect();
        }
        for (key, value) in more {
            file[key] = value;
        }
        fs::write(options.out.join(format!("{name}.json")), format!("{file:#}\n"))?;
    }
    Ok(all_right)
}

/// A run of a job over a capture that is mapped anew.
fn job<E: Event>(
    path: &Path,
    run: impl Fn(Replay<E>) -> Result<(Seen, Report), pelton::Error>,
) -> impl FnMut() -> Result<Outcome, BoxError> {
    move || {
        let start = Instant::now();
        let (seen, report) = run(replay(path)?)?;
        let elapsed = start.elapsed();
        report.balance()?;
        Ok(Outcome { elapsed, rows: seen.count(), hash: seen.hash() })
    }
}

/// A run of a loop over a capture that is mapped anew.
fn by_hand<E: Event, C>(
    path: &Path,
    run: impl Fn(Replay<E>, &mut Blackhole) -> Result<C, BoxError>,
) -> impl FnMut() -> Result<Outcome, BoxError> {
    move || {
        Outcome::timed(|| {
            let mut sink = blackhole();
            run(replay(path)?, &mut sink)?;
            Ok((sink.seen().count(), sink.seen().hash()))
        })
    }
}

/// A number with its thousands parted: `10,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_parted() {
        assert_eq!([7, 100, 1_000, 10_000_000].map(grouped), ["7", "100", "1,000", "10,000,000"]);
    }

    #[test]
    fn an_unknown_group_is_named_with_those_there_are() {
        let options = SuiteOptions { only: vec!["dance".into()], ..SuiteOptions::default() };
        let error = suite(&options, &mut |_| {}).unwrap_err().to_string();
        assert!(error.starts_with("no group dance: there are read, stateless"), "{error}");
        let options = SuiteOptions { shape_groups: "AX".into(), ..SuiteOptions::default() };
        let error = suite(&options, &mut |_| {}).unwrap_err().to_string();
        assert_eq!(error, "no group of shapes X: there are ABCDEF");
    }
}
