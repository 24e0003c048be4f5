//! The suite runs, finds every rival right, and its results become a report.

use pelton_bench::contest::Standing;
use pelton_bench::report;
use pelton_bench::suite::{SuiteOptions, groups, suite};
use serde_json::Value;
use std::fs;

#[test]
fn every_group_finds_its_rivals_right_and_the_report_has_them() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = SuiteOptions {
        events: 30_000,
        shape_events: 2_000,
        // The other groups have more cells of the same kind.
        shape_groups: "BCEF".into(),
        rounds: 1,
        dir: dir.path().to_owned(),
        out: out.path().join("run"),
        ..SuiteOptions::default()
    };
    let mut told = String::new();
    assert!(suite(&options, &mut |what| told += what).unwrap(), "{told}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "captures are removed");
    let (mut works, mut shapes) = (Vec::new(), Vec::new());
    for group in groups() {
        let file = fs::read_to_string(options.out.join(format!("{group}.json"))).unwrap();
        let file: Value = serde_json::from_str(&file).unwrap();
        assert!(file["machine"]["cores"].is_u64());
        for contest in file["contests"].as_array().unwrap() {
            let standing = Standing::from_json(contest).unwrap();
            assert!(standing.rivals.iter().all(|rival| rival.runs_ns.len() == 1), "{standing}");
            works.push(standing.work);
        }
        assert_eq!(file["shapes"].is_array(), group == "shapes");
        for cell in file["shapes"].as_array().into_iter().flatten() {
            let standing = Standing::from_json(cell).unwrap();
            assert!(standing.rivals.iter().all(|rival| rival.runs_ns.len() == 1), "{standing}");
            shapes.push(standing.work);
        }
        assert_eq!(file["growth"].is_array(), group == "dense" || group == "sparse");
    }
    assert!(works.len() >= 16, "{works:?}");
    assert_eq!(shapes.len(), 9, "{shapes:?}");
    report::write(&options.out).unwrap();
    let text = fs::read_to_string(options.out.join("README.md")).unwrap();
    let chart = fs::read_to_string(options.out.join("chart.svg")).unwrap();
    for work in works {
        assert!(text.contains(&format!("### {work}\n")) && chart.contains(&work), "{work}");
    }
    for shape in shapes {
        let (group, shape) = shape.split_once(": ").unwrap();
        assert!(text.contains(&format!("| {group} | {shape} | ")), "{shape}");
    }
}

#[test]
fn one_group_gives_one_file() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = SuiteOptions {
        events: 1_000,
        rounds: 2,
        only: vec!["stateless".into()],
        dir: dir.path().to_owned(),
        out: out.path().to_owned(),
        ..SuiteOptions::default()
    };
    assert!(suite(&options, &mut |_| {}).unwrap());
    let files: Vec<_> = fs::read_dir(out.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["stateless.json"]);
}
