//! Damaged and foreign pieces of state: an error value, or state of some other run; no panic.

use super::{at, cases};
use crate::operator::state::{self, Piece};
use crate::store::pieces::split_records;
use crate::testing::fuzz::state::Timing;
use crate::testing::{self, hash_of};
use crate::{
    ALL_SLOTS, Batch, Firing, OperatorError, OperatorInput, OperatorOutput, Outbox, SLOTS, Scope, Share, Slot,
    StoreError, Timestamp, Tumbling, mean, slot_of,
};
use proptest::prelude::*;
use std::time::Duration;

fn process() -> impl OperatorInput<0, Row = u64, Outputs = (u64,)> {
    testing::process(|row: &u64| *row, Timing)
}

fn tumbling() -> impl OperatorInput<0, Row = u64, Outputs = (crate::Windowed<u64, f64>, u64)> {
    testing::tumbling(Tumbling::of(Duration::from_nanos(10)), |row: &u64| *row, mean(|row: &u64| *row as i64))
}

/// The pieces of an operator after some rows.
fn saved(mut operator: impl OperatorInput<0, Row = u64>) -> Vec<Piece> {
    let mut out = Outbox::new(64, Default::default());
    let rows: Vec<u64> = (0..20).map(|i| i % 7).collect();
    let times: Vec<_> = (0..20).map(at).collect();
    assert_eq!(operator.on_batch(Batch::new(&times, &rows), &mut out), Ok(20));
    let pieces = state::save(&mut operator, Scope::All);
    // All keys of a store, or of a slice, fit into one piece, and there is one for each timer.
    assert!(pieces.iter().any(|piece| piece.share == Share::Keys));
    pieces
}

/// Restores pieces, each of which is taken or refused as a misfit, and fires what was taken; how many were taken.
fn survives<Op: OperatorInput<0, Row = u64, Outputs: OperatorOutput<0>>>(mut operator: Op, pieces: &[Piece]) -> usize {
    let mut taken = 0;
    for piece in pieces {
        match state::restore(&mut operator, piece, &ALL_SLOTS, true) {
            Ok(()) => taken += 1,
            Err(OperatorError::Store(StoreError::Misfit(what))) => assert!(what.contains(piece.store), "{what}"),
            Err(other) => panic!("{other}"),
        }
    }
    let mut out = Outbox::new(1 << 12, Default::default());
    assert_eq!(operator.on_watermark(Timestamp::MAX, &mut out), Ok(Firing::Done));
    taken
}

fn piece(store: &'static str, slot: Slot, bytes: Vec<u8>) -> Piece {
    Piece { store, share: Share::Slot(slot), bytes }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn random_bytes_are_taken_or_refused(
        slot: Slot, mut bytes in prop::collection::vec(any::<u8>(), 0..64), key: u64, fits: bool
    ) {
        for (store, key_at) in [("slices", 8), ("state", 0), ("timers", 0)] {
            let mut slot = slot;
            if fits && bytes.len() >= key_at + 8 {
                // A key of its slot, so that what follows the key is looked at too.
                bytes[key_at..key_at + 8].copy_from_slice(&key.to_le_bytes());
                slot = slot_of(hash_of(&key));
            }
            for share in [Share::Slot(slot), Share::Keys, Share::All] {
                let piece = [Piece { share, ..piece(store, slot, bytes.clone()) }];
                match store {
                    "slices" => survives(tumbling(), &piece),
                    _ => survives(process(), &piece),
                };
            }
        }
    }

    #[test]
    fn pieces_cut_short_moved_and_flipped_are_taken_or_refused(
        which: prop::sample::Index, bit: prop::sample::Index, cut: prop::sample::Index, other in 0..SLOTS as Slot
    ) {
        for (pieces, is_process) in [(saved(tumbling()), false), (saved(process()), true)] {
            let Piece { store, share, bytes, .. } = &pieces[which.index(pieces.len())];
            let mut flipped = bytes.clone();
            let bit = bit.index(bytes.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            let cut = bytes[..cut.index(bytes.len())].to_vec();
            let is_whole = match share {
                // Some of the keys are left.
                Share::Keys => split_records(&cut, if is_process { 0 } else { 8 }).is_ok(),
                _ => false,
            };
            let damaged = |bytes| Piece { store, share: *share, bytes };
            let mut damaged = vec![damaged(flipped), damaged(cut), damaged(Vec::new())];
            let mut taken_max = 1 + usize::from(is_whole);
            if let Share::Slot(slot) = *share {
                damaged.push(piece(store, other, bytes.clone()));
                taken_max += usize::from(other == slot);
            }
            let taken = if is_process { survives(process(), &damaged) } else { survives(tumbling(), &damaged) };
            prop_assert!(taken <= taken_max);
        }
    }
}

#[test]
fn pieces_of_another_operator_are_refused() {
    for piece in saved(tumbling()) {
        let other = testing::tumbling(Tumbling::of(Duration::from_nanos(10)), |row: &u32| *row, crate::count());
        let error = state::restore(&mut { other }, &piece, &ALL_SLOTS, true).unwrap_err();
        let what = String::from("a wrong length in a piece of several keys of store `slices`");
        assert_eq!(error, StoreError::Misfit(what).into());
        let error = state::restore(&mut process(), &piece, &ALL_SLOTS, true).unwrap_err();
        assert_eq!(error, StoreError::Misfit(String::from("there is no store `slices`")).into());
    }
}

#[test]
fn windows_at_the_ends_of_time_are_restored_and_those_that_start_nowhere_refused() {
    let key = 7u64;
    for time in [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1] {
        let start = Tumbling::of(Duration::from_nanos(10)).assign(at(time)).start.as_nanos();
        for (start, taken) in [(start, 1), (start + 3, 0)] {
            let mut bytes = start.to_le_bytes().to_vec();
            bytes.extend_from_slice(&key.to_le_bytes());
            bytes.resize(16 + 24, 1);
            assert_eq!(survives(tumbling(), &[piece("slices", slot_of(hash_of(&key)), bytes)]), taken, "{start}");
        }
    }
}

#[test]
fn counts_that_are_as_large_as_they_can_be_are_added_to() {
    let key = 3u64;
    // The slice, the key, and a mean's sum and count.
    let bytes = [&0i64.to_le_bytes()[..], &key.to_le_bytes(), &[0xff; 24]].concat();
    let largest = piece("slices", slot_of(hash_of(&key)), bytes);
    assert_eq!(survives(tumbling(), &[largest.clone(), largest]), 2);
}
