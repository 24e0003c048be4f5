//! Operators with one planted fault each, which the harness must find, and the one without.

use crate::testing::{Expected, Failure, Script, Step, Verify};
use crate::{Batch, CanonicalKey, Firing, Operator, OperatorError, Outbox, Slot, Timestamp, hash_key, slot_of};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    DropsRowsWhenFull,
    IgnoresFull,
    Stalls,
    StopsEarly,
    TakesTooMany,
    EmitsForRowsNotTaken,
    EmitsOutOfOrder,
    EmitsLateTwice,
    CountsTheBatch,
    TrustsBounds,
    ClearsTheOutbox,
    Fails,
    Panics,
    FiresUnsorted,
    FiresEarly,
    FiresAgain,
    FiresIntoFullOutbox,
    LosesFiringWhenFull,
    NeverDone,
    NeverEnds,
    PartsOneKey,
    FiresAsRow,
    EmitsAsFired,
    LateAtWatermark,
    ForgetsState,
    ForgetsWaiting,
    NeedsOrderOfPieces,
    RefusesPieces,
    SavesToOneSlot,
    SlotsOutOfRange,
    SharesState,
}

/// Numbers the rows of each key as they come, and once more when the watermark reaches them.
struct Ledger {
    fault: Fault,
    counts: BTreeMap<u32, u64>,
    waiting: BTreeSet<(Timestamp, u32)>,
    shared: Rc<Cell<u64>>,
}

fn ledger(fault: Fault, shared: &Rc<Cell<u64>>) -> Ledger {
    Ledger { fault, counts: BTreeMap::new(), waiting: BTreeSet::new(), shared: shared.clone() }
}

impl Ledger {
    fn take(&mut self, index: usize, time: Timestamp, key: u32, batch: Batch<'_, u32>, out: &mut Outbox<u64, u32>) {
        let count = self.counts.entry(key).or_default();
        *count += 1;
        self.waiting.insert((time, key));
        match self.fault {
            Fault::CountsTheBatch => out.emit(index, time, batch.values.len() as u64),
            Fault::TrustsBounds => out.emit(index, batch.bounds.map_or(time, |(_, max)| max), *count),
            Fault::EmitsAsFired => out.emit_fired(time, CanonicalKey::of(&key, out.symbols()), hash_key(&key), *count),
            Fault::EmitsOutOfOrder => out.emit(batch.values.len() - 1 - index, time, *count),
            Fault::SharesState => {
                self.shared.set(self.shared.get() + 1);
                out.emit(index, time, self.shared.get());
            }
            _ => out.emit(index, time, *count),
        }
    }

    fn next(&self) -> Option<(Timestamp, u32)> {
        match self.fault {
            Fault::FiresUnsorted => self.waiting.last().copied(),
            _ => self.waiting.first().copied(),
        }
    }
}

impl Operator for Ledger {
    type In = u32;
    type Out = u64;

