//! Jobs whose process functions have lists and maps: at any number of workers, stopped and run again, in new layouts.

use crate::testing::CrashingDisk;
use crate::{
    BroadcastProcessFunction, BroadcastTable, CheckpointOptions, Error, Event, Job, ListState, MapState, Options,
    ProcessContext, ProcessFunction, Record, ShapeError, States, Timestamp, VecSource, Watermarks, collect,
};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

#[derive(Debug, Clone, Copy, crate::Event)]
#[repr(C)]
struct Click {
    #[event(time)]
    time_ns: i64,
    user: u64,
    page: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Record)]
#[repr(C)]
struct Visit {
    user: u64,
    /// The sum of the last three pages.
    recent: u64,
    /// Clicks at this page.
    clicks: u64,
    /// Pages of the user.
    pages: u64,
}

/// What lists and maps keep, in one layout or another.
trait Number: Record {
    fn of(value: u64) -> Self;
    fn get(self) -> u64;
}

impl Number for u32 {
    fn of(value: u64) -> Self {
        value as Self
    }

    fn get(self) -> u64 {
        self.into()
    }
}

impl Number for u64 {
    fn of(value: u64) -> Self {
        value
    }

    fn get(self) -> u64 {
        self
    }
}

#[derive(Clone)]
struct Visits<N>(PhantomData<fn() -> N>);

impl<N: Number> Visits<N> {
    const RECENT: ListState<N> = ListState::new("recent");
    const PAGES: MapState<u64, N> = MapState::new("pages");
}

impl<N: Number> ProcessFunction<u64> for Visits<N> {
    type In = Click;
    type State = ();
    type Out = Visit;

    fn on_row(&self, user: &u64, time: Timestamp, click: &Click, _: &mut (), context: &mut ProcessContext<'_, Visit>) {
        let mut recent = context.list(&Self::RECENT);
        recent.push(N::of(click.page));
        recent.truncate_front(3);
        let recent = recent.get().iter().map(|page| page.get()).sum();
        let mut pages = context.map(&Self::PAGES);
        let clicks = pages.entry_or(click.page, N::of(0));
        *clicks = N::of(clicks.get() + 1);
        let (clicks, pages) = (clicks.get(), pages.len() as u64);
        context.emit(Visit { user: *user, recent, clicks, pages });
        if click.page == 7 {
            context.timer(time.plus_nanos(500));
        }
    }

    /// The user starts anew.
    fn on_timer(&self, user: &u64, _: Timestamp, _: &mut (), context: &mut ProcessContext<'_, Visit>) {
        let pages = context.map(&Self::PAGES).len() as u64;
        context.emit(Visit { user: *user, recent: 0, clicks: 0, pages });
        context.clear_state();
    }

    fn states(&self) -> States {
        States::new().list(&Self::RECENT).map(&Self::PAGES)
    }
}

const CLICKS: usize = 3000;

fn clicks() -> Vec<Click> {
    let click = |at: usize| {
        let mixed = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        Click { time_ns: at as i64 * 10, user: mixed % 37, page: mixed / 37 % 11 }
    };
    (0..CLICKS).map(click).collect()
}

/// What a plain loop finds.
fn expected() -> Vec<(i64, Visit)> {
    let (mut recent, mut pages) = (BTreeMap::<u64, Vec<u64>>::new(), BTreeMap::<u64, BTreeMap<u64, u64>>::new());
    let mut timers = std::collections::BTreeSet::new();
    let mut out = Vec::new();
    let events = clicks();
    let ends = [None];
    for click in events.iter().map(Some).chain(ends) {
        // A timer fires once it lies at or before the largest time so far less 1 ns; at the end all do.
        let before = click.map_or(i64::MAX, |click| click.time_ns - 11);
        while let Some((time, user)) = timers.first().copied().filter(|(time, _)| *time <= before) {
            timers.pop_first();
            let count = pages.get(&user).map_or(0, BTreeMap::len) as u64;
            out.push((time, Visit { user, recent: 0, clicks: 0, pages: count }));
            recent.remove(&user);
            pages.remove(&user);
        }
        let Some(click) = click else { continue };
        let last = recent.entry(click.user).or_default();
        last.push(click.page);
        let of_user = pages.entry(click.user).or_default();
        let clicks = of_user.entry(click.page).or_default();
        *clicks += 1;
        let sum = last.iter().rev().take(3).sum();
        let visit = Visit { user: click.user, recent: sum, clicks: *clicks, pages: of_user.len() as u64 };
        out.push((click.time_ns, visit));
        if click.page == 7 {
            timers.insert((click.time_ns + 500, click.user));
        }
    }
    out
}

