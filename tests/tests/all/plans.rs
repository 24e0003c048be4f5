//! A job's plan in its three forms: what runs where, what is called and what is exchanged, what is kept.

use pelton::{
    AsOf, Job, JobPlan, Options, PlanFormat, ProcessContext, ProcessFunction, Record, Timestamp, Tumbling, VecSource,
    Watermarks, collect, count,
};
use pelton_tests::events::{Row, Sample};
use pelton_tests::jobs::{BOUND_NS, KINDS, Kind, job};
use serde_json::Value;
use std::time::Duration;

fn no_events() -> VecSource<Sample> {
    VecSource::new(Vec::new(), 16)
}

fn plan_of(kind: Kind, workers: usize) -> JobPlan {
    job(kind, no_events()).job.explain(Options::workers(workers)).unwrap()
}

/// The JSON form, after checks that hold for all plans.
fn json(plan: &JobPlan, workers: usize) -> Value {
    let json: Value = serde_json::from_str(&plan.to(PlanFormat::Json)).unwrap();
    let text = plan.to_string();
    assert_eq!(text, plan.to(PlanFormat::Text));
    assert_eq!(json["workers"], workers);
    assert_eq!(json["fingerprint"], format!("{:016x}", plan.fingerprint()));
    let (nodes, edges) = (json["nodes"].as_array().unwrap(), json["edges"].as_array().unwrap());
    let names: Vec<&str> = nodes.iter().map(|node| node["name"].as_str().unwrap()).collect();
    for node in nodes {
        let name = node["name"].as_str().unwrap();
        assert!(text.lines().any(|line| line.starts_with(&format!("{name}: "))), "{name} in {text}");
        for store in node["stores"].as_array().unwrap() {
            let [name, kind] = ["name", "kind"].map(|field| store[field].as_str().unwrap());
            assert!(text.contains(&format!("    store {name}: {kind} of ")), "{name} in {text}");
        }
        let is_fed = edges.iter().any(|edge| edge["to"] == node["name"]);
        assert_eq!(is_fed, node["kind"] != "source", "{name}");
        let feeds = edges.iter().any(|edge| edge["from"] == node["name"]);
        assert_eq!(feeds, node["kind"] != "sink", "{name}");
    }
    for edge in edges {
        for end in ["from", "to"] {
            assert!(names.contains(&edge[end].as_str().unwrap()), "{edge}");
        }
        let [from, input, how] = ["from", "input", "how"].map(|field| edge[field].as_str().unwrap());
        assert!(how == "call" || how.starts_with("edge"), "{how}");
        assert_eq!(edge["order"] == "", how == "call", "{edge}");
        let line =
            |line: &&str| line.starts_with(&format!("    {input} < {from}")) && line.contains(&format!(": {how}"));
        assert!(text.lines().find(line).is_some(), "{edge} in {text}");
    }
    let mermaid = plan.to(PlanFormat::Mermaid);
    assert!(mermaid.starts_with("flowchart"));
    assert_eq!(mermaid.lines().count(), 1 + nodes.len() + edges.len(), "{mermaid}");
    assert!(names.iter().all(|name| mermaid.contains(&format!("\"{name}<br>"))), "{mermaid}");
    json
}

fn node<'a>(json: &'a Value, name: &str) -> &'a Value {
    json["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["name"] == name)
        .unwrap_or_else(|| panic!("{name} in {json}"))
}

/// Where the edges between two nodes come from and how their rows arrive.
fn edges<'a>(json: &'a Value, from: &str, to: &str) -> Vec<(&'a str, &'a str, &'a str)> {
    let edges = json["edges"].as_array().unwrap().iter().filter(|edge| edge["from"] == from && edge["to"] == to);
    edges
        .map(|edge| {
            let text = |field: &str| edge[field].as_str().unwrap();
            (text("output"), text("input"), text("how"))
        })
        .collect()
}

