//! What a capture gives back is what was written, by every way of reading it.

use super::*;
use crate::Trade;
use crate::generate::{TradeOptions, symbol_names, trades};
use pelton::{BlockSource, BlockSummary, BoxError, Dictionary, Event, Record, Sink, Source, Symbol, Timestamp};
use proptest::prelude::*;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

pub(super) fn sample(events: u64) -> Vec<Trade> {
    let disorder = Duration::from_micros(3);
    trades(&TradeOptions { events, keys: 3, disorder, start_ns: 1_000, ..TradeOptions::default() }).collect()
}

/// A capture of `events` in blocks of `block_events`, with three symbols.
pub(super) fn write(dir: &TempDir, events: &[Trade], block_events: u32) -> PathBuf {
    let path = dir.path().join("day.pelton");
    let symbols = symbol_names(3).collect();
    let options = WriterOptions { block_events, symbols, overwrite: true, file_id: Some(7) };
    let mut writer = CaptureWriter::create(&path, options).unwrap();
    writer.extend(events).unwrap();
    writer.finish().unwrap();
    path
}

/// All events of a source, block by block; the blocks must be what their summaries say.
pub(super) fn read<T: Event>(source: &impl BlockSource<T>) -> Result<Vec<T>, BoxError> {
    let mut reader = source.reader()?;
    assert!(reader.events().is_empty());
    let mut events = Vec::new();
    for (block, summary) in source.blocks().iter().enumerate() {
        reader.load(block)?;
        assert_eq!(BlockSummary::of(reader.events()), Some(*summary), "block {block}");
        events.extend_from_slice(reader.events());
    }
    assert!(reader.load(source.blocks().len()).is_err());
    assert!(reader.events().is_empty());
    Ok(events)
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

#[test]
fn a_capture_gives_back_its_events_symbols_and_index() {
    let dir = tempfile::tempdir().unwrap();
    let events = sample(10_000);
    let path = write(&dir, &events, 4096);
    let capture = Capture::open(&path).unwrap();
    assert!(capture.is_complete() && capture.cut().is_none());
    assert_eq!(capture.layout(), &Trade::layout());
    assert_eq!(capture.event_count(), 10_000);
    assert_eq!(capture.blocks().iter().map(|block| block.count).collect::<Vec<_>>(), [4096, 4096, 1808]);
    assert_eq!(capture.symbols().iter().map(|text| &**text).collect::<Vec<_>>(), ["S00000", "S00001", "S00002"]);
    let times = events.iter().map(|event| event.time());
    assert_eq!(capture.time_range(), times.clone().min().zip(times.max()));
    capture.verify().unwrap();
    let mut records = Vec::new();
    assert_eq!(capture.read_raw(2, &mut records).unwrap(), BlockSummary::of(&events[8192..]).unwrap());
    assert_eq!(records, bytemuck::cast_slice::<_, u8>(&events[8192..]));
    assert!(matches!(capture.read_raw(3, &mut records), Err(CaptureError::NoBlock { block: 3, blocks: 3, .. })));
    let source = replay::<Trade>(&path).unwrap().into_blocks();
    assert_eq!(BlockSource::<Trade>::symbols(&source).len(), 3);
    assert_eq!(read(&source).unwrap(), events);
}

#[test]
fn untrusted_and_mapped_replays_give_the_same_events() {
    let dir = tempfile::tempdir().unwrap();
    let events = sample(1_000);
    let path = write(&dir, &events, 64);
    for untrusted in [false, true] {
        let replay = replay::<Trade>(&path).unwrap().untrusted(untrusted);
        assert_eq!(read(&replay.clone().into_blocks()).unwrap(), events);
        let (from, until) = (events[300].time(), events[700].time());
        let kept: Vec<_> = events.iter().filter(|e| e.time() >= from && e.time() < until).copied().collect();
        assert_eq!(read(&replay.from(from).until(until).into_blocks()).unwrap(), kept);
    }
}

#[test]
fn mapped_events_are_lent_and_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    let source = replay::<Trade>(write(&dir, &sample(100), 64)).unwrap().into_blocks();
    let (mut a, mut b) = (source.reader().unwrap(), source.reader().unwrap());
    a.load(1).unwrap();
    b.load(1).unwrap();
    assert!(std::ptr::eq(a.events(), b.events()), "two readers share one mapping");
    assert_eq!(a.events().as_ptr() as usize % 64, 0);
}

