//! Aggregates that keep a fixed part of what they are given, against models that keep all of it.

use super::super::{Row, at, cases, rows};
use super::{NAN_BITS, any_floats, merges, state};
use crate::{
    Aggregate, Job, Layout, Options, Record, Symbol, Timestamp, Tumbling, VecSource, approx_count_distinct, bottom_n,
    collect, collect_up_to, count, count_distinct, max, mean_f64_exact, min, quantile, quantiles, sum_f64_exact, top_n,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

type Timed = (Timestamp, Row);

/// Rows in some order, and the same in another.
fn shuffled() -> impl Strategy<Value = (Vec<Timed>, Vec<Timed>)> {
    let floats = prop_oneof![1 => any_floats(), 4 => -9.0f64..9.0, 1 => Just(0.0)];
    let row = (0i64..5, rows(), floats).prop_map(|(time, row, float)| (at(time), Row { float, ..row }));
    prop::collection::vec(row, 1..24).prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()))
}

fn same_in_any_order<A: Aggregate<In = Row>>(aggregate: &A, rows: &(Vec<Timed>, Vec<Timed>), cuts: (usize, usize)) {
    assert!(A::EXACT);
    let [one, other] = [&rows.0, &rows.1].map(|rows| state(aggregate, rows));
    assert_eq!(bytemuck::bytes_of(&one), bytemuck::bytes_of(&other));
    merges(aggregate, &rows.0, cuts);
    merges(aggregate, &rows.1, cuts);
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn states_of_fixed_size_have_the_same_bits_in_any_order_and_grouping(
        rows in shuffled(), cuts in (0usize..24, 0usize..24)
    ) {
        let float = |row: &Row| row.float;
        same_in_any_order(&count_distinct::<5, _, _>(|row: &Row| row.value), &rows, cuts);
        same_in_any_order(&count_distinct::<32, _, _>(|row: &Row| row.value), &rows, cuts);
        same_in_any_order(&approx_count_distinct(|row: &Row| row.value).registers::<16>(), &rows, cuts);
        same_in_any_order(&quantile(0.5, float).bins::<3, 5>(), &rows, cuts);
        same_in_any_order(&quantiles([0.1, 0.9], float).bins::<2, 1000>(), &rows, cuts);
        let several = (count(), count_distinct::<3, _, _>(|row: &Row| row.key), quantile(0.5, float).bins::<1, 2>());
        same_in_any_order(&several, &rows, cuts);
    }

    #[test]
    fn the_first_rows_by_some_order_are_those_of_all_rows_sorted(
        rows in shuffled(), cuts in (0usize..24, 0usize..24)
    ) {
        let (rows, _) = rows;
        let rows: Vec<Timed> = rows.iter().enumerate().map(|(i, row)| {
            (row.0, Row { value: i as i64, weight: row.1.weight % 4, ..row.1 })
        }).collect();
        // Sorting keeps the order of equal rows.
        let sorted = |by: fn(&Timed) -> (i64, Timestamp)| {
            let mut sorted = rows.clone();
            sorted.sort_by_key(by);
            sorted.iter().map(|row| row.1.value).take(5).collect::<Vec<_>>()
        };
        let pair = |row: &Row| (row.weight, row.value);
        let (top, bottom) = (top_n::<5, _, _>(pair), bottom_n::<5, _, _>(pair));
        let first = collect_up_to::<5, _, _>(|row: &Row| row.value);
        let of = [top.value(&state(&top, &rows)), bottom.value(&state(&bottom, &rows)), first.value(&state(&first, &rows))];
        let expected = [sorted(|row| (-row.1.weight, row.0)), sorted(|row| (row.1.weight, row.0)), sorted(|row| (0, row.0))];
        for (found, expected) in of.iter().zip(expected) {
            prop_assert_eq!(found.rows(), rows.len() as u64);
            prop_assert_eq!(found.values().collect::<Vec<_>>(), expected);
        }
        merges(&top, &rows, cuts);
        merges(&bottom, &rows, cuts);
        merges(&(count(), first), &rows, cuts);
    }

    #[test]
    fn different_values_are_counted_up_to_the_limit_and_said_to_be_more_beyond(
        rows in prop::collection::vec((rows(), 0u8..6), 1..24)
    ) {
        let rows: Vec<Timed> = rows.iter().map(|(row, byte)| (at(1), Row { value: i64::from(*byte) << 8 | 7, ..*row })).collect();
        let expected = rows.iter().map(|row| row.1.value).collect::<BTreeSet<_>>().len() as u64;
        let limited = count_distinct::<3, _, _>(|row: &Row| row.value);
        let found = limited.value(&state(&limited, &rows));
        prop_assert_eq!(found.exact(), (expected <= 3).then_some(expected));
        prop_assert_eq!((found.count(), found.is_more()), (expected.min(3), expected > 3));
        let roomy = count_distinct::<6, _, _>(|row: &Row| row.value.to_be_bytes());
        prop_assert_eq!(roomy.value(&state(&roomy, &rows)).exact(), Some(expected));
        let none = count_distinct::<0, _, _>(|row: &Row| row.value);
        prop_assert!(none.value(&state(&none, &rows)).is_more());
    }
}

