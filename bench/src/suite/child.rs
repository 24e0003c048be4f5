//! What the suite runs in processes of their own: the first row after a start, and memory while a job runs.

use crate::readings::{Reading, reading_job};
use crate::work::{CountSizes, WindowRow, options};
use crate::yardstick::keyed_window;
use pelton::{BoxError, Job, Sink, Timestamp, Tumbling};
use pelton_io::Trade;
use pelton_io::capture::replay;
use serde_json::json;
use std::fs;
use std::io::{Write, stdout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// The windows of what writes its first row.
const FIRST_WINDOW: Duration = Duration::from_millis(10);

/// Does what the suite's own process asked for: `first-row pelton|plain|nothing FILE` or `memory FILE`.
///
/// # Errors
/// When that fails, or is something else.
pub fn child(arguments: &[String]) -> Result<(), BoxError> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["first-row", "pelton", path] => {
            let mut job = Job::new("first row");
            job.source("trades", replay::<Trade>(path)?)
                .key_by(|trade| trade.symbol)
                .window(Tumbling::of(FIRST_WINDOW))
                .aggregate_with("sizes", CountSizes, WindowRow::new)
                .sink("out", FirstRow::default());
            job.run(options(1))?.balance()?;
            Ok(())
        }
        ["first-row", "plain", path] => {
            keyed_window(&replay::<Trade>(path)?.into_blocks(), FIRST_WINDOW, &mut FirstRow::default())?;
            Ok(())
        }
        ["first-row", "nothing", _] => Ok(writeln!(stdout(), "nothing")?),
        ["memory", path] => memory(path),
        _ => Err(format!("no such work: {arguments:?}").into()),
    }
}

/// Writes the first row it is given to standard output, at once, and no other.
#[derive(Default)]
struct FirstRow {
    is_written: bool,
}

impl Sink<WindowRow> for FirstRow {
    fn write(&mut self, _: &[Timestamp], rows: &[WindowRow]) -> Result<usize, BoxError> {
        if let (false, Some(row)) = (self.is_written, rows.first()) {
            let mut out = stdout().lock();
            writeln!(out, "{row:?}")?;
            out.flush()?;
            self.is_written = true;
        }
        Ok(rows.len())
    }
}

/// Memory of this process that is no file's, in bytes; 0 where the system does not tell.
fn anonymous_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}

/// Runs the keyed job over readings and prints the most anonymous memory that it had, looked at every millisecond.
fn memory(path: &str) -> Result<(), BoxError> {
    let before = anonymous_bytes();
    let (most, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Acquire) {
                most.fetch_max(anonymous_bytes(), Ordering::AcqRel);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let result = replay::<Reading>(path).map(|source| reading_job(source, Duration::from_secs(3600), 1));
        is_done.store(true, Ordering::Release);
        result
    });
    let (seen, report) = result??;
    report.balance()?;
    let most = most.load(Ordering::Acquire);
    println!("{}", json!({ "before_bytes": before, "most_bytes": most, "rows": seen.count() }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_and_unknown_work_is_refused() {
        let before = anonymous_bytes();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = anonymous_bytes();
        assert!(block[1 << 20] == 1 && before > 0 && after >= before + (32 << 20), "{before} {after}");
        assert!(child(&["dance".into()]).unwrap_err().to_string().starts_with("no such work"));
    }
}
