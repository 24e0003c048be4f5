//! The process function over all small scripts.

use super::at;
use crate::testing::model::{self, Actions, Call};
use crate::testing::{self, Step, Verify};
use crate::{ProcessContext, ProcessFunction, Record, Timestamp};

/// What the function was called for, and what it knew.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Note {
    time: Timestamp,
    watermark: Timestamp,
    seen: i64,
    key: u64,
}

/// Rows ask for timers around their time, timers for one as early and one later, as long as there is any left to ask.
fn act(key: u64, call: Call<u64>, seen: &mut i64) -> Actions<Note> {
    let (time, watermark, timers) = match call {
        Call::Row { time, watermark, .. } => {
            *seen += 10;
            (time, watermark, vec![time.plus_nanos(1), time.minus_nanos(1)])
        }
        Call::Timer { time, watermark } => {
            *seen += 1;
            let asks = *seen % 10 < 3;
            (time, watermark, if asks { vec![time.plus_nanos(1), time] } else { vec![] })
        }
    };
    Actions { rows: vec![Note { time, watermark, seen: *seen, key }], removed: vec![], timers }
}

#[derive(Clone)]
struct Noting;

fn perform(actions: Actions<Note>, context: &mut ProcessContext<'_, Note>) {
    actions.rows.into_iter().for_each(|row| context.emit(row));
    actions.timers.into_iter().for_each(|time| context.timer(time));
}

impl ProcessFunction<u64> for Noting {
    type In = u64;
    type State = i64;
    type Out = Note;

    fn on_row(&self, key: &u64, time: Timestamp, row: &u64, seen: &mut i64, context: &mut ProcessContext<'_, Note>) {
        let (behind, watermark) = (context.is_behind(), context.watermark());
        perform(act(*key, Call::Row { time, row: *row, behind, watermark }, seen), context);
    }

    fn on_timer(&self, key: &u64, time: Timestamp, seen: &mut i64, context: &mut ProcessContext<'_, Note>) {
        perform(act(*key, Call::Timer { time, watermark: context.watermark() }, seen), context);
    }
}

/// Runs all scripts that go on from these steps with up to `left` more, and says how many there were.
fn run_all(steps: &mut Vec<Step<u64>>, reached: Timestamp, left: usize) -> usize {
    let mut scripts = 1;
    Verify::new(|| testing::process(|key: &u64| *key, Noting))
        .keyed_by(|key: &u64| *key)
        .seed(steps.len() as u64)
        .steps(steps.iter().copied())
        .end()
        .against(|script| model::process(script, |key| *key, |key, call, seen| act(*key, call, seen)))
        .check();
    if left == 0 {
        return scripts;
    }
    for watermark in [reached, at(2), at(4)] {
        if watermark < reached || (watermark == reached && watermark > Timestamp::MIN) {
            continue;
        }
        steps.push(Step::Watermark(watermark));
        if watermark > reached {
            scripts += run_all(steps, watermark, left - 1);
        }
        steps.pop();
    }
    for watermark in [Timestamp::MIN, at(2), at(4)].into_iter().filter(|watermark| *watermark >= reached) {
        for time in [1, 3, 5].map(at) {
            // The first key is as good as the second.
            for value in 0..if steps.is_empty() { 1 } else { 2 } {
                steps.push(Step::Row { time, value, watermark });
                scripts += run_all(steps, watermark, left - 1);
                steps.pop();
            }
        }
    }
    scripts
}

#[test]
fn all_small_scripts_give_what_the_model_gives() {
    let scripts = run_all(&mut Vec::new(), Timestamp::MIN, 3);
    assert!(scripts > 1000, "{scripts}");
}
