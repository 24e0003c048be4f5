//! The log on a disk that crashes, fails, fills up and rots. What was committed is there, as it was; what was not is not.

mod bits;

use crate::log::error::StateError;
use crate::log::snapshots::{BodyRef, Kept, LogOptions, Sealing, SnapshotLog};
use crate::log::storage::Storage;
use crate::testing::{CrashingDisk, Fault};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const OPTIONS: LogOptions = LogOptions { segment_bytes: 4096, kept: 2 };

fn open(disk: &CrashingDisk, may_fall_back: bool) -> Result<SnapshotLog, StateError> {
    SnapshotLog::open(Box::new(disk.storage()), Path::new("log"), OPTIONS, 77, may_fall_back)
}

/// What the body of an epoch has: some have one segment, some several, and some end where a segment does.
fn content(epoch: u64) -> Vec<u8> {
    let len = [10, 4028, 9000, 0, 20_000, 4032 * 2 - 4][epoch as usize % 6];
    (0..len).map(|at: u64| (at.wrapping_mul(epoch + 3) >> 3) as u8).collect()
}

/// Builds on the checkpoint before it, but for each fifth.
fn builds_on(log: &SnapshotLog, epoch: u64) -> Vec<BodyRef> {
    if epoch.is_multiple_of(5) { Vec::new() } else { log.kept().last().map_or(Vec::new(), |kept| kept.bodies.clone()) }
}

fn take(log: &mut SnapshotLog, epoch: u64) -> Result<(), StateError> {
    let builds_on = builds_on(log, epoch);
    log.begin(epoch, builds_on)?;
    for piece in content(epoch).chunks(1500) {
        log.write(piece)?;
    }
    log.seal(Sealing::default())
}

/// The bodies of a checkpoint, each with its epoch.
type Bodies = Vec<(u64, Vec<u8>)>;

/// The bodies of all kept checkpoints, by epoch, each read to its end.
fn read_all(log: &mut SnapshotLog) -> Result<BTreeMap<u64, Bodies>, StateError> {
    let mut found = BTreeMap::new();
    for kept in log.kept().to_vec() {
        let mut bodies = Vec::new();
        for body in &kept.bodies {
            let mut reader = log.reader(body);
            reader.skip_links()?;
            let bytes = reader.bytes(content(body.epoch).len() as u64)?;
            assert!(reader.is_at_end()?, "more than was written");
            bodies.push((body.epoch, bytes));
        }
        found.insert(kept.epoch, bodies);
    }
    Ok(found)
}

/// Whether the log has what was committed: the newest checkpoint is one of these, and all are whole.
fn hold(disk: &CrashingDisk, newest: std::ops::RangeInclusive<u64>, what: &str) {
    let mut log = open(disk, false).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = read_all(&mut log).unwrap_or_else(|error| panic!("{what}: {error}"));
    let last = found.keys().last().copied().unwrap_or(0);
    assert!(newest.contains(&last), "{what}: checkpoint {last} is the newest, not one of {newest:?}");
    for (epoch, bodies) in found {
        assert_eq!(bodies.last().map(|(own, _)| *own), Some(epoch), "{what}");
        for (epoch, bytes) in bodies {
            assert!(bytes == content(epoch), "{what}: checkpoint {epoch} has other bytes");
        }
    }
    // It goes on from there.
    take(&mut log, last + 1).unwrap_or_else(|error| panic!("{what}, going on: {error}"));
}

/// Takes checkpoints up to an epoch; the last one that was committed.
fn take_up_to(log: &mut SnapshotLog, epoch: u64) -> u64 {
    let next = log.kept().last().map_or(1, |kept| kept.epoch + 1);
    (next..=epoch).take_while(|epoch| take(log, *epoch).is_ok()).last().unwrap_or(next - 1)
}

