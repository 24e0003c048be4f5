//! Captures at both ends of a job.

use super::super::*;
use super::{read, sample, write};
use crate::Trade;
use pelton::{Dictionary, Sink, Symbol, Timestamp};
use std::path::Path;
use std::sync::Arc;

#[test]
fn the_sink_writes_equal_files_for_equal_rows_whatever_ids_the_job_gave() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for order in [["A", "B", "C"], ["C", "A", "B"]] {
        let symbols = Dictionary::default();
        order.iter().for_each(|text| assert!(symbols.intern(text).is_ok()));
        let rows: Vec<_> = (0..100i64)
            .map(|time_ns| {
                let symbol = symbols.find(["B", "A", "C"][time_ns as usize % 3]).unwrap();
                Trade { time_ns, symbol, ..Trade::default() }
            })
            .chain([Trade { symbol: Symbol::from_id(u32::MAX), ..Trade::default() }])
            .collect();
        let path = dir.path().join("rows.pelton");
        let mut sink = sink::create::<Trade>(&path).unwrap();
        sink.open(&Arc::new(symbols)).unwrap();
        for rows in rows.chunks(7) {
            sink.write(&vec![Timestamp::MIN; rows.len()], rows).unwrap();
            sink.flush().unwrap();
        }
        sink.finish().unwrap();
        let capture = Capture::open(&path).unwrap();
        let texts: Vec<_> = capture.symbols().iter().map(|text| &**text).collect();
        assert_eq!(texts, ["B", "A", "C", "#4294967295"]);
        assert_eq!(capture.event_count(), 101);
        files.push(std::fs::read(&path).unwrap());
    }
    assert!(files[0] == files[1]);
}

/// A job that drops every tenth size and writes the rest to a capture and to CSV.
fn copy_job(replay: Replay<Trade>, to: &Path, workers: usize) -> Result<pelton::Report, pelton::Error> {
    let mut job = pelton::Job::new("copy");
    // The job's ids are not the capture's.
    job.symbols().intern("S00002").unwrap();
    let kept = job.source("trades", replay).filter(|trade: &Trade| !trade.size.is_multiple_of(10));
    kept.clone().sink("capture", sink::create::<Trade>(to.with_extension("pelton")).unwrap());
    kept.sink("csv", crate::csv::create(to.with_extension("csv")).unwrap());
    job.run(pelton::Options::workers(workers).pin(false))
}

#[test]
fn a_job_replays_a_capture_into_the_same_files_on_any_number_of_workers() {
    let dir = tempfile::tempdir().unwrap();
    let events = sample(5_000);
    let path = write(&dir, &events, 64);
    let kept: Vec<_> = events.iter().filter(|trade| !trade.size.is_multiple_of(10)).copied().collect();
    let mut files = Vec::new();
    for (workers, untrusted) in [(1, false), (2, false), (3, true)] {
        let to = dir.path().join(format!("out{workers}"));
        copy_job(replay(&path).unwrap().untrusted(untrusted), &to, workers).unwrap();
        let capture = Capture::open(to.with_extension("pelton")).unwrap();
        let found = read(&capture.replay::<Trade>().unwrap().into_blocks()).unwrap();
        assert_eq!(found.len(), kept.len());
        for (found, kept) in found.iter().zip(&kept) {
            assert_eq!(&*capture.symbols()[found.symbol.id() as usize], format!("S{:05}", kept.symbol.id()));
            assert_eq!(*found, Trade { symbol: found.symbol, ..*kept });
        }
        files.push((
            std::fs::read(to.with_extension("pelton")).unwrap(),
            std::fs::read_to_string(to.with_extension("csv")).unwrap(),
        ));
    }
    let (last, row) = (kept.last().unwrap(), files[0].1.lines().last().unwrap());
    assert!(row.starts_with(&format!("{},{},{},S0000{},", last.time_ns, last.price, last.size, last.symbol.id())));
    assert!(files.iter().all(|file| *file == files[0]));
}

#[test]
fn a_job_ends_with_the_damage_of_a_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, &sample(200), 64);
    let mut bytes = std::fs::read(&path).unwrap();
    // The header, the symbols, block 0, block 1.
    bytes[3 * 4096 + 100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    for workers in [1, 2] {
        let replay = replay(&path).unwrap();
        let error = copy_job(replay, &dir.path().join("out"), workers).unwrap_err();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            text += &error.to_string();
            source = error.source();
        }
        assert!(text.contains("damaged block 1 at byte 12288: the checksum of its events"), "{text}");
        assert!(!dir.path().join("out.pelton").exists());
    }
}