/// The job with what takes its rows.
fn job<N: Number>(block: usize) -> (Job, crate::Collected<Visit>) {
    let (sink, rows) = collect();
    let mut job = Job::new("visits");
    job.source("clicks", VecSource::new(clicks(), block))
        .watermarks(Watermarks::bounded(Duration::ZERO))
        .key_by(|click| click.user)
        .process("visits", Visits::<N>(PhantomData))
        .sink("out", sink);
    (job, rows)
}

fn taken(rows: &crate::Collected<Visit>) -> Vec<(i64, Visit)> {
    rows.take().into_iter().map(|(time, row)| (time.as_nanos(), row)).collect()
}

fn run<N: Number>(block: usize, options: Options) -> Result<Vec<(i64, Visit)>, Error> {
    let (job, rows) = job::<N>(block);
    job.run(options.pin(false))?;
    Ok(taken(&rows))
}

#[test]
fn any_number_of_workers_gives_the_rows_of_a_plain_loop() {
    let expected = expected();
    for workers in [1, 2, 3, 8] {
        for block in [1, 64, 4096] {
            let found = run::<u64>(block, Options::workers(workers)).unwrap();
            assert!(found == expected, "{workers} workers, blocks of {block}");
        }
    }
}

#[test]
fn lists_and_maps_go_on_from_a_savepoint_and_in_another_layout() {
    let expected = expected();
    let half = clicks()[CLICKS / 2].time();
    for workers in [1, 2, 3] {
        let disk = CrashingDisk::new();
        let checkpoints =
            || CheckpointOptions::in_storage(disk.storage()).segment_bytes(4096).every_events(100).slice_bytes(64);
        let narrow = Options::workers(2).checkpoints(checkpoints().stop_at(half));
        let mut found = run::<u32>(16, narrow).unwrap();
        assert!(!found.is_empty() && found.len() < expected.len());
        disk.crash(7);
        // Without the functions both layouts are told.
        let refused = run::<u64>(16, Options::workers(workers).checkpoints(checkpoints())).unwrap_err().to_string();
        assert!(refused.contains("of step `visits`"), "{refused}");
        let wide = |was: &u32| u64::from(*was);
        let migrated = checkpoints().migrate("visits", "recent", wide).migrate("visits", "pages", wide);
        found.extend(run::<u64>(16, Options::workers(workers).checkpoints(migrated)).unwrap());
        assert!(found == expected, "{workers} workers");
    }
}

#[test]
fn a_plan_shows_lists_and_maps_by_their_names() {
    let plan = job::<u64>(64).0.explain(Options::workers(1)).unwrap().to_string();
    for part in ["recent", "lists by key", "pages", "sorted maps by key"] {
        assert!(plan.contains(part), "no {part} in: {plan}");
    }
}

#[test]
fn more_rows_than_the_limit_end_the_job_with_the_step() {
    let error = run::<u64>(64, Options::workers(1).rows_max(50)).unwrap_err().to_string();
    assert!(error.contains("visits") && error.contains("more than 50 rows are kept"), "{error}");
}

type Declare = fn() -> States;

/// Declares some states, and asks for one.
#[derive(Clone)]
struct Asking {
    states: Declare,
    ask: fn(&mut ProcessContext<'_, u64>),
}

impl ProcessFunction<u64> for Asking {
    type In = Click;
    type State = u64;
    type Out = u64;

