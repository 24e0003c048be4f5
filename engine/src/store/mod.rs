//! Keyed state: values of a fixed layout, found by key.

pub(crate) mod dense;
pub(crate) mod groups;
pub(crate) mod region;
pub(crate) mod sparse;
pub(crate) mod table;
pub(crate) mod timed_rows;
