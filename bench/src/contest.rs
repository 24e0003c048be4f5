//! Rivals at one piece of work, run in turns, whose results must be equal before their times count.
//!
//! What disturbs the machine meanwhile disturbs all rivals: they run A B C A B C, never A A A B B B.
//!
//! ```
//! use pelton_bench::contest::{Contest, Outcome};
//!
//! let mut contest = Contest::new("sum", 1_000, 8);
//! contest.rival("fold", || Outcome::timed(|| Ok((1, (0..1_000u64).fold(0, |sum, i| sum + i)))));
//! contest.rival("formula", || Outcome::timed(|| Ok((1, 1_000 * 999 / 2))));
//! let standing = contest.run(5, &mut |_| {});
//! assert!(standing.rivals.iter().all(|rival| rival.wrong.is_none()));
//! ```

use pelton::BoxError;
use serde_json::{Value, json};
use std::fmt;
use std::time::{Duration, Instant};

/// What one run did: the time it took, and what came out, by which runs are held equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The time of the work alone, without what only the check needs.
    pub elapsed: Duration,
    /// Rows that came out.
    pub rows: u64,
    /// A hash of the rows in canonical order.
    pub hash: u64,
}

impl Outcome {
    /// The outcome of work that returns its rows and their hash, with the time it takes.
    ///
    /// # Errors
    /// As the work fails.
    pub fn timed(work: impl FnOnce() -> Result<(u64, u64), BoxError>) -> Result<Self, BoxError> {
        let start = Instant::now();
        let (rows, hash) = work()?;
        Ok(Self { elapsed: start.elapsed(), rows, hash })
    }
}

type Run<'a> = Box<dyn FnMut() -> Result<Outcome, BoxError> + 'a>;

/// Rivals at one piece of work, run in turns.
pub struct Contest<'a> {
    standing: Standing,
    /// One for each rival of the standing; `None` where there is only a remark.
    runs: Vec<Option<Run<'a>>>,
}

impl<'a> Contest<'a> {
    /// `events` and `event_bytes`: what one run processes.
    pub fn new(work: &str, events: u64, event_bytes: u64) -> Self {
        let standing = Standing { work: work.to_owned(), events, event_bytes, rivals: Vec::new() };
        Self { standing, runs: Vec::new() }
    }

    /// Adds a rival. It is called once untimed as warm-up and check, then once a round.
    pub fn rival(&mut self, name: &str, run: impl FnMut() -> Result<Outcome, BoxError> + 'a) -> &mut Self {
        let index = self.index(name);
        self.runs[index] = Some(Box::new(run));
        self
    }

    /// A remark that stands beside a rival's figure: its configuration, or why it has none.
    pub fn remark(&mut self, name: &str, text: &str) -> &mut Self {
        let index = self.index(name);
        self.standing.rivals[index].remark = text.to_owned();
        self
    }

    fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.standing.rivals.iter().position(|rival| rival.name == name) {
            return index;
        }
        let name = name.to_owned();
        self.standing.rivals.push(Rival { name, ..Rival::default() });
        self.runs.push(None);
        self.runs.len() - 1
    }

    /// Runs all in turns, `rounds` times, at least once.
    ///
    /// The first rival that runs without an error is the reference for rows and hash. A rival that fails or differs in
    /// any run is reported as wrong and gets no figures; it does not run again.
    pub fn run(mut self, rounds: usize, tell: &mut dyn FnMut(&str)) -> Standing {
        let mut expected = None;
        for round in 0..=rounds.max(1) {
            for (rival, run) in self.standing.rivals.iter_mut().zip(&mut self.runs) {
                let Some(run) = run.as_mut().filter(|_| rival.wrong.is_none()) else { continue };
                match checked(run(), &mut expected) {
                    Ok(elapsed) => {
                        let what = if round == 0 { "warm-up".to_owned() } else { format!("round {round}") };
                        tell(&format!("{}, {}, {what}: {elapsed:.3?}", self.standing.work, rival.name));
                        if round > 0 {
                            rival.runs_ns.push(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
                        }
                    }
                    Err(wrong) => {
                        tell(&format!("{}, {}: WRONG: {wrong}", self.standing.work, rival.name));
                        rival.wrong = Some(wrong);
                        rival.runs_ns.clear();
                    }
                }
            }
        }
        self.standing
    }
}

