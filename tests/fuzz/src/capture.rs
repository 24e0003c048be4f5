//! Captures that were edited. What is verified is read wholly by every way of reading, and all ways give the same.

use crate::Scratch;
use bytemuck::Zeroable;
use pelton::testing::fuzz::{Input, Seed, u32_at};
use pelton::{BlockSource, BlockSummary, BoxError, Event, Timestamp};
use pelton_io::Trade;
use pelton_io::capture::{Capture, CaptureWriter, WriterOptions};
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

const PAGE: usize = 4096;
/// Bytes of a block's header and of the trailer.
const HEADER: usize = 64;
/// Where the index begins in the footer's payload, and bytes of an entry.
const INDEX: usize = 40;
const ENTRY: usize = 40;
const EVENTS: u64 = 30;
const FOOTER: u32 = 3;

/// Events of another layout, into which trades can be projected.
#[derive(Debug, Clone, Copy, PartialEq, Event)]
#[repr(C)]
struct Size {
    #[event(time)]
    time_ns: i64,
    size: u16,
    kind: u16,
    condition: u32,
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |number| u64::from_le_bytes(*number))
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// A capture of three blocks of events and two of symbols.
fn file(path: &Path) -> Result<Vec<u8>, BoxError> {
    let options = WriterOptions { block_events: 12, file_id: Some(7), overwrite: true, ..WriterOptions::default() };
    let mut writer = CaptureWriter::<Trade>::create(path, options)?;
    for n in 0..EVENTS {
        let symbol = writer.intern(["A", "BC", "DEF", "GH"][n as usize / 8])?;
        let time_ns = 1000 + (n as i64 * 7) % 50;
        writer.push(&Trade { time_ns, price: n as i64, size: n as u32, symbol, ..Trade::zeroed() })?;
    }
    writer.finish()?;
    Ok(std::fs::read(path)?)
}

/// Where blocks begin; the footer is the last.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    (PAGE..bytes.len()).step_by(PAGE).filter(|at| bytes[*at..].starts_with(b"PBLK")).collect()
}

/// Makes the checksums of a block again, of as much payload as its header says.
fn seal_block(bytes: &mut [u8], at: usize) {
    let start = at + HEADER;
    let length = u64_at(bytes, at + 32) as usize;
    if let Some(payload) = start.checked_add(length).and_then(|end| bytes.get(start..end)) {
        let checksum = crc32fast::hash(payload);
        put(bytes, at + 28, checksum);
    }
    let mut hasher = crc32fast::Hasher::new();
    // The file's number.
    hasher.update(bytes.get(16..24).unwrap_or_default());
    hasher.update(bytes.get(at..at + 60).unwrap_or_default());
    put(bytes, at + 60, hasher.finalize());
}

fn seal_range(bytes: &mut [u8], range: Range<usize>) {
    let checksum = crc32fast::hash(bytes.get(range.clone()).unwrap_or_default());
    put(bytes, range.end, checksum);
}

/// Has the index say the checksums that the blocks of events have.
fn seal_index(bytes: &mut [u8], index: usize, entries: usize) {
    for entry in 0..entries {
        let at = index + entry * ENTRY;
        let checksum = usize::try_from(u64_at(bytes, at)).ok().and_then(|block| block.checked_add(28));
        let checksum = checksum.map_or(0, |at| u32_at(bytes, at));
        put(bytes, at + 36, checksum);
    }
}

fn seed(path: &Path) -> Seed {
    let bytes = file(path).unwrap_or_else(|error| panic!("{error}"));
    let blocks = blocks(&bytes);
    let (len, footer) = (bytes.len(), blocks[blocks.len() - 1]);
    assert_eq!((u32_at(&bytes, footer + 4), blocks.len()), (FOOTER, 6 + 1));
    let entries = u32_at(&bytes, footer + 24) as usize;
    let index = footer + HEADER + INDEX;
    let mut places =
        vec![0..56, 56..320, 0..PAGE, len - 64..len, footer + HEADER..index, index + entries * ENTRY..len - 64];
    places.extend((0..entries).map(|entry| index + entry * ENTRY..index + (entry + 1) * ENTRY));
    for block in &blocks {
        places.extend([
            *block..block + HEADER,
            block + HEADER..block + HEADER + 64,
            block + HEADER..(block + PAGE).min(len),
        ]);
    }
    // A footer is sealed behind the index that it has.
    let parts = blocks.len() + 4;
    Seed::new(bytes, places, parts, move |bytes, part| match part.checked_sub(blocks.len() - 1) {
        None => seal_block(bytes, blocks[part]),
        Some(0) => seal_index(bytes, index, entries),
        Some(1) => seal_block(bytes, footer),
        Some(2) => {
            // The trailer moves with the file's end.
            let at = bytes.len().saturating_sub(64);
            let len = (bytes.len() as u64).to_le_bytes();
            if let Some(place) = bytes.get_mut(at + 40..at + 48) {
                place.copy_from_slice(&len);
            }
            seal_range(bytes, at..at + 60);
        }
        Some(3) => seal_range(bytes, 0..PAGE - 4),
        Some(_) => {}
    })
}

