//! Timers fire at one place in the order: whatever the blocks, the workers and the pace, the rows are those of a loop.

use pelton::{
    CoProcessFunction, Collected, Event, Job, ManualClock, Options, ProcessContext, ProcessFunction, Record, Source,
    Timestamp, VecSource, Watermarks, collect, push,
};
use pelton_tests::events::{Row, Sample};
use pelton_tests::rng::Rng;
use pelton_tests::rows::{assert_same, rows_of, rows_of_model};
use pelton_tests::running::{DEADLINE, finish, paced, push_in_pieces, settle, step_in_any_order};
use pelton_tests::slow::{Call, Function, Placed, merged, placed, run};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;
const BOUND: i64 = 2 * SECOND;

/// Events as they come in real life, and worse: equal times, gaps, some behind the bound, some a nanosecond off.
fn uneven(events: usize, keys: u64, seed: u64) -> Vec<Sample> {
    let mut rng = Rng::new(seed);
    let mut now = 1_700_000_000 * SECOND;
    let mut number = 0;
    let mut event = || {
        now += match rng.below(40) {
            0 => 200 * SECOND,
            1..=4 => 6 * SECOND,
            5..=14 => SECOND,
            15..=24 => rng.below(SECOND as u64) as i64,
            _ => 0,
        };
        let back = if rng.below(3) == 0 { rng.below(6) as i64 * SECOND } else { 0 };
        let off = if rng.below(8) == 0 { rng.below(3) as i64 - 1 } else { 0 };
        number += 1;
        Sample { time_ns: now - back + off, key: rng.below(keys), value: rng.below(100) as i64, number }
    };
    (0..events).map(|_| event()).collect()
}

fn bounded() -> Watermarks {
    Watermarks::bounded(Duration::from_nanos(BOUND as u64))
}

/// Runs a job in all ways and compares what it gives with `expected`. `make` is given the size of blocks and a pace.
fn everywhere(expected: &[(i64, Row)], make: impl Fn(usize, Option<f64>) -> (Job, Collected<Row>)) {
    let once = |block: usize, pace: Option<f64>, options: Options, what: String| {
        let (job, rows) = make(block, pace);
        finish(job, options);
        assert_same(&rows_of(&rows), expected, &what);
    };
    for block in [1, 2, 3, 64, 4096] {
        for workers in [1, 2, 3, 8] {
            let what = format!("blocks of {block} on {workers} workers");
            once(block, None, Options::workers(workers), what.clone());
            if workers != 2 && block > 1 && block < 4096 {
                once(block, Some(1e6), Options::workers(workers), format!("{what}, paced"));
            }
            for ring_bytes in [1, 1000] {
                if workers > 1 && (block == 2 || block == 64) {
                    let options = Options::workers(workers).ring_bytes(ring_bytes);
                    once(block, None, options, format!("{what} with rings of {ring_bytes} B"));
                }
            }
        }
    }
    stepped(expected, 10, make);
}

/// Steps workers in any order on one thread.
fn stepped(expected: &[(i64, Row)], seeds: u64, make: impl Fn(usize, Option<f64>) -> (Job, Collected<Row>)) {
    for seed in 0..seeds {
        let mut rng = Rng::new(seed);
        let workers = 2 + rng.below(3) as usize;
        let (job, rows) = make(1 + rng.below(50) as usize, None);
        let simulation = job.simulate(Options::workers(workers).ring_bytes(1 << rng.below(12))).unwrap();
        let what = format!("{workers} workers stepped with seed {seed}");
        step_in_any_order(simulation, workers, &mut rng, &what);
        assert_same(&rows_of(&rows), expected, &what);
    }
}

/// A job over one source that is built behind it.
fn job_over(
    source: impl Into<Source<Sample>>,
    build: impl FnOnce(pelton::Stream<Sample>) -> pelton::Stream<Row>,
) -> (Job, Collected<Row>) {
    let mut job = Job::new("timers");
    let (sink, rows) = collect();
    let stream = job.source("events", source).watermarks(bounded());
    build(stream).sink("out", sink);
    (job, rows)
}

