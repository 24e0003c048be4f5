//! Journals on a disk that crashes, lies, fails, fills up and rots. What was durable is there, in its order; what comes
//! behind is there up to some record, or not.

mod cuts;

use super::*;
use crate::testing::{CrashingDisk, Fault};
use std::io;

const PATH: &str = "journal";

fn sources() -> Vec<JournalSource> {
    let source = |name: &str, is_feed, event_bytes| JournalSource {
        name: name.to_owned(),
        group: 0,
        is_feed,
        event_bytes,
        fingerprint: 7,
        schema: format!("{event_bytes}/8"),
    };
    vec![source("ticks", true, 8), source("days", false, 16), source("marks", true, 1)]
}

/// A journal in use, with the job's dictionary.
struct Open {
    journal: Journal,
    symbols: Dictionary,
    remarks: Vec<String>,
}

fn open(disk: &CrashingDisk, from: Option<&From>) -> Result<Open, StateError> {
    let mut handles = Handles::new(Box::new(disk.storage())).map_err(StateError::io(Path::new(PATH), "open"))?;
    let found = find(&mut handles, Path::new(PATH), from)?;
    let symbols = Dictionary::default();
    let remarks = found.as_ref().map(|found| found.remarks.clone()).unwrap_or_default();
    let before = found.as_ref().map_or(0, |found| found.symbols.0);
    let texts = found.as_ref().map(|found| found.symbols.1.clone()).unwrap_or_default();
    // The texts before are those of a checkpoint.
    (0..before).map(symbol).chain(texts).for_each(|text| assert!(symbols.intern(&text).is_ok()));
    let journal = Journal::open(handles, Path::new(PATH), (found, 0x77), &sources())?;
    Ok(Open { journal, symbols, remarks })
}

fn symbol(id: u64) -> String {
    format!("symbol {id}")
}

/// What arrives as number `n`: each is told by what it has, and some bring a symbol with them.
fn arrival(n: u64) -> (RecordKind, u32, u32, u64, Vec<u8>) {
    let bytes = |len: u64| (0..len).map(|at| (at * 31 + n * 7 + 1) as u8).collect();
    match n % 7 {
        0 | 3 => (RecordKind::Events, 0, (n % 5 + 1) as u32, n % 3, bytes((n % 5 + 1) * 8)),
        1 => (RecordKind::Block, 1, n as u32, 0, bytes(24)),
        2 => (RecordKind::Idle, 2, 0, 0, Vec::new()),
        4 => (RecordKind::Events, 0, 150, 0, bytes(1200)),
        5 => (RecordKind::Events, 2, 0, n, Vec::new()),
        _ => (RecordKind::Events, 2, 100, 1, bytes(100)),
    }
}

fn append(open: &Open, n: u64) -> Result<u64, StateError> {
    if n % 4 == 1 {
        open.symbols.intern(&symbol(n / 4)).unwrap();
    }
    let (kind, source, count, rejected, payload) = arrival(n);
    let arrival = Arrival { kind, source, clock: Duration::from_nanos(n), count, rejected, payload: &payload };
    open.journal.append(&arrival, &open.symbols)
}

/// A place that a checkpoint might stand at, with the arrivals before it.
#[derive(Clone)]
struct Checkpoint {
    from: From,
    arrivals: u64,
}

/// How many arrivals the journal has: all are those that were appended, in their order, with the symbols before them.
/// Those before a checkpoint may have been cut.
fn read_all(open: &Open, checkpoint: Option<&Checkpoint>) -> Result<u64, StateError> {
    let cut = checkpoint.filter(|_| open.journal.is_cut());
    let (start, mut n) = cut.map_or((open.journal.first(), 0), |cut| (cut.from.position, cut.arrivals));
    let mut records = open.journal.records(start)?;
    let end = open.journal.opened_end();
    while records.position().sequence < end.sequence {
        let Some(record) = records.next()? else { panic!("it ends before its end") };
        if record.kind == RecordKind::Symbols {
            continue;
        }
        let found = (record.kind, record.source, record.count, record.rejected, record.payload.to_vec());
        assert_eq!((found, record.clock), (arrival(n), Duration::from_nanos(n)), "arrival {n}");
        assert!(records.position().symbols >= n.div_ceil(4), "symbols of arrival {n}");
        n += 1;
    }
    assert_eq!(records.position(), end);
    Ok(n)
}

