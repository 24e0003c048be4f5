//! Values of keys that are small numbers, each where its number says: no hash, no probe, no
//! comparison.
//!
//! ```text
//! present: a bit for each number 0 .. end
//! touched: a bit for each number that is present and was written since the last mark
//! values:  [V] by number; a value is zeros where its bit is not set
//! ```
//! A value is found by its bit among those that were touched, which is not set where the number is new, or was not touched
//! since the mark. So what changed is known at no cost, and what is marked is kept before it changes.

use crate::store::Scope;
use crate::store::pieces::PieceWriter;
use crate::store::region::Region;
use crate::{Key, Timestamp};
use bytemuck::Pod;
use std::marker::PhantomData;
use std::ops::Range;

/// A multiple of 64, so that bits come in whole words.
const WORD: usize = 64;
/// Values of more bytes mostly come from memory: those of a batch are fetched before they are added to.
const LARGE: usize = if cfg!(test) { 4 << 10 } else { 8 << 20 };
/// Rows whose values are fetched at once.
const FETCHED: usize = 512;

#[derive(Debug)]
pub(crate) struct Dense<K, V> {
    touched: Vec<u64>,
    known: Known<V>,
    values: Region<V>,
    keys: PhantomData<K>,
}

/// What is looked at only where a value was not touched yet.
#[derive(Debug)]
struct Known<V> {
    present: Vec<u64>,
    len: usize,
    /// Whether all was marked once.
    is_saved: bool,
    marked: Marked<V>,
}

/// What has to be written as it was at the mark: of the values that it names, those that were not touched since.
#[derive(Debug)]
struct Marked<V> {
    /// The words of bits that are left.
    words: Range<usize>,
    /// The bits of those that were touched before the mark; zeros in front of the words that are left. They are what is
    /// touched behind the next mark: so no memory is asked for or given back at a mark.
    bits: Vec<u64>,
    /// Whether all values that are present are marked, and not only these.
    is_all: bool,
    /// Values that were touched before they were written, as they were, with their numbers.
    kept: Vec<(u32, V)>,
}

impl<V> Marked<V> {
    const NOTHING: Self = Self { words: 0..0, bits: Vec::new(), is_all: false, kept: Vec::new() };

    /// The bits of a word, of which those that are `present` and not `touched` are left.
    #[inline]
    fn word(&self, at: usize, present: u64, touched: u64) -> u64 {
        if !self.words.contains(&at) {
            return 0;
        }
        (if self.is_all { present } else { self.bits[at] }) & !touched
    }
}

/// The key's number, where it is below 2^31.
#[inline(always)]
pub(crate) fn number_of<K: Key>(key: &K) -> Option<usize> {
    key.number().filter(|&number| number < 1 << 31).map(|number| number as usize)
}

impl<K: Key, V: Pod> Dense<K, V> {
    pub(crate) const fn new() -> Self {
        Self {
            touched: Vec::new(),
            known: Known { present: Vec::new(), len: 0, is_saved: false, marked: Marked::NOTHING },
            values: Region::new(),
            keys: PhantomData,
        }
    }

    /// The number of keys.
    pub(crate) const fn len(&self) -> usize {
        self.known.len
    }

    /// Keys with numbers below this belong here.
    #[inline(always)]
    pub(crate) const fn end(&self) -> usize {
        self.known.present.len() * WORD
    }

    /// Makes room for numbers below `end`, a multiple of 64; whether there is so much memory.
    pub(crate) fn grow(&mut self, end: usize) -> bool {
        if !self.values.grow(end) {
            return false;
        }
        self.known.present.resize(end / WORD, 0);
        self.touched.resize(end / WORD, 0);
        true
    }

    /// The value of the key with a number below the end; zeros where it is new.
    #[inline]
    pub(crate) fn value_mut(&mut self, number: usize) -> &mut V {
        let Self { touched, known, values, .. } = self;
        let values = values.values_mut();
        if touched[number / WORD] >> (number % WORD) & 1 == 0 {
            known.touch(touched, number, values);
        }
        &mut values[number]
    }

