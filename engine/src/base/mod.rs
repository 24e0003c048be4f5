//! What everything else stands on: time, fixed layouts, keys, symbols, clocks.

pub mod clock;
pub mod key;
pub mod record;
pub mod symbol;
pub(crate) mod sync;
pub mod time;