/// Floats of both signs over so many powers of two, and what is no number.
fn spread(powers: i32) -> impl Strategy<Value = Vec<f64>> {
    let number = (0..powers, 1.0f64..2.0, any::<bool>())
        .prop_map(|(power, mantissa, is_negative)| mantissa * 2f64.powi(power) * if is_negative { -1.0 } else { 1.0 });
    let special = prop::sample::select(vec![0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    prop::collection::vec(prop_oneof![9 => number, 1 => special], 1..60)
}

/// The value of nearest rank, NaN behind infinity.
fn of_rank(floats: &[f64], share: f64) -> f64 {
    let mut sorted = floats.to_vec();
    sorted.sort_by(|a, b| a.is_nan().cmp(&b.is_nan()).then(a.total_cmp(b)));
    let rank = (0..sorted.len()).find(|rank| (rank + 1) as f64 + 1e-9 >= share * sorted.len() as f64);
    sorted[rank.unwrap()]
}

/// The sketch's quantiles are near those of all values; errors are relative, and to the largest magnitude.
fn is_near(floats: &[f64], found: [f64; 5], relative: f64, of_largest: f64) {
    let largest = floats.iter().filter(|float| float.is_finite()).map(|float| float.abs()).fold(0.0, f64::max);
    for (share, found) in SHARES.into_iter().zip(found) {
        let expected = of_rank(floats, share);
        let is_near = if expected.is_finite() {
            (found - expected).abs() <= expected.abs() * relative * (1.0 + 1e-12) + largest * of_largest
        } else if expected.is_nan() {
            found.to_bits() == NAN_BITS
        } else {
            found == expected
        };
        assert!(is_near, "{share}: {found} for {expected} of {floats:?}");
    }
}

const SHARES: [f64; 5] = [0.0, 0.07, 0.5, 0.9, 1.0];

fn sketched<A: Aggregate<In = Row, Value = crate::Values<f64, 5>>>(aggregate: &A, floats: &[f64]) -> [f64; 5] {
    let row = |float: &f64| (at(1), Row { value: 1, weight: 1, float: *float, key: 7 });
    aggregate.value(&state(aggregate, &floats.iter().map(row).collect::<Vec<_>>())).values()
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn quantiles_are_as_near_as_their_bins_say(near in spread(16), far in spread(40)) {
        let of = quantiles(SHARES, |row: &Row| row.float);
        is_near(&near, sketched(&of, &near), 0.01, 0.0);
        is_near(&far, sketched(&of, &far), 0.01, 2f64.powi(-15));
        let positive: Vec<f64> = far.iter().map(|float| float.abs()).collect();
        is_near(&positive, sketched(&of, &positive), 0.01, 2f64.powi(-31));
        let small = of.clone().bins::<4, 8>();
        is_near(&near, sketched(&small, &near), 1.0 / 9.0, 2f64.powi(-3));
        is_near(&positive, sketched(&small, &positive), 1.0 / 9.0, 2f64.powi(-7));
        let one = quantile(0.9, |row: &Row| row.float);
        let row = |float: &f64| (at(1), Row { value: 1, weight: 1, float: *float, key: 7 });
        let rows: Vec<_> = near.iter().map(row).collect();
        prop_assert_eq!(one.value(&state(&one, &rows)).to_bits(), sketched(&of, &near)[3].to_bits());
    }

    #[test]
    fn quantiles_of_any_floats_lie_among_them(floats in prop::collection::vec(any_floats(), 1..20)) {
        let of = quantiles(SHARES, |row: &Row| row.float);
        let found = sketched(&of, &floats);
        prop_assert!(found.is_sorted_by(|a, b| b.is_nan() || a <= b), "{:?}", found);
        is_near(&floats, found, 0.01, 2f64.powi(-15));
    }
}

#[test]
fn quantiles_of_nothing_and_of_zeros() {
    let of = quantiles(SHARES, |row: &Row| row.float);
    assert!(sketched(&of, &[]).iter().all(|value| value.to_bits() == NAN_BITS));
    assert!(sketched(&of, &[0.0, -0.0, 5e-324, -5e-324]).iter().all(|value| value.to_bits() == 0));
    let largest = sketched(&of, &[f64::MAX, f64::MIN]);
    assert!((largest[0] / f64::MIN - 1.0).abs() < 0.01 && (largest[4] / f64::MAX - 1.0).abs() < 0.01, "{largest:?}");
}

/// The root of the mean square of relative errors over disjoint ranges of numbers, and their mean.
fn errors<const M: usize>(distinct: u64, runs: u64) -> (f64, f64) {
    let aggregate = approx_count_distinct(|row: &u64| *row).registers::<M>();
    let errors: Vec<f64> = (0..runs)
        .map(|run| {
            let mut acc = bytemuck::Zeroable::zeroed();
            (0..distinct).for_each(|number| aggregate.add(&mut acc, at(1), &((run << 32) + number)));
            aggregate.value(&acc) as f64 / distinct as f64 - 1.0
        })
        .collect();
    let squares: f64 = errors.iter().map(|error| error * error).sum();
    ((squares / runs as f64).sqrt(), errors.iter().sum::<f64>() / runs as f64)
}

#[test]
fn estimates_of_different_values_have_the_standard_error_that_is_said() {
    fn check<const M: usize>(counts: &[u64], runs: u64) {
        let standard = 1.04 / (M as f64).sqrt();
        for &count in counts {
            let (error, bias) = errors::<M>(count, runs);
            // Of so many runs, each to four times its own standard error.
            let most = standard * (1.0 + 4.0 / (2.0 * runs as f64).sqrt());
            assert!(error <= most, "{error} for {count} values and {M} registers");
            assert!(bias.abs() <= 4.0 * standard / (runs as f64).sqrt(), "{bias} for {count} values and {M} registers");
        }
    }
    check::<64>(&[1, 20, 100, 300, 5000], 60);
    check::<1024>(&[10, 1000, 3000, 8000], 20);
    // Registers are never worn out: these are as full as they can be.
    let full =
        bytemuck::cast::<_, <crate::ApproxCountDistinct<u64, u64, fn(&u64) -> u64, 16> as Aggregate>::Acc>([61u8; 16]);
    let aggregate = approx_count_distinct((|row: &u64| *row) as fn(&u64) -> u64).registers::<16>();
    assert_eq!(aggregate.value(&full), u64::MAX);
}

/// Adds to, merges and shows states of any bits, as damaged snapshots may have them.
fn survives<A: Aggregate<In = Row>>(aggregate: &A, bits: &[u64], row: &Row) {
    let mut bits = bits.iter().cycle().flat_map(|bits| bits.to_le_bytes());
    let [mut acc, other]: [A::Acc; 2] = std::array::from_fn(|_| {
        let mut acc: A::Acc = bytemuck::Zeroable::zeroed();
        bytemuck::bytes_of_mut(&mut acc).fill_with(|| bits.next().unwrap());
        acc
    });
    for _ in 0..2 {
        aggregate.add(&mut acc, at(1), row);
        aggregate.value(&acc);
        aggregate.merge(&mut acc, &other);
        if A::INVERTIBLE {
            aggregate.unmerge(&mut acc, &other);
        }
    }
    aggregate.value(&acc);
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn states_of_any_bits_are_gone_on_with(
        bits in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..9, Just(u64::MAX), Just(0)], 1..90), row in rows()
    ) {
        let float = |row: &Row| row.float;
        survives(&count_distinct::<5, _, _>(|row: &Row| row.value), &bits, &row);
        survives(&approx_count_distinct(|row: &Row| row.value).registers::<16>(), &bits, &row);
        survives(&quantile(0.5, float).bins::<3, 5>(), &bits, &row);
        survives(&quantile(0.5, float).bins::<1, 2046>(), &bits, &row);
        survives(&top_n::<3, _, _>(|row: &Row| (row.value, *row)), &bits, &row);
        survives(&sum_f64_exact(float), &bits, &row);
        survives(&mean_f64_exact(float), &bits, &row);
    }
}

