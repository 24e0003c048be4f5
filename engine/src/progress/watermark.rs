//! Watermarks: how far event time has come, and how a source tells.

use crate::base::time::duration_nanos;
use crate::progress::jumps::{JumpLimit, SourceClock};
use crate::{BlockSummary, Timestamp};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// How the watermark of a source follows its events.
///
/// A watermark `t` says that nothing at or before `t` will come. With a bound of out-of-orderness
/// `d` it is (largest time seen) - `d` - 1 ns, so that equal times are never late to each other. An event that
/// [jumps](crate::Options::jump_max) too far ahead is not seen.
///
/// ```
/// use pelton::Watermarks;
/// use std::time::Duration;
///
/// let watermarks = Watermarks::bounded(Duration::from_millis(5)).idle_after(Duration::from_secs(10));
/// # let _ = watermarks;
/// ```
#[derive(Clone)]
pub struct Watermarks {
    pub(crate) kind: WatermarkKind,
    pub(crate) idle_after: Option<Duration>,
    /// Whether events say nothing of event time, as ticks of processing time.
    pub(crate) is_apart: bool,
}

#[derive(Clone)]
pub(crate) enum WatermarkKind {
    /// Nanoseconds of out-of-orderness.
    Bounded(i64),
    Custom(Arc<dyn Fn() -> Box<dyn WatermarkGenerator> + Send + Sync>),
}

/// A watermark of one's own: folds the summaries of blocks, in the order of the source.
///
/// The watermark moves at block ends only; it must not depend on anything but the summaries, since
/// each worker folds them for itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` makes no watermarks",
    label = "not a watermark generator",
    note = "`pelton::Watermarks::bounded(delay)` is for events that come at most so late; a rule of one's own is a closure `|block: &pelton::BlockSummary| ..` that gives a `pelton::Timestamp`"
)]
pub trait WatermarkGenerator: 'static {
    /// The watermark after this block. A smaller one than before is taken as the one before.
    ///
    /// The summary is without events that were rejected, and without those that jumped ahead by more than
    /// [`Options::jump_max`](crate::Options::jump_max) and were not believed.
    fn on_block(&mut self, block: &BlockSummary) -> Timestamp;
}

impl<F: FnMut(&BlockSummary) -> Timestamp + 'static> WatermarkGenerator for F {
    fn on_block(&mut self, block: &BlockSummary) -> Timestamp {
        self(block)
    }
}

impl Watermarks {
    /// Events come at most `out_of_orderness` behind the largest time before them.
    pub fn bounded(out_of_orderness: Duration) -> Self {
        let kind = WatermarkKind::Bounded(duration_nanos(out_of_orderness));
        Self { kind, idle_after: None, is_apart: false }
    }

    /// Events come in order of time, equal times allowed.
    pub fn ascending() -> Self {
        Self::bounded(Duration::ZERO)
    }

    /// A generator of one's own; `make` is called once on each worker.
    ///
    /// ```
    /// use pelton::{BlockSummary, Watermarks};
    ///
    /// let watermarks = Watermarks::custom(|| |block: &BlockSummary| block.min.minus_nanos(1));
    /// # let _ = watermarks;
    /// ```
    pub fn custom<G: WatermarkGenerator>(make: impl Fn() -> G + Send + Sync + 'static) -> Self {
        let kind = WatermarkKind::Custom(Arc::new(move || Box::new(make())));
        Self { kind, idle_after: None, is_apart: false }
    }

    /// Events that neither move event time nor hold it back.
    pub(crate) fn apart() -> Self {
        Self { is_apart: true, ..Self::ascending() }
    }

    /// Stops a live source from holding others back when nothing has come for `timeout`.
    ///
    /// It is processing time; replays of captures have no idleness.
    pub fn idle_after(mut self, timeout: Duration) -> Self {
        self.idle_after = Some(timeout);
        self
    }
}

