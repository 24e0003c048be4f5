//! Operators with one planted fault each, which the harness must find, and the one without.

use super::whole::{Marked, Whole};
use crate::testing::{Expected, Failure, Script, Step, Verify, hash_of};
use crate::{
    Batch, CanonicalKey, Firing, Operator, OperatorError, OperatorInput, Outbox, Slot, Store, StoreError, Timestamp,
    slot_of,
};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// None either: it takes three rows at once at most.
    TakesFew,
    // What it takes and emits.
    DropsRowsWhenFull,
    IgnoresFull,
    Stalls,
    TakesTooMany,
    EmitsForRowsNotTaken,
    EmitsOutOfOrder,
    EmitsLateTwice,
    CountsTheBatch,
    TrustsBounds,
    ClearsTheOutbox,
    Fails,
    Panics,
    // When it fires.
    FiresUnsorted,
    FiresEarly,
    FiresEarlyInBatch,
    FiresAgain,
    FiresAgainAtTheEnd,
    FiresIntoFullOutbox,
    FiresIntoFullOutboxInBatch,
    LosesFiringWhenFull,
    NeverDone,
    NeverEnds,
    FiresAsRow,
    EmitsAsFired,
    LateAtWatermark,
    FiresBehindTheRow,
    FiresAtWatermarksOnly,
    FiresBelowWhatItFired,
    // Which watermark it takes for a row's.
    TakesTheFirstWatermark,
    TakesTheLastWatermark,
    TakesTheToldWatermark,
    ReadsWatermarksItDoesNotNeed,
    // What it says of its next firing.
    SaysLater,
    SaysNever,
    SaysEarlier,
    SaysNothingOfNewRows,
    // What it saves.
    ForgetsState,
    ForgetsWaiting,
    NeedsOrderOfPieces,
    RefusesPieces,
    SavesToOneSlot,
    SlotsOutOfRange,
    SharesState,
}

/// Numbers the rows of each key as they come, those of key 0 twice, and once more when the watermark reaches them.
struct Ledger {
    fault: Fault,
    counts: BTreeMap<u32, u64>,
    waiting: BTreeSet<(Timestamp, u32)>,
    told: Timestamp,
    /// What it says at least of its next firing.
    said: Timestamp,
    shared: Rc<Cell<u64>>,
    marked: Vec<Marked>,
}

fn ledger(fault: Fault, shared: &Rc<Cell<u64>>) -> Ledger {
    Ledger {
        fault,
        counts: BTreeMap::new(),
        waiting: BTreeSet::new(),
        told: Timestamp::MIN,
        said: Timestamp::MIN,
        shared: shared.clone(),
        marked: Vec::new(),
    }
}

type Out = Outbox<(u64, u32)>;

impl Ledger {
    fn take(&mut self, index: usize, batch: Batch<'_, u32>, out: &mut Out) {
        let (time, key) = (batch.times()[index], batch.values()[index]);
        let count = self.counts.entry(key).or_default();
        *count += 1;
        self.waiting.insert((time, key));
        let mut emitted = *count;
        match self.fault {
            Fault::CountsTheBatch => emitted = batch.len() as u64,
            Fault::TrustsBounds if batch.bounds().1 > time => emitted += 100,
            Fault::EmitsAsFired => return out.emit_fired::<0>(time, CanonicalKey::of(&key, out.symbols()), *count),
            Fault::SharesState => {
                self.shared.set(self.shared.get() + 1);
                emitted = self.shared.get();
            }
            _ => {}
        }
        let index = if self.fault == Fault::EmitsOutOfOrder { batch.len() - 1 - index } else { index };
        out.emit::<0>(index, time, emitted);
        if key == 0 {
            out.emit::<0>(index, time, emitted);
        }
    }

    /// What fires next.
    fn due(&self, watermark: Timestamp) -> Option<(Timestamp, u32)> {
        let mut due = self.waiting.range(..=(watermark, u32::MAX));
        if self.fault == Fault::FiresUnsorted { due.next_back().copied() } else { due.next().copied() }
    }

