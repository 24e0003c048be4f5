//! Watermarks by the program's own rule, which sees each event.

use crate::Timestamp;
use crate::base::time::duration_nanos;
use std::collections::BTreeMap;
use std::time::Duration;

/// A rule of one's own for watermarks: sees each event of a source, in the source's order.
///
/// It must depend on nothing but the events, and a clone goes on where the original stands. Workers that begin in the
/// middle of a bounded source go on from clones: such a source is read once, in order, before the job runs. A generator
/// does not see events that are rejected, nor those that jump ahead by more than
/// [`Options::jump_max`](crate::Options::jump_max) and are not believed.
///
/// A closure from an event to a watermark is one. It makes punctuated watermarks where only some events tell one:
///
/// ```
/// use pelton::{Job, Options, ShapeError, Tumbling, Watermarks, collect, count};
/// use std::time::Duration;
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C, packed)]
/// struct Message { #[event(time)] time_ns: i64, is_last_of_its_time: pelton::Bool }
///
/// let punctuated = Watermarks::custom(|message: &Message| {
///     message.is_last_of_its_time.get().then(|| pelton::Timestamp::from_nanos(message.time_ns))
/// });
/// let messages = [(5, false), (3, false), (5, true), (4, false)]
///     .map(|(time_ns, is_last)| Message { time_ns, is_last_of_its_time: is_last.into() });
/// let mut job = Job::new("messages");
/// let (sink, rows) = collect();
/// job.source("messages", messages)
///     .watermarks(punctuated)
///     .key_by(|_| ())
///     .window(Tumbling::of(Duration::from_nanos(5)))
///     .aggregate("messages_5ns", count())
///     .sink("out", sink);
/// let report = job.run(Options::workers(1))?;
/// // The last one comes behind the watermark 5, at which the window up to 5 has fired.
/// assert_eq!(report.step("messages_5ns").unwrap().late, 1);
/// assert_eq!(rows.take().iter().map(|(_, row)| row.value()).collect::<Vec<_>>(), [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` makes no watermarks for events of `{T}`",
    label = "not a watermark generator",
    note = "`pelton::Watermarks::bounded(delay)` is for events that come at most so late; a rule of one's own is a closure `|event: &{T}| ..` that can be cloned and sent, and gives an `Option<pelton::Timestamp>`"
)]
pub trait WatermarkGenerator<T>: Clone + Send + Sync + 'static {
    /// The watermark behind this event, where it tells one. One that is below an earlier one counts for nothing.
    fn on_event(&mut self, event: &T) -> Option<Timestamp>;
}

impl<T, F: FnMut(&T) -> Option<Timestamp> + Clone + Send + Sync + 'static> WatermarkGenerator<T> for F {
    fn on_event(&mut self, event: &T) -> Option<Timestamp> {
        self(event)
    }
}

/// Watermarks of a source whose events come from several partitions, each of which is nearly in order of time: the least
/// of theirs.
///
/// A partition counts from its first event on. So when a partition appears late, its first events may be late.
///
/// ```
/// use pelton::{PerPartition, Watermarks};
/// use std::time::Duration;
///
/// #[derive(Clone, Copy, pelton::Event)]
/// #[repr(C)]
/// struct Reading { #[event(time)] time_ns: i64, device: u32, level: f32 }
///
/// let partitions = PerPartition::new(|reading: &Reading| reading.device, Duration::from_millis(5));
/// let watermarks = Watermarks::custom(partitions.idle_after(Duration::from_secs(60)));
/// # let _ = watermarks;
/// ```
#[derive(Debug, Clone)]
pub struct PerPartition<F, P> {
    partition_of: F,
    /// In nanoseconds.
    bound: i64,
    idle_after: i64,
    /// The largest time of each that is not idle.
    largest: BTreeMap<P, Timestamp>,
    /// The largest of all.
    newest: Timestamp,
    /// The least of those.
    oldest: Timestamp,
}

impl<F, P: Ord> PerPartition<F, P> {
    /// Of partitions that a function tells, in each of which events come at most `out_of_orderness` behind the largest
    /// time before them.
    pub fn new<T>(partition_of: F, out_of_orderness: Duration) -> Self
    where
        F: Fn(&T) -> P,
    {
        let (bound, idle_after) = (duration_nanos(out_of_orderness), i64::MAX);
        let largest = BTreeMap::new();
        Self { partition_of, bound, idle_after, largest, newest: Timestamp::MIN, oldest: Timestamp::MAX }
    }

