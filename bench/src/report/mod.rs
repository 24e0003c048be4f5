//! The report of a run: reads all results in a directory and writes `README.md` and `chart.svg` beside them.
//!
//! Any `*.json` there may have `contests`, `shapes`, `latencies`, `growth`, `memory` and `results`; what else it has is
//! passed over. Files are read in the order of the suite, then of their names.

mod chart;
mod shapes;
mod table;
mod targets;

use crate::contest::Standing;
use pelton::BoxError;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Files by their stems that come before others.
const FIRST: &[&str] = &[
    "read",
    "stateless",
    "cached",
    "symbols",
    "workers",
    "order",
    "skew",
    "blocks",
    "disorder",
    "dense",
    "sparse",
    "shapes",
    "start",
    "memory",
    "engines",
    "flink",
    "queues",
    "throughput",
    "latency",
];

/// Everything that was measured in a run.
#[derive(Debug, Default)]
struct Run {
    /// The first machine record.
    machine: Value,
    standings: Vec<Standing>,
    /// The cells of the grid of shapes.
    shapes: Vec<Standing>,
    /// `{"work", "rate_per_s", "rivals": [{"name", "wrong", "p50_ns", "p99_ns", "p999_ns"}]}`; without a rate each event
    /// waits for the one before.
    latencies: Vec<Value>,
    /// `{"work", "keys", "rivals": [{"name", "ns_per_event"}]}`
    growth: Vec<Value>,
    /// `{"work", "keys", "state_bytes", "most_bytes", "beyond_bytes"}`
    memory: Vec<Value>,
    /// Entries of [`crate::Results`].
    entries: Vec<Value>,
}

impl Run {
    fn add(&mut self, file: &Value) -> Result<(), String> {
        if self.machine.is_null() {
            self.machine = file["machine"].clone();
        }
        for (name, standings) in [("contests", &mut self.standings), ("shapes", &mut self.shapes)] {
            for contest in array(&file[name]) {
                let standing = Standing::from_json(contest).ok_or(format!("no contest: {contest}"))?;
                standings.push(standing);
            }
        }
        self.latencies.extend_from_slice(array(&file["latencies"]));
        self.growth.extend_from_slice(array(&file["growth"]));
        self.memory.extend_from_slice(array(&file["memory"]));
        self.entries.extend_from_slice(array(&file["results"]));
        Ok(())
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Reads all results in `dir` and writes the report there.
///
/// # Errors
/// When there are no results, a file cannot be read or written, or holds a contest that is none.
pub fn write(dir: &Path) -> Result<(), BoxError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(format!("{}: there are no results", dir.display()).into());
    }
    paths.sort_by_key(|path| (place(path), path.clone()));
    let mut run = Run::default();
    for path in &paths {
        let named = |error: String| format!("{}: {error}", path.display());
        let file = serde_json::from_str(&fs::read_to_string(path)?).map_err(|error| named(error.to_string()))?;
        run.add(&file).map_err(named)?;
    }
    fs::write(dir.join("chart.svg"), chart::draw(&run.standings))?;
    fs::write(dir.join("README.md"), text(&run))?;
    Ok(())
}

fn place(path: &Path) -> usize {
    let stem = path.file_stem().unwrap_or_default();
    FIRST.iter().position(|first| stem == *first).unwrap_or(FIRST.len())
}

