//! Whole jobs, step by step, with sinks over a directory: crashed anywhere, power lost, and each operation failed.

use super::faulty::{Fault, FaultyDisk, Operation};
use crate::capture::{self, CaptureError};
use crate::parts::{Roll, Rolling};
use crate::sink::{Format, TextSink};
use pelton::{
    BoxError, Dictionary, Encoder, Encoders, Error, Event, HashSeed, Sink, SinkCheckpoint, Symbol, Timestamp,
};
use pelton_tests::campaign;
use pelton_tests::crashing::Durable;
use pelton_tests::events::Row;
use pelton_tests::jobs::{KINDS, Kind};
use pelton_tests::rng::Rng;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Event times of the jobs are microseconds apart: so often that is minutes.
const STRETCH: i64 = 60_000_000;

/// Seeds for each job and sink.
const EVERYDAY: u64 = 12;

/// A row with an event time and a text, as captures hold it.
#[derive(Clone, Copy, Event)]
#[repr(C)]
struct Stamped {
    #[event(time)]
    time_ns: i64,
    a: i64,
    b: i64,
    name: Symbol,
    zero: u32,
}

/// The sinks of a job.
enum Files {
    Text(Box<TextSink>),
    Capture(Box<capture::sink::CaptureSink<Stamped>>, Arc<Dictionary>),
}

impl Files {
    fn text(&mut self) -> Option<&mut dyn Sink<Row>> {
        match self {
            Self::Text(sink) => Some(&mut **sink),
            Self::Capture(..) => None,
        }
    }
}

fn stretched(time: Timestamp) -> Timestamp {
    Timestamp::from_nanos(time.as_nanos().saturating_mul(STRETCH))
}

struct StretchedEncoder(Box<dyn Encoder>);

impl Encoder for StretchedEncoder {
    fn encode(&mut self, time: Timestamp, record: &[u8], out: &mut Vec<u8>) {
        self.0.encode(stretched(time), record, out);
    }
}

impl Sink<Row> for Files {
    fn open(&mut self, symbols: &Arc<Dictionary>) -> Result<(), BoxError> {
        match self {
            Self::Text(sink) => Sink::<Row>::open(&mut **sink, symbols),
            Self::Capture(sink, kept) => {
                *kept = symbols.clone();
                sink.open(symbols)
            }
        }
    }

    fn write(&mut self, times: &[Timestamp], rows: &[Row]) -> Result<usize, BoxError> {
        let times: Vec<_> = times.iter().copied().map(stretched).collect();
        match self {
            Self::Text(sink) => sink.write(&times, rows),
            Self::Capture(sink, symbols) => {
                let mut stamped = Vec::new();
                for (time, Row { key, a, b }) in times.iter().zip(rows) {
                    let name = symbols.intern(&format!("name of {key}"))?;
                    stamped.push(Stamped { time_ns: time.as_nanos(), a: *a, b: *b, name, zero: 0 });
                }
                sink.write(&times, &stamped)
            }
        }
    }

    fn encoders(&self) -> Option<Encoders> {
        let Self::Text(sink) = self else { return None };
        let encoders = Sink::<Row>::encoders(&**sink)?;
        Some(Arc::new(move |symbols| Box::new(StretchedEncoder(encoders(symbols)))))
    }

    fn write_encoded(&mut self, rows: usize, bytes: &[u8]) -> Result<(), BoxError> {
        self.text().map_or(Ok(()), |sink| sink.write_encoded(rows, bytes))
    }

    fn flush(&mut self) -> Result<(), BoxError> {
        match self {
            Self::Text(sink) => Sink::<Row>::flush(&mut **sink),
            Self::Capture(sink, _) => sink.flush(),
        }
    }

    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        match self {
            Self::Text(sink) => Sink::<Row>::checkpoint(&mut **sink),
            Self::Capture(sink, _) => sink.checkpoint(),
        }
    }

    fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        match self {
            Self::Text(sink) => Sink::<Row>::restore(&mut **sink, position),
            Self::Capture(sink, _) => sink.restore(position),
        }
    }

    fn first_number(&mut self, number: u64) {
        if let Some(sink) = self.text() {
            sink.first_number(number);
        }
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        match self {
            Self::Text(sink) => Sink::<Row>::finish(&mut **sink),
            Self::Capture(sink, _) => sink.finish(),
        }
    }
}

/// What the sinks of a job are.
#[derive(Debug, Clone, Copy)]
enum What {
    Text(Roll),
    Numbered(Roll),
    Capture,
    Captures(Roll),
}

