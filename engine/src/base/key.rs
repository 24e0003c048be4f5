//! Keys: hashed once to a slot, owned by one worker, ordered by a canonical text.
//!
//! ```text
//! key bytes ── hash (64 bits) ── slot (12 bits of it) ── worker (slots in equal ranges)
//! ```
//! The hash function, its seed and the number of slots are part of the format of saved state.

use crate::base::record::Record;
use crate::{Bool, Dictionary, Symbol, Timestamp};
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// The number of slots that the keys of an operator fall into.
pub const SLOTS: usize = 4096;

/// A share of the keys of an operator, in range `0 .. SLOTS`: the unit of saved state.
pub type Slot = u16;

/// All slots, as the only worker owns them.
pub const ALL_SLOTS: Range<Slot> = 0..SLOTS as Slot;

/// The first 16 bytes of a key's canonical text, as a number that orders as the text does, and a hash of the whole text.
///
/// Rows of one window leave in this order: keys that share 16 bytes follow the hash. Both come from the text and not
/// from a symbol's id, so they do not depend on the order in which symbols became known.
///
/// ```
/// use pelton::{CanonicalKey, Dictionary};
///
/// let symbols = Dictionary::default();
/// let small = CanonicalKey::of(&-5i32, &symbols);
/// let large = CanonicalKey::of(&7i32, &symbols);
/// assert!(small < large && small.value() < large.value());
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct CanonicalKey {
    bytes: [u8; 16],
    len: u32,
    hash: u64,
}

impl CanonicalKey {
    /// The canonical text of `key`.
    #[inline]
    pub fn of<K: Key>(key: &K, symbols: &Dictionary) -> Self {
        let mut canonical = Self::default();
        key.canonical(symbols, &mut canonical);
        canonical
    }

    /// Appends bytes. Those behind the first 16 count for the hash only.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        let start = self.bytes.len().min(self.len as usize);
        let take = bytes.len().min(self.bytes.len() - start);
        self.bytes[start..start + take].copy_from_slice(&bytes[..take]);
        self.len = self.len.saturating_add(bytes.len() as u32);
        self.hash = hash_bytes(self.hash, bytes);
    }

    /// The first 16 bytes of the text as a number, most significant byte first.
    pub fn value(&self) -> u128 {
        u128::from_be_bytes(self.bytes)
    }

    /// A hash of the whole text.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    const fn order(&self) -> (u128, u64) {
        (u128::from_be_bytes(self.bytes), self.hash)
    }
}

impl PartialEq for CanonicalKey {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for CanonicalKey {}

impl PartialOrd for CanonicalKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CanonicalKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// A value that a stream can be keyed by: compared by its bytes, hashed once.
///
/// Integers, [`Bool`](crate::Bool), the [`Code`](crate::Code) of an enum, [`Symbol`], [`Timestamp`], arrays of these, text
/// as `[u8; N]`, and [`Maybe`](crate::Maybe) one of them are keys; a struct of keys is one by derive. `()` is the key of
/// all rows together. What [`IntoKey`] makes a key of, such as a tuple, is given to `key_by` as it is.
/// ```
/// use pelton::{Key, Record, Symbol};
///
/// #[derive(Clone, Copy, PartialEq, Eq, Record, Key)]
/// #[repr(C)]
/// struct Listing { symbol: Symbol, venue: u32 }
///
/// #[derive(Clone, Copy, PartialEq, Eq, Record, Key)]
/// #[repr(transparent)]
/// struct UserId(u64);
/// ```
/// Floats are not: NaN and -0.0 would make equal keys differ.
/// ```compile_fail,E0277
/// fn key<K: pelton::Key>(_: K) {}
/// key(1.5f64);
/// ```
/// ```compile_fail
/// #[derive(Clone, Copy, PartialEq, pelton::Record, pelton::Key)]
/// #[repr(C)]
/// struct Level { price: f64 }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "not a key",
    note = "keys are integers, `pelton::Symbol`, `pelton::Timestamp`, `pelton::Bool`, `pelton::Code<E>` of an enum, arrays of \
            these, `[u8; N]`, tuples of two to six of them, and structs with \
            `#[derive(Clone, Copy, PartialEq, Eq, pelton::Record, pelton::Key)]`",
    note = "floats are no keys, because NaN and -0.0 make equal keys differ: use an integer, such as a price in ticks"
)]
pub trait Key: Record + Eq {
    /// Appends the key's text to `out`, such that texts order as keys should.
    fn canonical(&self, symbols: &Dictionary, out: &mut CanonicalKey);