    /// Fires what is due; whether that is all.
    fn fire(&mut self, watermark: Timestamp, out: &mut Out, into_full: Fault) -> bool {
        while let Some((time, key)) = self.due(watermark) {
            if out.is_full() && self.fault != into_full {
                return false;
            }
            let count = self.counts[&key];
            let canonical = CanonicalKey::of(&key, out.symbols());
            match self.fault {
                Fault::FiresAsRow => out.emit::<0>(0, time, count),
                Fault::FiresBelowWhatItFired if key == 3 => out.emit_fired::<0>(time.minus_nanos(30), canonical, count),
                _ => out.emit_fired::<0>(time, canonical, count),
            }
            if self.fault != Fault::NeverEnds {
                self.waiting.remove(&(time, key));
            }
        }
        true
    }
}

impl Operator for Ledger {
    type Outputs = (u64, u32);

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Out) -> Result<Firing, OperatorError> {
        self.told = watermark;
        let early = if self.fault == Fault::FiresEarly { watermark.plus_nanos(1) } else { watermark };
        let last = self.waiting.range(..=(watermark, u32::MAX)).next_back().copied();
        if !self.fire(early, out, Fault::FiresIntoFullOutbox) {
            if self.fault == Fault::LosesFiringWhenFull {
                return Ok(Firing::Done);
            }
            return Ok(Firing::More);
        }
        let is_end = watermark == Timestamp::MAX;
        if self.fault == Fault::FiresAgain || (self.fault == Fault::FiresAgainAtTheEnd && is_end) {
            self.waiting.extend(last);
        }
        if self.fault == Fault::LateAtWatermark {
            out.emit::<1>(0, watermark, 0);
        }
        Ok(if self.fault == Fault::NeverDone { Firing::More } else { Firing::Done })
    }

    fn next_firing(&self) -> Timestamp {
        let next = self.waiting.first().map_or(Timestamp::MAX, |(time, _)| *time);
        match self.fault {
            Fault::SaysLater => next.plus_nanos(1),
            Fault::SaysNever => Timestamp::MAX,
            Fault::SaysEarlier => next.min(self.told),
            // It finds out only when it is told a watermark.
            Fault::SaysNothingOfNewRows => next.max(self.said),
            _ => next,
        }
    }

    fn needs_watermarks(&self) -> bool {
        self.fault != Fault::ReadsWatermarksItDoesNotNeed
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("all", self);
    }
}

impl Whole for Ledger {
    fn marked(&mut self) -> &mut Vec<Marked> {
        &mut self.marked
    }

    fn pieces(&self) -> Vec<(Slot, Vec<u8>)> {
        let mut pieces = Vec::new();
        for (number, (&key, &count)) in self.counts.iter().enumerate() {
            let mut bytes = bytemuck::bytes_of(&[u64::from(key), count, number as u64]).to_vec();
            for (time, _) in self.waiting.iter().filter(|(_, other)| *other == key) {
                bytes.extend_from_slice(bytemuck::bytes_of(time));
            }
            let slot = match self.fault {
                Fault::SavesToOneSlot => 0,
                Fault::SlotsOutOfRange => 4096,
                _ => slot_of(hash_of(&key)),
            };
            pieces.push((slot, bytes));
        }
        pieces
    }

    fn clear(&mut self) {
        self.counts.clear();
        self.waiting.clear();
    }

    fn add(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        let words: Vec<i64> = piece.chunks(8).map(bytemuck::pod_read_unaligned).collect();
        let key = words[0] as u32;
        match self.fault {
            Fault::ForgetsState => return Ok(()),
            Fault::RefusesPieces => return Err(StoreError::Misfit(String::from("planted"))),
            Fault::NeedsOrderOfPieces if words[2] as usize != self.counts.len() => return Ok(()),
            _ => {}
        }
        self.counts.insert(key, words[1] as u64);
        if self.fault != Fault::ForgetsWaiting {
            self.waiting.extend(words[3..].iter().map(|nanos| (Timestamp::from_nanos(*nanos), key)));
        }
        Ok(())
    }
}

impl OperatorInput<0> for Ledger {
    type Row = u32;

