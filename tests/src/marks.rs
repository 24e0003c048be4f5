//! A process function whose rows say what the watermark was, and the plain loop that gives the same.

use crate::events::Row;
use crate::slow::{Call, Function};
use pelton::{ProcessContext, ProcessFunction, Timestamp};

const SHIFT: i64 = 25;

/// Emits each row with the watermark before it, and 25 ns behind it the time that its timer was to fire at.
#[derive(Clone)]
pub struct Marks;

impl ProcessFunction<u64> for Marks {
    type In = Row;
    type State = u64;
    type Out = Row;

    fn on_row(&self, _: &u64, time: Timestamp, row: &Row, _: &mut u64, context: &mut ProcessContext<'_, Row>) {
        context.emit(Row { a: row.a << 1 | i64::from(context.is_behind()), b: context.watermark().as_nanos(), ..*row });
        context.timer(time.plus_nanos(SHIFT));
    }

    fn on_timer(&self, key: &u64, time: Timestamp, _: &mut u64, context: &mut ProcessContext<'_, Row>) {
        context.emit(Row { key: *key + 10, a: context.watermark().as_nanos(), b: time.as_nanos() });
    }
}

/// What [`Marks`] gives where rows are keyed by their `a` modulo 5.
pub struct SlowMarks;

impl Function<Row> for SlowMarks {
    type Out = Row;

    fn key(&self, row: &Row) -> u64 {
        row.a as u64 % 5
    }

    fn row(&mut self, _: u64, time: i64, row: &Row, call: &mut Call<Row>) {
        call.rows.push(Row { a: row.a << 1 | i64::from(call.is_behind), b: call.watermark, ..*row });
        call.timers.push(time + SHIFT);
    }

    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        call.rows.push(Row { key: key + 10, a: call.watermark, b: time });
    }
}
