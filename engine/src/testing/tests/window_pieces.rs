//! Damaged state of windows: it is refused, or the operator goes on with it; no panic.

use super::{at, cases};
use crate::operator::aggregate::Rows;
use crate::operator::state::{self, Piece};
use crate::operator::window::count::CountOperator;
use crate::operator::window::overlapping::{Overlapping, OverlappingOperator};
use crate::operator::window::per_key::{PerKeyOperator, PerKeySettings};
use crate::operator::window::sessions::SessionOperator;
use crate::operator::window::updated::UpdatedOperator;
use crate::{
    ALL_SLOTS, Batch, CountWindow, Firing, OperatorInput, Outbox, Scope, Session, Sliding, StoreSettings, Timestamp,
    Trigger, Tumbling, Windowed, Windows, max, mean,
};
use proptest::prelude::*;
use std::time::Duration;

const WATERMARKS: [i64; 4] = [3, 9, 12, 40];

fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn key_of(row: &u64) -> u64 {
    *row % 3
}

/// Gives the operator rows around a watermark, as far as it takes them.
fn feed<Op: OperatorInput<0, Row = u64>>(operator: &mut Op, watermark: i64) {
    let mut out = Outbox::new(1 << 12, Default::default());
    let rows: Vec<u64> = (0..20).collect();
    let times: Vec<Timestamp> = (watermark - 12..watermark + 8).map(at).collect();
    let watermarks = vec![at(watermark); times.len()];
    let mut start = 0;
    while start < rows.len() {
        let batch = Batch::with_watermarks(&times[start..], &rows[start..], &watermarks[start..]);
        match operator.on_batch(batch, &mut out) {
            Ok(taken) => start += taken,
            Err(_) => return,
        }
        out.clear();
    }
}

/// Restores the pieces of an operator after some rows, one of which has other bits, and goes on with what was taken.
fn survives<Op: OperatorInput<0, Row = u64>>(make: impl Fn() -> Op, which: usize, at_bit: usize, bits: u64) {
    let mut operator = make();
    WATERMARKS[..2].iter().for_each(|watermark| feed(&mut operator, *watermark));
    let mut pieces: Vec<Piece> = state::save(&mut operator, Scope::All);
    let count = pieces.len();
    let bytes = &mut pieces[which % count].bytes;
    let place = at_bit % bytes.len();
    for (byte, other) in bytes[place..].iter_mut().zip(bits.to_le_bytes()) {
        *byte ^= other;
    }
    let mut operator = make();
    for piece in &pieces {
        if state::restore(&mut operator, piece, &ALL_SLOTS, true).is_err() {
            return;
        }
    }
    if state::check(&mut operator).is_err() {
        return;
    }
    WATERMARKS[2..].iter().for_each(|watermark| feed(&mut operator, *watermark));
    let mut out = Outbox::new(1 << 12, Default::default());
    for _ in 0..10_000 {
        if operator.on_watermark(Timestamp::MAX, &mut out) != Ok(Firing::More) {
            return;
        }
        out.clear();
    }
    panic!("it does not come to an end");
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn state_of_windows_that_is_damaged_is_refused_or_gone_on_with(
        which: usize,
        // Most numbers lie at multiples of 8.
        place in prop_oneof![2 => (0usize..24).prop_map(|word| word * 8), 1 => any::<usize>()],
        bits in prop_oneof![1 => any::<u64>(), 2 => Just(u64::MAX), 1 => (0u32..64).prop_map(|bit| 1 << bit)]
    ) {
        let stores = StoreSettings::default();
        let means = || Rows::new(mean(|row: &u64| *row as i64), Windowed::new);
        let most = || Rows::new(max(|row: &u64| *row as i64), Windowed::new);
        let per_key = |windows: Windows<u64>| {
            let trigger = Trigger::watermark().early_count(3);
            let settings = PerKeySettings { windows, trigger, lateness: 6 };
            PerKeyOperator::new(settings, key_of, means(), &stores)
        };
        let sliding = || Sliding::of(nanos(12), nanos(4));
        let shared = || Overlapping::of(&Windows::<u64>::from(sliding()).0).unwrap();
        survives(|| per_key(Session::gap(nanos(5)).into()), which, place, bits);
        survives(|| per_key(sliding().into()), which, place, bits);
        survives(|| SessionOperator::new(Session::gap(nanos(5)), key_of, means(), &stores), which, place, bits);
        survives(|| OverlappingOperator::new(shared(), key_of, means(), &stores), which, place, bits);
        survives(|| OverlappingOperator::new(shared(), key_of, most(), &stores), which, place, bits);
        survives(|| UpdatedOperator::new((Tumbling::of(nanos(10)), 6), key_of, means(), &stores), which, place, bits);
        for every in [2, 5] {
            survives(|| CountOperator::new(CountWindow::of(5).every(every), key_of, means(), &stores), which, place, bits);
            survives(|| CountOperator::new(CountWindow::of(5).every(every), key_of, most(), &stores), which, place, bits);
        }
    }
}

/// Counts that wrap are wrong, but they are what was saved: the job goes on.
#[test]
fn counts_of_windows_that_are_as_large_as_they_can_be_are_added_to() {
    let stores = StoreSettings::default();
    let make = || {
        let (windows, trigger) = (Session::gap(nanos(5)).into(), Trigger::watermark().early_count(3));
        let means = Rows::new(mean(|row: &u64| *row as i64), Windowed::new);
        PerKeyOperator::new(PerKeySettings { windows, trigger, lateness: 6 }, key_of, means, &stores)
    };
    let mut operator = make();
    feed(&mut operator, 9);
    let mut pieces = state::save(&mut operator, Scope::All);
    let windows: Vec<_> = pieces.iter_mut().filter(|piece| piece.store == "windows").collect();
    assert_eq!(windows.len(), 3);
    for piece in windows {
        // The key, start and end of the window, its end and when it fires early; then three counts.
        piece.bytes[40..64].fill(0xff);
    }
    let mut operator = make();
    pieces.iter().for_each(|piece| state::restore(&mut operator, piece, &ALL_SLOTS, true).unwrap());
    feed(&mut operator, 12);
    feed(&mut operator, 40);
}