/// Pushes events in random pieces, ten times at each number of workers, and compares what comes out.
fn pushed(events: &[Sample], expected: &[(i64, Row)], build: impl Fn(pelton::Stream<Sample>) -> pelton::Stream<Row>) {
    for workers in [1, 2, 3] {
        for seed in 0..10 {
            let mut rng = Rng::new(seed * 10 + workers as u64);
            let (input, source) = push::<Sample>(1 << (4 + rng.below(6)));
            let (job, rows) = job_over(source, &build);
            let handle = job.start(Options::workers(workers)).unwrap();
            push_in_pieces(input, events, 1 << 7, &mut rng);
            handle.join_within(DEADLINE).unwrap().balance().unwrap();
            assert_same(&rows_of(&rows), expected, &format!("pushed to {workers} workers with seed {seed}"));
        }
    }
}

const MINUTE: i64 = 60 * SECOND;

fn is_failure(sample: &Sample) -> bool {
    sample.value < 60
}

/// Alerts when a user fails to log in three times within a minute.
#[derive(Clone)]
struct FailedLogins;

impl ProcessFunction<u64> for FailedLogins {
    type In = Sample;
    type State = u64;
    type Out = Row;

    fn on_row(
        &self,
        user: &u64,
        time: Timestamp,
        login: &Sample,
        failures: &mut u64,
        context: &mut ProcessContext<'_, Row, Sample>,
    ) {
        if is_failure(login) {
            *failures += 1;
            context.timer(time + Duration::from_secs(60));
            if *failures >= 3 {
                context.emit(Row { key: *user, a: *failures as i64, b: login.number as i64 });
            }
        }
    }

    fn on_timer(&self, _: &u64, _: Timestamp, failures: &mut u64, _: &mut ProcessContext<'_, Row, Sample>) {
        *failures = failures.saturating_sub(1);
    }
}

#[derive(Default)]
struct SlowLogins(BTreeMap<u64, i64>);

impl Function<Sample> for SlowLogins {
    type Out = Row;
    fn key(&self, login: &Sample) -> u64 {
        login.key
    }
    fn row(&mut self, user: u64, time: i64, login: &Sample, call: &mut Call<Row>) {
        if login.value >= 60 {
            return;
        }
        let failures = self.0.entry(user).or_default();
        *failures += 1;
        call.timers.push(time + MINUTE);
        if *failures > 2 {
            call.rows.push(Row { key: user, a: *failures, b: login.number as i64 });
        }
    }
    fn timer(&mut self, user: u64, _: i64, _: &mut Call<Row>) {
        let failures = self.0.get_mut(&user).unwrap();
        *failures = (*failures - 1).max(0);
    }
}

fn logins(stream: pelton::Stream<Sample>) -> pelton::Stream<Row> {
    stream.key_by(|login| login.key).process("failed logins", FailedLogins).main
}

#[test]
fn three_failed_logins_within_a_minute_are_found_whatever_blocks_and_workers() {
    for seed in 0..2 {
        let events = uneven(200, 7, seed);
        let (rows, end) = placed(&events, |event| event.time_ns);
        let expected = rows_of_model(&run(&rows, end, BOUND, SlowLogins::default()));
        assert!(expected.len() > 10, "{} alerts", expected.len());
        everywhere(&expected, |block, pace| job_over(paced(&events, block, pace), logins));
    }
}

#[test]
fn three_failed_logins_are_found_in_events_that_are_pushed_in_any_pieces() {
    let events = uneven(600, 7, 3);
    let (rows, end) = placed(&events, |event| event.time_ns);
    let expected = rows_of_model(&run(&rows, end, BOUND, SlowLogins::default()));
    pushed(&events, &expected, logins);
}

#[derive(Clone, Copy, Record)]
#[repr(C)]
struct LastSeen {
    time: Timestamp,
    alerts: u64,
}

