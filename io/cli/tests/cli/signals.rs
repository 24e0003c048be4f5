//! SIGINT and SIGTERM: a command that is stopped says what is missing and leaves nothing by halves.

use crate::support::{Place, drain, wait};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

fn start(place: &Place, line: &str) -> Child {
    place.command().args(line.split(' ')).spawn().unwrap()
}

fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// Waits until something is so, for half a minute at most.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not happen");
        sleep(Duration::from_millis(2));
    }
}

fn make_pipe(place: &Place, name: &str) {
    assert!(Command::new("mkfifo").arg(place.path(name)).status().unwrap().success());
}

/// Half a minute of trades, and the bars of all of them.
fn half_a_minute(place: &Place) -> String {
    place.done("generate trades --events 300000 --keys 20 --rate 10000 --block 100 t.pelton");
    place.done("replay t.pelton --window 50ms").stdout
}

#[test]
fn a_replay_that_is_stopped_keeps_whole_rows_and_says_that_they_are_a_part() {
    let place = Place::new();
    let expected = half_a_minute(&place);
    for (signal, name, code, workers) in [("-INT", "SIGINT", 130, 1), ("-TERM", "SIGTERM", 143, 2)] {
        place.write("bars.csv", "old");
        let options = format!("--window 50ms --speed 1x --overwrite --workers {workers}");
        let mut child = start(&place, &format!("replay t.pelton {options} --out bars.csv --late late.csv"));
        let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let beside = place.path(format!(".bars.csv.partial-{}", child.id()));
        until("a row", || beside.metadata().is_ok_and(|file| file.len() > 2_000));
        assert_eq!(place.read("bars.csv"), "old");
        send(signal, &child);
        assert_eq!(wait(&mut child, signal), code);
        let (part, said) = (place.read("bars.csv"), stderr.join().unwrap());
        assert!(part.ends_with('\n') && part.len() < expected.len() && expected.starts_with(&part), "{said}");
        let rows = part.lines().count() - 1;
        for part in [
            format!("bars.csv is partial: it holds the first {rows} rows of the result"),
            "late.csv is partial: it holds the first 0 rows".to_owned(),
            format!("stopped by {name}: "),
            " of up to 300,000 events were read".to_owned(),
            "behind: ".to_owned(),
        ] {
            assert!(said.contains(&part), "no {part:?} in {said}");
        }
        assert!(!said.contains("every event is accounted for") && !said.contains("panicked"), "{said}");
        assert_eq!((place.hidden(), stdout.join().unwrap()), (0, String::new()));
    }
}

#[test]
fn rows_on_standard_output_end_with_a_whole_one() {
    let place = Place::new();
    let expected = half_a_minute(&place);
    let mut child = start(&place, "replay t.pelton --window 50ms --speed 1x");
    let stderr = drain(child.stderr.take());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut read = String::new();
    for _ in 0..100 {
        read += &(lines.next().unwrap().unwrap() + "\n");
    }
    send("-INT", &child);
    lines.for_each(|line| read += &(line.unwrap() + "\n"));
    assert_eq!(wait(&mut child, "replay"), 130);
    assert!(expected.starts_with(&read) && read.len() < expected.len());
    assert!(stderr.join().unwrap().contains("standard output is partial"));
}

#[test]
fn a_second_signal_ends_the_command_at_once_and_leaves_no_file() {
    let place = Place::new();
    place.done("generate trades --events 1000 t.pelton");
    make_pipe(&place, "pipe");
    // Nobody reads the pipe, so it cannot be opened, and the command cannot stop in good order.
    let mut child = start(&place, "replay t.pelton --out bars.csv --late pipe");
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    until("the file beside bars.csv", || place.hidden() == 1);
    send("-INT", &child);
    let line = said.next().unwrap().unwrap();
    assert!(line.contains("SIGINT: stopping; a second signal ends the command at once"), "{line}");
    assert!(child.try_wait().unwrap().is_none());
    send("-TERM", &child);
    assert_eq!(wait(&mut child, "replay"), 143);
    assert!(place.hidden() == 0 && !place.path("bars.csv").exists());
}