/// Opens it, and holds it against what was known to be durable and what was appended; it goes on from there.
fn hold(disk: &CrashingDisk, durable: u64, appended: u64, checkpoint: Option<&Checkpoint>) -> Result<u64, String> {
    let tell = |error: StateError| error.to_string();
    let from = checkpoint.map(|checkpoint| &checkpoint.from);
    let open = open(disk, from).map_err(tell)?;
    let found = read_all(&open, checkpoint).map_err(tell)?;
    if !(durable..=appended).contains(&found) {
        return Err(format!("{found} arrivals, of {appended}, of which {durable} were durable"));
    }
    for n in found..found + 3 {
        append(&open, n).map_err(tell)?;
    }
    open.journal.commit().map_err(tell)?;
    drop(open);
    let again = self::open(disk, from).map_err(tell)?;
    match read_all(&again, checkpoint).map_err(tell)? {
        count if count == found + 3 => Ok(found),
        count => Err(format!("{count} arrivals behind {found} and 3 more")),
    }
}

/// What was done until something failed.
#[derive(Default)]
struct Filled {
    durable: u64,
    appended: u64,
    /// The newest two places that a checkpoint might stand at, the newest last.
    checkpoints: Vec<Checkpoint>,
    cuts: u64,
}

impl Filled {
    fn from(&self) -> Option<&From> {
        self.checkpoints.last().map(|checkpoint| &checkpoint.from)
    }
}

/// Appends and commits until something fails or enough is there; `cuts` what lies before the last two checkpoints.
fn fill(disk: &CrashingDisk, most: u64, cuts: bool) -> Filled {
    let mut filled = Filled::default();
    let Ok(open) = open(disk, None) else { return filled };
    for n in 0..most {
        filled.appended = n + 1;
        if append(&open, n).is_err() {
            return filled;
        }
        if n % 5 == 2 {
            let (position, counts) = (open.journal.end(), locked(&open.journal.writer).counts.clone());
            if open.journal.commit().is_err() {
                return filled;
            }
            filled.durable = n + 1;
            let counted = |count| SourceFrom { sequence: position.sequence, count };
            let from = From { position, sources: counts.into_iter().map(counted).collect() };
            filled.checkpoints.push(Checkpoint { from, arrivals: n + 1 });
            let over = filled.checkpoints.len().saturating_sub(2);
            filled.checkpoints.drain(..over);
            if let (true, [oldest, _]) = (cuts, &*filled.checkpoints) {
                let before = open.journal.kept_from();
                if open.journal.cut(oldest.from.position).is_err() {
                    return filled;
                }
                filled.cuts += u64::from(before < open.journal.kept_from());
            }
        }
    }
    filled
}

#[test]
fn what_was_appended_is_read_again_and_counted() {
    let disk = CrashingDisk::new();
    let filled = fill(&disk, 500, false);
    let whole = open(&disk, None).unwrap();
    assert_eq!((read_all(&whole, None).unwrap(), filled.appended), (500, 500));
    let count = |events, rejected| InputCount { events, rejected };
    let expected: Vec<_> = (0..3)
        .map(|source| {
            let of_source = (0..500).map(arrival).filter(|(kind, of, ..)| (*kind, *of) == (RecordKind::Events, source));
            of_source.fold(count(0, 0), |sum, (_, _, more, rejected, _)| {
                count(sum.events + u64::from(more), sum.rejected + rejected)
            })
        })
        .collect();
    let counts = |open: &Open| (0..3).map(|source| open.journal.input(source).count()).collect::<Vec<_>>();
    assert_eq!(counts(&whole), expected);
    assert_eq!(whole.symbols.len(), 125);
    drop(whole);
    // From a checkpoint on, the same is found.
    let part = open(&disk, filled.from()).unwrap();
    assert_eq!((counts(&part), part.symbols.len()), (expected, 125));
    assert!(part.remarks.is_empty(), "{:?}", part.remarks);
}

