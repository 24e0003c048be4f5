//! What Pelton wants to reach, and whether it did.

use super::table::growth_of;
use super::{Run, array, shapes};
use crate::contest::{Standing, median};
use serde_json::Value;

/// The least speed over a rival, by what the names of the work and the rival contain. The first that fits counts;
/// other rivals are shown without a target.
const OVER_RIVALS: &[(&str, &str, f64)] = &[
    ("filter", "plain", 0.95),
    ("symbols", "plain", 1.2),
    ("symbols", "expert", 0.6),
    ("10,000,000 dense", "plain", 3.0),
    ("10,000,000 dense", "expert", 0.85),
    ("exact merge", "two threads by hand", 0.9),
    ("every event exchanged", "two threads by hand", 0.9),
    ("ring hop, runs of 64, 32 bytes", "rtrb chunk", 0.95),
    ("ring hop, one at a time, 32 bytes", "rtrb", 1.0),
    ("keyed window", "timely", 1.7),
    ("keyed window", "renoir", 4.0),
    ("keyed window", "dbsp", 10.0),
    ("keyed window", "sql", 40.0),
    ("keyed window", "flink", 20.0),
];
/// Half of the events out of order, over the same in order.
const DISORDER_MIN: f64 = 0.75;
/// Two workers that combine, over one.
const WORKERS_MIN: f64 = 1.8;
/// A key with half of the events, over even keys, on two workers that combine.
const SKEW_MIN: f64 = 0.8;
/// In block order, over unordered.
const ORDERED_MIN: f64 = 0.9;
/// Blocks of 1,000 events, over blocks of 100,000.
const BLOCKS_MIN: f64 = 0.95;
/// A stateless job's bytes per second, over those of a sequential read.
const BANDWIDTH_MIN: f64 = 0.85;
/// Nanoseconds for an event with the most keys, over those with the fewest, at most.
const GROWTH_MAX: f64 = 6.0;
/// The latency of our ring over rtrb's, at most.
const LATENCY_MAX: f64 = 1.1;
/// That of a job's hop over our bare ring's, at most.
const HOP_MAX: f64 = 1.5;
/// Nanoseconds from the push to the callback of a job of one worker, at most.
const PUSHED_NS_MAX: f64 = 300.0;
/// Milliseconds from the start of the process to the first row, at most.
const START_MS_MAX: f64 = 20.0;
/// MiB beyond state, at most.
const MEMORY_MIB_MAX: f64 = 32.0;

/// One target.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    pub(super) what: String,
    pub(super) wanted: Wanted,
    pub(super) found: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub(super) fn new(what: impl Into<String>, wanted: Wanted, found: f64) -> Self {
        Self { what: what.into(), wanted, found }
    }

    pub(super) fn is_reached(&self) -> bool {
        match self.wanted {
            Wanted::AtLeast(least) => self.found >= least,
            Wanted::AtMost(most) => self.found <= most,
        }
    }
}

/// The least speed wanted over a rival, where one is.
fn wanted_over(work: &str, rival: &str) -> Option<f64> {
    let (work, rival) = (work.to_lowercase(), rival.to_lowercase());
    let fits = |(in_work, in_rival, _): &&(&str, &str, f64)| work.contains(in_work) && rival.contains(in_rival);
    // Of small blocks the speed with large ones is the measure; work on few blocks again and again tells what there is
    // besides reading, which is wanted of nobody.
    let is_wanted = !work.contains("blocks of") && !work.contains("again and again");
    OVER_RIVALS.iter().filter(|_| is_wanted).find(fits).map(|(_, _, wanted)| *wanted)
}

/// The rival of Pelton's that `name` is compared with: with the same addition, such as `, 2 workers`, where there is
/// one, otherwise on as many workers. `None` where Pelton took no part.
pub(super) fn counterpart<'a>(standing: &'a Standing, name: &str) -> Option<&'a str> {
    let find = |wanted: &str| standing.rivals.iter().map(|rival| &*rival.name).find(|name| *name == wanted);
    if name.starts_with("pelton") {
        return find("pelton").or_else(|| find(name));
    }
    let addition = name.split_once(", ").map_or("", |(_, addition)| addition);
    if let Some(ours) = find(&format!("pelton, {addition}")) {
        return Some(ours);
    }
    let on_two = addition.starts_with("2 ").then(|| find("pelton, 2 workers")).flatten();
    on_two
        .or_else(|| find("pelton"))
        .or_else(|| standing.rivals.iter().map(|rival| &*rival.name).find(|name| name.starts_with("pelton")))
}