    /// A number that differs for different keys, where there is one: tables find keys with small
    /// numbers without hashing.
    #[inline(always)]
    fn number(&self) -> Option<u64> {
        None
    }

    /// The key with this number; called with what [`Key::number`] gave and nothing else. A key that has
    /// numbers has this too.
    #[inline(always)]
    fn from_number(number: u64) -> Self {
        let _ = number;
        Self::zeroed()
    }

    /// Whether numbers below 2^31 order as the keys' canonical texts do: then keys with such numbers
    /// need not be sorted.
    const ORDERED_BY_NUMBER: bool = false;
}

/// What `key_by` takes: a [`Key`], or what becomes one.
///
/// | value                           | key                                                                   |
/// |---------------------------------|-----------------------------------------------------------------------|
/// | a [`Key`]                       | itself                                                                |
/// | a tuple of two to six keys      | [`Tuple2`](crate::Tuple2) and so on: `key.parts()` is the tuple again |
/// | `bool`                          | [`Bool`]                                                              |
/// | an [`Enum`](trait@crate::Enum)  | its [`Code`](crate::Code)                                             |
///
/// ```
/// use pelton::{Job, Options, Tumbling, VecSource, collect, count};
/// use std::time::Duration;
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct View { #[event(time)] time_ns: i64, user: u32, page: u32 }
///
/// let views = [(7, 1), (7, 2), (7, 1)].map(|(user, page)| View { time_ns: 1, user, page });
/// let mut job = Job::new("views");
/// let (sink, rows) = collect();
/// job.source("views", VecSource::new(views.into(), 64))
///     .key_by(|view| (view.user, view.page))
///     .window(Tumbling::of(Duration::from_secs(60)))
///     .aggregate("views_1m", count())
///     .sink("out", sink);
/// job.run(Options::workers(1))?;
/// let counts: Vec<_> = rows.take().iter().map(|(_, row)| (row.key().parts(), row.value())).collect();
/// assert_eq!(counts, [((7, 1), 2), ((7, 2), 1)]);
/// # Ok::<(), pelton::Error>(())
/// ```
/// Floats are no keys, nor are tuples with one:
/// ```compile_fail,E0277
/// use pelton::IntoKey;
///
/// let key = (7u32, 1.5f64).into_key();
/// ```
#[diagnostic::on_unimplemented(
    message = "rows cannot be grouped by `{Self}`, which is no key",
    label = "not a key",
    note = "a key is an integer, a `bool`, `pelton::Symbol`, `pelton::Timestamp`, an enum with `#[derive(pelton::Enum)]`, \
            `[u8; N]`, a tuple of two to six keys, or a struct with \
            `#[derive(Clone, Copy, PartialEq, Eq, pelton::Record, pelton::Key)]`",
    note = "floats are no keys, because NaN and -0.0 make equal keys differ: use an integer, such as a price in ticks",
    note = "text is a `pelton::Symbol`, or inline as `[u8; N]`"
)]
pub trait IntoKey {
    /// The key.
    type Key: Key;

    /// The key of this value.
    fn into_key(self) -> Self::Key;
}

impl<K: Key> IntoKey for K {
    type Key = K;

    #[inline(always)]
    fn into_key(self) -> K {
        self
    }
}

impl IntoKey for bool {
    type Key = Bool;

    #[inline(always)]
    fn into_key(self) -> Bool {
        self.into()
    }
}

