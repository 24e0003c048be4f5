//! Jobs whose output says whether the order was kept: first and last, running sums, two exchanges,
//! a diamond, a self-union, windows of all kinds, stateless steps with several outputs.

use crate::events::{Row, Sample};
use pelton::{
    Aggregate, Chain, Collected, CountWindow, Cumulative, DistinctCount, Interval, Job, Pane, ProcessContext,
    ProcessFunction, Record, Session, Sink, Sliding, Source, Stream, Timestamp, Trigger, Tumbling, Tuple4, Watermarks,
    collect, count_distinct, quantile, sum_f64_exact,
};
use std::time::Duration;

/// Collects what depends on order: a hash over values in the order they came.
#[derive(Clone)]
pub struct OrderHash;

/// The state of [`OrderHash`].
#[derive(Clone, Copy, Record)]
#[repr(C)]
pub struct HashState {
    rows: u64,
    hash: u64,
}

impl OrderHash {
    /// The row of a firing.
    pub fn row(pane: &Pane, key: &u64, state: HashState) -> Row {
        Row { key: *key, a: state.hash as i64, b: pane.window.start.as_nanos() ^ state.rows as i64 }
    }
}

impl Aggregate for OrderHash {
    type In = Row;
    type Acc = HashState;
    type Value = HashState;

    fn add(&self, acc: &mut HashState, time: Timestamp, row: &Row) {
        acc.rows += 1;
        for part in [row.a, row.b, time.as_nanos()] {
            acc.hash = (acc.hash ^ part as u64).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5);
        }
    }

    fn merge(&self, _: &mut HashState, _: &HashState) {
        unreachable!("an order cannot be merged")
    }

    fn value(&self, acc: &HashState) -> HashState {
        *acc
    }
}

/// A sum and a largest value, which may be combined in any order.
#[derive(Clone)]
pub struct Exact;

impl Exact {
    /// The row of a firing.
    pub fn row(pane: &Pane, key: &u64, state: Row) -> Row {
        Row { key: *key << 32 | state.key, a: state.a, b: state.b ^ pane.window.end.as_nanos() }
    }

    /// The row of a firing, with which one it is.
    pub fn pane(pane: &Pane, key: &u64, state: Row) -> Row {
        let row = Self::row(pane, key, state);
        Row {
            a: row.a ^ (pane.number << 2 | pane.timing as u64) as i64,
            b: row.b ^ pane.window.start.as_nanos(),
            ..row
        }
    }
}

impl Aggregate for Exact {
    type In = Row;
    type Acc = Row;
    type Value = Row;
    const EXACT: bool = true;

    fn add(&self, acc: &mut Row, _: Timestamp, row: &Row) {
        acc.key += 1;
        acc.a += row.a;
        acc.b = acc.b.max(row.b);
    }

    fn merge(&self, acc: &mut Row, later: &Row) {
        acc.key += later.key;
        acc.a += later.a;
        acc.b = acc.b.max(later.b);
    }

    fn value(&self, acc: &Row) -> Row {
        *acc
    }
}

/// What may be combined in any order, each of another kind.
fn combinable() -> impl Aggregate<In = Row, Value = Tuple4<Row, f64, f64, DistinctCount>> {
    let sum = sum_f64_exact(|row: &Row| row.a as f64 / 7.0);
    let median = quantile(0.5, |row: &Row| row.a as f64).bins::<3, 8>();
    (Exact, sum, median, count_distinct::<6, _, _>(|row: &Row| row.a % 9))
}

/// The row of a firing of these.
fn combined(pane: &Pane, key: &u64, values: Tuple4<Row, f64, f64, DistinctCount>) -> Row {
    let (sums, sum, median, distinct) = values.parts();
    let row = Exact::row(pane, key, sums);
    let more = sum.to_bits() ^ median.to_bits().rotate_left(1) ^ distinct.exact().unwrap_or(u64::MAX);
    Row { a: row.a ^ more as i64, ..row }
}

/// Emits a running hash for each row, one more row for odd ones, and a row when a timer fires.
#[derive(Clone)]
pub struct Running {
    /// How far ahead timers are set, or 0 for none.
    pub timer_ns: i64,
}

impl ProcessFunction<u64> for Running {
    type In = Row;
    type State = HashState;
    type Out = Row;

    fn on_row(
        &self,
        key: &u64,
        time: Timestamp,
        row: &Row,
        state: &mut HashState,
        context: &mut ProcessContext<'_, Row>,
    ) {
        state.rows += 1;
        state.hash = (state.hash ^ row.a as u64).wrapping_mul(31).wrapping_add(row.b as u64);
        context.emit(Row { key: *key, a: state.hash as i64, b: row.a });
        if row.a % 2 != 0 {
            context.emit(Row { key: key.wrapping_mul(7), a: row.b, b: state.rows as i64 });
        }
        if self.timer_ns > 0 && row.a % 5 == 0 {
            context.timer(time.plus_nanos(self.timer_ns));
        }
    }

