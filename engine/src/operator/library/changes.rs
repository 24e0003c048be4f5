//! Changes: the rows at which a value of their key is another than it was.
//!
//! **What is kept.** A row whose value differs from that of the row of its key before it, and the first row of a key. Values
//! are the same where all their bytes are: any float is the same as itself, and 0.0 is not the same as -0.0.
//!
//! **Order.** The row before is the one of the key that came last in the job's order among those that count. A row whose
//! time is before that of the row before is dropped and does not count. Of rows of equal time each counts, in the job's
//! order. The watermark plays no part.
//!
//! **State.** The last value of a key and its time, kept as [`Keep`] says.

use crate::operator::keyed::ProcessContext;
use crate::operator::library::{Keep, Last};
use crate::operator::process::ProcessFunction;
use crate::{Key, Record, Timestamp};
use std::marker::PhantomData;
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Changes<T, F> {
    value_of: F,
    keep: Keep,
    rows: PhantomData<fn(T)>,
}

impl<T: Record, F> Changes<T, F> {
    pub(crate) const fn new(value_of: F, keep: Keep) -> Self {
        Self { value_of, keep, rows: PhantomData }
    }
}

impl<K: Key, T: Record, V: Record, F> ProcessFunction<K> for Changes<T, F>
where
    F: Fn(&T) -> V + Clone + Send + Sync + 'static,
{
    type In = T;
    type State = Last<V>;
    type Out = (T, T);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_row(&self, _: &K, time: Timestamp, row: &T, last: &mut Last<V>, context: &mut ProcessContext<'_, (T, T)>) {
        if last.is_after(time) {
            context.emit_to::<1>(*row);
            return;
        }
        let value = (self.value_of)(row);
        let is_same = last.get().is_some_and(|last| bytemuck::bytes_of(&last) == bytemuck::bytes_of(&value));
        *last = Last::new(time, value);
        if is_same {
            context.emit_to::<1>(*row);
        } else {
            context.emit(*row);
        }
    }

    fn time_to_live(&self) -> Option<Duration> {
        self.keep.time_to_live()
    }
}
