//! What runs: sources, tasks, workers, sinks.

pub(crate) mod chained;
pub(crate) mod combine;
pub(crate) mod direct;
pub(crate) mod error;
pub(crate) mod idle;
pub(crate) mod metrics;
pub(crate) mod outlet;
pub(crate) mod pin;
pub(crate) mod pipe;
pub(crate) mod report;
pub(crate) mod send;
pub(crate) mod shared;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod source_task;
pub(crate) mod stage;
pub(crate) mod symbols;
pub(crate) mod task;
pub(crate) mod worker;