impl WatermarkKind {
    /// By how much, and 1 ns, the watermark is behind the clock.
    pub(crate) const fn bound(&self) -> i64 {
        match self {
            Self::Bounded(bound) => *bound,
            Self::Custom(_) => 0,
        }
    }

    /// Whether the largest time before an event says what the clock is.
    pub(crate) const fn is_bounded(&self) -> bool {
        matches!(self, Self::Bounded(_))
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
pub(crate) struct WatermarkTracker {
    /// Before the current event; the row of jumps is that behind the events that were judged.
    source: SourceClock,
    jumps: JumpLimit,
    kind: TrackerKind,
}

enum TrackerKind {
    Bounded(i64),
    Custom { generator: Box<dyn WatermarkGenerator>, watermark: Timestamp },
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

impl WatermarkTracker {
    pub(crate) fn new(kind: &WatermarkKind, jumps: JumpLimit) -> Self {
        let kind = match kind {
            WatermarkKind::Bounded(bound) => TrackerKind::Bounded(*bound),
            WatermarkKind::Custom(make) => TrackerKind::Custom { generator: make(), watermark: Timestamp::MIN },
        };
        Self { source: SourceClock::START, jumps, kind }
    }

    /// The clock before the next event: the watermark and the bound and 1 ns.
    #[inline]
    pub(crate) fn clock(&self) -> Timestamp {
        match &self.kind {
            TrackerKind::Bounded(_) => self.source.largest,
            TrackerKind::Custom { watermark: Timestamp::MIN, .. } => Timestamp::MIN,
            TrackerKind::Custom { watermark, .. } => watermark.plus_nanos(1),
        }
    }

    /// Copies the next times and tells their extremes, and whether any lies behind the watermark at
    /// its own place. An event that jumps is taken to move the clock, so one that would lie behind is told, too.
    #[inline]
    pub(crate) fn scan(&self, times: impl ExactSizeIterator<Item = Timestamp>, out: &mut Vec<Timestamp>) -> Scan {
        out.clear();
        out.extend(times);
        let (Some(&first), Some(&last)) = (out.first(), out.last()) else {
            return Scan { min: Timestamp::MAX, max: Timestamp::MIN, any_behind: false };
        };
        // Most input is in order; then two times say all.
        if out.is_sorted() {
            let any_behind = match &self.kind {
                TrackerKind::Bounded(bound) => {
                    self.source.largest > first && is_behind(self.source.largest, first, *bound)
                }
                TrackerKind::Custom { watermark, .. } => *watermark > Timestamp::MIN && first <= *watermark,
            };
            return Scan { min: first, max: last, any_behind };
        }
        let (mut min, mut max) = (first, first);
        let mut any_behind = false;
        for times in out.chunks(LANES * 16) {
            let (chunk_min, chunk_max) = extremes(times);
            if let TrackerKind::Bounded(bound) = &self.kind {
                let largest = self.source.largest.max(max);
                // Mostly no time lies so far behind the largest of all.
                if is_behind(largest.max(chunk_max), chunk_min, *bound) {
                    let mut largest = largest;
                    any_behind |= times.iter().fold(false, |any, &time| {
                        largest = largest.max(time);
                        any | is_behind(largest, time, *bound)
                    });
                }
            }
            (min, max) = (min.min(chunk_min), max.max(chunk_max));
        }
        if let TrackerKind::Custom { watermark, .. } = &self.kind {
            any_behind = *watermark > Timestamp::MIN && min <= *watermark;
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
    /// `limits`. `times` are theirs, or the largest one up to each.
    #[inline]
    pub(crate) fn clocks(&self, times: &[Timestamp], limits: ClockLimits, out: &mut Vec<Timestamp>) {
        out.clear();
        match &self.kind {
            TrackerKind::Bounded(_) => {
                let mut clock = self.source.largest;
                out.extend(times.iter().map(|&time| {
                    let before = clock;
                    clock = clock.max(time);
                    limits.clamp(before)
                }));
            }
            TrackerKind::Custom { .. } => out.resize(times.len(), limits.clamp(self.clock())),
        }
    }

    /// Sees events up to `max`, which were judged.
    #[inline]
    pub(crate) fn see(&mut self, max: Timestamp) {
        self.source.largest = self.source.largest.max(max);
    }

    /// Goes on behind events that others read.
    pub(crate) fn go_on(&mut self, source: SourceClock) {
        self.source = source;
    }

    /// Behind the events that were seen and judged.
    pub(crate) const fn source(&self) -> SourceClock {
        self.source
    }

    /// Sees a whole block of events at these times, of which those in `range` count, without giving them on.
    pub(crate) fn pass(&mut self, times: impl Iterator<Item = Timestamp>, range: &RangeInclusive<Timestamp>) {
        let mut moving: Option<BlockSummary> = None;
        for time in times.filter(|time| range.contains(time)) {
            if !self.source.take(time, self.jumps) {
                let seen = moving.get_or_insert(BlockSummary { count: 0, min: time, max: time });
                *seen = BlockSummary { count: seen.count + 1, min: seen.min.min(time), max: seen.max.max(time) };
            }
        }
        if let Some(moving) = moving {
            self.block_end(&moving);
        }
    }

    /// Sees a whole block, without its jumps: those that other workers read, or the one just ended.
    pub(crate) fn block_end(&mut self, summary: &BlockSummary) {
        self.see(summary.max);
        if let TrackerKind::Custom { generator, watermark } = &mut self.kind {
            *watermark = (*watermark).max(generator.on_block(summary));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The extremes of the times, and whether any is behind.
    fn scan(tracker: &WatermarkTracker, times: &[i64]) -> (i64, i64, bool) {
        let mut out = Vec::new();
        let scan = tracker.scan(times.iter().copied().map(Timestamp::from_nanos), &mut out);
        assert_eq!(out.len(), times.len());
        (scan.min.as_nanos(), scan.max.as_nanos(), scan.any_behind)
    }

    #[test]
    fn equal_times_are_never_late_to_each_other() {
        let mut tracker = WatermarkTracker::new(&Watermarks::ascending().kind, JumpLimit::NONE);
        assert_eq!(tracker.clock(), Timestamp::MIN);
        assert_eq!(scan(&tracker, &[3, 3, 5, 9]), (3, 9, false));
        tracker.see(Timestamp::from_nanos(10));
        assert_eq!(tracker.clock(), Timestamp::from_nanos(10));
        assert_eq!(scan(&tracker, &[10, 10]), (10, 10, false));
        assert_eq!(scan(&tracker, &[9]), (9, 9, true));
        assert_eq!(scan(&tracker, &[11, 12, 11]), (11, 12, true));
    }

    #[test]
    fn a_custom_watermark_moves_at_block_ends_and_never_back() {
        let watermarks = Watermarks::custom(|| |block: &BlockSummary| block.min);
        let mut tracker = WatermarkTracker::new(&watermarks.kind, JumpLimit::NONE);
        let block =
            |min, max| BlockSummary { count: 1, min: Timestamp::from_nanos(min), max: Timestamp::from_nanos(max) };
        tracker.block_end(&block(5, 9));
        tracker.block_end(&block(3, 9));
        assert_eq!(tracker.clock(), Timestamp::from_nanos(6));
    }

    #[test]
    fn times_at_the_ends_of_the_range_saturate() {
        let mut tracker = WatermarkTracker::new(&Watermarks::bounded(Duration::MAX).kind, JumpLimit::NONE);
        tracker.see(Timestamp::from_nanos(i64::MIN + 1));
        assert_eq!(scan(&tracker, &[0, i64::MAX, i64::MIN]), (i64::MIN, i64::MAX, true));
        assert_eq!(scan(&tracker, &[i64::MIN, -1]), (i64::MIN, -1, false));
    }
}
