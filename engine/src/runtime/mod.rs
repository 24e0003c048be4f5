//! What runs: sources, tasks, workers, sinks.

pub(crate) mod chained;
pub(crate) mod deal;
pub(crate) mod edge;
pub(crate) mod error;
pub(crate) mod front;
pub(crate) mod idle;
pub(crate) mod metrics;
pub(crate) mod outputs;
pub(crate) mod pace;
pub(crate) mod pin;
pub(crate) mod pipe;
pub(crate) mod receiver;
pub(crate) mod report;
pub(crate) mod route;
pub(crate) mod rows;
pub(crate) mod send;
pub(crate) mod shared;
pub(crate) mod sink;
pub(crate) mod sink_stage;
pub(crate) mod source;
pub(crate) mod source_task;
pub(crate) mod stage;
pub(crate) mod summaries;
pub(crate) mod symbols;
pub(crate) mod task;
pub(crate) mod worker;