#[test]
fn everything_is_called_on_one_worker() {
    for kind in [Kind::Window, Kind::Combined] {
        let plan = plan_of(kind, 1);
        let json = json(&plan, 1);
        assert_eq!(edges(&json, "samples", "window"), [("events", "rows", "call")]);
        let next = if kind == Kind::Window { "out" } else { "again" };
        assert_eq!(edges(&json, "window", next), [("main", "rows", "call")]);
        let late = if kind == Kind::Window { "call" } else { "edge, local" };
        assert_eq!(edges(&json, "window", "late"), [("late", "rows", late)]);
        let window = node(&json, "window");
        assert_eq!(window["title"].as_str().unwrap().split(" of ").next().unwrap(), "tumbling window");
        assert_eq!((&window["kind"], &window["bound_ns"]), (&Value::from("step"), &Value::from(BOUND_NS)));
        assert_eq!(window["stores"][0]["name"], "slices");
        // What joins is merged, also on one worker.
        assert_eq!(plan.to_string().matches("edge").count(), if kind == Kind::Window { 0 } else { 6 });
        assert!(plan.to_string().starts_with(&format!("job {kind:?} on 1 worker, fingerprint ")));
    }
}

#[test]
fn an_exact_aggregate_is_combined_on_two_workers_and_another_is_exchanged() {
    let plan = plan_of(Kind::Combined, 2);
    let combined = json(&plan, 2);
    assert_eq!(edges(&combined, "samples", "window, parts"), [("events", "rows", "call")]);
    let [(output, input, how)] = edges(&combined, "window, parts", "window")[..] else { panic!("{plan}") };
    assert!(output == "parts" && input == "parts" && how.starts_with("edge"), "{plan}");
    assert_eq!(edges(&combined, "samples", "window"), []);
    assert_eq!(node(&combined, "window, parts")["runs_on"], "on all workers");
    assert!(node(&combined, "window")["title"].as_str().unwrap().starts_with("merged tumbling window"), "{plan}");

    let plan = plan_of(Kind::Window, 2);
    let exchanged = json(&plan, 2);
    assert_eq!(edges(&exchanged, "samples", "window"), [("events", "rows", "edge to all workers")]);
    assert_eq!(edges(&exchanged, "window", "out"), [("main", "rows", "edge to the first worker")]);
    assert!(!plan.to_string().contains("parts"), "{plan}");
    assert!(plan.to_string().contains("    rows < samples > map: edge to all workers, ordered by "), "{plan}");
}

#[test]
fn windows_that_overlap_are_combined_over_all_rows_and_exchanged_by_key() {
    let plan = plan_of(Kind::Combined, 3);
    let combined = json(&plan, 3);
    for (window, title) in [("sliding", "merged sliding window"), ("cumulative", "merged cumulative window")] {
        let parts = format!("{window}, parts");
        assert_eq!(edges(&combined, "samples", &parts), [("events", "rows", "call")]);
        assert_eq!(edges(&combined, &parts, window), [("parts", "parts", "edge to the first worker")]);
        assert_eq!(edges(&combined, "samples", window), []);
        assert_eq!(node(&combined, &parts)["runs_on"], "on all workers");
        assert_eq!(node(&combined, window)["runs_on"], "on the first worker");
        assert!(node(&combined, window)["title"].as_str().unwrap().starts_with(title), "{plan}");
    }
    assert_eq!(edges(&combined, "sliding, parts", "late"), [("late", "rows", "edge to the first worker")]);

    let plan = plan_of(Kind::Windows, 3);
    let exchanged = json(&plan, 3);
    assert_eq!(edges(&exchanged, "samples", "sliding"), [("events", "rows", "edge to all workers")]);
    assert_eq!(node(&exchanged, "sliding")["runs_on"], "on all workers");
    assert!(!plan.to_string().contains("sliding, parts"), "{plan}");
}

/// Quotes of two sources, joined with trades, with a sink for what was joined and one for what was late.
fn union_and_join() -> Job {
    let mut job = Job::new("a \"quoted\" job");
    let (sink, _rows) = collect();
    let (late_sink, _late) = collect();
    let bound = |nanos| Watermarks::bounded(Duration::from_nanos(nanos));
    let trades = job.source("trades", no_events()).watermarks(bound(5)).key_by(|trade| trade.key);
    let first = job.source("first quotes", no_events()).watermarks(bound(9)).filter(|quote| quote.value > 0);
    let second = job.source("second quotes", no_events());
    let quotes = first.union(second).key_by(|quote| quote.key);
    let join = trades.as_of_join(quotes, AsOf::backward().within(Duration::from_secs(1)));
    let output = join.left("quoted", |trade, _| *trade);
    output.main.sink("out", sink);
    output.late_left.sink("late trades", late_sink);
    job
}

