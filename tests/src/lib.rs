//! What the integration tests share: seeded numbers, events, and jobs that stress the order.

pub mod events;
pub mod jobs;
pub mod rng;
pub mod slow;