/// Alerts when nothing came of a key for five seconds, and again every second, five times.
#[derive(Clone)]
struct Silence;

const QUIET: i64 = 5 * SECOND;

impl ProcessFunction<u64> for Silence {
    type In = Sample;
    type State = LastSeen;
    type Out = Row;

    fn on_row(
        &self,
        _: &u64,
        time: Timestamp,
        _: &Sample,
        last: &mut LastSeen,
        context: &mut ProcessContext<'_, Row, Sample>,
    ) {
        if context.is_behind() && time < last.time {
            return;
        }
        *last = LastSeen { time: last.time.max(time), alerts: 0 };
        context.timer(time + Duration::from_secs(5));
    }

    fn on_timer(&self, key: &u64, time: Timestamp, last: &mut LastSeen, context: &mut ProcessContext<'_, Row, Sample>) {
        if time.as_nanos() - last.time.as_nanos() < QUIET || last.alerts == 5 {
            return;
        }
        last.alerts += 1;
        let quiet = time.as_nanos() - last.time.as_nanos();
        context.emit(Row { key: *key, a: quiet, b: context.watermark().as_nanos() });
        context.timer(time + Duration::from_secs(1));
    }
}

#[derive(Default)]
struct SlowSilence(BTreeMap<u64, (i64, u32)>);

impl Function<Sample> for SlowSilence {
    type Out = Row;
    fn key(&self, row: &Sample) -> u64 {
        row.key
    }
    fn row(&mut self, key: u64, time: i64, _: &Sample, call: &mut Call<Row>) {
        let last = self.0.entry(key).or_default();
        if !(call.is_behind && time < last.0) {
            *last = (last.0.max(time), 0);
            call.timers.push(time + QUIET);
        }
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        let last = self.0.get_mut(&key).unwrap();
        if time - last.0 >= QUIET && last.1 < 5 {
            last.1 += 1;
            call.rows.push(Row { key, a: time - last.0, b: call.watermark });
            call.timers.push(time + SECOND);
        }
    }
}

fn silence(stream: pelton::Stream<Sample>) -> pelton::Stream<Row> {
    stream.key_by(|event| event.key).process("silence", Silence).main
}

#[test]
fn silence_is_told_at_the_same_place_whatever_blocks_and_workers() {
    for seed in 10..12 {
        let events = uneven(200, 5, seed);
        let (rows, end) = placed(&events, |event| event.time_ns);
        let expected = rows_of_model(&run(&rows, end, BOUND, SlowSilence::default()));
        assert!(expected.len() > 50, "{} alerts", expected.len());
        everywhere(&expected, |block, pace| job_over(paced(&events, block, pace), silence));
    }
}

#[test]
fn silence_is_told_of_events_that_are_pushed_in_any_pieces() {
    let events = uneven(600, 5, 13);
    let (rows, end) = placed(&events, |event| event.time_ns);
    let expected = rows_of_model(&run(&rows, end, BOUND, SlowSilence::default()));
    pushed(&events, &expected, silence);
}

#[derive(Debug, Clone, Copy, PartialEq, Event)]
#[repr(C)]
struct Trade {
    #[event(time)]
    time_ns: i64,
    symbol: u64,
    number: u64,
}

#[derive(Clone, Copy, Record)]
#[repr(C)]
struct LastQuote {
    time: Timestamp,
    bid: i64,
    is_open: u64,
}

/// Gives each trade the last bid, as long as that is not older than a second.
#[derive(Clone)]
struct LastBid;

impl CoProcessFunction<u64> for LastBid {
    type Left = Trade;
    type Right = Sample;
    type State = LastQuote;
    type Out = Row;

    fn on_left(
        &self,
        key: &u64,
        _: Timestamp,
        trade: &Trade,
        last: &mut LastQuote,
        context: &mut ProcessContext<'_, Row>,
    ) {
        let bid = if last.is_open == 1 { last.bid } else { -1 };
        context.emit(Row { key: *key, a: trade.number as i64, b: bid });
    }

