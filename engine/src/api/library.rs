//! Ready-made operators of keyed streams.

use crate::api::keyed::{KeyedStream, StepWords};
use crate::api::output::{OUTPUTS, StepOutput};
use crate::api::stream::Stream;
use crate::operator::aggregate::Aggregate;
use crate::operator::asof::{Inner, JoinRows, LeftOuter};
use crate::operator::chain::Chain;
use crate::operator::library::Keep;
use crate::operator::library::absence::{Absence, Presence};
use crate::operator::library::changes::Changes;
use crate::operator::library::debounce::debounce;
use crate::operator::library::deduplicate::{Deduplicate, Repeats};
use crate::operator::library::delta::Delta;
use crate::operator::library::enrich::{Enrich, EnrichBroadcast};
use crate::operator::library::latest::Latest;
use crate::operator::library::rate_limit::RateLimit;
use crate::operator::library::running::{KeyValue, Running};
use crate::operator::library::sample::{EachNth, OneRow};
use crate::operator::library::threshold::{Threshold, Transition};
use crate::operator::process::ProcessFunction;
use crate::{Key, Record, ShapeError, Tumbling};
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The outputs of a step that drops rows.
///
/// ```
/// use pelton::{Job, Keep, Options, VecSource, collect};
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
///
/// let readings = [(5, 1), (3, 2), (5, 3)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
/// let mut job = Job::new("readings");
/// let (sink, rows) = collect();
/// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
/// let (old_sink, old) = collect();
/// let latest = readings.latest("latest", Keep::Forever);
/// latest.main.sink("out", sink);
/// latest.dropped.sink("old", old_sink);
/// job.run(Options::workers(1))?;
/// assert_eq!(rows.take().iter().map(|(_, row)| row.value).collect::<Vec<_>>(), [1, 3]);
/// assert_eq!(old.take()[0].1.value, 2);
/// # Ok::<(), pelton::Error>(())
/// ```
#[derive(Clone)]
pub struct DropOutput<Out: Record, In: Record> {
    /// What the step emits.
    pub main: Stream<Out>,
    /// Rows that it dropped. They count as [late](crate::StepReport::late), whether anything takes them or not.
    pub dropped: Stream<In>,
}

/// The names of the outputs of a step that drops rows.
const DROPPING: [&str; 4] = ["main", "dropped", "", ""];