/// All targets that the run says something about.
pub(super) fn all(run: &Run) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut add = |what: String, wanted: Wanted, found: Option<f64>| {
        targets.extend(found.map(|found| Target::new(what, wanted, found)));
    };
    use Wanted::{AtLeast, AtMost};
    for standing in &run.standings {
        let work = &standing.work;
        for rival in standing.rivals.iter().filter(|rival| !rival.name.starts_with("pelton")) {
            let name = &rival.name;
            if let Some(wanted) = wanted_over(work, name) {
                let found = counterpart(standing, name).and_then(|ours| standing.ratio(ours, name));
                add(format!("{work}: over {name}"), AtLeast(wanted), found);
            }
        }
        let over = |ours: &str, other: &str| standing.ratio(ours, other);
        add(format!("{work}: over the same in order"), AtLeast(DISORDER_MIN), over("pelton", "pelton, in order"));
        if work.ends_with("even keys") {
            add(format!("{work}: over 1 worker"), AtLeast(WORKERS_MIN), over("pelton, 2 workers", "pelton"));
        }
        let ordered = over("pelton, 2 workers", "pelton, 2 workers, unordered");
        add(format!("{work}: in block order over unordered"), AtLeast(ORDERED_MIN), ordered);
        if work.starts_with("from start to the first row") {
            let ms = standing.ns_per_event("pelton").map(|ns| ns / 1e6);
            add(format!("{work}, in ms"), AtMost(START_MS_MAX), ms);
        }
    }
    let ns = |part: &str, rival: &str| {
        let standing = run.standings.iter().find(|standing| standing.work.contains(part))?;
        Some(standing.ns_per_event(rival)? / standing.event_bytes as f64)
    };
    let bandwidth = ns("sequential read", "mapped").zip(ns("a tenth passes", "pelton")).map(|(read, ours)| read / ours);
    add("filter, map and project: bytes over those of a sequential read".into(), AtLeast(BANDWIDTH_MIN), bandwidth);
    let often =
        ns("blocks of 100,000", "pelton").zip(ns("blocks of 1,000 ", "pelton")).map(|(seldom, often)| seldom / often);
    add("blocks of 1,000 events over blocks of 100,000".into(), AtLeast(BLOCKS_MIN), often);
    let two = |part: &str| ns(part, "pelton, 2 workers");
    let skewed = two("even keys").zip(two("one key has half of the events")).map(|(even, skewed)| even / skewed);
    add("2 workers: one key with half of the events over even keys".into(), AtLeast(SKEW_MIN), skewed);
    for growth in run.growth.iter().filter(|growth| growth["work"].as_str().is_some_and(|work| work.contains("dense")))
    {
        let what = format!("{}: growth with the number of keys", growth["work"].as_str().unwrap_or_default());
        let ours = array(&growth["rivals"]).iter().find(|rival| rival["name"] == "pelton").and_then(growth_of);
        add(what, AtMost(GROWTH_MAX), ours);
    }
    for memory in &run.memory {
        let what =
            format!("{}, {} keys: MiB beyond state", memory["work"].as_str().unwrap_or_default(), memory["keys"]);
        let bytes = memory["beyond_bytes"].as_f64();
        add(what, AtMost(MEMORY_MIB_MAX), bytes.map(|bytes| bytes / f64::from(1 << 20)));
    }
    for latency in &run.latencies {
        let of = |prefix: &str| {
            let is_it = |rival: &&Value| rival["name"].as_str().is_some_and(|name| name.starts_with(prefix));
            array(&latency["rivals"]).iter().find(is_it).map(p50s)
        };
        let work = latency["work"].as_str().unwrap_or_default();
        // Round by round, as speeds are: the machine changes between rounds.
        let over = |ours: &str, others: &str| {
            let (ours, others) = of(ours).zip(of(others))?;
            let mut ratios: Vec<f64> = ours.into_iter().zip(others).map(|(ours, others)| ours / others).collect();
            ratios.sort_by(f64::total_cmp);
            median(&ratios)
        };
        add(format!("{work}: p50 over rtrb's"), AtMost(LATENCY_MAX), over("pelton", "rtrb"));
        let hop = over("a job of 2 workers", "pelton");
        add(format!("{work}: p50 of a job's hop over the bare ring's"), AtMost(HOP_MAX), hop);
        let pushed = of("a job of 1 worker").and_then(|mut p50s| {
            p50s.sort_by(f64::total_cmp);
            median(&p50s)
        });
        add(format!("{work}: p50 of what is pushed to a job of 1 worker, in ns"), AtMost(PUSHED_NS_MAX), pushed);
    }
    targets.extend(shapes::worst(&run.shapes));
    targets
}

/// The medians of a rival's rounds, in ns, at least 1.
fn p50s(rival: &Value) -> Vec<f64> {
    array(&rival["p50_ns"]).iter().filter_map(Value::as_u64).map(|ns| ns.max(1) as f64).collect()
}