    fn on_right(
        &self,
        _: &u64,
        time: Timestamp,
        quote: &Sample,
        last: &mut LastQuote,
        context: &mut ProcessContext<'_, Row>,
    ) {
        *last = LastQuote { time, bid: quote.value, is_open: 1 };
        context.timer(time + Duration::from_secs(1));
    }

    fn on_timer(&self, key: &u64, time: Timestamp, last: &mut LastQuote, context: &mut ProcessContext<'_, Row>) {
        if last.is_open == 1 && last.time + Duration::from_secs(1) == time {
            last.is_open = 0;
            context.emit(Row { key: *key, a: -1, b: time.as_nanos() });
        }
    }
}

#[derive(Clone, Copy)]
enum Either {
    Trade(Trade),
    Quote(Sample),
}

#[derive(Default)]
struct SlowBid(BTreeMap<u64, (i64, i64)>);

impl Function<Either> for SlowBid {
    type Out = Row;
    fn key(&self, row: &Either) -> u64 {
        match row {
            Either::Trade(trade) => trade.symbol,
            Either::Quote(quote) => quote.key,
        }
    }
    fn row(&mut self, key: u64, time: i64, row: &Either, call: &mut Call<Row>) {
        match row {
            Either::Trade(trade) => {
                let bid = self.0.get(&key).map_or(-1, |(_, bid)| *bid);
                call.rows.push(Row { key, a: trade.number as i64, b: bid });
            }
            Either::Quote(quote) => {
                self.0.insert(key, (time, quote.value));
                call.timers.push(time + SECOND);
            }
        }
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        if self.0.get(&key).is_some_and(|(quoted, _)| quoted + SECOND == time) {
            self.0.remove(&key);
            call.rows.push(Row { key, a: -1, b: time });
        }
    }
}

#[test]
fn trades_meet_the_last_quote_of_another_source_that_is_open() {
    for (seed, trades, quotes) in [(20, 100, 150), (21, 150, 20), (22, 1, 50), (23, 50, 0)] {
        let trade = |sample: Sample| Trade { time_ns: sample.time_ns, symbol: sample.key, number: sample.number };
        let trades: Vec<Trade> = uneven(trades, 4, seed).into_iter().map(trade).collect();
        let quotes = uneven(quotes, 4, seed + 100);
        let times = [trades.iter().map(|row| row.time_ns).collect(), quotes.iter().map(|row| row.time_ns).collect()];
        let end = times.iter().flatten().copied().max().unwrap();
        let rows: Vec<_> = merged(&times)
            .into_iter()
            .map(|(source, at, clock)| {
                let row = if source == 0 { Either::Trade(trades[at]) } else { Either::Quote(quotes[at]) };
                Placed { time: times[source][at], clock, row }
            })
            .collect();
        let expected = rows_of_model(&run(&rows, end, BOUND, SlowBid::default()));
        assert!(expected.len() >= trades.len());
        everywhere(&expected, |block, pace| {
            let mut job = Job::new("last bid");
            let (sink, rows) = collect();
            // Trades have a bound of their own, which is the smaller one.
            let left = job.source("trades", paced(&trades, block, pace)).key_by(|trade| trade.symbol);
            let right = job.source("quotes", paced(&quotes, block.div_ceil(2), pace)).watermarks(bounded());
            left.co_process(right.key_by(|quote| quote.key), "last bid", LastBid).sink("out", sink);
            (job, rows)
        });
    }
}

#[derive(Clone, Copy, Record)]
#[repr(C)]
struct Steps {
    rows: i64,
    fired: i64,
}

/// Asks for timers of the past, of now and to come, and fired ones do so again.
#[derive(Clone)]
struct Chains;

impl ProcessFunction<u64> for Chains {
    type In = Row;
    type State = Steps;
    type Out = Row;

