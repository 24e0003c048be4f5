//! One value of a step.

use crate::store::pieces::PieceWriter;
use crate::store::{Scope, Share, Store, StoreError, StoreKind};
use crate::{Layout, Record, Slot};
use std::ops::Range;

/// One value of a step, which all workers have alike: zeros at first.
///
/// What sets it must be the same on all workers, as rows of a broadcast stream are.
///
/// ```
/// let mut rate = pelton::Value::<i64>::new();
/// *rate.get_mut() = 3;
/// assert_eq!(*rate.get(), 3);
/// ```
#[derive(Debug)]
pub struct Value<T> {
    value: T,
    /// Whether it did not change since the last mark.
    is_written: bool,
    /// What it was at the mark, until it is written.
    marked: Option<T>,
}

impl<T: Record> Value<T> {
    /// Zeros.
    pub fn new() -> Self {
        Self { value: T::zeroed(), is_written: false, marked: None }
    }

    /// The value.
    pub const fn get(&self) -> &T {
        &self.value
    }

    /// The value, to be changed.
    pub const fn get_mut(&mut self) -> &mut T {
        self.is_written = false;
        &mut self.value
    }
}

impl<T: Record> Default for Value<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Record> Store for Value<T> {
    fn kind(&self) -> StoreKind {
        StoreKind::Value
    }

    fn layout(&self) -> Layout {
        T::layout()
    }

    fn bytes(&self) -> usize {
        size_of::<T>()
    }

    fn mark(&mut self, scope: Scope) {
        let is_due = !std::mem::replace(&mut self.is_written, true) || scope == Scope::All;
        self.marked = is_due.then_some(self.value);
    }

    fn save(&mut self, out: &mut PieceWriter<'_>) -> bool {
        if !out.has_room() {
            return self.marked.is_none();
        }
        if let Some(value) = self.marked.take() {
            out.write(Share::All, bytemuck::bytes_of(&value));
        }
        true
    }

    fn restore(&mut self, share: Share, piece: &[u8], _: &Range<Slot>) -> Result<(), StoreError> {
        if share != Share::All || piece.len() != size_of::<T>() {
            return Err(StoreError::misfit("no value of this layout"));
        }
        self.value = bytemuck::pod_read_unaligned(piece);
        Ok(())
    }

    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