    fn on_timer(&self, key: &u64, time: Timestamp, state: &mut HashState, context: &mut ProcessContext<'_, Row>) {
        context.emit(Row { key: *key, a: -1, b: time.as_nanos() ^ state.rows as i64 });
        if state.rows.is_multiple_of(3) {
            // One more timer, at or before this one's own time.
            state.rows += 1;
            context.timer(time);
        }
    }
}

/// A job with the rows of its sinks.
pub struct TestJob {
    /// The job.
    pub job: Job,
    /// The rows of the main sink.
    pub rows: Collected<Row>,
    /// The rows of the late sink.
    pub late: Collected<Row>,
}

/// The shapes of test jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One window behind one exchange.
    Window,
    /// Windows whose rows are combined on each worker, where that may be: side by side by key, with a step behind them,
    /// joined with them again, and of all rows, sliding and cumulative.
    Combined,
    /// A process function without timers, then a window by another key.
    TwoExchanges,
    /// A process function with timers, then another.
    Timers,
    /// Two steps over one source, joined again before a third.
    Diamond,
    /// A stream in a union and in an interval join with itself, with a flat map in one half.
    SelfUnion,
    /// Stateless steps only.
    Stateless,
    /// Windows that overlap, sessions that fire early and late, and windows of so many rows, all in one stream.
    Windows,
    /// Stateless steps with several outputs behind a source, behind each other, and behind steps; all of them meet again.
    Forked,
}

/// All kinds.
pub const KINDS: [Kind; 9] = [
    Kind::Window,
    Kind::Combined,
    Kind::TwoExchanges,
    Kind::Timers,
    Kind::Diamond,
    Kind::SelfUnion,
    Kind::Stateless,
    Kind::Windows,
    Kind::Forked,
];

/// The bound of out-of-orderness of test jobs.
pub const BOUND_NS: u64 = 40_000;
/// The size of the windows of test jobs.
pub const WINDOW_NS: u64 = 100_000;

/// A job of this kind over a source.
pub fn job(kind: Kind, source: impl Into<Source<Sample>>) -> TestJob {
    let ((sink, rows), (late_sink, late)) = (collect(), collect());
    TestJob { job: job_into(kind, source, (sink, late_sink)), rows, late }
}

/// A job of this kind over a source into a main and a late sink.
pub fn job_into<S: Sink<Row>>(kind: Kind, source: impl Into<Source<Sample>>, (sink, late_sink): (S, S)) -> Job {
    let mut job = Job::new(format!("{kind:?}"));
    if kind == Kind::Stateless {
        let input = input(&mut job, source.into());
        let both: fn(&Row) -> [Row; 2] = |row| [*row, Row { a: -row.a, ..*row }];
        let is_positive: fn(&Row) -> bool = |row| row.a > 0;
        input.filter(is_positive).flat_map(both).sink("out", sink);
        return job;
    }
    let (rows, late) = declare(kind, &mut job, source.into());
    rows.sink("out", sink);
    if let Some(late) = late {
        late.sink("late", late_sink);
    }
    job
}

/// The rows of a source.
fn input(job: &mut Job, source: Source<Sample>) -> Stream<Row, impl Chain<Out = Row> + use<>> {
    job.source("samples", source)
        .watermarks(Watermarks::bounded(Duration::from_nanos(BOUND_NS)))
        .map(|sample: &Sample| Row { key: sample.key, a: sample.value, b: sample.number as i64 })
}

