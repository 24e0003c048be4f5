//! When a window fires.

use crate::base::time::duration_nanos;
use std::sync::Arc;
use std::time::Duration;

/// When a window fires, and whether it begins anew then. The module of windows says what each means: Flink's words are
/// `EventTimeTrigger`, `ContinuousEventTimeTrigger`, `ContinuousProcessingTimeTrigger`, `CountTrigger` and
/// `PurgingTrigger`.
///
/// ```
/// use pelton::Trigger;
/// use std::time::Duration;
///
/// // On time, and early each second; each result has what is new.
/// let seconds = Trigger::<i64>::watermark().early_every(Duration::from_secs(1)).purging();
/// // At each tenth row and at negative ones, and never by the watermark.
/// let rows = Trigger::count(10).early_when(|row: &i64| *row < 0);
/// # let _ = (seconds, rows);
/// ```
pub struct Trigger<T> {
    /// Fires when the watermark reaches the last nanosecond.
    pub(crate) fires_at_end: bool,
    /// Fires at each multiple, in nanoseconds.
    pub(crate) every: Option<i64>,
    /// The same in processing time.
    pub(crate) every_processing: Option<i64>,
    /// Fires with so many rows since the last firing.
    pub(crate) count: Option<u64>,
    pub(crate) when: Option<When<T>>,
    pub(crate) purges: bool,
}

/// Whether a row has its windows fire.
type When<T> = Arc<dyn Fn(&T) -> bool + Send + Sync>;

impl<T> Trigger<T> {
    const NEVER: Self =
        Self { fires_at_end: false, every: None, every_processing: None, count: None, when: None, purges: false };

    /// When the watermark reaches the last nanosecond, and again at each row that comes later and is allowed for. This is
    /// what windows do without a trigger.
    pub const fn watermark() -> Self {
        Self { fires_at_end: true, ..Self::NEVER }
    }

    /// Each time so many rows of a window and key have come since it last fired, and not by the watermark: rows behind the
    /// last firing show up in no result.
    pub const fn count(rows: u64) -> Self {
        Self { count: Some(rows), ..Self::NEVER }
    }

    /// At each row, and not by the watermark.
    pub const fn each() -> Self {
        Self::count(1)
    }

    /// At rows for which `fires` returns true, and not by the watermark.
    pub fn when(fires: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        Self { when: Some(Arc::new(fires)), ..Self::NEVER }
    }

    /// Also each time the watermark reaches a multiple of a period, from a window's first row on.
    pub fn early_every(self, period: Duration) -> Self {
        Self { every: Some(duration_nanos(period)), ..self }
    }

    /// Also at the first tick behind each multiple of a period of processing time, from a window's first row on and until
    /// the watermark reaches its last nanosecond, whether rows came meanwhile or not. The multiples are those of the time
    /// of day, and a tick that has passed several has the window fire once.
    ///
    /// In a job all of whose sources are bounded processing time stands still, and this fires nothing: see
    /// [`ProcessContext::processing_time`](crate::ProcessContext::processing_time).
    ///
    /// ```
    /// use pelton::{Job, ManualClock, Options, Trigger, Tumbling, collect, count, push};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Click { #[event(time)] time_ns: i64, user: u64 }
    ///
    /// let (mut input, clicks) = push(16);
    /// let clock = ManualClock::default();
    /// let mut job = Job::new("clicks");
    /// let (sink, rows) = collect();
    /// job.source("clicks", clicks)
    ///     .key_by(|click: &Click| click.user)
    ///     .window(Tumbling::of(Duration::from_secs(3600)))
    ///     .trigger(Trigger::watermark().early_every_processing(Duration::from_secs(1)))
    ///     .aggregate_with("clicks_1h", count(), |_, _, clicks| clicks)
    ///     .sink("out", sink);
    /// let mut simulation = job.simulate(Options::workers(1).clock(clock.clone()))?;
    /// for time_ns in 0..3 {
    ///     input.send(&[Click { time_ns, user: 7 }])?;
    ///     (0..100).for_each(|_| { simulation.step(0); });
    ///     clock.advance(Duration::from_secs(1));
    /// }
    /// (0..100).for_each(|_| { simulation.step(0); });
    /// assert_eq!(rows.take().iter().map(|row| row.1).collect::<Vec<_>>(), [1, 2, 3]);
    /// # Ok::<(), pelton::BoxError>(())
    /// ```
    pub fn early_every_processing(self, period: Duration) -> Self {
        Self { every_processing: Some(duration_nanos(period)), ..self }
    }

    /// Also each time so many rows of a window and key have come since it last fired.
    pub fn early_count(self, rows: u64) -> Self {
        Self { count: Some(rows), ..self }
    }

    /// Also at rows for which `fires` returns true.
    pub fn early_when(self, fires: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        Self { when: Some(Arc::new(fires)), ..self }
    }

    /// Discards the rows of a window when it fires, so that each result has what is new. The window and its number go on.
    pub fn purging(self) -> Self {
        Self { purges: true, ..self }
    }

    /// Whether it is the one that windows have without one.
    pub(crate) const fn is_default(&self) -> bool {
        self.fires_at_end && !self.fires_without_end() && !self.purges
    }

    /// Whether it ever fires windows that have no end.
    pub(crate) const fn fires_without_end(&self) -> bool {
        self.every.is_some() || self.needs_ticks() || self.count.is_some() || self.when.is_some()
    }

    /// Whether it needs processing time.
    pub(crate) const fn needs_ticks(&self) -> bool {
        self.every_processing.is_some()
    }

    /// What is wrong with it.
    pub(crate) const fn mistake(&self) -> Option<&'static str> {
        match self {
            Self { every: Some(0), .. } | Self { every_processing: Some(0), .. } => {
                Some("their trigger has a period of 0")
            }
            Self { count: Some(0), .. } => Some("their trigger fires at 0 rows"),
            _ => None,
        }
    }

    /// Whether a row, the window's `fresh`th since it last fired, has it fire.
    pub(crate) fn fires_at(&self, row: &T, fresh: u64) -> bool {
        self.count.is_some_and(|count| fresh >= count) || self.when.as_ref().is_some_and(|when| when(row))
    }
}

impl Trigger<()> {
    /// The same over rows of another type, of which it knows nothing.
    pub(crate) fn over<T>(self) -> Trigger<T> {
        let Self { fires_at_end, every, every_processing, count, when, purges } = self;
        let when = when.map(|when| -> When<T> { Arc::new(move |_| when(&())) });
        Trigger { fires_at_end, every, every_processing, count, when, purges }
    }
}

impl<T> Clone for Trigger<T> {
    fn clone(&self) -> Self {
        Self { when: self.when.clone(), ..*self }
    }
}

impl<T> std::fmt::Display for Trigger<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            self.fires_at_end.then(|| String::from("on time")),
            self.every.map(|nanos| format!("each {:?}", Duration::from_nanos(nanos.unsigned_abs()))),
            self.every_processing
                .map(|nanos| format!("each {:?} of processing time", Duration::from_nanos(nanos.unsigned_abs()))),
            self.count.map(|rows| format!("each {rows} rows")),
            self.when.as_ref().map(|_| String::from("at chosen rows")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(" and "))?;
        f.write_str(if self.purges { ", purging" } else { "" })
    }
}

impl<T> std::fmt::Debug for Trigger<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
