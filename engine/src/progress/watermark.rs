//! Watermarks: how far event time has come, and how a source tells.

use crate::base::time::duration_nanos;
use crate::progress::generator::{AnyGenerator, GeneratedClock, WatermarkGenerator};
use crate::progress::jumps::{JumpLimit, SourceClock};
use crate::{Event, Timestamp};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// How the watermark of a source follows its events.
///
/// A watermark `t` says that nothing at or before `t` will come. With a bound of out-of-orderness
/// `d` it is (largest time seen) - `d` - 1 ns, so that equal times are never late to each other. An event that
/// [jumps](crate::Options::jump_max) too far ahead is not seen. Rules of one's own see events of a type `T`; the others
/// are for any source.
///
/// ```
/// use pelton::Watermarks;
/// use std::time::Duration;
///
/// let watermarks = Watermarks::bounded(Duration::from_millis(5)).idle_after(Duration::from_secs(10));
/// # let _ = watermarks;
/// ```
pub struct Watermarks<T = ()> {
    pub(crate) rules: WatermarkRules,
    pub(crate) generator: Option<Arc<dyn AnyGenerator<T>>>,
}

/// What there is to know of watermarks, whatever the events are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatermarkRules {
    /// By how many nanoseconds, and 1, the watermark is behind the clock.
    pub(crate) bound: i64,
    /// Whether a generator says what the clock is. Otherwise the largest time before an event does.
    pub(crate) is_generated: bool,
    pub(crate) idle_after: Option<Duration>,
    /// How many nanoseconds ahead of other sources it is read.
    pub(crate) drift_max: Option<i64>,
    /// Whether events say nothing of event time, as ticks of processing time.
    pub(crate) is_apart: bool,
}

impl<T> Clone for Watermarks<T> {
    fn clone(&self) -> Self {
        Self { rules: self.rules, generator: self.generator.clone() }
    }
}

impl Watermarks {
    /// Events come at most `out_of_orderness` behind the largest time before them.
    pub fn bounded(out_of_orderness: Duration) -> Self {
        let bound = duration_nanos(out_of_orderness);
        let rules = WatermarkRules { bound, is_generated: false, idle_after: None, drift_max: None, is_apart: false };
        Self { rules, generator: None }
    }

    /// Events come in order of time, equal times allowed.
    pub fn ascending() -> Self {
        Self::bounded(Duration::ZERO)
    }

    /// Events that neither move event time nor hold it back.
    pub(crate) fn apart() -> Self {
        let Self { rules, generator } = Self::ascending();
        Self { rules: WatermarkRules { is_apart: true, ..rules }, generator }
    }
}

impl<T: Event> Watermarks<T> {
    /// A generator of one's own, such as a closure from an event to an `Option` of a watermark, or [`PerPartition`].
    ///
    /// ```
    /// use pelton::{Timestamp, Watermarks};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Tick { #[event(time)] time_ns: i64, complete_to_ns: i64 }
    ///
    /// let watermarks = Watermarks::custom(|tick: &Tick| Some(Timestamp::from_nanos(tick.complete_to_ns)));
    /// # let _ = watermarks;
    /// ```
    ///
    /// [`PerPartition`]: crate::PerPartition
    pub fn custom(generator: impl WatermarkGenerator<T>) -> Self {
        let rules = WatermarkRules { is_generated: true, ..Watermarks::ascending().rules };
        Self { rules, generator: Some(Arc::new(generator)) }
    }
}

impl<T> Watermarks<T> {
    /// Stops a live source from holding others back when nothing has come for `timeout`.
    ///
    /// It is processing time; replays of captures have no idleness.
    pub fn idle_after(mut self, timeout: Duration) -> Self {
        self.rules.idle_after = Some(timeout);
        self
    }

