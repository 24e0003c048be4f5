//! Who was running when something panicked: the step and the place of the event.
//!
//! A guard stands on the stack around each user function and is forgotten when the function
//! returns; only unwinding runs its destructor. On the way that does not panic it costs nothing.

use std::cell::RefCell;
use std::sync::Arc;

/// What the guards saw while unwinding, innermost first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blame {
    pub(crate) step: Option<Arc<str>>,
    pub(crate) index: Option<usize>,
    pub(crate) position: Option<String>,
}

thread_local! {
    static BLAME: RefCell<Blame> = RefCell::default();
}

/// Takes what the last unwinding on this thread left.
pub(crate) fn take() -> Blame {
    BLAME.take()
}

struct Guard<F: FnMut(&mut Blame)>(F);

impl<F: FnMut(&mut Blame)> Drop for Guard<F> {
    fn drop(&mut self) {
        BLAME.with_borrow_mut(|blame| (self.0)(blame));
    }
}

#[inline(always)]
fn guarded<R>(note: impl FnMut(&mut Blame), body: impl FnOnce() -> R) -> R {
    let guard = Guard(note);
    let result = body();
    std::mem::forget(guard);
    result
}

/// Runs a user's function of `step`.
#[inline(always)]
pub(crate) fn in_step<R>(step: &Arc<str>, body: impl FnOnce() -> R) -> R {
    guarded(
        |blame| {
            blame.step.get_or_insert_with(|| step.clone());
        },
        body,
    )
}

/// Runs a user's function on row `index` of a batch.
#[inline(always)]
pub(crate) fn at_index<R>(index: usize, body: impl FnOnce() -> R) -> R {
    guarded(
        |blame| {
            blame.index.get_or_insert(index);
        },
        body,
    )
}

/// Runs a batch; `position` tells in words where row `index` of it stands.
#[inline(always)]
pub(crate) fn at_position<R>(mut position: impl FnMut(usize) -> String, body: impl FnOnce() -> R) -> R {
    guarded(
        |blame| {
            if blame.position.is_none() {
                blame.position = Some(position(blame.index.unwrap_or(0)));
            }
        },
        body,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn the_innermost_step_and_the_position_of_its_row_are_told() {
        let outer: Arc<str> = "outer".into();
        let inner: Arc<str> = "inner".into();
        let result = catch_unwind(AssertUnwindSafe(|| {
            at_position(
                |index| format!("event {index}"),
                || in_step(&outer, || at_index(7, || in_step(&inner, || std::panic::panic_any(1)))),
            )
        }));
        assert!(result.is_err());
        let blame = take();
        assert_eq!(blame.step.as_deref(), Some("inner"));
        assert_eq!(blame.position.as_deref(), Some("event 7"));
        assert!(take().step.is_none());
    }
}
