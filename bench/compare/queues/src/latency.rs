//! One-way latency under a load that does not wait: from the time an event was meant to be sent to its arrival.
//!
//! The schedule is made before the run and nothing moves it. The sender sends each event alone, as soon as it is due;
//! an event that is sent late still counts from its intended time. The receiver takes what is there and reads the clock
//! for each event. Both spin without a pause.

use crate::event::{Checksum, Event};
use crate::hop::{Cores, Gate, Leaving, Receiver, Sender, panicked, pin};
use hashbrown::HashMap;
use hdrhistogram::Histogram;
use pelton::BoxError;
use pelton_bench::load::{Schedule, histogram};
use serde_json::{Value, json};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long before the first event both threads are ready.
const LEAD: Duration = Duration::from_millis(2);

/// The latencies of the events of the schedule from `warm_up` on, in nanoseconds.
///
/// # Errors
/// When a thread cannot be pinned or panics, or what came out is not what went in.
pub fn measure<const WORDS: usize>(
    schedule: Schedule,
    warm_up: u64,
    cores: Cores,
    (mut sender, mut receiver): (impl Sender<WORDS>, impl Receiver<WORDS>),
) -> Result<Histogram<u64>, BoxError> {
    let (gate, sender_gone, receiver_gone) = (Gate::default(), AtomicBool::new(false), AtomicBool::new(false));
    let (gate, sender_gone, receiver_gone) = (&gate, &sender_gone, &receiver_gone);
    let start = Instant::now() + LEAD;
    thread::scope(|scope| {
        let writer = scope.spawn(move || -> Result<(), BoxError> {
            let _leaving = Leaving(sender_gone);
            pin(cores.first)?;
            gate.pass(receiver_gone);
            for number in 0..schedule.events {
                let intended_ns = schedule.intended_ns(number);
                while now_ns(start) < Some(intended_ns) {}
                while !sender.send(number..number + 1, |number| Event::at(intended_ns as i64, number)) {
                    if receiver_gone.load(Ordering::Acquire) {
                        return Err("the receiver is gone".into());
                    }
                }
            }
            Ok(())
        });
        let reader = scope.spawn(move || -> Result<Histogram<u64>, BoxError> {
            let _leaving = Leaving(receiver_gone);
            pin(cores.second)?;
            let mut latencies = histogram();
            gate.pass(sender_gone);
            let mut checksum = Checksum::default();
            while checksum.events < schedule.events {
                let mut take = |intended_ns: i64, order: u64, value: &[u64; WORDS]| {
                    let latency = now_ns(start).unwrap_or(0).saturating_sub(intended_ns as u64);
                    if checksum.events >= warm_up {
                        latencies.saturating_record(latency);
                    }
                    checksum.fold(order ^ 1, order, value);
                };
                let count = receiver.receive(usize::MAX, &mut take);
                // What was sent before the sender went is there by now.
                if count == 0 && sender_gone.load(Ordering::Acquire) && receiver.receive(usize::MAX, &mut take) == 0 {
                    break;
                }
            }
            let expected = Checksum::expected::<WORDS>(schedule.events);
            if checksum == expected {
                Ok(latencies)
            } else {
                Err(format!("expected {expected:?}, found {checksum:?}").into())
            }
        });
        let (written, read) = (writer.join().map_err(panicked), reader.join().map_err(panicked));
        written??;
        read?
    })
}

/// A receiver that also counts the events of each key: what the keyed step of a job does, by hand.
pub struct Counting<R> {
    receiver: R,
    counts: HashMap<u64, u64>,
    keys: u64,
}

impl<R> Counting<R> {
    /// Numbers are keyed by `0 .. keys` in turns; at least 1.
    pub fn new(receiver: R, keys: u64) -> Self {
        Self { receiver, counts: HashMap::new(), keys: keys.max(1) }
    }
}

impl<const WORDS: usize, R: Receiver<WORDS>> Receiver<WORDS> for Counting<R> {
    #[inline]
    fn receive(&mut self, most: usize, mut take: impl FnMut(i64, u64, &[u64; WORDS])) -> usize {
        let Self { receiver, counts, keys } = self;
        receiver.receive(most, |intended_ns, number, value| {
            *counts.entry(number % *keys).or_default() += 1;
            take(intended_ns, number, value);
        })
    }
}

/// Nanoseconds since the schedule's start; `None` before it.
#[inline(always)]
fn now_ns(start: Instant) -> Option<u64> {
    Instant::now().checked_duration_since(start).map(|since| since.as_nanos() as u64)
}

/// The percentiles that are kept, by the name of their field.
const PERCENTILES: [(&str, f64); 3] = [("p50_ns", 50.0), ("p99_ns", 99.0), ("p999_ns", 99.9)];

type Run<'a> = Box<dyn FnMut() -> Result<Histogram<u64>, BoxError> + 'a>;

/// Rivals whose latencies are measured in turns.
pub struct LatencyContest<'a> {
    work: String,
    rate: u64,
    rivals: Vec<(Latencies, Run<'a>)>,
}

/// One rival's percentiles of each round, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    pub name: String,
    pub wrong: Option<String>,
    /// In the order of [`PERCENTILES`].
    rounds: [Vec<u64>; 3],
}

