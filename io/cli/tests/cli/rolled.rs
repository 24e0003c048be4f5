//! `--roll` and `--row-numbers`: files that follow one another, killed and given again; and numbers that tell repeats.

use crate::state::kills_wanted;
use crate::support::{Place, drain};
use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

const TRADES: &str = "generate trades --events 200000 --keys 100 --rate 20 --disorder 3s --block 512 t.pelton";

/// The files in a directory, hidden ones too.
fn files(place: &Place, name: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(place.path(name)).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// What differs between the files of two directories.
fn same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>, what: &str) {
    let names = |files: &BTreeMap<String, Vec<u8>>| -> Vec<String> {
        files.iter().map(|(name, bytes)| format!("{name} {}", bytes.len())).collect()
    };
    assert!(found == expected, "{what}: expected {:?}, found {:?}", names(expected), names(found));
}

#[test]
fn files_follow_one_another_by_size_hour_and_day_and_hold_the_same_rows() {
    let place = Place::new();
    place.done(TRADES);
    place.done("replay t.pelton --window 1m --out whole.csv");
    let whole = place.read("whole.csv");
    let (header, rows) = whole.split_once('\n').unwrap();
    for (roll, first) in
        [("20KiB", "bars-000000.csv"), ("hour", "bars-000000-2024-01-02T14.csv"), ("day", "bars-000000-2024-01-02.csv")]
    {
        fs::create_dir(place.path("out")).unwrap();
        place.done(&format!("replay t.pelton --window 1m --out out/bars.csv --roll {roll}"));
        let files = files(&place, "out");
        assert!(files.contains_key(first), "{:?}", files.keys());
        let mut all = String::new();
        for (name, bytes) in &files {
            assert!(roll != "20KiB" || bytes.len() <= 20 << 10, "{name}");
            let text = String::from_utf8(bytes.clone()).unwrap();
            all.push_str(text.strip_prefix(header).unwrap().strip_prefix('\n').unwrap());
        }
        assert!(files.len() >= if roll == "day" { 1 } else { 3 } && all == rows, "{roll}");
        // What is there stays, unless it may go.
        let again = format!("replay t.pelton --window 1m --out out/bars.csv --roll {roll}");
        place.refused(1, &again, &["out/bars-0000", "--overwrite replaces it"]);
        place.done(&format!("{again} --overwrite"));
        same(&self::files(&place, "out"), &files, roll);
        fs::remove_dir_all(place.path("out")).unwrap();
    }
    fs::create_dir(place.path("out")).unwrap();
    place.done("replay t.pelton --window 1m --out out/ --roll day");
    assert!(files(&place, "out").contains_key("part-000000-2024-01-02.csv"));
}

#[test]
fn rolled_files_of_a_replay_that_is_killed_anywhere_are_the_same_in_the_end() {
    let place = Place::new();
    place.done(TRADES);
    let mut number = 0u64;
    let mut resumed = 0;
    for roll in ["hour", "30KiB"] {
        let replay = format!("replay t.pelton --window 1m --roll {roll} --late out/late.csv --out out/bars.csv");
        fs::create_dir(place.path("out")).unwrap();
        // However slow the machine is, some kills come behind a checkpoint.
        let start = Instant::now();
        place.done(&format!("{replay} --workers 1"));
        let whole = start.elapsed();
        let expected = files(&place, "out");
        assert!(expected.len() > 4, "{:?}", expected.keys());
        let mut kills = 0;
        while kills < kills_wanted() / 2 {
            fs::remove_dir_all(place.path("out")).unwrap();
            let _ = fs::remove_dir_all(place.path("state"));
            fs::create_dir(place.path("out")).unwrap();
            loop {
                number += 1;
                let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let (workers, moment) = (1 + (hash >> 40) % 3, whole.mul_f64(((hash >> 33) % 1000) as f64 / 1000.0));
                let line = format!("{replay} --state state --checkpoint-every 3ms --workers {workers}");
                let run = place.killed_at(&line, moment);
                kills += u64::from(run.is_killed);
                resumed += u64::from(run.has_resumed);
                if run.is_done {
                    break;
                }
            }
            same(&files(&place, "out"), &expected, roll);
        }
        let other = replay.replace(&format!("--roll {roll}"), "--roll day");
        place.refused(1, &format!("{other} --state state"), &["out/bars.csv: its files were rolled by", "by the day"]);
        fs::remove_dir_all(place.path("out")).unwrap();
        let _ = fs::remove_dir_all(place.path("state"));
    }
    assert!(resumed > 0, "it never went on from a checkpoint");
}

#[test]
fn numbers_on_standard_output_tell_which_rows_come_again() {
    let place = Place::new();
    place.done(TRADES);
    let replay = "replay t.pelton --window 1m --row-numbers";
    let expected = place.done(&format!("{replay} --workers 2")).stdout;
    assert!(expected.starts_with("row_number,window_start,"), "{expected}");
    place.done(&format!("{replay} --out numbered.csv --late late.csv"));
    assert_eq!(place.read("numbered.csv"), expected);
    assert!(place.read("late.csv").starts_with("row_number,"));
    let mut rows: Vec<String> = Vec::new();
    let mut repeats = 0;
    for run in 0u64.. {
        let line = format!("{replay} --state state --checkpoint-every 3ms --workers {}", 1 + run % 3);
        let mut child = place.command().args(line.split(' ')).spawn().unwrap();
        let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
        if run < 5 {
            sleep(Duration::from_millis(20 + 15 * run));
            let _ = child.kill();
        }
        let status = child.wait().unwrap();
        let (stdout, said) = (stdout.join().unwrap(), stderr.join().unwrap());
        // The last line may be cut, and is then not taken.
        for line in stdout.split_inclusive('\n').filter(|line| line.ends_with('\n') && !line.starts_with("row_number"))
        {
            let number: usize = line.split(',').next().unwrap().parse().unwrap();
            match rows.get(number) {
                Some(row) => assert_eq!(row, line),
                None => {
                    assert_eq!(number, rows.len(), "no number is left out: {said}");
                    rows.push(line.to_owned());
                    continue;
                }
            }
            repeats += 1;
        }
        if status.code() == Some(0) {
            break;
        }
        assert!(status.code().is_none(), "{said}");
    }
    println!("{repeats} rows came again");
    assert_eq!(rows.concat(), expected.split_once('\n').unwrap().1);
    // Numbers are part of what was written: without them the job is another.
    place.refused(1, "replay t.pelton --window 1m --state state", &["with row numbers"]);
}

#[test]
fn what_cannot_be_rolled_is_wrong_usage() {
    let place = Place::new();
    place.done("generate trades --events 5000 --keys 7 --block 512 bars-000007.pelton");
    let replay = "replay bars-000007.pelton";
    for (line, part) in [
        (format!("{replay} --roll hour"), "standard output cannot be rolled"),
        (format!("{replay} --roll week --out bars.csv"), "expected hour, day or a size such as 64MiB"),
        (format!("{replay} --roll 10B --out bars.csv"), "at least 1KiB"),
        (format!("{replay} --roll hour --out bars.pelton --overwrite"), "has a name that files of bars.pelton may get"),
    ] {
        place.refused(2, &line, &[part]);
    }
    place.refused(1, &format!("{replay} --roll hour --out no/such/bars.csv"), &["no/such/bars.csv"]);
    assert!(place.path("bars-000007.pelton").exists());
}
