//! Results as they are printed and as they are kept: `{"machine": {..}, "results": [{..}, ..]}`.

use crate::load::PERCENTILES;
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;

/// What was measured on one machine.
#[derive(Debug, Clone)]
pub struct Results {
    /// See [`crate::machine::record`].
    pub machine: Value,
    /// One for each scenario.
    pub results: Vec<Entry>,
}

/// One scenario's figures.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// The scenario.
    pub name: String,
    /// The median of the runs, in events per second.
    pub events_per_s: f64,
    /// Events per second of the hand-written loop, where there is one: the median of its runs.
    pub yardstick: Option<f64>,
    /// The slowest run, in events per second.
    pub min: Option<f64>,
    /// The fastest run, in events per second.
    pub max: Option<f64>,
    /// Input in 10^9 bytes per second, by the median.
    pub gb_per_s: Option<f64>,
    /// Further figures by name.
    pub more: Map<String, Value>,
}

impl Entry {
    /// An entry of runs that took these times for `events` events each, at least one run.
    pub fn of_runs(name: impl Into<String>, events: u64, runs: &[Duration]) -> Self {
        let rates = Rates::of(events, runs);
        let (events_per_s, min, max) = (rates.median, Some(rates.min), Some(rates.max));
        Self { name: name.into(), events_per_s, min, max, ..Self::default() }
    }

    /// Adds the bandwidth of input events of this size in bytes.
    pub fn event_bytes(mut self, bytes: usize) -> Self {
        self.gb_per_s = Some(self.events_per_s * bytes as f64 / 1e9);
        self
    }

    /// Adds the hand-written loop's runs over as many events.
    pub fn against(mut self, events: u64, runs: &[Duration]) -> Self {
        let rates = Rates::of(events, runs);
        self.yardstick = Some(rates.median);
        self.more.insert("yardstick_min".into(), rates.min.into());
        self.more.insert("yardstick_max".into(), rates.max.into());
        self
    }

    /// Nanoseconds per event.
    pub fn ns_per_event(&self) -> f64 {
        1e9 / self.events_per_s
    }

    /// The rate as a share of the hand-written loop's.
    pub fn ratio(&self) -> Option<f64> {
        self.yardstick.map(|yardstick| self.events_per_s / yardstick)
    }

    /// The entry as JSON; `yardstick` and `ratio` are `null` where there is no yardstick, other
    /// figures are left out where they are not known.
    pub fn to_json(&self) -> Value {
        let mut entry = json!({
            "name": self.name,
            "events_per_s": self.events_per_s,
            "ns_per_event": self.ns_per_event(),
            "yardstick": self.yardstick,
            "ratio": self.ratio(),
        });
        for (name, value) in [("min", self.min), ("max", self.max), ("gb_per_s", self.gb_per_s)] {
            if let Some(value) = value {
                entry[name] = value.into();
            }
        }
        for (name, value) in &self.more {
            entry[name] = value.clone();
        }
        entry
    }
}

impl Results {
    /// All results as JSON.
    pub fn to_json(&self) -> Value {
        json!({ "machine": self.machine, "results": self.results.iter().map(Entry::to_json).collect::<Vec<_>>() })
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.results.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0).max(8);
        writeln!(f, "{:width$}  {:>12} {:>9} {:>7} {:>7}", "scenario", "M events/s", "ns/event", "GB/s", "ratio")?;
        for entry in &self.results {
            let optional = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
            let (rate, ns) = (entry.events_per_s / 1e6, entry.ns_per_event());
            let (bandwidth, ratio) = (optional(entry.gb_per_s), optional(entry.ratio()));
            writeln!(f, "{:width$}  {rate:>12.2} {ns:>9.2} {bandwidth:>7} {ratio:>7}", entry.name)?;
            if let Some(percentiles) = entry.more.get("percentiles_ns") {
                let names = PERCENTILES.iter().map(|(name, _)| *name).chain(["max"]);
                let text: Vec<_> = names.map(|name| format!("{name} {}", microseconds(&percentiles[name]))).collect();
                writeln!(f, "{:width$}  {}", "", text.join(", "))?;
            }
        }
        Ok(())
    }
}

fn microseconds(ns: &Value) -> String {
    format!("{:.1} us", ns.as_f64().unwrap_or(f64::NAN) / 1e3)
}

/// Events per second over several runs.
struct Rates {
    min: f64,
    median: f64,
    max: f64,
}

impl Rates {
    fn of(events: u64, runs: &[Duration]) -> Self {
        let mut rates: Vec<f64> = runs.iter().map(|run| events as f64 / run.as_secs_f64().max(1e-9)).collect();
        rates.sort_by(f64::total_cmp);
        let at = |index: usize| rates.get(index).copied().unwrap_or(f64::NAN);
        let middle = rates.len() / 2;
        let median =
            if rates.len().is_multiple_of(2) { (at(middle.wrapping_sub(1)) + at(middle)) / 2.0 } else { at(middle) };
        Self { min: at(0), median, max: at(rates.len().wrapping_sub(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_extremes_are_those_of_the_rates() {
        let runs = [100, 400, 200].map(Duration::from_millis);
        let entry = Entry::of_runs("x", 1000, &runs).event_bytes(32);
        assert_eq!((entry.min, entry.events_per_s, entry.max), (Some(2500.0), 5000.0, Some(10_000.0)));
        assert_eq!((entry.ns_per_event(), entry.gb_per_s), (200_000.0, Some(0.00016)));
        assert_eq!(entry.ratio(), None);
        let entry = entry.against(1000, &[100, 200].map(Duration::from_millis));
        assert_eq!((entry.yardstick, entry.ratio()), (Some(7500.0), Some(5000.0 / 7500.0)));
    }

    #[test]
    fn json_has_the_fields_that_readers_expect() {
        let with = Entry::of_runs("a", 10, &[Duration::from_secs(1)]).against(10, &[Duration::from_secs(2)]);
        let without = Entry { name: "b".into(), events_per_s: 4.0, ..Entry::default() };
        let results = Results { machine: json!({ "cpu": "x" }), results: vec![with, without] };
        let json = results.to_json();
        assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), ["machine", "results"]);
        assert_eq!(
            json["results"],
            json!([
                { "name": "a", "events_per_s": 10.0, "ns_per_event": 1e8, "yardstick": 5.0, "ratio": 2.0,
                  "min": 10.0, "max": 10.0, "yardstick_min": 5.0, "yardstick_max": 5.0 },
                { "name": "b", "events_per_s": 4.0, "ns_per_event": 2.5e8, "yardstick": null, "ratio": null },
            ])
        );
        assert_eq!(results.to_string().lines().count(), 3);
    }

    #[test]
    fn percentiles_are_printed_in_their_order_in_microseconds() {
        let mut histogram = crate::load::histogram();
        (1..=1000).for_each(|us| histogram.saturating_record(us * 1000));
        let mut entry = Entry { name: "a".into(), events_per_s: 1.0, ..Entry::default() };
        entry.more.insert("percentiles_ns".into(), crate::load::percentiles(&histogram));
        let text = Results { machine: Value::Null, results: vec![entry] }.to_string();
        let line = text.lines().nth(2).unwrap();
        assert!(
            line.contains(" p50 500.") && line.find("p99.99 ").unwrap() < line.find("max 1000.").unwrap(),
            "{line}"
        );
    }
}
