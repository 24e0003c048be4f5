//! Layouts of every class, symbols, plans and mistakes.

use super::{BAR, MILLISECOND, Outputs, WORKERS, bars_of_rows, captures};
use pelton::rows::{Comparison, RowAggregate, VecRows};
use pelton::{Error, Job, Layout, Options, PlanFormat, Record, Tumbling};
use pelton_io::Trade;
use pelton_io::capture::Capture;
use pelton_tests::running::finish;
use std::time::Duration;

/// Records of a schema, with times that grow and bytes that are all there is in a field.
fn records(layout: &Layout, count: usize) -> Vec<u8> {
    let time = layout.time_field().unwrap().offset;
    (0..count)
        .flat_map(|number| {
            let mut record: Vec<u8> = (0..layout.size()).map(|at| b'a' + ((at + number) % 26) as u8).collect();
            record[time..time + 8].copy_from_slice(&(number as i64).to_le_bytes());
            record
        })
        .collect()
}

#[test]
fn rows_of_every_class_keep_all_their_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.csv");
    for text in [1, 8, 9, 16, 24, 25, 56, 57, 60, 120, 200, 247, 248] {
        for is_first in [true, false] {
            let size = text + 8;
            let schema = match is_first {
                true => format!("{size}/1 t:time@0* text:text{text}@8"),
                false => format!("{size}/1 text:text{text}@0 t:time@{text}*"),
            };
            let layout = Layout::parse(&schema).unwrap();
            let records = records(&layout, 100);
            let mut encoder = pelton_io::sink::RowEncoder::new(&layout, pelton_io::sink::Format::Csv);
            let mut expected = Vec::new();
            encoder.header(&mut expected);
            records.chunks_exact(size).for_each(|record| encoder.row(record, &mut expected));
            let mut job = Job::new("classes");
            job.rows("rows", VecRows::new(layout, records, 7)).sink("out", pelton_io::csv::create(&path).unwrap());
            let is_too_wide = !is_first && size + 8 > 256;
            match job.run(Options::workers(2)) {
                Err(error) => assert!(is_too_wide && error.to_string().contains("at most 248"), "{schema}: {error}"),
                Ok(_) => assert!(!is_too_wide && std::fs::read(&path).unwrap() == expected, "{schema}"),
            }
        }
    }
}

#[test]
fn a_symbol_is_found_by_its_text_whatever_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let captures = captures(dir.path(), 64);
    let (typed, path) = (dir.path().join("typed.csv"), dir.path().join("out.csv"));
    let wanted = "a symbol with the number 12";
    let mut job = Job::new("one symbol");
    let symbol = job.symbols().intern(wanted).unwrap();
    let [first, second] = captures.each_ref().map(|capture| capture.replay::<Trade>().unwrap());
    let all = job.source("first", first).union(job.source("second", second));
    all.filter(move |trade| trade.symbol == symbol).sink("out", pelton_io::csv::create(&typed).unwrap());
    finish(job, Options::workers(1));
    let expected = std::fs::read_to_string(&typed).unwrap();
    assert!(expected.lines().count() > 100);
    for workers in WORKERS {
        let mut job = Job::new("one symbol");
        let [first, second] = captures.each_ref().map(Capture::replay_rows);
        let all = job.rows("first", first).union(job.rows("second", second));
        let one = all.filter("symbol", Comparison::Equal, wanted);
        one.sink("out", pelton_io::csv::create(&path).unwrap());
        finish(job, Options::workers(workers));
        assert!(std::fs::read_to_string(&path).unwrap() == expected, "{workers} workers");
    }
}