    fn on_row(&self, _: &u64, _: Timestamp, click: &Click, _: &mut u64, context: &mut ProcessContext<'_, u64>) {
        if click.time_ns == 50 {
            (self.ask)(context);
        }
    }

    fn states(&self) -> States {
        (self.states)()
    }
}

impl BroadcastProcessFunction<u64> for Asking {
    type In = Click;
    type Broadcast = Click;
    type TableKey = u64;
    type TableValue = u64;
    type State = u64;
    type Out = u64;

    fn on_row(
        &self,
        _: &u64,
        _: Timestamp,
        _: &Click,
        _: &mut u64,
        _: &BroadcastTable<u64, u64>,
        _: &mut ProcessContext<'_, u64>,
    ) {
    }

    fn on_broadcast(&self, _: Timestamp, _: &Click, _: &mut BroadcastTable<u64, u64>) {}

    fn states(&self) -> States {
        (self.states)()
    }
}

const LIST: ListState<u64> = ListState::new("kept");
const MAP: MapState<u64, u64> = MapState::new("kept");

fn asking(states: Declare, ask: fn(&mut ProcessContext<'_, u64>)) -> Error {
    let mut job = Job::new("asking");
    job.source("clicks", VecSource::new(clicks(), 64))
        .key_by(|click| click.user)
        .process("asking", Asking { states, ask })
        .sink("out", collect().0);
    job.run(Options::workers(1).pin(false)).unwrap_err()
}

#[test]
fn a_state_that_was_not_declared_ends_the_job_with_its_name_the_step_and_the_event() {
    let error = asking(States::new, |context| context.list(&LIST).push(1)).to_string();
    for part in ["asking", "event 5", "`kept` is not declared"] {
        assert!(error.contains(part), "no {part} in: {error}");
    }
    let other = || States::new().list(&ListState::<u64>::new("other"));
    let error = asking(other, |context| context.map(&MAP).clear()).to_string();
    assert!(error.contains("`kept` is not declared"), "{error}");
}

#[test]
fn a_state_that_was_declared_with_other_types_ends_the_job_with_both() {
    let error = asking(|| States::new().map(&MAP), |context| context.list(&LIST).push(1)).to_string();
    for part in ["`kept`", "MapState<u64, u64>", "ListState<u64>"] {
        assert!(error.contains(part), "no {part} in: {error}");
    }
    let error = asking(|| States::new().list(&ListState::<i64>::new("kept")), |context| context.list(&LIST).clear());
    assert!(error.to_string().contains("ListState<i64>"), "{error}");
}

#[test]
fn a_name_that_comes_twice_or_is_taken_is_a_mistake_of_the_job() {
    let cases: [(Declare, &str); 3] = [
        (|| States::new().list(&LIST).map(&MAP), "kept"),
        (|| States::new().list(&ListState::<u64>::new("state")), "state"),
        (|| States::new().map(&MapState::<u64, u64>::new("timers")), "timers"),
    ];
    for (states, name) in cases {
        let Error::Shape { mistakes, .. } = asking(states, |_| {}) else { panic!("`{name}` is accepted") };
        assert_eq!(mistakes, [ShapeError::DuplicateStore("asking".into(), name)]);
    }
    let mut job = Job::new("asking");
    let table = job.source("table", VecSource::new(clicks(), 64));
    let states = || States::new().list(&ListState::<u64>::new("table"));
    job.source("clicks", VecSource::new(clicks(), 64))
        .key_by(|click| click.user)
        .process_with_broadcast(table, "asking", Asking { states, ask: |_| {} })
        .sink("out", collect().0);
    let Err(Error::Shape { mistakes, .. }) = job.run(Options::workers(1)) else { panic!("`table` is accepted") };
    assert_eq!(mistakes, [ShapeError::DuplicateStore("asking".into(), "table")]);
}