    fn on_batch(&mut self, batch: Batch<'_, u32>, out: &mut Out) -> Result<usize, OperatorError> {
        let rows = batch.len();
        match self.fault {
            Fault::Stalls => return Ok(0),
            Fault::ClearsTheOutbox => out.clear(),
            Fault::Fails => return Err(StoreError::TooManyKeys(0).into()),
            Fault::Panics => panic!("planted"),
            Fault::SaysNothingOfNewRows => self.said = Timestamp::MAX,
            _ => {}
        }
        for (index, (&time, &key)) in batch.times().iter().zip(batch.values()).enumerate() {
            let watermark = match self.fault {
                Fault::TakesTheFirstWatermark => batch.watermark(0),
                Fault::TakesTheLastWatermark => batch.watermark(rows - 1),
                Fault::TakesTheToldWatermark => self.told,
                _ => batch.watermark(index),
            };
            let fires_first = !matches!(self.fault, Fault::FiresBehindTheRow | Fault::FiresAtWatermarksOnly);
            let early = if self.fault == Fault::FiresEarlyInBatch { watermark.plus_nanos(1) } else { watermark };
            if fires_first && !self.fire(early, out, Fault::FiresIntoFullOutboxInBatch) {
                return Ok(index);
            }
            if out.is_full() && self.fault != Fault::IgnoresFull {
                if self.fault == Fault::EmitsForRowsNotTaken {
                    out.emit::<0>(rows - 1, time, 0);
                }
                return Ok(if self.fault == Fault::DropsRowsWhenFull { rows } else { index });
            }
            if self.fault == Fault::TakesFew && index == 3 {
                return Ok(index);
            }
            if time > watermark {
                self.take(index, batch, out);
            } else {
                out.emit::<1>(index, time, key);
            }
            if time <= watermark && self.fault == Fault::EmitsLateTwice {
                out.emit::<1>(index, time, key);
            }
            if self.fault == Fault::FiresBehindTheRow {
                self.fire(watermark, out, Fault::FiresBehindTheRow);
            }
        }
        Ok(if self.fault == Fault::TakesTooMany { rows + 1 } else { rows })
    }
}

fn model(script: &Script<u32>) -> Expected<u64, u32> {
    let mut expected = Expected::default();
    let mut counts = BTreeMap::<u32, u64>::new();
    let mut waiting = BTreeSet::new();
    for step in script.steps() {
        let (Step::Row { watermark, .. } | Step::Watermark(watermark)) = *step;
        let fired = waiting.iter().filter(|(time, _)| *time <= watermark);
        expected.main.extend(fired.map(|(time, key)| (*time, counts[key])));
        waiting.retain(|(time, _)| *time > watermark);
        match *step {
            Step::Row { time, value, .. } if time > watermark => {
                *counts.entry(value).or_default() += 1;
                waiting.insert((time, value));
                expected.main.extend(vec![(time, counts[&value]); if value == 0 { 2 } else { 1 }]);
            }
            Step::Row { time, value, .. } => expected.late.push((time, value)),
            Step::Watermark(_) => {}
        }
    }
    expected
}

/// Some rows of four keys in three spans of time, each with watermarks that its rows lead to, one that is told between
/// them, and late rows.
fn verify(fault: Fault) -> Result<(), Failure> {
    let shared = Rc::new(Cell::new(0));
    let mut verify = Verify::new(move || ledger(fault, &shared)).keyed_by(|key: &u32| *key);
    for span in [10, 20, 30] {
        for i in 0..8 {
            verify = verify.row(span + (i * 3) % 8, (i % 4) as u32);
        }
        verify = verify.row(span, 2);
        verify = verify.at(span + 2, span + 6, 1).behind(span + 1, 3, span + 2).at(span + 4, span + 5, 0);
        verify = verify.watermark(span + 5).behind(span, 9, span + 5).watermark(span + 6);
    }
    verify.end().against(model).result()
}

#[test]
fn an_operator_that_keeps_the_contract_stands_all_modes() {
    verify(Fault::None).unwrap();
    verify(Fault::TakesFew).unwrap();
}