fn text(run: &Run) -> String {
    let mut out = format!("# Benchmark run\n\n{}\n", table::machine(&run.machine));
    out.push_str(
        "All rivals of a contest did the same work on the same bytes, in turns, and gave the same rows before a figure\n\
         counted. Figures are medians of the rounds with the slowest and the fastest one. The last column is Pelton's\n\
         speed over the rival's, the median over the rounds: above 1 Pelton is faster.\n\n\
         ![Speed by work](chart.svg)\n\n",
    );
    out.push_str(&targets::text(&targets::all(run)));
    if !run.shapes.is_empty() {
        out.push_str(&shapes::table(&run.shapes));
    }
    if !run.standings.is_empty() {
        out.push_str("## Contests\n\n");
    }
    out.extend(run.standings.iter().map(table::contest));
    for (title, values, table) in [
        ("Latencies", &run.latencies, table::latency as fn(&Value) -> String),
        ("Growth with the number of keys", &run.growth, table::growth),
    ] {
        if !values.is_empty() {
            out.push_str(&format!("## {title}\n\n"));
            out.extend(values.iter().map(table));
        }
    }
    if !run.memory.is_empty() {
        out.push_str(&table::memory(&run.memory));
    }
    if !run.entries.is_empty() {
        out.push_str(&table::entries(&run.entries));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::{Rival, results};
    use serde_json::json;

    pub(super) fn standing(work: &str, rivals: &[(&str, &[u64])]) -> Standing {
        let rival = |(name, ms): &(&str, &[u64])| Rival {
            name: (*name).into(),
            runs_ns: ms.iter().map(|ms| ms * 1_000_000).collect(),
            ..Rival::default()
        };
        Standing { work: work.into(), events: 1_000_000, event_bytes: 32, rivals: rivals.iter().map(rival).collect() }
    }

    fn report(files: &[(&str, Value)]) -> Result<(String, String), String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, file) in files {
            fs::write(dir.path().join(name), file.to_string()).unwrap();
        }
        write(dir.path()).map_err(|error| error.to_string())?;
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        Ok((read("README.md"), read("chart.svg")))
    }

    #[test]
    fn the_report_has_every_contest_and_whatever_else_there_is() {
        let machine = json!({ "cpu": "A <fast> one", "cores": 2, "memory_bytes": 25_769_803_776u64 });
        let mut wrong = standing("hop", &[("pelton", &[10]), ("other", &[])]);
        wrong.rivals[1].wrong = Some("expected 1 rows, found 2 | rows".into());
        wrong.rivals[0].remark = "as it comes".into();
        let contest = standing("keyed window", &[("pelton", &[10, 20, 30]), ("plain", &[20, 20, 20])]);
        let mut queues = results(&machine, &[wrong]);
        queues["latencies"] = json!([{ "work": "hop", "rate_per_s": 1_000_000, "rivals": [
            { "name": "pelton", "wrong": null, "p50_ns": [300, 100, 200], "p99_ns": [2000], "p999_ns": [] } ] }]);
        let mut dense = results(&machine, &[]);
        dense["growth"] = json!([{ "work": "dense", "keys": [100, 10_000_000], "rivals": [
            { "name": "pelton", "ns_per_event": [5.0, 20.0] }, { "name": "plain", "ns_per_event": [5.0, null] } ] }]);
        dense["memory"] = json!([{ "work": "w", "keys": 100, "state_bytes": 2400, "most_bytes": 3 << 20,
            "before_bytes": 1 << 20, "beyond_bytes": 2 << 20 }]);
        let throughput = json!({ "machine": {}, "results": [
            { "name": "ring, one at a time", "events_per_s": 2e6, "percentiles_ns": { "p50": 10, "max": 20_000 } } ] });
        let files = [
            ("queues.json", queues),
            ("symbols.json", results(&machine, &[contest])),
            ("dense.json", dense),
            ("throughput.json", throughput),
            ("notes.json", json!([1, 2])),
        ];
        let (text, chart) = report(&files).unwrap();
        let has = |line: &str| assert!(text.contains(line), "{line} is not in\n{text}");
        has("A <fast> one, 2 cores, 24 GiB");
        has("| pelton | 50.0 | 33.3..100.0 | 20.0 | 1.60 | 1.00 | |");
        has("| plain | 50.0 | 50.0..50.0 | 20.0 | 1.60 | 1.00 | |");
        has("| other | | | | | | **wrong**: expected 1 rows, found 2 \\| rows |");
        has("| pelton | 100.0 | 100.0..100.0 | 10.0 | 3.20 | 1.00 | as it comes |");
        has("| pelton | 0.20 (0.10..0.30) | 2.00 (2.00..2.00) | |");
        has("| pelton | 5.0 | 20.0 | 4.00 |");
        has("| plain | 5.0 | | |");
        has("| w | 100 | 0.0 | 3.0 | 2.0 |");
        has("| ring, one at a time | 2.00 | | p50 0.0, max 20.0 |");
        assert!(text.find("keyed window").unwrap() < text.find("### hop").unwrap(), "symbols come before queues");
        assert!(chart.contains("keyed window") && chart.contains("hop"));
    }

    #[test]
    fn a_directory_without_results_and_a_contest_that_is_none_are_errors() {
        assert!(report(&[]).unwrap_err().ends_with("there are no results"));
        let error = report(&[("x.json", json!({ "contests": [{ "work": 1 }] }))]).unwrap_err();
        assert!(error.contains("x.json: no contest"), "{error}");
    }
}
