//! What stores are made with.

use crate::HashSeed;

/// The seed and the limits that a job gives the stores of its steps, on each worker.
///
/// ```
/// let settings = pelton::StoreSettings::default();
/// let table = pelton::KeyedTable::<u32, u64>::new(&settings);
/// assert!(table.is_empty());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct StoreSettings {
    pub(crate) seed: HashSeed,
    pub(crate) keys_max: usize,
    pub(crate) open_windows_max: usize,
    pub(crate) timers_max: usize,
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
}

impl Default for StoreSettings {
    /// A fixed seed, and the limits of a job by default.
    fn default() -> Self {
        Self {
            seed: HashSeed::new(0),
            keys_max: 1 << 28,
            open_windows_max: 1 << 16,
            timers_max: 1 << 28,
            rows_max: 1 << 28,
            bytes_max: 1 << 40,
        }
    }
}