    /// Reads a source no further ahead than `drift` of event time: while its own watermark is further ahead of another
    /// source's, it is not polled, and what is pushed into it waits. So a fast source does not fill windows and joins
    /// with rows that the others are far from.
    ///
    /// It matters where a source is a [`Feed`](crate::Feed) and shares its order with others. Sources that have ended or
    /// are [idle](Self::idle_after) are not waited for; one of which nothing has come yet is. The drift may be exceeded by
    /// what one poll gives. Bounded sources alone are merged by time anyway.
    ///
    /// ```
    /// use pelton::Watermarks;
    /// use std::time::Duration;
    ///
    /// let trades = Watermarks::bounded(Duration::from_millis(5)).aligned_within(Duration::from_secs(30));
    /// # let _ = trades;
    /// ```
    pub fn aligned_within(mut self, drift: Duration) -> Self {
        self.rules.drift_max = Some(duration_nanos(drift));
        self
    }
}

/// Rules that are for any source.
impl<T: Event> From<Watermarks> for Watermarks<T> {
    fn from(watermarks: Watermarks) -> Self {
        Self { rules: watermarks.rules, generator: None }
    }
}

/// What other sources, and what was told before, leave a source's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClockLimits {
    /// The clock has come to this already.
    pub(crate) floor: Timestamp,
    /// The clock of other sources is here.
    pub(crate) ceiling: Timestamp,
}

impl ClockLimits {
    pub(crate) const NONE: Self = Self { floor: Timestamp::MIN, ceiling: Timestamp::MAX };

    #[inline(always)]
    pub(crate) fn clamp(self, clock: Timestamp) -> Timestamp {
        clock.min(self.ceiling).max(self.floor)
    }
}

/// The clock of one source on one worker.
pub(crate) struct WatermarkTracker<T> {
    /// Before the current event; the row of jumps is that behind the events that were judged.
    source: SourceClock,
    jumps: JumpLimit,
    bound: i64,
    generated: Option<GeneratedClock<T>>,
}

/// Whether `time` lies behind `largest`, which is not below it, by more than `bound` nanoseconds.
#[inline(always)]
fn is_behind(largest: Timestamp, time: Timestamp, bound: i64) -> bool {
    // The difference fits 64 bits without a sign.
    largest.as_nanos().wrapping_sub(time.as_nanos()) as u64 > bound as u64
}

/// Times that are compared side by side.
const LANES: usize = 4;

/// The smallest and the largest of times, which are not empty.
#[inline(always)]
pub(crate) fn extremes(times: &[Timestamp]) -> (Timestamp, Timestamp) {
    let mut mins = [Timestamp::MAX; LANES];
    let mut maxs = [Timestamp::MIN; LANES];
    let (chunks, rest) = times.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            mins[lane] = mins[lane].min(chunk[lane]);
            maxs[lane] = maxs[lane].max(chunk[lane]);
        }
    }
    let all = |(min, max): (Timestamp, Timestamp), (low, high): (Timestamp, Timestamp)| (min.min(low), max.max(high));
    let lanes = mins.into_iter().zip(maxs).chain(rest.iter().map(|&time| (time, time)));
    lanes.fold((Timestamp::MAX, Timestamp::MIN), all)
}

/// What [`WatermarkTracker::scan`] found.
pub(crate) struct Scan {
    pub(crate) min: Timestamp,
    pub(crate) max: Timestamp,
    pub(crate) any_behind: bool,
}

impl<T: Event> WatermarkTracker<T> {
    pub(crate) fn new(watermarks: &Watermarks<T>, jumps: JumpLimit) -> Self {
        let generated = watermarks.generator.as_deref().map(GeneratedClock::new);
        Self { source: SourceClock::START, jumps, bound: watermarks.rules.bound, generated }
    }

    /// The clock before the next event: the watermark and the bound and 1 ns.
    #[inline]
    pub(crate) fn clock(&self) -> Timestamp {
        match &self.generated {
            None => self.source.largest,
            Some(generated) => generated.clock(),
        }
    }

