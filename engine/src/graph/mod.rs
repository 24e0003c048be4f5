//! The graph of a job as data, the plan made of it, and how the plan is laid on workers.

pub(crate) mod combine;
mod components;
pub(crate) mod connect;
pub(crate) mod deploy;
mod durable;
pub(crate) mod exchange;
pub(crate) mod explain;
pub(crate) mod factory;
mod journaled;
pub(crate) mod model;
pub(crate) mod plan;
pub(crate) mod serving;
pub(crate) mod sinks;
pub(crate) mod source;
pub(crate) mod step;
pub(crate) mod ticks;
pub(crate) mod ways;
pub(crate) mod window;