impl<K, T, C, F> KeyedStream<K, T, C, F>
where
    K: Key,
    T: Record,
    C: Chain<Out = T>,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    /// Runs a function whose rows are divided between the two outputs of the step.
    fn divide<P, A, B>(
        self,
        (name, title): (&str, &'static str),
        mistake: Option<&'static str>,
        function: P,
    ) -> DropOutput<A, B>
    where
        P: ProcessFunction<K, In = T, Out = (A, B)>,
        A: Record,
        B: Record,
    {
        note(&self.stream, name, mistake);
        let words = StepWords { title, inputs: ["rows"], outputs: DROPPING };
        let (main, dropped) = self.process_as(words, name, function);
        DropOutput { main, dropped }
    }

    /// Keeps the first row of a key, and drops those that come within a time of it ([`Repeats`]).
    ///
    /// A row less than the period behind the last one that was kept is a repeat; with [`Repeats::since_seen`], less than the
    /// period behind the last one that came. So are rows before that one. Rows that lie a period or more behind the
    /// watermark are too old to be told and are dropped too.
    ///
    /// A period of no time is a [`ShapeError`].
    ///
    /// ```
    /// use pelton::{Job, Options, VecSource, collect};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(0, 1), (40, 1), (60, 2)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// let kept = readings.deduplicate("once", Duration::from_nanos(60));
    /// kept.main.sink("out", sink);
    /// let report = job.run(Options::workers(1))?;
    /// assert_eq!(rows.take().iter().map(|(_, row)| row.value).collect::<Vec<_>>(), [1, 2]);
    /// assert_eq!(report.step("once").map(|step| step.late), Some(1));
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn deduplicate(self, name: &str, repeats: impl Into<Repeats>) -> DropOutput<T, T> {
        let repeats = repeats.into();
        self.divide((name, "deduplication"), repeats.mistake(), Deduplicate::new(repeats))
    }

    /// Lets at most `rows` rows of a key pass at once, and as many for each duration in the long run; drops the others.
    ///
    /// It is a token bucket, filled by event time. Of any rows of a key that pass, from one at `s` to one at `t`, there are
    /// at most `rows + rows (t - s) / per`. Rows at or before the watermark are judged as of 1 ns ahead of it; others as of
    /// their own time, where later rows that came earlier have taken their tokens.
    ///
    /// A limit of 0 rows or for no time is a [`ShapeError`].
    ///
    /// ```
    /// use pelton::{Job, Options, VecSource, collect};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(0, 1), (0, 2), (0, 3), (5, 4)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// // Two at once, and one more each 5 ns.
    /// readings.rate_limit("limited", 2, Duration::from_nanos(10)).main.sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// assert_eq!(rows.take().iter().map(|(_, row)| row.value).collect::<Vec<_>>(), [1, 2, 4]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn rate_limit(self, name: &str, rows: u32, per: Duration) -> DropOutput<T, T> {
        let function = RateLimit::new(rows, per);
        self.divide((name, "rate limit"), function.mistake(), function)
    }

    /// Keeps the rows at which a value is another than in the row of the key before it, and the first row of a key.
    ///
    /// Values are compared by their bytes. A row whose time is before that of the row before is dropped and does not
    /// count; of rows of equal time each does.
    ///
    /// ```
    /// use pelton::{Job, Keep, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(0, 1), (1, 1), (2, 5), (3, 1)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// readings.changes("changes", |reading| reading.value, Keep::Forever).main.sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// assert_eq!(rows.take().iter().map(|(_, row)| row.value).collect::<Vec<_>>(), [1, 5, 1]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn changes<V, G>(self, name: &str, value_of: G, keep: impl Into<Keep>) -> DropOutput<T, T>
    where
        V: Record,
        G: Fn(&T) -> V + Clone + Send + Sync + 'static,
    {
        self.divide((name, "changes"), None, Changes::new(value_of, keep.into()))
    }

    /// Makes a row of each row and the one of the key before it, such as their difference; of none for a key's first row.
    ///
    /// A row whose time is before that of the row before is dropped and does not count; of rows of equal time each does.
    ///
    /// ```
    /// use pelton::{Job, Keep, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(0, 1), (1, 4), (2, 2)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// let step = readings.delta("steps", |before, now| now.value - before.map_or(0, |row| row.value), Keep::Forever);
    /// step.main.sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// assert_eq!(rows.take().iter().map(|row| row.1).collect::<Vec<_>>(), [1, 3, -2]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn delta<Out, G>(self, name: &str, delta: G, keep: impl Into<Keep>) -> DropOutput<Out, T>
    where
        Out: Record,
        G: Fn(Option<&T>, &T) -> Out + Clone + Send + Sync + 'static,
    {
        self.divide((name, "delta"), None, Delta::new(delta, keep.into()))
    }

    /// Emits the rows that raise an alarm of their key or clear it. A value at or above the end of `levels` raises it, and
    /// one at or below the start clears it; in between it stays as it is.
    ///
    /// A row whose time is before that of an earlier row of its key is dropped and changes nothing; of rows of equal time
    /// each counts. Nothing is emitted at the end of the input.
    ///
    /// Levels of which the start is not below the end are a [`ShapeError`].
    ///
    /// ```
    /// use pelton::{Job, Keep, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(0, 95), (1, 85), (2, 91), (3, 80)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// readings.threshold("hot", |reading| reading.value, 80..=90, Keep::Forever).main.sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// let alarms: Vec<_> = rows.take().iter().map(|(_, row)| (row.row().value, row.is_raised())).collect();
    /// assert_eq!(alarms, [(95, true), (80, false)]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn threshold<V, G>(
        self,
        name: &str,
        value_of: G,
        levels: RangeInclusive<V>,
        keep: impl Into<Keep>,
    ) -> DropOutput<Transition<T>, T>
    where
        V: PartialOrd + Clone + Send + Sync + 'static,
        G: Fn(&T) -> V + Clone + Send + Sync + 'static,
    {
        let function = Threshold::new(value_of, levels, keep.into());
        self.divide((name, "threshold with hysteresis"), function.mistake(), function)
    }

    /// Emits a row when a key has had no row for a duration of event time, and one when it comes back.
    ///
    /// A key is absent when the watermark comes to its largest time plus `after`; the row says so at that time. The first
    /// later row brings it back. A row that lies behind such a gap before the watermark does says both, at its own time. Rows that are not later than the largest time change nothing. At the end of the input no
    /// key is called absent. An absent key is kept as `keep` says, from then on: after that, its next row is its first.
    ///
    /// A duration of no time is a [`ShapeError`].
    ///
    /// ```
    /// use pelton::{Job, Keep, Options, VecSource, collect};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(0, 1), (50, 2), (200, 3)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// readings.absence("silent", Duration::from_nanos(60), Keep::Forever).sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// let said: Vec<_> = rows.take().iter().map(|(time, row)| (time.as_nanos(), row.key(), row.is_absent())).collect();
    /// assert_eq!(said, [(200, 7, true), (200, 7, false)]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn absence(self, name: &str, after: Duration, keep: impl Into<Keep>) -> Stream<Presence<K>> {
        let function = Absence::new(after, keep.into());
        note(&self.stream, name, function.mistake());
        self.process_as(StepWords { title: "absence", inputs: ["rows"], outputs: OUTPUTS }, name, function)
    }

    /// Emits the first row of a key in each period of event time, at the end of the period.
    ///
    /// Periods are aligned to the epoch. The first row is that of the least time; of several, the first in the job's order.
    /// Rows whose period is over are [late](StepOutput::late). To have the first row at once, [deduplicate](Self::deduplicate).
    ///
    /// ```
    /// use pelton::{Job, Options, VecSource, collect};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(0, 1), (9, 2), (10, 3)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// readings.sample_first("firsts", Duration::from_nanos(10)).sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// assert_eq!(rows.take().iter().map(|(_, row)| row.value).collect::<Vec<_>>(), [1, 3]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn sample_first(self, name: &str, period: Duration) -> StepOutput<T, T> {
        self.window(Tumbling::of(period)).aggregate_with(name, OneRow::first(), |_, _, row| row)
    }

    /// Emits the last row of a key in each period of event time, at the end of the period.
    ///
    /// Periods are aligned to the epoch. The last row is that of the largest time; of several, the last in the job's order.
    /// Rows whose period is over are [late](StepOutput::late).
    ///
    /// ```
    /// use pelton::{Job, Options, VecSource, collect};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(0, 1), (9, 2), (10, 3)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// readings.sample_last("lasts", Duration::from_nanos(10)).sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// assert_eq!(rows.take().iter().map(|(_, row)| row.value).collect::<Vec<_>>(), [2, 3]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn sample_last(self, name: &str, period: Duration) -> StepOutput<T, T> {
        self.window(Tumbling::of(period)).aggregate_with(name, OneRow::last(), |_, _, row| row)
    }

    /// Keeps each `nth` row of a key in the job's order: the first one that is kept is the `nth`. Drops the others.
    ///
    /// 0 is a [`ShapeError`].
    ///
    /// ```
    /// use pelton::{Job, Keep, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// readings.sample_each("seconds", 2, Keep::Forever).main.sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// assert_eq!(rows.take().iter().map(|(_, row)| row.value).collect::<Vec<_>>(), [2, 4]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn sample_each(self, name: &str, nth: u64, keep: impl Into<Keep>) -> DropOutput<T, T> {
        let function = EachNth::new(nth, keep.into());
        self.divide((name, "each n-th row"), function.mistake(), function)
    }

    /// Emits the last row of a key once the key has been quiet for a duration of event time.
    ///
    /// Rows no further apart than that are a burst, whatever the order in which they come. Its last row is that of the
    /// largest time; of several, the last in the job's order. It leaves when the watermark comes to `quiet` behind it, less
    /// 1 ns, and has that time; at the end of the input all bursts leave. A row whose burst is over is
    /// [late](StepOutput::late).
    ///
    /// ```
    /// use pelton::{Job, Options, VecSource, collect};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(0, 1), (4, 2), (8, 3), (20, 4)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// readings.debounce("settled", Duration::from_nanos(5)).sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// let settled: Vec<_> = rows.take().iter().map(|(time, row)| (time.as_nanos(), row.value)).collect();
    /// assert_eq!(settled, [(12, 3), (24, 4)]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn debounce(self, name: &str, quiet: Duration) -> StepOutput<T, T> {
        let (windows, aggregate) = debounce(quiet);
        self.window(windows).aggregate_with(name, aggregate, |_, _, row| row)
    }

    /// Keeps the rows that become the latest of their key: the changelog of a table of the last row by key.
    ///
    /// A row whose time is before that of the key's latest is dropped; one of equal time replaces it.
    ///
    /// ```
    /// use pelton::{Job, Keep, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(5, 1), (3, 2), (5, 3)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// let (old_sink, old) = collect();
    /// let latest = readings.latest("latest", Keep::Forever);
    /// latest.main.sink("out", sink);
    /// latest.dropped.sink("old", old_sink);
    /// job.run(Options::workers(1))?;
    /// assert_eq!(rows.take().iter().map(|(_, row)| row.value).collect::<Vec<_>>(), [1, 3]);
    /// assert_eq!(old.take()[0].1.value, 2);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn latest(self, name: &str, keep: impl Into<Keep>) -> DropOutput<T, T> {
        self.divide((name, "latest"), None, Latest::new(keep.into()))
    }

    /// Adds each row to an aggregate of its key, and emits the value so far: rows of key and value.
    ///
    /// Rows are added in the job's order, whatever their times. Where other rows are wanted of key and value, map them.
    ///
    /// ```
    /// use pelton::{Job, Keep, Options, VecSource, collect, sum};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(0, 1), (1, 4), (2, 2)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// readings.running("sums", sum(|reading: &Reading| i64::from(reading.value)), Keep::Forever).sink("out", sink);
    /// job.run(Options::workers(1))?;
    /// assert_eq!(rows.take().iter().map(|(_, row)| row.value()).collect::<Vec<_>>(), [1, 5, 7]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn running<A>(self, name: &str, aggregate: A, keep: impl Into<Keep>) -> Stream<KeyValue<K, A::Value>>
    where
        A: Aggregate<In = T>,
    {
        let words = StepWords { title: "running aggregate", inputs: ["rows"], outputs: OUTPUTS };
        self.process_as(words, name, Running::new(aggregate, keep.into()))
    }

    /// Looks each row up in a table that another stream keeps: each row of `table` is the entry of its key from then on.
    ///
    /// A row finds the last entry before it in the job's order, whatever the times of both, and waits for nothing. Where
    /// entries may come out of order, put [`latest`](Self::latest) in front of the table; where a row is to find the entry of
    /// its own time, there are [as-of joins](Self::as_of_join). An entry is kept as `keep` says, from the last row of its key
    /// on either stream on.
    ///
    /// ```
    /// use pelton::{Job, Keep, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(1, 10), (4, 20)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// let rates = vec![Reading { time_ns: 2, sensor: 7, value: 3 }];
    /// let rates = job.source("rates", VecSource::new(rates, 64)).key_by(|rate| rate.sensor);
    /// let priced = readings.enrich(rates, Keep::Forever).inner("priced", |row, rate| row.value * rate.value);
    /// priced.main.sink("out", sink);
    /// let report = job.run(Options::workers(2))?;
    /// assert_eq!(rows.take()[0].1, 60);
    /// // The first row came before the rate.
    /// assert_eq!(report.step("priced").map(|step| step.late), Some(1));
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn enrich<R, D, FR>(
        self,
        table: KeyedStream<K, R, D, FR>,
        keep: impl Into<Keep>,
    ) -> Lookup<Self, KeyedStream<K, R, D, FR>>
    where
        R: Record,
        D: Chain<Out = R>,
        FR: Fn(&R) -> K + Clone + Send + Sync + 'static,
    {
        Lookup { rows: self, table, keep: keep.into() }
    }

    /// As [`KeyedStream::enrich`], in a table that all workers have: each row of `table` is the entry of its key, which
    /// `entry_key` tells, and a row looks for the entry of the key that `key` tells, which need not be its own.
    ///
    /// Entries are kept for ever, as many as the limit of keys allows.
    ///
    /// ```
    /// use pelton::{Job, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(1, 10), (4, 20)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// let factors = vec![Reading { time_ns: 2, sensor: 20, value: 3 }];
    /// let factors = job.source("factors", VecSource::new(factors, 64));
    /// readings
    ///     .enrich_broadcast(factors, |row| row.value, |factor| factor.sensor as i32)
    ///     .left("scaled", |row, factor| row.value * factor.map_or(1, |factor| factor.value))
    ///     .sink("out", sink);
    /// job.run(Options::workers(2))?;
    /// assert_eq!(rows.take().iter().map(|row| row.1).collect::<Vec<_>>(), [10, 60]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn enrich_broadcast<E, R, D, FE, FR>(
        self,
        table: Stream<R, D>,
        key: FE,
        entry_key: FR,
    ) -> BroadcastLookup<Self, Stream<R, D>, E, FE, FR>
    where
        E: Key,
        R: Record,
        D: Chain<Out = R>,
        FE: Fn(&T) -> E + Clone + Send + Sync + 'static,
        FR: Fn(&R) -> E + Clone + Send + Sync + 'static,
    {
        BroadcastLookup { rows: self, table, keys_of: (key, entry_key), key: PhantomData }
    }
}