#[test]
fn what_was_committed_is_read_again_and_its_room_is_used_again() {
    let disk = CrashingDisk::new();
    let mut log = open(&disk, false).unwrap();
    for epoch in 1..200 {
        take(&mut log, epoch).unwrap();
        assert_eq!(log.kept().len(), 2.min(epoch as usize));
    }
    let bytes = log.disk_bytes().0;
    assert!(bytes < 400_000, "{bytes} bytes");
    drop(log);
    hold(&disk, 199..=199, "closed");
}

/// Fails each operation in turn, once and for ever, and crashes there in many ways.
fn crash_everywhere(disk_of: impl Fn() -> CrashingDisk, images: u64) -> Result<u64, String> {
    let mut crashes = 0;
    for at in 0.. {
        let disk = disk_of();
        disk.fail(Some(Fault { at, for_ever: true, kind: io::ErrorKind::Other }));
        let committed = open(&disk, false).map_or(0, |mut log| take_up_to(&mut log, 7));
        if committed == 7 {
            return Ok(crashes);
        }
        disk.fail(None);
        for seed in 0..images {
            let image = CrashingDisk::with_bytes(disk.crash_image(at * images + seed));
            let what = format!("operation {at}, crash {seed}");
            let held = std::panic::catch_unwind(|| hold(&image, committed..=committed + 1, &what));
            held.map_err(|payload| payload.downcast::<String>().map_or(what, |message| *message))?;
            crashes += 1;
        }
    }
    unreachable!("there are fewer operations than numbers")
}

#[test]
fn a_crash_at_any_operation_leaves_what_was_committed() {
    let images = std::env::var("PELTON_IMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let crashes = crash_everywhere(CrashingDisk::new, images).unwrap();
    println!("{crashes} crashes");
    assert!(crashes > images * 60, "{crashes} crashes");
}

#[test]
fn a_sync_that_is_left_out_is_found() {
    let lying = || {
        let disk = CrashingDisk::new();
        disk.lose_syncs();
        disk
    };
    assert!(crash_everywhere(lying, 40).is_err());
}

/// Writes segments only when the superblock that commits them is durable.
struct CommitFirst<S> {
    inner: S,
    held: Vec<(u64, Vec<u8>)>,
    has_committed: bool,
}

impl<S: Storage> Storage for CommitFirst<S> {
    fn len(&mut self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, into)
    }
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset >= 8192 {
            self.held.push((offset, bytes.to_vec()));
            return Ok(());
        }
        self.has_committed = true;
        self.inner.write(offset, bytes)
    }
    fn grow(&mut self, len: u64) -> io::Result<()> {
        self.inner.grow(len)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()?;
        if std::mem::take(&mut self.has_committed) {
            for (offset, bytes) in std::mem::take(&mut self.held) {
                self.inner.write(offset, &bytes)?;
            }
            self.inner.sync()?;
        }
        Ok(())
    }
}

#[test]
fn a_commit_before_its_body_is_found() {
    let found = (0..200).any(|at| {
        let disk = CrashingDisk::new();
        disk.fail(Some(Fault { at, for_ever: true, kind: io::ErrorKind::Other }));
        let storage = CommitFirst { inner: disk.storage(), held: Vec::new(), has_committed: false };
        let log = SnapshotLog::open(Box::new(storage), Path::new("log"), OPTIONS, 77, false);
        let committed = log.map_or(0, |mut log| take_up_to(&mut log, 7));
        disk.fail(None);
        let image = CrashingDisk::with_bytes(disk.crash_image(at));
        std::panic::catch_unwind(|| hold(&image, committed..=committed + 1, "found")).is_err()
    });
    assert!(found);
}

#[test]
fn an_operation_that_fails_once_is_an_error_or_nothing_and_the_log_goes_on() {
    for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
        for at in 0..200 {
            let disk = CrashingDisk::new();
            disk.fail(Some(Fault { at, for_ever: false, kind }));
            let Ok(mut log) = open(&disk, false) else { continue };
            let mut committed = 0;
            for epoch in 1..8 {
                match take(&mut log, epoch) {
                    Ok(()) => committed = epoch,
                    Err(StateError::Poisoned { .. }) => assert!(kind != io::ErrorKind::StorageFull),
                    Err(_) => {}
                }
            }
            drop(log);
            disk.fail(None);
            hold(&disk, committed..=7, &format!("{kind:?} at operation {at}"));
        }
    }
}

