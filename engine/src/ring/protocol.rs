//! The orderings and orders of steps that the ring's correctness rests on, as one policy.
//!
//! The ring is always [`Sound`]. Tests put one deliberate mistake at a time in its place and show
//! that the model checker sees it, which is the evidence that it would see an accidental one.

use crate::base::sync::Ordering;

/// How the two ends of a ring speak to each other. Every default is the right choice.
#[doc(hidden)]
pub trait Protocol: 'static {
    /// Publishing data: whoever sees the position sees the elements before it.
    const TAIL_STORE: Ordering = Ordering::Release;
    /// Seeing data.
    const TAIL_LOAD: Ordering = Ordering::Acquire;
    /// Giving slots back: whoever sees the position may overwrite what was before it.
    const HEAD_STORE: Ordering = Ordering::Release;
    /// Seeing free slots.
    const HEAD_LOAD: Ordering = Ordering::Acquire;
    /// Publishing a mark.
    const MARKS_TAIL_STORE: Ordering = Ordering::Release;
    /// Seeing a mark.
    const MARKS_TAIL_LOAD: Ordering = Ordering::Acquire;
    /// Giving a mark's slot back.
    const MARKS_HEAD_STORE: Ordering = Ordering::Release;
    /// Seeing a free slot for a mark.
    const MARKS_HEAD_LOAD: Ordering = Ordering::Acquire;
    /// An end says that it is gone, after all it did.
    const GONE_STORE: Ordering = Ordering::Release;
    /// Seeing that the other end is gone, and with it all that it did.
    const GONE_LOAD: Ordering = Ordering::Acquire;
    /// Mistake: data is published before it is copied.
    const TAIL_BEFORE_COPY: bool = false;
    /// Mistake: a mark is published before it is written.
    const MARKS_TAIL_BEFORE_WRITE: bool = false;
    /// Mistake: the consumer looks for marks before it looks for data.
    const MARKS_BEFORE_DATA: bool = false;
    /// Mistake: slots are given back while they are still being read. Only under loom, like the next:
    /// otherwise it would be the caller's, and the borrow checker forbids it.
    const RELEASE_BEFORE_READ: bool = false;
    /// Mistake: a mark's slot is given back before the mark is read.
    const MARK_RELEASE_BEFORE_READ: bool = false;
    /// Mistake: emptiness is judged before the producer's end.
    const GONE_AFTER_EMPTY: bool = false;
    /// Mistake: slots that do not exist.
    const EXTRA_ROOM: usize = 0;
    /// Mistake: slots for marks that do not exist.
    const EXTRA_MARKS: usize = 0;
}

/// The protocol without mistakes.
#[doc(hidden)]
#[derive(Debug)]
pub struct Sound;

impl Protocol for Sound {}