#[test]
fn upcoming_events_are_told_where_they_will_be_lent_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let events = sample(1000);
    let path = write(&dir, &events, 64);
    let source = replay::<Trade>(&path).unwrap().from(events[300].time()).into_blocks();
    let (mut reader, mut ahead) = (source.reader().unwrap(), source.reader().unwrap());
    let blocks = source.blocks().len();
    for block in 0..blocks {
        reader.load(block).unwrap();
        let upcoming = ahead.upcoming(block);
        // The first block is filtered and its events are copied.
        assert!(if block > 0 { std::ptr::eq(upcoming, reader.events()) } else { upcoming.is_empty() }, "block {block}");
        assert!(ahead.events().is_empty(), "nothing is loaded by asking");
    }
    assert!(reader.upcoming(blocks).is_empty() && reader.upcoming(usize::MAX).is_empty());
    ahead.load(1).unwrap();

    let read = replay::<Trade>(&path).unwrap().untrusted(true).into_blocks();
    assert!(read.reader().unwrap().upcoming(1).is_empty(), "it is not in memory before it is read");
    let projected = Capture::open(&path).unwrap().replay_projected::<Narrow>(&NARROW).unwrap().into_blocks();
    assert!(projected.reader().unwrap().upcoming(1).is_empty(), "it is not in memory as it will be lent");
}

#[test]
fn from_and_until_skip_blocks_by_the_index_and_filter_those_at_the_edges() {
    let dir = tempfile::tempdir().unwrap();
    // Blocks of 4 with times 0..4, 4..8, ..
    let events: Vec<_> = (0..20).map(|time_ns| Trade { time_ns, ..Trade::default() }).collect();
    let path = write(&dir, &events, 4);
    for (from, until, blocks) in
        [(0, 20, 5), (4, 8, 1), (5, 6, 1), (3, 9, 3), (7, 7, 0), (9, 3, 0), (20, 30, 0), (-5, 0, 0), (19, 20, 1)]
    {
        let source = replay::<Trade>(&path).unwrap().from(at(from)).until(at(until)).into_blocks();
        let kept: Vec<_> = events.iter().filter(|e| e.time_ns >= from && e.time_ns < until).copied().collect();
        assert_eq!(source.blocks().len(), blocks, "{from}..{until}");
        assert_eq!(read(&source).unwrap(), kept, "{from}..{until}");
    }
}

#[test]
fn a_replay_becomes_a_source_at_any_speed() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, &sample(10), 4);
    for speed in [Speed::Max, Speed::Times(10.0)] {
        let _: Source<Trade> = replay::<Trade>(&path).unwrap().speed(speed).into();
    }
}

#[test]
fn a_capture_without_events_has_no_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, &[], 4);
    let capture = Capture::open(&path).unwrap();
    assert_eq!((capture.event_count(), capture.time_range(), capture.blocks().len()), (0, None, 0));
    assert_eq!(capture.symbols().len(), 3);
    assert_eq!(read(&capture.replay::<Trade>().unwrap().into_blocks()).unwrap(), []);
}

#[test]
fn other_events_are_refused_with_both_layouts() {
    #[derive(Clone, Copy, Debug, pelton::Event)]
    #[repr(C)]
    struct Other {
        #[event(time)]
        time_ns: i64,
        price: f64,
    }
    let dir = tempfile::tempdir().unwrap();
    let error = replay::<Other>(write(&dir, &sample(3), 4)).unwrap_err().to_string();
    assert!(error.contains("16/8 time_ns:i64@0* price:f64@8"), "{error}");
    assert!(error.contains(&Trade::layout().schema()) && error.contains("day.pelton"), "{error}");
}

#[test]
fn files_that_exist_stay_unless_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, &sample(3), 4);
    let error = CaptureWriter::<Trade>::create(&path, WriterOptions::default()).err().unwrap().to_string();
    assert!(error.contains("day.pelton: cannot create the capture"), "{error}");
    assert_eq!(Capture::open(&path).unwrap().event_count(), 3);
}

