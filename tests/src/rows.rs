//! Rows with their times, and how they are compared.

use crate::slow::Placed;
use pelton::{Collected, Record};
use std::fmt::Debug;

/// The rows that a sink collected, with their times in nanoseconds.
pub fn rows_of<T: Record>(collected: &Collected<T>) -> Vec<(i64, T)> {
    collected.take().into_iter().map(|(time, row)| (time.as_nanos(), row)).collect()
}

/// The rows of a plain loop, in the same form.
pub fn rows_of_model<T: Copy>(placed: &[Placed<T>]) -> Vec<(i64, T)> {
    placed.iter().map(|placed| (placed.time, placed.row)).collect()
}

/// Panics with the first row that differs.
#[track_caller]
pub fn assert_same<T: PartialEq + Debug>(found: &[T], expected: &[T], what: &str) {
    if let Some(at) = (0..found.len().min(expected.len())).find(|&i| found[i] != expected[i]) {
        panic!("{what}: row {at} is {:?}, expected {:?}", found[at], expected[at]);
    }
    assert_eq!(found.len(), expected.len(), "rows of {what}");
}
