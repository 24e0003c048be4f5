//! Pelton's ring next to other queues between two threads, and its two workers next to two threads by hand.
//!
//! `QUEUES.md` beside this crate says what is compared and how each rival is configured.

#![deny(unsafe_code)]

mod event;
mod hop;
mod hops;
mod latency;
mod options;
mod queue;
mod window;

use hop::Cores;
use hops::Threads;
use options::Options;
use pelton::BoxError;
use pelton_bench::contest::{self, Standing};
use pelton_bench::machine;
use std::path::{Path, PathBuf};
use window::contests::{COMBINED, EXCHANGED};

fn main() -> Result<(), BoxError> {
    let Some(options) = Options::parse(std::env::args().skip(1))? else {
        println!("{}", options::HELP);
        return Ok(());
    };
    let Some(cores) = Cores::find() else {
        println!("This process may use fewer than two cores; nothing here can be measured.");
        return Ok(());
    };
    let machine = machine::record();
    let (standings, latencies) = run(&options, cores)?;
    if let Some(out) = &options.out {
        let mut results = contest::results(&machine, &standings);
        results["latencies"] = latencies;
        std::fs::write(out, format!("{results:#}\n"))?;
    }
    match standings.iter().flat_map(|standing| &standing.rivals).find(|rival| rival.wrong.is_some()) {
        Some(rival) => Err(format!("{} was wrong", rival.name).into()),
        None => Ok(()),
    }
}

/// Runs what is wanted and prints each table as soon as it is there.
fn run(options: &Options, cores: Cores) -> Result<(Vec<Standing>, serde_json::Value), BoxError> {
    let wanted = |name: &str| options.only.as_ref().is_none_or(|part| name.contains(part.as_str()));
    let mut tell = |line: &str| eprintln!("{line}");
    let (events, rounds) = (options.events, options.rounds);
    let mut standings: Vec<Standing> = Vec::new();
    let mut keep = |standing: Standing| {
        println!("{standing}");
        standings.push(standing);
    };
    let two = Threads::Two(cores);
    for (threads, capacity) in [(two, 1024), (two, 4096), (two, 16_384), (Threads::One, 1024)] {
        if wanted(&hops::runs_name::<2>(threads, capacity)) {
            keep(hops::runs::<2>(capacity, events, threads, rounds, &mut tell));
        }
    }
    if wanted(&hops::runs_name::<6>(two, 4096)) {
        keep(hops::runs::<6>(4096, events, two, rounds, &mut tell));
    }
    for threads in [two, Threads::One] {
        if wanted(&hops::singles_name::<2>(threads)) {
            keep(hops::singles::<2>(events, threads, rounds, &mut tell));
        }
    }
    if wanted(&hops::singles_name::<6>(two)) {
        keep(hops::singles::<6>(events, two, rounds, &mut tell));
    }
    if wanted(&hops::gathered_name::<2>(two)) {
        keep(hops::gathered::<2>(events, two, rounds, &mut tell));
    }
    if wanted(EXCHANGED) || wanted(COMBINED) {
        let capture = CaptureFile::of(options)?;
        let path = capture.path();
        window::contests::run(path, options.window, cores, rounds, wanted, &mut tell)?.into_iter().for_each(&mut keep);
    }
    let mut latencies = Vec::new();
    for rate in [1_000_000, 100_000] {
        if wanted(&hops::latencies_name(rate)) {
            let standing = hops::latencies(rate, options.latency_ms, cores, rounds, &mut tell);
            println!("{standing}");
            if let Some(wrong) = standing.rivals.iter().find_map(|rival| rival.wrong.clone()) {
                return Err(wrong.into());
            }
            latencies.push(standing.to_json());
        }
    }
    Ok((standings, latencies.into()))
}

/// The capture that is read: a given one, or one that is made and removed again.
enum CaptureFile {
    Given(PathBuf),
    Made { path: PathBuf, _dir: tempfile::TempDir },
}

impl CaptureFile {
    fn of(options: &Options) -> Result<Self, BoxError> {
        if let Some(path) = &options.capture {
            return Ok(Self::Given(path.clone()));
        }
        let dir = tempfile::Builder::new().prefix("pelton-queues-").tempdir()?;
        let path = dir.path().join("trades.pelton");
        eprintln!("generating {} trades of {} symbols", options.events, options.keys);
        pelton_bench::generate(&path, options.events, options.keys)?;
        Ok(Self::Made { path, _dir: dir })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) | Self::Made { path, .. } => path,
        }
    }
}
