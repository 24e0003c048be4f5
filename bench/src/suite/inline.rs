//! Jobs on the caller's thread: how long each push of an event takes, until its rows have been at the sink, beside the same
//! work by hand in the same run.

use super::in_memory::{EVENT_BYTES, Shared};
use super::{Found, Suite};
use crate::contest::{Contest, Outcome};
use crate::load::histogram;
use crate::number_work::{Amount, Called};
use crate::readings::{Reading, ReadingRow};
use crate::window_work::{inline_amounts, inline_sums};
use crate::yardstick::{PushedSums, pushed_amount};
use hdrhistogram::Histogram;
use pelton::{BlockSource, BoxError, Inline, Input, Timestamp};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// A thousand readings come in each.
const WINDOW: Duration = Duration::from_millis(1);
const PERCENTILES: [f64; 3] = [50.0, 99.0, 99.9];

/// What takes readings one by one.
trait Pushed {
    fn push(&mut self, reading: &Reading) -> Result<(), BoxError>;
    fn finish(self) -> Result<(), BoxError>;
}

struct JobPushed(Inline, Input<Reading>);

impl Pushed for JobPushed {
    #[inline(always)]
    fn push(&mut self, reading: &Reading) -> Result<(), BoxError> {
        Ok(self.0.push(&mut self.1, reading)?)
    }

    fn finish(self) -> Result<(), BoxError> {
        let Self(job, input) = self;
        drop(input);
        Ok(job.finish()?.balance()?)
    }
}

struct AmountsPushed<F>(F);

impl<F: FnMut(Timestamp, &Amount)> Pushed for AmountsPushed<F> {
    #[inline(always)]
    fn push(&mut self, reading: &Reading) -> Result<(), BoxError> {
        pushed_amount(reading, &mut self.0);
        Ok(())
    }

    fn finish(self) -> Result<(), BoxError> {
        Ok(())
    }
}

struct SumsPushed<F>(PushedSums, F);

impl<F: FnMut(Timestamp, &ReadingRow)> Pushed for SumsPushed<F> {
    #[inline(always)]
    fn push(&mut self, reading: &Reading) -> Result<(), BoxError> {
        self.0.push(reading, &mut self.1);
        Ok(())
    }

    fn finish(mut self) -> Result<(), BoxError> {
        self.0.fire(&mut self.1);
        Ok(())
    }
}

/// How long pushes took, in nanoseconds: all of them, and those that gave rows.
struct Pushes([Histogram<u64>; 2]);

/// Times each push of so many readings; `called` knows the rows that come of them.
fn timed(
    source: &Shared,
    events: u64,
    called: &Called,
    mut push: impl FnMut(&Reading) -> Result<(), BoxError>,
) -> Result<Pushes, BoxError> {
    let (mut all, mut with_rows) = (histogram(), histogram());
    let (mut left, mut rows) = (usize::try_from(events)?, 0);
    let mut reader = source.reader()?;
    for block in 0..source.blocks().len() {
        reader.load(block)?;
        let readings = reader.events();
        let count = left.min(readings.len());
        for reading in &readings[..count] {
            let start = Instant::now();
            push(reading)?;
            let ns = u64::try_from(start.elapsed().as_nanos())?;
            all.saturating_record(ns);
            let seen = called.seen().0;
            if seen > rows {
                with_rows.saturating_record(ns);
                rows = seen;
            }
        }
        left -= count;
    }
    Ok(Pushes([all, with_rows]))
}

/// The percentiles of a rival's runs, as [`Pushes`] are. The first run is the warm-up.
#[derive(Default)]
struct Figures(RefCell<[Vec<[u64; 3]>; 2]>);

impl Figures {
    fn add(&self, pushes: &Pushes) {
        for (runs, pushes) in self.0.borrow_mut().iter_mut().zip(&pushes.0) {
            runs.push(PERCENTILES.map(|percentile| pushes.value_at_percentile(percentile)));
        }
    }

    /// A rival of a table of latencies.
    fn to_json(&self, name: &str, wrong: Option<&str>, of: usize) -> Value {
        let runs = &self.0.borrow()[of];
        let counted = if wrong.is_some() { &[] } else { runs.get(1..).unwrap_or_default() };
        let at = |percentile: usize| counted.iter().map(|run| run[percentile]).collect::<Vec<_>>();
        json!({ "name": name, "wrong": wrong, "p50_ns": at(0), "p99_ns": at(1), "p999_ns": at(2) })
    }
}

