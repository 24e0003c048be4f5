//! `--state`: a replay that is killed at any moment and given again, at other numbers of workers, ends with the output of
//! one that nobody touched; and what is said where that cannot be.

use crate::support::{Place, drain, wait};
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often the command is killed: 20 times, or as often as one asks for.
pub(crate) fn kills_wanted() -> u64 {
    pelton_tests::campaign::number("PELTON_KILLS", 20)
}

/// Trades with disorder, and the bars and late events of all of them.
fn trades(place: &Place) -> (Vec<u8>, Vec<u8>) {
    place.done("generate trades --events 400000 --keys 300 --rate 100000 --disorder 3ms --block 512 t.pelton");
    place.done("replay t.pelton --window 10ms --out expected.csv --late expected_late.csv --workers 1");
    (place.bytes("expected.csv"), place.bytes("expected_late.csv"))
}

const REPLAY: &str =
    "replay t.pelton --window 10ms --state state --checkpoint-every 3ms --out bars.csv --late late.csv";

fn same(found: &[u8], expected: &[u8], what: &str) {
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    assert!(found == expected, "{what}: {} bytes and {}, the first other one at {at:?}", found.len(), expected.len());
}

#[test]
fn a_replay_that_is_killed_anywhere_ends_with_the_same_files() {
    let place = Place::new();
    let (expected, expected_late) = trades(&place);
    // However slow the machine is, some kills come behind a checkpoint.
    let start = Instant::now();
    place.done(&REPLAY.replace("state state", "state whole").replace("bars.csv", "a.csv").replace("late.csv", "b.csv"));
    let whole = start.elapsed();
    let mut kills = 0;
    let mut number = 0u64;
    let mut resumed = 0;
    while kills < kills_wanted() {
        for file in ["bars.csv", "late.csv"] {
            let _ = fs::remove_file(place.path(file));
        }
        let _ = fs::remove_dir_all(place.path("state"));
        loop {
            number += 1;
            let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (workers, moment) = (1 + (hash >> 40) % 3, whole.mul_f64(((hash >> 33) % 1000) as f64 / 1000.0));
            let run = place.killed_at(&format!("{REPLAY} --workers {workers}"), moment);
            kills += u64::from(run.is_killed);
            resumed += u64::from(run.has_resumed);
            if run.is_done {
                break;
            }
        }
        same(&place.bytes("bars.csv"), &expected, "bars");
        same(&place.bytes("late.csv"), &expected_late, "late events");
    }
    println!("{kills} kills, {resumed} times it went on from a checkpoint");
    // Given again, the job is done, and says so.
    let again = place.done(REPLAY);
    assert!(again.stderr.contains("the job had finished at checkpoint"), "{}", again.stderr);
    same(&place.bytes("bars.csv"), &expected, "bars of a job that had finished");
    assert!(resumed > 0, "it never went on from a checkpoint");
}

#[test]
fn a_signal_stops_at_a_savepoint_and_the_same_command_goes_on() {
    let place = Place::new();
    let (expected, expected_late) = trades(&place);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let before = place.path("bars.csv").metadata().map_or(0, |file| file.len());
        // At its speed it would take four seconds.
        let line = format!("{REPLAY} --speed 1x --workers 2");
        let mut child = place.command().args(line.split(' ')).spawn().unwrap();
        let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let start = Instant::now();
        while !place.path("bars.csv").metadata().is_ok_and(|file| file.len() > before + 20_000) {
            assert!(start.elapsed() < Duration::from_secs(30), "no row was written");
            sleep(Duration::from_millis(2));
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let found = wait(&mut child, signal);
        stdout.join().unwrap();
        let said = stderr.join().unwrap();
        assert_eq!(found, code, "{said}");
        assert!(said.contains("stopped at savepoint ") && said.contains("the same command goes on"), "{said}");
        assert!(said.contains("every event is accounted for") || said.contains("savepoint"), "{said}");
        assert!(place.bytes("bars.csv").len() < expected.len());
    }
    place.done(&format!("{REPLAY} --workers 1"));
    same(&place.bytes("bars.csv"), &expected, "bars");
    same(&place.bytes("late.csv"), &expected_late, "late events");
}