    fn on_row(
        &self,
        key: &u64,
        time: Timestamp,
        row: &Row,
        steps: &mut Steps,
        context: &mut ProcessContext<'_, Row, Row>,
    ) {
        steps.rows += 1;
        for ahead in chains_of_row(row.a) {
            context.timer(time.plus_nanos(ahead));
        }
        if row.a % 3 == 0 {
            context.emit(Row { key: *key, a: row.a, b: steps.rows });
        }
        if row.a % 10 == 7 {
            context.timer(context.watermark());
            context.timer(context.watermark().plus_nanos(1));
        }
    }

    fn on_timer(&self, key: &u64, time: Timestamp, steps: &mut Steps, context: &mut ProcessContext<'_, Row, Row>) {
        steps.fired += 1;
        context.emit(Row { key: *key, a: time.as_nanos(), b: context.watermark().as_nanos() ^ steps.fired });
        for ahead in chains_of_timer(steps.fired) {
            context.timer(time.plus_nanos(ahead));
        }
    }
}

fn chains_of_row(value: i64) -> Vec<i64> {
    match value.rem_euclid(6) {
        0 => vec![0, 5 * SECOND],
        1 => vec![-SECOND, -3 * SECOND, -SECOND],
        2 => vec![BOUND, BOUND + 1, 0],
        3 => vec![100 * SECOND, 20 * SECOND],
        4 => vec![-BOUND, -BOUND - 1, -BOUND + 1],
        _ => Vec::new(),
    }
}

fn chains_of_timer(fired: i64) -> Vec<i64> {
    match fired.rem_euclid(5) {
        0 => vec![0, -SECOND, 3 * SECOND],
        1 => vec![1, 0],
        2 => vec![SECOND, SECOND],
        _ => Vec::new(),
    }
}

#[derive(Default)]
struct SlowChains(BTreeMap<u64, (i64, i64)>);

impl Function<Row> for SlowChains {
    type Out = Row;
    fn key(&self, row: &Row) -> u64 {
        row.key
    }
    fn row(&mut self, key: u64, time: i64, row: &Row, call: &mut Call<Row>) {
        let (rows, _) = self.0.entry(key).or_default();
        *rows += 1;
        call.timers.extend(chains_of_row(row.a).iter().map(|ahead| time + ahead));
        if row.a % 3 == 0 {
            call.rows.push(Row { key, a: row.a, b: *rows });
        }
        if row.a % 10 == 7 {
            call.timers.extend([call.watermark, call.watermark.saturating_add(1)]);
        }
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        let (_, fired) = self.0.get_mut(&key).unwrap();
        *fired += 1;
        call.rows.push(Row { key, a: time, b: call.watermark ^ *fired });
        call.timers.extend(chains_of_timer(*fired).iter().map(|ahead| time + ahead));
    }
}

fn row_of(sample: &Sample) -> Row {
    Row { key: sample.key, a: sample.value, b: sample.number as i64 }
}

/// As [`placed`], of the rows that the events become.
fn placed_rows(events: &[Sample]) -> (Vec<Placed<Row>>, i64) {
    let (rows, end) = placed(events, |event| event.time_ns);
    let row = |placed: Placed<Sample>| Placed { row: row_of(&placed.row), time: placed.time, clock: placed.clock };
    (rows.into_iter().map(row).collect(), end)
}

fn chains(stream: pelton::Stream<Sample>) -> pelton::Stream<Row> {
    stream.map(row_of).key_by(|row| row.key).process("chains", Chains).main
}

#[test]
fn timers_of_the_past_fire_once_behind_their_row_and_chains_end() {
    let events = uneven(250, 6, 30);
    let (rows, end) = placed_rows(&events);
    let expected = rows_of_model(&run(&rows, end, BOUND, SlowChains::default()));
    assert!(expected.len() > 250);
    everywhere(&expected, |block, pace| job_over(paced(&events, block, pace), chains));
}

