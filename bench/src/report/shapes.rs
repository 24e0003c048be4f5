//! The grid of input shapes as one table, and what is wanted of its cells.
//!
//! A cell is a contest named `X: shape`; X is its group.

use super::table::cell;
use super::targets::{Target, Wanted};
use crate::contest::Standing;

/// The least speed over another rival, or over fewer workers: group, what is compared, the rival, the other, the least.
const OVER: &[(&str, &str, &str, &str, f64)] = &[
    ("A", "1 worker over plain", ONE, "plain", 0.97),
    ("A", "default over plain", DEFAULT, "plain", 0.97),
    ("B", "1 worker over plain", ONE, "plain", 0.97),
    ("B", "default over plain", DEFAULT, "plain", 0.97),
    ("D", "2 workers over 1", TWO, ONE, 0.97),
    ("D", "default over 1 worker", DEFAULT, ONE, 0.97),
    ("E", "1 worker over plain", ONE, "plain", 0.9),
    ("F", "1 worker over plain", ONE, "plain", 1.3),
    ("F", "1 worker over a direct index", ONE, INDEX, 0.7),
];
/// The group of many open windows. Its first cell has few and is what the others are compared with.
const OPEN_WINDOWS: &str = "C";
/// The time of an event with many windows open over that with few, at most.
const OPEN_WINDOWS_MAX: f64 = 3.0;

const ONE: &str = "pelton, 1 worker";
const TWO: &str = "pelton, 2 workers";
const DEFAULT: &str = "pelton, default";
const INDEX: &str = "direct index";

/// What the groups hold, as the table's legend says it.
const GROUPS: &[(&str, &str)] = &[
    ("A", "most events late; wanted at least 0.97 of plain with 1 worker and by default"),
    ("B", "a row out for nearly each event; wanted at least 0.97 of plain with 1 worker and by default"),
    ("C", "many windows open; wanted at most 3 times the time of an event with 50 windows open, with 1 worker"),
    ("D", "two workers in place of one; wanted at least 0.97 of 1 worker, with 2 and by default"),
    ("E", "stateless steps and a process function, in memory; wanted at least 0.9 of plain"),
    ("F", "an aggregate of the user's own, in memory; wanted at least 1.3 of plain and 0.7 of a direct index"),
];

/// The group and the shape that a cell's name holds.
fn parts(standing: &Standing) -> (&str, &str) {
    standing.work.split_once(": ").unwrap_or(("", &standing.work))
}

/// What is wanted of a cell, and what was found.
fn targets_of(standing: &Standing, shapes: &[Standing]) -> Vec<Target> {
    let (group, _) = parts(standing);
    let mut targets = Vec::new();
    for (_, what, rival, other, least) in OVER.iter().filter(|over| over.0 == group) {
        let found = standing.ratio(rival, other);
        targets.extend(found.map(|found| Target::new(*what, Wanted::AtLeast(*least), found)));
    }
    if let Some(few) = shapes.iter().find(|few| group == OPEN_WINDOWS && parts(few).0 == group) {
        let found = standing.ns_per_event(ONE).zip(few.ns_per_event(ONE)).map(|(many, few)| many / few);
        let found = found.filter(|_| few.work != standing.work);
        let what = "the time of an event over that with few windows open";
        targets.extend(found.map(|found| Target::new(what, Wanted::AtMost(OPEN_WINDOWS_MAX), found)));
    }
    targets
}

/// For each group and each thing that is wanted of it, the worst of its cells.
pub(super) fn worst(shapes: &[Standing]) -> Vec<Target> {
    let mut worst: Vec<(Target, usize)> = Vec::new();
    for standing in shapes {
        for target in targets_of(standing, shapes) {
            let target = Target { what: format!("shapes {}: {}", parts(standing).0, target.what), ..target };
            match worst.iter_mut().find(|(worst, _)| worst.what == target.what) {
                None => worst.push((target, 1)),
                Some((worst, cells)) => {
                    *cells += 1;
                    let is_worse = match target.wanted {
                        Wanted::AtLeast(_) => target.found < worst.found,
                        Wanted::AtMost(_) => target.found > worst.found,
                    };
                    if is_worse {
                        *worst = target;
                    }
                }
            }
        }
    }
    let named = |(target, cells): (Target, usize)| match cells {
        1 => target,
        _ => Target { what: format!("{}, the worst of {cells}", target.what), ..target },
    };
    worst.into_iter().map(named).collect()
}

/// The table of all cells with its legend.
pub(super) fn table(shapes: &[Standing]) -> String {
    let mut out = "## Shapes\n\nThe bars of `pelton replay`, from a capture to CSV text, and two jobs on events in memory. \
                   Speeds are in M events/s, the other columns are ratios of speeds: above 1 the first one is faster.\n\n"
        .to_owned();
    for (group, legend) in GROUPS {
        let cells = shapes.iter().filter(|standing| parts(standing).0 == *group);
        let judged: Vec<bool> = cells
            .map(|standing| targets_of(standing, shapes))
            .filter(|targets| !targets.is_empty())
            .map(|targets| targets.iter().all(Target::is_reached))
            .collect();
        if !judged.is_empty() {
            let reached = judged.iter().filter(|reached| **reached).count();
            out.push_str(&format!("- {group}: {legend}: reached in {reached} of {}.\n", judged.len()));
        }
    }
    out.push_str(
        "\n| | shape | plain | 1 worker | 2 workers | default | 1 worker / plain | default / plain \
         | 2 workers / 1 | default / 1 worker | |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for standing in shapes {
        out.push_str(&line(standing, shapes));
    }
    out.push('\n');
    out
}

