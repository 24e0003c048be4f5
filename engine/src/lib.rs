//! Stream processing in one process.

#![deny(unsafe_code)]

extern crate self as pelton;

mod api;
mod base;
mod graph;
mod operator;
mod progress;
#[doc(hidden)]
pub mod ring;
mod runtime;
mod store;
pub mod testing;

pub use api::channel::{
    Callback, ChannelSink, Closed, Collect, Collected, Input, Output, Received, callback, channel, collect, push,
};
pub use api::handle::{Handle, Simulation, Stop};
pub use api::job::Job;
pub use api::keyed::{KeyedStream, StepOutput, WindowedStream};
pub use api::options::{Options, WORKERS_MAX};
pub use api::stream::Stream;
pub use base::clock::{Clock, ManualClock, SystemClock};
pub use base::key::{CanonicalKey, Key, SLOTS, Slot, hash_key, slot_of, worker_of};
pub use base::record::{Event, Field, FieldKind, FieldType, Layout, Record};
pub use base::symbol::{Dictionary, DictionaryError, SYMBOL_BYTES_MAX, SYMBOLS_MAX, Symbol};
pub use base::time::Timestamp;
pub use operator::aggregate::{
    Aggregate, Count, Windowed, count, first, last, max, max_f64, mean, min, min_f64, sum, sum_f64, vwap, weighted_mean,
};
pub use operator::chain::Chain;
pub use operator::process::{ProcessContext, ProcessFunction};
pub use operator::window::{Tumbling, Window};
pub use operator::{Batch, Firing, Operator, OperatorError, Outbox};
pub use pelton_derive::{Event, Key, Record};
pub use progress::watermark::{WatermarkGenerator, Watermarks};
pub use runtime::error::{Error, ShapeError};
pub use runtime::idle::IdleStrategy;
pub use runtime::metrics::{StepKind, StepReport};
pub use runtime::report::Report;
pub use runtime::sink::Sink;
pub use runtime::source::{BlockReader, BlockSource, BlockSummary, Feed, Polled, Source, VecSource};
pub use runtime::worker::WorkerStep;

/// An error from outside the engine: a source's, a sink's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[doc(hidden)]
pub mod __private {
    pub use bytemuck;
}
