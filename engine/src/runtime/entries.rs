//! What the body of a checkpoint says, entry by entry. All integers are little-endian.
//!
//! ```text
//! entry    kind (32 bits) │ length (64 bits) │ payload
//! text     length (32 bits) │ UTF-8
//!
//! 1 job      format, workers (32 bits each), hash seed (64 bits), the job's name
//! 2 symbols  the first id, how many (32 bits each), their texts
//! 3 sources  that share an order: unit (64 bits), its fingerprint (64 bits), how many (32 bits), their names
//! 4 counts   of a source, step or sink: name, six counters and a watermark (64 bits each)
//! 5 store    step, store, kind, what its step is, layouts: of the step's keys, of what elements are found by, of values
//! 6 pieces   step, role and worker (32 bits each), store, and then pieces as `operator/state.rs` has them
//! 7 sink     name, worker (32 bits), position
//! 8 ended    step, role and worker (32 bits each): none of the pieces before counts
//! 9 live     of sources that are read as they come, behind their entry of sources: of the journal's next record the
//!            sequence number, the offset, that of the one before and the symbols before; the clock (64 bits each); how
//!            many (32 bits), and for each: the largest time, jumps in a row (32 bits), the least of their times, the next
//!            block, 1 where it has ended and 2 where it is idle (32 bits), events, input that it rejected
//! ```
//! Symbols, pieces and ends add to those of the bodies before; of all others the newest body's count.

use crate::Timestamp;
use crate::log::error::StateError;
use crate::log::journal::{InputCount, Position};
use crate::log::{BodyReader, SnapshotLog};
use crate::progress::jumps::SourceClock;
use crate::runtime::live::{LiveSource, LiveSources};
use crate::runtime::metrics::Counts;
use std::path::Path;

/// The version of the entries, beside that of the log. Those of version 1 have a piece for each key.
const FORMAT: u32 = 2;
const FORMAT_MIN: u32 = 1;

const JOB: u32 = 1;
const SYMBOLS: u32 = 2;
const SOURCES: u32 = 3;
const COUNTS: u32 = 4;
const STORE: u32 = 5;
const PIECES: u32 = 6;
const SINK: u32 = 7;
const ENDED: u32 = 8;
const LIVE: u32 = 9;

/// What a step's state was saved by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// The step itself, or what merges its parts.
    Whole,
    /// What makes its parts.
    Parts,
}

impl Role {
    const fn number(self) -> u32 {
        match self {
            Self::Whole => 0,
            Self::Parts => 1,
        }
    }
}

/// An entry of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Job { name: String, workers: u32, seed: u64 },
    Symbols { first: u32, texts: Vec<String> },
    Sources { names: Vec<String>, unit: u64, fingerprint: u64 },
    Live(LiveSources),
    Counts { name: String, counts: Counts },
    Store(SavedStore),
    Pieces { step: String, role: Role, worker: u32, store: String, bytes: Vec<u8> },
    Sink { name: String, worker: u32, position: Vec<u8> },
    Ended { step: String, role: Role, worker: u32 },
}

/// A store that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SavedStore {
    pub(crate) step: String,
    pub(crate) store: String,
    pub(crate) kind: String,
    /// What the step is, in words.
    pub(crate) title: String,
    /// The layout of the step's keys.
    pub(crate) key: String,
    /// The layout of what elements are found by, where that is not the key of the step.
    pub(crate) element_key: String,
    pub(crate) value: String,
}

/// The payload of an entry that is written.
#[derive(Default)]
struct Payload(Vec<u8>);

impl Payload {
    fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn text(self, text: &str) -> Self {
        let mut payload = self.u32(text.len() as u32);
        payload.0.extend_from_slice(text.as_bytes());
        payload
    }

    fn texts(self, texts: &[String]) -> Self {
        texts.iter().fold(self.u32(texts.len() as u32), |payload, text| payload.text(text))
    }
}

