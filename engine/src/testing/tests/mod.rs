//! The harness on planted faults, and the built-in operators under the harness.

mod aggregates;
mod functions;
mod pieces;
mod planted;
mod scripts;
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

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// Cases of one property: few, since each runs in all modes of the harness.
fn cases(cases: u32) -> ProptestConfig {
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

/// Scripts that a job might give: times ahead of the watermark, some behind, watermarks that may stay.
fn steps(most: usize) -> impl Strategy<Value = Vec<Step<Row>>> {
    let raw = prop::collection::vec((0u8..10, 0i64..25, rows()), 0..most);
    (raw, any::<bool>()).prop_map(|(raw, ends)| {
        let mut reached = -40i64;
        let mut steps: Vec<Step<Row>> = Vec::new();
        for (kind, shift, value) in raw {
            steps.push(match kind {
                0..=5 => Step::Row { time: at(reached + 1 + shift), value },
                6 | 7 => {
                    reached += shift / 5;
                    Step::Behind { time: at(reached - shift), value, watermark: at(reached) }
                }
                _ => {
                    reached += shift;
                    Step::Watermark(at(reached))
                }
            });
        }
        steps.extend(ends.then_some(Step::Watermark(Timestamp::MAX)));
        steps
    })
}
