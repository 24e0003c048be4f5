//! Operators with two inputs, of which a small one has planted faults.

use super::whole::{Marked, Whole};
use super::{at, cases};
use crate::testing::{ExpectedTwo, Failure, Script, Side, Step, Verify, hash_of};
use crate::{
    Batch, CanonicalKey, Firing, Operator, OperatorError, OperatorInput, Outbox, Record, Slot, Store, StoreError,
    Timestamp, slot_of,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A row of the left input.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Ask {
    key: u64,
    number: u64,
}

/// A row of the right input.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Quote {
    key: u64,
    value: i64,
}

/// A left row with the last right value of its key, or the value that a key has for its span.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Answer {
    key: u64,
    number: u64,
    value: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    ForgetsRight,
    TakesLateQuotes,
    SwapsLateRows,
    FiresOnOneInputOnly,
    AnswersAtTheNextQuote,
    CountsOneInput,
}

/// A value lasts until the watermark has come so far behind its time.
const SPAN: i64 = 10;

/// Answers each left row with the last right value of its key, and says when that is no longer good.
struct Latest {
    fault: Fault,
    /// By key: the value and when it ends.
    values: BTreeMap<u64, (i64, Timestamp)>,
    kept: Vec<(Timestamp, Ask)>,
    marked: Vec<Marked>,
}

type Out = Outbox<(Answer, Ask, Quote)>;

impl Latest {
    /// Fires what ends at or before the watermark; whether that is all.
    fn fire(&mut self, watermark: Timestamp, out: &mut Out) -> bool {
        while let Some((end, key)) = self.first_end().filter(|(end, _)| *end <= watermark) {
            if out.is_full() {
                return false;
            }
            let value = self.values.remove(&key).map_or(0, |(value, _)| value);
            let answer = Answer { key, number: u64::MAX, value };
            out.emit_fired::<0>(end, CanonicalKey::of(&key, out.symbols()), answer);
        }
        true
    }

    /// When the first value ends, and its key.
    fn first_end(&self) -> Option<(Timestamp, u64)> {
        self.values.iter().map(|(key, (_, end))| (*end, *key)).min()
    }

    fn answer(&self, ask: Ask) -> Answer {
        let value = self.values.get(&ask.key).map_or(0, |(value, _)| *value);
        Answer { key: ask.key, number: ask.number, value }
    }
}

impl Operator for Latest {
    type Outputs = (Answer, Ask, Quote);

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Out) -> Result<Firing, OperatorError> {
        Ok(if self.fire(watermark, out) { Firing::Done } else { Firing::More })
    }

    fn next_firing(&self) -> Timestamp {
        self.first_end().map_or(Timestamp::MAX, |(end, _)| end)
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("all", self);
    }
}

impl Whole for Latest {
    fn marked(&mut self) -> &mut Vec<Marked> {
        &mut self.marked
    }

    fn pieces(&self) -> Vec<(Slot, Vec<u8>)> {
        let mut pieces = Vec::new();
        for (key, (value, end)) in &self.values {
            pieces.push((slot_of(hash_of(key)), bytemuck::bytes_of(&[*key as i64, *value, end.as_nanos()]).to_vec()));
        }
        pieces
    }

    fn clear(&mut self) {
        self.values.clear();
    }

    fn add(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        let [key, value, end]: [i64; 3] = bytemuck::pod_read_unaligned(piece);
        if self.fault != Fault::ForgetsRight {
            self.values.insert(key as u64, (value, at(end)));
        }
        Ok(())
    }
}

impl OperatorInput<0> for Latest {
    type Row = Ask;

    fn on_batch(&mut self, batch: Batch<'_, Ask>, out: &mut Out) -> Result<usize, OperatorError> {
        for (index, (&time, &ask)) in batch.times().iter().zip(batch.values()).enumerate() {
            if !self.fire(batch.watermark(index), out) || out.is_full() {
                return Ok(index);
            }
            if batch.is_behind(index) {
                out.emit::<1>(index, time, ask);
            } else if self.fault == Fault::AnswersAtTheNextQuote {
                self.kept.push((time, ask));
            } else {
                out.emit::<0>(index, time, self.answer(ask));
            }
        }
        Ok(batch.len())
    }
}

impl OperatorInput<1> for Latest {
    type Row = Quote;

    fn on_batch(&mut self, batch: Batch<'_, Quote>, out: &mut Out) -> Result<usize, OperatorError> {
        for (index, (&time, &quote)) in batch.times().iter().zip(batch.values()).enumerate() {
            let fires = self.fault != Fault::FiresOnOneInputOnly;
            if (fires && !self.fire(batch.watermark(index), out)) || out.is_full() {
                return Ok(index);
            }
            for (time, ask) in std::mem::take(&mut self.kept) {
                out.emit::<0>(index, time, self.answer(ask));
            }
            if !batch.is_behind(index) || self.fault == Fault::TakesLateQuotes {
                self.values.insert(quote.key, (quote.value, time.plus_nanos(SPAN)));
            } else if self.fault == Fault::SwapsLateRows {
                out.emit::<1>(index, time, Ask { key: quote.key, number: 0 });
            } else {
                out.emit::<2>(index, time, quote);
            }
        }
        Ok(if self.fault == Fault::CountsOneInput { batch.len() - 1 } else { batch.len() })
    }
}