macro_rules! integer_keys {
    ($($type:ty: $unsigned:ty, $flip:expr, $ordered:expr, $number:expr;)*) => {$(
        impl Key for $type {
            const ORDERED_BY_NUMBER: bool = $ordered;

            #[inline]
            fn canonical(&self, _: &Dictionary, out: &mut CanonicalKey) {
                out.push(&((*self as $unsigned) ^ $flip).to_be_bytes());
            }

            #[inline(always)]
            fn number(&self) -> Option<u64> {
                let number: fn($unsigned) -> Option<u64> = $number;
                number(*self as $unsigned)
            }

            #[inline(always)]
            fn from_number(number: u64) -> Self {
                number as Self
            }
        }
    )*};
}

integer_keys! {
    u8: u8, 0, true, |key| Some(u64::from(key));
    u16: u16, 0, true, |key| Some(u64::from(key));
    u32: u32, 0, true, |key| Some(u64::from(key));
    u64: u64, 0, true, Some;
    u128: u128, 0, false, |_| None;
    i8: u8, 1 << 7, false, |key| Some(u64::from(key));
    i16: u16, 1 << 15, false, |key| Some(u64::from(key));
    i32: u32, 1 << 31, true, |key| Some(u64::from(key));
    i64: u64, 1 << 63, true, Some;
    i128: u128, 1 << 127, false, |_| None;
}

impl Key for Timestamp {
    fn canonical(&self, symbols: &Dictionary, out: &mut CanonicalKey) {
        self.as_nanos().canonical(symbols, out);
    }
}

/// The one key of a stream that is not parted.
impl Key for () {
    const ORDERED_BY_NUMBER: bool = true;

    fn canonical(&self, _: &Dictionary, _: &mut CanonicalKey) {}

    #[inline(always)]
    fn number(&self) -> Option<u64> {
        Some(0)
    }
}

macro_rules! array_keys {
    ($($type:ty,)*) => {$(
        /// Keys are in the order of their first parts, and then of the others.
        impl<const N: usize> Key for [$type; N] {
            fn canonical(&self, symbols: &Dictionary, out: &mut CanonicalKey) {
                for part in self {
                    part.canonical(symbols, out);
                }
            }
        }
    )*};
}

array_keys! { i8, i16, u16, i32, u32, i64, u64, i128, u128, Timestamp, Symbol, Bool, }

impl<const N: usize> Key for [u8; N] {
    fn canonical(&self, _: &Dictionary, out: &mut CanonicalKey) {
        out.push(self);
    }
}

impl Key for Symbol {
    fn canonical(&self, symbols: &Dictionary, out: &mut CanonicalKey) {
        symbols.with_text(*self, |text| match text {
            Some(text) => {
                out.push(text.as_bytes());
                // Ends the text, so that a following field of the key starts after it.
                out.push(&[0]);
            }
            None => {
                out.push(&[0xff]);
                out.push(&self.id().to_be_bytes());
            }
        });
    }

    #[inline(always)]
    fn number(&self) -> Option<u64> {
        Some(u64::from(self.id()))
    }

    #[inline(always)]
    fn from_number(number: u64) -> Self {
        Self::from_id(number as u32)
    }
}

const MULTIPLIERS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

/// What the hashes of a job's keys begin with, so that nobody can choose keys that collide. It is part of saved state,
/// and no output depends on it.
///
/// ```
/// use pelton::HashSeed;
///
/// let seed = HashSeed::new(42);
/// assert_eq!(seed.hash(&7u32), seed.hash(&7u32));
/// assert_ne!(seed.hash(&7u32), seed.hash(&8u32));
/// assert_ne!(seed.hash(&7u32), HashSeed::new(43).hash(&7u32));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashSeed(u64);

impl HashSeed {
    /// A seed from a number, whose bits are mixed (the finaliser of SplitMix64; Steele, Lea, Flood 2014).
    pub const fn new(number: u64) -> Self {
        let word = (number ^ (number >> 30)).wrapping_add(MULTIPLIERS[0]).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(word ^ (word >> 31))
    }