#[test]
fn a_union_a_join_and_two_sinks_are_all_in_the_plan() {
    for workers in [1, 2, 8] {
        let plan = union_and_join().explain(Options::workers(workers)).unwrap();
        let json = json(&plan, workers);
        assert_eq!(json["job"], "a \"quoted\" job");
        let names: Vec<_> =
            json["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
        for name in ["trades", "first quotes", "second quotes", "quoted", "out", "late trades"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        assert_eq!((names.len(), json["edges"].as_array().unwrap().len()), (6, 5));
        // Several ways into one step are merged, even on one worker.
        let merged = if workers == 1 { "edge, local" } else { "edge to all workers" };
        assert_eq!(edges(&json, "trades", "quoted"), [("events", "left", merged)]);
        for quotes in ["first quotes", "second quotes"] {
            assert_eq!(edges(&json, quotes, "quoted"), [("events", "right", merged)]);
        }
        let to_sink = if workers == 1 { "call" } else { "edge to the first worker" };
        assert_eq!(edges(&json, "quoted", "out"), [("main", "rows", to_sink)]);
        assert_eq!(edges(&json, "quoted", "late trades"), [("late left", "rows", to_sink)]);
        let quoted = node(&json, "quoted");
        let stores: Vec<_> = quoted["stores"].as_array().unwrap().iter().map(|store| &store["name"]).collect();
        assert_eq!(stores, ["keys", "left", "right", "waiting"]);
        assert_eq!(quoted["bound_ns"], 9);
        assert_eq!(quoted["key"], u64::layout().schema());
        let text = plan.to_string();
        assert!(text.contains("    right < first quotes > filter: edge"), "{text}");
        assert!(text.contains("quoted: left as-of join, backward within 1s, on all workers"), "{text}");
    }
}

#[test]
fn plans_of_all_test_jobs_can_be_read() {
    for kind in KINDS {
        for workers in [1, 2, 5] {
            json(&plan_of(kind, workers), workers);
        }
    }
}

/// Keeps an `S` for each key.
#[derive(Clone)]
struct Keeps<S>(std::marker::PhantomData<fn() -> S>);

impl<S: Record> ProcessFunction<u64> for Keeps<S> {
    type In = Row;
    type State = S;
    type Out = Row;
    fn on_row(&self, _: &u64, _: Timestamp, row: &Row, _: &mut S, context: &mut ProcessContext<'_, Row>) {
        context.emit(*row);
    }
}

fn keeps<S: Record + Clone>(step: &str, source: &str, workers: usize, is_narrow: bool) -> JobPlan {
    let mut job = Job::new("keeps");
    let (sink, _rows) = collect();
    let rows = job.source(source, no_events()).map(|sample: &Sample| Row { key: sample.key, a: 0, b: 0 });
    let kept = rows.key_by(|row| row.key).process(step, Keeps::<S>(std::marker::PhantomData));
    kept.clone().sink("out", sink);
    let windows = Tumbling::of(Duration::from_nanos(10));
    if is_narrow {
        kept.key_by(|row| row.key as u32).window(windows).aggregate("windows", count()).sink("counts", collect().0);
    } else {
        kept.key_by(|row| row.key).window(windows).aggregate("windows", count()).sink("counts", collect().0);
    }
    job.explain(Options::workers(workers)).unwrap()
}

#[test]
fn the_fingerprint_follows_what_is_kept_and_not_how_it_runs() {
    for kind in KINDS {
        let fingerprints = [1, 2, 3, 16].map(|workers| plan_of(kind, workers).fingerprint());
        assert!(fingerprints.iter().all(|fingerprint| *fingerprint == fingerprints[0]), "{kind:?}");
    }
    let plain = keeps::<u64>("step", "source", 1, false).fingerprint();
    assert_eq!(plain, keeps::<u64>("step", "source", 8, false).fingerprint());
    for (what, other) in [
        ("a store's layout", keeps::<i64>("step", "source", 1, false)),
        ("a larger store", keeps::<Row>("step", "source", 1, false)),
        ("a step's name", keeps::<u64>("another step", "source", 1, false)),
        ("a source's name", keeps::<u64>("step", "another source", 1, false)),
        ("a key", keeps::<u64>("step", "source", 1, true)),
    ] {
        assert_ne!(plain, other.fingerprint(), "{what}");
    }
}
