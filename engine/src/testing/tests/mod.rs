//! The harness on planted faults, and the built-in operators under the harness.

mod aggregates;
mod broadcast;
mod combined;
mod epochs;
mod firings;
mod forks;
mod functions;
mod fuzz;
mod joins;
mod library;
mod pairs;
mod parted;
mod pieces;
mod planted;
mod scripts;
mod small;
mod state_jobs;
mod states;
mod stores;
mod ticks;
mod whole;
mod window_pieces;
mod window_rules;
mod window_ticks;
mod windows;

use super::Step;
use crate::{Record, Timestamp};
use proptest::prelude::*;

/// What the tests' operators take.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Row {
    value: i64,
    weight: i64,
    float: f64,
    key: u64,
}

const fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// How much a test does: `everyday`, or in a campaign what the environment says. Anything there but a number is refused: a
/// campaign that does less than was asked for would look like one that passed.
fn campaign(name: &str, everyday: u32) -> u32 {
    let Ok(text) = std::env::var(name) else { return everyday };
    text.parse().unwrap_or_else(|_| panic!("{name} is \"{text}\", and not a number"))
}

/// Cases of one property: few, since each runs in all modes of the harness, or as many as `PELTON_CASES` says.
fn cases(everyday: u32) -> ProptestConfig {
    let cases = campaign("PELTON_CASES", everyday);
    // The files of failures would lie beside the sources; a failure prints what to repeat.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn integers() -> impl Strategy<Value = i64> {
    prop_oneof![8 => -20i64..20, 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
}

/// Sums of these do not depend on the compiler but for the bits of NaN, which the harness takes as one.
fn floats() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-1000i32..1000).prop_map(|n| f64::from(n) / 7.0),
        1 => prop::sample::select(vec![0.0, -0.0, 1e300, -1e300, 5e-324]),
        1 => prop::sample::select(vec![f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
    ]
}

fn rows() -> impl Strategy<Value = Row> {
    (integers(), -3i64..1000, floats(), 0u64..6).prop_map(|(value, weight, float, key)| Row {
        value,
        weight,
        float,
        key,
    })
}

/// Scripts that a job might give: rows ahead of the watermark and behind it, watermarks that stay, and those that grow
/// from row to row or with nothing in between.
fn steps(most: usize) -> impl Strategy<Value = Vec<Step<Row>>> {
    let raw = prop::collection::vec((0u8..10, 0i64..25, rows()), 0..most);
    (raw, any::<bool>()).prop_map(|(raw, ends)| {
        let mut reached: Option<i64> = None;
        let mut steps: Vec<Step<Row>> = Vec::new();
        for (kind, shift, value) in raw {
            let before = reached.unwrap_or(-40);
            let watermark = |reached: Option<i64>| reached.map_or(Timestamp::MIN, at);
            steps.push(match kind {
                0..=3 => Step::Row { time: at(before + 1 + shift), value, watermark: watermark(reached) },
                4 | 5 => {
                    reached = Some(before + shift / 3);
                    Step::Row { time: at(before + 1 + shift), value, watermark: watermark(reached) }
                }
                6 | 7 => {
                    reached = Some(before + shift / 5);
                    Step::Row { time: at(before + shift / 5 - shift), value, watermark: watermark(reached) }
                }
                _ => {
                    reached = Some(before + shift);
                    Step::Watermark(watermark(reached))
                }
            });
        }
        steps.extend(ends.then_some(Step::Watermark(Timestamp::MAX)));
        steps
    })
}
