//! Values of keys that are small numbers, each where its number says: no hash, no probe, no
//! comparison.
//!
//! ```text
//! touched: a bit for each number 0 .. end that is present and was written since the last mark
//! present: a bit for each number that is present; not used before the first mark, until which each of them was touched
//! values:  [V] by number; a value is zeros where its bit is not set
//! ```
//! A value is found by its bit among those that were touched, which is not set where the number is new, or was not touched
//! since the mark. So what changed is known at no cost, and what is marked is kept before it changes: a page of 64 values
//! at once. Where most of a page changed between two marks, the first change after the next counts for the whole page.
//! Every so many marks it does not, to see whether that is still so.

use crate::store::Scope;
use crate::store::pieces::{PieceWriter, Records};
use crate::store::region::Region;
use crate::{Key, Timestamp};
use bytemuck::Pod;
use std::marker::PhantomData;
use std::ops::Range;

/// Values of a page: the bits of a word.
const WORD: usize = 64;
/// Of so many marks, changes are counted value by value between the first and the second.
const COUNTED: u32 = 8;
/// Bytes of values that are kept together.
const KEPT_BYTES: usize = 64 << 10;
/// Values of more bytes mostly come from memory: those of a batch are fetched before they are added to.
const LARGE: usize = if cfg!(test) { 4 << 10 } else { 8 << 20 };
/// Rows whose values are fetched at once.
const FETCHED: usize = 512;

#[derive(Debug)]
pub(crate) struct Dense<K, V> {
    touched: Region<u64>,
    known: Known<V>,
    values: Region<V>,
    keys: PhantomData<K>,
}

/// What is looked at only where a value was not touched yet.
#[derive(Debug)]
struct Known<V> {
    /// All zeros before the first mark.
    present: Region<u64>,
    len: usize,
    /// How often it was marked.
    marks: u32,
    /// A bit for each page most of which changed when that was last counted.
    busy: Vec<u64>,
    marked: Marked<V>,
}

/// What has to be written as it was at the mark.
#[derive(Debug)]
struct Marked<V> {
    /// The pages that are left, but for those that are kept. Nothing in them was touched.
    pages: Range<usize>,
    /// The bits of those that were touched before the mark; zeros for pages that are written or kept. They are what is
    /// touched behind the next mark: so no memory is filled or given back at a mark.
    bits: Region<u64>,
    /// Whether all values that are present are marked, and not only these.
    is_all: bool,
    /// A bit for each page that was touched before it was written.
    is_kept: Vec<u64>,
    /// Values of such pages, as they were.
    kept: Vec<Kept<V>>,
}

/// Pages, each with bits for the values that are kept of it, and these, one page behind the other.
#[derive(Debug)]
struct Kept<V> {
    pages: Vec<(u32, u64)>,
    values: Vec<V>,
}

impl<V> Marked<V> {
    const NOTHING: Self =
        Self { pages: 0..0, bits: Region::new(), is_all: false, is_kept: Vec::new(), kept: Vec::new() };
}

/// Whether a number is in a set of bits.
#[inline(always)]
fn has(bits: &[u64], number: usize) -> bool {
    bits[number / WORD] >> (number % WORD) & 1 == 1
}

/// The values of a page. Where all values are fewer than a page has, it is cut short.
#[inline(always)]
fn page<V>(values: &[V], at: usize) -> &[V] {
    &values[at * WORD..values.len().min((at + 1) * WORD)]
}

/// The key's number, where it is below 2^31.
#[inline(always)]
pub(crate) fn number_of<K: Key>(key: &K) -> Option<usize> {
    key.number().filter(|&number| number < 1 << 31).map(|number| number as usize)
}