/// The targets that were reached, and those that were not.
pub(super) fn text(targets: &[Target]) -> String {
    let reached = targets.iter().filter(|target| target.is_reached()).count();
    let mut out = format!("## Targets: {reached} of {} reached\n\n", targets.len());
    for is_reached in [false, true] {
        let list: Vec<_> = targets.iter().filter(|target| target.is_reached() == is_reached).collect();
        if list.is_empty() {
            continue;
        }
        out.push_str(if is_reached { "Reached:\n\n" } else { "Not reached:\n\n" });
        for Target { what, wanted, found } in list {
            let (than, wanted) = match wanted {
                Wanted::AtLeast(least) => ("at least", least),
                Wanted::AtMost(most) => ("at most", most),
            };
            out.push_str(&format!("- {what}: {found:.2}, wanted {than} {wanted:.2}\n"));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::standing;
    use super::*;
    use serde_json::json;

    #[test]
    fn rivals_are_compared_with_the_same_number_of_workers_and_the_same_addition() {
        let names = ["pelton", "pelton, 2 workers", "pelton, in order"];
        let rivals: Vec<(&str, &[u64])> = names.iter().map(|name| (*name, &[1u64][..])).collect();
        let standing = standing("w", &rivals);
        let cases = [
            ("plain", "pelton"),
            ("plain, in order", "pelton, in order"),
            ("timely, 1 worker", "pelton"),
            ("timely, 2 workers", "pelton, 2 workers"),
            ("renoir, 2 replicas, exchange", "pelton, 2 workers"),
            ("pelton, 2 workers", "pelton"),
        ];
        for (name, expected) in cases {
            assert_eq!(counterpart(&standing, name), Some(expected), "{name}");
        }
        let rivals: [(&str, &[u64]); 2] = [("pelton's ring", &[1]), ("rtrb", &[1])];
        let standing = super::super::tests::standing("hop", &rivals);
        assert_eq!(counterpart(&standing, "rtrb"), Some("pelton's ring"));
        assert_eq!(counterpart(&super::super::tests::standing("read", &[("mapped", &[1])]), "mapped"), None);
    }

    #[test]
    fn targets_say_what_was_wanted_and_found() {
        let growth = json!({ "work": "dense", "rivals": [
            { "name": "pelton", "ns_per_event": [5.0, 10.0] }, { "name": "plain", "ns_per_event": [5.0, 20.0] } ] });
        let latency = json!({ "work": "hop", "rivals": [
            { "name": "pelton", "p50_ns": [100, 420, 450] }, { "name": "rtrb", "p50_ns": [50, 420, 150] },
            { "name": "a job of 2 workers, one hop", "p50_ns": [200, 504, 630] },
            { "name": "a job of 1 worker, pushed to", "p50_ns": [190, 400, 200] } ] });
        let memory = json!({ "work": "m", "keys": 7, "beyond_bytes": 16 << 20 });
        let even = [("pelton", &[30u64][..]), ("pelton, 2 workers", &[10]), ("pelton, 2 workers, unordered", &[8])];
        let run = Run {
            standings: vec![
                standing("100 symbols", &[("pelton", &[10]), ("plain", &[10]), ("expert", &[8]), ("odd", &[1])]),
                standing("out of order", &[("pelton", &[10]), ("pelton, in order", &[10])]),
                standing("even keys", &even),
                standing("one key has half of the events", &[("pelton", &[20]), ("pelton, 2 workers", &[20])]),
                standing("keyed window, blocks of 1,000 events", &[("pelton", &[10]), ("timely, 1 worker", &[1])]),
                standing("keyed window, blocks of 100,000 events", &[("pelton", &[9])]),
                standing("filter, few blocks again and again", &[("pelton", &[9]), ("plain", &[1])]),
                standing("keyed window, Flink", &[("pelton, 1 worker", &[1]), ("Flink SQL", &[50])]),
            ],
            growth: vec![growth],
            latencies: vec![latency],
            memory: vec![memory],
            ..Run::default()
        };
        let targets = all(&run);
        let found: Vec<_> = targets.iter().map(|target| (&*target.what, target.found, target.is_reached())).collect();
        let expected = [
            ("100 symbols: over plain", 1.0, false),
            ("100 symbols: over expert", 0.8, true),
            ("out of order: over the same in order", 1.0, true),
            ("even keys: over 1 worker", 3.0, true),
            ("even keys: in block order over unordered", 0.8, false),
            ("keyed window, Flink: over Flink SQL", 50.0, true),
            ("blocks of 1,000 events over blocks of 100,000", 0.9, false),
            ("2 workers: one key with half of the events over even keys", 0.5, false),
            ("dense: growth with the number of keys", 2.0, true),
            ("m, 7 keys: MiB beyond state", 16.0, true),
            ("hop: p50 over rtrb's", 2.0, false),
            ("hop: p50 of a job's hop over the bare ring's", 1.4, true),
            ("hop: p50 of what is pushed to a job of 1 worker, in ns", 200.0, true),
        ];
        assert_eq!(found, expected);
        let text = text(&targets);
        let first =
            "## Targets: 8 of 13 reached\n\nNot reached:\n\n- 100 symbols: over plain: 1.00, wanted at least 1.20\n";
        assert!(text.starts_with(first), "{text}");
    }
}
