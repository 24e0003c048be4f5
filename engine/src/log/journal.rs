//! The journal: one file to which everything that comes from live sources is appended, in the order in which it is
//! taken.
//!
//! ```text
//! byte 0  head: the sources, each with its layout
//!         start: where the records are that are kept
//!         record │ record │ record │ ...       each at a multiple of 64 bytes: header (64 bytes) │ payload
//!         zeros up to the end of the file      room that was made ahead
//! ```
//! A record is what came at once: events of a feed, the number of a block of a bounded source that shares its order,
//! that a source became idle, that it ended, or symbols that come in the records behind. `journal/frame.rs` draws it.
//!
//! **Group commit.** Records are written when they come, and many of them are synced at once, by another thread, while
//! more are written. Each record says how many before it were not durable yet. The file grows ahead by zeros that are
//! written, so a full disk is an error before a record is.
//!
//! **Opening.** Records are read from the last checkpoint on. Where one is not what it should be, the journal ends,
//! unless a record behind it says that it was durable, or the checkpoint does: that is damage and an error with its place.
//! What lies behind the end is cut, counted, and overwritten by zeros before anything is appended. So a record that was
//! given up never comes back behind new ones.
//!
//! **Cutting.** What lies before the place of the oldest checkpoint that is needed may be given up. The start says so, and
//! is durable, before any room is given back; from then on the journal is read from a checkpoint only. What is there of
//! the records that were given up does not matter.
//!
//! **Failing.** After a failed sync nobody knows what is durable: nothing is appended or synced any more.

mod cut;
mod find;
mod frame;
mod head;
mod records;
mod tail;

#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use find::{Found, From, SourceFrom, find, is_cut};
pub(crate) use frame::{Arrival, MAGIC as JOURNAL_MAGIC, RecordKind};
pub(crate) use head::JournalSource;
pub(crate) use records::{Position, Record, Records};

use crate::Dictionary;
use crate::log::error::StateError;
use crate::log::storage::{Handles, Storage};
use cut::Cutter;
use frame::{ALIGN, Header, Place, record_bytes};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The file grows by a part of itself, of at least and at most so many bytes.
const GROWTH_MIN: u64 = 1 << 16;
const GROWTH_MAX: u64 = 1 << 24;
const GROWTH_PART: u64 = 4;

/// How much of the input of a live source there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputCount {
    /// Events that it gave, also those that the job rejected for their times.
    pub events: u64,
    /// Input that it rejected itself, since it could not become an event.
    pub rejected: u64,
}

impl InputCount {
    pub(crate) fn add(&mut self, events: u32, rejected: u64) {
        self.events = self.events.saturating_add(u64::from(events));
        self.rejected = self.rejected.saturating_add(rejected);
    }
}

/// How much of a live source's input is durable, since the job first started; clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct DurableInput(Arc<Mutex<InputCount>>);

impl DurableInput {
    /// What is durable now. It never falls while the job runs, nor over restarts.
    pub fn count(&self) -> InputCount {
        *locked(&self.0)
    }

