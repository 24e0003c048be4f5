//! Which files there are: their names and bytes, what is in the way, and what is taken back.

use crate::capture::{self, Capture};
use crate::sink::{Format, Roll, Rolling, TextSink};
use pelton::{BoxError, CheckpointOptions, Job, Options, Sink, Stop, Timestamp, VecSource};
use pelton_tests::events::{Sample, Shape, samples};
use std::fs;
use std::path::Path;

const HOUR: i64 = 3_600_000_000_000;

/// A sink of numbers, whatever it writes to.
type Numbers = Box<dyn Sink<u64>>;

fn text(path: &Path, roll: Roll, format: Format) -> TextSink {
    TextSink::rolling(Rolling::new(path, roll), format).unwrap()
}

fn open(sink: TextSink) -> Numbers {
    let mut sink: Numbers = Box::new(sink);
    sink.open(&Default::default()).unwrap();
    sink
}

fn write(sink: &mut Numbers, rows: &[(i64, u64)]) {
    let (times, values): (Vec<_>, Vec<_>) =
        rows.iter().map(|(time, value)| (Timestamp::from_nanos(*time), *value)).unzip();
    assert_eq!(sink.write(&times, &values).unwrap(), rows.len());
}

/// The files of a directory, sorted by their names.
fn all(dir: &Path) -> Vec<(String, String)> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    all.sort();
    all
}

fn pairs<const N: usize>(files: [(&str, &str); N]) -> Vec<(String, String)> {
    files.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

#[test]
fn the_largest_time_so_far_rolls_and_late_rows_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(text(&dir.path().join("rows.csv"), Roll::hourly(), Format::Csv));
    write(&mut sink, &[(0, 1), (HOUR - 1, 2), (HOUR, 3), (HOUR - 1, 4), (5 * HOUR, 5), (0, 6)]);
    // Whole files have their names at once, where no checkpoint has to cover them.
    sink.flush().unwrap();
    let written = pairs([
        (".rows-000002-1970-01-01T05.csv.in-progress", "value\n5\n6\n"),
        ("rows-000000-1970-01-01T00.csv", "value\n1\n2\n"),
        ("rows-000001-1970-01-01T01.csv", "value\n3\n4\n"),
    ]);
    assert_eq!(all(dir.path()), written);
    sink.finish().unwrap();
    assert_eq!(all(dir.path())[2], ("rows-000002-1970-01-01T05.csv".into(), "value\n5\n6\n".into()));
}

#[test]
fn a_file_has_as_many_bytes_as_it_may_and_at_least_one_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(text(&dir.path().join("rows.csv"), Roll::bytes(10), Format::Csv));
    // The header takes 6 bytes.
    write(&mut sink, &[(9, 1), (3, 2), (4, 3), (5, 123_456_789), (6, 4)]);
    sink.finish().unwrap();
    let expected = pairs([
        ("rows-000000.csv", "value\n1\n2\n"),
        ("rows-000001.csv", "value\n3\n"),
        ("rows-000002.csv", "value\n123456789\n"),
        ("rows-000003.csv", "value\n4\n"),
    ]);
    assert_eq!(all(dir.path()), expected);
}

