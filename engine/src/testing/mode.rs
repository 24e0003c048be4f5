//! The ways in which the harness runs an operator.

use std::fmt;

/// How many rows come at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    All,
    One,
    Random,
}

/// What becomes of the operator after each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restore {
    /// It goes on.
    Never,
    /// A fresh one takes over its state.
    Fresh,
    /// So do several fresh ones, each with a range of slots.
    Rescaled,
}

/// One way to run an operator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mode {
    pub(super) split: Split,
    /// Rows from which on the outbox is full, at least 1.
    pub(super) outbox: usize,
    /// Whether the outbox is full before every other call.
    pub(super) filled: bool,
    pub(super) restore: Restore,
    /// Whether each watermark comes once more when it has fired all.
    pub(super) repeat: bool,
    pub(super) seed: u64,
}

const LARGE: usize = 4096;

/// All modes, the plainest first; those that rescale only for an operator whose key is known.
pub(super) fn modes(keyed: bool, seed: u64) -> Vec<Mode> {
    use Restore::{Fresh, Never, Rescaled};
    use Split::{All, One, Random};
    let modes = [
        (All, LARGE, false, Never, false),
        (All, LARGE, false, Never, true),
        (One, LARGE, false, Never, true),
        (Random, LARGE, false, Never, false),
        (All, 1, false, Never, true),
        (One, 1, false, Never, false),
        (Random, 2, false, Never, true),
        (All, 1, true, Never, false),
        (One, 1, true, Never, true),
        (Random, 2, true, Never, false),
        (All, LARGE, false, Fresh, false),
        (One, LARGE, false, Fresh, true),
        (Random, 1, false, Fresh, false),
        (Random, 2, true, Fresh, true),
        (One, LARGE, false, Rescaled, false),
        (Random, 2, false, Rescaled, true),
        (Random, 1, true, Rescaled, false),
    ];
    modes
        .into_iter()
        .filter(|mode| keyed || mode.3 != Rescaled)
        .map(|(split, outbox, filled, restore, repeat)| Mode { split, outbox, filled, restore, repeat, seed })
        .collect()
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.split {
            Split::All => "rows all at once",
            Split::One => "rows one at a time",
            Split::Random => "rows in random pieces",
        })?;
        let rows = if self.outbox == 1 { "row" } else { "rows" };
        write!(f, ", an outbox of {} {rows}", self.outbox)?;
        if self.filled {
            f.write_str(" that is full at every other call")?;
        }
        f.write_str(match self.restore {
            Restore::Never => "",
            Restore::Fresh => ", restored into a fresh operator after every call",
            Restore::Rescaled => ", restored into fresh operators of random number after every call",
        })?;
        if self.repeat {
            f.write_str(", watermarks repeated")?;
        }
        write!(f, " (seed {})", self.seed)
    }
}

/// Random numbers that a seed repeats: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number in range `1 ..= most`.
    pub(super) fn up_to(&mut self, most: usize) -> usize {
        1 + (self.next() % most.max(1) as u64) as usize
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.up_to(last + 1) - 1);
        }
    }
}