/// Reads all events of a source, block by block.
fn read<T: Event + PartialEq>(source: &impl BlockSource<T>) -> Result<Vec<T>, String> {
    let mut reader = source.reader().map_err(|error| error.to_string())?;
    let mut events = Vec::new();
    for (block, summary) in source.blocks().iter().enumerate() {
        reader.load(block).map_err(|error| error.to_string())?;
        assert_eq!(BlockSummary::of(reader.events()), Some(*summary), "block {block}");
        events.extend_from_slice(reader.events());
    }
    assert!(reader.load(source.blocks().len()).is_err());
    Ok(events)
}

fn whole(capture: &Capture, is_owned: bool) -> Option<Result<Vec<Trade>, String>> {
    let replay = capture.replay::<Trade>().ok()?.untrusted(is_owned);
    Some(read(&replay.into_blocks()))
}

/// Looks at everything in a capture; its events, where it is sound and of trades.
fn look(capture: &Capture, options: u8) -> Option<Vec<Trade>> {
    assert_eq!(capture.is_complete(), capture.cut().is_none());
    assert!(capture.dictionary().is_ok());
    let verified = capture.verify().map_err(|error| error.to_string());
    if let Some(cut) = capture.cut() {
        assert_eq!(cut.offset + cut.bytes, capture.file_bytes());
        // Only whole blocks are taken.
        assert!(verified.is_ok() || verified.as_ref().is_err_and(|error| error.contains("time")), "{verified:?}");
    }
    let owned = whole(capture, true)?;
    assert_eq!(owned.as_ref().err(), verified.as_ref().err());
    if options & 1 != 0 {
        assert_eq!(whole(capture, false).as_ref(), Some(&owned));
    }
    let from = Timestamp::from_nanos(1010);
    if options & 2 != 0 {
        let replay = capture.replay::<Trade>().ok()?.from(from).until(Timestamp::from_nanos(1040)).untrusted(true);
        let part = read(&replay.into_blocks());
        if let (Ok(owned), Ok(part)) = (&owned, &part) {
            let wanted = owned.iter().filter(|event| (1010..1040).contains(&event.time_ns));
            assert!(wanted.eq(part));
        }
        assert!(owned.is_err() || part.is_ok(), "{part:?}");
    }
    if options & 4 != 0
        && let Ok(replay) = capture.replay_projected::<Size>(&[("kind", "size")])
        && let (Ok(owned), Ok(sizes)) = (&owned, read(&replay.untrusted(true).into_blocks()))
    {
        assert!(
            owned
                .iter()
                .map(|event| (event.time_ns, event.size))
                .eq(sizes.iter().map(|size| (size.time_ns, size.size.into())))
        );
    }
    let events = owned.ok()?;
    assert_eq!(events.len() as u64, capture.event_count());
    let times = || events.iter().map(Event::time);
    assert_eq!(capture.time_range(), times().min().zip(times().max()));
    Some(events)
}

/// Opens an edited capture, and reads all of it in every way.
pub fn capture(input: &[u8]) {
    static PLACE: OnceLock<(Seed, Scratch)> = OnceLock::new();
    let (seed, scratch) = PLACE.get_or_init(|| {
        let scratch = Scratch::new(".pelton");
        (seed(scratch.write(&[])), Scratch::new(".pelton"))
    });
    let mut input = Input(input);
    let options = input.byte();
    let bytes = seed.edited(&mut input);
    let path = scratch.write(&bytes);
    let opened = Capture::open(path);
    let events = opened.as_ref().ok().and_then(|capture| look(capture, options));
    if bytes == seed.bytes() {
        assert_eq!(events.map(|events| events.len() as u64), Some(EVENTS));
        assert!(opened.is_ok_and(|capture| capture.is_complete()));
    }
    if options & 8 != 0 {
        // As much as can be had of a capture whose end is damaged.
        if let Ok(capture) = Capture::recover(path) {
            assert!(!capture.is_complete());
            let _ = look(&capture, options);
        }
    }
}
