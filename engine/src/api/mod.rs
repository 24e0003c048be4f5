//! The interface: a job is declared with typed streams, then run.

#[cfg(feature = "async")]
mod asynchronous;
pub(crate) mod channel;
pub(crate) mod checkpoints;
pub(crate) mod connected;
mod fork;
pub(crate) mod handle;
pub(crate) mod inline;
pub(crate) mod job;
pub(crate) mod keyed;
pub(crate) mod library;
pub(crate) mod operate;
pub(crate) mod options;
pub(crate) mod output;
pub(crate) mod push;
pub(crate) mod rows;
pub(crate) mod stream;
mod waiters;
