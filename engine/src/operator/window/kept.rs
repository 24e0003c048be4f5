//! What a key keeps of one of its windows.

use crate::operator::aggregate::packed_layout;
use crate::operator::window::Window;
use crate::{Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};

/// The window of windows without an end.
pub(crate) const GLOBAL: Window = Window { start: Timestamp::MIN, end: Timestamp::MAX };

impl From<Window> for WindowId {
    fn from(window: Window) -> Self {
        Self { start: window.start, end: window.end }
    }
}

/// By which the windows of a key are found. Sessions, whose end moves, are found by their start alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, crate::Record)]
#[repr(C)]
pub(crate) struct WindowId {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl WindowId {
    /// In place of the end of a session.
    const OPEN: Timestamp = Timestamp::MIN;

    pub(crate) const fn session(start: Timestamp) -> Self {
        Self { start, end: Self::OPEN }
    }
}

/// What is kept of a window of a key.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, packed)]
pub(crate) struct Kept<V> {
    pub(crate) end: Timestamp,
    /// When it fires early, at a period; `Timestamp::MAX` where it does not.
    pub(crate) early: Timestamp,
    /// Rows in `acc`, and those of them that came since it last fired.
    pub(crate) rows: u64,
    pub(crate) fresh: u64,
    pub(crate) fired: u64,
    /// Whether the watermark has reached its last nanosecond.
    pub(crate) is_over: u8,
    pub(crate) acc: V,
}

impl<V: Record> Record for Kept<V> {
    fn layout() -> Layout {
        let time = Timestamp::layout;
        packed_layout(
            "Kept",
            &[
                ("end", time()),
                ("early", time()),
                ("rows", u64::layout()),
                ("fresh", u64::layout()),
                ("fired", u64::layout()),
                ("is_over", u8::layout()),
                ("acc", V::layout()),
            ],
        )
    }
}

impl<V: Record> Kept<V> {
    /// A window without rows.
    pub(crate) fn new(end: Timestamp, is_over: bool) -> Self {
        Self { end, early: Timestamp::MAX, is_over: is_over.into(), ..Self::zeroed() }
    }

    pub(crate) fn max_timestamp(&self) -> Timestamp {
        { self.end }.minus_nanos(1)
    }

    /// When there is something to do for it next, early firings aside.
    pub(crate) fn due(&self, lateness: i64) -> Timestamp {
        let last = self.max_timestamp();
        if self.is_over == 1 { last.plus_nanos(lateness) } else { last }
    }
}
