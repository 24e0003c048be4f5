//! Running aggregates: the value of an aggregate over all rows of a key so far, after each of them.
//!
//! **What is emitted.** Each row is added, and the value is emitted with the row's time.
//!
//! **Order.** Rows are added in the job's order, whatever their times. The watermark plays no part, and no row is dropped.
//! Aggregates that go by time, such as `first` and `last`, see the times of the rows.
//!
//! **State.** The aggregate's, kept as [`Keep`] says; once it is forgotten, the aggregate begins anew.

use crate::operator::aggregate::{Aggregate, packed_layout};
use crate::operator::keyed::ProcessContext;
use crate::operator::library::Keep;
use crate::operator::process::ProcessFunction;
use crate::{Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::time::Duration;

/// A key and a value: columns `<key>` and `value`.
///
/// It has no padding whatever its parts are, so its fields are read through methods.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub struct KeyValue<K, V> {
    key: K,
    value: V,
}

impl<K: Copy, V: Copy> KeyValue<K, V> {
    /// The key.
    pub fn key(&self) -> K {
        self.key
    }

    /// The value.
    pub fn value(&self) -> V {
        self.value
    }
}

impl<K: Record, V: Record> Record for KeyValue<K, V> {
    fn layout() -> Layout {
        packed_layout("KeyValue", &[("key", K::layout()), ("value", V::layout())])
    }
}

#[derive(Clone)]
pub(crate) struct Running<A> {
    aggregate: A,
    keep: Keep,
}

impl<A> Running<A> {
    pub(crate) const fn new(aggregate: A, keep: Keep) -> Self {
        Self { aggregate, keep }
    }
}

impl<K: Key, A: Aggregate> ProcessFunction<K> for Running<A> {
    type In = A::In;
    type State = A::Acc;
    type Out = KeyValue<K, A::Value>;

    fn on_row(
        &self,
        key: &K,
        time: Timestamp,
        row: &A::In,
        acc: &mut A::Acc,
        context: &mut ProcessContext<'_, KeyValue<K, A::Value>>,
    ) {
        self.aggregate.add(acc, time, row);
        context.emit(KeyValue { key: *key, value: self.aggregate.value(acc) });
    }

    fn time_to_live(&self) -> Option<Duration> {
        self.keep.time_to_live()
    }
}
