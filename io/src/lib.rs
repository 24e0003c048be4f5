//! What moves events in and out of `pelton`: captures, codecs, sources and sinks.

#![deny(unsafe_code)]

pub mod bars;
pub mod capture;
pub mod codec;
pub mod disk;
pub mod events;
pub mod generate;
pub mod import;
pub mod journal;
pub mod output;
mod parts;
pub mod sink;

pub use events::Trade;
pub use sink::{blackhole, csv, jsonl};
