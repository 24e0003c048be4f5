//! What lies behind the last record of a journal.

use crate::log::error::StateError;
use crate::log::journal::frame::{ALIGN, HEADER, Header};
use crate::log::storage::Storage;
use std::path::Path;

/// Bytes that are looked at at once.
const CHUNK: usize = 1 << 16;

/// What lies behind the last record.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Up to the last byte that is not zero.
    pub(super) bytes: u64,
    /// Records that were written and do not count.
    pub(super) records: u64,
    /// A record says that all records before this sequence number were durable.
    pub(super) durable: u64,
}

/// Looks at all bytes from an offset on, up to the end of the file. Records of other files do not count, where it is
/// known which file this is.
///
/// # Errors
/// When they cannot be read.
pub(super) fn look(
    storage: &mut dyn Storage,
    path: &Path,
    file_id: Option<u64>,
    (from, len): (u64, u64),
) -> Result<Tail, StateError> {
    let mut tail = Tail::default();
    let mut chunk = Vec::new();
    let mut at = from;
    while at < len {
        chunk.resize(usize::try_from(len - at).map_or(CHUNK, |left| left.min(CHUNK)), 0);
        storage.read(at, &mut chunk).map_err(StateError::io(path, "read the journal"))?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            tail.bytes = at + last as u64 + 1 - from;
            for (number, bytes) in chunk[..=last].chunks(ALIGN as usize).enumerate() {
                let offset = at + number as u64 * ALIGN;
                // The last one may have been cut behind a byte that is not zero.
                let start = number * HEADER;
                let bytes = chunk.get(start..start + HEADER).unwrap_or(bytes);
                let is_own = |header: &Header| file_id.is_none_or(|id| header.file_id == id);
                if let Some(header) = Header::sound(bytes, offset).filter(is_own) {
                    tail.records += 1;
                    tail.durable = tail.durable.max(header.durable());
                }
            }
        }
        at += chunk.len() as u64;
    }
    Ok(tail)
}

/// Writes zeros over so many bytes from an offset on.
///
/// # Errors
/// When they cannot be written.
pub(super) fn clear(storage: &mut dyn Storage, path: &Path, from: u64, bytes: u64) -> Result<(), StateError> {
    let zeros = vec![0; CHUNK];
    let mut done = 0;
    while done < bytes {
        let count = usize::try_from(bytes - done).map_or(CHUNK, |left| left.min(CHUNK));
        storage.write(from + done, &zeros[..count]).map_err(StateError::io(path, "clear the journal's tail"))?;
        done += count as u64;
    }
    Ok(())
}
