//! Stream processing in one process: event time, one exact order, the speed of a hand-written loop.
//!
//! The smallest program: what each user clicks in a minute.
//!
//! ```
//! use pelton::{Job, Options, Timestamp, Tumbling, Watermarks, callback, count};
//! use std::time::Duration;
//!
//! #[derive(Clone, Copy, pelton::Event)]
//! #[repr(C)]
//! struct Click { #[event(time)] time: Timestamp, user: u64 }
//!
//! let clicks: Vec<_> = (0..1000).map(|i| Click { time: Timestamp::from_secs(i), user: i as u64 % 3 }).collect();
//! let mut job = Job::new("clicks");
//! job.source("clicks", clicks)
//!     .watermarks(Watermarks::bounded(Duration::from_secs(5)))
//!     .key_by(|click| click.user)
//!     .window(Tumbling::of(Duration::from_secs(60)))
//!     .aggregate("clicks_1m", count())
//!     .sink("out", callback(|_, row: &pelton::Windowed<u64, u64>| println!("{row:?}")));
//! let report = job.run(Options::workers(2))?;
//! println!("{report}");
//! report.balance()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Words
//!
//! - An *event* is a [`Record`] of fixed layout with an event time: [`Event`]. Text is a [`Symbol`] or
//!   inline bytes; [`Record`] lists what else its fields may be. What rows are grouped by is a [`Key`], or becomes one
//!   ([`IntoKey`]), as tuples do.
//! - A *job* ([`Job`]) has *sources* ([`Source`]), *streams* ([`Stream`]) and *sinks* ([`Sink`]). It is
//!   [run](Job::run), [started](Job::start) or [simulated](Job::simulate) once, with [`Options`].
//! - A *watermark* ([`Watermarks`]) `t` says that nothing at or before `t` will come. An event at or
//!   before the watermark before it is *behind*; it is *late* for a window that the watermark
//!   has reached, and goes to the step's [`late`](StepOutput::late) output. An event that *jumps* too far
//!   [ahead](Options::jump_max) does not move the watermark.
//! - A *keyed step* is a [window](KeyedStream::window) with an [`Aggregate`], a [`ProcessFunction`] with
//!   state and timers, or a step of two streams: an [as-of join](KeyedStream::as_of_join), a
//!   [`CoProcessFunction`] or a [`BroadcastProcessFunction`]. [`KeyedStream`] has ready-made ones, such as
//!   [`deduplicate`](KeyedStream::deduplicate). Its name is the identity of its state.
//! - All rows of a job have *one order*, which depends on the input alone. A *block* is what a worker
//!   reads at once; where blocks end shows in no result, and neither does the number of workers.
//! - A job can be built without Rust types for its rows, from schema text: [`rows`].
//! - [`Job::explain`] says how a job would run.
//! - A [`Report`] accounts for every event.
//!
//! [`testing`] runs operators of one's own in hostile ways against a model. [`coming_from`] has the words of Flink, Kafka
//! Streams and Polars beside ours.

#![deny(unsafe_code)]

extern crate self as pelton;

mod api;
mod base;
pub mod coming_from;
mod graph;
mod log;
mod operator;
mod progress;
#[doc(hidden)]
pub mod ring;
pub mod rows;
mod runtime;
pub mod state;
mod store;
pub mod testing;