const ALL: [What; 7] = [
    What::Text(Roll::bytes(300)),
    What::Text(Roll::hourly()),
    What::Text(Roll::daily()),
    What::Numbered(Roll::bytes(1000)),
    What::Capture,
    What::Captures(Roll::bytes(20_000)),
    What::Captures(Roll::hourly()),
];

/// A job with its files.
struct Filed {
    durable: Durable,
    disk: Arc<FaultyDisk>,
    // Removed behind the disk's own directory in it.
    dir: tempfile::TempDir,
    what: What,
}

impl Filed {
    fn new(what: What, kind: Option<Kind>, seed: u64, rng: &mut Rng) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("out")).unwrap();
        Self { durable: Durable::new(kind, seed, rng), disk: FaultyDisk::new(dir.path()), dir, what }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn sink(&self, name: &str) -> Files {
        let path = self.out().join(name);
        let capture = |made: Result<_, CaptureError>| Files::Capture(Box::new(made.unwrap()), Arc::default());
        let files = |roll| Rolling::new(&path, roll).on_disk(self.disk.clone());
        match self.what {
            What::Text(roll) => Files::Text(Box::new(TextSink::rolling(files(roll), Format::Csv).unwrap())),
            What::Numbered(roll) => {
                Files::Text(Box::new(TextSink::rolling(files(roll), Format::Json).unwrap().numbered()))
            }
            What::Capture => capture(capture::sink::create_on_disk(&path, self.disk.clone())),
            What::Captures(roll) => capture(capture::sink::rolling(files(roll))),
        }
    }

    fn sinks(&self) -> (Files, Files) {
        (self.sink("rows"), self.sink("late"))
    }

    /// All files with their bytes.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files(&self.out())
    }

    /// The files of the job when nobody disturbs it.
    fn expected(&self, block: usize) -> BTreeMap<PathBuf, Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("out")).unwrap();
        let undisturbed =
            Self { durable: self.durable.clone(), disk: FaultyDisk::new(dir.path()), dir, what: self.what };
        undisturbed.durable.run_undisturbed(block, undisturbed.sinks());
        undisturbed.files()
    }

    /// Runs the job with checkpoints until it ends or fails, and says what it fails of.
    fn run(&self, block: usize, workers: usize, rng: &mut Rng) -> Result<(), Error> {
        let job = self.durable.job(block, self.sinks());
        let mut simulation = job.simulate(self.durable.options(workers, 1 << 12))?;
        for step in 0.. {
            if simulation.is_ended() {
                return simulation.finish().map(|_| ());
            }
            if rng.below(10) == 0 {
                let _ = simulation.checkpoint(false);
            }
            simulation.step_checkpoints();
            simulation.step(rng.below(workers as u64) as usize);
            assert!(step < 1_000_000, "the job does not come to its end");
        }
        Ok(())
    }
}

fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.file_name().unwrap().into(), std::fs::read(path).unwrap())).collect()
}

fn same(found: &BTreeMap<PathBuf, Vec<u8>>, expected: &BTreeMap<PathBuf, Vec<u8>>, what: &str) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| {
        files.iter().map(|(name, bytes)| format!("{} {}", name.display(), bytes.len())).collect::<Vec<_>>().join(", ")
    };
    Err(format!("{what}: other files\n  expected: {}\n  found:    {}", names(expected), names(found)))
}

/// Crashes a job some times, each time going on at another number of workers; how often it went on.
fn hold(what: What, kind: Option<Kind>, seed: u64, loses_syncs: bool) -> Result<u64, String> {
    let mut rng = Rng::new(seed);
    let filed = Filed::new(what, kind, seed, &mut rng);
    if loses_syncs {
        filed.disk.lose_syncs();
    }
    let block = 1 << rng.below(7);
    let expected = filed.expected(block);
    let crash = |random| filed.disk.crash(&filed.out(), random);
    let crashes = filed.durable.crash_and_go_on(block, &mut rng, || filed.sinks(), crash)?;
    same(&filed.files(), &expected, &format!("{what:?}, {kind:?}, seed {seed}, blocks of {block}"))?;
    Ok(crashes.resumed)
}

