//! The progress bar: on standard error, and only where that is a terminal.

use crate::units::{grouped, short_duration};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pelton::{Handle, Report, StepKind, Timestamp};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// How often a running job is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// A bar over so many units, or nothing where nobody would see it.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
}

impl Progress {
    pub(crate) fn new(total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total.max(1)), ProgressDrawTarget::stderr());
            let template = "{elapsed_precise} [{bar:30}] {percent:>3}% {msg}";
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, start: Instant::now() }
    }

    pub(crate) const fn is_visible(&self) -> bool {
        self.bar.is_some()
    }

    /// Shows that `done` units, and `events` events, are done.
    pub(crate) fn show(&self, done: u64, events: u64, more: &str) {
        if let Some(bar) = &self.bar {
            let rate = events as f64 / self.start.elapsed().as_secs_f64().max(1e-9);
            bar.set_position(done.min(bar.length().unwrap_or(u64::MAX)));
            bar.set_message(format!("{} events, {:.2} M/s{more}{}", grouped(events), rate / 1e6, memory()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Resident memory, as it is shown; nothing where the system does not say.
fn memory() -> String {
    resident_bytes().map(|bytes| format!(", {} MiB resident", bytes >> 20)).unwrap_or_default()
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// How a running replay is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplayView {
    /// Events to read, as far as known before.
    pub(crate) events: u64,
    /// The first event's time, where there is one.
    pub(crate) first: Option<Timestamp>,
    /// Times the recorded speed; `None` for as fast as possible.
    pub(crate) times: Option<f64>,
    pub(crate) out_of_orderness: Duration,
}

impl ReplayView {
    /// Shows the job until it ends.
    pub(crate) fn follow(&self, handle: &Handle) {
        let progress = Progress::new(self.events);
        while progress.is_visible() && !handle.is_finished() {
            let report = handle.report();
            let read = report.events_read();
            let lag = self.lag_nanos(&report).map(|nanos| format!(", lag {}", short_duration(nanos)));
            progress.show(read, read, &lag.unwrap_or_default());
            std::thread::sleep(EVERY);
        }
    }

    /// How far the job's watermark is behind: behind the clock when replaying at a given speed,
    /// otherwise behind the largest time that was read.
    fn lag_nanos(&self, report: &Report) -> Option<u64> {
        let known = |time: Timestamp| (time > Timestamp::MIN && time < Timestamp::MAX).then_some(time);
        let watermarks = |kind| {
            report.steps.iter().filter(move |step| step.kind == kind).filter_map(move |step| known(step.watermark))
        };
        let watermark = watermarks(StepKind::Keyed).min()?;
        let now = match (self.times, self.first) {
            (Some(times), Some(first)) => {
                let passed = report.elapsed.as_nanos() as f64 * times;
                first.plus_nanos(passed as i64)
            }
            _ => watermarks(StepKind::Source).max()? + self.out_of_orderness,
        };
        u64::try_from(now.as_nanos().saturating_sub(watermark.as_nanos())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_known_where_the_system_tells() {
        if !std::path::Path::new("/proc/self/status").exists() {
            println!("skipped resident_memory_is_known_where_the_system_tells: there is no /proc");
            return;
        }
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
    }
}
