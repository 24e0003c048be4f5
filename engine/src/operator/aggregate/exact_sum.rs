//! Sums and means of floats that are exact until they are rounded once.
//!
//! A sum is an integer of 2,176 bits in units of 2^-1074, the smallest float, as Kulisch has it (Computer Arithmetic and
//! Validity, 2008).
//!
//! ```text
//!  byte 271                                               byte 0     two's complement, least byte first
//!  ├─ sign, room for 2^64 rows ─┼─ 2^1023 ─ … ─ 1 ─ … ─ 2^-1074 ┤
//!                                  ├── 16 bytes ──┤                  a float begins in some byte, and takes 8
//! ```
//! Adding is that of integers modulo 2^2176. So the bits are the same in any order and grouping, and what was added can be
//! taken off. A row changes 16 bytes, which its carry leaves only when the sum changes its sign, and otherwise once in 2^64
//! rows or so. Floats that are no numbers are counted.

use crate::operator::aggregate::basic::{canonical, count_to, extracting};
use crate::operator::aggregate::{Aggregate, packed_layout};
use crate::{Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;

/// Words of 64 bits.
const WORDS: usize = 34;
const MANTISSA_BITS: u32 = 52;
const EXPONENT_MASK: u64 = 0x7ff;
/// Bits that a magnitude has below those of the smallest float, so that what is rounded off is known.
const EXTRA_BITS: u32 = 2;

/// An exact sum.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct ExactSum {
    bytes: [u8; 8 * WORDS],
    nans: u64,
    infinities: u64,
    negative_infinities: u64,
}

impl Record for ExactSum {
    fn layout() -> Layout {
        let count = u64::layout;
        let parts = [
            ("bytes", <[u8; 8 * WORDS]>::layout()),
            ("nans", count()),
            ("infinities", count()),
            ("negative_infinities", count()),
        ];
        packed_layout("ExactSum", &parts)
    }
}

