//! Snapshot logs that were edited.

use super::{Input, Memory, Seed, u32_at};
use crate::Timestamp;
use crate::log::error::StateError;
use crate::log::journal::{InputCount, Position};
use crate::log::{BodyRef, LogOptions, Sealing, SnapshotLog};
use crate::progress::jumps::SourceClock;
use crate::runtime::entries::{Entry, Role, SavedStore};
use crate::runtime::live::{LiveSource, LiveSources};
use crate::runtime::metrics::Counts;
use crate::runtime::saved::SavedState;
use crate::store::pieces::Pieces;
use crate::store::{Share, StoreKind};
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

const PATH: &str = "log";
pub(super) const SEGMENT: usize = 4096;
pub(super) const PAGE: usize = 4096;
const FRAME: usize = 64;
/// Checkpoints of the sound log.
pub(super) const EPOCHS: u64 = 3;
const OPTIONS: LogOptions = LogOptions { segment_bytes: SEGMENT as u32, kept: 3 };

pub(super) fn open(memory: &Memory, may_fall_back: bool) -> Result<SnapshotLog, StateError> {
    SnapshotLog::open(Box::new(memory.clone()), Path::new(PATH), OPTIONS, 7, may_fall_back)
}

/// Everything that the entries of a body may be, with pieces of stores of each kind.
fn entries(epoch: u64) -> Vec<Entry> {
    let text = |text: &str| text.to_owned();
    let mut entries = vec![Entry::Job { name: text("job"), workers: 2, seed: 5 }];
    let symbols = ["A", "BC", "D"].map(text);
    // Those of the bodies before come before.
    entries.push(Entry::Symbols { first: 3 * (epoch as u32 - 1), texts: symbols.to_vec() });
    entries.push(Entry::Sources { names: vec![text("ticks"), text("days")], unit: 4 + epoch, fingerprint: 9 });
    let clock = SourceClock::from_parts((Timestamp::from_nanos(50), 1, Timestamp::from_nanos(60)));
    let count = InputCount { events: 8 * epoch, rejected: 1 };
    let source = LiveSource { clock, block: 2, has_ended: false, is_idle: true, count };
    let position = Position { sequence: 3, offset: 256, before: 128, symbols: 2 };
    let live = LiveSources { position, clock: Timestamp::from_nanos(50), sources: vec![source, source] };
    entries.push(Entry::Live(live));
    entries.push(Entry::Counts {
        name: text("ticks"),
        counts: Counts { rows_in: 40, watermark: 50, ..Counts::default() },
    });
    for (number, kind) in StoreKind::ALL.into_iter().enumerate() {
        // Some were not changed since the checkpoint before.
        if epoch == 2 && number % 3 != 0 {
            continue;
        }
        let (key, element_key) = match kind {
            StoreKind::Value => ("", ""),
            StoreKind::Broadcast => ("", "2/2 value:u16@0"),
            StoreKind::KeyedMaps => ("4/4 value:u32@0", "2/2 value:u16@0"),
            _ => ("4/4 value:u32@0", ""),
        };
        let [key, element_key, value] = [key, element_key, "12/4 sum:i64@0 count:u32@8"].map(text);
        let (step, store) = (text("step"), text(kind.name()));
        let mut pieces = Pieces::default();
        for n in 0..3u8 {
            let id: &[u8] = match kind {
                StoreKind::Value => &[],
                StoreKind::Broadcast => &[n; 2],
                StoreKind::Timers | StoreKind::Slices => &[n; 12],
                _ => &[n; 4],
            };
            let value: &[u8] = match kind {
                StoreKind::Timers => &[1],
                StoreKind::KeyedTable | StoreKind::Broadcast => &[1; 13],
                StoreKind::KeyedRows => &[n; 40],
                StoreKind::KeyedMaps => &[n; 28],
                _ => &[n; 12],
            };
            let share = if kind == StoreKind::Broadcast { Share::All } else { Share::Slot(n.into()) };
            pieces.push(share, &[id, value].concat());
        }
        if kind == StoreKind::KeyedTable || kind == StoreKind::Slices {
            // Two keys at once, behind the length of a record and what both have in front.
            let (record, front): (u32, &[u8]) = if kind == StoreKind::Slices { (16, &[9; 8]) } else { (17, &[]) };
            let records = vec![1; 2 * record as usize];
            pieces.push(Share::Keys, &[&record.to_le_bytes(), front, &records].concat());
        }
        let bytes = pieces.bytes().to_vec();
        entries.push(Entry::Store(SavedStore {
            step,
            store,
            kind: text(kind.name()),
            title: text("a step"),
            key,
            element_key,
            value,
        }));
        entries.push(Entry::Pieces {
            step: text("step"),
            role: Role::Whole,
            worker: 1,
            store: text(kind.name()),
            bytes,
        });
    }
    entries.push(Entry::Ended { step: text("step"), role: Role::Parts, worker: 0 });
    entries.push(Entry::Sink { name: text("out"), worker: 1, position: vec![7; 24] });
    entries
}