#[test]
fn jobs_that_crash_anywhere_end_with_the_same_files() {
    let (mut resumed, mut files) = (0, 0);
    let seeds = campaign::seeds(EVERYDAY);
    for what in ALL {
        for seed in seeds.clone() {
            let kind = KINDS.into_iter().map(Some).chain([None]).nth(seed as usize % 8).flatten();
            resumed += hold(what, kind, seed, false).unwrap_or_else(|error| panic!("{error}"));
        }
        let filed = Filed::new(what, Some(Kind::Stateless), 1, &mut Rng::new(1));
        files += filed.expected(16).len();
    }
    println!("{resumed} times a job went on from a checkpoint");
    let runs = seeds.end - seeds.start;
    assert!(resumed > runs * 2 || runs == 1, "{resumed} times a job went on from a checkpoint");
    assert!(files > 40, "{files} files: too few to tell anything");
}

#[test]
fn a_length_that_is_committed_before_its_bytes_are_synced_is_found() {
    for what in [What::Text(Roll::bytes(300)), What::Capture, What::Captures(Roll::hourly())] {
        let found = (0..60).any(|seed| {
            let held = std::panic::catch_unwind(|| hold(what, Some(Kind::Stateless), seed, true));
            held.map_or(true, |held| held.is_err())
        });
        assert!(found, "{what:?}");
    }
}

#[test]
fn each_operation_that_fails_ends_the_job_with_an_error_and_it_goes_on() {
    let kinds = [Some(ErrorKind::Other), Some(ErrorKind::StorageFull), Some(ErrorKind::Interrupted), None];
    let (mut failures, mut fine) = (0, 0);
    for (index, what) in ALL.into_iter().enumerate() {
        let seed = index as u64;
        let make = || {
            let mut filed = Filed::new(what, Some(Kind::Stateless), seed, &mut Rng::new(seed));
            filed.durable.hash_seed = HashSeed::new(1);
            filed
        };
        let reference = make();
        let expected = reference.expected(16);
        reference.run(16, 2, &mut Rng::new(seed)).unwrap();
        same(&reference.files(), &expected, "nothing failed").unwrap();
        let operations = reference.disk.operations();
        assert!(operations.contains(&Operation::Rename) && operations.contains(&Operation::SyncNames));
        let each = (operations.len() as u64).div_ceil(campaign::number("PELTON_FAULTS", 24)) as usize;
        for at in (0..operations.len()).step_by(each) {
            let turn = at / each + index;
            let (kind, for_ever) = (kinds[turn % 4], (turn / 4).is_multiple_of(2));
            let filed = make();
            filed.disk.set_fault(Some(Fault { at, for_ever, kind }));
            let what = format!("{what:?}, operation {at} of {}: {:?}, {kind:?}", operations.len(), operations[at]);
            match filed.run(16, 2, &mut Rng::new(seed)) {
                Ok(()) => fine += 1,
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains("sink `") && text.contains("/out"), "{what}: {text}");
                    failures += 1;
                    filed.disk.set_fault(None);
                    filed.durable.disk.crash(at as u64);
                    filed.disk.crash(&filed.out(), at as u64);
                    filed
                        .run(16, 1 + at % 3, &mut Rng::new(at as u64))
                        .unwrap_or_else(|error| panic!("{what}: {error}"));
                }
            }
            same(&filed.files(), &expected, &what).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    println!("{failures} jobs failed, {fine} did not");
    assert!(failures > 50 && fine > 10, "{failures} jobs failed, {fine} did not");
}

/// The crash comes behind the commit of the checkpoint that covers a whole file, and before the file has its name.
#[test]
fn a_file_that_was_committed_and_not_named_gets_its_name_when_the_job_goes_on() {
    for what in [What::Text(Roll::hourly()), What::Capture, What::Captures(Roll::bytes(20_000))] {
        let filed = Filed::new(what, Some(Kind::Stateless), 4, &mut Rng::new(4));
        let expected = filed.expected(16);
        filed.run(16, 2, &mut Rng::new(4)).unwrap();
        let first = filed.disk.operations().iter().position(|operation| *operation == Operation::Rename).unwrap();
        let filed = Filed::new(what, Some(Kind::Stateless), 4, &mut Rng::new(4));
        filed.disk.set_fault(Some(Fault { at: first, for_ever: true, kind: Some(ErrorKind::Other) }));
        let error = filed.run(16, 2, &mut Rng::new(4)).unwrap_err().to_string();
        assert!(error.contains("cannot give the file its name"), "{error}");
        assert!(filed.files().keys().all(|name| name.to_str().unwrap().ends_with(".in-progress")));
        filed.disk.set_fault(None);
        filed.durable.disk.crash(1);
        filed.disk.crash(&filed.out(), 1);
        filed.run(16, 3, &mut Rng::new(5)).unwrap();
        same(&filed.files(), &expected, &format!("{what:?}")).unwrap();
    }
}