    pub(crate) fn set(&self, count: InputCount) {
        *locked(&self.0) = count;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer {
    storage: Box<dyn Storage>,
    /// What is written at once.
    buffer: Vec<u8>,
    end: Position,
    /// Bytes that the file has.
    len: u64,
    counts: Vec<InputCount>,
}

struct Syncer {
    storage: Box<dyn Storage>,
    /// What is made durable.
    counts: Vec<InputCount>,
}

/// The journal of one job.
pub(crate) struct Journal {
    path: PathBuf,
    file_id: u64,
    /// Behind the start: where records of sources begin, or began.
    first: Position,
    /// Where it ended when it was opened, and the bytes that it had then.
    opened: (Position, u64),
    reading: Mutex<Handles>,
    writer: Mutex<Writer>,
    /// Whoever syncs; others write meanwhile.
    syncer: Mutex<Syncer>,
    /// Whoever makes room.
    grower: Mutex<Box<dyn Storage>>,
    /// Whoever gives room back.
    cutter: Mutex<Cutter>,
    /// Records before this sequence number are durable.
    durable: AtomicU64,
    /// By source.
    inputs: Vec<DurableInput>,
    /// Why nothing is written any more.
    poison: OnceLock<String>,
    /// Nothing will be appended any more.
    is_closed: AtomicBool,
    /// Whether somebody has appended since it was last looked at.
    has_news: Mutex<bool>,
    news: Condvar,
}

impl Journal {
    /// Goes on with the journal that was found, or makes one where there is none, over sources that are told by their
    /// numbers in this list.
    ///
    /// # Errors
    /// When it is of other sources, or cannot be written.
    pub(crate) fn open(
        mut handles: Handles,
        path: &Path,
        (found, file_id): (Option<Found>, u64),
        sources: &[JournalSource],
    ) -> Result<Self, StateError> {
        let found = match found {
            Some(found) => {
                found.check(path, sources)?;
                found
            }
            None => create(&mut handles, path, file_id, sources)?,
        };
        let mut another = || handles.another().map_err(StateError::io(path, "open the journal"));
        let (mut storage, syncing, growing, cutting) = (another()?, another()?, another()?, another()?);
        tail::clear(storage.as_mut(), path, found.end.offset, found.tail_bytes)?;
        storage.sync().map_err(StateError::io(path, "make the journal durable"))?;
        let inputs: Vec<DurableInput> =
            found.counts.iter().map(|count| DurableInput(Arc::new(Mutex::new(*count)))).collect();
        let Found { file_id, first, kept_from, end, len, counts, .. } = found;
        Ok(Self {
            path: path.to_owned(),
            file_id,
            first,
            opened: (end, len),
            reading: Mutex::new(handles),
            syncer: Mutex::new(Syncer { storage: syncing, counts: counts.clone() }),
            writer: Mutex::new(Writer { storage, buffer: Vec::new(), end, len, counts }),
            grower: Mutex::new(growing),
            cutter: Mutex::new(Cutter::new(cutting, kept_from)),
            durable: AtomicU64::new(end.sequence),
            inputs,
            poison: OnceLock::new(),
            is_closed: AtomicBool::new(false),
            has_news: Mutex::new(false),
            news: Condvar::new(),
        })
    }

    /// How much of a source's input is durable.
    pub(crate) fn input(&self, source: usize) -> &DurableInput {
        &self.inputs[source]
    }

    /// Behind the last record.
    pub(crate) fn end(&self) -> Position {
        locked(&self.writer).end
    }

    /// Where it ended when it was opened.
    pub(crate) const fn opened_end(&self) -> Position {
        self.opened.0
    }

    /// Records before this sequence number are durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Where records of sources begin, or began before some were cut.
    pub(crate) const fn first(&self) -> Position {
        self.first
    }

    /// Reads the records from a position on that were there when it was opened.
    ///
    /// # Errors
    /// When it cannot be opened again.
    pub(crate) fn records(&self, from: Position) -> Result<Records, StateError> {
        let storage = locked(&self.reading).another().map_err(StateError::io(&self.path, "open the journal"))?;
        Ok(Records::new(storage, &self.path, (self.file_id, self.opened.1), from))
    }

    fn check_poison(&self) -> Result<(), StateError> {
        match self.poison.get() {
            Some(reason) => Err(StateError::Poisoned { path: self.path.clone(), reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Nothing is written after this.
    fn poison(&self, action: &'static str, source: std::io::Error) -> StateError {
        let _ = self.poison.set(format!("cannot {action}: {source}"));
        StateError::io(&self.path, action)(source)
    }

    /// Appends what arrived, behind the symbols that are new; the sequence number behind it.
    ///
    /// # Errors
    /// When there is no room, or it cannot be written.
    pub(crate) fn append(&self, arrival: &Arrival<'_>, symbols: &Dictionary) -> Result<u64, StateError> {
        self.check_poison()?;
        if u32::try_from(arrival.payload.len()).is_err() {
            let what = format!("{} bytes at once, of at most {}", arrival.payload.len(), u32::MAX);
            return Err(self.poison("write to the journal", std::io::Error::other(what)));
        }
        loop {
            let mut writer = locked(&self.writer);
            let known = writer.end.symbols as usize;
            let texts = if symbols.len() > known { symbols.texts_from(known) } else { Vec::new() };
            let payload = head::encode_symbols(&texts);
            let symbol_bytes = if texts.is_empty() { 0 } else { record_bytes(payload.len()) };
            let bytes = symbol_bytes + record_bytes(arrival.payload.len());
            if writer.len - writer.end.offset < bytes {
                drop(writer);
                self.make_room(bytes)?;
                continue;
            }
            writer.buffer.clear();
            let first = writer.end;
            if !texts.is_empty() {
                let kind = RecordKind::Symbols;
                let symbols = Arrival { kind, count: known as u32, payload: &payload, rejected: 0, ..*arrival };
                self.put(&mut writer, &symbols);
            }
            self.put(&mut writer, arrival);
            let Writer { storage, buffer, end, counts, .. } = &mut *writer;
            storage.write(first.offset, buffer).map_err(|error| self.poison("write to the journal", error))?;
            end.symbols += texts.len() as u64;
            if matches!(arrival.kind, RecordKind::Events | RecordKind::LastEvents) {
                counts[arrival.source as usize].add(arrival.count, arrival.rejected);
            }
            let sequence = end.sequence;
            drop(writer);
            self.tell_news();
            return Ok(sequence);
        }
    }

    /// Puts a record into the buffer.
    fn put(&self, writer: &mut Writer, arrival: &Arrival<'_>) {
        let Position { sequence, offset, .. } = writer.end;
        let place = Place { file_id: self.file_id, offset, sequence };
        Header::put(&mut writer.buffer, place, sequence - self.durable(), arrival);
        writer.end.pass(record_bytes(arrival.payload.len()));
    }

    /// Makes the file larger, where it has not so many bytes behind its end.
    ///
    /// # Errors
    /// When there is no room.
    fn make_room(&self, bytes: u64) -> Result<(), StateError> {
        let mut storage = locked(&self.grower);
        let (end, len) = {
            let writer = locked(&self.writer);
            (writer.end.offset, writer.len)
        };
        if len - end >= bytes {
            return Ok(());
        }
        let step = (len / GROWTH_PART).clamp(GROWTH_MIN, GROWTH_MAX);
        // Where there is no room for more, what is needed will do.
        let most = end + bytes.max(step);
        for wanted in [most.next_multiple_of(GROWTH_MIN), (end + bytes).next_multiple_of(ALIGN)] {
            match storage.grow(wanted) {
                Ok(()) => {
                    locked(&self.writer).len = wanted;
                    return Ok(());
                }
                Err(source) if wanted < most || most == end + bytes => {
                    return Err(StateError::Full { path: self.path.clone(), wanted: bytes, source });
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Makes room before it is needed. Where there is none, whoever needs it finds out.
    pub(crate) fn grow_ahead(&self) {
        let room = {
            let writer = locked(&self.writer);
            (writer.len / GROWTH_PART).clamp(GROWTH_MIN, GROWTH_MAX) / 2
        };
        let _ = self.make_room(room);
    }

    /// Makes durable what was appended.
    ///
    /// # Errors
    /// When that is not known for certain. It is not tried again.
    pub(crate) fn commit(&self) -> Result<(), StateError> {
        let syncer = locked(&self.syncer);
        self.check_poison()?;
        if locked(&self.writer).end.sequence == self.durable() {
            return Ok(());
        }
        self.sync(syncer)
    }

    /// Makes durable what was written, which is not poisoned.
    fn sync(&self, mut syncer: MutexGuard<'_, Syncer>) -> Result<(), StateError> {
        let Syncer { storage, counts } = &mut *syncer;
        let sequence = {
            let writer = locked(&self.writer);
            counts.clone_from(&writer.counts);
            writer.end.sequence
        };
        storage.sync().map_err(|error| self.poison("make the journal durable", error))?;
        self.inputs.iter().zip(counts).for_each(|(input, count)| input.set(*count));
        self.durable.store(sequence, Ordering::Release);
        Ok(())
    }

    /// Nothing will be appended any more.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.tell_news();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Has who waits look whether there is something to make durable.
    fn tell_news(&self) {
        if !std::mem::replace(&mut *locked(&self.has_news), true) {
            self.news.notify_all();
        }
    }

    /// Waits until something was appended, at most for a time.
    pub(crate) fn wait_for_news(&self, time: Duration) {
        let waited = self.news.wait_timeout_while(locked(&self.has_news), time, |has_news| !*has_news);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// Makes a journal: its head is durable before anything is written behind it.
fn create(handles: &mut Handles, path: &Path, file_id: u64, sources: &[JournalSource]) -> Result<Found, StateError> {
    let failed = |error| StateError::io(path, "make the journal")(error);
    let mut storage = handles.another().map_err(failed)?;
    let payload = head::encode(sources);
    let bytes = record_bytes(payload.len()) + record_bytes(0);
    let mut len = storage.len().map_err(failed)?;
    if len < bytes {
        len = bytes.next_multiple_of(GROWTH_MIN);
        let full = |source| StateError::Full { path: path.to_owned(), wanted: bytes, source };
        storage.grow(len).map_err(full)?;
    }
    // Whatever a crash has left there.
    tail::clear(storage.as_mut(), path, 0, len)?;
    storage.sync().map_err(failed)?;
    let mut head = Vec::new();
    let place = Place { file_id, offset: 0, sequence: 0 };
    let arrival = Arrival {
        kind: RecordKind::Head,
        source: 0,
        clock: Duration::ZERO,
        count: sources.len() as u32,
        rejected: 0,
        payload: &payload,
    };
    Header::put(&mut head, place, 0, &arrival);
    cut::put_start(&mut head, file_id, 0);
    storage.write(0, &head).map_err(failed)?;
    let mut first = Position::default();
    first.pass(bytes - record_bytes(0));
    first.pass(record_bytes(0));
    Ok(Found {
        sources: sources.to_vec(),
        end: first,
        counts: vec![InputCount::default(); sources.len()],
        symbols: (0, Vec::new()),
        remarks: Vec::new(),
        file_id,
        first,
        kept_from: None,
        durable: first.sequence,
        len,
        tail_bytes: 0,
    })
}
