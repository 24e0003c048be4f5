//! What a job did, with counts that add up.

use crate::runtime::checkpointer::CheckpointReport;
use crate::runtime::metrics::{StepKind, StepReport};
use std::fmt;
use std::time::Duration;

/// What a job has done so far, or did.
#[derive(Debug, Clone)]
pub struct Report {
    /// The job's name.
    pub job: String,
    /// The number of workers.
    pub workers: usize,
    /// The time since the job started.
    pub elapsed: Duration,
    /// Sources, keyed steps and sinks, in the order they were declared.
    pub steps: Vec<StepReport>,
    /// What did not go as wished and did not stop the job, such as a core that refused a worker.
    pub warnings: Vec<String>,
    /// Whether the job was stopped at once, so that rows on their way were given up.
    pub halted: bool,
    /// Of a job that takes checkpoints, how it went on and what was committed.
    pub recovery: Option<RecoveryReport>,
}

/// How a job that takes checkpoints went on, and what was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The checkpoint that it went on from. Counts go on from there as well.
    pub resumed_from: Option<u64>,
    /// Whether the job had come to its end there, so that there was nothing to do.
    pub was_finished: bool,
    /// Whether it was stopped at a savepoint, from which it can go on.
    pub at_savepoint: bool,
    /// What was committed.
    pub checkpoints: CheckpointReport,
    /// What was found in the state and did not stop the job, such as an unfinished checkpoint.
    pub remarks: Vec<String>,
}

impl Report {
    /// The counts of the step with this name.
    pub fn step(&self, name: &str) -> Option<&StepReport> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Events that the sources read.
    pub fn events_read(&self) -> u64 {
        self.of_kind(StepKind::Source).map(|step| step.rows_in).sum()
    }

    /// Events read for each second so far.
    pub fn events_per_second(&self) -> f64 {
        self.events_read() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Rows that were given to a step and not taken: on their way, or given up by a halt.
    pub fn in_flight(&self) -> u64 {
        self.steps.iter().map(|step| step.sent.saturating_sub(step.rows_in)).sum()
    }

    /// Checks that every event is accounted for: of each source, read = taken + rejected, and those that jumped are part
    /// of what was taken; of each step and sink, given = taken, and late is part of taken.
    ///
    /// # Errors
    /// The first step whose counts do not add up, in words. While a job runs, or after a halt, rows
    /// on their way are missing.
    pub fn balance(&self) -> Result<(), String> {
        for step in &self.steps {
            let wrong = match step.kind {
                StepKind::Source if step.rows_in != step.rows_out + step.rejected => "read = taken + rejected",
                StepKind::Source if step.jumped > step.rows_out => "jumped <= taken",
                StepKind::Keyed | StepKind::Sink if step.sent != step.rows_in => "given = taken",
                StepKind::Keyed if step.late > step.rows_in => "late <= taken",
                StepKind::Sink if step.rows_in != step.rows_out => "taken = written",
                _ => continue,
            };
            return Err(format!("{wrong} does not hold: {step:?}"));
        }
        Ok(())
    }

    fn of_kind(&self, kind: StepKind) -> impl Iterator<Item = &StepReport> {
        self.steps.iter().filter(move |step| step.kind == kind)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} events in {:.3} s, {:.2} M events/s, {} worker{}",
            self.job,
            self.events_read(),
            self.elapsed.as_secs_f64(),
            self.events_per_second() / 1e6,
            self.workers,
            if self.workers == 1 { "" } else { "s" },
        )?;
        let width = self.steps.iter().map(|step| step.name.len()).max().unwrap_or(0).max(4);
        writeln!(
            f,
            "{:width$}  {:>14} {:>14} {:>10} {:>10} {:>10} {:>10}",
            "step", "in", "out", "late", "rejected", "behind", "jumped"
        )?;
        for step in &self.steps {
            writeln!(
                f,
                "{:width$}  {:>14} {:>14} {:>10} {:>10} {:>10} {:>10}",
                step.name, step.rows_in, step.rows_out, step.late, step.rejected, step.behind, step.jumped
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if let Some(recovery) = &self.recovery {
            writeln!(f, "{recovery}")?;
        }
        match self.balance() {
            Ok(()) => write!(f, "every event is accounted for"),
            Err(_) if self.halted => write!(f, "stopped at once: {} rows on their way were given up", self.in_flight()),
            Err(wrong) => write!(f, "the counts do not add up: {wrong}"),
        }
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CheckpointReport { epoch, taken, given_up, log_bytes, .. } = self.checkpoints;
        match (self.resumed_from, self.was_finished) {
            (Some(from), true) => write!(f, "the job had finished at checkpoint {from}")?,
            (Some(from), false) => write!(f, "went on from checkpoint {from}, {taken} taken")?,
            (None, _) => write!(f, "{taken} checkpoints taken")?,
        }
        if self.at_savepoint {
            write!(f, ", stopped at savepoint {epoch}")?;
        }
        if given_up > 0 {
            write!(f, ", {given_up} given up for want of room")?;
        }
        write!(f, ", log of {log_bytes} bytes")?;
        self.remarks.iter().try_for_each(|remark| write!(f, "\nnote: {remark}"))
    }
}
