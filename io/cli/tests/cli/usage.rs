//! What is said, and with which exit code, when something is not right.

use crate::support::{Place, wait};
use std::io::Read;

const TRADES: &str = "generate trades --events 5000 --keys 7 --block 512 t.pelton";

#[test]
fn wrong_usage_is_exit_code_2() {
    let place = Place::new();
    place.done(TRADES);
    for (line, part) in [
        ("frobnicate", "frobnicate"),
        ("replay", "INPUT"),
        ("replay t.pelton --window soon", "expected a duration such as 250ns"),
        ("replay t.pelton --window 0s", "no time at all"),
        ("replay t.pelton --window 1.5ns", "no whole number of nanoseconds"),
        ("replay t.pelton --out-of-orderness -5ms", "-5"),
        ("replay t.pelton --speed fast", "1x or 10x"),
        ("replay t.pelton --workers 0", "a number of workers from 1 to 256"),
        ("replay t.pelton --workers 257", "from 1 to 256"),
        ("replay t.pelton --workers abc", "from 1 to 256, found \"abc\""),
        ("replay t.pelton --job candles", "bars"),
        ("replay t.pelton --where suspicious", "suspicious=0"),
        ("replay t.pelton --from noon", "2013-10-08T09:30:00"),
        ("replay t.pelton --from 7 --until 7", "nothing would be replayed"),
        ("replay t.pelton --where colour=1", "--where colour: t.pelton has no such integer; it has: time_ns, price"),
        ("replay t.pelton --where venue=1", "no such integer"),
        ("replay t.pelton --where kind=0 --where kind=0 --where kind=0 --where kind=0 --where kind=0", "at most 4"),
        ("convert --from pdf a b", "lean-trade"),
        ("convert --from csv onlyone.csv", "2"),
        ("convert --from csv --schema price a.csv b.pelton", "price"),
        ("generate trades --keys 0 u.pelton", "1..="),
        ("generate trades --rate 0 u.pelton", "1"),
        ("generate bananas u.pelton", "bananas"),
    ] {
        place.refused(2, line, &[part]);
    }
    let many = format!("replay {}", "t.pelton ".repeat(257));
    place.refused(2, &many, &["at most 256 inputs can be replayed together, not 257"]);
    assert_eq!(place.run("").code, 2);
    assert!(place.run("").stderr.contains("pelton demo"));
}

#[test]
fn an_output_is_never_an_input_and_no_two_outputs_are_one() {
    let place = Place::new();
    place.done(TRADES);
    let before = place.bytes("t.pelton");
    std::fs::hard_link(place.path("t.pelton"), place.path("link.pelton")).unwrap();
    for line in [
        "replay t.pelton --out t.pelton",
        "replay t.pelton --out ./t.pelton",
        "replay t.pelton --out link.pelton",
        "replay t.pelton --out bars.csv --late link.pelton",
    ] {
        place.refused(2, line, &["is also the input t.pelton"]);
    }
    place.refused(2, "replay t.pelton --out both.csv --late both.csv", &["--out and --late are both both.csv"]);
    place.refused(2, "replay t.pelton --out - --late -", &["--out and --late"]);
    assert_eq!(place.bytes("t.pelton"), before);
    assert!(!place.path("bars.csv").exists() && !place.path("both.csv").exists());
}

#[test]
fn failures_are_exit_code_1_and_name_the_file() {
    let place = Place::new();
    place.done(TRADES);
    place.write("noise.pelton", "this is no capture, but it is long enough to be asked what it is");
    place.write("empty.pelton", "");
    for line in ["inspect nowhere.pelton", "replay nowhere.pelton"] {
        place.refused(1, line, &["pelton: nowhere.pelton: cannot open the capture: No such file"]);
    }
    for line in ["inspect noise.pelton", "replay noise.pelton"] {
        place.refused(1, line, &["pelton: noise.pelton: not a capture"]);
    }
    place.refused(1, "replay empty.pelton", &["pelton: empty.pelton: "]);
    place.refused(1, "inspect .", &["pelton: .: not a capture: it is not a regular file"]);
    place.refused(1, "convert --from csv nowhere.csv out.pelton", &["nowhere.csv"]);
    place.refused(1, "generate trades no/such/dir.pelton", &["no/such/dir.pelton", "No such file"]);
    place.refused(1, TRADES, &["t.pelton: the file exists; --overwrite replaces it"]);
    place.done(&format!("{TRADES} --overwrite"));
    place.refused(1, "replay t.pelton --out no/such/bars.csv", &["no/such/bars.csv: cannot create the file"]);
}