    /// Adds rows from the front to the values of their keys, up to the first whose key does not
    /// belong here; says how many.
    #[inline(always)]
    pub(crate) fn update<T>(
        &mut self,
        times: &[Timestamp],
        rows: &[T],
        key_of: impl Fn(usize, &T) -> K,
        mut add: impl FnMut(usize, Timestamp, &T, &mut V),
    ) -> usize {
        if size_of_val(self.values.values()) <= LARGE {
            return self.update_each(times, rows, key_of, add);
        }
        let mut numbers = [0; FETCHED];
        let mut done = 0;
        loop {
            let (first, left) = (done, &rows[done..]);
            let known = self.fetch(left, |index, row| key_of(first + index, row), &mut numbers);
            let key_at = |index: usize, _: &T| K::from_number(numbers[index].into());
            let add_at = |index: usize, time, row: &T, value: &mut V| add(first + index, time, row, value);
            let added = self.update_each(&times[first..first + known], &left[..known], key_at, add_at);
            done += added;
            if added < FETCHED {
                return done;
            }
        }
    }

    /// Notes the numbers of the first rows, up to one that does not belong here, and looks at their values: a
    /// loop that does nothing else has more of them on their way from memory at once than one that adds.
    #[inline(never)]
    fn fetch<T>(&self, rows: &[T], key_of: impl Fn(usize, &T) -> K, numbers: &mut [u32; FETCHED]) -> usize {
        let values = self.values.values();
        let mut known = 0;
        for (row, slot) in rows.iter().zip(&mut *numbers) {
            let number = number_of(&key_of(known, row)).filter(|&number| number < values.len());
            let Some(number) = number else { break };
            *slot = number as u32;
            known += 1;
        }
        let look = |number: &u32| bytemuck::bytes_of(&values[*number as usize]).first().copied().unwrap_or(0);
        // Used for nothing, but the processor cannot know.
        std::hint::black_box(numbers[..known].iter().fold(0, |seen, number| seen ^ look(number)));
        known
    }

    /// As [`Dense::update`], row by row.
    #[inline(always)]
    fn update_each<T>(
        &mut self,
        times: &[Timestamp],
        rows: &[T],
        key_of: impl Fn(usize, &T) -> K,
        mut add: impl FnMut(usize, Timestamp, &T, &mut V),
    ) -> usize {
        let Self { touched, known, values, .. } = self;
        // Slices on the stack: what is behind them does not change while values do.
        let (touched, values) = (&mut touched[..], values.values_mut());
        for (index, (&time, row)) in times.iter().zip(rows).enumerate() {
            // No end is beyond 2^31, so it parts the numbers that are too large as well.
            let number = key_of(index, row).number().and_then(|number| usize::try_from(number).ok());
            let Some(number) = number else { return index };
            let (true, Some(word)) = (number < values.len(), touched.get(number / WORD)) else { return index };
            if *word >> (number % WORD) & 1 == 0 {
                known.touch(touched, number, values);
            }
            add(index, time, row, &mut values[number]);
        }
        rows.len()
    }

    /// Merges all of another's values into these, whose end is not lower.
    pub(crate) fn add_all(&mut self, other: &Self, mut merge: impl FnMut(&mut V, &V)) {
        let Known { present, len, marked, .. } = &mut self.known;
        let words = present.iter_mut().zip(&mut self.touched);
        let parts = words.zip(self.values.values_mut().chunks_mut(WORD)).enumerate();
        let others = other.known.present.iter().zip(other.values.values().chunks(WORD));
        for ((at, ((word, touched), values)), (&more, others)) in parts.zip(others) {
            let kept = Bits(marked.word(at, *word, *touched) & more);
            marked.kept.extend(kept.map(|bit| ((at * WORD + bit) as u32, values[bit])));
            *len += (more & !*word).count_ones() as usize;
            *word |= more;
            *touched |= more;
            if more == u64::MAX {
                values.iter_mut().zip(others).for_each(|(value, other)| merge(value, other));
            } else {
                Bits(more).for_each(|bit| merge(&mut values[bit], &others[bit]));
            }
        }
    }

