//! A threshold with hysteresis: an alarm for each key that is raised at one level and cleared at a lower one.
//!
//! **What is emitted.** A key is clear at first. A row whose value is at or above the upper level raises a clear key, and
//! one whose value is at or below the lower level clears a raised key. Such a row is emitted with what it did; others say
//! nothing. A value that compares with neither level, NaN, does nothing.
//!
//! **Order.** A row whose time is before that of a row of its key that came earlier is dropped and changes nothing. Of rows
//! of equal time each counts, in the job's order. The watermark plays no part.
//!
//! **End of the input.** A key that is raised stays so; nothing is emitted.
//!
//! **State.** Whether a key is raised, and the time of its last row, kept as [`Keep`] says. A key that is raised and then
//! forgotten is clear again, and nothing says so: raise an alarm of [absence](crate::KeyedStream::absence) for that.

use crate::operator::aggregate::packed_layout;
use crate::operator::keyed::ProcessContext;
use crate::operator::library::Keep;
use crate::operator::process::ProcessFunction;
use crate::{Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A row that raised or cleared its key: the columns of the row, and `is_raised`, which is 1 or 0.
///
/// It has no padding whatever the row is, so its fields are read through methods.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct Transition<T> {
    row: T,
    is_raised: u8,
}

impl<T: Copy> Transition<T> {
    /// The row.
    pub fn row(&self) -> T {
        self.row
    }

    /// Whether the key is raised from now on.
    pub fn is_raised(&self) -> bool {
        self.is_raised != 0
    }
}

impl<T: Record> Record for Transition<T> {
    fn layout() -> Layout {
        packed_layout("Transition", &[("row", T::layout()), ("is_raised", u8::layout())])
    }
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, Record)]
#[repr(C)]
pub(crate) struct Alarm {
    time: Timestamp,
    is_known: u32,
    is_raised: u32,
}

#[derive(Clone)]
pub(crate) struct Threshold<T, V, F> {
    value_of: F,
    levels: RangeInclusive<V>,
    keep: Keep,
    rows: PhantomData<fn(T)>,
}

impl<T: Record, V: PartialOrd, F> Threshold<T, V, F> {
    pub(crate) const fn new(value_of: F, levels: RangeInclusive<V>, keep: Keep) -> Self {
        Self { value_of, levels, keep, rows: PhantomData }
    }

    pub(crate) fn mistake(&self) -> Option<&'static str> {
        let is_apart = self.levels.start() < self.levels.end();
        (!is_apart).then_some("the level that clears has to be below the one that raises")
    }
}

impl<K: Key, T: Record, V, F> ProcessFunction<K> for Threshold<T, V, F>
where
    V: PartialOrd + Clone + Send + Sync + 'static,
    F: Fn(&T) -> V + Clone + Send + Sync + 'static,
{
    type In = T;
    type State = Alarm;
    type Out = (Transition<T>, T);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_row(
        &self,
        _: &K,
        time: Timestamp,
        row: &T,
        alarm: &mut Alarm,
        context: &mut ProcessContext<'_, (Transition<T>, T)>,
    ) {
        if alarm.is_known != 0 && time < alarm.time {
            context.emit_to::<1>(*row);
            return;
        }
        let (value, was_raised) = ((self.value_of)(row), alarm.is_raised != 0);
        let (clears, raises) = (value <= *self.levels.start(), value >= *self.levels.end());
        let is_raised = if was_raised { !clears } else { raises };
        *alarm = Alarm { time, is_known: 1, is_raised: u32::from(is_raised) };
        if is_raised != was_raised {
            context.emit(Transition { row: *row, is_raised: u8::from(is_raised) });
        }
    }

    fn time_to_live(&self) -> Option<Duration> {
        self.keep.time_to_live()
    }
}