#[test]
fn a_sync_that_fails_is_never_tried_again() {
    let mut poisoned = 0;
    for at in 0..12 {
        let disk = CrashingDisk::new();
        let mut log = open(&disk, false).unwrap();
        take(&mut log, 1).unwrap();
        disk.fail(Some(Fault { at, for_ever: false, kind: io::ErrorKind::Other }));
        // One of its writes or syncs fails, or growing, which is tried with less.
        let is_taken = take(&mut log, 2).is_ok();
        let is_poisoned = |log: &mut SnapshotLog, epoch| matches!(take(log, epoch), Err(StateError::Poisoned { .. }));
        if is_poisoned(&mut log, 3) {
            poisoned += 1;
            assert!(!is_taken && (4..8).all(|epoch| is_poisoned(&mut log, epoch)) && log.kept().len() == 1);
        }
    }
    // Three syncs, and the writes of both superblocks.
    assert_eq!(poisoned, 5);
}

#[test]
fn a_full_disk_is_an_error_and_what_was_committed_stays() {
    let disk = CrashingDisk::new();
    let mut log = open(&disk, false).unwrap();
    take(&mut log, 1).unwrap();
    disk.limit(Some(disk.bytes().len() as u64));
    log.begin(2, Vec::new()).unwrap();
    let error = (0..100).find_map(|_| log.write(&[7; 4096]).err()).unwrap();
    assert!(matches!(error, StateError::Full { .. }), "{error}");
    assert_eq!(log.kept().last().map(|kept| kept.epoch), Some(1));
    // A small one still has room, and with more room so has a large one.
    log.begin(3, Vec::new()).unwrap();
    log.seal(Sealing::default()).unwrap();
    disk.limit(None);
    log.begin(4, Vec::new()).unwrap();
    log.write(&[7; 100_000]).unwrap();
    log.seal(Sealing::default()).unwrap();
    assert_eq!(log.kept().iter().map(|kept| kept.epoch).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn segments_that_are_swapped_stale_or_missing_are_found() {
    let disk = CrashingDisk::new();
    let mut log = open(&disk, false).unwrap();
    take_up_to(&mut log, 3);
    let stale = disk.bytes();
    take_up_to(&mut log, 7);
    drop(log);
    let bytes = disk.bytes();
    let expected = read_all(&mut open(&disk, false).unwrap()).unwrap();
    let segment = |number: usize| 8192 + number * 4096..8192 + (number + 1) * 4096;
    let segments = (bytes.len() - 8192) / 4096;
    let mut found = 0;
    let mut hold = |changed: Vec<u8>, what: String| {
        let disk = CrashingDisk::with_bytes(changed);
        match open(&disk, false).and_then(|mut log| read_all(&mut log)) {
            Ok(read) => assert!(read == expected, "{what}"),
            Err(_) => found += 1,
        }
    };
    for number in 0..segments {
        let mut swapped = bytes.clone();
        swapped.copy_within(segment(number), segment((number + 1) % segments).start);
        hold(swapped, format!("segment {number} twice"));
        let mut old = bytes.clone();
        if segment(number).end <= stale.len() {
            old[segment(number)].copy_from_slice(&stale[segment(number)]);
        }
        hold(old, format!("segment {number} as it was"));
        let mut zeros = bytes.clone();
        zeros[segment(number)].fill(0);
        hold(zeros, format!("segment {number} of zeros"));
        hold(bytes[..segment(number).start].to_vec(), format!("cut before segment {number}"));
    }
    assert!(found > segments, "{found} found");
    // A file that is not yet a log becomes one; what was one is not taken for that.
    for len in [0, 1, 4095] {
        let disk = CrashingDisk::with_bytes(bytes[..len].to_vec());
        assert!(open(&disk, false).is_ok_and(|log| log.kept().is_empty()), "{len} bytes");
    }
    for len in [4096, 8191, 8192] {
        let disk = CrashingDisk::with_bytes(bytes[..len].to_vec());
        assert!(matches!(open(&disk, true), Err(StateError::Damaged { .. })), "{len} bytes");
    }
    let other = CrashingDisk::with_bytes(vec![b'x'; 20_000]);
    assert!(matches!(open(&other, true), Err(StateError::Damaged { .. })));
}

#[test]
fn one_superblock_is_enough() {
    let disk = CrashingDisk::new();
    let mut log = open(&disk, false).unwrap();
    take_up_to(&mut log, 4);
    drop(log);
    for copy in [0, 4096] {
        let mut bytes = disk.bytes();
        bytes[copy..copy + 4096].fill(0xff);
        let disk = CrashingDisk::with_bytes(bytes);
        let mut log = open(&disk, false).unwrap();
        assert_eq!((log.kept().len(), log.remarks().len()), (2, 1));
        // The next one writes both again.
        take(&mut log, 5).unwrap();
        drop(log);
        assert!(open(&disk, false).unwrap().remarks().is_empty());
    }
}

#[test]
fn savepoints_stay() {
    let disk = CrashingDisk::new();
    let mut log = open(&disk, false).unwrap();
    for epoch in 1..=10 {
        log.begin(epoch, Vec::new()).unwrap();
        log.seal(Sealing { is_savepoint: epoch == 3, is_finished: epoch == 10 }).unwrap();
    }
    drop(log);
    let log = open(&disk, false).unwrap();
    let kept: Vec<_> = log.kept().iter().map(|kept| (kept.epoch, kept.is_savepoint, kept.is_finished)).collect();
    assert_eq!(kept, [(3, true, false), (9, false, false), (10, false, true)]);
}

#[test]
fn a_checkpoint_that_builds_on_one_twice_is_refused() {
    let disk = CrashingDisk::new();
    let mut log = open(&disk, false).unwrap();
    for epoch in 1..=3 {
        log.begin(epoch, builds_on(&log, epoch)).unwrap();
        log.seal(Sealing::default()).unwrap();
    }
    let bodies = log.kept().last().unwrap().bodies.clone();
    // Read as often as it says, a small file would take any time and memory.
    for links in [vec![bodies[0].clone(); 2], vec![bodies[1].clone(), bodies[0].clone()], vec![bodies[2].clone()]] {
        let disk = CrashingDisk::with_bytes(disk.bytes());
        let mut log = open(&disk, false).unwrap();
        log.begin(3, links).unwrap();
        log.seal(Sealing::default()).unwrap();
        let error = open(&disk, false).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("a checkpoint that another builds on: expected older ones than 3"), "{error}");
    }
}

#[test]
fn counts_behind_which_there_are_no_others_are_refused() {
    let disk = CrashingDisk::new();
    take_up_to(&mut open(&disk, false).unwrap(), 2);
    let with = |field: usize, count: u64| {
        let mut bytes = disk.bytes();
        for number in 0..2u32 {
            let page = &mut bytes[number as usize * 4096..][..4096];
            page[field..field + 8].copy_from_slice(&count.to_le_bytes());
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&page[..44]);
            hasher.update(&number.to_le_bytes());
            hasher.update(&page[48..]);
            page[44..48].copy_from_slice(&hasher.finalize().to_le_bytes());
        }
        CrashingDisk::with_bytes(bytes)
    };
    // The commit, the next sequence number, and a checkpoint's epoch.
    for field in [24, 32, 48] {
        let error = open(&with(field, u64::MAX), true).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains("the superblock's counts")), "{field}: {error:?}");
    }
    // The largest that are taken cannot go on: what followed could not be opened again.
    for field in [24, 32] {
        let error = open(&with(field, 1 << 62), true).unwrap().begin(3, Vec::new()).unwrap_err().to_string();
        assert!(error.contains("the superblock's counts: expected so few that others can follow"), "{field}: {error}");
    }
}
