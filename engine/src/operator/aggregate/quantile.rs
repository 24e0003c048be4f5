//! Quantiles, from a fixed number of counts.
//!
//! A sketch of counts in bins whose width grows with the values, so that its relative error is bounded, as DDSketch
//! (Masson, Rim and Lee, VLDB 2019). Bins part each power of two into `BINS` equal ones, as HdrHistogram does; so the bits
//! of a float say which one it is in, and no logarithm is taken.
//!
//! ```text
//!  octaves:  [ 2^b | 2^(b+1) | … | largest positive ]   free   [ largest negative | … | -2^(b+1) | -2^b ]
//!             0        1                                                                            OCTAVES - 1
//! ```
//! The bottom b is the least for which the octaves of both signs have room. It follows from the largest magnitude of each
//! sign alone and never falls; what is below it is counted as zero. So the bits of a sketch follow from its values, in
//! whatever order and grouping they come.

use crate::operator::aggregate::basic::{canonical, count_to};
use crate::operator::aggregate::values::Values;
use crate::operator::aggregate::{Aggregate, bytes_layout, packed_layout};
use crate::{Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;

const MANTISSA_BITS: u32 = 52;
/// The biased exponent of what is no number. That of floats next to zero is 0.
const NO_NUMBER: u16 = 0x7ff;
/// Quantiles are taken to so many parts of 1.
const PARTS: f64 = 1e9;

/// Counts of values.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct Sketch<const BINS: usize, const OCTAVES: usize> {
    nans: u64,
    infinities: u64,
    negative_infinities: u64,
    zeros: u64,
    /// The largest biased exponents of positive and of negative values; 0 where there are none.
    tops: [u16; 2],
    /// The least biased exponent that has an octave.
    bottom: u32,
    octaves: [[u64; BINS]; OCTAVES],
}

impl<const BINS: usize, const OCTAVES: usize> Record for Sketch<BINS, OCTAVES> {
    fn layout() -> Layout {
        let count = u64::layout;
        let parts = [
            ("nans", count()),
            ("infinities", count()),
            ("negative_infinities", count()),
            ("zeros", count()),
            ("top", u16::layout()),
            ("negative_top", u16::layout()),
            ("bottom", u32::layout()),
            ("octaves", bytes_layout("octaves", size_of::<[[u64; BINS]; OCTAVES]>())),
        ];
        packed_layout("Sketch", &parts)
    }
}

impl<const BINS: usize, const OCTAVES: usize> Sketch<BINS, OCTAVES> {
    #[inline(always)]
    fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = (bits >> MANTISSA_BITS) as u16 & NO_NUMBER;
        if exponent == NO_NUMBER {
            return self.count(value);
        }
        let is_negative = bits >> 63 == 1;
        if exponent > self.tops[usize::from(is_negative)] {
            self.raise(exponent, is_negative);
        }
        let mantissa = bits & ((1 << MANTISSA_BITS) - 1);
        let bin = ((mantissa * BINS as u64) >> MANTISSA_BITS) as usize;
        match self.octave(exponent, is_negative) {
            Some(octave) => self.octaves[octave][bin] = self.octaves[octave][bin].wrapping_add(1),
            None => self.zeros = self.zeros.wrapping_add(1),
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
        (self.nans, self.infinities, self.negative_infinities) = (nans, infinities, negative_infinities);
    }

    /// Where the octave of an exponent is, unless it counts as zero.
    #[inline(always)]
    fn octave(&self, exponent: u16, is_negative: bool) -> Option<usize> {
        // Without any values the bottom is 0, and so is the exponent of zeros.
        let above = u32::from(exponent).checked_sub(self.bottom.max(1))? as usize;
        (above < OCTAVES).then_some(if is_negative { OCTAVES - 1 - above } else { above })
    }

    /// The exponents of a sign that have octaves.
    fn exponents(&self, is_negative: bool) -> std::ops::Range<u16> {
        let end = self.tops[usize::from(is_negative)].min(NO_NUMBER - 1) + 1;
        (self.bottom.clamp(1, end.into()) as u16)..end
    }

    /// Makes room for a larger exponent.
    #[cold]
    fn raise(&mut self, exponent: u16, is_negative: bool) {
        let before = *self;
        let had_any = { before.tops } != [0; 2];
        self.tops[usize::from(is_negative)] = exponent;
        self.bottom = bottom(self.tops, OCTAVES as i32);
        if self.bottom == before.bottom || !had_any {
            return;
        }
        self.octaves = Zeroable::zeroed();
        self.take(&before);
    }

