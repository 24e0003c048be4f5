//! Count windows: the last so many rows of a key, each time so many have come.
//!
//! Rows of a key are numbered. Windows begin and end at fixed numbers, so rows between two of those are one slice, whatever
//! windows it is in. A window is merged from its slices when it fires.

use crate::base::blame;
use crate::operator::aggregate::WindowAggregate;
use crate::operator::aggregate::packed_layout;
use crate::operator::window::{CountWindow, Pane, Timing, Window};
use crate::operator::{Batch, Firing, Operator, OperatorError, OperatorInput, Outbox};
use crate::store::{KeyedLists, KeyedTable, Of, Store, StoreSettings};
use crate::{Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};

/// Rows of a key between two numbers at which windows begin or end.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(crate) struct Slice<V> {
    first_row: u64,
    earliest: Timestamp,
    latest: Timestamp,
    acc: V,
}

impl<V: Record> Record for Slice<V> {
    fn layout() -> Layout {
        let time = Timestamp::layout;
        let parts = [("first_row", u64::layout()), ("earliest", time()), ("latest", time()), ("acc", V::layout())];
        packed_layout("Slice", &parts)
    }
}

pub(crate) struct CountOperator<K, F, A: WindowAggregate<K>> {
    windows: CountWindow,
    key_of: F,
    aggregate: A,
    /// How many rows each key has had.
    rows: KeyedTable<K, u64>,
    slices: KeyedLists<Slice<A::Acc>>,
}

impl<K: Key, F, A: WindowAggregate<K>> CountOperator<K, F, A> {
    pub(crate) fn new(windows: CountWindow, key_of: F, aggregate: A, settings: &StoreSettings) -> Self {
        Self { windows, key_of, aggregate, rows: KeyedTable::new(settings), slices: KeyedLists::new(settings) }
    }

    /// Whether a window begins or ends before the row with this number.
    const fn is_cut(&self, row: u64) -> bool {
        let CountWindow { size, slide } = self.windows;
        row.is_multiple_of(slide) || (row % slide) + size % slide == slide
    }

    /// Adds a row to its key; what the window gives that it is the last row of.
    fn add(&mut self, key: K, time: Timestamp, row: &A::In) -> Result<Option<A::Out>, OperatorError> {
        let entry = self.rows.find_or_insert(key)?;
        let count = self.rows.value_mut(entry);
        let number = *count;
        // It wraps after 2^64 rows.
        *count = number.wrapping_add(1);
        if self.is_cut(number) {
            let slice = Slice { first_row: number, earliest: time, latest: time, acc: A::Acc::zeroed() };
            self.slices.push(&mut self.rows, entry, slice)?;
        }
        let Self { slices, rows, aggregate, .. } = self;
        if let Some(slice) = slices.last_mut(rows, entry) {
            (slice.earliest, slice.latest) = (time.min(slice.earliest), time.max(slice.latest));
            let mut acc = slice.acc;
            aggregate.add(&mut acc, time, row);
            slice.acc = acc;
        }
        if !number.wrapping_add(1).is_multiple_of(self.windows.slide) {
            return Ok(None);
        }
        Ok(Some(self.fire(key, entry, number.wrapping_add(1))))
    }

    /// What the window gives that ends before the row with this number; slices that no later one has are dropped.
    fn fire(&mut self, key: K, entry: usize, end: u64) -> A::Out {
        let CountWindow { size, slide } = self.windows;
        let slices = self.slices.get(entry);
        let first = slices.partition_point(|slice| slice.first_row < end.saturating_sub(size));
        let mut acc = A::Acc::zeroed();
        let (mut earliest, mut latest) = (Timestamp::MAX, Timestamp::MIN);
        for (at, slice) in slices[first..].iter().enumerate() {
            match at {
                0 => acc = slice.acc,
                _ => self.aggregate.merge(&mut acc, &{ slice.acc }),
            }
            (earliest, latest) = (earliest.min(slice.earliest), latest.max(slice.latest));
        }
        let kept = slices.iter().filter(|slice| slice.first_row >= (end + slide).saturating_sub(size)).count();
        self.slices.truncate_front(&mut self.rows, entry, kept);
        let window = Window { start: earliest, end: latest.plus_nanos(1) };
        let pane = Pane { window, number: end / slide - 1, timing: Timing::OnTime };
        self.aggregate.result(&pane, &key, &acc)
    }
}

impl<K, F, A> Operator for CountOperator<K, F, A>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: WindowAggregate<K>,
{
    type Outputs = (A::Out, A::In);

    fn on_watermark(&mut self, _: Timestamp, _: &mut Outbox<(A::Out, A::In)>) -> Result<Firing, OperatorError> {
        Ok(Firing::Done)
    }

    fn next_firing(&self) -> Timestamp {
        Timestamp::MAX
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        show("rows", &mut self.rows);
        show("slices", &mut Of::new(&mut self.rows, &mut self.slices));
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