    /// A seed that nobody knows.
    pub fn random() -> Self {
        Self::new(RandomState::new().hash_one(0))
    }

    /// The seed itself, as saved state has it.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// A seed that was saved.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The key's hash: folded multiplication of 8 bytes at a time, as in wyhash.
    #[inline(always)]
    pub fn hash<K: Key>(self, key: &K) -> u64 {
        hash_bytes(self.0, bytemuck::bytes_of(key))
    }
}

/// The hash of bytes behind others whose hash is `before`.
#[inline(always)]
fn hash_bytes(before: u64, bytes: &[u8]) -> u64 {
    let mut hash = before ^ bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
        hash = fold(hash ^ word ^ MULTIPLIERS[0], MULTIPLIERS[1]);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = fold(hash ^ u64::from_le_bytes(word) ^ MULTIPLIERS[0], MULTIPLIERS[1]);
    }
    hash
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The slot of a key with this hash. Its bits are not those that tables index by.
#[inline(always)]
pub fn slot_of(hash: u64) -> Slot {
    ((hash >> 32) as usize % SLOTS) as Slot
}

/// The worker that owns `slot` among `workers`: equal ranges of slots.
#[inline(always)]
pub fn worker_of(slot: Slot, workers: usize) -> usize {
    usize::from(slot) * workers / SLOTS
}

/// The slots that a worker owns among `workers`.
pub(crate) fn slots_of(worker: usize, workers: usize) -> Range<Slot> {
    let first = |worker: usize| (worker * SLOTS).div_ceil(workers) as Slot;
    first(worker)..first(worker + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_is_the_workers_that_owns_it() {
        for workers in [1, 2, 3, 7, 4095, 4096, 5000] {
            for worker in 0..workers {
                assert!(slots_of(worker, workers).all(|slot| worker_of(slot, workers) == worker));
            }
            assert_eq!((0..workers).map(|worker| slots_of(worker, workers).len()).sum::<usize>(), SLOTS);
        }
    }

    #[test]
    fn keys_spread_evenly_over_slots_and_workers() {
        for stride in [1u64, 8, 1 << 20, 1 << 40] {
            for workers in [2, 3, 8] {
                let mut counts = vec![0usize; workers];
                for i in 0..64_000u64 {
                    counts[worker_of(slot_of(HashSeed::new(stride).hash(&(i.wrapping_mul(stride)))), workers)] += 1;
                }
                let fair = 64_000 / workers;
                assert!(counts.iter().all(|&count| count.abs_diff(fair) < fair / 5), "{stride} {counts:?}");
            }
        }
    }

    #[test]
    fn a_number_is_that_of_its_key() {
        fn check<K: Key + std::fmt::Debug>(keys: impl IntoIterator<Item = K>) {
            for key in keys {
                assert_eq!(K::from_number(key.number().unwrap()), key);
            }
        }
        check([0u8, 1, u8::MAX]);
        check([0u32, 7, u32::MAX]);
        check([0u64, 1 << 40, u64::MAX]);
        check([i8::MIN, -1, 0, i8::MAX]);
        check([i16::MIN, -1, 3]);
        check([i32::MIN, -1, 0, i32::MAX]);
        check([i64::MIN, -1, 0, i64::MAX]);
        check([Symbol::from_id(0), Symbol::from_id(u32::MAX)]);
        assert!(7u128.number().is_none() && [7u8; 4].number().is_none());
    }

    #[test]
    fn canonical_text_orders_symbols_by_text_and_not_by_id() {
        let symbols = Dictionary::default();
        let late = symbols.intern("ZZZ").unwrap();
        let early = symbols.intern("AA").unwrap();
        let prefix = symbols.intern("A").unwrap();
        let order = |symbol: Symbol| CanonicalKey::of(&symbol, &symbols).value();
        assert!(order(prefix) < order(early) && order(early) < order(late));
    }
}
