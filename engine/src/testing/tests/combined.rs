//! Windows whose rows several workers combine: the same windows, and state that any number of workers go on with.

use super::windows::{fire, restored};
use super::{Row, at, cases, steps};
use crate::operator::aggregate::{Rows, WindowAggregate};
use crate::operator::state;
use crate::operator::window::merged::MergedOperator;
use crate::operator::window::part::{PartOperator, PartRef, PartTables};
use crate::testing::{self, Expected, Step, Verify, model};
use crate::{
    ALL_SLOTS, Aggregate, Batch, OperatorInput, Outbox, Record, Scope, StoreSettings, Timestamp, Tumbling, Windowed,
    count, mean, min_f64, weighted_mean,
};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Counts rows.
fn counted() -> impl WindowAggregate<u64, In = u64, Acc = u64, Out = Windowed<u64, u64>> {
    Rows::new(count::<u64>(), Windowed::new)
}

/// Runs a step as several workers do that combine their rows: row `i` and what is done at step `i` is up to
/// `choices[i]`.
fn hold_combined<A: Aggregate<In = Row>>(steps: &[Step<Row>], size: i64, aggregate: A, choices: &[usize]) {
    const WORKERS: usize = 4;
    assert!(A::EXACT);
    let windows = Tumbling::of(Duration::from_nanos(size as u64));
    let key_of: fn(&Row) -> u64 = |row| row.key;
    let mut expected = Expected::default();
    Verify::new(|| testing::tumbling(windows, key_of, aggregate.clone()))
        .steps(steps.iter().copied())
        .against(|script| {
            let added = model::added(aggregate.clone());
            let model = model::tumbling(script, |time| windows.assign(time), key_of, added);
            expected = model.clone();
            model
        })
        .check();

    let settings = StoreSettings::default();
    let tables = Arc::new(PartTables::new());
    let rows = || Rows::new(aggregate.clone(), Windowed::new);
    let part = |worker: usize| PartOperator::new(worker, windows, (key_of, rows()), &settings, tables.clone());
    let merged = || MergedOperator::new(windows, rows(), &settings, tables.clone());
    let (mut parts, mut merging) = (Vec::from_iter((0..WORKERS).map(part)), merged());
    let (mut main, mut late) = (Vec::new(), Vec::new());
    let (mut part_out, mut out) = (Outbox::new(2, Default::default()), Outbox::new(3, Default::default()));
    let mut reached = Timestamp::MIN;
    let mut merge_up_to = |watermark, choice: usize, parts: &mut [PartOperator<_, _, _>]| {
        // Any worker may be the first whose parts come.
        let mut refs: Vec<(usize, PartRef)> = Vec::new();
        for i in 0..WORKERS {
            let worker = (i + choice) % WORKERS;
            fire(&mut parts[worker], watermark, &mut part_out, |out| {
                assert!(out.rows::<0>().0.is_empty());
                refs.extend(out.rows::<1>().1.iter().map(|part| (worker, *part)));
            });
        }
        assert!(refs.iter().all(|(worker, part)| *worker == part.worker as usize));
        if choice % 2 == 1 {
            refs.reverse();
        }
        for (at, refs) in refs.chunks(3).enumerate() {
            let values: Vec<_> = refs.iter().map(|(_, part)| *part).collect();
            let times: Vec<_> = values.iter().map(|part| windows.assign(part.start).max_timestamp()).collect();
            assert_eq!(merging.on_batch(Batch::new(&times, &values), &mut out), Ok(values.len()));
            if at == choice % 3 {
                // What came and has not fired outlives the operator.
                merging = restored(&mut merging, merged());
            }
        }
        fire(&mut merging, watermark, &mut out, |out| {
            main.extend(out.rows::<0>().0.iter().copied().zip(out.rows::<0>().1.iter().copied()));
        });
    };
    for (i, step) in steps.iter().copied().enumerate() {
        let choice = choices[i % choices.len()];
        match step {
            Step::Row { time, value, watermark } => {
                let worker = choice % WORKERS;
                let mut out = Outbox::new(1, Default::default());
                let (times, values, watermarks) = ([time], [value], [watermark]);
                let batch = Batch::with_watermarks(&times, &values, &watermarks);
                assert_eq!(parts[worker].on_batch(batch, &mut out), Ok(1));
                late.extend(out.rows::<0>().0.iter().copied().zip(out.rows::<0>().1.iter().copied()));
                reached = watermark;
                if choice.is_multiple_of(5) {
                    parts[worker] = restored(&mut parts[worker], part(worker));
                }
            }
            Step::Watermark(watermark) => {
                reached = watermark;
                merge_up_to(watermark, choice, &mut parts);
            }
        }
    }
    merge_up_to(reached, 0, &mut parts);
    assert_eq!(bytes(&late), bytes(&expected.late));
    assert_eq!(bytes(&main), bytes(&expected.main));
}