fn live_payload(live: &LiveSources) -> Payload {
    let LiveSources { position: Position { sequence, offset, before, symbols }, clock, sources } = live;
    let payload =
        [sequence, offset, before, symbols].into_iter().fold(Payload::default(), |payload, n| payload.u64(*n));
    let payload = payload.u64(clock.as_nanos() as u64).u32(sources.len() as u32);
    sources.iter().fold(payload, |payload, source| {
        let (largest, jumps, least) = source.clock.parts();
        let payload = payload.u64(largest.as_nanos() as u64).u32(jumps).u64(least.as_nanos() as u64);
        let flags = u32::from(source.has_ended) | u32::from(source.is_idle) << 1;
        payload.u64(source.block).u32(flags).u64(source.count.events).u64(source.count.rejected)
    })
}

fn put(log: &mut SnapshotLog, kind: u32, payload: &Payload, behind: &[u8]) -> Result<(), StateError> {
    log.write(&kind.to_le_bytes())?;
    log.write(&((payload.0.len() + behind.len()) as u64).to_le_bytes())?;
    log.write(&payload.0)?;
    log.write(behind)
}

impl Entry {
    /// Appends the entry to the body that is written.
    ///
    /// # Errors
    /// As of the log.
    pub(crate) fn write(&self, log: &mut SnapshotLog) -> Result<(), StateError> {
        let payload = Payload::default();
        match self {
            Self::Job { name, workers, seed } => {
                put(log, JOB, &payload.u32(FORMAT).u32(*workers).u64(*seed).text(name), &[])
            }
            Self::Symbols { first, texts } => put(log, SYMBOLS, &payload.u32(*first).texts(texts), &[]),
            Self::Sources { names, unit, fingerprint } => {
                put(log, SOURCES, &payload.u64(*unit).u64(*fingerprint).texts(names), &[])
            }
            Self::Live(live) => put(log, LIVE, &live_payload(live), &[]),
            Self::Counts { name, counts } => put(log, COUNTS, &payload.text(name), bytemuck::bytes_of(counts)),
            Self::Store(SavedStore { step, store, kind, title, key, element_key, value }) => {
                let texts = [step, store, kind, title, key, element_key, value];
                put(log, STORE, &texts.into_iter().fold(payload, |payload, text| payload.text(text)), &[])
            }
            Self::Pieces { step, role, worker, store, bytes } => {
                put_pieces(log, (step, *role, *worker as usize), store, bytes)
            }
            Self::Ended { step, role, worker } => {
                put(log, ENDED, &payload.text(step).u32(role.number()).u32(*worker), &[])
            }
            Self::Sink { name, worker, position } => put(log, SINK, &payload.text(name).u32(*worker), position),
        }
    }

    /// The next entry of a body, `None` at its end.
    ///
    /// # Errors
    /// When the body cannot be read, or is not of such entries.
    pub(crate) fn read(body: &mut BodyReader<'_>, path: &Path) -> Result<Option<Self>, StateError> {
        if body.is_at_end()? {
            return Ok(None);
        }
        let (kind, len) = (body.u32()?, body.u64()?);
        let payload = body.bytes(len)?;
        let mut fields = Fields { rest: &payload, body, kind };
        let entry = match kind {
            JOB => {
                let found = fields.u32()?;
                if !(FORMAT_MIN..=FORMAT).contains(&found) {
                    return Err(StateError::Version { path: path.to_owned(), expected: FORMAT, found });
                }
                let (workers, seed) = (fields.u32()?, fields.u64()?);
                Self::Job { name: fields.text()?, workers, seed }
            }
            SYMBOLS => Self::Symbols { first: fields.u32()?, texts: fields.texts()? },
            SOURCES => {
                let (unit, fingerprint) = (fields.u64()?, fields.u64()?);
                Self::Sources { names: fields.texts()?, unit, fingerprint }
            }
            LIVE => Self::Live(fields.live()?),
            COUNTS => {
                let name = fields.text()?;
                let bytes = fields.rest(size_of::<Counts>())?;
                Self::Counts { name, counts: bytemuck::pod_read_unaligned(bytes) }
            }
            STORE => {
                let mut next = || fields.text();
                let (step, store, kind, title) = (next()?, next()?, next()?, next()?);
                let (key, element_key, value) = (next()?, next()?, next()?);
                Self::Store(SavedStore { step, store, kind, title, key, element_key, value })
            }
            PIECES => {
                let step = fields.text()?;
                let role = fields.role()?;
                let (worker, store) = (fields.u32()?, fields.text()?);
                Self::Pieces { step, role, worker, store, bytes: std::mem::take(&mut fields.rest).to_vec() }
            }
            SINK => {
                let (name, worker) = (fields.text()?, fields.u32()?);
                Self::Sink { name, worker, position: std::mem::take(&mut fields.rest).to_vec() }
            }
            ENDED => {
                let step = fields.text()?;
                Self::Ended { step, role: fields.role()?, worker: fields.u32()? }
            }
            other => return Err(fields.damaged("from 1 to 9", other)),
        };
        match fields.rest.len() {
            0 => Ok(Some(entry)),
            more => Err(fields.damaged("its end", format!("{more} more bytes"))),
        }
    }
}