#[test]
fn a_plan_shows_the_layouts_of_rows_keys_and_states() {
    let dir = tempfile::tempdir().unwrap();
    let captures = captures(dir.path(), 4096);
    let out = Outputs::new(dir.path());
    let plan = |more| bars_of_rows(&captures, more, &out).explain(Options::workers(2)).unwrap();
    let exchanged = plan(Some(RowAggregate::last("price")));
    let text = exchanged.to_string();
    assert!(text.contains("key 8/1 symbol:symbol@0 venue:text2@4 suspicious:u8@6 kind:u8@7"), "{text}");
    let state = "store slices: slices of 76/1 #rows:u64@0 volume:i128@8 low:i64@24 high:i64@32 smallest:u32@40 \
                 mean:i128@44 more#time:time@60 more:i64@68";
    assert!(text.contains(state), "{text}");
    assert!(text.contains("first > filter: edge") && text.contains("second > filter: edge"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&exchanged.to(PlanFormat::Json)).unwrap();
    let edges = json["edges"].as_array().unwrap();
    let layout_of = |from: &str, to: &str| {
        let edge = edges.iter().find(|edge| edge["from"] == from && edge["to"] == to).unwrap();
        edge["layout"].as_str().unwrap().to_owned()
    };
    assert_eq!(layout_of("first", "bars"), Trade::layout().schema());
    assert_eq!(layout_of("bars", "late"), Trade::layout().schema());
    assert_eq!(layout_of("bars", "main"), format!("{} more:i64@76", BAR.replace("76/1", "84/1")));
    // What is exact is combined where rows are read, as it is for typed rows; but for unions.
    let mut job = Job::new("one capture");
    let minutes = job.rows("trades", captures[0].replay_rows()).key_by(["symbol"]).window(Tumbling::of(MILLISECOND));
    minutes.aggregate("sums", [("sum", RowAggregate::sum("size"))]).sink("out", pelton_io::blackhole());
    let text = job.explain(Options::workers(2)).unwrap().to_string();
    assert!(text.contains("sums, parts: parts of tumbling window"), "{text}");
}

#[test]
fn all_mistakes_are_told_at_once_with_the_step_and_the_column() {
    let mut job = Job::new("mistakes");
    let layout = |schema: &str| Layout::parse(schema).unwrap();
    let source = |schema: &str| VecRows::new(layout(schema), Vec::new(), 64);
    job.rows("timeless", source("4/4 size:u32@0")).sink("a", pelton_io::blackhole());
    job.rows("wide", source("264/8 t:i64@0* text:text256@8")).sink("b", pelton_io::blackhole());
    let trades = job.rows("trades", source("32/8 t:i64@0* price:f64@8 size:u64@16 symbol:symbol@24 venue:text4@28"));
    let other = job.rows("other", source("16/8 t:i64@0* price:f64@8"));
    trades.clone().union(other).sink("c", pelton_io::blackhole());
    let keyed = |columns: &[&str]| trades.clone().key_by(columns.iter().copied()).window(Tumbling::of(MILLISECOND));
    keyed(&["symbl", "price"]).aggregate("keys", [("n", RowAggregate::count())]).sink("d", pelton_io::blackhole());
    keyed(&["symbol"])
        .aggregate(
            "sums",
            [
                ("a", RowAggregate::sum("symbol")),
                ("b", RowAggregate::max("venue")),
                ("symbol", RowAggregate::min("size")),
            ],
        )
        .sink("e", pelton_io::blackhole());
    keyed(&[]).aggregate("nothing", [("n", RowAggregate::last("sise"))]).sink("f", pelton_io::blackhole());
    trades.filter("symbol", Comparison::Less, "BAC").sink("g", pelton_io::blackhole());
    let many = (0..20).map(|number| (format!("sum{number}"), RowAggregate::sum("x")));
    let wide = job.rows("more", source("48/8 t:i64@0* x:i64@8 key:text32@16"));
    wide.clone()
        .key_by(["key"])
        .window(Tumbling::of(MILLISECOND))
        .aggregate("many", many)
        .sink("h", pelton_io::blackhole());
    let long = wide.key_by(["key", "x"]).window(Tumbling::of(Duration::ZERO));
    long.aggregate("long", [("n", RowAggregate::count())]).sink("i", pelton_io::blackhole());

    let Err(Error::Shape { mistakes, .. }) = job.run(Options::workers(1)) else { panic!("it has mistakes") };
    let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    let expected = [
        "the rows of `timeless` do not work: no field is their event time",
        "the rows of `wide` do not work: a record of 264 bytes is too wide",
        "the rows of `trades` do not work: they are 32/8 ",
        "`keys` cannot use the column `symbl`: there is none of this name in 32/8 ",
        "`keys` cannot use the column `price`: it is f64, and floats are no keys",
        "`sums` cannot use the column `symbol`: it is symbol, of which there is no such aggregate",
        "`sums` cannot use the column `venue`: it is text4, of which",
        "the rows of `sums` do not work: two fields are named `symbol`",
        "`nothing` cannot use the column ``: a key has at least one column",
        "`nothing` cannot use the column `sise`: there is none",
        "`filter 1 behind trades` cannot use the column `symbol`: symbols are compared for equality only",
        "the rows of `many` do not work: a record of 368 bytes is too wide",
        "the windows of `long` do not work: they have no size",
        "`long` cannot use the column `x`: with it the key has 40 bytes, and 32 are the most",
    ];
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake} instead of {expected}");
    }
}