    /// Copies the next times and tells their extremes, and whether any lies behind the watermark at
    /// its own place. An event that jumps is taken to move the clock, so one that would lie behind is told, too. Where a
    /// generator says what the clock is, any may be.
    #[inline]
    pub(crate) fn scan(&self, times: impl ExactSizeIterator<Item = Timestamp>, out: &mut Vec<Timestamp>) -> Scan {
        out.clear();
        out.extend(times);
        let (Some(&first), Some(&last)) = (out.first(), out.last()) else {
            return Scan { min: Timestamp::MAX, max: Timestamp::MIN, any_behind: false };
        };
        // Most input is in order; then two times say all.
        if out.is_sorted() {
            let is_first_behind = self.source.largest > first && is_behind(self.source.largest, first, self.bound);
            let any_behind = is_first_behind || self.generated.is_some();
            return Scan { min: first, max: last, any_behind };
        }
        let (mut min, mut max) = (first, first);
        let mut any_behind = self.generated.is_some();
        for times in out.chunks(LANES * 16) {
            let (chunk_min, chunk_max) = extremes(times);
            let largest = self.source.largest.max(max);
            // Mostly no time lies so far behind the largest of all.
            if is_behind(largest.max(chunk_max), chunk_min, self.bound) {
                let mut largest = largest;
                any_behind |= times.iter().fold(false, |any, &time| {
                    largest = largest.max(time);
                    any | is_behind(largest, time, self.bound)
                });
            }
            (min, max) = (min.min(chunk_min), max.max(chunk_max));
        }
        Scan { min, max, any_behind }
    }

    /// Judges the next times, of which those in `range` count. Whether one of them may jump: then `reached` gets the
    /// largest time up to each, which must be what is seen of them.
    #[inline]
    pub(crate) fn judge(
        &mut self,
        scan: &Scan,
        times: &[Timestamp],
        range: &RangeInclusive<Timestamp>,
        reached: &mut Vec<Timestamp>,
    ) -> bool {
        let (largest, extremes) = (self.source.largest, (scan.min, scan.max));
        if !self.jumps.may_jump(largest, extremes) && range.contains(&scan.max) {
            self.source.end_row(scan.max);
            return false;
        }
        reached.clear();
        self.source.take_each(times.iter().copied(), range, self.jumps, reached);
        self.source.largest = largest;
        true
    }

    /// The clock before each of the next events, which are accepted: what the events before have told, within
    /// `limits`. `reached` are their times, or the largest one up to each. A generator sees the events.
    #[inline]
    pub(crate) fn clocks(
        &mut self,
        events: &[T],
        reached: &[Timestamp],
        limits: ClockLimits,
        out: &mut Vec<Timestamp>,
    ) {
        out.clear();
        let mut clock = self.clock();
        if let Some(generated) = &mut self.generated {
            out.extend(events.iter().zip(reached).map(|(event, reached)| {
                let before = generated.clock();
                if event.time() <= *reached {
                    generated.take(event);
                }
                limits.clamp(before)
            }));
            return;
        }
        out.extend(reached.iter().map(|&time| {
            let before = clock;
            clock = clock.max(time);
            limits.clamp(before)
        }));
    }

    /// Sees events up to `max`, which were judged.
    #[inline]
    pub(crate) fn see(&mut self, max: Timestamp) {
        self.source.largest = self.source.largest.max(max);
    }

    /// Goes on behind events that others read.
    pub(crate) fn go_on(&mut self, source: SourceClock, generated: Option<&GeneratedClock<T>>) {
        self.source = source;
        if let Some(generated) = generated {
            self.generated = Some(generated.clone());
        }
    }

    /// Behind the events that were seen and judged.
    pub(crate) const fn source(&self) -> SourceClock {
        self.source
    }

    /// Sees events, of which those in `range` count, without giving them on.
    pub(crate) fn pass(&mut self, events: &[T], range: &RangeInclusive<Timestamp>) {
        for event in events.iter().filter(|event| range.contains(&event.time())) {
            if !self.source.take(event.time(), self.jumps)
                && let Some(generated) = &mut self.generated
            {
                generated.take(event);
            }
        }
    }

