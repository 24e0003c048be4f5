//! Which entries changed since they were last marked, and which of those that were marked are not written yet.
//!
//! ```text
//! touched ──► noted ── mark ──► marked ──► written, between batches
//!                                  └─────► kept, where it is touched again first: written as it was at the mark
//! ```

use crate::store::Scope;

/// Numbers of entries. Nothing is noted until a first mark: before that everything changed.
#[derive(Debug)]
pub(crate) struct Changes {
    is_noting: bool,
    /// Touched since the mark.
    noted: Numbers,
    marked: Marked,
    /// Empty, with the memory of numbers that were written: so none is given back or asked for at a mark.
    spare: Numbers,
}

/// What has to be written as it was at the mark.
#[derive(Debug)]
enum Marked {
    /// All entries with numbers from `next` up to `end` that were not touched since.
    All { next: usize, end: usize },
    /// Those of these numbers, from the position `next` on, whose bits are set.
    These { numbers: Numbers, next: usize },
}

/// A set of numbers.
#[derive(Debug, Default)]
struct Numbers {
    bits: Vec<u64>,
    list: Vec<u32>,
}

impl Numbers {
    const EMPTY: Self = Self { bits: Vec::new(), list: Vec::new() };

    /// Adds a number; whether it is new.
    fn insert(&mut self, number: usize) -> bool {
        let (word, bit) = (number / 64, 1 << (number % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let is_new = self.bits[word] & bit == 0;
        if is_new {
            self.bits[word] |= bit;
            self.list.push(number as u32);
        }
        is_new
    }

    fn contains(&self, number: usize) -> bool {
        self.bits.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Takes a number out of the bits, and leaves it in the list; whether it was there.
    fn remove(&mut self, number: usize) -> bool {
        let was_there = self.contains(number);
        if was_there {
            self.bits[number / 64] &= !(1 << (number % 64));
        }
        was_there
    }
}

impl Changes {
    pub(crate) const EMPTY: Self = Self {
        is_noting: false,
        noted: Numbers::EMPTY,
        marked: Marked::All { next: 0, end: 0 },
        spare: Numbers::EMPTY,
    };

    #[inline(always)]
    pub(crate) const fn is_noting(&self) -> bool {
        self.is_noting
    }

    /// An entry is about to change, or to go. Whether it is marked and has to be kept as it is now: it is not marked any
    /// more.
    #[inline(always)]
    pub(crate) fn note(&mut self, number: usize) -> bool {
        self.is_noting && self.note_new(number)
    }

    #[cold]
    fn note_new(&mut self, number: usize) -> bool {
        if !self.noted.insert(number) {
            return false;
        }
        match &mut self.marked {
            Marked::All { next, end } => (*next..*end).contains(&number),
            Marked::These { numbers, .. } => numbers.remove(number),
        }
    }

    /// An entry was made with a number that none had at the mark.
    #[inline]
    pub(crate) fn note_made(&mut self, number: usize) {
        if self.is_noting {
            self.noted.insert(number);
        }
    }

    /// All entries have new numbers, these. None of them is marked.
    pub(crate) fn note_moved(&mut self, numbers: impl Iterator<Item = usize>) {
        self.marked = Self::EMPTY.marked;
        if self.is_noting {
            self.noted = Numbers::EMPTY;
            for number in numbers {
                self.noted.insert(number);
            }
        }
    }

    /// Whether an entry was touched since the mark, or is still marked.
    pub(crate) fn is_open(&self, number: usize) -> bool {
        let is_marked = match &self.marked {
            Marked::All { next, end } => (*next..*end).contains(&number),
            Marked::These { numbers, .. } => numbers.contains(number),
        };
        is_marked || self.noted.contains(number)
    }

    /// Marks all numbers below `end`, or those that changed since the last mark, where there was one.
    pub(crate) fn mark(&mut self, scope: Scope, end: usize) {
        let numbers = std::mem::replace(&mut self.noted, std::mem::take(&mut self.spare));
        let is_all = !std::mem::replace(&mut self.is_noting, true) || scope == Scope::All;
        self.marked = if is_all { Marked::All { next: 0, end } } else { Marked::These { numbers, next: 0 } };
    }

    /// Whether something may be marked.
    pub(crate) const fn is_marked(&self) -> bool {
        match &self.marked {
            Marked::All { next, end } => *next < *end,
            Marked::These { .. } => true,
        }
    }

    /// Whether what is not there is not marked.
    pub(crate) const fn marks_all(&self) -> bool {
        matches!(self.marked, Marked::All { .. })
    }

    /// The next number that is marked; it no longer is. `None` where none is left.
    pub(crate) fn next_marked(&mut self) -> Option<usize> {
        match &mut self.marked {
            Marked::All { next, end } => {
                while *next < *end {
                    let number = *next;
                    *next += 1;
                    if !self.noted.contains(number) {
                        return Some(number);
                    }
                }
            }
            Marked::These { numbers, next } => {
                while let Some(number) = numbers.list.get(*next).map(|number| *number as usize) {
                    *next += 1;
                    if numbers.remove(number) {
                        return Some(number);
                    }
                }
                numbers.list.clear();
                self.spare = std::mem::take(numbers);
            }
        }
        self.marked = Self::EMPTY.marked;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(changes: &mut Changes) -> Vec<usize> {
        std::iter::from_fn(|| changes.next_marked()).collect()
    }

    #[test]
    fn what_is_touched_before_it_was_written_is_kept_once() {
        let mut changes = Changes::EMPTY;
        assert!(!changes.note(3));
        changes.mark(Scope::Changed, 5);
        assert_eq!(changes.next_marked(), Some(0));
        // The first is written already, the second is not, the last was not there.
        assert_eq!([0, 2, 2, 7].map(|number| changes.note(number)), [false, true, false, false]);
        assert_eq!(rest(&mut changes), [1, 3, 4]);
        changes.mark(Scope::Changed, 8);
        changes.note_made(5);
        assert_eq!([2, 2, 5, 7].map(|number| changes.note(number)), [true, false, false, true]);
        assert_eq!(rest(&mut changes), [0]);
        assert_eq!(rest(&mut changes), [] as [usize; 0]);
        changes.mark(Scope::All, 3);
        assert!(changes.is_open(2) && !changes.is_open(5));
        changes.note_moved([1, 4].into_iter());
        assert_eq!(rest(&mut changes), [] as [usize; 0]);
        changes.mark(Scope::Changed, 8);
        assert_eq!(rest(&mut changes), [1, 4]);
    }

    #[test]
    fn memory_of_numbers_that_are_written_is_used_again_behind_the_next_mark() {
        let mut changes = Changes::EMPTY;
        changes.mark(Scope::Changed, 0);
        (0..1000).for_each(|number| changes.note_made(number));
        changes.mark(Scope::Changed, 1000);
        assert_eq!(rest(&mut changes).len(), 1000);
        assert!(changes.noted.list.capacity() < 1000);
        changes.note(7);
        changes.mark(Scope::Changed, 1000);
        assert!(changes.noted.list.capacity() >= 1000 && changes.noted.list.is_empty());
        changes.note(8);
        assert_eq!(rest(&mut changes), [7]);
        changes.mark(Scope::Changed, 1000);
        assert_eq!(rest(&mut changes), [8]);
    }
}