    /// Stops waiting for a partition whose largest time is further behind the largest of all, until its next event.
    ///
    /// This is event time, so a replay gives the same. Without it, a partition is waited for until the source ends or is
    /// [idle as a whole](crate::Watermarks::idle_after).
    pub fn idle_after(mut self, event_time: Duration) -> Self {
        self.idle_after = duration_nanos(event_time);
        self
    }

    /// Takes the next event of a partition: the watermark behind it.
    fn take(&mut self, partition: P, time: Timestamp) -> Timestamp {
        self.newest = self.newest.max(time);
        let largest = self.largest.entry(partition).or_insert(Timestamp::MIN);
        let before = std::mem::replace(largest, time.max(*largest));
        let active_from = self.newest.minus_nanos(self.idle_after);
        // The oldest is another where this partition was, or is new, or the oldest has become idle.
        if before == Timestamp::MIN || before == self.oldest || self.oldest < active_from {
            self.largest.retain(|_, largest| *largest >= active_from);
            // The partition of the newest event is never idle.
            self.oldest = self.largest.values().copied().min().unwrap_or(self.newest);
        }
        self.oldest.minus_nanos(self.bound).minus_nanos(1)
    }
}

impl<T, F, P> WatermarkGenerator<T> for PerPartition<F, P>
where
    T: crate::Event,
    F: Fn(&T) -> P + Clone + Send + Sync + 'static,
    P: Ord + Clone + Send + Sync + 'static,
{
    fn on_event(&mut self, event: &T) -> Option<Timestamp> {
        Some(self.take((self.partition_of)(event), event.time()))
    }
}

/// A generator, whatever its type is.
pub(crate) trait AnyGenerator<T>: Send + Sync {
    fn on_event(&mut self, event: &T) -> Option<Timestamp>;
    fn cloned(&self) -> Box<dyn AnyGenerator<T>>;
}

impl<T, G: WatermarkGenerator<T>> AnyGenerator<T> for G {
    fn on_event(&mut self, event: &T) -> Option<Timestamp> {
        WatermarkGenerator::on_event(self, event)
    }

    fn cloned(&self) -> Box<dyn AnyGenerator<T>> {
        Box::new(self.clone())
    }
}

/// The clock of a source that has a generator.
pub(crate) struct GeneratedClock<T> {
    generator: Box<dyn AnyGenerator<T>>,
    watermark: Timestamp,
}

impl<T> Clone for GeneratedClock<T> {
    fn clone(&self) -> Self {
        Self { generator: self.generator.cloned(), watermark: self.watermark }
    }
}

impl<T> GeneratedClock<T> {
    /// Of a source that has not begun.
    pub(crate) fn new(generator: &dyn AnyGenerator<T>) -> Self {
        Self { generator: generator.cloned(), watermark: Timestamp::MIN }
    }

    /// The watermark and 1 ns.
    pub(crate) const fn clock(&self) -> Timestamp {
        match self.watermark {
            Timestamp::MIN => Timestamp::MIN,
            watermark => watermark.plus_nanos(1),
        }
    }

    /// Takes the next event.
    pub(crate) fn take(&mut self, event: &T) {
        if let Some(watermark) = self.generator.on_event(event) {
            self.raise(watermark);
        }
    }

    /// Takes a watermark that the source itself tells.
    pub(crate) fn raise(&mut self, watermark: Timestamp) {
        self.watermark = self.watermark.max(watermark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against all partitions looked at anew behind each event.
        #[test]
        fn the_least_of_the_partitions_that_are_not_idle_counts(
            events in prop::collection::vec((0u8..4, 0i64..60), 1..60),
            bound in 0i64..5,
            idle in prop_oneof![Just(i64::MAX), 0i64..30],
        ) {
            let partitions = PerPartition::new(|event: &(u8, i64)| event.0, Duration::from_nanos(bound as u64));
            let mut partitions = match idle {
                i64::MAX => partitions,
                idle => partitions.idle_after(Duration::from_nanos(idle as u64)),
            };
            let mut largest: BTreeMap<u8, i64> = BTreeMap::new();
            for (partition, time) in events {
                let of = largest.entry(partition).or_insert(time);
                *of = time.max(*of);
                let newest = *largest.values().max().unwrap();
                largest.retain(|_, time| newest - *time <= idle);
                let oldest = *largest.values().min().unwrap();
                let found = partitions.take(partition, Timestamp::from_nanos(time));
                prop_assert_eq!(found.as_nanos(), oldest - bound - 1);
            }
        }
    }
}