pub use api::channel::{
    Callback, CallbackNumbered, ChannelSink, Collect, Collected, NotReceived, Output, callback, callback_numbered,
    channel, collect,
};
pub use api::checkpoints::{CheckpointOptions, JournalKeep};
pub use api::connected::{AsOfJoin, JoinOutput};
pub use api::handle::{Handle, Simulation, Stop, Stopper};
pub use api::inline::Inline;
pub use api::job::Job;
pub use api::keyed::{KeyedStream, WindowedStream};
pub use api::library::{BroadcastLookup, DropOutput, Lookup};
pub use api::operate::OperatorStreams;
pub use api::options::{Options, WORKERS_MAX};
pub use api::output::{OutputStreams, StepOutput};
pub use api::push::{Closed, Input, Refused, push};
pub use api::stream::Stream;
pub use base::clock::{Clock, ManualClock, SystemClock};
pub use base::fields::{Bool, Code, Enum, Maybe};
pub use base::iso::{TimeError, UtcOffset};
pub use base::key::{ALL_SLOTS, CanonicalKey, HashSeed, IntoKey, Key, SLOTS, Slot, slot_of, worker_of};
pub use base::record::{Event, Field, FieldKind, FieldType, Layout, Record};
pub use base::schema::LayoutError;
pub use base::symbol::{Dictionary, DictionaryError, SYMBOL_BYTES_MAX, SYMBOLS_MAX, Symbol};
pub use base::time::Timestamp;
pub use graph::explain::{JobPlan, PlanFormat};
pub use graph::factory::StepContext;
pub use log::journal::{DurableInput, InputCount};
pub use operator::aggregate::basic::{
    Count, count, first, last, max, max_f64, mean, min, min_f64, sum, sum_f64, vwap, weighted_mean,
};
pub use operator::aggregate::distinct::{DistinctCount, count_distinct};
pub use operator::aggregate::exact_sum::{mean_f64_exact, sum_f64_exact};
pub use operator::aggregate::fold::{fold, fold_merging};
pub use operator::aggregate::hyper_log_log::{ApproxCountDistinct, approx_count_distinct};
pub use operator::aggregate::quantile::{Quantile, Quantiles, quantile, quantiles};
pub use operator::aggregate::ranked::{bottom_n, collect_up_to, top_n};
pub use operator::aggregate::statistics::{arg_max, arg_min, stddev_pop, stddev_samp, var_pop, var_samp};
pub use operator::aggregate::tuple::{Tuple2, Tuple3, Tuple4, Tuple5, Tuple6};
pub use operator::aggregate::values::{UpTo, Values};
pub use operator::aggregate::{Aggregate, Windowed};
pub use operator::asof::AsOf;
pub use operator::broadcast::BroadcastProcessFunction;
pub use operator::chain::Chain;
pub use operator::co_process::CoProcessFunction;
pub use operator::emitted::{Emitted, Emitter};
pub use operator::keyed::ProcessContext;
pub use operator::library::Keep;
pub use operator::library::absence::Presence;
pub use operator::library::deduplicate::Repeats;
pub use operator::library::running::KeyValue;
pub use operator::library::threshold::Transition;
pub use operator::process::ProcessFunction;
pub use operator::states::{ListState, MapState, States};
pub use operator::views::{ListView, MapView};
#[cfg(feature = "calendar")]
pub use operator::window::Calendar;
pub use operator::window::{
    CountWindow, Cumulative, Global, Pane, Session, Sliding, Timing, Trigger, Tumbling, Window, Windows,
};
pub use operator::{Batch, Firing, Operator, OperatorError, OperatorInput, OperatorOutput, Outbox, Outputs};
pub use pelton_derive::{Enum, Event, Key, Record};
pub use progress::watermark::{WatermarkGenerator, Watermarks};
pub use runtime::checkpointer::CheckpointReport;
pub use runtime::error::{Error, ShapeError};
pub use runtime::idle::IdleStrategy;
pub use runtime::metrics::{StepKind, StepReport};
pub use runtime::report::{RecoveryReport, Report};
pub use runtime::sink::{Encoder, Encoders, Sink, SinkCheckpoint};
pub use runtime::source::{BlockReader, BlockSource, BlockSummary, Feed, Polled, Source, VecSource};
pub use runtime::worker::WorkerStep;
pub use store::{
    BroadcastTable, KeyedLists, KeyedMaps, KeyedRows, KeyedTable, Of, PieceWriter, Scope, Share, Store, StoreError,
    StoreKind, StoreSettings, Timers, Value,
};

/// An error from outside the engine: a source's, a sink's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[doc(hidden)]
pub mod __private {
    pub use crate::base::padding::{Place, check_no_padding};
    pub use bytemuck;

    /// Compiles where a field is a record.
    pub const fn is_record<T: crate::Record>() {}
}
