//! What runs: sources, tasks, workers, sinks.

pub mod sink;
pub mod source;