impl<K: Key, V: Pod> Dense<K, V> {
    pub(crate) const fn new() -> Self {
        Self {
            touched: Region::new(),
            known: Known { present: Region::new(), len: 0, marks: 0, busy: Vec::new(), marked: Marked::NOTHING },
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
    pub(crate) fn end(&self) -> usize {
        self.values.values().len()
    }

    /// Makes room for numbers below `end`, a power of two; whether there is so much memory.
    pub(crate) fn grow(&mut self, end: usize) -> bool {
        let words = end.div_ceil(WORD);
        // The bits of the next mark too, so that it asks for no memory. The values come last: they say what belongs here.
        let sets = [&mut self.touched, &mut self.known.present, &mut self.known.marked.bits];
        if !sets.into_iter().all(|bits| bits.grow(words)) || !self.values.grow(end) {
            return false;
        }
        self.known.busy.resize(words.div_ceil(WORD), 0);
        true
    }

    /// The value of the key with a number below the end; zeros where it is new.
    #[inline]
    pub(crate) fn value_mut(&mut self, number: usize) -> &mut V {
        let Self { touched, known, values, .. } = self;
        let (touched, values) = (touched.values_mut(), values.values_mut());
        if !has(touched, number) {
            known.note(touched, number, values);
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
        let (touched, values) = (touched.values_mut(), values.values_mut());
        for (index, (&time, row)) in times.iter().zip(rows).enumerate() {
            // No end is beyond 2^31, so it parts the numbers that are too large as well.
            let number = key_of(index, row).number().and_then(|number| usize::try_from(number).ok());
            let Some(number) = number else { return index };
            let (true, Some(word)) = (number < values.len(), touched.get(number / WORD)) else { return index };
            if *word >> (number % WORD) & 1 == 0 {
                known.note(touched, number, values);
            }
            add(index, time, row, &mut values[number]);
        }
        rows.len()
    }

    /// Merges all of another's values into these, whose end is not lower.
    pub(crate) fn add_all(&mut self, other: &Self, mut merge: impl FnMut(&mut V, &V)) {
        let Self { touched, known, values, .. } = self;
        let parts = touched.values_mut().iter_mut().zip(values.values_mut().chunks_mut(WORD)).enumerate();
        let others = other.present().iter().zip(other.values.values().chunks(WORD));
        for ((at, (touched, values)), (&more, others)) in parts.zip(others) {
            if more == 0 {
                continue;
            }
            if known.is_left(at) {
                known.keep(at, values);
            }
            let was = if known.marks == 0 { *touched } else { known.present.values()[at] };
            known.len += (more & !was).count_ones() as usize;
            *touched |= more;
            if known.marks != 0 {
                known.present.values_mut()[at] |= more;
            }
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
        self.present().iter().enumerate().flat_map(move |(at, &word)| {
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
        if self.known.marks == 0 { self.touched.values() } else { self.known.present.values() }
    }

    /// Forgets all keys and keeps the memory. The work grows with the keys, and with the end by a bit.
    pub(crate) fn clear(&mut self) {
        self.forget_saved();
        let values = self.values.values_mut();
        for (word, values) in self.touched.values_mut().iter_mut().zip(values.chunks_mut(WORD)) {
            if *word != 0 {
                values.fill(V::zeroed());
                *word = 0;
            }
        }
        self.known.len = 0;
    }

    /// From now on nothing was saved, and nothing is marked.
    pub(crate) fn forget_saved(&mut self) {
        let Known { present, marks, marked, .. } = &mut self.known;
        if *marks != 0 {
            self.touched.values_mut().fill(0);
            std::mem::swap(&mut self.touched, present);
        }
        let mut bits = std::mem::replace(&mut marked.bits, Region::new());
        if !marked.pages.is_empty() {
            bits.values_mut().fill(0);
        }
        *marks = 0;
        *marked = Marked { bits, ..Marked::NOTHING };
    }

    /// Marks all values, or those that were touched since the last mark, where there was one.
    pub(crate) fn mark(&mut self, scope: Scope) {
        let Known { present, marks, marked, .. } = &mut self.known;
        let mut none = std::mem::replace(&mut marked.bits, Region::new());
        if !marked.pages.is_empty() {
            none.values_mut().fill(0);
        }
        // By values: where there was no memory for these, there may be more bits.
        let pages = 0..self.values.values().len().div_ceil(WORD);
        let is_all = *marks == 0 || scope == Scope::All;
        let mut touched = std::mem::replace(&mut self.touched, none);
        if *marks == 0 {
            std::mem::swap(&mut touched, present);
        }
        // 0 is before the first mark.
        *marks = marks.checked_add(1).unwrap_or(2);
        marked.is_kept.clear();
        marked.is_kept.resize(pages.len().div_ceil(WORD), 0);
        marked.kept.clear();
        (marked.pages, marked.bits, marked.is_all) = (pages, touched, is_all);
    }

    /// Whether something that is marked is left to write.
    pub(crate) fn is_marked(&self) -> bool {
        !self.known.marked.pages.is_empty() || !self.known.marked.kept.is_empty()
    }

    /// Writes what was marked, as records of keys and values, as far as there is room; whether nothing is left.
    pub(crate) fn save(&mut self, out: &mut PieceWriter<'_>, records: &mut Records) -> bool {
        while out.has_room() {
            out.pass(1);
            if let Some(kept) = self.known.marked.kept.last_mut() {
                match kept.pages.pop() {
                    Some((at, bits)) => {
                        let first = kept.values.len() - bits.count_ones() as usize;
                        put::<K, V>(records, at as usize, bits, kept.values[first..].iter());
                        kept.values.truncate(first);
                    }
                    None => drop(self.known.marked.kept.pop()),
                }
            } else {
                let Some(at) = self.known.marked.pages.next() else { break };
                if has(&self.known.marked.is_kept, at) {
                    continue;
                }
                let bits = self.known.take_bits(at);
                let values = page(self.values.values(), at);
                match bits {
                    u64::MAX => put::<K, V>(records, at, bits, values.iter()),
                    bits => put::<K, V>(records, at, bits, Bits(bits).map(|bit| &values[bit])),
                }
            }
            records.write_if_enough(out);
        }
        records.write(out);
        !self.is_marked()
    }
}

/// Adds records of the values of a page, which have these bits.
#[inline]
fn put<'a, K: Key, V: Pod>(records: &mut Records, at: usize, bits: u64, values: impl Iterator<Item = &'a V>) {
    let room = records.room_for(bits.count_ones() as usize);
    let records = room.chunks_exact_mut(size_of::<K>() + size_of::<V>());
    let first = (at * WORD) as u64;
    let put = |(record, (number, value)): (&mut [u8], (u64, &V))| {
        let (key, rest) = record.split_at_mut(size_of::<K>());
        key.copy_from_slice(bytemuck::bytes_of(&K::from_number(number)));
        rest.copy_from_slice(bytemuck::bytes_of(value));
    };
    if bits == u64::MAX {
        records.zip((first..).zip(values)).for_each(put);
    } else {
        records.zip(Bits(bits).map(|bit| first + bit as u64).zip(values)).for_each(put);
    }
}

impl<V: Pod> Known<V> {
    /// Notes a number that is new, or was not touched since the mark. Apart, so that nothing is made ready for it each time
    /// it is not called.
    #[inline(never)]
    fn note(&mut self, touched: &mut [u64], number: usize, values: &[V]) {
        if self.marks == 0 {
            touched[number / WORD] |= 1 << (number % WORD);
            self.len += 1;
        } else {
            self.touch(touched, number, values);
        }
    }

    /// The same behind a mark; values that are marked are kept.
    #[cold]
    #[inline(never)]
    fn touch(&mut self, touched: &mut [u64], number: usize, values: &[V]) {
        let (at, bit) = (number / WORD, 1 << (number % WORD));
        if self.is_left(at) {
            self.keep(at, page(values, at));
        }
        let is_counted = self.marks.is_multiple_of(COUNTED);
        let present = &mut self.present.values_mut()[at];
        touched[at] |= if !is_counted && has(&self.busy, at) { *present | bit } else { bit };
        self.len += usize::from(*present & bit == 0);
        *present |= bit;
    }

    /// Whether a page may be marked, and is neither written nor kept.
    #[inline]
    fn is_left(&self, at: usize) -> bool {
        self.marked.pages.contains(&at) && !has(&self.marked.is_kept, at)
    }

    /// Keeps what is marked of the values of a page, before it is touched.
    fn keep(&mut self, at: usize, values: &[V]) {
        let bits = self.take_bits(at);
        let marked = &mut self.marked;
        marked.is_kept[at / WORD] |= 1 << (at % WORD);
        if bits == 0 {
            return;
        }
        let room = (KEPT_BYTES / size_of::<V>().max(1)).max(WORD);
        if marked.kept.last().is_none_or(|kept| kept.values.len() + WORD > room) {
            let (pages, values) = (Vec::with_capacity(room / WORD), Vec::with_capacity(room));
            marked.kept.push(Kept { pages, values });
        }
        if let Some(kept) = marked.kept.last_mut() {
            kept.pages.push((at as u32, bits));
            match bits {
                u64::MAX => kept.values.extend_from_slice(values),
                bits => kept.values.extend(Bits(bits).map(|bit| values[bit])),
            }
        }
    }

    /// The bits of a page that is marked, which is not any more; notes whether most of it had changed.
    #[inline]
    fn take_bits(&mut self, at: usize) -> u64 {
        let (marked, present) = (&mut self.marked, self.present.values()[at]);
        let changed = std::mem::take(&mut marked.bits.values_mut()[at]);
        // Before the first mark all of them were touched.
        let changed = if self.marks == 1 { present } else { changed };
        // It was counted between the last two marks.
        if (self.marks - 1).is_multiple_of(COUNTED) {
            let (word, bit) = (&mut self.busy[at / WORD], 1 << (at % WORD));
            let is_busy = 2 * changed.count_ones() > present.count_ones();
            *word = if is_busy { *word | bit } else { *word & !bit };
        }
        if marked.is_all { present } else { changed }
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
