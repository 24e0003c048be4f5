//! Windows of real trades, as Flink and another program found them.

use pelton::testing::CrashingDisk;
use pelton::{
    Aggregate, CheckpointOptions, Job, Options, Pane, Record, Session, Simulation, Sliding, Timestamp, VecSource,
};
use pelton_io::Trade;
use pelton_io::codec::lean::{self, LeanOptions};
use pelton_io::codec::{Input, InputLimits, events};
use pelton_tests::data::{data, time_of_day};
use pelton_tests::events::Row;
use pelton_tests::rows::assert_same;
use pelton_tests::tape::Tape;
use std::path::Path;
use std::time::Duration;

/// How many trades there are, and of how many shares.
#[derive(Clone)]
struct Volume;

#[derive(Clone, Copy, Record)]
#[repr(C)]
struct Traded {
    trades: u64,
    shares: u64,
}

impl Aggregate for Volume {
    type In = Trade;
    type Acc = Traded;
    type Value = Traded;

    fn add(&self, acc: &mut Traded, _: Timestamp, trade: &Trade) {
        self.merge(acc, &Traded { trades: 1, shares: trade.size.into() });
    }

    fn merge(&self, acc: &mut Traded, later: &Traded) {
        acc.trades += later.trades;
        acc.shares += later.shares;
    }

    fn value(&self, acc: &Traded) -> Traded {
        *acc
    }
}

/// A firing: what was traded, where, and in which window.
#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[repr(C)]
struct Fired {
    end: i64,
    venue: u64,
    start: i64,
    trades: u64,
    shares: u64,
}

impl Fired {
    fn new(pane: &Pane, venue: u64, traded: Traded) -> Self {
        let (start, end) = (pane.window.start.as_nanos(), pane.window.end.as_nanos());
        Self { end, venue, start, trades: traded.trades, shares: traded.shares }
    }

    /// The same in two rows of a tape.
    const fn rows(&self) -> [Row; 2] {
        let Self { end, venue, start, trades, shares } = *self;
        [Row { key: venue, a: start, b: end }, Row { key: venue, a: trades as i64, b: shares as i64 }]
    }
}

fn trades(dir: &Path) -> Vec<Trade> {
    let input = Input::open(&dir.join("ibm_20131008_trade.zip"), &InputLimits::default()).unwrap();
    let trades: Vec<Trade> = events(lean::trades(input, LeanOptions::default())).collect::<Result<_, _>>().unwrap();
    assert_eq!(trades.len(), 33_381);
    trades
}

/// Lines of venue, where there is one, start, end, trades and shares, in the order in which windows fire.
fn expected(path: &Path, rows: usize) -> Vec<Row> {
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let columns: Vec<&str> = line.split(',').collect();
        let (venue, [start, end, trades, shares]) = (&columns[..columns.len() - 4], columns.last_chunk().unwrap());
        let mut letters = [0; 2];
        venue.iter().for_each(|venue| letters[..venue.len()].copy_from_slice(venue.as_bytes()));
        Fired {
            end: time_of_day(end),
            venue: u16::from_be_bytes(letters).into(),
            start: time_of_day(start),
            trades: trades.parse().unwrap(),
            shares: shares.parse().unwrap(),
        }
    };
    let mut fired: Vec<Fired> = text.lines().map(row).collect();
    assert_eq!(fired.len(), rows);
    fired.sort_by_key(|fired| (fired.end, fired.venue));
    fired.iter().flat_map(Fired::rows).collect()
}

type Windowed = fn(&mut Job, VecSource<Trade>, &Tape);

fn sliding(job: &mut Job, trades: VecSource<Trade>, tape: &Tape) {
    let windows = Sliding::of(Duration::from_secs(60), Duration::from_secs(10));
    job.source("trades", trades)
        .window_all(windows)
        .aggregate_with("sliding", Volume, |pane, (), traded| Fired::new(pane, 0, traded))
        .main
        .flat_map(Fired::rows)
        .sink("out", tape.sink());
}

fn sessions(job: &mut Job, trades: VecSource<Trade>, tape: &Tape) {
    job.source("trades", trades)
        .key_by(|trade| u64::from(u16::from_be_bytes(trade.venue)))
        .window(Session::gap(Duration::from_secs(5)))
        .aggregate_with("sessions", Volume, |pane, venue, traded| Fired::new(pane, *venue, traded))
        .main
        .flat_map(Fired::rows)
        .sink("out", tape.sink());
}

/// Steps workers in turn until the job ends or has read so many events.
fn step(simulation: &mut Simulation, workers: usize, events: u64) {
    let mut idle = 0;
    for worker in (0..workers).cycle() {
        if simulation.is_ended() || simulation.report().events_read() >= events {
            return;
        }
        idle = if simulation.step(worker).made_progress() { 0 } else { idle + 1 };
        simulation.step_checkpoints();
        assert!(idle < 100_000, "it does not move on");
    }
}

/// Runs the job, killed half way and gone on with on another number of workers.
fn hold(windowed: Windowed, trades: &[Trade], expected: &[Row]) {
    for (workers, others) in [(1, 8), (2, 3), (3, 1), (8, 2)] {
        for block in [1, 64, 4096] {
            let (disk, tape) = (CrashingDisk::new(), Tape::default());
            let simulate = |workers| {
                let mut job = Job::new("real windows");
                windowed(&mut job, VecSource::new(trades.to_vec(), block).with_symbols(["IBM"]), &tape);
                let checkpoints = CheckpointOptions::in_storage(disk.storage());
                job.simulate(Options::workers(workers).pin(false).checkpoints(checkpoints)).unwrap()
            };
            let mut simulation = simulate(workers);
            step(&mut simulation, workers, trades.len() as u64 / 2);
            simulation.checkpoint(false).unwrap();
            step(&mut simulation, workers, trades.len() as u64 * 3 / 4);
            drop(simulation);
            disk.crash(block as u64);
            let mut simulation = simulate(others);
            step(&mut simulation, others, u64::MAX);
            let report = simulation.finish().unwrap();
            let what = format!("blocks of {block} on {workers} and then {others} workers");
            assert!(report.recovery.as_ref().is_some_and(|recovery| recovery.resumed_from.is_some()), "{what}");
            report.balance().unwrap();
            let found: Vec<Row> = tape.rows().into_iter().map(|(_, row)| row).collect();
            assert_same(&found, expected, &what);
        }
    }
}

#[test]
fn real_trades_are_in_the_sliding_windows_that_two_other_programs_found() {
    let test = "real_trades_are_in_the_sliding_windows_that_two_other_programs_found";
    let Some(dir) = data(test, "lean_us_equity_tick") else { return };
    hold(sliding, &trades(&dir), &expected(&dir.join("expected/ibm_20131008_hop.csv"), 2_550));
}

#[test]
fn real_trades_are_in_the_sessions_that_two_other_programs_found() {
    let test = "real_trades_are_in_the_sessions_that_two_other_programs_found";
    let Some(dir) = data(test, "lean_us_equity_tick") else { return };
    hold(sessions, &trades(&dir), &expected(&dir.join("expected/ibm_20131008_session.csv"), 9_160));
}
