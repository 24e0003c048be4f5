//! What a replay's counts mean, in words: a legend, warnings where rows are fewer than one would
//! think, and what is missing after a stop.

use crate::args::Replay;
use crate::input::Input;
use crate::signals::Signal;
use crate::units::grouped;
use pelton::{Report, StepKind, StepReport, Timestamp};
use std::ops::RangeInclusive;

/// One line for the columns of the report that do not explain themselves.
pub(crate) const LEGEND: &str = "late: came after their window had closed; rejected: their times are outside the \
     accepted range; behind: older than the watermark when they were read, which alone does not make them late; \
     jumped: so far ahead of the events before them that time was not moved on";

/// The times that a replay accepts, 1900-01-01 to 2200-01-01: others are taken for damage.
pub(crate) const ACCEPTED: RangeInclusive<Timestamp> =
    Timestamp::from_nanos(-2_208_988_800_000_000_000)..=Timestamp::from_nanos(7_258_118_400_000_000_000);

/// What to say of a replay that ran to its end.
pub(crate) fn warnings(report: &Report, inputs: &[Input], args: &Replay) -> Vec<String> {
    let mut warnings: Vec<String> = inputs
        .iter()
        .filter_map(|input| {
            let warning = of_input(input, report.step(&input.name)?, args)?;
            Some(format!("warning: {}: {warning}", input.path().display()))
        })
        .collect();
    let sum = |kind, count: fn(&StepReport) -> u64| -> u64 {
        report.steps.iter().filter(|step| step.kind == kind).map(count).sum()
    };
    if sum(StepKind::Source, |step| step.rows_out) > 0 && sum(StepKind::Keyed, |step| step.rows_in) == 0 {
        let mut conditions: Vec<_> =
            inputs.iter().flat_map(|input| &input.conditions).map(ToString::to_string).collect();
        conditions.sort();
        conditions.dedup();
        warnings.push(format!("warning: no event meets the conditions: {}", conditions.join(", ")));
    }
    let jumped = sum(StepKind::Source, |step| step.jumped);
    if jumped > 0 {
        warnings.push(format!(
            "warning: {} of {} events jumped ahead by more than {} and closed no bar: --jump-max changes how far they \
             may",
            grouped(jumped),
            grouped(report.events_read()),
            args.jump_max
        ));
    }
    let late = sum(StepKind::Keyed, |step| step.late);
    if late > 0 && args.late.is_none() {
        warnings.push(format!(
            "{late} events came after their window had closed and are in no bar: --late FILE keeps them, a larger \
             --out-of-orderness waits for them"
        ));
    }
    warnings
}

fn of_input(input: &Input, source: &StepReport, args: &Replay) -> Option<String> {
    let Some((first, last)) = input.time_range() else {
        return Some(format!("the {} has no events", input.kind()));
    };
    if source.rows_in == 0 {
        let asked = match (args.from, args.until) {
            (Some(from), Some(until)) => format!("from {from} on and before {until}"),
            (Some(from), None) => format!("from {from} on"),
            (None, Some(until)) => format!("before {until}"),
            (None, None) => return None,
        };
        return Some(format!(
            "no event is left: the {}'s times run from {first} to {last}, but only times {asked} were asked for",
            input.kind()
        ));
    }
    if source.rejected == 0 {
        return None;
    }
    let how_many = match source.rejected == source.rows_in {
        true => format!("all {} events", grouped(source.rejected)),
        false => format!("{} of {} events", grouped(source.rejected), grouped(source.rows_in)),
    };
    let (start, end) = (ACCEPTED.start(), ACCEPTED.end());
    Some(format!(
        "{how_many} were rejected and are in no bar: the accepted times run from {start} to {end}, the \
         {}'s from {first} to {last}",
        input.kind()
    ))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accepted_times_are_what_their_names_say() {
        let ends = [*ACCEPTED.start(), *ACCEPTED.end()].map(|time| time.to_string());
        assert_eq!(ends, ["1900-01-01T00:00:00Z", "2200-01-01T00:00:00Z"]);
    }
}
