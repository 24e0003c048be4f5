//! Runs the suite of contests: `cargo run --release -p pelton-bench --example suite -- --out DIR --rounds 5`
//!
//! Options: `--events N`, `--only GROUP,GROUP`, `--dir SCRATCH`; of the group `shapes`, `--shape-events N` for each cell
//! and `--shape-groups LETTERS`, such as `AC`. `--report DIR` runs nothing and writes the report of the results in a
//! directory. `--child ..` is what the suite starts itself with, for what takes a process of its own.

use pelton_bench::suite::{SuiteOptions, child, suite};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("a result was wrong: see WRONG above");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, pelton::BoxError> {
    let mut options = SuiteOptions { program: Some(std::env::current_exe()?), ..SuiteOptions::default() };
    let mut out = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--child" {
            child(&arguments.collect::<Vec<_>>())?;
            return Ok(true);
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--events" => options.events = value.parse()?,
            "--shape-events" => options.shape_events = value.parse()?,
            "--shape-groups" => options.shape_groups = value,
            "--rounds" => options.rounds = value.parse()?,
            "--only" => options.only = value.split(',').map(str::to_owned).collect(),
            "--dir" => options.dir = value.into(),
            "--out" => out = Some(value),
            "--report" => {
                pelton_bench::report::write(Path::new(&value))?;
                return Ok(true);
            }
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    options.out = out.ok_or("--out names the directory for the results")?.into();
    suite(&options, &mut |what| eprintln!("{what}"))
}
