//! Windows whose rows several workers combine: the same windows, and state that any number of workers go on with.

use super::windows::{fire, restored};
use super::{Row, at, cases, steps};
use crate::base::key::slots_of;
use crate::operator::aggregate::{Rows, WindowAggregate};
use crate::operator::state;
use crate::operator::window::merged::MergedOperator;
use crate::operator::window::part::{PartOperator, PartRef, PartTables};
use crate::testing::{self, Expected, Step, Verify, model};
use crate::{
    ALL_SLOTS, Aggregate, Batch, Firing, Operator, OperatorInput, Outbox, Record, Scope, StoreSettings, Timestamp,
    Tumbling, Windowed, count, mean, min_f64, weighted_mean,
};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Counts rows.
fn counted() -> impl WindowAggregate<u64, In = u64, Acc = u64, Out = Windowed<u64, u64>> {
    Rows::new(count::<u64>(), Windowed::new)
}

/// The workers that combine rows.
const WORKERS: usize = 4;

/// A step whose rows several workers combine: parts, what merges them, and what has reached whom.
struct Pair<P, M, Out: Record> {
    parts: Vec<P>,
    merging: M,
    /// Parts that were sent and are not merged yet.
    sent: Vec<(Timestamp, PartRef)>,
    given: Expected<Out, Row>,
}

impl<P, M, Out> Pair<P, M, Out>
where
    P: OperatorInput<0, Row = Row, Outputs = (Row, PartRef)>,
    M: OperatorInput<0, Row = PartRef, Outputs = (Out,)>,
    Out: Record,
{
    /// Notes what a worker gave.
    fn take(&mut self, worker: usize, out: &mut Outbox<(Row, PartRef)>) {
        let (late, parts) = (out.rows::<0>(), out.rows::<1>());
        assert!(parts.1.iter().all(|part| part.worker as usize == worker));
        self.given.late.extend(late.0.iter().copied().zip(late.1.iter().copied()));
        self.sent.extend(parts.0.iter().copied().zip(parts.1.iter().copied()));
        out.clear();
    }

    /// Gives a row to a worker.
    fn row(&mut self, worker: usize, (time, value, watermark): (Timestamp, Row, Timestamp)) {
        let mut out = Outbox::new(1, Default::default());
        let (times, values, watermarks) = ([time], [value], [watermark]);
        let batch = Batch::with_watermarks(&times, &values, &watermarks);
        for _ in 0..100 {
            let taken = self.parts[worker].on_batch(batch, &mut out).unwrap();
            assert!(taken == 1 || out.is_full());
            self.take(worker, &mut out);
            if taken == 1 {
                return;
            }
        }
        panic!("a row is not taken");
    }

    /// Notes what was fired.
    fn fired(&mut self, out: &mut Outbox<(Out,)>) {
        let (times, rows) = out.rows::<0>();
        self.given.main.extend(times.iter().copied().zip(rows.iter().copied()));
        out.clear();
    }

    /// Has all come to a watermark; `choice` says whose parts come first, and who is told that has nothing due.
    fn reach(&mut self, watermark: Timestamp, choice: usize, merged: impl Fn() -> M) {
        let mut part_out = Outbox::new(2, Default::default());
        for worker in (0..WORKERS).map(|i| (i + choice) % WORKERS) {
            while (choice / 4).is_multiple_of(2) || self.parts[worker].next_firing() <= watermark {
                let firing = self.parts[worker].on_watermark(watermark, &mut part_out).unwrap();
                self.take(worker, &mut part_out);
                if firing == Firing::Done {
                    break;
                }
            }
            assert!(self.parts[worker].next_firing() > watermark || watermark == Timestamp::MAX);
        }
        let mut sent = std::mem::take(&mut self.sent);
        assert!(sent.iter().all(|part| part.0 <= watermark));
        if choice % 2 == 1 {
            sent.reverse();
        }
        sent.sort_by_key(|part| part.0);
        let mut out = Outbox::new(3, Default::default());
        for (at, sent) in sent.chunks(3).enumerate() {
            let (times, parts): (Vec<_>, Vec<_>) = sent.iter().copied().unzip();
            let mut first = 0;
            while first < parts.len() {
                let taken = self.merging.on_batch(Batch::new(&times[first..], &parts[first..]), &mut out).unwrap();
                assert!(taken > 0 || out.is_full());
                first += taken;
                self.fired(&mut out);
            }
            if at == choice % 3 {
                // What came and has not fired outlives the operator.
                self.merging = restored(&mut self.merging, merged());
            }
        }
        loop {
            let firing = self.merging.on_watermark(watermark, &mut out).unwrap();
            self.fired(&mut out);
            if firing == Firing::Done {
                break;
            }
        }
    }

    /// All that was saved of both.
    fn saved(&mut self) -> Vec<state::Piece> {
        let parts = self.parts.iter_mut().flat_map(|part| state::save(part, Scope::All));
        parts.chain(state::save(&mut self.merging, Scope::All)).collect()
    }
}

