//! Writers: what they refuse, what is left of captures that were not finished, and outputs that fail.

use super::super::*;
use super::{read, sample, write};
use crate::Trade;
use crate::generate::symbol_names;
use pelton::Record;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

#[test]
fn files_that_exist_stay_unless_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, &sample(3), 4);
    let error = CaptureWriter::<Trade>::create(&path, WriterOptions::default()).err().unwrap().to_string();
    assert!(error.contains("day.pelton: cannot create the capture"), "{error}");
    assert_eq!(Capture::open(&path).unwrap().event_count(), 3);
}

#[test]
fn layouts_and_blocks_that_do_not_fit_are_refused_before_the_file_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, &sample(3), 4);
    let create = |layout, block_events| {
        let options = WriterOptions { block_events, overwrite: true, ..WriterOptions::default() };
        RawWriter::create(&path, layout, options).err().unwrap().to_string()
    };
    assert!(create(u64::layout(), 4).contains("one field is the event time"));
    assert!(create(Trade::layout(), 0).contains("a block has 1 to"));
    assert!(create(Trade::layout(), u32::MAX).contains("a block has 1 to"));
    assert_eq!(Capture::open(&path).unwrap().event_count(), 3);
}

#[test]
fn an_unfinished_capture_keeps_its_whole_blocks_and_their_symbols() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("day.pelton");
    let options = WriterOptions { block_events: 4, ..WriterOptions::default() };
    let mut writer = CaptureWriter::<Trade>::create(&path, options).unwrap();
    let events: Vec<_> = (0..10)
        .map(|time_ns| Trade {
            time_ns,
            symbol: writer.intern(&format!("T{}", time_ns / 2)).unwrap(),
            ..Trade::default()
        })
        .collect();
    for event in &events {
        writer.push(event).unwrap();
    }
    assert_eq!(writer.events(), 10);
    writer.flush().unwrap();
    drop(writer);
    let capture = Capture::open(&path).unwrap();
    assert!(!capture.is_complete());
    assert_eq!(capture.cut().unwrap().reason, "the footer is missing");
    assert_eq!(read(&capture.replay::<Trade>().unwrap().into_blocks()).unwrap(), events[..8]);
    for event in &events[..8] {
        assert_eq!(&*capture.symbols()[event.symbol.id() as usize], format!("T{}", event.time_ns / 2));
    }
}

#[test]
fn many_symbols_survive_a_missing_footer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("day.pelton");
    let symbols: Vec<_> = (0..20_000).map(|i| format!("{i:0>200}")).collect();
    let options = WriterOptions { block_events: 1, symbols: symbols.clone(), ..WriterOptions::default() };
    let mut writer = CaptureWriter::<Trade>::create(&path, options).unwrap();
    writer.push(&Trade::default()).unwrap();
    let summary = writer.finish().unwrap();
    assert_eq!((summary.symbols, summary.blocks), (20_000, 1));
    let found = |capture: &Capture| capture.symbols().iter().map(|text| text.to_string()).collect::<Vec<_>>();
    assert_eq!(found(&Capture::open(&path).unwrap()), symbols);
    let recovered = Capture::recover(&path).unwrap();
    assert_eq!((found(&recovered), recovered.event_count(), recovered.is_complete()), (symbols, 1, false));
}

#[test]
fn raw_records_must_be_whole() {
    let dir = tempfile::tempdir().unwrap();
    let options = WriterOptions::default();
    let mut writer = RawWriter::create(dir.path().join("raw.pelton"), Trade::layout(), options).unwrap();
    assert!(writer.push(&[0; 31]).unwrap_err().to_string().contains("31 bytes are not records of 32 bytes"));
    writer.push(&[0; 32]).unwrap();
    assert_eq!(writer.finish().unwrap().events, 1);
}