/// Crashes at each operation in many ways; how many crashes, or the first thing that is wrong.
fn crash_everywhere(make: impl Fn() -> CrashingDisk, images: u64, (most, cuts): (u64, bool)) -> Result<u64, String> {
    let mut crashes = 0;
    for at in 0.. {
        let disk = make();
        disk.fail(Some(Fault { at, for_ever: true, kind: io::ErrorKind::Other }));
        let Filled { durable, appended, checkpoints, .. } = fill(&disk, most, cuts);
        let is_whole = disk.operations() <= at;
        disk.fail(None);
        for seed in 0..images {
            for checkpoint in checkpoints.iter().map(Some).chain([None]) {
                let image = CrashingDisk::with_bytes(disk.crash_image(at * images + seed));
                let held = std::panic::catch_unwind(|| hold(&image, durable, appended, checkpoint));
                let held = held.unwrap_or_else(|_| Err("other arrivals".to_owned()));
                match held {
                    Err(error) if checkpoint.is_none() && cuts && error.contains("no checkpoint says") => {}
                    held => drop(held.map_err(|error| format!("operation {at}, crash {seed}: {error}"))?),
                }
                crashes += 1;
            }
        }
        if is_whole {
            return Ok(crashes);
        }
    }
    unreachable!("there are fewer operations than numbers")
}

