//! Functions with timers of processing time, and the same as plain loops over events and ticks in one order.

use pelton::{ProcessContext, ProcessFunction, Record, Timestamp};
use pelton_tests::events::{Row, Sample};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) fn row_of(sample: &Sample) -> Row {
    Row { key: sample.key, a: sample.value, b: sample.number as i64 }
}

/// Shows the order: each row with its number, and each tick behind the first row.
#[derive(Clone)]
pub(super) struct Watch;

const TICK: u64 = u64::MAX;

impl ProcessFunction<u8> for Watch {
    type In = Row;
    type State = u64;
    type Out = Row;
    const PROCESSING_TIME: bool = true;

    fn on_row(&self, _: &u8, _: Timestamp, row: &Row, started: &mut u64, context: &mut ProcessContext<'_, Row>) {
        let now = context.processing_time();
        context.emit(Row { key: 0, a: row.b, b: now.as_nanos() });
        if *started == 0 {
            *started = 1;
            context.processing_timer(now);
        }
    }

    fn on_processing_timer(&self, _: &u8, _: Timestamp, _: &mut u64, context: &mut ProcessContext<'_, Row>) {
        let now = context.processing_time();
        context.emit(Row { key: TICK, a: 0, b: now.as_nanos() });
        // Of the present: it fires at the next tick.
        context.processing_timer(now);
    }
}

/// What comes in the order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item {
    /// A row, and its event time.
    Event(Row, i64),
    /// Processing time.
    Tick(i64),
}

/// The order that a [`Watch`] has shown. Ticks before the first row are one.
pub(super) fn order(shown: &[(Timestamp, Row)], events: &[Sample]) -> Vec<Item> {
    let first = shown.first().map(|(_, row)| Item::Tick(row.b));
    let item = |(_, row): &(Timestamp, Row)| match row.key {
        TICK => Item::Tick(row.b),
        _ => Item::Event(row_of(&events[row.a as usize]), events[row.a as usize].time_ns),
    };
    first.into_iter().chain(shown.iter().map(item)).collect()
}

/// What is known of a key.
#[derive(Clone, Copy, Default, Record)]
#[repr(C)]
pub(super) struct Waiting {
    count: u64,
    due: Timestamp,
}

/// Tells each row, and once nothing came for a while how many came.
#[derive(Clone)]
pub(super) struct Debounce {
    pub(super) wait_us: u64,
}

impl ProcessFunction<u64> for Debounce {
    type In = Row;
    type State = Waiting;
    type Out = Row;
    const PROCESSING_TIME: bool = true;

    fn on_row(&self, key: &u64, _: Timestamp, row: &Row, kept: &mut Waiting, context: &mut ProcessContext<'_, Row>) {
        let now = context.processing_time();
        context.emit(Row { key: *key, a: row.b, b: now.as_nanos() });
        context.delete_processing_timer(kept.due);
        kept.count += 1;
        kept.due = now + Duration::from_micros(self.wait_us);
        context.processing_timer(kept.due);
        if kept.count.is_multiple_of(4) {
            context.processing_timer(now - Duration::from_micros(1));
        }
    }

    fn on_processing_timer(
        &self,
        key: &u64,
        time: Timestamp,
        kept: &mut Waiting,
        context: &mut ProcessContext<'_, Row>,
    ) {
        context.emit(Row { key: *key, a: kept.count as i64, b: time.as_nanos() });
        context.emit(Row { key: *key, a: -1, b: context.processing_time().as_nanos() });
        match kept.count {
            2 => context.processing_timer(time + Duration::from_micros(7)),
            3.. => context.clear_state(),
            _ => {}
        }
    }
}

/// The function as a loop.
struct Slow {
    wait_ns: i64,
    now: i64,
    kept: BTreeMap<u64, (i64, i64)>,
    timers: BTreeSet<(i64, u64)>,
}

impl Slow {
    fn new(wait_ns: i64) -> Self {
        Self { wait_ns, now: i64::MIN, kept: BTreeMap::new(), timers: BTreeSet::new() }
    }

    /// The present and the past are 1 ns ahead.
    fn set(&mut self, key: u64, time: i64) {
        self.timers.insert((time.max(self.now.saturating_add(1)), key));
    }

    fn row(&mut self, key: u64, row: Row) -> Row {
        let (count, due) = self.kept.get(&key).copied().unwrap_or_default();
        self.timers.remove(&(due.max(self.now.saturating_add(1)), key));
        let due = self.now.saturating_add(self.wait_ns);
        self.kept.insert(key, (count + 1, due));
        self.set(key, due);
        if (count + 1).rem_euclid(4) == 0 {
            self.set(key, self.now.saturating_sub(1000));
        }
        Row { key, a: row.b, b: self.now }
    }

    fn tick(&mut self, now: i64) -> Vec<Row> {
        let mut rows = Vec::new();
        self.now = self.now.max(now);
        while let Some((time, key)) = self.timers.first().copied().filter(|(time, _)| *time <= self.now) {
            self.timers.pop_first();
            let count = self.kept.get(&key).map_or(0, |kept| kept.0);
            rows.extend([Row { key, a: count, b: time }, Row { key, a: -1, b: self.now }]);
            match count {
                2 => self.set(key, time + 7000),
                3.. => drop(self.kept.remove(&key)),
                _ => {}
            }
        }
        rows
    }
}

type Rows = Vec<(Timestamp, Row)>;

/// What one function gives, and another behind it.
pub(super) fn debounced(order: &[Item], bound_ns: i64) -> (Rows, Rows) {
    let (mut first, mut second) = (Slow::new(30_000), Slow::new(20_000));
    let (mut once, mut twice) = (Rows::new(), Rows::new());
    let mut clock = i64::MIN;
    for item in order {
        match *item {
            Item::Event(row, time) => {
                let row = first.row(row.key % 7, row);
                let time = Timestamp::from_nanos(time);
                once.push((time, row));
                twice.push((time, second.row(row.key % 3, row)));
                clock = clock.max(time.as_nanos());
            }
            Item::Tick(now) => {
                // 1 ns behind the watermark, which is the bound and 1 ns behind the clock.
                let time = clock.saturating_sub(bound_ns).saturating_sub(1).saturating_add(1);
                let time = Timestamp::from_nanos(time);
                // A step sees the tick before it sees what the tick has had fired before.
                twice.extend(second.tick(now).into_iter().map(|row| (time, row)));
                for row in first.tick(now) {
                    once.push((time, row));
                    twice.push((time, second.row(row.key % 3, row)));
                }
            }
        }
    }
    (once, twice)
}