#[test]
fn timers_of_the_past_fire_once_in_events_that_are_pushed_in_any_pieces() {
    let events = uneven(400, 6, 33);
    let (rows, end) = placed_rows(&events);
    let expected = rows_of_model(&run(&rows, end, BOUND, SlowChains::default()));
    pushed(&events, &expected, chains);
}

/// Counts a group's rows, and tells the count three seconds behind each.
#[derive(Clone)]
struct Groups;

impl ProcessFunction<u64> for Groups {
    type In = Row;
    type State = u64;
    type Out = Row;

    fn on_row(
        &self,
        key: &u64,
        time: Timestamp,
        row: &Row,
        rows: &mut u64,
        context: &mut ProcessContext<'_, Row, Row>,
    ) {
        *rows += 1;
        context.emit(Row { key: *key, a: row.a, b: *rows as i64 });
        context.timer(time + Duration::from_secs(3));
        context.timer(time.plus_nanos(-1));
    }

    fn on_timer(&self, key: &u64, time: Timestamp, rows: &mut u64, context: &mut ProcessContext<'_, Row, Row>) {
        context.emit(Row { key: *key, a: -2, b: time.as_nanos() ^ *rows as i64 });
    }
}

/// Keyed by what the first step emits, so that rows of all workers meet.
const GROUPS: u64 = 3;

fn group_of(row: &Row) -> u64 {
    (row.a as u64 ^ row.key) % GROUPS
}

#[derive(Default)]
struct SlowGroups(BTreeMap<u64, i64>);

impl Function<Row> for SlowGroups {
    type Out = Row;
    fn key(&self, row: &Row) -> u64 {
        group_of(row)
    }
    fn row(&mut self, key: u64, time: i64, row: &Row, call: &mut Call<Row>) {
        let rows = self.0.entry(key).or_default();
        *rows += 1;
        call.rows.push(Row { key, a: row.a, b: *rows });
        call.timers.extend([time + 3 * SECOND, time - 1]);
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        call.rows.push(Row { key, a: -2, b: time ^ self.0[&key] });
    }
}

#[test]
fn two_functions_in_a_chain_fire_as_two_loops_in_a_chain() {
    let events = uneven(200, 6, 40);
    let (rows, end) = placed(&events, |event| event.time_ns);
    let first = run(&rows, end, BOUND, SlowSilence::default());
    let expected = rows_of_model(&run(&first, end, BOUND, SlowGroups::default()));
    assert!(expected.len() > 100);
    everywhere(&expected, |block, pace| {
        job_over(paced(&events, block, pace), |stream| silence(stream).key_by(group_of).process("groups", Groups).main)
    });
}

#[test]
fn chains_behind_chains_fire_as_loops_in_a_chain() {
    let events = uneven(150, 6, 45);
    let (rows, end) = placed_rows(&events);
    let first = run(&rows, end, BOUND, SlowChains::default());
    let expected = rows_of_model(&run(&first, end, BOUND, SlowGroups::default()));
    everywhere(&expected, |block, pace| {
        job_over(paced(&events, block, pace), |stream| chains(stream).key_by(group_of).process("groups", Groups).main)
    });
}

/// Tells each second, sixty times, from the first row on.
#[derive(Clone)]
struct Ticking;

impl ProcessFunction<u64> for Ticking {
    type In = Row;
    type State = u64;
    type Out = Row;

    fn on_row(&self, _: &u64, time: Timestamp, _: &Row, _: &mut u64, context: &mut ProcessContext<'_, Row, Row>) {
        context.timer(time + Duration::from_secs(1));
    }

    fn on_timer(&self, key: &u64, time: Timestamp, ticks: &mut u64, context: &mut ProcessContext<'_, Row, Row>) {
        *ticks += 1;
        context.emit(Row { key: *key, a: *ticks as i64, b: context.watermark().as_nanos() });
        if *ticks < 60 {
            context.timer(time + Duration::from_secs(1));
        }
    }
}

#[derive(Default)]
struct SlowTicking(BTreeMap<u64, i64>);