    /// Keys and values with their numbers, in growing order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, K, &V)> {
        let values = self.values.values();
        self.known.present.iter().enumerate().flat_map(move |(at, &word)| {
            Bits(word).map(move |bit| {
                let number = at * WORD + bit;
                (number, K::from_number(number as u64), &values[number])
            })
        })
    }

    /// The entry of a number that is present.
    #[inline]
    pub(crate) fn entry(&self, number: usize) -> (K, &V) {
        (K::from_number(number as u64), &self.values.values()[number])
    }

    /// A bit for each number, 64 to a word.
    pub(crate) fn present(&self) -> &[u64] {
        &self.known.present
    }

    /// Forgets all keys and keeps the memory. The work grows with the keys, and with the end by a bit.
    pub(crate) fn clear(&mut self) {
        let values = self.values.values_mut();
        for (word, values) in self.known.present.iter_mut().zip(values.chunks_mut(WORD)) {
            if *word != 0 {
                values.fill(V::zeroed());
                *word = 0;
            }
        }
        self.touched.fill(0);
        self.known.len = 0;
        self.forget_saved();
    }

    /// From now on nothing was saved, and nothing is marked.
    pub(crate) fn forget_saved(&mut self) {
        self.known.is_saved = false;
        self.known.marked = Marked::NOTHING;
    }

    /// Marks all values, or those that were touched since the last mark, where there was one.
    pub(crate) fn mark(&mut self, scope: Scope) {
        let mut none = std::mem::take(&mut self.known.marked.bits);
        if !self.known.marked.words.is_empty() || none.len() != self.touched.len() {
            // Zeroed memory costs nothing until it is used.
            none = vec![0; self.touched.len()];
        }
        let touched = std::mem::replace(&mut self.touched, none);
        let is_all = !std::mem::replace(&mut self.known.is_saved, true) || scope == Scope::All;
        let words = 0..touched.len();
        self.known.marked = Marked { words, bits: touched, is_all, kept: Vec::new() };
    }

    /// Whether something that is marked is left to write.
    pub(crate) fn is_marked(&self) -> bool {
        !self.known.marked.words.is_empty() || !self.known.marked.kept.is_empty()
    }

    /// Writes what was marked, as far as there is room; whether nothing is left.
    pub(crate) fn save(
        &mut self,
        out: &mut PieceWriter<'_>,
        mut write: impl FnMut(&mut PieceWriter<'_>, &K, &V),
    ) -> bool {
        let key = |number: usize| K::from_number(number as u64);
        while out.has_room() {
            if let Some((number, value)) = self.known.marked.kept.pop() {
                write(out, &key(number as usize), &value);
                continue;
            }
            let Some(at) = self.known.marked.words.next() else { return true };
            out.pass(1);
            let Known { present, marked, .. } = &mut self.known;
            let bits = std::mem::take(&mut marked.bits[at]);
            let left = (if marked.is_all { present[at] } else { bits }) & !self.touched[at];
            for number in Bits(left).map(|bit| at * WORD + bit) {
                write(out, &key(number), &self.values.values()[number]);
            }
        }
        !self.is_marked()
    }
}

impl<V: Pod> Known<V> {
    /// Notes a number that is new, or was not touched since the mark; a value that is marked is kept. Apart, so that
    /// nothing is made ready for it each time it is not called.
    #[cold]
    #[inline(never)]
    fn touch(&mut self, touched: &mut [u64], number: usize, values: &[V]) {
        let (at, bit) = (number / WORD, 1 << (number % WORD));
        let present = &mut self.present[at];
        if self.marked.word(at, *present, touched[at]) & bit != 0 {
            self.marked.kept.push((number as u32, values[number]));
        }
        touched[at] |= bit;
        self.len += usize::from(*present & bit == 0);
        *present |= bit;
    }
}

/// The positions of the bits that are set, in growing order.
pub(crate) struct Bits(pub(crate) u64);

impl Iterator for Bits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0.checked_sub(1)?;
        Some(bit)
    }
}
