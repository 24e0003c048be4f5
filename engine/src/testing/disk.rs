//! A disk in memory that loses power, tears what was being written, fills up and fails.

use crate::state::Storage;
use crate::testing::mode::Random;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk in memory. What was written since the last sync is lost in part when it crashes.
///
/// ```
/// use pelton::state::Storage;
/// use pelton::testing::CrashingDisk;
///
/// let disk = CrashingDisk::new();
/// let mut storage = disk.storage();
/// storage.grow(4)?;
/// storage.write(0, b"safe")?;
/// storage.sync()?;
/// storage.write(0, b"lost")?;
/// disk.crash(7);
/// // Who had it open does not have it any more.
/// assert!(storage.len().is_err());
/// let mut found = [0; 4];
/// disk.storage().read(0, &mut found)?;
/// assert!(&found == b"safe" || &found == b"lost");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct CrashingDisk(Arc<Mutex<Disk>>);

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The number of the operation, from 0.
    pub at: u64,
    /// Whether all operations behind it fail as well.
    pub for_ever: bool,
    /// How it fails. [`io::ErrorKind::StorageFull`] fails growing only.
    pub kind: io::ErrorKind,
}

#[derive(Debug, Default)]
struct Disk {
    /// What a reader sees.
    seen: Vec<u8>,
    /// What is durable for certain.
    durable: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Pending>,
    /// Those who opened the disk before this many crashes have lost it.
    crashes: u64,
    operations: u64,
    room: Option<u64>,
    fault: Option<Fault>,
    syncs_are_lost: bool,
}

#[derive(Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    Grow(usize),
    Discard(usize, usize),
}

/// Bytes that a disk gives back at once; of others it makes zeros.
const BLOCK: usize = 4096;

/// The sizes in which what is written is torn, in bytes.
const SECTORS: [usize; 2] = [512, 4096];

impl CrashingDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk with these bytes.
    pub fn with_bytes(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Disk { seen: bytes.clone(), durable: bytes, ..Disk::default() })))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it, until it crashes.
    pub fn storage(&self) -> impl Storage + use<> {
        OpenDisk { disk: self.clone(), crashes: self.disk().crashes }
    }

    /// What a reader sees now.
    pub fn bytes(&self) -> Vec<u8> {
        self.disk().seen.clone()
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Has operations fail from now on, or none; they are counted from 0 again.
    pub fn fail(&self, fault: Option<Fault>) {
        let mut disk = self.disk();
        disk.operations = 0;
        disk.fault = fault;
    }

    /// Lets it grow to so many bytes at most.
    pub fn limit(&self, bytes: Option<u64>) {
        self.disk().room = bytes;
    }

    /// Has it lie about what is durable: a mistake that tests of recovery have to find.
    pub fn lose_syncs(&self) {
        self.disk().syncs_are_lost = true;
    }

    /// The power fails: of what was done since the last sync any part is there, in any order, torn in sectors; where it
    /// grew, there are zeros or whatever was there before.
    pub fn crash(&self, seed: u64) {
        let mut disk = self.disk();
        disk.seen = disk.image(seed);
        disk.durable = disk.seen.clone();
        disk.pending.clear();
        disk.crashes += 1;
    }

    /// What the disk might be after a crash now.
    pub fn crash_image(&self, seed: u64) -> Vec<u8> {
        self.disk().image(seed)
    }
}

impl Disk {
    fn image(&self, seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed);
        let mut image = self.durable.clone();
        let mut order: Vec<_> = self.pending.iter().collect();
        // Mostly some are there and some are not; at times all, or none.
        let kept = random.up_to(8);
        if random.coin() {
            random.shuffle(&mut order);
        }
        let sector = SECTORS[random.up_to(2) - 1];
        let garbage = random.coin();
        for pending in order {
            if random.up_to(8) > kept {
                continue;
            }
            match pending {
                Pending::Grow(len) => grow(&mut image, *len, garbage, &mut random),
                Pending::Discard(start, end) => {
                    let end = (*end).min(image.len());
                    let mut at = (*start).min(end);
                    while at < end {
                        let next = ((at / BLOCK + 1) * BLOCK).min(end);
                        if random.coin() {
                            image[at..next].fill(0);
                        }
                        at = next;
                    }
                }
                Pending::Write(offset, bytes) => {
                    let torn = random.up_to(3) == 1;
                    let mut at = *offset;
                    while at < offset + bytes.len() {
                        let end = ((at / sector + 1) * sector).min(offset + bytes.len());
                        if !torn || random.coin() {
                            grow(&mut image, end, garbage, &mut random);
                            image[at..end].copy_from_slice(&bytes[at - offset..end - offset]);
                        }
                        at = end;
                    }
                }
            }
        }
        image
    }

    /// Counts an operation, which may have to fail.
    fn operate(&mut self, grows: bool) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        let fails = |fault: &Fault| number == fault.at || (fault.for_ever && number > fault.at);
        match self.fault.filter(fails) {
            Some(fault) if grows || fault.kind != io::ErrorKind::StorageFull => Err(fault.kind.into()),
            _ => Ok(()),
        }
    }
}

fn grow(image: &mut Vec<u8>, len: usize, garbage: bool, random: &mut Random) {
    let old = image.len();
    if len > old {
        image.resize(len, 0);
        if garbage {
            image[old..].chunks_mut(8).for_each(|word| word.fill(random.up_to(255) as u8));
        }
    }
}

struct OpenDisk {
    disk: CrashingDisk,
    crashes: u64,
}

impl OpenDisk {
    fn disk(&self, grows: bool) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.disk.disk();
        if disk.crashes != self.crashes {
            return Err(io::Error::other("the disk has crashed"));
        }
        disk.operate(grows)?;
        Ok(disk)
    }
}

impl Storage for OpenDisk {
    fn len(&mut self) -> io::Result<u64> {
        Ok(self.disk(false)?.seen.len() as u64)
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let disk = self.disk(false)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.saturating_add(into.len());
        let found = disk.seen.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(found);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk(false)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.saturating_add(bytes.len());
        disk.seen.get_mut(start..end).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
        disk.pending.push(Pending::Write(start, bytes.to_vec()));
        Ok(())
    }

    fn grow(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.disk(true)?;
        if disk.room.is_some_and(|room| len > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let len = usize::try_from(len).map_err(io::Error::other)?;
        if len > disk.seen.len() {
            disk.seen.resize(len, 0);
            disk.pending.push(Pending::Grow(len));
        }
        Ok(())
    }

    fn discard(&mut self, offset: u64, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk(false)?;
        let [start, end] = [offset, offset.saturating_add(bytes)].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        let end = end.min(disk.seen.len());
        if start < end {
            disk.seen[start..end].fill(0);
            disk.pending.push(Pending::Discard(start, end));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk(false)?;
        if !disk.syncs_are_lost {
            disk.durable = disk.seen.clone();
            disk.pending.clear();
        }
        Ok(())
    }

    fn another(&mut self) -> io::Result<Option<Box<dyn Storage>>> {
        Ok(Some(Box::new(Self { disk: self.disk.clone(), crashes: self.crashes })))
    }
}