fn images() -> u64 {
    std::env::var("PELTON_IMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

#[test]
fn a_crash_at_any_operation_leaves_what_was_durable() {
    let crashes = crash_everywhere(CrashingDisk::new, images(), (40, false)).unwrap();
    println!("{crashes} crashes");
    assert!(crashes > images() * 80, "{crashes} crashes");
}

#[test]
fn a_sync_that_is_left_out_is_found() {
    let lying = || {
        let disk = CrashingDisk::new();
        disk.lose_syncs();
        disk
    };
    assert!(crash_everywhere(lying, 20, (40, false)).is_err());
}

#[test]
fn records_that_were_given_up_never_come_back() {
    let disk = CrashingDisk::new();
    let opened = open(&disk, None).unwrap();
    (0..8).for_each(|n| assert!(append(&opened, n).is_ok()));
    let end = opened.journal.first().offset as usize;
    drop(opened);
    // The first record behind the head is torn, and all behind it are whole.
    let mut bytes = disk.bytes();
    bytes[end + 70] ^= 1;
    let torn = CrashingDisk::with_bytes(bytes);
    let opened = open(&torn, None).unwrap();
    assert_eq!(read_all(&opened, None).unwrap(), 0);
    assert_eq!(opened.remarks.len(), 1);
    assert!(opened.remarks[0].contains("with 10 whole records, are cut"), "{:?}", opened.remarks);
    // The same one again, behind which the old second would fit.
    append(&opened, 0).unwrap();
    drop(opened);
    let opened = open(&torn, None).unwrap();
    assert_eq!((read_all(&opened, None).unwrap(), opened.remarks.len()), (1, 0));
}

#[test]
fn damage_of_what_was_durable_is_refused_with_its_place() {
    let disk = CrashingDisk::new();
    let filled = fill(&disk, 19, false);
    assert_eq!(filled.durable, 18);
    let from = filled.from();
    let bytes = disk.bytes();
    let opened = open(&disk, None).unwrap();
    let mut records = opened.journal.records(Position::default()).unwrap();
    let mut places = Vec::new();
    while let Some(record) = records.next().unwrap() {
        places.push((record.offset as usize, record.sequence));
    }
    let (end, position) = (records.position(), from.unwrap().position);
    assert!(end.sequence > position.sequence);
    for (offset, sequence) in places {
        for zeroes in [false, true] {
            let mut damaged = bytes.clone();
            match zeroes {
                true => damaged[offset..offset + 64].fill(0),
                false => damaged[offset + 9] ^= 4,
            }
            let disk = CrashingDisk::with_bytes(damaged);
            match open(&disk, None) {
                // The records behind the last sync were never known to be durable.
                Ok(open) => assert!(sequence >= position.sequence && open.remarks.len() == 1, "record {sequence}"),
                Err(StateError::Damaged { offset: at, .. }) => {
                    assert!(sequence < position.sequence && at == offset as u64, "record {sequence} at {offset}, {at}");
                }
                Err(other) => panic!("{other}"),
            }
            // A checkpoint knows of the one before it, though none behind it says so.
            let is_before = sequence + 1 == position.sequence;
            assert_eq!(open(&disk, from).is_err(), is_before || sequence < 2, "record {sequence}");
        }
    }
    // Cut before what a checkpoint stands behind.
    let disk = CrashingDisk::with_bytes(bytes[..position.offset as usize - 64].to_vec());
    assert!(matches!(open(&disk, from), Err(StateError::Damaged { .. })));
    let disk = CrashingDisk::new();
    assert!(matches!(open(&disk, from), Err(StateError::Damaged { .. })));
}

#[test]
fn any_bit_that_changes_is_found_or_does_not_matter() {
    let disk = CrashingDisk::new();
    let Filled { durable, appended, .. } = fill(&disk, 25, false);
    let bytes = disk.bytes();
    let end = open(&disk, None).unwrap().journal.end().offset as usize;
    let (mut refused, mut cut) = (0, 0);
    for at in (0..end).chain([end, end + 1, bytes.len() - 1]) {
        // Each bit in the script, one of each byte in the everyday tests.
        let bits = if std::env::var_os("PELTON_IMAGES").is_some() { 0..8 } else { at % 8..at % 8 + 1 };
        for bit in bits {
            let mut rotten = bytes.clone();
            rotten[at] ^= 1 << bit;
            let rotten = CrashingDisk::with_bytes(rotten);
            match open(&rotten, None) {
                Err(StateError::Damaged { .. }) => refused += 1,
                Err(other) => panic!("byte {at}: {other}"),
                Ok(open) => {
                    let found = read_all(&open, None).unwrap();
                    assert!((durable..=appended).contains(&found), "byte {at}: {found} arrivals");
                    // What is cut is told; otherwise the byte does not matter.
                    assert!(found == appended || !open.remarks.is_empty(), "byte {at}");
                    cut += u64::from(found < appended);
                }
            }
        }
    }
    println!("{refused} refused, {cut} cut, of {end} bytes");
    assert!(refused > 3000 && cut > 100, "{refused} refused, {cut} cut");
}

#[test]
fn a_full_disk_is_an_error_and_what_is_there_stays() {
    let disk = CrashingDisk::new();
    let opened = open(&disk, None).unwrap();
    disk.limit(Some(disk.bytes().len() as u64));
    let full = (0..1000).find(|n| match append(&opened, *n) {
        Ok(_) => false,
        Err(StateError::Full { .. }) => true,
        Err(other) => panic!("{other}"),
    });
    let full = full.unwrap();
    opened.journal.commit().unwrap();
    assert!(matches!(append(&opened, full), Err(StateError::Full { .. })));
    drop(opened);
    disk.crash(3);
    disk.limit(None);
    assert_eq!(hold(&disk, full, full, None), Ok(full));
}

#[test]
fn a_sync_that_fails_is_never_tried_again() {
    let disk = CrashingDisk::new();
    let opened = open(&disk, None).unwrap();
    append(&opened, 0).unwrap();
    let durable = opened.journal.durable();
    disk.fail(Some(Fault { at: 0, for_ever: false, kind: io::ErrorKind::Other }));
    assert!(matches!(opened.journal.commit(), Err(StateError::Io { .. })));
    for n in 1..4 {
        assert!(matches!(append(&opened, n), Err(StateError::Poisoned { .. })));
        assert!(matches!(opened.journal.commit(), Err(StateError::Poisoned { .. })));
    }
    assert_eq!((opened.journal.durable(), opened.journal.input(0).count().events), (durable, 0));
}

#[test]
fn a_write_that_fails_is_the_last() {
    let disk = CrashingDisk::new();
    let opened = open(&disk, None).unwrap();
    disk.fail(Some(Fault { at: 0, for_ever: false, kind: io::ErrorKind::Other }));
    assert!(matches!(append(&opened, 0), Err(StateError::Io { .. })));
    assert!(matches!(append(&opened, 1), Err(StateError::Poisoned { .. })));
}

#[test]
fn a_journal_of_other_sources_is_refused() {
    let disk = CrashingDisk::new();
    drop(open(&disk, None).unwrap());
    let mut handles = Handles::new(Box::new(disk.storage())).unwrap();
    let found = find(&mut handles, Path::new(PATH), None).unwrap();
    let mut others = sources();
    others.swap(0, 1);
    let Err(error) = Journal::open(handles, Path::new(PATH), (found, 1), &others) else { panic!("another order") };
    let text = error.to_string();
    let was = "the journal has feed `ticks` of [8/8] in group 0, bounded source `days` of [16/8] in group 0";
    assert!(text.contains(was) && text.contains("the job has bounded source `days` of [16/8] in group 0"), "{text}");
}

/// Appending goes on while another thread syncs and makes room.
#[test]
fn threads_share_it() {
    let disk = CrashingDisk::new();
    let opened = open(&disk, None).unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                opened.journal.wait_for_news(Duration::from_millis(1));
                opened.journal.commit().unwrap();
                opened.journal.grow_ahead();
            }
        });
        let mut last = 0;
        for n in 0..3000 {
            last = append(&opened, n).unwrap();
        }
        while opened.journal.durable() < last {
            std::thread::yield_now();
        }
        is_over.store(true, Ordering::Release);
    });
    drop(opened);
    disk.crash(1);
    assert_eq!(hold(&disk, 3000, 3000, None), Ok(3000));
}