/// Notes what is wrong with a step.
fn note<T: Record, C: Chain<Out = T>>(stream: &Stream<T, C>, name: &str, mistake: Option<&'static str>) {
    let mistake = mistake.map(|mistake| ShapeError::BadStep(name.to_owned(), mistake));
    stream.graph.borrow_mut().mistakes.extend(mistake);
}

/// Rows to be looked up in a table by key: [`KeyedStream::enrich`].
pub struct Lookup<S, Table> {
    rows: S,
    table: Table,
    keep: Keep,
}

impl<K, L, R, C, D, FL, FR> Lookup<KeyedStream<K, L, C, FL>, KeyedStream<K, R, D, FR>>
where
    K: Key,
    L: Record,
    R: Record,
    C: Chain<Out = L>,
    D: Chain<Out = R>,
    FL: Fn(&L) -> K + Clone + Send + Sync + 'static,
    FR: Fn(&R) -> K + Clone + Send + Sync + 'static,
{
    /// Gives a row for each row that has an entry, and drops the others. The name is the identity of the state.
    pub fn inner<Out: Record>(
        self,
        name: &str,
        join: impl Fn(&L, &R) -> Out + Clone + Send + Sync + 'static,
    ) -> DropOutput<Out, L> {
        self.add(name, "inner lookup", Inner(join))
    }

    /// Gives a row for each row, with its entry or none. The name is the identity of the state.
    ///
    /// ```
    /// use pelton::{Job, Keep, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(1, 10), (4, 20)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// let rates = vec![Reading { time_ns: 2, sensor: 7, value: 3 }];
    /// let rates = job.source("rates", VecSource::new(rates, 64)).key_by(|rate| rate.sensor);
    /// readings
    ///     .enrich(rates, Keep::Forever)
    ///     .left("priced", |row, rate| row.value * rate.map_or(1, |rate| rate.value))
    ///     .sink("out", sink);
    /// job.run(Options::workers(2))?;
    /// // The first row came before the rate.
    /// assert_eq!(rows.take().iter().map(|row| row.1).collect::<Vec<_>>(), [10, 60]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn left<Out: Record>(
        self,
        name: &str,
        join: impl Fn(&L, Option<&R>) -> Out + Clone + Send + Sync + 'static,
    ) -> Stream<Out> {
        self.add(name, "left lookup", LeftOuter(join)).main
    }

    fn add<J>(self, name: &str, title: &'static str, join: J) -> DropOutput<J::Out, L>
    where
        J: JoinRows<L, R> + Clone + Send + Sync,
    {
        let Self { rows, table, keep } = self;
        let words = StepWords { title, inputs: ["rows", "table"], outputs: DROPPING };
        let (main, dropped) = rows.co_process_as(words, table, name, Enrich::new(join, keep));
        DropOutput { main, dropped }
    }
}

