//! What moves events in and out of `pelton`: captures, codecs, sources and sinks.

#![deny(unsafe_code)]

pub mod events;

pub use events::Trade;
