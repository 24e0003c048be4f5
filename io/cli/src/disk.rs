//! Whether there is room on the disk for what is about to be made.

use crate::error::Failure;
use crate::units::grouped;
use pelton::Record;
use pelton_io::Trade;
use std::path::Path;

/// What a block takes beside its events, at most: its header, what fills its last page, its place in
/// the index.
const BLOCK_MORE_BYTES: u128 = 4096 + 64;
/// What a symbol takes, at most: its text in the file and in the index.
const SYMBOL_BYTES: u128 = 64;

/// The bytes of a capture of so many trades, a little more rather than less.
pub(crate) fn trades_bytes(events: u64, keys: u32, block_events: u32) -> u128 {
    let blocks = u128::from(events).div_ceil(u128::from(block_events.max(1)));
    let events = u128::from(events) * Trade::layout().size() as u128;
    events + (blocks + 4) * BLOCK_MORE_BYTES + u128::from(keys) * SYMBOL_BYTES
}

/// Fails when fewer than `needed` bytes are free where `directory` is. A file system that does not
/// say has room.
pub(crate) fn check_room(directory: &Path, what: &str, needed: u128) -> Result<(), Failure> {
    let Ok(found) = rustix::fs::statvfs(directory) else { return Ok(()) };
    let available = u128::from(found.f_bavail) * u128::from(found.f_frsize);
    if found.f_blocks == 0 || available >= needed {
        return Ok(());
    }
    let [needed, available] = [needed, available].map(|bytes| grouped(u64::try_from(bytes).unwrap_or(u64::MAX)));
    let directory = directory.display();
    Err(Failure::failed(format!("{directory}: {what} need {needed} bytes, and {available} bytes are available")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_io::capture::{CaptureWriter, WriterOptions};
    use pelton_io::generate::{TradeOptions, symbol_names, trades};

    #[test]
    fn a_disk_has_room_for_little_and_not_for_everything() {
        let directory = std::env::temp_dir();
        assert!(check_room(&directory, "rows", 1).is_ok());
        assert!(check_room(&directory, "rows", u128::MAX).is_err());
        assert!(check_room(Path::new("/no/such/directory"), "rows", u128::MAX).is_ok());
    }

    #[test]
    fn a_capture_takes_about_what_is_said() {
        let dir = tempfile::tempdir().unwrap();
        for (events, keys, block_events) in [(0, 1, 4096), (100, 1_000, 7), (100_000, 50, 4096)] {
            let options = TradeOptions { events, keys, ..TradeOptions::default() };
            let symbols = symbol_names(keys).collect();
            let options_of_writer =
                WriterOptions { block_events, symbols, overwrite: true, ..WriterOptions::default() };
            let mut writer = CaptureWriter::create(dir.path().join("t.pelton"), options_of_writer).unwrap();
            trades(&options).for_each(|trade| writer.push(&trade).unwrap());
            let bytes = u128::from(writer.finish().unwrap().bytes);
            let said = trades_bytes(events, keys, block_events);
            assert!((bytes..bytes + bytes / 4 + 50_000).contains(&said), "{bytes} {said}");
        }
    }

    #[test]
    fn numbers_of_any_size_can_be_asked_for() {
        assert!(trades_bytes(u64::MAX, u32::MAX, 1) > u128::from(u64::MAX));
        assert!(trades_bytes(0, 1, 4096) > 0);
    }
}