/// Appends pieces of a store to the body that is written.
///
/// # Errors
/// As of the log.
pub(crate) fn put_pieces(
    log: &mut SnapshotLog,
    (step, role, worker): (&str, Role, usize),
    store: &str,
    bytes: &[u8],
) -> Result<(), StateError> {
    put(log, PIECES, &Payload::default().text(step).u32(role.number()).u32(worker as u32).text(store), bytes)
}

/// The payload of an entry that is read.
struct Fields<'a, 'b> {
    rest: &'a [u8],
    body: &'a BodyReader<'b>,
    kind: u32,
}

impl<'a> Fields<'a, '_> {
    fn damaged(&self, expected: impl ToString, found: impl ToString) -> StateError {
        let what = match self.kind {
            JOB => "an entry of the job",
            SYMBOLS => "an entry of symbols",
            SOURCES => "an entry of sources",
            COUNTS => "an entry of counts",
            STORE => "an entry of a store",
            PIECES => "an entry of pieces",
            SINK => "an entry of a sink",
            ENDED => "an entry of what has ended",
            LIVE => "an entry of live sources",
            _ => "the kind of an entry",
        };
        self.body.damaged(what, expected, found)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], StateError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.damaged(format!("{count} bytes"), format!("{} bytes", self.rest.len())));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn rest(&mut self, count: usize) -> Result<&'a [u8], StateError> {
        if self.rest.len() == count { self.take(count) } else { Err(self.damaged(count, self.rest.len())) }
    }

    fn u32(&mut self) -> Result<u32, StateError> {
        Ok(bytemuck::pod_read_unaligned(self.take(4)?))
    }

    fn u64(&mut self) -> Result<u64, StateError> {
        Ok(bytemuck::pod_read_unaligned(self.take(8)?))
    }

    fn time(&mut self) -> Result<Timestamp, StateError> {
        Ok(Timestamp::from_nanos(bytemuck::pod_read_unaligned(self.take(8)?)))
    }

    fn live(&mut self) -> Result<LiveSources, StateError> {
        let (sequence, offset, before, symbols) = (self.u64()?, self.u64()?, self.u64()?, self.u64()?);
        let position = Position { sequence, offset, before, symbols };
        let clock = self.time()?;
        // Each takes some bytes, so that there cannot be more of them than the payload has.
        let count = self.u32()?;
        let mut sources = Vec::new();
        for _ in 0..count {
            let parts = (self.time()?, self.u32()?, self.time()?);
            let (block, flags) = (self.u64()?, self.u32()?);
            sources.push(LiveSource {
                clock: SourceClock::from_parts(parts),
                block,
                has_ended: flags & 1 != 0,
                is_idle: flags & 2 != 0,
                count: InputCount { events: self.u64()?, rejected: self.u64()? },
            });
        }
        Ok(LiveSources { position, clock, sources })
    }

    fn role(&mut self) -> Result<Role, StateError> {
        match self.u32()? {
            0 => Ok(Role::Whole),
            1 => Ok(Role::Parts),
            other => Err(self.damaged("0 or 1", other)),
        }
    }

    fn text(&mut self) -> Result<String, StateError> {
        let len = self.u32()? as usize;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.damaged("a text", "other bytes"))
    }

    fn texts(&mut self) -> Result<Vec<String>, StateError> {
        // Each takes some bytes, so that there cannot be more of them than the payload has.
        let count = self.u32()?;
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.text()?);
        }
        Ok(texts)
    }
}