/// Rows to be looked up in a broadcast table: [`KeyedStream::enrich_broadcast`].
pub struct BroadcastLookup<S, Table, E, FE, FR> {
    rows: S,
    table: Table,
    keys_of: (FE, FR),
    key: PhantomData<fn() -> E>,
}

impl<K, E, L, R, C, D, F, FE, FR> BroadcastLookup<KeyedStream<K, L, C, F>, Stream<R, D>, E, FE, FR>
where
    K: Key,
    E: Key,
    L: Record,
    R: Record,
    C: Chain<Out = L>,
    D: Chain<Out = R>,
    F: Fn(&L) -> K + Clone + Send + Sync + 'static,
    FE: Fn(&L) -> E + Clone + Send + Sync + 'static,
    FR: Fn(&R) -> E + Clone + Send + Sync + 'static,
{
    /// Gives a row for each row that has an entry, and drops the others. The name is the identity of the state.
    ///
    /// ```
    /// use pelton::{Job, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u32, value: i32 }
    ///
    /// let readings = [(1, 10), (4, 20)].map(|(time_ns, value)| Reading { time_ns, sensor: 7, value });
    /// let mut job = Job::new("readings");
    /// let (sink, rows) = collect();
    /// let readings = job.source("readings", VecSource::new(readings.into(), 64)).key_by(|reading| reading.sensor);
    /// let factors = vec![Reading { time_ns: 2, sensor: 20, value: 3 }];
    /// let factors = job.source("factors", VecSource::new(factors, 64));
    /// let scaled = readings
    ///     .enrich_broadcast(factors, |row| row.value, |factor| factor.sensor as i32)
    ///     .inner("scaled", |row, factor| row.value * factor.value);
    /// scaled.main.sink("out", sink);
    /// let report = job.run(Options::workers(2))?;
    /// assert_eq!(rows.take().iter().map(|row| row.1).collect::<Vec<_>>(), [60]);
    /// assert_eq!(report.step("scaled").map(|step| step.late), Some(1));
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn inner<Out: Record>(
        self,
        name: &str,
        join: impl Fn(&L, &R) -> Out + Clone + Send + Sync + 'static,
    ) -> DropOutput<Out, L> {
        self.add(name, "inner lookup in a broadcast table", Inner(join))
    }

    /// Gives a row for each row, with its entry or none. The name is the identity of the state.
    pub fn left<Out: Record>(
        self,
        name: &str,
        join: impl Fn(&L, Option<&R>) -> Out + Clone + Send + Sync + 'static,
    ) -> Stream<Out> {
        self.add(name, "left lookup in a broadcast table", LeftOuter(join)).main
    }

    fn add<J>(self, name: &str, title: &'static str, join: J) -> DropOutput<J::Out, L>
    where
        J: JoinRows<L, R> + Clone + Send + Sync,
    {
        let Self { rows, table, keys_of, .. } = self;
        let words = StepWords { title, inputs: ["rows", "broadcast"], outputs: DROPPING };
        let function = EnrichBroadcast::new(join, keys_of);
        let (main, dropped) = rows.process_with_broadcast_as(words, table, name, function);
        DropOutput { main, dropped }
    }
}