/// Takes a checkpoint of all entries, and of more bytes than a segment has.
fn take(log: &mut SnapshotLog, epoch: u64, builds_on: Vec<BodyRef>) -> Result<(), StateError> {
    log.begin(epoch, builds_on)?;
    for entry in entries(epoch) {
        entry.write(log)?;
    }
    if epoch == 2 {
        Entry::Sink { name: "long".to_owned(), worker: 0, position: vec![3; SEGMENT] }.write(log)?;
    }
    log.seal(Sealing { is_savepoint: epoch == 1, is_finished: false })
}

/// A log with a savepoint and two checkpoints, each of which builds on those before it.
pub(super) fn file() -> Vec<u8> {
    let memory = Memory::new(Vec::new());
    let written = open(&memory, false).and_then(|mut log| {
        (1..=EPOCHS).try_for_each(|epoch| {
            let builds_on = log.kept().last().map_or(Vec::new(), |kept| kept.bodies.clone());
            take(&mut log, epoch, builds_on)
        })
    });
    assert!(written.is_ok(), "{written:?}");
    let bytes = memory.bytes().clone();
    assert_eq!(bytes.len(), 2 * PAGE + 4 * SEGMENT);
    bytes
}

/// Makes the checksum of a superblock again.
pub(super) fn seal_page(bytes: &mut [u8], number: usize) {
    let Some(page) = bytes.get_mut(number * PAGE..(number + 1) * PAGE) else { return };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&page[..44]);
    hasher.update(&(number as u32).to_le_bytes());
    hasher.update(&page[48..]);
    page[44..48].copy_from_slice(&hasher.finalize().to_le_bytes());
}

/// Makes the checksums of a segment again, of as much payload as its frame says.
fn seal_segment(bytes: &mut [u8], at: usize) {
    let used = u32_at(bytes, at + 44) as usize;
    let Some(segment) = bytes.get_mut(at..).filter(|segment| segment.len() >= FRAME) else { return };
    let (frame, payload) = segment.split_at_mut(FRAME);
    if let Some(payload) = payload.get(..used) {
        frame[48..52].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    }
    frame[52..56].fill(0);
    let checksum = crc32fast::hash(frame);
    frame[52..56].copy_from_slice(&checksum.to_le_bytes());
}

/// Where edits of the superblocks begin: their heads and their entries.
pub(super) fn page_places() -> impl Iterator<Item = Range<usize>> {
    (0..2).flat_map(|number| {
        let start = number * PAGE;
        let entries = (0..4).map(move |entry| start + 48 + 32 * entry..start + 80 + 32 * entry);
        std::iter::once(start..start + 48).chain(entries).chain(std::iter::once(start..start + 600))
    })
}

pub(super) fn seed() -> Seed {
    let bytes = file();
    let segments = (bytes.len() - 2 * PAGE) / SEGMENT;
    let mut places: Vec<_> = page_places().collect();
    for number in 0..segments {
        let start = 2 * PAGE + number * SEGMENT;
        // Links and the first entries are at the front.
        places.extend([start..start + FRAME, start + FRAME..start + 3 * FRAME, start + FRAME..start + SEGMENT]);
    }
    Seed::new(bytes, places, 2 + segments, |bytes, part| match part.checked_sub(2) {
        None => seal_page(bytes, part),
        Some(number) => seal_segment(bytes, 2 * PAGE + number * SEGMENT),
    })
}

/// A checkpoint as it was read: its number, and a checksum of the entries of its bodies, where they could be read.
pub(super) type Read = (u64, Option<u32>);

