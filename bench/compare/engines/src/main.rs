//! Pelton next to other stream-processing engines: same capture, same rows, in turns.

mod contests;
mod dbsp_windows;
mod ours;
mod renoir_windows;
mod timely_windows;
mod work;

use clap::{Args, Parser, Subcommand};
use pelton::{BoxError, CheckpointOptions};
use pelton_bench::{contest, machine};
use pelton_io::Trade;
use pelton_io::capture::{CaptureWriter, WriterOptions};
use pelton_io::generate::{TradeOptions, symbol_names, trades};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// DBSP's own, which most engines' benchmarks use; all rivals here do.
#[global_allocator]
static ALLOCATOR: dbsp::mimalloc::MiMalloc = dbsp::mimalloc::MiMalloc;

/// Runs Pelton in turns with the loop written by hand and with other engines, on the same capture.
///
/// A rival whose rows are not those of the loop gets no figures.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Writes a capture of made-up trades, a million per second of event time.
    Generate {
        capture: PathBuf,
        #[arg(long, default_value_t = 1 << 25)]
        events: u64,
        #[arg(long, default_value_t = 10_000)]
        keys: u32,
        /// Events of a block.
        #[arg(long, default_value_t = 4096)]
        block: u32,
    },
    /// Writes the capture's trades as they are in memory, 32 little-endian bytes each, without anything between them.
    Export { capture: PathBuf, raw: PathBuf },
    /// Runs Pelton once; prints the time and what came out as JSON.
    Once {
        capture: PathBuf,
        #[arg(long, default_value_t = 1)]
        workers: usize,
        /// The window in nanoseconds.
        #[arg(long, default_value_t = 1_000_000_000)]
        window_ns: u64,
        /// Keeps state in this directory, with a checkpoint each so many milliseconds.
        #[arg(long, requires = "checkpoint_ms")]
        state: Option<PathBuf>,
        #[arg(long, requires = "state")]
        checkpoint_ms: Option<u64>,
    },
    /// Prints the machine's record as JSON.
    Machine,
}