#[test]
fn generate_and_convert_leave_no_output_when_they_are_stopped() {
    let place = Place::new();
    let mut child = start(&place, "generate trades --events 50000000 big.pelton");
    let stderr = drain(child.stderr.take());
    until("the file beside big.pelton", || place.hidden() == 1);
    send("-INT", &child);
    assert_eq!(wait(&mut child, "generate"), 130);
    let said = stderr.join().unwrap();
    assert!(said.contains("big.pelton was not created") && said.contains("stopped by SIGINT"), "{said}");
    assert!(place.hidden() == 0 && !place.path("big.pelton").exists());

    make_pipe(&place, "rows.csv");
    let mut child = start(&place, "convert --from csv rows.csv rows.pelton");
    let stderr = drain(child.stderr.take());
    let pipe = place.path("rows.csv");
    let writer = spawn(move || {
        let mut pipe = OpenOptions::new().write(true).open(pipe).unwrap();
        pipe.write_all(b"at:time[ms],value:u32\nnonsense\n").unwrap();
        // Until nobody reads any more.
        while pipe.write_all(&b"1,2\n".repeat(1_000)).is_ok() {}
    });
    until("the rejected line", || place.path("rows.pelton.rejects.csv").exists());
    send("-TERM", &child);
    assert_eq!(wait(&mut child, "convert"), 143);
    writer.join().unwrap();
    let said = stderr.join().unwrap();
    assert!(said.contains("rows.pelton was not created") && said.contains("stopped by SIGTERM"), "{said}");
    let left = [place.path("rows.pelton").exists(), place.path("rows.pelton.rejects.csv").exists()];
    assert_eq!((left, place.hidden()), ([false; 2], 0));
}

#[test]
fn a_conversion_that_is_ended_at_once_leaves_no_file() {
    let place = Place::new();
    make_pipe(&place, "rows.csv");
    let mut child = start(&place, "convert --from csv rows.csv rows.pelton");
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut pipe = OpenOptions::new().write(true).open(place.path("rows.csv")).unwrap();
    // Nothing follows, and the pipe stays open, so that the command waits for more and cannot stop in good order.
    pipe.write_all(b"at:time[ms],value:u32\nnonsense\n").unwrap();
    pipe.write_all(&b"1,2\n".repeat(10_000)).unwrap();
    until("the rejected line", || place.path("rows.pelton.rejects.csv").exists());
    assert_eq!(place.hidden(), 1);
    // What it has read no longer grows: it waits.
    let read = || std::fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    until("the end of what there is to read", || {
        let before = read();
        sleep(Duration::from_millis(100));
        read() == before
    });
    send("-INT", &child);
    let line = said.next().unwrap().unwrap();
    assert!(line.contains("SIGINT: stopping; a second signal ends the command at once"), "{line}");
    send("-TERM", &child);
    assert_eq!(wait(&mut child, "convert"), 143);
    let left = [place.path("rows.pelton").exists(), place.path("rows.pelton.rejects.csv").exists()];
    assert_eq!((left, place.hidden()), ([false; 2], 0));
}

#[test]
fn a_benchmark_and_an_inspection_end_with_the_first_signal_and_leave_no_file() {
    let place = Place::new();
    let entries = || std::fs::read_dir(place.path("")).unwrap().count();
    let mut child = start(&place, "bench throughput --events 50000000 --json results.json");
    until("the directory and the file beside results.json", || entries() == 2);
    sleep(Duration::from_millis(20));
    send("-INT", &child);
    assert_eq!(wait(&mut child, "bench"), 130);
    assert_eq!(entries(), 0);

    place.done("generate trades --events 100000 t.pelton");
    // Nobody reads what it prints, which is more than a pipe holds.
    let mut child = start(&place, "inspect t.pelton --head 100000");
    let stderr = drain(child.stderr.take());
    sleep(Duration::from_millis(200));
    send("-TERM", &child);
    assert_eq!(wait(&mut child, "inspect"), 143);
    assert!(stderr.join().unwrap().contains("SIGTERM: ended at once"));
}

#[test]
fn a_demo_that_is_stopped_removes_its_directory() {
    let place = Place::new();
    let entries = || std::fs::read_dir(place.path("")).unwrap().count();
    let mut child = start(&place, "demo");
    until("the demo's directory", || entries() == 1);
    send("-INT", &child);
    assert_eq!(wait(&mut child, "demo"), 130);
    assert_eq!(entries(), 0);
}

#[test]
fn what_the_disk_has_no_room_for_is_refused_before_anything_is_made() {
    let place = Place::new();
    for line in ["demo --events 99999999999999", "generate trades --events 99999999999999 t.pelton"] {
        let start = Instant::now();
        place.refused(1, line, &[" bytes, and ", " bytes are available"]);
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(std::fs::read_dir(place.path("")).unwrap().count(), 0);
    }
}