#[test]
fn a_replay_stops_where_event_time_has_come_to_and_goes_on() {
    let place = Place::new();
    let (expected, expected_late) = trades(&place);
    let text = String::from_utf8(expected.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let time = lines[lines.len() / 2].split(',').next().unwrap();
    let stopped = place.done(&format!("{REPLAY} --stop-at {time} --workers 2"));
    assert!(stopped.stderr.contains("where event time has come to --stop-at"), "{}", stopped.stderr);
    let bars = place.bytes("bars.csv");
    assert!(expected.starts_with(&bars) && bars.len() > expected.len() / 3 && bars.len() < expected.len() * 2 / 3);
    place.done(&format!("{REPLAY} --workers 1"));
    same(&place.bytes("bars.csv"), &expected, "bars");
    same(&place.bytes("late.csv"), &expected_late, "late events");
    place.refused(2, &format!("replay t.pelton --window 10ms --stop-at {time}"), &["--state"]);
}

#[test]
fn state_can_be_looked_at() {
    let place = Place::new();
    trades(&place);
    place.done(REPLAY);
    let list = place.done("state list state").stdout;
    assert!(list.contains("the job had finished"), "{list}");
    let verified = place.done("state verify state").stdout;
    assert!(verified.contains("every checksum holds"), "{verified}");
    let show = place.done("state show state").stdout;
    for part in ["job ", "t.pelton: ", "bars/slices", "400,000", "output      late goes on"] {
        assert!(show.contains(part), "no {part:?} in {show}");
    }
    let export = place.done("state export state bars/slices").stdout;
    assert!(export.starts_with("worker,window_start,key,"), "{export}");
    place.refused(2, "state export state bars/nothing", &["bars/nothing", "bars/slices"]);
    place.refused(1, "state show state --checkpoint 999999", &["there is no checkpoint 999999"]);
    place.refused(1, "state list nowhere", &["nowhere"]);
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_lost() {
    let place = Place::new();
    let (expected, _) = trades(&place);
    // A file that is there and not the job's own stays.
    place.write("bars.csv", "mine");
    place.refused(1, REPLAY, &["bars.csv", "--overwrite"]);
    assert_eq!(place.read("bars.csv"), "mine");
    fs::remove_file(place.path("bars.csv")).unwrap();
    place.done(REPLAY);
    place.refused(1, &REPLAY.replace("10ms", "20ms"), &["does not fit this job", "20ms"]);
    place.refused(1, &REPLAY.replace("bars.csv", "other.csv"), &["other.csv", "not the file that the job wrote to"]);
    fs::remove_file(place.path("other.csv")).unwrap();
    place.refused(1, &REPLAY.replace(" --late late.csv", ""), &["sink `late` is not in the job"]);
    // Another input under the same name.
    fs::copy(place.path("t.pelton"), place.path("kept.pelton")).unwrap();
    place.done("generate trades --events 400000 --keys 300 --seed 9 --block 512 --overwrite t.pelton");
    place.refused(1, REPLAY, &["what was read of `t.pelton`"]);
    fs::rename(place.path("kept.pelton"), place.path("t.pelton")).unwrap();
    // Damage is told with its place.
    let log = place.path("state/snapshots.log");
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, vec![7; bytes.len()]).unwrap();
    place.refused(1, REPLAY, &["snapshots.log: damaged at byte 0"]);
    fs::write(&log, &bytes).unwrap();
    fs::write(place.path("bars.csv"), &expected[..expected.len() / 2]).unwrap();
    place.refused(1, REPLAY, &["bars.csv: ", "were committed"]);
}
