//! What a process takes: the time to its first row, and memory beyond what its keys need.

use super::captures::{Kind, Spec, make};
use super::{Found, Suite};
use crate::contest::{Contest, Outcome};
use crate::work::CountAndSum;
use pelton::BoxError;
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A first row is a matter of milliseconds: more rounds than elsewhere.
const ROUNDS: usize = 20;
/// Events of the capture whose first row is waited for.
const EVENTS: u64 = 100_000;

/// Starts the program and waits for its first line: the time to it, and its hash.
fn first_line(program: &Path, what: &str, capture: &Path) -> Result<Outcome, BoxError> {
    let mut command = Command::new(program);
    command.args(["--child", "first-row", what]).arg(capture).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn()?;
    let mut out = BufReader::new(child.stdout.take().ok_or("no output to read")?);
    let mut line = String::new();
    out.read_line(&mut line)?;
    let elapsed = start.elapsed();
    out.read_to_string(&mut String::new())?;
    let status = child.wait()?;
    if !status.success() || line.is_empty() {
        return Err(format!("{what}: {status}, first line {line:?}").into());
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(line.as_bytes());
    Ok(Outcome { elapsed, rows: 1, hash: hasher.finish() })
}

pub(super) fn first_row(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let Some(program) = &suite.options.program else { return Ok(Found::default()) };
    let dir = tempfile::tempdir_in(&suite.options.dir)?;
    let path = dir.path().join("small.pelton");
    make(&path, &Spec::new(Kind::Trades, 100), EVENTS)?;
    let rounds = suite.options.rounds.max(ROUNDS);
    let mut standings = Vec::new();
    let works = [("from start to the first row", &["pelton", "plain"][..]), ("from start to a line", &["nothing"])];
    for (work, rivals) in works {
        let mut contest = Contest::new(work, 1, 0);
        for rival in rivals {
            contest.rival(rival, || first_line(program, rival, &path));
        }
        let standing = contest.run(rounds, &mut |_| {});
        (suite.tell)(&format!("\n{standing}"));
        standings.push(standing);
    }
    Ok(standings.into())
}

/// The key and the accumulator of a reading.
const STATE_BYTES: u64 = (size_of::<u64>() + size_of::<CountAndSum>()) as u64;

pub(super) fn memory(suite: &mut Suite<'_>) -> Result<Found, BoxError> {
    let Some(program) = &suite.options.program else { return Ok(Found::default()) };
    let mut entries = Vec::new();
    for keys in [100, 10_000, 1_000_000] {
        let path = suite.captures.get(Spec::new(Kind::Readings(1), keys), suite.tell)?;
        let output = Command::new(program).args(["--child", "memory"]).arg(&path).output()?;
        if !output.status.success() {
            return Err(format!("memory: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
        }
        let told: Value = serde_json::from_slice(&output.stdout)?;
        let number = |name: &str| told[name].as_u64().ok_or(format!("memory: no {name} in {told}"));
        let (most_bytes, before_bytes, rows) = (number("most_bytes")?, number("before_bytes")?, number("rows")?);
        let state_bytes = rows * STATE_BYTES;
        let beyond_bytes = most_bytes.saturating_sub(state_bytes);
        (suite.tell)(&format!("memory, {rows} keys: {most_bytes} bytes, {beyond_bytes} beyond keys and accumulators"));
        entries.push(json!({
            "work": "keyed window of readings",
            "keys": rows,
            "state_bytes": state_bytes,
            "before_bytes": before_bytes,
            "most_bytes": most_bytes,
            "beyond_bytes": beyond_bytes,
        }));
    }
    let mut found = Found::default();
    found.more.insert("memory".into(), entries.into());
    Ok(found)
}