#[test]
fn layouts_of_states_and_results_are_read_back_from_their_text() {
    fn check<A: Aggregate<In = Row>>(_: A) -> String {
        for (layout, bytes) in [(A::Acc::layout(), size_of::<A::Acc>()), (A::Value::layout(), size_of::<A::Value>())] {
            let read = Layout::parse(&layout.schema()).unwrap();
            assert_eq!((read.schema(), read.size()), (layout.schema(), bytes));
        }
        A::Value::layout().fields().iter().map(|field| field.name.as_ref()).collect::<Vec<_>>().join(" ")
    }
    let (value, float) = (|row: &Row| row.value, |row: &Row| row.float);
    let pair = |row: &Row| (row.weight, *row);
    assert_eq!(check(count_distinct::<900, _, _>(value)), "count is_more");
    assert_eq!(check(approx_count_distinct(value).registers::<16>()), "value");
    check(approx_count_distinct(value).registers::<65536>());
    assert_eq!(check(quantile(0.5, float)), "value");
    assert_eq!(check(quantiles([0.5, 0.9], float).bins::<7, 9>()), "value_1 value_2");
    assert_eq!(check(collect_up_to::<2, _, _>(value)), "rows value_1 value_2");
    let rows = "rows value_1 value_1_weight value_1_float value_1_key value_2 value_2_weight value_2_float value_2_key";
    assert_eq!(check(top_n::<2, _, _>(pair)), rows);
    assert_eq!(
        check((sum_f64_exact(float), mean_f64_exact(float), max(value), min(value))),
        "value_1 value_2 value_3 value_4"
    );
    let twice = (collect_up_to::<1, _, _>(value), collect_up_to::<1, _, _>(value));
    assert_eq!(check(twice.clone()), "rows value_1 value_2_rows value_2_value_1");
    check((twice.clone(), twice));
}

