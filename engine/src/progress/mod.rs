//! Order and time: places, marks, watermarks, jumps, the order of input and the merge that keeps it.

pub(crate) mod generator;
pub(crate) mod jumps;
pub(crate) mod mark;
pub(crate) mod merge;
pub(crate) mod order;
pub(crate) mod place;
pub(crate) mod schedule;
pub(crate) mod watermark;
