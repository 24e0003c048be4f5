//! Jobs that are killed at random moments and given again until they end, with the files of a run that nobody disturbed.
//!
//! This program is both sides: it starts itself with the name of a job and its directories, kills that, and starts it
//! again. So it has its own `main`, which takes the names of tests to run like any program of tests, and `PELTON_KILLS` as
//! the number of kills.

mod binance;
mod campaign;
mod market;
mod process;

use std::path::Path;

type Test = (&'static str, fn());

const TESTS: [Test; 2] = [
    ("market::a_job_of_many_steps_that_is_killed_anywhere_ends_with_the_same_files", market::test),
    ("binance::each_trade_of_a_job_that_is_killed_anywhere_is_there_once", binance::test),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, inputs, place, workers] = &*arguments
        && flag == process::FLAG
    {
        let job = match &**name {
            market::NAME => market::job,
            binance::NAME => binance::job,
            _ => panic!("there is no job {name}"),
        };
        return process::run(job, Path::new(inputs), Path::new(place), workers.parse().unwrap());
    }
    let lists = arguments.iter().any(|argument| argument == "--list");
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    for (name, test) in TESTS {
        if filters.is_empty() || filters.iter().any(|filter| name.contains(&**filter)) {
            println!("{name}{}", if lists { ": test" } else { "" });
            if !lists {
                test();
            }
        }
    }
}