#[derive(Clone, Copy, crate::Event)]
#[repr(C)]
struct Trade {
    #[event(time)]
    time_ns: i64,
    price: f64,
    buyer: Symbol,
    seller: Symbol,
}

#[test]
fn aggregates_that_cannot_be_are_mistakes_of_the_jobs_shape() {
    fn refused(aggregate: impl Aggregate<In = Trade>) -> String {
        let mut job = Job::new("trades");
        let trades = job.source("trades", VecSource::new(Vec::<Trade>::new(), 64)).key_by(|_| 1u32);
        trades.window(Tumbling::of(Duration::from_secs(1))).aggregate("step", aggregate).sink("out", collect().0);
        job.run(Options::workers(1)).unwrap_err().to_string()
    }
    let buyer = approx_count_distinct(|trade: &Trade| trade.buyer);
    let symbols = "the aggregate of `step` does not work: ids of symbols may differ from run to run";
    assert!(refused(buyer.clone()).contains(symbols), "{}", refused(buyer.clone()));
    assert!(refused((count(), buyer)).contains(symbols));
    for share in [-0.1, 1.1, f64::NAN] {
        let found = refused(quantiles([0.5, share], |trade: &Trade| trade.price));
        assert!(
            found.contains("the aggregate of `step` does not work: a quantile is at a share from 0 to 1"),
            "{found}"
        );
    }
}