/// What a step gives as several workers run it that combine their rows: row `i` and what is done at step `i` is up to
/// `choices[i]`. Now and then it goes on from what was saved of it: as it is, dealt out anew to all workers, or after one
/// worker had all of it that does not combine.
pub(super) fn run_combined<P, M, W, Out>(
    steps: &[Step<Row>],
    choices: &[usize],
    part: impl Fn(usize) -> P,
    merged: impl Fn() -> M,
    whole: impl Fn() -> W,
) -> Expected<Out, Row>
where
    P: OperatorInput<0, Row = Row, Outputs = (Row, PartRef)>,
    M: OperatorInput<0, Row = PartRef, Outputs = (Out,)>,
    W: Operator,
    Out: Record,
{
    let parts = || Vec::from_iter((0..WORKERS).map(&part));
    let mut pair = Pair { parts: parts(), merging: merged(), sent: Vec::new(), given: Expected::default() };
    let mut reached = Timestamp::MIN;
    for (i, step) in steps.iter().copied().enumerate() {
        let choice = choices[i % choices.len()];
        match step {
            Step::Row { time, value, watermark } => {
                let worker = choice % WORKERS;
                pair.row(worker, (time, value, watermark));
                reached = watermark;
                if choice.is_multiple_of(5) {
                    pair.parts[worker] = restored(&mut pair.parts[worker], part(worker));
                }
            }
            Step::Watermark(watermark) => {
                reached = watermark;
                pair.reach(watermark, choice, &merged);
                let mut pieces = match choice % 4 {
                    0 => continue,
                    _ => pair.saved(),
                };
                if choice % 4 == 1 {
                    let mut whole = whole();
                    pieces.iter().for_each(|piece| state::restore(&mut whole, piece, &ALL_SLOTS, true).unwrap());
                    assert!(whole.next_firing() > watermark || watermark == Timestamp::MAX);
                    pieces = state::save(&mut whole, Scope::All);
                }
                (pair.parts, pair.merging) = (parts(), merged());
                for (worker, part) in pair.parts.iter_mut().enumerate() {
                    let slots = slots_of(worker, WORKERS);
                    pieces.iter().for_each(|piece| state::restore(part, piece, &slots, true).unwrap());
                }
            }
        }
    }
    pair.reach(reached, 0, &merged);
    pair.given
}

/// Holds a step that several workers run against the model.
fn hold_combined<A: Aggregate<In = Row>>(steps: &[Step<Row>], size: i64, aggregate: A, choices: &[usize]) {
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
    let given = run_combined(
        steps,
        choices,
        |worker| PartOperator::new(worker, windows, (key_of, rows()), &settings, tables.clone()),
        || MergedOperator::new(windows, rows(), &settings, tables.clone()),
        || testing::tumbling(windows, key_of, aggregate.clone()),
    );
    same(&given, &expected);
}

/// Holds what was given against what was expected, byte by byte.
pub(super) fn same<Out: Record>(given: &Expected<Out, Row>, expected: &Expected<Out, Row>) {
    assert_eq!(bytes(&given.late), bytes(&expected.late));
    assert_eq!(bytes(&given.main), bytes(&expected.main));
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
