//! What Pelton wants to reach, and whether it did.

use super::table::growth_of;
use super::{Run, array};
use crate::contest::Standing;
use serde_json::Value;

/// The core runs at the speed of the plain loop.
const PLAIN_MIN: f64 = 1.0;
/// The expert knows the keys and the events beforehand.
const EXPERT_MIN: f64 = 0.9;
/// Every peer, other engines and queues, is slower.
const PEER_MIN: f64 = 1.0;
/// Half of the events out of order cost little.
const DISORDER_MIN: f64 = 0.9;
/// Two workers over one.
const WORKERS_MIN: f64 = 1.5;
/// A key with half of the events costs two workers little.
const SKEW_MIN: f64 = 0.9;

/// One target.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    what: String,
    /// At least this.
    wanted: f64,
    found: f64,
}

impl Target {
    fn is_reached(&self) -> bool {
        self.found >= self.wanted
    }
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
    let mut add = |what: String, wanted: f64, found: Option<f64>| {
        targets.extend(found.map(|found| Target { what, wanted, found }));
    };
    for standing in &run.standings {
        let work = &standing.work;
        for rival in &standing.rivals {
            let name = &rival.name;
            if name.starts_with("pelton") {
                continue;
            }
            let wanted = match name.split([',', ' ']).next() {
                Some("plain") => PLAIN_MIN,
                Some("expert") => EXPERT_MIN,
                _ => PEER_MIN,
            };
            let found = counterpart(standing, name).and_then(|ours| standing.ratio(ours, name));
            add(format!("{work}: over {name}"), wanted, found);
        }
        let ours = |what: &str| standing.ratio("pelton", what);
        add(format!("{work}: over the same in order"), DISORDER_MIN, ours("pelton, in order"));
        let two = standing.ratio("pelton, 2 workers", "pelton");
        add(format!("{work}: 2 workers over 1"), WORKERS_MIN, two);
    }
    let two = |part: &str| {
        let standing = run.standings.iter().find(|standing| standing.work.ends_with(part))?;
        standing.ns_per_event("pelton, 2 workers")
    };
    if let (Some(even), Some(skewed)) = (two("2 workers, even keys"), two("one key has half of the events")) {
        add("2 workers: one key with half of the events over even keys".into(), SKEW_MIN, Some(even / skewed));
    }
    for growth in &run.growth {
        let of = |name: &str| growth_of(array(&growth["rivals"]).iter().find(|rival| rival["name"] == name)?);
        let what = format!("{}: the plain loop's growth over ours", growth["work"].as_str().unwrap_or_default());
        add(what, PLAIN_MIN, of("plain").zip(of("pelton")).map(|(plain, ours)| plain / ours));
    }
    for latency in &run.latencies {
        latency_targets(latency, &mut add);
    }
    targets
}

fn latency_targets(latency: &Value, add: &mut impl FnMut(String, f64, Option<f64>)) {
    let rivals = array(&latency["rivals"]);
    let median = |rival: &Value| {
        let mut runs: Vec<u64> = array(&rival["p50_ns"]).iter().filter_map(Value::as_u64).collect();
        runs.sort_unstable();
        Some((*runs.get(runs.len() / 2)?).max(1) as f64)
    };
    let is_ours = |rival: &&Value| rival["name"].as_str().is_some_and(|name| name.starts_with("pelton"));
    let Some(ours) = rivals.iter().find(is_ours).and_then(median) else { return };
    for rival in rivals.iter().filter(|rival| !is_ours(rival)) {
        let (work, name) = (latency["work"].as_str().unwrap_or_default(), rival["name"].as_str().unwrap_or_default());
        add(format!("{work}: p50 of {name} over ours"), PEER_MIN, median(rival).map(|theirs| theirs / ours));
    }
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
            out.push_str(&format!("- {what}: {found:.2}, wanted {wanted:.2}\n"));
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
            { "name": "pelton", "p50_ns": [100] }, { "name": "rtrb", "p50_ns": [50] } ] });
        let run = Run {
            standings: vec![
                standing("a", &[("pelton", &[10]), ("plain", &[10]), ("expert", &[8]), ("pelton, in order", &[10])]),
                standing("on 2 workers, even keys", &[("pelton", &[30]), ("pelton, 2 workers", &[10])]),
                standing("one key has half of the events", &[("pelton", &[20]), ("pelton, 2 workers", &[20])]),
            ],
            growth: vec![growth],
            latencies: vec![latency],
            ..Run::default()
        };
        let targets = all(&run);
        let found: Vec<_> = targets.iter().map(|target| (&*target.what, target.found, target.is_reached())).collect();
        let expected = [
            ("a: over plain", 1.0, true),
            ("a: over expert", 0.8, false),
            ("a: over the same in order", 1.0, true),
            ("on 2 workers, even keys: 2 workers over 1", 3.0, true),
            ("one key has half of the events: 2 workers over 1", 1.0, false),
            ("2 workers: one key with half of the events over even keys", 0.5, false),
            ("dense: the plain loop's growth over ours", 2.0, true),
            ("hop: p50 of rtrb over ours", 0.5, false),
        ];
        assert_eq!(found, expected);
        let text = text(&targets);
        assert!(
            text.starts_with("## Targets: 4 of 8 reached\n\nNot reached:\n\n- a: over expert: 0.80, wanted 0.90\n")
        );
    }
}