#[test]
fn rows_are_numbered_through_all_files_in_both_formats() {
    for (format, expected) in [
        (Format::Csv, ["row_number,value\n7,1\n", "row_number,value\n8,2\n"]),
        (Format::Json, ["{\"row_number\":7,\"value\":1}\n", "{\"row_number\":8,\"value\":2}\n"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut sink: Numbers = Box::new(text(&dir.path().join("rows.x"), Roll::daily(), format).numbered());
        sink.first_number(7);
        sink.open(&Default::default()).unwrap();
        // As workers encode them, and as rows.
        let mut bytes = Vec::new();
        let mut encoder = sink.encoders().unwrap()(&Default::default());
        encoder.encode(Timestamp::from_nanos(0), &1u64.to_le_bytes(), &mut bytes);
        sink.write_encoded(1, &bytes).unwrap();
        write(&mut sink, &[(24 * HOUR, 2)]);
        sink.finish().unwrap();
        let found: Vec<_> = all(dir.path()).into_iter().map(|(_, text)| text).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn no_rows_are_no_files_and_a_sink_that_is_dropped_leaves_whole_rows() {
    let dir = tempfile::tempdir().unwrap();
    open(text(&dir.path().join("rows.csv"), Roll::daily(), Format::Csv)).finish().unwrap();
    assert_eq!(all(dir.path()), []);
    let mut sink = open(text(&dir.path().join("rows.csv"), Roll::daily(), Format::Csv));
    write(&mut sink, &[(0, 1)]);
    drop(sink);
    assert_eq!(all(dir.path()), pairs([("rows-000000-1970-01-01.csv", "value\n1\n")]));
}

#[test]
fn what_is_in_the_way_is_an_error_and_is_removed_only_where_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.csv");
    for name in ["rows-000009.csv", ".rows-000001.csv.in-progress", "rows-000001-1970-01-01.csv"] {
        fs::write(dir.path().join(name), "mine").unwrap();
        fs::write(dir.path().join("rows-9.csv"), "another").unwrap();
        let mut sink: Numbers = Box::new(text(&path, Roll::bytes(9), Format::Csv));
        let error = sink.open(&Default::default()).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("cannot write to the file"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), "mine");
        let files = Rolling::new(&path, Roll::bytes(9)).overwrite(true);
        let mut sink = open(TextSink::rolling(files, Format::Csv).unwrap());
        write(&mut sink, &[(0, 1)]);
        sink.finish().unwrap();
        assert_eq!(all(dir.path()), pairs([("rows-000000.csv", "value\n1\n"), ("rows-9.csv", "another")]));
        fs::remove_file(dir.path().join("rows-000000.csv")).unwrap();
    }
    // One that appears while the job runs stays too.
    let mut sink = open(text(&path, Roll::bytes(9), Format::Csv));
    write(&mut sink, &[(0, 1)]);
    fs::write(dir.path().join("rows-000000.csv"), "mine").unwrap();
    let error = sink.finish().unwrap_err().to_string();
    assert!(error.contains("rows-000000.csv: cannot give the file its name"), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("rows-000000.csv")).unwrap(), "mine");
}

/// A job over some hours of samples that stops at a savepoint in the middle; whether it came to its end.
fn run(dir: &Path, sink: impl Sink<u64>, workers: usize, stops: bool) -> Result<bool, String> {
    let events = samples(&Shape { events: 4000, keys: 5, step_ns: HOUR / 100, disorder_ns: 0, seed: 3 });
    let mut job = Job::new("rows");
    let middle = Timestamp::from_nanos(events[events.len() / 2].time_ns);
    let count = events.len() as u64;
    job.source("samples", VecSource::new(events, 64)).map(|sample: &Sample| sample.number).sink("rows", sink);
    let checkpoints = CheckpointOptions::in_directory(dir.join("state"));
    let checkpoints = if stops { checkpoints.stop_at(middle) } else { checkpoints };
    let handle = job.start(Options::workers(workers).pin(false).checkpoints(checkpoints)).map_err(|e| e.to_string())?;
    let report = handle.join_within(pelton_tests::running::DEADLINE).map_err(|error| error.to_string())?;
    Ok(report.events_read() == count)
}

fn rolling(dir: &Path, roll: Roll) -> TextSink {
    text(&dir.join("out/rows.csv"), roll, Format::Csv)
}

fn place() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("out")).unwrap();
    dir
}

#[test]
fn what_was_committed_and_is_missing_or_changed_is_refused_with_file_expected_and_found() {
    type Damage = fn(&Path);
    let damages: [(Damage, &[&str]); 4] = [
        (
            |path| fs::remove_file(path).unwrap(),
            &["bytes were committed, and the file is not there", "the job wrote to"],
        ),
        (|path| fs::write(path, "value\n").unwrap(), &["bytes were committed, and only 6 are there"]),
        (
            |path| {
                let mut bytes = fs::read(path).unwrap();
                bytes[8] ^= 1;
                fs::write(path, bytes).unwrap();
            },
            &["what was committed up to byte", "expected checksum", "found"],
        ),
        (
            |path| {
                let copy = path.with_extension("copy");
                fs::copy(path, &copy).unwrap();
                fs::rename(copy, path).unwrap();
            },
            &["not the file that the job wrote to", "expected inode", "found"],
        ),
    ];
    for (damage, parts) in damages {
        let dir = place();
        assert!(!run(dir.path(), rolling(dir.path(), Roll::hourly()), 2, true).unwrap());
        let files = fs::read_dir(dir.path().join("out")).unwrap().map(|entry| entry.unwrap().path());
        let in_progress: Vec<_> = files.filter(|path| path.to_str().unwrap().ends_with(".in-progress")).collect();
        let [path] = &*in_progress else { panic!("{in_progress:?}") };
        damage(path);
        let error = run(dir.path(), rolling(dir.path(), Roll::hourly()), 1, false).unwrap_err();
        let name = path.file_name().unwrap().to_str().unwrap();
        for part in parts.iter().chain([&name]) {
            assert!(error.contains(part), "no {part:?} in {error}");
        }
    }
}

