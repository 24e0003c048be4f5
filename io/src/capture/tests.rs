//! What a capture gives back is what was written, by every way of reading it.

mod fields;
mod jobs;
mod projections;
mod writing;

use self::projections::{NARROW, Narrow};
use super::*;
use crate::Trade;
use crate::generate::{TradeOptions, symbol_names, trades};
use pelton::{BlockSource, BlockSummary, BoxError, Event, Record, Source, Timestamp};
use proptest::prelude::*;
use std::path::PathBuf;
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
