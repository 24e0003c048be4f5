//! Finding out what is in a journal's file when it is opened: where it ends, and whether that is where it should.

use crate::log::error::StateError;
use crate::log::journal::InputCount;
use crate::log::journal::frame::{ALIGN, RecordKind};
use crate::log::journal::head::{self, JournalSource};
use crate::log::journal::records::{Position, Records};
use crate::log::journal::tail;
use crate::log::storage::Handles;
use std::path::Path;

/// Where a source stands in a checkpoint: behind all its records before a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SourceFrom {
    pub(crate) sequence: u64,
    pub(crate) count: InputCount,
}

/// From where on it matters what is in a journal: all that comes before was durable when a checkpoint was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct From {
    pub(crate) position: Position,
    /// By source.
    pub(crate) sources: Vec<SourceFrom>,
}

/// What is in a journal's file.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) sources: Vec<JournalSource>,
    /// Behind the last record.
    pub(crate) end: Position,
    /// What came of each source up to there.
    pub(crate) counts: Vec<InputCount>,
    /// Symbols before the place that was read from, and the texts of those behind.
    pub(crate) symbols: (u64, Vec<String>),
    /// What was found and stops nothing, in words.
    pub(crate) remarks: Vec<String>,
    pub(crate) file_id: u64,
    /// Behind the record that says what is kept: where records of sources begin, or began.
    pub(crate) first: Position,
    /// Where the records are that are kept, if some were cut.
    pub(crate) kept_from: Option<u64>,
    /// Records before this sequence number are known to have been durable.
    pub(crate) durable: u64,
    /// Bytes of the file.
    pub(crate) len: u64,
    /// Bytes behind the end that are not zero.
    pub(super) tail_bytes: u64,
}

impl Found {
    /// Whether it is a journal of these sources.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn check(&self, path: &Path, sources: &[JournalSource]) -> Result<(), StateError> {
        if self.sources == sources {
            return Ok(());
        }
        let (was, is) = (head::tell(&self.sources), head::tell(sources));
        Err(StateError::misfit(path, format!("the journal has {was}, and the job has {is}")))
    }
}

