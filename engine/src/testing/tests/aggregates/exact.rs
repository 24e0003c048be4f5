//! Exact sums of floats against integers without a limit, and that order and grouping do not matter.

use super::super::{Row, at, cases};
use super::{NAN_BITS, any_floats, merges, state};
use crate::{Aggregate, Timestamp, mean_f64_exact, sum, sum_f64_exact};
use proptest::prelude::*;
use std::cmp::Ordering;

/// A whole number in units of the smallest float, least digit first.
#[derive(Clone, Default)]
struct Big(Vec<u32>);

impl Big {
    /// The magnitude of a float with these bits, where infinity is the power of two behind the largest float.
    fn of(bits: u64) -> Self {
        let exponent = (bits >> 52) as usize;
        let mantissa = bits & ((1 << 52) - 1) | u64::from(exponent > 0) << 52;
        let place = exponent.max(1) - 1;
        let wide = u128::from(mantissa) << (place % 32);
        let digits = (0..4).map(|digit| (wide >> (32 * digit)) as u32);
        Self(std::iter::repeat_n(0, place / 32).chain(digits).collect())
    }

    fn digit(&self, at: usize) -> i128 {
        self.0.get(at).copied().unwrap_or(0).into()
    }

    /// Each digit of the sum or difference of multiples, which is not negative.
    fn combine(&self, factor: i128, other: &Self, other_factor: i128) -> Self {
        let mut carry = 0;
        let digits = (0..self.0.len().max(other.0.len()) + 4).map(|at| {
            carry += self.digit(at) * factor + other.digit(at) * other_factor;
            let digit = carry as u32;
            carry >>= 32;
            digit
        });
        Self(digits.collect())
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let digits = self.0.len().max(other.0.len());
        (0..digits)
            .rev()
            .map(|at| self.digit(at).cmp(&other.digit(at)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

/// The sum divided by a number, rounded to the nearest float, which is looked for among all floats.
fn nearest(floats: &[f64], divisor: u64) -> u64 {
    let has = |what: fn(&f64) -> bool| floats.iter().any(what);
    let (up, down) = (has(|float| *float == f64::INFINITY), has(|float| *float == f64::NEG_INFINITY));
    match (up, down) {
        _ if has(|float| float.is_nan()) || up && down => return NAN_BITS,
        (true, _) => return f64::INFINITY.to_bits(),
        (_, true) => return f64::NEG_INFINITY.to_bits(),
        _ => {}
    }
    let of_sign = |sign: f64| {
        let floats = floats.iter().filter(|float| float.signum() == sign);
        floats.fold(Big::default(), |sum, float| sum.combine(1, &Big::of(float.abs().to_bits()), 1))
    };
    let (positive, negative) = (of_sign(1.0), of_sign(-1.0));
    let (larger, smaller, sign) = match positive.cmp(&negative) {
        Ordering::Less => (negative, positive, 1 << 63),
        _ => (positive, negative, 0),
    };
    let sum = larger.combine(1, &smaller, -1);
    let times = |big: &Big| big.combine(divisor.into(), &Big::default(), 0);
    let (mut low, mut high) = (0, f64::INFINITY.to_bits() + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if times(&Big::of(middle)).cmp(&sum).is_le() { low = middle } else { high = middle }
    }
    let magnitude = match low {
        low if low == f64::INFINITY.to_bits() => low,
        low => match sum.combine(2, &Big::default(), 0).cmp(&times(&Big::of(low).combine(1, &Big::of(low + 1), 1))) {
            Ordering::Less => low,
            Ordering::Greater => low + 1,
            Ordering::Equal => low + low % 2,
        },
    };
    if magnitude == 0 { 0 } else { magnitude | sign }
}

/// Numbers that cancel out, lie far apart, are next to powers of two, or are subnormal.
fn numbers() -> impl Strategy<Value = f64> {
    let power = (0u64..2046, any::<bool>(), -1i64..2).prop_map(|(exponent, is_negative, more)| {
        f64::from_bits(
            (exponent << 52).saturating_add_signed(more).min(f64::MAX.to_bits()) | u64::from(is_negative) << 63,
        )
    });
    let any = any::<u64>().prop_map(f64::from_bits).prop_filter("a number", |float| float.is_finite());
    prop_oneof![
        3 => any,
        3 => power,
        2 => prop::sample::select(vec![0.0, -0.0, 5e-324, -5e-324, f64::MAX, f64::MIN, f64::MIN_POSITIVE]),
        2 => -2.0..2.0,
    ]
}

/// Numbers, some of them with their negatives, in any order.
fn sums() -> impl Strategy<Value = Vec<f64>> {
    let pairs = prop::collection::vec((numbers(), prop::bool::weighted(0.4)), 1..12);
    pairs
        .prop_map(|pairs| {
            pairs.into_iter().flat_map(|(a, cancels)| [Some(a), cancels.then_some(-a)]).flatten().collect()
        })
        .prop_shuffle()
}

fn rows(floats: &[f64]) -> Vec<(Timestamp, Row)> {
    floats.iter().map(|float| (at(1), Row { value: 1, weight: 1, float: *float, key: 7 })).collect()
}

fn float(row: &Row) -> f64 {
    row.float
}

/// Merges a state into another and takes it off again.
fn unmerges<A: Aggregate<In = Row>>(aggregate: &A, kept: &[(Timestamp, Row)], gone: &[(Timestamp, Row)]) {
    assert!(A::INVERTIBLE && A::EXACT);
    for [first, second] in [[kept, gone], [gone, kept]] {
        let mut acc = state(aggregate, first);
        aggregate.merge(&mut acc, &state(aggregate, second));
        aggregate.unmerge(&mut acc, &state(aggregate, gone));
        assert_eq!(bytemuck::bytes_of(&acc), bytemuck::bytes_of(&state(aggregate, kept)));
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn exact_sums_and_means_are_the_nearest_floats_in_any_order_and_grouping(
        floats in sums(), cuts in (0usize..20, 0usize..20)
    ) {
        let mut sorted = floats.clone();
        sorted.sort_by(f64::total_cmp);
        let (rows, sorted) = (rows(&floats), rows(&sorted));
        let (sum, mean) = (sum_f64_exact(float), mean_f64_exact(float));
        prop_assert_eq!(sum.value(&state(&sum, &rows)).to_bits(), nearest(&floats, 1));
        prop_assert_eq!(mean.value(&state(&mean, &rows)).to_bits(), nearest(&floats, floats.len() as u64));
        assert_eq!(bytemuck::bytes_of(&state(&mean, &rows)), bytemuck::bytes_of(&state(&mean, &sorted)));
        merges(&sum, &rows, cuts);
        merges(&mean, &rows, cuts);
        let cut = cuts.0.min(rows.len());
        unmerges(&sum, &rows[..cut], &rows[cut..]);
        unmerges(&(mean, sum_f64_exact(float)), &rows[..cut], &rows[cut..]);
    }

    #[test]
    fn exact_sums_of_what_is_no_number_do_not_depend_on_order(
        floats in prop::collection::vec(any_floats(), 1..12), cuts in (0usize..12, 0usize..12)
    ) {
        let rows = rows(&floats);
        let sum = sum_f64_exact(float);
        prop_assert_eq!(sum.value(&state(&sum, &rows)).to_bits(), nearest(&floats, 1));
        merges(&sum, &rows, cuts);
        let cut = cuts.0.min(rows.len());
        unmerges(&sum, &rows[..cut], &rows[cut..]);
    }
}

#[test]
fn exact_sums_have_room_for_all_rows_that_can_be_counted() {
    let aggregate = mean_f64_exact(float);
    for largest in [f64::MAX, f64::MIN] {
        let mut acc = state(&aggregate, &rows(&[largest]));
        for _ in 0..63 {
            let half = acc;
            aggregate.merge(&mut acc, &half);
        }
        assert_eq!(aggregate.value(&acc), largest);
        let mut rest = acc;
        aggregate.unmerge(&mut rest, &acc);
        assert_eq!(bytemuck::bytes_of(&rest), bytemuck::bytes_of(&state(&aggregate, &[])));
        assert_eq!(aggregate.value(&rest).to_bits(), NAN_BITS);
    }
}

#[test]
fn a_carry_and_a_borrow_go_through_all_bytes() {
    let aggregate = sum_f64_exact(float);
    let mut acc = state(&aggregate, &[]);
    let mut add = |float: f64| {
        aggregate.add(&mut acc, at(1), &rows(&[float])[0].1);
        aggregate.value(&acc)
    };
    let (large, small) = (2f64.powi(1023), 5e-324);
    for _ in 0..1000 {
        assert_eq!(add(-small), -small);
        assert_eq!(add(small).to_bits(), 0);
        assert_eq!(add(large), large);
        assert_eq!(add(-small), large);
        assert_eq!(add(small), large);
        assert_eq!(add(-large).to_bits(), 0);
    }
}

/// Sums of 128 bits have room for 2^64 integers of 64 bits; a state beyond that wraps and can still be taken off.
#[test]
fn sums_of_integers_wrap_beyond_any_number_of_rows_that_can_be_counted() {
    let aggregate = sum(|row: &Row| row.value);
    let lowest = [(at(1), Row { value: i64::MIN, weight: 1, float: 0.0, key: 7 })];
    let mut acc = state(&aggregate, &lowest);
    for doubled in 1..=64 {
        let half = acc;
        aggregate.merge(&mut acc, &half);
        assert_eq!(aggregate.value(&acc), (i128::from(i64::MIN)) << doubled);
    }
    assert_eq!(aggregate.value(&acc), i128::MIN);
    let full = acc;
    aggregate.merge(&mut acc, &state(&aggregate, &lowest));
    assert_eq!(aggregate.value(&acc), i128::MAX - i128::from(i64::MAX));
    aggregate.unmerge(&mut acc, &full);
    assert_eq!(aggregate.value(&acc), i128::from(i64::MIN));
}