#[test]
fn files_that_were_rolled_otherwise_are_refused() {
    let dir = place();
    assert!(!run(dir.path(), rolling(dir.path(), Roll::hourly()), 2, true).unwrap());
    for (roll, part) in
        [(Roll::daily(), "rolled by the hour, and now they are rolled by the day"), (Roll::bytes(9), "by 9 bytes")]
    {
        let error = run(dir.path(), rolling(dir.path(), roll), 2, false).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert!(run(dir.path(), rolling(dir.path(), Roll::hourly()), 1, false).unwrap());
    assert!(fs::read_dir(dir.path().join("out")).unwrap().count() > 30);
}

/// Gives its positions away, and takes the first one of a run in place of the last, as a job does that falls back to an older
/// checkpoint.
#[test]
fn an_older_checkpoint_takes_back_names_that_were_given_since() -> Result<(), BoxError> {
    let position = |sink: &mut Numbers| sink.checkpoint().unwrap().unwrap();
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("rows.csv");
    let mut sink = open(text(&path, Roll::hourly(), Format::Csv));
    drop(position(&mut sink));
    write(&mut sink, &[(0, 1), (HOUR, 2)]);
    let older = position(&mut sink);
    let older_bytes = older.position().to_vec();
    older.run()?;
    write(&mut sink, &[(HOUR, 3), (2 * HOUR, 4), (3 * HOUR, 5)]);
    let newer = position(&mut sink);
    newer.run()?;
    let names: Vec<_> = all(dir.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().filter(|name| !name.starts_with('.')).count(), 3, "{names:?}");
    drop(sink);
    let mut sink: Numbers = Box::new(text(&path, Roll::hourly(), Format::Csv));
    sink.restore(&older_bytes)?;
    let expected = pairs([
        (".rows-000001-1970-01-01T01.csv.in-progress", "value\n2\n"),
        ("rows-000000-1970-01-01T00.csv", "value\n1\n"),
    ]);
    assert_eq!(all(dir.path()), expected);
    sink.open(&Default::default())?;
    write(&mut sink, &[(HOUR, 3), (2 * HOUR, 4)]);
    sink.finish()?;
    position(&mut sink).run()?;
    let names: Vec<_> = all(dir.path()).into_iter().map(|(name, _)| name).collect();
    let hours = [0, 1, 2].map(|hour| format!("rows-{hour:06}-1970-01-01T{hour:02}.csv"));
    assert_eq!(names, hours);
    Ok(())
}

#[test]
fn a_file_that_is_whole_only_behind_a_checkpoint_gets_its_name_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = open(text(&dir.path().join("rows.csv"), Roll::hourly(), Format::Csv));
    drop(sink.checkpoint());
    write(&mut sink, &[(0, 1), (HOUR, 2)]);
    let first = sink.checkpoint().unwrap().unwrap();
    // What comes behind the barrier is written while the checkpoint is committed.
    write(&mut sink, &[(2 * HOUR, 3)]);
    first.run().unwrap();
    let named = || -> Vec<String> {
        all(dir.path()).into_iter().map(|(name, _)| name).filter(|name| !name.starts_with('.')).collect()
    };
    assert_eq!(named(), ["rows-000000-1970-01-01T00.csv"]);
    sink.checkpoint().unwrap().unwrap().run().unwrap();
    assert_eq!(named(), ["rows-000000-1970-01-01T00.csv", "rows-000001-1970-01-01T01.csv"]);
    sink.finish().unwrap();
    sink.checkpoint().unwrap().unwrap().run().unwrap();
    assert_eq!((named().len(), all(dir.path()).len()), (3, 3));
}

#[test]
fn positions_that_are_cut_or_changed_anywhere_are_errors_and_nothing_worse() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.csv");
    let mut sink = open(text(&path, Roll::hourly(), Format::Csv));
    drop(sink.checkpoint());
    write(&mut sink, &[(0, 1), (HOUR, 2)]);
    let position = sink.checkpoint().unwrap().unwrap().position().to_vec();
    let restore = |bytes: &[u8]| {
        let mut sink: Numbers = Box::new(text(&path, Roll::hourly(), Format::Csv));
        sink.restore(bytes).map_err(|error| error.to_string())
    };
    let path_bytes = path.as_os_str().len();
    for len in 0..position.len() {
        assert!(restore(&position[..len]).is_err(), "{len} bytes");
    }
    // In the numbers of files and all before them; what comes behind are numbers that may be anything.
    for bit in 0..40 * 8 {
        let mut changed = position.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let _ = restore(&changed);
    }
    assert!(position.len() > 40 + path_bytes);
}

#[test]
fn a_capture_has_its_name_when_it_is_committed_and_replaces_the_old_one_then() {
    #[derive(Clone, Copy, pelton::Event)]
    #[repr(C)]
    struct Tick {
        #[event(time)]
        time_ns: i64,
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ticks.pelton");
    fs::write(&path, "old").unwrap();
    let job = |workers: usize, speed: Option<f64>| {
        let ticks: Vec<_> = (0..50_000).map(|time_ns| Tick { time_ns: time_ns * 1000 }).collect();
        let mut job = Job::new("ticks");
        let source = pelton_tests::running::paced(&ticks, 256, speed);
        job.source("ticks", source).sink("capture", capture::sink::create::<Tick>(&path).unwrap());
        let checkpoints = CheckpointOptions::in_directory(dir.path().join("state"));
        job.start(Options::workers(workers).pin(false).checkpoints(checkpoints)).unwrap()
    };
    // At this speed it would take a day.
    let report = job(2, Some(0.000_000_5)).stop_with_savepoint().unwrap();
    assert!(report.halted);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    job(1, None).join_within(pelton_tests::running::DEADLINE).unwrap();
    let capture = Capture::open(&path).unwrap();
    assert_eq!((capture.event_count(), capture.is_complete()), (50_000, true));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the capture and the state");
    // A job that has finished stays finished.
    job(3, None).stop(Stop::Drain);
    assert_eq!(Capture::open(&path).unwrap().event_count(), 50_000);
}
