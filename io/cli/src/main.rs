//! The `pelton` command: captures in, results out.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 130 and 143 stopped by SIGINT and SIGTERM. Results go
//! to standard output or files, everything else to standard error.

#![forbid(unsafe_code)]

mod args;
mod bench;
mod convert;
mod demo;
mod disk;
mod error;
mod generate;
mod input;
mod inspect;
mod notes;
mod output;
mod progress;
mod replay;
mod signals;
mod state;
mod temporary;
mod units;

use args::{Bench, Cli, Command, Generate};
use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Convert(args) => convert::run(*args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::State(args) => state::run(&args),
        Command::Generate { what: Generate::Trades(args) } => generate::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Bench { what: Bench::Throughput(args) } => bench::throughput(args),
        Command::Bench { what: Bench::Latency(args) } => bench::latency(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
