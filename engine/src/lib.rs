//! Stream processing in one process.

#![deny(unsafe_code)]

extern crate self as pelton;

mod base;
#[doc(hidden)]
pub mod ring;
mod runtime;

pub use base::clock::{Clock, ManualClock, SystemClock};
pub use base::key::{CanonicalKey, Key, SLOTS, Slot, hash_key, slot_of, worker_of};
pub use base::record::{Event, Field, FieldKind, FieldType, Layout, Record};
pub use base::symbol::{Dictionary, DictionaryError, SYMBOL_BYTES_MAX, SYMBOLS_MAX, Symbol};
pub use base::time::Timestamp;
pub use pelton_derive::{Event, Key, Record};
pub use runtime::sink::Sink;
pub use runtime::source::{BlockReader, BlockSource, BlockSummary, Feed, Polled, Source, VecSource};

/// An error from outside the engine: a source's, a sink's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[doc(hidden)]
pub mod __private {
    pub use bytemuck;
}
