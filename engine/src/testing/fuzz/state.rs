//! Pieces of stores that were edited and are restored.

use super::{Input, Seed};
use crate::operator::state::{self, StorePieces, Taking};
use crate::testing::{process, tumbling};
use crate::{
    Batch, Firing, OperatorInput, OperatorOutput, Outbox, ProcessContext, ProcessFunction, SLOTS, Scope, Slot,
    Timestamp, Tumbling, count, mean,
};
use std::sync::OnceLock;
use std::time::Duration;

/// Most rows that a step emits at once.
const OUT: usize = 1 << 8;

/// Keeps the last row of a key, and emits it at two times behind it.
#[derive(Clone)]
pub(crate) struct Timing;

impl ProcessFunction<u64> for Timing {
    type In = u64;
    type State = u64;
    type Out = u64;

    fn on_row(&self, _: &u64, time: Timestamp, row: &u64, state: &mut u64, context: &mut ProcessContext<'_, u64>) {
        *state = *row;
        context.timer(time.plus_nanos(5));
        context.timer(time.plus_nanos(50));
    }

    fn on_timer(&self, _: &u64, _: Timestamp, state: &mut u64, context: &mut ProcessContext<'_, u64>) {
        context.emit(*state);
    }
}

/// Has an operator take 20 rows from a time on, and fire up to some time in between.
fn feed<Op: OperatorInput<0, Row = u64, Outputs: OperatorOutput<0>>>(operator: &mut Op, start: i64) -> bool {
    let mut out = Outbox::new(OUT, Default::default());
    let rows: Vec<u64> = (0..20).map(|row| row % 7).collect();
    let times: Vec<_> = (0..20).map(|at| Timestamp::from_nanos(start + at)).collect();
    operator.on_batch(Batch::new(&times, &rows), &mut out).is_ok()
}

/// All pieces of an operator, store by store.
fn saved<Op: OperatorInput<0>>(operator: &mut Op) -> Vec<StorePieces> {
    state::mark(operator, Scope::All);
    let (pieces, is_all) = state::take(operator, usize::MAX);
    assert!(is_all);
    pieces
}

/// Restores edited pieces into an operator, goes on and saves it: what is saved can be restored and is the same then.
/// Whether what was edited could be restored.
fn restore<Op: OperatorInput<0, Row = u64, Outputs: OperatorOutput<0>>>(
    make: impl Fn() -> Op,
    seeds: &OnceLock<Vec<(&'static str, Seed)>>,
    mut input: Input<'_>,
) -> bool {
    let seeds = seeds.get_or_init(|| {
        let mut operator = make();
        assert!(feed(&mut operator, 0));
        let seed = |pieces: StorePieces| {
            let bytes = pieces.pieces.bytes().to_vec();
            let place = 0..bytes.len();
            (pieces.store, Seed::new(bytes, vec![place.clone(), 0..place.end.min(24)], 0, |_, _| {}))
        };
        saved(&mut operator).into_iter().map(seed).collect()
    });
    let options = input.byte();
    let mut operator = make();
    let taking = match options & 3 {
        0 | 1 => Taking::SAME,
        2 => Taking::Dealt(0..SLOTS as Slot, true),
        _ => Taking::Dealt(0..SLOTS as Slot / 2, false),
    };
    let edited = usize::from(options >> 2) % seeds.len();
    let mut is_taken = true;
    for (number, (store, seed)) in seeds.iter().enumerate() {
        let bytes = if number == edited { seed.edited(&mut input) } else { seed.bytes().to_vec() };
        is_taken &= state::read(&mut operator, store, &bytes, &taking).is_ok();
    }
    // Where a store is beyond its limits, a job stops.
    if !is_taken || state::check(&mut operator).is_err() {
        return false;
    }
    let pieces = saved(&mut operator);
    let mut again = make();
    for StorePieces { store, pieces } in &pieces {
        let read = state::read(&mut again, store, pieces.bytes(), &Taking::SAME);
        assert!(read.is_ok(), "what was saved of {store} cannot be restored: {read:?}");
    }
    assert_eq!(
        saved(&mut again).iter().map(|pieces| pieces.pieces.len()).sum::<usize>(),
        pieces.iter().map(|pieces| pieces.pieces.len()).sum::<usize>()
    );
    let mut out = Outbox::new(OUT, Default::default());
    let fired = operator.on_watermark(Timestamp::from_nanos(10), &mut out);
    if fired == Ok(Firing::Done) && feed(&mut operator, 11) {
        let mut out = Outbox::new(OUT, Default::default());
        // It may be full, and then there is more.
        let _ = operator.on_watermark(Timestamp::MAX, &mut out);
    }
    true
}

/// Restores edited pieces of the stores of a step; whether they could be restored.
pub fn state(input: &[u8]) -> bool {
    static SEEDS: [OnceLock<Vec<(&'static str, Seed)>>; 3] = [const { OnceLock::new() }; 3];
    let mut input = Input(input);
    let windows = Tumbling::of(Duration::from_nanos(10));
    match input.byte() % 3 {
        0 => restore(|| process(|row: &u64| *row, Timing), &SEEDS[0], input),
        1 => restore(|| tumbling(windows, |row: &u64| *row, mean(|row: &u64| *row as i64)), &SEEDS[1], input),
        _ => restore(|| tumbling(windows, |row: &u64| *row as u32, count()), &SEEDS[2], input),
    }
}
