//! Journals that were edited.

use super::{Input, Memory, Seed, u32_at};
use crate::log::error::StateError;
use crate::log::journal::{
    Arrival, Found, From, InputCount, Journal, JournalSource, Position, RecordKind, Records, SourceFrom, find,
};
use crate::log::storage::Handles;
use crate::runtime::saved_journal::SavedJournal;
use crate::runtime::source::BlockSource;
use crate::{BlockSummary, Dictionary, Event, Record};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

const PATH: &str = "journal";
const ALIGN: usize = 64;
const FILE_ID: u64 = 0x77;
/// Records of the sound journal: its head and start, those of sources, and those of symbols.
const RECORDS: u64 = 15;
/// The first record of a source, or of symbols.
const FIRST: u64 = 2;

/// An event of the feeds.
#[derive(Debug, Clone, Copy, PartialEq, Event)]
#[repr(C)]
struct Tick {
    #[event(time)]
    time_ns: i64,
}

fn sources() -> Vec<JournalSource> {
    let (layout, group) = (Tick::layout(), 0);
    let source = |name: &str, is_feed| JournalSource {
        name: name.to_owned(),
        group,
        is_feed,
        event_bytes: layout.size() as u32,
        fingerprint: layout.fingerprint(),
        schema: layout.schema(),
    };
    vec![source("ticks", true), source("days", false), source("marks", true)]
}

/// What arrives as number `n`.
fn append(journal: &Journal, symbols: &Dictionary, n: u64) -> Result<u64, StateError> {
    let (kind, source, count) = match n % 7 {
        0 => (RecordKind::Events, 0, 3),
        1 => (RecordKind::Block, 1, n as u32),
        2 => (RecordKind::Idle, 2, 0),
        3 => (RecordKind::Events, 2, 9),
        4 => (RecordKind::Events, 0, 0),
        5 => (RecordKind::Watermark, 2, 0),
        _ => (RecordKind::LastEvents, 2, 1),
    };
    let payload = match kind {
        RecordKind::Block => vec![n as u8; 24],
        RecordKind::Watermark => n.to_le_bytes().to_vec(),
        _ => vec![n as u8; count as usize * size_of::<Tick>()],
    };
    let clock = Duration::from_nanos(10 * n);
    journal.append(&Arrival { kind, source, clock, count, rejected: n % 2, payload: &payload }, symbols)
}

fn find_in(memory: &Memory, from: Option<&From>) -> Result<(Handles, Option<Found>), StateError> {
    let mut handles = Handles::new(Box::new(memory.clone())).map_err(StateError::io(Path::new(PATH), "open"))?;
    let found = find(&mut handles, Path::new(PATH), from)?;
    Ok((handles, found))
}

/// A journal of every kind of record, in which some were durable and the last ones were not, and where each begins.
fn file() -> Result<(Vec<u8>, Vec<Position>), StateError> {
    let memory = Memory::new(Vec::new());
    let (handles, found) = find_in(&memory, None)?;
    let journal = Journal::open(handles, Path::new(PATH), (found, FILE_ID), &sources())?;
    let symbols = Dictionary::default();
    for n in 0..10 {
        if n % 4 == 0 {
            assert!(symbols.intern(&format!("symbol {n}")).is_ok());
        }
        append(&journal, &symbols, n)?;
        if n == 2 || n == 6 {
            journal.commit()?;
        }
    }
    let end = journal.end();
    drop(journal);
    memory.bytes().truncate(end.offset as usize + 2 * ALIGN);
    let mut records =
        Records::new(Box::new(memory.clone()), Path::new(PATH), (FILE_ID, end.offset), Position::default());
    let mut positions = vec![Position::default()];
    while records.next()?.is_some() {
        positions.push(records.position());
    }
    assert_eq!((positions.last(), positions.len() as u64), (Some(&end), RECORDS + 1));
    let bytes = memory.bytes().clone();
    Ok((bytes, positions))
}

/// Makes the checksums of a record again, of as much payload as its header says.
fn seal_record(bytes: &mut [u8], at: usize) {
    let length = u32_at(bytes, at + 40) as usize;
    let Some(record) = bytes.get_mut(at..).filter(|record| record.len() >= ALIGN) else { return };
    let (header, payload) = record.split_at_mut(ALIGN);
    let offset = (at as u64).to_le_bytes();
    if let Some(payload) = payload.get(..length) {
        let mut hasher = crc32fast::Hasher::new();
        for part in [&header[8..16], &offset, &header[16..24], payload] {
            hasher.update(part);
        }
        header[56..60].copy_from_slice(&hasher.finalize().to_le_bytes());
    }
    header[60..64].fill(0);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset);
    hasher.update(header);
    header[60..64].copy_from_slice(&hasher.finalize().to_le_bytes());
}

struct Journals {
    seed: Seed,
    positions: Vec<Position>,
}

impl Journals {
    fn new() -> Self {
        let (bytes, positions) = file().unwrap_or_else(|error| panic!("{error}"));
        let starts: Vec<_> = positions.iter().map(|position| position.offset as usize).collect();
        let ranges = starts.windows(2).flat_map(|pair| [pair[0]..pair[0] + ALIGN, pair[0] + ALIGN..pair[1]]);
        // Not each record has a payload.
        let places = ranges.filter(|range| !range.is_empty()).chain(std::iter::once(0..bytes.len())).collect();
        let parts = starts.len() - 1;
        let seed = Seed::new(bytes, places, parts, move |bytes, part| seal_record(bytes, starts[part]));
        Self { seed, positions }
    }

