//! The two superblocks of a log: made, read, and held against each other.

use crate::log::error::StateError;
use crate::log::frame::{PAGE, SEGMENTS_AT, Superblock};
use crate::log::storage::Storage;
use std::path::Path;

pub(super) fn not_a_log(path: &Path, reason: &str) -> StateError {
    StateError::NotALog { path: path.to_owned(), reason: reason.to_owned() }
}

/// Makes the two superblocks of a log without checkpoints.
pub(super) fn create(storage: &mut dyn Storage, superblock: &Superblock) -> std::io::Result<()> {
    if storage.len()? < SEGMENTS_AT {
        storage.grow(SEGMENTS_AT)?;
    }
    for number in 0..2 {
        storage.write(u64::from(number) * PAGE as u64, &superblock.page(number))?;
    }
    storage.sync()
}

/// The superblock that counts, and what is said of the other.
pub(super) fn read(storage: &mut dyn Storage, path: &Path, len: u64) -> Result<(Superblock, Vec<String>), StateError> {
    let mut copy = |number: u32| {
        let mut page = [0; PAGE];
        if len < u64::from(number + 1) * PAGE as u64 {
            return Err(not_a_log(path, "it is too short"));
        }
        storage.read(u64::from(number) * PAGE as u64, &mut page).map_err(StateError::io(path, "read a superblock"))?;
        Superblock::read(path, &page, number)
    };
    match (copy(0), copy(1)) {
        (Ok(first), Ok(second)) => Ok((if first.commit >= second.commit { first } else { second }, Vec::new())),
        // A program of another version wrote one of them last.
        (Err(error @ StateError::Version { .. }), _) | (_, Err(error @ StateError::Version { .. })) => Err(error),
        (Ok(sound), Err(error)) | (Err(error), Ok(sound)) => {
            Ok((sound, vec![format!("one of the two superblocks is not usable: {error}")]))
        }
        (Err(error), Err(_)) => Err(error),
    }
}