fn bytes<T: Record>(rows: &[(Timestamp, T)]) -> Vec<(Timestamp, Vec<u8>)> {
    rows.iter().map(|(time, row)| (*time, bytemuck::bytes_of(row).to_vec())).collect()
}

#[test]
fn rows_combined_on_each_worker_give_the_same_windows() {
    proptest!(cases(96), |(steps in steps(50), size in 1i64..60, choices in prop::collection::vec(0usize..60, 1..9))| {
        hold_combined(&steps, size, count(), &choices);
        hold_combined(&steps, size, mean(|row: &Row| row.value), &choices);
        hold_combined(&steps, size, min_f64(|row: &Row| row.float), &choices);
        hold_combined(&steps, size, weighted_mean(|row: &Row| (row.value, row.weight)), &choices);
    });
}

/// One worker goes on with what two combined, and two with what one had.
#[test]
fn windows_combined_on_some_workers_go_on_on_any_other_number() {
    let windows = Tumbling::of(Duration::from_nanos(10));
    let key_of: fn(&u64) -> u64 = |key| *key;
    let settings = StoreSettings::default();
    let tables = Arc::new(PartTables::new());
    let part = |worker| PartOperator::new(worker, windows, (key_of, counted()), &settings, tables.clone());
    let merged = || MergedOperator::new(windows, counted(), &settings, tables.clone());
    let mut out = Outbox::new(16, Default::default());
    let (mut parts, mut merging) = ([part(0), part(1)], merged());
    let (times, rows) = ([1, 2, 11, 12, 13].map(at), [1, 2, 1, 3, 1]);
    for part in &mut parts {
        assert_eq!(part.on_batch(Batch::new(&times, &rows), &mut out), Ok(5));
    }
    // The first worker's part of the first window has been sent when the state is saved.
    let mut refs = Vec::new();
    state::save(&mut parts[0], Scope::Changed);
    fire(&mut parts[0], at(9), &mut out, |out| refs.extend_from_slice(out.rows::<1>().1));
    let mut merged_out = Outbox::new(16, Default::default());
    assert_eq!(merging.on_batch(Batch::new(&[at(9)], &refs), &mut merged_out), Ok(1));
    let pieces: Vec<_> = parts
        .iter_mut()
        .flat_map(|part| state::save(part, Scope::All))
        .chain(state::save(&mut merging, Scope::Changed))
        .collect();
    let sums = |rows: &[Windowed<u64, u64>]| {
        let of = |row: &Windowed<u64, u64>| (row.window().start.as_nanos(), row.key(), row.value());
        rows.iter().map(of).collect::<Vec<_>>()
    };
    let expected = [(0, 1, 2), (0, 2, 2), (10, 1, 4), (10, 3, 2)];

    let mut single = testing::tumbling(windows, key_of, count());
    pieces.iter().for_each(|piece| state::restore(&mut single, piece, &ALL_SLOTS, true).unwrap());
    let single_pieces = state::save(&mut single, Scope::All);
    let mut found = Vec::new();
    let mut single_out = Outbox::new(16, Default::default());
    fire(&mut single, Timestamp::MAX, &mut single_out, |out| found.extend_from_slice(out.rows::<0>().1));
    assert_eq!(sums(&found), expected);

    // And back, to three workers.
    let tables = Arc::new(PartTables::new());
    let mut parts: Vec<_> = (0..3)
        .map(|worker| PartOperator::new(worker, windows, (key_of, counted()), &settings, tables.clone()))
        .collect();
    for (at, piece) in single_pieces.iter().enumerate() {
        state::restore(&mut parts[at % 3], piece, &ALL_SLOTS, true).unwrap();
    }
    let mut merging = MergedOperator::new(windows, counted(), &settings, tables);
    let (mut refs, mut found) = (Vec::new(), Vec::new());
    for part in &mut parts {
        fire(part, Timestamp::MAX, &mut out, |out| refs.extend_from_slice(out.rows::<1>().1));
    }
    let times = vec![at(0); refs.len()];
    assert_eq!(merging.on_batch(Batch::new(&times, &refs), &mut merged_out), Ok(refs.len()));
    fire(&mut merging, Timestamp::MAX, &mut merged_out, |out| found.extend_from_slice(out.rows::<0>().1));
    assert_eq!(sums(&found), expected);
}
