//! `replay --explain`: the plan in words, for programs and as a drawing, and nothing else.

use crate::support::Place;

#[test]
fn a_plan_is_printed_in_each_format_and_nothing_is_replayed() {
    let place = Place::new();
    place.done("generate trades --events 1000 t.pelton");
    for (format, first, named) in
        [("text", "", "t.pelton"), ("json", "{", "\"t.pelton\""), ("mermaid", "flowchart", "t.pelton")]
    {
        let ran = place.done(&format!("replay t.pelton --workers 2 --explain --format {format} --out bars.csv"));
        assert!(ran.stdout.starts_with(first) && ran.stdout.contains(named), "{format}: {}", ran.stdout);
        assert!(ran.stdout.contains("window"), "{format}: {}", ran.stdout);
        assert!(!place.path("bars.csv").exists() && place.hidden() == 0);
    }
}

#[test]
fn outputs_that_exist_or_cannot_be_made_do_not_matter_to_a_plan() {
    let place = Place::new();
    place.done("generate trades --events 1000 t.pelton");
    place.write("bars.csv", "mine");
    let ran = place.done("replay t.pelton --explain --out bars.csv --late nowhere/late.csv");
    assert!(ran.stdout.contains("late: sink") && ran.stdout.contains("out: sink"), "{}", ran.stdout);
    assert_eq!(place.read("bars.csv"), "mine");
}

#[test]
fn a_plan_names_the_workers_and_how_rows_go_between_steps() {
    let place = Place::new();
    place.done("generate trades --events 1000 t.pelton");
    let one = place.done("replay t.pelton --workers 1 --explain").stdout;
    let two = place.done("replay t.pelton --workers 2 --explain").stdout;
    assert_ne!(one, two);
    assert!(one.contains("1 worker") && two.contains("2 workers"), "{one}\n{two}");
}

#[test]
fn a_format_without_a_plan_is_a_mistake_of_use() {
    let place = Place::new();
    place.done("generate trades --events 10 t.pelton");
    let ran = place.run("replay t.pelton --format json");
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("--explain"), "{}", ran.stderr);
}