/// A record whose checksums are right, of a source that there is not.
#[test]
fn a_record_that_cannot_be_used_is_cut_and_what_comes_behind_it_stays() {
    let disk = CrashingDisk::new();
    let opened = open(&disk, None).unwrap();
    append(&opened, 0).unwrap();
    let end = opened.journal.end();
    let stray =
        Arrival { kind: RecordKind::Idle, source: 9, clock: Duration::ZERO, count: 0, rejected: 0, payload: &[] };
    opened.journal.append(&stray, &opened.symbols).unwrap();
    drop(opened);
    let opened = open(&disk, None).unwrap();
    assert_eq!((opened.journal.end(), opened.remarks.len()), (end, 1));
    append(&opened, 1).unwrap();
    opened.journal.commit().unwrap();
    drop(opened);
    let opened = open(&disk, None).unwrap();
    assert_eq!((read_all(&opened, None).unwrap(), opened.remarks.len()), (2, 0));
}

#[test]
fn a_checkpoint_that_tells_impossible_numbers_is_refused_or_counts_no_further() {
    let disk = CrashingDisk::new();
    let filled = fill(&disk, 10, false);
    let mut most = filled.from().unwrap().clone();
    let count = InputCount { events: u64::MAX, rejected: u64::MAX };
    most.sources.iter_mut().for_each(|source| source.count = count);
    let opened = open(&disk, Some(&most)).unwrap();
    assert_eq!(opened.journal.input(0).count(), count);
    drop(opened);
    let mut behind = filled.from().unwrap().clone();
    behind.position.sequence = u64::MAX;
    let error = open(&disk, Some(&behind)).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("where a checkpoint stands"), "{error}");
}