/// The time of a run whose result is the expected one, or what is wrong with it.
fn checked(outcome: Result<Outcome, BoxError>, expected: &mut Option<(u64, u64)>) -> Result<Duration, String> {
    let outcome = outcome.map_err(|error| error.to_string())?;
    let found = (outcome.rows, outcome.hash);
    let expected = *expected.get_or_insert(found);
    if found != expected {
        let ((expected_rows, expected_hash), (rows, hash)) = (expected, found);
        return Err(format!(
            "expected {expected_rows} rows with hash {expected_hash:016x}, found {rows} rows with hash {hash:016x}"
        ));
    }
    Ok(outcome.elapsed)
}

/// How the rivals stand, with every run's time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The work.
    pub work: String,
    /// Events that one run processes.
    pub events: u64,
    /// Bytes of one event.
    pub event_bytes: u64,
    /// The rivals, the first of which the others are compared with.
    pub rivals: Vec<Rival>,
}

/// One rival's runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rival {
    /// Its name.
    pub name: String,
    /// What stands beside its figure; may be empty.
    pub remark: String,
    /// Why it has no figures, where its result was wrong or it failed.
    pub wrong: Option<String>,
    /// The time of each round, in nanoseconds; as many as rounds, or none.
    pub runs_ns: Vec<u64>,
}

impl Rival {
    /// The times' least, median and largest, in nanoseconds; `None` where there are none.
    pub fn spread_ns(&self) -> Option<(f64, f64, f64)> {
        let mut runs: Vec<f64> = self.runs_ns.iter().map(|ns| *ns as f64).collect();
        runs.sort_by(f64::total_cmp);
        Some((*runs.first()?, median(&runs)?, *runs.last()?))
    }
}

impl Standing {
    /// The rival of that name.
    pub fn find(&self, name: &str) -> Option<&Rival> {
        self.rivals.iter().find(|rival| rival.name == name)
    }

    /// The median time for each event in nanoseconds.
    pub fn ns_per_event(&self, name: &str) -> Option<f64> {
        (self.events > 0).then_some(())?;
        Some(self.find(name)?.spread_ns()?.1 / self.events as f64)
    }

    /// The speed of `name` over the speed of `against`: the median over the rounds of the ratio of the two runs of one
    /// round. `None` where either has no figures.
    pub fn ratio(&self, name: &str, against: &str) -> Option<f64> {
        let (runs, others) = (&self.find(name)?.runs_ns, &self.find(against)?.runs_ns);
        let ratio = |(run, other): (&u64, &u64)| *other as f64 / (*run).max(1) as f64;
        let mut ratios: Vec<f64> = runs.iter().zip(others).map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        median(&ratios)
    }

    /// As JSON: `{"work", "events", "event_bytes", "rivals": [{"name", "remark", "wrong", "runs_ns"}]}`.
    pub fn to_json(&self) -> Value {
        let rival = |rival: &Rival| {
            json!({
                "name": rival.name,
                "remark": rival.remark,
                "wrong": rival.wrong,
                "runs_ns": rival.runs_ns,
            })
        };
        json!({
            "work": self.work,
            "events": self.events,
            "event_bytes": self.event_bytes,
            "rivals": self.rivals.iter().map(rival).collect::<Vec<_>>(),
        })
    }

    /// The standing of [`Standing::to_json`]'s form; `None` where it is of another one.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let rival = |value: &Value| {
            Some(Rival {
                name: text(&value["name"])?,
                remark: value.get("remark").and_then(text).unwrap_or_default(),
                wrong: value.get("wrong").and_then(text),
                runs_ns: value["runs_ns"].as_array()?.iter().map(Value::as_u64).collect::<Option<_>>()?,
            })
        };
        Some(Self {
            work: text(&value["work"])?,
            events: value["events"].as_u64()?,
            event_bytes: value["event_bytes"].as_u64()?,
            rivals: value["rivals"].as_array()?.iter().map(rival).collect::<Option<_>>()?,
        })
    }
}

