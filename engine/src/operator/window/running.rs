//! What the slices of the window that fires next have in all, kept from window to window: slices are added as windows come
//! to them, and taken off as windows leave them behind. For aggregates that can be taken off exactly.

use crate::operator::aggregate::{WindowAggregate, packed_layout};
use crate::operator::window::Pane;
use crate::operator::window::slice_store::SliceStore;
use crate::store::groups::Groups;
use crate::{CanonicalKey, Dictionary, Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};

/// What a key has in all, and in how many slices it has anything.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(crate) struct Total<V> {
    slices: u32,
    acc: V,
}

impl<V: Record> Record for Total<V> {
    fn layout() -> Layout {
        packed_layout("Total", &[("slices", u32::layout()), ("acc", V::layout())])
    }
}

/// An aggregate over totals.
#[derive(Clone)]
pub(crate) struct Totals<A>(A);

impl<K, A: WindowAggregate<K>> WindowAggregate<K> for Totals<A> {
    type In = A::In;
    type Acc = Total<A::Acc>;
    type Out = A::Out;

    #[inline(always)]
    fn add(&self, total: &mut Total<A::Acc>, time: Timestamp, row: &A::In) {
        let mut acc = total.acc;
        self.0.add(&mut acc, time, row);
        total.acc = acc;
    }

    #[inline(always)]
    fn merge(&self, total: &mut Total<A::Acc>, later: &Total<A::Acc>) {
        let mut acc = total.acc;
        self.0.merge(&mut acc, &{ later.acc });
        *total = Total { slices: total.slices + later.slices, acc };
    }

    fn is_exact(&self) -> bool {
        self.0.is_exact()
    }

    #[inline(always)]
    fn result(&self, pane: &Pane, key: &K, total: &Total<A::Acc>) -> A::Out {
        self.0.result(pane, key, &{ total.acc })
    }

    fn canonical(&self, key: &K, symbols: &Dictionary) -> CanonicalKey
    where
        K: Key,
    {
        self.0.canonical(key, symbols)
    }
}

pub(crate) struct Running<K: Key, A: WindowAggregate<K>> {
    pub(crate) totals: Totals<A>,
    /// Of all open slices with lesser numbers than this.
    pub(crate) all: Groups<K, Total<A::Acc>>,
    up_to: i64,
    /// Keys that are in no slice any more.
    gone: usize,
    spare: Groups<K, Total<A::Acc>>,
}

impl<K: Key, A: WindowAggregate<K>> Running<K, A> {
    pub(crate) fn new(aggregate: A, slices: &SliceStore<K, A::Acc>) -> Self {
        let (all, spare) = (Groups::new(slices.seed()), Groups::new(slices.seed()));
        Self { totals: Totals(aggregate), all, up_to: i64::MIN, gone: 0, spare }
    }

    /// Adds the slices up to this number, and forgets keys that are in none.
    pub(crate) fn add_up_to(&mut self, end: i64, slices: &SliceStore<K, A::Acc>) {
        for groups in slices.numbered_in(self.up_to..end) {
            self.add(groups);
        }
        self.up_to = self.up_to.max(end);
        if self.gone > 0 {
            let Self { all, spare, .. } = self;
            spare.clear();
            all.each(|key, total| {
                if total.slices > 0 {
                    *spare.value_mut(key) = *total;
                }
            });
            std::mem::swap(all, spare);
            self.gone = 0;
        }
    }

    fn add(&mut self, groups: &Groups<K, A::Acc>) {
        groups.each(|key, acc| {
            let keys = self.all.len();
            let total = self.all.value_mut(key);
            let mut sum = total.acc;
            self.totals.0.merge(&mut sum, acc);
            let slices = total.slices;
            *total = Total { slices: slices + 1, acc: sum };
            if slices == 0 && self.all.len() == keys {
                self.gone -= 1;
            }
        });
    }

    /// Puts a slice on again that was taken off and may have been added.
    pub(crate) fn put_on(&mut self, slice: i64, groups: &Groups<K, A::Acc>) {
        if slice < self.up_to {
            self.add(groups);
        }
    }

    /// Takes off a slice that closes or changes, where it was added.
    pub(crate) fn take_off(&mut self, slice: i64, groups: &Groups<K, A::Acc>) {
        if slice >= self.up_to {
            return;
        }
        groups.each(|key, acc| {
            let total = self.all.value_mut(key);
            let mut sum = total.acc;
            self.totals.0.unmerge(&mut sum, acc);
            let slices = total.slices - 1;
            *total = Total { slices, acc: sum };
            self.gone += usize::from(slices == 0);
        });
    }

    /// A row came to a slice that may have been added; whether its key is new there.
    pub(crate) fn add_behind(&mut self, slice: i64, key: K, is_new: bool, time: Timestamp, row: &A::In) {
        if slice >= self.up_to {
            return;
        }
        let keys = self.all.len();
        let total = self.all.value_mut(key);
        self.totals.add(total, time, row);
        let slices = total.slices;
        total.slices = slices + u32::from(is_new);
        if slices == 0 && self.all.len() == keys {
            self.gone -= 1;
        }
    }

    /// Bytes of the totals.
    pub(crate) fn bytes(&self) -> usize {
        self.all.bytes() + self.spare.bytes()
    }
}
