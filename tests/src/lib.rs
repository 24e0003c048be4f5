//! What the integration tests share: seeded numbers, events, jobs that stress the order, plain loops that say what
//! comes out of them, how jobs are run and rows compared, and how much a
//! campaign does.

pub mod campaign;
pub mod crashing;
pub mod data;
pub mod events;
pub mod jobs;
pub mod marks;
pub mod rng;
pub mod rows;
pub mod running;
pub mod slow;
pub mod tape;