impl Function<Row> for SlowTicking {
    type Out = Row;
    fn key(&self, row: &Row) -> u64 {
        row.key
    }
    fn row(&mut self, _: u64, time: i64, _: &Row, call: &mut Call<Row>) {
        call.timers.push(time + SECOND);
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        let ticks = self.0.entry(key).or_default();
        *ticks += 1;
        call.rows.push(Row { key, a: *ticks, b: call.watermark });
        if *ticks < 60 {
            call.timers.push(time + SECOND);
        }
    }
}

/// Passes on each row, at once and again when a timer fires, `apart` behind it.
#[derive(Clone)]
struct Echo {
    apart: i64,
    emits: bool,
}

impl ProcessFunction<u64> for Echo {
    type In = Row;
    type State = u64;
    type Out = Row;

    fn on_row(&self, _: &u64, time: Timestamp, row: &Row, rows: &mut u64, context: &mut ProcessContext<'_, Row, Row>) {
        *rows += 1;
        context.emit(*row);
        context.timer(time.plus_nanos(self.apart));
    }

    fn on_timer(&self, key: &u64, time: Timestamp, rows: &mut u64, context: &mut ProcessContext<'_, Row, Row>) {
        if self.emits {
            context.emit(Row { key: *key + 100, a: *rows as i64, b: time.as_nanos() });
        }
    }
}

struct SlowEcho {
    echo: Echo,
    rows: BTreeMap<u64, i64>,
}

impl Function<Row> for SlowEcho {
    type Out = Row;
    fn key(&self, row: &Row) -> u64 {
        row.key
    }
    fn row(&mut self, key: u64, time: i64, row: &Row, call: &mut Call<Row>) {
        *self.rows.entry(key).or_default() += 1;
        call.rows.push(*row);
        call.timers.push(time + self.echo.apart);
    }
    fn timer(&mut self, key: u64, time: i64, call: &mut Call<Row>) {
        if self.echo.emits {
            call.rows.push(Row { key: key + 100, a: self.rows[&key], b: time });
        }
    }
}

/// The end of the input comes to the second step while the first one still fires what is left.
fn ends_behind(echo: &Echo) {
    let second = |number: i64| number * SECOND;
    let event = |number: i64| Sample { time_ns: second(number), key: number as u64 % 6, value: 1, number: 0 };
    let events: Vec<Sample> = (0..40).map(event).collect();
    let (rows, end) = placed_rows(&events);
    let first = run(&rows, end, BOUND, SlowEcho { echo: echo.clone(), rows: BTreeMap::new() });
    let expected = rows_of_model(&run(&first, end, BOUND, SlowTicking::default()));
    let make = |block: usize, pace: Option<f64>| {
        let echo = echo.clone();
        job_over(paced(&events, block, pace), |stream| {
            let first = stream.map(row_of).key_by(|row| row.key).process("echo", echo);
            first.main.key_by(|row| row.key).process("ticking", Ticking).main
        })
    };
    stepped(&expected, 100, make);
    everywhere(&expected, make);
}

#[test]
fn a_second_step_ends_the_same_while_the_first_fires_rows_at_the_end() {
    ends_behind(&Echo { apart: 20 * SECOND, emits: true });
}

#[test]
fn a_second_step_ends_the_same_while_the_first_fires_nothing_at_the_end() {
    ends_behind(&Echo { apart: 20 * SECOND, emits: false });
}

#[test]
fn what_a_timer_asks_for_at_the_end_of_the_input_is_dropped() {
    // The clock ends at 20 s, the watermark 2 s and 1 ns before that.
    let at = |seconds: i64| Sample { time_ns: seconds * SECOND, key: 1, value: 1, number: 0 };
    for workers in [1, 3] {
        let (job, rows) = job_over(VecSource::new(vec![at(10), at(20)], 1), |stream| {
            stream.map(row_of).key_by(|row| row.key).process("ticking", Ticking).main
        });
        finish(job, Options::workers(workers));
        let times: Vec<_> = rows.take().into_iter().map(|(time, _)| time.as_nanos() / SECOND).collect();
        assert_eq!(times, [11, 12, 13, 14, 15, 16, 17, 18, 21]);
    }
}

