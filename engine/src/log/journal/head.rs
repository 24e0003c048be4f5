//! The payloads of a journal's head and of its symbols.
//!
//! ```text
//! head     how many sources (32 bits), and for each:
//!          group, 1 for a feed and 0 for a bounded source, bytes of an event (32 bits each),
//!          fingerprint of its events' layout (64 bits), name, schema
//! text     length (32 bits) │ UTF-8
//! symbols  for each: length (8 bits) │ UTF-8
//! ```

use crate::log::error::StateError;
use std::path::Path;
use std::sync::Arc;

/// A source as a journal's head names it. Sources of one group share an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JournalSource {
    pub(crate) name: String,
    pub(crate) group: u32,
    pub(crate) is_feed: bool,
    pub(crate) event_bytes: u32,
    pub(crate) fingerprint: u64,
    pub(crate) schema: String,
}

impl JournalSource {
    /// What it is, in words.
    fn tell(&self) -> String {
        let kind = if self.is_feed { "feed" } else { "bounded source" };
        format!("{kind} `{}` of [{}] in group {}", self.name, self.schema, self.group)
    }
}

/// All of them, in words.
pub(super) fn tell(sources: &[JournalSource]) -> String {
    sources.iter().map(JournalSource::tell).collect::<Vec<_>>().join(", ")
}

pub(super) fn encode(sources: &[JournalSource]) -> Vec<u8> {
    let mut out = (sources.len() as u32).to_le_bytes().to_vec();
    for source in sources {
        for number in [source.group, source.is_feed.into(), source.event_bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&source.fingerprint.to_le_bytes());
        for text in [&source.name, &source.schema] {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// A payload that is read, which lies at a place of a file.
struct Fields<'a> {
    rest: &'a [u8],
    at: (&'a Path, u64),
}

impl<'a> Fields<'a> {
    fn damaged(&self, expected: impl ToString, found: impl ToString) -> StateError {
        StateError::damaged(self.at, "the content of a record", expected, found)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], StateError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.damaged(format!("{count} bytes"), format!("{} bytes", self.rest.len())));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, StateError> {
        Ok(bytemuck::pod_read_unaligned(self.take(4)?))
    }

    fn text(&mut self, len: usize) -> Result<String, StateError> {
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| self.damaged("a text", "other bytes"))
    }
}

/// What a head says.
///
/// # Errors
/// When it is no head.
pub(super) fn decode(payload: &[u8], at: (&Path, u64)) -> Result<Vec<JournalSource>, StateError> {
    let mut fields = Fields { rest: payload, at };
    // Each takes some bytes, so that there cannot be more of them than the payload has.
    let count = fields.u32()?;
    let mut sources = Vec::new();
    for _ in 0..count {
        let (group, is_feed, event_bytes) = (fields.u32()?, fields.u32()? == 1, fields.u32()?);
        let fingerprint = bytemuck::pod_read_unaligned(fields.take(8)?);
        let len = fields.u32()? as usize;
        let name = fields.text(len)?;
        let len = fields.u32()? as usize;
        let schema = fields.text(len)?;
        sources.push(JournalSource { name, group, is_feed, event_bytes, fingerprint, schema });
    }
    match fields.rest.len() {
        0 => Ok(sources),
        more => Err(fields.damaged("its end", format!("{more} more bytes"))),
    }
}

pub(super) fn encode_symbols(texts: &[Arc<str>]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        // A dictionary takes no longer ones.
        out.push(text.len() as u8);
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// The texts of symbols.
///
/// # Errors
/// When these are none.
pub(super) fn decode_symbols(payload: &[u8], at: (&Path, u64)) -> Result<Vec<String>, StateError> {
    let mut fields = Fields { rest: payload, at };
    let mut texts = Vec::new();
    while let Some((len, rest)) = fields.rest.split_first() {
        fields.rest = rest;
        texts.push(fields.text(usize::from(*len))?);
    }
    Ok(texts)
}