impl ExactSum {
    #[inline(always)]
    fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = bits >> MANTISSA_BITS & EXPONENT_MASK;
        if exponent == EXPONENT_MASK {
            return self.count(value);
        }
        let mantissa = bits & ((1 << MANTISSA_BITS) - 1) | u64::from(exponent != 0) << MANTISSA_BITS;
        // Floats of the exponent 0 are in the same units as those of 1. The last begins in byte 255.
        let place = exponent.saturating_sub(1) as usize;
        // All ones where it is negative.
        let sign = bits as i64 >> 63;
        let signed = ((mantissa << (place % 8)) as i64 ^ sign) - sign;
        let first = place / 8;
        let part = &mut self.bytes[first..first + 16];
        let mut sum = [0; 16];
        sum.copy_from_slice(part);
        let (sum, carry) = u128::from_le_bytes(sum).overflowing_add(i128::from(signed) as u128);
        part.copy_from_slice(&sum.to_le_bytes());
        // A sign goes on in all bytes above. With a carry that is nothing, and without one it takes off 1.
        if carry != (signed < 0) {
            self.carry_on(first + 16, signed < 0);
        }
    }

    /// Adds 1 to the bytes from this one on, or takes 1 off.
    #[cold]
    fn carry_on(&mut self, first: usize, takes_off: bool) {
        let (words, bytes) = self.bytes[first..].as_chunks_mut::<8>();
        let (more, last) = if takes_off { (u64::MAX, 0) } else { (1, u64::MAX) };
        for word in words {
            let before = u64::from_le_bytes(*word);
            *word = before.wrapping_add(more).to_le_bytes();
            if before != last {
                return;
            }
        }
        for byte in bytes {
            let before = *byte;
            *byte = before.wrapping_add(more as u8);
            if before != last as u8 {
                return;
            }
        }
    }

    /// Counts what is no number.
    #[cold]
    fn count(&mut self, value: f64) {
        let Self { mut nans, mut infinities, mut negative_infinities, .. } = *self;
        match value {
            _ if value.is_nan() => count_to(&mut nans, 1),
            _ if value > 0.0 => count_to(&mut infinities, 1),
            _ => count_to(&mut negative_infinities, 1),
        }
        *self = Self { nans, infinities, negative_infinities, ..*self };
    }

    fn words(&self) -> [u64; WORDS] {
        bytemuck::pod_read_unaligned::<[u64; WORDS]>(&self.bytes).map(u64::from_le)
    }

    /// Adds words and a carry.
    fn add_words(&mut self, more: impl IntoIterator<Item = u64>, mut carry: bool) {
        for (word, more) in self.bytes.as_chunks_mut().0.iter_mut().zip(more) {
            let sum;
            (sum, carry) = carrying_add(u64::from_le_bytes(*word), more, carry);
            *word = sum.to_le_bytes();
        }
    }

    fn merge(&mut self, other: &Self) {
        self.add_words(other.words(), false);
        self.nans = self.nans.wrapping_add(other.nans);
        self.infinities = self.infinities.wrapping_add(other.infinities);
        self.negative_infinities = self.negative_infinities.wrapping_add(other.negative_infinities);
    }

    fn unmerge(&mut self, other: &Self) {
        // The negative of an integer is its bits turned over, and 1.
        self.add_words(other.words().map(|word| !word), true);
        self.nans = self.nans.wrapping_sub(other.nans);
        self.infinities = self.infinities.wrapping_sub(other.infinities);
        self.negative_infinities = self.negative_infinities.wrapping_sub(other.negative_infinities);
    }

    /// What it comes to where anything in it is no number.
    fn no_number(&self) -> Option<f64> {
        let Self { nans, infinities, negative_infinities, .. } = *self;
        match (nans, infinities, negative_infinities) {
            (0, 0, 0) => None,
            (0, _, 0) => Some(f64::INFINITY),
            (0, 0, _) => Some(f64::NEG_INFINITY),
            _ => Some(canonical(f64::NAN)),
        }
    }

    /// The sum divided by a number that is not 0, rounded once to the nearest float, or to the even one of two.
    fn divided_by(&self, divisor: u64) -> f64 {
        if let Some(value) = self.no_number() {
            return value;
        }
        let mut words = self.words();
        let is_negative = words[WORDS - 1] >> 63 == 1;
        if is_negative {
            let mut carry = true;
            for word in &mut words {
                (*word, carry) = carrying_add(!*word, 0, carry);
            }
        }
        // From the top down: each word with its lowest bits from the one below, behind the remainder of the one above.
        let mut remainder = 0;
        for at in (0..WORDS).rev() {
            let below = if at == 0 { 0 } else { words[at - 1] >> (u64::BITS - EXTRA_BITS) };
            let low = words[at] << EXTRA_BITS | below;
            (words[at], remainder) = match remainder {
                0 => (low / divisor, low % divisor),
                high => {
                    let (part, divisor) = (u128::from(high) << 64 | u128::from(low), u128::from(divisor));
                    ((part / divisor) as u64, (part % divisor) as u64)
                }
            };
        }
        let magnitude = rounded(&words, remainder != 0);
        if is_negative && magnitude != 0.0 { -magnitude } else { magnitude }
    }
}

/// The sum of two words and a carry, and its carry.
#[inline(always)]
const fn carrying_add(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = sum.overflowing_add(carry as u64);
    (sum, first | second)
}

/// The float nearest to a magnitude in units of 2^-1076, of two as near the even one. `has_more` says that the magnitude
/// is larger by a part of a unit.
fn rounded(words: &[u64; WORDS], has_more: bool) -> f64 {
    let Some(top) = words.iter().rposition(|word| *word != 0) else { return 0.0 };
    let length = top as u32 * 64 + (64 - words[top].leading_zeros());
    let dropped = length.saturating_sub(MANTISSA_BITS + 1).max(EXTRA_BITS);
    let (word, shift) = (dropped as usize / 64, dropped % 64);
    let above = words.get(word + 1).map_or(0, |above| u128::from(*above) << 64);
    // At most 53 bits, which are there with their highest one unless the float is subnormal.
    let mantissa = ((above | u128::from(words[word])) >> shift) as u64;
    let half_at = dropped as usize - 1;
    let half = words[half_at / 64] >> (half_at % 64) & 1 == 1;
    let below = words[half_at / 64] & ((1 << (half_at % 64)) - 1) != 0;
    let is_more = has_more || below || words[..half_at / 64].iter().any(|word| *word != 0);
    let rounds_up = half && (is_more || mantissa % 2 == 1);
    // The highest bit of the mantissa counts the exponent up by 1, and so does one that rounding makes.
    let bits = (u64::from(dropped - EXTRA_BITS) << MANTISSA_BITS) + mantissa + u64::from(rounds_up);
    f64::from_bits(bits.min(f64::INFINITY.to_bits()))
}

