//! Operators that give the rows of one cause in parts, and those that fire without a sign.

use super::at;
use super::whole::{Marked, Whole};
use crate::testing::{Failure, Step, Verify};
use crate::{
    Batch, CanonicalKey, Firing, Operator, OperatorError, OperatorInput, Outbox, Slot, Store, StoreError, Timestamp,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    StartsAgain,
    TakesTheRowInParts,
    LateRowsOvertake,
}

/// Gives each row as often as it says, as much as there is room for, and again when the watermark has reached it. Rows
/// behind the watermark go to the second output.
struct Copies {
    fault: Fault,
    /// Copies given of the row that comes next, and of the one that fires.
    given: [u64; 2],
    waiting: Vec<(Timestamp, u64)>,
    marked: Vec<Marked>,
}

type Out = Outbox<(u64, u64)>;

impl Copies {
    /// Gives the rest of a row's copies, as far as there is room; whether all have been given.
    fn give(&mut self, which: usize, copies: u64, out: &mut Out, emit: impl Fn(&mut Out)) -> bool {
        let given = &mut self.given[which];
        while *given < copies {
            if out.is_full() {
                *given = if self.fault == Fault::StartsAgain { 0 } else { *given };
                return false;
            }
            *given += 1;
            emit(out);
        }
        *given = 0;
        true
    }
}

impl Operator for Copies {
    type Outputs = (u64, u64);

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Out) -> Result<Firing, OperatorError> {
        while let Some((time, copies)) = self.waiting.first().copied().filter(|(time, _)| *time <= watermark) {
            // All rows of one time have one key.
            if !self.give(1, copies, out, |out| out.emit_fired::<0>(time, CanonicalKey::default(), copies)) {
                return Ok(Firing::More);
            }
            self.waiting.remove(0);
        }
        Ok(Firing::Done)
    }

    fn next_firing(&self) -> Timestamp {
        self.waiting.first().map_or(Timestamp::MAX, |(time, _)| *time)
    }

    fn needs_watermarks(&self) -> bool {
        false
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("all", self);
    }
}

impl Whole for Copies {
    fn marked(&mut self) -> &mut Vec<Marked> {
        &mut self.marked
    }

    fn pieces(&self) -> Vec<(Slot, Vec<u8>)> {
        let mut pieces = Vec::new();
        assert_eq!(self.given, [0; 2], "saved within a row or a firing");
        self.waiting.iter().for_each(|(time, copies)| {
            pieces.push((7, bytemuck::bytes_of(&[time.as_nanos() as u64, *copies]).to_vec()))
        });
        pieces
    }

    fn clear(&mut self) {
        self.waiting.clear();
    }

    fn add(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        let [time, copies]: [u64; 2] = bytemuck::pod_read_unaligned(piece);
        self.waiting.push((at(time as i64), copies));
        self.waiting.sort();
        Ok(())
    }
}

impl OperatorInput<0> for Copies {
    type Row = u64;

    fn on_batch(&mut self, batch: Batch<'_, u64>, out: &mut Out) -> Result<usize, OperatorError> {
        for (index, (&time, &copies)) in batch.times().iter().zip(batch.values()).enumerate() {
            if !batch.is_behind(index) {
                self.waiting.push((time, copies));
                self.waiting.sort();
                continue;
            }
            // What is due before a late row stands before it.
            let is_due = self.next_firing() <= batch.watermark(index);
            if is_due && index > 0 && self.fault != Fault::LateRowsOvertake {
                return Ok(index);
            }
            if !self.give(0, copies, out, |out| out.emit::<1>(index, time, copies)) {
                return Ok(index + usize::from(self.fault == Fault::TakesTheRowInParts));
            }
        }
        Ok(batch.len())
    }
}

fn verify(fault: Fault) -> Result<(), Failure> {
    let late = |time: i64, value, watermark| Step::Row { time: at(time), value, watermark: at(watermark) };
    Verify::new(move || Copies { fault, given: [0; 2], waiting: Vec::new(), marked: Vec::new() })
        .row(5, 3)
        .row(7, 1)
        .row(9, 4)
        .steps([late(2, 4, 4), late(3, 2, 7), late(4, 1, 7), late(8, 5, 9)])
        .row(12, 2)
        .end()
        .against(|script| {
            let (mut main, mut behind) = (Vec::new(), Vec::new());
            for step in script.steps() {
                let Step::Row { time, value, watermark } = *step else { continue };
                let rows = if time > watermark { &mut main } else { &mut behind };
                rows.extend(vec![(time, value); value as usize]);
            }
            (main, behind)
        })
        .result()
}

#[test]
fn an_operator_may_give_the_rows_of_one_cause_in_parts() {
    verify(Fault::None).unwrap();
}

#[test]
fn faults_of_operators_that_give_parts_are_found() {
    for (fault, what) in [
        (Fault::StartsAgain, "no end"),
        (Fault::TakesTheRowInParts, "output differs"),
        (Fault::LateRowsOvertake, "rows do not leave all outputs in the job's order"),
    ] {
        let failure = verify(fault).expect_err(&format!("{fault:?} was not found"));
        assert!(failure.what().contains(what), "{fault:?}: {failure}");
    }
}