    fn on_batch(&mut self, batch: Batch<'_, u32>, out: &mut Outbox<u64, u32>) -> Result<usize, OperatorError> {
        let rows = batch.values.len();
        match self.fault {
            Fault::Stalls => return Ok(0),
            Fault::ClearsTheOutbox => out.clear(),
            Fault::Fails => return Err(OperatorError::TooManyKeys(0)),
            Fault::Panics => panic!("planted"),
            _ => {}
        }
        for (index, (&time, &key)) in batch.times.iter().zip(batch.values).enumerate() {
            if out.is_full() && self.fault != Fault::IgnoresFull {
                if self.fault == Fault::EmitsForRowsNotTaken {
                    out.emit(rows - 1, time, 0);
                }
                return Ok(if self.fault == Fault::DropsRowsWhenFull { rows } else { index });
            }
            if self.fault == Fault::StopsEarly && index == 3 {
                return Ok(index);
            }
            if batch.behind.is_none() {
                self.take(index, time, key, batch, out);
                continue;
            }
            out.emit_late(index, time, key);
            if self.fault == Fault::EmitsLateTwice {
                out.emit_late(index, time, key);
            }
        }
        Ok(if self.fault == Fault::TakesTooMany { rows + 1 } else { rows })
    }

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<u64, u32>) -> Result<Firing, OperatorError> {
        let early = if self.fault == Fault::FiresEarly { watermark.plus_nanos(1) } else { watermark };
        while let Some((time, key)) = self.next().filter(|(time, _)| *time <= early) {
            if out.is_full() {
                match self.fault {
                    Fault::LosesFiringWhenFull => return Ok(Firing::Done),
                    Fault::FiresIntoFullOutbox => {}
                    _ => return Ok(Firing::More),
                }
            }
            let count = self.counts[&key];
            if self.fault == Fault::FiresAsRow {
                out.emit(0, time, count);
            } else if self.fault == Fault::PartsOneKey {
                // All keys under one name.
                out.emit_fired(time, CanonicalKey::default(), 0, count);
            } else {
                out.emit_fired(time, CanonicalKey::of(&key, out.symbols()), hash_key(&key), count);
            }
            match self.fault {
                Fault::NeverEnds => continue,
                Fault::FiresAgain if self.waiting.len() == 1 => return Ok(Firing::Done),
                _ => self.waiting.remove(&(time, key)),
            };
        }
        if self.fault == Fault::LateAtWatermark {
            out.emit_late(0, watermark, 0);
        }
        Ok(if self.fault == Fault::NeverDone { Firing::More } else { Firing::Done })
    }

    fn save(&self, piece: &mut dyn FnMut(Slot, &[u8])) {
        for (number, (&key, &count)) in self.counts.iter().enumerate() {
            let mut bytes = bytemuck::bytes_of(&[u64::from(key), count, number as u64]).to_vec();
            for (time, _) in self.waiting.iter().filter(|(_, other)| *other == key) {
                bytes.extend_from_slice(bytemuck::bytes_of(time));
            }
            let slot = match self.fault {
                Fault::SavesToOneSlot => 0,
                Fault::SlotsOutOfRange => 4096,
                _ => slot_of(hash_key(&key)),
            };
            piece(slot, &bytes);
        }
    }

    fn restore(&mut self, _: Slot, piece: &[u8]) -> Result<(), OperatorError> {
        let words: Vec<i64> = piece.chunks(8).map(bytemuck::pod_read_unaligned).collect();
        let key = words[0] as u32;
        match self.fault {
            Fault::ForgetsState => return Ok(()),
            Fault::RefusesPieces => return Err(OperatorError::Misfit(String::from("planted"))),
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

fn model(script: &Script<u32>) -> Expected<u64, u32> {
    let mut expected = Expected::default();
    let mut counts = BTreeMap::<u32, u64>::new();
    let mut waiting = BTreeSet::new();
    for step in script.steps() {
        match *step {
            Step::Row { time, value } => {
                *counts.entry(value).or_default() += 1;
                waiting.insert((time, value));
                expected.main.push((time, counts[&value]));
            }
            Step::Behind { time, value, .. } => expected.late.push((time, value)),
            Step::Watermark(watermark) => {
                let fired = waiting.iter().filter(|(time, _)| *time <= watermark);
                expected.main.extend(fired.map(|(time, key)| (*time, counts[key])));
                waiting.retain(|(time, _)| *time > watermark);
            }
        }
    }
    expected
}

/// Some rows of four keys in three spans of time, each with a watermark and a late row behind it.
fn verify(fault: Fault) -> Result<(), Failure> {
    let shared = Rc::new(Cell::new(0));
    let mut verify = Verify::new(move || ledger(fault, &shared)).keyed_by(|key: &u32| *key);
    for span in [10, 20, 30] {
        for i in 0..8 {
            verify = verify.row(span + (i * 3) % 8, (i % 4) as u32);
        }
        verify = verify.row(span, 2);
        verify = verify.watermark(span + 5).behind(span, 9, span + 5).watermark(span + 6);
    }
    verify.end().against(model).result()
}

#[test]
fn an_operator_that_keeps_the_contract_stands_all_modes() {
    verify(Fault::None).unwrap();
}

#[test]
fn each_planted_fault_is_found_and_told() {
    for (fault, what) in [
        (Fault::DropsRowsWhenFull, "output differs"),
        (Fault::IgnoresFull, "though the outbox was full"),
        (Fault::Stalls, "on_batch took 0 of 9 rows, though the outbox is not full"),
        (Fault::StopsEarly, "on_batch took 3 of 9 rows, though the outbox is not full"),
        (Fault::TakesTooMany, "on_batch took 10 rows of 9"),
        (Fault::EmitsForRowsNotTaken, "on_batch emitted for row 8 of 9, but took 1"),
        (Fault::EmitsOutOfOrder, "on_batch emitted for row 7 of the batch after row 8"),
        (Fault::EmitsLateTwice, "row 1 of the late output differs (3 rows expected, 6 found)"),
        (Fault::CountsTheBatch, "row 0 of the main output differs"),
        (Fault::TrustsBounds, "output differs"),
        (Fault::ClearsTheOutbox, "it took rows out of the outbox"),
        (Fault::Fails, "on_batch failed: there are more than 0 keys"),
        (Fault::Panics, "panicked: planted"),
        (Fault::FiresUnsorted, "not in growing order of time, canonical key and hash"),
        (Fault::FiresEarly, "row 17 of the main output differs"),
        (Fault::FiresAgain, "it had fired all, but fires again for the same watermark"),
        (Fault::FiresIntoFullOutbox, "on_watermark went on to emit into an outbox that had become full"),
        (Fault::LosesFiringWhenFull, "it had fired all, but fires again for the same watermark"),
        (Fault::NeverDone, "no end: it is still going on after"),
        (Fault::NeverEnds, "no end: it is still going on after"),
        (Fault::PartsOneKey, "on_watermark parted rows of one key and time"),
        (Fault::FiresAsRow, "on_watermark emitted a row as caused by a row of a batch"),
        (Fault::EmitsAsFired, "on_batch emitted a row as fired by a watermark"),
        (Fault::LateAtWatermark, "on_watermark emitted late rows"),
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