extracting! {
    /// The sum of floats, as if computed without an error and rounded once, to the nearest float. So it is the same in any
    /// order: each worker may combine the rows it reads, and windows that slide take off what they leave behind. A partial
    /// sum may be larger than any float; a result that is too large is infinite. A sum is never -0.0.
    ///
    /// A NaN makes it NaN, and so do infinities of both signs; those of one sign make it that infinity. NaN is always the
    /// same one: quiet, positive and without a payload.
    ///
    /// It keeps 296 bytes for each key and window, where [`sum_f64`](crate::sum_f64) keeps 8.
    ///
    /// ```
    /// use pelton::{Aggregate, Timestamp, sum_f64, sum_f64_exact};
    ///
    /// fn of<A: Aggregate<In = f64, Value = f64>>(aggregate: A, rows: &[f64]) -> f64 {
    ///     let mut acc = bytemuck::Zeroable::zeroed();
    ///     rows.iter().for_each(|row| aggregate.add(&mut acc, Timestamp::MIN, row));
    ///     aggregate.value(&acc)
    /// }
    /// let rows = [1e300, 1.0, -1e300];
    /// assert_eq!(of(sum_f64_exact(|row: &f64| *row), &rows), 1.0);
    /// assert_eq!(of(sum_f64(|row: &f64| *row), &rows), 0.0);
    /// ```
    sum_f64_exact, SumF64Exact<T: f64>, exact true, acc ExactSum, out f64,
    add |acc, _time, value| { acc.add(value) },
    merge |acc, later| { acc.merge(later) },
    unmerge |acc, merged| { acc.unmerge(merged) },
    result |acc| acc.divided_by(1)
}

/// An exact sum with the number of rows behind it.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct CountedExactSum {
    sum: ExactSum,
    rows: u64,
}

impl Record for CountedExactSum {
    fn layout() -> Layout {
        packed_layout("CountedExactSum", &[("sum", ExactSum::layout()), ("rows", u64::layout())])
    }
}

extracting! {
    /// The mean of floats, as if computed without an error and rounded once, to the nearest float: it is finite where all
    /// floats are, and never -0.0. Otherwise it is as [`sum_f64_exact`]. It keeps 304 bytes for each key and window.
    ///
    /// ```
    /// use pelton::{Aggregate, Timestamp, mean_f64_exact};
    ///
    /// let mean = mean_f64_exact(|row: &f64| *row);
    /// let mut acc = bytemuck::Zeroable::zeroed();
    /// [f64::MAX, f64::MAX].iter().for_each(|row| mean.add(&mut acc, Timestamp::MIN, row));
    /// assert_eq!(mean.value(&acc), f64::MAX);
    /// ```
    mean_f64_exact, MeanF64Exact<T: f64>, exact true, acc CountedExactSum, out f64,
    add |acc, _time, value| {
        acc.sum.add(value);
        acc.rows = acc.rows.wrapping_add(1);
    },
    merge |acc, later| {
        acc.sum.merge(&later.sum);
        acc.rows = acc.rows.wrapping_add(later.rows);
    },
    unmerge |acc, merged| {
        acc.sum.unmerge(&merged.sum);
        acc.rows = acc.rows.wrapping_sub(merged.rows);
    },
    result |acc| if acc.rows == 0 { canonical(f64::NAN) } else { acc.sum.divided_by(acc.rows) }
}