/// An output with room for so many bytes; what was written stays visible.
struct Limited {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: usize,
    sync: bool,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.bytes.lock().unwrap();
        let now = bytes.len().min(self.room - written.len());
        if now == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        written.extend_from_slice(&bytes[..now]);
        Ok(now)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Limited {
    fn sync(&mut self) -> io::Result<()> {
        if self.sync { Ok(()) } else { Err(io::Error::other("the device is gone")) }
    }
}

/// The checksum of the format is CRC-32/ISO-HDLC whatever computes it: the catalogue's check value, and
/// its definition bit by bit on lengths and places that take every one of its ways.
#[test]
fn checksums_are_those_of_the_format() {
    assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    let bytes: Vec<u8> = bytemuck::cast_slice::<_, u8>(&sample(2_200)).to_vec();
    let mut crc = !0u32;
    let mut expected = vec![!crc];
    for &byte in &bytes[1..] {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
        expected.push(!crc);
    }
    for length in (0..600).chain(2_000..2_200).chain([4_095, 4_096, 4_097, 65_536, 65_599, 70_000]) {
        assert_eq!(crc32fast::hash(&bytes[1..][..length]), expected[length], "{length} bytes");
    }
}

/// Remembers where each write ends.
struct Ends(Arc<Mutex<Vec<usize>>>);

impl Write for Ends {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut ends = self.0.lock().unwrap();
        let end = ends.last().copied().unwrap_or_default() + bytes.len();
        ends.push(end);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Ends {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn writes_end_where_huge_pages_do_and_a_dropped_writer_gives_its_whole_blocks() {
    const HUGE: usize = 2 << 20;
    let events = sample(200_000);
    for finish in [true, false] {
        let ends = Arc::new(Mutex::new(Vec::new()));
        let layout = Trade::layout();
        let mut writer = RawWriter::with_output(Ends(ends.clone()), "fake", layout, WriterOptions::default()).unwrap();
        events.chunks(1000).for_each(|events| writer.extend(bytemuck::cast_slice(events)).unwrap());
        assert_eq!(*ends.lock().unwrap(), [HUGE, 2 * HUGE, 3 * HUGE]);
        // 48 blocks of 4096 events and one of the rest, each with its header and filled up to a page.
        let whole = 4096 + 48 * (4096 * 32 + 4096);
        let expected = if finish {
            writer.finish().unwrap().bytes as usize
        } else {
            drop(writer);
            whole
        };
        assert_eq!(*ends.lock().unwrap(), [HUGE, 2 * HUGE, 3 * HUGE, expected]);
    }
}

#[test]
fn a_full_disk_at_any_byte_is_an_error_that_names_the_file_and_keeps_whole_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let events = sample(40);
    let whole = std::fs::metadata(write(&dir, &events, 16)).unwrap().len() as usize;
    let cut = dir.path().join("cut.pelton");
    for room in (1..whole).step_by(331).chain([whole - 1]) {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let output = Limited { bytes: bytes.clone(), room, sync: true };
        let symbols = symbol_names(3).collect();
        let options = WriterOptions { block_events: 16, symbols, ..WriterOptions::default() };
        let written = RawWriter::with_output(output, "full.pelton", Trade::layout(), options).and_then(|mut writer| {
            writer.extend(bytemuck::cast_slice(&events))?;
            writer.finish()
        });
        let error = written.unwrap_err().to_string();
        assert!(error.contains("full.pelton: cannot write the capture"), "{error}");
        std::fs::write(&cut, &*bytes.lock().unwrap()).unwrap();
        if let Ok(capture) = Capture::open(&cut) {
            assert!(!capture.is_complete());
            let found = read(&capture.replay::<Trade>().unwrap().into_blocks()).unwrap();
            assert_eq!(found, events[..found.len()]);
        } else {
            assert!(room < 4096);
        }
    }
}

#[test]
fn after_an_error_a_writer_writes_no_more() {
    let bytes = Arc::<Mutex<Vec<u8>>>::default();
    // A block is as much as the writer gathers before it writes.
    let options = WriterOptions { block_events: 65_536, ..WriterOptions::default() };
    let output = Limited { bytes: bytes.clone(), room: 10_000, sync: true };
    let mut writer = RawWriter::with_output(output, "full.pelton", Trade::layout(), options).unwrap();
    let block = vec![0; 65_536 * 32];
    assert!(matches!(writer.extend(&block), Err(CaptureError::Io { .. })));
    assert!(matches!(writer.extend(&block), Err(CaptureError::Failed { .. })));
    assert!(matches!(writer.flush(), Err(CaptureError::Failed { .. })));
    assert!(matches!(writer.finish(), Err(CaptureError::Failed { .. })));

    let output = Limited { bytes: Arc::default(), room: 1 << 20, sync: false };
    let writer = RawWriter::with_output(output, "gone.pelton", Trade::layout(), WriterOptions::default()).unwrap();
    assert!(writer.finish().unwrap_err().to_string().contains("gone.pelton"));
}

#[test]
fn a_full_device_is_an_error_that_names_it() {
    let path = Path::new("/dev/full");
    if !path.exists() {
        println!("skipped a_full_device_is_an_error_that_names_it: there is no /dev/full");
        return;
    }
    let options = WriterOptions { overwrite: true, ..WriterOptions::default() };
    let writer = CaptureWriter::<Trade>::create(path, options).unwrap();
    let error = writer.finish().unwrap_err().to_string();
    assert!(error.starts_with("/dev/full: cannot write the capture: "), "{error}");
    // Devices are not captures, however they are read.
    assert!(matches!(Capture::open("/dev/zero"), Err(CaptureError::NotACapture { .. })));
}
