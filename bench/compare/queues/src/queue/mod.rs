//! The queues: each one's ends as [`Sender`](crate::hop::Sender) and [`Receiver`](crate::hop::Receiver).
//!
//! Where a queue has several interfaces, each that could be the fastest is a rival of its own.

pub mod crossbeam;
pub mod disruptor;
pub mod least;
pub mod pelton;
pub mod ringbuf;
pub mod rtrb;

#[cfg(test)]
mod tests;
