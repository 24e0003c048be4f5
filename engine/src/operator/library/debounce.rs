//! Debouncing: the last row of a key, once the key has been quiet for some time.
//!
//! **What is emitted.** Rows of a key no further apart in event time than the quiet time `d` are a burst. Of each burst the
//! row with the largest time leaves; of several of that time, the last in the job's order. It leaves when the watermark
//! comes to `d` behind it, less 1 ns, and has that time. A burst is the same whatever the order in which its rows came.
//!
//! **Behind the watermark.** A row that belongs to a burst that is not over counts, wherever it lies. One whose burst is
//! over, because the watermark has come to the end of the burst that the row would be part of, is late.
//!
//! **End of the input.** All bursts are over and leave.
//!
//! **State.** Bursts that are not over.
//!
//! That is a [`Session`] with the quiet time as its gap, whose aggregate keeps the last row.

use crate::Session;
use crate::operator::library::sample::OneRow;
use crate::{Record, Windows};
use std::time::Duration;

/// The windows and the aggregate.
pub(crate) fn debounce<T: Record>(quiet: Duration) -> (Windows<T>, OneRow<T>) {
    (Session::gap(quiet).into(), OneRow::last())
}
