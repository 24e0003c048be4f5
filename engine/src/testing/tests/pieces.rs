//! Damaged and foreign pieces of state: an error value, or state of some other run; no panic.

use super::{at, cases};
use crate::{
    Batch, Firing, Operator, OperatorError, OperatorInput, OperatorOutput, Outbox, ProcessContext, ProcessFunction,
    SLOTS, Slot, Timestamp, Tumbling, hash_key, mean, slot_of, testing,
};
use proptest::prelude::*;
use std::time::Duration;

#[derive(Clone)]
struct Timing;

impl ProcessFunction<u64> for Timing {
    type In = u64;
    type State = u64;
    type Out = u64;

    fn on_row(&self, _: &u64, time: Timestamp, row: &u64, state: &mut u64, context: &mut ProcessContext<'_, u64, u64>) {
        *state = *row;
        context.timer(time.plus_nanos(5));
        context.timer(time.plus_nanos(50));
    }

    fn on_timer(&self, _: &u64, _: Timestamp, state: &mut u64, context: &mut ProcessContext<'_, u64, u64>) {
        context.emit(*state);
    }
}

fn process() -> impl OperatorInput<0, Row = u64, Outputs = (u64, u64)> {
    testing::process(|row: &u64| *row, Timing)
}

fn tumbling() -> impl OperatorInput<0, Row = u64, Outputs = (crate::Windowed<u64, f64>, u64)> {
    testing::tumbling(Tumbling::of(Duration::from_nanos(10)), |row: &u64| *row, mean(|row: &u64| *row as i64))
}

/// The pieces of an operator after some rows.
fn saved(mut operator: impl OperatorInput<0, Row = u64>) -> Vec<(Slot, Vec<u8>)> {
    let mut out = Outbox::new(64, Default::default());
    let rows: Vec<u64> = (0..20).map(|i| i % 7).collect();
    let times: Vec<_> = (0..20).map(at).collect();
    assert_eq!(operator.on_batch(Batch::new(&times, &rows), &mut out), Ok(20));
    let mut pieces = Vec::new();
    operator.save(&mut |slot, bytes| pieces.push((slot, bytes.to_vec())));
    assert!(pieces.len() >= 7);
    pieces
}

/// Restores pieces, each of which is taken or refused as a misfit, and fires what was taken.
fn survives<Op: OperatorInput<0, Row = u64, Outputs: OperatorOutput<0>>>(
    mut operator: Op,
    pieces: &[(Slot, Vec<u8>)],
) -> usize {
    let mut taken = 0;
    for (slot, bytes) in pieces {
        match operator.restore(*slot, bytes) {
            Ok(()) => taken += 1,
            Err(OperatorError::Misfit(what)) => assert!(what.contains(&format!("slot {slot}")), "{what}"),
            Err(other) => panic!("{other}"),
        }
    }
    let mut out = Outbox::new(1 << 12, Default::default());
    assert_eq!(operator.on_watermark(Timestamp::MAX, &mut out), Ok(Firing::Done));
    assert!(out.rows::<0>().0.len() >= taken.min(1));
    taken
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn random_bytes_are_taken_or_refused(
        slot: Slot, mut bytes in prop::collection::vec(any::<u8>(), 0..64), key: u64, fits: bool
    ) {
        let mut slot = slot;
        if fits && bytes.len() >= 16 {
            // A key of its slot, so that what follows the key is looked at too.
            bytes[8..16].copy_from_slice(&key.to_le_bytes());
            slot = slot_of(hash_key(&key));
        }
        let pieces = [(slot, bytes)];
        survives(tumbling(), &pieces);
        let mut operator = process();
        if let Err(error) = operator.restore(slot, &pieces[0].1) {
            prop_assert!(matches!(error, OperatorError::Misfit(_)));
        }
    }

    #[test]
    fn pieces_cut_short_moved_and_flipped_are_taken_or_refused(
        which: prop::sample::Index, bit: prop::sample::Index, cut: prop::sample::Index, other in 0..SLOTS as Slot
    ) {
        for (pieces, is_process) in [(saved(tumbling()), false), (saved(process()), true)] {
            let (slot, bytes) = &pieces[which.index(pieces.len())];
            let mut flipped = bytes.clone();
            let bit = bit.index(bytes.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            let cut = bytes[..cut.index(bytes.len())].to_vec();
            let lost_timers_only = is_process && cut.len() >= 16 && cut.len() % 8 == 0;
            let moved = (other, bytes.clone());
            let damaged = [(*slot, flipped), (*slot, cut.clone()), moved, (*slot, Vec::new())];
            if is_process {
                for (at, (slot, bytes)) in damaged.iter().enumerate() {
                    let restored = process().restore(*slot, bytes);
                    let may_fit = at == 0 || (at == 1 && lost_timers_only) || (at == 2 && other == pieces[which.index(pieces.len())].0);
                    prop_assert!(matches!(restored, Err(OperatorError::Misfit(_))) || (restored.is_ok() && may_fit));
                }
            } else {
                let taken = survives(tumbling(), &damaged);
                prop_assert!(taken <= 1 + usize::from(other == *slot));
            }
        }
    }
}

#[test]
fn pieces_of_another_operator_are_refused() {
    for (slot, bytes) in saved(tumbling()) {
        let other = testing::tumbling(Tumbling::of(Duration::from_nanos(10)), |row: &u32| *row, crate::count());
        let error = { other }.restore(slot, &bytes).unwrap_err();
        assert_eq!(error, OperatorError::Misfit(format!("a wrong length in a piece of slot {slot} of tumbling")));
    }
}

#[test]
fn windows_at_the_ends_of_time_are_restored_and_those_that_start_nowhere_refused() {
    let key = 7u64;
    for time in [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1] {
        let start = Tumbling::of(Duration::from_nanos(10)).assign(at(time)).start.as_nanos();
        for (start, taken) in [(start, 1), (start + 3, 0)] {
            let mut piece = start.to_le_bytes().to_vec();
            piece.extend_from_slice(&key.to_le_bytes());
            piece.resize(16 + 24, 1);
            assert_eq!(survives(tumbling(), &[(slot_of(hash_key(&key)), piece)]), taken, "{start}");
        }
    }
}
