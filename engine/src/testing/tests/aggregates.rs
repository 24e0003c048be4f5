//! Aggregates by themselves: merging, and floats that are no numbers.

mod exact;
mod limited;

use super::windows::Spread;
use super::{Row, at, cases, rows};
use crate::{
    Aggregate, Timestamp, arg_max, arg_min, count, first, fold_merging, last, max, max_f64, mean, min, min_f64,
    stddev_pop, stddev_samp, sum, sum_f64, var_pop, var_samp, weighted_mean,
};
use proptest::prelude::*;

fn state<A: Aggregate<In = Row>>(aggregate: &A, rows: &[(Timestamp, Row)]) -> A::Acc {
    let mut acc = bytemuck::Zeroable::zeroed();
    rows.iter().for_each(|(time, row)| aggregate.add(&mut acc, *time, row));
    acc
}

/// Merges the states of three runs of rows in both ways and holds them against the state of all
/// rows, bit by bit: empty ones may be merged into, but are never merged.
fn merges<A: Aggregate<In = Row>>(aggregate: &A, rows: &[(Timestamp, Row)], cuts: (usize, usize)) {
    let (a, b) = (cuts.0.min(cuts.1).min(rows.len()), cuts.0.max(cuts.1).min(rows.len()));
    let parts = [&rows[..a], &rows[a..b], &rows[b..]];
    let merge = |acc: &mut A::Acc, rows: &[(Timestamp, Row)], later: &A::Acc| {
        if !rows.is_empty() {
            aggregate.merge(acc, later);
        }
    };
    let [first, second, third] = parts.map(|part| state(aggregate, part));

    let mut from_left = first;
    merge(&mut from_left, parts[1], &second);
    merge(&mut from_left, parts[2], &third);

    let mut right = second;
    merge(&mut right, parts[2], &third);
    let mut from_right = first;
    merge(&mut from_right, &rows[a..], &right);

    let all = state(aggregate, rows);
    if A::EXACT {
        // In any order and with nothing in between, but nothing is never what is merged.
        let mut any = bytemuck::Zeroable::zeroed();
        for (part, state) in [(parts[1], second), (parts[2], third), (parts[0], first)] {
            merge(&mut any, part, &state);
        }
        assert_eq!(bytemuck::bytes_of(&any), bytemuck::bytes_of(&all));
    }
    for merged in [from_left, from_right] {
        assert_eq!(bytemuck::bytes_of(&merged), bytemuck::bytes_of(&all));
        if !rows.is_empty() {
            let [merged, all] = [merged, all].map(|acc| aggregate.value(&acc));
            assert_eq!(bytemuck::bytes_of(&merged), bytemuck::bytes_of(&all));
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn merged_states_are_those_of_all_rows(
        rows in prop::collection::vec((0i64..5, rows()), 0..20), cuts in (0usize..20, 0usize..20)
    ) {
        let rows: Vec<_> = rows.into_iter().map(|(time, row)| (at(time), row)).collect();
        merges(&count(), &rows, cuts);
        merges(&sum(|row: &Row| row.value), &rows, cuts);
        merges(&min(|row: &Row| row.value), &rows, cuts);
        merges(&max(|row: &Row| row.value), &rows, cuts);
        merges(&min_f64(|row: &Row| row.float), &rows, cuts);
        merges(&max_f64(|row: &Row| row.float), &rows, cuts);
        merges(&mean(|row: &Row| row.value), &rows, cuts);
        merges(&weighted_mean(|row: &Row| (row.value, row.weight)), &rows, cuts);
        merges(&first(|row: &Row| row.value), &rows, cuts);
        merges(&last(|row: &Row| row.value), &rows, cuts);
        merges(&Spread, &rows, cuts);
        let pair = |row: &Row| (row.weight, row.value);
        merges(&arg_min(pair), &rows, cuts);
        merges(&arg_max(pair), &rows, cuts);
        let sums = |sum: &mut i64, _: Timestamp, row: &Row| *sum = sum.wrapping_add(row.weight);
        merges(&fold_merging(5, sums, |sum: &mut i64, later: &i64| *sum = sum.wrapping_add(later - 5)), &rows, cuts);
        merges(&(count(), first(|row: &Row| row.value), arg_max(pair)), &rows, cuts);
        // Floats add exactly while they are small whole numbers; other sums depend on the grouping.
        merges(&sum_f64(|row: &Row| row.weight as f64), &rows, cuts);
    }
}

proptest! {
    #![proptest_config(cases(256))]

    /// Two passes over the values, the first of which finds their mean.
    #[test]
    fn variances_are_those_of_two_passes_also_when_they_are_merged(
        values in prop::collection::vec(-1e6f64..1e6, 1..30), cut in 0usize..30
    ) {
        let row = |float: &f64| (at(1), Row { value: 1, weight: 1, float: *float, key: 7 });
        let rows: Vec<_> = values.iter().map(row).collect();
        let (early, late) = rows.split_at(cut.min(rows.len()));
        let float = |row: &Row| row.float;
        let mut merged = state(&var_pop(float), early);
        if !late.is_empty() {
            var_pop(float).merge(&mut merged, &state(&var_pop(float), late));
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let is_near = |found: f64, expected: f64| (found - expected).abs() <= 1e-9 * (1e12 + expected);
        for state in [merged, state(&var_pop(float), &rows)] {
            prop_assert!(is_near(var_pop(float).value(&state), squares / count));
            prop_assert!((stddev_pop(float).value(&state) - var_pop(float).value(&state).sqrt()).abs() == 0.0);
            let samples = (var_samp(float).value(&state), stddev_samp(float).value(&state));
            match values.len() {
                1 => prop_assert!(samples.0.to_bits() == NAN_BITS && samples.1.is_nan()),
                _ => prop_assert!(is_near(samples.0, squares / (count - 1.0)) && samples.1 == samples.0.sqrt()),
            }
        }
    }

    #[test]
    fn a_tuple_gives_what_its_parts_give_and_extremes_of_pairs_break_ties_by_value(
        rows in prop::collection::vec((0i64..5, rows()), 1..20)
    ) {
        let rows: Vec<_> = rows.into_iter().map(|(time, row)| (at(time), Row { weight: row.weight % 3, ..row })).collect();
        let pair = |row: &Row| (row.weight, row.value);
        let all = (count(), last(|row: &Row| row.value), arg_min(pair), arg_max(pair));
        let (rows_found, last_found, low, high) = all.value(&state(&all, &rows)).parts();
        prop_assert_eq!(rows_found, rows.len() as u64);
        prop_assert_eq!(last_found, rows.iter().max_by_key(|row| row.0).unwrap().1.value);
        prop_assert_eq!(low, rows.iter().map(|row| pair(&row.1)).min().unwrap().1);
        let largest = rows.iter().map(|row| row.1.weight).max().unwrap();
        let values = rows.iter().filter(|row| row.1.weight == largest).map(|row| row.1.value);
        prop_assert_eq!(high, values.min().unwrap());
    }
}

/// Floats of any bits, every third or so no number.
fn any_floats() -> impl Strategy<Value = f64> {
    let nans = (any::<bool>(), 1u64..1 << 52)
        .prop_map(|(negative, payload)| f64::from_bits(u64::from(negative) << 63 | 0x7ff << 52 | payload));
    prop_oneof![any::<u64>().prop_map(f64::from_bits), nans, Just(f64::INFINITY), Just(f64::NEG_INFINITY), -2.0..2.0]
}

/// The bits of the NaN of results.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn extremes_of_any_floats_merge_to_the_same_bits_and_have_one_nan(
        floats in prop::collection::vec(any_floats(), 1..12), cuts in (0usize..12, 0usize..12)
    ) {
        let row = |float: &f64| (at(1), Row { value: 1, weight: 1, float: *float, key: 7 });
        let rows: Vec<_> = floats.iter().map(row).collect();
        let (low, high) = (min_f64(|row: &Row| row.float), max_f64(|row: &Row| row.float));
        merges(&low, &rows, cuts);
        merges(&high, &rows, cuts);
        let numbers = || floats.iter().copied().filter(|float| !float.is_nan());
        let any_nan = numbers().count() < floats.len();
        let least = numbers().min_by(f64::total_cmp).map_or(NAN_BITS, f64::to_bits);
        let most = numbers().max_by(f64::total_cmp).filter(|_| !any_nan).map_or(NAN_BITS, f64::to_bits);
        prop_assert_eq!(value(low, &floats).to_bits(), least);
        prop_assert_eq!(value(high, &floats).to_bits(), most);
    }

    #[test]
    fn sums_and_means_that_are_no_numbers_are_the_one_nan(
        floats in prop::collection::vec(any_floats(), 1..12), weights in -1i64..2
    ) {
        let sum = value(sum_f64(|row: &Row| row.float), &floats);
        prop_assert!(!sum.is_nan() || sum.to_bits() == NAN_BITS);
        prop_assert!(sum.is_nan() || !floats.iter().any(|float| float.is_nan()));
        let mean = value(weighted_mean(move |_: &Row| (weights, 0)), &floats);
        prop_assert_eq!(mean.to_bits(), NAN_BITS);
    }
}

fn value<V: Copy>(aggregate: impl Aggregate<In = Row, Value = V>, floats: &[f64]) -> V {
    let row = |float: &f64| (at(1), Row { value: i64::MAX, weight: 0, float: *float, key: 7 });
    let rows: Vec<_> = floats.iter().map(row).collect();
    aggregate.value(&state(&aggregate, &rows))
}

#[test]
fn smallest_and_largest_floats_order_zeros_by_sign_and_put_nan_of_either_sign_last() {
    let smallest = |floats: &[f64]| value(min_f64(|row: &Row| row.float), floats).to_bits();
    let largest = |floats: &[f64]| value(max_f64(|row: &Row| row.float), floats).to_bits();
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    for (floats, low, high) in [
        (&[0.0, -0.0][..], -0.0, 0.0),
        (&[-0.0, 0.0], -0.0, 0.0),
        (&[1.0, nan, 2.0], 1.0, nan),
        (&[nan, inf], inf, nan),
        (&[inf, -inf, 0.0], -inf, inf),
        (&[-nan, 1.0], 1.0, nan),
        (&[-nan, -inf], -inf, nan),
        (&[-nan, inf, nan], inf, nan),
        (&[nan], nan, nan),
        (&[-nan], nan, nan),
    ] {
        assert_eq!((smallest(floats), largest(floats)), (low.to_bits(), high.to_bits()), "{floats:?}");
    }
}

#[test]
fn sums_of_floats_follow_ieee_754() {
    let sum = |floats: &[f64]| value(sum_f64(|row: &Row| row.float), floats);
    assert!(sum(&[1.0, f64::NAN, 2.0]).is_nan());
    assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
    assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
    // It starts from 0.0, so a sum is -0.0 never.
    assert_eq!(sum(&[-0.0, -0.0]).to_bits(), 0.0f64.to_bits());
}

#[test]
fn sums_of_integers_have_room_and_a_mean_of_no_weight_is_nan() {
    assert_eq!(value(sum(|row: &Row| row.value), &[0.0; 9]), 9 * i128::from(i64::MAX));
    assert_eq!(value(mean(|row: &Row| row.value), &[0.0; 9]), i64::MAX as f64);
    assert!(value(weighted_mean(|row: &Row| (row.value, row.weight)), &[0.0; 3]).is_nan());
    assert_eq!(value(weighted_mean(|row: &Row| (row.value, row.weight + 2)), &[0.0; 3]), i64::MAX as f64);
}