/// The steps of a job that has any, with their rows and late rows. It is compiled once, whatever the sinks are.
fn declare(kind: Kind, job: &mut Job, source: Source<Sample>) -> (Stream<Row>, Option<Stream<Row>>) {
    let input = input(job, source);
    let windows = Tumbling::of(Duration::from_nanos(WINDOW_NS));
    match kind {
        Kind::Window => {
            let output = input.key_by(|row| row.key).window(windows);
            let output = output.aggregate_with("window", OrderHash, OrderHash::row);
            (output.main, Some(output.late))
        }
        Kind::Combined => {
            let nanos = |nanos| Duration::from_nanos(nanos);
            let kept = input.filter(|row| row.a % 7 != 0);
            // Least and largest values cannot be taken off; sums can.
            let sliding = kept.clone().window_all(Sliding::of(nanos(WINDOW_NS), nanos(WINDOW_NS / 5 * 2)));
            let sliding = sliding.aggregate_with("sliding", combinable(), |pane, (), all| combined(pane, &1, all));
            let cumulative = kept.clone().window_all(Cumulative::of(nanos(WINDOW_NS), nanos(WINDOW_NS / 4)));
            let sum = sum_f64_exact(|row: &Row| row.a as f64 / 3.0);
            let cumulative = cumulative.aggregate_with("cumulative", sum, |pane, (), sum| Row {
                key: 2,
                a: sum.to_bits() as i64,
                b: pane.window.end.as_nanos(),
            });
            let all = sliding.main.union(cumulative.main);
            let output = kept.key_by(|row| row.key).window(windows).aggregate_with("window", combinable(), combined);
            // What one worker has combined goes on to all, and to a sink beside rows of all.
            let again = output.main.clone().key_by(|row| row.key % 3).process("again", Running { timer_ns: 0 });
            (again.union(output.main).union(all), Some(output.late.union(sliding.late)))
        }
        Kind::TwoExchanges => {
            let first = input.key_by(|row| row.key).process("running", Running { timer_ns: 0 });
            let second = first.key_by(|row| row.key).window(windows);
            let second = second.aggregate_with("window", OrderHash, OrderHash::row);
            (second.main, Some(second.late))
        }
        Kind::Timers => {
            let first = input.key_by(|row| row.key).process("first", Running { timer_ns: 70_000 });
            let second = first.key_by(|row| row.key % 3).process("second", Running { timer_ns: 50_000 });
            (second, None)
        }
        Kind::Diamond => {
            let left = input.clone().key_by(|row| row.key).process("left", Running { timer_ns: 30_000 });
            let right = input.key_by(|row| row.key % 5).window(windows);
            let right = right.aggregate_with("right", OrderHash, OrderHash::row);
            let both = left.filter(|row| row.a % 3 != 0).union(right.main);
            let both = both.key_by(|row| row.key % 4).process("both", Running { timer_ns: 0 });
            (both, Some(right.late))
        }
        Kind::SelfUnion => {
            let other = input.clone().flat_map(|row| {
                let row = *row;
                (0..row.a.rem_euclid(3)).map(move |i| Row { a: row.a + i, ..row })
            });
            let odd = input.clone().filter(|row| row.a % 2 != 0).key_by(|row| row.key % 5);
            let met =
                odd.interval_join(other.clone().key_by(|row| row.key % 5), Interval::between_nanos(-4_000, 6_000));
            let met = met.full("met", |left: Option<&Row>, right: Option<&Row>| {
                let none = Row { key: 0, a: 7, b: -1 };
                let (left, right) = (left.unwrap_or(&none), right.unwrap_or(&none));
                Row { key: left.key ^ right.key, a: left.b ^ right.a, b: left.a ^ right.b }
            });
            let output = input.union(other).key_by(|row| row.key).window(windows);
            let output = output.aggregate_with("window", OrderHash, OrderHash::row);
            (output.main.union(met.main), Some(output.late))
        }
        Kind::Windows => {
            let nanos = |nanos| Duration::from_nanos(nanos);
            let sliding = Sliding::of(nanos(WINDOW_NS), nanos(WINDOW_NS / 5 * 2));
            let sliding = input.clone().key_by(|row| row.key % 7).window(sliding);
            let sliding = sliding.aggregate_with("sliding", Exact, Exact::pane);
            let cumulative = Cumulative::of(nanos(WINDOW_NS * 2), nanos(WINDOW_NS / 2));
            let cumulative = input.clone().window_all(cumulative);
            let cumulative =
                cumulative.aggregate_with("cumulative", Exact, |pane, (), sums| Exact::pane(pane, &1, sums));
            let sessions = input.clone().key_by(|row| row.key).window(Session::gap(nanos(WINDOW_NS / 4)));
            let sessions = sessions.allowed_lateness(nanos(BOUND_NS / 2));
            let sessions = sessions.trigger(Trigger::watermark().early_every(nanos(WINDOW_NS)).early_count(5));
            let sessions = sessions.aggregate_with("sessions", Exact, Exact::pane);
            let bursts = input.clone().key_by(|row| row.key).window(Session::gap(nanos(WINDOW_NS / 9)));
            let bursts = bursts.aggregate_with("bursts", Exact, Exact::pane);
            let counted = input.key_by(|row| row.key % 3).window(CountWindow::of(9).every(4));
            let counted = counted.aggregate_with("counted", Exact, Exact::pane);
            let all = sliding.union(cumulative.main).union(sessions.main).union(bursts.main).union(counted.main);
            (all, Some(sessions.late))
        }
        Kind::Forked => {
            let kept = |row: &Row| if row.a % 4 == 0 { Err(*row) } else { Ok(Row { b: row.b ^ 1, ..*row }) };
            let (kept, odd) = input.try_map(kept);
            let (first, second) = kept.flat_map_to::<(Row, Row)>(|row, out| {
                for i in 0..row.a.rem_euclid(4) {
                    match i % 2 {
                        0 => out.emit(Row { a: row.a + i, ..*row }),
                        _ => out.emit_to::<1>(Row { key: row.key % 6, a: row.a - i, ..*row }),
                    }
                }
            });
            let output = first.key_by(|row| row.key).window(windows);
            let output = output.aggregate_with("window", OrderHash, OrderHash::row);
            let again = odd.union(second.clone()).union(second).key_by(|row| row.key % 5);
            let again = again.process("again", Running { timer_ns: 0 });
            let both = |row: &Row| if row.b % 2 == 0 { Ok([*row, Row { a: !row.a, ..*row }]) } else { Err(*row) };
            let (even, rest) = output.main.union(again).try_flat_map(both);
            (rest.union(even), Some(output.late))
        }
        Kind::Stateless => unreachable!("it has no steps"),
    }
}