#[test]
fn a_capture_that_is_replaced_while_it_is_replayed_is_still_read() {
    let dir = tempfile::tempdir().unwrap();
    let events = sample(100);
    let path = write(&dir, &events, 64);
    let source = replay::<Trade>(&path).unwrap().into_blocks();
    let mut reader = source.reader().unwrap();
    write(&dir, &events[..1], 64);
    reader.load(0).unwrap();
    assert_eq!(reader.events(), &events[..64]);
    assert_eq!(read(&source).unwrap(), events);
    assert_eq!(Capture::open(&path).unwrap().event_count(), 1);
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

#[derive(Clone, Copy, Debug, PartialEq, pelton::Event)]
#[repr(C)]
struct Narrow {
    #[event(time)]
    at: Timestamp,
    cents: u32,
    symbol: Symbol,
    size: u64,
    venue: [u8; 8],
}

const NARROW: [(&str, &str); 2] = [("at", "time_ns"), ("cents", "price")];

#[test]
fn a_projection_takes_fields_by_name_and_widens_them() {
    let dir = tempfile::tempdir().unwrap();
    let events = sample(100);
    let capture = Capture::open(write(&dir, &events, 16)).unwrap();
    let expected: Vec<_> = events
        .iter()
        .map(|trade| {
            let mut venue = [0; 8];
            venue[..2].copy_from_slice(&trade.venue);
            let (cents, size) = (trade.price as u32, trade.size.into());
            Narrow { at: trade.time(), cents, symbol: trade.symbol, size, venue }
        })
        .collect();
    for untrusted in [false, true] {
        let replay = capture.replay_projected::<Narrow>(&NARROW).unwrap().untrusted(untrusted);
        assert_eq!(read(&replay.clone().into_blocks()).unwrap(), expected);
        let from = expected[50].at;
        let kept: Vec<_> = expected.iter().filter(|event| event.at >= from).copied().collect();
        assert_eq!(read(&replay.from(from).into_blocks()).unwrap(), kept);
    }
}

#[test]
fn a_projection_by_another_time_makes_its_own_index() {
    #[derive(Clone, Copy, Debug, PartialEq, pelton::Event)]
    #[repr(C)]
    struct BySize {
        #[event(time)]
        at: i64,
    }
    let dir = tempfile::tempdir().unwrap();
    let events = sample(50);
    let capture = Capture::open(write(&dir, &events, 16)).unwrap();
    let source = capture.replay_projected::<BySize>(&[("at", "size")]).unwrap().into_blocks();
    let expected: Vec<_> = events.iter().map(|trade| BySize { at: trade.size.into() }).collect();
    assert_eq!(read(&source).unwrap(), expected);
}

#[test]
fn projections_that_lose_something_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let events = [Trade { price: -5, ..Trade::default() }];
    let capture = Capture::open(write(&dir, &events, 16)).unwrap();
    let error = |map: &[(&str, &str)]| capture.replay_projected::<Narrow>(map).err().unwrap().to_string();
    assert!(error(&[]).contains("`at` cannot be taken from `at`: the file has only: 32/8"));
    assert!(error(&[("at", "time_ns"), ("nothing", "price")]).contains("the event has no such field"));
    assert!(error(&[("at", "symbol"), ("cents", "price")]).contains("symbol does not become time without loss"));
    assert!(error(&[("at", "time_ns"), ("cents", "venue")]).contains("text2 does not become u32 without loss"));
    let source = capture.replay_projected::<Narrow>(&NARROW).unwrap().into_blocks();
    let error = read(&source).unwrap_err().to_string();
    assert!(error.contains("block 0, event 0: the value -5 of `price` does not fit u32"), "{error}");
}

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_was_written_is_read_back(
        times in prop::collection::vec(any::<i64>(), 0..200),
        block_events in 1u32..40,
        cuts in prop::collection::vec(0usize..50, 1..8),
        texts in prop::collection::vec(".{0,20}", 0..20),
        (from, until) in any::<(i64, i64)>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("any.pelton");
        let options = WriterOptions { block_events, ..WriterOptions::default() };
        let mut writer = CaptureWriter::<Trade>::create(&path, options).unwrap();
        let mut symbols = Vec::new();
        let mut texts = texts.iter();
        let events: Vec<_> = times.iter().map(|&time_ns| Trade { time_ns, price: !time_ns, ..Trade::default() }).collect();
        let mut rest = &events[..];
        for &cut in cuts.iter().cycle() {
            if let Some(text) = texts.next() {
                symbols.push((writer.intern(text).unwrap(), text));
            }
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(rest.len().min(cut + 1));
            writer.extend(now).unwrap();
            rest = later;
        }
        let summary = writer.finish().unwrap();
        prop_assert_eq!(summary.events, events.len() as u64);
        let capture = Capture::open(&path).unwrap();
        prop_assert_eq!(summary.bytes, capture.file_bytes());
        prop_assert_eq!(summary.range, capture.time_range());
        for (symbol, text) in symbols {
            prop_assert_eq!(&*capture.symbols()[symbol.id() as usize], text.as_str());
        }
        prop_assert_eq!(&read(&capture.replay::<Trade>().unwrap().into_blocks()).unwrap(), &events);
        let kept: Vec<_> = events.iter().filter(|e| e.time_ns >= from && e.time_ns < until).copied().collect();
        let replay = capture.replay::<Trade>().unwrap().from(at(from)).until(at(until));
        prop_assert_eq!(read(&replay.into_blocks()).unwrap(), kept);
    }
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
        assert!(!Capture::open(dir.path().join("out.pelton")).unwrap().is_complete());
    }
}
