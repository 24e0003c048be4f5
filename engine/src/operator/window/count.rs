//! Count windows: the last so many rows of a key, each time so many have come.
//!
//! Rows of a key are numbered. Windows begin and end at fixed numbers, so rows between two of those are one slice, whatever
//! windows it is in. A window is merged from its slices when it fires, or slices are taken off from window to window where
//! the aggregate can do that.

use crate::base::blame;
use crate::operator::aggregate::{WindowAggregate, lend, packed_layout};
use crate::operator::window::{CountWindow, Pane, Timing, Window};
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::{KeyedLists, KeyedTable, Of, Store, StoreSettings};
use crate::{Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;

/// Rows of a key between two numbers at which windows begin or end.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(crate) struct Slice<V> {
    first_row: u64,
    /// Of the first row.
    time: Timestamp,
    acc: V,
}

impl<V: Record> Record for Slice<V> {
    fn layout() -> Layout {
        packed_layout("Slice", &[("first_row", u64::layout()), ("time", Timestamp::layout()), ("acc", V::layout())])
    }
}

/// What is kept of a key beside its slices.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(crate) struct Counted<V> {
    rows: u64,
    /// Of all slices, where they can be taken off.
    all: V,
}

impl<V: Record> Record for Counted<V> {
    fn layout() -> Layout {
        packed_layout("Counted", &[("rows", u64::layout()), ("all", V::layout())])
    }
}

pub(crate) struct CountOperator<K, F, A: WindowAggregate<K>> {
    windows: CountWindow,
    key_of: F,
    aggregate: A,
    keys: KeyedTable<K, Counted<A::Acc>>,
    slices: KeyedLists<Slice<A::Acc>>,
    /// Whether slices are taken off when windows leave them behind.
    takes_off: bool,
}

impl<K: Key, F, A: WindowAggregate<K>> CountOperator<K, F, A> {
    pub(crate) fn new(windows: CountWindow, key_of: F, aggregate: A, settings: &StoreSettings) -> Self {
        let takes_off = windows.slides() && aggregate.is_invertible();
        let (keys, slices) = (KeyedTable::new(settings), KeyedLists::new(settings));
        Self { windows, key_of, aggregate, keys, slices, takes_off }
    }

    /// Whether a window begins or ends before the row with this number.
    const fn is_cut(&self, row: u64) -> bool {
        let CountWindow { size, slide } = self.windows;
        row.is_multiple_of(slide) || (row % slide) + size % slide == slide
    }

    /// Adds a row to its key; what the window gives that it is the last row of.
    fn add(&mut self, key: K, time: Timestamp, row: &A::In) -> Result<Option<A::Out>, OperatorError> {
        let entry = self.keys.find_or_insert(key)?;
        let counted = self.keys.value_mut(entry);
        let number = counted.rows;
        // It wraps after 2^64 rows.
        counted.rows = number.wrapping_add(1);
        if self.takes_off {
            let mut all = counted.all;
            self.aggregate.add(&mut all, time, row);
            counted.all = all;
        }
        if self.is_cut(number) {
            let slice = Slice { first_row: number, time, acc: A::Acc::zeroed() };
            self.slices.push(&mut self.keys, entry, slice)?;
        }
        if let Some(slice) = self.slices.last_mut(&self.keys, entry) {
            let acc = &mut bytemuck::bytes_of_mut(slice)[offset_of!(Slice<A::Acc>, acc)..];
            lend(acc, |acc| self.aggregate.add(acc, time, row));
        }
        if !number.wrapping_add(1).is_multiple_of(self.windows.slide) {
            return Ok(None);
        }
        Ok(Some(self.fire(key, entry, number.wrapping_add(1), time)))
    }

    /// What the window gives that ends before the row with this number; slices that no later one has are dropped.
    fn fire(&mut self, key: K, entry: usize, end: u64, last: Timestamp) -> A::Out {
        let CountWindow { size, slide } = self.windows;
        let Self { slices: lists, aggregate, keys, .. } = self;
        let slices = lists.get(entry);
        // Slices before the window were dropped when the one before it fired.
        let mut acc = A::Acc::zeroed();
        match slices.split_first() {
            _ if self.takes_off => acc = keys.value(entry).all,
            Some((first, more)) => {
                acc = first.acc;
                more.iter().for_each(|slice| aggregate.merge(&mut acc, &{ slice.acc }));
            }
            None => {}
        }
        let first = slices.first().map_or(last, |slice| slice.time);
        let window = Window { start: first.min(last), end: first.max(last).plus_nanos(1) };
        let pane = Pane { window, number: (end / slide).wrapping_sub(1), timing: Timing::OnTime };
        let result = aggregate.result(&pane, &key, &acc);
        let dropped = slices.partition_point(|slice| slice.first_row < end.saturating_add(slide).saturating_sub(size));
        if self.takes_off {
            let mut all = acc;
            slices[..dropped].iter().for_each(|slice| aggregate.unmerge(&mut all, &{ slice.acc }));
            keys.value_mut(entry).all = all;
        }
        let kept = slices.len() - dropped;
        lists.truncate_front(keys, entry, kept);
        result
    }
}

impl<K, F, A> Operator for CountOperator<K, F, A>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: WindowAggregate<K>,
{
    type Outputs = (A::Out, A::In);
    const LATE_OUTPUTS: &'static [usize] = &[1];

    fn on_watermark(&mut self, _: Timestamp, _: &mut Outbox<(A::Out, A::In)>) -> Result<Firing, OperatorError> {
        Ok(Firing::Done)
    }

    fn next_firing(&self) -> Timestamp {
        Timestamp::MAX
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("keys", &mut self.keys);
        show("slices", &mut Of::new(&mut self.keys, &mut self.slices));
    }
}

impl<K, F, A> OperatorInput<0> for CountOperator<K, F, A>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: WindowAggregate<K>,
{
    type Row = A::In;

    fn on_batch(&mut self, batch: Batch<'_, A::In>, out: &mut Outbox<(A::Out, A::In)>) -> Result<usize, OperatorError> {
        for (index, (&time, row)) in batch.times().iter().zip(batch.values()).enumerate() {
            if out.is_full() {
                return Ok(index);
            }
            let result = blame::at_index(index, || self.add((self.key_of)(row), time, row))?;
            if let Some(result) = result {
                out.emit::<0>(index, time, result);
            }
        }
        Ok(batch.len())
    }
}