fn line(standing: &Standing, shapes: &[Standing]) -> String {
    let (group, shape) = parts(standing);
    let mut out = format!("| {group} | {} ", cell(shape));
    for rival in ["plain", ONE, TWO, DEFAULT] {
        let rate = standing.ns_per_event(rival).map_or(String::new(), |ns| format!("{:.2} ", 1e3 / ns.max(1e-3)));
        out.push_str(&format!("| {rate}"));
    }
    for (rival, other) in [(ONE, "plain"), (DEFAULT, "plain"), (TWO, ONE), (DEFAULT, ONE)] {
        let ratio = standing.ratio(rival, other).map_or(String::new(), |ratio| format!("{ratio:.2} "));
        out.push_str(&format!("| {ratio}"));
    }
    let mut notes: Vec<String> = Vec::new();
    for rival in &standing.rivals {
        notes.extend(rival.wrong.iter().map(|wrong| format!("**wrong**: {}: {}", cell(&rival.name), cell(wrong))));
        notes.extend((!rival.remark.is_empty()).then(|| cell(&rival.remark)));
    }
    for target in targets_of(standing, shapes) {
        // Figures that no column has are told whether they are reached or not.
        let is_in_columns = target.what.ends_with("plain") || group == "D";
        match (is_in_columns, target.is_reached()) {
            (true, true) => {}
            (false, true) => notes.push(format!("{}: {:.2}", target.what, target.found)),
            (true, false) => notes.push(format!("**missed**: {}", target.what)),
            (false, false) => notes.push(format!("**missed**: {}: {:.2}", target.what, target.found)),
        }
    }
    let notes = if notes.is_empty() { String::new() } else { format!("{} ", notes.join("; ")) };
    format!("{out}| {notes}|\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::standing;
    use super::*;

    fn shapes() -> Vec<Standing> {
        let bars = |work, plain: u64, one: u64, two: u64, default: u64| {
            standing(work, &[("plain", &[plain]), (ONE, &[one]), (TWO, &[two]), (DEFAULT, &[default])])
        };
        let mut shapes = vec![
            bars("A: few keys", 100, 100, 100, 100),
            bars("A: many keys", 100, 200, 100, 50),
            bars("C: 50 windows open", 100, 100, 100, 100),
            bars("C: 5,000 windows open", 100, 250, 100, 100),
            bars("C: 65,536 windows open", 100, 1_000, 100, 100),
            bars("D: some | keys", 100, 100, 80, 110),
            standing("F: statistics", &[("plain", &[100]), (INDEX, &[40]), (ONE, &[50])]),
        ];
        shapes[4].rivals[0].remark = "fewer events".into();
        shapes[6].rivals[2].wrong = Some("expected 1 rows".into());
        shapes[6].rivals[2].runs_ns.clear();
        shapes
    }

    #[test]
    fn the_table_has_a_line_for_each_cell_and_says_what_was_missed() {
        let text = table(&shapes());
        let has = |line: &str| assert!(text.contains(line), "{line} is not in\n{text}");
        has("wanted at least 0.97 of plain with 1 worker and by default: reached in 1 of 2.\n");
        has("| A | few keys | 10.00 | 10.00 | 10.00 | 10.00 | 1.00 | 1.00 | 1.00 | 1.00 | |\n");
        has("| A | many keys | 10.00 | 5.00 | 10.00 | 20.00 | 0.50 | 2.00 | 2.00 | 4.00 \
             | **missed**: 1 worker over plain |\n");
        has("| the time of an event over that with few windows open: 2.50 |\n");
        has("| fewer events; **missed**: the time of an event over that with few windows open: 10.00 |\n");
        has("| D | some \\| keys | 10.00 | 10.00 | 12.50 | 9.09 | 1.00 | 0.91 | 1.25 | 0.91 \
             | **missed**: default over 1 worker |\n");
        has("| F | statistics | 10.00 | | | | | | | | **wrong**: pelton, 1 worker: expected 1 rows |\n");
        assert!(!text.contains("- B"), "{text}");
    }

    #[test]
    fn the_worst_cell_of_a_group_stands_for_it() {
        let worst = worst(&shapes());
        let found: Vec<_> = worst.iter().map(|target| (&*target.what, target.found, target.is_reached())).collect();
        let expected = [
            ("shapes A: 1 worker over plain, the worst of 2", 0.5, false),
            ("shapes A: default over plain, the worst of 2", 1.0, true),
            ("shapes C: the time of an event over that with few windows open, the worst of 2", 10.0, false),
            ("shapes D: 2 workers over 1", 1.25, true),
            ("shapes D: default over 1 worker", 100.0 / 110.0, false),
        ];
        assert_eq!(found, expected);
    }
}