/// A results file: `{"machine": .., "contests": [..]}`. Take the machine's record before the contests run.
pub fn results(machine: &Value, standings: &[Standing]) -> Value {
    json!({ "machine": machine, "contests": standings.iter().map(Standing::to_json).collect::<Vec<_>>() })
}

/// A table: for each rival the median rate with the slowest and the fastest round, ns/event, GB/s, and the ratio to the
/// first rival; the time where there is a single event.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rivals.iter().map(|rival| rival.name.chars().count()).max().unwrap_or(0).max(8);
        // A single event is a time to something, not a rate.
        let is_time = self.events <= 1;
        if is_time {
            writeln!(f, "{}", self.work)?;
            writeln!(f, "{:width$}  {:>28} {:>7}", "rival", "ms", "ratio")?;
        } else {
            writeln!(f, "{}: {} events of {} bytes", self.work, self.events, self.event_bytes)?;
            writeln!(f, "{:width$}  {:>28} {:>9} {:>7} {:>7}", "rival", "M events/s", "ns/event", "GB/s", "ratio")?;
        }
        for rival in &self.rivals {
            let name = &rival.name;
            let remark = if rival.remark.is_empty() { String::new() } else { format!("  ({})", rival.remark) };
            if let Some(wrong) = &rival.wrong {
                writeln!(f, "{name:width$}  WRONG: {wrong}{remark}")?;
                continue;
            }
            let Some((fastest, median, slowest)) = rival.spread_ns() else {
                writeln!(f, "{name:width$}  not run{remark}")?;
                continue;
            };
            let ratio = self.ratio(name, &self.rivals[0].name).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            if is_time {
                let runs = format!("{:.3} ({:.3}..{:.3})", median / 1e6, fastest / 1e6, slowest / 1e6);
                writeln!(f, "{name:width$}  {runs:>28} {ratio:>7}{remark}")?;
                continue;
            }
            let rate = |ns: f64| self.events as f64 * 1e3 / ns.max(1.0);
            let runs = format!("{:.2} ({:.2}..{:.2})", rate(median), rate(slowest), rate(fastest));
            let ns = median / self.events.max(1) as f64;
            let gb = rate(median) * self.event_bytes as f64 / 1e3;
            writeln!(f, "{name:width$}  {runs:>28} {ns:>9.2} {gb:>7.2} {ratio:>7}{remark}")?;
        }
        Ok(())
    }
}