/// Whether the front of a journal was cut, where it has a head.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn is_cut(handles: &mut Handles, path: &Path) -> Result<bool, StateError> {
    let mut storage = handles.another().map_err(StateError::io(path, "open the journal"))?;
    let len = storage.len().map_err(StateError::io(path, "read the journal"))?;
    match read_head(handles, path, len) {
        Ok(head) => Ok(head.kept_from.is_some()),
        Err(StateError::Damaged { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is in a journal's file; `None` where there is no journal yet.
///
/// # Errors
/// When it cannot be read, or something is damaged that was durable.
pub(crate) fn find(handles: &mut Handles, path: &Path, from: Option<&From>) -> Result<Option<Found>, StateError> {
    let mut storage = handles.another().map_err(StateError::io(path, "open the journal"))?;
    let len = storage.len().map_err(StateError::io(path, "read the journal"))?;
    let Head { file_id, sources, first, kept_from } = match read_head(handles, path, len) {
        Ok(head) => head,
        Err(error @ StateError::Damaged { .. }) => {
            // A head is durable before anything is written behind it, which says so.
            let tail = tail::look(storage.as_mut(), path, None, (ALIGN, len.max(ALIGN)))?;
            return if tail.durable > 0 || from.is_some() { Err(error) } else { Ok(None) };
        }
        Err(error) => return Err(error),
    };
    let mut counts = vec![InputCount::default(); sources.len()];
    let mut froms = vec![0; sources.len()];
    let mut start = first;
    if let (None, Some(kept_from)) = (from, kept_from) {
        let reason =
            format!("what came before byte {kept_from} was cut, and no checkpoint says how to go on behind it");
        return Err(StateError::journal_misfit(path, reason));
    }
    if let Some(from) = from {
        start = from.position;
        for (source, from) in from.sources.iter().enumerate().take(sources.len()) {
            (counts[source], froms[source]) = (from.count, from.sequence);
        }
        if let Some(kept_from) = kept_from.filter(|kept_from| start.before < *kept_from) {
            let (record, offset) = (start.sequence, start.offset);
            let reason = format!(
                "the checkpoint goes on with record {record} at byte {offset}, and what came before byte {kept_from} was cut"
            );
            return Err(StateError::journal_misfit(path, reason));
        }
    }
    // Each record takes some bytes.
    if start.sequence > start.offset / ALIGN {
        let expected = format!("record {} at most", start.offset / ALIGN);
        return Err(StateError::damaged((path, start.offset), "where a checkpoint stands", expected, start.sequence));
    }
    let opened = handles.another().map_err(StateError::io(path, "open the journal"))?;
    let before = Position { sequence: start.sequence.saturating_sub(1), offset: start.before, ..start };
    let mut records = Records::new(opened, path, (file_id, len), before);
    // What a checkpoint stands behind was durable, and all before it.
    if records.next()?.is_none() || records.position().offset != start.offset {
        let expected = format!("record {}, which was durable", before.sequence);
        return Err(StateError::damaged((path, before.offset), "a record", expected, "none of its length"));
    }
    let mut texts = Vec::new();
    // A record that is whole and cannot be used is behind the end, too.
    let mut end = records.position();
    let ended = loop {
        match count(&mut records, &sources, &froms, (&mut counts, &mut texts)) {
            Ok(true) => end = records.position(),
            Ok(false) => break None,
            Err(error @ StateError::Damaged { .. }) => break Some(error),
            Err(error) => return Err(error),
        }
    };
    let tail = tail::look(storage.as_mut(), path, Some(file_id), (end.offset, len))?;
    if tail.durable > end.sequence {
        let expected = format!("record {}, which was durable", end.sequence);
        let zeros = || StateError::damaged((path, end.offset), "a record's header", expected, "zeros");
        return Err(ended.unwrap_or_else(zeros));
    }
    let mut remarks = Vec::new();
    if tail.bytes > 0 {
        remarks.push(format!(
            "the journal ends with record {}: {} bytes behind it that were not durable, with {} whole records, are cut",
            end.sequence.saturating_sub(1),
            tail.bytes,
            tail.records
        ));
    }
    let symbols = (start.symbols, texts);
    let durable = records.durable().max(start.sequence);
    Ok(Some(Found {
        sources,
        end,
        counts,
        symbols,
        remarks,
        file_id,
        first,
        kept_from,
        durable,
        len,
        tail_bytes: tail.bytes,
    }))
}

/// What stands at the front of a file.
struct Head {
    file_id: u64,
    sources: Vec<JournalSource>,
    /// Behind it.
    first: Position,
    kept_from: Option<u64>,
}

fn read_head(handles: &mut Handles, path: &Path, len: u64) -> Result<Head, StateError> {
    let nothing = || StateError::damaged((path, 0), "the journal's head", "a head", "none");
    let mut storage = handles.another().map_err(StateError::io(path, "open the journal"))?;
    if len < ALIGN {
        return Err(nothing());
    }
    let mut bytes = [0; ALIGN as usize];
    storage.read(0, &mut bytes).map_err(StateError::io(path, "read the journal"))?;
    // Its own checksum covers the number.
    let file_id = u64::from_le_bytes(*bytes[8..].first_chunk().unwrap_or(&[0; 8]));
    let mut records = Records::new(storage, path, (file_id, len), Position::default());
    let sources = match records.next()? {
        Some(record) if record.kind == RecordKind::Head => head::decode(record.payload, (path, record.offset))?,
        _ => return Err(nothing()),
    };
    let start = records.position().offset;
    let kept_from = match records.next()? {
        // With a payload it would reach over the records behind it.
        Some(record) if record.kind == RecordKind::Start && record.payload.is_empty() => record.rejected,
        _ => {
            return Err(StateError::damaged(
                (path, start),
                "the journal's start",
                "record 1, a start without payload",
                "another, or none",
            ));
        }
    };
    let first = records.position();
    Ok(Head { file_id, sources, first, kept_from: Some(kept_from).filter(|offset| *offset > 0) })
}

/// Takes the next record into account; whether there is one.
fn count(
    records: &mut Records,
    sources: &[JournalSource],
    froms: &[u64],
    (counts, texts): (&mut [InputCount], &mut Vec<String>),
) -> Result<bool, StateError> {
    let (path, known) = (records.path().to_owned(), records.position().symbols);
    let Some(record) = records.next()? else { return Ok(false) };
    let damaged =
        |what, expected: String, found: String| StateError::damaged((&path, record.offset), what, expected, found);
    match record.kind {
        RecordKind::Head | RecordKind::Start => {
            return Err(damaged("a record's kind", "no second head".to_owned(), "one".to_owned()));
        }
        RecordKind::Symbols if u64::from(record.count) != known => {
            return Err(damaged("the first of some symbols", known.to_string(), record.count.to_string()));
        }
        RecordKind::Symbols => texts.extend(head::decode_symbols(record.payload, (&path, record.offset))?),
        RecordKind::Events
        | RecordKind::LastEvents
        | RecordKind::Block
        | RecordKind::Idle
        | RecordKind::End
        | RecordKind::Watermark => {
            let index = record.source as usize;
            let Some(source) = sources.get(index) else {
                return Err(damaged("the number of a source", format!("below {}", sources.len()), index.to_string()));
            };
            if record.kind == RecordKind::Watermark && record.watermark().is_none() {
                return Err(damaged("bytes of a watermark", "8".to_owned(), record.payload.len().to_string()));
            }
            if matches!(record.kind, RecordKind::Events | RecordKind::LastEvents) {
                let (expected, found) = (u64::from(record.count) * u64::from(source.event_bytes), record.payload.len());
                if expected != found as u64 {
                    return Err(damaged("bytes of events", expected.to_string(), found.to_string()));
                }
                if record.sequence >= froms[index] {
                    counts[index].add(record.count, record.rejected);
                }
            }
        }
    }
    Ok(true)
}