/// How the rivals stand.
#[derive(Debug, Clone)]
pub struct LatencyStanding {
    work: String,
    rate: u64,
    pub rivals: Vec<Latencies>,
}

impl<'a> LatencyContest<'a> {
    /// `rate`: events per second.
    pub fn new(work: &str, rate: u64) -> Self {
        Self { work: work.to_owned(), rate, rivals: Vec::new() }
    }

    /// Adds a rival. It is called once as a warm-up, then once a round.
    pub fn rival(&mut self, name: &str, run: impl FnMut() -> Result<Histogram<u64>, BoxError> + 'a) {
        self.rivals.push((Latencies { name: name.to_owned(), ..Latencies::default() }, Box::new(run)));
    }

    /// Runs all in turns. A rival that fails once gets no figures and does not run again.
    pub fn run(mut self, rounds: usize, tell: &mut dyn FnMut(&str)) -> LatencyStanding {
        for round in 0..=rounds.max(1) {
            for (rival, run) in &mut self.rivals {
                if rival.wrong.is_some() {
                    continue;
                }
                tell(&format!("{}, {}, round {round}", self.work, rival.name));
                match run() {
                    Ok(_) if round == 0 => {}
                    Ok(latencies) => {
                        for (figures, (_, percentile)) in rival.rounds.iter_mut().zip(PERCENTILES) {
                            figures.push(latencies.value_at_percentile(percentile));
                        }
                    }
                    Err(error) => {
                        rival.rounds = Default::default();
                        rival.wrong = Some(error.to_string());
                    }
                }
            }
        }
        let rivals = self.rivals.into_iter().map(|(rival, _)| rival).collect();
        LatencyStanding { work: self.work, rate: self.rate, rivals }
    }
}

impl LatencyStanding {
    /// `{"work", "rate_per_s", "rivals": [{"name", "wrong", "p50_ns", "p99_ns", "p999_ns"}]}`, with one number a round.
    pub fn to_json(&self) -> Value {
        let rival = |rival: &Latencies| {
            let mut value = json!({ "name": rival.name, "wrong": rival.wrong });
            for ((name, _), figures) in PERCENTILES.iter().zip(&rival.rounds) {
                value[*name] = json!(figures);
            }
            value
        };
        let rivals: Vec<Value> = self.rivals.iter().map(rival).collect();
        json!({ "work": self.work, "rate_per_s": self.rate, "rivals": rivals })
    }

    /// The median over the rounds of p50 of `name` over p50 of `against` in the same round.
    pub fn ratio(&self, name: &str, against: &str) -> Option<f64> {
        let find = |name| self.rivals.iter().find(|rival| rival.name == name);
        let (figures, others) = (&find(name)?.rounds[0], &find(against)?.rounds[0]);
        let mut ratios: Vec<f64> = figures.iter().zip(others).map(|(a, b)| *a as f64 / (*b).max(1) as f64).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied()
    }
}

/// The rival that the others are compared with.
pub const AGAINST: &str = "rtrb";

/// A table: medians over the rounds with the least and the largest, and p50 against rtrb's.
impl fmt::Display for LatencyStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rivals.iter().map(|rival| rival.name.len()).max().unwrap_or(0).max(8);
        writeln!(f, "{}: {} events/s, nanoseconds from the intended time", self.work, self.rate)?;
        writeln!(f, "{:width$}  {:>24} {:>24} {:>24} {:>12}", "rival", "p50", "p99", "p99.9", "p50 to rtrb")?;
        for rival in &self.rivals {
            let name = &rival.name;
            if let Some(wrong) = &rival.wrong {
                writeln!(f, "{name:width$}  WRONG: {wrong}")?;
                continue;
            }
            let figures = |figures: &[u64]| {
                let mut sorted = figures.to_vec();
                sorted.sort_unstable();
                match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
                    (Some(least), Some(median), Some(most)) => format!("{median} ({least}..{most})"),
                    _ => "-".to_owned(),
                }
            };
            let [p50, p99, p999] = rival.rounds.each_ref().map(|rounds| figures(rounds));
            let ratio = self.ratio(name, AGAINST).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            writeln!(f, "{name:width$}  {p50:>24} {p99:>24} {p999:>24} {ratio:>12}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nanoseconds: u64) -> Result<Histogram<u64>, BoxError> {
        let mut histogram = histogram();
        histogram.saturating_record(nanoseconds);
        Ok(histogram)
    }

    #[test]
    fn rivals_are_compared_round_by_round_and_one_that_fails_has_no_figures() {
        let mut contest = LatencyContest::new("work", 10);
        let mut next = 100;
        contest.rival("pelton", || {
            next *= 2;
            of(next)
        });
        contest.rival(AGAINST, || of(400));
        contest.rival("fails", || Err("lost".into()));
        let standing = contest.run(3, &mut |_| {});
        // The warm-up was 200; the rounds 400, 800, 1600, as a histogram tells them.
        assert!((standing.ratio("pelton", AGAINST).unwrap() - 2.0).abs() < 0.01);
        assert_eq!(standing.ratio("fails", AGAINST), None);
        let json = standing.to_json();
        assert_eq!(json["rivals"][1]["p999_ns"].as_array().unwrap().len(), 3);
        assert_eq!(json["rivals"][2]["wrong"], "lost");
        assert!(standing.to_string().contains("WRONG: lost"));
    }
}
