//! What a replay's counts mean, in words: what is missing after a stop.

use crate::signals::Signal;
use crate::units::grouped;
use pelton::Report;

/// What is missing in the output of a replay that was stopped; `events` is how many there were at most.
pub(crate) fn missing(report: &Report, events: u64, signal: Signal) -> String {
    format!(
        "stopped by {signal}: {} of up to {} events were read; {} rows on their way were dropped, and windows that \
         were still open are not in the output",
        grouped(report.events_read()),
        grouped(events),
        grouped(report.in_flight())
    )
}
