//! Journals as the first program wrote them that could write their version: they are read for ever. With
//! `PELTON_WRITE_GOLDEN` set, those of the newest version are written that are not there.

use super::world::{Rows, World};
use pelton::testing::CrashingDisk;
use pelton_tests::jobs::KINDS;
use pelton_tests::rng::Rng;
use pelton_tests::tape::Tape;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// The newest version of journals.
const VERSION: u32 = 2;
const SEED: u64 = 7;

fn golden(version: u32, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/journal-{version}")).join(name)
}

fn disk(version: u32, name: &str) -> CrashingDisk {
    CrashingDisk::with_bytes(std::fs::read(golden(version, name)).unwrap())
}

/// Each version that was ever written, read by one worker and by several.
fn versions_and_workers() -> impl Iterator<Item = (u32, usize)> {
    (2..=VERSION).flat_map(|version| (1..4).map(move |workers| (version, workers)))
}

/// Writes two files where golden ones are to be written and are not there; what they hold is made only then.
fn write_if_asked(names: [&str; 2], make: impl FnOnce() -> [Vec<u8>; 2]) {
    if std::env::var_os("PELTON_WRITE_GOLDEN").is_none() || golden(VERSION, names[0]).exists() {
        return;
    }
    std::fs::create_dir_all(golden(VERSION, "")).unwrap();
    for (name, bytes) in names.into_iter().zip(make()) {
        std::fs::write(golden(VERSION, name), bytes).unwrap();
    }
}

#[test]
fn a_job_goes_on_from_a_state_and_a_journal_that_were_written_once() {
    let names = ["pushed-snapshots.log", "pushed-journal.log"];
    let mut rng = Rng::new(SEED);
    let made = World::new(Some(KINDS[0]), SEED, &mut rng);
    write_if_asked(names, || {
        let mut world = made.on_disks(CrashingDisk::new(), CrashingDisk::new());
        let mut started = world.start(2, &mut rng).unwrap();
        assert!(!world.step(&mut started, (2, 150), &mut rng));
        drop(started);
        [world.state.bytes(), world.journal.bytes()]
    });
    let (out, late) = made.expected(KINDS[0]);
    for (version, workers) in versions_and_workers() {
        let mut rng = Rng::new(workers as u64);
        let mut world = made.on_disks(disk(version, names[0]), disk(version, names[1]));
        (world.out, world.late) = (Tape::with_rows(out.clone()), Tape::with_rows(late.clone()));
        let mut started = world.start(workers, &mut rng).unwrap();
        assert!(started.sent[0] > 0);
        assert!(world.step(&mut started, (workers, u64::MAX), &mut rng));
        let recovery = started.simulation.finish().unwrap().recovery.unwrap();
        assert!(recovery.resumed_from.is_some_and(|epoch| epoch > 1), "{recovery:?}");
        assert_eq!((world.out.rows(), world.late.rows()), (out.clone(), late.clone()));
    }
}

/// Replays a journal of a world of this seed: it gives the rows that the job gave which wrote it.
fn check_replay(seed: u64, names: [&str; 2]) {
    let mut rng = Rng::new(seed);
    let made = World::new(None, seed, &mut rng);
    write_if_asked(names, || {
        let mut world = made.on_disks(CrashingDisk::new(), CrashingDisk::new());
        let mut started = world.start(2, &mut rng).unwrap();
        assert!(world.step(&mut started, (2, u64::MAX), &mut rng));
        started.simulation.finish().unwrap();
        [world.journal.bytes(), text(&world.rows()).into_bytes()]
    });
    made.written.store(made.lines.len(), Ordering::Release);
    for (version, workers) in versions_and_workers() {
        let world = made.on_disks(CrashingDisk::new(), disk(version, names[0]));
        let (rows, report, _) = world.replayed(workers, &mut Rng::new(workers as u64));
        report.balance().unwrap();
        assert_eq!(text(&rows), std::fs::read_to_string(golden(version, names[1])).unwrap());
    }
}

#[test]
fn a_journal_of_all_kinds_of_sources_that_was_written_once_gives_the_rows_it_gave() {
    check_replay(SEED, ["mixed-journal.log", "mixed-rows.txt"]);
}

#[test]
fn a_journal_with_watermarks_that_was_written_once_gives_the_rows_it_gave() {
    check_replay(SEED + 1, ["told-journal.log", "told-rows.txt"]);
}

/// A line for each row of each sink.
fn text(sinks: &[Rows; 3]) -> String {
    let mut text = String::new();
    for (name, rows) in ["out", "late", "all"].iter().zip(sinks) {
        for (time, row) in rows {
            writeln!(text, "{name} {} {} {} {}", time.as_nanos(), row.key, row.a, row.b).unwrap();
        }
    }
    text
}