/// What the contests do.
#[derive(Args)]
pub struct Options {
    /// Trades of a contest.
    #[arg(long, default_value_t = 1 << 25)]
    events: u64,
    /// Trades of the contests with dbsp, which takes longer.
    #[arg(long, default_value_t = 1 << 22)]
    dbsp_events: u64,
    /// Numbers of symbols.
    #[arg(long, value_delimiter = ',', default_value = "100,10000")]
    keys: Vec<u32>,
    /// Rounds of each contest.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Runs only the contests whose names contain this.
    #[arg(long)]
    only: Option<String>,
    /// A capture of trades in order to use for the windows' contests; the others make their own.
    #[arg(long)]
    capture: Option<PathBuf>,
    /// Where captures are made, in a directory that is removed again.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Writes the results file.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(command) => command.run(),
        None => run(&cli.options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engines: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Command {
    fn run(&self) -> Result<(), BoxError> {
        match self {
            Self::Generate { capture, events, keys, block } => generate(capture, *events, *keys, *block),
            Self::Export { capture, raw } => export(capture, raw),
            Self::Once { capture, workers, window_ns, state, checkpoint_ms } => {
                let window = Duration::from_nanos(*window_ns);
                let mut options = pelton_bench::work::options(*workers);
                if let (Some(state), Some(ms)) = (state, checkpoint_ms) {
                    let checkpoints = CheckpointOptions::in_directory(state).every(Duration::from_millis(*ms));
                    options = options.checkpoints(checkpoints);
                }
                let (elapsed, rows) =
                    work::timed(capture, |blocks| ours::pelton_with(blocks, window, options.clone()))?;
                let work::Summary { rows, trades, hash } = work::Summary::of(&rows);
                let elapsed_ns = elapsed.as_nanos() as u64;
                println!("{}", json!({"elapsed_ns": elapsed_ns, "rows": rows, "trades": trades, "hash": hash}));
                Ok(())
            }
            Self::Machine => {
                println!("{}", machine::record());
                Ok(())
            }
        }
    }
}

/// Writes a capture of made-up trades, a million per second of event time, none out of order.
///
/// # Errors
/// When it cannot be written.
pub fn generate(path: &Path, events: u64, keys: u32, block_events: u32) -> Result<(), BoxError> {
    let options = WriterOptions { symbols: symbol_names(keys).collect(), block_events, ..WriterOptions::default() };
    let mut writer = CaptureWriter::<Trade>::create(path, options)?;
    let mut trades = trades(&TradeOptions { events, keys, ..TradeOptions::default() });
    let mut batch = Vec::with_capacity(4096);
    loop {
        batch.clear();
        batch.extend(trades.by_ref().take(4096));
        if batch.is_empty() {
            writer.finish()?;
            return Ok(());
        }
        writer.extend(&batch)?;
    }
}

fn export(capture: &Path, raw: &Path) -> Result<(), BoxError> {
    let blocks = work::open(capture)?;
    let mut reader = blocks.reader()?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(raw)?);
    for block in 0..blocks.blocks().len() {
        reader.load(block)?;
        out.write_all(bytemuck::cast_slice(reader.events()))?;
    }
    out.flush()?;
    Ok(())
}

fn run(options: &Options) -> Result<(), BoxError> {
    if options.rounds == 0 || options.keys.contains(&0) {
        return Err("rounds and keys must be at least 1".into());
    }
    let machine = machine::record();
    let made = tempfile::Builder::new().prefix("pelton-engines-").tempdir_in(&options.dir)?;
    let mut standings = Vec::new();
    for contest in contests::all(options) {
        if options.only.as_ref().is_some_and(|only| !contest.name().contains(only.as_str())) {
            continue;
        }
        let standing = contest.run(options, made.path(), &mut |what| eprintln!("{what}"))?;
        println!("{standing}");
        for line in contest.ratios(&standing) {
            println!("{line}");
        }
        standings.push(standing);
        if let Some(out) = &options.out {
            // After each contest: what was measured is not lost.
            std::fs::write(out, contest::results(&machine, &standings).to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::renoir_windows::Keys;
    use crate::timely_windows::Cut;

    #[test]
    fn all_engines_make_the_same_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trades.pelton");
        // 6 windows and a part of one.
        generate(&path, 65_000, 50, 1_000).unwrap();
        let (window_ns, window) = (10_000_000, Duration::from_millis(10));
        let plain = work::outcome(&path, |blocks| ours::plain(blocks, window)).unwrap();
        assert_eq!(plain.rows, 7 * 50);
        let check = |name: &str, found: Result<pelton_bench::contest::Outcome, BoxError>| {
            let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((found.rows, found.hash), (plain.rows, plain.hash), "{name}");
        };
        for workers in [1, 2] {
            check("pelton", work::outcome(&path, |blocks| ours::pelton(blocks, window, workers)));
            for (epoch, batch, combine) in [(1_000, 4096, false), (3_333, 500, true), (1_000_000, 4096, false)] {
                let cut = Cut { epoch, batch, combine };
                check("timely", work::outcome(&path, |blocks| timely_windows::run(blocks, window_ns, workers, cut)));
            }
        }
        for keys in [Keys::Stay, Keys::Exchange] {
            check("renoir", work::outcome(&path, |blocks| renoir_windows::run(blocks, window_ns, 1, keys, 700)));
        }
        for step in [1_700, 1_000_000] {
            check("dbsp", work::outcome(&path, |blocks| dbsp_windows::run(blocks, window_ns, 1, step)));
        }
    }

    #[test]
    fn an_export_holds_the_trades_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (path, raw) = (dir.path().join("trades.pelton"), dir.path().join("trades.raw"));
        generate(&path, 1_500, 3, 1_000).unwrap();
        export(&path, &raw).unwrap();
        let bytes = std::fs::read(raw).unwrap();
        let made: Vec<Trade> = trades(&TradeOptions { events: 1_500, keys: 3, ..TradeOptions::default() }).collect();
        assert_eq!(bytes, bytemuck::cast_slice::<Trade, u8>(&made));
    }
}
