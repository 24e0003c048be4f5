//! Bounded rings between two workers, and all `unsafe` code that they need.
//!
//! `spsc` has the protocol and its memory-order argument, `producer` and `consumer` its two ends,
//! `column` the memory that it governs, `protocol` the choices that a test gets wrong on purpose.

#![allow(unsafe_code)]

mod column;
mod consumer;
pub(crate) mod local;
mod producer;
mod protocol;
mod spsc;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

pub use consumer::{Consumer, Run};
pub use producer::{Claim, Producer};
pub use protocol::{Protocol, Sound};
pub use spsc::{Gauge, ring};