/// A rival that is timed push by push.
fn rival<'a, P: Pushed>(
    (source, events): (&'a Shared, u64),
    figures: &'a Figures,
    make: impl Fn(&Called) -> Result<P, BoxError> + 'a,
) -> impl FnMut() -> Result<Outcome, BoxError> + 'a {
    move || {
        Outcome::timed(|| {
            let called = Called::default();
            let mut pushed = make(&called)?;
            figures.add(&timed(source, events, &called, |reading| pushed.push(reading))?);
            pushed.finish()?;
            Ok(called.seen())
        })
    }
}

/// What it takes to look at the clock before and behind each push.
fn clock(rounds: usize, load: (&Shared, u64)) -> Result<Figures, BoxError> {
    let figures = Figures::default();
    for _ in 0..=rounds {
        figures.add(&timed(load.0, load.1, &Called::default(), |_| Ok(()))?);
    }
    Ok(figures)
}

/// Runs the works and adds what they found.
pub(super) fn inline(suite: &mut Suite<'_>, source: &Shared, found: &mut Found) -> Result<(), BoxError> {
    let load = (source, suite.options.shape_events);
    let clock = clock(suite.options.rounds.max(1), load)?;
    let mut latencies = Vec::new();
    let mut run = |work: &str, contest: Contest<'_>, figures: &[Figures; 2]| {
        let standing = suite.run(contest);
        for (of, which) in ["each push", "pushes that give rows"].iter().enumerate() {
            let rivals = standing.rivals.iter().zip(figures);
            let mut rivals: Vec<_> =
                rivals.map(|(rival, figures)| figures.to_json(&rival.name, rival.wrong.as_deref(), of)).collect();
            if of == 0 {
                rivals.push(clock.to_json("the clock alone", None, of));
            }
            let title = format!("{work}: {which}");
            (suite.tell)(&told(&title, &rivals));
            latencies.push(json!({ "work": title, "rivals": rivals }));
        }
        found.standings.push(standing);
    };
    let figures = <[Figures; 2]>::default();
    let work = "a job on the caller's thread: small readings mapped";
    run(work, amounts(work, load, &figures), &figures);
    let figures = <[Figures; 2]>::default();
    let work = format!("a job on the caller's thread: counts and sums in windows of {WINDOW:?}");
    run(&work, sums(&work, load, &figures), &figures);
    found.more.insert("latencies".into(), latencies.into());
    Ok(())
}

fn amounts<'a>(work: &str, load: (&'a Shared, u64), [plain, pelton]: &'a [Figures; 2]) -> Contest<'a> {
    let mut contest = Contest::new(&format!("{work}, each push timed"), load.1, EVENT_BYTES);
    contest.rival("plain", rival(load, plain, |called| Ok(AmountsPushed(called.function::<Amount>()))));
    contest.rival(
        "pelton",
        rival(load, pelton, |called| {
            let (job, input) = inline_amounts(called)?;
            Ok(JobPushed(job, input))
        }),
    );
    contest
}

fn sums<'a>(work: &str, load: (&'a Shared, u64), [plain, pelton]: &'a [Figures; 2]) -> Contest<'a> {
    let mut contest = Contest::new(&format!("{work}, each push timed"), load.1, EVENT_BYTES);
    let by_hand = |called: &Called| Ok(SumsPushed(PushedSums::new(WINDOW)?, called.function::<ReadingRow>()));
    contest.rival("plain", rival(load, plain, by_hand));
    contest.rival(
        "pelton",
        rival(load, pelton, |called| {
            let (job, input) = inline_sums(called, WINDOW)?;
            Ok(JobPushed(job, input))
        }),
    );
    contest
}

/// The medians of rivals, for those who watch.
fn told(title: &str, rivals: &[Value]) -> String {
    let mut text = title.to_owned();
    for rival in rivals {
        let median = |percentile: &str| {
            let mut runs: Vec<_> =
                rival[percentile].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
            runs.sort_unstable();
            runs.get(runs.len() / 2).map_or("-".to_owned(), |ns| format!("{ns} ns"))
        };
        let name = rival["name"].as_str().unwrap_or_default();
        text += &format!("\n{name}: p50 {}, p99 {}, p99.9 {}", median("p50_ns"), median("p99_ns"), median("p999_ns"));
    }
    text + "\n"
}