    /// Where a checkpoint stands, which may be edited as well.
    fn from(&self, input: &mut Input<'_>, is_edited: bool) -> From {
        let places = &self.positions[FIRST as usize..];
        let mut position = places[usize::from(input.byte()) % places.len()];
        let mut count = InputCount { events: 5, rejected: 1 };
        if is_edited {
            let Position { sequence, offset, before, symbols } = &mut position;
            let numbers = [sequence, offset, before, symbols, &mut count.events, &mut count.rejected];
            let chosen = usize::from(input.byte()) % numbers.len();
            for number in numbers.into_iter().skip(chosen).take(2) {
                *number = match input.byte() {
                    0 => u64::from_le_bytes(input.bytes()),
                    more => number.wrapping_add_signed(i64::from(more.cast_signed())),
                };
            }
        }
        let source = SourceFrom { sequence: position.sequence, count };
        From { position, sources: vec![source; 3] }
    }
}

/// Reads the feeds of a journal as one does without the job: what it says of itself is there.
fn look(memory: &Memory) {
    let Ok(journal) = SavedJournal::in_storage(memory.clone()) else { return };
    for source in journal.sources().iter().filter(|source| source.is_feed) {
        let Ok(events) = journal.events::<Tick>(&source.name) else { continue };
        let mut reader = events.reader().unwrap_or_else(|error| panic!("{error}"));
        let mut count = 0;
        for (block, summary) in events.blocks().iter().enumerate() {
            reader.load(block).unwrap_or_else(|error| panic!("block {block}: {error}"));
            assert_eq!(BlockSummary::of(reader.events()), Some(*summary));
            count += u64::from(summary.count);
        }
        let is_alone = journal.sources().iter().filter(|other| other.name == source.name).count() == 1;
        assert!(!is_alone || count == source.events, "{count} events of {}", source.events);
    }
}

/// Reads on from a position to the end; how many records there are.
fn read(journal: &Journal, from: Position) -> u64 {
    let failed = |error: StateError| panic!("a journal that was opened cannot be read: {error}");
    let mut records = journal.records(from).unwrap_or_else(failed);
    let mut count = 0;
    while records.position().sequence < journal.opened_end().sequence {
        match records.next() {
            Ok(Some(_)) => count += 1,
            Ok(None) => panic!("it ends before its end"),
            Err(error) => panic!("a journal that was opened cannot be read: {error}"),
        }
    }
    assert_eq!(records.position(), journal.opened_end());
    count
}

/// Opens a journal as a job does that goes on from a checkpoint or from the start, and appends to it. What was there is
/// there, and what was appended too.
fn go_on(memory: &Memory, from: Option<&From>, (handles, found): (Handles, Found)) -> Option<u64> {
    let first = from.map(|from| from.position);
    let (symbols_before, texts) = found.symbols.clone();
    let symbols = Dictionary::default();
    let before = (0..symbols_before.min(100)).map(|id| format!("before {id}"));
    for text in before.chain(texts) {
        // Where it is refused, there are fewer.
        let _ = symbols.intern(&text);
    }
    if symbols.len() as u64 != found.end.symbols {
        // A job refuses it.
        return None;
    }
    let counts = found.counts.clone();
    let journal = match Journal::open(handles, Path::new(PATH), (Some(found), FILE_ID), &sources()) {
        Ok(journal) => journal,
        Err(StateError::Misfit { .. }) => return None,
        Err(error) => panic!("it does not open: {error}"),
    };
    let begin = first.unwrap_or_else(|| journal.first());
    let count = read(&journal, begin);
    if symbols.intern("another").is_err() {
        return Some(count);
    }
    let appended = (1..4).try_for_each(|n| append(&journal, &symbols, n).map(drop)).and_then(|()| journal.commit());
    if let Err(error) = appended {
        assert!(matches!(error, StateError::Full { .. }), "it does not go on: {error}");
        return Some(count);
    }
    let end = journal.end();
    drop(journal);
    let (handles, again) = find_in(memory, from).unwrap_or_else(|error| panic!("it does not open again: {error}"));
    let again = again.unwrap_or_else(|| panic!("it is empty when it is opened again"));
    assert!(again.end == end && again.remarks.is_empty(), "{:?} is not {end:?}: {:?}", again.end, again.remarks);
    assert_eq!(again.symbols.1.last().map(String::as_str), Some("another"));
    assert_eq!(again.counts[2].events, counts[2].events.saturating_add(9));
    let again = Journal::open(handles, Path::new(PATH), (Some(again), FILE_ID), &sources());
    let again = again.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read(&again, begin), count + 4);
    Some(count)
}

/// Opens an edited journal in every way, reads all of it and goes on; whether it opens.
pub fn journal(input: &[u8]) -> bool {
    static JOURNALS: OnceLock<Journals> = OnceLock::new();
    let journals = JOURNALS.get_or_init(Journals::new);
    let mut input = Input(input);
    let options = input.byte();
    let from = (options & 1 != 0).then(|| journals.from(&mut input, options & 2 != 0));
    let bytes = journals.seed.edited(&mut input);
    let is_same = bytes == journals.seed.bytes() && options & 2 == 0;
    let memory = Memory::new(bytes);
    look(&memory);
    let found = match find_in(&memory, from.as_ref()) {
        Ok((handles, Some(found))) => (handles, found),
        Ok((_, None)) | Err(_) => {
            assert!(!is_same, "a sound journal does not open");
            return false;
        }
    };
    let end = found.1.end.sequence;
    assert!(!is_same || end == RECORDS, "{end} records");
    if options & 12 == 4 {
        let count = go_on(&memory, from.as_ref(), found);
        let before = from.map_or(FIRST, |from| from.position.sequence);
        assert!(!is_same || count == Some(RECORDS - before), "{count:?} records behind {before}");
    }
    true
}