/// Reads all checkpoints of a log.
pub(super) fn contents(log: &mut SnapshotLog) -> Vec<Read> {
    let kept = log.kept().to_vec();
    kept.iter()
        .map(|kept| {
            let mut hasher = crc32fast::Hasher::new();
            let read = kept.bodies.iter().try_for_each(|body| {
                let mut reader = log.reader(body);
                reader.skip_links()?;
                while !reader.is_at_end()? {
                    let (kind, len) = (reader.u32()?, reader.u64()?);
                    hasher.update(&kind.to_le_bytes());
                    hasher.update(&reader.bytes(len)?);
                }
                Ok::<(), StateError>(())
            });
            (kept.epoch, read.is_ok().then(|| hasher.finalize()))
        })
        .collect()
}

/// Looks at what is in a log as one does without the job, and at one of the stores; how many checkpoints could be read.
fn look(memory: &Memory, store: u8) -> usize {
    let Ok(mut state) = SavedState::in_storage(memory.clone()) else { return 0 };
    let checkpoints = state.checkpoints();
    let mut read = 0;
    for checkpoint in &checkpoints {
        let Ok(Some(saved)) = state.read(Some(checkpoint.epoch)) else { continue };
        read += 1;
        assert_eq!(saved.epoch(), checkpoint.epoch);
        let _ = (saved.job(), saved.workers(), saved.counts(), saved.sources().count(), saved.sinks().count());
        if usize::from(store & 3) != read {
            continue;
        }
        let _ = saved.symbols();
        let names: Vec<_> = saved.store_names().collect();
        if let Some((step, store)) = names.get(usize::from(store >> 2))
            && let Ok(rows) = saved.rows(step, store)
        {
            // Of each row at least the worker is told.
            assert!(rows.rows.iter().all(|row| row.len() >= 4));
        }
        if store == u8::MAX {
            let stores = saved.stores();
            assert!(stores.is_err() || stores.is_ok_and(|stores| stores.len() == names.len()));
        }
    }
    read
}

/// Takes another checkpoint, as a job that goes on does; whether there was room. What was kept and is still kept is as
/// it was, and everything can be read again.
pub(super) fn go_on(memory: &Memory, mut log: SnapshotLog) -> bool {
    let before = contents(&mut log);
    let epoch = before.iter().map(|(epoch, _)| *epoch).max().unwrap_or(0) + 1;
    let builds_on = log.kept().last().map_or(Vec::new(), |kept| kept.bodies.clone());
    let taken = log.begin(epoch, builds_on).and_then(|()| {
        Entry::Sink { name: "out".to_owned(), worker: 0, position: vec![3; SEGMENT] }.write(&mut log)?;
        log.seal(Sealing::default())
    });
    match taken {
        Ok(()) => {}
        Err(StateError::Full { .. } | StateError::Damaged { what: "the superblock's counts", .. }) => return false,
        Err(error) => panic!("it does not go on: {error}"),
    }
    let after = contents(&mut log);
    drop(log);
    assert_eq!(after.last().map(|(epoch, _)| *epoch), Some(epoch));
    for read in &after[..after.len() - 1] {
        assert!(before.contains(read), "checkpoint {} was {before:?} and is {read:?}", read.0);
    }
    let again = open(memory, false).map(|mut log| contents(&mut log));
    match again {
        Ok(again) => assert_eq!(again, after),
        Err(error) => panic!("it does not open again: {error}"),
    }
    true
}

/// Opens an edited snapshot log, reads everything in it and goes on; whether a checkpoint could be read.
pub fn log(input: &[u8]) -> bool {
    static SEED: OnceLock<Seed> = OnceLock::new();
    let seed = SEED.get_or_init(seed);
    let mut input = Input(input);
    let [options, store] = input.bytes();
    let bytes = seed.edited(&mut input);
    let is_same = bytes == seed.bytes();
    let memory = Memory::new(bytes);
    let read = look(&memory, store);
    assert!(!is_same || read as u64 == EPOCHS, "{read} checkpoints of a sound log");
    if options & 1 == 0 {
        return read > 0;
    }
    let whole = open(&memory, false);
    let part = open(&memory, true);
    match (&whole, &part) {
        (Ok(whole), Ok(part)) => assert_eq!(whole.kept(), part.kept()),
        (Ok(_), Err(error)) => panic!("it opens as a whole and not in part: {error}"),
        // What is left out is told.
        (Err(_), Ok(part)) => assert!(!part.remarks().is_empty()),
        (Err(_), Err(_)) => return false,
    }
    drop(whole);
    if options & 2 != 0
        && let Ok(log) = part
    {
        go_on(&memory, log);
    }
    read > 0
}
