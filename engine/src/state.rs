//! Saved state: where its bytes are, and what can be wrong with it.

pub use crate::log::error::StateError;
pub use crate::log::storage::{FileStorage, Storage};
pub use crate::runtime::saved::{CheckpointInfo, SavedCheckpoint, SavedCounts, SavedRows, SavedState, SavedStoreInfo};
pub use crate::runtime::saved_feed::{JournalEvents, JournalFeed, JournalFeedReader};
pub use crate::runtime::saved_journal::{JournalCut, JournalInfo, JournaledSource, SavedJournal};