#[test]
fn a_truncated_capture_is_refused_unless_its_whole_blocks_are_asked_for() {
    let place = Place::new();
    place.done(TRADES);
    let whole = place.bytes("t.pelton");
    place.write("cut.pelton", &whole[..whole.len() / 2]);
    place.write("kept.csv", "what was there before");
    place.refused(1, "replay cut.pelton --overwrite --out kept.csv", &["cut.pelton: incomplete", "--allow-incomplete"]);
    assert_eq!(place.read("kept.csv"), "what was there before");
    let inspected = place.done("inspect cut.pelton --verify").stdout;
    assert!(inspected.contains("complete   no: "), "{inspected}");

    let ran = place.done("replay cut.pelton --allow-incomplete --out part.csv");
    assert!(ran.stderr.contains("cut.pelton: incomplete"), "{}", ran.stderr);
    let counted: u64 = place.read("part.csv").lines().skip(1).map(|line| column(line, 8)).sum();
    assert!(counted > 0 && counted.is_multiple_of(512), "{counted}");
    assert!(inspected.contains(&format!("events     {} of Trade", crate::replay::grouped(counted))), "{inspected}");
}

pub(crate) fn column(line: &str, index: usize) -> u64 {
    line.split(',').nth(index).unwrap().parse().unwrap()
}

#[test]
fn a_damaged_block_ends_the_replay_and_no_output_is_left() {
    let place = Place::new();
    place.done(TRADES);
    let mut bytes = place.bytes("t.pelton");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    place.write("bad.pelton", bytes);
    for options in ["", "--untrusted", "--workers 3"] {
        let line = format!("replay bad.pelton --out bars.csv {options}");
        place.refused(1, &line, &["bad.pelton: damaged block ", "expected", "bars.csv was not created"]);
        assert!(!place.path("bars.csv").exists());
    }
    // What was there before stays.
    place.write("bars.csv", "old");
    place.refused(1, "replay bad.pelton --overwrite --out bars.csv", &["bars.csv is unchanged"]);
    assert_eq!((place.read("bars.csv"), place.hidden()), ("old".to_owned(), 0));
    let parts = ["standard output holds at most a part of the result"];
    place.refused(1, "replay bad.pelton", &parts);
    place.refused(1, "inspect bad.pelton --verify", &["bad.pelton: damaged block "]);
    place.done("inspect bad.pelton");
}

#[test]
fn a_capture_without_prices_is_refused_with_its_fields() {
    let place = Place::new();
    place.write("r.csv", "ts:time[ms],sensor:symbol,value:f64\n1,a,0.5\n");
    place.write("f.csv", "ts:time[ms],symbol:symbol,price:f64,size:u32\n1,a,0.5,7\n");
    place.done("convert --from csv r.csv r.pelton");
    place.done("convert --from csv f.csv f.pelton");
    let parts =
        ["r.pelton: bars need a field `price` and a field `size` or `quantity` and a field `symbol`", "value (f64)"];
    place.refused(1, "replay r.pelton --out bars.csv", &parts);
    place.refused(1, "replay f.pelton --out bars.csv", &["f.pelton: field `price` cannot be taken from `price`: f64"]);
    assert!(!place.path("bars.csv").exists());
}

#[test]
fn a_reader_that_has_enough_is_no_failure_unless_a_file_is_cut_short() {
    let place = Place::new();
    place.done("generate trades --events 300000 --keys 7 --disorder 1ms t.pelton");
    for (line, code) in [
        ("inspect t.pelton --head 300000", 0),
        ("replay t.pelton --window 100us", 0),
        ("replay t.pelton --window 100us --out bars.csv --late -", 1),
    ] {
        let mut child = place.command().args(line.split_whitespace()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = child.stderr.take().unwrap();
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).map(|_| text)
        });
        assert_eq!(wait(&mut child, line), code, "{line}");
        let said = said.join().unwrap().unwrap();
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(said.contains("bars.csv was not created") && said.contains("Broken pipe"), code == 1, "{said}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let place = Place::new();
    for (line, part) in [
        ("--help", "pelton demo"),
        ("--version", "pelton "),
        ("help replay", "--out-of-orderness 5ms"),
        ("convert --help", "--from lean-trade --date 2013-10-08"),
        ("generate trades --help", "--disorder 5ms"),
        ("inspect --help", "--head 5"),
    ] {
        let stdout = place.done(line).stdout;
        assert!(stdout.contains(part), "{line}: {stdout}");
    }
}

#[test]
fn benchmarks_measure_and_keep_what_they_are_asked_for() {
    let place = Place::new();
    let ran = place.done("bench throughput --events 20000 --keys 100 --runs 1 --workers 1,2 --json t.json");
    assert!(ran.stdout.starts_with("scenario") && ran.stdout.contains("keyed window"), "{ran:?}");
    assert!(place.read("t.json").contains("\"events_per_s\""));
    let ran = place.done("bench latency --rates 1000 --workers 1 --duration 1s --warm-up 0 --json l.json --hlog logs");
    assert!(ran.stdout.contains("p99"), "{ran:?}");
    assert!(place.read("l.json").contains("\"percentiles_ns\"") && place.path("logs").is_dir());
    place.refused(1, "bench latency --json l.json", &["l.json: the file exists; --overwrite replaces it"]);
    place.refused(1, "bench latency --json no/such/l.json", &["no/such/l.json: cannot create the file"]);
    place.refused(1, "bench throughput --capture nowhere.pelton", &["nowhere.pelton"]);
    place.refused(2, "bench latency --duration 1500ms", &["whole seconds"]);
    place.refused(2, "bench throughput --workers 1,0", &["from 1 to 256"]);
}