    /// Takes a watermark that the source itself tells. Later events are judged from there.
    pub(crate) fn raise(&mut self, watermark: Timestamp) {
        self.source.raise(watermark, self.bound);
        if let Some(generated) = &mut self.generated {
            generated.raise(watermark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Event)]
    #[repr(C)]
    struct Tick {
        #[event(time)]
        time_ns: i64,
    }

    fn tracker(watermarks: impl Into<Watermarks<Tick>>) -> WatermarkTracker<Tick> {
        WatermarkTracker::new(&watermarks.into(), JumpLimit { max_ns: 100, believed_after: 16 })
    }

    /// The extremes of the times, and whether any is behind.
    fn scan<T: Event>(tracker: &WatermarkTracker<T>, times: &[i64]) -> (i64, i64, bool) {
        let mut out = Vec::new();
        let scan = tracker.scan(times.iter().copied().map(Timestamp::from_nanos), &mut out);
        assert_eq!(out.len(), times.len());
        (scan.min.as_nanos(), scan.max.as_nanos(), scan.any_behind)
    }

    #[test]
    fn equal_times_are_never_late_to_each_other() {
        let mut tracker = tracker(Watermarks::ascending());
        assert_eq!(tracker.clock(), Timestamp::MIN);
        assert_eq!(scan(&tracker, &[3, 3, 5, 9]), (3, 9, false));
        tracker.see(Timestamp::from_nanos(10));
        assert_eq!(tracker.clock(), Timestamp::from_nanos(10));
        assert_eq!(scan(&tracker, &[10, 10]), (10, 10, false));
        assert_eq!(scan(&tracker, &[9]), (9, 9, true));
        assert_eq!(scan(&tracker, &[11, 12, 11]), (11, 12, true));
    }

    #[test]
    fn a_generator_sees_each_event_that_counts_and_its_watermark_never_goes_back() {
        let mut tracker = tracker(Watermarks::custom(|tick: &Tick| {
            (tick.time_ns % 2 == 1).then(|| Timestamp::from_nanos(tick.time_ns))
        }));
        let events = [4, 5, 3, 900, 7].map(|time_ns| Tick { time_ns });
        // The fourth jumped.
        let reached = [4, 5, 5, 5, 7].map(Timestamp::from_nanos);
        let mut clocks = Vec::new();
        tracker.clocks(&events, &reached, ClockLimits::NONE, &mut clocks);
        assert_eq!(clocks, [i64::MIN, i64::MIN, 6, 6, 6].map(Timestamp::from_nanos));
        assert_eq!(tracker.clock(), Timestamp::from_nanos(8));
        tracker.pass(&[9, 901, 13].map(|time_ns| Tick { time_ns }), &(Timestamp::MIN..=Timestamp::from_nanos(10)));
        assert_eq!(tracker.clock(), Timestamp::from_nanos(10));
    }

    #[test]
    fn a_watermark_that_a_source_tells_moves_its_clock() {
        let mut bounded = tracker(Watermarks::bounded(Duration::from_nanos(5)));
        bounded.raise(Timestamp::from_nanos(20));
        // What comes after the watermark is not late, and what comes at it is.
        assert_eq!(scan(&bounded, &[21, 22]), (21, 22, false));
        assert_eq!(scan(&bounded, &[20]), (20, 20, true));
        bounded.raise(Timestamp::from_nanos(3));
        assert_eq!(bounded.clock(), Timestamp::from_nanos(26));
        let mut generated = tracker(Watermarks::custom(|_: &Tick| None));
        generated.raise(Timestamp::from_nanos(20));
        assert_eq!(generated.clock(), Timestamp::from_nanos(21));
    }

    #[test]
    fn times_at_the_ends_of_the_range_saturate() {
        let mut tracker = tracker(Watermarks::bounded(Duration::MAX));
        tracker.see(Timestamp::from_nanos(i64::MIN + 1));
        assert_eq!(scan(&tracker, &[0, i64::MAX, i64::MIN]), (i64::MIN, i64::MAX, true));
        assert_eq!(scan(&tracker, &[i64::MIN, -1]), (i64::MIN, -1, false));
    }
}
