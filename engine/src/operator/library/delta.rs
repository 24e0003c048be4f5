//! Deltas: a row made of each row and the one of its key before it.
//!
//! **What is emitted.** For each row that counts, what a function makes of it and of the row before it; of none where it is
//! the key's first.
//!
//! **Order.** The row before is the one of the key that came last in the job's order among those that count. A row whose
//! time is before that of the row before is dropped and does not count. Of rows of equal time each counts, in the job's
//! order. The watermark plays no part.
//!
//! **State.** The last row of a key and its time, kept as [`Keep`] says.

use crate::operator::keyed::ProcessContext;
use crate::operator::library::{Keep, Last};
use crate::operator::process::ProcessFunction;
use crate::{Key, Record, Timestamp};
use std::marker::PhantomData;
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Delta<T, F> {
    delta: F,
    keep: Keep,
    rows: PhantomData<fn(T)>,
}

impl<T: Record, F> Delta<T, F> {
    pub(crate) const fn new(delta: F, keep: Keep) -> Self {
        Self { delta, keep, rows: PhantomData }
    }
}

impl<K: Key, T: Record, Out: Record, F> ProcessFunction<K> for Delta<T, F>
where
    F: Fn(Option<&T>, &T) -> Out + Clone + Send + Sync + 'static,
{
    type In = T;
    type State = Last<T>;
    type Out = (Out, T);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_row(&self, _: &K, time: Timestamp, row: &T, last: &mut Last<T>, context: &mut ProcessContext<'_, (Out, T)>) {
        if last.is_after(time) {
            context.emit_to::<1>(*row);
            return;
        }
        let out = (self.delta)(last.get().as_ref(), row);
        *last = Last::new(time, *row);
        context.emit(out);
    }

    fn time_to_live(&self) -> Option<Duration> {
        self.keep.time_to_live()
    }
}
