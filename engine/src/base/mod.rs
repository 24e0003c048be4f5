//! What everything else stands on: time, fixed layouts, keys, symbols, clocks.

pub(crate) mod blame;
pub(crate) mod clock;
pub(crate) mod fields;
pub(crate) mod iso;
pub(crate) mod key;
pub(crate) mod padding;
pub(crate) mod panics;
pub(crate) mod parcels;
pub(crate) mod prefetch;
pub(crate) mod record;
pub(crate) mod row;
pub(crate) mod schema;
pub(crate) mod symbol;
pub(crate) mod sync;
pub(crate) mod time;
