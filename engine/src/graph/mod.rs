//! The graph of a job: origins of rows, the steps that take them, and how both are laid on workers.

pub(crate) mod exchange;
pub(crate) mod node;
pub(crate) mod origin;
pub(crate) mod plan;
pub(crate) mod source_node;
pub(crate) mod unordered;
pub(crate) mod window_node;