#[test]
fn each_planted_fault_is_found_and_told() {
    for (fault, what) in [
        (Fault::DropsRowsWhenFull, "output differs"),
        (Fault::IgnoresFull, "on_batch emitted several rows for row 4 into an outbox that was full"),
        (Fault::Stalls, "on_batch took none of 12 rows, though the outbox is not full"),
        (Fault::TakesTooMany, "on_batch took 13 rows of 12"),
        (Fault::EmitsForRowsNotTaken, "on_batch emitted for row 11 of 12, but took 1"),
        (Fault::EmitsOutOfOrder, "rows do not leave an output in the job's order"),
        (Fault::EmitsLateTwice, "row 1 of the late output differs (6 rows expected, 12 found)"),
        (Fault::CountsTheBatch, "row 0 of the main output differs"),
        (Fault::TrustsBounds, "output differs"),
        (Fault::ClearsTheOutbox, "it took rows out of the outbox"),
        (Fault::Fails, "on_batch failed: there are more than 0 keys"),
        (Fault::Panics, "panicked: planted"),
        (Fault::FiresUnsorted, "rows do not leave an output in the job's order"),
        (Fault::FiresEarly, "on_watermark fired at 16ns, but the watermark is 15ns"),
        (
            Fault::FiresEarlyInBatch,
            "on_batch fired at 15ns, but the watermark before the last row that it looked at is 14ns",
        ),
        (Fault::FiresAgain, "on_watermark has fired all up to 15ns, but next_firing says"),
        (Fault::FiresAgainAtTheEnd, "it had fired all, but fires again for the same watermark"),
        (Fault::FiresIntoFullOutbox, "on_watermark fired into an outbox that was full: a row fired at"),
        (Fault::FiresIntoFullOutboxInBatch, "on_batch fired into an outbox that was full: a row fired at"),
        (Fault::LosesFiringWhenFull, "on_watermark has fired all up to 15ns, but next_firing says"),
        (Fault::NeverDone, "no end: it is still going on after"),
        (Fault::NeverEnds, "no end: it is still going on after"),
        (Fault::FiresAsRow, "rows do not leave an output in the job's order"),
        (Fault::EmitsAsFired, "on_batch fired at 16ns, but the watermark before the last row"),
        (Fault::LateAtWatermark, "on_watermark emitted a row as caused by a row of a batch"),
        (Fault::FiresBehindTheRow, "rows do not leave an output in the job's order"),
        (Fault::FiresAtWatermarksOnly, "rows do not leave an output in the job's order"),
        (Fault::FiresBelowWhatItFired, "rows do not leave an output in the job's order"),
        (Fault::TakesTheFirstWatermark, "rows do not leave an output in the job's order"),
        (Fault::TakesTheLastWatermark, "rows do not leave an output in the job's order"),
        (Fault::TakesTheToldWatermark, "rows do not leave an output in the job's order"),
        (Fault::ReadsWatermarksItDoesNotNeed, "rows do not leave an output in the job's order"),
        (Fault::SaysLater, "on_watermark fired at 15ns at the watermark 15ns, but next_firing had said 16ns"),
        (Fault::SaysNever, "on_watermark fired at 15ns at the watermark 15ns, but next_firing had said +inf"),
        (Fault::SaysEarlier, "on_watermark has fired all up to 15ns, but next_firing says 15ns"),
        (Fault::SaysNothingOfNewRows, "but next_firing had said +inf"),
        (Fault::ForgetsState, "output differs"),
        (Fault::ForgetsWaiting, "output differs"),
        (Fault::NeedsOrderOfPieces, "output differs"),
        (Fault::RefusesPieces, "restore refused a piece that save wrote: saved state does not fit: planted"),
        (Fault::SavesToOneSlot, "but no row of that slot came"),
        (Fault::SlotsOutOfRange, "save wrote a piece of slot 4096, but there are 4096"),
        (Fault::SharesState, "output differs"),
    ] {
        let failure = verify(fault).expect_err(&format!("{fault:?} was not found"));
        assert!(failure.what().contains(what), "{fault:?}: {failure}");
    }
}