    /// Adds what another has in its octaves, none of which are above those of this one.
    fn take(&mut self, other: &Self) {
        for is_negative in [false, true] {
            for exponent in other.exponents(is_negative) {
                let Some(from) = other.octave(exponent, is_negative) else { continue };
                match self.octave(exponent, is_negative) {
                    Some(octave) => {
                        for bin in 0..BINS {
                            let more = other.octaves[from][bin];
                            self.octaves[octave][bin] = self.octaves[octave][bin].wrapping_add(more);
                        }
                    }
                    None => self.zeros = { other.octaves[from] }.into_iter().fold(self.zeros, u64::wrapping_add),
                }
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        for is_negative in [false, true] {
            let top = other.tops[usize::from(is_negative)].min(NO_NUMBER - 1);
            if top > self.tops[usize::from(is_negative)] {
                self.raise(top, is_negative);
            }
        }
        self.take(other);
        self.zeros = self.zeros.wrapping_add(other.zeros);
        self.nans = self.nans.wrapping_add(other.nans);
        self.infinities = self.infinities.wrapping_add(other.infinities);
        self.negative_infinities = self.negative_infinities.wrapping_add(other.negative_infinities);
    }

    /// Values in ascending order, each with how often it is there.
    fn values(&self) -> impl Iterator<Item = (f64, u64)> {
        let bins = move |exponent: u16, is_negative: bool| {
            let octave = self.octave(exponent, is_negative).map(|octave| self.octaves[octave]);
            (0..BINS).map(move |bin| (middle::<BINS>(exponent, bin), octave.map_or(0, |octave| octave[bin])))
        };
        let negative = self.exponents(true).rev().flat_map(move |exponent| bins(exponent, true).rev());
        let positive = self.exponents(false).flat_map(move |exponent| bins(exponent, false));
        let first = [(f64::NEG_INFINITY, self.negative_infinities)].into_iter();
        let last = [(f64::INFINITY, self.infinities), (f64::NAN, self.nans)].into_iter();
        let negative = negative.map(|(magnitude, count)| (-magnitude, count));
        first.chain(negative).chain([(0.0, self.zeros)]).chain(positive).chain(last)
    }

    /// The least value with at least this share of the values at or below it.
    fn quantile(&self, share: f64) -> f64 {
        let rows = self.values().fold(0u128, |rows, (_, count)| rows + u128::from(count));
        let parts = (share * PARTS).round() as u128;
        let mut left = (rows * parts).div_ceil(PARTS as u128).max(1);
        for (value, count) in self.values() {
            if left <= u128::from(count) {
                return canonical(value);
            }
            left -= u128::from(count);
        }
        canonical(f64::NAN)
    }
}

/// The least exponent for which so many octaves are enough for both signs.
fn bottom(tops: [u16; 2], octaves: i32) -> u32 {
    let (high, low) = (i32::from(tops[0].max(tops[1])), i32::from(tops[0].min(tops[1])));
    let of_high_alone = high - octaves + 1;
    let of_both = (high + low + 3 - octaves).div_euclid(2);
    let bottom = if of_high_alone > low { of_high_alone } else { of_both };
    bottom.max(1) as u32
}

/// What stands for a bin: the value whose relative distance from both of its ends is the same.
fn middle<const BINS: usize>(exponent: u16, bin: usize) -> f64 {
    let (low, high) = ((BINS + bin) as f64, (BINS + bin + 1) as f64);
    let octave = f64::from_bits(u64::from(exponent) << MANTISSA_BITS);
    2.0 * low * high / ((low + high) * BINS as f64) * octave
}

/// The quantile of floats at a share from 0 to 1: 0.5 is the median, and 0.99 is a value that 99 % of the values are at or
/// below. It is the value of nearest rank, with a relative error of at most 1 %; shares count to nine digits.
///
/// - Values lie in 32 powers of two below the largest magnitude. What is smaller counts as zero: an error of less than
///   2^-31 of the largest magnitude. Positive and negative values share them, so that where both are there the error may
///   come to 2^-15. Magnitudes below 2^-1022 always count as zero, which is 0.0.
/// - Infinities are counted by themselves. NaN is larger than infinity, as for [`max_f64`](crate::max_f64).
/// - It keeps 12,840 bytes for each key and window. [`Quantile::bins`] gives it more or fewer.
/// - It merges exactly, in any order.
///
/// A share outside of that is a mistake of the job's shape.
///
/// ```
/// use pelton::{Aggregate, Timestamp, quantile};
///
/// let p99 = quantile(0.99, |latency: &f64| *latency);
/// let mut acc = bytemuck::Zeroable::zeroed();
/// (1..=1000).for_each(|row| p99.add(&mut acc, Timestamp::MIN, &f64::from(row)));
/// assert!((p99.value(&acc) - 990.0).abs() <= 9.9);
/// ```
pub const fn quantile<T: Record, F>(share: f64, of: F) -> Quantile<T, F, 50, 32>
where
    F: Fn(&T) -> f64 + Clone + Send + Sync + 'static,
{
    Quantile { shares: [share], of, rows: PhantomData }
}

/// Several quantiles of one sketch, each as [`quantile`] has it, in the order of their shares.
///
/// ```
/// use pelton::{Aggregate, Timestamp, quantiles};
///
/// let latencies = quantiles([0.5, 0.99], |latency: &f64| *latency);
/// let mut acc = bytemuck::Zeroable::zeroed();
/// (1..=1000).for_each(|row| latencies.add(&mut acc, Timestamp::MIN, &f64::from(row)));
/// let [median, p99] = latencies.value(&acc).values();
/// assert!((median - 500.0).abs() <= 5.0 && (p99 - 990.0).abs() <= 9.9);
/// ```
pub const fn quantiles<const N: usize, T: Record, F>(shares: [f64; N], of: F) -> Quantiles<T, F, N, 50, 32>
where
    F: Fn(&T) -> f64 + Clone + Send + Sync + 'static,
{
    Quantiles { shares, of, rows: PhantomData }
}

macro_rules! sketching {
    ($name:ident, $maker:literal, [$($count:ident)?], [$number:expr], $value:ty, |$values:ident| $result:expr) => {
        #[doc = concat!("Made by [`", $maker, "`], with `BINS` bins for each of `OCTAVES` powers of two.")]
        pub struct $name<T, F, $(const $count: usize,)? const BINS: usize, const OCTAVES: usize> {
            shares: [f64; $number],
            of: F,
            rows: PhantomData<fn(T)>,
        }

        impl<T, F, $(const $count: usize,)? const BINS: usize, const OCTAVES: usize> $name<T, F, $($count,)? BINS, OCTAVES> {
            /// The same with so many bins for each power of two, for a relative error of at most 1 / (2 bins + 1), and for so
            /// many powers of two. It keeps `40 + 8 * bins * octaves` bytes for each key and window. Bins are from 1 to
            /// 4,096, and octaves from 2 to 2,046; other numbers do not compile.
            ///
            /// ```
            /// use pelton::{Aggregate, quantile, quantiles};
            ///
            /// fn acc_bytes<A: Aggregate>(_: A) -> usize {
            ///     size_of::<A::Acc>()
            /// }
            /// // To 10 %, and for values that are at most a million times as large as others.
            /// assert_eq!(acc_bytes(quantile(0.5, |row: &f64| *row).bins::<5, 20>()), 840);
            /// assert_eq!(acc_bytes(quantiles([0.5, 0.9], |row: &f64| *row).bins::<5, 20>()), 840);
            /// ```
            pub fn bins<const TO_BINS: usize, const TO_OCTAVES: usize>(
                self,
            ) -> $name<T, F, $($count,)? TO_BINS, TO_OCTAVES> {
                const { assert!(TO_BINS >= 1 && TO_BINS <= 4096 && TO_OCTAVES >= 2 && TO_OCTAVES <= 2046) }
                $name { shares: self.shares, of: self.of, rows: PhantomData }
            }
        }

        impl<T, F: Clone, $(const $count: usize,)? const BINS: usize, const OCTAVES: usize> Clone
            for $name<T, F, $($count,)? BINS, OCTAVES>
        {
            fn clone(&self) -> Self {
                Self { shares: self.shares, of: self.of.clone(), rows: PhantomData }
            }
        }

        impl<T, F, $(const $count: usize,)? const BINS: usize, const OCTAVES: usize> Aggregate
            for $name<T, F, $($count,)? BINS, OCTAVES>
        where
            T: Record,
            F: Fn(&T) -> f64 + Clone + Send + Sync + 'static,
        {
            type In = T;
            type Acc = Sketch<BINS, OCTAVES>;
            type Value = $value;
            const EXACT: bool = true;

            #[inline(always)]
            fn add(&self, acc: &mut Self::Acc, _: Timestamp, row: &T) {
                acc.add((self.of)(row));
            }

            fn merge(&self, acc: &mut Self::Acc, later: &Self::Acc) {
                acc.merge(later);
            }

            fn value(&self, acc: &Self::Acc) -> $value {
                let $values = self.shares.map(|share| acc.quantile(share));
                $result
            }

            fn mistake(&self) -> Option<&'static str> {
                let are_shares = self.shares.iter().all(|share| (0.0..=1.0).contains(share));
                (!are_shares).then_some("a quantile is at a share from 0 to 1")
            }
        }
    };
}

sketching!(Quantile, "quantile", [], [1], f64, |values| values[0]);
sketching!(Quantiles, "quantiles", [N], [N], Values<f64, N>, |values| Values::new(values));
