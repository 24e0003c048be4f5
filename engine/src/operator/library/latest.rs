//! The latest row of each key, as the changelog of a table.
//!
//! **What is kept.** Each row that becomes the latest of its key is emitted: the table has that row for the key from then
//! on, in place of the one before.
//!
//! **Order.** A row whose time is before that of the key's latest does not replace it and is dropped. One of equal time
//! does replace it: the last in the job's order counts. So the rows of a key leave in order of time. The watermark plays
//! no part.
//!
//! **State.** The time of a key's latest row, kept as [`Keep`] says. The row itself is wherever the changelog goes: a
//! [lookup](crate::KeyedStream::enrich), a sink.

use crate::operator::keyed::ProcessContext;
use crate::operator::library::{Keep, Last};
use crate::operator::process::ProcessFunction;
use crate::{Key, Record, Timestamp};
use std::marker::PhantomData;
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Latest<T> {
    keep: Keep,
    rows: PhantomData<fn(T)>,
}

impl<T: Record> Latest<T> {
    pub(crate) const fn new(keep: Keep) -> Self {
        Self { keep, rows: PhantomData }
    }
}

impl<K: Key, T: Record> ProcessFunction<K> for Latest<T> {
    type In = T;
    type State = Last<()>;
    type Out = (T, T);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_row(&self, _: &K, time: Timestamp, row: &T, last: &mut Last<()>, context: &mut ProcessContext<'_, (T, T)>) {
        if last.is_after(time) {
            context.emit_to::<1>(*row);
        } else {
            *last = Last::new(time, ());
            context.emit(*row);
        }
    }

    fn time_to_live(&self) -> Option<Duration> {
        self.keep.time_to_live()
    }
}
