//! Lookups: rows of a stream, each with the entry that a table has for it when it comes.
//!
//! **Tables.** A table is kept by another stream: each of its rows is the entry of its key from then on. It is keyed by the
//! same key, or it is broadcast, so that rows may be looked up by any key of their own.
//!
//! **What is emitted.** For each row, what a function makes of it and of the entry. Where there is no entry, an inner lookup
//! drops the row, and a left one emits what the function makes of the row alone. A row that was emitted or dropped is not
//! looked at again when the entry comes or changes.
//!
//! **Order.** A row finds the last entry before it in the job's order, whatever the times and watermarks of both: a lookup
//! waits for nothing. Put [`latest`](crate::KeyedStream::latest) in front of a table whose rows may be older than its
//! entries, and use an [as-of join](crate::KeyedStream::as_of_join) where the entry has to be that of the row's time.
//!
//! **State.** An entry of a keyed table is kept as [`Keep`] says, from the last row of its key on either stream on. A
//! broadcast table keeps its entries for ever, as many as the limit of keys allows.

use crate::operator::aggregate::packed_layout;
use crate::operator::broadcast::BroadcastProcessFunction;
use crate::operator::co_process::CoProcessFunction;
use crate::operator::join::JoinRows;
use crate::operator::keyed::ProcessContext;
use crate::operator::library::Keep;
use crate::store::BroadcastTable;
use crate::{Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;
use std::time::Duration;

/// What a table has for a key.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(crate) struct Entry<R> {
    is_there: u8,
    row: R,
}

impl<R: Record> Record for Entry<R> {
    fn layout() -> Layout {
        packed_layout("Entry", &[("is_there", u8::layout()), ("row", R::layout())])
    }
}

/// Looks a row up.
fn look_up<L, R, J>(join: &J, row: &L, entry: Option<&R>, context: &mut ProcessContext<'_, (J::Out, L)>)
where
    L: Record,
    J: JoinRows<L, R>,
{
    match join.join(Some(row), entry) {
        Some(joined) => context.emit(joined),
        None => context.emit_to::<1>(*row),
    }
}

/// Looks rows up in a table by their key.
#[derive(Clone)]
pub(crate) struct Enrich<L, R, J> {
    join: J,
    keep: Keep,
    rows: PhantomData<fn(L, R)>,
}

impl<L, R, J> Enrich<L, R, J> {
    pub(crate) const fn new(join: J, keep: Keep) -> Self {
        Self { join, keep, rows: PhantomData }
    }
}

impl<K: Key, L: Record, R: Record, J> CoProcessFunction<K> for Enrich<L, R, J>
where
    J: JoinRows<L, R> + Clone + Send + Sync,
{
    type Left = L;
    type Right = R;
    type State = Entry<R>;
    type Out = (J::Out, L);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_left(
        &self,
        _: &K,
        _: Timestamp,
        row: &L,
        entry: &mut Entry<R>,
        context: &mut ProcessContext<'_, (J::Out, L)>,
    ) {
        let found = (entry.is_there != 0).then_some(entry.row);
        if found.is_none() {
            // Nothing is kept of a key that has no entry.
            context.clear_state();
        }
        look_up(&self.join, row, found.as_ref(), context);
    }

    fn on_right(&self, _: &K, _: Timestamp, row: &R, entry: &mut Entry<R>, _: &mut ProcessContext<'_, (J::Out, L)>) {
        *entry = Entry { is_there: 1, row: *row };
    }

    fn time_to_live(&self) -> Option<Duration> {
        self.keep.time_to_live()
    }
}

/// Looks rows up in a broadcast table: by the first function, among entries that have the keys of the second.
#[derive(Clone)]
pub(crate) struct EnrichBroadcast<L, R, J, FL, FR> {
    join: J,
    keys_of: (FL, FR),
    rows: PhantomData<fn(L, R)>,
}

impl<L, R, J, FL, FR> EnrichBroadcast<L, R, J, FL, FR> {
    pub(crate) const fn new(join: J, keys_of: (FL, FR)) -> Self {
        Self { join, keys_of, rows: PhantomData }
    }
}

impl<K, E, L, R, J, FL, FR> BroadcastProcessFunction<K> for EnrichBroadcast<L, R, J, FL, FR>
where
    K: Key,
    E: Key,
    L: Record,
    R: Record,
    J: JoinRows<L, R> + Clone + Send + Sync,
    FL: Fn(&L) -> E + Clone + Send + Sync + 'static,
    FR: Fn(&R) -> E + Clone + Send + Sync + 'static,
{
    type In = L;
    type Broadcast = R;
    type TableKey = E;
    type TableValue = R;
    type State = ();
    type Out = (J::Out, L);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_row(
        &self,
        _: &K,
        _: Timestamp,
        row: &L,
        (): &mut (),
        table: &BroadcastTable<E, R>,
        context: &mut ProcessContext<'_, (J::Out, L)>,
    ) {
        // Nothing is kept of the row's key.
        context.clear_state();
        look_up(&self.join, row, table.get(&(self.keys_of.0)(row)), context);
    }

    fn on_broadcast(&self, _: Timestamp, row: &R, table: &mut BroadcastTable<E, R>) {
        table.insert((self.keys_of.1)(row), *row);
    }
}