/// The median of sorted numbers.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn outcome(ms: u64, rows: u64, hash: u64) -> Result<Outcome, BoxError> {
        Ok(Outcome { elapsed: Duration::from_millis(ms), rows, hash })
    }

    #[test]
    fn rivals_run_in_turns_and_the_first_run_is_not_timed() {
        let calls = RefCell::new(String::new());
        let mut contest = Contest::new("work", 10, 8);
        let (mut a, mut b) = (10, 20);
        contest.rival("a", || {
            calls.borrow_mut().push('a');
            a += 1;
            outcome(a, 1, 7)
        });
        contest.rival("b", || {
            calls.borrow_mut().push('b');
            b += 2;
            outcome(b, 1, 7)
        });
        let mut told = 0;
        let standing = contest.run(3, &mut |_| told += 1);
        assert_eq!(*calls.borrow(), "abababab");
        assert_eq!(told, 8);
        let ms = |name: &str| standing.find(name).unwrap().runs_ns.iter().map(|ns| ns / 1_000_000).collect::<Vec<_>>();
        assert_eq!((ms("a"), ms("b")), (vec![12, 13, 14], vec![24, 26, 28]));
        assert_eq!(standing.ratio("a", "b"), Some(2.0));
        assert_eq!(standing.ratio("a", "c"), None);
        assert_eq!(standing.ns_per_event("a"), Some(1_300_000.0));
    }

    #[test]
    fn who_differs_once_or_fails_gets_no_figures_and_the_others_go_on() {
        for (rows, hash) in [(2, 7), (1, 8)] {
            let mut contest = Contest::new("work", 10, 8);
            let mut runs = 0;
            contest.rival("reference", || outcome(1, 1, 7));
            contest.rival("wrong in round 2", || {
                runs += 1;
                if runs == 3 { outcome(1, rows, hash) } else { outcome(1, 1, 7) }
            });
            contest.rival("fails", || Err("no disk".into()));
            let standing = contest.run(4, &mut |_| {});
            assert_eq!(runs, 3);
            let [reference, wrong, fails] = &standing.rivals[..] else { panic!("{standing:?}") };
            assert_eq!((reference.runs_ns.len(), &reference.wrong), (4, &None));
            assert!(wrong.runs_ns.is_empty() && fails.runs_ns.is_empty());
            let expected = format!(
                "expected 1 rows with hash 0000000000000007, found {rows} rows with hash 000000000000000{hash}"
            );
            assert_eq!(wrong.wrong.as_ref(), Some(&expected));
            assert_eq!(fails.wrong.as_deref(), Some("no disk"));
            assert_eq!(standing.ratio("fails", "reference"), None);
            assert!(standing.to_string().contains("WRONG: no disk"));
        }
    }

    #[test]
    fn a_remark_needs_no_runs_and_a_reference_that_fails_is_none() {
        let mut contest = Contest::new("work", 10, 8);
        contest.rival("broken", || Err("gone".into()));
        contest.rival("b", || outcome(1, 1, 7)).remark("b", "2 threads");
        contest.remark("flink", "no java here");
        let standing = contest.run(0, &mut |_| {});
        assert_eq!(standing.rivals[1].runs_ns.len(), 1);
        assert_eq!(standing.rivals[1].remark, "2 threads");
        let table = standing.to_string();
        assert!(table.contains("not run  (no java here)") && table.contains("(2 threads)"), "{table}");
    }

    #[test]
    fn a_standing_survives_json() {
        let mut contest = Contest::new("work", 10, 8);
        contest.rival("a", || outcome(1, 1, 7)).remark("a", "as it comes");
        contest.rival("b", || outcome(1, 2, 7));
        let standing = contest.run(2, &mut |_| {});
        let json = standing.to_json();
        assert!(json["rivals"][0]["wrong"].is_null());
        let text = results(&json!({"cpu": "x"}), std::slice::from_ref(&standing)).to_string();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(Standing::from_json(&read["contests"][0]), Some(standing));
        assert_eq!(Standing::from_json(&json!({"work": 1})), None);
        assert_eq!(Standing::from_json(&json!({"work": "w", "events": 1, "event_bytes": 8, "rivals": [{}]})), None);
    }

    #[test]
    fn the_table_has_rates_of_the_median_the_slowest_and_the_fastest_round() {
        let rival = |name: &str, ms: &[u64]| Rival {
            name: name.into(),
            runs_ns: ms.iter().map(|ms| ms * 1_000_000).collect(),
            ..Rival::default()
        };
        let rivals = vec![rival("a", &[10, 40, 20]), rival("b", &[20, 80, 50])];
        let standing = Standing { work: "w".into(), events: 2_000_000, event_bytes: 32, rivals };
        let table = standing.to_string();
        let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace();
        assert_eq!(line("a ").collect::<Vec<_>>(), ["a", "100.00", "(50.00..200.00)", "10.00", "3.20", "1.00"]);
        // The rounds' ratios are 1/2, 1/2 and 2/5.
        assert_eq!(line("b ").collect::<Vec<_>>(), ["b", "40.00", "(25.00..100.00)", "25.00", "1.28", "0.50"]);
        let table = Standing { events: 1, ..standing }.to_string();
        let line = table.lines().find(|line| line.starts_with("a ")).unwrap().split_whitespace();
        assert_eq!(line.collect::<Vec<_>>(), ["a", "20.000", "(10.000..40.000)", "1.00"]);
        assert_eq!(median(&[1.0, 2.0, 3.0, 4.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