fn model(script: &Script<Side<Ask, Quote>>) -> ExpectedTwo<Answer, Ask, Quote> {
    let mut expected = ExpectedTwo::default();
    let mut values = BTreeMap::<u64, (i64, Timestamp)>::new();
    for step in script.steps() {
        let (Step::Row { watermark, .. } | Step::Watermark(watermark)) = *step;
        let ended = |(key, (value, end)): (&u64, &(i64, Timestamp))| {
            (*end <= watermark).then_some((*end, Answer { key: *key, number: u64::MAX, value: *value }))
        };
        let mut fired: Vec<_> = values.iter().filter_map(ended).collect();
        fired.sort_by_key(|(end, answer)| (*end, answer.key));
        values.retain(|_, (_, end)| *end > watermark);
        expected.main.extend(fired);
        match *step {
            Step::Row { time, value: Side::Left(ask), .. } if time > watermark => {
                let value = values.get(&ask.key).map_or(0, |(value, _)| *value);
                expected.main.push((time, Answer { key: ask.key, number: ask.number, value }));
            }
            Step::Row { time, value: Side::Right(quote), .. } if time > watermark => {
                values.insert(quote.key, (quote.value, time.plus_nanos(SPAN)));
            }
            Step::Row { time, value: Side::Left(ask), .. } => expected.late_left.push((time, ask)),
            Step::Row { time, value: Side::Right(quote), .. } => expected.late_right.push((time, quote)),
            Step::Watermark(_) => {}
        }
    }
    expected
}

fn latest(fault: Fault) -> Latest {
    Latest { fault, values: BTreeMap::new(), kept: Vec::new(), marked: Vec::new() }
}

/// Some rows of both inputs; those of one come several at a time.
fn verify(fault: Fault) -> Result<(), Failure> {
    let ask = |key, number| Ask { key, number };
    let quote = |key, value| Quote { key, value };
    let mut verify = Verify::two(move || latest(fault)).keyed_by(|ask| ask.key, |quote| quote.key);
    for span in [100, 200] {
        verify = verify
            .left(span, ask(1, 1))
            .right(span + 2, quote(1, 7))
            .right(span + 1, quote(2, 8))
            .left(span + 4, ask(1, 2))
            .left(span + 3, ask(2, 3))
            .left_behind(span + 2, ask(1, 4), span + 5)
            .right(span + 6, quote(1, 9))
            .right_behind(span + 3, quote(1, 10), span + 12)
            .left(span + 13, ask(1, 5))
            .right(span + 14, quote(3, 11))
            .watermark(span + 16)
            .right(span + 17, quote(1, 12))
            .left(span + 17, ask(3, 6))
            .left(span + 18, ask(1, 6));
    }
    verify.end().against(model).result()
}

#[test]
fn an_operator_with_two_inputs_that_keeps_the_contract_stands_all_modes() {
    verify(Fault::None).unwrap();
}

#[test]
fn each_planted_fault_of_two_inputs_is_found_and_told() {
    for (fault, what) in [
        (Fault::ForgetsRight, "row 1 of the main output differs"),
        (Fault::TakesLateQuotes, "output differs"),
        (Fault::SwapsLateRows, "row 1 of the late left output differs"),
        (Fault::FiresOnOneInputOnly, "output differs"),
        (Fault::AnswersAtTheNextQuote, "output differs"),
        (Fault::CountsOneInput, "on_batch took none of 1 rows, though the outbox is not full"),
    ] {
        let failure = verify(fault).expect_err(&format!("{fault:?} was not found"));
        assert!(failure.what().contains(what), "{fault:?}: {failure}");
    }
}

#[test]
fn rows_of_two_inputs_are_written_down_and_told_with_their_side() {
    let verify = Verify::two(|| latest(Fault::None))
        .right(3, Quote { key: 1, value: 5 })
        .left(4, Ask { key: 1, number: 2 })
        .right_behind(1, Quote { key: 1, value: 6 }, 8)
        .left_behind(2, Ask { key: 1, number: 3 }, 9);
    let answer = Answer { key: 1, number: 2, value: 5 };
    let (ask, quote) = (Ask { key: 1, number: 3 }, Quote { key: 1, value: 6 });
    verify.expect([(4, answer)], [(2, ask)], [(1, quote)]).check();
    verify.consistent().check();
    let failure = verify.expect([(4, answer)], [(2, ask)], []).result().unwrap_err();
    assert_eq!(failure.step(), Some("step 2 of 4, right row 1ns key=1 value=6 behind 8ns"));
    assert!(failure.what().starts_with("row 0 of the late right output differs (0 rows expected, 1 found)"));
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn random_scripts_of_two_inputs_give_what_the_model_gives(
        raw in prop::collection::vec((0u8..8, 0i64..9, 0u64..4), 0..40), seed: u64
    ) {
        let mut reached = 0;
        let mut verify = Verify::two(|| latest(Fault::None)).keyed_by(|ask| ask.key, |quote| quote.key).seed(seed);
        for (number, (kind, shift, key)) in raw.into_iter().enumerate() {
            reached += [0, 0, 0, 0, shift, shift, shift / 2, shift][usize::from(kind)];
            let time = at(if kind < 6 { reached + 1 + shift } else { reached - shift });
            let side = match kind % 2 {
                0 => Side::Left(Ask { key, number: number as u64 }),
                _ => Side::Right(Quote { key, value: number as i64 }),
            };
            verify = verify.steps([Step::Row { time, value: side, watermark: at(reached) }]);
            if shift == 8 {
                verify = verify.watermark(reached);
            }
        }
        if let Err(failure) = verify.against(model).result() {
            return Err(TestCaseError::fail(failure.to_string()));
        }
    }
}
