//! The two superblocks of a log that were edited, over segments that were not.

use super::log::{EPOCHS, PAGE, file, go_on, open, page_places, seal_page};
use super::{Input, Memory, Seed};
use std::sync::OnceLock;

fn is_sound(bytes: &[u8], number: usize) -> bool {
    let mut again = bytes[..2 * PAGE].to_vec();
    seal_page(&mut again, number);
    again == bytes[..2 * PAGE]
}

/// Opens a log whose superblocks were edited, and goes on; whether it opens.
pub fn superblock(input: &[u8]) -> bool {
    static SEED: OnceLock<Seed> = OnceLock::new();
    let seed = SEED.get_or_init(|| Seed::new(file(), page_places().collect(), 2, seal_page));
    let mut input = Input(input);
    let options = input.byte();
    let bytes = seed.edited(&mut input);
    let same = [0, 1].map(|number| {
        bytes.get(..2 * PAGE).is_some_and(|pages| {
            let page = number * PAGE..(number + 1) * PAGE;
            pages[page.clone()] == seed.bytes()[page]
        })
    });
    let survives = bytes.len() == seed.bytes().len()
        && (same == [true; 2] || (0..2).any(|number| same[number] && !is_sound(&bytes, 1 - number)));
    let memory = Memory::new(bytes);
    match open(&memory, false) {
        Ok(log) => {
            let epochs: Vec<_> = log.kept().iter().map(|kept| kept.epoch).collect();
            assert!(!survives || epochs.iter().copied().eq(1..=EPOCHS), "{epochs:?}");
            assert_eq!(survives && same != [true; 2], survives && !log.remarks().is_empty());
            if options & 1 != 0 {
                go_on(&memory, log);
            }
            true
        }
        Err(error) => {
            assert!(!survives, "one unreadable superblock is survived: {error}");
            false
        }
    }
}
