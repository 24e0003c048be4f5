//! Jobs with live sources that crash at any moment and go on at other numbers of workers: every event is taken exactly
//! once, and what they give in the end is what the journal gives when it is read from its start.

mod archive;
mod golden;
mod world;

use pelton::{Report, Stop};
use pelton_tests::campaign;
use pelton_tests::jobs::{KINDS, Kind};
use pelton_tests::rng::Rng;
use std::sync::atomic::Ordering;
use world::{Rows, Started, World};

/// Seeds for each kind of job.
const EVERYDAY: u64 = 15;

/// What a run of crashes came to.
#[derive(Default)]
struct Held {
    /// How often the job went on with events from the journal.
    replayed: u64,
    drained: u64,
    /// Bytes that were cut of the journal meanwhile.
    cut: usize,
    wrong: Option<String>,
}

/// Runs a job that crashes or stops some times, each time going on with other numbers of workers, until it ends.
fn hold(kind: Option<Kind>, seed: u64, prepare: impl Fn(&World)) -> Held {
    let mut rng = Rng::new(seed);
    let mut world = World::new(kind, seed, &mut rng);
    prepare(&world);
    let mut held = Held::default();
    let what = format!("{kind:?}, seed {seed}");
    let (report, sent, symbols) = loop {
        let run = held.replayed;
        let workers = 1 + rng.below(3) as usize;
        let most = 1 << rng.below(11);
        let steps = if run > 5 { u64::MAX } else { 1 + rng.below(most) };
        let mut started = match world.start(workers, &mut rng) {
            Ok(started) => started,
            Err(error) => {
                held.wrong = Some(format!("{what}: {error}"));
                return held;
            }
        };
        let mut is_ended = world.step(&mut started, (workers, steps), &mut rng);
        match rng.below(6) {
            // It stops at a savepoint, or drains; it may crash meanwhile.
            0 if !is_ended => started.simulation.checkpoint(true).unwrap(),
            1 if !is_ended && run > 2 => {
                started.simulation.stop(Stop::Drain);
                // Nothing comes any more.
                let (ticks, deals) = (started.ticks.take(), started.deals.take());
                held.drained += 1;
                let written = world.written.load(Ordering::Acquire);
                is_ended = world.step(&mut started, (workers, u64::MAX), &mut rng);
                world.written.store(written, Ordering::Release);
                drop((ticks, deals));
            }
            _ => {}
        }
        if !is_ended && rng.below(2) == 0 {
            let more = rng.below(300);
            is_ended = world.step(&mut started, (workers, more), &mut rng);
        }
        let Started { simulation, symbols, sent, .. } = started;
        let at_savepoint = simulation.report().recovery.is_some_and(|recovery| recovery.at_savepoint);
        if is_ended && !at_savepoint {
            break (simulation.finish().unwrap(), sent, symbols.texts());
        }
        drop(simulation);
        held.replayed += 1;
        assert!(run < 20, "{what}: the job does not come to its end");
        world.state.crash(rng.next_u64());
        world.journal.crash(rng.next_u64());
    };
    report.balance().unwrap();
    let read = |report: &Report, name: &str| report.steps.iter().find(|step| step.name == name).unwrap().rows_in;
    match kind {
        Some(kind) => {
            assert_eq!(read(&report, "samples"), sent[0] as u64, "{what}: counts go on over restarts");
            if held.drained == 0 {
                let (out, late) = world.expected(kind);
                if (world.out.rows(), world.late.rows()) != (out, late) {
                    held.wrong = Some(format!("{what}: other rows"));
                }
            }
        }
        None => {
            let expected = [sent[0] as u64, sent[1] as u64];
            assert_eq!([read(&report, "ticks"), read(&report, "deals")], expected, "{what}");
            if held.drained == 0 {
                assert_eq!(read(&report, "lines"), world.lines.len() as u64, "{what}");
            }
            in_order(&world.all.rows(), &what);
        }
    }
    held.cut = world.archive.len();
    let workers = 1 + rng.below(3) as usize;
    let (rows, replayed, texts) = world.replayed(workers, &mut rng);
    let names = report.steps.iter().map(|step| (&*step.name, step.rows_in, step.rejected, step.jumped));
    let again = replayed.steps.iter().map(|step| (&*step.name, step.rows_in, step.rejected, step.jumped));
    if rows != world.rows() || !names.eq(again) || texts[..] != symbols[..texts.len()] {
        held.wrong = Some(format!("{what}: a replay of the journal gives something else"));
    }
    held
}

/// Each event of each source is there at most once, and in its order.
fn in_order(rows: &Rows, what: &str) {
    let mut last = [-1; 4];
    for (_, row) in rows {
        let (source, number) = ((row.b & 3) as usize, row.b >> 2);
        assert!(number > last[source], "{what}: event {number} of source {source} behind {}", last[source]);
        last[source] = number;
    }
}

#[test]
fn jobs_with_pushes_that_crash_anywhere_take_each_event_once() {
    let (mut replayed, mut cut) = (0, 0);
    let seeds = campaign::seeds(EVERYDAY);
    for seed in seeds.clone() {
        for kind in KINDS {
            let held = hold(Some(kind), seed, |_| {});
            assert_eq!(held.wrong, None);
            replayed += held.replayed;
            cut += usize::from(held.cut > 0);
        }
    }
    println!("{replayed} times a job went on, {cut} journals were cut");
    let runs = seeds.end - seeds.start;
    let is_enough = replayed > runs * 7 && cut as u64 > runs / 4;
    assert!(is_enough || runs == 1, "{replayed} times a job went on, {cut} were cut");
}

#[test]
fn live_sources_of_all_kinds_replay_to_the_same_rows() {
    let (mut replayed, mut drained, mut cut) = (0, 0, 0);
    let seeds = campaign::seeds(EVERYDAY * 8);
    for seed in seeds.clone() {
        let held = hold(None, seed, |_| {});
        assert_eq!(held.wrong, None);
        replayed += held.replayed;
        drained += held.drained;
        cut += u64::from(held.cut > 0);
    }
    println!("{replayed} times a job went on, {drained} were drained, {cut} journals were cut");
    let runs = seeds.end - seeds.start;
    let is_enough = replayed > runs && drained > runs / 32 && cut > runs / 16;
    assert!(is_enough || runs == 1, "{replayed} went on, {drained} drained, {cut} journals cut");
}

/// A checkpoint whose input is not durable is found.
#[test]
fn a_journal_that_is_not_synced_is_found() {
    let found = (0..200).any(|seed| {
        let held = std::panic::catch_unwind(|| hold(None, seed, |world| world.journal.lose_syncs()));
        held.map_or(true, |held| held.wrong.is_some())
    });
    assert!(found);
}