/// Fires at its own time again whenever it fires.
#[derive(Clone)]
struct Again;

impl ProcessFunction<u64> for Again {
    type In = Row;
    type State = u64;
    type Out = Row;

    fn on_row(&self, _: &u64, time: Timestamp, _: &Row, _: &mut u64, context: &mut ProcessContext<'_, Row, Row>) {
        context.timer(time);
    }

    fn on_timer(&self, key: &u64, time: Timestamp, fired: &mut u64, context: &mut ProcessContext<'_, Row, Row>) {
        *fired += 1;
        context.emit(Row { key: *key, a: *fired as i64, b: time.as_nanos() });
        context.timer(time);
        context.timer(time.plus_nanos(-7));
    }
}

#[test]
fn a_timer_that_renews_itself_at_its_own_time_does_not_hang() {
    let at = |seconds: i64| Sample { time_ns: seconds * SECOND, key: 1, value: 1, number: 0 };
    for workers in [1, 2, 3] {
        // The third event is late: its timer fires at once.
        let events = vec![at(1), at(10), at(2)];
        let (job, rows) = job_over(VecSource::new(events, 1), |stream| {
            stream.map(row_of).key_by(|row| row.key).process("again", Again).main
        });
        finish(job, Options::workers(workers));
        let found: Vec<_> = rows_of(&rows).into_iter().map(|(time, row)| (time, row.a, row.b)).collect();
        let behind = 10 * SECOND - BOUND;
        let expected = [
            (SECOND, 1, SECOND),
            (SECOND, 2, SECOND - 7),
            (SECOND, 3, SECOND),
            // What a late row asks for fires once, at 1 ns behind the watermark.
            (behind, 4, 2 * SECOND),
            (10 * SECOND, 5, 10 * SECOND),
        ];
        assert_eq!(found, expected, "{workers} workers");
    }
}

#[test]
fn timers_wait_for_a_quiet_source_until_it_is_idle() {
    for workers in [1, 2] {
        let clock = ManualClock::default();
        let mut job = Job::new("idle");
        let (sink, rows) = collect();
        let (mut quiet_input, quiet) = push::<Sample>(64);
        let (mut live_input, live) = push::<Sample>(64);
        let watermarks = Watermarks::ascending().idle_after(Duration::from_millis(50));
        let quiet = job.source("quiet", quiet).watermarks(watermarks);
        let live = job.source("live", live);
        let both = quiet.union(live).map(row_of).key_by(|row| row.key);
        both.process("ticking", Ticking).sink("out", sink);
        let mut simulation = job.simulate(Options::workers(workers).clock(clock.clone())).unwrap();
        let at = |seconds: i64| Sample { time_ns: seconds * SECOND, key: 1, value: 1, number: 0 };
        quiet_input.send(&[at(1)]).unwrap();
        live_input.send(&[at(2), at(5), at(9)]).unwrap();
        settle(&mut simulation, workers);
        let times = || -> Vec<i64> { rows_of(&rows).into_iter().map(|(time, _)| time / SECOND).collect() };
        assert_eq!(times(), [0; 0], "the quiet source is at 1 s");
        clock.advance(Duration::from_millis(60));
        settle(&mut simulation, workers);
        assert_eq!(times(), [2, 3, 4, 5, 6, 7, 8], "the quiet source is idle");
        quiet_input.send(&[at(3)]).unwrap();
        settle(&mut simulation, workers);
        // What it says of the past fires at once, 1 ns behind the watermark, which does not go back.
        assert_eq!(times(), [9]);
        drop((quiet_input, live_input));
        settle(&mut simulation, workers);
        assert!(simulation.is_ended());
        simulation.finish().unwrap().balance().unwrap();
    }
}
