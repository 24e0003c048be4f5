//! Rules that all workers hear of and that change while a job runs.

use super::uneven;
use pelton::{
    BroadcastProcessFunction, BroadcastTable, Job, Options, ProcessContext, Timestamp, VecSource, Watermarks, collect,
};
use pelton_tests::events::{Row, Sample};
use pelton_tests::rows::{assert_same, rows_of, rows_of_model};
use pelton_tests::running::finish;
use pelton_tests::slow::{Call, Function, Placed, merged, run};
use std::collections::BTreeMap;
use std::time::Duration;

/// Passes on rows above the limit of their kind, with how many the key had; tells the limit a while behind each.
#[derive(Clone)]
struct AboveLimit;

const KINDS: u64 = 4;

impl BroadcastProcessFunction<u64> for AboveLimit {
    type In = Sample;
    type Broadcast = Row;
    type TableKey = u64;
    type TableValue = i64;
    type State = u64;
    type Out = Row;

    fn on_row(
        &self,
        key: &u64,
        time: Timestamp,
        row: &Sample,
        rows: &mut u64,
        limits: &BroadcastTable<u64, i64>,
        context: &mut ProcessContext<'_, Row>,
    ) {
        *rows += 1;
        if limits.get(&(row.number % KINDS)).is_some_and(|limit| row.value >= *limit) {
            context.emit(Row { key: *key, a: row.number as i64, b: *rows as i64 });
            context.timer(time.plus_nanos(15));
        }
    }

    fn on_broadcast(&self, _: Timestamp, rule: &Row, limits: &mut BroadcastTable<u64, i64>) {
        if rule.b < 0 {
            limits.remove(&rule.key);
        } else {
            limits.insert(rule.key, rule.b);
        }
    }

    fn on_timer(
        &self,
        key: &u64,
        _: Timestamp,
        rows: &mut u64,
        limits: &BroadcastTable<u64, i64>,
        context: &mut ProcessContext<'_, Row>,
    ) {
        let sum: i64 = limits.iter().map(|(kind, limit)| *kind as i64 * 10 + *limit).sum();
        context.emit(Row { key: *key + 100, a: sum, b: *rows as i64 });
    }
}

#[derive(Clone, Copy)]
enum RowOrRule {
    Row(Sample),
    Rule(Row),
}

/// Rules belong to no key; the model may give them any.
#[derive(Default)]
struct SlowLimits {
    limits: BTreeMap<u64, i64>,
    rows: BTreeMap<u64, i64>,
}

impl Function<RowOrRule> for SlowLimits {
    type Out = Row;
    fn key(&self, row: &RowOrRule) -> u64 {
        match row {
            RowOrRule::Row(row) => row.key,
            RowOrRule::Rule(_) => 0,
        }
    }
    fn row(&mut self, key: u64, time: i64, row: &RowOrRule, call: &mut Call<Row>) {
        match row {
            RowOrRule::Row(row) => {
                let rows = self.rows.entry(key).or_default();
                *rows += 1;
                if self.limits.get(&(row.number % KINDS)).is_some_and(|limit| row.value >= *limit) {
                    call.rows.push(Row { key, a: row.number as i64, b: *rows });
                    call.timers.push(time + 15);
                }
            }
            RowOrRule::Rule(rule) => {
                self.limits.remove(&rule.key);
                if rule.b >= 0 {
                    self.limits.insert(rule.key, rule.b);
                }
            }
        }
    }
    fn timer(&mut self, key: u64, _: i64, call: &mut Call<Row>) {
        let sum = self.limits.iter().map(|(kind, limit)| *kind as i64 * 10 + limit).sum();
        call.rows.push(Row { key: key + 100, a: sum, b: self.rows[&key] });
    }
}

fn rule_of(sample: &Sample) -> Row {
    // One rule in five is taken away.
    let limit = if sample.number.is_multiple_of(5) { -1 } else { sample.key as i64 % 2 };
    Row { key: sample.key % KINDS, a: sample.number as i64, b: limit }
}

#[test]
fn rules_that_change_while_a_job_runs_hold_from_their_own_place_on() {
    for (seed, rows, rules) in [(1, 200, 40), (2, 60, 100), (3, 60, 0)] {
        let rows = uneven(rows, 9, seed);
        let rules = uneven(rules, 9, seed + 70);
        // Rules are declared first.
        let times = [rules.iter().map(|row| row.time_ns).collect(), rows.iter().map(|row| row.time_ns).collect()];
        let end = times.iter().flatten().copied().max().unwrap();
        let placed: Vec<_> = merged(&times)
            .into_iter()
            .map(|(source, at, clock)| {
                let row = if source == 0 { RowOrRule::Rule(rule_of(&rules[at])) } else { RowOrRule::Row(rows[at]) };
                Placed { time: times[source][at], clock, row }
            })
            .collect();
        let expected = rows_of_model(&run(&placed, end, 25, SlowLimits::default()));
        assert!(rules.is_empty() || expected.len() > 25);
        let mut steps = None;
        for block in [1_usize, 3, 64, 4096] {
            for workers in [1, 2, 3, 8] {
                for ring_bytes in [1, 1 << 16] {
                    let mut job = Job::new("rules");
                    let (sink, out) = collect();
                    let rules = job.source("rules", VecSource::new(rules.clone(), block.div_ceil(2)));
                    let watermarks = Watermarks::bounded(Duration::from_nanos(25));
                    let rows = job.source("rows", VecSource::new(rows.clone(), block)).watermarks(watermarks);
                    let above =
                        rows.key_by(|row| row.key).process_with_broadcast(rules.map(rule_of), "above", AboveLimit);
                    above.sink("out", sink);
                    let report = finish(job, Options::workers(workers).ring_bytes(ring_bytes));
                    let found = rows_of(&out);
                    let what = format!("blocks of {block} on {workers} workers with rings of {ring_bytes} B");
                    assert_same(&found, &expected, &what);
                    let counts: Vec<_> = ["rules", "rows", "above", "out"]
                        .map(|name| report.step(name).unwrap().clone())
                        .into_iter()
                        .map(|step| (step.name, step.sent, step.rows_in, step.rows_out, step.late, step.behind))
                        .collect();
                    let expected = steps.get_or_insert_with(|| counts.clone());
                    assert_eq!(counts, *expected, "counts of {what}");
                }
            }
        }
        let above = &steps.unwrap()[2];
        assert_eq!(above.2, (rows.len() + rules.len()) as u64, "each rule counts once");
    }
}
