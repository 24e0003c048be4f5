//! The snapshot log: one file in which checkpoints are durable as a whole or not at all.
//!
//! ```text
//! byte 0      superblock            which checkpoints are committed
//! byte 4096   superblock, again     each copy in a page of its own
//! byte 8192   segment 0             frame (64 bytes) │ payload
//!             segment 1             ...
//! ```
//! A checkpoint's **body** is a stream of bytes, cut into segments; each segment's frame names the one before, so a
//! superblock tells a body by its last segment. A body begins with the bodies that it builds on: a checkpoint is what
//! these say, from the oldest on. What is in a body is not this module's business.
//!
//! **Committing.** All segments are written and synced; then the first superblock is written and synced, then the
//! second. What is written may become durable in any order before a sync, so nothing but a superblock says that a body
//! counts, and no segment that a committed checkpoint needs is written to. Segments that no kept checkpoint needs are
//! used again. The file grows by zeros that are written, never by holes, so a full disk is an error before anything is
//! mapped.
//!
//! **Reading.** Nothing in the file is trusted. A frame has a checksum over itself and its payload, and says in which
//! file, at which place, in which body and at which position of it the segment stands, so a stale or misdirected one is
//! found as well. The superblock of the higher commit counts, and one that cannot be read is survived. Damage of what
//! was committed is an error with its place. What lies in segments that are not committed does not matter; how many
//! were written for a checkpoint that did not come about is told.
//!
//! **Failing.** After a failed sync nobody knows what is durable: the log commits no more, and the next one who opens it
//! finds the last commit. Where there is no room, the checkpoint is given up and the log goes on.

mod body;
mod directory;
pub(crate) mod error;
mod frame;
pub(crate) mod journal;
mod mapped;
mod snapshots;
pub(crate) mod storage;
mod superblocks;

#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use body::BodyReader;
pub(crate) use directory::{JOURNAL, SNAPSHOTS, StateDirectory, file_id, open_to_read};
pub(crate) use mapped::MappedStorage;
pub(crate) use snapshots::{BodyRef, Kept, LogOptions, Sealing, SnapshotLog};
