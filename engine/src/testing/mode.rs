//! The ways in which the harness runs an operator.

use std::fmt;

/// How many rows come at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    All,
    One,
    Random,
}

/// Which watermarks the operator is told. Where the script ends it is told all that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tell {
    /// Those of the script.
    Script,
    /// Those of the script, where it asks to be called.
    Asked,
    /// Also the one before each batch.
    Batches,
    /// Some of those of the script, and some of those before batches.
    Random,
    /// None before the end.
    Last,
    /// Those of the script where it asks to be called, and the one before each batch before which something is due:
    /// rows of all outputs leave in one order.
    Due,
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
    /// What changed is saved, and now and then a fresh one takes over all that was saved.
    Changes,
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
    pub(super) tell: Tell,
    pub(super) seed: u64,
}

const LARGE: usize = 4096;

/// All modes, the plainest first; those that rescale only for an operator whose key is known.
pub(super) fn modes(keyed: bool, seed: u64) -> Vec<Mode> {
    use Restore::{Changes, Fresh, Never, Rescaled};
    use Split::{All, One, Random};
    use Tell::{Asked, Batches, Due, Last, Script};
    let modes = [
        (All, LARGE, false, Never, false, Script),
        (All, LARGE, false, Never, true, Asked),
        (All, LARGE, false, Never, false, Last),
        (All, LARGE, false, Never, false, Due),
        (One, LARGE, false, Never, true, Batches),
        (Random, LARGE, false, Never, false, Tell::Random),
        (All, 1, false, Never, true, Script),
        (One, 1, false, Never, false, Last),
        (All, 2, false, Never, false, Due),
        (Random, 2, false, Never, true, Batches),
        (All, 1, true, Never, false, Last),
        (One, 1, true, Never, true, Script),
        (Random, 2, true, Never, false, Tell::Random),
        (All, LARGE, false, Fresh, false, Script),
        (All, LARGE, false, Fresh, false, Last),
        (One, LARGE, false, Fresh, true, Batches),
        (Random, 1, false, Fresh, false, Asked),
        (Random, 2, true, Fresh, true, Tell::Random),
        (One, LARGE, false, Rescaled, false, Script),
        (Random, 2, false, Rescaled, true, Tell::Random),
        (Random, 1, true, Rescaled, false, Last),
        (Random, 2, true, Rescaled, false, Due),
        (One, 1, true, Rescaled, true, Batches),
        (One, LARGE, false, Changes, false, Script),
        (Random, 2, true, Changes, true, Tell::Random),
        (Random, LARGE, false, Changes, false, Due),
    ];
    let modes = modes.into_iter().filter(|mode| keyed || mode.3 != Rescaled);
    modes
        .map(|(split, outbox, filled, restore, repeat, tell)| Mode {
            split,
            outbox,
            filled,
            restore,
            repeat,
            tell,
            seed,
        })
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
        f.write_str(match self.tell {
            Tell::Script => "",
            Tell::Asked => ", told watermarks where it asks",
            Tell::Batches => ", told the watermark before each batch",
            Tell::Random => ", told some watermarks",
            Tell::Last => ", told the last watermark only",
            Tell::Due => ", told watermarks before what is due, all outputs in one order",
        })?;
        f.write_str(match self.restore {
            Restore::Never => "",
            Restore::Fresh => ", restored into a fresh operator after every call",
            Restore::Changes => ", what changed saved after every call and all of it restored now and then",
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

    pub(super) fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
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
