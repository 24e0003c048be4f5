//! Outputs: they appear whole under their names, and nothing that exists is lost by a mistake.

use crate::support::{Place, wait};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

const TRADES: &str = "generate trades --events 5000 --keys 7 --block 512 t.pelton";

#[test]
fn a_file_that_exists_is_kept_and_the_option_that_replaces_it_is_named() {
    let place = Place::new();
    place.done(TRADES);
    place.write("20131008_bac_Trade_Tick.csv", "34200000,138000,100,P,2000,0\n");
    place.write("kept", "precious");
    let parts = ["pelton: kept: the file exists; --overwrite replaces it"];
    for line in [
        "replay t.pelton --out kept",
        "replay t.pelton --out bars.csv --late kept",
        // Found before the input is looked at.
        "replay nowhere.pelton --out kept",
        "generate trades --events 10 kept",
        "convert --from lean-trade 20131008_bac_Trade_Tick.csv kept",
        "convert --from lean-trade nowhere.csv kept",
    ] {
        place.refused(1, line, &parts);
        assert_eq!(place.read("kept"), "precious", "{line}");
        assert!(!place.path("bars.csv").exists() && place.hidden() == 0, "{line}");
    }

    // Rejected lines of an earlier import are an output too.
    place.write("bac.pelton.rejects.csv", "precious");
    let convert = "convert --from lean-trade 20131008_bac_Trade_Tick.csv bac.pelton";
    place.refused(1, convert, &["bac.pelton.rejects.csv: the file exists; --overwrite replaces it"]);
    assert!(!place.path("bac.pelton").exists());
    place.done(&format!("{convert} --overwrite"));
    assert!(!place.path("bac.pelton.rejects.csv").exists());

    place.done("replay t.pelton --out kept --overwrite");
    assert!(place.read("kept").starts_with("window_start,") && place.hidden() == 0);
}

#[test]
fn a_link_stays_a_link_and_its_file_is_replaced() {
    let place = Place::new();
    place.done(TRADES);
    place.write("old.csv", "old");
    std::os::unix::fs::symlink("old.csv", place.path("link.csv")).unwrap();
    place.refused(1, "replay t.pelton --out link.csv", &["link.csv: the file exists; --overwrite"]);
    place.refused(2, "replay t.pelton --overwrite --out link.csv --late old.csv", &["--out and --late"]);
    place.refused(2, "replay t.pelton --out new.csv --late ./new.csv", &["--out and --late"]);
    place.done("replay t.pelton --overwrite --out link.csv");
    assert!(fs::symlink_metadata(place.path("link.csv")).unwrap().is_symlink());
    assert!(place.read("old.csv").starts_with("window_start,"));
}

#[test]
fn what_is_no_regular_file_is_written_in_place_without_a_question() {
    let place = Place::new();
    place.done(TRADES);
    let expected = place.done("replay t.pelton --window 1ms").stdout;
    assert_eq!(place.done("replay t.pelton --window 1ms --out /dev/null").stdout, "");
    assert_eq!(place.done("replay t.pelton --window 1ms --out /dev/stdout").stdout, expected);
    place.done("generate trades --events 10 /dev/null");

    // Redirected to a file, it is still what the shell has opened.
    let mut command = place.command();
    command.args("replay t.pelton --window 1ms --out /dev/stdout".split(' '));
    command.stdout(File::create(place.path("redirected.csv")).unwrap());
    assert!(command.status().unwrap().success());
    assert!(place.read("redirected.csv") == expected);

    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    let line = "replay t.pelton --window 1ms --out pipe";
    let mut child = place.command().args(line.split(' ')).spawn().unwrap();
    let lines = BufReader::new(File::open(place.path("pipe")).unwrap()).lines();
    let read: String = lines.map(|line| line.unwrap() + "\n").collect();
    assert_eq!(wait(&mut child, line), 0);
    assert!(read == expected && place.hidden() == 0);
}

#[test]
fn a_full_disk_is_told_with_what_is_left_of_the_output() {
    if !Path::new("/dev/full").exists() {
        println!("skipped a_full_disk_is_told_with_what_is_left_of_the_output: there is no /dev/full");
        return;
    }
    let place = Place::new();
    place.done(TRADES);
    let part = "/dev/full holds at most a part of the result";
    place.refused(1, "replay t.pelton --out /dev/full", &["No space left", part]);
    place.refused(1, "generate trades --events 10 /dev/full", &["No space left", part]);
    let ran = place.run("replay t.pelton --out /dev/full");
    assert_eq!(ran.stderr.matches("No space left").count(), 1, "{}", ran.stderr);
}
